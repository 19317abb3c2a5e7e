"""A source and a sink that keep their contracts, and many that each break one rule, as their authors might."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import PrivateAttr

from connectors import BadRow, EmptySourceError, Partition, PartitionedSource, Plan, Receipt, Sink, SinkError

PASSWORD = "correct-horse"


class Shelf(PartitionedSource):
    """The lines of the text files in a directory; a line that begins with ``#`` is a bad row."""

    directory: str

    def read_schema(self) -> pa.Schema:
        return pa.schema([("row_id", pa.string()), ("text", pa.string()), ("size", pa.int64())])

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        files = sorted(path.name for path in Path(self.directory).glob("*.txt"))
        if not files:
            raise EmptySourceError(f"{self.directory} holds no *.txt files")
        yield Plan([Partition(name) for name in files if since is None or name > since], cursor=files[-1])

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        rows = []
        for number, line in enumerate(self.lines(partition), start=1):
            row_id = f"{partition.key}:{number}"
            if line.startswith("#"):
                yield BadRow("a_comment", "the line is a comment", partition.key, number, line, row_id)
            else:
                rows.append({"row_id": row_id, "text": line, "size": len(line)})
        yield pa.RecordBatch.from_pylist(rows, schema=self.read_schema())

    def lines(self, partition: Partition) -> list[str]:
        return (Path(self.directory) / partition.key).read_text(encoding="utf-8").splitlines()


class HoldsALock(Shelf):
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)


class ShowsItsPassword(Shelf):
    password: str = PASSWORD


class NamesPartitionsAnew(Shelf):
    @contextmanager
    def plan(self, **narrowed: object) -> Iterator[Plan]:
        with super().plan(**narrowed) as plan:  # type: ignore[arg-type]
            yield Plan([Partition(f"{one.key}?{uuid.uuid4().hex}") for one in plan.partitions], plan.cursor)

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        return super().read(Partition(partition.key.partition("?")[0]))


class SaysAnotherType(Shelf):
    def read_schema(self) -> pa.Schema:
        return pa.schema([("row_id", pa.string()), ("text", pa.string()), ("size", pa.int32())])

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        for item in super().read(partition):
            yield item if isinstance(item, BadRow) else item.cast(Shelf.read_schema(self))


class LetsNullsThrough(Shelf):
    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        for item in super().read(partition):
            if isinstance(item, pa.RecordBatch):
                texts = [text or None for text in item.column("text").to_pylist()]
                item = item.set_column(1, "text", pa.array(texts, pa.string()))
            yield item


class NumbersEachFileFromOne(Shelf):
    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        for item in super().read(partition):
            if isinstance(item, pa.RecordBatch):
                ids = [row_id.partition(":")[2] for row_id in item.column("row_id").to_pylist()]
                item = item.set_column(0, "row_id", pa.array(ids, pa.string()))
            yield item


class DropsBadRows(Shelf):
    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        return (item for item in super().read(partition) if not isinstance(item, BadRow))


class ReadsInAnotherOrderEachTime(Shelf):
    _reads: list[str] = PrivateAttr(default_factory=list)

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        turned = self._reads.count(partition.key) % 2
        self._reads.append(partition.key)
        for item in super().read(partition):
            yield item if isinstance(item, BadRow) or not turned else item.take(list(range(item.num_rows))[::-1])


class CountsOnFromPartitionToPartition(Shelf):
    _rows: list[int] = PrivateAttr(default_factory=lambda: [0])

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        if partition.key == "a.txt":
            self._rows[0] = 0
        for item in super().read(partition):
            if isinstance(item, pa.RecordBatch):
                ids = [str(self._rows[0] + number) for number in range(item.num_rows)]
                self._rows[0] += item.num_rows
                item = item.set_column(0, "row_id", pa.array(ids, pa.string()))
            yield item


class IgnoresTheCursor(Shelf):
    @contextmanager
    def plan(self, *, since: str | None = None, **narrowed: object) -> Iterator[Plan]:
        with super().plan(**narrowed) as plan:  # type: ignore[arg-type]
            yield plan


class PushesAPredicateTooFar(Shelf):
    _wanted: list[pc.Expression] = PrivateAttr(default_factory=list)

    @contextmanager
    def plan(self, *, predicate: pc.Expression | None = None, **narrowed: object) -> Iterator[Plan]:
        self._wanted[:] = [] if predicate is None else [predicate]
        with super().plan(**narrowed) as plan:  # type: ignore[arg-type]
            yield plan

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        for item in super().read(partition):
            if isinstance(item, pa.RecordBatch) and self._wanted:
                item = item.slice(0, item.num_rows - 1).filter(self._wanted[0])
            yield item


class LeavesTheTextOut(Shelf):
    _columns: list[str] = PrivateAttr(default_factory=list)

    @contextmanager
    def plan(self, *, columns: Sequence[str] | None = None, **narrowed: object) -> Iterator[Plan]:
        self._columns[:] = columns or []
        with super().plan(**narrowed) as plan:  # type: ignore[arg-type]
            yield plan

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        for item in super().read(partition):
            yield item.select(["row_id", "size"]) if isinstance(item, pa.RecordBatch) and self._columns else item


class GivesNoReason(Shelf):
    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        for item in super().read(partition):
            yield BadRow(item.rule, "", item.origin, 0, item.value, item.row_id) if isinstance(item, BadRow) else item


