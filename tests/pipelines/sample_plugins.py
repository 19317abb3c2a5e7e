"""Plug-ins that nobody registers, for specs that name them as ``module:Class``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from connectors.files.paths import PathOption
from connectors.options import Items
from connectors.secret import Secret
from connectors.source import Source
from pipelines.steps.step import Outcome, RowStep, TableStep
from training.trainer import Trainer


class Window(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    stride: int = 1


class Shorten(RowStep):
    """Cuts texts off. The second sentence is not part of a schema.

    Attributes:
        at: how many characters
            are kept.
    """

    at: int = Field(default=100, ge=1)
    side: Literal["left", "right"] = "right"
    window: Window | None = None
    size: int | Literal["auto"] = "auto"

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        return Outcome.keep(batch)


class Halve(TableStep):
    makes_split = True

    share: float = 0.5

    @model_validator(mode="after")
    def _is_a_half(self) -> Halve:
        if self.share != 0.5:
            raise ValueError("a half is 0.5")
        return self

    def apply(self, frame: Any) -> Any:
        return frame


class Call(RowStep):
    function: Callable[[pa.RecordBatch], pa.RecordBatch]

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        return Outcome.keep(self.function(batch))


class Shop(Source):
    path: PathOption
    token: Secret | None = None
    names: Items[str] = ()


class Vault(Source):
    key: SecretStr


class Drifting(RowStep):
    """Comes back from YAML as something else than it was."""

    at: int = 0

    @model_validator(mode="before")
    @classmethod
    def _one_more(cls, options: dict[str, int]) -> dict[str, int]:
        return {"at": options.get("at", 0) + 1}

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        return Outcome.keep(batch)


class Learn(Trainer):
    epochs: int = 3

    def fit(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("no test trains this")


class Typed(RowStep):
    type: str = "x"

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        return Outcome.keep(batch)


def identity(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def gain(true: Any, predicted: Any, probabilities: Any) -> float:
    return 0.0
