"""What a hand-over could leave behind: actors, sockets, processes, files, and memory of the object store."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray
from ray._private.internal_api import node_stats
from ray.util.state import list_actors

from pipelines.ray_cluster import wait_until

_ROOTS = (Path("/dev/shm"), Path("/tmp"))
_GONE_SECONDS = 30.0
# A look for a text in a file reads so much of it at a time.
_CHUNK_BYTES = 2**22


@dataclass(frozen=True)
class Traces:
    """What there is of hand-overs at one time.

    Attributes:
        marker: a text that every row has that is handed over.
        since: when it was looked at, as files have it.
        receivers: how many actors receive, beside the one of each node that waits for the next hand-over.
        sockets: those in Ray's directory.
        orphans: Python workers of Spark's whose executor has gone.
        stored: bytes of the object store that are taken, spilled ones included.
    """

    marker: str
    since: float
    receivers: int
    sockets: frozenset[str]
    orphans: frozenset[int]
    stored: int

    @classmethod
    def of(cls, marker: str) -> Traces:
        """Look at them now."""
        now = time.time()
        return cls(marker, now, receivers(), frozenset(sockets()), frozenset(orphans()), stored())

    def more(self) -> dict[str, object]:
        """Return what is there that was not before; waits while what is on its way out goes."""
        wait_until(lambda: not self._more(), _GONE_SECONDS)
        files = [str(path) for path in files_since(self.since) if holds(path, self.marker.encode())]
        return {**self._more(), **({"files": files} if files else {})}

    def _more(self) -> dict[str, object]:
        gc.collect()
        now = Traces.of(self.marker)
        found = {
            "receivers": max(0, now.receivers - self.receivers),
            "sockets": now.sockets - self.sockets,
            "orphans": now.orphans - self.orphans,
            "stored": max(0, now.stored - self.stored),
        }
        return {name: what for name, what in found.items() if what}


def receivers() -> int:
    """Return how many actors receive; one on each node waits for the next hand-over."""
    return max(0, len(receiver_processes()) - sum(node["Alive"] for node in ray.nodes()))


def receiver_processes() -> set[int]:
    """Return the process ids of the living receivers."""
    return _processes_of("Receiver")


def sockets() -> set[str]:
    return {path.name for path in Path(ray._private.worker._global_node.get_sockets_dir_path()).glob("headrace-*")}


def living_executors() -> set[int]:
    """Return the process ids of Spark's executors."""
    return _processes_of("org.apache.spark.executor.RayDPExecutor")


def _processes_of(kind: str) -> set[int]:
    filters = [("class_name", "=", kind), ("state", "=", "ALIVE")]
    actors = list_actors(ray.get_runtime_context().gcs_address, filters=filters, detail=True, limit=1000)
    return {actor.pid for actor in actors}


def orphans() -> Iterator[int]:
    """Yield the processes of Spark's Python workers that have no executor any more."""
    for process in psutil.process_iter():
        try:
            if "pyspark.daemon" in process.cmdline() and not any(one.name() == "java" for one in process.parents()):
                yield process.pid
        except psutil.Error:
            continue  # gone since, or none of ours


def stored() -> int:
    """Return how much of the object stores is taken and spilled, in bytes, as the nodes themselves say."""
    total = 0
    for node in ray.nodes():
        if node["Alive"]:
            stats = node_stats(
                node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False
            ).store_stats
            total += stats.object_store_bytes_used + stats.object_store_bytes_fallback
    return total


def files_since(since: float) -> Iterator[Path]:
    """Yield files outside the object store that were written since then."""
    for root in _ROOTS:
        # Unlike `Path.rglob`, this passes over directories that are gone when it comes to them.
        for directory, _, names in os.walk(root):
            for path in (Path(directory, name) for name in names):
                try:
                    if path.is_file() and path.stat().st_mtime >= since and not path.name.startswith("plasma"):
                        yield path
                except OSError:
                    continue  # gone since


def holds(path: Path, marker: bytes) -> bool:
    """Tell whether a text is in a file."""
    try:
        with path.open("rb") as file:
            before = b""
            while chunk := file.read(_CHUNK_BYTES):
                if marker in before + chunk:
                    return True
                before = chunk[-len(marker) :]
    except OSError:
        pass  # gone since
    return False
