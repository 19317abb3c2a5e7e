from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.accounting import StepAccount
from pipelines.result import Result
from pipelines.run_record import StageTime
from pipelines.summary import FinishedRun, format_seconds, print_summary
from training.baselines import Baseline
from training.evaluation import Evaluation


@dataclass(frozen=True)
class Finished:
    pipeline: str = "reviews"
    accounts: Sequence[StepAccount] = ()
    stages: Sequence[StageTime] = ()
    evaluation: Evaluation | None = None
    baselines: Sequence[Baseline] = ()
    report: Path | None = None
    bundle: Path | None = None
    sink: str | None = None
    notices: Sequence[str] = ()


def shown(run: FinishedRun, width: int = 100) -> list[str]:
    stream = StringIO()
    print_summary(Console(file=stream, width=width, force_jupyter=False), run)
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def scores(accuracy: float, log_loss: float) -> Evaluation:
    return Evaluation(
        rows=1200,
        labels=(),
        accuracy=accuracy,
        macro_precision=0.9,
        macro_recall=0.9,
        macro_f1=0.88,
        log_loss=log_loss,
        calibration_error=0.02,
        per_class=(),
        confusion=(),
        reliability=(),
        extra={},
        mistakes=(),
    )


def test_rows_are_counted_by_step_with_the_reasons() -> None:
    accounts = [
        StepAccount("csv", 1000, 0, 1000),
        StepAccount("split", 1000, 5, 998, {"b": 4, "a": 3, "never": 0}),
    ]

    accounts[1].count({"phone": 1, "email": 2100}, {})

    lines = shown(Finished(accounts=accounts))

    assert "Counted split: email 2,100, phone 1" in lines
    assert "csv 1,000 – 1,000 –" in lines
    assert "split 1,000 5 998 7 a 3, b 4" in lines


def test_the_model_stands_above_its_baselines() -> None:
    run = Finished(
        evaluation=scores(0.91, 0.3),
        baselines=[Baseline("majority class", scores(0.5, float("inf")), train_rows=5000, sampled=False)],
    )

    lines = shown(run)

    assert "Test (1,200 rows)" in lines
    assert lines.index("this model 0.910 0.880 0.300 0.020") < lines.index("majority class 0.500 0.880 inf 0.020")


def test_a_run_that_trains_nothing_shows_no_test() -> None:
    assert not any("Test" in line or "accuracy" in line for line in shown(Finished()))


def test_stages_are_timed_and_an_open_one_is_left_out() -> None:
    lines = shown(Finished(stages=[StageTime("etl", 0, 2.0), StageTime("train", 2, 185.0), StageTime("report", 187)]))

    assert "Time etl 2.0 s · train 3 min 05 s" in lines


def test_a_long_path_is_on_one_line_whatever_the_width() -> None:
    path = Path("/a/very/long/way/to/the/directory/of/all/runs/reviews/20250304T050607Z-a1b2c3/report.html")

    lines = shown(Finished(report=path, bundle=path.parent, sink=str(path.parent.parent)), width=40)
    assert lines[-3:] == [f"Sink {path.parent.parent}", f"Report {path}", f"Bundle {path.parent}"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.9, "1 h 00 min"),
        (7265, "2 h 01 min"),
    ],
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_result_is_printed_as_its_summary(tmp_path: Path) -> None:
    accounts = (StepAccount("csv", 1234, 0, 1234), StepAccount("word_count", 1234, 0, 1200, {"too_few_words": 34}))
    result = Result("reviews", "run-1", tmp_path, accounts, (), 34, report=tmp_path / "report.html")
    assert [" ".join(line.split()) for line in str(result).splitlines()] == shown(result)
    assert "word_count 1,234 – 1,200 34 too_few_words 34" in shown(result)
    assert str(result).endswith("report.html")
