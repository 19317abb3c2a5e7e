"""What an object store's errors mean: which pass, and what to do about those that do not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from connectors.errors import ConnectionCutError, ConnectorError, SourceError
from connectors.object_store.storage import Location, StorageOptions

_Value = TypeVar("_Value")

WAITS: Sequence[float] = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait after each time that a store failed in passing; the client has tried three times by then."""

_KEYS = "check the credentials: the options of 'storage', or those that the environment or the machine's role gives"
_CURES: Sequence[tuple[str, str]] = (
    (r"NO_SUCH_BUCKET|NoSuchBucket|ContainerNotFound", "create the bucket, or mend its name"),
    (r"INVALID_ACCESS_KEY_ID|InvalidAccessKeyId|INVALID_CLIENT_TOKEN|UNRECOGNIZED_CLIENT", _KEYS),
    (r"SIGNATURE_DOES_NOT_MATCH|SignatureDoesNotMatch|AuthenticationFailed|UNAUTHENTICATED|HTTP status 401", _KEYS),
    (r"EXPIRED_TOKEN|ExpiredToken|TOKEN_REFRESH", "the credentials have expired; get new ones"),
    (r"MISSING_AUTHENTICATION|NoCredentials|Unable to locate credentials|DefaultAzureCredential", _KEYS),
    (
        r"ACCESS_DENIED|AccessDenied|HTTP status 403|PERMISSION_DENIED|AuthorizationPermissionMismatch",
        "whoever holds these credentials may not do that; have the bucket's owner grant it (reading wants listing and "
        "getting objects, a sink putting and deleting them too), or use other credentials",
    ),
    (r"PERMANENT_REDIRECT|HTTP status 301|PermanentRedirect", "the bucket is in another region; set storage.region"),
    (
        r"curlCode: (6|7|28|60)\b|Could not connect|EndpointConnectionError|Connection refused",
        "check the endpoint and the network, and whether the store is up",
    ),
    (r"NotImplemented", "the store must know conditional writes (If-None-Match), by which commits are told apart"),
    (r"SLOW_DOWN|THROTTL|SlowDown|HTTP status (429|5\d\d)|SERVICE_UNAVAILABLE|INTERNAL_FAILURE", "run again later"),
    (r"NO_SUCH_KEY|RESOURCE_NOT_FOUND|Path does not exist|NoSuchKey", "it has gone since it was listed; run again"),
)
_DOWN = re.compile(r"curlCode: (6|7|60)\b|Could not connect|EndpointConnectionError")
_PASSING = re.compile(
    r"NETWORK_CONNECTION|curlCode|SLOW_DOWN|SlowDown|THROTTL|SERVICE_UNAVAILABLE|ServiceUnavailable|INTERNAL_FAILURE|"
    r"InternalError|REQUEST_TIMEOUT|RequestTimeout|HTTP status (429|5\d\d)|ConnectionClosed|ended early|UNAVAILABLE",
)
_NOISE = re.compile(r"\s*\(Request ID:[^)]*\)|: No response body|\. Detail:.*|; Details:.*", re.DOTALL)


@dataclass(frozen=True)
class Asking:
    """Asks a store about one address, in the name of a source or a sink.

    Attributes:
        location: what it is about.
        storage: how the store is reached.
        failure: what its errors become.
    """

    location: Location
    storage: StorageOptions
    failure: type[ConnectorError]

    def retried(self, ask: Callable[[], _Value]) -> _Value:
        """Return what `ask` returns; asked again, after a while, as often as `WAITS` has waits, where a fault may pass.

        Raises:
            ConnectorError: an error of kind `failure`, with the address, the store and what to do. A
                `ConnectionCutError` where it is a source's and the store still fails in passing.
        """
        for wait in (*WAITS, None):
            try:
                return ask()
            except FileNotFoundError:
                raise
            except Exception as error:
                if not is_a_stores(error):
                    raise
                if wait is None or not is_passing(error):
                    raise self.said(error) from None
                time.sleep(wait)
        raise AssertionError("the last wait is None")

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Make the store's errors those that `retried` raises, where nothing can be asked again."""
        try:
            yield
        except Exception as error:
            if not is_a_stores(error):
                raise
            raise self.said(error) from None

    def said(self, error: Exception) -> ConnectorError:
        """Return the error that people are shown; the store's own is not chained, for it may show a key."""
        text = _NOISE.sub("", str(error)).strip().rstrip(".")
        cure = next((cure for pattern, cure in _CURES if re.search(pattern, str(error))), "")
        kind = ConnectionCutError if self.failure is SourceError and is_passing(error) else self.failure
        place = self.storage.place(self.location)
        return kind(f"{self.location.address} at {place}: {text}" + (f"; {cure}" if cure else ""))


def is_a_stores(error: Exception) -> bool:
    """Tell whether an error is the store's (or its client's), and not one of ours or of whoever gives the rows."""
    module = type(error).__module__
    return isinstance(error, OSError) or module.startswith(("pyarrow", "botocore"))


def is_passing(error: Exception) -> bool:
    """Tell whether what a store said may be otherwise in a moment; that it cannot be reached at all is not."""
    text = str(error)
    return bool(_PASSING.search(text)) and not _DOWN.search(text)
