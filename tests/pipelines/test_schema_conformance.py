"""What a contract makes of columns and rows that are not as agreed, by Arrow alone."""

from __future__ import annotations

import pickle
from typing import Any

import pyarrow as pa
import pytest

from connectors.errors import SourceSchemaError
from pipelines.schema_conformance import Conformance, conform
from pipelines.schema_contract import SchemaContract
from pipelines.schema_drift import find_drift, to_agree_on
from pipelines.steps.kernel import run_step

AGREED = pa.schema([("text", pa.string()), ("stars", pa.int64()), ("tags", pa.list_(pa.string()))])


def held(contract: object, rows: pa.RecordBatch | pa.Schema, agreed: pa.Schema | None = AGREED) -> Conformance:
    schema = rows if isinstance(rows, pa.Schema) else rows.schema
    return conform(agreed, schema, SchemaContract.model_validate(contract))


def batch(rows: list[dict[str, Any]], **types: pa.DataType) -> pa.RecordBatch:
    """Return rows with ids in columns of the types given, beside a text."""
    schema = pa.schema([("row_id", pa.string()), ("text", pa.string()), *types.items()])
    numbered = [{"row_id": f"r{number}", "text": "some", **row} for number, row in enumerate(rows)]
    return pa.RecordBatch.from_pylist(numbered, schema=schema)


def through(conformance: Conformance, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, list[dict[str, Any]]]:
    assert conformance.faults == ()
    outcome = run_step(pickle.loads(pickle.dumps(conformance.step)), rows)
    outcome.kept.validate(full=True)
    assert outcome.kept.schema.equals(conformance.step.output_schema(rows.schema))
    return outcome.kept, outcome.rejected.to_pylist()


AS_AGREED = batch([{"stars": 3, "tags": ["a"]}], stars=pa.int64(), tags=pa.list_(pa.string()))


class TestWithoutDrift:
    @pytest.mark.parametrize("contract", ["evolve", "freeze", "quarantine"])
    @pytest.mark.parametrize("agreed", [AGREED, None])
    def test_rows_go_on_as_they_are(self, contract: str, agreed: pa.Schema | None) -> None:
        conformance = held(contract, AS_AGREED, agreed)
        assert through(conformance, AS_AGREED) == (AS_AGREED, [])
        assert through(conformance, AS_AGREED[:0]) == (AS_AGREED[:0], [])
        assert conformance.notices == ()
        assert conformance.agreed == AGREED

    def test_order_nulls_and_encodings_are_no_drift(self) -> None:
        found = pa.schema(
            [
                pa.field("tags", pa.large_list(pa.field("element", pa.dictionary(pa.int8(), pa.string()), False))),
                pa.field("stars", pa.int64(), nullable=False),
                pa.field("row_id", pa.string()),
                pa.field("text", pa.large_string()),
            ]
        )
        rows = pa.RecordBatch.from_pylist([{"row_id": "r", "text": "t", "stars": 1, "tags": ["a"]}], schema=found)
        conformance = held("freeze", rows)
        kept, rejected = through(conformance, rows)
        assert rejected == []
        assert kept.schema.names == ["row_id", "text", "stars", "tags"]
        assert kept.to_pylist() == [{"row_id": "r", "text": "t", "stars": 1, "tags": ["a"]}]
        assert conformance.agreed == AGREED

    def test_the_order_of_a_structs_fields_is_none(self) -> None:
        agreed = pa.schema([("text", pa.string()), ("who", pa.struct([("a", pa.int64()), ("b", pa.string())]))])
        rows = batch([{"who": {"a": 1, "b": "x"}}], who=pa.struct([("b", pa.string()), ("a", pa.int64())]))
        kept, _ = through(held("freeze", rows, agreed), rows)
        assert kept.schema.field("who").type == agreed.field("who").type
        assert kept.column("who").to_pylist() == [{"a": 1, "b": "x"}]

    def test_a_batch_may_name_the_same_instants_by_another_zone(self) -> None:
        zoned = [batch([{"at": 0}, {"at": None}], at=pa.timestamp("us", zone)) for zone in ("UTC", "Europe/Berlin")]
        conformance = held("freeze", zoned[0], to_agree_on(zoned[0].schema))
        assert through(conformance, zoned[1]) == (zoned[0], [])


