"""The report's plots, as SVG to be put into an HTML page.

No text of the user's is drawn here (class names and metric names stand in the HTML beside the plots): a
browser has fonts for every script, and matplotlib reads dollar signs as mathematics.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.evaluation import ReliabilityBin
    from training.trainer import Epoch

SERIES_COLOURS = ("#0b6e75", "#c2571a", "#5b4bb0", "#a3346b", "#4d7c0f", "#6b7280")
"""The colours of lines, in order; they differ in lightness too, for print. After the last comes the first."""

_INK = "#1f2933"
_MUTED = "#6b7785"
_GRID = "#e3e8ec"
_ACCENT = SERIES_COLOURS[0]


def reliability_plot(bins: Sequence[ReliabilityBin]) -> Markup:
    """Draw how often the model was right at each confidence, and how many rows there were at each."""
    filled = [one for one in bins if one.rows]
    figure = _figure(5.2, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    upper.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
    confidences, accuracies = [one.confidence for one in filled], [one.accuracy for one in filled]
    upper.vlines(confidences, confidences, accuracies, color="#c2571a", linewidth=2, alpha=0.6)
    upper.plot(confidences, accuracies, color=_ACCENT, marker="o", markersize=5, linewidth=1.6)
    upper.set(xlim=(0, 1.01), ylim=(0, 1.03), ylabel="share correct")
    lower.bar(
        [one.lower for one in bins],
        [one.rows for one in bins],
        width=[one.upper - one.lower for one in bins],
        align="edge", color="#b9d5d7", edgecolor="white", linewidth=0.8,
    )  # fmt: skip
    lower.set(xlabel="confidence", ylabel="rows")
    for axes in (upper, lower):
        _plain(axes)
    return _svg(figure, "reliability", "Reliability diagram: share correct and number of rows by confidence")


def training_plot(epochs: Sequence[Epoch], best_epoch: int | None) -> Markup:
    """Draw the training loss, and beside it the validation metrics if there are any, by epoch.

    A metric is drawn in the colour that `metric_colours` gives it. Metrics called ``loss`` or ``…_loss`` are
    drawn beside the training loss, on its scale.
    """
    colours = metric_colours(epochs)
    scores = [name for name in colours if not _is_loss(name)]
    figure = _figure(10.4 if scores else 5.2, 3.4)
    panels = figure.subplots(1, 2 if scores else 1, squeeze=False)[0]
    numbers = [epoch.number for epoch in epochs]
    _line(panels[0], numbers, [epoch.train_loss for epoch in epochs], _INK)
    panels[0].set(ylabel="loss")
    for name, colour in colours.items():
        found = [epoch for epoch in epochs if name in epoch.metrics]
        axes = panels[0 if _is_loss(name) else 1]
        _line(axes, [epoch.number for epoch in found], [epoch.metrics[name] for epoch in found], colour)
    for axes in panels:
        _plain(axes)
        axes.set(xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    if scores:
        panels[1].set(ylabel="validation")
    return _svg(figure, "training", "Training curve: loss and validation metrics by epoch")


def confusion_plot(confusion: Sequence[Sequence[int]]) -> Markup:
    """Draw a confusion matrix too large for a table: the shares of each true class (row)."""
    shares = [[count / (sum(row) or 1) for count in row] for row in confusion]
    figure = _figure(7.0, 7.0)
    axes = figure.subplots()
    edges = [position + 0.5 for position in range(len(shares) + 1)]
    axes.pcolormesh(edges, edges, shares, cmap="GnBu", vmin=0, vmax=1, rasterized=True)
    axes.set(xlabel="predicted class", ylabel="true class", aspect="equal")
    axes.invert_yaxis()
    _plain(axes)
    axes.grid(visible=False)
    return _svg(figure, "confusion", "Confusion matrix: share of each true class by predicted class")


def metric_colours(epochs: Sequence[Epoch]) -> dict[str, str]:
    """Return the colour of each validation metric of `epochs`, in the order that they first appear."""
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.metrics))
    return {name: SERIES_COLOURS[position % len(SERIES_COLOURS)] for position, name in enumerate(names)}


def _is_loss(name: str) -> bool:
    return name == "loss" or name.endswith("_loss")


def _figure(width: float, height: float) -> Figure:
    # The object API: pyplot would keep the figure in a table of the process's and choose a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _line(axes: Axes, numbers: Sequence[int], values: Sequence[float], colour: str) -> None:
    axes.plot(numbers, values, color=colour, marker="o", markersize=4.5, linewidth=1.8)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b6c0c9")
    axes.tick_params(colors=_MUTED, labelsize=9, length=3)
    axes.xaxis.label.set(color=_MUTED, size=10)
    axes.yaxis.label.set(color=_MUTED, size=10)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _svg(figure: Figure, name: str, title: str) -> Markup:
    """Return the figure as an ``<svg>`` element whose ids and texts are its own, the same on every run."""
    import matplotlib

    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name}
    nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    buffer = io.StringIO()
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Ids must be unique in the page, and each figure counts its own from one.
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\1{name}-", svg)
    # The page's own font, whatever the browser has, instead of the one that matplotlib measured with.
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1))
