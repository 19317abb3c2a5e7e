"""Writing files to a directory so that only whole commits are ever seen: what the file sinks share.

How a directory is laid out, and what readers make of it, is said in `connectors.files.manifest`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain, islice
from typing import BinaryIO, Literal

import pyarrow as pa

from connectors.errors import SinkError, SinkExistsError
from connectors.files.directory import SinkDirectory, lost
from connectors.files.manifest import COMMITS, STAGING, CommittedFile, Manifest, is_part, standing
from connectors.modal_sink import NewColumns
from connectors.sink import Receipt, cast_rows

Mode = Literal["error", "overwrite", "append"]
"""What to do about data that a target holds: refuse, replace it in the commit, or add to it."""

OpenWriter = Callable[[BinaryIO, pa.Schema], AbstractContextManager[Callable[[pa.Table], None]]]
"""Takes a new file for rows of a schema and gives a function that appends a table to it; at its end the file is whole,
though not closed."""

_COMMIT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9=_-]*")
_SCHEMA = "schema.arrow"


@dataclass(frozen=True)
class FileTarget:
    """A directory that rows are committed to; does what `Sink` says, given a way to write one file.

    A commit has happened once its manifest is there; then its files are published, one by one, each in one step. A
    commit that is cut short before is undone by `abort`, or by the next `begin` (of the same commit, or of any where
    the mode is not ``append``). One that is cut short after is finished by whatever comes next: `commit`, `abort`,
    `is_committed`, or `begin` of any commit. Whoever reads by the manifests sees a commit as a whole from the first
    moment; others see its files appear, and before them, in the mode ``overwrite``, the old ones disappear.

    Attributes:
        directory: where.
        mode: what to do about data that is there.
        suffix: of the files, from the dot.
        new_columns: what to do about columns that the rows bring and the data that is there has not.
    """

    directory: SinkDirectory
    mode: Mode
    suffix: str
    new_columns: NewColumns = "refuse"

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Prepare to stage; see `Sink.begin`."""
        if not _COMMIT_ID.fullmatch(commit_id):
            raise SinkError(f"commit id {commit_id!r} cannot be part of a file name; use letters, digits, '-' and '_'")
        with self.directory.faults():
            self.directory.make()
            manifests = self._settled(commit_id)
            if commit_id not in {manifest.commit_id for manifest in manifests}:
                self._check_target(schema, manifests)
            self.directory.write(f"{_staging(commit_id)}/{_SCHEMA}", schema.serialize().to_pybytes())

    def check(self) -> None:
        """Refuse a directory that holds data where the mode is ``error``; see `Sink.check`."""
        with self.directory.faults():
            self._refuse(self._present())

    def write(
        self,
        commit_id: str,
        partition: int,
        attempt: int,
        batches: Iterable[pa.RecordBatch],
        open_writer: OpenWriter,
    ) -> Receipt:
        """Stage one attempt; see `Sink.write`. Of empty partitions, only the first makes a file, to show columns."""
        schema = self._staged_schema(commit_id)
        name = f"{partition:05d}-{attempt}-{secrets.token_hex(8)}{self.suffix}"
        path = f"{_staging(commit_id)}/{name}"
        rows = 0
        filled = (batch for batch in batches if batch.num_rows)
        first = list(islice(filled, 1))
        if not first and partition != 0:
            return Receipt(partition, attempt, rows=0, bytes=0)
        faults = self.directory.faults
        try:
            # What the batches raise is not the directory's fault, so only what is done to the file is under faults().
            with ExitStack() as file:
                with faults():
                    append = file.enter_context(open_writer(file.enter_context(self.directory.open(path)), schema))
                for batch in chain(first, filled):
                    rows += batch.num_rows
                    table = cast_rows(batch, schema)
                    with faults():
                        append(table)
                with faults():
                    file.close()
            with faults():
                size = self.directory.size(path)
            if size is None:
                raise lost(self.directory, path)
            return Receipt(partition, attempt, rows, size, (name,))
        except BaseException:
            # Where this fails too, the commit or the abort clears it.
            with suppress(SinkError), faults():
                self.directory.remove([path])
            raise

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        """Publish the receipts; see `Sink.commit`. May be called again after it was interrupted anywhere."""
        with self.directory.faults():
            manifest = self._manifest(commit_id)
            if manifest is None:
                manifest = self._decided(commit_id, receipts, cursor)
            self._finish(manifest)

    def is_committed(self, commit_id: str) -> bool:
        """Tell whether there is a manifest; see `Sink.is_committed`. Finishes a commit that was cut short after it."""
        with self.directory.faults():
            manifest = self._manifest(commit_id)
            if manifest is not None:
                self._finish(manifest)
            return manifest is not None

    def abort(self, commit_id: str) -> None:
        """Undo a commit that has not happened, and finish one that has; see `Sink.abort`."""
        if not self.is_committed(commit_id):
            with self.directory.faults():
                self.directory.remove_tree(_staging(commit_id))

    def _settled(self, commit_id: str) -> list[Manifest]:
        """Finish what was cut short after its manifest, undo what was before, and return the manifests that stand.

        Where others may be writing, as in the mode ``append``, only this commit's own staging is known to be left over.
        """
        manifests = {manifest.commit_id: manifest for manifest in self._manifests()}
        for staged in self.directory.names(STAGING):
            if staged in manifests:
                self._finish(manifests[staged])
            elif self.mode != "append" or staged == commit_id:
                self.directory.remove_tree(_staging(staged))
        return standing(manifests.values())

    def _check_target(self, schema: pa.Schema, manifests: Sequence[Manifest]) -> None:
        shown = self.directory.shown
        present = self._present()
        ours = {file.name for manifest in manifests for file in manifest.files}
        foreign = [name for name in present if name not in ours]
        self._refuse(present)
        if foreign and self.mode == "overwrite":
            raise SinkError(
                f"{shown} holds {foreign[0]!r}, which no sink has written, so it will not be overwritten; "
                "choose a directory of its own for the data, or remove that yourself"
            )
        if self.mode == "append":
            alike = [name for name in foreign if is_part(name)]
            if alike:
                raise SinkError(
                    f"{shown} holds {alike[0]!r}, which belongs to no commit, so readers would pass over it from now "
                    "on; choose a directory of its own for the data, or rename that file"
                )
            self._check_same_columns(present, schema, manifests)

    def _present(self) -> list[str]:
        return [name for name in self.directory.names() if not name.startswith((".", "_"))]

    def _refuse(self, present: Sequence[str]) -> None:
        if present and self.mode == "error":
            raise SinkExistsError(
                f"{self.directory.shown} holds data ({present[0]}, {len(present)} entries in all); choose another "
                "directory, or set mode: overwrite to replace it or mode: append to add to it"
            )

    def _check_same_columns(self, present: Sequence[str], schema: pa.Schema, manifests: Sequence[Manifest]) -> None:
        shown = self.directory.shown
        other = [name for name in present if not name.endswith(self.suffix)]
        if other:
            raise SinkError(f"{shown} holds {other[0]!r}, so {self.suffix} files cannot be appended to it")
        for manifest in manifests:
            columns = _columns(schema)
            if self.new_columns == "add":
                there = {name for name, _ in manifest.columns}
                columns = tuple(column for column in columns if column[0] in there)
            if manifest.columns != columns:
                raise SinkError(
                    f"{shown} holds rows of {_listed(manifest.columns)}, and rows of {_listed(_columns(schema))} "
                    "cannot be appended to them; write to another directory, set mode: overwrite, or, where some are "
                    "only new, new_columns: add"
                )

    def _draft(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None) -> Manifest:
        """Return the manifest of a commit that is about to happen; all its files are there."""
        files = tuple(
            CommittedFile(f"part-{receipt.partition:05d}-{commit_id}{self.suffix}", name, receipt.bytes)
            for receipt in receipts
            for name in receipt.staged
        )
        if len({file.name for file in files}) < len(files):
            raise SinkError(f"commit {commit_id} was given two receipts for one partition; give one for each")
        there = set(self.directory.names(_staging(commit_id)))
        gone = [file.staged for file in files if file.staged not in there]
        if gone:
            raise lost(self.directory, f"{_staging(commit_id)}/{gone[0]}")
        replaced = self._manifests() if self.mode == "overwrite" else []
        return Manifest(
            commit_id=commit_id,
            cursor=cursor,
            committed=datetime.now(timezone.utc).isoformat(),
            rows=sum(receipt.rows for receipt in receipts),
            size=sum(receipt.bytes for receipt in receipts),
            files=tuple(sorted(files, key=lambda file: file.name)),
            columns=_columns(self._staged_schema(commit_id)),
            replaces=tuple(sorted(manifest.commit_id for manifest in replaced)),
            made_by=secrets.token_hex(8),
        )

    def _decided(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None) -> Manifest:
        """Have the commit happen, and return its manifest: of this try, or of another that was first."""
        try:
            draft = self._draft(commit_id, receipts, cursor)
            if self.directory.create(_manifest_name(commit_id), draft.data()):
                return draft
            lack = SinkError(f"{self.directory.shown}: commit {commit_id} has just been replaced by another")
        except SinkError as error:
            lack = error  # perhaps because the other try has cleared the staging
        first = self._manifest(commit_id)
        if first is None:
            raise lack
        return first

    def _finish(self, manifest: Manifest) -> None:
        """Publish what a manifest names, and clear what it replaces; nothing is left to do once there is no staging."""
        staging = _staging(manifest.commit_id)
        if not self.directory.names(staging):
            return
        for commit_id in manifest.replaces:
            old = self._manifest(commit_id)
            if old is not None:
                self.directory.remove([file.name for file in old.files])
                self.directory.remove([_manifest_name(commit_id)])
            self.directory.remove_tree(_staging(commit_id))
        self.directory.publish({f"{staging}/{file.staged}": file.name for file in manifest.files})
        self.directory.remove_tree(staging)

    def _manifests(self) -> list[Manifest]:
        ids = [name.removesuffix(".json") for name in self.directory.names(COMMITS) if name.endswith(".json")]
        found = [self._manifest(commit_id) for commit_id in ids if _COMMIT_ID.fullmatch(commit_id)]
        return [manifest for manifest in found if manifest is not None]

    def _manifest(self, commit_id: str) -> Manifest | None:
        name = _manifest_name(commit_id)
        data = self.directory.read(name)
        try:
            return None if data is None else Manifest.parse(data, f"{self.directory.shown}/{name}")
        except ValueError as error:
            raise SinkError(str(error)) from None

    def _staged_schema(self, commit_id: str) -> pa.Schema:
        path = f"{_staging(commit_id)}/{_SCHEMA}"
        with self.directory.faults():
            data = self.directory.read(path)
            if data is not None:
                return pa.ipc.read_schema(pa.py_buffer(data))
        raise SinkError(
            f"{self.directory.shown}/{path} is not there: commit {commit_id} was not begun, or this machine does not "
            "see the directory that the driver does; a sink's directory must be on storage that all machines share "
            "under one path"
        )


def _staging(commit_id: str) -> str:
    return f"{STAGING}/{commit_id}"


def _manifest_name(commit_id: str) -> str:
    return f"{COMMITS}/{commit_id}.json"


def _columns(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, str(field.type)) for field in schema)


def _listed(columns: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in columns)
