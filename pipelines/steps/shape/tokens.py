"""Tokenizing texts, by the tokenizer of an encoder."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationInfo

from connectors.files.paths import BASE_DIRECTORY
from pipelines.errors import StepError
from training.encoder import anchored, load_tokenizer
from training.errors import EncoderError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


def _anchored(name: str, info: ValidationInfo) -> str:
    return anchored(name, (info.context or {}).get(BASE_DIRECTORY))


EncoderName = Annotated[str, Field(min_length=1), AfterValidator(_anchored)]
"""An encoder's name among a step's options: ``package:NAME/sub/dir``, a directory, or a name on the hub."""


def encode(texts: pa.Array, tokenizer: str, *, special_tokens: bool, max_tokens: int | None = None) -> list[Encoding]:
    """Return the tokens of each text.

    Args:
        texts: strings without nulls.
        tokenizer: an encoder's name.
        special_tokens: put those around them that the encoder wants, as ``[CLS]`` and ``[SEP]``.
        max_tokens: how many to keep of a text, those included; None keeps all.

    Raises:
        StepError: the tokenizer cannot be had.
    """
    encoded: list[Encoding] = _tokenizer(tokenizer, max_tokens).encode_batch(
        texts.to_pylist(), add_special_tokens=special_tokens
    )
    return encoded


def count_tokens(texts: pa.Array, tokenizer: str) -> NDArray[np.int64]:
    """Return how many tokens each text has, without special ones.

    Raises:
        StepError: the tokenizer cannot be had.
    """
    return np.array([len(found) for found in encode(texts, tokenizer, special_tokens=False)], np.int64)


@lru_cache(maxsize=4)
def _tokenizer(name: str, max_tokens: int | None) -> Tokenizer:
    try:
        tokenizer = load_tokenizer(name)
    except EncoderError as error:
        raise StepError(str(error)) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_tokens is not None:
        tokenizer.enable_truncation(max_tokens)
    return tokenizer
