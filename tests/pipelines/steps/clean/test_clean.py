"""The steps that clean texts: what they change, and what they leave alone."""

from __future__ import annotations

import sys

import pyarrow as pa
import pytest

from pipelines.errors import StepError
from pipelines.steps import Lowercase, NormalizeUrls, RowStep, SimplifyChinese, StripHtml
from tests.pipelines.steps.applied import applied, rules_of, texts_of


def test_letters_become_small() -> None:
    assert texts_of(Lowercase(), "Straße ÉTÉ ΣΑΣ", "中文", "") == ["straße été σασ", "中文", ""]
    assert texts_of(Lowercase(mapping="fold"), "Straße", "ΣΑΣ") == ["strasse", "σασ"]


def test_traditional_characters_are_simplified_by_phrase() -> None:
    assert texts_of(SimplifyChinese(), "漢字轉換", "plain", "乾燥的頭髮，乾坤") == [
        "汉字转换",
        "plain",
        "干燥的头发，乾坤",
    ]
    assert texts_of(SimplifyChinese(variant="tw2sp"), "滑鼠") == ["鼠标"]
    assert applied(SimplifyChinese(), ["漢字", "汉字", "plain"]).counts == {"simplified": 1}


def test_without_opencc_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.steps.clean import simplify_chinese

    monkeypatch.setitem(sys.modules, "opencc", None)
    simplify_chinese._converter.cache_clear()
    with pytest.raises(StepError, match=r"pip install .headrace\[chinese\]"):
        SimplifyChinese().apply(pa.record_batch({"row_id": ["a"], "text": ["漢"]}))


PAGE = """<!doctype html><html><head><title>T</title><style>p {color: red}</style></head><body>
<nav><a href="/">Home</a></nav><p>Fish &amp; chips</p><ul><li>one</li><li>two</li></ul><script>f()</script><!-- no -->
</body></html>"""


def test_what_is_seen_of_a_page_is_left() -> None:
    (text,) = texts_of(StripHtml(), PAGE)
    assert [line.strip() for line in text.splitlines() if line] == ["Home", "Fish & chips", "one", "two"]
    (main,) = texts_of(StripHtml(keep="main_content"), PAGE)
    assert "Home" not in main
    assert "Fish & chips" in main


def test_what_is_no_page_stays_as_it_is() -> None:
    plain = ["3 < 4 and 5 > 2", "a\n\n  b", "", "x <- y", "AT&T"]
    assert texts_of(StripHtml(), *plain) == plain
    assert texts_of(StripHtml(), "caf&eacute;") == ["café"]


def test_a_page_of_nothing_and_one_too_deep_are_rejected() -> None:
    outcome = applied(StripHtml(), ["<p></p>", "<div>" * 2000 + "x", "<b>ok</b>"])
    assert outcome.kept.column("text").to_pylist() == ["ok"]
    found = rules_of(outcome)
    assert found["a"] == ("empty_text", "<p></p>")
    assert found["b"][0] == "too_deep"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("See HTTP://Example.COM:80/a/B?utm_source=x&q=1#top.", "See http://example.com/a/B?q=1."),
        ("https://example.com", "https://example.com/"),
        ("(https://en.wikipedia.org/wiki/Mill_(grinding))", "(https://en.wikipedia.org/wiki/Mill_(grinding))"),
        ("WWW.Example.com/x?fbclid=1", "www.example.com/x"),
        ("http://u:p@Host:8080/", "http://u:p@host:8080/"),
        ("http://[2001:DB8::1]:443/x", "http://[2001:db8::1]:443/x"),
        ("访问https://例子.cn，谢谢", "访问https://例子.cn，谢谢"),
        ("http://[bad", "http://[bad"),
        ("http://host:99999999/", "http://host:99999999/"),
        ("no address: httpx and wwwx", "no address: httpx and wwwx"),
        ("https://a.b/?q=a%20b&c=%C3%A9", "https://a.b/?q=a%20b&c=%C3%A9"),
    ],
)
def test_addresses_are_written_in_one_way(given: str, expected: str) -> None:
    assert texts_of(NormalizeUrls(), given) == [expected]
    assert texts_of(NormalizeUrls(), expected) == [expected]


def test_addresses_are_replaced_and_counted() -> None:
    text = "a https://x.org/1, b (www.y.org)."
    outcome = applied(NormalizeUrls(replace_with="placeholder"), [text, "none"])
    assert outcome.kept.column("text").to_pylist() == ["a <URL>, b (<URL>).", "none"]
    assert outcome.counts == {"url": 2}
    assert texts_of(NormalizeUrls(replace_with="none"), text) == ["a , b ()."]


@pytest.mark.parametrize("step", [Lowercase(), NormalizeUrls(), SimplifyChinese(), StripHtml()])
def test_no_rows_and_other_columns_are_fine(step: RowStep) -> None:
    outcome = applied(step, [], n=pa.array([], pa.int64()))
    assert outcome.kept.schema.names == ["row_id", "text", "n"]
    assert step.input_columns(frozenset({"n"})) == {"n"}
    kept = applied(step, ["a", "b"], n=pa.array([1, 2])).kept
    assert kept.column("n").to_pylist() == [1, 2]
