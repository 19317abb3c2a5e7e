"""Where a path option leads: a file, a directory, a glob, data inside an installed package, or an object store."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, ValidationInfo

from connectors.errors import EmptySourceError, SourceError, SourceNotFoundError

if TYPE_CHECKING:
    from connectors.object_store.storage import StorageOptions

PACKAGE = "package:"
"""What a path begins with that leads into an installed package: ``package:NAME/sub/dir``."""

BASE_DIRECTORY = "base_directory"
"""The key of the validation context under which a loader says what relative paths are relative to."""

_FILE = "file:/"
_URL = re.compile(r"package:|[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_MAGIC = re.compile(r"[*?\[]")
_SHOWN = 8


def _anchored(option: str, info: ValidationInfo) -> str:
    """Make a relative path absolute at once: it means something else in an executor's working directory."""
    if not option.strip():
        raise ValueError("a path must not be empty")
    if _URL.match(option):
        return option
    base = (info.context or {}).get(BASE_DIRECTORY) or os.getcwd()
    return os.path.normpath(os.path.join(base, os.path.expanduser(option)))


PathOption = Annotated[str, AfterValidator(_anchored)]
"""A path among a plug-in's options. ``package:`` paths and URLs stay as written; a relative path is made absolute
when the object is made, against the validation context's `BASE_DIRECTORY` (the spec's directory) or the working
directory."""


@dataclass(frozen=True)
class File:
    """One file of a source, described so that any machine of the cluster can open it.

    Attributes:
        address: an absolute path, a ``package:`` path or the URI of an object; what people are shown.
        name: names the file within its source, the same on every machine; row ids begin with it.
        size: bytes as it is stored, compressed if it is.
        changed: when it was last changed, in nanoseconds since 1970; of a sink's file, when it was committed.
        label: the label of every row in it; None where the rows bring their own or have none.
        storage: how the object store is reached that it is in; None if it is in none.
    """

    address: str
    name: str
    size: int
    changed: int
    label: str | None = None
    storage: StorageOptions | None = None


def local_path(address: str) -> Path:
    """Return the path on this machine that an address stands for; nothing is imported, and it need not exist.

    Raises:
        SourceNotFoundError: the package is not installed (with the pip line), or the address is a URL of something
            else than a file of this machine.
    """
    if address.lower().startswith(_FILE):
        parts = urlsplit(address)
        if parts.netloc not in ("", "localhost"):
            raise SourceNotFoundError(f"{address} names a file of the machine {parts.netloc}; write file:///path")
        return Path(unquote(parts.path))
    if address.startswith(PACKAGE):
        package, _, inside = address[len(PACKAGE) :].partition("/")
        root = _package_directory(package, address)
        if ".." in Path(inside).parts:
            raise SourceNotFoundError(f"{address}: a package path must stay inside the package, without '..'")
        return root / inside
    if _URL.match(address):
        raise SourceNotFoundError(
            f"{address}: files are read by path, 'package:NAME/…', file://, s3://, gs:// or abfs://; mount the storage "
            "or read it with a source made for it (SparkTable reads what Spark can)"
        )
    return Path(address)


def find_files(option: str, *, pattern: str | None = None, storage: StorageOptions | None = None) -> list[File]:
    """Return the files that a path option leads to, sorted by name.

    Without a `pattern`, the option is a file, a directory (all files below it) or a glob (``*``, ``**``, ``?``,
    ``[…]``; directories that it matches count with all below them). With one, it is a directory and the pattern says
    which files below it. Files and directories whose names begin with ``.`` or ``_`` are taken as hidden, unless the
    option names them, and links to directories are not followed, unless the option names them. Of a directory that a
    sink writes to, the files of commits that have happened are meant, see `connectors.files.manifest`.

    Args:
        option: the path option; with ``s3://``, ``gs://`` or ``abfs://``, it leads into an object store.
        pattern: a glob.
        storage: how the object store is reached; None is the same as no options.

    Raises:
        SourceNotFoundError: there is nothing there; the message says what is beside it.
        EmptySourceError: the directory is there and holds no such file.
        SourceError: the object store says no.
    """
    # Imported late: they import this module.
    from connectors.object_store.storage import StorageOptions, is_remote

    root, rest = _split_magic(option)
    if is_remote(option):
        from connectors.object_store.listing import find_objects

        wanted = rest if pattern is None else pattern
        return find_objects(option, root, wanted, exact=pattern is None, storage=storage or StorageOptions())
    path = local_path(root)
    if not path.exists():
        raise SourceNotFoundError(f"{option}: {_missing(path, root)}")
    if pattern is not None and not path.is_dir():
        raise SourceNotFoundError(f"{option} is a file, and the option 'path' must name a directory here")
    if path.is_file():
        return [_file(path, path.name, os.path.dirname(root))]
    wanted = pattern if pattern is not None else rest
    matches = sorted(path.glob(wanted)) if wanted else [path]
    found = sorted({file for match in matches for file in _files_below(match, path)})
    files = [_file(file, file.relative_to(path).as_posix(), root) for file in found]
    files = _committed(files, path, root, {*matches, *(file.parent for file in found)}, wanted)
    if not files:
        raise EmptySourceError(
            f"{option} holds no file" + (f" that matches {wanted!r}" if wanted else "") + f"; {_beside(path, None)}"
        )
    return files


