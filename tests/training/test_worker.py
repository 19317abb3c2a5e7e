from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional

from tests.training.sample_rows import sample_table
from training.checkpoint import History, load_best
from training.encoder import load_encoder
from training.labels import label_ids
from training.model import Model
from training.rows import CLASS, ROW_ID, TOKENS, VECTOR, Share
from training.trainer import Epoch
from training.worker import Job, Learner, Team, measure


@pytest.fixture(scope="module")
def start(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("start") / "model"
    encoder = load_encoder(str(tiny_encoder), pooling="mean")
    Model.assemble(encoder, labels=("money", "sport"), max_length=16, dropout=0.0, seed=0).save(directory)
    return directory


@pytest.fixture
def job(start: Path, tmp_path: Path) -> Job:
    return Job(
        start=start,
        frozen=False,
        epochs=4,
        batch_size=8,
        learning_rate=1e-3,
        weight_decay=0.01,
        warmup_share=0.1,
        label_smoothing=0.0,
        token_dropout=0.0,
        patience=None,
        class_weights=None,
        metric=None,
        seed=0,
        train_rows=(21,),
        validation_rows=(0,),
        threads=1,
        progress=tmp_path / "progress.json",
    )


def prepared(start: Path, table: pa.Table, *, frozen: bool = False) -> pa.Table:
    model = Model.load(start)
    texts = table["text"].to_pylist()
    columns = {ROW_ID: table[ROW_ID], CLASS: label_ids(table["label"], model.labels)}
    if frozen:
        flat = pa.array(model.embed(texts).reshape(-1))
        return pa.table({**columns, VECTOR: pa.FixedSizeListArray.from_arrays(flat, 16)})
    return pa.table({**columns, TOKENS: pa.array(model.tokenize(texts), pa.list_(pa.int32()))})


def learner(job: Job, train: pa.Table, validation: pa.Table | None = None) -> Learner:
    rows = 0 if validation is None else validation.num_rows
    counted = replace(job, train_rows=(train.num_rows,), validation_rows=(rows,))
    return Learner(
        counted,
        Team(),
        Share(lambda size: [train], train.num_rows, job.batch_size),
        Share(lambda size: [validation], rows, job.batch_size),
    )


def finish(one: Learner) -> History:
    while not one.history.finished:
        one.learn_epoch()
    return one.history


def test_the_loss_is_the_mean_over_the_rows_whatever_the_batches(job: Job, start: Path) -> None:
    table = sample_table(21)
    model = Model.load(start)
    said = model.predict(table["text"].to_pylist()).probabilities
    true = np.array([model.labels.index(label) for label in table["label"].to_pylist()])
    still = replace(job, learning_rate=1e-30, epochs=1)
    [epoch] = finish(learner(still, prepared(start, table))).epochs
    assert epoch.rows == 21
    assert epoch.train_loss == pytest.approx(float(-np.log(said[np.arange(21), true]).mean()), rel=1e-5)

    weights = torch.tensor([3.0, 0.5])
    expected = functional.cross_entropy(torch.from_numpy(np.log(said)), torch.from_numpy(true), weights)
    [epoch] = finish(learner(replace(still, class_weights=(3.0, 0.5)), prepared(start, table))).epochs
    assert epoch.train_loss == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_what_can_be_told_apart_is_learnt(job: Job, start: Path, frozen: bool) -> None:
    table, held_out = (
        prepared(start, sample_table(rows, first=first), frozen=frozen) for rows, first in [(60, 0), (20, 60)]
    )
    eager = replace(job, frozen=frozen, learning_rate=0.01, epochs=30, token_dropout=0.0 if frozen else 0.1)
    history = finish(learner(eager, table, held_out))
    assert history.epochs[-1].train_loss < 0.5 * history.epochs[0].train_loss
    best = history.epochs[history.best_epoch - 1]
    assert best.metrics["accuracy"] > 0.9
    assert best.metrics["loss"] == min(epoch.metrics["loss"] for epoch in history.epochs)


def test_the_same_seed_gives_the_same_model_and_another_another(job: Job, start: Path, tmp_path: Path) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        one = learner(replace(job, seed=seed, token_dropout=0.2), prepared(start, sample_table(21)))
        finish(one)
        directory = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}"
        directory.mkdir()
        one.save(directory)
        return load_best(directory)

    first, same, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_going_on_from_a_checkpoint_comes_to_the_same(job: Job, start: Path, tmp_path: Path) -> None:
    table, held_out = prepared(start, sample_table(21)), prepared(start, sample_table(9, first=30))
    straight = learner(replace(job, token_dropout=0.2), table, held_out)
    interrupted = learner(replace(job, token_dropout=0.2), table, held_out)
    for _ in range(2):
        interrupted.learn_epoch()
    (tmp_path / "checkpoint").mkdir()
    interrupted.save(tmp_path / "checkpoint")
    resumed = learner(replace(job, token_dropout=0.2), table, held_out)
    resumed.resume(tmp_path / "checkpoint")
    whole, pieced = finish(straight), finish(resumed)
    assert [epoch.number for epoch in pieced.epochs] == [1, 2, 3, 4]
    assert [epoch.train_loss for epoch in pieced.epochs] == [epoch.train_loss for epoch in whole.epochs]
    assert [epoch.metrics for epoch in pieced.epochs] == [epoch.metrics for epoch in whole.epochs]
    assert not list((tmp_path / "checkpoint").glob("*.p*"))


def test_a_metric_of_the_user_chooses_the_epoch(job: Job, start: Path) -> None:
    values = iter([0.1, 0.7, 0.3, 0.2])
    chosen = replace(job, metric=lambda true, predicted, probabilities: next(values))
    history = finish(learner(chosen, prepared(start, sample_table(21)), prepared(start, sample_table(9))))
    assert history.best_epoch == 2
    assert [epoch.metrics["metric"] for epoch in history.epochs] == [0.1, 0.7, 0.3, 0.2]


def epochs(*scores: float, of: int = 9, patience: int | None = None) -> History:
    history = History()
    for number, value in enumerate(scores, start=1):
        assert not history.finished
        history = history.add(Epoch(number, 1, 0.0, 0.0, {}), value, of=of, patience=patience)
    return history


def test_training_ends_with_the_last_epoch_or_for_want_of_progress() -> None:
    assert epochs(1, 2, 3, of=3).finished
    assert not epochs(1, 2, 3).finished
    assert not epochs(3, 1, 2, patience=3).finished
    assert epochs(3, 1, 2, patience=2).finished


def test_the_first_of_equal_epochs_is_the_best() -> None:
    assert epochs(1, 5, 5).best_epoch == 2


def test_without_validation_rows_the_last_epoch_is_the_best(job: Job, start: Path) -> None:
    history = finish(learner(job, prepared(start, sample_table(21))))
    assert history.best_epoch == 4
    assert history.epochs[0].metrics == {}


def test_validation_metrics_are_what_they_are_by_hand() -> None:
    said = np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]], np.float32)
    found = measure(np.array([0, 0, 1]), said, ("a", "b"), None)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found["loss"] == pytest.approx(float(-np.log([0.8, 0.4, 0.9]).mean()))
