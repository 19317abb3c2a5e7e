"""Executors that are killed while they hand rows over: all rows arrive, once, or one error says why and all is freed.

RayDP has Ray restart an executor's actor without end, each time as a new executor of Spark's, but lets go of its
handle, so that the restarted one ends when garbage is collected next; then it is replaced. What gives up is Spark, when
the same task has failed four times (``spark.task.maxFailures``), or we, when no task runs for two minutes.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa
import pytest
import ray
from pyspark import TaskContext
from ray._private.internal_api import global_gc
from ray.util.state import list_actors

from pipelines.errors import HandoffError, SessionError
from pipelines.handoff import to_ray
from pipelines.ray_cluster import wait_until
from pipelines.session import Session
from pipelines.spark_job import STALL_SECONDS
from tests.benchmarks.checksum import row_digest
from tests.integration.traces import Traces, living_executors, stored

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from ray.data import Dataset

pytestmark = [pytest.mark.soak, pytest.mark.spark, pytest.mark.ray]

MARKER = "these-rows-are-handed-over-and-nowhere-else"
ROWS, PARTITIONS = 1_600_000, 200
"""About 300 MB, in tasks of about a tenth of a second."""

RUNS = [(number, (25, 50, 75)[number % 3]) for number in range(10)]
LAND_SECONDS = 180.0
GIVE_UP_SECONDS = 240.0


def frame_of(spark: SparkSession, partitions: int = PARTITIONS) -> DataFrame:
    """Return a frame that is ordered by its column ``id``, which counts from 0."""
    return spark.range(0, ROWS, 1, partitions).selectExpr(
        "id", f"concat('{MARKER}', sha2(cast(id AS string), 512)) AS text"
    )


@pytest.fixture(scope="module")
def clean(_one_session: Session) -> int:
    """The digest of the rows of a hand-over that nothing disturbs."""
    return digest(to_ray(frame_of(_one_session.start_spark())))


@pytest.fixture
def before(session: Session) -> Iterator[Traces]:
    """What there is before a test; after it, nothing else may be there."""
    traces = Traces.of(MARKER)
    yield traces
    assert traces.more() == {}


class TestWithRetriesLeft:
    @pytest.mark.parametrize(("run", "percent"), RUNS)
    def test_all_rows_arrive_in_their_order(
        self, spark: SparkSession, before: Traces, clean: int, run: int, percent: int
    ) -> None:
        killed = living_executors()

        with handing_over(lambda: to_ray(frame_of(spark))) as landing:
            assert wait_until(lambda: share_done(spark) >= percent / 100 or landing.done(), LAND_SECONDS)
            share = share_done(spark)
            kill(killed)
            dataset = landing.result(LAND_SECONDS)

        assert percent / 100 <= share < percent / 100 + 0.1
        assert len(killed) == 1
        assert living_executors().isdisjoint(killed)
        assert digest(dataset) == clean

    @pytest.mark.parametrize("at_work", [True, False], ids=["at work", "not at work yet"])
    def test_an_executor_that_came_back_and_was_taken_for_garbage_is_replaced(
        self, spark: SparkSession, before: Traces, clean: int, at_work: bool
    ) -> None:
        killed = living_executors()

        with handing_over(lambda: to_ray(frame_of(spark))) as landing:
            assert wait_until(lambda: share_done(spark) >= 0.1 or landing.done(), LAND_SECONDS)
            kill(killed)
            assert wait_until(lambda: bool(living_executors() - killed) or landing.done(), LAND_SECONDS)
            came_back = living_executors()
            if at_work:
                share = share_done(spark)
                assert wait_until(lambda: share_done(spark) > share or landing.done(), LAND_SECONDS)
            global_gc()
            dataset = landing.result(LAND_SECONDS)

        assert len(came_back) == 1
        assert living_executors().isdisjoint(killed | came_back)
        assert digest(dataset) == clean

    def test_rows_that_an_attempt_had_sent_are_dropped_and_their_copies_too(
        self, spark: SparkSession, before: Traces, clean: int, tmp_path: Path
    ) -> None:
        with handing_over(lambda: to_ray(frame_of(spark, partitions=2), checkpoint=str(tmp_path))) as landing:
            assert wait_until(lambda: stored() - before.stored > 50 * 2**20 or landing.done(), LAND_SECONDS)
            assert share_done(spark) == 0
            kill(living_executors())
            dataset = landing.result(LAND_SECONDS)

        assert digest(dataset) == clean
        assert digest(ray.data.from_arrow([read(path) for path in sorted(tmp_path.glob("*/*.arrow"))])) == clean
        shutil.rmtree(tmp_path)  # the copies are ours to take away

    def test_a_shuffle_that_was_lost_with_its_executor_is_done_again(self, session: Session, before: Traces) -> None:
        spark = session.spark
        frame = spark.range(0, ROWS // 4, 1, 8).selectExpr("id", f"concat('{MARKER}', id) AS text").orderBy("text")
        expected = [row.id for row in frame.select("id").collect()]

        with handing_over(lambda: to_ray(frame)) as landing:
            assert wait_until(lambda: stored() > before.stored or landing.done(), LAND_SECONDS)
            kill(living_executors())
            dataset = landing.result(LAND_SECONDS)

        assert ids(dataset) == expected
        session.release_spark()  # until then, the shuffle's files are Spark's


class TestWithRetriesExhausted:
    def test_a_task_that_fails_for_good_says_why(self, spark: SparkSession, before: Traces) -> None:
        def fail_last(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield from batches
            context = TaskContext.get()
            if context and context.partitionId() == PARTITIONS - 1:
                raise LookupError("no such page: 泉")

        frame = frame_of(spark)
        with pytest.raises(HandoffError, match="LookupError: no such page: 泉"):
            to_ray(frame.mapInArrow(fail_last, frame.schema))

    def test_an_executor_that_is_killed_again_and_again_ends_it(
        self, spark: SparkSession, before: Traces, clean: int
    ) -> None:
        frame = frame_of(spark)
        begun = time.monotonic()
        with handing_over(lambda: to_ray(frame)) as landing:
            assert wait_until(lambda: kill_at_work(spark) or landing.done(), GIVE_UP_SECONDS)
            error = landing.exception(1.0)

        assert time.monotonic() - begun < GIVE_UP_SECONDS
        assert isinstance(error, SessionError)
        assert "lost 4 times while it computed the same rows" in str(error)
        assert "executor_memory" in str(error)
        assert before.more() == {}, "freed while somebody keeps the error"
        assert digest(to_ray(frame)) == clean, "Spark's executor has come back"

    def test_an_executor_that_is_lost_for_good_and_for_which_there_is_no_room_ends_it(
        self, session: Session, before: Traces, clean: int
    ) -> None:
        spark = session.spark
        with handing_over(lambda: to_ray(frame_of(spark))) as landing:
            assert wait_until(lambda: share_done(spark) >= 0.25 or landing.done(), LAND_SECONDS)
            others = ask_for_all_cpus()
            there = others.is_there.remote()
            # Again and again, as the executor that Spark wants in place of the lost one may be there first.
            assert wait_until(lambda: end_for_good() or bool(ray.wait([there], timeout=1.0)[0]), 60.0)
            begun = time.monotonic()
            error = landing.exception(STALL_SECONDS + GIVE_UP_SECONDS)

        assert time.monotonic() - begun < STALL_SECONDS + 30.0
        assert isinstance(error, SessionError)
        assert "session.release_spark(), then session.start_spark()" in str(error)
        assert before.more() == {}, "freed while somebody keeps the error"
        ray.kill(others)
        session.release_spark()
        assert digest(to_ray(frame_of(session.start_spark()))) == clean

    def test_a_driver_that_is_killed_ends_it_and_spark_can_be_started_anew(
        self, session: Session, before: Traces, clean: int
    ) -> None:
        spark = session.spark
        with handing_over(lambda: to_ray(frame_of(spark))) as landing:
            assert wait_until(lambda: share_done(spark) >= 0.25 or landing.done(), LAND_SECONDS)
            kill({process.pid for process in psutil.Process().children() if "java" in process.name()})
            error = landing.exception(GIVE_UP_SECONDS)

        assert isinstance(error, SessionError)
        assert "Spark's driver has gone" in str(error)
        assert "session.release_spark(), then session.start_spark()" in str(error)
        assert before.more() == {}, "freed while somebody keeps the error"
        session.release_spark()
        assert digest(to_ray(frame_of(session.start_spark()))) == clean


@contextmanager
def handing_over(work: Callable[[], Dataset]) -> Iterator[Future[Dataset]]:
    """Run a hand-over in a thread, which has ended when the block has."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work)


