"""The options by which a server of JSON over HTTP is reached, and what may be shown of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator
from typing_extensions import Self

from connectors.errors import SourceError
from connectors.options import Items
from connectors.rest.options import Auth
from connectors.secret import Secret, SettingValue, sounds_secret

if TYPE_CHECKING:
    from connectors.rest.client import RestClient

_SECRET_NAME = re.compile(
    r"auth|cookie|session|signature|(^|[-_])(api|app|access)?[-_]?key$|^sig$|^jwt$", re.IGNORECASE
)


class ServerOptions(BaseModel):
    """How a server is asked.

    Attributes:
        url: the address of what is read: ``https://HOST/PATH``.
        parameters: name to value, in the query of each request; a value may be a secret's reference (``${env:NAME}``,
            ``${file:PATH}``).
        headers: name to value, likewise.
        auth: how the server is told who asks; a secret goes to the server of `url` alone, and over https, unless
            `allow_private` is set.
        timeout: seconds without a byte after which a request has failed; a whole response may take ten times as long.
        retries: how often a request is made again that failed in a way which may pass: a connection that cannot be
            made, breaks off or falls silent, 429, 5xx. In between, the time that the server says (``Retry-After``) is
            waited, or one that doubles.
        requests_per_second: how many requests are made at most, by all tasks together; None does not hold back.
        max_response_bytes: a response that is larger, unpacked, is refused.
        allow_private: whether the server may be on this machine, in a private network, or without https.
        allow_hosts: other hosts that redirects and links to next pages may lead to. They are sent no secrets.
    """

    url: str
    parameters: Items[SettingValue] = ()
    headers: Items[SettingValue] = ()
    auth: Auth | None = None
    timeout: float = Field(default=30.0, gt=0, le=600)
    retries: int = Field(default=5, ge=0, le=20)
    requests_per_second: float | None = Field(default=None, gt=0)
    max_response_bytes: int = Field(default=64 * 1024 * 1024, ge=1)
    allow_private: bool = False
    allow_hosts: tuple[str, ...] = ()

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address is wanted that begins with https:// (or http://) and a host")
        if "@" in parts.netloc:
            raise ValueError("an address must not hold a user or a password; give them in the option 'auth'")
        open_secrets = [name for name, _ in parse_qsl(parts.query) if _is_secret(name)]
        if open_secrets:
            raise ValueError(
                f"the name of the parameter {open_secrets[0]!r} says that it is a secret, and addresses are shown; "
                "give it in the option 'parameters' by reference, as ${env:NAME} or ${file:PATH}"
            )
        return value

    @model_validator(mode="after")
    def _keeps_secrets(self) -> Self:
        for option in ("parameters", "headers"):
            given = getattr(self, option)
            open_secrets = [name for name, value in given if isinstance(value, str) and _is_secret(name)]
            if open_secrets:
                raise ValueError(
                    f"the name {open_secrets[0]!r} in '{option}' says that it is a secret, and options are written "
                    "into run records; give it by reference, as ${env:NAME} or ${file:PATH}, or in the option 'auth'"
                )
        kept = self.auth is not None or any(isinstance(one, Secret) for _, one in (*self.parameters, *self.headers))
        if kept and self.url.startswith("http:") and not self.allow_private:
            raise ValueError(
                "a secret would go over http for anyone on the way to read; use https, or, where the network is your "
                "own, set allow_private: true"
            )
        return self

    @contextmanager
    def asking(self, share: float = 1.0) -> Iterator[RestClient]:
        """Yield what makes requests.

        Args:
            share: which part of `requests_per_second` is its own.

        Raises:
            SourceError: the package ``httpx2`` is missing.
            SecretError: the reference of a secret leads nowhere.
        """
        from connectors.rest.client import RestClient

        try:
            import httpx2  # noqa: F401
        except ImportError as error:
            raise SourceError(f"Rest needs httpx2 ({error}); pip install 'headrace[rest]'") from error
        client = RestClient.of(self, share)
        try:
            yield client
        finally:
            client.close()

    def open_parameters(self) -> dict[str, str]:
        """Return the query parameters that may be shown."""
        return {name: value for name, value in self.parameters if isinstance(value, str)}

    def secret_parameters(self) -> dict[str, str]:
        """Return the query parameters that go to the server of `url` alone."""
        return _resolved(self.parameters) | (self.auth.parameters() if self.auth is not None else {})

    def secret_headers(self) -> dict[str, str]:
        """Return the headers that go to the server of `url` alone."""
        return _resolved(self.headers) | (self.auth.headers() if self.auth is not None else {})

    def secrets(self) -> tuple[str, ...]:
        """Return what must not be shown, longest first."""
        found = [*_resolved(self.parameters).values(), *_resolved(self.headers).values()]
        found += self.auth.secrets() if self.auth is not None else []
        return tuple(sorted({one for one in found if one}, key=len, reverse=True))


def shown(url: str, secrets: Sequence[str] = ()) -> str:
    """Return an address as people may see it: without what its parameters' names, or `secrets`, say is secret."""
    parts = urlsplit(url)
    pairs = [(name, "***" if _is_secret(name) else value) for name, value in parse_qsl(parts.query, True)]
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return redacted(address + ("?" + urlencode(pairs, safe="*:/,") if pairs else ""), secrets)


def redacted(text: str, secrets: Sequence[str]) -> str:
    """Return a text without the secrets, plain or as an address writes them."""
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), quote(secret), urlencode({"": secret})[1:]):
            text = text.replace(form, "***")
    return text


def _is_secret(name: str) -> bool:
    return sounds_secret(name) or bool(_SECRET_NAME.search(name))


def _resolved(values: Sequence[tuple[str, Secret | str]]) -> dict[str, str]:
    return {name: value.resolve().get_secret_value() for name, value in values if isinstance(value, Secret)}
