"""How long it takes to hand a Spark DataFrame over to Ray, by us, by others, and at the very least.

    python -m tests.benchmarks.handoff compare --scale 0.1 --shape short_text

from the root of the repository. `compare` runs every contender on every shape (see `shapes`, `contenders`): ours, the
floor and most others in one fresh process, RayDP and the floor in another, since RayDP leaves Ray's workers changed.
Memory is measured first; then each setting of each contender runs `--warm-ups` times, which picks its best setting and
brings JVMs and the object store to temperature; then all run in turns, `--repeats` rounds. The clock stops when every
block has been read and summed, and a run whose sum differs ends the program.

`fused`, `first-batch` and `memory` measure what the modules `fused`, `first_batch` and `footprint` say. All print a
table and one line of JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.benchmarks import first_batch as first_batches
from tests.benchmarks import footprint as footprints
from tests.benchmarks import fused as fusion
from tests.benchmarks.comparison import Comparison
from tests.benchmarks.machine import Machine
from tests.benchmarks.report import NOTES, chart, ratios, table
from tests.benchmarks.shapes import SHAPES

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

_DEFAULT = Machine()
_FULL = Comparison("short_text", _DEFAULT)

Scale = Annotated[float, typer.Option(help="How much data: 1 is about 740 MB.")]
Repeats = Annotated[int, typer.Option(min=1, help="Timed runs of each contender.")]
WarmUps = Annotated[int, typer.Option(min=1, help="Runs of each setting before.")]
Cores = Annotated[int, typer.Option(min=1, help="Cores of the executor.")]
ExecutorMemory = Annotated[str, typer.Option(help="Heap of the executor.")]
Store = Annotated[str, typer.Option(help="Size of the object store: at least four times the data.")]
Partitions = Annotated[int, typer.Option(min=1, help="Partitions of the frame.")]
Scratch = Annotated[Path, typer.Option(help="A directory on a local disk, for files.")]


@app.command()
def compare(
    shape: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(SHAPES)}; all of them.")] = None,
    scale: Scale = _FULL.scale,
    repeats: Repeats = _FULL.repeats,
    warm_ups: WarmUps = _FULL.warm_ups,
    cores: Cores = _DEFAULT.cores,
    executor_memory: ExecutorMemory = _DEFAULT.executor_memory,
    raydp_memory: Annotated[str, typer.Option(help="Heap of RayDP's executor.")] = _FULL.raydp_memory,
    object_store_memory: Store = _DEFAULT.object_store_memory,
    partitions: Partitions = _DEFAULT.partitions,
    scratch: Scratch = Path(_DEFAULT.scratch),
    chart_path: Annotated[Path | None, typer.Option("--chart", help="Where to draw the ratios, as SVG.")] = None,
) -> None:
    """Compare all contenders."""
    unknown = [name for name in shape or () if name not in SHAPES]
    if unknown:
        raise typer.BadParameter(f"no shape is called {unknown[0]!r}; there are {', '.join(SHAPES)}")
    machine = Machine(cores, executor_memory, object_store_memory, partitions, str(scratch))
    records: dict[str, list[dict[str, Any]]] = {}
    memory: dict[str, dict[str, Any]] = {}
    for name in shape or SHAPES:
        measured = Comparison(name, machine, scale, repeats, warm_ups, raydp_memory).run()
        title = f"{SHAPES[name].title}, {SHAPES[name].rows_at(scale):,} rows"
        typer.echo(table(title, measured) + "\n")
        records[name] = ratios(measured)
        ours = measured[0]
        if ours.peak is not None:
            memory[name] = {"data": ours.data_bytes, "whole_above": ours.peak.whole_above, "above": ours.peak.above}
    typer.echo(NOTES)
    if chart_path is not None:
        chart({SHAPES[name].title: one for name, one in records.items()}, chart_path)
    typer.echo(json.dumps({"benchmark": "handoff", "scale": scale, "shapes": records, "memory_bytes": memory}))


@app.command("chart")
def draw(
    results: Annotated[Path, typer.Argument(help="Lines of JSON that `compare` printed; of a shape, the last counts.")],
    path: Annotated[Path, typer.Argument(help="Where to draw them, as SVG.")],
) -> None:
    """Draw the chart of measurements made before."""
    shapes: dict[str, list[dict[str, Any]]] = {}
    for line in results.read_text("utf-8").splitlines():
        if line.startswith('{"benchmark": "handoff"'):
            shapes.update(json.loads(line)["shapes"])
    chart({shape.title: shapes[name] for name, shape in SHAPES.items() if name in shapes}, path)


@app.command()
def fused(
    scale: Scale = 1.0,
    repeats: Repeats = 5,
    warm_ups: WarmUps = 2,
    cores: Cores = _DEFAULT.cores,
    executor_memory: ExecutorMemory = _DEFAULT.executor_memory,
    object_store_memory: Store = _DEFAULT.object_store_memory,
    partitions: Annotated[
        int, typer.Option(min=1, help="Files of the source, which plans its partitions by itself.")
    ] = 16,
    scratch: Scratch = Path(_DEFAULT.scratch),
) -> None:
    """Measure what one pass from the source to Ray saves."""
    machine = Machine(cores, executor_memory, object_store_memory, partitions, str(scratch))
    results = fusion.measure(machine, scale, repeats=repeats, warm_ups=warm_ups)
    for result in results:
        typer.echo(fusion.table(result) + "\n")
    typer.echo(json.dumps({"benchmark": "fused", "scale": scale, "measured": [asdict(one) for one in results]}))


@app.command("first-batch")
def first_batch(
    shape: Annotated[str, typer.Option(help=f"One of {', '.join(SHAPES)}.")] = "short_text",
    scale: Scale = 1.0,
    repeats: Repeats = 5,
    warm_ups: WarmUps = 2,
    cores: Cores = _DEFAULT.cores,
    executor_memory: ExecutorMemory = _DEFAULT.executor_memory,
    object_store_memory: Store = _DEFAULT.object_store_memory,
    partitions: Partitions = 200,
    scratch: Scratch = Path(_DEFAULT.scratch),
) -> None:
    """Measure when the first batch of a streaming hand-over can be used."""
    if shape not in SHAPES:
        raise typer.BadParameter(f"no shape is called {shape!r}; there are {', '.join(SHAPES)}")
    machine = Machine(cores, executor_memory, object_store_memory, partitions, str(scratch))
    result = first_batches.measure(machine, SHAPES[shape], scale, repeats=repeats, warm_ups=warm_ups)
    typer.echo(first_batches.table(result) + "\n")
    typer.echo(json.dumps({"benchmark": "first_batch", "shape": shape, "scale": scale, **asdict(result)}))


@app.command()
def memory(
    shape: Annotated[str, typer.Option(help=f"One of {', '.join(SHAPES)}.")] = "short_text",
    gigabytes: Annotated[float, typer.Option(help="How much data, in 10^9 bytes.")] = 4.0,
    cores: Cores = _DEFAULT.cores,
    executor_memory: ExecutorMemory = _DEFAULT.executor_memory,
    object_store_memory: Annotated[
        list[str] | None, typer.Option(help="Sizes of the object store; by default one for the data and one to spill.")
    ] = None,
    partitions: Partitions = 64,
) -> None:
    """Measure the memory that a hand-over takes beside the data, and the files that appear."""
    if shape not in SHAPES:
        raise typer.BadParameter(f"no shape is called {shape!r}; there are {', '.join(SHAPES)}")
    scale = gigabytes * 10**9 / (SHAPES[shape].rows * SHAPES[shape].row_bytes)
    machines = [Machine(cores, executor_memory, size, partitions) for size in object_store_memory or ("5g", "1500m")]
    measured = [footprints.measure(Comparison(shape, machine, scale)) for machine in machines]
    typer.echo(footprints.table(f"{SHAPES[shape].title}, {measured[0].rows:,} rows", measured) + "\n")
    records = [footprints.record(one) for one in measured]
    typer.echo(json.dumps({"benchmark": "memory", "shape": shape, "gigabytes": gigabytes, "measured": records}))


if __name__ == "__main__":
    app()
