"""Whether a cluster has room for the executors that are asked for, and for how many."""

from __future__ import annotations

import pytest

from pipelines.preflight import check_cluster, places_for
from pipelines.session_options import SessionOptions

GIGABYTE = 2**30


@pytest.mark.parametrize(
    ("nodes", "places"),
    [
        ([], 0),
        ([{"CPU": 2, "memory": 8 * GIGABYTE}], 1),
        ([{"CPU": 8, "memory": 8 * GIGABYTE}], 4),
        ([{"CPU": 8, "memory": 2 * GIGABYTE}], 1),  # a heap of 1 GB takes 384 MB on top
        ([{"CPU": 3, "memory": 8 * GIGABYTE}, {"CPU": 3, "memory": 8 * GIGABYTE}], 2),
        ([{"CPU": 1, "memory": 8 * GIGABYTE}, {"CPU": 1, "memory": 8 * GIGABYTE}], 0),
        ([{"memory": 8 * GIGABYTE}], 0),  # Ray leaves out what a node has none of
    ],
)
def test_an_executor_needs_its_cores_and_its_memory_on_one_node(nodes: list[dict[str, float]], places: int) -> None:
    options = SessionOptions(executors=2, executor_cores=2, executor_memory="1g")

    assert places_for(options, nodes) == places
    assert check_cluster(options, nodes).ok is (places >= 2)
