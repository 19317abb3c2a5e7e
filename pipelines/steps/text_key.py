"""When two texts count as the same: the key that `Deduplicate` and `Split` share.

Two texts are the same if they differ in case and white space alone. To a reader they say the same, an uncased
tokenizer makes the same of them, and so one of them in the training split and the other in the test split is
a leak. Nothing else is folded: punctuation and accents change what a text says, and what `NormalizeText`
mends, it has mended by then.

The key is a SHA-256 of the text so folded. It is what is shuffled and sorted by, and texts can be long; at
256 bits no two texts will ever meet by chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.source import LABEL, TEXT
from pipelines.steps.step import REJECTED_RULE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_LABEL_SEPARATOR = ", "


def text_key() -> Column:
    """Return the key of ``text``: 64 hexadecimal digits, equal for texts that count as the same."""
    from pyspark.sql import functions as sql

    # (?U) gives \s the meaning that Unicode gives white space; trim then has blanks alone to take off.
    spaced = sql.regexp_replace(TEXT, r"(?U)\s+", " ")
    return sql.sha2(sql.lower(sql.trim(spaced)), 256)


def label_key(frame: DataFrame) -> Column:
    """Return the label as one string, null where there is none: a list of labels sorted and joined."""
    from pyspark.sql import functions as sql
    from pyspark.sql.types import ArrayType

    if LABEL not in frame.columns:
        return sql.lit(None).cast("string")
    if isinstance(frame.schema[LABEL].dataType, ArrayType):
        joined = sql.array_join(sql.array_sort(sql.array_distinct(LABEL)), _LABEL_SEPARATOR)
        return sql.when(sql.col(LABEL).isNotNull(), joined)
    return sql.col(LABEL).cast("string")


def is_live(frame: DataFrame) -> Column:
    """Return whether a row still counts: no step before has marked it as rejected."""
    from pyspark.sql import functions as sql

    return sql.col(REJECTED_RULE).isNull() if REJECTED_RULE in frame.columns else sql.lit(True)
