"""Holding a source's columns to the schema that was agreed on, under a pipeline's contract.

    ============== ============================ ================ ================================================
    kind           evolve                       freeze           quarantine
    ============== ============================ ================ ================================================
    new column     is taken                     an error         is left out; rows with a value in it are set aside
    missing column is filled with nulls         an error         every row is set aside
    type change    becomes the common type      an error         is cast; rows whose value is not held are set aside
    ============== ============================ ================ ================================================

Where a column that is missing cannot be filled, as rows are nothing without it, or two types have no common one,
``evolve`` is an error, too. A missing column counts as missing also where it allowed nulls: that a column is there at
all was agreed on, and whether one of its values is null was not. Who is content with nulls says ``evolve`` of it.

A row that is set aside has one reason: the first of ``missing_column``, ``new_column`` and ``type_change``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import InstanceOf

from connectors.source import MAX_VALUE_CHARACTERS, ROW_ID, TEXT
from pipelines.lossless_cast import Mask, common_type, convert
from pipelines.schema_contract import SchemaContract
from pipelines.schema_drift import Drift, agreed_type, decoded, find_drift, to_agree_on, type_text
from pipelines.steps.step import REASON, REJECTS, Outcome, RowStep


class ConformToSchema(RowStep):
    """Gives rows the columns that a run goes on with, and rejects those that do not fit.

    Attributes:
        output: the columns that come out, in order; those that rows lack are filled with nulls.
        unwanted: columns that do not, and whose values that are not null reject their rows.
        lacking: columns for want of which every row is rejected.
    """

    NAME: ClassVar[str] = "schema_contract"
    """What it is called in counts and reasons: the option of the pipeline that it does the work of."""

    training_only: ClassVar[bool] = True

    output: InstanceOf[pa.Schema]
    unwanted: InstanceOf[pa.Schema] = pa.schema([])
    lacking: InstanceOf[pa.Schema] = pa.schema([])

    @property
    def name(self) -> str:
        """Its `NAME`."""
        return self.NAME

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows in the columns of `output`, and those that do not fit with the rule, the value, the reason.

        Args:
            batch: rows with the columns that the step was made for, in any order and layout.
        """
        verdicts = _Verdicts(batch)
        for field in self.lacking:
            texts = batch.column(TEXT) if TEXT in batch.schema.names else pa.nulls(batch.num_rows)
            reason = f"column {field.name!r} ({type_text(field.type)}), as agreed, is missing"
            verdicts.reject(np.ones(batch.num_rows, np.bool_), "missing_column", texts, reason)
        for field in self.unwanted:
            column = batch.column(field.name)
            reason = f"column {field.name!r} ({type_text(field.type)}) was not agreed on"
            verdicts.reject(column.is_valid().to_numpy(zero_copy_only=False), "new_column", column, reason)
        columns = []
        for field in self.output:
            if field.name not in batch.schema.names:
                columns.append(pa.nulls(batch.num_rows, field.type))
                continue
            column = batch.column(field.name)
            converted = convert(column, field.type)
            columns.append(converted.values)
            if converted.lost.any():
                kind = type_text(decoded(column.type))
                reason = (
                    f"column {field.name!r}: a value ({kind}) that {type_text(field.type)}, as agreed, does not hold"
                )
                verdicts.reject(converted.lost, "type_change", column, reason)
        rows = pa.RecordBatch.from_arrays(columns, schema=self.output)
        return verdicts.outcome(rows)

    def output_schema(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns that come out."""
        return self.output


@dataclass(frozen=True)
class Conformance:
    """What a contract makes of the columns that were found.

    Attributes:
        step: what is done to the rows.
        agreed: what is agreed on once the run has ended well.
        notices: what a person should know of each drift.
        faults: the drifts that make the run an error; where there are some, the rest is not to be used.
    """

    step: ConformToSchema
    agreed: pa.Schema
    notices: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def conform(
    agreed: pa.Schema | None, found: pa.Schema, contract: SchemaContract, required: Collection[str] = (TEXT,)
) -> Conformance:
    """Return what a contract makes of columns.

    Args:
        agreed: what was agreed on; None: nothing yet, so what is found is.
        found: the columns of the source, with or without ``row_id``.
        contract: says what becomes of each kind of drift.
        required: columns that rows are nothing without, so that they cannot be filled with nulls.

    Raises:
        SourceSchemaError: two columns found have one name.
    """
    agreed = to_agree_on(found) if agreed is None else agreed
    drifts = find_drift(agreed, found)
    columns = {field.name: field.type for field in agreed}
    notices, faults = [], []
    for drift in drifts:
        handling = getattr(contract, drift.kind)
        fault = _fault(drift, handling, required)
        if fault is not None:
            faults.append(fault)
            continue
        if handling == "evolve" and drift.found is not None:
            kind = drift.found if drift.agreed is None else common_type(drift.agreed, drift.found)
            columns[drift.name] = agreed_type(kind)
        notices.append(_notice(drift, handling, columns))
    aside = [drift for drift in drifts if getattr(contract, drift.kind) == "quarantine"]
    step = ConformToSchema(
        output=_output(columns, found),
        unwanted=pa.schema([(drift.name, drift.found) for drift in aside if drift.kind == "new_columns"]),
        lacking=pa.schema([(drift.name, drift.agreed) for drift in aside if drift.kind == "missing_columns"]),
    )
    return Conformance(step, pa.schema(list(columns.items())), tuple(notices), tuple(faults))


def _fault(drift: Drift, handling: str, required: Collection[str]) -> str | None:
    """Return what is wrong with a drift that its contract, or its nature, does not allow."""
    if handling == "freeze":
        return str(drift)
    if handling == "evolve" and drift.kind == "missing_columns" and drift.name in required:
        return f"{drift}, which cannot be filled with nulls, as rows are nothing without it"
    if handling == "evolve" and drift.kind == "types" and common_type(drift.agreed, drift.found) is None:
        return f"{drift}, and no type holds the values of both without loss"
    return None


def _notice(drift: Drift, handling: str, columns: dict[str, pa.DataType]) -> str:
    """Return what a person should know of a drift that is no fault."""
    if drift.kind == "types":
        now = type_text(columns[drift.name])
        evolved, aside = f"it is taken as {now}", f"rows with a value that {now} does not hold are set aside"
    elif drift.kind == "new_columns":
        evolved, aside = "it is taken", "it is left out, and rows with a value in it are set aside"
    else:
        evolved, aside = "it is filled with nulls", "every row is set aside"
    return f"{drift}: {evolved if handling == 'evolve' else aside}"


def _output(columns: dict[str, pa.DataType], found: pa.Schema) -> pa.Schema:
    """Return the columns that a run goes on with: ``row_id``, if there is one, and what is agreed on, in its order.

    What the source says of nulls is left as it is, as it is none of the contract's business.
    """
    there = {field.name: field for field in found}
    fields = [there[ROW_ID]] if ROW_ID in there else []
    for name, kind in columns.items():
        field = there.get(name)
        if field is None:
            fields.append(pa.field(name, kind))
            continue
        plain = decoded(field.type)
        fields.append(pa.field(name, plain if agreed_type(plain).equals(kind) else kind, field.nullable))
    return pa.schema(fields)


class _Verdicts:
    """Which rows of a batch are rejected, and why: the first reason counts."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._rejected = np.zeros(batch.num_rows, np.bool_)
        self._found: list[dict[str, object]] = []

    def reject(self, rows: Mask, rule: str, values: pa.Array, reason: str) -> None:
        """Reject the rows that have not been so yet."""
        places = np.flatnonzero(rows & ~self._rejected)
        self._rejected |= rows
        ids = self._batch.column(ROW_ID).take(pa.array(places)).to_pylist()
        self._found += [
            {ROW_ID: row_id, "rule": rule, "value": _shown(values[place]), "reason": reason}
            for row_id, place in zip(ids, places.tolist(), strict=True)
        ]

    def outcome(self, rows: pa.RecordBatch) -> Outcome:
        """Return the rows that are left, and the verdicts."""
        if not self._found:
            return Outcome.keep(rows)
        rejected = pa.RecordBatch.from_pylist(self._found, schema=REJECTS.append(pa.field(REASON, pa.string())))
        return Outcome(rows.filter(pa.array(~self._rejected)), rejected)


def _shown(value: pa.Scalar) -> str:
    try:
        content = value.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return "(a value that cannot be shown)"
    return "" if content is None else str(content)[:MAX_VALUE_CHARACTERS]