class TestEvolve:
    def test_a_new_column_is_taken_and_agreed_on(self) -> None:
        rows = batch([{"new": 1.5}, {"new": None}], new=pa.float64(), stars=pa.int64(), tags=pa.list_(pa.string()))
        conformance = held("evolve", rows)
        kept, rejected = through(conformance, rows)
        assert kept.schema.names == ["row_id", "text", "stars", "tags", "new"]
        assert kept.column("new").to_pylist() == [1.5, None]
        assert rejected == []
        assert conformance.agreed == AGREED.append(pa.field("new", pa.float64()))
        assert conformance.notices == ("new column 'new' (double): it is taken",)

    def test_a_missing_column_is_filled_and_stays_agreed_on(self) -> None:
        rows = batch([{"stars": 3}], stars=pa.int64())
        conformance = held("evolve", rows)
        kept, _ = through(conformance, rows)
        assert kept.schema.field("tags").type == pa.list_(pa.string())
        assert kept.column("tags").to_pylist() == [None]
        assert conformance.agreed == AGREED
        assert conformance.notices == ("missing column 'tags' (list<item: string>): it is filled with nulls",)

    def test_a_type_becomes_the_common_one(self) -> None:
        rows = batch(
            [{"stars": 2**53 + 1, "tags": None}, {"stars": 3, "tags": ["a"]}],
            stars=pa.int64(),
            tags=pa.list_(pa.string()),
        )
        agreed = AGREED.set(1, pa.field("stars", pa.float64()))
        conformance = held("evolve", rows, agreed)
        kept, [rejected] = through(conformance, rows)
        assert kept.column("stars").to_pylist() == [3.0]
        assert (rejected["row_id"], rejected["rule"], rejected["value"]) == ("r0", "type_change", str(2**53 + 1))
        assert rejected["reason"] == "column 'stars': a value (int64) that double, as agreed, does not hold"
        assert conformance.notices == ("column 'stars' changed from double to int64: it is taken as double",)

        wider = held("evolve", AS_AGREED.schema.set(2, pa.field("stars", pa.float64())))
        assert wider.agreed == agreed

    def test_types_without_a_common_one_are_a_fault(self) -> None:
        [fault] = held("evolve", AGREED.set(1, pa.field("stars", pa.string()))).faults
        assert fault == (
            "column 'stars' changed from int64 to string, and no type holds the values of both without loss"
        )

    def test_what_rows_are_nothing_without_cannot_be_filled(self) -> None:
        [fault] = held("evolve", AGREED.remove(0)).faults
        assert fault.startswith("missing column 'text' (string), which cannot be filled with nulls")


class TestFreeze:
    def test_every_drift_is_a_fault(self) -> None:
        found = pa.schema([("text", pa.string()), ("stars", pa.string()), ("new", pa.date32())])
        conformance = held("freeze", found)
        assert conformance.faults == (
            "column 'stars' changed from int64 to string",
            "missing column 'tags' (list<item: string>)",
            "new column 'new' (date32[day])",
        )
        assert conformance.notices == ()

    def test_each_kind_has_its_own_handling(self) -> None:
        found = pa.schema([("text", pa.string()), ("stars", pa.string()), ("new", pa.date32())])
        mixed = held({"new_columns": "evolve", "missing_columns": "freeze", "types": "quarantine"}, found)
        assert mixed.faults == ("missing column 'tags' (list<item: string>)",)
        assert [notice.partition(":")[0] for notice in mixed.notices] == [
            "column 'stars' changed from int64 to string",
            "new column 'new' (date32[day])",
        ]
        assert mixed.agreed.field("stars").type == pa.int64()


