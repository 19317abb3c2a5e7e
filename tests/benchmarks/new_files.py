"""Which large files appear while something runs, however briefly: a hand-over is to write none, what Ray spills apart.

Directories are looked at again and again; one is listed only when its time of change says that an entry came or went.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

LARGE_BYTES = 2**20
"""Below this a file is none of rows: a log, a socket, a lock."""

INTERVAL_SECONDS = 0.1
"""How often directories are looked at."""

_STORE = "plasma"
_SPILLED = "ray_spilled_objects"


@dataclass
class NewFiles:
    """The large files that have appeared; sizes in bytes.

    Attributes:
        outside: the most that all had together at one time, those of Ray's object store and its spilling apart.
        spilled: the most that those had together to which Ray spilled.
        largest: by path, the largest size that each of those outside had.
        looks: how often the directories were looked at.
    """

    outside: int = 0
    spilled: int = 0
    largest: dict[str, int] = field(default_factory=dict)
    looks: int = 0

    def add(self, sizes: dict[Path, int]) -> None:
        """Take the sizes of new files into account that were found in one look."""
        self.looks += 1
        spilled = {path for path in sizes if any(part.startswith(_SPILLED) for part in path.parts)}
        outside = {
            path: size
            for path, size in sizes.items()
            if size > LARGE_BYTES and path not in spilled and not path.name.startswith(_STORE)
        }
        self.spilled = max(self.spilled, sum(sizes[path] for path in spilled))
        self.outside = max(self.outside, sum(outside.values()))
        for path, size in outside.items():
            self.largest[str(path)] = max(size, self.largest.get(str(path), 0))


@contextmanager
def watched_files(*further: Path) -> Iterator[NewFiles]:
    """Watch the places where Ray, Spark and Headrace put files, for as long as the block lasts.

    Args:
        further: directories to watch beside /dev/shm, the temporary directory and that of the running Ray's session.
    """
    node: Any = ray._private.worker._global_node
    session = Path(node.get_session_dir_path())
    places = _Places([Path("/dev/shm"), Path(tempfile.gettempdir()), session, *further])
    found = NewFiles()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(INTERVAL_SECONDS):
            found.add(places.look())

    thread = threading.Thread(target=watch, name="files-watch", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        found.add(places.look())


class _Places:
    """Directories with all that is below them; what is in them now is not new."""

    def __init__(self, roots: list[Path]) -> None:
        self._changed: dict[Path, int] = dict.fromkeys(roots, 0)
        self._new: set[Path] = set()
        self._known: set[Path] = set()
        self.look()
        self._known, self._new = self._new, set()

    def look(self) -> dict[Path, int]:
        """Return the sizes of the new files that are there."""
        waiting = list(self._changed)
        while waiting:
            waiting += self._list(waiting.pop())
        sizes = {path: _size(path) for path in self._new}
        self._new = {path for path, size in sizes.items() if size is not None}
        return {path: size for path, size in sizes.items() if size is not None}

    def _list(self, directory: Path) -> list[Path]:
        """Note what has come into a directory; return the directories among that."""
        try:
            changed = directory.stat().st_mtime_ns
            if changed == self._changed.get(directory):
                return []
            self._changed[directory] = changed
            entries = list(os.scandir(directory))
            directories = [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
            self._new.update(
                path
                for entry in entries
                if entry.is_file(follow_symlinks=False) and (path := Path(entry)) not in self._known
            )
        except OSError:
            self._changed.pop(directory, None)  # gone since
            return []
        return [one for one in directories if one not in self._changed]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None  # gone since
