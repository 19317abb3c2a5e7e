"""Which objects of a store a path option leads to."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from connectors.errors import EmptySourceError, SourceError, SourceNotFoundError
from connectors.files.manifest import COMMITS, Manifest, committed_files
from connectors.files.paths import File
from connectors.files.patterns import is_hidden, matching
from connectors.object_store.faults import Asking
from connectors.object_store.reader import ObjectReader
from connectors.object_store.storage import Location, StorageOptions

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

_SHOWN = 8
_READERS = 8


def find_objects(option: str, root: str, wanted: str, *, exact: bool, storage: StorageOptions) -> list[File]:
    """Return the objects that an option leads to, as `connectors.files.paths.find_files` does local files.

    Args:
        option: as people wrote it.
        root: the address that is named outright, of an object or of all below it.
        wanted: the glob below it; empty means all.
        exact: True if the option may be the very name of an object, even one that looks like a glob.
        storage: how the store is reached.

    Raises:
        SourceNotFoundError: there is no such bucket, or nothing below the root.
        EmptySourceError: there is something, and nothing of it is wanted.
        SourceError: the store says no.
    """
    location = _location(root)
    filesystem = storage.filesystem(location, SourceError)
    if exact and (named := _location(option)).key and (found := _single(named, filesystem, storage)) is not None:
        directory = Location.parse(posixpath.dirname(named.address))
        return [_file(found, directory, storage)]
    asking = Asking(location, storage, SourceError)
    every = [_file(info, location, storage) for info in asking.retried(lambda: _below(filesystem, location.path))]
    if not every:
        raise SourceNotFoundError(f"{option}: {_missing(asking, filesystem)}")
    means = matching(wanted)
    visible = [file for file in every if not is_hidden(file.name)]
    asked = [file for file in visible if means(file.name)]
    files = committed_files(asked, _manifests(every, storage), location.address, means, storage)
    if not files:
        pattern = f" that matches {wanted!r}" if wanted else ""
        raise EmptySourceError(f"{option} holds no file{pattern}; {_listed([file.name for file in visible])}")
    return files


def _location(address: str) -> Location:
    try:
        return Location.parse(address)
    except ValueError as error:
        raise SourceNotFoundError(str(error)) from None


def _single(location: Location, filesystem: FileSystem, storage: StorageOptions) -> FileInfo | None:
    """Return the object that the location names, if it names one."""
    from pyarrow.fs import FileType

    info = Asking(location, storage, SourceError).retried(lambda: filesystem.get_file_info(location.path))
    return info if info.type == FileType.File else None


def _below(filesystem: FileSystem, path: str) -> list[FileInfo]:
    from pyarrow.fs import FileSelector, FileType

    selector = FileSelector(path, recursive=True, allow_not_found=True)
    return [info for info in filesystem.get_file_info(selector) if info.type == FileType.File]


def _file(info: FileInfo, root: Location, storage: StorageOptions) -> File:
    name = info.path[len(root.path) + 1 :]
    return File(f"{root.address}/{name}", name, info.size, info.mtime_ns or 0, storage=storage)


def _manifests(files: Iterable[File], storage: StorageOptions) -> dict[str, list[Manifest]]:
    """Return the manifests among the objects, by the directory that they are about."""
    found = [file for file in files if _directory(file.name) is not None]
    with ThreadPoolExecutor(_READERS) as readers:
        made = list(readers.map(lambda file: _manifest(file, storage), found))
    manifests: dict[str, list[Manifest]] = {}
    for file, manifest in zip(found, made, strict=True):
        manifests.setdefault(_directory(file.name) or "", []).append(manifest)
    return manifests


def _directory(name: str) -> str | None:
    """Return the directory that a manifest of this name is about; None if it is no manifest."""
    parent, _, last = name.rpartition("/")
    directory, _, commits = parent.rpartition("/")
    if commits != COMMITS or not last.endswith(".json") or (directory and is_hidden(directory)):
        return None
    return directory


def _manifest(file: File, storage: StorageOptions) -> Manifest:
    with ObjectReader(file.address, file.size, storage) as stream:
        data = stream.readall()
    try:
        return Manifest.parse(data or b"", file.address)
    except ValueError as error:
        raise SourceError(str(error)) from None


def _missing(asking: Asking, filesystem: FileSystem) -> str:
    """Say which part of an address is missing, and what is there in its place."""
    from pyarrow.fs import FileSelector, FileType

    location = asking.location
    bucket = asking.retried(lambda: filesystem.get_file_info(location.bucket))
    place = asking.storage.place(location)
    if bucket.type == FileType.NotFound:
        return f"there is no bucket {location.bucket!r} at {place}; create it, or mend its name"
    path = location.path
    while path != location.bucket:
        path = posixpath.dirname(path)
        selector = FileSelector(path, allow_not_found=True)
        beside = asking.retried(lambda: [info.base_name for info in filesystem.get_file_info(selector)])  # noqa: B023
        if beside:
            name = location.path[len(path) + 1 :].partition("/")[0]
            return f"{name!r} does not exist at {place}; {_listed(sorted(beside), name)}"
    return f"the bucket {location.bucket!r} at {place} is empty"


def _listed(names: Sequence[str], wanted: str | None = None) -> str:
    if not names:
        return "there is nothing beside it"
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.6) if wanted else []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    meant = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{meant}there is: {', '.join(names[:_SHOWN])}{more}"
