"""What every source and every sink must do, as tests to inherit.

A connector's author subclasses the contract and gives one fixture::

    class TestReviewStore(SourceContract):
        @pytest.fixture
        def source(self, tmp_path):
            return ReviewStore(url=serve_reviews(tmp_path))

They run in this process and take milliseconds; `pipelines.testing` has the same contracts for a connector that is to be
tried in Spark and in Ray Data too.
"""

# The tests are named for what they hold a connector to, which is all that their docstrings could say.
# ruff: noqa: D102

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pickle import dumps, loads
from typing import Any, ClassVar, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from connectors.errors import BadRowError, SinkError, SourceError
from connectors.sink import Receipt, Sink
from connectors.source import LABEL, ROW_ID, TEXT, BadRow, Partition, PartitionedSource

Item: TypeAlias = pa.RecordBatch | BadRow


class SourceContract:
    """The tests of a `PartitionedSource`; the subclass gives the fixture ``source``, with some rows behind it.

    Attributes:
        secret_values: what the source's secrets resolve to, none of which it may show.
        row_count: how many rows are behind the fixture, bad ones included; None leaves unseen that one is passed over
            or read twice under two ids.
    """

    secret_values: ClassVar[tuple[str, ...]] = ()
    row_count: ClassVar[int | None] = None

    @pytest.fixture
    def source(self) -> PartitionedSource:
        """Return the source under test, with at least one good row to read; must be overridden."""
        raise AssertionError(f"{type(self).__name__} must override the fixture 'source'")

    def test_pickles_and_stays_equal(self, source: PartitionedSource) -> None:
        assert loads(dumps(source)) == source

    def test_shows_no_secret(self, source: PartitionedSource) -> None:
        shown = f"{source!r} {source} {source.model_dump_json()}"
        assert not [value for value in self.secret_values if value in shown]

    def test_plans_the_same_disjoint_partitions_each_time(self, source: PartitionedSource) -> None:
        with source.plan() as first, source.plan() as second:
            keys = [partition.key for partition in first.partitions]
            assert keys
            assert len(set(keys)) == len(keys)
            assert keys == [partition.key for partition in second.partitions]

    def test_every_batch_has_the_schema_it_says(self, source: PartitionedSource) -> None:
        schema = source.row_schema()
        assert {ROW_ID, TEXT} <= set(schema.names)
        assert schema.field(TEXT).type == pa.string()
        if LABEL in schema.names:
            assert schema.field(LABEL).type in (pa.string(), pa.list_(pa.string()))
        batches = good_of(_read(source))
        assert batches
        assert all(batch.schema.equals(schema) for batch in batches)

    def test_every_row_has_a_text(self, source: PartitionedSource) -> None:
        assert [row[ROW_ID] for row in rows_of(_read(source)) if row[TEXT] is None] == []

    def test_every_row_has_an_id_of_its_own(self, source: PartitionedSource) -> None:
        ids = _ids(_read(source))
        assert None not in ids
        assert [row_id for row_id, count in Counter(ids).items() if count > 1] == []

    def test_finds_every_row_once(self, source: PartitionedSource) -> None:
        if self.row_count is None:
            pytest.skip("the contract does not say row_count, how many rows there are")
        assert len(_ids(_read(source))) == self.row_count

    def test_reading_again_gives_the_same_rows_good_and_bad(self, source: PartitionedSource) -> None:
        with source.plan() as plan:
            first, second = scan(source, plan.partitions), scan(source, plan.partitions)
        assert rows_of(first) == rows_of(second)
        assert bad_of(first) == bad_of(second)

    def test_a_partition_read_alone_gives_the_rows_it_gives_among_others(self, source: PartitionedSource) -> None:
        with source.plan() as plan:
            apart = [_ids(scan(source, [partition])) for partition in reversed(plan.partitions)]
            together = _ids(scan(source, plan.partitions))
        assert Counter(row_id for ids in apart for row_id in ids) == Counter(together)

    def test_reads_on_from_its_cursor_or_says_that_it_cannot(self, source: PartitionedSource) -> None:
        with source.plan() as plan:
            cursor = plan.cursor
        if cursor is None:
            with pytest.raises(SourceError), source.plan(since="0"):
                pass
        else:
            assert _ids(_read(source, since=cursor)) == []

    def test_a_predicate_loses_no_row_that_it_wants(self, source: PartitionedSource) -> None:
        rows = rows_of(_read(source))
        text = rows[-1][TEXT]
        narrowed = rows_of(_read(source, predicate=pc.field(TEXT) == text))
        wanted, found = ({row[ROW_ID]: row for row in some if row[TEXT] == text} for some in (rows, narrowed))
        assert found == wanted

    def test_columns_that_are_wanted_are_as_they_are_among_others(self, source: PartitionedSource) -> None:
        schema, every = source.row_schema(), _read(source)
        for wanted in ([TEXT], list(dict.fromkeys((TEXT, schema.names[-1])))):
            narrowed = _read(source, columns=wanted)
            found = {row[ROW_ID]: [row.get(name) for name in wanted] for row in rows_of(narrowed)}
            good = {row[ROW_ID]: [row[name] for name in wanted] for row in rows_of(every)}
            assert {row_id: found.get(row_id) for row_id in good} == good
            # What is bad in a column that is not wanted may be good without it.
            assert found.keys() - good.keys() <= {row.row_id for row in bad_of(every)}
            types = {name: batch.schema.field(name).type for batch in good_of(every) for name in wanted}
            assert all(batch.schema.field(name).type == types[name] for batch in good_of(narrowed) for name in wanted)

    def test_bad_rows_say_what_is_wrong_and_where_or_fail(self, source: PartitionedSource) -> None:
        bad = bad_of(_read(source))
        assert all(row.rule.isidentifier() and row.reason and row.origin and row.position > 0 for row in bad)
        strict = source.model_copy(update={"on_bad_rows": "fail"})
        if bad:
            with pytest.raises(BadRowError, match=bad[0].rule):
                _read(strict)
        else:
            assert rows_of(_read(strict))


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

    def test_publishes_what_was_written(self, sink: Sink) -> None:
        partitions = [self.rows(1, 2, 3), [], self.rows(4, 5)]
        sink.begin("one", self.schema)
        receipts = write(sink, "one", partitions)
        sink.commit("one", receipts)
        expected = [row for partition in partitions for batch in partition for row in batch.to_pylist()]
        assert sum(receipt.rows for receipt in receipts) == len(expected)
        assert sorted(self.read_back(sink), key=lambda row: str(row[ROW_ID])) == expected

    def test_shows_nothing_before_the_commit(self, sink: Sink) -> None:
        sink.begin("one", self.schema)
        write(sink, "one", [self.rows(1)])
        assert self.seen(sink) == []

    def test_a_failed_write_leaves_nothing_to_see(self, sink: Sink) -> None:
        sink.begin("one", self.schema)
        receipt = sink.write("one", 0, 0, self.rows(1))
        with pytest.raises(_BrokenOffError):
            sink.write("one", 1, 0, _broken_off(self.rows(2)))
        sink.commit("one", [receipt])
        assert self.seen(sink) == ["row:1"]

    def test_publishes_one_attempt_of_several(self, sink: Sink) -> None:
        sink.begin("one", self.schema)
        sink.write("one", 0, 0, self.rows(1, 2))
        chosen = sink.write("one", 0, 1, self.rows(1, 2))
        sink.write("one", 0, 2, self.rows(1))
        sink.commit("one", [chosen])
        assert self.seen(sink) == ["row:1", "row:2"]

    def test_committing_again_changes_nothing(self, sink: Sink) -> None:
        sink.begin("one", self.schema)
        receipts = write(sink, "one", [self.rows(1, 2), self.rows(3)])
        sink.commit("one", receipts, "cursor")
        sink.commit("one", receipts, "cursor")
        assert self.seen(sink) == ["row:1", "row:2", "row:3"]

    def test_a_check_changes_nothing_and_refuses_no_more_than_begin(self, sink: Sink) -> None:
        sink.check()
        sink.begin("one", self.schema)
        receipts = write(sink, "one", [self.rows(1)])
        sink.check()
        sink.commit("one", receipts)
        try:
            sink.check()
        except SinkError:
            with pytest.raises(SinkError):
                sink.begin("two", self.schema)
        assert self.seen(sink) == ["row:1"]

    def test_knows_which_commits_have_happened(self, sink: Sink) -> None:
        assert not sink.is_committed("one")
        sink.begin("one", self.schema)
        receipts = [sink.write("one", 0, 0, self.rows(1))]
        assert not sink.is_committed("one")
        sink.commit("one", receipts)
        assert sink.is_committed("one")
        assert not sink.is_committed("two")

    def test_abort_clears_what_was_staged_and_may_be_repeated(self, sink: Sink) -> None:
        sink.abort("one")
        sink.begin("one", self.schema)
        receipts = write(sink, "one", [self.rows(1)])
        sink.abort("one")
        sink.abort("one")
        with pytest.raises(SinkError):
            sink.commit("one", receipts)
        assert self.seen(sink) == []

    def test_abort_does_not_undo_a_commit(self, sink: Sink) -> None:
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


