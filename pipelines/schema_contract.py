"""What a pipeline's columns may do from one run to the next, as an option of the pipeline."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from pipelines.plugins import did_you_mean

Handling = Literal["evolve", "freeze", "quarantine"]


class SchemaContract(BaseModel):
    """How a run takes columns that are not as agreed; a plain word stands for all three.

    ``evolve`` takes the change and agrees on it, ``freeze`` makes it an error before anything is read, and
    ``quarantine`` goes on with what was agreed and sets aside the rows that do not fit. What the words mean for each
    kind of change is in `pipelines.schema_conformance`. In a mapping, what is left out evolves.

    Attributes:
        new_columns: columns that were not there.
        missing_columns: columns that were there.
        types: columns whose type is another one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    new_columns: Handling = "evolve"
    missing_columns: Handling = "evolve"
    types: Handling = "evolve"

    @model_validator(mode="before")
    @classmethod
    def _of_a_word(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        words = get_args(Handling)
        if given not in words:
            raise ValueError(
                f"must be one of {', '.join(words)}, or a mapping of {', '.join(cls.model_fields)} to these, not "
                f"{given!r}{did_you_mean(given, words)}"
            )
        return dict.fromkeys(cls.model_fields, given)

    def to_spec(self) -> str | dict[str, str]:
        """Return the contract as a spec has it: a word where one says it all."""
        handlings: dict[str, str] = self.model_dump()
        return self.types if len(set(handlings.values())) == 1 else handlings

    def __str__(self) -> str:
        said = self.to_spec()
        if isinstance(said, str):
            return said
        return ", ".join(f"{name.replace('_', ' ')}: {handling}" for name, handling in said.items())
