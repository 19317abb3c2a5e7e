from __future__ import annotations

import numpy as np
import pytest
import torch

from training.network import pad, pool
from training.optimization import freeze_unused, hide_tokens, schedule
from training.pooling import Pooling

HIDDEN = torch.tensor([[[1.0, 2.0], [3.0, -4.0], [100.0, 100.0]]])
MASK = torch.tensor([[1, 1, 0]])


@pytest.mark.parametrize(("pooling", "expected"), [("mean", [2.0, -1.0]), ("cls", [1.0, 2.0]), ("max", [3.0, 2.0])])
def test_pooling_looks_at_the_tokens_and_not_at_padding(pooling: Pooling, expected: list[float]) -> None:
    assert pool(HIDDEN, MASK, pooling).tolist() == [expected]


def test_padding_fills_up_to_the_longest_and_no_further() -> None:
    ids, mask = pad([np.array([5, 6], np.int32), np.array([7], np.int32)], 0)
    assert ids.tolist() == [[5, 6], [7, 0]]
    assert mask.tolist() == [[1, 1], [1, 0]]


def test_no_texts_and_empty_texts_can_be_padded() -> None:
    assert pad([], 0)[0].shape == (0, 1)
    assert pad([np.array([], np.int32)], 3)[0].tolist() == [[3]]


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [schedule(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.02
    assert schedule(0, 10, 0.0) == 1.0


def test_hidden_tokens_are_a_share_and_never_the_first_or_padding() -> None:
    torch.manual_seed(0)
    ids, mask = torch.ones(200, 50, dtype=torch.long), torch.ones(200, 50, dtype=torch.long)
    mask[:, 40:] = 0
    hidden = hide_tokens(ids, mask, 7, 0.25) == 7
    assert not hidden[:, 0].any()
    assert not hidden[:, 40:].any()
    assert hidden[:, 1:40].float().mean().item() == pytest.approx(0.25, abs=0.02)


def test_weights_without_a_part_in_the_result_are_not_trained() -> None:
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return self.used(vectors)

    network = Network()
    freeze_unused(network, (torch.zeros(1, 2),))
    assert [name for name, weights in network.named_parameters() if weights.requires_grad] == [
        "used.weight",
        "used.bias",
    ]
    assert network.used.weight.grad is None
