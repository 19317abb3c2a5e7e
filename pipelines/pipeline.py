"""The pipeline: one frozen value that says what is to be done, the same from YAML and from Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from connectors.files.paths import PathOption
from connectors.sink import Sink
from connectors.source import Source
from pipelines.schema_contract import SchemaContract
from pipelines.session_options import SessionOptions
from pipelines.steps.step import Step
from training.trainer import Trainer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from ray.data import Dataset

    from pipelines.progress import Listener
    from pipelines.result import Result
    from pipelines.session import Session

VERSION = 1
"""The version of the form of a spec that this headrace writes."""

KNOWN_VERSIONS = (1,)
"""The versions of the form of a spec that this headrace reads."""

SLUG = "[a-z0-9][a-z0-9_-]{0,63}"
"""What a pipeline's name looks like, as a regular expression for the whole of it."""


class Pipeline(BaseModel):
    """What is to be done with which rows; its fields are the keys of a spec file.

    It does nothing until `run`. Two pipelines are equal when all their options are, and `spec_hash` is then
    the same in every process.

    A pipeline that trains needs one step that splits the rows (``split``): what is learnt must be measured
    on rows that it was not learnt from, and which rows those are is for the spec to say, not for a default
    that nobody sees. A split of one's own is a ``split`` step that is given the name of the column. A
    pipeline without ``train`` and ``sink`` ends in a Ray Dataset, which is of use from Python alone.

    Attributes:
        version: the version of the form of the spec.
        name: names the pipeline, and the directory of its runs: lower-case letters, digits, ``-`` and ``_``.
        source: where the rows come from; may be left out where they are handed to `run`.
        steps: what is done to the rows, in order.
        train: what learns from the rows; not together with a sink.
        sink: where the rows go to; not together with a trainer.
        session: the resources that Ray and Spark are started with.
        checkpoint: a directory that every node reaches, as a path or a URI (``s3://…``), for copies of the rows that
            are handed over: a node that is lost then costs no second ETL. They are taken away when the run ends,
            unless it was given a session and returns its Datasets. None: the ETL runs again.
        baselines: whether plain baselines are fitted on the same split and reported beside the model.
        incremental: whether a run reads only what has come to the source since the last one, and its sink keeps what it
            has. How far the source has been read is kept beside the run records; see `pipelines.read_state`.
        schema_contract: what becomes of columns that are new, are missing, or have changed their types since the runs
            before: ``evolve``, ``freeze`` or ``quarantine``, for all of these or, in a mapping, for each of
            ``new_columns``, ``missing_columns`` and ``types``. None: columns are taken as they come. What was agreed on
            is kept beside the run records; see `pipelines.schema_conformance` and `pipelines.agreed_schema`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(default=VERSION, strict=True)
    name: str
    source: SerializeAsAny[InstanceOf[Source]] | None = None
    steps: tuple[SerializeAsAny[InstanceOf[Step]], ...] = ()
    train: SerializeAsAny[InstanceOf[Trainer]] | None = None
    sink: SerializeAsAny[InstanceOf[Sink]] | None = None
    session: SessionOptions = SessionOptions()
    checkpoint: PathOption | None = None
    baselines: bool = True
    incremental: bool = False
    schema_contract: SchemaContract | None = None

    @field_validator("version")
    @classmethod
    def _is_known(cls, value: int) -> int:
        if value not in KNOWN_VERSIONS:
            raise ValueError(version_fault(value))
        return value

    @field_validator("name")
    @classmethod
    def _is_a_slug(cls, value: str) -> str:
        if not re.fullmatch(SLUG, value):
            proposal = re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-_")[:64]
            hint = f"; how about {proposal!r}?" if proposal else ""
            raise ValueError(
                f"{value!r} cannot name a pipeline: use 1 to 64 lower-case letters, digits, - and _, "
                f"the first of them a letter or a digit{hint}"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Pipeline:
        faults = shape_faults(
            [type(step) for step in self.steps], trains=self.train is not None, sinks=self.sink is not None
        )
        if faults:
            raise ValueError("; ".join(message for _, message in faults))
        return self

    @property
    def spec_hash(self) -> str:
        """SHA-256, in hexadecimal, over the canonical JSON of the spec with all defaults written out.

        The same in every process and for every order of keys. Secrets count by their reference, functions by
        their name, and a function without a name that can be imported by its compiled code (which differs
        between versions of Python).

        Raises:
            SpecError: an option holds something that is not data.
        """
        from pipelines.spec_document import document_hash

        return document_hash(self)

    def to_yaml(self) -> str:
        """Return the spec as YAML with all defaults written out, which loads as an equal pipeline.

        Raises:
            SpecError: the pipeline holds something that YAML cannot, such as a lambda; the message says
                where.
        """
        from pipelines.spec import dump

        return dump(self)

    def describe(self) -> str:
        """Return the spec as YAML for a record, even where a lambda makes `to_yaml` refuse.

        A function or class without a name that can be imported is shown with a digest of its code, and rows in memory
        as a digest of their content, so a description need not load.

        Raises:
            SpecError: an option holds something that is not data.
        """
        from pipelines.spec import describe

        return describe(self)

    def save(self, path: str | Path) -> None:
        """Write `to_yaml` to a file.

        Raises:
            SpecError: as for `to_yaml`; no file is touched then.
            OSError: the file cannot be written.
        """
        text = self.to_yaml()
        Path(path).write_text(text, encoding="utf-8")

    def run(
        self,
        session: Session | None = None,
        *,
        data: DataFrame | Dataset | None = None,
        runs: str | Path = "runs",
        listener: Listener | None = None,
        since: str | None = None,
        full_refresh: bool = False,
    ) -> Result:
        """Do what the pipeline says; see `pipelines.runner.run`.

        Args:
            session: the session to work in; None starts one of `session` and takes it down again.
            data: rows in place of the source's.
            runs: the directory of all run records.
            listener: is told how the work goes on.
            since: for one that is incremental: read on from this cursor instead of the one that it has come to.
            full_refresh: for one that is incremental: read all there is, and replace what the sink holds.
        """
        from pipelines.runner import run

        return run(self, session, data=data, runs=runs, listener=listener, since=since, full_refresh=full_refresh)


def version_fault(version: object) -> str:
    """Return what is wrong with a version that is not among `KNOWN_VERSIONS`."""
    known = ", ".join(map(str, KNOWN_VERSIONS))
    return (
        f"version {version!r} of the spec is not known here; known: {known}; a spec of a later version needs "
        "a later headrace (pip install --upgrade headrace)"
    )


def shape_faults(steps: Sequence[type[BaseModel]], *, trains: bool, sinks: bool) -> list[tuple[str, str]]:
    """Return what does not fit together in a pipeline, as pairs of the field and what is wrong with it.

    Args:
        steps: the classes of its steps, in order.
        trains: whether it has a trainer.
        sinks: whether it has a sink.
    """
    faults = []
    if trains and sinks:
        faults.append(
            (
                "sink",
                "a pipeline ends in train: or in sink:, not in both; leave one out, or make two of it",
            )
        )
    splits = sum(getattr(step, "makes_split", False) for step in steps)
    if trains and not splits:
        faults.append(
            (
                "train",
                "training needs a step that splits the rows, so that the model is tested on rows new to it; "
                "add the step split, or split with column: if the rows already say which split they are in",
            )
        )
    if splits > 1:
        faults.append(("steps", f"{splits} steps split the rows, and the last would undo the others; keep one"))
    return faults
