"""What a directory that file sinks write to says of itself: which files belong to commits that have happened.

A directory, local or in an object store, looks like this; readers that pass over names with a leading ``_`` (Spark,
pyarrow, pandas through it) see committed rows alone::

    part-00000-<commit>.parquet     published
    _commits/<commit>.json          the manifest: the commit has happened once it is there, whole, and not before
    _staging/<commit>/              attempts, each whole; those that the manifest names are moved to their places

The manifest is made after all rows are durable, in one step, and at most once. Publishing comes after it and can be
taken up by anyone: who knows the manifest reads a file that has no place yet where it is staged. A commit that
overwrites names those that it replaces, which are from then on not read, whether or not their files are still there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.errors import SourceError
from connectors.files.paths import File

if TYPE_CHECKING:
    from connectors.object_store.storage import StorageOptions

COMMITS = "_commits"
STAGING = "_staging"

_VERSION = 1
_PART = re.compile(r"part-\d{5,}-[^.]+\.[a-z.]+")


@dataclass(frozen=True)
class CommittedFile:
    """A file of a commit.

    Attributes:
        name: in the directory.
        staged: where it was, or is, below the commit's staging.
        size: in bytes.
    """

    name: str
    staged: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """A commit that has happened.

    Attributes:
        commit_id: which.
        cursor: how far the source had been read with it.
        committed: when, in ISO 8601, by the committer's clock.
        rows: how many.
        size: of all its files, in bytes.
        files: all of them.
        columns: name and type of each.
        replaces: the commits whose rows it takes the place of.
        made_by: tells two tries at the same commit apart.
    """

    commit_id: str
    cursor: str | None
    committed: str
    rows: int
    size: int
    files: tuple[CommittedFile, ...]
    columns: tuple[tuple[str, str], ...]
    replaces: tuple[str, ...]
    made_by: str

    @classmethod
    def parse(cls, data: bytes, origin: str) -> Manifest:
        """Return the manifest that `data` is.

        Raises:
            ValueError: it is none, or of a later version; the message names `origin`.
        """
        try:
            said = json.loads(data)
            if said.pop("version") != _VERSION:
                raise ValueError(f"{origin} is of a later version; upgrade headrace")
            files = tuple(CommittedFile(**file) for file in said.pop("files"))
            columns = tuple((name, kind) for name, kind in said.pop("columns"))
            made = cls(files=files, columns=columns, replaces=tuple(said.pop("replaces")), **said)
            datetime.fromisoformat(made.committed)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{origin} is no manifest of a commit ({error!r}); restore it from a copy") from error
        return made

    def data(self) -> bytes:
        """Return the manifest as it is kept."""
        return json.dumps({"version": _VERSION, **asdict(self)}, indent=2, ensure_ascii=False).encode()

    @property
    def changed(self) -> int:
        """When the commit happened, in nanoseconds since 1970: for readers, the time of its files' last change.

        A file's own time will not do, as publishing it makes another file of it in an object store.
        """
        since = datetime.fromisoformat(self.committed) - datetime(1970, 1, 1, tzinfo=timezone.utc)
        return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


def read_manifests(directory: Path) -> list[Manifest]:
    """Return the manifests of a local directory.

    Raises:
        SourceError: one of them cannot be read.
    """
    made = []
    for path in sorted((directory / COMMITS).glob("*.json")):
        try:
            made.append(Manifest.parse(path.read_bytes(), str(path)))
        except FileNotFoundError:
            continue  # a commit that replaces it has just removed it
        except (OSError, ValueError) as error:
            raise SourceError(str(error)) from error
    return made


def standing(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return the manifests of those commits that no other replaces, by id."""
    made = {manifest.commit_id: manifest for manifest in manifests}
    replaced = {commit_id for manifest in made.values() for commit_id in manifest.replaces}
    return [made[commit_id] for commit_id in sorted(made) if commit_id not in replaced]


def is_part(name: str) -> bool:
    """Tell whether a file has a name as sinks give them."""
    return _PART.fullmatch(name) is not None


def committed_files(
    files: Sequence[File],
    manifests: Mapping[str, Sequence[Manifest]],
    root: str,
    wanted: Callable[[str], bool],
    storage: StorageOptions | None = None,
) -> list[File]:
    """Return the files that readers are to see, of those found below some root.

    In a directory that has manifests these say which files named like a sink's are there, how large, and since when;
    other files are read as they are.

    Args:
        files: what was found, with names below the root.
        manifests: of each directory below the root that has some, by its name; the root's own is empty.
        root: its address.
        wanted: tells of a name below the root whether it was asked for.
        storage: how the root is reached, where it is in an object store.
    """
    found = {file.name: file for file in files}
    seen = dict(found)
    for directory, made in manifests.items():
        prefix = f"{directory}/" if directory else ""
        for name in found:
            inside = name.removeprefix(prefix)
            if name.startswith(prefix) and "/" not in inside and is_part(inside):
                del seen[name]
        for manifest in standing(made):
            for file in manifest.files:
                name = prefix + file.name
                if name in found:
                    seen[name] = replace(found[name], size=file.size, changed=manifest.changed)
                elif wanted(name):
                    address = f"{root.rstrip('/')}/{prefix}{STAGING}/{manifest.commit_id}/{file.staged}"
                    seen[name] = File(address, name, file.size, manifest.changed, storage=storage)
    return sorted(seen.values(), key=lambda file: file.name.split("/"))
