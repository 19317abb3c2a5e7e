"""Sources of plain text: one text a file, and one text a line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors import BadRowError, EmptySourceError, SourceError, TextFolder, TextLines
from connectors.files.lines import MAX_RECORD_BYTES
from tests.connectors.reading import faults, read


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


class TestTextFolder:
    def test_a_file_is_a_row_labelled_by_its_directory(self, tmp_path: Path) -> None:
        _write(tmp_path / "sport" / "1.txt", "Tor!\r\nZwei".encode("latin-1"))
        _write(tmp_path / "tech" / "deep" / "2.txt", b"")
        _write(tmp_path / "tech" / "readme.md", b"no text of ours")
        rows, bad = read(TextFolder(path=str(tmp_path)))
        assert rows == [
            {"row_id": "sport/1.txt", "text": "Tor!\nZwei", "label": "sport"},
            {"row_id": "tech/deep/2.txt", "text": "", "label": "deep"},
        ]
        assert bad == []

    def test_labels_may_be_left_out(self, tmp_path: Path) -> None:
        _write(tmp_path / "1.txt", b"text")
        assert read(TextFolder(path=str(tmp_path), label_from_directory=False))[0] == [
            {"row_id": "1.txt", "text": "text"}
        ]

    @pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "utf-8-sig", "latin-1"])
    def test_the_encoding_is_the_one_given(self, tmp_path: Path, encoding: str) -> None:
        text = "café" if encoding == "latin-1" else "café 泉"
        _write(tmp_path / "a" / "1.txt", text.encode(encoding))
        rows, bad = read(TextFolder(path=str(tmp_path), encoding=encoding))
        assert ([row["text"] for row in rows], bad) == ([text], [])

    def test_a_file_that_is_no_text_is_a_bad_row(self, tmp_path: Path) -> None:
        _write(tmp_path / "a" / "latin.txt", "café".encode("latin-1"))
        _write(tmp_path / "a" / "long.txt", b"x" * (MAX_RECORD_BYTES + 1))
        _write(tmp_path / "a" / "nul.txt", "utf-16".encode("utf-16-le"))
        rows, bad = read(TextFolder(path=str(tmp_path)))
        assert rows == []
        assert [(row.rule, row.row_id, row.position) for row in bad] == [
            ("undecodable", "a/latin.txt", 1),
            ("too_long", "a/long.txt", 1),
            ("nul_byte", "a/nul.txt", 1),
        ]
        assert bad[0].reason == "not utf-8: byte 4 (e9): unexpected end of data"
        assert bad[0].value == "caf\\xe9"
        assert bad[0].origin == str(tmp_path / "a" / "latin.txt")

    def test_many_small_files_are_several_partitions(self, tmp_path: Path) -> None:
        for number in range(600):
            _write(tmp_path / "a" / f"{number:03d}.txt", b"x")
        with TextFolder(path=str(tmp_path)).plan() as plan:
            assert [partition.key for partition in plan.partitions] == ["a/000.txt", "a/256.txt", "a/512.txt"]

    def test_an_unknown_encoding_is_refused(self) -> None:
        with pytest.raises(ValidationError, match=r"'klingon' is not a text encoding.*latin-1"):
            TextFolder(path="x", encoding="klingon")


class TestTextLines:
    def test_a_line_is_a_row_labelled_by_its_file(self, tmp_path: Path) -> None:
        _write(tmp_path / "good.txt", b"\xef\xbb\xbffirst \r\n\n   \nsecond\n")
        _write(tmp_path / "bad.txt", b"last, without a newline")
        source = TextLines(files={"pos": str(tmp_path / "good.txt"), "neg": str(tmp_path / "bad.txt")})
        rows, bad = read(source)
        assert rows == [
            {"row_id": "bad.txt:1", "text": "last, without a newline", "label": "neg"},
            {"row_id": "good.txt:1", "text": "first ", "label": "pos"},
            {"row_id": "good.txt:4", "text": "second", "label": "pos"},
        ]
        assert bad == []

    def test_without_labels_a_path_is_enough(self, tmp_path: Path) -> None:
        path = tmp_path / "lines.txt.gz"
        path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
        assert [row["text"] for row in read(TextLines(path=str(path)))[0]] == ["one", "two"]

    def test_bad_lines_keep_their_numbers(self, tmp_path: Path) -> None:
        path = _write(tmp_path / "a.txt", b"ok\n\n\xff\n\0\nok\n" + b"x" * (2 * MAX_RECORD_BYTES) + b"\nok\n\xfe")
        source = TextLines(path=str(path))
        assert faults(source) == [("undecodable", 3), ("nul_byte", 4), ("too_long", 6), ("undecodable", 8)]
        assert [row["row_id"] for row in read(source)[0]] == ["a.txt:1", "a.txt:5", "a.txt:7"]

    def test_fails_at_the_first_bad_line_when_told_to(self, tmp_path: Path) -> None:
        path = _write(tmp_path / "a.txt", b"ok\n\xff\n")
        with pytest.raises(BadRowError, match=r"a\.txt, position 2: .*undecodable.*quarantine"):
            read(TextLines(path=str(path), on_bad_rows="fail"))

    @settings(max_examples=8)
    @given(lengths=st.lists(st.integers(0, 400_000), min_size=10, max_size=40), newline=st.sampled_from(["\n", "\r\n"]))
    def test_a_split_file_gives_every_line_once_under_its_number(
        self, tmp_path: Path, lengths: list[int], newline: str
    ) -> None:
        lines = [f"{number} " + "x" * length if length % 7 else "" for number, length in enumerate(lengths)]
        path = _write(tmp_path / "large.txt", newline.join(lines).encode())
        expected = {f"large.txt:{number}": line for number, line in enumerate(lines, 1) if line}
        source = TextLines(path=str(path))
        if not expected:
            return
        rows, bad = read(source)
        assert bad == []
        assert {row["row_id"]: row["text"] for row in rows} == expected
        with source.plan() as plan:
            assert len(plan.partitions) >= path.stat().st_size // (2 * 1024 * 1024)

    def test_a_truncated_file_is_an_error_and_not_fewer_rows(self, tmp_path: Path) -> None:
        data = gzip.compress(b"one line\n" * 1000)
        path = _write(tmp_path / "a.txt.gz", data[:-12])
        with pytest.raises(SourceError, match=r"a\.txt\.gz cannot be read.*whole gzip data"):
            read(TextLines(path=str(path)))

    def test_an_empty_file_is_an_empty_source(self, tmp_path: Path) -> None:
        with pytest.raises(EmptySourceError, match="the file is empty"):
            read(TextLines(path=str(_write(tmp_path / "a.txt", b""))))

    def test_the_order_of_the_mapping_means_nothing(self) -> None:
        one, other = TextLines(files={"a": "x", "b": "y"}), TextLines(files={"b": "y", "a": "x"})
        assert one == other
        assert hash(one) == hash(other)
        assert TextLines.model_validate(one.model_dump(mode="json")) == one

    @pytest.mark.parametrize("options", [{}, {"path": "a", "files": {"x": "b"}}])
    def test_either_path_or_files_must_be_given(self, options: dict[str, object]) -> None:
        with pytest.raises(ValidationError, match="either 'path'"):
            TextLines.model_validate(options)

    def test_an_encoding_without_single_byte_newlines_is_refused_with_the_cure(self) -> None:
        with pytest.raises(ValidationError, match="iconv -f utf-16"):
            TextLines(path="a", encoding="utf-16")
