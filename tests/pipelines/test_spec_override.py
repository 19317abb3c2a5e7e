"""Values from the command line take the place of those in the file, and their faults are told alike."""

from __future__ import annotations

import pytest

from connectors import ParquetSink
from pipelines import Pipeline, SpecError
from pipelines.spec import parse
from pipelines.steps import NormalizeText, Split, WordCount
from tests.pipelines.sample_plugins import Learn

TEXT = """\
name: x
steps:
  - normalize_text
  - type: word_count
    min: 1
    max: 9
  - split
train: tests.pipelines.sample_plugins:Learn
"""


def overridden(*overrides: str) -> Pipeline:
    return parse(TEXT, overrides, origin="x.yaml")


def faults_of(*overrides: str) -> str:
    with pytest.raises(SpecError) as raised:
        overridden(*overrides)
    return str(raised.value)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["name=other"], {"name": "other"}),
        (["train.epochs=7"], {"train": Learn(epochs=7)}),
        (["train=null", "steps=null"], {"train": None, "steps": ()}),
        (["train=", "sink={type: parquet, path: /out}"], {"train": None, "sink": ParquetSink(path="/out")}),
        (
            ["train=null", "sink.path=/out", "sink.type=parquet"],
            {"train": None, "sink": ParquetSink(path="/out")},
        ),
        (["baselines=false"], {"baselines": False}),
    ],
)
def test_a_value_takes_the_place_of_the_files(overrides: list[str], expected: dict[str, object]) -> None:
    assert overridden(*overrides) == overridden().model_copy(update=expected)


@pytest.mark.parametrize("key", ["steps[1].min", "steps.word_count.min", "steps[1]['min']"])
def test_a_step_is_named_by_position_or_by_type(key: str) -> None:
    assert overridden(f"{key}=4").steps == (NormalizeText(), WordCount(min=4, max=9), Split())


def test_a_step_that_is_written_as_a_bare_name_takes_options() -> None:
    assert overridden("steps.split.test=0.3").steps[2] == Split(test=0.3)


def test_the_later_override_wins() -> None:
    assert overridden("train.epochs=7", "train.epochs=8").train == Learn(epochs=8)


def test_a_key_with_dots_is_quoted() -> None:
    pipeline = overridden('session.spark_conf["spark.sql.shuffle.partitions"]=4')
    assert pipeline.session.spark_conf == (("spark.sql.shuffle.partitions", "4"),)


def test_a_value_may_hold_an_equals_sign() -> None:
    assert overridden("session.spark_conf.a=b=c").session.spark_conf == (("a", "b=c"),)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("train.epochs=x", "--set train.epochs: train.epochs: must be a valid integer, not 'x'"),
        (
            "train.epoch=3",
            "--set train.epoch: train.epoch: unknown option 'epoch' of tests.pipelines.sample_plugins:Learn",
        ),
        (
            "steps.word_count.mn=3",
            "--set steps.word_count.mn: steps[1].mn: unknown option 'mn' of word_count",
        ),
        (
            "steps.wordcount.min=3",
            "no item of steps is of type 'wordcount'; did you mean 'word_count'? there is: ",
        ),
        ("steps[3].min=3", "steps has 3 items, so the last is steps[2]"),
        ("name.x=3", "name is one plain value, and has nothing inside that could be set"),
        ("train[0]=3", "train is one plain value, and has nothing inside that could be set"),
        ("session[0]=3", "session is no list, so it has no position [0]"),
        (
            "trian.epochs=3",
            "--set trian.epochs: trian: unknown option 'trian' of the spec; did you mean 'train'?",
        ),
        ("train.epochs", "--set train.epochs: this is not an override; write key=value, like train.epochs=3"),
        ("=3", "this is not an override"),
        ("train..epochs=3", "this is not an override"),
        ("train.epochs=[1", "--set train.epochs: the value is not YAML: "),
        ("version=2", "--set version: version: version 2 of the spec is not known here"),
    ],
)
def test_a_fault_names_the_override(override: str, fault: str) -> None:
    assert fault in faults_of(override)


def test_a_type_that_occurs_twice_must_be_named_by_position() -> None:
    with pytest.raises(SpecError, match=r"2 items of steps are of type 'split'; write steps\[0\] or steps\[1\]"):
        parse("name: x\nsteps: [split, split]", ["steps.split.test=0.1"])


def test_faults_of_overrides_come_after_those_of_the_file() -> None:
    with pytest.raises(SpecError) as raised:
        parse(TEXT.replace("max: 9", "mx: 9"), ["foo", "train.epochs=x"], origin="x.yaml")
    lines = str(raised.value).splitlines()
    assert [line.split(": ")[0].strip() for line in lines[1:]] == [
        "x.yaml:6",
        "--set foo",
        "--set train.epochs",
    ]


def test_an_override_stands_in_for_what_the_file_has_wrong() -> None:
    assert parse("name: My News", ["name=news"]).name == "news"
