"""The official JDBC driver of PostgreSQL, where Debian's package of it is installed."""

from __future__ import annotations

from pathlib import Path

DRIVER = "org.postgresql.Driver"
PACKAGE = "libpostgresql-jdbc-java"

_JAR = Path("/usr/share/java/postgresql.jar")


def driver_jar() -> Path | None:
    """Return the driver's JAR; None where it is not installed."""
    return _JAR.resolve() if _JAR.exists() else None
