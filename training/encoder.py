"""Naming, loading and learning encoders and their tokenizers; nowhere else are they touched."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from tokenizers import Tokenizer

from training.errors import EncoderError
from training.pooling import Pooling, sentence_options

if TYPE_CHECKING:
    from torch import nn

PACKAGE = "package:"

_Read = TypeVar("_Read")

_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_CONFIG = "config.json"
_UNLIMITED = 1_000_000
"""Tokenizers without a limit of their own claim one of 1e30; nothing real comes near this."""


class ScratchEncoder(BaseModel):
    """A small Transformer that starts from random weights, over a vocabulary learnt on the training split.

    It is a BERT encoder (Devlin et al. 2019) in small. The defaults were chosen on short Chinese reviews, some 14,000
    of them; with so few examples one layer does as well as more, and dropout matters more than width.

    Attributes:
        vocabulary: how many tokens to learn at most.
        tokenizer: ``bpe`` learns pieces that may span a whole clause, which suits scripts without spaces (over Chinese
            reviews it beats single characters by three points of accuracy); ``unigram`` likewise, by Kudo 2018, slower
            and not the same to the last digit on every run; ``wordpiece`` is BERT's, with every Chinese character by
            itself.
        layers: Transformer layers.
        heads: attention heads; must divide `width`.
        width: length of a token's vector.
        positions: the longest text in tokens that the encoder can take.
        dropout: share of activations dropped within the encoder while training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocabulary: int = Field(default=8_000, ge=100)
    tokenizer: Literal["bpe", "unigram", "wordpiece"] = "bpe"
    layers: int = Field(default=1, ge=1)
    heads: int = Field(default=4, ge=1)
    width: int = Field(default=128, ge=8)
    positions: int = Field(default=512, ge=8)
    dropout: float = Field(default=0.3, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_heads(self) -> ScratchEncoder:
        if self.width % self.heads:
            raise ValueError(
                f"width {self.width} cannot be shared out among {self.heads} heads; make it a multiple of heads"
            )
        return self


@dataclass(frozen=True)
class Encoder:
    """A Transformer with what is needed to use it.

    Attributes:
        module: maps ``input_ids`` and ``attention_mask`` (int64 ``[texts, tokens]``) to ``last_hidden_state``
            (float32 ``[texts, tokens, width]``).
        tokenizer: turns a text into ids.
        pooling: how token vectors become the text's vector.
        normalize: whether that vector is scaled to length one.
        pad_id: the id that fills up short texts.
        positions: the longest text in tokens; None where there is no limit.
    """

    module: nn.Module
    tokenizer: Tokenizer
    pooling: Pooling
    normalize: bool
    pad_id: int
    positions: int | None

    @property
    def width(self) -> int:
        """The length of a vector."""
        config: Any = self.module.config
        return int(config.hidden_size)


def load_encoder(name: str, *, pooling: Pooling | None = None) -> Encoder:
    """Load a pretrained encoder: safetensors weights only, and never code from the model's repository.

    Args:
        name: ``package:NAME/sub/dir`` (files inside an installed package, which is not imported), a directory, or a
            name on the Hugging Face hub, taken from the local cache when the files are there.
        pooling: how to pool; None does as the model's ``modules.json`` says, and takes the mean without one.

    Raises:
        EncoderError: it is not there, cannot be reached, or is not a Transformer that can be loaded so.
    """
    return _from_anywhere(name, lambda place, offline: _read(place, pooling, offline=offline))


def load_tokenizer(name: str) -> Tokenizer:
    """Load a pretrained encoder's tokenizer, by the same names as `load_encoder`, and not its weights.

    Raises:
        EncoderError: it is not there, cannot be reached, or has no fast version.
    """
    return _from_anywhere(name, _read_tokenizer)


def require_encoder(name: str) -> None:
    """See that an encoder is there, without loading it: `name` as in `load_encoder`.

    Raises:
        EncoderError: it is not there, or it is not in the cache and the hub has none of this name, or does not answer.
    """
    place = locate(name)
    if isinstance(place, Path):
        return
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(place, _CONFIG), str):
        with _explained(name, _cache_and_hub()), _quiet():
            hf_hub_download(place, _CONFIG)


