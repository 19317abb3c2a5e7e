"""What the measurements are shown as: a table and a chart. No time stands without its ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.contenders import FLOOR, OURS
from tests.benchmarks.memory import Peak
from tests.benchmarks.rounds import Times

_MIB = 2**20
_COLUMNS = ("contender", "landed, s", "÷ floor", "landed and read, s", "÷ floor", "÷ ours", "÷ ours by floors")
NOTES = """\
Medians (least to most). "Landed": every block is in the object store; "read": and every block has been read and summed.
÷ floor: by the median of the floor of the same process (mapInArrow, batches only counted, nothing landed or read).
÷ ours: landed and read, by ours. ÷ ours by floors: the same after each was divided by the floor of its own process,
which differs from ÷ ours only for a contender that ran in a process other than ours."""


@dataclass(frozen=True)
class Measured:
    """What one process measured of one shape.

    Attributes:
        times: its contenders, the floor among them.
        peak: the memory that ours took; None in a process that ours did not run in.
        data_bytes: the size of the Dataset that this memory was taken for.
        settings: what the process was started with, for people.
    """

    times: tuple[Times, ...]
    peak: Peak | None
    data_bytes: int
    settings: str


def ratios(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return a record for each contender of each process, its times in seconds and its ratios."""
    ours, ours_floor = next((one, _floor(process)) for process in measured for one in process.times if one.name == OURS)
    records = []
    for process in measured:
        floor = _floor(process)
        for one in process.times:
            record: dict[str, Any] = {
                "contender": one.name,
                "settings": one.settings,
                "process": process.settings,
                "landed_s": list(one.landed),
                "read_s": list(one.read),
                "tried_s": dict(one.tried),
                "landed_by_floor": median(one.landed) / floor,
            }
            if one.read:
                record["read_by_floor"] = one.whole / floor
                record["by_ours"] = one.whole / ours.whole
                record["by_ours_by_floors"] = (one.whole / floor) / (ours.whole / ours_floor)
            records.append(record)
    return records


def table(title: str, measured: Sequence[Measured]) -> str:
    """Return the measurements of one shape as a Markdown table, with settings and memory below it."""
    rows = [_COLUMNS, tuple("---" for _ in _COLUMNS)]
    records = ratios(measured)
    for record in records:
        read = record["read_s"]
        rows.append(
            (
                record["contender"],
                _seconds(record["landed_s"]),
                f"{record['landed_by_floor']:.2f}",
                _seconds(read) if read else "–",
                *(f"{record[key]:.2f}" if read else "–" for key in ("read_by_floor", "by_ours", "by_ours_by_floors")),
            )
        )
    lines = [f"### {title}", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    for process in measured:
        lines.append(f"- In one process ({process.settings}):")
        lines += [f"  - {one.name}: {one.settings}" for one in process.times]
    return "\n".join([*lines, *(line for process in measured for line in _memory(process))])


def chart(shapes: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Draw, as SVG, each contender's time by the floor's, landed and read, a group of bars for each shape.

    Args:
        shapes: by title, what `ratios` returned.
        path: where to write it; the same measurements give the same bytes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(one["contender"] for records in shapes.values() for one in records if one["read_s"]))
    colours = dict(zip(names, ("#1f6f8b", "#b8b8b8", "#8f8f8f", "#666666"), strict=False))
    figure = Figure(figsize=(8.0, 0.5 + 0.28 * len(shapes) * (len(names) + 1)), layout="constrained")
    axes = figure.subplots()
    place, ticks = 0.0, []
    for title, records in shapes.items():
        bars = sorted((one for one in records if one["read_s"]), key=lambda one: names.index(one["contender"]))
        ticks.append((place + (len(bars) - 1) / 2, title))
        for bar in bars:
            width, name = bar["read_by_floor"], bar["contender"]
            axes.barh(place, width, color=colours.get(name, "#444444"))
            axes.text(width, place, f" {name} {width:.2f}", va="center", fontsize=8)
            place += 1.0
        place += 0.8
    axes.axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks([at for at, _ in ticks], [title for _, title in ticks])
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("time until all rows are landed and read, by that of bringing them into Python at all (1 = floor)")
    with mpl.rc_context({"svg.hashsalt": "headrace", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


def _floor(process: Measured) -> float:
    return next(median(one.landed) for one in process.times if one.name == FLOOR)


def _seconds(times: Sequence[float]) -> str:
    return f"{median(times):.2f} ({min(times):.2f}–{max(times):.2f})"


def _memory(process: Measured) -> list[str]:
    peak = process.peak
    if peak is None:
        return []
    data = process.data_bytes
    beyond = peak.whole_above - data
    return [
        "",
        f"Memory during {OURS}, peak above the state before, {peak.samples} samples; data in the store "
        f"{data / _MIB:.0f} MiB:",
        "",
        *(f"- {part}: {size / _MIB:.0f} MiB ({size / data:.2f} × data)" for part, size in sorted(peak.above.items())),
        f"- all at one time: {peak.whole_above / _MIB:.0f} MiB ({peak.whole_above / data:.2f} × data), so "
        f"{beyond / _MIB:.0f} MiB ({beyond / data:.2f} × data) above the data itself",
    ]
