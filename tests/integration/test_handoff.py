"""The hand-over between Spark and Ray, in memory, in both directions."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from pyspark import TaskContext
from ray.data import ActorPoolStrategy

from connectors.errors import BadRowError
from connectors.spark import spark_to_arrow_schema
from pipelines.desk import forget_desk, shared_desk
from pipelines.errors import HandoffError, StepError
from pipelines.handback import to_spark
from pipelines.handoff import land, to_ray
from pipelines.ray_cluster import wait_until
from tests.integration.traces import Traces, files_since, receiver_processes, receivers, sockets, stored

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from ray.data import Dataset

    from pipelines.session import Session

pytestmark = [pytest.mark.spark, pytest.mark.ray]


def rows_of(dataset: Dataset) -> pa.Table:
    tables = [ray.get(block) for bundle in dataset.iter_internal_ref_bundles() for block in bundle.block_refs]
    return pa.concat_tables(tables)


class TestRows:
    def test_zero_rows_keep_their_columns(self, spark: SparkSession) -> None:
        frame = spark.range(10).selectExpr("id", "array(cast(id as string)) as words").where("id < 0")
        dataset = to_ray(frame)
        assert dataset.count() == 0
        assert dataset.schema().base_schema == spark_to_arrow_schema(frame.schema)

    def test_rows_keep_their_order_over_many_partitions_some_of_them_empty(self, spark: SparkSession) -> None:
        frame = spark.range(0, 20_000, 1, 40).where("id % 2000 < 1000")
        assert rows_of(to_ray(frame))["id"].to_pylist() == [one for one in range(20_000) if one % 2000 < 1000]

    def test_groups_get_datasets_of_their_own(self, spark: SparkSession) -> None:
        frame = spark.range(0, 90, 1, 4).selectExpr("id", "nullif(elt(1 + id % 3, 'train', 'test', ''), '') as split")
        landed = land(frame, spark_to_arrow_schema(frame.schema), lambda end: end.send, group_by="split")
        assert {name: sorted(rows_of(one)["id"].to_pylist()) for name, one in landed.items()} == {
            "train": list(range(0, 90, 3)),
            "test": list(range(1, 90, 3)),
            "": list(range(2, 90, 3)),
        }


class TestFailures:
    def test_an_attempt_that_failed_is_not_counted(self, spark: SparkSession) -> None:
        def fail_once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            context = TaskContext.get()
            yield from batches
            if context and context.partitionId() == 1 and context.attemptNumber() == 0:
                raise RuntimeError("the first attempt")

        frame = spark.range(0, 3000, 1, 3)
        assert rows_of(to_ray(frame.mapInArrow(fail_once, frame.schema)))["id"].to_pylist() == list(range(3000))

    def test_a_failure_for_good_says_why_and_leaves_nothing_behind(self, spark: SparkSession) -> None:
        def fail(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield next(iter(batches))
            raise LookupError("no such page: 泉")

        frame = spark.range(0, 100, 1, 2)
        before = sockets()
        with pytest.raises(HandoffError, match="LookupError: no such page: 泉"):
            to_ray(frame.mapInArrow(fail, frame.schema))
        assert wait_until(lambda: not receivers(), 20.0)
        assert sockets() == before

    def test_what_had_arrived_is_freed_while_somebody_keeps_the_error(self, spark: SparkSession) -> None:
        def fail_late(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield from batches
            raise LookupError("no such page: 泉")

        frame = spark.range(0, 1_000_000, 1, 1).selectExpr("id", "repeat('x', 150) as text")
        before = Traces.of("x" * 150)
        with pytest.raises(HandoffError) as kept:
            to_ray(frame.mapInArrow(fail_late, frame.schema))
        assert before.more() == {}
        assert "LookupError" in str(kept.value)

    @pytest.mark.parametrize("error", [StepError, BadRowError])
    def test_errors_of_ours_come_back_as_what_they_were(self, spark: SparkSession, error: type[Exception]) -> None:
        message = "first line: broken;\nsecond line, with a colon: so; mend it"

        def fail(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            try:
                yield from (batch["nowhere"] for batch in batches)
            except KeyError as cause:
                raise error(message) from cause

        frame = spark.range(0, 10, 1, 1)
        with pytest.raises(error) as raised:
            to_ray(frame.mapInArrow(fail, frame.schema))
        assert type(raised.value) is error
        assert str(raised.value) == message


class TestBlocks:
    def test_small_partitions_are_gathered_into_blocks_of_a_good_size(self, spark: SparkSession) -> None:
        frame = spark.range(0, 1_200_000, 1, 40).selectExpr("id", "repeat('x', 100) as text")
        dataset = to_ray(frame)
        sizes = [meta.size_bytes for bundle in dataset.iter_internal_ref_bundles() for meta in bundle.metadata]
        assert len(sizes) == 4
        assert min(sizes) >= 32 * 2**20
        assert rows_of(dataset)["id"].to_pylist() == list(range(1_200_000))

    def test_a_large_partition_is_cut_into_blocks_of_a_good_size(self, spark: SparkSession) -> None:
        dataset = to_ray(spark.range(0, 2_000_000, 1, 1).selectExpr("id", "repeat('x', 100) as text"))
        sizes = [meta.size_bytes for bundle in dataset.iter_internal_ref_bundles() for meta in bundle.metadata]
        assert all(32 * 2**20 <= size <= 256 * 2**20 for size in sizes)
        assert len(sizes) > 2
        assert rows_of(dataset)["id"].to_pylist() == list(range(2_000_000))

    @pytest.mark.parametrize("partitions", [1, 40])
    def test_the_object_store_holds_the_rows_once(self, spark: SparkSession, partitions: int) -> None:
        before = stored()
        dataset = to_ray(spark.range(0, 1_200_000, 1, partitions).selectExpr("id", "repeat('x', 100) as text"))
        assert wait_until(lambda: stored() - before < 1.05 * dataset.size_bytes(), 20.0)


class TestCheckpoint:
    def test_the_blocks_are_in_the_checkpoint_too(self, spark: SparkSession, tmp_path: Path) -> None:
        dataset = to_ray(spark.range(0, 3000, 1, 3), checkpoint=str(tmp_path))
        [file] = tmp_path.glob("handoff-*/block-*.arrow")
        with pa.ipc.open_file(str(file)) as reader:
            assert reader.read_all() == rows_of(dataset)

    def test_a_handover_that_fails_takes_its_checkpoint_away(self, spark: SparkSession, tmp_path: Path) -> None:
        frame = spark.range(0, 100, 1, 2)
        with pytest.raises(HandoffError, match="LookupError"):
            to_ray(frame.mapInArrow(fail_for_good, frame.schema), checkpoint=str(tmp_path))
        assert list(tmp_path.iterdir()) == []

    def test_it_cannot_stream(self, spark: SparkSession) -> None:
        with pytest.raises(ValueError, match="takes no checkpoint"):
            to_ray(spark.range(3), checkpoint="/tmp", streaming=True)


class TestStreaming:
    def test_the_rows_come_once_each_time_that_they_are_asked_for(self, spark: SparkSession) -> None:
        dataset = to_ray(spark.range(0, 30_000, 1, 7).selectExpr("id", "cast(id as string) as text"), streaming=True)
        for _ in range(2):
            tables = list(dataset.iter_batches(batch_size=None, batch_format="pyarrow"))
            assert sorted(pa.concat_tables(tables)["id"].to_pylist()) == list(range(30_000))

    def test_zero_rows_keep_their_columns(self, spark: SparkSession) -> None:
        dataset = to_ray(spark.range(0).selectExpr("id", "'x' as text"), streaming=True).materialize()
        assert dataset.count() == 0
        assert dataset.schema().names == ["id", "text"]

    def test_the_first_batch_comes_while_spark_still_computes(self, spark: SparkSession) -> None:
        rows, partitions = 6_000_000, 60

        frame = spark.range(0, rows, 1, partitions).selectExpr("id", "repeat('x', 50) as text")
        batches = iter(to_ray(frame, streaming=True).iter_batches(batch_size=None, batch_format="pyarrow"))
        first = next(batches).num_rows
        unfinished = spark.sparkContext.statusTracker().getActiveStageIds()  # tasks may be between one and the next

        assert list(unfinished)
        assert first + sum(batch.num_rows for batch in batches) == rows

    def test_streams_share_a_desk_and_go_on_when_it_is_forgotten(self, spark: SparkSession) -> None:
        streams = [to_ray(spark.range(start, start + 10), streaming=True) for start in (0, 10)]
        desk = shared_desk()
        assert shared_desk() is desk

        forget_desk()

        assert [dataset.sum("id") for dataset in streams] == [45, 145]
        assert shared_desk() is not desk

    def test_a_consumer_that_stops_ends_the_spark_job(self, spark: SparkSession) -> None:
        frame = spark.range(0, 6_000_000, 1, 60).selectExpr("id", "repeat('x', 50) as text")
        assert len(to_ray(frame, streaming=True).take(3)) == 3
        assert wait_until(lambda: not active_tasks(spark), 30.0)

    def test_an_attempt_that_fails_after_rows_went_out_doubles_none(self, spark: SparkSession) -> None:
        def fail_once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            context = TaskContext.get()
            yield from batches
            if context and context.attemptNumber() == 0:
                raise RuntimeError("the first attempt")

        frame = spark.range(0, 1_000_000, 1, 1).selectExpr("id", "repeat('x', 100) as text")
        dataset = to_ray(frame.mapInArrow(fail_once, frame.schema), streaming=True)
        tables = list(dataset.iter_batches(batch_size=None, batch_format="pyarrow"))
        assert pa.concat_tables(tables)["id"].to_pylist() == list(range(1_000_000))

    def test_a_partition_that_comes_out_differently_is_an_error(self, spark: SparkSession) -> None:
        def different(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            context = TaskContext.get()
            attempt = context.attemptNumber() if context else 0
            for batch in batches:
                yield batch.set_column(0, "id", pa.array([attempt] * batch.num_rows, pa.int64()))
            if attempt == 0:
                raise RuntimeError("the first attempt")

        frame = spark.range(0, 1_000_000, 1, 1).selectExpr("id", "repeat('x', 100) as text")
        with pytest.raises(Exception, match="partition 0 came out differently"):
            to_ray(frame.mapInArrow(different, frame.schema), streaming=True).materialize()

    def test_a_failure_of_sparks_reaches_the_consumer(self, spark: SparkSession) -> None:
        frame = spark.range(0, 100, 1, 2)
        with pytest.raises(Exception, match="LookupError: no such page: 泉"):
            to_ray(frame.mapInArrow(fail_for_good, frame.schema), streaming=True).materialize()


class TestReceivers:
    def test_those_of_one_hand_over_serve_the_next(self, spark: SparkSession) -> None:
        to_ray(spark.range(10))
        first = receiver_processes()
        assert to_ray(spark.range(1000)).sum("id") == 499_500
        assert receiver_processes() == first
        assert len(first) == 1

    def test_one_that_was_lost_meanwhile_is_replaced(self, spark: SparkSession) -> None:
        to_ray(spark.range(10))
        (lost,) = receiver_processes()
        psutil.Process(lost).kill()

        assert to_ray(spark.range(1000)).sum("id") == 499_500
        assert lost not in receiver_processes()

    def test_hand_overs_beside_each_other_have_their_own(self, spark: SparkSession) -> None:
        frames = [spark.range(0, 1000 * size, 1, 2) for size in (1, 2, 3)]
        with ThreadPoolExecutor(len(frames)) as pool:
            landed = list(pool.map(to_ray, frames))
        assert [dataset.count() for dataset in landed] == [1000, 2000, 3000]
        assert wait_until(lambda: len(receiver_processes()) == 1, 20.0)


class TestRayDataAfterwards:
    # With one CPU free, as beside Spark here, Ray Data does not get on, with or without a hand-over: it lists files in
    # a task of a whole CPU, of which the actors that wait for the files hold a part.
    @pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.soak)])
    def test_reads_and_makes_actors_on_the_workers_that_took_part(
        self, session: Session, tmp_path: Path, times: int
    ) -> None:
        pq.write_table(pa.table({"n": range(100)}), tmp_path / "numbers.parquet")
        handed_over = to_ray(session.spark.range(1000))
        took_part = ray_workers()
        session.release_spark()

        used: set[int] = set()
        for _ in range(times):
            read = ray.data.read_parquet(str(tmp_path)).map_batches(with_process)
            seen = read.map_batches(Twice, compute=ActorPoolStrategy(size=1), num_cpus=0.5).take_all()
            assert sorted(row["n"] for row in seen) == list(range(0, 200, 2))
            used |= {row["process"] for row in seen}

        assert used & took_part
        assert handed_over.sum("id") == 499_500


class Twice:
    """What Ray Data makes an actor of."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {**batch, "n": batch["n"] * 2}


