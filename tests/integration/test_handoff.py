"""The hand-over between Spark and Ray, in memory, in both directions."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest
import ray
from pyspark import TaskContext
from ray.util.state import list_actors

from connectors.errors import BadRowError, SourceSchemaError
from connectors.spark import spark_to_arrow_schema
from pipelines.errors import HandoffError, StepError
from pipelines.handback import to_spark
from pipelines.handoff import land, to_ray
from pipelines.ray_cluster import wait_until
from pipelines.session import Session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from ray.data import Dataset

pytestmark = [pytest.mark.spark, pytest.mark.ray]

EVERY_TYPE = pa.table(
    {
        "tiny": pa.array([1, None, -128], pa.int8()),
        "small": pa.array([1, None, -32768], pa.int16()),
        "whole": pa.array([1, None, -(2**31)], pa.int32()),
        "long": pa.array([1, None, -(2**63)], pa.int64()),
        "single": pa.array([1.5, None, float("inf")], pa.float32()),
        "double": pa.array([1.5, None, -0.1], pa.float64()),
        "decimal": pa.array([Decimal("1.50"), None, Decimal("-99999999999999999.99")], pa.decimal128(19, 2)),
        "text": pa.array(["流量 “café”", None, ""], pa.string()),
        "bytes": pa.array([b"\x00\xff", None, b""], pa.binary()),
        "truth": pa.array([True, None, False], pa.bool_()),
        "day": pa.array([date(2024, 2, 29), None, date(1, 1, 1)], pa.date32()),
        "instant": pa.array(
            [datetime(2024, 2, 29, 23, 59, 59, 999999, timezone.utc), None, datetime(1901, 1, 1, tzinfo=timezone.utc)],
            pa.timestamp("us", "UTC"),
        ),
        "local_time": pa.array([datetime(2024, 3, 31, 2, 30), None, datetime(1901, 1, 1)], pa.timestamp("us")),
        "span": pa.array([timedelta(days=1, microseconds=1), None, timedelta(0)], pa.duration("us")),
        "list": pa.array([["a", None], None, []], pa.list_(pa.string())),
        "nested_list": pa.array([[[1], None, []], None, []], pa.list_(pa.list_(pa.int64()))),
        "struct": pa.array(
            [{"x": 1, "y": {"z": "泉"}}, None, {"x": None, "y": None}],
            pa.struct([("x", pa.int64()), ("y", pa.struct([("z", pa.string())]))]),
        ),
        "map": pa.array([[("k", 1), ("l", None)], None, []], pa.map_(pa.string(), pa.int64())),
        "list_of_structs": pa.array([[{"x": 1}], None, []], pa.list_(pa.struct([("x", pa.int32())]))),
        "nothing": pa.array([None, None, None], pa.string()),
    }
)


def rows_of(dataset: Dataset) -> pa.Table:
    tables = [ray.get(block) for bundle in dataset.iter_internal_ref_bundles() for block in bundle.block_refs]
    return pa.concat_tables(tables)


def receivers() -> list[str]:
    address = ray.get_runtime_context().gcs_address
    actors = list_actors(address, filters=[("class_name", "=", "Receiver"), ("state", "=", "ALIVE")])
    return [actor.actor_id for actor in actors]


def sockets() -> set[str]:
    return {path.name for path in Path(ray._private.worker._global_node.get_sockets_dir_path()).glob("headrace-*")}


class TestTypes:
    def test_every_type_that_arrow_has_arrives_with_its_nulls_and_comes_back(
        self, session: Session, spark: SparkSession
    ) -> None:
        frame = to_spark(ray.data.from_arrow(EVERY_TYPE), session)

        arrived = rows_of(to_ray(frame))

        assert arrived.schema.names == EVERY_TYPE.schema.names
        assert arrived.schema == spark_to_arrow_schema(frame.schema)
        assert arrived.to_pylist() == EVERY_TYPE.to_pylist()
        assert {name: frame.schema[name].dataType.simpleString() for name in ("local_time", "instant", "span")} == {
            "local_time": "timestamp_ntz",
            "instant": "timestamp",
            "span": "interval day to second",
        }

    def test_a_type_that_arrow_lacks_is_named(self, spark: SparkSession) -> None:
        frame = spark.sql("SELECT 1 AS fine, INTERVAL '1-2' YEAR TO MONTH AS age")
        with pytest.raises(SourceSchemaError, match="'age' holds interval year to month"):
            to_ray(frame)


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
        unfinished = active_tasks(spark)

        assert unfinished
        assert first + sum(batch.num_rows for batch in batches) == rows

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


def fail_for_good(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield next(iter(batches))
    raise LookupError("no such page: 泉")


def active_tasks(spark: SparkSession) -> int:
    tracker = spark.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    return sum(stage.numActiveTasks for stage in stages if stage)


class TestBack:
    def test_an_empty_dataset_keeps_its_columns(self, session: Session, spark: SparkSession) -> None:
        frame = to_spark(ray.data.from_arrow(EVERY_TYPE.slice(0, 0)), session)
        assert frame.columns == EVERY_TYPE.column_names
        assert frame.count() == 0

    def test_a_dataset_of_pandas_blocks_comes_as_its_arrow_types(self, session: Session, spark: SparkSession) -> None:
        dataset = ray.data.from_pandas(
            [pd.DataFrame({"n": [1, 2], "text": ["a", None]}), pd.DataFrame({"n": [3], "text": [None]})]
        )
        frame = to_spark(dataset.map_batches(lambda rows: rows.assign(more=1.5), batch_format="pandas"), session)
        assert [tuple(row) for row in frame.orderBy("n").collect()] == [(1, "a", 1.5), (2, None, 1.5), (3, None, 1.5)]

    def test_types_that_spark_lacks_are_widened(self, session: Session, spark: SparkSession) -> None:
        odd = pa.table({"count": pa.array([200], pa.uint8()), "kind": pa.array(["a"]).dictionary_encode()})
        frame = to_spark(ray.data.from_arrow(odd), session)
        assert [tuple(row) for row in frame.collect()] == [(200, "a")]
        assert frame.dtypes == [("count", "smallint"), ("kind", "string")]


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
    for root in (Path("/dev/shm"), Path("/tmp")):
        for path in root.rglob("*"):
            try:
                if path.is_file() and path.stat().st_size > 2**20 and not path.name.startswith("plasma"):
                    yield path
            except OSError:
                continue  # gone since


def holds(path: Path, marker: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return marker in file.read(2**22)
    except OSError:
        return False
