"""The directories that file sinks write to: what they must be able to do, and how a local one does it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import pyarrow as pa
from pydantic import AfterValidator

from connectors.errors import SinkError
from connectors.files.paths import PACKAGE, PathOption, local_path
from connectors.object_store.storage import Location, StorageOptions, is_remote


def _is_a_directory_path(path: str) -> str:
    if is_remote(path):
        Location.parse(path)
    elif path.startswith(PACKAGE) or ("://" in path and not path.lower().startswith("file://")):
        raise ValueError(
            "a sink writes to a directory that every machine reaches by the same path, or to s3://, gs:// or abfs://; "
            f"got {path!r}"
        )
    return path


DirectoryOption = Annotated[PathOption, AfterValidator(_is_a_directory_path)]
"""The directory that a sink writes to: local, or shared by all machines under one path, or below an address in an
object store. A relative path is made absolute at once."""


class SinkDirectory(ABC):
    """A directory, named by `shown`, in which files have relative names with ``/`` and are whole or not there.

    Methods raise `OSError` or an error of Arrow's where `faults` is around them, and that makes a `SinkError` of it.
    """

    @property
    @abstractmethod
    def shown(self) -> str:
        """What people call it."""

    @abstractmethod
    def make(self) -> None:
        """Make it where it is not there, and see to it that files can be made in it."""

    @abstractmethod
    def names(self, inside: str = "") -> list[str]:
        """Return the names of the files and directories in it, or in a directory inside it, sorted; none if absent."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """Return what a file holds; None if there is none."""

    @abstractmethod
    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if there is none."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Make a file, or replace it, in one step."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Make a file in one step where there is none; of several that try at once, one is told True."""

    @abstractmethod
    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a new file, which is durable once it is closed."""

    @abstractmethod
    def publish(self, files: Mapping[str, str]) -> None:
        """Give staged files their places; those that have got them already are left alone.

        Args:
            files: staged name to published name.

        Raises:
            SinkError: one is in neither place.
        """

    @abstractmethod
    def remove(self, names: Sequence[str]) -> None:
        """Remove files, where they are there."""

    @abstractmethod
    def remove_tree(self, name: str) -> None:
        """Remove a directory inside it with all that is in that, where it is there."""

    @abstractmethod
    def faults(self) -> AbstractContextManager[None]:
        """Make a `SinkError` of what goes wrong inside."""


@dataclass(frozen=True)
class LocalDirectory(SinkDirectory):
    """A directory of this machine, or one that all machines share.

    Attributes:
        path: where.
    """

    path: Path

    @property
    def shown(self) -> str:
        """The path."""
        return str(self.path)

    def make(self) -> None:
        """Make it; see `SinkDirectory.make`."""
        self.path.mkdir(parents=True, exist_ok=True)

    def names(self, inside: str = "") -> list[str]:
        """List it; see `SinkDirectory.names`."""
        try:
            return sorted(os.listdir(self.path / inside))
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes | None:
        """Read a file; see `SinkDirectory.read`."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def size(self, name: str) -> int | None:
        """Measure a file; see `SinkDirectory.size`."""
        try:
            return (self.path / name).stat().st_size
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a file beside its place and rename it; see `SinkDirectory.write`."""
        with self._beside(name, data) as (whole, place):
            os.replace(whole, place)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file beside its place and link it there, which fails where there is one."""
        with self._beside(name, data) as (whole, place):
            try:
                os.link(whole, place)
            except FileExistsError:
                return False
            except OSError as error:
                # Some shared file systems have no links. Then two that commit the same at once are not told apart.
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS) or place.exists():
                    raise
                os.replace(whole, place)
        return True

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file; see `SinkDirectory.open`."""
        path = self.path / name
        with path.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _sync(path.parent)

    def publish(self, files: Mapping[str, str]) -> None:
        """Rename the files; see `SinkDirectory.publish`."""
        for staged, published in files.items():
            try:
                os.replace(self.path / staged, self.path / published)
            except FileNotFoundError:
                if not (self.path / published).exists():
                    raise lost(self, staged) from None
        _sync(self.path)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; see `SinkDirectory.remove`."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def remove_tree(self, name: str) -> None:
        """Remove a directory; see `SinkDirectory.remove_tree`."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path / name)

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Make a `SinkError` of what the system says; see `SinkDirectory.faults`."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise SinkError(f"{self.path} cannot be written: {error}") from error

    @contextmanager
    def _beside(self, name: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """Yield a durable file of `data`, and the place it is for."""
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        whole = place.with_name(f".{place.name}-{secrets.token_hex(8)}")
        try:
            with whole.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            yield whole, place
            _sync(place.parent)
        finally:
            whole.unlink(missing_ok=True)


def sink_directory(path: str, storage: StorageOptions) -> SinkDirectory:
    """Return the directory that a `DirectoryOption` names."""
    if not is_remote(path):
        return LocalDirectory(local_path(path))
    # Imported late: most sinks write to files.
    from connectors.object_store.directory import ObjectDirectory

    return ObjectDirectory(Location.parse(path), storage)


def lost(directory: SinkDirectory, staged: str) -> SinkError:
    """Return the error about a file that was staged and is gone."""
    return SinkError(f"{directory.shown}: {staged} was staged and is not there; run the write again")


def _sync(directory: Path) -> None:
    """Have a directory reach the disk, so that what depends on its names never outruns them."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
