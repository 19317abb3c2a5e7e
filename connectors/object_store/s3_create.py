"""Creating an object of S3 only where there is none, which Arrow's file system has no way to ask for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import SecretStr

from connectors.errors import SinkError
from connectors.object_store.storage import Location, StorageOptions

_NOT_CREATED = ("PreconditionFailed", "ConditionalRequestConflict")


def require_client() -> None:
    """See to it that the client is installed.

    Raises:
        SinkError: it is not.
    """
    try:
        import botocore.session  # noqa: F401
    except ImportError as error:
        raise SinkError(f"a sink on s3:// needs S3's client ({error}); pip install 'headrace[s3]'") from error


def create_object(location: Location, key: str, data: bytes, storage: StorageOptions) -> bool:
    """Put an object with ``If-None-Match: *``, and tell whether this made it.

    An answer that was lost on its way is no reason to say no: what is there is compared with `data`, which must
    therefore be unlike what any other would put.

    Raises:
        botocore.exceptions.ClientError: the store says no.
        botocore.exceptions.BotoCoreError: it cannot be asked.
    """
    from botocore.exceptions import ClientError

    arguments = storage.arguments(location, SinkError)
    secret, token = arguments.get("secret_key"), arguments.get("session_token")
    client = _client(storage.endpoint, storage.region, storage.anonymous, storage.access_key_id, secret, token)
    try:
        client.put_object(Bucket=location.bucket, Key=key, Body=data, IfNoneMatch="*")
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _NOT_CREATED:
            raise
        there: bytes = client.get_object(Bucket=location.bucket, Key=key)["Body"].read()
        return there == data
    return True


@lru_cache(maxsize=4)
def _client(
    endpoint: str | None,
    region: str | None,
    anonymous: bool,
    access_key: str | None,
    secret_key: SecretStr | None,
    session_token: SecretStr | None,
) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.session import Session

    more = {"signature_version": UNSIGNED} if anonymous else {}
    return Session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=region or ("us-east-1" if endpoint else None),
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key.get_secret_value() if secret_key else None,
        aws_session_token=session_token.get_secret_value() if session_token else None,
        config=Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 3}, **more),
    )
