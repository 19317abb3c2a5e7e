# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Write a connector: a shop's reviews over HTTP
#
# A source reads from a store of your own, and a sink writes to one. Each is a class whose fields are its options. By
# the end of this page a paged JSON API is a source in fewer than thirty lines, the contract suite has found what its
# author forgot, an SQLite file is a sink, and a pipeline goes from one to the other. `.github/CONTRIBUTING.md` tells
# the same story for a package of its own.

# %%
import json
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pyarrow as pa

from connectors import BadRow, JsonLinesSink, Partition, PartitionedSource, Receipt, Rest, Sink, SinkError, SourceError
from connectors.checking import check
from connectors.testing import SinkContract, SourceContract
from pipelines import Pipeline, Session
from pipelines.connector_package import new_package
from pipelines.plugins import SOURCE
from pipelines.preview import preview, preview_table
from pipelines.steps import NormalizeText, WordCount

directory = Path(tempfile.mkdtemp(prefix="headrace-connector-"))

# %% [markdown]
# ## The store
#
# The shop lists its reviews ten to a page, and says how many pages there are: `GET /reviews?page=1` gives
# `{"reviews": [{"id": 1, "body": "…", "verdict": "good"}, …], "pages": 3}`. One of them has no body, as happens.

# %%
REVIEWS = [
    {"id": 1 + n, "body": f"Order {1000 + n} came in time, and I would buy it again.", "verdict": "good"}
    if n % 2
    else {"id": 1 + n, "body": f"Order {1000 + n} was  broken when it came.", "verdict": "bad"}
    for n in range(23)
]
REVIEWS[13]["body"] = None
REVIEWS[19]["body"] = "Great!"


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        page = int(parse_qs(urlsplit(self.path).query)["page"][0])
        body = json.dumps({"reviews": REVIEWS[(page - 1) * 10 : page * 10], "pages": 3}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}/reviews"

# %% [markdown]
# ## A first try
#
# A source says its columns, names its partitions (what tasks read apart from each other), and reads one of them. Its
# rows have a `text` and, where they are labelled, a `label`. A column `row_id` is for stores that have keys; where it
# is left out, rows are numbered.


# %%
class ShopReviews(PartitionedSource):
    url: str

    def read_schema(self) -> pa.Schema:
        return pa.schema([("row_id", pa.string()), ("text", pa.string()), ("label", pa.string())])

    def partitions(self) -> Sequence[Partition]:
        return [Partition(str(number)) for number in range(1, self._page(1)["pages"])]

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        reviews = self._page(int(partition.key))["reviews"]
        rows = [{"row_id": str(one["id"]), "text": one["body"], "label": one["verdict"]} for one in reviews]
        yield pa.RecordBatch.from_pylist(rows, self.read_schema())

    def _page(self, number: int) -> dict[str, Any]:
        with urlopen(f"{self.url}?page={number}", timeout=30) as response:
            return json.load(response)


# %% [markdown]
# It reads, so it looks done. A look at its first rows needs neither Ray nor Spark.

# %%
rows, _ = preview(Pipeline(name="first-try", source=ShopReviews(url=url)), rows=3)
preview_table(rows)

# %% [markdown]
# ## What every source must do
#
# `SourceContract` holds a source to what engines rely on: it pickles, its partitions are the same each time and
# disjoint, its batches have the schema that it says, rows have a text and an id of their own, reading again gives the
# same. Told how many rows there are, it finds those that are passed over. As tests of a package, its checks run under
# pytest; here they are made one by one.


# %%
class ShopContract(SourceContract):
    row_count = 23


def hold(contract, fixtures):
    """Make every check, print how each came out, and return the names of those that fail."""
    found = list(check(contract, fixtures))
    for one in found:
        title = one.name.removeprefix("test_").replace("_", " ")
        print("FAILS" if one.error else "skip " if one.skipped else "ok   ", title, "|" if one.error else "", one.error)
    return [one.name for one in found if one.error]


