"""The directories that a user's own modules are imported from: Spark's Python workers must find them there too."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

ROOMS = ("connectors", "training", "pipelines")
"""Our packages, whose names are ordinary enough for a user to have others like them."""

_HOME = Path(__file__).parent.parent.resolve()


def user_directories(path: Iterable[str] | None = None) -> list[str]:
    """Return the directories of the import path that are no part of an installation, in their order.

    Those of the interpreter and of installed packages are where every worker looks anyway. Those that hold a package
    which would hide one of ours are left out, as workers look into these directories first.

    Args:
        path: the entries of an import path; None takes this process's.
    """
    installed = {Path(one).resolve() for one in sysconfig.get_paths().values()}
    found: dict[str, None] = {}
    for entry in sys.path if path is None else path:
        directory = Path(entry or ".").resolve()
        if directory.is_dir() and not installed & {directory, *directory.parents} and hidden_by(directory) is None:
            found[str(directory)] = None
    return list(found)


def hidden_by(directory: Path) -> Path | None:
    """Return a package in a directory that hides one of ours from programs that are started there, if there is one."""
    if directory.resolve() == _HOME:
        return None
    # A directory without this file hides nothing: Python looks on for one that has it.
    return next((directory / room for room in ROOMS if (directory / room / "__init__.py").is_file()), None)
