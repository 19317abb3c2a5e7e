"""The quarantine of a run: every row that was not kept, one JSON object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import TextIO

from pipelines.accounting import Rejection
from pipelines.durable_file import sync_directory


class QuarantineWriter:
    """Writes rejections to ``<path>.partial`` as they come, and names it `path` once they are all there.

    Use it as a context manager: leaving it without an error completes the file; with one, the ``.partial``
    stays as evidence and nothing is called ``quarantine.jsonl``. Memory does not grow with the rows. One
    thread at a time.

    Attributes:
        path: the file that there will be.
        rows: how many rejections have been written.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is opened before the context is entered.

        Args:
            path: the finished file; its directory must exist.
        """
        self.path = path
        self.rows = 0
        self._partial = partial_path(path)
        self._file: TextIO | None = None

    def __enter__(self) -> QuarantineWriter:
        # A lone surrogate becomes its escape, which JSON reads back as it was.
        self._file = self._partial.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
        return self

    def write(self, rejections: Iterable[Rejection]) -> None:
        """Append `rejections` in their order; the keys of a line are the fields of `Rejection`.

        Raises:
            ValueError: the writer is not open.
        """
        if self._file is None:
            raise ValueError(f"the quarantine {self.path} is not open for writing; use it in a with statement")
        for rejection in rejections:
            self._file.write(json.dumps(asdict(rejection), ensure_ascii=False) + "\n")
            self.rows += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        with file:
            file.flush()
            os.fsync(file.fileno())
        if kind is None:
            os.replace(self._partial, self.path)
            sync_directory(self.path.parent)


def partial_path(path: Path) -> Path:
    """Return where the quarantine `path` is written while it is not whole."""
    return path.with_name(path.name + ".partial")


def read_quarantine(path: Path) -> Iterator[Rejection]:
    """Yield the rejections in a finished quarantine, in the order that they were written.

    Keys that this version does not know are passed over.

    Raises:
        FileNotFoundError: there is none; a run that did not finish leaves only a ``.partial``.
        ValueError: a line is not a rejection; the message names the file and the line.
    """
    known = {field.name for field in fields(Rejection)}
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Rejection(**{key: value for key, value in json.loads(line).items() if key in known})
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}, line {number}: not a rejected row ({error})") from None
