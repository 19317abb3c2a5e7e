"""Kinds of options that several connectors have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_Value = TypeVar("_Value")


def _sorted_items(value: object) -> object:
    items = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(items, (tuple, list)) or not all(isinstance(item, (tuple, list)) for item in items):
        raise ValueError("a mapping of names to values is wanted here")
    pairs: list[tuple[object, ...]] = sorted((tuple(item) for item in items), key=lambda pair: str(pair[:1]))
    if len({str(pair[:1]) for pair in pairs}) < len(pairs):
        raise ValueError("the same name is given twice")
    return tuple(pairs)


Items = Annotated[
    tuple[tuple[str, _Value], ...],
    BeforeValidator(_sorted_items),
    PlainSerializer(dict),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
]
"""A mapping among a plug-in's options: given as one, written as one, and kept as sorted pairs, so that a frozen model
can be hashed and the order in which its entries were written means nothing."""
