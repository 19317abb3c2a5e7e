"""What Spark counted of the rows that entered Python.

By its own SQL metrics, which it keeps whether its pages are served or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ROWS_OUT = "number of output rows"
_SENT = "data sent to Python workers"
_EVENTS_MILLISECONDS = 30_000


@dataclass(frozen=True)
class PythonNode:
    """A node of a plan that gives its rows to Python workers.

    Attributes:
        name: what Spark calls it.
        rows_in: rows that it was given: what the nearest node before it that counts its rows gave out.
        rows_out: rows that came back from Python.
        sent: the size of what was sent to Python, as Spark writes it.
    """

    name: str
    rows_in: int
    rows_out: int
    sent: str


@dataclass
class Watch:
    """The nodes of all queries that ended while it lasted, in the order of the queries and of the rows through them."""

    nodes: list[PythonNode] = field(default_factory=list)


@contextmanager
def watch_python(spark: SparkSession) -> Iterator[Watch]:
    """Collect the nodes that run Python of all queries that run within the block."""
    watch = Watch()
    store = spark._jsparkSession.sharedState().statusStore()
    known = {execution.executionId() for execution in _each(store.executionsList())}
    yield watch
    # Metrics reach the store through Spark's queue of events.
    spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty(_EVENTS_MILLISECONDS)
    for execution in _each(store.executionsList()):
        if execution.executionId() not in known:
            watch.nodes += _nodes(store, execution.executionId())


def _nodes(store: Any, execution: int) -> list[PythonNode]:
    graph = store.planGraph(execution)
    values = store.executionMetrics(execution)
    metrics = {node.id(): _metrics(node, values) for node in _each(graph.allNodes())}
    names = {node.id(): node.name() for node in _each(graph.allNodes())}
    before = {edge.toId(): edge.fromId() for edge in _each(graph.edges())}
    found: list[PythonNode] = []
    for node, of_node in metrics.items():
        if _SENT not in of_node:
            continue
        feeding = before.get(node)
        while feeding is not None and _ROWS_OUT not in metrics[feeding]:
            feeding = before.get(feeding)
        if feeding is None:
            raise LookupError(f"no node before {names[node]} counts its rows, so what entered Python is not known")
        rows_in, rows_out = _count(metrics[feeding][_ROWS_OUT]), _count(of_node[_ROWS_OUT])
        found.insert(0, PythonNode(names[node], rows_in, rows_out, _total(of_node[_SENT])))
    return found


def _metrics(node: Any, values: Any) -> dict[str, str]:
    """Return a node's metrics by name, as Spark writes them; those that nothing was counted for are left out."""
    found: dict[str, str] = {}
    for metric in _each(node.metrics()):
        value = values.get(metric.accumulatorId())
        if value.isDefined():
            found[metric.name()] = value.get()
    return found


def _count(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def _total(text: str) -> str:
    """Return the sum of a metric that Spark writes as its sum and, in brackets, its spread over the tasks."""
    return text.strip().splitlines()[-1].split(" (")[0]


def _each(sequence: Any) -> Iterator[Any]:
    return (sequence.apply(index) for index in range(sequence.size()))
