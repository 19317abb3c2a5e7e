"""How weights are moved: which of them, how fast, and when to slow down."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLIP_NORM = 1.0
"""The length that gradients are cut to, as for BERT (Devlin et al. 2019)."""


def make_optimizer(module: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov and Hutter 2019) over the weights that are trained; only matrices decay."""
    trained = [weights for weights in module.parameters() if weights.requires_grad]
    groups = [
        {"params": [weights for weights in trained if weights.ndim >= 2], "weight_decay": weight_decay},
        {"params": [weights for weights in trained if weights.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate)


def schedule(step: int, steps: int, warmup_share: float) -> float:
    """Return the share of the peak rate at a step: a linear rise, then a linear fall to zero (Devlin et al. 2019).

    Args:
        step: which step, from 0.
        steps: how many there are to be.
        warmup_share: share of the steps in which the rate rises.
    """
    rising = warmup_share * steps
    return min((step + 1) / rising if rising else 1.0, (steps - step) / max(steps - rising, 1), 1.0)


def hide_tokens(ids: Tensor, mask: Tensor, hidden_id: int, share: float) -> Tensor:
    """Return ids with a random share of the tokens hidden, never the first, which some encoders pool.

    Args:
        ids: int64 ``[texts, tokens]``.
        mask: int64 ``[texts, tokens]``, zero for padding.
        hidden_id: what a hidden token becomes.
        share: the probability of each.
    """
    hidden = (torch.rand(ids.shape) < share) & (mask == 1)
    hidden[:, 0] = False
    return ids.masked_fill(hidden, hidden_id)


def freeze_unused(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Take weights that have no part in the result, such as BERT's pooler, out of training.

    DistributedDataParallel waits for the gradient of everything that it is given to train.

    Args:
        module: returns one tensor.
        inputs: anything that it takes.
    """
    module.eval()
    module(*inputs).sum().backward()
    for weights in module.parameters():
        weights.requires_grad_(weights.grad is not None)
        weights.grad = None
