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
from pipelines.handoff import land, to_ray, to_spark
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
