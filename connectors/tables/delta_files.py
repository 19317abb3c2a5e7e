"""Which data files a version of a Delta table has, and which were added since another one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from connectors.columns import Layout
from connectors.errors import EmptySourceError, SourceError
from connectors.tables.delta_table import DeltaOptions
from connectors.tables.files import Known, may_hold

if TYPE_CHECKING:
    import deltalake


@dataclass(frozen=True)
class DeltaFile:
    """A data file of a table.

    Attributes:
        path: within the table, as on the disk.
        size: in bytes.
        values: of the columns that the table is partitioned by, which the file does not hold.
        deleted: the numbers, from 1, of the rows that its deletion vector deletes.
    """

    path: str
    size: int
    values: tuple[tuple[str, object], ...] = ()
    deleted: tuple[int, ...] = ()


@dataclass(frozen=True)
class DeltaCursor:
    """How far a table has been read.

    Attributes:
        table: the table's own id, which another one at the same place has not.
        version: up to which it was read.
    """

    table: str
    version: int

    @classmethod
    def parse(cls, text: str) -> DeltaCursor:
        """Return the cursor that `text` writes.

        Raises:
            SourceError: `text` is no such cursor.
        """
        try:
            said = json.loads(text)
            return cls(str(said["table"]), int(said["version"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{text[:80]!r} is not the cursor of a Delta table; reset the pipeline's state to read from the "
                "beginning"
            ) from error

    def text(self) -> str:
        """Return the cursor as it is kept."""
        return json.dumps({"table": self.table, "version": self.version})


def files_at(
    options: DeltaOptions,
    table: deltalake.DeltaTable,
    found: pa.Schema,
    layout: Layout,
    predicate: pc.Expression | None,
) -> list[DeltaFile]:
    """Return the files of the version.

    Raises:
        EmptySourceError: they hold no row.
    """
    adds = pa.table(table.get_add_actions(flatten=True)).sort_by("path").to_pylist()
    if not adds or all(add.get("num_records") == 0 for add in adds):
        raise EmptySourceError(f"the Delta table {options.path} holds no rows at version {table.version()}")
    features = table.protocol().reader_features or ()
    deleted = _deletion_vectors(table) if "deletionVectors" in features else {}
    partitioned = table.metadata().partition_columns
    chosen = may_hold(adds, lambda add: _known(add, found.names, partitioned), layout, predicate)
    files = []
    for add in chosen:
        path = _inside(options, add["path"])
        values = tuple((name, add[f"partition.{name}"]) for name in partitioned)
        files.append(DeltaFile(path, add["size_bytes"], values, deleted.get(path, ())))
    return files


def files_since(options: DeltaOptions, table: deltalake.DeltaTable, found: pa.Schema, since: str) -> list[DeltaFile]:
    """Return the files that were added after a cursor.

    Raises:
        SourceError: the cursor is of another table, its log does not reach back so far, or rows were changed.
    """
    cursor, upto = DeltaCursor.parse(since), table.version()
    if cursor.table != str(table.metadata().id) or cursor.version > upto:
        raise SourceError(
            f"the Delta table {options.path} (version {upto}) is not the one that was read up to version "
            f"{cursor.version}, or was set back since; run once with --full-refresh"
        )
    filesystem = options.filesystem(SourceError)
    files = []
    for version in range(cursor.version + 1, upto + 1):
        try:
            actions = list(options.actions(filesystem, version))
        except FileNotFoundError as error:
            raise SourceError(
                f"the log of the Delta table {options.path} no longer has version {version}, so what came after "
                f"version {cursor.version} cannot be told; run once with --full-refresh"
            ) from error
        changes = [(kind, fields) for kind, fields in actions if fields and fields.get("dataChange", False)]
        if any(kind == "remove" or fields.get("deletionVector") for kind, fields in changes):
            operation = next((one.get("operation") for kind, one in actions if kind == "commitInfo"), None)
            raise SourceError(
                f"version {version} of the Delta table {options.path} ({operation or 'of an unknown operation'}) "
                "changed or deleted rows that were there before, which reading on cannot tell; run once with "
                "--full-refresh"
            )
        files += [_added(options, fields, found) for kind, fields in changes if kind == "add"]
    return files


def _added(options: DeltaOptions, add: dict[str, Any], found: pa.Schema) -> DeltaFile:
    values = add.get("partitionValues") or {}
    typed = tuple((name, _typed(value, found.field(name).type)) for name, value in sorted(values.items()))
    return DeltaFile(_inside(options, add["path"]), add["size"], typed)


def _inside(options: DeltaOptions, path: str) -> str:
    """Return the path of a file within the table, which the log has as a URL."""
    if "://" in path or path.startswith("/"):
        raise SourceError(
            f"the Delta table {options.path} has the file {path} outside of it, as a shallow clone has; read the "
            "table that it was cloned from, or make a deep clone"
        )
    return unquote(path)


def _deletion_vectors(table: deltalake.DeltaTable) -> dict[str, tuple[int, ...]]:
    """Return, by the path of the file, the numbers of the rows that are deleted, of files that have such."""
    root = _without_scheme(table.table_uri)
    deleted = {}
    for batch in table.deletion_vectors():
        vectors = pa.record_batch(batch)
        for path, kept in zip(vectors.column("filepath"), vectors.column("selection_vector"), strict=True):
            inside = _without_scheme(path.as_py()).removeprefix(root).lstrip("/")
            deleted[inside] = tuple(index + 1 for index in pc.indices_nonzero(pc.invert(kept.values)).to_pylist())
    return deleted


def _without_scheme(uri: str) -> str:
    return unquote(uri.partition("://")[2] or uri).rstrip("/")


def _known(add: dict[str, Any], columns: Sequence[str], partitioned: Sequence[str]) -> Known:
    def by_column(what: str) -> dict[str, Any]:
        named = {name: add.get(f"{what}.{name}") for name in columns}
        return {name: value for name, value in named.items() if value is not None}

    constants = {name: add[f"partition.{name}"] for name in partitioned}
    return Known(constants, by_column("min"), by_column("max"), by_column("null_count"))


def _typed(value: str | None, kind: pa.DataType) -> object:
    """Return a partition's value, which the log has as text."""
    if value is None or value == "":
        return None
    if pa.types.is_timestamp(kind):
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return moment.replace(tzinfo=timezone.utc) if kind.tz and not moment.tzinfo else moment
    return pa.scalar(value).cast(kind).as_py()
