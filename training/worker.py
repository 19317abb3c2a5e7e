"""What each training worker does: the epochs, in step with the other workers; torch, and nothing of Ray."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from training.checkpoint import History, copied, load_checkpoint, save_checkpoint
from training.metric import Metric, apply_metric, load_metric
from training.model import Model, load_head
from training.optimization import CLIP_NORM, freeze_unused, hide_tokens, make_optimizer, schedule
from training.progress import Reporter
from training.rows import Share, to_tensors
from training.trainer import Epoch


@dataclass(frozen=True)
class Job:
    """What the workers are told; the same for all of them.

    Attributes:
        start: directory of the model to begin with, reachable from every worker.
        frozen: train the head only, on vectors.
        epochs: how many at most.
        batch_size: rows a step, all workers together.
        learning_rate: the peak.
        weight_decay: of the optimizer.
        warmup_share: share of the steps in which the rate rises.
        label_smoothing: share of the probability that is spread over all classes.
        token_dropout: share of the tokens hidden in each training batch.
        patience: epochs without improvement after which to stop; None for never.
        class_weights: weight of a row by its class; None weighs all alike.
        metric: decides which epoch is the best; None lets the validation loss decide.
        seed: of shuffling and dropout.
        train_rows: rows of each worker's share; they differ by one at most.
        validation_rows: likewise; all zero where there is no validation split.
        threads: for torch.
        progress: the file to report to.
    """

    start: Path
    frozen: bool
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_share: float
    label_smoothing: float
    token_dropout: float
    patience: int | None
    class_weights: tuple[float, ...] | None
    metric: str | Metric | None
    seed: int
    train_rows: tuple[int, ...]
    validation_rows: tuple[int, ...]
    threads: int
    progress: Path

    @property
    def steps(self) -> int:
        """Optimizer steps an epoch, the same for every worker: as many as the longest share needs."""
        return -(-max(self.train_rows) // self.share_batch)

    @property
    def share_batch(self) -> int:
        """Rows that one worker adds to a step."""
        return -(-self.batch_size // len(self.train_rows))


_Part = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True)
class Team:
    """Which worker this is, of how many."""

    rank: int = 0
    size: int = 1

    def total(self, *values: float) -> list[float]:
        """Return each value summed over the workers."""
        sums = torch.tensor(values, dtype=torch.float64)
        if self.size > 1:
            distributed.all_reduce(sums)
        return [float(value) for value in sums]

    def gather(self, part: _Part) -> list[_Part]:
        """Return what every worker has, in the order of their ranks."""
        parts = [part] * self.size
        if self.size > 1:
            distributed.all_gather_object(parts, part)
        return parts

    def agree(self, value: dict[str, float]) -> dict[str, float]:
        """Return what worker 0 says, so that all decide alike."""
        values = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values, src=0)
        return values[0]


class Learner:
    """A worker's network, optimizer and rows, and the loop over them."""

    def __init__(self, job: Job, team: Team, train: Share, validation: Share) -> None:
        """Load the starting model and make ready for the first epoch."""
        self.history = History()
        self._job, self._team, self._train, self._validation = job, team, train, validation
        self._module, self._pad_id, self._hidden_id, self._labels = _begin(job)
        self._stand_in = _stand_in(self._module, self._pad_id, frozen=job.frozen)
        freeze_unused(self._module, self._stand_in)
        self._best = copied(self._module)
        self._weights = torch.ones(len(self._labels)) if job.class_weights is None else torch.tensor(job.class_weights)
        self._parallel = DistributedDataParallel(self._module) if team.size > 1 else self._module
        self._optimizer = make_optimizer(self._module, learning_rate=job.learning_rate, weight_decay=job.weight_decay)
        self._metric = None if job.metric is None else load_metric(job.metric)
        self._reporter = Reporter(job.progress)

    def resume(self, directory: Path) -> None:
        """Go on from a checkpoint."""
        self.history, self._best = load_checkpoint(directory, self._module, self._optimizer)

    def save(self, directory: Path) -> None:
        """Write a checkpoint into an existing directory."""
        save_checkpoint(directory, self.history, self._module, self._best, self._optimizer)

    def learn_epoch(self) -> None:
        """Train on every row of the share once, validate, and add to the history."""
        started, number = time.monotonic(), len(self.history.epochs) + 1
        mixed = np.random.SeedSequence([self._job.seed, number, self._team.rank]).generate_state(2)
        torch.manual_seed(int(mixed[0]))
        loss, weight, rows = self._train_on(self._train.shuffled(np.random.default_rng(int(mixed[1]))), number)
        metrics = self._validate()
        epoch = Epoch(number, rows, time.monotonic() - started, loss / weight, metrics)
        score = metrics.get("metric", -metrics["loss"]) if metrics else float(number)
        self.history = self.history.add(epoch, score, of=self._job.epochs, patience=self._job.patience)
        if self.history.best_epoch == number:
            self._best = copied(self._module)

    def _train_on(self, batches: Iterator[pa.Table], number: int) -> tuple[float, float, int]:
        self._parallel.train()
        loss = weight = 0.0
        rows = 0
        for step in range(self._job.steps):
            batch = next(batches, None)
            step_loss, step_weight = self._step(batch, (number - 1) * self._job.steps + step)
            loss, weight, rows = loss + step_loss, weight + step_weight, rows + (batch.num_rows if batch else 0)
            if self._team.rank == 0:
                self._reporter.report(f"epoch {number}", min(rows * self._team.size, sum(self._job.train_rows)))
        assert next(batches, None) is None, "a share is longer than the number of steps allows for"
        loss, weight, total = self._team.total(loss, weight, rows)
        if self._team.rank == 0:
            self._reporter.report(f"epoch {number}", int(total), now=True)
        return loss, weight, int(total)

    def _step(self, batch: pa.Table | None, number: int) -> tuple[float, float]:
        """Take one optimizer step together with the other workers; return this one's summed loss and summed weights.

        The gradient is that of the mean over the rows of all workers, however few this one has. A worker that has run
        out of rows goes through the motions with a row that weighs nothing, because the others wait for it.
        """
        inputs, classes = (
            to_tensors(batch, self._pad_id) if batch else (self._stand_in, torch.zeros(1, dtype=torch.long))
        )
        if self._job.token_dropout and len(inputs) == 2:
            inputs = (hide_tokens(*inputs, self._hidden_id, self._job.token_dropout), inputs[1])
        losses = functional.cross_entropy(
            self._parallel(*inputs), classes, self._weights, reduction="none", label_smoothing=self._job.label_smoothing
        )
        present = 1.0 if batch else 0.0
        loss, weight = losses.sum() * present, float(self._weights[classes].sum()) * present
        [everyone] = self._team.total(weight)
        self._optimizer.zero_grad()
        # DistributedDataParallel averages over workers, where a sum over workers is wanted: hence the factor.
        (loss * (self._team.size / everyone)).backward()
        nn.utils.clip_grad_norm_(self._module.parameters(), CLIP_NORM)
        rate = self._job.learning_rate * schedule(number, self._job.steps * self._job.epochs, self._job.warmup_share)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        return float(loss.detach()), weight

    def _validate(self) -> dict[str, float]:
        """Return the metrics on all workers' validation rows together; empty where there are none."""
        if not sum(self._job.validation_rows):
            return {}
        self._module.eval()
        true, probabilities = [np.zeros(0, np.int64)], [np.zeros((0, len(self._labels)), np.float32)]
        with torch.inference_mode():
            for batch in self._validation.sequential():
                inputs, classes = to_tensors(batch, self._pad_id)
                true.append(classes.numpy())
                probabilities.append(self._module(*inputs).softmax(dim=1).numpy())
        parts = self._team.gather((np.concatenate(true), np.concatenate(probabilities)))
        if self._team.rank != 0:
            return self._team.agree({})
        trues, found = zip(*parts, strict=True)
        return self._team.agree(measure(np.concatenate(trues), np.concatenate(found), self._labels, self._metric))


