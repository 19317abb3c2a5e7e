"""Rows that are easy to tell apart, and an encoder small enough to make on the fly."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import torch
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
    tokenizer = learn_tokenizer(
        ScratchEncoder(vocabulary=200, tokenizer="wordpiece"), sample_table(60)["text"].to_pylist()
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
