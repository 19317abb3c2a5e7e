"""The corpus that the README makes."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from connectors import ParquetSink
from pipelines import Pipeline, Session
from tests.test_documents import README, namespace_of, python_blocks

pytestmark = [pytest.mark.spark, pytest.mark.ray]


def test_the_readme_s_corpus_is_made(session: Session, tmp_path: Path) -> None:
    code = python_blocks(README)[1]
    corpus = namespace_of(code)["corpus"]
    assert isinstance(corpus, Pipeline)

    sink = ParquetSink(path=str(tmp_path / "corpus"))
    result = corpus.model_copy(update={"sink": sink}).run(session, runs=tmp_path / "runs")

    accounts = {one.name: one for one in result.accounts}
    assert accounts["text_folder"].rows_in == 2225
    assert accounts["deduplicate_near"].rejected["near_duplicate"] >= 90
    table = pq.read_table(tmp_path / "corpus")
    assert table.num_rows == result.accounts[-1].rows_out > 1500
    assert set(table.column("language").to_pylist()) == {"en"}
    assert result.report is not None
    page = result.report.read_text(encoding="utf-8")
    for shown in ("near_duplicate", "duplicate_count", "language_confidence"):
        assert shown in page
