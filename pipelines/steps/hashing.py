"""Hashing numbers, many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""An odd number whose bits look random: 2^64 over the golden ratio (Knuth, The Art of Computer Programming, 6.4)."""


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers that look random, one for each; the same for the same."""
    values = (values + np.uint64(1)) * _MULTIPLIER
    return values ^ (values >> np.uint64(29))
