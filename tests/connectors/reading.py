"""Reading a source to its end."""

from __future__ import annotations

from connectors import BadRow, PartitionedSource


def read(source: PartitionedSource) -> tuple[list[dict[str, object]], list[BadRow]]:
    """Return all rows of a source, and all its bad rows."""
    rows: list[dict[str, object]] = []
    bad: list[BadRow] = []
    with source.plan() as plan:
        for partition in plan.partitions:
            for item in source.scan(partition):
                if isinstance(item, BadRow):
                    bad.append(item)
                else:
                    rows.extend(item.to_pylist())
    return rows, bad


def faults(source: PartitionedSource) -> list[tuple[str, int]]:
    """Return the rule and the position of every bad row of a source, in order of position."""
    return sorted(((row.rule, row.position) for row in read(source)[1]), key=lambda fault: fault[1])
