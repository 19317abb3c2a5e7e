from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray

from tests.training.sample_rows import sample_table
from training import FitError, ScratchEncoder, TextClassifier, evaluate, fit_baselines
from training.labels import label_ids
from training.model import Model
from training.preparation import quiet, shuffle, to_tokens
from training.rows import CLASS, ROW_ID, TOKENS, Share
from training.worker import Job, Learner, Team
from training.workers import cpus_for, share_out

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

SCRATCH = ScratchEncoder(vocabulary=200, width=16, heads=2, dropout=0.0)


def in_blocks(table: pa.Table, *bounds: int) -> ray.data.Dataset:
    ends = [*bounds, table.num_rows]
    return ray.data.from_arrow([table.slice(start, end - start) for start, end in zip([0, *bounds], ends, strict=True)])


def ids_of(dataset: ray.data.Dataset) -> list[str]:
    return [row[ROW_ID] for row in dataset.take_all()]


def test_shuffling_depends_on_ids_and_seed_and_not_on_how_the_rows_arrive() -> None:
    table = sample_table(600)
    with quiet():
        one = ids_of(shuffle(in_blocks(table, 100), seed=1))
        same = ids_of(shuffle(in_blocks(table.slice(0).take(pa.array(range(599, -1, -1))), 7, 350), seed=1))
        other = ids_of(shuffle(in_blocks(table, 100), seed=2))
    assert one == same
    assert one != other
    assert sorted(one) == sorted(other) == sorted(table[ROW_ID].to_pylist())


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_row_is_in_exactly_one_batch_of_one_worker(workers: int) -> None:
    with quiet():
        shares = share_out(in_blocks(sample_table(51), 20, 33), workers)
        rows = [share.count() for share in shares]
        seen = []
        for share in shares:
            iterator = share.iterator()
            reader = Share(
                lambda size, iterator=iterator: iterator.iter_batches(batch_size=size, batch_format="pyarrow"),
                share.count(),
                4,
            )
            for batch in reader.shuffled(np.random.default_rng(0)):
                seen.extend(batch[ROW_ID].to_pylist())
    assert max(rows) - min(rows) <= 1
    assert sorted(seen) == sorted(f"r{number}" for number in range(51))


def test_two_workers_with_an_odd_number_of_rows_learn_what_one_does(tmp_path: Path) -> None:
    table = sample_table(27)
    classifier = TextClassifier(
        encoder=SCRATCH,
        frozen=False,
        max_length=32,
        batch_size=64,
        epochs=3,
        dropout=0.0,
        workers=2,
        class_weights="balanced",
    )
    heard: list[tuple[str, int]] = []
    fit = classifier.fit(
        in_blocks(table, 9),
        in_blocks(sample_table(5, first=100)),
        storage=tmp_path,
        name="two",
        listener=lambda doing, rows: heard.append((doing, rows)),
    )
    assert [(epoch.number, epoch.rows) for epoch in fit.epochs] == [(1, 27), (2, 27), (3, 27)]
    assert set(fit.epochs[0].metrics) == {"loss", "accuracy", "macro_f1"}
    assert ("epoch 3", 27) in heard

    # The same training by one worker without Ray. All rows are in one batch, so that only the mean can differ.
    start = Model.load(tmp_path / "two" / "start")
    tokens = pa.array(start.tokenize(table["text"].to_pylist()), pa.list_(pa.int32()))
    prepared = pa.table({ROW_ID: table[ROW_ID], CLASS: label_ids(table["label"], start.labels), TOKENS: tokens})
    alone = Job(
        start=tmp_path / "two" / "start",
        frozen=False,
        epochs=3,
        batch_size=64,
        learning_rate=2e-3,
        weight_decay=0.01,
        warmup_share=0.1,
        label_smoothing=0.0,
        token_dropout=0.0,
        patience=None,
        class_weights=(27 / (2 * 13), 27 / (2 * 14)),
        metric=None,
        seed=0,
        train_rows=(27,),
        validation_rows=(0,),
        threads=1,
        progress=tmp_path / "progress.json",
    )
    learner = Learner(alone, Team(), Share(lambda rows: [prepared], 27, 64), Share(lambda rows: [], 0, 64))
    for epoch in fit.epochs:
        learner.learn_epoch()
        assert learner.history.epochs[-1].train_loss == pytest.approx(epoch.train_loss, rel=1e-4)


