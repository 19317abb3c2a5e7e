"""Classifying a Ray Dataset's rows in actors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy, Dataset

from training.evaluation import Mistake
from training.labels import LABEL
from training.preparation import actors_for, shuffle
from training.rows import ROW_ID, TEXT

if TYPE_CHECKING:
    from training.model import Model

EXCERPT_CHARACTERS = 300
"""How much of a wrongly classified text is kept: enough to see why."""


@dataclass(frozen=True)
class Scored:
    """What a model makes of labelled rows.

    Attributes:
        labels: the true label of each row.
        probabilities: float32 ``[rows, classes]``, in the model's order.
        mistakes: the rows that were classified wrongly.
    """

    labels: list[str]
    probabilities: NDArray[np.float32]
    mistakes: list[Mistake]


def score_rows(model: Model, rows: Dataset, listener: Callable[[str, int], None]) -> Scored:
    """Return what the model makes of labelled rows; of their texts, only those of mistakes come back.

    The rows are dealt out in small blocks first: a test split is often one block, which would keep one actor busy and
    the others waiting.
    """
    labels: list[str] = []
    probabilities = [np.zeros((0, len(model.labels)), np.float32)]
    mistakes: list[Mistake] = []
    listener("evaluating", 0)
    scored = shuffle(rows, seed=0).map_batches(
        _Scorer,
        fn_constructor_args=(ray.put(model),),
        compute=ActorPoolStrategy(size=actors_for(rows.count())),
        num_cpus=1,
        batch_format="pyarrow",
        batch_size=None,
    )
    batches: Iterable[pa.Table] = scored.iter_batches(batch_format="pyarrow", batch_size=None)
    for batch in batches:
        found = np.array(batch["probabilities"].combine_chunks().flatten().to_numpy(), dtype=np.float32)
        probabilities.append(found.reshape(batch.num_rows, len(model.labels)))
        labels.extend(batch[LABEL].to_pylist())
        wrong = batch.filter(batch["wrong"]).select([ROW_ID, TEXT, LABEL, "predicted", "confidence"])
        mistakes.extend(Mistake(*row.values()) for row in wrong.to_pylist())
        listener("evaluating", len(labels))
    return Scored(labels, np.concatenate(probabilities), mistakes)


class _Scorer:
    """Holds the model in an actor that has one CPU."""

    def __init__(self, model: ray.ObjectRef[Model]) -> None:
        import torch

        torch.set_num_threads(1)
        self._model = ray.get(model)

    def __call__(self, batch: pa.Table) -> pa.Table:
        texts = batch.column(TEXT).to_pylist()
        said = self._model.predict(texts)
        true = batch.column(LABEL).cast(pa.string())
        wrong = [label != guess for label, guess in zip(true.to_pylist(), said.predicted, strict=True)]
        excerpts = [text[:EXCERPT_CHARACTERS] if bad else None for text, bad in zip(texts, wrong, strict=True)]
        flat = pa.array(np.ascontiguousarray(said.probabilities).reshape(-1), pa.float32())
        return pa.table(
            {
                ROW_ID: batch.column(ROW_ID),
                TEXT: pa.array(excerpts, pa.string()),
                LABEL: true,
                "predicted": pa.array(said.predicted, pa.string()),
                "confidence": pa.array(said.probabilities.max(axis=1).astype(np.float64), pa.float64()),
                "wrong": pa.array(wrong, pa.bool_()),
                "probabilities": pa.FixedSizeListArray.from_arrays(flat, len(said.labels)),
            }
        )
