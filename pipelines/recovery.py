"""Telling whether a node was lost while a run went on."""

from __future__ import annotations

from collections.abc import Sequence

import ray

from pipelines.ray_cluster import wait_until

# Ray takes a node for lost after five health checks, one every three seconds, have gone unanswered.
_DETECTION_SECONDS = 45.0


class Nodes:
    """The nodes of the cluster as they were when this was made."""

    def __init__(self) -> None:
        self._before = _living()

    def lost(self) -> list[str]:
        """Return the addresses of those that have gone since; waits until Ray would have noticed.

        A cluster of one node loses everything with it, and so is not waited for.
        """
        if len(self._before) < 2:
            return []
        wait_until(lambda: bool(self._before.keys() - _living().keys()), _DETECTION_SECONDS)
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


def _living() -> dict[str, str]:
    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
