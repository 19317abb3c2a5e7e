"""Telling whether a node was lost while a run went on."""

from __future__ import annotations

from collections.abc import Sequence

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# Ray takes a node for lost after five health checks in a row have failed: each may take ten seconds, and there are
# three between them (health_check_timeout_ms, health_check_period_ms, health_check_failure_threshold).
_DETECTION_SECONDS = 90.0


class Nodes:
    """The nodes of the cluster as they were when this was made."""

    def __init__(self) -> None:
        self._before = _living()

    def lost(self) -> list[str]:
        """Return the addresses of those that have gone since.

        Each is asked for an answer, which a living one gives within seconds; for one that has gone there is none until
        Ray has noticed. A cluster of one node loses everything with it, and so is not asked.
        """
        if len(self._before) < 2:
            return []
        ask = ray.remote(_answer)
        answers = [
            ask.options(
                num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote()
            for node in self._before
        ]
        ray.wait(answers, num_returns=len(answers), timeout=_DETECTION_SECONDS, fetch_local=False)
        gone = self._before.keys() - _living().keys()
        return sorted(f"node {self._before[node]}" for node in gone)


def recovering(lost: Sequence[str], error: Exception, *, again: bool) -> str:
    """Return what to tell of a run that goes on after nodes were lost.

    Args:
        lost: the nodes.
        error: what it came to light by.
        again: whether the rows are computed again.
    """
    how = "the rows are computed again" if again else "the rows are read again from the checkpoint"
    return (
        f"{' and '.join(lost)} went away ({type(error).__name__}); {how}, and a training that was begun goes on after "
        "its last whole epoch"
    )


def fewer_executors(started: int, asked: int) -> str:
    """Return what to tell of a Spark that has fewer executors than were asked for."""
    return f"Spark goes on with {started} of {asked} executors, as the nodes that are left have no room for more"


def _living() -> dict[str, str]:
    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


def _answer() -> None:
    """Say nothing; that it could be run is the answer."""
