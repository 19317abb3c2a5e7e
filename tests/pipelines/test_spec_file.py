"""The text of a spec is read with its places, told where it is not YAML, and written so that it reads back the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import Pipeline, SpecError, load
from pipelines.spec import parse
from pipelines.spec_file import Fault, Place, read_yaml, show_path, write_yaml
from pipelines.steps import MapLabels, Split, WordCount


def test_every_key_and_item_has_its_line() -> None:
    document = read_yaml("a: 1\nb:\n  - c\n  - d:\n      e: 2\n", "x.yaml")
    assert str(document.place(("b", 1, "d", "e"))) == "x.yaml:5"
    assert str(document.place(("b", 1))) == "x.yaml:4"
    assert str(document.place(("b", 0, "not", "there"))) == "x.yaml:3"
    assert str(document.place(("z",))) == "x.yaml:1"


def test_every_key_that_is_given_twice_is_found() -> None:
    document = read_yaml("a: 1\nb: {c: 1, c: 2}\na: 3\n", "x.yaml")
    assert [str(fault) for fault in document.faults] == [
        "x.yaml:2: b.c: the key 'c' is given twice, first in line 2; keep one",
        "x.yaml:3: a: the key 'a' is given twice, first in line 1; keep one",
    ]


def test_a_path_is_shown_as_it_is_written_in_an_override() -> None:
    assert show_path(("steps", 2, "min")) == "steps[2].min"
    assert show_path(("session", "spark_conf", "a.b")) == 'session.spark_conf["a.b"]'
    assert str(Fault(Place(0, "--set x"), (), "no")) == "--set x: no"


def faults_of(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as raised:
        parse(text, overrides, origin="news.yaml")
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [a\nsteps: 3", "news.yaml:2:6: this is not YAML: expected ',' or ']'"),
        ("name: x\n\tsteps: 3", "indent with spaces, not with tabs\n     2 | →steps: 3\n       | ^"),
        (
            "name: x: y",
            "news.yaml:1:8: this is not YAML: mapping values are not allowed here; look for a ': '",
        ),
        ("name: 'x\n", "that begins in line 1"),
        ("name: a\x07b", "news.yaml:1:8: this is not YAML: the character '\\x07' is not allowed"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("name: *nobody", "undefined alias"),
        ("name: !!python/object/apply:os.system [ls]", "a spec is plain data: remove the tag"),
    ],
)
def test_a_syntax_error_shows_the_line_and_the_column(text: str, said: str) -> None:
    message = faults_of(text)
    assert said in message
    assert " | " in message


def test_anchors_and_merge_keys_are_yaml_too() -> None:
    text = "name: x\nsteps:\n  - &count {type: word_count, min: 3}\n  - {<<: *count, max: 9}\n"
    assert parse(text).steps == (WordCount(min=3), WordCount(min=3, max=9))


def test_words_that_older_yaml_took_for_booleans_are_words() -> None:
    text = "name: x\nsteps: [{type: map_labels, mapping: {no: yes, on: off}}]"
    assert parse(text).steps == (MapLabels(mapping={"no": "yes", "on": "off"}),)  # type: ignore[arg-type]


def test_a_missing_file_is_told_with_its_likes(tmp_path: Path) -> None:
    (tmp_path / "news.yaml").write_text("name: x")
    with pytest.raises(SpecError, match=r"the spec .*new\.yaml does not exist; did you mean 'news\.yaml'\?"):
        load(tmp_path / "new.yaml")
    with pytest.raises(SpecError, match=r"is a directory, not a spec; .* holds: news\.yaml"):
        load(tmp_path)
    with pytest.raises(SpecError, match=r"does not exist; .* holds no \.yaml file"):
        load(tmp_path / "nowhere" / "x.yaml")


def test_a_file_in_another_encoding_is_told_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes("name: x\n# größe\n".encode("latin-1"))
    with pytest.raises(SpecError, match=r"x\.yaml:2: this is not UTF-8 \(byte 0xf6\)"):
        load(tmp_path / "x.yaml")


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes("\ufeffname: x\r\nsteps:\r\n  - split\r\n".encode())
    assert load(tmp_path / "x.yaml") == Pipeline(name="x", steps=(Split(),))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=1), PLAIN, max_size=4))
def test_plain_data_comes_back_from_yaml_as_it_was(document: dict[str, Any]) -> None:
    read = read_yaml(write_yaml(document), "x")
    assert read.value == (document or {})
    assert read.faults == ()
