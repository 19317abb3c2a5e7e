"""Requests for JSON: retried, paced, bounded, and kept to the hosts that they may go to."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from connectors.errors import ConnectionCutError, SourceError, SourceNotFoundError
from connectors.rest.address import CheckedTransport
from connectors.rest.server import ServerOptions, redacted, shown

if TYPE_CHECKING:
    import httpx2

FIRST_WAIT = 0.5
"""Seconds before the first retry; each further wait is twice as long."""

MAX_WAIT = 120.0
"""Seconds that a retry waits at most; a server that asks for more is not waited for."""

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_SHOWN = 200
_NEXT_LINK = re.compile(r"<([^>]*)>((?:\s*;\s*[\w*-]+\s*=\s*(?:\"[^\"]*\"|[^\",;]*))*)")
_REL_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        url: the address that answered, after redirects; not to be shown as it is.
        body: the JSON; None where there was no content.
        next_link: the address in the header ``Link`` of the kind ``next``, as it was written.
        served: the server's clock, as far as it tells.
    """

    url: str
    body: object
    next_link: str | None
    served: datetime | None


class _MayPassError(Exception):
    """A request failed in a way that may pass; holds the error to raise if it does not, and how long to wait."""

    def __init__(self, error: SourceError, wait: float | None = None) -> None:
        super().__init__(error, wait)
        self.error = error
        self.wait = wait