def import_transformers() -> None:
    """Import what loading an encoder needs: transformers imports each of its parts when it is first asked for."""
    with _quiet():
        from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel  # noqa: F401


def anchored(name: str, base_directory: str | None = None) -> str:
    """Return an encoder's name, with the relative path of a directory made absolute; other names as they are.

    What begins with ``./``, ``../`` or ``~`` is a path whether or not it is there, and so is what is there.

    Args:
        name: as in `load_encoder`.
        base_directory: where a relative path starts; None is the directory that this process works in.
    """
    if not name or name.startswith(PACKAGE):
        return name
    path = Path(base_directory or os.curdir, Path(name).expanduser()).absolute()
    return os.path.normpath(path) if name.startswith(("./", "../", "~")) or path.is_dir() else name


def locate(name: str) -> Path | str:
    """Return where an encoder's files are: a directory, or the name to ask the hub for.

    Raises:
        EncoderError: the package is not installed, the directory does not exist, or the name is neither.
    """
    if name.startswith(PACKAGE):
        return _inside_package(name)
    path = Path(name).expanduser()
    if name and path.is_dir():
        return path
    if name.startswith(("/", "./", "../", "~", "\\")) or path.exists() or not _HUB_NAME.fullmatch(name):
        raise EncoderError(
            f"encoder {name!r}: there is no such directory (looked for {path.absolute()}); give a directory with "
            f"config.json, tokenizer.json and model.safetensors, {PACKAGE}NAME/sub/dir, or a name on the Hugging Face "
            "hub such as sentence-transformers/all-MiniLM-L6-v2"
        )
    return name


