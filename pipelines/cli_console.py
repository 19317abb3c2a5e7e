"""What all commands share: where they print, what exit codes mean, and the options that many have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

DONE, FAILED, WRONG = 0, 1, 2
"""Exit codes: done; failed or interrupted; wrong usage or a wrong spec."""

RunsOption = Annotated[Path, typer.Option("--runs", metavar="DIR", help="The directory of all run records.")]

_PIPE_WIDTH = 100
"""Columns that a table takes where there is no terminal to ask."""


def console() -> Console:
    """Return where tables go: the terminal, or a pipe, in which they are of a fixed width."""
    found = Console()
    return found if found.is_terminal else Console(width=_PIPE_WIDTH)
