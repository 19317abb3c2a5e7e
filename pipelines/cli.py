"""The command line: ``headrace run|plan|preview|validate|schema|predict|runs|doctor``.

Exit codes: 0 done, 1 failed, 2 wrong usage or a wrong spec. What an error means for the exit code is decided in
`main` alone.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from connectors.errors import ConnectorError
from pipelines.errors import PipelineError, SpecError
from training.errors import TrainingError

DONE, FAILED, WRONG = 0, 1, 2

app = typer.Typer(
    name="headrace",
    help="Raw text in one end, a trained and evaluated classifier out of the other.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
runs_app = typer.Typer(help="Look at the records of runs.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")

SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC", help="The pipeline's YAML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change an option, as train.epochs=3 or steps.word_count.min=4."),
]
RunsOption = Annotated[Path, typer.Option("--runs", help="The directory of all run records.")]


def main() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, _interrupt)
    errors = Console(stderr=True)
    try:
        app()
    except SpecError as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(WRONG)
    except (PipelineError, ConnectorError, TrainingError) as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(FAILED)


@app.command()
def run(spec: SpecArgument, changes: SetOption = None, runs: RunsOption = Path("runs")) -> None:
    """Run a pipeline to its end and say where the report is."""
    from pipelines.progress import show_progress
    from pipelines.spec import load

    pipeline = load(spec, changes or ())
    if pipeline.train is None and pipeline.sink is None:
        raise SpecError(f"{spec}: a spec that is run needs train: or sink:, else its rows go nowhere")
    with show_progress() as listener:
        pipeline.run(runs=runs, listener=listener)


@app.command()
def plan(spec: SpecArgument, changes: SetOption = None) -> None:
    """Show what a run would do: passes, partitions, resources. Starts nothing."""
    from pipelines.plan import describe_plan
    from pipelines.spec import load

    Console().print(describe_plan(load(spec, changes or ())))


@app.command()
def preview(
    spec: SpecArgument,
    changes: SetOption = None,
    rows: Annotated[int, typer.Option("-n", "--rows", min=1, help="How many rows to show.")] = 20,
) -> None:
    """Show the first rows after the row steps, in seconds: no Ray, no Spark."""
    from pipelines.preview import preview as look
    from pipelines.spec import load

    found, left_out = look(load(spec, changes or ()), rows)
    table = Table(show_lines=False, expand=True)
    for title in ("row_id", "text and columns", "rejected by"):
        table.add_column(title, overflow="fold")
    for row in found:
        shown = ", ".join(f"{key}={_excerpt(value)}" for key, value in row.values.items() if key != "row_id")
        table.add_row(escape(row.row_id), escape(shown), escape(row.rejected or ""))
    console = Console()
    console.print(table)
    if left_out:
        console.print(f"not applied here, from the first table step on: {', '.join(left_out)}", highlight=False)


@app.command()
def validate(spec: SpecArgument, changes: SetOption = None) -> None:
    """Check a spec, and report all its faults at once, each with its line."""
    from pipelines.spec import load

    pipeline = load(spec, changes or ())
    typer.echo(f"{spec}: {pipeline.name} is a valid pipeline ({pipeline.spec_hash[:12]})")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a spec, for editors."""
    from pipelines.spec_schema import json_schema

    print(json.dumps(json_schema(), ensure_ascii=False, indent=2))


@app.command()
def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's directory, as a run leaves one.")],
    texts: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A file of texts, one a line, in UTF-8; else standard input.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="How many texts the model sees at once.")] = 64,
) -> None:
    """Classify raw texts, one a line, and print a line of JSON for each."""
    from pipelines.bundle import Bundle
    from pipelines.scoring import predict_lines

    loaded = Bundle.load(bundle)
    if texts is None:
        lines = sys.stdin
        lines.reconfigure(encoding="utf-8")  # type: ignore[attr-defined]
        predict_lines(loaded, lines, sys.stdout, batch)
        return
    if not texts.is_file():
        raise SpecError(f"{texts} is no file of texts; name one with a text on each line")
    with texts.open(encoding="utf-8") as file:
        predict_lines(loaded, file, sys.stdout, batch)


@app.command()
def doctor() -> None:
    """Look at Java, versions, memory and import path, and say what to do about what is wrong."""
    from pipelines import preflight
    from pipelines.session_options import SessionOptions

    checks = [*preflight.check_machine(SessionOptions()), preflight.check_shadowing(Path.cwd())]
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "found", "cure"):
        table.add_column(title, overflow="fold")
    for check in checks:
        mark = "[green]ok[/green]" if check.ok else "[red]wrong[/red]"
        table.add_row(mark, check.name, escape(check.found), escape(check.cure))
    for check in preflight.check_lock():
        table.add_row("[yellow]untested[/yellow]", check.name, escape(check.found), escape(check.cure))
    Console().print(table)
    if not all(check.ok for check in checks):
        raise typer.Exit(FAILED)


@runs_app.command("list")
def list_runs(
    runs: RunsOption = Path("runs"),
    pipeline: Annotated[str | None, typer.Argument(help="Only this pipeline's runs.")] = None,
) -> None:
    """List the runs, the latest first."""
    from pipelines.run_history import list_runs as past_runs
    from pipelines.run_tables import runs_table

    Console().print(runs_table(past_runs(runs, pipeline)))


@runs_app.command("show")
def show_run(
    run_id: Annotated[str, typer.Argument(help="A run's id, or the beginning of it.")],
    runs: RunsOption = Path("runs"),
) -> None:
    """Show one run: rows, metrics, times, and where its files are."""
    from pipelines.run_history import read_run
    from pipelines.run_tables import run_tables

    console = Console()
    for part in run_tables(read_run(runs, run_id)):
        console.print(part)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that what was started is undone."""
    raise KeyboardInterrupt


def _excerpt(value: object, characters: int = 120) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= characters else text[: characters - 1] + "…"
