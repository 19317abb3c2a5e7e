"""Where the command line prints, and what its exit codes mean."""

from __future__ import annotations

from rich.console import Console

DONE, FAILED, WRONG = 0, 1, 2
"""Exit codes: done; failed or interrupted; wrong usage or a wrong spec."""

_PIPE_WIDTH = 100
"""Columns that a table takes where there is no terminal to ask."""


def console() -> Console:
    """Return where tables go: the terminal, or a pipe, in which they are of a fixed width."""
    found = Console()
    return found if found.is_terminal else Console(width=_PIPE_WIDTH)
