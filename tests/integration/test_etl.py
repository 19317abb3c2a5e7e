"""A pipeline's rows from the source to a sink or to Ray: none is lost, none is doubled, and each rejection says why."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from connectors import JsonLines, JsonLinesSink, Memory, ParquetSource
from connectors.errors import BadRowError
from pipelines import Pipeline
from pipelines.accounting import Rejection
from pipelines.errors import LawError, StepError
from pipelines.quarantine import read_quarantine
from pipelines.result import Result
from pipelines.session import Session
from pipelines.steps import (
    ArrowFunction,
    Deduplicate,
    NormalizeText,
    RowStep,
    SelectColumns,
    Split,
    Sql,
    TableStep,
    WordCount,
)
from tests.connectors.parquet_spoiling import spoil
from tests.integration.functions import failing, failing_on_seven, without_shouting
from tests.planted import GOOD_ROWS, PLANTED_ROWS, Planted, plant, sources

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

pytestmark = [pytest.mark.spark, pytest.mark.ray]


class DropsRows(TableStep):
    """A step that breaks the law: it drops rows and does not say so."""

    def apply(self, frame: DataFrame) -> DataFrame:
        return frame.where("text not like '%3%'")


def quarantine(result: Result) -> list[Rejection]:
    return list(read_quarantine(result.directory / "quarantine.jsonl"))


def written(directory: Path) -> list[dict[str, object]]:
    return [
        json.loads(line) for path in sorted(directory.glob("part-*")) for line in path.read_text("utf-8").splitlines()
    ]


def counts(result: Result) -> list[tuple[str, int, int, int, dict[str, int]]]:
    return [(one.name, one.rows_in, one.created, one.rows_out, one.rejected) for one in result.accounts]


class TestPlantedRows:
    def test_each_is_in_the_quarantine_with_its_reason_and_all_others_in_the_sink(
        self, session: Session, tmp_path: Path
    ) -> None:
        planted = plant(tmp_path / "corpus", seed=5)
        found: list[Rejection] = []
        rows = 0
        for name, source in sources(tmp_path / "corpus").items():
            sink = JsonLinesSink(path=str(tmp_path / "out" / name))
            pipeline = Pipeline(name=name, source=source, steps=[NormalizeText()], sink=sink)
            result = pipeline.run(session, runs=tmp_path / "runs")
            found += quarantine(result)
            good = written(tmp_path / "out" / name)
            rows += len(good)
            read = result.accounts[0]
            assert read.rejected == Counter(one.rule for one in quarantine(result))
            assert result.rejected == read.rows_rejected == len(quarantine(result))
            assert len(good) == read.rows_out == result.accounts[1].rows_out
            assert len({row["row_id"] for row in good} | {one.row_id for one in quarantine(result)}) == read.rows_in

        assert len(found) == PLANTED_ROWS
        assert Counter(Planted(one.rule, one.origin, one.position) for one in found) == Counter(planted)
        assert all(one.reason and one.row_id for one in found)
        assert rows == GOOD_ROWS

    def test_told_to_fail_the_run_names_file_and_position_and_publishes_nothing(
        self, session: Session, tmp_path: Path
    ) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_text('{"text": "one"}\n{"text": "two"}\n{"text": thre\n{"text": "four"}\n')
        out = tmp_path / "out"
        pipeline = Pipeline(
            name="strict", source=JsonLines(path=str(path), on_bad_rows="fail"), sink=JsonLinesSink(path=str(out))
        )

        with pytest.raises(BadRowError, match=rf"^{path}, position 3: .*malformed_json") as raised:
            pipeline.run(session, runs=tmp_path / "runs")

        assert "on_bad_rows: quarantine" in str(raised.value)
        assert "\tat " not in str(raised.value)
        assert [one for one in out.rglob("*") if one.is_file()] == []


class TestSteps:
    def test_each_row_is_accounted_for_at_every_step(self, session: Session, tmp_path: Path) -> None:
        rows = [{"text": f"Story  number {n % 90} about {n % 7}", "label": "ab"[n % 2]} for n in range(600)]
        rows += [
            {"text": "short", "label": "a"},
            {"text": "\u0007 ", "label": "b"},
            {"text": "ALL CAPITALS", "label": "a"},
        ]
        rows += [{"text": "one text of two labels", "label": label} for label in "ab"]
        pipeline = Pipeline(
            name="accounts",
            source=Memory(rows=rows),
            steps=[
                NormalizeText(),
                WordCount(min=2),
                ArrowFunction(function=without_shouting),
                Deduplicate(conflicts="reject"),
                Sql(query="SELECT * FROM rows WHERE text NOT LIKE 'Story number 1 %'"),
                Split(validation=0.1, test=0.2, seed=3),
            ],
        )

        result = pipeline.run(session, runs=tmp_path)

        landed = {name: rows.take_all() for name, rows in result.datasets.items()}
        steps = {one.name: one for one in result.accounts}
        # 90 and 7 have no common divisor, so 600 rows have 600 texts; half of them are odd, and differ in label.
        assert steps["memory"].rows_in == 605
        assert sum(one.rows_rejected for one in result.accounts) == result.rejected == len(quarantine(result))
        assert steps["normalize_text"].rejected == {"empty_text": 1}
        assert steps["word_count"].rejected == {"too_few_words": 1}
        assert steps["arrow_function"].rejected == {"without_shouting": 1}
        assert steps["deduplicate"].rejected == {"conflicting_labels": 2}
        assert steps["sql"].rejected == {"sql": sum(n % 90 == 1 for n in range(600))}
        assert sum(map(len, landed.values())) == result.accounts[-1].rows_out
        assert set(landed) == {"train", "validation", "test"}
        assert Counter((one.step, one.rule) for one in quarantine(result)) == {
            (one.name, rule): count for one in result.accounts for rule, count in one.rejected.items()
        }

    def test_the_same_seed_puts_each_row_in_the_same_split_again(self, session: Session, tmp_path: Path) -> None:
        rows = [{"text": f"story {number}", "label": "ab"[number % 2]} for number in range(200)]

        def split(seed: int, order: int) -> dict[str, str]:
            source = Memory(rows=[{"key": row["text"], **row} for row in rows[::order]], id_column="key")
            result = Pipeline(name="split", source=source, steps=[Split(seed=seed)]).run(session, runs=tmp_path)
            return splits(result)

        first = split(seed=1, order=1)
        assert Counter(first.values()) == {"train": 140, "validation": 20, "test": 40}
        assert split(seed=1, order=-1) == first
        assert split(seed=2, order=1) != first

    def test_a_row_that_a_step_fails_on_is_rejected_alone(self, session: Session, tmp_path: Path) -> None:
        rows = [{"text": text} for text in ("five", "six", "seven", "eight")]
        steps = [ArrowFunction(function=failing_on_seven)]

        result = Pipeline(name="seven", source=Memory(rows=rows), steps=steps).run(session, runs=tmp_path)

        assert [row["text"] for row in result.datasets[""].take_all()] == ["five", "six", "eight"]
        (rejected,) = quarantine(result)
        assert (rejected.row_id, rejected.step, rejected.rule) == ("memory:3", "arrow_function", "error")
        assert rejected.value == "ValueError: cannot stomach a seven"

    def test_a_step_that_fails_on_every_row_is_at_fault(self, session: Session, tmp_path: Path) -> None:
        rows = [{"text": text} for text in ("five", "six")]
        out = tmp_path / "out"
        pipeline = Pipeline(
            name="failing",
            source=Memory(rows=rows),
            steps=[ArrowFunction(function=failing)],
            sink=JsonLinesSink(path=str(out)),
        )
        with pytest.raises(StepError, match=r"arrow_function .* 2 rows.*'memory:1': ZeroDivisionError: every row"):
            pipeline.run(session, runs=tmp_path / "runs")
        assert [one for one in out.rglob("*") if one.is_file()] == []

    def test_a_step_that_drops_rows_unsaid_is_found_out_before_anything_is_published(
        self, session: Session, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        pipeline = Pipeline(
            name="lying",
            source=Memory(rows=[{"text": f"row {number}"} for number in range(10)]),
            steps=[DropsRows()],
            sink=JsonLinesSink(path=str(out)),
        )
        with pytest.raises(LawError, match=r"'drops_rows' lost or made up rows: 10 in .* 9 out"):
            pipeline.run(session, runs=tmp_path / "runs")
        assert [one for one in out.rglob("*") if one.is_file()] == []


def test_columns_that_no_step_has_a_use_for_are_not_read_and_the_rows_are_the_same(
    session: Session, tmp_path: Path
) -> None:
    texts = [f"text {number}" if number % 7 else "" for number in range(100)]
    rows = pa.table({"text": texts, "stars": range(100), "body": ["long " * 50] * 100})
    for name in ("whole", "spoilt"):
        pq.write_table(rows, tmp_path / f"{name}.parquet")
    spoil(tmp_path / "spoilt.parquet", "body")
    select = SelectColumns(columns=("stars",))

    def run(name: str, *steps: RowStep) -> tuple[list[dict[str, object]], Result]:
        source = ParquetSource(path=str(tmp_path / f"{name}.parquet"))
        sink = JsonLinesSink(path=str(tmp_path / f"out {name}"))
        result = Pipeline(name=name, source=source, steps=steps, sink=sink).run(session, runs=tmp_path / "runs")
        return written(tmp_path / f"out {name}"), result

    # The function may look at any column, so all of them are read.
    every, of_every = run("whole", ArrowFunction(function=without_shouting), WordCount(), select)
    narrowed, of_narrowed = run("spoilt", WordCount(), select)

    assert [row["stars"] for row in narrowed] == [row["stars"] for row in every] == [n for n in range(100) if n % 7]
    assert [row.keys() for row in narrowed] == [row.keys() for row in every]
    assert counts(of_narrowed)[1:] == counts(of_every)[2:]


class TestHandedRows:
    STEPS = (WordCount(min=2),)

    def test_a_frame_of_the_users(self, session: Session, tmp_path: Path) -> None:
        frame = session.spark.sql(
            "SELECT id AS row_id, if(id = 3, null, repeat('word ', cast(id as int))) AS text FROM range(0, 6, 1, 2)"
        )

        result = Pipeline(name="frame", steps=self.STEPS).run(session, data=frame, runs=tmp_path)

        assert sorted(row["row_id"] for row in result.datasets[""].take_all()) == ["2", "4", "5"]
        assert counts(result) == [
            ("data", 6, 0, 5, {"null_text": 1}),
            ("word_count", 5, 0, 3, {"too_few_words": 2}),
        ]
        assert {one.row_id for one in quarantine(result)} == {"0", "1", "3"}

    def test_a_dataset_of_the_users(self, session: Session, tmp_path: Path) -> None:
        dataset = ray.data.from_items([{"text": "word " * number, "extra": number} for number in range(6)])

        result = Pipeline(name="dataset", steps=self.STEPS).run(session, data=dataset, runs=tmp_path)

        landed = result.datasets[""].take_all()
        assert sorted(row["extra"] for row in landed) == [2, 3, 4, 5]
        assert len({row["row_id"] for row in landed}) == 4
        assert counts(result) == [("data", 6, 0, 6, {}), ("word_count", 6, 0, 4, {"too_few_words": 2})]


def test_a_checkpoint_holds_what_is_returned(session: Session, tmp_path: Path) -> None:
    blocks = tmp_path / "blocks"
    pipeline = Pipeline(name="kept", source=Memory(rows=[{"text": "one word"}] * 5), checkpoint=str(blocks))

    result = pipeline.run(session, runs=tmp_path)

    [file] = blocks.glob("handoff-*/block-*.arrow")
    with pa.ipc.open_file(str(file)) as reader:
        assert reader.read_all()["row_id"].to_pylist() == [row["row_id"] for row in result.datasets[""].take_all()]


def splits(result: Result) -> dict[str, str]:
    return {row["row_id"]: name for name, rows in result.datasets.items() for row in rows.take_all()}
