"""The text classifier: a frozen encoder with a head, a fine-tuned encoder, or a small one from scratch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from training.encoder import Encoder, ScratchEncoder, anchored
from training.errors import FitError
from training.metric import UserMetric
from training.pooling import Pooling
from training.trainer import Fit, Trainer

if TYPE_CHECKING:
    from ray.data import Dataset

    from training.model import Model
    from training.worker import Job

_OPTIONS = "trainer.json"
_START = "start"
_PROGRESS = "progress.json"


class TextClassifier(Trainer):
    """Learns which one of two or more labels a text has, with Ray Train.

    Three ways, by `encoder` and `frozen`: a pretrained encoder that stays as it is, so that each text is encoded once
    and only a small head is trained (quick, and good with few examples); a pretrained encoder that is fine-tuned (best,
    and some hundred times the work); or a small one from scratch (for languages and domains that no encoder at hand
    knows). Where a default depends on the way, it is None and the property of like name says what it comes to.

    With one worker, the same rows, options and seed give the same model on the same machine.

    Attributes:
        encoder: ``package:NAME/sub/dir``, a directory, a Hugging Face name, or the options of a `ScratchEncoder`.
        frozen: leave the encoder as it is; must be false for one from scratch.
        max_length: tokens of a text that are looked at. 256 is what sentence encoders such as MiniLM are made for; on
            BBC news it gives 0.968 accuracy where 128 give 0.960 and 64 give 0.945, at a cost in proportion.
        epochs: passes over the rows at most; None is 20 for a head, and 3 for an encoder (Devlin et al. 2019 give
            2 to 4; small ones from scratch overfit soon, too).
        batch_size: rows an optimizer step, all workers together, so that it means the same on any number of workers.
            32 is the larger of the two that Devlin et al. 2019 recommend.
        learning_rate: the peak; None is 1e-3 for a head (AdamW's own default), 3e-5 to fine-tune (the middle of the
            three in Devlin et al. 2019), and 2e-3 from scratch (on Chinese reviews half a point better than 1e-3).
        weight_decay: of AdamW, on matrices only (0.01 as in Devlin et al. 2019).
        warmup_share: share of the steps in which the rate rises; it falls linearly to zero in the others (0.1 as in
            Devlin et al. 2019).
        label_smoothing: share of the probability that is spread over all labels (Szegedy et al. 2016); 0.1 keeps a
            small model from scratch from growing overconfident.
        token_dropout: share of the tokens hidden in each training batch; helps from scratch, where a head has no
            tokens to hide.
        dropout: share of the text's vector dropped before the head while training (0.1 as in Devlin et al. 2019).
        pooling: how token vectors become the text's; None does as the encoder says of itself, else the mean.
        class_weights: ``balanced`` weighs each row by the rarity of its label, as scikit-learn does.
        labels: the labels in the order to report them; None sorts them.
        metric: a function of yours, ``module:function`` in YAML, that chooses the best epoch: see
            `training.metric.Metric`. None lets the validation loss choose.
        patience: epochs in a row without improvement on the validation rows after which to stop; None never stops
            early, and the best epoch is taken all the same.
        workers: how many train together, by DistributedDataParallel.
        seed: of the head, the order of rows, and dropout.
    """

    encoder: str | ScratchEncoder
    frozen: bool = True
    max_length: int = Field(default=256, ge=4)
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    token_dropout: float = Field(default=0.0, ge=0, lt=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    pooling: Pooling | None = None
    class_weights: Literal["balanced"] | None = None
    labels: tuple[str, ...] | None = None
    metric: UserMetric | None = None
    patience: int | None = Field(default=None, ge=1)
    workers: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)

    @field_validator("encoder")
    @classmethod
    def _mean_the_same_everywhere(cls, value: str | ScratchEncoder, info: ValidationInfo) -> str | ScratchEncoder:
        # Whoever loads a spec says in the context which directory its relative paths start from.
        return anchored(value, (info.context or {}).get("base_directory")) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_together(self) -> TextClassifier:
        scratch = isinstance(self.encoder, ScratchEncoder)
        if scratch and self.frozen:
            raise ValueError("an encoder from scratch knows nothing that could be kept: set frozen: false")
        if self.frozen and self.token_dropout:
            raise ValueError(
                "token_dropout needs tokens, and a frozen encoder's texts are encoded beforehand: set frozen: false"
            )
        if self.batch_size < self.workers:
            raise ValueError(
                f"batch_size {self.batch_size} leaves some of {self.workers} workers without a row; raise it"
            )
        if self.labels is not None and (len(self.labels) < 2 or len(set(self.labels)) < len(self.labels)):
            raise ValueError(f"labels must be two or more different ones, and are {list(self.labels)}")
        if isinstance(self.encoder, ScratchEncoder) and self.max_length > self.encoder.positions:
            raise ValueError(
                f"max_length {self.max_length} is more than the {self.encoder.positions} positions of the encoder from "
                "scratch; lower it, or raise positions"
            )
        return self

    @property
    def actual_epochs(self) -> int:
        """How many epochs there are to be at most."""
        return self.epochs or (20 if self.frozen else 3)

    @property
    def actual_learning_rate(self) -> float:
        """The peak learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1e-3 if self.frozen else 2e-3 if isinstance(self.encoder, ScratchEncoder) else 3e-5

    def check(self) -> None:
        """See that the encoder is where it is said to be, and the metric too; see `Trainer.check`."""
        if isinstance(self.encoder, str):
            from training.encoder import require_encoder

            require_encoder(self.encoder)
        if self.metric is not None:
            from training.metric import load_metric

            load_metric(self.metric)

    def warm_up(self) -> None:
        """Import torch, transformers and Ray Train, which take seconds; see `Trainer.warm_up`."""
        import training.baselines
        import training.model
        import training.scoring
        import training.workers  # noqa: F401
        from training.encoder import import_transformers

        import_transformers()

    def fit(
        self,
        train: Dataset,
        validation: Dataset | None,
        *,
        storage: Path,
        name: str,
        listener: Callable[[str, int], None] | None = None,
    ) -> Fit:
        """Train; see `Trainer.fit`."""
        # Ray and torch are imported when training starts, so that a spec can be checked without them.
        from training.metric import load_metric
        from training.preparation import quiet

        tell = listener or _ignore
        if self.metric is not None:
            load_metric(self.metric)
        with quiet(train, validation):
            return self._fit(train, validation, Path(storage).resolve(), name, tell)

    def _fit(
        self, train: Dataset, validation: Dataset | None, storage: Path, name: str, tell: Callable[[str, int], None]
    ) -> Fit:
        from training import preparation, workers
        from training.labels import check_known, count_labels, order_labels

        counts = count_labels(train, split="training")
        labels = order_labels(counts, self.labels)
        splits = [train]
        if validation is not None and validation.count():
            check_known(count_labels(validation, split="validation"), labels, split="validation")
            splits.append(validation)
        shuffled = [preparation.shuffle(split, seed=self.seed) for split in splits]
        start = self._start(shuffled[0], labels, storage / name, tell)
        prepare = preparation.to_vectors if self.frozen else preparation.to_tokens
        prepared = prepare(shuffled, start, tell)
        shares = [workers.share_out(split, self.workers) for split in prepared]
        rows = [tuple(part.count() for part in split) for split in shares]
        job = self._job(counts, labels, storage / name, rows, threads=workers.cpus_for(self.workers))
        checkpoint = workers.run_workers(
            job, shares[0], shares[1] if len(shares) > 1 else [], storage=storage, name=name, listener=tell
        )
        return self._finish(start, checkpoint)

    def _start(
        self, train: Dataset, labels: tuple[str, ...], directory: Path, tell: Callable[[str, int], None]
    ) -> Model:
        """Return the model to begin with: that of the interrupted run of this name, else a new one, which is kept."""
        from training.model import Model

        options = {**json.loads(self.model_dump_json(exclude={"metric"})), "labels": list(labels)}
        written = directory / _OPTIONS
        if written.exists():
            return _resumed(directory, options)
        model = Model.assemble(
            self._encoder(train, tell),
            labels=labels,
            max_length=self.max_length,
            dropout=self.dropout,
            seed=self.seed,
        )
        model.save(directory / _START)
        # Written last: a start that was cut short is not taken for a whole one.
        unfinished = written.with_suffix(".tmp")
        unfinished.write_text(json.dumps(options, ensure_ascii=False), encoding="utf-8")
        unfinished.replace(written)
        return model

    def _encoder(self, train: Dataset, tell: Callable[[str, int], None]) -> Encoder:
        from training import preparation
        from training.encoder import load_encoder, new_encoder

        if isinstance(self.encoder, str):
            tell("loading the encoder", 0)
            return load_encoder(self.encoder, pooling=self.pooling)
        tell("learning the vocabulary", 0)
        tokenizer = preparation.learn_vocabulary(train, self.encoder)
        return new_encoder(self.encoder, tokenizer, pooling=self.pooling or "mean", seed=self.seed)

    def _job(
        self,
        counts: Mapping[str, int],
        labels: tuple[str, ...],
        directory: Path,
        rows: list[tuple[int, ...]],
        threads: int,
    ) -> Job:
        from training.worker import Job

        return Job(
            start=directory / _START,
            frozen=self.frozen,
            epochs=self.actual_epochs,
            batch_size=self.batch_size,
            learning_rate=self.actual_learning_rate,
            weight_decay=self.weight_decay,
            warmup_share=self.warmup_share,
            label_smoothing=self.label_smoothing,
            token_dropout=self.token_dropout,
            patience=self.patience,
            class_weights=_balanced(counts, labels) if self.class_weights else None,
            metric=self.metric,
            seed=self.seed,
            train_rows=rows[0],
            validation_rows=rows[1] if len(rows) > 1 else (0,) * self.workers,
            threads=threads,
            progress=directory / _PROGRESS,
        )

    def _finish(self, model: Model, checkpoint: Path) -> Fit:
        from training.checkpoint import load_best, load_history

        history = load_history(checkpoint)
        (model.network.head if self.frozen else model.network).load_state_dict(load_best(checkpoint))
        model.network.eval()
        return Fit(model=model, epochs=history.epochs, best_epoch=history.best_epoch)


def _resumed(directory: Path, options: dict[str, object]) -> Model:
    from training.model import Model

    before = json.loads((directory / _OPTIONS).read_text("utf-8"))
    changed = sorted(key for key in {*before, *options} if before.get(key) != options.get(key))
    if changed:
        raise FitError(
            f"a training in {directory} was begun with other options ({', '.join(changed)}), so it cannot be "
            "resumed with these; use a new name, or the options it was begun with"
        )
    return Model.load(directory / _START)


def _balanced(counts: Mapping[str, int], labels: tuple[str, ...]) -> tuple[float, ...]:
    """Return rows / (classes * rows of the class), the heuristic of King and Zeng 2001 that scikit-learn uses."""
    rows = sum(counts.values())
    return tuple(rows / (len(labels) * counts[label]) for label in labels)


def _ignore(doing: str, rows: int) -> None:
    """Listen to nothing."""
