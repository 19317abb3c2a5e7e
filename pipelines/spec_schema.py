"""The JSON Schema of a spec with every installed plug-in, for editors that complete and check YAML."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema

from pipelines.errors import SpecError
from pipelines.pipeline import KNOWN_VERSIONS, SLUG, Pipeline
from pipelines.plugins import KINDS, STEP, Kind, Registry
from pipelines.schema_contract import Handling, SchemaContract
from pipelines.spec_document import is_mapping_option

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ELSEWHERE = r"^[\w.]+:[\w.]+$"


def json_schema(registry: Registry | None = None) -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of a spec file.

    Each plug-in that is installed is one choice, told by its ``type``. Descriptions are from the
    docstrings: the first sentence of the class, and of each option its entry under ``Attributes:``. A plug-
    in that cannot be imported is a choice of which nothing more is known. Rules between options are not in
    it: `pipelines.spec.load` has the last word.

    Args:
        registry: the plug-ins to choose from; None takes what is installed.
    """
    registry = registry or Registry.installed()
    definitions: dict[str, object] = {}
    texts = option_texts(Pipeline)
    properties: dict[str, dict[str, object]] = {
        "version": {"enum": list(KNOWN_VERSIONS), "default": KNOWN_VERSIONS[-1]},
        "name": {"type": "string", "pattern": f"^{SLUG}$"},
    }
    for kind in KINDS:
        choices = list(_choices(kind, registry, definitions))
        if kind is STEP:
            properties[kind.section] = {"type": ["array", "null"], "items": {"oneOf": choices}}
        else:
            properties[kind.section] = {"oneOf": [*choices, {"type": "null"}]}
    properties["session"] = _model(Pipeline.model_fields["session"].default.__class__, "session", definitions)
    properties["checkpoint"] = {"type": ["string", "null"], "default": None}
    for name in ("baselines", "incremental"):
        properties[name] = {"type": "boolean", "default": Pipeline.model_fields[name].default}
    contract = _model(SchemaContract, "schema_contract", definitions)
    properties["schema_contract"] = {"anyOf": [{"enum": [*get_args(Handling), None]}, contract], "default": None}
    return {
        "$schema": _DIALECT,
        "title": "Headrace pipeline",
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {name: {"description": texts[name], **one} for name, one in properties.items()},
        "$defs": definitions,
    }


def first_sentence(documented: type) -> str:
    """Return the first sentence of a class's docstring; empty without one."""
    text = inspect.cleandoc(documented.__doc__ or "").split("\n\n")[0]
    return re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0]


def option_texts(model: type[BaseModel]) -> dict[str, str]:
    """Return what the ``Attributes:`` sections of a class and of its bases say of each option."""
    texts: dict[str, str] = {}
    for documented in reversed(model.__mro__):
        section = re.search(
            r"^Attributes:\n((?:[ ]+.*\n?|\n)+)", inspect.cleandoc(documented.__doc__ or ""), re.MULTILINE
        )
        entries = re.split(r"^ {4}(?=\w+: )", section.group(1), flags=re.MULTILINE) if section else []
        for entry in entries:
            name, separator, text = entry.partition(": ")
            if separator and name.isidentifier():
                texts[name] = " ".join(text.split())
    return {name: text for name, text in texts.items() if name in model.model_fields}


class _OptionSchema(GenerateJsonSchema):
    """pydantic's generator, without titles, and with the forms that a spec has for what JSON has not."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def callable_schema(self, schema: core_schema.CallableSchema) -> JsonSchemaValue:
        return {"type": "string", "pattern": _ELSEWHERE}

    def render_warning_message(self, kind: JsonSchemaWarningKind, detail: str) -> str | None:
        return None

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}


def _choices(kind: Kind, registry: Registry, definitions: dict[str, object]) -> Iterator[dict[str, object]]:
    bare = []
    for name in registry.names(kind):
        key = f"{kind.name}.{name}"
        try:
            plugin = registry.find(kind, name)
        except SpecError as error:
            definitions[key] = {
                "type": "object",
                "description": str(error),
                "properties": {"type": {"const": name}},
            }
            yield {"$ref": f"#/$defs/{key}"}
            continue
        definitions[key] = _plugin(plugin, name, key, definitions)
        yield {"$ref": f"#/$defs/{key}"}
        if not any(field.is_required() for field in plugin.model_fields.values()):
            bare.append(name)
    if bare:
        yield {"enum": bare, "description": f"A {kind.name} with its defaults."}
    elsewhere: dict[str, object] = {
        "type": "string",
        "pattern": _ELSEWHERE,
        "description": f"A {kind.name} of your own: module:Class.",
    }
    yield elsewhere
    yield {"type": "object", "required": ["type"], "properties": {"type": elsewhere}}


def _plugin(plugin: type[BaseModel], name: str, key: str, definitions: dict[str, object]) -> dict[str, object]:
    schema = _model(plugin, key, definitions)
    properties, required = schema.get("properties", {}), schema.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    named = {"const": name, "description": schema["description"]}
    return {**schema, "properties": {"type": named, **properties}, "required": ["type", *required]}


def _model(model: type[BaseModel], key: str, definitions: dict[str, object]) -> dict[str, object]:
    """Return the schema of a model's options; models inside of it are put among the definitions."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{key}.{{model}}", schema_generator=_OptionSchema)
    for name, inner in schema.pop("$defs", {}).items():
        definitions[f"{key}.{name}"] = inner
    texts = option_texts(model)
    for name, option in schema.get("properties", {}).items():
        if is_mapping_option(model.model_fields[name].annotation) and option.get("type") == "array":
            option = {"anyOf": [{"type": "object"}, option]}
        schema["properties"][name] = {"description": texts[name], **option} if name in texts else option
    schema.pop("title", None)
    return {**schema, "description": first_sentence(model)}
