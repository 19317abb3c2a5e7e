"""What all commands share: where they print, what exit codes mean, and the options that many have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from pydantic import BaseModel

DONE, FAILED, WRONG = 0, 1, 2
"""Exit codes: done; failed or interrupted; wrong usage or a wrong spec."""

RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="The directory of all run records.")]

_PIPE_WIDTH = 100
"""Columns that a table takes where there is no terminal to ask."""


def console() -> Console:
    """Return where tables go: the terminal, or a pipe, in which they are of a fixed width."""
    found = Console()
    return found if found.is_terminal else Console(width=_PIPE_WIDTH)


def options_table(plugin: type[BaseModel]) -> Table:
    """Return the options of a plug-in's class, with their defaults and what its docstring says of them."""
    from pipelines.spec_schema import option_texts

    texts = option_texts(plugin)
    table = Table(box=None, pad_edge=False)
    for title in ("option", "default", "what it is"):
        table.add_column(title, overflow="fold")
    for name, field in plugin.model_fields.items():
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        table.add_row(name, escape(default), escape(texts.get(name, "")))
    return table
