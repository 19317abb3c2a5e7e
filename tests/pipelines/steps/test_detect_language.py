from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.errors import StepError
from pipelines.steps import DetectLanguage
from pipelines.steps.kernel import run_step
from tests.pipelines.steps.languages import PASSAGES, stretches

ENGLISH, GERMAN = (PASSAGES[language].split(". ") for language in ("en", "de"))


def detected(step: DetectLanguage, *texts: str) -> list[dict[str, object]]:
    ids = [str(row) for row in range(len(texts))]
    columns = {"row_id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string())}
    outcome = run_step(step, pa.record_batch(columns))
    rejected = {row["row_id"]: row for row in outcome.rejected.to_pylist()}
    kept = {row["row_id"]: row for row in outcome.kept.to_pylist()}
    return [rejected.get(one) or kept[one] for one in ids]


@pytest.mark.parametrize("language", PASSAGES)
def test_languages_are_told_by_fifty_characters(language: str) -> None:
    texts = list(stretches(language, 50))
    found = detected(DetectLanguage(), *texts)
    wrong = [(row["language"], text) for row, text in zip(found, texts, strict=True) if row["language"] != language]
    assert len(texts) >= 16
    assert 1 - len(wrong) / len(texts) >= 0.97, wrong
    [whole] = detected(DetectLanguage(), PASSAGES[language])
    assert float(str(whole["language_confidence"])) >= 0.65


def test_chinese_japanese_and_korean_are_never_taken_for_one_another() -> None:
    texts = {language: list(stretches(language, 20)) for language in ("zh", "ja", "ko")}
    found = {language: detected(DetectLanguage(), *of) for language, of in texts.items()}
    assert all(len(of) >= 16 for of in texts.values())
    assert {language: {row["language"] for row in rows} for language, rows in found.items()} == {
        "zh": {"zh"},
        "ja": {"ja"},
        "ko": {"ko"},
    }


@pytest.mark.parametrize("text", ["", "12:30", "— !!", "ok"])
def test_what_is_too_short_is_undetermined(text: str) -> None:
    [found] = detected(DetectLanguage(), text)
    assert (found["language"], found["language_confidence"]) == ("und", 0.0)


def test_a_text_in_two_languages_is_of_the_greater_part() -> None:
    found = detected(
        DetectLanguage(), f"{ENGLISH[0]} {GERMAN[0]} {ENGLISH[1]}", f"{GERMAN[0]} {ENGLISH[0]} {GERMAN[1]}"
    )
    assert [row["language"] for row in found] == ["en", "de"]


def test_other_languages_are_rejected_by_name() -> None:
    kept, other, short = detected(DetectLanguage(keep=("en",)), ENGLISH[0], GERMAN[0], "")
    assert kept["language"] == "en"
    assert (other["rule"], other["value"]) == ("other_language", "de")
    assert (short["rule"], short["value"]) == ("too_few_letters", "0")


def test_what_is_too_short_to_tell_is_kept_if_asked() -> None:
    [found] = detected(DetectLanguage(keep=("en", "und"), min_confidence=0), "ok")
    assert found["language"] == "und"


@pytest.mark.parametrize("text", ["酒店位置好，交通方便。早餐一般", "價錢合理，服務好", "送餐特别快，态度也好。辛苦啦"])
def test_short_texts_of_chinese_are_chinese(text: str) -> None:
    [found] = detected(DetectLanguage(keep=("zh",)), text)
    assert found["language"] == "zh"
    assert float(str(found["language_confidence"])) > 0.95


def test_cantonese_is_told_by_itself_where_it_is_named() -> None:
    text = "佢哋喺香港住咗好耐，唔係好鍾意食嘢。"
    assert [row["language"] for row in detected(DetectLanguage(), text)] == ["zh"]
    assert [row["language"] for row in detected(DetectLanguage(keep=("yue",), min_confidence=0), text)] == ["yue"]
    assert [row["language"] for row in detected(DetectLanguage(candidates=("yue", "en")), text)] == ["yue"]


def test_what_is_not_sure_enough_is_rejected() -> None:
    [found] = detected(DetectLanguage(keep=("en", "de"), min_confidence=1.0), ENGLISH[0] + GERMAN[0])
    assert found["rule"] == "unsure_language"


def test_candidates_are_all_that_is_looked_for() -> None:
    [found] = detected(DetectLanguage(candidates=("de", "fr")), ENGLISH[0])
    assert found["language"] in ("de", "fr")
    with pytest.raises(StepError, match=r"no language is known by xx; known: .*\ben\b"):
        DetectLanguage(candidates=("xx",)).apply(pa.record_batch({"row_id": ["a"], "text": ["one"]}))
