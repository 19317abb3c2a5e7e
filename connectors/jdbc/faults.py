"""What went wrong between Spark and a database, as a JDBC driver, Spark or the JVM says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectors.errors import SourceError, SourceNotFoundError

if TYPE_CHECKING:
    from py4j.java_gateway import JavaGateway

_MOST_CAUSES = 10
_MOST_CHARACTERS = 500
_THROWN = re.compile(r"\b[a-z][\w.]*\.\w+(?:Exception|Error): (.+)")

# By SQL state, whose first two characters are the standard's; by the vendor's code where a driver gives another state.
_LOGIN_CODES = {1017, 18456}  # Oracle, SQL Server
_NO_DATABASE_CODES = {1049, 4060}  # MySQL, SQL Server
_NO_TABLE_CODES = {942, 208}  # Oracle, SQL Server
_NO_TABLE_STATES = {"42P01", "42S02", "42S04", "S0002", "42X05", "42704"}  # PostgreSQL, ODBC's, H2, Derby, DB2


@dataclass(frozen=True)
class JdbcFault:
    """What was said of a failure.

    Attributes:
        text: the first line of it, which may hold a secret.
        state: the SQL state; empty where the database had no say.
        code: the vendor's own code; 0 where there is none.
        missing_class: the class that the JVM did not find.
    """

    text: str
    state: str = ""
    code: int = 0
    missing_class: str | None = None

    def error(self, what: str, place: str, driver: str, text: str) -> SourceError:
        """Return the error that it is for people.

        Args:
            what: the table or the query that was to be read.
            place: where the database is.
            driver: the driver's class.
            text: `text` without secrets.
        """
        if self.missing_class == driver:
            return SourceError(
                f"the JDBC driver {driver} is not on Spark's class path; give the session the JAR that holds it: "
                "spark_conf: {spark.jars: /path/to/the/driver.jar}"
            )
        if self._is_without_table():
            cure = "check the option 'table', whose names are written as the database keeps them, capitals too"
            return SourceNotFoundError(f"{what} at {place} is not there: {text}; {cure}")
        cure = self._cure()
        return SourceError(f"{what} at {place} cannot be read: {text}" + (f"; {cure}" if cure else ""))

    def _is_without_table(self) -> bool:
        return self.state in _NO_TABLE_STATES or self.code in _NO_TABLE_CODES

    def _cure(self) -> str:
        if self.state.startswith("28") or self.code in _LOGIN_CODES:
            return "check user and password"
        if self.state.startswith("3D") or self.code in _NO_DATABASE_CODES:
            return "create the database, or name another one in the option 'url'"
        if self.state.startswith("08"):
            return "check host and port in the option 'url', and whether the server is up"
        if self.state == "42501":
            return "have the table's owner grant the user what it lacks"
        if "could not open a JDBC connection" in self.text:
            return "check that 'url' is one of the kind that this driver takes"
        return ""


def fault_of(error: Exception, gateway: JavaGateway) -> JdbcFault:
    """Return what the JVM says of an error that PySpark has raised."""
    from py4j.java_gateway import is_instance_of
    from py4j.protocol import Py4JJavaError

    if not isinstance(error, Py4JJavaError):
        return JdbcFault(_line(str(error)))
    thrown: Any = error.java_exception
    first = str(thrown.getMessage() or thrown.toString())
    for _ in range(_MOST_CAUSES):
        if is_instance_of(gateway, thrown, "java.sql.SQLException"):
            return JdbcFault(_line(str(thrown.getMessage())), str(thrown.getSQLState() or ""), thrown.getErrorCode())
        if is_instance_of(gateway, thrown, "java.lang.ClassNotFoundException"):
            return JdbcFault(_line(str(thrown.toString())), missing_class=str(thrown.getMessage()))
        thrown = thrown.getCause()
        if thrown is None:
            break
    # What an executor has thrown comes as the text of its report.
    said = _THROWN.search(first)
    return JdbcFault(_line(said.group(1) if said else first))


def _line(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "no reason is given")
    return first[:_MOST_CHARACTERS].rstrip(".")
