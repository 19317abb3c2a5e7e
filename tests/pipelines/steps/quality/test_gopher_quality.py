from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.steps.quality.gopher_quality import GopherQuality
from tests.pipelines.steps.quality.judging import judged

PROSE = (
    "The quick brown fox jumps over the lazy dog, and that is all there is to say of the two of them, while seven "
    "wizards have to make a toxic brew for the evil queen with her jack, who waits in the hall of the old castle until "
    "the moon is up and the owls have begun to cry over the dark wet roofs of the town below.\n"
)


def test_prose_is_kept() -> None:
    assert judged(GopherQuality(), PROSE) == [None]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "too_few_words"),
        ("The end of the tale and that is all.", "too_few_words"),
        ("the " * 100_001, "too_many_words"),
        ("of to be a I " * 20, "words_too_short"),
        ("the of incomprehensibilities " * 20 + "uncharacteristically " * 20, "words_too_long"),
        (PROSE + "# " * 12, "too_many_hashes"),
        (PROSE + "so… " * 12, "too_many_ellipses"),
        ("- " + PROSE.replace(",", ",\n-"), "too_many_bullets"),
        (PROSE.replace(" of ", "...\nof "), "too_many_lines_end_in_an_ellipsis"),
        (PROSE + "1234 " * 40, "too_few_alphabetic_words"),
        ("Lorem ipsum dolor amet, " * 20, "too_few_stop_words"),
    ],
)
def test_each_rule(text: str, rule: str) -> None:
    assert judged(GopherQuality(), text) == [rule]


def test_the_value_that_tripped_the_rule_is_told() -> None:
    rejected = GopherQuality().apply(pa.record_batch({"row_id": ["a"], "text": ["two, words"]})).rejected
    assert rejected.to_pylist() == [{"row_id": "a", "rule": "too_few_words", "value": "2"}]


def test_a_limit_of_none_is_none() -> None:
    assert judged(GopherQuality(min_words=None, min_stop_words=None), "Once more") == [None]


def test_chinese_is_judged_by_its_own_words() -> None:
    pytest.importorskip("rjieba")
    prose = "我们在北京的大学里学习了三年，他也是一个很好的人，和我一起住在学校。" * 3
    assert judged(GopherQuality(language="zh"), prose) == [None]
    assert judged(GopherQuality(), prose) != [None]


def test_no_rows() -> None:
    assert judged(GopherQuality()) == []
