"""A directory in an object store that a sink writes to."""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from connectors.errors import SinkError
from connectors.files.directory import SinkDirectory, lost
from connectors.object_store.faults import Asking
from connectors.object_store.s3_create import create_object, require_client
from connectors.object_store.storage import Location, StorageOptions

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_Value = TypeVar("_Value")

_AT_ONCE = 8
_COPY_BYTES = 5 * 1024**3
"""What S3 copies in one request; larger objects go through this machine."""


@dataclass(frozen=True)
class ObjectDirectory(SinkDirectory):
    """All objects below an address. An upload is seen when it ends, whole; one that is cut short is never seen.

    On S3, what an upload that was cut short had sent is kept, unseen, and paid for, until a lifecycle rule of the
    bucket (``AbortIncompleteMultipartUpload``) clears it. Of two that create the same object at once, S3 tells which
    was first; in other stores the later one wins, so let no two processes commit the same there.

    Attributes:
        location: the address.
        storage: how the store is reached.
    """

    location: Location
    storage: StorageOptions

    @property
    def shown(self) -> str:
        """The address."""
        return self.location.address

    def make(self) -> None:
        """See to it that the bucket is there; see `SinkDirectory.make`."""
        from pyarrow.fs import FileType

        if self.location.scheme == "s3":
            require_client()
        bucket = self.location.bucket
        if self._ask(lambda store: store.get_file_info(bucket).type) == FileType.NotFound:
            place = self.storage.place(self.location)
            raise SinkError(f"{self.shown}: there is no bucket {bucket!r} at {place}; create it, or mend its name")

    def names(self, inside: str = "") -> list[str]:
        """List it; see `SinkDirectory.names`."""
        from pyarrow.fs import FileSelector

        selector = FileSelector(self._path(inside), allow_not_found=True)
        return sorted(info.base_name for info in self._ask(lambda store: store.get_file_info(selector)))

    def read(self, name: str) -> bytes | None:
        """Read an object; see `SinkDirectory.read`."""

        def read(store: FileSystem) -> bytes:
            with store.open_input_file(self._path(name)) as stream:
                data: bytes = stream.read()
                return data

        try:
            return self._ask(read)
        except FileNotFoundError:
            return None

    def size(self, name: str) -> int | None:
        """Measure an object; see `SinkDirectory.size`."""
        size: int | None = self._ask(lambda store: store.get_file_info(self._path(name)).size)
        return size

    def write(self, name: str, data: bytes) -> None:
        """Put an object; see `SinkDirectory.write`."""

        def write(store: FileSystem) -> None:
            with store.open_output_stream(self._path(name), compression=None) as stream:
                stream.write(data)

        self._ask(write)

    def create(self, name: str, data: bytes) -> bool:
        """Put an object where there is none; see `SinkDirectory.create`."""
        if self.location.scheme == "s3":
            return self._ask(lambda store: create_object(self.location, self._key(name), data, self.storage))
        if self.size(name) is not None:
            return False
        self.write(name, data)
        return True

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open an object for upload; see `SinkDirectory.open`. One that is not finished is put and removed."""
        with self._ask(lambda store: store.open_output_stream(self._path(name), compression=None)) as stream:
            yield stream

    def publish(self, files: Mapping[str, str]) -> None:
        """Copy the objects, within the store; see `SinkDirectory.publish`. What is staged stays until it is removed."""
        self._each(self._copy, list(files.items()))

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects; see `SinkDirectory.remove`."""
        self._each(self._remove, list(names))

    def remove_tree(self, name: str) -> None:
        """Remove all objects below a name; see `SinkDirectory.remove_tree`."""
        try:
            self._ask(lambda store: store.delete_dir(self._path(name)))
        except FileNotFoundError:
            return

    def faults(self) -> AbstractContextManager[None]:
        """Make a `SinkError` of what the store says; see `SinkDirectory.faults`."""
        return self._asking().faults()

    def _copy(self, names: tuple[str, str]) -> None:
        size = self.size(names[0])
        if size is None and self.size(names[1]) is None:
            raise lost(self, names[0])
        if size is None:
            return
        staged, published = (self._path(name) for name in names)

        def copy(store: FileSystem) -> None:
            if size <= _COPY_BYTES:
                store.copy_file(staged, published)
                return
            with (
                store.open_input_stream(staged, compression=None) as source,
                store.open_output_stream(published, compression=None) as target,
            ):
                shutil.copyfileobj(source, target, 16 * 1024 * 1024)

        try:
            self._ask(copy)
        except (OSError, SinkError):
            # Another process that finishes the same commit may have been faster, and have cleared what was staged.
            if self.size(names[0]) is not None or self.size(names[1]) is None:
                raise

    def _remove(self, name: str) -> None:
        try:
            self._ask(lambda store: store.delete_file(self._path(name)))
        except FileNotFoundError:
            return

    def _each(self, do: Callable[[_Value], None], items: Sequence[_Value]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as workers:
            for _ in workers.map(do, items):
                pass

    def _ask(self, ask: Callable[[FileSystem], _Value]) -> _Value:
        store = self.storage.filesystem(self.location, SinkError)
        return self._asking().retried(lambda: ask(store))

    def _asking(self) -> Asking:
        return Asking(self.location, self.storage, SinkError)

    def _path(self, name: str) -> str:
        return posixpath.join(self.location.path, name) if name else self.location.path

    def _key(self, name: str) -> str:
        return posixpath.join(self.location.key, name)
