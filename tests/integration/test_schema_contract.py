"""A pipeline whose source changes from run to run, under each contract, and its target."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from connectors import DeltaTableSink, Memory, ParquetSink, ParquetSource, Receipt
from pipelines import Pipeline, Session
from pipelines.agreed_schema import read_schema, reset_schema, schema_path
from pipelines.errors import EmptyResultError, SchemaDriftError
from pipelines.quarantine import read_quarantine
from pipelines.result import Result
from pipelines.run_history import list_runs
from pipelines.steps import Deduplicate, NormalizeText, SelectColumns, Step

pytestmark = [pytest.mark.spark, pytest.mark.ray]

FIRST = [{"text": f"first {number}", "stars": number} for number in range(4)]


class _LostLinkError(Exception):
    """Stands for whatever ends a run before the sink's commit."""


class _FailsBefore(ParquetSink):
    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        raise _LostLinkError


class Runs:
    """Runs of one pipeline into one target."""

    def __init__(
        self, session: Session, directory: Path, contract: object, mode: str, steps: Sequence[Step] = ()
    ) -> None:
        self._session, self._directory = session, directory
        self._contract, self._mode = contract, mode
        self._steps = steps or (NormalizeText(), Deduplicate())

    def run(self, rows: list[dict[str, Any]], sink: type[ParquetSink] = ParquetSink) -> Result:
        pipeline = Pipeline(
            name="nightly",
            source=Memory(rows=rows),
            steps=self._steps,
            sink=sink(path=str(self._directory / "out"), mode=self._mode),
            schema_contract=self._contract,
        )
        return pipeline.run(self._session, runs=self._directory / "runs")

    def target(self) -> list[dict[str, Any]]:
        rows = pq.read_table(self._directory / "out").drop_columns(["row_id"]).to_pylist()
        return sorted(rows, key=lambda row: row["text"])

    def agreed(self) -> dict[str, str]:
        found = read_schema(schema_path(self._directory / "runs", "nightly"))
        return found.columns if found else {}


def accounts(result: Result) -> dict[str, tuple[int, int, dict[str, int]]]:
    return {one.name: (one.rows_in, one.rows_out, one.rejected) for one in result.accounts}


def test_evolve_takes_what_comes_and_goes_on_with_what_was_there(session: Session, tmp_path: Path) -> None:
    nightly = Runs(session, tmp_path, "evolve", "overwrite")
    first = nightly.run(FIRST)
    assert accounts(first)["schema_contract"] == (4, 4, {})
    assert first.notices == ()
    assert nightly.agreed() == {"text": "string", "stars": "int64"}

    wider = [{"text": "second", "lang": "en", "stars": 4.5}]
    with pytest.raises(_LostLinkError):
        nightly.run(wider, _FailsBefore)
    assert nightly.agreed() == {"text": "string", "stars": "int64"}

    second = nightly.run(wider)
    assert nightly.target() == [{"text": "second", "stars": 4.5, "lang": "en"}]
    assert nightly.agreed() == {"text": "string", "stars": "double", "lang": "string"}
    assert second.notices == (
        "column 'stars' changed from int64 to double: it is taken as double",
        "new column 'lang' (string): it is taken",
    )
    assert json.loads((second.directory / "run.json").read_text())["notices"] == list(second.notices)
    assert json.loads((second.directory / "report.json").read_text())["notices"] == list(second.notices)

    third = nightly.run([{"text": "third"}])
    assert nightly.target() == [{"text": "third", "stars": None, "lang": None}]
    assert [notice.partition(":")[0] for notice in third.notices] == [
        "missing column 'stars' (double)",
        "missing column 'lang' (string)",
    ]
    assert nightly.agreed() == {"text": "string", "stars": "double", "lang": "string"}


def test_freeze_reads_and_writes_nothing(session: Session, tmp_path: Path) -> None:
    # What a step leaves out later on is agreed on all the same.
    nightly = Runs(session, tmp_path, "freeze", "append", steps=(SelectColumns(columns=["stars"]),))
    nightly.run([{**row, "other": "x"} for row in FIRST])
    assert nightly.agreed() == {"text": "string", "stars": "int64", "other": "string"}
    with pytest.raises(SchemaDriftError, match=r"missing column 'stars' \(int64\)\n  new column 'lang' \(string\)"):
        nightly.run([{"text": "second", "lang": "en", "other": "x"}])
    latest = list_runs(tmp_path / "runs")[0]
    assert [stage["name"] for stage in latest.record["stages"]] == ["check"]  # type: ignore[index, union-attr]

    nightly.run([{"stars": 9, "text": "third", "other": "x"}])
    assert nightly.target() == [*FIRST, {"text": "third", "stars": 9}]
    assert reset_schema(tmp_path / "runs", "nightly")
    nightly.run([{"stars": 10, "text": "fourth"}])
    assert nightly.agreed() == {"text": "string", "stars": "int64"}


