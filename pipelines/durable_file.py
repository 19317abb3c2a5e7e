"""Files that are either whole or not there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, text: str) -> None:
    r"""Write `text` (UTF-8) to `path`, so that a crash leaves the old file or the new one, whole.

    The text goes to a hidden file beside it, reaches the disk, and takes the name in one step; then the
    directory reaches the disk too, so that the new name survives a power cut. A lone surrogate, which UTF-8
    cannot hold, is written as its escape (``\udcff``), which JSON reads back as it was.

    Raises:
        OSError: the directory is not there or cannot be written; `path` is as it was.
    """
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with staged.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names that were given in the directory `path` survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
