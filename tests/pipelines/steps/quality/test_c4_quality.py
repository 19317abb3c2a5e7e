from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.steps.quality.c4_quality import C4Quality
from pipelines.steps.quality.sentences import count_sentences
from tests.pipelines.steps.quality.judging import judged

PROSE = "It rained all day. We stayed in.\nNobody came by! Was it cold?\nIt was, he said."


def cleaned(step: C4Quality, text: str) -> list[str]:
    return step.apply(pa.record_batch({"row_id": ["a"], "text": [text]})).kept.column("text").to_pylist()


def test_prose_is_kept_as_it_is() -> None:
    assert cleaned(C4Quality(), PROSE) == [PROSE]


@pytest.mark.parametrize(
    "line",
    [
        "Home | News | Contact",
        "It goes on and on...",
        "Read more.",
        "Please turn on JavaScript to see this.",
        "We have a new Privacy Policy for you.",
        f"This is {'long' * 300} indeed.",
    ],
)
def test_lines_that_are_no_prose_are_taken_out(line: str) -> None:
    assert cleaned(C4Quality(), f"{line}\n{PROSE}\n{line}") == [PROSE]


def test_lines_taken_out_are_counted_by_reason() -> None:
    text = f"Home\nNews | Contact\n{PROSE}\nRead more.\nPlease turn on JavaScript to see this."
    outcome = C4Quality().apply(pa.record_batch({"row_id": ["a"], "text": [text]}))
    assert outcome.counts == {"unfinished_line": 2, "short_line": 1, "javascript_line": 1}


def test_citations_are_taken_out() -> None:
    assert cleaned(C4Quality(), PROSE.replace("day.", "day.[12]").replace("in.", "in.[edit]")) == [PROSE]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "too_few_sentences"),
        ("It rained all day. We stayed in.", "too_few_sentences"),
        (PROSE + "\nLorem ipsum dolor sit amet.", "lorem_ipsum"),
        (PROSE + "\nif (x) { return them all. } said he.", "curly_bracket"),
    ],
)
def test_each_rule(text: str, rule: str) -> None:
    assert judged(C4Quality(), text) == [rule]


def test_every_rule_can_be_left_out() -> None:
    lenient = C4Quality(
        citations=False,
        unfinished_lines=False,
        min_words_per_line=None,
        max_word_length=None,
        javascript=False,
        policies=False,
        lorem_ipsum=False,
        curly_bracket=False,
        min_sentences=None,
    )
    text = f"Lorem ipsum {{\n[1]\nJavaScript privacy policy\n{'long' * 300}"
    assert cleaned(lenient, text) == [text]


def test_chinese_full_stops_end_sentences() -> None:
    pytest.importorskip("rjieba")
    prose = "今天下了一天的雨。我们待在家里。\n没有人来过！外面冷不冷？\n他说很冷。"
    assert cleaned(C4Quality(language="zh"), f"首页 新闻 联系\n{prose}") == [prose]
    assert judged(C4Quality(), prose) == ["too_few_sentences"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One", 1),
        ("One. Two! Three? Four", 4),
        ("Mr. Li paid 3.5 million to St. Mary.", 1),
        ("It was J. Smith of the U.S. Army.", 1),
        ('"Go." he said. "Now!"', 3),
        ("Wait... what? Yes.", 2),
        ("He joined the BBC. It was late.", 2),
        ("No space here.And there.", 2),
        ("今天下雨。我们在家！", 2),
    ],
)
def test_sentences(text: str, sentences: int) -> None:
    assert count_sentences(text) == sentences
