"""Where sentences end."""

from __future__ import annotations

import re

_SHORT = ("Mr", "Mrs", "Ms", "Dr", "St", "Jr", "vs", "Prof", "Inc", "Co")
_NOT_SHORT = "".join(rf"(?<!\b{word})" for word in _SHORT)
_CLOSING = "\"'”’»)\\]}"
_BETWEEN_SENTENCES = re.compile(
    rf"""
    (?:
        (?<=[^\W_A-Z]){_NOT_SHORT}\.(?=[\s{_CLOSING}]|[^\W\d_a-z])   # not of a figure, nor an initial's
      | (?<=[%{_CLOSING}])\.(?=[\s{_CLOSING}])
      | (?<=[A-Z]{{2}})\.(?=[\s{_CLOSING}])
      | [!?。！？｡]
    )
    [\s{_CLOSING}!?.。！？]*(?=[^\s{_CLOSING}!?.。！？])
    """,
    re.VERBOSE,
)


def count_sentences(text: str) -> int:
    """Return how many sentences a text has, one at the least; an ellipsis ends none."""
    return 1 + sum(1 for _ in _BETWEEN_SENTENCES.finditer(text))


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, without the white space around them; none of a text that is white space."""
    ends = [match.end() for match in _BETWEEN_SENTENCES.finditer(text)]
    parts = (text[start:end].strip() for start, end in zip([0, *ends], [*ends, len(text)], strict=True))
    return [part for part in parts if part]
