"""The benchmark of the hand-over, on a few rows: that it measures what it says, not how fast anything is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
import ray

from pipelines.ray_cluster import wait_until
from tests.benchmarks.checksum import Checksum, ChecksumError, checksum, row_digest
from tests.benchmarks.comparison import Comparison, compete_in, peak_of_ours
from tests.benchmarks.contenders import Landing, headrace
from tests.benchmarks.footprint import Footprint, record, require_rows
from tests.benchmarks.footprint import measure_in as measure_footprint
from tests.benchmarks.footprint import table as footprints
from tests.benchmarks.fused import CROSSING, FUSED, STEPS, measure_in, write_files
from tests.benchmarks.machine import Machine
from tests.benchmarks.memory import DRIVER, DRIVER_JVM, EXECUTOR, RAYLET, STORE, WORKERS, Peak
from tests.benchmarks.new_files import NewFiles, watched_files
from tests.benchmarks.report import Measured, chart, ratios, table
from tests.benchmarks.rounds import Times, require_agreement, run_once
from tests.benchmarks.shapes import SHAPES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from ray.data import Dataset

    from pipelines.session import Session

ROWS = pa.table(
    {
        "id": pa.array(range(100)),
        "text": [f"text {number} " * (number % 5) for number in range(100)],
        "tokens": pa.array([list(range(number % 7)) for number in range(100)], pa.list_(pa.int32())),
        "weight": pa.array([number / 8 for number in range(100)], pa.float32()),
    }
)
MACHINE = Machine(cores=1, partitions=2)
MORE_SHAPES = ("long_documents", "embeddings", "tokens")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
class TestChecksums:
    def test_are_the_same_for_every_order_and_every_cut_into_blocks(self) -> None:
        backwards = ROWS.take(pa.array(range(99, -1, -1)))
        pieces = [ROWS.slice(60), ROWS.slice(0, 7), ROWS.slice(7, 53)]
        wide = ROWS.cast(ROWS.schema.set(1, pa.field("text", pa.large_string())))
        for same in ([backwards], pieces, [wide.select(["weight", "text", "id", "tokens"])]):
            assert sums(*same) == sums(ROWS)

    @pytest.mark.parametrize("change", ["a row less", "a row twice", "another byte", "another number"])
    def test_tell_other_contents_apart(self, change: str) -> None:
        changed = {
            "a row less": ROWS.slice(1),
            "a row twice": pa.concat_tables([ROWS, ROWS.slice(0, 1)]),
            "another byte": put(ROWS, "text", 3, "text 4 text 3 text 3 "),
            "another number": put(ROWS, "weight", 3, 0.5),
        }[change]
        assert all(one != other for one, other in zip(sums(changed), sums(ROWS), strict=True))

    def test_of_rows_tell_values_that_were_swapped(self) -> None:
        swapped = ROWS.set_column(1, "text", ROWS["text"].take(pa.array([1, 0, *range(2, 100)])))
        assert checksum(blocks(swapped)) == checksum(blocks(ROWS))
        assert row_digest(blocks(swapped)) != row_digest(blocks(ROWS))

    def test_refuse_nulls(self) -> None:
        with pytest.raises(ChecksumError, match="'id' has 1 nulls"):
            checksum(blocks(put(ROWS, "id", 3, None)))


@pytest.mark.spark
@pytest.mark.ray
class TestComparison:
    def test_all_contenders_land_the_same_rows_and_are_in_the_table(self, spark: SparkSession, tmp_path: Path) -> None:
        contenders = tuple(replace(one, settings=first_of(one.settings)) for one in headrace(tmp_path))

        times = compete_in(spark, contenders, Comparison("short_text", MACHINE, of_rows("short_text", 500), 1, 1))

        assert [one.name for one in times] == ["floor", "noop", "to_ray", "Parquet", "toPandas"]
        assert {one.sum.rows for one in times if one.sum} == {500}
        shown = table("title", [Measured(times, None, 0, "settings")])
        assert re.findall(r"^\| (\S+) \| \d", shown, flags=re.MULTILINE) == [one.name for one in times]
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("shape", ["integers", *(pytest.param(one, marks=pytest.mark.soak) for one in MORE_SHAPES)])
    def test_every_shape_can_be_landed_and_summed(self, spark: SparkSession, tmp_path: Path, shape: str) -> None:
        contenders = {one.name: next(iter(one.settings.values())) for one in headrace(tmp_path)}
        ours, pandas = (
            run_once(contenders[name], lambda: SHAPES[shape].frame(spark, of_rows(shape, 200), 2), digest=True)
            for name in ("to_ray", "toPandas")
        )
        assert (ours.sum, ours.digest) == (pandas.sum, pandas.digest)

    def test_the_peak_of_ours_has_the_data_in_the_store(self, spark: SparkSession) -> None:
        shape = SHAPES["long_documents"]
        rows = 20_000_000 // shape.row_bytes
        peak, size = peak_of_ours(spark, Comparison(shape.name, MACHINE, of_rows(shape.name, rows)))
        assert size == pytest.approx(rows * shape.row_bytes, rel=0.02)
        assert peak.parts[STORE] >= size
        assert all(peak.before[part] > 0 for part in (DRIVER, DRIVER_JVM, EXECUTOR, RAYLET, WORKERS))

    def test_contenders_that_land_other_rows_cannot_be_compared(self) -> None:
        times = [Times(name, "", (1.0,), (1.0,), checksum_of(name), 1, {}) for name in ("one", "another")]
        with pytest.raises(ChecksumError, match=r"did not land the same rows: one: .*; another: "):
            require_agreement(times)


@pytest.mark.spark
@pytest.mark.ray
def test_in_one_pass_only_partitions_enter_python(spark: SparkSession, tmp_path: Path) -> None:
    source = write_files(spark, MACHINE, of_rows("short_text", 300), tmp_path)
    result = measure_in(spark, source, STEPS["cheap"], repeats=1, warm_ups=1)
    assert [node.rows_in for node in result.nodes[FUSED]] == [result.partitions]
    # The first is one partition, looked into for how wide its rows are.
    assert [node.rows_in for node in result.nodes[CROSSING]] == [1, result.partitions, 300]


@pytest.mark.spark
@pytest.mark.ray
class TestFootprint:
    def test_the_rows_are_counted_and_nothing_but_them_is_large(self, spark: SparkSession) -> None:
        comparison = Comparison("long_documents", MACHINE, of_rows("long_documents", 2000))
        measured = measure_footprint(spark, comparison)
        assert measured.rows == 2000
        assert measured.data_bytes == pytest.approx(2000 * SHAPES["long_documents"].row_bytes, rel=0.02)
        assert measured.peak.samples >= 2
        assert measured.files.looks >= 1
        assert not [path for path in measured.files.largest if path.startswith("/dev/shm/")]

    def test_rows_that_were_lost_or_doubled_are_told(self, spark: SparkSession) -> None:
        require_rows(blocks(ROWS.slice(50), ROWS.slice(0, 50)), 100)
        for wrong in ([ROWS.slice(1)], [ROWS, ROWS.slice(0, 1)], [ROWS.slice(2), ROWS.slice(3, 2)]):
            with pytest.raises(ChecksumError, match="rows were lost or doubled"):
                require_rows(blocks(*wrong), 100)

    def test_files_are_seen_that_come_and_go(self, session: Session, tmp_path: Path) -> None:
        (tmp_path / "before").write_bytes(bytes(2**22))
        with watched_files() as found:
            write_and_remove(tmp_path / "deep" / "deeper" / "rows", 3 * 2**20, found)
            write_and_remove(tmp_path / "ray_spilled_objects_1" / "spilled", 2**21, found)
            write_and_remove(tmp_path / "small", 2**10, found)
        assert found.largest == {str(tmp_path / "deep" / "deeper" / "rows"): 3 * 2**20}
        assert (found.outside, found.spilled) == (3 * 2**20, 2**21)


def test_what_a_handover_takes_is_told_beside_the_data_that_was_in_memory() -> None:
    mib = 2**20
    roomy, small = (
        Footprint("settings", size, 10, 100 * mib, peak_of({STORE: stored * mib, DRIVER: 30 * mib}), NewFiles())
        for size, stored in (("200m", 120), ("70m", 70))
    )
    assert (roomy.stored, roomy.beside_data) == (100 * mib, 50 * mib)
    assert (small.stored, small.beside_data) == (70 * mib, 30 * mib)
    assert "| **all at one time, above that too** | 50 | 30 |" in footprints("title", [roomy, small])
    assert record(small)["beside_data_bytes"] == 30 * mib


def test_ratios_are_taken_within_a_process_and_across() -> None:
    records = {one["contender"]: one for one in ratios(two_processes()) if one["contender"] != "floor"}
    assert records["to_ray"]["landed_by_floor"] == 1.5
    assert records["to_ray"]["read_by_floor"] == 2.0
    assert records["RayDP"]["read_by_floor"] == 2.5
    assert records["RayDP"]["by_ours"] == 2.5
    assert records["RayDP"]["by_ours_by_floors"] == 1.25


def test_a_chart_names_what_it_shows_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.svg", "another.svg"):
        chart({"short text": ratios(two_processes())}, tmp_path / name)
    drawn = (tmp_path / "one.svg").read_text("utf-8")
    assert all(text in drawn for text in ("short text", "to_ray 2.00", "RayDP 2.50"))
    assert drawn == (tmp_path / "another.svg").read_text("utf-8")


def two_processes() -> list[Measured]:
    total = checksum_of("rows")
    ours = (
        Times("floor", "", (1.0, 3.0, 2.0), (), None, None, {}),
        Times("to_ray", "", (3.0, 3.0, 3.0), (4.0, 4.0, 9.0), total, 1, {}),
    )
    raydp = (Times("floor", "", (4.0,), (), None, None, {}), Times("RayDP", "", (8.0,), (10.0,), total, 1, {}))
    return [Measured(ours, None, 0, "ours"), Measured(raydp, None, 0, "RayDP's")]


def peak_of(parts: Mapping[str, int]) -> Peak:
    peak = Peak({})
    peak.add(parts)
    return peak


def write_and_remove(path: Path, size: int, found: NewFiles) -> None:
    """Write a file, and remove it once the directories have been looked at twice since."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    looks = found.looks
    assert wait_until(lambda: found.looks >= looks + 2, 30.0)
    path.unlink()


def first_of(settings: Mapping[str, Landing]) -> dict[str, Landing]:
    return dict([next(iter(settings.items()))])


def of_rows(shape: str, rows: int) -> float:
    """Return the scale at which a shape has so many rows."""
    return (rows + 0.5) / SHAPES[shape].rows


def checksum_of(name: str) -> Checksum:
    return Checksum(len(name), 1)


def sums(*tables: pa.Table) -> tuple[object, object]:
    return checksum(blocks(*tables)), row_digest(blocks(*tables))


def blocks(*tables: pa.Table) -> Dataset:
    return ray.data.from_arrow(list(tables))


def put(table: pa.Table, column: str, row: int, value: object) -> pa.Table:
    values = [*table[column].to_pylist()[:row], value, *table[column].to_pylist()[row + 1 :]]
    place = table.column_names.index(column)
    return table.set_column(place, column, pa.array(values, table.schema.field(column).type))
