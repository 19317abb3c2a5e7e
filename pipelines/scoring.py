"""Scoring texts with a bundle: lines in, lines of JSON out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import TextIO

from pipelines.bundle import Bundle


def predict_lines(bundle: Bundle, lines: Iterable[str], out: TextIO, batch_size: int) -> int:
    """Classify texts, one a line, and write a JSON object for each: text, label, probabilities, rejected.

    Every line gets one, in order; an empty line, or one that a step rejects, has a null label and the reason. Output
    is flushed after each batch, so that a program at the other end of a pipe need not wait for the whole.

    Args:
        bundle: what classifies them.
        lines: raw texts, with or without their line ends.
        out: where to.
        batch_size: how many texts are read before the first of them is answered.

    Returns:
        How many lines there were.
    """
    remaining = iter(lines)
    total = 0
    while texts := [line.rstrip("\r\n") for line in islice(remaining, batch_size)]:
        for text, prediction in zip(texts, bundle.predict(texts), strict=True):
            answer = {
                "text": text,
                "label": prediction.label,
                "probabilities": {label: round(share, 6) for label, share in prediction.probabilities.items()},
                "rejected": prediction.rejected,
            }
            out.write(json.dumps(answer, ensure_ascii=False) + "\n")
        out.flush()
        total += len(texts)
    return total
