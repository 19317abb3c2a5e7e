"""A secret that is planted, and a look at the places where it must not come to light."""

from __future__ import annotations

import html
import json
import subprocess
import threading
import traceback
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus


@dataclass(frozen=True)
class PlantedSecret:
    """A secret that is looked for.

    Attributes:
        value: the secret; its halves must be such as nothing else holds.
    """

    value: str

    def forms(self) -> set[str]:
        """Return how it, and half of it, may be written: plain, in an address, JSON, Python, HTML or base64."""
        middle = len(self.value) // 2
        parts = (self.value, self.value[:middle], self.value[middle:])
        ways = (str, quote_plus, lambda one: quote(one, safe=""), _in_json, lambda one: repr(one)[1:-1], html.escape)
        return {way(part) for part in parts for way in ways} | {b64encode(self.value.encode()).decode()}

    def found_in(self, text: str) -> list[str]:
        """Return the forms of it that a text holds."""
        return sorted(form for form in self.forms() if form in text)

    def files_in(self, directory: Path) -> list[Path]:
        """Return the files below a directory that hold it."""
        files = (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink())
        return [path for path in files if self.found_in(path.read_text(encoding="utf-8", errors="replace"))]


def told(error: BaseException) -> str:
    """Return all that an error says, and all behind it, also what Python would not show."""
    waiting: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while waiting:
        one = waiting.pop()
        if one is not None and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__]
    said = [f"{one} {one!r} {getattr(one, '__notes__', ())}" for one in seen]
    return "\n".join([*said, *traceback.format_exception(error)])


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """Yield the command lines of all processes of the machine, as ``ps`` shows them again and again meanwhile."""
    lines: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True)
            lines.update(shown.stdout.splitlines())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield lines
    finally:
        ended.set()
        looking.join()


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]
