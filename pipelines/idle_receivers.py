"""Receivers between two hand-overs: their processes stay, as to start one takes half a second.

Those of the last hand-over wait for the next, until Spark is released. One that runs beside it has receivers of its
own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ray

from pipelines.node_actors import ANSWER_SECONDS, end, on_each_node
from pipelines.receiver import Receiver

_lock = threading.Lock()
_idle: dict[tuple[str, ...], list[Any]] = {}


def take(nodes: Sequence[str]) -> list[Any]:
    """Return a receiver on each of the nodes; they may be starting still."""
    with _lock:
        receivers = _idle.pop(tuple(nodes), None)
    end_idle()  # those of other nodes than there are now
    if receivers is not None:
        if _are_clear(receivers):
            return receivers
        _end(receivers)
    return on_each_node(nodes, Receiver)


def give_back(nodes: Sequence[str], receivers: Sequence[Any]) -> None:
    """Keep the receivers of a hand-over that went well for the next one."""
    if not _are_clear(receivers):
        _end(receivers)
        return
    with _lock:
        before = _idle.pop(tuple(nodes), [])
        _idle[tuple(nodes)] = list(receivers)
    _end(before)


def end_idle() -> None:
    """End those that wait."""
    with _lock:
        receivers = [receiver for of_nodes in _idle.values() for receiver in of_nodes]
        _idle.clear()
    _end(receivers)


def _are_clear(receivers: Sequence[Any]) -> bool:
    """Have them let go of all that is left of a hand-over, and tell whether all of them still live."""
    try:
        ray.get([receiver.end.remote() for receiver in receivers], timeout=ANSWER_SECONDS)
    except Exception:  # Ray has no narrower one for an actor of a Ray that has ended
        return False
    return True


def _end(receivers: Sequence[Any]) -> None:
    if receivers:
        with suppress(Exception):  # as above
            end(receivers)