def test_quarantine_sets_aside_what_does_not_fit(session: Session, tmp_path: Path) -> None:
    nightly = Runs(session, tmp_path, "quarantine", "append")
    nightly.run(FIRST)
    second = nightly.run(
        [
            {"text": "second 0", "stars": "4"},
            {"text": "second 1", "stars": "many"},
            {"text": "second 2", "stars": "5", "lang": "en"},
            {"text": "  ", "stars": "6"},
        ]
    )
    assert accounts(second) == {
        "memory": (4, 4, {}),
        "schema_contract": (4, 2, {"new_column": 1, "type_change": 1}),
        "normalize_text": (2, 1, {"empty_text": 1}),
        "deduplicate": (1, 1, {}),
    }
    aside = [one for one in read_quarantine(second.directory / "quarantine.jsonl") if one.step == "schema_contract"]
    assert sorted((one.row_id, one.rule, one.value, one.reason) for one in aside) == [
        ("memory:2", "type_change", "many", "column 'stars': a value (string) that int64, as agreed, does not hold"),
        ("memory:3", "new_column", "en", "column 'lang' (string) was not agreed on"),
    ]
    with pytest.raises(EmptyResultError, match="schema_contract: 1 in, 0 out, 1 missing_column"):
        nightly.run([{"text": "third"}])
    assert nightly.target() == [*FIRST, {"text": "second 0", "stars": 4}]
    assert nightly.agreed() == {"text": "string", "stars": "int64"}


def test_what_comes_with_the_files_of_a_night_is_drift_and_what_they_lack(session: Session, tmp_path: Path) -> None:
    arrived = tmp_path / "in"
    arrived.mkdir()

    def night(number: int, columns: dict[str, list[object]], contract: str) -> Result:
        pq.write_table(pa.table(columns), arrived / f"{number}.parquet")
        pipeline = Pipeline(
            name="nightly",
            source=ParquetSource(path=str(arrived)),
            sink=DeltaTableSink(path=str(tmp_path / "out"), mode="append"),
            incremental=True,
            schema_contract=contract,
        )
        return pipeline.run(session, runs=tmp_path / "runs")

    night(1, {"text": ["one"], "stars": [1]}, "freeze")
    night(2, {"text": ["two"], "stars": [2]}, "freeze")
    with pytest.raises(SchemaDriftError, match=r"missing column 'stars' \(int64\)"):
        night(3, {"text": ["three"]}, "freeze")
    third = night(3, {"text": ["three"], "lang": ["en"]}, "evolve")
    assert third.accounts[0].rows_in == 1
    assert {notice.partition(":")[0] for notice in third.notices} == {
        "missing column 'stars' (int64)",
        "new column 'lang' (string)",
    }


def test_rows_that_are_handed_in_are_held_to_what_was_agreed_on(session: Session, tmp_path: Path) -> None:
    def rows(stars: str) -> Result:
        frame = session.spark.sql(
            f"SELECT 'some' AS text, {stars} AS stars, timestamp'2026-02-03 04:05:06' AS at, array('a') AS tags, "
            "named_struct('n', map('k', 1)) AS nested, timestamp_ntz'2026-02-03 04:05:06' AS there"
        )
        return pipeline.run(session, data=frame, runs=tmp_path)

    pipeline = Pipeline(name="handed", schema_contract="freeze")
    session.spark.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    try:
        first, second = rows("1"), rows("2")
    finally:
        session.spark.conf.unset("spark.sql.session.timeZone")
    assert (first.notices, second.notices) == ((), ())
    [one] = second.datasets[""].take_all()
    assert (one["stars"], list(one["tags"])) == (2, ["a"])
    with pytest.raises(SchemaDriftError, match="column 'stars' changed from int32 to string"):
        rows("'3'")
    dataset = ray.data.from_items([{"text": "some", "stars": 1}])
    with pytest.raises(SchemaDriftError, match="missing column 'at'"):
        pipeline.run(session, data=dataset, runs=tmp_path)
