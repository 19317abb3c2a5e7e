"""What a run would do, for a person to read; nothing is started for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from connectors.source import PartitionedSource
from pipelines.agreed_schema import Agreement
from pipelines.checks import check_before_start
from pipelines.pass_plan import PlannedPass, columns_wanted, plan_passes, source_name
from pipelines.pipeline import Pipeline
from pipelines.plugins import SINK, SOURCE, TRAINER, Kind, Registry
from pipelines.preflight import executor_bytes
from pipelines.schema_conformance import ConformToSchema
from pipelines.session_options import SessionOptions

_SPARKS = "Spark's partitions"
_SHOWN_CHARACTERS = 100


def describe_plan(pipeline: Pipeline, runs: Path = Path("runs")) -> Table:
    """Return a table of the stages: what each does, in how many passes and partitions, and with what.

    What a run would look at before it starts anything is looked at here too, so that a plan that is shown can be begun.

    Args:
        pipeline: what is to be run.
        runs: the directory of all run records, for the schema that was agreed on.

    Raises:
        PipelineError: the pipeline has no source, does not fit together, or finds columns that its contract forbids.
        ConnectorError: the source is not there, is empty, or lacks a column that was asked for.
        TrainingError: the trainer's encoder is not there.
    """
    drifts: list[str] = []
    check_before_start(pipeline, None, Agreement.of(pipeline, runs, drifts.append))
    table = Table(title=f"{pipeline.name} ({pipeline.spec_hash[:12]})", title_justify="left", box=None, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("what", overflow="fold", ratio=3)
    table.add_column("with", overflow="fold", ratio=2)
    for stage, what, resources in _stages(pipeline, drifts):
        table.add_row(escape(stage), escape(what), escape(resources))
    return table


def _stages(pipeline: Pipeline, drifts: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    yield _session(pipeline.session)
    if pipeline.source is not None:
        yield "source", _options(SOURCE, pipeline.source), _columns(pipeline)
    if pipeline.schema_contract is not None:
        said = "\n  ".join([str(pipeline.schema_contract), *drifts])
        yield "schema", said, f"as agreed in runs/{pipeline.name}/schema.json"
    partitions = _partitions(pipeline)
    for number, planned in enumerate(plan_passes(source_name(pipeline.source), pipeline.steps), start=1):
        yield (
            f"etl, pass {number}",
            _chain(planned, pipeline, first=number == 1),
            partitions if number == 1 else _SPARKS,
        )
        if planned.then:
            yield "", planned.then[0], "a shuffle in Spark"
    if pipeline.sink is not None:
        yield "sink", _options(SINK, pipeline.sink), ""
    if pipeline.train is not None:
        workers = getattr(pipeline.train, "workers", 1)
        yield "release", "Spark's CPUs and memory go back to Ray", ""
        yield "train", _options(TRAINER, pipeline.train), _counted(workers, "Ray Train worker")
        yield "evaluate", "the test rows" + (", beside two baselines" if pipeline.baselines else ""), ""
        yield "bundle", f"runs/{pipeline.name}/<run-id>/bundle", ""
    yield "report", f"runs/{pipeline.name}/<run-id>/report.html", ""


def _session(options: SessionOptions) -> tuple[str, str, str]:
    where = "on this machine" if options.address is None else f"at {options.address}"
    size = f"{_counted(options.executor_cores, 'CPU')} and {executor_bytes(options) / 2**30:.1f} GB"
    return "session", f"Ray {where}, with Spark on it", f"{_counted(options.executors, 'executor')}, each {size}"


def _chain(planned: PlannedPass, pipeline: Pipeline, *, first: bool) -> str:
    conforms = first and pipeline.schema_contract is not None
    chain = [planned.feed, *([ConformToSchema.NAME] if conforms else []), *(name for name, _ in planned.steps)]
    if not planned.then:
        chain.append("sink" if pipeline.sink else "Ray's object store")
    return " → ".join(chain)


def _options(kind: Kind, plugin: BaseModel) -> str:
    """Return a plug-in's name, and below it the options that are not as they are by default, a line each."""
    lines = [Registry.installed().name_of(kind, type(plugin))]
    for name, field in type(plugin).model_fields.items():
        value = getattr(plugin, name)
        if value != field.default:
            shown = str(value)
            lines.append(f"  {name}: {shown[:_SHOWN_CHARACTERS]}{'…' if len(shown) > _SHOWN_CHARACTERS else ''}")
    return "\n".join(lines)


def _columns(pipeline: Pipeline) -> str:
    """Return the columns that are read, and how many that the source has are of no use to the steps."""
    if not isinstance(pipeline.source, PartitionedSource):
        return ""
    schema = pipeline.source.row_schema()
    wanted = (
        None if pipeline.schema_contract is not None else columns_wanted(plan_passes("", pipeline.steps)[0], schema)
    )
    left_out = "" if wanted is None else f"; without {_counted(len(schema.names) - len(wanted), 'other')}"
    return f"columns: {', '.join(wanted or schema.names)}{left_out}"


def _partitions(pipeline: Pipeline) -> str:
    if not isinstance(pipeline.source, PartitionedSource):
        return _SPARKS
    with pipeline.source.plan() as plan:
        return _counted(len(plan.partitions), "partition")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
