"""Dividing the rows into those to train on, to choose by and to test on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from connectors.options import Items
from pipelines.errors import StepError
from pipelines.steps.columns import SPLIT, SPLITS, quoted, require_columns
from pipelines.steps.marks import mark
from pipelines.steps.step import TableStep
from pipelines.steps.text_key import is_live, label_key, text_key

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_VALIDATION_SHARE, _TEST_SHARE, _SEED = 0.1, 0.2, 0


class Split(TableStep):
    """Says of each row, in a column ``split``, whether it is for ``train``, ``validation`` or ``test``.

    The texts of each label are ranked by a hash of seed and text, and divided in that order: the first `test`
    of the label's rows are for testing, the next `validation` for validation, the rest for training. So:

    - The outcome depends on the texts, the labels and the options alone; neither on the order of the rows nor
      on how they are partitioned. Rows without a label are one group.
    - Rows of the same text (see `pipelines.steps.text_key`) are never in different splits, whatever their
      labels.
    - The shares of each label are met to within one row, or one percentage point where that is more. A text
      with more rows than that, or with several labels, goes last in the ranking, to the training rows as a
      rule: it cannot be divided, and may thus keep the shares from being met where such texts are more than
      the training share. A label has at least one row to train on.

    Attributes:
        validation: share of the rows that a model is chosen by, from 0 to below 1.
        test: share of the rows that it is tested on, from 0 to below 1.
        seed: another seed gives another division.
        column: a column that already says which split a row is in, in place of the above; nothing then keeps
            equal texts from being in different splits.
        values: the split that a value of `column` means, such as ``{dev: validation}``. ``train``,
            ``validation`` and ``test`` mean themselves unless they are named here; a row with any other value
            is rejected under ``unknown_split``.
    """

    training_only: ClassVar[bool] = True
    makes_split: ClassVar[bool] = True

    validation: float = Field(default=_VALIDATION_SHARE, ge=0, lt=1)
    test: float = Field(default=_TEST_SHARE, ge=0, lt=1)
    seed: int = _SEED
    column: str | None = Field(default=None, min_length=1)
    values: Items[Literal["train", "validation", "test"]] = ()

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> Split:
        # Shares such as 0.7 and 0.3 do not add up to 1 in floating point.
        if self.validation + self.test > 1 - 1e-9:
            raise ValueError(
                f"validation {self.validation} and test {self.test} leave no rows to train on; together they "
                "must be less than 1, like 0.1 and 0.2"
            )
        return self

    @model_validator(mode="after")
    def _divides_in_one_way(self) -> Split:
        if self.column is None and self.values:
            raise ValueError("values says what the values of a column mean, and no column is named; set column")
        shares = (self.validation, self.test, self.seed)
        if self.column is not None and shares != (_VALIDATION_SHARE, _TEST_SHARE, _SEED):
            raise ValueError(
                f"the column {self.column!r} says which split a row is in, so validation, test and seed have "
                "no part; leave out either them or column"
            )
        return self

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows with ``split``; it takes three shuffles, or none where a column is given.

        All rows of a label are ranked in one task, spilling to disk.

        Raises:
            StepError: there is no column of the name given, or there is a ``split`` that would be
                overwritten.
        """
        return self._by_rank(frame) if self.column is None else self._by_column(frame, self.column)

    def _by_rank(self, frame: DataFrame) -> DataFrame:
        from pyspark.sql import functions as sql

        if SPLIT in frame.columns:
            raise StepError(
                f"{self.name}: the rows already have a column {SPLIT!r}; set column: {SPLIT} to go by it, or "
                "rename it where the rows come from"
            )
        keyed = frame.withColumns({_KEY: text_key(), _LABEL: label_key(frame), _WEIGHT: is_live(frame).cast("int")})
        split = sql.element_at(sql.array(*map(sql.lit, _BY_NUMBER)), sql.col(_PROPOSED))
        return _agreed(self._proposed(_ranked(keyed, self.seed))).withColumn(SPLIT, split).drop(*_SCRATCH)

    def _proposed(self, ranked: DataFrame) -> DataFrame:
        """Add the number of the split that each row's rank within its label puts it in."""
        from pyspark.sql import functions as sql

        rows, end = sql.col(_ROWS), sql.col(_END)
        # A text belongs where its middle row falls, so that a share is missed by half the rows of one text at
        # most.
        middle = end - sql.col(_OWN) / 2
        number = (
            sql.when(end == rows, _TRAIN)
            .when(middle <= rows * self.test, _TEST)
            .when(middle <= rows * (self.test + self.validation), _VALIDATION)
            .otherwise(_TRAIN)
        )
        return ranked.withColumn(_PROPOSED, number)

    def _by_column(self, frame: DataFrame, column: str) -> DataFrame:
        from pyspark.sql import functions as sql

        require_columns(self.name, [column], frame.columns)
        meanings = {**{one: one for one in SPLITS}, **dict(self.values)}
        given = sql.col(quoted(column)).cast("string")
        pairs = [sql.lit(word) for pair in sorted(meanings.items()) for word in pair]
        split = sql.element_at(sql.create_map(*pairs), given)
        marked = mark(frame, sql.when(split.isNull(), "unknown_split"), given)
        return marked.withColumn(SPLIT, split)