def new_encoder(scratch: ScratchEncoder, tokenizer: Tokenizer, *, pooling: Pooling, seed: int) -> Encoder:
    """Return an untrained encoder over a learnt vocabulary; the same seed gives the same weights."""
    import torch

    config = {
        "model_type": "bert",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": scratch.width,
        "num_hidden_layers": scratch.layers,
        "num_attention_heads": scratch.heads,
        "intermediate_size": 4 * scratch.width,  # as in BERT
        "hidden_dropout_prob": scratch.dropout,
        "attention_probs_dropout_prob": scratch.dropout,
        "max_position_embeddings": scratch.positions,
        "pad_token_id": 0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build_module(config)
    return Encoder(module, tokenizer, pooling, normalize=False, pad_id=0, positions=scratch.positions)


def build_module(config: dict[str, Any]) -> nn.Module:
    """Return the architecture that a configuration describes, with fresh weights, in float32 and evaluation mode.

    Raises:
        EncoderError: this version of transformers does not know the architecture.
    """
    options = dict(config)
    with _quiet():
        from transformers import AutoConfig, AutoModel

        try:
            module: nn.Module = AutoModel.from_config(AutoConfig.for_model(options.pop("model_type"), **options))
        except (KeyError, ValueError, TypeError) as error:
            raise EncoderError(
                f"an encoder of type {config.get('model_type')!r} cannot be built: {error}; it may need a "
                "newer transformers"
            ) from error
    return module.float().eval()


def describe_module(module: nn.Module) -> dict[str, Any]:
    """Return the configuration that `build_module` builds the architecture from, as plain JSON values."""
    config: dict[str, Any] = json.loads(module.config.to_json_string(use_diff=False))  # type: ignore[union-attr, operator]
    return {key: value for key, value in config.items() if key not in ("_name_or_path", "architectures", "dtype")}


def learn_tokenizer(scratch: ScratchEncoder, texts: Iterable[str]) -> Tokenizer:
    """Learn a vocabulary from texts, which should be those of the training split and no others.

    Args:
        scratch: which kind of tokenizer, and how large.
        texts: what to learn from, read once.

    Raises:
        EncoderError: the texts hold too little to learn from.
    """
    from training.vocabulary import learn

    tokenizer = learn(scratch.tokenizer, scratch.vocabulary, texts, _SPECIAL_TOKENS)
    if tokenizer.get_vocab_size() <= len(_SPECIAL_TOKENS):
        raise EncoderError("no vocabulary can be learnt: the training texts are empty")
    return tokenizer


def _cache_and_hub() -> str:
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HF_HOME") or "~/.cache/huggingface"
    return f"the cache {cache}, then the Hugging Face hub"


def _inside_package(name: str) -> Path:
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    try:
        # A dotted name would import the parents, so only the first part is looked up and the rest is walked.
        found = importlib.util.find_spec(package.split(".")[0])
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        raise EncoderError(
            f"encoder {name!r}: the package {package!r} is not installed in this environment; pip install "
            f"{package.split('.')[0].replace('_', '-')} (write the name as it is imported, with underscores)"
        )
    places = [Path(root, *package.split(".")[1:], inside) for root in found.submodule_search_locations]
    for place in places:
        if place.is_dir():
            return place
    raise EncoderError(
        f"encoder {name!r}: the package {package!r} has no directory {inside!r} (looked for "
        f"{', '.join(map(str, places))})"
    )


def _from_anywhere(name: str, read: Callable[[str, bool], _Read]) -> _Read:
    """Return what is read of a name: from its directory, from the cache, or, where that has not all of it, the hub.

    Args:
        name: as in `load_encoder`.
        read: takes the place to read, and whether it must do without the hub.
    """
    place = locate(name)
    if isinstance(place, Path):
        with _explained(name, f"the directory {place}"):
            return read(str(place), True)
    try:
        return read(place, True)
    except (OSError, ValueError, KeyError, ImportError):
        pass  # not (wholly) in the cache, which is the ordinary case the first time
    with _explained(name, _cache_and_hub()):
        return read(place, False)


def _read_tokenizer(place: str, offline: bool) -> Tokenizer:
    with _quiet():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(
            place, use_fast=True, local_files_only=offline, trust_remote_code=False
        )
    return _fast(tokenizer)


def _fast(tokenizer: object) -> Tokenizer:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ValueError("its tokenizer has no fast version (tokenizer.json)")
    return Tokenizer.from_str(backend.to_str())


def _read(place: str, pooling: Pooling | None, *, offline: bool) -> Encoder:
    with _quiet():
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        options: dict[str, Any] = {"local_files_only": offline, "trust_remote_code": False}
        # First, because it tries a hub that cannot be reached for one round only, and the others for two.
        AutoConfig.from_pretrained(place, **options)
        tokenizer = AutoTokenizer.from_pretrained(place, use_fast=True, **options)
        module, loaded = AutoModel.from_pretrained(place, use_safetensors=True, output_loading_info=True, **options)
        said = sentence_options(place, offline=offline)
    missing = sorted(key for key in loaded["missing_keys"] if not key.startswith("pooler"))
    if missing:
        raise ValueError(
            f"its weights lack {', '.join(missing[:3])} and {len(missing)} in all, so it would be half random"
        )
    fast = _fast(tokenizer)
    limits = (getattr(module.config, "max_position_embeddings", None), tokenizer.model_max_length)
    known = [int(limit) for limit in limits if limit and limit < _UNLIMITED]
    return Encoder(
        module=module.float().eval(),
        tokenizer=fast,
        pooling=pooling or said.pooling,
        normalize=said.normalize,
        pad_id=tokenizer.pad_token_id or 0,
        positions=min(known) if known else None,
    )


@contextmanager
def _explained(name: str, looked: str) -> Iterator[None]:
    """Turn whatever loading raises into one error that says where was looked and what helps."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise EncoderError(
            f"encoder {name!r} cannot be loaded; looked in {looked}: {reason or type(error).__name__}. It must be a "
            "Transformer that transformers knows, with config.json, a fast tokenizer (tokenizer.json) and weights as "
            "safetensors. Where the hub cannot be reached: install a package that carries the files and write "
            f"{PACKAGE}NAME/sub/dir, copy the files and give their directory, or set HF_HOME to a cache that has them"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and notices of transformers and its hub off the terminal, and put the settings back."""
    from transformers.utils import logging

    hub = getLogger("huggingface_hub")
    verbosity, bars, hub_level = logging.get_verbosity(), logging.is_progress_bar_enabled(), hub.level
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub.setLevel(ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub.setLevel(hub_level)
        if bars:
            logging.enable_progress_bar()
