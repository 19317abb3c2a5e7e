"""Documents out of archives, whole and damaged."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import zstandard
from pydantic import ValidationError

from connectors import Archives, SourceError, SourceNotFoundError
from connectors.source import BadRow, PartitionedSource
from pipelines.testing import SourceContract
from tests.connectors.archive_files import http, page, record, tar_bytes, warc_gz, zip_file
from tests.connectors.reading import faults, read

TEXTS = {f"t{n}.txt": f"text {n} 泉\r\n".encode() for n in range(4)}


class TestArchives(SourceContract):
    row_count = 15

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        zip_file(tmp_path / "a.zip", {**TEXTS, "bad.txt": b"\xff"})
        (tmp_path / "b.tar.gz").write_bytes(gzip.compress(tar_bytes(TEXTS)))
        warc_gz(tmp_path / "c.warc.gz", [record(http(page(f"page {n}"))) for n in range(4)])
        (tmp_path / "d.html").write_bytes(page("one"))
        (tmp_path / "e.txt.zst").write_bytes(zstandard.compress(b"two")[:-1])
        return Archives(path=str(tmp_path))


class TestMembers:
    def test_members_of_a_zip_file_are_rows(self, tmp_path: Path) -> None:
        zip_file(tmp_path / "a.zip", {"d/": b"", "d/a.html": page("an article"), "b.txt": b"plain\r\ntext"})
        rows, bad = read(Archives(path=str(tmp_path / "a.zip")))
        date = datetime(2026, 1, 2, 3, 4, 6, tzinfo=timezone.utc)
        assert rows == [
            {
                "row_id": "a.zip:2",
                "text": "an article",
                "url": None,
                "date": date,
                "content_type": "text/html",
                "member": "d/a.html",
            },
            {
                "row_id": "a.zip:3",
                "text": "plain\ntext",
                "url": None,
                "date": date,
                "content_type": "text/plain",
                "member": "b.txt",
            },
        ]
        assert bad == []

    @pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.zst"])
    def test_members_of_a_tar_file_are_rows_however_it_is_compressed(self, suffix: str, tmp_path: Path) -> None:
        data = tar_bytes(TEXTS)
        pack = {"tar": bytes, "tar.zst": zstandard.compress}.get(suffix, gzip.compress)
        (tmp_path / f"a.{suffix}").write_bytes(pack(data))
        rows, bad = read(Archives(path=str(tmp_path)))
        assert [(row["row_id"], row["text"], row["member"]) for row in rows] == [
            (f"a.{suffix}:{n + 2}", f"text {n} 泉\n", f"t{n}.txt") for n in range(4)
        ]
        assert bad == []

    @pytest.mark.parametrize("name", ["a.zip", "a.tar"])
    def test_only_members_that_are_wanted_are_read_and_keep_their_ids(self, name: str, tmp_path: Path) -> None:
        members = {"a/one.txt": b"one", "a/two.md": b"two", "b/three.txt": b"three"}
        if name == "a.zip":
            zip_file(tmp_path / name, members)
        else:
            (tmp_path / name).write_bytes(tar_bytes(members))
        whole = {row["text"]: row["row_id"] for row in read(Archives(path=str(tmp_path)))[0]}
        for pattern, wanted in (("*.txt", {"one", "three"}), ("a/*", {"one", "two"})):
            some = {row["text"]: row["row_id"] for row in read(Archives(path=str(tmp_path), members=pattern))[0]}
            assert some == {text: whole[text] for text in wanted}

    def test_a_file_that_is_no_archive_is_a_document(self, tmp_path: Path) -> None:
        (tmp_path / "a.htm.gz").write_bytes(gzip.compress(page("packed")))
        (tmp_path / "b.md").write_text("# plain")
        assert [row["text"] for row in read(Archives(path=str(tmp_path)))[0]] == ["packed", "# plain"]


class TestWarc:
    @pytest.mark.parametrize("suffix", ["warc", "warc.gz", "warc.zst"])
    def test_what_was_fetched_is_a_row_with_where_and_when(self, suffix: str, tmp_path: Path) -> None:
        records = [
            record(b"software: x", kind="warcinfo", content_type="application/warc-fields"),
            record(http(page("a page")), url="http://example.com/page"),
            record(http(b"plain", content_type="text/plain"), url="http://example.com/plain"),
            record(b"GET /", kind="request"),
            record("converted 泉".encode(), kind="conversion", content_type="text/plain"),
        ]
        pack = {"warc": bytes, "warc.gz": gzip.compress, "warc.zst": zstandard.compress}[suffix]
        (tmp_path / f"a.{suffix}").write_bytes(b"".join(pack(one) for one in records))
        rows, bad = read(Archives(path=str(tmp_path)))
        assert bad == []
        assert [(row["row_id"], row["text"], row["content_type"]) for row in rows] == [
            (f"a.{suffix}:2", "a page", "text/html"),
            (f"a.{suffix}:3", "plain", "text/plain"),
            (f"a.{suffix}:5", "converted 泉", "text/plain"),
        ]
        assert rows[0]["url"] == "http://example.com/page"
        assert {row["date"] for row in rows} == {datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)}

    def test_payloads_are_decoded_and_bombs_are_not(self, tmp_path: Path) -> None:
        encoded = "Content-Encoding: gzip\r\n"
        chunked = b"5\r\nhello\r\n0\r\n\r\n"
        warc_gz(
            tmp_path / "a.warc.gz",
            [
                record(http(gzip.compress(page("packed")), more=encoded)),
                record(http(gzip.compress(b"a" * 10**6), more=encoded)),
                record(http(b"no gzip at all", more=encoded)),
                record(http(chunked, more="Transfer-Encoding: chunked\r\n")),
                record(http(b"b" * 200_000)),
                record(http(page("last"))),
            ],
        )
        source = Archives(path=str(tmp_path), max_document_bytes=100_000)
        assert faults(source) == [("too_large", 2), ("corrupt_record", 3), ("too_large", 5)]
        assert [row["text"] for row in read(source)[0]] == ["packed", "hello", "last"]

    def test_what_is_no_document_is_set_aside(self, tmp_path: Path) -> None:
        warc_gz(
            tmp_path / "a.warc.gz",
            [
                record(http(b"\x89PNG", content_type="image/png")),
                record(http(page("gone"), status=404)),
                record(http(b"<html><body></body></html>")),
                record(http(b"<p>caf\xe9")),
                record(http(b"<p>a\0b")),
                record(http(b"<div>" * 20_000 + b"deep")),
            ],
        )
        assert faults(Archives(path=str(tmp_path))) == [
            ("no_text_type", 1),
            ("http_status", 2),
            ("empty_text", 3),
            ("undecodable", 4),
            ("nul_byte", 5),
            ("too_deep", 6),
        ]

    def test_a_page_is_decoded_as_its_server_or_it_itself_says(self, tmp_path: Path) -> None:
        meta = b"<html><head><meta charset='gb2312'></head><body><p>%s</p></body></html>"
        warc_gz(
            tmp_path / "a.warc.gz",
            [
                record(http("<p>café “q”".encode("cp1252"), content_type="text/html; charset=ISO-8859-1")),
                record(http(meta % "泉水".encode("gbk"), content_type="text/html")),
                record(http(page("泉水流淌").decode().encode("utf-16"), content_type="text/html")),
                record(http("泉".encode("big5"), content_type="text/plain; charset=big5")),
                record(http(page("泉水流淌"), content_type="text/html; charset=nonsense")),
            ],
        )
        rows, bad = read(Archives(path=str(tmp_path)))
        assert bad == []
        assert [row["text"] for row in rows] == ["café “q”", "泉水", "泉水流淌", "泉", "泉水流淌"]


class TestExtraction:
    def test_as_much_of_a_page_is_kept_as_is_wanted(self, tmp_path: Path) -> None:
        (tmp_path / "a.html").write_bytes(page("The article."))
        texts = {
            extract: str(read(Archives(path=str(tmp_path), extract=extract))[0][0]["text"])
            for extract in ("main_content", "all_text", "none")
        }
        assert texts["main_content"] == "The article."
        assert "menu 3" in texts["all_text"]
        assert "<" not in texts["all_text"]
        assert "x()" not in texts["all_text"]
        assert texts["none"] == page("The article.").decode()


class TestDamage:
    @pytest.mark.parametrize("kind", ["warc.gz", "warc.zst", "warc", "tar.gz", "tar.zst", "tar"])
    def test_what_is_before_a_cut_is_read_and_the_rest_is_one_bad_row(self, kind: str, tmp_path: Path) -> None:
        rows = 40
        if kind.startswith("warc"):
            data = [record(http(page(f"{n} " + _noise(n)))) for n in range(rows)]
        else:
            data = [tar_bytes({f"{n}": _noise(n).encode() for n in range(rows)})]
        pack = gzip.compress if kind.endswith("gz") else zstandard.compress if kind.endswith("zst") else bytes
        whole = b"".join(pack(one) for one in data)
        (tmp_path / f"a.{kind}").write_bytes(whole[: len(whole) * 3 // 4])
        good, bad = read(Archives(path=str(tmp_path)))
        assert rows // 2 < len(good) < rows
        assert [row.rule in ("corrupt_archive", "truncated") for row in bad] == [True]
        assert bad[0].position == len(good) + (1 if kind.startswith("warc") else 2)

    @pytest.mark.parametrize(("cut", "rule"), [(5, "truncated"), (200, "truncated"), (430, "corrupt_record")])
    def test_a_record_that_is_cut_off_is_not_taken_for_whole(self, cut: int, rule: str, tmp_path: Path) -> None:
        (tmp_path / "a.warc").write_bytes((record(http(page("a page"))) * 3)[:-cut])
        source = Archives(path=str(tmp_path))
        assert faults(source) == [(rule, 3)]
        assert len(read(source)[0]) == 2

    @pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gz", "zst"])
    def test_a_cut_costs_no_record_that_lies_well_before_it(self, pack: Any, tmp_path: Path) -> None:
        records = b"".join(pack(record(http(page(f"{n} " + _noise(n))))) for n in range(5))
        name = "a.warc.gz" if pack is gzip.compress else "a.warc.zst"
        (tmp_path / name).write_bytes(records[:-1000])
        good, bad = read(Archives(path=str(tmp_path)))
        assert len(good) in (3, 4)
        assert [row.rule for row in bad] == ["corrupt_archive"]

    def test_damage_within_a_tar_file_is_not_taken_for_its_end(self, tmp_path: Path) -> None:
        data = bytearray(tar_bytes(TEXTS))
        data[512 + 1024 + 100] ^= 0xFF
        (tmp_path / "a.tar").write_bytes(data)
        good, bad = read(Archives(path=str(tmp_path)))
        assert len(good) == 1
        assert [row.rule for row in bad] == ["corrupt_archive"]
        assert "damaged" in bad[0].reason

    def test_a_damaged_member_of_a_zip_file_does_not_spoil_the_others(self, tmp_path: Path) -> None:
        path = zip_file(tmp_path / "a.zip", {f"{n}.txt": _noise(n).encode() for n in range(3)})
        data = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            start = archive.infolist()[1].header_offset
        data[start + 60 : start + 70] = b"\xff" * 10
        path.write_bytes(data)
        source = Archives(path=str(tmp_path))
        assert faults(source) == [("corrupt_member", 2)]
        assert len(read(source)[0]) == 2

    def test_an_encrypted_member_and_a_bomb_are_set_aside(self, tmp_path: Path) -> None:
        path = zip_file(tmp_path / "a.zip", {"a.txt": b"secret", "b.txt": b"0" * 10**6, "c.txt": b"good"})
        data = bytearray(path.read_bytes())
        directory = data.index(b"PK\x01\x02")
        data[6] |= 1
        data[directory + 8] |= 1
        path.write_bytes(data)
        assert faults(Archives(path=str(tmp_path), max_document_bytes=1000)) == [("encrypted", 1), ("too_large", 2)]

    def test_a_bomb_that_lies_about_its_size_is_set_aside(self, tmp_path: Path) -> None:
        path = zip_file(tmp_path / "a.zip", {"a.txt": b"0" * 10**6})
        data = bytearray(path.read_bytes())
        directory = data.index(b"PK\x01\x02")
        data[22:26] = data[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
        path.write_bytes(data)
        assert [rule for rule, _ in faults(Archives(path=str(tmp_path), max_document_bytes=1000))] == ["corrupt_member"]

    def test_files_that_are_not_what_they_are_called_are_bad_rows(self, tmp_path: Path) -> None:
        for name in ("a.zip", "b.tar", "c.warc", "d.txt.gz", "e.tar.gz", "f.warc.gz", "g.html.zst"):
            (tmp_path / name).write_bytes(b"nothing of the kind, " * 100)
        good, bad = read(Archives(path=str(tmp_path)))
        assert good == []
        assert [(row.rule, row.position) for row in bad] == [("corrupt_archive", 1)] * 7
        assert len({row.row_id for row in bad}) == 7

    @pytest.mark.parametrize("size", [1_000, 2_000_000])
    def test_a_large_member_of_a_tar_file_is_passed_over(self, size: int, tmp_path: Path) -> None:
        members = {"a": b"one", "b": b"0" * size, "c": b"three"}
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(tar_bytes(members)))
        source = Archives(path=str(tmp_path), max_document_bytes=100)
        assert faults(source) == [("too_large", 3)]
        assert [row["text"] for row in read(source)[0]] == ["one", "three"]

    def test_names_that_are_not_text_are_shown_as_escapes(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar_bytes({"caf\udce9.txt": b"a"}))
        assert read(Archives(path=str(tmp_path)))[0][0]["member"] == "caf\\udce9.txt"


class TestFiles:
    def test_new_files_are_found(self, tmp_path: Path) -> None:
        zip_file(tmp_path / "a.zip", TEXTS)
        source = Archives(path=str(tmp_path))
        with source.plan() as plan:
            cursor = plan.cursor
        zip_file(tmp_path / "b.zip", {"new.txt": b"new"})
        with source.plan(since=cursor) as plan:
            items = [item for one in plan.partitions for item in source.scan(one)]
        assert [row["row_id"] for item in items if not isinstance(item, BadRow) for row in item.to_pylist()] == [
            "b.zip:1"
        ]

    def test_what_is_not_there_or_cannot_be_opened_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(SourceNotFoundError):
            read(Archives(path=str(tmp_path / "none.zip")))
        (tmp_path / "a.zip").write_bytes(b"")
        source = Archives(path=str(tmp_path))
        with source.plan() as plan:
            (tmp_path / "a.zip").unlink()
            with pytest.raises(SourceError, match=r"a\.zip cannot be read: No such file"):
                list(source.scan(plan.partitions[0]))

    def test_options_that_make_no_sense_are_refused(self) -> None:
        for wrong in ({"extract": "title"}, {"max_document_bytes": 10**9}, {"encoding": "utf-9"}, {"members": ""}):
            with pytest.raises(ValidationError):
                Archives(path="/data", **wrong)  # type: ignore[arg-type]


def _noise(seed: int) -> str:
    """Text that hardly compresses, so that a cut of the packed bytes is a cut of the text."""
    import random

    chosen = random.Random(seed)
    stream = io.StringIO()
    for _ in range(600):
        stream.write(f"{chosen.randrange(16**6):06x} ")
    return stream.getvalue()
