"""What every source and every sink must do, as tests to inherit.

A connector's author subclasses the contract and gives one fixture::

    class TestReviewStore(SourceContract):
        @pytest.fixture
        def source(self, tmp_path):
            return ReviewStore(url=serve_reviews(tmp_path))

The tests that run in Spark are marked ``spark`` and want a fixture named ``spark``, a SparkSession whose
Python workers can import the connector's module.
"""

# The tests are named for what they hold a connector to, which is all that their docstrings could say.
# ruff: noqa: D102

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pickle import dumps, loads
from typing import Any, ClassVar, TypeAlias

import pyarrow as pa
import pytest

from connectors.errors import BadRowError, SinkError
from connectors.sink import Receipt, Sink
from connectors.source import LABEL, ROW_ID, TEXT, BadRow, Partition, PartitionedSource

Item: TypeAlias = pa.RecordBatch | BadRow
Scan = Callable[[PartitionedSource, Sequence[Partition]], list[Item]]
Write = Callable[[Sink, str, Sequence[Sequence[pa.RecordBatch]]], list[Receipt]]

_ENGINES = ["plain", pytest.param("spark", marks=pytest.mark.spark)]


class SourceContract:
    """The tests of a `PartitionedSource`; the subclass gives the fixture ``source``, with some rows behind it.

    Attributes:
        secret_values: what the source's secrets resolve to, none of which it may show.
    """

    secret_values: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def source(self) -> PartitionedSource:
        """Return the source under test, with at least one good row to read; must be overridden."""
        raise AssertionError(f"{type(self).__name__} must override the fixture 'source'")

    @pytest.fixture(params=_ENGINES)
    def scan(self, request: pytest.FixtureRequest) -> Scan:
        """Return the way to scan partitions: in this process, or in Spark's workers."""
        if request.param == "plain":
            return _scan_here
        spark = request.getfixturevalue("spark")
        return lambda source, partitions: _scan_in_spark(spark, source, partitions)

    def test_pickles_and_stays_equal(self, source: PartitionedSource) -> None:
        assert loads(dumps(source)) == source

    def test_shows_no_secret(self, source: PartitionedSource) -> None:
        shown = f"{source!r} {source} {source.model_dump_json()}"
        assert not [value for value in self.secret_values if value in shown]

    def test_plans_the_same_disjoint_partitions_each_time(self, source: PartitionedSource) -> None:
        first, second = _partitions(source), _partitions(source)
        keys = [partition.key for partition in first]
        assert keys
        assert len(set(keys)) == len(keys)
        assert keys == [partition.key for partition in second]

    def test_every_batch_has_the_schema_it_says(self, source: PartitionedSource, scan: Scan) -> None:
        schema = source.row_schema()
        assert {ROW_ID, TEXT} <= set(schema.names)
        assert schema.field(TEXT).type == pa.string()
        if LABEL in schema.names:
            assert schema.field(LABEL).type in (pa.string(), pa.list_(pa.string()))
        batches = _good(scan(source, _partitions(source)))
        assert batches
        assert all(batch.schema.equals(schema) for batch in batches)

    def test_every_row_has_a_text_and_an_id_of_its_own(self, source: PartitionedSource, scan: Scan) -> None:
        items = scan(source, _partitions(source))
        ids = _ids(items)
        assert None not in ids
        assert [row_id for row_id, count in Counter(ids).items() if count > 1] == []
        assert all(batch.column(TEXT).null_count == 0 for batch in _good(items))

    def test_reading_again_gives_the_same_rows_good_and_bad(self, source: PartitionedSource, scan: Scan) -> None:
        first, second = scan(source, _partitions(source)), scan(source, _partitions(source))
        assert _rows(first) == _rows(second)
        assert _bad(first) == _bad(second)

    def test_a_partition_read_alone_gives_the_rows_it_gives_among_others(self, source: PartitionedSource) -> None:
        together = _ids(_scan_here(source, _partitions(source)))
        apart = [row_id for partition in _partitions(source) for row_id in _ids(_scan_here(source, [partition]))]
        assert Counter(apart) == Counter(together)

    def test_bad_rows_say_what_is_wrong_and_where_or_fail(self, source: PartitionedSource, scan: Scan) -> None:
        bad = _bad(scan(source, _partitions(source)))
        assert all(row.rule.isidentifier() and row.reason and row.origin and row.position > 0 for row in bad)
        strict = source.model_copy(update={"on_bad_rows": "fail"})
        if bad:
            with pytest.raises(BadRowError, match=bad[0].rule):
                _scan_here(strict, _partitions(strict))
        else:
            assert _rows(_scan_here(strict, _partitions(strict)))


