"""A source of the rows of a Lance table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from connectors.columns import ColumnNames, Layout
from connectors.errors import EmptySourceError, SourceError
from connectors.source import BATCH_BYTES, BadRow, Partition, PartitionedSource, Plan
from connectors.tables.files import grouped
from connectors.tables.lance_table import LanceOptions, held, table_schema

if TYPE_CHECKING:
    import lance

_ADDRESS = "_rowaddr"
_MAX_BATCH_ROWS = 65_536
_BATCHES_AHEAD = 2
_UNKNOWN_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class LancePartition(Partition):
    """Fragments that one task reads.

    Attributes:
        version: the table's version in which they are read.
        fragments: their numbers, in order.
        wanted: the columns of the rows to read; None reads all.
    """

    version: int
    fragments: tuple[int, ...]
    wanted: tuple[str, ...] | None


class LanceTable(LanceOptions, PartitionedSource):
    """The rows of a Lance table at one version, which a plan holds on to, so that all partitions see the same table.

    ``row_id`` is `id_column`, else the fragment and the row's number in it, from 1; it stays with the row until the
    fragment is rewritten, also where rows before it are deleted. A version can be read until it is cleaned up. Types
    that only Lance has are read by what they hold: a blob's bytes, the text of JSON, a bfloat16 as a float.

    The cursor is the version, and reading on gives the rows of the fragments that were added after it, so that none
    comes late, whatever times the rows hold. Compaction adds none, and a history in which rows were changed or deleted
    is refused, as it takes a full refresh; so does one whose versions were cleaned up.

    Attributes:
        version: the version to read, by its number or its tag; None is the latest.
        text_column: the column that becomes ``text``.
        label_column: the column that becomes ``label``, and must not be null; None takes one named ``label``, if
            there is one, as it is. A list column makes the rows multi-label.
        id_column: a key column that becomes ``row_id``.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path",)

    version: Annotated[int, Field(ge=1)] | str | None = None
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None

    def read_schema(self) -> pa.Schema:
        """Return the table's columns; see `PartitionedSource.read_schema`."""
        return self._layout(self.open_table(SourceError, self.version)).schema

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        """Yield groups of fragments; see `PartitionedSource.plan`."""
        table = self.open_table(SourceError, self.version)
        self._layout(table)
        with self.faults(SourceError):
            added = _added(self, table, since) if since is not None else {table.version: _fragments(table)}
            if since is None and not table.count_rows():
                raise EmptySourceError(f"the Lance table {self.path} holds no rows at version {table.version}")
            cursor = _Cursor(table.version, _transaction(table, table.version))
        wanted = None if columns is None else tuple(columns)
        parts = [
            LancePartition(str(group[0][0]), version, tuple(number for number, _ in group), wanted)
            for version, fragments in added.items()
            for group in grouped([(number, _size(said)) for number, said in fragments.items()], lambda one: one[1])
        ]
        yield Plan(tuple(parts), cursor.text())

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a partition's fragments, in their order, without those that are deleted."""
        assert isinstance(partition, LancePartition)
        table = self.open_table(SourceError, partition.version)
        layout = self._layout(table).narrowed(partition.wanted)
        for number in partition.fragments:
            origin = f"{self.path}, fragment {number}"
            for batch in self._batches(table, number, layout.sources):
                places = pc.bit_wise_and(batch.column(_ADDRESS), pa.scalar(0xFFFFFFFF, pa.uint64()))
                positions = pc.add(places.cast(pa.int64()), 1)
                yield from layout.rows(batch.drop_columns([_ADDRESS]), positions, origin=origin, name=str(number))

    def _batches(self, table: lance.LanceDataset, number: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield a fragment's rows as batches of `columns`, and where they are in the table."""
        with self.faults(SourceError, f", version {table.version}, fragment {number}"):
            fragment = table.get_fragment(number)
            assert fragment is not None
            scanner = table.scanner(
                columns=list(columns),
                fragments=[fragment],
                with_row_address=True,
                blob_handling="all_binary",
                batch_size=_MAX_BATCH_ROWS,
                batch_size_bytes=BATCH_BYTES,
                batch_readahead=_BATCHES_AHEAD,
            )
            for batch in scanner.to_batches():
                if batch.num_rows:
                    yield pa.RecordBatch.from_arrays([held(one) for one in batch.columns], names=batch.schema.names)

    def _layout(self, table: lance.LanceDataset) -> Layout:
        names = ColumnNames(self.text_column, self.label_column, self.id_column)
        return names.over(table_schema(table), f"the Lance table {self.path}")


@dataclass(frozen=True)
class _Cursor:
    """How far a table has been read: up to a version, which the transaction tells from another table's."""

    version: int
    transaction: str

    @classmethod
    def parse(cls, text: str) -> _Cursor:
        try:
            said = json.loads(text)
            return cls(int(said["version"]), str(said["transaction"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{text[:80]!r} is not the cursor of a Lance table; reset the pipeline's state to read from the "
                "beginning"
            ) from error

    def text(self) -> str:
        return json.dumps({"version": self.version, "transaction": self.transaction})


def _added(options: LanceOptions, table: lance.LanceDataset, since: str) -> dict[int, dict[int, str]]:
    """Return the fragments that each version after a cursor added.

    Each is to be read in that version, as compaction may have put its rows among others since.

    Raises:
        SourceError: the cursor is of another table, its history does not reach back so far, or rows were changed.
    """
    import lance

    cursor = _Cursor.parse(since)
    there = {said["version"] for said in table.versions()}
    lost = [version for version in range(cursor.version, table.version) if version not in there]
    if lost:
        raise SourceError(
            f"the Lance table {options.path} no longer has version {lost[0]}, so what came after version "
            f"{cursor.version} cannot be told; run once with --full-refresh"
        )
    if cursor.version > table.version or _transaction(table, cursor.version) != cursor.transaction:
        raise SourceError(
            f"the Lance table {options.path} (version {table.version}) is not the one that was read up to version "
            f"{cursor.version}; run once with --full-refresh"
        )
    before = _fragments(table.checkout_version(cursor.version))
    added = {}
    for version in range(cursor.version + 1, table.version + 1):
        now = _fragments(table.checkout_version(version))
        did = table.read_transaction(version)
        if did is None or not isinstance(did.operation, lance.LanceOperation.Rewrite):
            if not before.items() <= now.items():
                name = type(did.operation).__name__ if did is not None else "of an unknown operation"
                raise SourceError(
                    f"version {version} of the Lance table {options.path} ({name}) changed or deleted rows that were "
                    "there before, which reading on cannot tell; run once with --full-refresh"
                )
            added[version] = {number: said for number, said in now.items() if number not in before}
        before = now
    return added


def _fragments(table: lance.LanceDataset) -> dict[int, str]:
    """Return what a version says of each of its fragments, by their numbers: its files, and which rows are deleted."""
    return {one.fragment_id: json.dumps(one.metadata.to_json()) for one in table.get_fragments()}


def _size(said: str) -> int:
    """Return the bytes of a fragment's files; versions by old writers do not say, and count as large ones."""
    return sum(file["file_size_bytes"] or _UNKNOWN_BYTES for file in json.loads(said)["files"])


def _transaction(table: lance.LanceDataset, version: int) -> str:
    did = table.read_transaction(version)
    return did.uuid if did is not None else ""
