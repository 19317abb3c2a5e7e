from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.accounting import Example, StepAccount
from pipelines.report import ReportContent, judge, report_data, report_html, write_report
from pipelines.run_record import StageTime
from training.baselines import Baseline
from training.evaluation import ClassScore, Evaluation, Mistake, ReliabilityBin
from training.trainer import Epoch

ATTACK = "<script>alert('x')</script>"
TF_IDF = "TF-IDF + logistic regression"


def evaluation(
    confusion: Sequence[Sequence[int]],
    labels: Sequence[str] | None = None,
    mistakes: Sequence[Mistake] = (),
    log_loss: float = 0.4,
) -> Evaluation:
    """An evaluation whose accuracy and matrix agree; its other figures are only for show."""
    rows, names = sum(map(sum, confusion)), labels or [f"class {n}" for n in range(len(confusion))]
    accuracy = sum(row[position] for position, row in enumerate(confusion)) / rows
    scores = [ClassScore(name, 0.9, 0.8, 0.85, sum(row)) for name, row in zip(names, confusion, strict=True)]
    return Evaluation(
        rows=rows,
        labels=tuple(names),
        accuracy=accuracy,
        macro_precision=0.9,
        macro_recall=0.8,
        macro_f1=0.85,
        log_loss=log_loss,
        calibration_error=0.03,
        per_class=tuple(scores),
        confusion=tuple(tuple(row) for row in confusion),
        reliability=(ReliabilityBin(0.0, 0.5, 0, 0.0, 0.0), ReliabilityBin(0.5, 1.0, rows, 0.9, accuracy)),
        extra={},
        mistakes=tuple(mistakes),
    )


def baseline(name: str, scores: Evaluation, sampled: bool = False) -> Baseline:
    return Baseline(name, scores, train_rows=5000, sampled=sampled)


def content(scores: Evaluation | None = None, baselines: Sequence[Baseline] = ()) -> ReportContent:
    rejection = Example("a:3", "word_count", "too_few_words", "hm", "1 word", "a.csv", 4, text="No more to say.")
    return ReportContent(
        pipeline="reviews",
        run_id="20250304T050607Z-a1b2c3",
        started=datetime(2025, 3, 4, 5, 6, 7, tzinfo=timezone.utc),
        seconds=75.0,
        accounts=[
            StepAccount("csv", 1234, 0, 1234),
            StepAccount("word_count", 1234, 0, 1200, {"too_few_words": 34}, 0.5, 400, {"too_few_words": [rejection]}),
        ],
        stages=[StageTime("etl", 0.0, 12.0), StageTime("report", 12.0, None)],
        versions={"python": "3.11.7", "ray": "2.60.0"},
        spec_yaml="version: 1\nname: reviews\n",
        spec_hash="abc123",
        evaluation=scores,
        baselines=baselines,
    )


def text_of(page: str) -> str:
    """The text of a page as a reader sees it, runs of space as one."""

    class Reader(HTMLParser):
        hidden = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.hidden += tag == "style"

        def handle_endtag(self, tag: str) -> None:
            self.hidden -= tag == "style"

        def handle_data(self, data: str) -> None:
            if not self.hidden:
                parts.append(data)

    parts: list[str] = []
    Reader().feed(page)
    return " ".join(" ".join(parts).split())


def right(correct: int, rows: int) -> Evaluation:
    """An evaluation in which `correct` of `rows` were right."""
    half = rows // 2
    wrong = rows - correct
    return evaluation([[half - wrong, wrong], [0, rows - half]])


@pytest.mark.parametrize(
    ("correct", "other", "standing"),
    [
        (950, 850, "ahead"),
        (850, 950, "behind"),
        (955, 950, "level"),
        (945, 950, "level"),
        (950, 950, "level"),
    ],
)
def test_the_verdict_is_only_as_sure_as_the_rows_allow(correct: int, other: int, standing: str) -> None:
    verdict = judge(right(correct, 1000), [baseline(TF_IDF, right(other, 1000))])

    assert verdict.standing == standing
    assert verdict.points == pytest.approx((correct - other) / 10)


def test_the_same_difference_says_more_on_more_rows() -> None:
    few = judge(right(96, 100), [baseline(TF_IDF, right(94, 100))])
    many = judge(right(9600, 10000), [baseline(TF_IDF, right(9400, 10000))])

    assert (few.standing, many.standing) == ("level", "ahead")
    assert few.margin > many.margin