_BY_NUMBER = ("test", "validation", "train")
_TEST, _VALIDATION, _TRAIN = 1, 2, 3

_KEY, _LABEL, _WEIGHT = "_split_key", "_split_label", "_split_weight"
_COPIES, _AMBIGUOUS, _ROWS = "_split_copies", "_split_ambiguous", "_split_rows"
_LATE, _HASH, _END, _OWN, _PROPOSED = (
    "_split_late",
    "_split_hash",
    "_split_end",
    "_split_own",
    "_split_proposed",
)
_SCRATCH = (_KEY, _LABEL, _WEIGHT, _COPIES, _AMBIGUOUS, _ROWS, _LATE, _HASH, _END, _OWN, _PROPOSED)


def _ranked(keyed: DataFrame, seed: int) -> DataFrame:
    """Add how many rows each row's label has, and at which of them, ranked, those of its text end."""
    from pyspark.sql import Window
    from pyspark.sql import functions as sql

    same_text, same_label = Window.partitionBy(_KEY), Window.partitionBy(_LABEL)
    weight = sql.col(_WEIGHT)
    label = sql.when(weight == 1, sql.col(_LABEL))
    sized = keyed.withColumns(
        {
            _COPIES: sql.sum(weight).over(same_text),
            _AMBIGUOUS: sql.coalesce(sql.min(label).over(same_text) != sql.max(label).over(same_text), sql.lit(False)),
            _HASH: sql.sha2(sql.concat(sql.lit(f"{seed}:"), sql.col(_KEY)), 256),
        }
    ).withColumn(_ROWS, sql.sum(weight).over(same_label))
    # What cannot be divided finely goes last, the largest at the very end, where the training rows are.
    tolerance = sql.greatest(sql.lit(1.0), sql.col(_ROWS) / 100)
    late = sql.when(sql.col(_COPIES) > tolerance, sql.col(_COPIES)).otherwise(0)
    ranking = same_label.orderBy(_AMBIGUOUS, _LATE, _HASH)
    up_to_here = ranking.rangeBetween(Window.unboundedPreceding, Window.currentRow)
    this_text = ranking.rangeBetween(Window.currentRow, Window.currentRow)
    return sized.withColumn(_LATE, late).withColumns(
        {_END: sql.sum(weight).over(up_to_here), _OWN: sql.sum(weight).over(this_text)}
    )


def _agreed(proposed: DataFrame) -> DataFrame:
    """Put all rows of a text in the split nearest to training that any of its labels puts it in.

    The hash ranks a text alike within each of its labels, so that they seldom differ.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as sql

    live = sql.when(sql.col(_WEIGHT) == 1, sql.col(_PROPOSED))
    return proposed.withColumn(_PROPOSED, sql.max(live).over(Window.partitionBy(_KEY)))
