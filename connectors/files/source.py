"""What the sources of files share: finding the files that have come since."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow.compute as pc
from pydantic import Field

from connectors.errors import SourceError
from connectors.files.paths import File
from connectors.object_store.storage import StorageOptions
from connectors.source import Partition, PartitionedSource, Plan

_DAY = 24 * 60 * 60 * 10**9


@dataclass(frozen=True)
class FileCursor:
    """Which files have been read: all that were changed before some time, and some by name.

    A file is known by its name, its size and the time of its last change, so one that changes counts as new. Names are
    kept for the files of the last days only; what is older was read, or came too late.

    Attributes:
        horizon: nanoseconds since 1970: files last changed before this are taken as read.
        files: name to size and time of the last change, of files read that are not older than that.
    """

    horizon: int = 0
    files: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> FileCursor:
        """Return the cursor that `text` writes.

        Raises:
            SourceError: `text` is no such cursor.
        """
        try:
            said = json.loads(text)
            return cls(int(said["horizon"]), {name: (int(one[0]), int(one[1])) for name, one in said["files"].items()})
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise SourceError(
                f"{text[:80]!r} is not the cursor of a source of files; reset the pipeline's state to read from the "
                "beginning"
            ) from error

    def new(self, files: Sequence[File]) -> list[File]:
        """Return those that have not been read."""
        return [
            file
            for file in files
            if file.changed >= self.horizon and self.files.get(file.name) != (file.size, file.changed)
        ]

    def text(self) -> str:
        """Return the cursor as it is kept."""
        return json.dumps({"horizon": self.horizon, "files": self.files}, ensure_ascii=False, sort_keys=True)


def cursor_after(files: Sequence[File], late_days: float) -> FileCursor:
    """Return the cursor of a source whose files have all been read.

    Args:
        files: all of its files.
        late_days: for how many days before the newest file's last change names are kept; files from the future are
            not the newest.
    """
    # A file from the future, as by a clock that is wrong, would have all that come after it taken for too late.
    now = time.time_ns()
    newest = max((file.changed for file in files if file.changed <= now), default=0)
    horizon = max(0, newest - int(late_days * _DAY))
    return FileCursor(horizon, {file.name: (file.size, file.changed) for file in files if file.changed >= horizon})


class FileSource(PartitionedSource):
    """A source of files, whose cursor knows which of them have been read.

    Paths may be ``s3://``, ``gs://`` and ``abfs://`` URIs (and ``file://``). Objects are read by ranges as they are
    needed; a large file that is split is read once more, in the driver, to count its lines. A store that fails in
    passing is asked again, see `connectors.object_store.faults`.

    Attributes:
        late_days: how old a file may be, in days before the newest one, and still be found when it turns up late. Time
            is that of a file's last change. No file is read twice for it; one that changes is read again.
        storage: how the object store is reached, where a path leads into one.
    """

    late_days: float = Field(default=7.0, ge=0)
    storage: StorageOptions = StorageOptions()

    @abstractmethod
    def list_files(self) -> list[File]:
        """Return all files of the source, by name.

        Raises:
            SourceNotFoundError: there is nothing at the place named.
            EmptySourceError: the place exists and holds no file.
        """

    @abstractmethod
    def divide(
        self,
        new: Sequence[File],
        files: Sequence[File],
        *,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Sequence[Partition]:
        """Return the partitions of `new` files.

        Args:
            new: what to read, at least one.
            files: all of them, which say what columns there are.
            columns: as for `plan`.
            predicate: as for `plan`.

        Raises:
            EmptySourceError: they hold nothing to read.
        """

    def absent(self, new: Sequence[File], files: Sequence[File]) -> tuple[str, ...]:
        """Return the columns of rows that no `new` file has, and others of `files` have; see `Plan.absent`."""
        return ()

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        """Yield the files, or those that are new; see `PartitionedSource.plan`."""
        files = self.list_files()
        new = files if since is None else FileCursor.parse(since).new(files)
        parts = self.divide(new, files, columns=columns, predicate=predicate) if new else ()
        absent = self.absent(new, files) if 0 < len(new) < len(files) else ()
        yield Plan(tuple(parts), cursor_after(files, self.late_days).text(), absent)