class Tray(Sink):
    """A directory: rows lie in ``staged`` until a commit moves the files that it names into ``shown``."""

    directory: str

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        self.clear(commit_id)
        self.staging(commit_id).mkdir(parents=True)
        self.shown.mkdir(parents=True, exist_ok=True)

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        rows = [row for batch in batches for row in self.rows(batch)]
        return self.stage(commit_id, partition, attempt, rows)

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        if (self.shown / f"{commit_id}.done").exists():
            return
        for receipt in receipts:
            for name in receipt.staged:
                staged = self.staging(commit_id) / name
                if not staged.exists():
                    raise SinkError(f"{staged} is not there")
                staged.rename(self.shown / f"{commit_id}-{name}")
        (self.shown / f"{commit_id}.done").touch()
        self.clear(commit_id)

    def abort(self, commit_id: str) -> None:
        self.clear(commit_id)

    def read_all(self) -> list[dict[str, object]]:
        return [row for path in sorted(self.shown.glob("*.json")) for row in json.loads(path.read_text("utf-8"))]

    @property
    def shown(self) -> Path:
        return Path(self.directory) / "shown"

    def staging(self, commit_id: str) -> Path:
        return Path(self.directory) / "staged" / commit_id

    def is_committed(self, commit_id: str) -> bool:
        return (self.shown / f"{commit_id}.done").exists()

    def clear(self, commit_id: str) -> None:
        shutil.rmtree(self.staging(commit_id), ignore_errors=True)

    def rows(self, batch: pa.RecordBatch) -> list[dict[str, object]]:
        found: list[dict[str, object]] = batch.to_pylist()
        return found

    def stage(self, commit_id: str, partition: int, attempt: int, rows: list[dict[str, object]]) -> Receipt:
        path = self.staging(commit_id) / f"{partition}-{attempt}.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        return Receipt(partition, attempt, len(rows), path.stat().st_size, (path.name,))


class ReadsWhatItHasPlanned(Shelf):
    """Remembers its files in the class, which is another one in another process."""

    planned: ClassVar[set[str]] = set()

    @contextmanager
    def plan(self, **narrowed: object) -> Iterator[Plan]:
        with super().plan(**narrowed) as plan:  # type: ignore[arg-type]
            self.planned.update(one.key for one in plan.partitions)
            yield plan

    def lines(self, partition: Partition) -> list[str]:
        return super().lines(partition) if partition.key in self.planned else []


class TrayWithALock(Tray):
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)


class TrayThatShowsItsPassword(Tray):
    password: str = PASSWORD


class SpoilsText(Tray):
    def rows(self, batch: pa.RecordBatch) -> list[dict[str, object]]:
        return [{**row, "text": str(row["text"]).encode("ascii", "ignore").decode()} for row in super().rows(batch)]


class ShowsTooEarly(Tray):
    def read_all(self) -> list[dict[str, object]]:
        staged = (Path(self.directory) / "staged").glob("*/*.json")
        return super().read_all() + [row for path in staged for row in json.loads(path.read_text("utf-8"))]


class KeepsHalfAWrite(Tray):
    """Stages as it goes, and publishes what lies there of partitions that have no receipt."""

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        rows: list[dict[str, object]] = []
        receipt = self.stage(commit_id, partition, attempt, rows)
        for batch in batches:
            rows += self.rows(batch)
            receipt = self.stage(commit_id, partition, attempt, rows)
        return receipt

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        named = {str(receipt.partition) for receipt in receipts}
        left = [
            Receipt(int(path.name.partition("-")[0]), 0, 0, 0, (path.name,))
            for path in self.staging(commit_id).glob("*.json")
            if path.name.partition("-")[0] not in named
        ]
        super().commit(commit_id, [*receipts, *left], cursor)


class PublishesEveryAttempt(Tray):
    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        wanted = {receipt.partition for receipt in receipts}
        names = [path.name for path in self.staging(commit_id).glob("*.json")]
        every = [Receipt(0, 0, 0, 0, (name,)) for name in names if int(name.partition("-")[0]) in wanted]
        super().commit(commit_id, every or receipts, cursor)


class CommitsTwice(Tray):
    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        if not (self.shown / f"{commit_id}.done").exists():
            return super().commit(commit_id, receipts, cursor)
        for path in self.shown.glob(f"{commit_id}-*.json"):
            shutil.copy(path, path.with_name(f"again-{path.name}"))
        return None


class ForgetsItsCommits(Tray):
    def is_committed(self, commit_id: str) -> bool:
        return self.staging(commit_id).exists()


class RefusesBeforehandWhatItWouldTake(Tray):
    def check(self) -> None:
        if list(self.shown.glob("*.json")):
            raise SinkError(f"{self.shown} holds rows")


class AbortClearsNothing(Tray):
    def abort(self, commit_id: str) -> None:
        return None


class AbortUndoesACommit(Tray):
    def abort(self, commit_id: str) -> None:
        super().abort(commit_id)
        for path in self.shown.glob(f"{commit_id}*"):
            path.unlink()


class BeginsWhereItStopped(Tray):
    """Takes what an earlier try at the commit has staged for done."""

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        self.staging(commit_id).mkdir(parents=True, exist_ok=True)
        self.shown.mkdir(parents=True, exist_ok=True)

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        path = self.staging(commit_id) / f"{partition}-{attempt}.json"
        if path.exists():
            return Receipt(partition, attempt, len(json.loads(path.read_text("utf-8"))), 0, (path.name,))
        return super().write(commit_id, partition, attempt, batches)


class WritesWhatItHasBegun(Tray):
    """Remembers its commits in the class, which is another one in another process."""

    begun: ClassVar[set[str]] = set()

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        self.begun.add(commit_id)
        super().begin(commit_id, schema)

    def rows(self, batch: pa.RecordBatch) -> list[dict[str, object]]:
        return super().rows(batch) if self.begun else []