def test_the_margin_is_that_of_agresti_and_caffo() -> None:
    verdict = judge(right(90, 100), [baseline(TF_IDF, right(80, 100))])

    # By hand: 91/102 and 81/102, so 1.96 · sqrt(0.8922·0.1078/102 + 0.7941·0.2059/102).
    assert verdict.margin == pytest.approx(9.895, abs=0.01)


def test_a_model_behind_its_baseline_is_told_so_in_words() -> None:
    verdict = judge(
        right(850, 1000), [baseline("majority class", right(500, 1000)), baseline(TF_IDF, right(950, 1000))]
    )

    words = verdict.text.replace("\u00a0", " ")
    assert words == (
        "Accuracy 0.850 on 1,000 test rows: 10.0 points behind TF-IDF + logistic regression (0.950), the "
        "strongest baseline (± 2.6 points)."
    )


def test_without_a_baseline_there_is_nothing_to_stand_against() -> None:
    assert judge(right(9, 10), []).standing == "alone"


def test_the_page_shows_the_metrics_beside_the_baselines() -> None:
    page = report_html(
        content(right(850, 1000), [baseline(TF_IDF, right(950, 1000)), baseline("majority", right(500, 1000))])
    )

    text = text_of(page)
    assert re.search(r"this model 0\.850 .*TF-IDF \+ logistic regression 0\.950 .*majority 0\.500", text)
    assert judge(right(850, 1000), [baseline(TF_IDF, right(950, 1000))]).text.split(" (")[0] in page.replace(
        "&#43;", "+"
    )


def test_the_strongest_baseline_stands_next_to_the_model() -> None:
    scores = [baseline("majority", right(500, 1000)), baseline(TF_IDF, right(950, 1000))]

    text = text_of(report_html(content(right(850, 1000), scores)))

    assert text.index(TF_IDF, text.index("this model")) < text.index("majority", text.index("this model"))


def test_a_baseline_that_saw_a_sample_only_is_said_to_have() -> None:
    whole = text_of(report_html(content(right(850, 1000), [baseline(TF_IDF, right(95, 100))])))
    sampled = text_of(report_html(content(right(850, 1000), [baseline(TF_IDF, right(95, 100), sampled=True)])))

    assert "fitted on the same training rows" in whole
    assert f"{TF_IDF} was fitted on 5,000 training rows and scored on 100 test rows." in sampled


def test_the_page_shows_rows_by_step_and_rejections_with_examples() -> None:
    text = text_of(report_html(content()))

    assert "word_count 1,234 – 1,200 34" in text
    assert "word_count too_few_words 34 a:3 · a.csv:4 hm 1 word No more to say." in text


def test_an_etl_run_has_rows_times_and_spec_but_no_metrics() -> None:
    page = report_html(content())

    text = text_of(page)
    assert "Accuracy" not in text
    assert "Confusion" not in text
    assert "<svg" not in page
    assert "etl 12 s" in text
    assert "version: 1 name: reviews" in text
    assert "ray 2.60.0" in text


def test_classes_are_named_in_html_in_their_own_script() -> None:
    mistake = Mistake("neg:7", "房间很小，但是服务很好。", "差评", "好评", 0.991)
    page = report_html(content(evaluation([[40, 10], [5, 45]], ["好评", "差评"], [mistake])))

    text = text_of(page)
    assert "好评 40 10 差评 5 45" in text
    assert "房间很小，但是服务很好。 neg:7 差评 好评 0.991" in text


def test_every_text_of_the_users_is_escaped() -> None:
    mistake = Mistake(ATTACK, ATTACK, ATTACK, ATTACK, 0.9)
    rejection = Example(ATTACK, ATTACK, ATTACK, ATTACK, ATTACK, ATTACK, 1, ATTACK)
    scores = evaluation([[4, 1], [0, 5]], [ATTACK, '" onload="x'], [mistake])
    page = report_html(
        replace(
            content(scores, [baseline(ATTACK, scores)]),
            pipeline=ATTACK,
            run_id=ATTACK,
            spec_yaml=ATTACK,
            spec_hash=ATTACK,
            output=ATTACK,
            notices=(ATTACK,),
            versions={ATTACK: ATTACK},
            splits={ATTACK: 3},
            stages=[StageTime(ATTACK, 0, 1)],
            accounts=[StepAccount(ATTACK, 1, 0, 0, {ATTACK: 1}, examples={ATTACK: [rejection]})],
            epochs=[Epoch(1, 10, 1.0, 0.5, {ATTACK: 0.5})],
            best_epoch=1,
        )
    )

    assert "<script" not in page
    assert text_of(page).count(ATTACK) >= 20


