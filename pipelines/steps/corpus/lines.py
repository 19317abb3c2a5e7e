"""The lines of texts, and when two are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column


def lines(text: Column) -> Column:
    """Return the lines of a text, an array of strings."""
    from pyspark.sql import functions as sql

    return sql.split(text, "\n", -1)


def line_key(line: Column) -> Column:
    """Return the key of a line: 32 hexadecimal digits, equal for lines that differ in case and white space alone."""
    from pyspark.sql import functions as sql

    return sql.md5(sql.lower(sql.trim(sql.regexp_replace(line, r"(?U)\s+", " "))).cast("binary"))
