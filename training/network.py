"""The network: an encoder, a pooling of its token vectors, and a linear head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.pooling import Pooling


class Head(nn.Module):
    """Maps text vectors to one score a class.

    The layer norm makes the learning rate independent of the scale that an encoder's vectors happen to have.
    """

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        """Make a head with fresh weights, from torch's generator."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return logits, float32 ``[texts, classes]``, of vectors, float32 ``[texts, width]``."""
        scores: Tensor = self.linear(self.dropout(self.norm(vectors)))
        return scores


class Network(nn.Module):
    """An encoder with a pooling and a head on top."""

    def __init__(self, encoder: nn.Module, head: Head, pooling: Pooling, normalize: bool) -> None:
        """Put the parts together.

        Args:
            encoder: as `training.encoder.Encoder.module`.
            head: takes vectors of the encoder's width.
            pooling: how token vectors become the text's.
            normalize: whether to scale the text's vector to length one.
        """
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.pooling: Pooling = pooling
        self.normalize = normalize

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the texts' vectors, float32 ``[texts, width]``, of ids and mask, int64 ``[texts, tokens]``."""
        hidden: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        vectors = pool(hidden, mask, self.pooling)
        return functional.normalize(vectors) if self.normalize else vectors

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits, float32 ``[texts, classes]``."""
        logits: Tensor = self.head(self.embed(ids, mask))
        return logits


def pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Return one vector a text, ``[texts, width]``, looking at the tokens that the mask leaves in.

    Args:
        hidden: float32 ``[texts, tokens, width]``.
        mask: ``[texts, tokens]``, one for a token and zero for padding; at least one token a text.
        pooling: mean (Reimers and Gurevych 2019 found it the best of the three for sentences), cls, or max.
    """
    if pooling == "cls":
        return hidden[:, 0]
    present = mask.unsqueeze(-1).to(hidden.dtype)
    if pooling == "max":
        return hidden.masked_fill(present == 0, torch.finfo(hidden.dtype).min).amax(dim=1)
    return (hidden * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def pad(texts: Sequence[NDArray[np.int32]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask, int64 ``[texts, tokens]``, as wide as the longest of these texts."""
    longest = max((len(ids) for ids in texts), default=0)
    ids = np.full((len(texts), max(longest, 1)), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
