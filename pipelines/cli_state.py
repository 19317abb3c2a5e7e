"""The commands ``headrace state show|reset``: what the next run of a pipeline goes on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_console import RunsOption
from pipelines.errors import SpecError

app = typer.Typer(help="Look at, and change, what the next run goes on from.", no_args_is_help=True)

PipelineArgument = Annotated[str, typer.Argument(metavar="PIPELINE", help="The pipeline's name.")]


@app.command("show")
def show_state(pipeline: PipelineArgument, runs: RunsOption = Path("runs")) -> None:
    """Show how far a pipeline has read its source, and the schema it has agreed on, as JSON."""
    from dataclasses import asdict

    from pipelines.agreed_schema import read_schema, schema_path
    from pipelines.read_state import read_state, state_path

    path, agreed = state_path(runs, pipeline), read_schema(schema_path(runs, pipeline))
    if not path.exists() and agreed is None:
        raise SpecError(
            f"{path.parent} holds no state: {pipeline} has been run neither incrementally nor with a schema_contract, "
            "or under other --runs"
        )
    schema = agreed and {"columns": agreed.columns, "run_id": agreed.run_id, "updated": agreed.updated}
    print(json.dumps({**asdict(read_state(path)), "schema": schema}, indent=2, ensure_ascii=False))


@app.command("reset")
def reset_pipeline_state(
    pipeline: PipelineArgument,
    runs: RunsOption = Path("runs"),
    to: Annotated[str | None, typer.Option(metavar="CURSOR", help="Where to; else before the beginning.")] = None,
    keep_cursor: Annotated[
        bool, typer.Option("--keep-cursor", help="Leave it; have it count for a source or sink that has changed.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Forget the schema agreed on in place of the position.")
    ] = False,
) -> None:
    """Have the next run read on from elsewhere, or agree on another schema; what the sink holds stays."""
    from pipelines.agreed_schema import reset_schema
    from pipelines.read_state import reset_state

    if (to is not None) + keep_cursor + schema > 1:
        raise SpecError("--to moves the cursor, --keep-cursor and --schema leave it where it is; give one of them")
    if schema:
        if not reset_schema(runs, pipeline):
            raise SpecError(f"{pipeline} has agreed on no schema in {runs}; look for other --runs")
        typer.echo(f"{pipeline}: the schema is forgotten; the next run that ends well agrees on what it finds")
        return
    before = reset_state(runs, pipeline, to, keep_cursor=keep_cursor)
    was, now = before.cursor or "at the beginning", (before.cursor if keep_cursor else to) or "at the beginning"
    typer.echo(f"{pipeline}: the cursor was {was}, and {'stays there' if keep_cursor else f'is {now}'}")