class SinkContract:
    """The tests of a `Sink`; the subclass gives the fixture ``sink``, an empty target, and `read_back`.

    Attributes:
        secret_values: what the sink's secrets resolve to, none of which it may show.
        schema: the columns that are written.
    """

    secret_values: ClassVar[tuple[str, ...]] = ()
    schema: ClassVar[pa.Schema] = pa.schema([(ROW_ID, pa.string()), (TEXT, pa.string()), (LABEL, pa.string())])

    @pytest.fixture
    def sink(self) -> Sink:
        """Return the sink under test, over a target that is empty; must be overridden."""
        raise AssertionError(f"{type(self).__name__} must override the fixture 'sink'")

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        """Return the rows that a reader of the target sees, in any order; must be overridden."""
        raise AssertionError(f"{type(self).__name__} must override 'read_back'")

    @pytest.fixture(params=_ENGINES)
    def write(self, request: pytest.FixtureRequest) -> Write:
        """Return the way to write partitions: in this process, or in Spark's workers."""
        if request.param == "plain":
            return _write_here
        spark = request.getfixturevalue("spark")
        return lambda sink, commit_id, partitions: _write_in_spark(spark, sink, commit_id, partitions)

    def rows(self, *numbers: int) -> list[pa.RecordBatch]:
        """Return a partition's rows: one batch, with texts that hold what formats stumble over."""
        texts = [f'{number}, "quoted"\nnew line \\ 泉 {{}}' for number in numbers]
        columns = [[f"row:{number}" for number in numbers], texts, [f"label {number % 2}" for number in numbers]]
        return [pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=self.schema)]

    def seen(self, sink: Sink) -> list[str]:
        """Return the ids of the rows that a reader sees, sorted."""
        return sorted(str(row[ROW_ID]) for row in self.read_back(sink))

    def test_pickles_and_stays_equal(self, sink: Sink) -> None:
        assert loads(dumps(sink)) == sink

    def test_shows_no_secret(self, sink: Sink) -> None:
        shown = f"{sink!r} {sink} {sink.model_dump_json()}"
        assert not [value for value in self.secret_values if value in shown]

    def test_publishes_what_was_written(self, sink: Sink, write: Write) -> None:
        partitions = [self.rows(1, 2, 3), [], self.rows(4, 5)]
        sink.begin("one", self.schema)
        receipts = write(sink, "one", partitions)
        sink.commit("one", receipts)
        expected = [row for partition in partitions for batch in partition for row in batch.to_pylist()]
        assert sum(receipt.rows for receipt in receipts) == len(expected)
        assert sorted(self.read_back(sink), key=lambda row: str(row[ROW_ID])) == expected

    def test_shows_nothing_before_the_commit(self, sink: Sink, write: Write) -> None:
        sink.begin("one", self.schema)
        write(sink, "one", [self.rows(1)])
        assert self.seen(sink) == []

    def test_a_failed_write_leaves_nothing_to_see(self, sink: Sink) -> None:
        sink.begin("one", self.schema)
        receipt = sink.write("one", 0, 0, self.rows(1))
        with pytest.raises(_BrokenOffError):
            sink.write("one", 1, 0, _broken_off(self.rows(2)))
        assert self.seen(sink) == []
        sink.commit("one", [receipt])
        assert self.seen(sink) == ["row:1"]

    def test_publishes_one_attempt_of_several(self, sink: Sink) -> None:
        sink.begin("one", self.schema)
        sink.write("one", 0, 0, self.rows(1, 2))
        chosen = sink.write("one", 0, 1, self.rows(1, 2))
        sink.write("one", 0, 2, self.rows(1))
        sink.commit("one", [chosen])
        assert self.seen(sink) == ["row:1", "row:2"]

    def test_committing_again_changes_nothing(self, sink: Sink, write: Write) -> None:
        sink.begin("one", self.schema)
        receipts = write(sink, "one", [self.rows(1, 2), self.rows(3)])
        sink.commit("one", receipts, "cursor")
        sink.commit("one", receipts, "cursor")
        assert self.seen(sink) == ["row:1", "row:2", "row:3"]

    def test_abort_clears_what_was_staged_and_may_be_repeated(self, sink: Sink, write: Write) -> None:
        sink.abort("one")
        sink.begin("one", self.schema)
        receipts = write(sink, "one", [self.rows(1)])
        sink.abort("one")
        sink.abort("one")
        with pytest.raises(SinkError):
            sink.commit("one", receipts)
        assert self.seen(sink) == []

    def test_abort_does_not_undo_a_commit(self, sink: Sink, write: Write) -> None:
        sink.begin("one", self.schema)
        sink.commit("one", write(sink, "one", [self.rows(1)]))
        sink.abort("one")
        assert self.seen(sink) == ["row:1"]

    def test_starts_afresh_after_a_try_that_was_cut_short(self, sink: Sink) -> None:
        sink.begin("one", self.schema)
        sink.write("one", 0, 0, self.rows(1, 2))
        sink.begin("one", self.schema)
        sink.commit("one", [sink.write("one", 0, 0, self.rows(3))])
        assert self.seen(sink) == ["row:3"]


