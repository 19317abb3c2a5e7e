"""A spec file becomes the pipeline that it says, or one message that names every fault at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import JsonLines, TextFolder
from connectors.secret import Secret
from pipelines import Pipeline, SpecError, load
from pipelines.spec import dump, parse
from pipelines.steps import Deduplicate, MapLabels, NormalizeText, Split, WordCount
from tests.pipelines.sample_plugins import Learn, Shop, Shorten, Window
from training import TextClassifier

SAMPLES = "tests.pipelines.sample_plugins"


def faults_of(text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as raised:
        parse(text, overrides, origin="news.yaml")
    return str(raised.value)


def test_a_file_says_what_python_says(tmp_path: Path) -> None:
    (tmp_path / "news.yaml").write_text(
        f"""
        version: 1
        name: news
        source:
          type: text_folder
          path: articles
          encoding: latin-1
        steps:
          - normalize_text
          - type: word_count
            min: 5
          - type: map_labels
            mapping: {{sport: sports, 1: one}}
          - {{type: deduplicate, conflicts: keep}}
          - split
        train: {SAMPLES}:Learn
        session:
          spark_conf:
            spark.sql.shuffle.partitions: 4
        """
    )
    assert load(tmp_path / "news.yaml") == Pipeline(
        name="news",
        source=TextFolder(path=str(tmp_path / "articles"), encoding="latin-1"),
        steps=(
            NormalizeText(),
            WordCount(min=5),
            MapLabels(mapping={"1": "one", "sport": "sports"}),  # type: ignore[arg-type]
            Deduplicate(conflicts="keep"),
            Split(),
        ),
        train=Learn(),
        session={"spark_conf": {"spark.sql.shuffle.partitions": "4"}},  # type: ignore[arg-type]
    )


def test_relative_paths_start_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "x.yaml").write_text(
        f"name: x\nsource: {{type: '{SAMPLES}:Shop', path: ../data, token: '${{file:token}}'}}\n"
    )
    expected = Shop(path=str(tmp_path / "data"), token=Secret(f"${{file:{tmp_path}/conf/token}}"))
    monkeypatch.chdir(tmp_path)
    assert load("conf/x.yaml").source == expected
    monkeypatch.chdir(tmp_path / "conf")
    assert load("x.yaml").source == expected
    assert load("x.yaml", ["source.path=../data"]).source == expected


def test_python_starts_relative_paths_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("name: x\nsource: {type: text_folder, path: data}\n")
    assert load("x.yaml") == Pipeline(name="x", source=TextFolder(path="data"))


@pytest.mark.parametrize("path", ["package:acme/data", "s3://bucket/data", "/abs/../data"])
def test_paths_that_are_not_relative_stay(path: str) -> None:
    loaded = parse(f"name: x\nsource: {{type: json_lines, path: '{path}'}}\n").source
    assert loaded == JsonLines(path=path)
    assert isinstance(loaded, JsonLines)
    assert loaded.path == (path if ":" in path else "/data")


def test_all_faults_are_told_at_once_each_at_its_place() -> None:
    message = faults_of(
        f"""\
version: 1
name: My News
source:
  type: text_folder
  pth: data
steps:
  - type: word_count
    mn: 3
    max: many
  - dedupe
  - type: deduplicate
    conflicts: rejct
train:
  type: {SAMPLES}:Learn
  epochs: 2.5
sesion: {{}}
session:
  executers: 2
"""
    )
    lines = message.splitlines()
    assert lines[0] == "news.yaml is not a valid spec: 10 faults"
    starts = [
        "  news.yaml:2: name: 'My News' cannot name a pipeline",
        "  news.yaml:3: source.path: missing option 'path' of text_folder; it needs: path",
        "  news.yaml:5: source.pth: unknown option 'pth' of text_folder; did you mean 'path'? known: encoding, glob, ",
        "  news.yaml:8: steps[0].mn: unknown option 'mn' of word_count; did you mean 'min'? known: max, min",
        "  news.yaml:9: steps[0].max: must be a valid integer, not 'many'",
        "  news.yaml:10: steps[1]: unknown step 'dedupe'; did you mean 'deduplicate'? known: ",
        "  news.yaml:12: steps[2].conflicts: must be 'reject' or 'keep', not 'rejct'; did you mean 'reject'?",
        "  news.yaml:15: train.epochs: must be a valid integer, not 2.5",
        "  news.yaml:16: sesion: unknown option 'sesion' of the spec; did you mean 'session'? known: ",
        "  news.yaml:18: session.executers: unknown option 'executers' of session; did you mean 'executors'? known: ",
    ]
    for line, start in zip(lines[1:], starts, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "news.yaml:1: a spec is a mapping with name:, source:, steps: and train: or sink:; it is empty"),
        ("- a", "this is ['a']"),
        ("source: 3", "source: must be the name of a source, or type: and its options, not 3"),
        ("source: {path: x}", "source: a source needs type:; known: archives, arrow, csv, "),
        ("source: {type: 3}", "source.type: must be the name of a source, not 3; known: archives, arrow, csv, "),
        ("steps: split", "steps: must be a list, each item with - in front, not 'split'"),
        (
            "steps: [{word_count: {min: 3}}]",
            "steps[0]: a step needs type:; write type: word_count, and its options",
        ),
        ("steps: [csv]", "steps[0]: unknown step 'csv'; there is a source of that name"),
        ("sink: parquet", "sink.path: missing option 'path' of parquet"),
        (
            "version: 2\nnonsense: 1",
            "news.yaml:1: version: version 2 of the spec is not known here; known: 1;",
        ),
        ("version: '1'", "version: version '1' of the spec is not known here"),
        ("version: true", "version: version True of the spec is not known here"),
        ("name: 5", "name: must be a valid string, not 5; put it in quotes"),
        ("name: x\nname: y", "news.yaml:2: name: the key 'name' is given twice, first in line 1; keep one"),
        ("baselines: perhaps", "baselines: must be a valid boolean, not 'perhaps'"),
        ("source: {}", "source: a source needs type:"),
        ("? [a, b]\n: 1", "news.yaml:1: a key must be plain text"),
        ("steps: &again\n  - *again", "an alias stands inside of what it stands for"),
        (f"train: {SAMPLES}:Learn", "train: training needs a step that splits the rows"),
        (f"steps: [{{type: '{SAMPLES}:Halve', share: 0.4}}]", "steps[0]: a half is 0.5"),
    ],
)
def test_a_fault_says_where_what_and_what_to_do(text: str, fault: str) -> None:
    assert fault in faults_of(text)


def test_an_unknown_version_is_the_only_fault_told() -> None:
    assert "nonsense" not in faults_of("version: 2\nnonsense: 1")


def test_what_does_not_fit_together_is_told_beside_faults_of_options() -> None:
    message = faults_of(
        f"name: x\nsteps: [{{type: word_count, mn: 1}}]\ntrain: {SAMPLES}:Learn\nsink: {{type: parquet, path: out}}\n"
    )
    assert message.splitlines()[0].endswith(": 3 faults")
    assert "news.yaml:2: steps[0].mn" in message
    assert "news.yaml:3: train: training needs a step that splits" in message
    assert "news.yaml:4: sink: a pipeline ends in train: or in sink:, not in both" in message


def test_a_step_that_is_not_known_may_be_the_one_that_splits() -> None:
    assert "training needs" not in faults_of(f"name: x\nsteps: [splitt]\ntrain: {SAMPLES}:Learn\n")


def test_a_fault_inside_an_option_is_told_once_and_at_its_place() -> None:
    message = faults_of(
        f"""\
