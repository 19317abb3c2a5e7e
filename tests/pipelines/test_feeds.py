"""What a pass is fed with where the rows come from elsewhere."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.accounting import Rejection, StepAccount
from pipelines.feeds import NumberRows

ROWS = pa.RecordBatch.from_pylist(
    [{"text": "one", "label": "a"}, {"text": None, "label": "a"}, {"text": "three", "label": None}]
)


@pytest.mark.parametrize(
    ("labelled", "kept", "rules"),
    [(False, ["one", "three"], ["null_text"]), (True, ["one"], ["null_text", "null_label"])],
)
def test_rows_without_a_text_are_rejected_and_without_a_label_where_it_is_needed(
    labelled: bool, kept: list[str], rules: list[str]
) -> None:
    account, rejected = StepAccount("data"), list[Rejection]()

    [batch] = NumberRows("data", labelled).rows([ROWS], account, lambda rows, _: rejected.extend(rows))

    assert batch.column("text").to_pylist() == kept
    assert [(row.rule, row.row_id) for row in rejected] == [*zip(rules, ("0:1", "0:2"), strict=False)]
    assert account.rows_in == 3


def test_ids_that_rows_have_are_kept() -> None:
    named = pa.RecordBatch.from_pylist([{"row_id": 7, "text": "one"}, {"row_id": None, "text": "two"}])

    [batch] = NumberRows("data").rows([named], StepAccount("data"), lambda rows, _: None)

    assert batch.column("row_id").to_pylist() == ["7", "0:1"]
