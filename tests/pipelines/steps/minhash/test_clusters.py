from __future__ import annotations

import random
import time

import pyarrow as pa
import pytest

from pipelines.steps.minhash.clusters import CLUSTERS, Clusters, cluster


def clustered(pairs: list[tuple[str, str]]) -> dict[str, str]:
    batch = pa.record_batch({"one": [one for one, _ in pairs], "other": [other for _, other in pairs]})
    rows = [row for part in cluster([batch]) for row in part.to_pylist()]
    return {row["member"]: row["cluster"] for row in rows}


def test_what_hangs_together_is_one_cluster_named_by_its_first() -> None:
    found = clustered([("b", "c"), ("x", "y"), ("a", "c")])
    assert found == {"a": "a", "b": "a", "c": "a", "x": "x", "y": "x"}


@pytest.mark.parametrize("order", ["forwards", "backwards", "shuffled"])
def test_a_long_chain_is_one_cluster(order: str) -> None:
    pairs = [(f"{number:07}", f"{number + 1:07}") for number in range(200_000)]
    if order == "backwards":
        pairs.reverse()
    elif order == "shuffled":
        random.Random(0).shuffle(pairs)
    begun = time.process_time()
    assert set(clustered(pairs).values()) == {"0000000"}
    assert time.process_time() - begun < 30


def test_of_no_pairs_there_is_no_cluster() -> None:
    assert list(cluster([])) == []
    assert list(Clusters().members()) == []
    assert CLUSTERS.names == ["member", "cluster"]
