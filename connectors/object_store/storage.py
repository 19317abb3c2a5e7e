"""Object stores: which addresses lead into one, and the options by which it is reached."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator, model_validator
from typing_extensions import Self

from connectors.errors import ConnectorError
from connectors.secret import Secret

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_REMOTE = re.compile(r"(s3|gs|abfss?)://", re.IGNORECASE)
_CONNECT_SECONDS = 10
_SILENCE_SECONDS = 60
_GOOGLE_RETRY = timedelta(seconds=30)
_GOOGLE_TOKEN_LIFE = timedelta(hours=1)

_USERS = {
    "region": ("s3",),
    "access_key_id": ("s3",),
    "secret_access_key": ("s3",),
    "session_token": ("s3",),
    "anonymous": ("s3", "gs"),
    "access_token": ("gs",),
    "account": ("abfs",),
    "account_key": ("abfs",),
    "sas_token": ("abfs",),
}
"""Which stores an option is for; ``endpoint`` is for all."""


class StorageOptions(BaseModel):
    """How an object store is reached. The defaults are right wherever the environment says who asks.

    Without keys, each store's own chain finds the credentials: the environment (``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``,
    ``GOOGLE_APPLICATION_CREDENTIALS``, ``AZURE_CLIENT_ID``, …), its files, the machine's role. They must be found on
    every machine that reads or writes. ``s3://`` is tested against an emulator of S3; ``gs://`` and ``abfs://`` are not
    tested against any store, only how they are opened is.

    Attributes:
        endpoint: ``http://host:port`` or ``https://host`` of a store that is not the cloud's own.
        region: of the bucket (S3); None: what the environment says.
        access_key_id: of S3, with `secret_access_key`.
        secret_access_key: as a reference: ``${env:NAME}`` or ``${file:PATH}``.
        session_token: of temporary credentials of S3, as a reference.
        anonymous: ask without credentials, for public data (S3, Google).
        access_token: of Google, valid for the hour from its first use, as a reference.
        account: of Azure, where the address does not name it as ``abfs://container@account.dfs.core.windows.net/…``.
        account_key: of Azure, as a reference.
        sas_token: of Azure, instead of `account_key`, as a reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    identity_options: ClassVar[tuple[str, ...]] = ("endpoint", "account")

    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    anonymous: bool = False
    access_token: Secret | None = None
    account: str | None = None
    account_key: Secret | None = None
    sas_token: Secret | None = None

    @field_validator("endpoint")
    @classmethod
    def _is_an_endpoint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if "@" in value or parts.scheme not in ("http", "https") or not parts.hostname:
            # The value is not shown: it may hold a password.
            raise ValueError("an endpoint is written http://host:port or https://host:port, without user and password")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("an endpoint has no path; write http://host:port or https://host:port")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("'access_key_id' and 'secret_access_key' go together; give both, or neither")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("'session_token' goes with 'access_key_id' and 'secret_access_key'")
        if self.anonymous and (self.access_key_id is not None or self.access_token is not None):
            raise ValueError("'anonymous' asks without credentials; leave the keys out, or anonymous")
        if self.account_key is not None and self.sas_token is not None:
            raise ValueError("give either 'account_key' or 'sas_token', not both")
        return self

    def place(self, location: Location) -> str:
        """Return which store an address leads to, for people."""
        if self.endpoint is not None:
            return self.endpoint
        if location.scheme == "s3":
            return "Amazon S3" + (f" in {self.region}" if self.region else "")
        if location.scheme == "gs":
            return "Google Cloud Storage"
        return f"the Azure account {location.account or self.account}"

    def filesystem(self, location: Location, failure: type[ConnectorError]) -> FileSystem:
        """Return the store that an address leads to; processes open each once.

        Raises:
            ConnectorError: an error of kind `failure`: an option is not one of this store's, or one is missing.
            SecretError: a secret's reference leads nowhere.
        """
        return _opened(location.scheme, tuple(sorted(self.arguments(location, failure).items())))

    def arguments(self, location: Location, failure: type[ConnectorError]) -> dict[str, Any]:
        """Return what Arrow's file system of the store is made with; secrets still wrapped. Raises as `filesystem`."""
        given = [name for name, stores in _USERS.items() if getattr(self, name) and location.scheme not in stores]
        if given:
            raise failure(
                f"{location.address}: the option storage.{given[0]} is for "
                f"{' and '.join(f'{store}://' for store in _USERS[given[0]])}; leave it out"
            )
        made = {"s3": self._s3, "gs": self._gs}.get(location.scheme)
        return made() if made is not None else self._azure(location, failure)

    def _s3(self) -> dict[str, Any]:
        return _without_none(
            region=self.region,
            access_key=self.access_key_id,
            secret_key=_resolved(self.secret_access_key),
            session_token=_resolved(self.session_token),
            anonymous=self.anonymous or None,
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_SILENCE_SECONDS,
            allow_delayed_open=True,
            **self._endpoint("endpoint_override", "scheme"),
        )

    def _gs(self) -> dict[str, Any]:
        return _without_none(
            access_token=_resolved(self.access_token),
            anonymous=self.anonymous or None,
            retry_time_limit=_GOOGLE_RETRY,
            **self._endpoint("endpoint_override", "scheme"),
        )

    def _azure(self, location: Location, failure: type[ConnectorError]) -> dict[str, Any]:
        account = location.account or self.account
        if account is None:
            raise failure(
                f"{location.address} does not say whose it is; write abfs://container@account.dfs.core.windows.net/…, "
                "or name the account in the option storage.account"
            )
        arguments = _without_none(
            account_name=account,
            account_key=_resolved(self.account_key),
            sas_token=_resolved(self.sas_token),
            **self._endpoint("blob_storage_authority", "blob_storage_scheme"),
            **self._endpoint("dfs_storage_authority", "dfs_storage_scheme"),
        )
        if self.endpoint is None and location.domain != _AZURE:
            arguments |= {
                f"{kind}_storage_authority": f".{kind}.{location.domain.partition('.')[2]}" for kind in ("blob", "dfs")
            }
        return arguments

    def _endpoint(self, host: str, scheme: str) -> dict[str, str | None]:
        parts = urlsplit(self.endpoint or "")
        return {host: parts.netloc or None, scheme: parts.scheme or None}


