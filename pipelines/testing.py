"""The contracts of `connectors.testing` on all engines: in this process, in Spark and in Ray Data.

A connector's author inherits from these like from those. The tests that run in Ray Data are marked ``ray`` and want a
fixture named ``ray_running``, for which Ray is up. With ``pytest_plugins = ["pipelines.testing"]`` in the outermost
conftest.py, that fixture and ``spark`` are those of one session, which the first test that needs it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pytest

# Before the import: an assertion of the contract that does not hold is to show its values.
pytest.register_assert_rewrite("connectors.testing")

from connectors import testing  # noqa: E402
from connectors.sink import Receipt, Sink  # noqa: E402
from connectors.source import ROW_ID, BadRow, Partition, PartitionedSource  # noqa: E402

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from pipelines.session import Session

_ENGINES = [*testing.ENGINES, pytest.param("ray", marks=pytest.mark.ray)]


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


class SourceContract(testing.SourceContract):
    """The tests of a `PartitionedSource`; see `connectors.testing.SourceContract`."""

    @pytest.fixture(params=_ENGINES)
    def scan(self, request: pytest.FixtureRequest) -> testing.Scan:
        """Return the way to scan partitions: in this process, in Spark's workers, or in Ray Data's read tasks."""
        if request.param != "ray":
            return testing.scan_on(request)
        request.getfixturevalue("ray_running")
        return _scan_in_ray


class SinkContract(testing.SinkContract):
    """The tests of a `Sink`; see `connectors.testing.SinkContract`."""

    @pytest.fixture(params=_ENGINES)
    def write(self, request: pytest.FixtureRequest) -> testing.Write:
        """Return the way to write partitions: in this process, in Spark's workers, or in Ray tasks."""
        if request.param != "ray":
            return testing.write_on(request)
        request.getfixturevalue("ray_running")
        return _write_in_ray


def _scan_in_ray(
    source: PartitionedSource, partitions: Sequence[Partition], columns: Sequence[str] | None = None
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
