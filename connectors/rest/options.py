"""The options of a source of JSON over HTTP: how it pages, and how it knows who asks."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from connectors.secret import Secret


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LinkPages(_Options):
    """Each page has a link to the next one.

    Attributes:
        next: the dotted path, in the response, of the next page's address; None takes the header
            ``Link: <…>; rel="next"`` (RFC 8288).
    """

    type: Literal["link"] = "link"
    next: str | None = None


class CursorPages(_Options):
    """Each page has a token, with which the next one is asked for.

    Attributes:
        parameter: the query parameter that takes the token.
        next: the dotted path of the token in the response; there is no further page where it is missing, null or
            empty.
        more: the dotted path of a boolean that says whether there is a further page, where the token is always there.
    """

    type: Literal["cursor"] = "cursor"
    parameter: str = "cursor"
    next: str
    more: str | None = None


class NumberedPages(_Options):
    """Pages have numbers; the first empty one is the end.

    Attributes:
        parameter: the query parameter that takes the number.
        first: the number of the first page.
        size_parameter: the query parameter that takes `size`.
        size: how many records a page is to have; None leaves it to the server.
        total: the dotted path of the number of pages in the response; with it the pages are divided among partitions,
            and none is asked for that is not there.
    """

    type: Literal["page"] = "page"
    parameter: str = "page"
    first: int = Field(default=1, ge=0)
    size_parameter: str = "per_page"
    size: int | None = Field(default=None, ge=1)
    total: str | None = None


class OffsetPages(_Options):
    """A page begins behind a number of records; the first empty one is the end.

    Attributes:
        parameter: the query parameter that takes how many records to pass over.
        size_parameter: the query parameter that takes `size`.
        size: how many records a page is to have at most.
        total: the dotted path of the number of records in the response; with it the records are divided among
            partitions, and none is asked for that is not there.
    """

    type: Literal["offset"] = "offset"
    parameter: str = "offset"
    size_parameter: str = "limit"
    size: int = Field(default=100, ge=1)
    total: str | None = None


Pages = Annotated[LinkPages | CursorPages | NumberedPages | OffsetPages, Field(discriminator="type")]
"""How a listing is divided into pages."""


class BearerToken(_Options):
    """A token in the header ``Authorization: Bearer …``.

    Attributes:
        token: as a reference: ``${env:NAME}`` or ``${file:PATH}``.
    """

    type: Literal["bearer"] = "bearer"
    token: Secret

    def headers(self) -> dict[str, str]:
        """Return the headers that say who asks."""
        return {"Authorization": f"Bearer {self.token.resolve().get_secret_value()}"}

    def parameters(self) -> dict[str, str]:
        """Return the query parameters that say who asks."""
        return {}

    def secrets(self) -> list[str]:
        """Return what must not be shown."""
        return [self.token.resolve().get_secret_value()]


class BasicLogin(_Options):
    """A user and a password in the header ``Authorization: Basic …``.

    Attributes:
        user: who asks.
        password: as a reference: ``${env:NAME}`` or ``${file:PATH}``.
    """

    type: Literal["basic"] = "basic"
    user: str = Field(pattern="^[^:]*$")
    password: Secret

    def headers(self) -> dict[str, str]:
        """Return the headers that say who asks."""
        return {"Authorization": f"Basic {self._login()}"}

    def parameters(self) -> dict[str, str]:
        """Return the query parameters that say who asks."""
        return {}

    def secrets(self) -> list[str]:
        """Return what must not be shown."""
        return [self.password.resolve().get_secret_value(), self._login()]

    def _login(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password.resolve().get_secret_value()}".encode()).decode()


class ApiKey(_Options):
    """A key in a header, or in the query, which keeps less well: servers and proxies log addresses.

    Attributes:
        name: of the header, or of the query parameter.
        key: as a reference: ``${env:NAME}`` or ``${file:PATH}``.
        place: where it goes.
    """

    type: Literal["api_key"] = "api_key"
    name: str = "X-API-Key"
    key: Secret
    place: Literal["header", "query"] = "header"

    def headers(self) -> dict[str, str]:
        """Return the headers that say who asks."""
        return {self.name: self.key.resolve().get_secret_value()} if self.place == "header" else {}

    def parameters(self) -> dict[str, str]:
        """Return the query parameters that say who asks."""
        return {self.name: self.key.resolve().get_secret_value()} if self.place == "query" else {}

    def secrets(self) -> list[str]:
        """Return what must not be shown."""
        return [self.key.resolve().get_secret_value()]


Auth = Annotated[BearerToken | BasicLogin | ApiKey, Field(discriminator="type")]
"""How a server is told who asks."""
