"""One JSON object at a time, held against the columns that a source has."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pyarrow as pa

from connectors.files.json_types import DriftError, coercer, describe
from connectors.files.lines import Fault, decode

Coercers = Sequence[tuple[pa.Field, Callable[[object], object]]]


def parse_object(data: bytes, encoding: str) -> dict[str, object] | Fault:
    """Return the JSON object that `data` is, or what is wrong with it."""
    text = decode(data, encoding)
    if isinstance(text, Fault):
        return text
    try:
        row = json.loads(text)
    except RecursionError:
        return Fault("malformed_json", "nested too deeply")
    except ValueError as error:
        return Fault("malformed_json", f"not JSON: {error}")
    if not isinstance(row, dict):
        return Fault("not_an_object", f"{describe(row)}, and every record must be an object")
    # JSON can escape half of a surrogate pair, which no encoding can hold; the check is only made where one may be.
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return Fault("undecodable", "half of a surrogate pair, which is no character")
    return row


def coercers(schema: pa.Schema) -> Coercers:
    """Return each column with the function that makes its values; see `connectors.files.json_types.coercer`."""
    return [(field, coercer(field.type)) for field in schema]


def coerce_object(row: dict[str, object], columns: Coercers) -> list[object] | Fault:
    """Return the values that an object has in the columns, or which of them is of another type than its column."""
    values: list[object] = []
    for field, coerce in columns:
        value = row.get(field.name)
        try:
            values.append(coerce(value))
        except DriftError:
            return Fault(
                "type_drift",
                f"{field.name!r} is {describe(value)}, and the column is {field.type}; "
                "if that is wrong, declare the option 'types'",
            )
    return values
