"""Every malformed row of a corpus comes back with its rule, file and position, and every other row as a row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.connectors.reading import read
from tests.planted import FILES, GOOD_ROWS, KINDS, PLANTED_ROWS, Planted, plant, sources


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_planted_row_is_found_and_every_other_row_is_good(tmp_path: Path, seed: int) -> None:
    planted = plant(tmp_path, seed)
    scanned = [read(source) for source in sources(tmp_path).values()]
    bad = [row for _, rows in scanned for row in rows]

    assert len(planted) == PLANTED_ROWS
    assert {row.kind for row in planted} == set(KINDS)
    assert Counter(Planted(row.rule, row.origin, row.position) for row in bad) == Counter(planted)
    assert sum(len(rows) for rows, _ in scanned) == GOOD_ROWS


@pytest.mark.parametrize("name", FILES)
def test_no_id_is_given_twice_and_none_is_missing(tmp_path: Path, name: str) -> None:
    plant(tmp_path, seed=4)
    rows, bad = read(sources(tmp_path)[name])
    every = [*(row["row_id"] for row in rows), *(row.row_id for row in bad)]
    assert None not in every
    assert len(set(every)) == len(every)
