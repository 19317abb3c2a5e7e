"""What tells a source or a sink from another one: the options that say where its rows are, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from pydantic import BaseModel, SecretStr

from connectors.secret import Secret


def identity_of(plugin: BaseModel, options: Iterable[str]) -> dict[str, object]:
    """Return those of the options that are not as they are by default, as JSON has them; secrets are left out.

    Of an option that is a model itself, the options count that its class names in ``identity_options``, else all.
    """
    fields = type(plugin).model_fields
    given = {name: getattr(plugin, name) for name in options}
    changed = {name: one for name, one in given.items() if one != fields[name].get_default(call_default_factory=True)}
    plain = {name: _plain(one) for name, one in changed.items() if not _is_secret(one)}
    return {name: one for name, one in plain.items() if one != {}}  # nothing but secrets


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, BaseModel):
        named = getattr(type(value), "identity_options", None)
        return identity_of(value, type(value).model_fields if named is None else named)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items() if not _is_secret(one)}
    if isinstance(value, (list, tuple)):
        if _is_mapping(value):
            return _plain(dict(value))
        return [_plain(one) for one in value if not _is_secret(one)]
    if isinstance(value, (set, frozenset)):
        return sorted(str(_plain(one)) for one in value if not _is_secret(one))
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    return str(value)


def _is_secret(value: object) -> bool:
    return isinstance(value, (Secret, SecretStr))


def _is_mapping(value: list[object] | tuple[object, ...]) -> bool:
    """Tell whether pairs are a mapping's, as `connectors.options.Items` keeps them."""
    pairs = [one for one in value if isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str)]
    return bool(pairs) and len(pairs) == len(value) and len({one[0] for one in pairs}) == len(pairs)
