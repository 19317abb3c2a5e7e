"""A source of what any database with a JDBC driver holds, read by Spark."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from connectors.columns import ColumnNames
from connectors.errors import SourceError, SourceSchemaError
from connectors.jdbc.faults import fault_of
from connectors.options import Items
from connectors.secret import Secret, SettingValue, sounds_secret
from connectors.source import SparkSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_LOGIN_IN_URL = re.compile(r"//[^@?;]*:[^@?;]*@|^jdbc:oracle:\w+:[^@/]+/[^@]+@")
_PARAMETER = re.compile(r"[?&;,(:]\s*([\w. -]+)=")
_OWN = {
    "url", "driver", "dbtable", "query", "user", "password", "partitioncolumn", "lowerbound", "upperbound",
    "numpartitions", "fetchsize",
}  # fmt: skip
_LEAST_LONG, _MOST_LONG = -(2**63), 2**63 - 1


class Jdbc(SparkSource):
    """A table or a query of any database, through the JDBC driver that the user has.

    The driver's JAR is given to the session, ``spark_conf: {spark.jars: /path/to/the/driver.jar}``, from where it
    reaches Spark's driver and executors. Without an `id_column`, rows are numbered as the database gives them, which
    need not be in the same order the next time. Parts are read in transactions of their own, so that a table should
    rest meanwhile. `Postgres` reads PostgreSQL without a JAR, faster, and at one moment.

    The time limit is that of the first connection. Tasks wait for a silent server as long as the driver does: its own
    options (``socketTimeout`` and the like) end that.

    Attributes:
        url: the database's, as its driver wants it: ``jdbc:mysql://db.example.com:3306/news``; without a password.
        driver: the driver's class: ``com.mysql.cj.jdbc.Driver``.
        table: ``table`` or ``schema.table``, each name as the database keeps it, capitals too. Or give `query`.
        query: a query in the database's own SQL.
        user: who connects; may be a secret's reference.
        password: of the user, as a reference: ``${env:NAME}`` or ``${file:PATH}``.
        options: further ones, of Spark's JDBC reader and of the driver (``connectTimeout``, ``socketTimeout``, …);
            a value may be a secret's reference.
        partition_column: a number, a date or a time by whose range the rows are divided, each part read by a task and a
            connection of its own; the least and the greatest are asked of the database. None reads all in one.
        partitions: how many parts at most, with `partition_column`.
        fetch_size: how many rows the driver asks for at a time.
        connect_timeout: seconds within which the database must have said what its columns are.
        text_column: the column that becomes ``text``.
        label_column: the column that becomes ``label``; None takes one named ``label``, if there is one.
        id_column: a key column that becomes ``row_id``.
    """

    url: str
    driver: str
    table: str | None = None
    query: str | None = None
    user: SettingValue | None = None
    password: Secret | None = None
    options: Items[SettingValue] = ()
    partition_column: str | None = None
    partitions: int = Field(default=8, ge=1)
    fetch_size: int = Field(default=1000, ge=1)
    connect_timeout: float = Field(default=60.0, gt=0)
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, value: str) -> str:
        if not value.startswith("jdbc:"):
            raise ValueError("a JDBC driver's URL begins with 'jdbc:'")
        names = _PARAMETER.findall(value)
        if _LOGIN_IN_URL.search(value) or any(sounds_secret(name) or name.lower() == "pwd" for name in names):
            raise ValueError(
                "the URL holds a password, and URLs are written into run records and logs; leave it out, and give it "
                "in the option 'password' by reference, as ${env:NAME} or ${file:PATH}"
            )
        return value

    @field_validator("options")
    @classmethod
    def _are_further_ones(cls, value: tuple[tuple[str, Secret | str], ...]) -> tuple[tuple[str, Secret | str], ...]:
        for name, item in value:
            if name.lower() in _OWN:
                raise ValueError(f"{name!r} is no further option; the source has one of its own for it")
            if isinstance(item, str) and sounds_secret(name):
                raise ValueError(
                    f"the name of the option {name!r} says that it is a secret, and options are written into run "
                    "records; give it by reference, as ${env:NAME} or ${file:PATH}"
                )
        return value

    @model_validator(mode="after")
    def _reads_one_thing(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("give exactly one of 'table' and 'query'")
        if self.table is not None and not all(self.table.split(".")):
            raise ValueError("'table' is written table or schema.table; one of its names is empty")
        return self

    def load(self, spark: SparkSession) -> DataFrame:
        """Return the frame with its columns renamed; see `SparkSource.load`.

        With a `partition_column`, a job of one task asks for the least and the greatest of it.

        Raises:
            SourceError: the driver is missing, the database says no, or it says nothing within `connect_timeout`.
            SourceSchemaError: a column's name is one that Spark cannot quote.
            SecretError: a secret's reference leads nowhere.
        """
        from connectors.spark import renamed

        rows = self._rows(spark)
        frame = self._within_time(spark, lambda: self._read(spark, rows))
        self._require_plain_names(spark, frame.columns)
        if self.partition_column is not None:
            bounds = self._bounds(spark, rows, frame)
            if bounds is not None:
                parts = {"numPartitions": str(self.partitions), "partitionColumn": self.partition_column, **bounds}
                frame = self._asked(spark, lambda: self._read(spark, rows, parts))
        return renamed(frame, ColumnNames(self.text_column, self.label_column, self.id_column), self._what())

    def _read(self, spark: SparkSession, rows: str, more: dict[str, str] | None = None) -> DataFrame:
        given: dict[str, Secret | str | None] = {
            **dict(self.options),
            "url": self.url,
            "driver": self.driver,
            "dbtable": rows,
            "user": self.user,
            "password": self.password,
            "fetchsize": str(self.fetch_size),
            **(more or {}),
        }
        reader = spark.read.format("jdbc")
        for name, value in given.items():
            if value is not None:
                reader = reader.option(name, _plain(value))
        return reader.load()

    def _rows(self, spark: SparkSession) -> str:
        """Return what stands behind FROM: the table, quoted by Spark's dialect of the database, or the user's query."""
        if self.table is not None:
            return ".".join(self._quoted(spark, name) for name in self.table.split("."))
        assert self.query is not None
        # The line ends what may be a comment.
        return f"({self.query.strip().rstrip(';')}\n) headrace_rows"

    def _quoted(self, spark: SparkSession, name: str) -> str:
        jvm: Any = spark._jvm
        dialect = jvm.org.apache.spark.sql.jdbc.JdbcDialects.get(self.url)
        # Spark's dialects put the marks around a name, and leave those within it as they are.
        end = self._quotation_mark(spark)
        return str(dialect.quoteIdentifier(name.replace(end, 2 * end)))

    def _quotation_mark(self, spark: SparkSession) -> str:
        """Return what ends a quoted name in the database's dialect."""
        jvm: Any = spark._jvm
        return str(jvm.org.apache.spark.sql.jdbc.JdbcDialects.get(self.url).quoteIdentifier("x"))[-1]

    def _require_plain_names(self, spark: SparkSession, names: Sequence[str]) -> None:
        """See to it that the statements that Spark makes of the columns' names select those columns."""
        mark = self._quotation_mark(spark)
        for name in names:
            if mark in name:
                raise SourceSchemaError(
                    f"{self._what()} has a column named {name!r}, and Spark's JDBC reader does not quote a name with a "
                    f"{mark} in it; give a 'query' that selects it under another name, in place of 'table'"
                )

    def _bounds(self, spark: SparkSession, rows: str, frame: DataFrame) -> dict[str, str] | None:
        """Return the least and the greatest value to divide by, as Spark's options; None where there is no value.

        Raises:
            SourceSchemaError: there is no such column, or Spark cannot divide by it.
        """
        from pyspark.sql import functions
        from pyspark.sql.types import DateType, NumericType, TimestampType

        assert self.partition_column is not None
        kinds = {field.name: field.dataType for field in frame.schema}
        kind = kinds.get(self.partition_column)
        if not isinstance(kind, (NumericType, DateType, TimestampType)):
            raise SourceSchemaError(
                f"{self._what()} has no column {self.partition_column!r} of numbers, dates or times, as the option "
                f"'partition_column' wants; it has: {', '.join(kinds)}"
            )
        name = self._quoted(spark, self.partition_column)
        query = f"(SELECT MIN({name}) AS low, MAX({name}) AS high FROM {rows}) headrace_bounds"

        def ask() -> tuple[Any, Any]:
            asked = self._read(spark, query).toDF("low", "high")
            row = asked.select(*(functions.col(one).cast("string") for one in asked.columns)).collect()[0]
            return row[0], row[1]

        low, high = self._asked(spark, ask)
        if low is None or high is None:
            return None
        if isinstance(kind, NumericType):
            low, high = _whole(low, _LEAST_LONG), _whole(high, _MOST_LONG)
        return {"lowerBound": low, "upperBound": high}

    def _within_time(self, spark: SparkSession, ask: Callable[[], DataFrame]) -> DataFrame:
        """Return what `ask` returns; a driver that waits for a server beyond the deadline is left to itself."""
        from pyspark import InheritableThread

        frames: list[DataFrame] = []
        failures: list[BaseException] = []

        def work() -> None:
            try:
                frames.append(self._asked(spark, ask))
            except BaseException as error:  # raised by the thread that waits
                failures.append(error)

        thread = InheritableThread(target=work, name="headrace-jdbc", daemon=True)
        thread.start()
        thread.join(self.connect_timeout)
        if failures:
            raise failures[0]
        if not frames:
            raise SourceError(
                f"{self._what()} at {self._place()}: the database has not answered within "
                f"{self.connect_timeout:g} s (connect_timeout); check host and port in the option 'url', and whether "
                "the server is up"
            )
        return frames[0]

    def _asked(self, spark: SparkSession, ask: Callable[[], Any]) -> Any:
        """Return what `ask` returns; what Spark or the driver raises becomes one of the connectors' errors."""
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException

        try:
            return ask()
        except (PySparkException, Py4JJavaError) as error:
            fault = fault_of(error, spark.sparkContext._gateway)
            # Not chained: a driver's own words may hold the password that it was given.
            raise fault.error(self._what(), self._place(), self.driver, self._without_secrets(fault.text)) from None

    def _without_secrets(self, text: str) -> str:
        for value in (self.password, self.user, *(item for _, item in self.options)):
            if isinstance(value, Secret):
                plain = value.resolve().get_secret_value()
                for shown in (plain, quote(plain, safe="")):
                    text = text.replace(shown, "***") if shown else text
        return text

    def _what(self) -> str:
        return f"the table {self.table}" if self.table is not None else "the query"

    def _place(self) -> str:
        return re.split(r"[?;]", self.url)[0]


def _plain(value: Secret | str) -> str:
    return value.resolve().get_secret_value() if isinstance(value, Secret) else value


def _whole(number: str, otherwise: int) -> str:
    """Return a number as one that Spark takes for a bound, which only says where the rows are divided."""
    try:
        return str(min(max(int(Decimal(number)), _LEAST_LONG), _MOST_LONG))
    except (ValueError, OverflowError):  # it is none, or infinite
        return str(otherwise)
