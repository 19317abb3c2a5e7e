"""The state that training writes after each epoch, and goes on from: safetensors and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from training.trainer import Epoch

_HISTORY, _LAST, _BEST, _OPTIMIZER = "history.json", "last.safetensors", "best.safetensors", "optimizer.safetensors"


@dataclass(frozen=True)
class History:
    """What has happened so far.

    Attributes:
        epochs: the epochs done, in order.
        best_epoch: the number of the best one; 0 before the first.
        best_score: its score, of which more is better.
        finished: whether nothing is left to do, be it for lack of epochs or of improvement.
    """

    epochs: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    best_score: float = float("-inf")
    finished: bool = False

    def add(self, epoch: Epoch, score: float, *, of: int, patience: int | None) -> History:
        """Return the history with one more epoch.

        Args:
            epoch: what it came to.
            score: how good the model is after it; an equal score leaves the earlier epoch the best.
            of: how many epochs there are to be.
            patience: how many epochs in a row may bring no improvement; None for any number.
        """
        improved = score > self.best_score
        best = replace(self, best_epoch=epoch.number, best_score=score) if improved else self
        stalled = patience is not None and epoch.number - best.best_epoch >= patience
        return replace(best, epochs=(*self.epochs, epoch), finished=stalled or epoch.number >= of)


def save_checkpoint(
    directory: Path, history: History, module: nn.Module, best: dict[str, Tensor], optimizer: Optimizer
) -> None:
    """Write everything that going on needs into an existing directory."""
    state = optimizer.state_dict()["state"]
    flat = {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}
    save_file(copied(module), str(directory / _LAST))
    save_file(best, str(directory / _BEST))
    save_file({name: value.contiguous() for name, value in flat.items()}, str(directory / _OPTIMIZER))
    (directory / _HISTORY).write_text(json.dumps(asdict(history)), encoding="utf-8")


def load_checkpoint(directory: Path, module: nn.Module, optimizer: Optimizer) -> tuple[History, dict[str, Tensor]]:
    """Put module and optimizer in the state they were saved in, and return the history and the best weights."""
    module.load_state_dict(load_file(str(directory / _LAST)))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(str(directory / _OPTIMIZER)).items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return load_history(directory), load_best(directory)


def load_history(directory: Path) -> History:
    """Return the history in a checkpoint."""
    read = json.loads((directory / _HISTORY).read_text("utf-8"))
    return History(**{**read, "epochs": tuple(Epoch(**epoch) for epoch in read["epochs"])})


def load_best(directory: Path) -> dict[str, Tensor]:
    """Return the weights of the best epoch in a checkpoint."""
    return load_file(str(directory / _BEST))


def copied(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a module's weights, by name."""
    return {name: value.detach().clone().contiguous() for name, value in module.state_dict().items()}
