"""An emulator of S3 (moto's server) of the tests' own, in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError

KEY, SECRET = "s3cret-id", "s3cret-key"
BUCKET = "tables"


@contextmanager
def running() -> Iterator[str]:
    """Start a server with the bucket `BUCKET`, yield its address, and end it.

    `KEY` and `SECRET` are in ``HEADRACE_TEST_S3_KEY`` and ``HEADRACE_TEST_S3_SECRET``.
    """
    os.environ.update(HEADRACE_TEST_S3_KEY=KEY, HEADRACE_TEST_S3_SECRET=SECRET)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        _make_bucket(address, server)
        yield address
    finally:
        server.kill()
        server.wait()


def _make_bucket(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT"), timeout=10):
                return
        except URLError:
            time.sleep(0.05)
    raise RuntimeError("moto's server does not come up")
