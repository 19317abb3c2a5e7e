"""A trained classifier: takes prepared text, needs neither Ray nor Spark, is saved as safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from tokenizers import Tokenizer

from training.encoder import Encoder, build_module, describe_module
from training.errors import EncoderError, ModelError
from training.network import Head, Network, pad

VERSION = 1
"""The version of the files that are written; a reader refuses versions that are newer than its own."""

DESCRIPTION, TOKENIZER, WEIGHTS = "model.json", "tokenizer.json", "weights.safetensors"

BATCH_ROWS = 32
"""Texts that go through the encoder together: enough to fill a CPU's cores, few enough to stay within its caches."""


@dataclass(frozen=True)
class Predictions:
    """What a model says of some texts.

    Attributes:
        labels: the classes, in the order of the columns of `probabilities`.
        probabilities: float32 ``[texts, classes]``, each row adding up to one.
        predicted: the likeliest class of each text.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]

    @property
    def predicted(self) -> tuple[str, ...]:
        """The likeliest class of each text."""
        return tuple(self.labels[position] for position in self.probabilities.argmax(axis=1))


class Model:
    """A text classifier: tokenizer, encoder, head and labels, all in one."""

    def __init__(
        self, network: Network, tokenizer: Tokenizer, *, labels: tuple[str, ...], max_length: int, pad_id: int
    ):
        """Put a model together from its parts; `assemble` makes a fresh one.

        Args:
            network: encoder and head; the head has one output a label.
            tokenizer: the encoder's; truncation and padding set in it are overridden.
            labels: the classes, in the order of the head's outputs.
            max_length: tokens of a text that are looked at, special ones included.
            pad_id: the id that fills up short texts.
        """
        self.network = network.eval()
        self.labels = labels
        self.max_length = max_length
        self.pad_id = pad_id
        self.hidden_id = _hidden_id(tokenizer, pad_id)
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.no_padding()

    @classmethod
    def assemble(
        cls, encoder: Encoder, *, labels: tuple[str, ...], max_length: int, dropout: float, seed: int
    ) -> Model:
        """Return an encoder with an untrained head; the same seed gives the same head.

        Raises:
            EncoderError: `max_length` is more than the encoder can take.
        """
        if encoder.positions is not None and max_length > encoder.positions:
            raise EncoderError(
                f"max_length {max_length} is more than this encoder can take: {encoder.positions} tokens; lower it to "
                "that or less, or choose another encoder"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = Head(encoder.width, len(labels), dropout)
        network = Network(encoder.module, head, encoder.pooling, encoder.normalize)
        return cls(network, encoder.tokenizer, labels=labels, max_length=max_length, pad_id=encoder.pad_id)

    def tokenize(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Return the token ids of each text, at most `max_length` of them."""
        return [np.array(found.ids, dtype=np.int32) for found in self._tokenizer.encode_batch(list(texts))]

    def embed(self, texts: Sequence[str], batch_size: int = BATCH_ROWS) -> NDArray[np.float32]:
        """Return the vectors that the head sees, float32 ``[texts, width]``."""
        return self._through(texts, batch_size, self.network.head.norm.normalized_shape[0], head=False)

    def predict(self, texts: Sequence[str], batch_size: int = BATCH_ROWS) -> Predictions:
        """Classify texts, which must be prepared as the training texts were.

        Args:
            texts: any number of them, none included.
            batch_size: how many go through the encoder at once; bears on speed and memory only.
        """
        logits = self._through(texts, batch_size, len(self.labels), head=True)
        return Predictions(self.labels, torch.from_numpy(logits).softmax(dim=1).numpy())

    def save(self, directory: Path) -> None:
        """Write the model to a new directory, all of it or nothing.

        Raises:
            ModelError: there is something at that place already, or it cannot be written.
        """
        directory = Path(directory)
        if directory.exists():
            raise ModelError(
                f"{directory} exists already, and a model is never written over another; name a new directory"
            )
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
            try:
                self._write(unfinished)
                unfinished.chmod(0o755)
                os.rename(unfinished, directory)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        except OSError as error:
            raise ModelError(f"the model cannot be written to {directory}: {error}") from error

    @classmethod
    def load(cls, directory: Path) -> Model:
        """Read a model that `save` wrote.

        Raises:
            ModelError: a file is missing or damaged, or was written by a newer version of headrace.
        """
        directory = Path(directory)
        described = _described(directory)
        contents = {name: _verified(directory / name, digest) for name, digest in described["files"].items()}
        try:
            options = described["network"]
            head = Head(options["width"], len(described["labels"]), options["dropout"])
            module = build_module(described["encoder"])
            network = Network(module, head, options["pooling"], options["normalize"])
            network.load_state_dict(load(contents[WEIGHTS]))
            tokenizer = Tokenizer.from_str(contents[TOKENIZER].decode("utf-8"))
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, EncoderError) as error:
            raise ModelError(
                f"the model in {directory} does not fit together: {type(error).__name__}: {error}; it was edited, or "
                "written by other versions of the libraries; train it again or restore it from a copy"
            ) from error
        return cls(
            network,
            tokenizer,
            labels=tuple(described["labels"]),
            max_length=described["max_length"],
            pad_id=options["pad_id"],
        )

    def _through(self, texts: Sequence[str], batch_size: int, width: int, *, head: bool) -> NDArray[np.float32]:
        tokens = self.tokenize(texts)
        # Texts of like length go together, so that little of a batch is padding.
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        found = np.zeros((len(tokens), width), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                ids, mask = pad([tokens[row] for row in rows], self.pad_id)
                found[rows] = (self.network(ids, mask) if head else self.network.embed(ids, mask)).numpy()
        return found

    def _write(self, directory: Path) -> None:
        (directory / TOKENIZER).write_text(self._tokenizer.to_str(), encoding="utf-8")
        weights = {name: value.contiguous().clone() for name, value in self.network.state_dict().items()}
        save_file(weights, str(directory / WEIGHTS))
        description: dict[str, Any] = {
            "version": VERSION,
            "labels": list(self.labels),
            "max_length": self.max_length,
            "network": {
                "pooling": self.network.pooling,
                "normalize": self.network.normalize,
                "width": self.network.head.norm.normalized_shape[0],
                "dropout": self.network.head.dropout.p,
                "pad_id": self.pad_id,
            },
            "encoder": describe_module(self.network.encoder),
            "files": {name: _digest((directory / name).read_bytes()) for name in (TOKENIZER, WEIGHTS)},
        }
        (directory / DESCRIPTION).write_text(
            json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def load_head(directory: Path) -> tuple[Head, tuple[str, ...]]:
    """Read the head and the labels of a saved model, and leave the encoder on the disk.

    Raises:
        ModelError: as `Model.load`.
    """
    described = _described(directory)
    head = Head(described["network"]["width"], len(described["labels"]), described["network"]["dropout"])
    with safe_open(str(directory / WEIGHTS), framework="pt") as weights:
        head.load_state_dict({name: weights.get_tensor(f"head.{name}") for name in head.state_dict()})
    return head, tuple(described["labels"])


def _hidden_id(tokenizer: Tokenizer, pad_id: int) -> int:
    """Return the id that stands for a token one cannot see: the mask where the encoder knows one, else the unknown."""
    found = (tokenizer.token_to_id(token) for token in ("[MASK]", "<mask>", "[UNK]", "<unk>"))
    return next((number for number in found if number is not None), pad_id)


def _described(directory: Path) -> dict[str, Any]:
    path = directory / DESCRIPTION
    try:
        described: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"there is no model in {directory}: {DESCRIPTION} is missing; give the directory that a model was saved to"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}; train the model again or restore it from a copy") from error
    version = described.get("version") if isinstance(described, dict) else None
    if not isinstance(version, int):
        raise ModelError(f"{path} is not the description of a model: it has no version; restore it from a copy")
    if version > VERSION:
        raise ModelError(
            f"{path} is of version {version}, and this headrace reads up to {VERSION}; upgrade headrace "
            "to use this model"
        )
    if not isinstance(described.get("files"), dict):
        raise ModelError(
            f"{path} is damaged: it does not list its files; train the model again or restore it from a copy"
        )
    return described


def _verified(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}; restore the model from a copy, or train it again") from error
    if _digest(content) != digest:
        raise ModelError(
            f"{path} is damaged: it is not the file that was saved ({len(content):,} bytes, another checksum); restore "
            "the model from a copy, or train it again"
        )
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