def share_done(spark: SparkSession) -> float:
    """Return the share of the running stage's tasks that are complete, 0 where none runs."""
    tracker = spark.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    return max((stage.numCompletedTasks / stage.numTasks for stage in stages if stage), default=0.0)


def kill(executors: set[int]) -> None:
    for executor in executors:
        os.kill(executor, signal.SIGKILL)


def kill_at_work(spark: SparkSession) -> bool:
    """Kill the executors if they have a task; returns False, so that it is waited for again."""
    tracker = spark.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    if any(stage.numActiveTasks for stage in stages if stage):
        for executor in living_executors():
            try:
                os.kill(executor, signal.SIGKILL)
            except ProcessLookupError:
                continue  # Ray has not heard yet that it was killed
    return False


def end_for_good() -> bool:
    """End the executors' actors so that Ray does not start them again; returns False, so that it is waited for."""
    for actor in list_actors(ray.get_runtime_context().gcs_address, detail=True, limit=1000):
        if actor.class_name.endswith("RayDPExecutor") and actor.state == "ALIVE":
            ray.kill(ray.get_actor(actor.name, actor.ray_namespace), no_restart=True)
    return False


def ask_for_all_cpus() -> Any:
    """Return an actor that takes every CPU of the cluster, as another program may, as soon as they are free."""

    class Other:
        def is_there(self) -> bool:
            return True

    kind: Any = ray.remote(Other)
    return kind.options(num_cpus=ray.cluster_resources()["CPU"]).remote()


def digest(dataset: Dataset) -> int:
    """Return the digest of a Dataset's rows, after checking that they are complete and in their order."""
    assert ids(dataset) == list(range(ROWS))
    return row_digest(dataset)


def ids(dataset: Dataset) -> list[int]:
    blocks = [block for bundle in dataset.iter_internal_ref_bundles() for block in bundle.block_refs]
    return [number for block in blocks for number in ray.get(block)["id"].to_pylist()]


def read(path: Path) -> pa.Table:
    with pa.ipc.open_file(str(path)) as reader:
        return reader.read_all()