class TestQuarantine:
    def test_a_row_with_a_value_in_a_new_column_is_set_aside(self) -> None:
        rows = batch(
            [{"new": {"a": 1}}, {"new": None}, {"new": {"a": None}}],
            new=pa.struct([("a", pa.int64())]),
            stars=pa.int64(),
            tags=pa.list_(pa.string()),
        )
        conformance = held("quarantine", rows)
        kept, rejected = through(conformance, rows)
        assert kept.column("row_id").to_pylist() == ["r1"]
        assert kept.schema.names == ["row_id", *AGREED.names]
        assert [(row["row_id"], row["rule"], row["value"]) for row in rejected] == [
            ("r0", "new_column", "{'a': 1}"),
            ("r2", "new_column", "{'a': None}"),
        ]
        assert rejected[0]["reason"] == "column 'new' (struct<a: int64>) was not agreed on"
        assert conformance.agreed == AGREED

    def test_a_row_whose_value_is_not_held_is_set_aside(self) -> None:
        rows = batch(
            [{"stars": "4", "tags": [1]}, {"stars": "many"}, {"stars": None}],
            stars=pa.string(),
            tags=pa.list_(pa.int64()),
        )
        conformance = held("quarantine", rows)
        kept, rejected = through(conformance, rows)
        assert kept.to_pylist() == [
            {"row_id": "r0", "text": "some", "stars": 4, "tags": ["1"]},
            {"row_id": "r2", "text": "some", "stars": None, "tags": None},
        ]
        assert [(row["row_id"], row["rule"], row["value"]) for row in rejected] == [("r1", "type_change", "many")]
        assert rejected[0]["reason"] == "column 'stars': a value (string) that int64, as agreed, does not hold"
        assert conformance.agreed == AGREED

    def test_every_row_is_set_aside_where_a_column_is_missing(self) -> None:
        rows = batch([{"stars": 1}, {"stars": None}], stars=pa.int64())
        conformance = held("quarantine", rows)
        kept, rejected = through(conformance, rows)
        assert kept.num_rows == 0
        assert [(row["row_id"], row["rule"], row["value"]) for row in rejected] == [
            ("r0", "missing_column", "some"),
            ("r1", "missing_column", "some"),
        ]
        assert rejected[0]["reason"] == "column 'tags' (list<item: string>), as agreed, is missing"
        assert conformance.notices == ("missing column 'tags' (list<item: string>): every row is set aside",)

    def test_a_row_is_set_aside_once_for_its_first_reason(self) -> None:
        rows = batch([{"stars": "x", "new": 1}, {"stars": "x"}], stars=pa.string(), new=pa.int64())
        contract = {"new_columns": "quarantine", "missing_columns": "evolve", "types": "quarantine"}
        kept, rejected = through(held(contract, rows), rows)
        assert kept.num_rows == 0
        assert [(row["row_id"], row["rule"]) for row in rejected] == [("r0", "new_column"), ("r1", "type_change")]

    def test_the_verdict_does_not_depend_on_the_batch(self) -> None:
        rows = batch(
            [{"stars": value, "tags": [value]} for value in ("1", "x", None, "3", "07")],
            stars=pa.string(),
            tags=pa.list_(pa.string()),
        )
        conformance = held("quarantine", rows)
        kept, rejected = through(conformance, rows)
        parts = [through(conformance, rows[start : start + 2]) for start in range(0, 5, 2)]
        assert pa.Table.from_batches([part for part, _ in parts]) == pa.Table.from_batches([kept])
        assert [row for _, some in parts for row in some] == rejected

    def test_a_value_that_cannot_be_shown_is_set_aside_all_the_same(self) -> None:
        broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
        ids, texts = pa.array(["r0"]), pa.array(["some"])
        rows = pa.RecordBatch.from_arrays([ids, texts, broken], names=["row_id", "text", "new"])
        _, [rejected] = through(held("quarantine", rows, AGREED.remove(2).remove(1)), rows)
        assert rejected["value"] == "(a value that cannot be shown)"


def test_two_columns_of_one_name_are_told() -> None:
    twice = pa.schema([("text", pa.string()), ("a", pa.int64()), ("a", pa.string())])
    for agreed in (AGREED, None):
        with pytest.raises(SourceSchemaError, match="more than one column named 'a'"):
            held("evolve", twice, agreed)


def test_a_long_type_is_cut_in_messages() -> None:
    wide = pa.struct([(f"field_{number}", pa.int64()) for number in range(1000)])
    [drift] = find_drift(AGREED, AGREED.append(pa.field("wide", wide)))
    assert len(str(drift)) < 200
