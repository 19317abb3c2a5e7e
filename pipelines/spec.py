"""Specs: from a YAML file to a `Pipeline`, with every fault named at its place, and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from connectors.files.paths import BASE_DIRECTORY
from pipelines.errors import SpecError
from pipelines.pipeline import KNOWN_VERSIONS, Pipeline, shape_faults, version_fault
from pipelines.plugins import KINDS, STEP, Kind, Registry, did_you_mean
from pipelines.spec_document import to_document
from pipelines.spec_fault import option_faults, shown, spec_message
from pipelines.spec_file import Document, Fault, read_yaml, write_yaml
from pipelines.spec_file import Path as SpecPath
from pipelines.spec_override import apply_overrides


def load(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Pipeline:
    """Return the pipeline that a YAML file describes.

    Relative paths in it, and in overrides, start from the directory that the file is in.

    Args:
        path: the file, in UTF-8.
        overrides: ``key=value`` each, applied in order; see `pipelines.spec_override.apply_overrides`.

    Raises:
        SpecError: the file is not there, is not YAML, or is wrong; the message lists all faults with file
            and line.
    """
    file = Path(path)
    return parse(_read(file), overrides, origin=str(path), base_directory=file.absolute().parent)


def parse(
    text: str,
    overrides: Sequence[str] = (),
    *,
    origin: str = "<text>",
    base_directory: str | os.PathLike[str] = ".",
) -> Pipeline:
    """Return the pipeline that a YAML text describes.

    Args:
        text: the YAML.
        overrides: as for `load`.
        origin: what messages call the text.
        base_directory: where relative paths start.

    Raises:
        SpecError: as for `load`.
    """
    document = apply_overrides(read_yaml(text, origin), overrides)
    return _Reading(document, Registry.installed(), os.path.abspath(base_directory)).pipeline(origin)


def dump(pipeline: Pipeline) -> str:
    """Return a pipeline as YAML with all defaults written out, which loads as an equal pipeline.

    Raises:
        SpecError: the pipeline holds something that YAML cannot, such as a lambda, or an option that does
            not come back as it was; the message says where.
    """
    text = write_yaml(to_document(pipeline, exact=True))
    loaded = parse(text, origin=f"the YAML of {pipeline.name}")
    for kind in KINDS:
        if getattr(loaded, kind.section) != getattr(pipeline, kind.section):
            raise SpecError(
                f"{kind.section}: it does not come back from YAML as it was; a plug-in's options must be "
                "data, and be equal when they are made again from the same data"
            )
    if loaded != pipeline:
        raise SpecError(f"the pipeline {pipeline.name} does not come back from YAML as it was")
    return text


def describe(pipeline: Pipeline) -> str:
    """Return a pipeline as YAML for a record; see `Pipeline.describe`."""
    return write_yaml(to_document(pipeline, exact=False))


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"{file}:{line}: this is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8"
        ) from error
    except IsADirectoryError as error:
        raise SpecError(f"{file} is a directory, not a spec; {_specs_in(file)}") from error
    except FileNotFoundError as error:
        near = did_you_mean(file.name, [one.name for one in _yaml_files(file.parent)])
        raise SpecError(f"the spec {file} does not exist{near or f'; {_specs_in(file.parent)}'}") from error
    except OSError as error:
        raise SpecError(f"the spec {file} cannot be read: {error.strerror}") from error


def _yaml_files(directory: Path) -> list[Path]:
    return sorted(one for one in directory.glob("*.y*ml") if one.is_file())


def _specs_in(directory: Path) -> str:
    names = [one.name for one in _yaml_files(directory)]
    return f"{directory} holds: {', '.join(names[:8])}" if names else f"{directory} holds no .yaml file"


class _Reading:
    """One document on its way to a pipeline, and the faults found so far."""

    def __init__(self, document: Document, registry: Registry, base_directory: str) -> None:
        self._document = document
        self._registry = registry
        self._context = {BASE_DIRECTORY: base_directory}
        self._faults = list(document.faults)

    def pipeline(self, origin: str) -> Pipeline:
        """Return the pipeline.

        Raises:
            SpecError: the document has faults; all of them.
        """
        top = self._document.value
        if not isinstance(top, dict):
            is_what = "it is empty" if top is None else f"this is {shown(top)}"
            self._report((), f"a spec is a mapping with name:, source:, steps: and train: or sink:; {is_what}")
        elif not self._version_is_known(top):
            self._report(("version",), version_fault(top["version"]))
        else:
            values = self._values(top)
            if not self._faults:
                return Pipeline.model_validate(values, context=self._context)
        raise SpecError(spec_message(origin, self._faults))

    def _version_is_known(self, top: dict[object, object]) -> bool:
        # What else is wrong with a spec of another version cannot be told by the rules of this one.
        version = top.get("version", KNOWN_VERSIONS[-1])
        return version in KNOWN_VERSIONS and not isinstance(version, bool)

    def _values(self, top: dict[object, object]) -> dict[str, object]:
        """Return the arguments of the pipeline; what is at fault is reported, and may be left out."""
        sections = {kind.section for kind in KINDS}
        plain = {str(key): value for key, value in top.items() if key not in sections}
        try:
            Pipeline.model_validate(plain, context=self._context)
        except ValidationError as error:
            for path, message in option_faults(error, Pipeline, plain, "the spec"):
                self._report(path, message)
        classes: dict[str, list[type[BaseModel] | None]] = {}
        values = dict(plain)
        for kind in KINDS:
            found = self._section(kind, top.get(kind.section))
            classes[kind.section] = [plugin_class for plugin_class, _ in found]
            made = tuple(plugin for _, plugin in found)
            values[kind.section] = made if kind is STEP else next(iter(made), None)
        steps = [one for one in classes[STEP.section] if one is not None]
        if len(steps) == len(classes[STEP.section]):
            for section, message in shape_faults(steps, trains=bool(classes["train"]), sinks=bool(classes["sink"])):
                self._report((section,), message)
        return values

    def _section(self, kind: Kind, raw: object) -> list[tuple[type[BaseModel] | None, BaseModel | None]]:
        if raw is None:
            return []
        if kind is not STEP:
            return [self._plugin(kind, (kind.section,), raw)]
        if not isinstance(raw, list):
            self._report((kind.section,), f"must be a list, each item with - in front, not {shown(raw)}")
            return []
        return [self._plugin(kind, (kind.section, position), one) for position, one in enumerate(raw)]

    def _plugin(self, kind: Kind, path: SpecPath, raw: object) -> tuple[type[BaseModel] | None, BaseModel | None]:
        """Return the class of a plug-in and the plug-in; None for what is at fault."""
        options = {"type": raw} if isinstance(raw, str) else raw
        if not isinstance(options, dict):
            self._report(path, f"must be the name of a {kind.name}, or type: and its options, not {shown(raw)}")
            return None, None
        name = options.get("type")
        if not isinstance(name, str):
            self._report(path if name is None else (*path, "type"), self._no_type(kind, options))
            return None, None
        try:
            plugin_class = self._registry.find(kind, name)
        except SpecError as error:
            self._report(path if isinstance(raw, str) else (*path, "type"), str(error))
            return None, None
        given = {str(key): value for key, value in options.items() if key != "type"}
        try:
            return plugin_class, plugin_class.model_validate(given, context=self._context)
        except ValidationError as error:
            for inner, message in option_faults(error, plugin_class, given, name):
                self._report((*path, *inner), message)
            return plugin_class, None

    def _no_type(self, kind: Kind, options: dict[object, object]) -> str:
        known = self._registry.names(kind)
        if "type" in options and options["type"] is not None:
            return f"must be the name of a {kind.name}, not {shown(options['type'])}; known: {', '.join(known)}"
        named = [key for key in options if key in known]
        hint = f"write type: {named[0]}, and its options beside it" if named else f"known: {', '.join(known)}"
        return f"a {kind.name} needs type:; {hint}"

    def _report(self, path: SpecPath, message: str) -> None:
        self._faults.append(Fault(self._document.place(path), path, message))
