"""Rows for measuring a database with: made by the server and by Spark from their numbers, to the same bytes.

A row is 249 bytes of values: 2,000,000 of them are 500 MB. They are told to be all there, and as they were made, by a
digest: in Spark the exclusive or of the hashes of all rows, in SQL the sum of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.checksum import ChecksumError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from connectors.postgres.database import Database

ROWS = 2_000_000
ROW_BYTES = 249
COLUMNS = ("text", "label", "stars", "score", "at")

_VALUES = """repeat(md5(n::text), 7) AS text, CASE n % 2 WHEN 0 THEN 'sport' ELSE 'techs' END AS label,
    (n % 5)::int AS stars, n / 8.0::float8 AS score, timestamptz '2026-01-01Z' + n * interval '1 s' AS at"""


def make_table(database: Database, table: str, rows: int) -> None:
    """Make a table of rows with the key ``id``, a bigint, and see to it that it is at rest when it is read."""
    database.run(f"CREATE TABLE {table} AS SELECT n AS id, {_VALUES} FROM generate_series(1, {rows}::bigint) n")
    database.run(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
    database.connection.commit()


def make_target(database: Database, table: str, *, key: bool = False) -> None:
    """Make an empty table for rows with the key ``row_id``, a text, anew."""
    database.run(f"DROP TABLE IF EXISTS {table}")
    primary = " PRIMARY KEY" if key else ""
    database.run(
        f"CREATE TABLE {table} (row_id text{primary}, text text, label text, stars int, score float8, at timestamptz)"
    )
    database.connection.commit()


def fill_half(database: Database, table: str, rows: int) -> None:
    """Put every second row into a table that `make_target` made, with other stars than it is to get."""
    database.run(
        f"INSERT INTO {table} SELECT id, text, label, stars + 1, score, at FROM "
        f"(SELECT n::text AS id, {_VALUES} FROM generate_series(2, {rows}::bigint, 2) n) AS made"
    )
    database.connection.commit()


def frame_of(spark: SparkSession, rows: int, partitions: int) -> DataFrame:
    """Return the same rows, with ``row_id``, computed by Spark as they are asked for."""
    return spark.range(1, rows + 1, numPartitions=partitions).selectExpr(
        "cast(id AS string) AS row_id",
        "repeat(md5(cast(cast(id AS string) AS binary)), 7) AS text",
        "CASE id % 2 WHEN 0 THEN 'sport' ELSE 'techs' END AS label",
        "cast(id % 5 AS int) AS stars",
        "id / 8.0D AS score",
        "timestamp '2026-01-01 00:00:00Z' + make_dt_interval(0, 0, 0, id) AS at",
    )


def digest_of(frame: DataFrame) -> tuple[int, int]:
    """Read every value of every row in Spark, and return how many rows there were and their digest."""
    key = "id" if "id" in frame.columns else "cast(row_id AS bigint)"
    values = ", ".join([key, *COLUMNS])
    row = frame.selectExpr("count(*) AS found", f"bit_xor(xxhash64({values})) AS digest").collect()[0]
    return row.found, row.digest


def require_written(database: Database, table: str, source: str, rows: int) -> None:
    """See to it that a table holds the rows of a source of the same number of rows, each as it is there.

    Raises:
        ChecksumError: it does not.
    """
    listed = ", ".join(COLUMNS)
    wanted, found = (
        database.rows(
            f"SELECT count(*), sum(hashtextextended(ROW(key, {listed})::text, 0)::numeric)::text "
            f"FROM (SELECT {key}::text AS key, {listed} FROM {name}) AS rows"
        )[0]
        for name, key in ((source, "id"), (table, "row_id"))
    )
    if wanted != found or found[0] != rows:
        raise ChecksumError(f"{table} holds {found[0]} rows of digest {found[1]}; wanted are {wanted[0]}, {wanted[1]}")