@dataclass
class RestClient:
    """Makes the requests of one task; see `ServerOptions`.

    Attributes:
        options: how the server is asked.
        interval: seconds from one request to the next, at least.
        secrets: what must not be shown.
    """

    options: ServerOptions
    interval: float
    secrets: tuple[str, ...]
    _transport: CheckedTransport
    _free: float = field(default=0.0)

    @classmethod
    def of(cls, options: ServerOptions, share: float) -> RestClient:
        """Return a client that has a share of the rate which the options allow."""
        rate = options.requests_per_second
        interval = 1 / (rate * share) if rate is not None else 0.0
        return cls(options, interval, options.secrets(), CheckedTransport(options.allow_private))

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def get(self, url: str, parameters: Mapping[str, str] | None = None) -> Answer:
        """Return what the server answers, after as many tries as the options allow.

        Raises:
            SourceNotFoundError: there is nothing at the address.
            ConnectionCutError: the server cannot be reached, or broke off each time.
            SourceError: it refuses, answers with too much or with what is no JSON, or leads where it may not.
        """
        import httpx2

        address = httpx2.URL(url).copy_merge_params(dict(parameters)) if parameters else httpx2.URL(url)
        for attempt in range(self.options.retries + 1):
            self._keep_pace()
            try:
                return self._follow(address)
            except _MayPassError as failed:
                if attempt == self.options.retries:
                    raise failed.error from None
                wait = failed.wait
            if wait is None:
                wait = min(MAX_WAIT, FIRST_WAIT * 2**attempt) * random.uniform(0.75, 1.25)
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def shown(self, url: str) -> str:
        """Return an address as people may see it."""
        return shown(url, self.secrets)

    def _keep_pace(self) -> None:
        now = time.monotonic()
        if self._free > now:
            time.sleep(self._free - now)
        self._free = max(now, self._free) + self.interval

    def _follow(self, url: httpx2.URL) -> Answer:
        for _ in range(_MAX_REDIRECTS + 1):
            self._check(url)
            response = self._sent(url)
            try:
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    return self._answer(url, response)
                url = url.join(response.headers["location"])
            finally:
                response.close()
        raise SourceError(
            f"{self.shown(self.options.url)} redirects more than {_MAX_REDIRECTS} times; check the address"
        )

    def _check(self, url: httpx2.URL) -> None:
        """See to it that a request stays where it may go."""
        import httpx2

        home = httpx2.URL(self.options.url)
        if url.scheme not in ("http", "https") or (home.scheme, url.scheme) == ("https", "http"):
            raise SourceError(
                f"{self.shown(str(home))} leads on to {self.shown(str(url))}, and from https only https is followed"
            )
        if url.host != home.host and url.host not in self.options.allow_hosts:
            raise SourceError(
                f"{self.shown(str(home))} leads on to the host {url.host}, which is another one; if that is right, "
                "name it in the option 'allow_hosts' (it is sent no secrets)"
            )

    def _sent(self, url: httpx2.URL) -> httpx2.Response:
        import httpx2

        headers = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": "headrace"}
        headers |= {name: value for name, value in self.options.headers if isinstance(value, str)}
        if _origin(url) == _origin(httpx2.URL(self.options.url)):
            headers |= self.options.secret_headers()
            secret = self.options.secret_parameters()
            url = url.copy_merge_params(secret) if secret else url
        seconds = httpx2.Timeout(self.options.timeout).as_dict()
        try:
            request = httpx2.Request(
                "GET", url.copy_with(userinfo=b""), headers=headers, extensions={"timeout": seconds}
            )
            return self._transport.send(request)
        except (UnicodeError, httpx2.LocalProtocolError):
            # The errors themselves quote the header.
            raise SourceError(
                f"a header for {self.shown(str(url))} cannot be sent, as it holds characters that headers may not; "
                "check 'headers' and 'auth', and what their references lead to"
            ) from None
        except httpx2.TransportError as error:
            raise self._cut(url, error) from None
        except ConnectionCutError as error:
            raise _MayPassError(error) from None

    def _answer(self, url: httpx2.URL, response: httpx2.Response) -> Answer:
        if response.status_code >= 400:
            raise self._refusal(url, response)
        data = self._body(url, response, self.options.max_response_bytes)
        if data is None:
            raise SourceError(
                f"{self.shown(str(url))} answers with more than {self.options.max_response_bytes:,} bytes; ask for "
                "smaller pages, or raise the option 'max_response_bytes'"
            )
        try:
            body = json.loads(data) if data or response.status_code != 204 else None
        except (ValueError, RecursionError) as error:
            head = redacted(data[:_SHOWN].decode("utf-8", "replace"), self.secrets)
            said = "nested too deeply" if isinstance(error, RecursionError) else redacted(str(error), self.secrets)
            raise SourceError(
                f"{self.shown(str(url))} answers with what is no JSON ({said}); it begins {head!r}; check the address, "
                "and whether it wants a login"
            ) from None
        return Answer(str(url), body, _next_link(response), _time(response.headers.get("date")))

    def _body(self, url: httpx2.URL, response: httpx2.Response, limit: int) -> bytes | None:
        """Return the whole body, unpacked; None where it is longer than the limit."""
        import httpx2

        deadline = time.monotonic() + 10 * self.options.timeout
        chunks, size = [], 0
        try:
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    return None
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout("it sends too slowly")
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise self._cut(url, error) from None
        return b"".join(chunks)

    def _refusal(self, url: httpx2.URL, response: httpx2.Response) -> Exception:
        """Return the error that a status means."""
        status = response.status_code
        said = (self._body(url, response, 64 * 1024) or b"")[:_SHOWN].decode("utf-8", "replace")
        text = f"{self.shown(str(url))} answers {status}" + (
            f": {redacted(said, self.secrets)!r}" if said.strip() else ""
        )
        if status == 429 or status >= 500:
            wait = _retry_after(response.headers.get("retry-after"))
            if wait is not None and wait > MAX_WAIT:
                return SourceError(f"{text}; it asks to be left alone for {wait:,.0f} seconds; run again then")
            cure = "lower 'requests_per_second'" if status == 429 else "run again once the server is well"
            return _MayPassError(SourceError(f"{text}, in {self.options.retries + 1} tries; {cure}"), wait)
        if status in (404, 410):
            return SourceNotFoundError(f"{text}; check the option 'url'")
        if status in (401, 403):
            return SourceError(f"{text}; check the option 'auth', and what its holder may read")
        return SourceError(f"{text}; check 'url', 'parameters' and 'pages'")

    def _cut(self, url: httpx2.URL, error: Exception) -> Exception:
        """Return the error that a failure to reach the server means."""
        import httpx2

        said = redacted(str(error) or type(error).__name__, self.secrets)
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return SourceError(
                f"{self.shown(str(url))} has no certificate for this host that this machine trusts: {said}; check the "
                "address; an authority of your own is named by the environment variable SSL_CERT_FILE"
            )
        cause = "is silent" if isinstance(error, httpx2.TimeoutException) else "cannot be reached, or breaks off"
        return _MayPassError(
            ConnectionCutError(
                f"{self.shown(str(url))} {cause}, in {self.options.retries + 1} tries: {said}; check the address, and "
                "whether the server is up"
            )
        )


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _next_link(response: httpx2.Response) -> str | None:
    header = ", ".join(response.headers.get_list("link"))
    return next((found[1] for found in _NEXT_LINK.finditer(header) if _REL_NEXT.search(found[2])), None)


def _time(header: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or timezone.utc) if found else None


def _retry_after(header: str | None) -> float | None:
    """Return the seconds that a server asks to wait, which it says in seconds or as a time."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    until = _time(header)
    return max(0.0, (until - datetime.now(timezone.utc)).total_seconds()) if until else None
