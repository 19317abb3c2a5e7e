"""The contracts of `connectors.testing`, with a check that Spark and Ray Data do what this process does.

A connector's author inherits from these like from those. The checks on engines are marked ``spark`` and ``ray``. With
``pytest_plugins = ["pipelines.testing"]`` in the outermost conftest.py, the fixtures that they want, ``spark`` and
``ray_running``, are those of one session, which the first test that needs it starts; its workers must be able to import
the connector's module.
"""

# The tests are named for what they hold a connector to, which is all that their docstrings could say.

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter, itemgetter
from pickle import dumps, loads
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

# Before the import: an assertion of the contract that does not hold is to show its values.
pytest.register_assert_rewrite("connectors.testing")

from connectors import testing  # noqa: E402
from connectors.sink import Receipt, Sink  # noqa: E402
from connectors.source import ROW_ID, TEXT, BadRow, Partition, PartitionedSource  # noqa: E402

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from pipelines.session import Session


@dataclass(frozen=True)
class Engine:
    """Where partitions are read and written.

    Attributes:
        scan: returns the batches and bad rows of partitions, with the columns that the plan was asked for (None: all).
        write: writes partitions, each by a task, and returns their receipts.
    """

    scan: Callable[[PartitionedSource, Sequence[Partition], Sequence[str] | None], list[testing.Item]]
    write: Callable[[Sink, str, Sequence[Sequence[pa.RecordBatch]]], list[Receipt]]


@pytest.fixture(scope="session")
def headrace_session() -> Iterator[Session]:
    """The session of all tests: Spark with one executor of one core, on a Ray of its own."""
    from pipelines.session import Session

    with Session(executors=1, executor_cores=1) as session:
        yield session


@pytest.fixture
def spark(headrace_session: Session) -> SparkSession:
    """Spark, up."""
    headrace_session.start_spark()
    return headrace_session.spark


@pytest.fixture
def ray_running(headrace_session: Session) -> None:
    """Ray, up, whether Spark is or not."""


class _OnEngines:
    @pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("spark", "ray")])
    def engine(self, request: pytest.FixtureRequest) -> Engine:
        """Return Spark's workers, or Ray Data's."""
        if request.param == "ray":
            request.getfixturevalue("ray_running")
            return Engine(_scan_in_ray, _write_in_ray)
        spark = request.getfixturevalue("spark")
        return Engine(partial(_scan_in_spark, spark), partial(_write_in_spark, spark))


class SourceContract(_OnEngines, testing.SourceContract):
    """The tests of a `PartitionedSource`; see `connectors.testing.SourceContract`."""

    def test_an_engine_reads_what_this_process_does(self, source: PartitionedSource, engine: Engine) -> None:
        """Spark and Ray Data give the rows and the bad rows that a scan here does, and the columns asked for alone."""
        with source.plan() as plan:
            here = testing.scan(source, plan.partitions)
            there, again = (engine.scan(source, plan.partitions, None) for _ in range(2))
        for found in (there, again):
            assert _by_id(testing.rows_of(found)) == _by_id(testing.rows_of(here))
            assert _by_id(testing.bad_of(found)) == _by_id(testing.bad_of(here))
            assert all(batch.schema.equals(source.row_schema()) for batch in testing.good_of(found))
        with source.plan(columns=[TEXT]) as plan:
            narrowed = testing.rows_of(engine.scan(source, plan.partitions, [TEXT]))
        wanted = {row[ROW_ID]: row[TEXT] for row in testing.rows_of(here)}
        assert {row[ROW_ID]: row.get(TEXT) for row in narrowed} == wanted


class SinkContract(_OnEngines, testing.SinkContract):
    """The tests of a `Sink`; see `connectors.testing.SinkContract`."""

    def test_an_engine_writes_what_this_process_does(self, sink: Sink, engine: Engine) -> None:
        """What Spark and Ray Data write is published as rows written here would be; an abort leaves nothing to see."""
        partitions = [self.rows(1, 2, 3), [], self.rows(4, 5)]
        expected = [row for partition in partitions for batch in partition for row in batch.to_pylist()]
        sink.begin("given-up", self.schema)
        engine.write(sink, "given-up", partitions)
        assert self.seen(sink) == []
        sink.abort("given-up")

        sink.begin("one", self.schema)
        receipts = engine.write(sink, "one", partitions)
        for _ in range(2):
            sink.commit("one", receipts)
        assert sum(receipt.rows for receipt in receipts) == len(expected)
        assert _by_id(self.read_back(sink)) == expected


def _by_id(rows: Iterable[Any]) -> list[Any]:
    """Return rows, or bad rows, in an order that does not depend on which task was done first."""
    found = list(rows)
    return sorted(found, key=attrgetter(ROW_ID) if found and isinstance(found[0], BadRow) else itemgetter(ROW_ID))


def _scan_in_spark(
    spark: SparkSession, source: PartitionedSource, partitions: Sequence[Partition], columns: Sequence[str] | None
) -> list[testing.Item]:
    from connectors.spark import partitions_frame, read_partitions

    def scan(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for item in read_partitions(source, batches):
            yield _wrapped(item)

    frame = partitions_frame(spark, partitions)
    assert not partitions or frame.rdd.getNumPartitions() == len(partitions)
    return _unwrapped(frame.mapInArrow(scan, "item binary").collect())


def _write_in_spark(
    spark: SparkSession, sink: Sink, commit_id: str, partitions: Sequence[Sequence[pa.RecordBatch]]
) -> list[Receipt]:
    def write(numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        for number in [row for batch in numbers for row in batch.column(0).to_pylist()]:
            yield _wrapped(sink.write(commit_id, number, context.attemptNumber(), partitions[number]))

    frame = spark.range(0, len(partitions), 1, len(partitions))
    return _unwrapped(frame.mapInArrow(write, "item binary").collect())


def _scan_in_ray(
    source: PartitionedSource, partitions: Sequence[Partition], columns: Sequence[str] | None
) -> list[testing.Item]:
    import ray

    from pipelines.ray_data import REJECTED, Reading, SourceDatasource

    if not partitions:
        return []
    datasource = SourceDatasource(Reading.of(source, columns), partitions)
    rows = ray.data.read_datasource(datasource, override_num_blocks=len(partitions))
    schema = source.row_schema()
    items: list[testing.Item] = []
    for block in ray.get(rows.to_arrow_refs()):
        for row in block.filter(pc.field(REJECTED).is_valid()).to_pylist():
            items.append(BadRow(**row[REJECTED], row_id=row[ROW_ID]))
        good = block.filter(~pc.field(REJECTED).is_valid()).drop_columns([REJECTED]).combine_chunks()
        items += good.cast(pa.schema([schema.field(name) for name in good.column_names])).to_batches()
    return items


def _write_in_ray(sink: Sink, commit_id: str, partitions: Sequence[Sequence[pa.RecordBatch]]) -> list[Receipt]:
    import ray

    from pipelines.ray_data import SinkDatasink

    @ray.remote
    def write(number: int, batches: Sequence[pa.RecordBatch]) -> Receipt:
        blocks = [pa.Table.from_batches([batch]) for batch in batches]
        return SinkDatasink(sink, commit_id).write(blocks, SimpleNamespace(task_idx=number))

    return list(ray.get([write.remote(number, batches) for number, batches in enumerate(partitions)]))


def _wrapped(item: object) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([dumps(item)], pa.binary())], names=["item"])


def _unwrapped(rows: Iterable[Any]) -> list[Any]:
    return [loads(row.item) for row in rows]
