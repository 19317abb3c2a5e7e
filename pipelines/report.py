"""The report of a run: ``report.html`` for people and ``report.json`` for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.accounting import StepAccount
from pipelines.distributions import in_order
from pipelines.durable_file import replace_file
from pipelines.report_plots import confusion_plot, metric_colours, reliability_plot, training_plot
from pipelines.run_record import StageTime, account_data, to_json
from pipelines.summary import format_seconds

if TYPE_CHECKING:
    from training.baselines import Baseline
    from training.evaluation import Evaluation
    from training.trainer import Epoch

REPORT_VERSION = 1
"""The version of the form of ``report.json``."""

MAX_TEXT_CHARACTERS = 400
"""How much of a text the page shows; ``report.json`` has what the run kept of it."""

MAX_TABLE_CLASSES = 24
"""Up to so many classes the confusion matrix is a table with its figures; past that it is a plot."""

MAX_CONFUSIONS = 12
"""How many of the most frequent confusions are listed."""


@dataclass(frozen=True)
class ReportContent:
    """What a report tells.

    Attributes:
        pipeline: the pipeline's name.
        run_id: the run's.
        started: when it started.
        seconds: how long it took until the report.
        accounts: the rows of each step, in order.
        stages: the stages and their times; one that is still open is left out.
        versions: versions by name.
        spec_yaml: the resolved spec.
        spec_hash: its hash.
        splits: rows in each split by its name; empty without splits.
        evaluation: the model on the test rows; None for a run that trains nothing.
        baselines: the baselines on the same rows.
        epochs: the epochs of training, in order.
        best_epoch: the number of the epoch that the model is from.
        output: where rows or bundle went, for a person; empty if nowhere.
        notices: what a person should know of the run, a sentence each.
    """

    pipeline: str
    run_id: str
    started: datetime
    seconds: float
    accounts: Sequence[StepAccount]
    stages: Sequence[StageTime]
    versions: Mapping[str, str]
    spec_yaml: str
    spec_hash: str
    splits: Mapping[str, int] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    baselines: Sequence[Baseline] = ()
    epochs: Sequence[Epoch] = ()
    best_epoch: int | None = None
    output: str = ""
    notices: Sequence[str] = ()


@dataclass(frozen=True)
class Verdict:
    """How a model stands against the strongest baseline, by accuracy.

    Attributes:
        standing: ``ahead`` or ``behind`` where the difference is more than chance would make of so few rows;
            ``level`` where it is not; ``alone`` where there is no baseline.
        baseline: the strongest baseline's name; empty for ``alone``.
        points: the model's accuracy less the baseline's, in points (hundredths).
        margin: half the width of the 95 % interval around `points`.
        text: all that in a sentence.
    """

    standing: Literal["ahead", "behind", "level", "alone"]
    baseline: str
    points: float
    margin: float
    text: str


def write_report(directory: Path, content: ReportContent) -> Path:
    """Write ``report.json`` and ``report.html`` into `directory`, each whole or not at all.

    Returns:
        The page's path.

    Raises:
        OSError: the directory cannot be written.
    """
    replace_file(directory / "report.json", to_json(report_data(content)))
    page = directory / "report.html"
    replace_file(page, report_html(content))
    return page


def report_data(content: ReportContent) -> dict[str, object]:
    """Return the report as data for ``report.json``; numbers that are not finite are written as null.

    The keys:
        version: `REPORT_VERSION`.
        pipeline, run_id, started (ISO 8601), seconds, spec_hash, spec (YAML), versions, output, notices: as in
        `ReportContent`.
        verdict: the fields of `Verdict`; null for a run that trains nothing.
        evaluation: `Evaluation.as_dict` of the model; null for a run that trains nothing.
        baselines: for each, ``name``, ``train_rows``, ``sampled`` and ``evaluation`` (as above).
        best_epoch, epochs: the fields of `Epoch` for each epoch.
        splits: rows by split.
        steps: for each, what `account_data` gives: name, in, created, out, rejected (by rule), seconds,
            bytes, examples (by rule), counts and samples (by what was counted), distributions (by what, then by value).
        stages: for each, name, started and seconds.
    """
    evaluation = content.evaluation
    return {
        "version": REPORT_VERSION,
        "pipeline": content.pipeline,
        "run_id": content.run_id,
        "started": content.started.isoformat(),
        "seconds": content.seconds,
        "verdict": None if evaluation is None else asdict(judge(evaluation, content.baselines)),
        "evaluation": None if evaluation is None else evaluation.as_dict(),
        "baselines": [_baseline_data(one) for one in content.baselines],
        "best_epoch": content.best_epoch,
        "epochs": [asdict(epoch) for epoch in content.epochs],
        "splits": dict(content.splits),
        "steps": [account_data(account) for account in content.accounts],
        "stages": [
            {"name": stage.name, "started": stage.started, "seconds": stage.seconds} for stage in _ended(content.stages)
        ],
        "versions": dict(content.versions),
        "output": content.output,
        "notices": list(content.notices),
        "spec_hash": content.spec_hash,
        "spec": content.spec_yaml,
    }


def report_html(content: ReportContent) -> str:
    """Return the report as one HTML page that loads nothing; every text of the user's is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        {
            "count": _count,
            "figure": _figure,
            "percent": _percent,
            "seconds": format_seconds,
            "shorten": _shorten,
        }
    )
    return environment.get_template("report.html.jinja2").render(**_view(content))