def measure(
    true: NDArray[np.int64], probabilities: NDArray[np.float32], labels: tuple[str, ...], metric: Metric | None
) -> dict[str, float]:
    """Return loss, accuracy and macro F1 of validation rows, and the user's ``metric`` where there is one.

    Args:
        true: classes, ``[rows]``.
        probabilities: ``[rows, classes]``.
        labels: the classes' names.
        metric: the user's, if any.
    """
    predicted = probabilities.argmax(axis=1)
    likelihood = np.clip(probabilities[np.arange(len(true)), true], np.finfo(np.float32).tiny, 1)
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (true, predicted), 1)
    f1 = 2 * counts.diagonal() / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)
    found = {
        "loss": float(-np.log(likelihood).mean()),
        "accuracy": float((predicted == true).mean()),
        "macro_f1": float(f1.mean()),
    }
    if metric is not None:
        found["metric"] = apply_metric(metric, true, probabilities, labels)
    return found


def _begin(job: Job) -> tuple[nn.Module, int, int, tuple[str, ...]]:
    """Return what is trained, the ids of padding and of hidden tokens, and the labels."""
    if job.frozen:
        head, labels = load_head(job.start)
        return head, 0, 0, labels
    model = Model.load(job.start)
    return model.network, model.pad_id, model.hidden_id, model.labels


def _stand_in(module: nn.Module, pad_id: int, *, frozen: bool) -> tuple[Tensor, ...]:
    """Return inputs of one row, for when a shape is needed and no row is at hand."""
    if frozen:
        assert isinstance(module.linear, nn.Linear)
        return (torch.zeros(1, module.linear.in_features),)
    return (torch.full((1, 1), pad_id), torch.ones(1, 1, dtype=torch.long))