def scan(source: PartitionedSource, partitions: Sequence[Partition]) -> list[Item]:
    """Return the batches and bad rows of partitions, in order, scanned in this process."""
    return [item for partition in partitions for item in source.scan(partition)]


def write(sink: Sink, commit_id: str, partitions: Sequence[Sequence[pa.RecordBatch]]) -> list[Receipt]:
    """Write partitions in this process, one after the other."""
    return [sink.write(commit_id, number, 0, batches) for number, batches in enumerate(partitions)]


class _BrokenOffError(Exception):
    """Stands for whatever may end the stream of batches that a sink is given."""


def _broken_off(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches
    raise _BrokenOffError


def _read(source: PartitionedSource, **narrowed: Any) -> list[Item]:
    """Plan and scan, all of it while the plan is open; `narrowed` goes to `PartitionedSource.plan`."""
    with source.plan(**narrowed) as plan:
        return scan(source, plan.partitions)


def good_of(items: Iterable[Item]) -> list[pa.RecordBatch]:
    """Return the batches among what was scanned."""
    return [item for item in items if not isinstance(item, BadRow)]


def bad_of(items: Iterable[Item]) -> list[BadRow]:
    """Return the bad rows among what was scanned."""
    return [item for item in items if isinstance(item, BadRow)]


def rows_of(items: Iterable[Item]) -> list[dict[str, object]]:
    """Return the good rows among what was scanned."""
    return [row for batch in good_of(items) for row in batch.to_pylist()]


def _ids(items: Iterable[Item]) -> list[object]:
    return [row[ROW_ID] for row in rows_of(items)] + [row.row_id for row in bad_of(items)]
