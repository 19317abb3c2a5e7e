"""Archives of the tests' own, good and bad."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

DATE = "2026-01-02T03:04:05Z"


def page(text: str) -> bytes:
    """A page with its text amid what surrounds it."""
    menu = "".join(f'<li><a href="/{n}">menu {n}</a></li>' for n in range(5))
    return (
        f"<html><head><title>A title</title><script>x()</script></head><body><nav><ul>{menu}</ul></nav>"
        f"<article><p>{text}</p></article><footer>All rights reserved</footer></body></html>"
    ).encode()


def http(body: bytes, *, content_type: str = "text/html; charset=utf-8", status: int = 200, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} So\r\nContent-Type: {content_type}\r\n{more}\r\n".encode() + body


def record(block: bytes, *, url: str = "http://example.com/a", kind: str = "response", content_type: str = "") -> bytes:
    """A WARC record; without a content type, one of HTTP."""
    content_type = content_type or "application/http; msgtype=response"
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: {DATE}\r\n"
        f"WARC-Record-ID: <urn:uuid:0>\r\nContent-Type: {content_type}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def warc_gz(path: Path, records: list[bytes]) -> Path:
    path.write_bytes(b"".join(gzip.compress(one) for one in records))
    return path


def zip_file(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6)), data, zipfile.ZIP_DEFLATED)
    return path


def tar_bytes(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        directory = tarfile.TarInfo("directory")
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1_767_323_045
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()
