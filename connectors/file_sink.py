"""Writing files to a directory so that only whole commits are ever seen: what the file sinks share.

A directory looks like this, and readers that pass over names with a leading ``_`` (Spark, pyarrow, our own
sources) see the data alone::

    part-00000-<commit>.parquet     published
    _commits/<commit>.json          written last: a commit without it did not happen
    _staging/<commit>/              attempts not published (yet), and in replaced/ what an overwrite puts away
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import AfterValidator

from connectors.errors import SinkError, SinkExistsError
from connectors.paths import PACKAGE, PathOption
from connectors.sink import Receipt

Mode = Literal["error", "overwrite", "append"]
"""What to do about data that a target holds: refuse, replace it in the commit, or add to it."""

Compression = Literal["none", "gzip", "zstd"]
"""How text files are compressed; the suffix says so to readers."""

SUFFIXES: dict[Compression, str] = {"none": "", "gzip": ".gz", "zstd": ".zst"}

OpenWriter = Callable[[Path, pa.Schema], AbstractContextManager[Callable[[pa.Table], None]]]
"""Opens a new file for rows of a schema and gives a function that appends a table to it; closing makes it whole."""

_PART = re.compile(r"part-\d{5,}-([^.]+)\.[a-z.]+")
_COMMIT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9=_-]*")
_STAGING = "_staging"
_COMMITS = "_commits"
_REPLACED = "replaced"
_SCHEMA = "schema.arrow"


def _is_a_directory_path(path: str) -> str:
    if path.startswith(PACKAGE) or "://" in path:
        raise ValueError(f"a sink writes to a directory that every machine reaches by the same path; got {path!r}")
    return path


DirectoryOption = Annotated[PathOption, AfterValidator(_is_a_directory_path)]
"""The directory that a sink writes to: local, or shared by all machines under one path. Made absolute at once."""


@dataclass(frozen=True)
class FileTarget:
    """A directory that rows are committed to; does what `Sink` says, given a way to write one file.

    Files appear in the directory one by one as a commit goes on, each in one step; `_commits` tells a commit that
    ended from one that was cut short. `abort`, or the next `begin` (of the same commit, or of any where the mode is
    not ``append``), undoes the latter, and brings back what it had replaced.

    Attributes:
        directory: where.
        mode: what to do about data that is there.
        suffix: of the files, from the dot.
    """

    directory: Path
    mode: Mode
    suffix: str

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Prepare to stage; see `Sink.begin`."""
        if not _COMMIT_ID.fullmatch(commit_id):
            raise SinkError(f"commit id {commit_id!r} cannot be part of a file name; use letters, digits, '-' and '_'")
        with self._faults():
            self.directory.mkdir(parents=True, exist_ok=True)
            self._clear_unfinished(commit_id)
            if not self._manifest(commit_id).exists():
                self._check_target(schema)
            staging = self._staging(commit_id)
            staging.mkdir(parents=True, exist_ok=True)
            _replace(staging / _SCHEMA, schema.serialize().to_pybytes())

    def write(
        self,
        commit_id: str,
        partition: int,
        attempt: int,
        batches: Iterable[pa.RecordBatch],
        open_writer: OpenWriter,
    ) -> Receipt:
        """Stage one attempt; see `Sink.write`. Of empty partitions, only the first makes a file, to show columns."""
        staging = self._staging(commit_id)
        schema = self._staged_schema(commit_id)
        path = staging / f"{partition:05d}-{attempt}-{secrets.token_hex(8)}{self.suffix}"
        rows = 0
        filled = (batch for batch in batches if batch.num_rows)
        first = list(islice(filled, 1))
        if not first and partition != 0:
            return Receipt(partition, attempt, rows=0, bytes=0)
        try:
            # What the batches raise is not the directory's fault, so only what is done to the file is under _faults.
            with ExitStack() as file:
                with self._faults():
                    append = file.enter_context(open_writer(path, schema))
                for batch in chain(first, filled):
                    rows += batch.num_rows
                    with self._faults():
                        append(_cast(batch, schema))
                with self._faults():
                    file.close()
                    _sync(path)
                    return Receipt(partition, attempt, rows, path.stat().st_size, (path.name,))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        """Publish the receipts; see `Sink.commit`. May be called again after it was interrupted anywhere."""
        with self._faults():
            if not self._manifest(commit_id).exists():
                files = self._named(commit_id, receipts)
                schema = self._staged_schema(commit_id)
                if self.mode == "overwrite":
                    self._put_away(commit_id)
                for staged, published in files.items():
                    if staged.exists():
                        os.replace(staged, published)
                _sync(self.directory)
                _replace(
                    self._manifest(commit_id),
                    _manifest_text(commit_id, receipts, cursor, files.values(), schema),
                )
            self._clear_staging(commit_id)

    def is_committed(self, commit_id: str) -> bool:
        """Tell whether a commit ended; see `Sink.is_committed`."""
        with self._faults():
            return self._manifest(commit_id).exists()

    def abort(self, commit_id: str) -> None:
        """Undo a commit that did not end; see `Sink.abort`. What a finished commit published stays."""
        with self._faults():
            if not self._manifest(commit_id).exists():
                for path in self._parts():
                    if _commit_of(path) == commit_id:
                        path.unlink()
                self._bring_back(commit_id)
            self._clear_staging(commit_id)

    def _clear_staging(self, commit_id: str) -> None:
        shutil.rmtree(self._staging(commit_id), ignore_errors=True)

    def _clear_unfinished(self, commit_id: str) -> None:
        """Undo what an earlier try at this commit left; and, where no one else may be writing, at any other."""
        staging = self.directory / _STAGING
        others = sorted(path.name for path in staging.iterdir()) if staging.exists() else []
        for unfinished in [commit_id] if self.mode == "append" else {commit_id, *others}:
            self.abort(unfinished)

    def _check_target(self, schema: pa.Schema) -> None:
        present = sorted(path for path in self.directory.iterdir() if not path.name.startswith((".", "_")))
        foreign = [path.name for path in present if _commit_of(path) is None]
        if present and self.mode == "error":
            raise SinkExistsError(
                f"{self.directory} holds data ({present[0].name}, {len(present)} entries in all); choose another "
                "directory, or set mode: overwrite to replace it or mode: append to add to it"
            )
        if foreign and self.mode == "overwrite":
            raise SinkError(
                f"{self.directory} holds {foreign[0]!r}, which no sink has written, so it will not be overwritten; "
                "choose a directory of its own for the data, or remove that yourself"
            )
        if self.mode == "append":
            self._check_same_columns(present, schema)

    def _check_same_columns(self, present: list[Path], schema: pa.Schema) -> None:
        other = [path.name for path in present if not path.name.endswith(self.suffix)]
        if other:
            raise SinkError(f"{self.directory} holds {other[0]!r}, so {self.suffix} files cannot be appended to it")
        for manifest in sorted((self.directory / _COMMITS).glob("*.json")):
            columns = json.loads(manifest.read_text(encoding="utf-8"))["columns"]
            if columns != _columns(schema):
                raise SinkError(
                    f"{self.directory} holds rows of {_listed(columns)}, and rows of {_listed(_columns(schema))} "
                    "cannot be appended to them; write to another directory, or set mode: overwrite"
                )

    def _named(self, commit_id: str, receipts: Sequence[Receipt]) -> dict[Path, Path]:
        """Return under which name each staged file is to be published; all are there, staged or published already."""
        staging = self._staging(commit_id)
        files = {
            staging / name: self.directory / f"part-{receipt.partition:05d}-{commit_id}{self.suffix}"
            for receipt in receipts
            for name in receipt.staged
        }
        if len(set(files.values())) < len(files):
            raise SinkError(f"commit {commit_id} was given two receipts for one partition; give one for each")
        lost = [staged for staged, published in files.items() if not staged.exists() and not published.exists()]
        if lost:
            raise SinkError(f"commit {commit_id}: {lost[0]} was staged and is not there; run the write again")
        return files

    def _put_away(self, commit_id: str) -> None:
        """Hide what is published by other commits; in one step each, and so that `_bring_back` can undo it."""
        replaced = self._staging(commit_id) / _REPLACED
        replaced.mkdir(parents=True, exist_ok=True)
        old = [path for path in self._parts() if _commit_of(path) != commit_id]
        for path in [*old, *(self.directory / _COMMITS).glob("*.json")]:
            os.replace(path, replaced / path.name)

    def _bring_back(self, commit_id: str) -> None:
        for path in (self._staging(commit_id) / _REPLACED).glob("*"):
            os.replace(path, (self.directory / _COMMITS if path.suffix == ".json" else self.directory) / path.name)

    def _staged_schema(self, commit_id: str) -> pa.Schema:
        path = self._staging(commit_id) / _SCHEMA
        try:
            return pa.ipc.read_schema(pa.py_buffer(path.read_bytes()))
        except OSError as error:
            raise SinkError(
                f"{path} is not there: commit {commit_id} was not begun, or this machine does not see the directory "
                "that the driver does; a sink's directory must be on storage that all machines share under one path"
            ) from error

    def _parts(self) -> list[Path]:
        return sorted(path for path in self.directory.glob("part-*") if _commit_of(path))

    def _staging(self, commit_id: str) -> Path:
        return self.directory / _STAGING / commit_id

    def _manifest(self, commit_id: str) -> Path:
        return self.directory / _COMMITS / f"{commit_id}.json"

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise SinkError(f"{self.directory} cannot be written: {error}") from error


def _commit_of(path: Path) -> str | None:
    """Return the commit that a published file belongs to; None if it is no such file."""
    match = _PART.fullmatch(path.name)
    return match.group(1) if match else None


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    if batch.schema.names != schema.names:
        raise SinkError(
            f"a batch has the columns {', '.join(batch.schema.names)}; begun with {', '.join(schema.names)}"
        )
    return pa.Table.from_batches([batch]).cast(schema)


def _manifest_text(
    commit_id: str, receipts: Sequence[Receipt], cursor: str | None, files: Iterable[Path], schema: pa.Schema
) -> bytes:
    manifest = {
        "version": 1,
        "commit_id": commit_id,
        "cursor": cursor,
        "rows": sum(receipt.rows for receipt in receipts),
        "bytes": sum(receipt.bytes for receipt in receipts),
        "files": sorted(path.name for path in files),
        "columns": _columns(schema),
    }
    return json.dumps(manifest, indent=2).encode()


def _columns(schema: pa.Schema) -> list[list[str]]:
    return [[field.name, str(field.type)] for field in schema]


def _listed(columns: list[list[str]]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in columns)


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    staged.write_bytes(data)
    _sync(staged)
    os.replace(staged, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Have a file or directory reach the disk, so that a rename never outruns what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
