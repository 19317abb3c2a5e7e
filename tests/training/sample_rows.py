"""Rows that are easy to tell apart, and an encoder small enough to make on the fly."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pyarrow as pa
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from training.encoder import ScratchEncoder, learn_tokenizer

_WORDS = {
    "sport": ("match", "goal", "team", "coach", "league"),
    "money": ("bank", "shares", "profit", "market", "tax"),
}


def sample_table(rows: int, *, first: int = 0) -> pa.Table:
    """Rows that alternate between two labels, each text of words that only its label uses, of different lengths."""
    labels = [("sport", "money")[number % 2] for number in range(first, first + rows)]
    texts = [
        " ".join(_WORDS[label][(number + step) % 5] for step in range(2 + number % 7))
        for number, label in enumerate(labels, start=first)
    ]
    return pa.table({"row_id": [f"r{number}" for number in range(first, first + rows)], "text": texts, "label": labels})


def tiny_encoder_files(directory: Path) -> Path:
    tokenizer = _with_fixed_pieces(
        learn_tokenizer(ScratchEncoder(vocabulary=200, tokenizer="wordpiece"), sample_table(60)["text"].to_pylist())
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(directory)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(directory)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (directory / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (directory / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    return directory


def _with_fixed_pieces(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with pieces that are the same each time; which ones are learnt differs from run to run."""
    described = json.loads(tokenizer.to_str())
    special = [token["content"] for token in sorted(described["added_tokens"], key=lambda token: token["id"])]
    letters = [prefix + letter for prefix in ("", "##") for letter in string.ascii_lowercase]
    words = [word for of_label in _WORDS.values() for word in of_label]
    described["model"]["vocab"] = {piece: number for number, piece in enumerate([*special, *letters, *words])}
    return Tokenizer.from_str(json.dumps(described))
