from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from training.encoder import load_encoder
from training.errors import EncoderError, ModelError
from training.model import DESCRIPTION, TOKENIZER, VERSION, WEIGHTS, Model, load_head

TEXTS = ["a goal", "the bank's shares and its profit", "", "match team coach league goal match team coach"]


@pytest.fixture
def model(tiny_encoder: Path) -> Model:
    encoder = load_encoder(str(tiny_encoder))
    return Model.assemble(encoder, labels=("money", "sport"), max_length=12, dropout=0.1, seed=3)


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    model.save(tmp_path / "deep" / "model")
    return tmp_path / "deep" / "model"


def test_a_saved_model_says_the_same_when_loaded(model: Model, saved: Path) -> None:
    before, after = model.predict(TEXTS), Model.load(saved).predict(TEXTS)
    assert np.array_equal(before.probabilities, after.probabilities)
    assert after.labels == ("money", "sport")
    assert after.predicted == before.predicted


def test_a_saved_model_is_safetensors_and_json_and_whole_in_itself(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [DESCRIPTION, TOKENIZER, WEIGHTS]
    assert [path.name for path in saved.parent.iterdir()] == ["model"]
    assert json.loads((saved / DESCRIPTION).read_text("utf-8"))["version"] == VERSION


def test_probabilities_add_up_and_do_not_depend_on_the_batch(model: Model) -> None:
    found = model.predict(TEXTS)
    assert found.probabilities.dtype == np.float32
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(4))
    alone = np.concatenate([model.predict([text]).probabilities for text in TEXTS])
    assert found.probabilities == pytest.approx(alone, abs=1e-6)
    assert model.predict(TEXTS, batch_size=1).probabilities == pytest.approx(alone, abs=1e-6)


def test_no_texts_give_no_predictions(model: Model) -> None:
    found = model.predict([])
    assert found.probabilities.shape == (0, 2)
    assert found.predicted == ()


def test_texts_are_cut_to_the_longest_allowed(model: Model) -> None:
    assert [len(tokens) <= 12 for tokens in model.tokenize(["goal " * 50, "goal"])] == [True, True]
    assert model.predict(["goal " * 50]).probabilities == pytest.approx(model.predict(["goal " * 60]).probabilities)


def test_a_length_that_the_encoder_cannot_take_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(EncoderError, match="max_length 65 is more than this encoder can take: 64 tokens"):
        Model.assemble(load_encoder(str(tiny_encoder)), labels=("a", "b"), max_length=65, dropout=0.0, seed=0)


def test_a_model_travels_between_processes(model: Model) -> None:
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(TEXTS).probabilities, model.predict(TEXTS).probabilities)


def test_the_head_can_be_read_without_the_encoder(model: Model, saved: Path) -> None:
    head, labels = load_head(saved)
    assert labels == model.labels
    assert np.array_equal(head.linear.weight.detach().numpy(), model.network.head.linear.weight.detach().numpy())


def test_nothing_is_written_over_what_is_there(model: Model, saved: Path) -> None:
    with pytest.raises(ModelError, match="exists already"):
        model.save(saved)


def test_a_directory_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"there is no model in {tmp_path}"):
        Model.load(tmp_path)


@pytest.mark.parametrize("name", [TOKENIZER, WEIGHTS])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ModelError, match=f"{name} cannot be read"):
        Model.load(saved)


@pytest.mark.parametrize("name", [TOKENIZER, WEIGHTS])
def test_a_damaged_file_is_named(saved: Path, name: str) -> None:
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(bytes(content))
    with pytest.raises(ModelError, match=f"{name} is damaged.*restore the model from a copy"):
        Model.load(saved)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": VERSION + 1}, f"of version {VERSION + 1}, and this headrace reads up to {VERSION}; upgrade"),
        ({"version": None}, "it has no version"),
        ({"files": None}, "does not list its files"),
        ({"labels": ["a", "b", "c"]}, "does not fit together"),
        ({"encoder": {"model_type": "hovercraft"}}, "does not fit together"),
        ({"network": {}}, "does not fit together"),
    ],
)
def test_a_description_that_cannot_be_used_says_why(saved: Path, change: dict[str, object], told: str) -> None:
    described = json.loads((saved / DESCRIPTION).read_text("utf-8"))
    (saved / DESCRIPTION).write_text(json.dumps({**described, **change}), encoding="utf-8")
    with pytest.raises(ModelError, match=told):
        Model.load(saved)


def test_a_description_that_is_not_json_is_named(saved: Path) -> None:
    (saved / DESCRIPTION).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=f"{DESCRIPTION} cannot be read"):
        Model.load(saved)
