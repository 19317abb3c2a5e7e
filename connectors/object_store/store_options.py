"""Options that are handed to a storage library as they are: names and values, secrets among them by reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from connectors.options import Items
from connectors.secret import Secret, SettingValue, sounds_secret

_Items = tuple[tuple[str, Secret | str], ...]

_KEY = re.compile(r"(^|\.)key$")
_PLACE = re.compile(r"endpoint|account.name|(^|[._-])uri$|warehouse")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def _secrets_by_reference(options: _Items) -> _Items:
    for name, value in options:
        if isinstance(value, str) and (_is_secret(name) or _has_password(value)):
            raise ValueError(
                f"the option {name!r} is a secret by its name, or holds a password, and options are written into run "
                "records; give it by reference, as ${env:NAME} or ${file:PATH}"
            )
    return options


StoreOptions = Annotated[Items[SettingValue], AfterValidator(_secrets_by_reference)]
"""Names and values for a storage library; what is secret by its name (``aws_secret_access_key``) or holds a password
(``postgresql://user:password@host``) must be a reference to a `Secret`."""


def resolved(options: Sequence[tuple[str, Secret | str]]) -> dict[str, str]:
    """Return the options as the library takes them, with the secrets' values.

    Raises:
        SecretError: a reference leads nowhere.
    """
    return {name: value.resolve().get_secret_value() if isinstance(value, Secret) else value for name, value in options}


def places(options: Sequence[tuple[str, Secret | str]]) -> dict[str, object]:
    """Return the options, secrets apart, that by their names say in which store something is, not how it is asked."""
    return {name: value for name, value in options if isinstance(value, str) and _PLACE.search(name.lower())}


def told(error: BaseException, options: Sequence[tuple[str, Secret | str]]) -> str:
    """Return what an error of the library says: its first line, with references where the secrets' values were."""
    lines = (line.strip() for line in _COLOURS.sub("", str(error)).splitlines())
    said = next(filter(None, lines), type(error).__name__)
    for _, value in options:
        if isinstance(value, Secret):
            secret = value.resolve().get_secret_value()
            said = said.replace(secret, value.root) if secret else said
            password = urlsplit(secret).password if "://" in secret else None
            said = said.replace(password, "***") if password else said
    return said.rstrip(".")


def _is_secret(name: str) -> bool:
    plain = re.sub("[_-]", ".", name.lower())
    return sounds_secret(plain) or bool(_KEY.search(plain))


def _has_password(value: str) -> bool:
    try:
        return "://" in value and bool(urlsplit(value).password)
    except ValueError:
        return False
