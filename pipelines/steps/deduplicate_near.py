"""Leaving out texts that are nearly the same as others."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from connectors.files.paths import PathOption
from connectors.source import ROW_ID, TEXT
from pipelines.steps.columns import quoted, require_columns
from pipelines.steps.corpus.other_texts import file_source, texts_in_spark
from pipelines.steps.marks import mark
from pipelines.steps.minhash.clusters import CLUSTERS, cluster
from pipelines.steps.minhash.signatures import Bands
from pipelines.steps.step import TableStep
from pipelines.steps.text_key import is_live

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CLUSTER, CLUSTER_SIZE = "duplicate_cluster", "duplicate_count"
"""The columns that say which texts are nearly the same: the first one's row id, and how many they are."""


class DeduplicateNear(TableStep):
    """Keeps one row of texts that are nearly the same; rejects the others under ``near_duplicate``, with its row id.

    Two texts are nearly the same if the sets of their shingles, runs of a few words, have a Jaccard similarity of at
    least `similarity`; case, punctuation and white space make no difference. Candidates are found by MinHash and
    locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3), and
    then compared exactly, so that no text is rejected for one that it is not like; but one in a few dozen pairs that
    are just alike enough is not found. What is like what is like a text is in its cluster, whatever the way.

    Rows come out with ``duplicate_cluster``, the first row id of their cluster, and ``duplicate_count``, its size.

    With an earlier corpus in `against`, its texts are in the clusters, too, with ids that begin with ``earlier:``, and
    go before any of the rows: of a cluster that one of them is in, no row is kept. So a corpus that grows by the day is
    deduplicated by the day.

    Attributes:
        similarity: the least Jaccard similarity, above 0.
        shingle: how many words a shingle has; a character is a word in Chinese.
        bands: of the signature. Texts of similarity s are compared with a probability of 1 - (1 - s^rows)^bands; that
            is 0.99 at 0.85 and 0.92 at 0.8 with the defaults, which are datatrove's.
        rows: hash functions of a band.
        seed: chooses the hash functions.
        keep: which row of a cluster is kept: ``first`` by its row id, or ``longest`` by the characters of its text.
        best: a column of numbers; the row with the greatest is kept, and `keep` decides between equal ones.
        against: files of an earlier corpus: by their names Parquet, JSON lines, CSV or plain lines.
        text_column: the column that is the text there; it has no part in plain lines.
    """

    similarity: float = Field(default=0.8, gt=0, le=1)
    shingle: int = Field(default=5, ge=1)
    bands: int = Field(default=14, ge=1)
    rows: int = Field(default=8, ge=1)
    seed: int = Field(default=1, ge=0)
    keep: Literal["first", "longest"] = "longest"
    best: str | None = None
    against: PathOption | None = None
    text_column: str = "text"

    reads_twice: ClassVar[bool] = True

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows, with the ones not to be kept marked; no text is shuffled but those that are compared.

        Raises:
            StepError: there is no column of the name given.
        """
        from pyspark.sql import Window
        from pyspark.sql import functions as sql

        from connectors.spark import arrow_to_spark_schema
        from connectors.spark_batches import map_in_arrow
        from pipelines.steps.minhash.near_pairs import near_pairs

        if self.best is not None:
            require_columns(self.name, [self.best], frame.columns)
        rank = sql.lit(None) if self.best is None else sql.col(quoted(self.best))
        texts = frame.where(is_live(frame)).select(ROW_ID, TEXT, rank.cast("double").alias(_BEST))
        if self.against is not None:
            texts = texts.union(self._earlier(frame.sparkSession))
        pairs = near_pairs(texts, Bands(self.bands, self.rows, self.seed), self.shingle, self.similarity)
        clusters = map_in_arrow(pairs.repartition(1), cluster, arrow_to_spark_schema(CLUSTERS))
        order = [sql.startswith(ROW_ID, sql.lit(EARLIER)).desc(), sql.col(_BEST).desc_nulls_last()]
        if self.keep == "longest":
            order.append(sql.col(_LENGTH).desc())
        together = Window.partitionBy("cluster")
        # Their lengths are told beforehand, so that no text is shuffled for them.
        ranked = texts.select(ROW_ID, _BEST, sql.length(TEXT).alias(_LENGTH))
        found = ranked.join(clusters, ranked[ROW_ID] == clusters["member"]).select(
            "member",
            sql.col("cluster").alias(CLUSTER),
            sql.count("*").over(together).alias(CLUSTER_SIZE),
            sql.first(ROW_ID).over(together.orderBy(*order, ROW_ID)).alias(_KEPT),
        )
        # Those of an earlier step of this kind are of other texts.
        frame = frame.drop(CLUSTER, CLUSTER_SIZE)
        joined = frame.join(found, frame[ROW_ID] == found["member"], "left")
        whole = joined.withColumns(
            {
                CLUSTER: sql.coalesce(CLUSTER, ROW_ID),
                CLUSTER_SIZE: sql.coalesce(CLUSTER_SIZE, sql.lit(1)),
            }
        )
        rule = sql.when(sql.col(_KEPT) != sql.col(ROW_ID), "near_duplicate")
        return mark(whole, rule, sql.col(_KEPT)).drop(_KEPT, "member")

    def _earlier(self, spark: SparkSession) -> DataFrame:
        from pyspark.sql import functions as sql

        assert self.against is not None
        texts = texts_in_spark(self.name, file_source(self.name, self.against, self.text_column), spark)
        marked = sql.concat(sql.lit(EARLIER), sql.col(ROW_ID)).alias(ROW_ID)
        return texts.select(marked, TEXT, sql.lit(None).cast("double").alias(_BEST))


EARLIER = "earlier:"
"""What the ids of an earlier corpus's texts begin with."""

_KEPT, _BEST, _LENGTH = "_kept_row_id", "_near_best", "_near_length"
