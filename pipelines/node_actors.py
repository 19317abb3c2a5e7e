"""The actors of the hand-over: one on each node, which asks for no CPU, as Spark may hold them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.errors import HandoffError
from pipelines.landing import Address

ANSWER_SECONDS = 60.0
"""How long an actor may take to start and to answer."""

_STOP_SECONDS = 5.0


def living_nodes() -> list[str]:
    """Return the ids of the cluster's living nodes."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def on_each_node(nodes: Sequence[str], kind: type, *arguments: object) -> list[Any]:
    """Start an actor on each of the nodes; it asks for no CPU, and answers while it works."""
    actor: Any = ray.remote(kind)
    return [
        actor.options(
            num_cpus=0,
            max_concurrency=4,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        ).remote(*arguments)
        for node in nodes
    ]


def answers_of(asked: Sequence[ray.ObjectRef[Address]]) -> tuple[Address, ...]:
    """Return where each of the actors says that it listens.

    Raises:
        HandoffError: one of them did not start.
    """
    try:
        return tuple(ray.get(list(asked), timeout=ANSWER_SECONDS))
    except ray.exceptions.RayError as error:
        raise HandoffError(
            f"an end of the hand-over did not start within {ANSWER_SECONDS:.0f} s: {error}; see `ray status`"
        ) from error


def end(actors: Sequence[Any]) -> None:
    """Let the actors take their sockets away, and end them."""
    ray.wait([actor.stop.remote() for actor in actors], num_returns=len(actors), timeout=_STOP_SECONDS)
    for actor in actors:
        ray.kill(actor)
