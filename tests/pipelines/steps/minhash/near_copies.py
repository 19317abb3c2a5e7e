"""Texts, and copies of them that are as alike as one wants."""

from __future__ import annotations

import random
import re


def prose(draw: random.Random, words: int) -> str:
    """Return words of a made-up language, which do not repeat themselves for long."""
    return " ".join("".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 8))) for _ in range(words))


def near_copy(draw: random.Random, text: str, similarity: float, size: int = 5) -> str:
    """Return a copy with a run of words replaced, so that the shingles have about a Jaccard similarity; lines stay.

    A run of k words that differ changes k + size - 1 shingles of n; what is left in common is (n - d) of (n + d).
    """
    words = re.findall(r"\S+\s*", text)
    shingles = len(words) - size + 1
    changed = round(shingles * (1 - similarity) / (1 + similarity))
    run = max(0, changed - size + 1)
    if run:
        start = draw.randint(size, len(words) - run - size)
        words[start : start + run] = [f"{word} " for word in prose(draw, run).split()]
    return "".join(words)
