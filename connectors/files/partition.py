"""Dividing the files of a source into parts that tasks read on their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from connectors.errors import SourceError
from connectors.files.lines import is_compressed, open_file
from connectors.files.paths import File
from connectors.source import Partition

MAX_PARTITION_BYTES = 32 * 1024 * 1024
"""What a partition grows to at most, single files apart: a few seconds of parsing, so that a retry costs little."""

MIN_PARTITION_BYTES = 1024 * 1024
"""Below this a task costs more to start than to run."""

WANTED_PARTITIONS = 16
"""How many partitions a source of middling size is divided into: enough for the cores of a large machine."""

MAX_FILES = 256
"""Opening a file costs as much as reading some kilobytes of it (over a network, 100), so files count like bytes."""

_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class FilePart:
    """A whole file, or a run of whole lines in one.

    Attributes:
        file: the file.
        start: the byte that the part begins with.
        stop: the byte that it ends before; None reads to the end.
        first_line: the number of its first line in the file, from 1.
    """

    file: File
    start: int = 0
    stop: int | None = None
    first_line: int = 1

    @property
    def size(self) -> int:
        """How many bytes of the file the part takes up."""
        return (self.file.size if self.stop is None else self.stop) - self.start


@dataclass(frozen=True)
class FilePartition(Partition):
    """Files, or parts of files, that one task reads.

    Attributes:
        parts: what to read, in order.
        found: the columns that the files have, under the files' own names; None where the source knows without.
    """

    parts: tuple[FilePart, ...] = ()
    found: pa.Schema | None = None


def divide(files: Sequence[File], *, by_line: bool, found: pa.Schema | None = None) -> tuple[FilePartition, ...]:
    """Group small files and, where lines can be read apart, split large ones; the same files give the same parts.

    Splitting reads the file once to count its lines, since a row's id holds its line number. A compressed file cannot
    be entered in the middle and stays whole.

    Args:
        files: what there is to read, in order.
        by_line: True if every line stands for itself, so that a file may be split between any two.
        found: goes into every partition.
    """
    wanted = sum(file.size for file in files) // WANTED_PARTITIONS
    target = min(MAX_PARTITION_BYTES, max(MIN_PARTITION_BYTES, wanted))
    parts = [part for file in files for part in (_split(file, target) if by_line else [FilePart(file)])]
    return tuple(FilePartition(_key(group[0]), tuple(group), found) for group in _groups(parts, target))


def _split(file: File, target: int) -> Iterator[FilePart]:
    if file.size < 2 * target or is_compressed(file.address):
        yield FilePart(file)
        return
    start, line = 0, 1
    with open_file(file) as stream:
        while file.size - start >= 2 * target:
            newlines, left = 0, target
            while left and (chunk := stream.read(min(_CHUNK, left))):
                newlines += chunk.count(b"\n")
                left -= len(chunk)
            while (tail := stream.readline(_CHUNK)) and not tail.endswith(b"\n"):
                pass
            stop = stream.tell()
            if stop == start:
                raise SourceError(
                    f"{file.address} became shorter while it was looked at; read it when nobody writes it"
                )
            yield FilePart(file, start, stop, line)
            start, line = stop, line + newlines + 1
    if start < file.size:
        yield FilePart(file, start, None, line)


def _groups(parts: Iterable[FilePart], target: int) -> Iterator[list[FilePart]]:
    group: list[FilePart] = []
    size = 0
    for part in parts:
        if group and (size + part.size > target or len(group) == MAX_FILES):
            yield group
            group, size = [], 0
        group.append(part)
        size += part.size
    if group:
        yield group


def _key(part: FilePart) -> str:
    return part.file.name if part.first_line == 1 else f"{part.file.name}:{part.first_line}"
