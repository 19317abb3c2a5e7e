"""``in + created = out + rejected``, over pipelines put together at random: no row goes missing, none is made up."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors import JsonLinesSink
from pipelines.steps import (
    Balance,
    C4Quality,
    Chunk,
    Deduplicate,
    DeduplicateLines,
    DeduplicateNear,
    DetectLanguage,
    FineWebQuality,
    FlaggedWords,
    GopherQuality,
    GopherRepetition,
    Keywords,
    Length,
    Lowercase,
    NgramFeatures,
    NormalizeText,
    NormalizeUrls,
    PythonRow,
    RedactPii,
    RowStep,
    Sample,
    SegmentChinese,
    Shuffle,
    SimplifyChinese,
    SplitSentences,
    Step,
    StripBoilerplate,
    StripHtml,
    WordCount,
)
from pipelines.steps.kernel import run_step
from tests.benchmarks.corpus import documents

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def picky(row: dict[str, object]) -> dict[str, object] | None:
    text = str(row["text"])
    return None if text.startswith("A") else row | {"text": text[: 3000 // (len(text) % 7)]}


ROW_STEPS: tuple[RowStep, ...] = (
    C4Quality(),
    C4Quality(language="zh"),
    Chunk(size=3, overlap=1),
    DetectLanguage(keep=("en", "zh")),
    FineWebQuality(),
    FlaggedWords(words=("said", "好"), max_share=0.01),
    GopherQuality(),
    GopherRepetition(),
    Length(min=10, max=5_000),
    Length(unit="sentences", min=2),
    Lowercase(),
    Keywords(words=("the", "of")),
    NgramFeatures(features=64),
    NormalizeText(),
    NormalizeUrls(replace_with="none"),
    PythonRow(function=picky),
    RedactPii(),
    RedactPii(replace_with="reject"),
    Sample(share=0.7),
    SegmentChinese(),
    SimplifyChinese(),
    SplitSentences(),
    StripHtml(),
    WordCount(min=5),
)
TABLE_STEPS: tuple[Step, ...] = (
    Balance(most=20),
    Deduplicate(),
    DeduplicateLines(),
    DeduplicateNear(),
    Shuffle(),
    StripBoilerplate(source_column="site"),
)

CORPUS = [document.text for document in documents(200, seed=5)]
ODD = [
    "",
    " ",
    "\n\n",
    "\u200b",
    "中",
    "a" * 10_000,
    "<p>",
    "A\x00b",
    "\ufeff",
    "😀" * 50,
    "http://[",
    "\ud7ff",
    "1 " * 3_000,
]


def corpus(texts: list[str]) -> pa.RecordBatch:
    ids = [f"f:{number}" for number in range(len(texts))]
    labels, sites = ([f"{kind}{number % 3}" for number in range(len(texts))] for kind in ("label", "site"))
    columns = {"row_id": ids, "text": texts, "label": labels, "site": sites}
    return pa.record_batch({name: pa.array(values, pa.string()) for name, values in columns.items()})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(ROW_STEPS), min_size=1, max_size=6),
    st.lists(st.one_of(st.sampled_from(CORPUS), st.sampled_from(ODD), st.text(max_size=60)), max_size=25),
)
def test_row_steps_lose_nothing_and_say_what_comes_out(steps: list[RowStep], texts: list[str]) -> None:
    batch = corpus(texts)
    for step in steps:
        expected = step.output_schema(batch.schema)
        before, outcome = batch.num_rows, run_step(step, batch)
        out = Counter(outcome.kept["row_id"].to_pylist())
        rejected = outcome.rejected["row_id"].to_pylist()
        assert max(out.values(), default=1) == 1
        assert not set(rejected) & set(out)
        if step.creates_rows:
            assert {name.rpartition("#")[0] for name in out} | set(rejected) == set(batch["row_id"].to_pylist())
        else:
            assert len(out) + len(rejected) == before
            assert set(out) | set(rejected) == set(batch["row_id"].to_pylist())
        assert outcome.kept.schema.names == expected.names
        assert [field.type for field in outcome.kept.schema] == [field.type for field in expected]
        batch = outcome.kept


@pytest.mark.spark
# Without shrinking, which would take minutes of Spark jobs.
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    steps=st.lists(st.one_of(st.sampled_from(ROW_STEPS), st.sampled_from(TABLE_STEPS)), min_size=2, max_size=5),
    texts=st.lists(st.one_of(st.sampled_from(CORPUS), st.sampled_from(ODD)), min_size=1, max_size=40),
)
def test_pipelines_lose_nothing(spark: SparkSession, steps: list[Step], texts: list[str]) -> None:
    from pipelines.etl import Etl

    rows = corpus(texts)
    frame = spark.createDataFrame(rows.to_pandas(), "row_id string, text string, label string, site string")
    with tempfile.TemporaryDirectory() as directory:
        etl = Etl(spark, frame.repartition(2), steps)
        etl.to_sink(JsonLinesSink(path=f"{directory}/out"))
        written = [
            json.loads(line)["row_id"]
            for file in Path(directory).rglob("*.jsonl")
            for line in file.read_text(encoding="utf-8").splitlines()
        ]
    accounts = etl.accounts()  # which checks the law at each step
    rejected = [one.row_id for one in etl.rejections()]
    assert len(set(written)) == len(written) == accounts[-1].rows_out
    assert len(rejected) == sum(account.rows_rejected for account in accounts)
    assert {name.split("#")[0] for name in (*written, *rejected)} == set(rows["row_id"].to_pylist())
