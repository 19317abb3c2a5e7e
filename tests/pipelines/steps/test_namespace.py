from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from pydantic import ValidationError

import pipelines.steps
from pipelines.steps import RowStep, Step, TableStep, WordCount

NAMES = [
    "ArrowFunction",
    "Balance",
    "C4Quality",
    "Chunk",
    "CountTokens",
    "Decontaminate",
    "Deduplicate",
    "DeduplicateLines",
    "DeduplicateNear",
    "DetectLanguage",
    "FineWebQuality",
    "FlaggedWords",
    "GopherQuality",
    "GopherRepetition",
    "GroupSplit",
    "JoinTable",
    "Keywords",
    "Length",
    "Lowercase",
    "MapLabels",
    "ModelQuality",
    "NgramFeatures",
    "NormalizeText",
    "NormalizeUrls",
    "Outcome",
    "PythonRow",
    "RedactPii",
    "RowStep",
    "Sample",
    "SegmentChinese",
    "SelectColumns",
    "Shuffle",
    "SimplifyChinese",
    "Split",
    "SplitSentences",
    "Sql",
    "Step",
    "StripBoilerplate",
    "StripHtml",
    "TableStep",
    "TimeSplit",
    "Tokenize",
    "WordCount",
]


def test_namespace_is_flat_and_complete() -> None:
    assert pipelines.steps.__all__ == NAMES
    assert all(hasattr(pipelines.steps, name) for name in NAMES)


def test_importing_and_using_the_steps_loads_neither_spark_nor_ray() -> None:
    program = (
        "import sys, pipelines.steps, pipelines.steps.kernel as kernel, pyarrow as pa\n"
        "steps = [pipelines.steps.NormalizeText(), pipelines.steps.Deduplicate(), pipelines.steps.Split()]\n"
        "kernel.prepare(steps, pa.RecordBatch.from_pydict({'text': ['a']}))\n"
        "print([name for name in ('pyspark', 'py4j', 'ray', 'raydp', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_step_is_called_by_its_entry_point() -> None:
    registered = {one.name: one.load() for one in entry_points(group="headrace.steps")}
    ours = {name: step for name, step in registered.items() if step.__module__.startswith("pipelines.")}
    steps = {step for step in vars(pipelines.steps).values() if isinstance(step, type) and issubclass(step, Step)}
    assert set(ours.values()) == steps - {Step, RowStep, TableStep}
    for name, step in ours.items():
        assert step.model_construct().name == name


def test_name_is_the_class_in_snake_case() -> None:
    class HTTPStatusFilter2(WordCount):
        pass

    assert HTTPStatusFilter2().name == "http_status_filter2"


def test_steps_are_frozen_and_keyword_only() -> None:
    step = WordCount(min=2)
    with pytest.raises(ValidationError, match="frozen"):
        step.min = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        WordCount(2)  # type: ignore[call-arg]


def test_unknown_option_is_an_error() -> None:
    with pytest.raises(ValidationError, match="minimum"):
        WordCount(minimum=2)  # type: ignore[call-arg]