def judge(evaluation: Evaluation, baselines: Sequence[Baseline]) -> Verdict:
    """Return how the model stands against the strongest baseline.

    The margin is that of Agresti and Caffo (2000) for two independent proportions, a success and a failure
    added to each. Both were scored on the same rows, which makes the true margin smaller: the verdict errs
    towards ``level``.
    """
    accuracy, rows = evaluation.accuracy, evaluation.rows
    opening = f"Accuracy {accuracy:.3f} on {rows:,} test rows"
    if not baselines:
        return Verdict("alone", "", 0.0, 0.0, f"{opening}; there is no baseline to hold it against.")
    strongest = max(baselines, key=lambda one: one.evaluation.accuracy)
    other = strongest.evaluation.accuracy
    points, margin = 100 * (accuracy - other), 100 * _margin(evaluation, strongest.evaluation)
    standing: Literal["ahead", "behind", "level"]
    standing = "level" if abs(points) <= margin else "ahead" if points > 0 else "behind"
    against = f"{strongest.name} ({other:.3f}), the strongest baseline"
    apart = "the same as" if f"{abs(points):.1f}" == "0.0" else f"{_points(abs(points))} {_side(points)}"
    ending = (
        f", which is no more than {rows:,} rows can tell apart (±\u00a0{_points(margin)})."
        if standing == "level"
        else f" (±\u00a0{_points(margin)})."
    )
    return Verdict(standing, strongest.name, points, margin, f"{opening}: {apart} {against}{ending}")


def _margin(*scored: Evaluation) -> float:
    sizes = [one.rows + 2 for one in scored]
    shares = [(one.accuracy * one.rows + 1) / size for one, size in zip(scored, sizes, strict=True)]
    return 1.96 * math.sqrt(sum(share * (1 - share) / size for share, size in zip(shares, sizes, strict=True)))


def _points(points: float) -> str:
    shown = f"{points:.1f}"
    return f"{shown}\u00a0{'point' if shown == '1.0' else 'points'}"


def _side(points: float) -> str:
    return "ahead of" if points > 0 else "behind"


def _view(content: ReportContent) -> dict[str, object]:
    """Return what the template needs besides the content: plots, lists as they are shown, scales for bars."""
    evaluation, stages = content.evaluation, _ended(content.stages)
    view: dict[str, object] = {
        "content": content,
        "stages": stages,
        "longest_stage": max((stage.seconds or 0 for stage in stages), default=0) or 1,
        "most_rows": max((one.rows_in + one.created for one in content.accounts), default=0) or 1,
        "counted": [
            (account.name, what, times, account.samples.get(what, ()))
            for account in content.accounts
            for what, times in sorted(account.counts.items(), key=lambda item: -item[1])
        ],
        "spreads": _spreads(content.accounts),
        "rejections": [
            (account.name, rule, rows, account.examples.get(rule, ()))
            for account in content.accounts
            for rule, rows in sorted(account.rejected.items(), key=lambda item: -item[1])
            if rows
        ],
        "training_plot": training_plot(content.epochs, content.best_epoch) if content.epochs else None,
        "metric_colours": metric_colours(content.epochs),
        "verdict": None,
    }
    if evaluation is not None:
        baselines = sorted(content.baselines, key=lambda one: -one.evaluation.accuracy)
        large = len(evaluation.labels) > MAX_TABLE_CLASSES
        view |= {
            "verdict": judge(evaluation, content.baselines),
            "scored": [
                ("this model", evaluation),
                *((one.name, one.evaluation) for one in baselines),
            ],
            "reliability_plot": reliability_plot(evaluation.reliability),
            "confusion_plot": confusion_plot(evaluation.confusion) if large else None,
            "confusions": _confusions(evaluation),
        }
    return view


def _spreads(accounts: Sequence[StepAccount]) -> list[tuple[str, list[tuple[str, int | None, int]], int]]:
    """Return how the rows are spread before all steps and behind them: by what, then by value or range, with the most.

    The figure before is None where the source's rows had no such column.
    """
    if not accounts:
        return []
    before, behind = accounts[0].distributions, accounts[-1].distributions
    spreads: list[tuple[str, list[tuple[str, int | None, int]], int]] = []
    for name in dict.fromkeys([*before, *behind]):
        source, corpus = before.get(name), behind.get(name, {})
        shown = in_order(name, source or {}, corpus)
        rows = [(value, source.get(value, 0) if source is not None else None, corpus.get(value, 0)) for value in shown]
        spreads.append((name, rows, max((*(source or {}).values(), *corpus.values()), default=0) or 1))
    return spreads


def _baseline_data(baseline: Baseline) -> dict[str, object]:
    return {
        "name": baseline.name,
        "train_rows": baseline.train_rows,
        "sampled": baseline.sampled,
        "evaluation": baseline.evaluation.as_dict(),
    }


def _confusions(evaluation: Evaluation) -> list[tuple[str, str, int, float]]:
    """Return the most frequent confusions: true label, predicted, rows, their share of the true label's."""
    found = [
        (evaluation.labels[true], evaluation.labels[predicted], rows, rows / sum(row))
        for true, row in enumerate(evaluation.confusion)
        for predicted, rows in enumerate(row)
        if rows and predicted != true
    ]
    return sorted(found, key=lambda one: -one[2])[:MAX_CONFUSIONS]


def _ended(stages: Sequence[StageTime]) -> list[StageTime]:
    return [stage for stage in stages if stage.seconds is not None]


def _count(number: int) -> str:
    return f"{number:,}"


def _figure(number: float | None, places: int = 3) -> str:
    return "–" if number is None or not math.isfinite(number) else f"{number:.{places}f}"


def _percent(share: float) -> str:
    """Return a share as a CSS length for bars: never less than nothing nor more than all."""
    return f"{100 * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0:.2f}%"


def _shorten(text: str, characters: int = MAX_TEXT_CHARACTERS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"