def test_a_frozen_encoder_with_a_head_survives_a_failure_and_is_evaluated(tmp_path: Path, tiny_encoder: Path) -> None:
    train, validation, test = (
        in_blocks(sample_table(rows, first=first), 5) for rows, first in [(60, 0), (20, 60), (21, 80)]
    )
    cured = tmp_path / "cured"

    def accuracy(true: object, predicted: object, probabilities: object) -> float:
        calls = tmp_path / "calls"
        calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
        if len(calls.read_text()) == 3 and not cured.exists():
            raise RuntimeError("the metric's server is away")
        return float(np.mean(np.asarray(true) == np.asarray(predicted)))

    classifier = TextClassifier(
        encoder=str(tiny_encoder),
        pooling="mean",
        max_length=32,
        epochs=12,
        learning_rate=0.05,
        batch_size=8,
        patience=4,
        metric=accuracy,
    )
    with pytest.raises(FitError, match="the metric's server is away"):
        classifier.fit(train, validation, storage=tmp_path, name="head")
    cured.touch()
    fit = classifier.fit(train, validation, storage=tmp_path, name="head")

    assert [epoch.number for epoch in fit.epochs] == list(range(1, len(fit.epochs) + 1))
    assert len((tmp_path / "calls").read_text()) == len(fit.epochs) + 1  # epochs 1 and 2 were not done again
    assert len(fit.epochs) < 12, "it should have stopped early"
    assert fit.best_epoch == len(fit.epochs) - 4
    evaluation = evaluate(fit.model, test, metric=accuracy)
    assert evaluation.rows == 21
    assert evaluation.accuracy > 0.9
    assert evaluation.extra == {"accuracy": pytest.approx(evaluation.accuracy)}
    assert evaluation.accuracy == pytest.approx(1 - len(evaluation.mistakes) / 21)
    majority, linear = fit_baselines(train, test, fit.model.labels, seed=0)
    assert majority.evaluation.accuracy == pytest.approx(11 / 21, abs=0.05)
    assert linear.name == "TF-IDF (words 1-2) + logistic regression"
    assert linear.evaluation.accuracy > 0.9
    with pytest.raises(FitError, match="other options \\(max_length\\)"):
        classifier.model_copy(update={"max_length": 16}).fit(train, validation, storage=tmp_path, name="head")


def test_a_label_that_training_never_saw_is_an_error_before_anything_is_trained(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    from training import LabelError

    odd = sample_table(4).set_column(2, "label", pa.array(["sport", "money", "weather", "sport"]))
    with pytest.raises(LabelError, match="validation split has the labels 'weather'"):
        TextClassifier(encoder=str(tiny_encoder)).fit(
            in_blocks(sample_table(10)), in_blocks(odd), storage=tmp_path, name="odd"
        )


def test_tokens_keep_the_order_of_the_rows_and_the_splits(tiny_encoder: Path) -> None:
    from training.encoder import load_encoder

    model = Model.assemble(
        load_encoder(str(tiny_encoder)), labels=("money", "sport"), max_length=16, dropout=0.0, seed=0
    )
    with quiet():
        splits = [in_blocks(sample_table(9), 4), in_blocks(sample_table(3, first=9), 1)]
        first, second = to_tokens(splits, model, lambda doing, rows: None)
        assert ids_of(first) == [f"r{number}" for number in range(9)]
        assert ids_of(second) == ["r9", "r10", "r11"]
        assert [row[CLASS] for row in second.take_all()] == [0, 1, 0]


def test_more_workers_than_cpus_is_an_error_that_says_how_many_there_are() -> None:
    with pytest.raises(FitError, match=r"64 workers, .* has 2 CPUs; lower workers"):
        cpus_for(64)