def name_apart(files: Sequence[File]) -> list[File]:
    """Rename files that several options led to, so that all have different names: by the path from where they meet.

    Raises:
        SourceError: two options lead to the same file.
    """
    twice = [address for address, count in Counter(file.address for file in files).items() if count > 1]
    if twice:
        raise SourceError(f"{twice[0]} is named twice; each file can be read once, under one label")
    on_disk = [file.address for file in files if "://" not in file.address and not file.address.startswith(PACKAGE)]
    in_stores = [_as_path(file.address) for file in files if "://" in file.address]
    meet = os.path.commonpath([os.path.dirname(path) for path in on_disk or in_stores] or ["/"])

    def apart(file: File) -> File:
        if file.address.startswith(PACKAGE):
            return file
        path = _as_path(file.address)
        return replace(file, name=path if on_disk and path in in_stores else _shown(os.path.relpath(path, meet)))

    return [apart(file) for file in files]


def _as_path(address: str) -> str:
    """Return an address with its scheme as the first directory."""
    return address.replace("://", "/", 1)


def _file(path: Path, inside: str, root: str) -> File:
    address = f"{root.rstrip('/')}/{inside}"
    found = path.stat()
    return File(address, _shown(address if root.startswith(PACKAGE) else inside), found.st_size, found.st_mtime_ns)


def _committed(files: list[File], path: Path, root: str, directories: set[Path], wanted: str) -> list[File]:
    """Return the files that readers are to see, see `committed_files`; most directories are none of a sink's."""
    sinks = sorted(one for one in {path, *directories} if (one / "_commits").is_dir())
    if not sinks or root.startswith(PACKAGE):
        return files
    from connectors.files.manifest import committed_files, read_manifests
    from connectors.files.patterns import is_hidden, matching

    names = {one: "" if one == path else one.relative_to(path).as_posix() for one in sinks}
    manifests = {name: read_manifests(one) for one, name in names.items() if not is_hidden(name)}
    made = {name: of_one for name, of_one in manifests.items() if of_one}
    return committed_files(files, made, root, matching(wanted))


def _shown(name: str) -> str:
    # A name that is not in the file system's encoding holds lone surrogates, which Arrow cannot carry.
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _files_below(path: Path, root: Path) -> Iterator[Path]:
    if any(part.startswith((".", "_")) for part in path.relative_to(root).parts):
        return
    if path.is_file():
        yield path
    elif path.is_dir():
        for directory, directories, names in os.walk(path):
            directories[:] = [name for name in directories if not name.startswith((".", "_"))]
            yield from (Path(directory, name) for name in names if not name.startswith((".", "_")))


def _split_magic(option: str) -> tuple[str, str]:
    """Split an option into the directory that is named outright and the glob below it; no glob where it exists."""
    if not _MAGIC.search(option) or (not _URL.match(option) and os.path.exists(option)):
        return option, ""
    parts = option.split("/")
    first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    return "/".join(parts[:first]) or "/", "/".join(parts[first:])


def _package_directory(package: str, address: str) -> Path:
    if not package.isidentifier():
        raise SourceNotFoundError(f"{address}: {package!r} is no package name; write package:NAME/sub/dir")
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:
        spec = None
    if spec is None:
        raise SourceNotFoundError(
            f"{address}: the package {package!r} is not installed here; install it with: pip install {package}"
        )
    if not spec.submodule_search_locations:
        raise SourceNotFoundError(f"{address}: {package!r} is a single module, not a package, and holds no data files")
    return Path(next(iter(spec.submodule_search_locations)))


def _missing(path: Path, shown: str) -> str:
    """Say which part of a path is missing, and what is there in its place."""
    while not path.parent.exists():
        path, shown = path.parent, os.path.dirname(shown)
    return f"{os.path.basename(shown) or path.name!r} does not exist; {_beside(path.parent, path.name)}"


def _beside(directory: Path, wanted: str | None) -> str:
    names = sorted(entry.name for entry in directory.iterdir()) if os.access(directory, os.R_OK) else []
    if not names:
        return "the directory is empty" if os.access(directory, os.R_OK) else "the directory cannot be listed"
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.6) if wanted else []
    listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    meant = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{meant}there is: {listed}"
