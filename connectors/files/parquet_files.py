"""Opening Parquet files, wherever they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.errors import SourceError
from connectors.files.paths import File, local_path
from connectors.object_store.faults import Asking
from connectors.object_store.reader import ObjectReader
from connectors.object_store.storage import Location

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_Value = TypeVar("_Value")

_OF_A_STORE = re.compile(r"AWS Error|curlCode|google::cloud|Azure")


def arrow_path(file: File) -> str:
    """Return what the file is called by the file system that `arrow_filesystem` gives."""
    return str(local_path(file.address)) if file.storage is None else Location.parse(file.address).path


def arrow_filesystem(file: File) -> FileSystem | None:
    """Return the object store that a file is in; None if it is in none. Raises as `StorageOptions.filesystem`."""
    return None if file.storage is None else file.storage.filesystem(Location.parse(file.address), SourceError)


@contextmanager
def opened(file: File) -> Iterator[pq.ParquetFile]:
    """Open a file, whose columns are then read as they are asked for.

    Raises:
        SourceError: it is no whole Parquet file, now or when it is read, or the store says no.
    """
    try:
        if file.storage is None:
            with pq.ParquetFile(local_path(file.address)) as parquet:
                yield parquet
        else:
            with ObjectReader(file.address, file.size, file.storage) as stream, pq.ParquetFile(stream) as parquet:
                yield parquet
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{file.address} cannot be read as Parquet: {error}") from error


def asked(file: File, shown: str, ask: Callable[[], _Value]) -> _Value:
    """Return what `ask` returns, which looks into files by Arrow's own file system.

    Args:
        file: the file that it looks into, or the first of them.
        shown: what a file that cannot be read is called.
        ask: is called again where an object store's fault may pass.

    Raises:
        SourceError: what it looks into is not Parquet, or the store says no.
    """

    def told() -> _Value:
        try:
            return ask()
        except (pa.ArrowException, OSError) as error:
            if file.storage is not None and _OF_A_STORE.search(str(error)):
                raise
            raise SourceError(f"{shown} cannot be read as Parquet: {error}") from error

    if file.storage is None:
        return told()
    return Asking(Location.parse(file.address), file.storage, SourceError).retried(told)
