"""A corpus of many formats with malformed rows planted in it, and a record of where each of them is."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from connectors import Csv, JsonLines, ParquetSource, PartitionedSource, TextFolder, TextLines

PLANTED_ROWS = 500
GOOD_ROWS_PER_FILE = 120
LABELS = ("sport", "tech")

KINDS: dict[str, tuple[str, ...]] = {
    "malformed_json": ("json",),
    "type_drift": ("json",),
    "column_count": ("csv",),
    "malformed_csv": ("csv",),
    "undecodable": ("folder", "lines", "csv", "json"),
    "nul_byte": ("folder", "lines", "csv", "json"),
    "null_text": ("csv", "json", "parquet"),
    "null_label": ("csv", "json", "parquet"),
}
"""The kinds of malformed rows, and the formats that each can occur in."""

FILES: dict[str, tuple[str, ...]] = {
    "folder": ("folder/sport", "folder/tech"),
    "lines": ("lines/sport.txt", "lines/tech.txt"),
    "csv": ("csv/first.csv", "csv/second.csv.gz"),
    "json": ("json/first.jsonl", "json/second.jsonl.gz"),
    "parquet": ("parquet/first.parquet", "parquet/second.parquet"),
}
"""The files of each format; of the folder, the directories, in which every row is a file."""

GOOD_ROWS = GOOD_ROWS_PER_FILE * sum(len(files) for files in FILES.values())


@dataclass(frozen=True)
class Planted:
    """One malformed row: the rule it breaks, the file it is in, and its line, record or row there, from 1."""

    kind: str
    file: str
    position: int


def plant(directory: Path, seed: int) -> list[Planted]:
    """Write the corpus: `GOOD_ROWS` good rows and `PLANTED_ROWS` malformed ones, the same for the same seed."""
    choose = random.Random(seed)
    entries: dict[str, list[str | None]] = {
        file: [None] * GOOD_ROWS_PER_FILE for files in FILES.values() for file in files
    }
    kinds = list(KINDS)
    for number in range(PLANTED_ROWS):
        kind = kinds[number % len(kinds)]
        entries[choose.choice(FILES[choose.choice(KINDS[kind])])].append(kind)
    planted: list[Planted] = []
    for style, files in FILES.items():
        for file in files:
            choose.shuffle(entries[file])
            path = directory / file
            path.parent.mkdir(parents=True, exist_ok=True)
            planted.extend(_WRITERS[style](path, entries[file], choose))
    return planted


def sources(directory: Path) -> dict[str, PartitionedSource]:
    """Return a source for each format, by the format's name."""
    return {
        "folder": TextFolder(path=str(directory / "folder")),
        "lines": TextLines(files={label: str(directory / "lines" / f"{label}.txt") for label in LABELS}),
        "csv": Csv(path=str(directory / "csv"), text_column="body", label_column="topic"),
        "json": JsonLines(path=str(directory / "json"), text_column="body", label_column="topic"),
        "parquet": ParquetSource(path=str(directory / "parquet"), text_column="body", label_column="topic"),
    }


def _text(number: int) -> str:
    return f"Article {number} “café” 泉 of the good ones"


def _write_folder(path: Path, kinds: Sequence[str | None], choose: random.Random) -> list[Planted]:
    path.mkdir()
    planted = []
    for number, kind in enumerate(kinds):
        file = path / f"{number:04d}.txt"
        file.write_bytes(_spoilt(kind, f"{_text(number)}\nwith a second line\n".encode()))
        if kind:
            planted.append(Planted(kind, str(file), 1))
    return planted


def _write_lines(path: Path, kinds: Sequence[str | None], choose: random.Random) -> list[Planted]:
    return _write_records(path, kinds, choose, lambda number, kind: _spoilt(kind, _text(number).encode()))


def _write_csv(path: Path, kinds: Sequence[str | None], choose: random.Random) -> list[Planted]:
    def record(number: int, kind: str | None) -> bytes:
        label = LABELS[number % 2]
        if number % 3 == 0 and kind is None:
            return f'"{_text(number)}, ""quoted""\non two lines",{label},{number}'.encode()
        lines = {
            "column_count": f"{_text(number)},{label},{number},one too many",
            "malformed_csv": f'"{_text(number)} that never ends,{label},{number}',
            "null_text": f",{label},{number}",
            "null_label": f"{_text(number)},,{number}",
        }
        return _spoilt(kind, lines.get(kind or "", f"{_text(number)},{label},{number}").encode())

    return _write_records(path, kinds, choose, record, header=b"body,topic,number")


def _write_json(path: Path, kinds: Sequence[str | None], choose: random.Random) -> list[Planted]:
    def record(number: int, kind: str | None) -> bytes:
        row: dict[str, object] = {"body": _text(number), "topic": LABELS[number % 2], "number": number}
        if kind == "type_drift":
            row["number"] = f"no. {number}"
        elif kind in ("null_text", "null_label"):
            row["body" if kind == "null_text" else "topic"] = None
        line = json.dumps(row, ensure_ascii=False).encode()
        return line[:-5] if kind == "malformed_json" else _spoilt(kind, line)

    return _write_records(path, kinds, choose, record)


def _write_parquet(path: Path, kinds: Sequence[str | None], choose: random.Random) -> list[Planted]:
    rows = [
        {
            "body": None if kind == "null_text" else _text(number),
            "topic": None if kind == "null_label" else LABELS[number % 2],
            "number": number,
        }
        for number, kind in enumerate(kinds)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=50)
    return [Planted(kind, str(path), number) for number, kind in enumerate(kinds, 1) if kind]


def _write_records(
    path: Path,
    kinds: Sequence[str | None],
    choose: random.Random,
    record: Callable[[int, str | None], bytes],
    header: bytes | None = None,
) -> list[Planted]:
    """Write records with line ends of both kinds and empty lines between them, and none after the last."""
    planted = []
    data = b"\xef\xbb\xbf" + (header + b"\n" if header else b"")
    for number, kind in enumerate(kinds):
        data += choose.choice([b"", b"", b"\n"])
        if kind:
            planted.append(Planted(kind, str(path), data.count(b"\n") + 1))
        data += record(number, kind) + (choose.choice([b"\n", b"\r\n"]) if number < len(kinds) - 1 else b"")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return planted


def _spoilt(kind: str | None, data: bytes) -> bytes:
    spoil = {"undecodable": b"\xff\xfe", "nul_byte": b"\0"}.get(kind or "", b"")
    return data[:9] + spoil + data[9:]


_WRITERS = {
    "folder": _write_folder,
    "lines": _write_lines,
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
}
