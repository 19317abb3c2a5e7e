"""The command line for those who write specs: ``headrace step list|show``."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.cli_console import console, options_table
from pipelines.errors import SpecError

app = typer.Typer(help="List and show the steps that a spec can have.", no_args_is_help=True)


@app.command("list")
def list_steps() -> None:
    """List the steps that are installed."""
    from pipelines.plugins import STEP, Registry
    from pipelines.spec_schema import first_sentence
    from pipelines.steps import TableStep

    registry = Registry.installed()
    table = Table(box=None, pad_edge=False)
    for title in ("name", "kind", "what it does"):
        table.add_column(title, overflow="fold", no_wrap=title != "what it does")
    for name in registry.names(STEP):
        try:
            found = registry.find(STEP, name)
            kind, what = "table" if issubclass(found, TableStep) else "row", first_sentence(found)
        except SpecError as error:
            kind, what = "", str(error)
        table.add_row(name, kind, escape(what))
    console().print(table)


@app.command("show")
def show_step(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in a spec: a registered name or module:Class.")],
) -> None:
    """Show what a step does, with its rules and their sources, and its options."""
    from pipelines.plugins import STEP, Registry

    step = Registry.installed().find(STEP, name)
    console().print(f"[bold]{escape(name)}[/bold]  {step.__module__}:{step.__qualname__}", highlight=False)
    told = inspect.cleandoc(step.__doc__ or "").partition("\nAttributes:\n")[0].rstrip()
    console().print(f"\n{escape(told)}\n", highlight=False, soft_wrap=True)
    console().print(options_table(step))
