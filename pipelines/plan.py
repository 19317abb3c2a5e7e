"""What a run would do, for a person to read; nothing is started for it."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from connectors.source import PartitionedSource
from pipelines.pass_plan import plan_passes, source_name
from pipelines.pipeline import Pipeline
from pipelines.preflight import executor_bytes


def describe_plan(pipeline: Pipeline) -> Table:
    """Return a table of the stages: what each does, in how many passes and partitions, and with what.

    Raises:
        ConnectorError: the source is not there, or is empty.
    """
    table = Table(title=f"{pipeline.name} ({pipeline.spec_hash[:12]})", title_justify="left", box=None, pad_edge=False)
    for title in ("stage", "what", "with"):
        table.add_column(title, overflow="fold")
    options = pipeline.session
    table.add_row(
        "session",
        f"Ray {'on this machine' if options.address is None else 'at ' + options.address}, Spark executors as its actors",
        f"{options.executors} × {options.executor_cores} CPUs, {executor_bytes(options) / 2**30:.1f} GB each with overhead",
    )
    partitions = _partitions(pipeline)
    for number, planned in enumerate(plan_passes(source_name(pipeline.source), pipeline.steps), start=1):
        end = "" if planned.then else (" → sink" if pipeline.sink else " → Ray's object store")
        fused = " → ".join([planned.feed, *(name for name, _ in planned.steps)])
        table.add_row(f"etl, pass {number}", escape(fused + end), partitions if number == 1 else "Spark's partitions")
        if planned.then:
            table.add_row("", planned.then[0], "Spark: a shuffle")
    if pipeline.train is not None:
        table.add_row("release", "Spark's CPUs and memory go back to Ray", "")
        described = ", ".join(f"{key}={value}" for key, value in pipeline.train.model_dump(exclude_defaults=True).items())
        workers = getattr(pipeline.train, "workers", 1)
        table.add_row("train", escape(f"{type(pipeline.train).__name__}({described})"), f"{workers} Ray Train workers")
        table.add_row("evaluate", "test rows" + (", beside two baselines" if pipeline.baselines else ""), "")
        table.add_row("bundle, report", "runs/" + pipeline.name + "/<run-id>/", "")
    return table


def _partitions(pipeline: Pipeline) -> str:
    if not isinstance(pipeline.source, PartitionedSource):
        return "Spark's partitions"
    with pipeline.source.plan() as plan:
        return f"{len(plan.partitions)} partitions"
