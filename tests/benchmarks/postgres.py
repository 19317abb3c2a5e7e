"""How long it takes to read a PostgreSQL table into Spark, and to write one from it, by us and by Spark's JDBC.

    python -m tests.benchmarks.postgres --scale 0.1

from the root of the repository; PostgreSQL's server and its JDBC driver (Debian's ``libpostgresql-jdbc-java``) must be
installed. Starts a server with `reviews.ROWS` rows (500 MB of values), and one Spark for all. A warm-up picks the best
settings of each contender: each setting runs ``--warm-ups`` times, and each contender as often as any other. Then all
run in turns, ``--repeats`` rounds. All read and write the same number of partitions, each by a task and a connection of
its own, as many at a time as the executor has cores. On two cores, one is the executor's; the other is left to the
server and, with ours, to the Python worker. With few rows, what a connection and a task cost is most of the time.

The clock of a read stops when Spark has hashed every value of every row: count(*) and bit_xor(xxhash64(all columns)) in
one aggregate, the same for all. That of a write stops when the rows are committed and can be seen: ours in one
transaction, Spark's JDBC writer in one for each partition. Then, off the clock, their number and a digest of their
values are compared in SQL with the table that was read. The server alone, with no client and no protocol, bounds what
any of them can reach. Prints two tables and one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from connectors import Postgres
from connectors.errors import SourceError
from tests.benchmarks.machine import Machine, headrace_session
from tests.benchmarks.postgres_work import OURS, SOURCE, PostgresWork
from tests.benchmarks.reviews import ROW_BYTES, ROWS, make_table
from tests.benchmarks.turns import Turns, take_turns
from tests.connectors.jdbc_driver import PACKAGE, driver_jar
from tests.connectors.postgres_server import Server, running

_DEFAULT = Machine(cores=1, object_store_memory="512m", partitions=8)
_SERVER = {"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "1h"}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def compare(
    scale: Annotated[float, typer.Option(help=f"How much data: 1 is {ROWS:,} rows.")] = 1.0,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each contender.")] = 3,
    warm_ups: Annotated[int, typer.Option(min=1, help="Runs of each setting before.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Cores of the executor.")] = _DEFAULT.cores,
    executor_memory: Annotated[str, typer.Option(help="Heap of the executor.")] = _DEFAULT.executor_memory,
    partitions: Annotated[int, typer.Option(min=1, help="Parts that are read and written.")] = _DEFAULT.partitions,
) -> None:
    """Compare reading and writing."""
    jar = driver_jar()
    if jar is None:
        raise typer.BadParameter(f"the JDBC driver is not here: apt install {PACKAGE}")
    machine = replace(_DEFAULT, cores=cores, executor_memory=executor_memory, partitions=partitions, jars=str(jar))
    rows = max(1, round(ROWS * scale))
    with running(_SERVER) as server:
        make_source(server, rows)
        with headrace_session(machine) as session:
            work = PostgresWork(session.spark, server, rows, partitions)
            measured = {
                "read": take_turns(work.readers(), repeats=repeats, warm_ups=warm_ups),
                "write": take_turns(work.writers(), repeats=repeats, warm_ups=warm_ups),
            }
    for what, turns in measured.items():
        typer.echo(table(f"{what}: {rows:,} rows, {rows * ROW_BYTES / 1e6:,.0f} MB", turns) + "\n")
    typer.echo(f"{machine}; {driver_of(str(jar))}; server: {_SERVER}, fsync off; medians of {repeats} (least to most)")
    shown = {"benchmark": "postgres", "scale": scale, "rows": rows, "cores": cores, "partitions": partitions}
    typer.echo(json.dumps({**shown, **record(measured)}))


def make_source(server: Server, rows: int) -> None:
    """Make the table to read, at rest: its hint bits set, its pages on disk, and its statistics taken."""
    with Postgres(**server.options(table=SOURCE)).connected(SourceError) as database:
        make_table(database, SOURCE, rows)
        database.connection.adbc_connection.set_autocommit(True)
        database.run(f"VACUUM (FREEZE, ANALYZE) {SOURCE}")
        database.run("CHECKPOINT")
        database.connection.adbc_connection.set_autocommit(False)


def table(title: str, turns: Sequence[Turns]) -> str:
    """Return the measurement as a Markdown table."""
    ours = next(one for one in turns if one.name == OURS)
    lines = [
        f"### {title}",
        "",
        "| contender | seconds | ÷ ours | settings |",
        "| --- | --- | --- | --- |",
    ]
    for one in turns:
        spread = f"{one.median:.2f} ({min(one.seconds):.2f}–{max(one.seconds):.2f})"
        lines.append(f"| {one.name} | {spread} | {one.median / ours.median:.2f} | {one.settings} |")
    return "\n".join(lines)


def record(measured: Mapping[str, Sequence[Turns]]) -> dict[str, Any]:
    """Return the measurement for the line of JSON: times, and ratios by ours."""
    found: dict[str, Any] = {}
    for what, turns in measured.items():
        ours = next(one for one in turns if one.name == OURS)
        found[what] = [{**asdict(one), "by_ours": one.median / ours.median} for one in turns]
    return found


def driver_of(jar: str) -> str:
    """Return what the driver's JAR says that it is."""
    from zipfile import ZipFile

    with ZipFile(jar) as archive:
        manifest = archive.read("META-INF/MANIFEST.MF").decode()
    versions = [
        line.split(": ")[1].strip() for line in manifest.splitlines() if line.startswith("Implementation-Version: ")
    ]
    return f"PostgreSQL JDBC {versions[0] if versions else 'of unknown version'}"


if __name__ == "__main__":
    app()