def test_the_page_loads_nothing() -> None:
    page = report_html(replace(content(right(9, 10)), epochs=[Epoch(1, 10, 1.0, 0.5, {})]))

    assert "<link" not in page
    assert "<script" not in page
    assert "@import" not in page
    assert re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*", page) == []
    assert re.findall(r"url\((?!#)[^)]*", page) == []


def test_ids_are_unique_in_the_page_and_every_reference_finds_its_own() -> None:
    page = report_html(replace(content(right(9, 10)), epochs=[Epoch(1, 10, 1.0, 0.5, {"accuracy": 0.9})]))

    ids = re.findall(r"\bid=\"([^\"]*)", page)
    assert len(ids) == len(set(ids)) > 0
    assert set(re.findall(r"(?:url\(|href=\")#([^)\"]*)", page)) <= set(ids)


def test_the_same_run_makes_the_same_page() -> None:
    scores = replace(content(right(9, 10)), epochs=[Epoch(1, 10, 1.0, 0.5, {"accuracy": 0.9})])

    assert report_html(scores) == report_html(scores)


def test_a_metric_that_only_some_epochs_have_is_drawn_and_named() -> None:
    epochs = [Epoch(1, 10, 1.0, 0.5, {}), Epoch(2, 10, 1.0, 0.4, {"准确率 $x_1$": 0.9, "loss": 0.3})]
    text = text_of(report_html(replace(content(), epochs=epochs, best_epoch=2)))

    assert "the model is from epoch 2" in text
    assert "validation 准确率 $x_1$" in text


def test_many_classes_are_drawn_and_their_worst_confusions_listed() -> None:
    confusion = [[10 if row == column else 0 for column in range(40)] for row in range(40)]
    confusion[3][17] = 7

    page = report_html(content(evaluation(confusion)))

    assert 'aria-label="Confusion matrix' in page
    assert "class 3 class 17 7 41.2 %" in text_of(page)


def test_a_class_without_test_rows_and_a_metric_that_is_not_finite_are_shown() -> None:
    page = report_html(content(evaluation([[5, 0], [0, 0]], log_loss=float("nan"))))

    assert "this model –" in text_of(page)


def test_the_data_says_what_the_page_says() -> None:
    scores = right(850, 1000)
    told = replace(
        content(scores, [baseline(TF_IDF, right(950, 1000))]),
        epochs=[Epoch(1, 10, 1.0, 0.5, {"accuracy": 0.9})],
        best_epoch=1,
        splits={"train": 200, "test": 1000},
    )

    data = report_data(told)

    assert data["evaluation"] == scores.as_dict()
    assert data["baselines"] == [
        {"name": TF_IDF, "train_rows": 5000, "sampled": False, "evaluation": right(950, 1000).as_dict()}
    ]
    assert data["epochs"] == [
        {"number": 1, "rows": 10, "seconds": 1.0, "train_loss": 0.5, "metrics": {"accuracy": 0.9}}
    ]
    assert data["stages"] == [{"name": "etl", "started": 0.0, "seconds": 12.0}]
    assert (data["spec"], data["spec_hash"]) == (told.spec_yaml, "abc123")


def test_every_key_of_the_data_is_documented() -> None:
    documented = set(re.findall(r"\b[a-z_]+\b", report_data.__doc__ or ""))

    assert set(report_data(content(right(9, 10)))) <= documented


def test_both_files_are_written_whole(tmp_path: Path) -> None:
    page = write_report(tmp_path, content(evaluation([[5, 0], [0, 5]], log_loss=float("inf"))))

    data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert page == tmp_path / "report.html"
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert data["evaluation"]["log_loss"] is None
    assert sorted(one.name for one in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_nothing_heavy_is_imported_with_the_records_and_the_report() -> None:
    program = """
import sys
import pipelines.log, pipelines.progress, pipelines.quarantine, pipelines.report, pipelines.run_history
print(sorted({"matplotlib", "pyspark", "ray", "raydp", "torch", "transformers"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout == "[]\n"


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)

    report_html(content(right(9, 10)))

    assert dict(matplotlib.rcParams) == before
