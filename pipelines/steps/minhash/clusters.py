"""Bringing pairs together: which texts hang together, however long the chain between them is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

CLUSTERS = pa.schema([("member", pa.string()), ("cluster", pa.string())])
"""A text's row id, and that of the first text in its cluster, in the order of strings."""

_BATCH = 100_000


@dataclass
class Clusters:
    """Sets of ids that grow together (a disjoint-set forest, Tarjan 1975)."""

    _parents: dict[str, str] = field(default_factory=dict)

    def join(self, one: str, other: str) -> None:
        """Put two ids, and whatever is with each, in one set."""
        one, other = self.first_of(one), self.first_of(other)
        if one != other:
            # The first in order leads, so that a set's name does not depend on the order of the pairs.
            self._parents[max(one, other)] = min(one, other)

    def first_of(self, member: str) -> str:
        """Return the first id of the set that an id is in; halves the way to it for the next time."""
        parents = self._parents
        while (parent := parents.setdefault(member, member)) != member:
            parents[member] = member = parents[parent]
        return member

    def members(self) -> Iterator[tuple[str, str]]:
        """Yield every id with the first of its set."""
        for member in self._parents:
            yield member, self.first_of(member)


def cluster(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield `CLUSTERS` of pairs, which are two columns of ids; must be given all pairs, in one task.

    Holds in memory the ids of texts that have a pair, and nothing else: some 200 bytes for each such text.
    """
    clusters = Clusters()
    for batch in batches:
        for one, other in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            clusters.join(one, other)
    rows = list(clusters.members())
    for start in range(0, len(rows), _BATCH):
        members, firsts = zip(*rows[start : start + _BATCH], strict=True)
        yield pa.RecordBatch.from_arrays([pa.array(members), pa.array(firsts)], schema=CLUSTERS)