def with_process(batch: dict[str, Any]) -> dict[str, Any]:
    return {**batch, "process": [os.getpid()] * len(batch["n"])}


def ray_workers() -> set[int]:
    """Return the processes of Ray's Python workers."""
    raylets = [process for process in psutil.Process().children() if process.name() == "raylet"]
    return {worker.pid for raylet in raylets for worker in raylet.children() if "java" not in worker.name()}


def fail_for_good(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield next(iter(batches))
    raise LookupError("no such page: 泉")


def active_tasks(spark: SparkSession) -> int:
    tracker = spark.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    return sum(stage.numActiveTasks for stage in stages if stage)


def test_no_row_is_written_to_a_file_outside_the_object_store(spark: SparkSession, tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    frame: DataFrame = spark.range(0, 200_000, 1, 4).selectExpr("id", f"concat('{marker}', repeat('x', 224)) as text")
    seen: set[Path] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            seen.update(path for path in large_files() if holds(path, marker.encode()))

    watch = threading.Thread(target=look)
    known = set(large_files())
    control = tmp_path / "control"
    control.write_bytes(marker.encode() * 2**16)
    watch.start()
    try:
        dataset = to_ray(frame)
    finally:
        over.set()
        watch.join()

    assert dataset.size_bytes() > 50_000_000
    assert holds(control, marker.encode())
    assert seen - known <= {control}


def large_files() -> Iterator[Path]:
    for path in files_since(0):
        try:
            if path.stat().st_size > 2**20:
                yield path
        except OSError:
            continue  # gone since


def holds(path: Path, marker: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return marker in file.read(2**22)
    except OSError:
        return False


class TestOtherFrames:
    def test_are_refused_with_what_takes_them(self, session: Session) -> None:
        pandas: Any = pd.DataFrame({"text": ["one"]})
        with pytest.raises(TypeError, match=r"to_ray takes a Spark DataFrame, .* ray\.data\.from_pandas"):
            to_ray(pandas)
        with pytest.raises(TypeError, match=r"to_spark takes a Ray Dataset, .*createDataFrame takes pandas"):
            to_spark(pandas, session)

    def test_a_column_of_mixed_objects_is_named_with_the_cure(self, session: Session) -> None:
        dataset = ray.data.from_pandas(pd.DataFrame({"text": ["one", float("nan")], "n": [1, 2]}))
        with pytest.raises(HandoffError, match=r"column 'text' holds Python objects .* a NaN among strings"):
            to_spark(dataset, session)
