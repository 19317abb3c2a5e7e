"""Copies of a hand-over's blocks in durable storage, from which Ray reads again what a lost node held.

<checkpoint>/<hand-over>/block-00000.arrow    one block each, an Arrow file
<checkpoint>/<hand-over>/manifest.json        written last: which blocks the hand-over came to
"""

from __future__ import annotations

import json
import posixpath
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import pyarrow as pa
from pyarrow import fs

from pipelines.errors import HandoffError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class BlockFile:
    """One block's copy.

    Attributes:
        uri: where, for `pyarrow.fs`; every node that may have to read it must reach it there.
    """

    uri: str

    def write(self, table: pa.Table) -> None:
        """Write the copy; it is there whole, or not at all.

        Raises:
            HandoffError: the storage refuses.
        """
        try:
            system, path = fs.FileSystem.from_uri(self.uri)
            half = f"{path}.{uuid.uuid4().hex[:8]}.part"
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with (
                system.open_output_stream(half) as stream,
                pa.ipc.new_file(stream, table.schema, options=options) as to,
            ):
                to.write_table(table)
            system.move(half, path)
        except (OSError, pa.ArrowException) as error:
            raise HandoffError(f"cannot keep a copy of a block at {self.uri}: {error}") from error

    def read(self) -> pa.Table:
        """Return the block.

        Raises:
            HandoffError: it is not there.
        """
        try:
            system, path = fs.FileSystem.from_uri(self.uri)
            with system.open_input_file(path) as file, pa.ipc.open_file(file) as reader:
                return reader.read_all()
        except (OSError, pa.ArrowException) as error:
            raise HandoffError(
                f"a block of a lost node cannot be read from its checkpoint {self.uri}: {error}; the checkpoint must "
                "be where every node reaches it, and stay there for as long as the Dataset is used"
            ) from error


@dataclass
class BlockFiles:
    """The copies of one hand-over's blocks.

    Args:
        checkpoint: a URI that `pyarrow.fs` knows (``s3://``, ``gs://``, ``file://``, …) or an absolute path.
    """

    checkpoint: str
    _numbers: count[int] = field(default_factory=count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Make the directory.

        Raises:
            HandoffError: it cannot be made.
        """
        self.uri = posixpath.join(self.checkpoint, f"handoff-{uuid.uuid4().hex[:12]}")
        try:
            system, path = fs.FileSystem.from_uri(self.uri)
            system.create_dir(path, recursive=True)
        except (OSError, pa.ArrowException) as error:
            raise HandoffError(
                f"cannot use {self.checkpoint!r} as the checkpoint: {error}; give an absolute path that every node "
                "has, or a URI such as s3://bucket/dir"
            ) from error

    def new(self) -> BlockFile:
        """Return where the next block's copy goes."""
        with self._lock:
            number = next(self._numbers)
        return BlockFile(posixpath.join(self.uri, f"block-{number:05d}.arrow"))

    def publish(self, kept: Sequence[BlockFile]) -> None:
        """Take away the copies of blocks that were not kept, and write the manifest.

        Raises:
            HandoffError: the storage refuses.
        """
        names = [posixpath.basename(file.uri) for file in kept]
        try:
            system, path = fs.FileSystem.from_uri(self.uri)
            for found in system.get_file_info(fs.FileSelector(path)):
                if found.base_name not in names:
                    system.delete_file(found.path)
            with system.open_output_stream(posixpath.join(path, MANIFEST)) as stream:
                stream.write(json.dumps({"version": 1, "blocks": names}).encode())
        except OSError as error:
            raise HandoffError(f"cannot complete the checkpoint {self.uri}: {error}") from error

    def remove(self) -> None:
        """Take everything away.

        Raises:
            HandoffError: the storage refuses.
        """
        try:
            system, path = fs.FileSystem.from_uri(self.uri)
            system.delete_dir(path)
        except OSError as error:
            raise HandoffError(f"cannot take away the checkpoint {self.uri}: {error}; remove it by hand") from error