failing = hold(ShopContract(), lambda: {"source": ShopReviews(url=url)})
assert failing == ["test_every_row_has_a_text", "test_finds_every_row_once"]

# %% [markdown]
# Two mistakes. `range` leaves its end out, so that the last page is never read: nobody would have missed three reviews.
# And a review without a body is no row. It must not be dropped without a word either: it is yielded as a `BadRow`, with
# a rule that counts are kept by, and goes into the run's quarantine with its reason and place.
#
# While at it: a server that is down should be told in one line, with what to do about it.


# %%
class ShopReviews(PartitionedSource):
    """The reviews that a shop's API lists, page by page; `url` is the address of the list."""

    url: str

    def read_schema(self) -> pa.Schema:
        return pa.schema([("row_id", pa.string()), ("text", pa.string()), ("label", pa.string())])

    def partitions(self) -> Sequence[Partition]:
        return [Partition(str(number)) for number in range(1, self._page(1)["pages"] + 1)]

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        rows = []
        for position, one in enumerate(self._page(int(partition.key))["reviews"], 1):
            if one["body"] is None:
                origin = f"{self.url}?page={partition.key}"
                yield BadRow("no_body", "the review has no body", origin, position, json.dumps(one), str(one["id"]))
            else:
                rows.append({"row_id": str(one["id"]), "text": one["body"], "label": one["verdict"]})
        yield pa.RecordBatch.from_pylist(rows, self.read_schema())

    def _page(self, number: int) -> dict[str, Any]:
        try:
            with urlopen(f"{self.url}?page={number}", timeout=30) as response:
                return json.load(response)
        except (OSError, ValueError) as error:
            raise SourceError(f"{self.url}, page {number}: {error}; check 'url' and the server") from error


# %%
assert hold(ShopContract(), lambda: {"source": ShopReviews(url=url)}) == []

# %% [markdown]
# ## A sink
#
# Rows go out in two phases, because tasks may be tried more than once. `write` stages the rows of one attempt where no
# reader looks; `commit` publishes the attempts whose receipts it is given, all of them or none, and only once. A store
# with transactions makes that easy: the rows, and the fact that the commit has happened, are written in the same one,
# so `is_committed` is the store's own word, even after a crash.


# %%
class ReviewTable(Sink):
    """The table `reviews` in an SQLite file at `path`; a row replaces the one with its id."""

    path: str

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        self.abort(commit_id)

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        rows = [row for batch in batches for row in batch.select(["row_id", "text", "label"]).to_pylist()]
        attempt_id = f"{partition}-{attempt}"
        with self._transaction() as database:
            staged = ((commit_id, attempt_id, *row.values()) for row in rows)
            database.executemany("INSERT INTO staged VALUES (?, ?, ?, ?, ?)", staged)
        return Receipt(partition, attempt, len(rows), sum(len(row["text"]) for row in rows), (attempt_id,))

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        if self.is_committed(commit_id):
            return
        move = (
            "INSERT OR REPLACE INTO reviews SELECT row_id, text, label FROM staged WHERE (commit_id, attempt) = (?, ?)"
        )
        with self._transaction() as database:
            moved = sum(database.execute(move, (commit_id, *receipt.staged)).rowcount for receipt in receipts)
            if moved != sum(receipt.rows for receipt in receipts):
                raise SinkError(f"commit {commit_id}: rows that were staged in {self.path} have gone; run again")
            database.execute("INSERT INTO commits VALUES (?, ?)", (commit_id, cursor))
            database.execute("DELETE FROM staged WHERE commit_id = ?", (commit_id,))

    def is_committed(self, commit_id: str) -> bool:
        with self._transaction() as database:
            return database.execute("SELECT 1 FROM commits WHERE commit_id = ?", (commit_id,)).fetchone() is not None

    def abort(self, commit_id: str) -> None:
        with self._transaction() as database:
            database.execute("DELETE FROM staged WHERE commit_id = ?", (commit_id,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=60)) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS reviews (row_id PRIMARY KEY, text, label)")
            database.execute("CREATE TABLE IF NOT EXISTS staged (commit_id, attempt, row_id, text, label)")
            database.execute("CREATE TABLE IF NOT EXISTS commits (commit_id PRIMARY KEY, cursor)")
            yield database


