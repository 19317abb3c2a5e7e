"""The plug-ins that are installed: from the name in a spec to the class, and back.

A name is an entry point in the group of its kind, and ours are registered there like everyone else's. A class
without an entry point is named by where it is: ``module:Class``.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from pydantic import BaseModel

from connectors.sink import Sink
from connectors.source import Source
from pipelines.errors import SpecError
from pipelines.steps.step import Step
from training.trainer import Trainer


@dataclass(frozen=True)
class Kind:
    """A kind of plug-in.

    Attributes:
        name: what a person calls it.
        section: the key of a spec under which plug-ins of the kind stand.
        group: the entry-point group in which packages register theirs.
        contract: the class that every plug-in of the kind is a subclass of.
    """

    name: str
    section: str
    group: str
    contract: type[BaseModel]


SOURCE = Kind("source", "source", "headrace.sources", Source)
SINK = Kind("sink", "sink", "headrace.sinks", Sink)
STEP = Kind("step", "steps", "headrace.steps", Step)
TRAINER = Kind("trainer", "train", "headrace.trainers", Trainer)
KINDS = (SOURCE, STEP, TRAINER, SINK)


@dataclass(frozen=True)
class Registry:
    """The entry points of all kinds, as they were found; nothing is imported before it is asked for.

    Attributes:
        entry_points: those of the groups of `KINDS`.
    """

    entry_points: tuple[EntryPoint, ...]

    @classmethod
    def installed(cls) -> Registry:
        """Return the entry points of the packages that are installed; a change of the import path is noticed."""
        return _found_on(tuple((entry, _changed(entry)) for entry in sys.path))

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of the plug-ins of a kind, sorted."""
        return tuple(sorted({one.name for one in self.entry_points if one.group == kind.group}))

    def find(self, kind: Kind, name: str) -> type[BaseModel]:
        """Return the class that a spec means by ``type: name``.

        Args:
            kind: what it must be.
            name: an entry point's name, or ``module:Class``.

        Raises:
            SpecError: there is no such plug-in, it cannot be imported, or it is of another kind.
        """
        found = _from_module(kind, name) if ":" in name else self._from_entry_point(kind, name)
        if not (isinstance(found, type) and issubclass(found, kind.contract)):
            raise SpecError(f"{name!r} is not a {kind.name}: {found!r} {_what_it_is(found)}")
        if inspect.isabstract(found):
            lacking = ", ".join(sorted(found.__abstractmethods__))
            raise SpecError(f"{kind.name} {name!r} cannot be used: {found!r} leaves undefined: {lacking}")
        if "type" in found.model_fields:
            raise SpecError(
                f"{kind.name} {name!r} cannot be used: it has an option 'type', which a spec needs for itself"
            )
        return found

    def name_of(self, kind: Kind, plugin: type[BaseModel]) -> str:
        """Return the name by which `find` finds a class: its entry point's, else ``module:Class``.

        An entry point that gives the class another name than it has itself is not seen, so that nothing
        needs to be imported that the class does not come from; ``module:Class`` then serves as well.
        """
        for name in self.names(kind):
            values = self._candidates(kind, name)
            if len(values) == 1 and all(_may_be(one, plugin) and _load(kind, one) is plugin for one in values.values()):
                return name
        return f"{plugin.__module__}:{plugin.__qualname__}"

    def _from_entry_point(self, kind: Kind, name: str) -> object:
        candidates = self._candidates(kind, name)
        if not candidates:
            raise SpecError(self._unknown(kind, name))
        if len(candidates) > 1:
            claims = " and ".join(f"{_distribution(one)} ({value})" for value, one in sorted(candidates.items()))
            raise SpecError(
                f"{kind.name} {name!r} is registered by {claims}; name the one that you mean as module:Class"
            )
        return _load(kind, next(iter(candidates.values())))

    def _candidates(self, kind: Kind, name: str) -> dict[str, EntryPoint]:
        return {one.value: one for one in self.entry_points if one.group == kind.group and one.name == name}

    def _unknown(self, kind: Kind, name: str) -> str:
        known = self.names(kind)
        if not known:
            return (
                f"unknown {kind.name} {name!r}: no package registers any in the entry-point group "
                f"{kind.group}, not even headrace itself; install it (pip install headrace)"
            )
        elsewhere = [other.name for other in KINDS if other is not kind and name in self.names(other)]
        hint = f"; there is a {elsewhere[0]} of that name;" if elsewhere else did_you_mean(name, known)
        listed = ", ".join(known)
        return f"unknown {kind.name} {name!r}{hint or ';'} known: {listed}; any other is written module:Class"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` with the nearest of the known names, or nothing where none is near."""
    lower = {one.lower(): one for one in known}
    simple = name.lower().replace("-", "_")
    near = difflib.get_close_matches(simple, lower, n=1, cutoff=0.55)
    # An abbreviation shares too little with the whole for difflib.
    near = near or sorted(one for one in lower if simple and one.startswith(simple))[:1]
    return f"; did you mean {lower[near[0]]!r}?" if near else ""


@lru_cache(maxsize=1)
def _found_on(path: tuple[tuple[str, int], ...]) -> Registry:
    """Return the registry of an import path, of which each entry comes with the time of its last change."""
    found = entry_points()
    return Registry(tuple(one for kind in KINDS for one in found.select(group=kind.group)))


def _changed(entry: str) -> int:
    """Return when something was last added to, or taken from, a directory of the import path; 0 if it is not there."""
    try:
        return os.stat(entry or ".").st_mtime_ns
    except OSError:
        return 0


def _from_module(kind: Kind, name: str) -> object:
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise SpecError(f"{name!r} does not name a {kind.name}: write module:Class, like my_package.steps:Shorten")
    try:
        found: object = importlib.import_module(module_name)
    except Exception as error:
        raise SpecError(f"{kind.name} {name!r}: {_import_failure(module_name, error)}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            public = sorted(one for one in vars(found) if not one.startswith("_"))
            raise SpecError(f"{kind.name} {name!r}: {module_name} has no {path}{did_you_mean(part, public)}")
        found = getattr(found, part)
    return found


def _load(kind: Kind, entry_point: EntryPoint) -> object:
    try:
        return entry_point.load()
    except Exception as error:
        raise SpecError(
            f"{kind.name} {entry_point.name!r} of the package {_distribution(entry_point)} cannot be used: "
            f"{_import_failure(entry_point.value, error)}"
        ) from error


def _import_failure(what: str, error: Exception) -> str:
    failure = f"importing {what} failed with {type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError) and error.name and not what.startswith(error.name):
        return f"{failure}; install what provides the module {error.name}"
    return failure


def _distribution(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist else "(unknown)"


def _may_be(entry_point: EntryPoint, plugin: type) -> bool:
    same_package = entry_point.module.partition(".")[0] == plugin.__module__.partition(".")[0]
    return same_package and entry_point.attr == plugin.__qualname__


def _what_it_is(found: object) -> str:
    if not isinstance(found, type):
        return "is not a class; write module:Class"
    kinds = [kind.name for kind in KINDS if issubclass(found, kind.contract)]
    contracts = ", ".join(f"{kind.contract.__name__} ({kind.name})" for kind in KINDS)
    return f"is a {kinds[0]}" if kinds else f"is a subclass of none of {contracts}"
