from __future__ import annotations

import pytest

from pipelines.steps.quality.fineweb_quality import FineWebQuality
from tests.pipelines.steps.quality.judging import judged

LINES = ["It rained all day, and so we stayed in the house.", "Nobody came by until late in the evening, it seems."]
PROSE = "\n".join(LINES)


def test_prose_is_kept() -> None:
    assert judged(FineWebQuality(), PROSE, PROSE + "\n\n \n") == [None, None]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty_text"),
        (" \n \n", "empty_text"),
        (PROSE.replace(".", ""), "too_few_finished_lines"),
        (PROSE + "\nHome.\nNews.\nContact.\nSearch.\nHelp.", "too_many_short_lines"),
        (PROSE + "\n" + PROSE, "duplicate_line_characters"),
        (PROSE + "\n" * 12, "too_many_line_breaks"),
    ],
)
def test_each_rule(text: str, rule: str) -> None:
    assert judged(FineWebQuality(), text) == [rule]


def test_a_limit_of_none_is_none() -> None:
    lenient = FineWebQuality(max_duplicate_line_characters=None, max_line_breaks_per_word=None)
    assert judged(lenient, PROSE + "\n" + PROSE + "\n" * 40) == [None]


def test_line_breaks_are_judged_of_the_text_that_they_are_in() -> None:
    assert judged(FineWebQuality(), PROSE, PROSE + "\n" * 12, PROSE) == [None, "too_many_line_breaks", None]