_AZURE = "dfs.core.windows.net"


@dataclass(frozen=True)
class Location:
    """Where in which store an address leads.

    Attributes:
        scheme: ``s3``, ``gs`` or ``abfs``.
        bucket: the bucket, or Azure's container.
        key: the object's name in it, or the beginning of several; no slash at either end.
        account: of Azure, where the address names it.
        domain: of Azure's accounts.
    """

    scheme: str
    bucket: str
    key: str
    account: str | None = None
    domain: str = _AZURE

    @classmethod
    def parse(cls, address: str) -> Location:
        """Return where ``s3://bucket/key`` and the like lead; keys stand as they are, without escapes.

        Raises:
            ValueError: it leads into no bucket, or to a key that cannot be told from another.
        """
        scheme, _, rest = address.partition("://")
        bucket, _, key = rest.partition("/")
        key = key.strip("/")
        scheme = "abfs" if scheme.lower() == "abfss" else scheme.lower()
        host = ""
        if scheme == "abfs":
            bucket, _, host = bucket.partition("@")
        if not bucket or "@" in bucket or ":" in bucket:
            raise ValueError(f"{_hidden(address)}: an object's address is {scheme}://bucket/key, without user and port")
        if "//" in key:
            raise ValueError(f"{address}: '//' within a key cannot be read; write one slash, or rename the object")
        account, _, domain = host.partition(".")
        return cls(scheme, bucket, key, account or None, domain or _AZURE)

    @property
    def path(self) -> str:
        """Bucket and key, as Arrow wants them."""
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    @property
    def address(self) -> str:
        """The whole address."""
        owner = f"@{self.account}.{self.domain}" if self.account else ""
        return f"{self.scheme}://{self.bucket}{owner}" + (f"/{self.key}" if self.key else "")


def is_remote(address: str) -> bool:
    """Tell whether an address leads into an object store."""
    return _REMOTE.match(address) is not None


def _hidden(address: str) -> str:
    scheme, _, rest = address.partition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}" if "@" in rest else address


def _resolved(secret: Secret | None) -> SecretStr | None:
    return None if secret is None else secret.resolve()


def _without_none(**arguments: object) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


# A store is opened once per process: every opening costs a pool of connections, and a source may hold a million files.
@lru_cache(maxsize=16)
def _opened(scheme: str, arguments: tuple[tuple[str, Any], ...]) -> FileSystem:
    # Imported late, because it starts threads.
    from pyarrow import fs

    plain = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in arguments}
    if "access_token" in plain:
        plain["credential_token_expiration"] = datetime.now(timezone.utc) + _GOOGLE_TOKEN_LIFE
    kinds = {"s3": "S3FileSystem", "gs": "GcsFileSystem", "abfs": "AzureFileSystem"}
    return getattr(fs, kinds[scheme])(**plain)