# %% [markdown]
# Its contract writes, fails in the middle, writes twice, commits twice and gives up, and each time looks at what a
# reader sees. For that it wants to know how to read, and an empty target for each check.


# %%
class ReviewTableContract(SinkContract):
    def read_back(self, sink):
        with sink._transaction() as database:
            found = database.execute("SELECT row_id, text, label FROM reviews").fetchall()
        return [dict(zip(("row_id", "text", "label"), row, strict=True)) for row in found]


numbers = count()
assert hold(ReviewTableContract(), lambda: {"sink": ReviewTable(path=str(directory / f"{next(numbers)}.db"))}) == []

# %% [markdown]
# ## A pipeline
#
# Source, steps and sink make a pipeline. The preview shows the rows after the steps, and those that are rejected on the
# way: the review without a body by the source, the one of a single word by `WordCount`.

# %%
table = ReviewTable(path=str(directory / "reviews.db"))
pipeline = Pipeline(
    name="shop-reviews", source=ShopReviews(url=url), steps=[NormalizeText(), WordCount(min=3)], sink=table
)
rows, _ = preview(pipeline, rows=20)
assert [row.rejected for row in rows if row.rejected] == ["__main__:ShopReviews: no_body", "word_count: too_few_words"]
preview_table(rows[10:])

# %% [markdown]
# The run itself: each page is read by a task of Spark's, goes through the steps there, and is staged from there.

# %%
with Session(executors=1, executor_cores=1) as session:
    result = pipeline.run(session, runs=directory / "runs")
for account in result.accounts:
    print(f"{account.name:15} {account.rows_in:3} in {account.rows_out:3} out", account.rejected or "")

# %%
stored = ReviewTableContract().read_back(table)
assert len(stored) == 21
assert stored[0] == {"row_id": "1", "text": "Order 1000 was broken when it came.", "label": "bad"}
print((result.directory / "quarantine.jsonl").read_text())

# %% [markdown]
# ## A package of its own
#
# In a pipeline that is kept in YAML, and run by others, a connector is a module that can be imported.
# `headrace connector new shop-reviews` writes a package with its module, its entry point and its tests, which pass; the
# class above goes into the place of the one that is there. Its tests derive from the same contract, in
# `pipelines.testing`, which holds the connector to reading in Spark and in Ray Data what it reads here.

# %%
for path in new_package(directory, "shop-reviews", SOURCE):
    print(path.relative_to(directory))

# %% [markdown]
# ## Without a line of Python
#
# Before writing a source for an API, see whether it is one that `rest` reads already: its options say how the list is
# paged and where a record's fields are. Retries, a limit to the rate of requests, logins, and reading on from where the
# last run stopped come with it.

# %%
rest = Rest(
    url=url,
    records="reviews",
    pages={"type": "page", "total": "pages"},
    fields={"id": "id", "text": "body", "label": "verdict"},
    id_column="id",
    allow_private=True,  # the shop is on this machine
)
assert hold(ShopContract(), lambda: {"source": rest}) == []

# %%
by_hand, by_options = (
    [row.values for row in preview(Pipeline(name="reviews", source=source), rows=23)[0] if not row.rejected]
    for source in (ShopReviews(url=url), rest)
)
assert by_hand == by_options
without_python = Pipeline(name="shop-reviews", source=rest, sink=JsonLinesSink(path="reviews"))
print(without_python.to_yaml())

# %%
server.shutdown()
server.server_close()
