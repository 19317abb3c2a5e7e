"""A source that Spark itself reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import model_validator
from typing_extensions import Self

from connectors.columns import ColumnNames
from connectors.errors import SourceError, SourceNotFoundError
from connectors.files.paths import PACKAGE, PathOption, local_path
from connectors.options import Items
from connectors.secret import Secret, SettingValue, sounds_secret
from connectors.source import SparkSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_NOT_FOUND = re.compile(r"\[[A-Z_.]*NOT_FOUND[A-Z_.]*\]")


class SparkTable(SparkSource):
    """A catalog table, a query, or files (or a store) of any format that Spark knows.

    Give exactly one of them.

    Attributes:
        table: the name of a table or view in Spark's catalog.
        query: a Spark SQL query.
        format: the format to load: ``orc``, ``avro``, ``jdbc``, …
        path: what to load, with `format`: a path, ``package:NAME/sub/dir`` or a URL that Spark can open.
        options: option to value, with `format`; a value may be a secret's reference (``${env:NAME}``,
            ``${file:PATH}``).
        text_column: the column that becomes ``text``.
        label_column: the column that becomes ``label``; None takes one named ``label``, if there is one. An array
            makes the rows multi-label.
        id_column: a key column that becomes ``row_id``; None numbers the rows by Spark partition.
    """

    table: str | None = None
    query: str | None = None
    format: str | None = None
    path: PathOption | None = None
    options: Items[SettingValue] = ()
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None

    @model_validator(mode="after")
    def _has_exactly_one(self) -> Self:
        given = [name for name in ("table", "query", "format") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of 'table', 'query' and 'format'; given: {', '.join(given) or 'none'}")
        if self.format is None and (self.path is not None or self.options):
            raise ValueError(f"'path' and 'options' go with 'format', and not with '{given[0]}'")
        open_secrets = [name for name, value in self.options if isinstance(value, str) and sounds_secret(name)]
        if open_secrets:
            raise ValueError(
                f"the name of the option {open_secrets[0]!r} says that it is a secret, and options are "
                "written into run records; give it by reference, as ${env:NAME} or ${file:PATH}"
            )
        return self

    def load(self, spark: SparkSession) -> DataFrame:
        """Return the frame with its columns renamed; see `SparkSource.load`.

        Raises:
            SourceError: Spark cannot read it, for another reason than that it is not there.
        """
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException

        from connectors.spark import renamed

        try:
            frame = self._frame(spark)
        except PySparkException as error:
            raise self._failure(str(error)) from self._shown_cause(error)
        except Py4JJavaError as error:
            raise self._failure(str(error.java_exception.getMessage())) from self._shown_cause(error)
        return renamed(frame, ColumnNames(self.text_column, self.label_column, self.id_column), self._origin())

    def _frame(self, spark: SparkSession) -> DataFrame:
        if self.table is not None:
            return spark.table(self.table)
        if self.query is not None:
            return spark.sql(self.query)
        reader = spark.read.format(self.format or "")
        for name, value in self.options:
            reader = reader.option(name, value.resolve().get_secret_value() if isinstance(value, Secret) else value)
        if self.path is None:
            return reader.load()
        return reader.load(str(local_path(self.path)) if self.path.startswith(PACKAGE) else self.path)

    def _failure(self, message: str) -> SourceError:
        """Return the error for what Spark says, in one line and without the secrets that it was given."""
        for _, value in self.options:
            if isinstance(value, Secret):
                message = message.replace(value.resolve().get_secret_value(), value.root)
        line = next((line for line in message.splitlines() if line.strip()), "Spark gives no reason")
        kind = SourceNotFoundError if _NOT_FOUND.match(line) else SourceError
        return kind(f"{self._origin()}: {line}")

    def _shown_cause(self, error: Exception) -> Exception | None:
        # A store's own words may hold the password it was given, so they are not shown where there is one.
        return None if any(isinstance(value, Secret) for _, value in self.options) else error

    def _origin(self) -> str:
        if self.format is not None:
            return f"{self.format} {self.path or ''}".strip()
        return f"table {self.table}" if self.table is not None else "the query"