name: x
steps:
  - type: {SAMPLES}:Shorten
    size: large
    window:
      width: wide
      strid: 2
  - type: map_labels
    mapping:
      good: [1]
"""
    )
    assert "1: size" not in message
    assert "news.yaml:4: steps[0].size: must be a valid integer, or must be 'auto', not 'large'" in message
    assert "news.yaml:6: steps[0].window.width: must be a valid integer, not 'wide'" in message
    assert "news.yaml:7: steps[0].window.strid: unknown option 'strid' of window; did you mean 'stride'?" in message
    assert "news.yaml:10: steps[1].mapping" in message or "news.yaml:9: steps[1].mapping" in message


@pytest.mark.parametrize("given", ["hunter2", "12345", "[hunter2]"])
def test_what_may_be_a_secret_is_never_shown(given: str) -> None:
    shop = f"{{type: '{SAMPLES}:Shop', path: x, token: {given}}}"
    text = f"name: x\nsource: {shop}\nsession: {{spark_conf: {{password: {given}}}}}"
    message = faults_of(text, f"source.token={given}")
    assert "source.token" in message
    assert "session.spark_conf" in message
    assert given.strip("[]") not in message


def test_many_faults_stay_within_a_screen() -> None:
    message = faults_of("name: x\nsteps:\n" + "  - wrong\n" * 100)
    assert len(message.splitlines()) <= 35
    assert message.endswith("… and 70 more")


def test_sections_may_be_left_empty() -> None:
    assert parse("name: x\nsource:\nsteps:\ntrain:\nsink:\n") == Pipeline(name="x")


@settings(max_examples=50)
@given(
    st.lists(
        st.builds(WordCount, min=st.integers(0, 9))
        | st.builds(Shorten, at=st.integers(1, 99), window=st.none() | st.builds(Window, width=st.integers()))
        | st.builds(MapLabels, mapping=st.dictionaries(st.text(), st.none() | st.text(), min_size=1, max_size=3)),
        max_size=4,
    )
)
def test_a_dumped_pipeline_loads_as_an_equal_one(steps: list[Any]) -> None:
    pipeline = Pipeline(name="x", steps=tuple(steps))
    assert parse(dump(pipeline)) == pipeline


def test_an_encoder_that_is_a_directory_starts_from_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "models" / "mini").mkdir(parents=True)

    def encoder(name: str) -> object:
        text = f"name: x\nsteps: [split]\ntrain: {{type: text_classifier, encoder: {name}}}"
        trainer = parse(text, base_directory=tmp_path).train
        assert isinstance(trainer, TextClassifier)
        return trainer.encoder

    assert encoder("models/mini") == str(tmp_path / "models" / "mini")
    assert encoder("./none") == str(tmp_path / "none")
    assert encoder("sentence-transformers/all-MiniLM-L6-v2") == "sentence-transformers/all-MiniLM-L6-v2"
    assert encoder("package:acme/model") == "package:acme/model"


def test_a_fault_of_one_member_of_a_union_is_told_and_not_that_it_is_no_other() -> None:
    message = faults_of(
        "name: x\nsteps: [split]\ntrain:\n  type: text_classifier\n  frozen: false\n"
        "  encoder:\n    layrs: 2\n    width: wide\n"
    )
    assert message.splitlines()[0].endswith(": 2 faults")
    assert "news.yaml:7: train.encoder.layrs: unknown option 'layrs' of encoder; did you mean 'layers'?" in message
    assert "news.yaml:8: train.encoder.width: must be a valid integer, not 'wide'" in message
    other = faults_of("name: x\nsteps: [split]\ntrain: {type: text_classifier, encoder: 3}")
    assert "train.encoder: must be a valid string, or must be a mapping, not 3" in other
