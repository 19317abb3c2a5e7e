"""A bundle takes raw texts through the row steps to the model, and loads as it was saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import SpecError
from pipelines.bundle import Bundle, Prediction, scoring_steps
from pipelines.errors import BundleError
from pipelines.steps import ArrowFunction, Deduplicate, MapLabels, NormalizeText, Split, WordCount
from tests.pipelines.sample_bundle import tiny_bundle
from training.errors import ModelError

TEXTS = ["a goal by the team", "profit", "  the bank's\tshares ", ""]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("encoder"))


def test_every_text_is_answered_in_order_and_a_rejected_one_with_the_reason(bundle: Bundle) -> None:
    found = bundle.predict(TEXTS)

    assert [one.rejected for one in found] == [None, "word_count: too_few_words", None, "normalize_text: empty_text"]
    assert [one.label is None for one in found] == [False, True, False, True]
    assert found[1] == Prediction(None, {}, "word_count: too_few_words")
    assert list(found[0].probabilities) == ["money", "sport"]
    assert sum(found[0].probabilities.values()) == pytest.approx(1.0)
    assert found[0].label == max(found[0].probabilities, key=lambda label: found[0].probabilities[label])


def test_texts_are_prepared_before_the_model_sees_them(bundle: Bundle) -> None:
    raw, prepared = bundle.predict(["  the bank's\tshares ", "the bank's shares"])

    assert (raw.label, raw.rejected) == (prepared.label, prepared.rejected)
    # Equal texts are two rows of a batch, which a processor's kernels may sum in different orders.
    assert raw.probabilities == pytest.approx(prepared.probabilities)


def test_no_text_and_none_that_passes_are_answered_too(bundle: Bundle) -> None:
    assert bundle.predict([]) == []
    assert [one.label for one in bundle.predict(["", "x"])] == [None, None]


def test_a_saved_bundle_says_the_same_when_loaded(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "deep" / "bundle")
    loaded = Bundle.load(tmp_path / "deep" / "bundle")

    assert (loaded.pipeline, loaded.steps) == (bundle.pipeline, bundle.steps)
    assert [one.label for one in loaded.predict(TEXTS)] == [one.label for one in bundle.predict(TEXTS)]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["bundle"]
    assert not list((tmp_path / "deep").rglob("*.pkl"))


def test_a_bundle_is_never_written_over_another(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()

    with pytest.raises(BundleError, match="exists already"):
        bundle.save(tmp_path / "bundle")


def test_a_step_that_no_other_process_could_import_is_refused_and_leaves_nothing(
    bundle: Bundle, tmp_path: Path
) -> None:
    nameless = Bundle("news", (ArrowFunction(function=lambda batch: batch),), bundle.model)

    with pytest.raises(SpecError, match=r"steps\[0\]\.function"):
        nameless.save(tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_what_is_no_bundle_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is no bundle: it has no pipeline\.yaml"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("text", ["name: [x", "name: x\nsteps: [no_such_step]"])
def test_a_bundle_whose_steps_cannot_be_read_is_damaged(bundle: Bundle, tmp_path: Path, text: str) -> None:
    bundle.save(tmp_path / "bundle")
    (tmp_path / "bundle" / "pipeline.yaml").write_text(text)

    with pytest.raises(BundleError, match=r"the steps of the bundle .* cannot be read"):
        Bundle.load(tmp_path / "bundle")


def test_a_bundle_without_its_weights_is_damaged(bundle: Bundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "bundle")
    next((tmp_path / "bundle" / "model").glob("*.safetensors")).unlink()

    with pytest.raises(ModelError):
        Bundle.load(tmp_path / "bundle")


def test_steps_about_labels_and_tables_have_no_part_in_scoring() -> None:
    steps = (NormalizeText(), MapLabels(mapping={"a": "b"}), Deduplicate(), WordCount(), Split())  # type: ignore[arg-type]

    assert scoring_steps(steps) == (NormalizeText(), WordCount())
