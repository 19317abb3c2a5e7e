"""Where a path option leads: a file, a directory, a glob, or data inside an installed package."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from connectors.errors import EmptySourceError, SourceError, SourceNotFoundError

PACKAGE = "package:"
"""What a path begins with that leads into an installed package: ``package:NAME/sub/dir``."""

BASE_DIRECTORY = "base_directory"
"""The key of the validation context under which a loader says what relative paths are relative to."""

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
        address: an absolute path, or a ``package:`` path; what `open_path` takes and what people are shown.
        name: names the file within its source, the same on every machine; row ids begin with it.
        size: bytes on disk, compressed if it is.
        changed: when it was last changed, in nanoseconds since 1970.
        label: the label of every row in it; None where the rows bring their own or have none.
    """

    address: str
    name: str
    size: int
    changed: int
    label: str | None = None


def local_path(address: str) -> Path:
    """Return the path on this machine that an address stands for; nothing is imported, and it need not exist.

    Raises:
        SourceNotFoundError: the package is not installed (with the pip line), or the address is a URL.
    """
    if address.startswith(PACKAGE):
        package, _, inside = address[len(PACKAGE) :].partition("/")
        root = _package_directory(package, address)
        if ".." in Path(inside).parts:
            raise SourceNotFoundError(f"{address}: a package path must stay inside the package, without '..'")
        return root / inside
    if _URL.match(address):
        raise SourceNotFoundError(
            f"{address}: a URL, and this source reads files that every machine can open by path or 'package:NAME/…'; "
            "mount the storage, or read it with a source made for it (SparkTable reads what Spark can)"
        )
    return Path(address)


def find_files(option: str, *, pattern: str | None = None) -> list[File]:
    """Return the files that a path option leads to, sorted by name.

    Without a `pattern`, the option is a file, a directory (all files below it) or a glob (``*``, ``**``, ``?``,
    ``[…]``; directories that it matches count with all below them). With one, it is a directory and the pattern says
    which files below it. Files and directories whose names begin with ``.`` or ``_`` are taken as hidden, unless the
    option names them, and links to directories are not followed, unless the option names them.

    Raises:
        SourceNotFoundError: there is nothing there; the message says what is beside it.
        EmptySourceError: the directory is there and holds no such file.
    """
    root, rest = _split_magic(option)
    path = local_path(root)
    if not path.exists():
        raise SourceNotFoundError(f"{option}: {_missing(path, root)}")
    if pattern is not None and not path.is_dir():
        raise SourceNotFoundError(f"{option} is a file, and the option 'path' must name a directory here")
    wanted = pattern if pattern is not None else rest
    if path.is_file():
        found = [path]
    else:
        matches = sorted(path.glob(wanted)) if wanted else [path]
        found = sorted({file for match in matches for file in _files_below(match, path)})
    if not found:
        raise EmptySourceError(
            f"{option} holds no file" + (f" that matches {wanted!r}" if wanted else "") + f"; {_beside(path, None)}"
        )
    base = path.parent if path.is_file() else path
    address = os.path.dirname(root) if path.is_file() else root
    return [_file(file, file.relative_to(base).as_posix(), address) for file in found]


def name_apart(files: Sequence[File]) -> list[File]:
    """Rename files that several options led to, so that all have different names: by the path from where they meet.

    Raises:
        SourceError: two options lead to the same file.
    """
    twice = [address for address, count in Counter(file.address for file in files).items() if count > 1]
    if twice:
        raise SourceError(f"{twice[0]} is named twice; each file can be read once, under one label")
    outside = [file for file in files if not file.address.startswith(PACKAGE)]
    if not outside:
        return list(files)
    meet = os.path.commonpath([os.path.dirname(file.address) for file in outside])
    return [
        file if file.address.startswith(PACKAGE) else replace(file, name=_shown(os.path.relpath(file.address, meet)))
        for file in files
    ]


def _file(path: Path, inside: str, root: str) -> File:
    address = f"{root.rstrip('/')}/{inside}"
    found = path.stat()
    return File(address, _shown(address if root.startswith(PACKAGE) else inside), found.st_size, found.st_mtime_ns)


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
