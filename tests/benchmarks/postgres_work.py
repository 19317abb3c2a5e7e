"""Who reads from a PostgreSQL server and who writes to it, in the same Spark: ours, and Spark's own JDBC connector.

Beside them, what the server alone takes, with no client at all: no connector can be faster than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from connectors import Postgres, PostgresSink
from connectors.errors import SourceError
from connectors.source import BadRow
from connectors.spark import arrow_to_spark_schema, partitions_frame, read_partitions
from connectors.spark_batches import map_in_arrow
from pipelines.etl import Etl
from tests.benchmarks.checksum import ChecksumError
from tests.benchmarks.reviews import COLUMNS, digest_of, fill_half, frame_of, make_target, require_written
from tests.benchmarks.turns import Worker
from tests.connectors.jdbc_driver import DRIVER
from tests.connectors.postgres_server import PASSWORD, USER, Server

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SOURCE, TARGET = "reviews", "target"
OURS, PEER, MERGE, FLOOR, SERVER = "ours", "Spark's JDBC", "our merge", "noop", "the server alone"

# What the driver is told in the URL, by what is written beside the figure. Its binary mode begins, by default, with the
# fifth time that a statement is run, and -1 makes it begin at once.
_READERS = {
    f"fetchsize {size:,}{', binary transfer from the start' if binary else ''}": (size, binary)
    for size in (1_000, 10_000, 50_000)
    for binary in (False, True)
}
_WRITERS = (1_000, 10_000)


@dataclass(frozen=True)
class PostgresWork:
    """What is read and written.

    Attributes:
        spark: the session.
        server: a server that has the table `SOURCE`.
        rows: how many rows that has.
        partitions: how many parts are read, or written, by tasks and connections of their own.
    """

    spark: SparkSession
    server: Server
    rows: int
    partitions: int

    def readers(self) -> tuple[Worker, ...]:
        """Return those that read `SOURCE` into Spark, which computes the digest of it."""
        wanted = digest_of(frame_of(self.spark, self.rows, self.partitions))

        def verify(found: object) -> None:
            if found != wanted:
                raise ChecksumError(f"{found} was read where there is {wanted}: rows and their digest")

        ours = {f"partitions_wanted {self.partitions}": self._read_ours}
        peers = {name: partial(self._read_jdbc, *settings) for name, settings in _READERS.items()}
        alone = {f"COPY {SOURCE} TO '/dev/null' (FORMAT binary)": self._read_server}
        return Worker(OURS, ours, verify=verify), Worker(PEER, peers, verify=verify), Worker(SERVER, alone)

    def writers(self) -> tuple[Worker, ...]:
        """Return those that write rows that Spark computes to `TARGET`, the first two to one that is empty."""
        ours = {"mode append": partial(self._write_ours, "append")}
        peers = {
            f"batchsize {size:,}, reWriteBatchedInserts=true": partial(self._write_jdbc, size) for size in _WRITERS
        }
        merge = {"mode merge, a primary key, half of the keys there": partial(self._write_ours, "merge")}
        alone = {f"COPY {TARGET} FROM a file of its own (FORMAT binary)": self._write_server}
        noop = {"Spark's noop sink: only computes the rows": self._write_nowhere}
        written = {"prepare": self._make_target, "verify": self._verify}
        return (
            Worker(OURS, ours, **written),
            Worker(PEER, peers, **written),
            Worker(MERGE, merge, self._make_merge_target, self._verify),
            Worker(SERVER, alone, self._make_target_and_file, self._verify),
            Worker(FLOOR, noop),
        )

    def _read_ours(self) -> tuple[int, int]:
        source = Postgres(**self.server.options(table=SOURCE, partitions_wanted=self.partitions))
        with source.plan() as plan:
            frame = partitions_frame(self.spark, plan.partitions)
            schema = arrow_to_spark_schema(source.row_schema())

            def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
                for item in read_partitions(source, batches):
                    assert not isinstance(item, BadRow)
                    yield item

            return digest_of(map_in_arrow(frame, rows, schema).drop("id"))

    def _read_jdbc(self, fetch_size: int, binary: bool) -> tuple[int, int]:
        reader = self.spark.read.format("jdbc").options(**self._jdbc("prepareThreshold=-1" if binary else ""))
        frame = reader.options(
            dbtable=SOURCE,
            fetchsize=str(fetch_size),
            partitionColumn="id",
            lowerBound="1",
            upperBound=str(self.rows),
            numPartitions=str(self.partitions),
        ).load()
        return digest_of(frame)

    def _read_server(self) -> None:
        self._run(f"COPY {SOURCE} TO '/dev/null' (FORMAT binary)")

    def _write_server(self) -> None:
        self._run(f"COPY {TARGET} FROM '{self._file}' (FORMAT binary)")

    def _write_ours(self, mode: str) -> None:
        sink = PostgresSink(**self.server.options(table=TARGET, mode=mode))
        Etl(self.spark, self._frame(), ()).to_sink(sink)

    def _write_jdbc(self, batch_size: int) -> None:
        writer = self._frame().write.format("jdbc").options(**self._jdbc("reWriteBatchedInserts=true"))
        writer.options(dbtable=TARGET, batchsize=str(batch_size)).mode("append").save()

    def _write_nowhere(self) -> None:
        self._frame().write.format("noop").mode("overwrite").save()

    def _frame(self) -> DataFrame:
        return frame_of(self.spark, self.rows, self.partitions)

    def _jdbc(self, parameters: str) -> Mapping[str, str]:
        url = f"jdbc:postgresql://127.0.0.1:{self.server.port}/postgres?{parameters}"
        return {"url": url, "driver": DRIVER, "user": USER, "password": PASSWORD}

    def _make_target(self) -> None:
        with Postgres(**self.server.options(table=TARGET)).connected(SourceError) as database:
            make_target(database, TARGET)
        self._checkpoint()

    def _make_merge_target(self) -> None:
        with Postgres(**self.server.options(table=TARGET)).connected(SourceError) as database:
            make_target(database, TARGET, key=True)
            fill_half(database, TARGET, self.rows)
        self._checkpoint()

    def _make_target_and_file(self) -> None:
        self._make_target()
        if not self._file.exists():
            rows = f"SELECT id::text AS row_id, {', '.join(COLUMNS)} FROM {SOURCE}"
            self._run(f"COPY ({rows}) TO '{self._file}' (FORMAT binary)")

    @property
    def _file(self) -> Path:
        return self.server.directory / "rows"

    def _checkpoint(self) -> None:
        """Have the server write what earlier runs have left to be written, so that no run pays for another one."""
        self._run("CHECKPOINT")

    def _run(self, statement: str) -> None:
        with Postgres(**self.server.options(table=TARGET)).connected(SourceError) as database:
            database.run(statement)
            database.connection.commit()

    def _verify(self, _: object) -> None:
        with Postgres(**self.server.options(table=TARGET)).connected(SourceError) as database:
            require_written(database, TARGET, SOURCE, self.rows)