class _BrokenOffError(Exception):
    """Stands for whatever may end the stream of batches that a sink is given."""


def _broken_off(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches
    raise _BrokenOffError


def _partitions(source: PartitionedSource) -> list[Partition]:
    with source.plan() as plan:
        return list(plan.partitions)


def _good(items: Iterable[Item]) -> list[pa.RecordBatch]:
    return [item for item in items if not isinstance(item, BadRow)]


def _bad(items: Iterable[Item]) -> list[BadRow]:
    return [item for item in items if isinstance(item, BadRow)]


def _rows(items: Iterable[Item]) -> list[dict[str, object]]:
    return [row for batch in _good(items) for row in batch.to_pylist()]


def _ids(items: Iterable[Item]) -> list[object]:
    return [row[ROW_ID] for row in _rows(items)] + [row.row_id for row in _bad(items)]


def _scan_here(source: PartitionedSource, partitions: Sequence[Partition]) -> list[Item]:
    return [item for partition in partitions for item in source.scan(partition)]


def _scan_in_spark(spark: Any, source: PartitionedSource, partitions: Sequence[Partition]) -> list[Item]:
    from connectors.spark import partitions_frame, read_partitions

    def scan(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for item in read_partitions(source, batches):
            yield _wrapped(item)

    frame = partitions_frame(spark, partitions)
    assert frame.rdd.getNumPartitions() == len(partitions)
    return _unwrapped(frame.mapInArrow(scan, "item binary").collect())


def _write_here(sink: Sink, commit_id: str, partitions: Sequence[Sequence[pa.RecordBatch]]) -> list[Receipt]:
    return [sink.write(commit_id, number, 0, batches) for number, batches in enumerate(partitions)]


def _write_in_spark(
    spark: Any, sink: Sink, commit_id: str, partitions: Sequence[Sequence[pa.RecordBatch]]
) -> list[Receipt]:
    def write(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        for number in [row for batch in numbers for row in batch.column(0).to_pylist()]:
            yield _wrapped(sink.write(commit_id, number, context.attemptNumber(), partitions[number]))

    frame = spark.range(0, len(partitions), 1, len(partitions))
    return _unwrapped(frame.mapInArrow(write, "item binary").collect())


def _wrapped(item: object) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([dumps(item)], pa.binary())], names=["item"])


def _unwrapped(rows: Iterable[Any]) -> list[Any]:
    return [loads(row.item) for row in rows]
