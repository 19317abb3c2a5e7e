"""Reaching a Lance table: how it is opened, which types its columns are read as, and what its library's errors mean."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from connectors.arrow_types import change_leaves
from connectors.errors import ConnectorError, SourceNotFoundError
from connectors.files.paths import PACKAGE, PathOption, local_path
from connectors.object_store.store_options import StoreOptions, resolved, told

if TYPE_CHECKING:
    import lance

_BFLOAT16 = "lance.bfloat16"
_BLOB = "lance.blob.v2"
_RUST = re.compile(r"(, /\S+\.rs:\d+:\d+)+$")


class LanceOptions(BaseModel):
    """The options by which a Lance table is reached.

    Attributes:
        path: the table's directory, or its URL: ``s3://bucket/table.lance``, ``gs://…``, ``az://…``.
        storage_options: what the storage wants to know, by the names that Lance has for it (``aws_region``,
            ``aws_secret_access_key``, …); keys and tokens as references: ``${env:NAME}`` or ``${file:PATH}``.
    """

    path: PathOption
    storage_options: StoreOptions = ()

    def open_table(self, failure: type[ConnectorError], version: int | str | None = None) -> lance.LanceDataset:
        """Return the table at a version, by its number or its tag, or as it is now.

        Raises:
            SourceNotFoundError: there is none, and `failure` is of a source.
            ConnectorError: an error of kind `failure`: it cannot be opened, or has no such version.
        """
        table = self.find_table(failure)
        if table is None:
            kind = SourceNotFoundError if issubclass(SourceNotFoundError, failure) else failure
            raise kind(
                f"there is no Lance table at {self.path}: it has no version, or that cannot be seen from here; check "
                "the path, and the storage_options where it is in a store"
            )
        if version is None or version == table.version:
            return table
        with self.faults(failure, f": there is no version {version!r} of it any more, or there was none"):
            return table.checkout_version(version)

    def find_table(self, failure: type[ConnectorError]) -> lance.LanceDataset | None:
        """Return the table as it is now, if there is one.

        Raises:
            ConnectorError: an error of kind `failure`: the storage cannot be asked, or the table is damaged.
        """
        library = self.library(failure)
        with self.faults(failure):
            try:
                table: lance.LanceDataset = library.dataset(self.address(), storage_options=self.resolved_options())
                return table
            except ValueError as error:
                if "was not found" not in str(error):
                    raise
                return None

    def address(self) -> str:
        """Return the path or the URL as the library takes it."""
        return str(local_path(self.path)) if self.path.startswith(PACKAGE) else self.path

    def resolved_options(self) -> dict[str, str] | None:
        """Return the storage options as the library takes them, with the secrets' values."""
        return resolved(self.storage_options) or None

    @contextmanager
    def faults(self, failure: type[ConnectorError], what: str = "") -> Iterator[None]:
        """Turn the library's errors into `failure`, with the table's place and no secret."""
        try:
            yield
        except ConnectorError:
            raise
        # The library raises errors of Python, Arrow and the system, and where a file is garbled, its own panic.
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            said = _RUST.sub("", told(error, self.storage_options))
            cure = next((cure for sign, cure in _CURES if sign in said), "")
            message = f"the Lance table {self.path}{what}: {said}" + (f"; {cure}" if cure else "")
            # Not chained, as the library's own error may hold a secret.
            raise failure(message) from None

    def library(self, failure: type[ConnectorError]) -> Any:
        """Return Lance's library.

        Raises:
            ConnectorError: an error of kind `failure`: it is not installed.
        """
        try:
            import lance
            import lance.file
            import lance.fragment
        except ImportError as error:
            raise failure(f"pylance is missing ({error}); pip install 'headrace[lance]'") from error
        # It warns of every fork, and Ray and Spark are started by one with an exec behind it, which does no harm.
        warnings.filterwarnings("ignore", "lance is not fork-safe", UserWarning)
        return lance


_CURES = (
    ("Not found:", "it was cleaned up, or deleted by hand; read another version, or restore the file"),
    ("range end index", "a file of the table is damaged; restore it"),
    ("Generic memory error: Invalid range", "a file of the table is cut short; restore it"),
    ("does not have sufficient data", "a file of the table is cut short; restore it"),
    ("file size is too small", "a file of the table is cut short; restore it"),
    ("does not appear to be a Lance file", "restore the file"),
    ("failed to decode Protobuf", "a file of the table is damaged; restore it"),
    ("onflict", "another writer has changed the table meanwhile; run again"),
    ("AccessDenied", "check the keys in 'storage_options', and what they permit"),
    ("403 Forbidden", "check the keys in 'storage_options', and what they permit"),
    ("InvalidAccessKeyId", "check the keys in 'storage_options'"),
    ("SignatureDoesNotMatch", "check the keys in 'storage_options'"),
    ("Permission denied", "have the owner grant what is lacking"),
    ("error sending request", "check the endpoint and the network"),
    ("Top level field", "rename the column"),
)


def table_schema(table: lance.LanceDataset) -> pa.Schema:
    """Return the table's columns as they are read: Lance's own types by what they hold, blobs as their bytes."""
    fields = []
    for field in table.schema:
        blob = (field.metadata or {}).get(b"lance-encoding:blob") == b"true" or _extension(field.type) == _BLOB
        fields.append(pa.field(field.name, pa.binary() if blob else change_leaves(field.type, _held)))
    return pa.schema(fields)


def held(column: pa.Array) -> pa.Array:
    """Return a column that was read, of one of Lance's own types or of another one, as `table_schema` has it."""
    if _extension(column.type) == _BFLOAT16:
        # The upper half of a float32.
        halves = np.frombuffer(column.storage.buffers()[1], "<u2")[column.offset : column.offset + len(column)]
        return pa.array((halves.astype("<u4") << 16).view("<f4"), mask=column.is_null().to_numpy(zero_copy_only=False))
    return column.storage if _extension(column.type) else column


def _held(kind: pa.DataType) -> pa.DataType:
    if not _extension(kind):
        return kind
    return pa.float32() if _extension(kind) == _BFLOAT16 else change_leaves(kind.storage_type, _held)


def _extension(kind: pa.DataType) -> str:
    """Return the name of an extension type; of another one, nothing."""
    return str(kind.extension_name) if isinstance(kind, pa.BaseExtensionType) else ""
