"""The process in an executor that Spark's Python workers are forked from: PySpark's own daemon, made quick.

Spark runs it as ``python -m pipelines.python_daemon``, by the setting ``spark.python.daemon.module``.

The JVM puts PySpark's code, as it lies beside the installed one in a zip file, first on the import path. With each task
PySpark drops the import caches, and zip files then have their directories read again, once for each package that was
imported from there: 0.12 s of CPU a task, whatever the task does. So they are left out. What every pass imports is
imported before the workers are forked, once for all of them, and the garbage collector, which PySpark has look through
everything after each task (0.06 s), need not look through that; nor, again and again, through what a worker's own
tasks have imported and keep, the word lists of the quality rules say (0.07 s).

What the JVM sends a worker comes in small pieces. TCP holds each back until the one before it is acknowledged, and that
Linux puts off for 40 ms where nothing goes the other way: each task began with such a wait. So our workers acknowledge
at once what they have read.
"""

from __future__ import annotations

import gc
import io
import os
import socket
import sys
import time
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


def pyspark_archives(path: Sequence[str]) -> list[str]:
    """Return the entries of an import path that are zip files or JARs within the PySpark that is installed.

    There are none where PySpark is not installed; those of another Spark are none of them.
    """
    archives = [entry for entry in path if Path(entry).is_file()]
    installed = PathFinder.find_spec("pyspark", [entry for entry in path if entry not in archives])
    if installed is None or installed.origin is None:
        return []
    home = Path(installed.origin).resolve().parent
    return [entry for entry in archives if home in Path(entry).resolve().parents]


def leave_out(archives: Sequence[str]) -> None:
    """Take archives off the import path of this process, with what has been found in them so far.

    That is an empty package: `copy` and `pickle` look for Jython's ``org.python``, and Spark's JAR has an ``org``.
    """
    inside = tuple(archives)
    sys.path[:] = [entry for entry in sys.path if entry not in inside]
    # Found before any is taken away, as the path of a package without a file is made of its parent's.
    # Asked of the module's dictionary, as some modules (``torch.classes``) make up whatever attribute is asked for.
    packages = {
        name: list(getattr(module, "__dict__", {}).get("__path__", ())) for name, module in list(sys.modules.items())
    }
    for name in [name for name, path in packages.items() if any(str(entry).startswith(inside) for entry in path)]:
        del sys.modules[name]
    for entry in list(sys.path_importer_cache):
        if entry.startswith(inside):
            del sys.path_importer_cache[entry]


class AcknowledgedReads(socket.SocketIO):
    """What comes over a TCP connection, acknowledged as soon as it is read; what is sent is not held back."""

    def __init__(self, descriptor: int) -> None:
        """Read from the socket of a file descriptor, which stays open when this is closed."""
        self._connection = socket.socket(fileno=os.dup(descriptor))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(self._connection, "r")

    def readinto(self, buffer: Buffer) -> int | None:
        """Read into a buffer, and return how many bytes there are in it now."""
        count = super().readinto(buffer)
        if hasattr(socket, "TCP_QUICKACK"):  # Linux; it holds until the next acknowledgement
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return count

    def close(self) -> None:
        """Close the descriptor's duplicate."""
        super().close()
        self._connection.close()


class LongLived:
    """Has the garbage collector look no more through what tasks have left behind to be used again.

    What has outlived a collection between two tasks is set aside, if it takes long to look through. Some of it may be
    garbage later on all the same, so that after a number of times everything is looked through once.
    """

    def __init__(self, seconds: float = 0.005, times: int = 16) -> None:
        """Set nothing aside yet.

        Args:
            seconds: how long a collection may take before what it leaves is set aside.
            times: after how many times everything is looked through.
        """
        self._seconds, self._most = seconds, times
        self._times = 0

    def collect(self) -> None:
        """Collect garbage; to be called while no task runs."""
        if self._times >= self._most:
            gc.unfreeze()
            self._times = 0
        begun = time.perf_counter()
        gc.collect()
        if time.perf_counter() - begun > self._seconds:
            gc.freeze()
            self._times += 1


_LONG_LIVED = LongLived()


def work(infile: BinaryIO, outfile: BinaryIO) -> None:
    """Do one task, as PySpark's worker does it.

    Args:
        infile: what the JVM sends, of which nothing has been read ahead.
        outfile: what goes back.
    """
    import pyspark.worker

    with io.BufferedReader(AcknowledgedReads(infile.fileno()), io.DEFAULT_BUFFER_SIZE * 8) as acknowledged:
        pyspark.worker.main(acknowledged, outfile)  # type: ignore[no-untyped-call]
    # The task is over for the JVM, which goes on meanwhile. The collection that PySpark does next finds little.
    outfile.flush()
    _LONG_LIVED.collect()


def main() -> None:
    """Serve the executor, until it ends."""
    leave_out(pyspark_archives(sys.path))

    import pyspark.daemon

    import pipelines.passes  # noqa: F401

    gc.collect()
    gc.freeze()
    pyspark.daemon.worker_main = work  # type: ignore[attr-defined]
    pyspark.daemon.manager()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
