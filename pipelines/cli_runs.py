"""The commands ``headrace runs list|show``: the records of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_console import RunsOption, console

app = typer.Typer(help="Look at the records of runs.", no_args_is_help=True)


@app.command("list")
def list_runs(
    pipeline: Annotated[str | None, typer.Argument(metavar="[PIPELINE]", help="Only this pipeline's runs.")] = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """List the runs, the latest first."""
    from pipelines.run_history import list_runs as past_runs
    from pipelines.run_tables import runs_table

    found = past_runs(runs, pipeline)
    if found:
        console().print(runs_table(found))
    else:
        typer.echo(f"there are no runs in {runs / pipeline if pipeline else runs}")


@app.command("show")
def show_run(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or its directory.")],
    runs: RunsOption = Path("runs"),
) -> None:
    """Show one run: rows, metrics, times and files."""
    from pipelines.run_history import read_run
    from pipelines.run_tables import run_tables

    out = console()
    for part in run_tables(read_run(runs, Path(run_id).name)):
        out.print(part)
