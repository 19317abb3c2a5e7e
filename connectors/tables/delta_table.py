"""Reaching a Delta table: how it is opened, what its log says, and what the library's errors mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel

from connectors.arrow_types import change_leaves, plain_type
from connectors.errors import ConnectorError, SourceNotFoundError
from connectors.files.paths import PACKAGE, PathOption, local_path
from connectors.object_store.store_options import StoreOptions, resolved, told

if TYPE_CHECKING:
    import deltalake
    from pyarrow.fs import FileSystem

_LOG = "_delta_log"


class DeltaOptions(BaseModel):
    """The options by which a Delta table is reached.

    Attributes:
        path: the table's directory, or its URL: ``s3://bucket/table``, ``gs://…``, ``abfss://…``.
        storage_options: what the storage wants to know, by the names that delta-rs has for it (``aws_region``,
            ``aws_secret_access_key``, …); keys and tokens as references: ``${env:NAME}`` or ``${file:PATH}``.
    """

    path: PathOption
    storage_options: StoreOptions = ()

    def open_table(self, failure: type[ConnectorError], version: int | None = None) -> deltalake.DeltaTable:
        """Return the table at a version, or as it is now.

        Raises:
            SourceNotFoundError: there is none, and `failure` is of a source.
            ConnectorError: an error of kind `failure`: it cannot be opened.
        """
        library = self.library(failure)
        with self.faults(failure):
            try:
                table: deltalake.DeltaTable = library.DeltaTable(
                    self.address(), version=version, storage_options=self.resolved_options()
                )
                return table
            except library.exceptions.TableNotFoundError:
                raise self._not_there(failure) from None

    def has_table(self, failure: type[ConnectorError]) -> bool:
        """Tell whether there is a table.

        Raises:
            ConnectorError: an error of kind `failure`: the storage cannot be asked.
        """
        library = self.library(failure)
        with self.faults(failure):
            return bool(library.DeltaTable.is_deltatable(self.address(), self.resolved_options()))

    def filesystem(self, failure: type[ConnectorError]) -> FileSystem:
        """Return the table's directory as a file system whose root it is."""
        self.library(failure)
        from deltalake.fs import DeltaStorageHandler
        from pyarrow.fs import PyFileSystem

        class Handler(DeltaStorageHandler):
            def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.PythonFile:
                return pa.PythonFile(_Output(self._handler.open_output_stream(path, metadata)), "w")

        with self.faults(failure):
            return PyFileSystem(Handler(self.address(), self.resolved_options()))

    def actions(self, filesystem: FileSystem, version: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what a version did, as the names and the fields of its actions.

        Raises:
            FileNotFoundError: the log no longer has the version.
        """
        with filesystem.open_input_file(f"{_LOG}/{version:020d}.json") as stream:
            for line in stream.read().splitlines():
                if line.strip():
                    yield from json.loads(line).items()

    def address(self) -> str:
        """Return the path or the URL as the library takes it."""
        return str(local_path(self.path)) if self.path.startswith(PACKAGE) else self.path

    @contextmanager
    def faults(self, failure: type[ConnectorError], what: str = "") -> Iterator[None]:
        """Turn the library's errors into `failure`, with the table's place and no secret."""
        try:
            yield
        except ConnectorError:
            raise
        # The library raises its own errors, those of Arrow and of the system, and bare exceptions.
        except Exception as error:
            said = told(error, self.storage_options)
            cure = next((cure for sign, cure in _CURES if sign in said), "")
            message = f"the Delta table {self.path}{what}: {said}" + (f"; {cure}" if cure else "")
            # Not chained, as the library's own error may hold a secret.
            raise failure(message) from None

    def resolved_options(self) -> dict[str, str] | None:
        """Return the storage options as the library takes them, with the secrets' values."""
        return resolved(self.storage_options) or None

    def _not_there(self, failure: type[ConnectorError]) -> ConnectorError:
        kind = SourceNotFoundError if issubclass(SourceNotFoundError, failure) else failure
        return kind(
            f"there is no Delta table at {self.path}: it has no {_LOG}, or that cannot be seen from here; check the "
            "path, and the storage_options where it is in a store"
        )

    def library(self, failure: type[ConnectorError]) -> Any:
        """Return deltalake.

        Raises:
            ConnectorError: an error of kind `failure`: it is not installed.
        """
        try:
            import deltalake
            import deltalake.exceptions
        except ImportError as error:
            raise failure(f"deltalake is missing ({error}); pip install 'headrace[delta]'") from error
        return deltalake


class _Output:
    """A stream that is written to; the library's own takes bytes only, and pyarrow writes buffers too."""

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.flush, self.tell = stream.flush, stream.tell

    def write(self, data: object) -> int:
        return int(self._stream.write(data if isinstance(data, bytes) else memoryview(data).tobytes()))  # type: ignore[arg-type]

    def close(self) -> None:
        self._stream.close()
        self.closed = True


_CURES = (
    ("is not supported", "upgrade deltalake, or have the table's owner drop that feature"),
    ("not the same as the specified end version", "the table has no such version; see its history"),
    ("Access Denied", "check the keys in 'storage_options', and what they permit"),
    ("403 Forbidden", "check the keys in 'storage_options', and what they permit"),
    ("InvalidAccessKeyId", "check the keys in 'storage_options'"),
    ("SignatureDoesNotMatch", "check the keys in 'storage_options'"),
    ("Permission denied", "have the owner grant what is lacking"),
    ("error sending request", "check the endpoint and the network"),
    ("Concurrent", "another writer has changed the table meanwhile; run again"),
    ("failed validation check", "the table's constraints forbid them; mend the rows"),
    ("Invalid data type for Delta Lake", "convert the column, or leave it out"),
)


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the columns with the types in which they are stored: Spark's, and times in UTC."""
    return pa.schema(
        [pa.field(one.name, change_leaves(plain_type(one.type), _in_utc, nullable=True)) for one in schema]
    )


def table_schema(table: deltalake.DeltaTable) -> pa.Schema:
    """Return the table's columns in Arrow's types."""
    return pa.schema(table.schema().to_arrow())


def _in_utc(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp("us", "UTC") if pa.types.is_timestamp(kind) and kind.tz is not None else kind
