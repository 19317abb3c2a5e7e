"""Doing what a pipeline says: check, start, extract and transform, hand over, train, evaluate, bundle, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.accounting import StepAccount, nothing_left
from pipelines.agreed_schema import Agreement
from pipelines.block_files import BlockFiles
from pipelines.checks import check_before_start, check_handed
from pipelines.commits import Commits
from pipelines.errors import EmptyResultError, PipelineError
from pipelines.interruption import undisturbed
from pipelines.log import RunLog, redirect_output, run_log
from pipelines.pipeline import Pipeline
from pipelines.progress import Listener, Silent
from pipelines.read_state import ReadState
from pipelines.report import ReportContent, write_report
from pipelines.result import Result, headline
from pipelines.run_record import EndStatus, RunRecord
from pipelines.stage import Stage, reporting
from pipelines.train_stages import Trained, train, warm_up

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from ray.data import Dataset

    from pipelines.session import Session

SPLIT = "split"


def run(
    pipeline: Pipeline,
    session: Session | None = None,
    *,
    data: DataFrame | Dataset | None = None,
    runs: str | Path = "runs",
    listener: Listener | None = None,
    quiet: bool = False,
    since: str | None = None,
    full_refresh: bool = False,
) -> Result:
    """Run a pipeline to its end and leave a record of it in ``runs/<pipeline>/<run-id>/``.

    Args:
        pipeline: what to do.
        session: the session to work in, which is left open, without Spark once training has begun; None starts one as
            the pipeline's ``session`` says and takes it down again.
        data: rows in place of the source's: a Spark DataFrame of the session, or a Ray Dataset.
        runs: the directory of all run records.
        listener: is told how the work goes on.
        quiet: send all that this process prints meanwhile to the log, native libraries included; a listener from
            `pipelines.progress.show_progress` goes on printing.
        since: for an incremental pipeline: read on from this cursor instead of the one that it has come to.
        full_refresh: for an incremental pipeline: read all there is, and replace what the sink holds.

    Returns:
        What came out; see `Result`.

    Raises:
        PipelineError: the pipeline cannot be run as it is, or failed.
        ConnectorError: the source cannot be read, or the sink not written.
        TrainingError: the model cannot be trained.
    """
    if (since is not None or full_refresh) and not pipeline.incremental:
        raise PipelineError("since= and full_refresh= are for an incremental pipeline; set incremental: true")
    if since is not None and full_refresh:
        raise PipelineError("a full refresh reads all there is, so give since= or full_refresh=, not both")
    record = RunRecord.create(Path(runs), pipeline.name, pipeline.describe(), pipeline.spec_hash)
    work = _Run(pipeline, record, listener or Silent(), since=since, full_refresh=full_refresh)
    try:
        with ExitStack() as routes:
            log = routes.enter_context(run_log(record.log_path))
            if quiet:
                routes.enter_context(redirect_output(record.log_path))
            result = work.do(session, data, log)
    except BaseException as error:
        with undisturbed():
            work.give_up(error)
        error.__notes__ = [*getattr(error, "__notes__", ()), f"log: {record.log_path}"]  # add_note, as of 3.11
        raise
    work.listener.run_finished(result)
    return result


@dataclass
class _Run:
    """One run while it goes on: what is known so far, so that a failure can be recorded with it."""

    pipeline: Pipeline
    record: RunRecord
    listener: Listener
    accounts: Sequence[StepAccount] = ()
    rejected: int = 0
    files: BlockFiles | None = None
    recorded: bool = False
    since: str | None = None
    full_refresh: bool = False
    state: ReadState | None = None
    agreement: Agreement | None = None

    def do(self, session: Session | None, data: DataFrame | Dataset | None, log: RunLog) -> Result:
        """Go through the stages: check, session, etl, train, evaluate, bundle, report."""
        with ExitStack() as undo, self._recording(log):
            with self._stage("check"):
                self.agreement = Agreement.of(self.pipeline, self.record.directory.parent.parent, self._notice)
                check_before_start(self.pipeline, data, self.agreement)
                if self.pipeline.incremental:
                    self.state = undo.enter_context(self._position(self.record.directory.parent.parent))
            own = session is None
            if session is None:
                session = undo.enter_context(self._started())
            log.route()  # Ray, Ray Data and transformers have put handlers of their own on their loggers by now
            trained, datasets = self._work(session, data)
            if own and self.files is not None:
                self.files.remove()
            return self._finish(trained, {} if own else datasets)

    def _work(self, session: Session, data: DataFrame | Dataset | None) -> tuple[Trained, dict[str, Dataset]]:
        """Extract and train; where a node was lost meanwhile, go on from what is left, once.

        A checkpoint still has the rows; without one they are computed again. Training goes on after its last epoch.
        """
        from pipelines.recovery import Nodes, recovering

        nodes, datasets, again = Nodes(), None, False
        warming_up = warm_up(self.pipeline.train)
        while True:
            try:
                datasets = datasets or self._extract(session, data, fewer=again)
                if self.pipeline.train is None:
                    return Trained(), datasets
                session.release_spark()
                warming_up.join()
                return train(self.pipeline, datasets, self.record, self._stage), datasets
            except Exception as error:
                lost = () if again else nodes.lost()
                if not lost:
                    raise
                again = True
                self._notice(recovering(lost, error, again=self.files is None or datasets is None))
                session.release_spark()
                datasets = None if self.files is None else datasets

    @contextmanager
    def _position(self, runs: Path) -> Iterator[ReadState]:
        """Hold the state of an incremental pipeline, once what became of a commit that was cut short is known."""
        source, sink = self.pipeline.source, self.pipeline.sink
        assert source is not None
        assert sink is not None
        with ReadState.hold(runs, self.pipeline.name) as state:
            settled = state.enter(source, sink, afresh=self.full_refresh)
            if settled is not None:
                self._notice(
                    f"the run {settled.run_id} was cut short after its rows were committed; reading on from behind them"
                )
            if not self.full_refresh and self.since is None:
                self.since = state.state.cursor
            yield state

    def _notice(self, text: str) -> None:
        self.record.notice(text)
        self.listener.noticed(text)

    def give_up(self, error: BaseException) -> None:
        """Record how the run ended, unless that has been done."""
        if self.recorded:
            return
        self.recorded = True
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
        status: EndStatus = "interrupted" if interrupted else "failed"
        said = "" if interrupted else f"{type(error).__name__}: {error}"
        self.record.finish(status, self.accounts, error=said, rejected_rows=self.rejected)

    @contextmanager
    def _recording(self, log: RunLog) -> Iterator[None]:
        """Record and log what is raised before the take-down: a Ray that was killed takes this process along."""
        try:
            yield
        except BaseException as error:
            with undisturbed():
                log.logger.error("the run was given up", error=type(error).__name__, exc_info=True)
                self.give_up(error)
            raise

    @contextmanager
    def _started(self) -> Iterator[Session]:
        """Start a session of the run's own, and take it down at the end."""
        with ExitStack() as undo:
            with self._stage("session"):
                from pipelines.session import Session

                session = undo.enter_context(Session(self.pipeline.session, log=self.record.log_path))
            yield session

    def _extract(
        self, session: Session, data: DataFrame | Dataset | None, *, fewer: bool = False
    ) -> dict[str, Dataset]:
        """Compute the rows, once, and account for them; with `fewer` executors where there is no room for all."""
        from pyspark.sql import DataFrame

        from connectors.spark import arrow_schema_of
        from pipelines.etl import Etl
        from pipelines.handback import frame_of
        from pipelines.recovery import fewer_executors

        with self._stage("etl") as stage:
            spark = session.start_spark(fewer=fewer)
            if session.executors < session.options.executors:
                self._notice(fewer_executors(session.executors, session.options.executors))
            rows = self.pipeline.source if data is None else frame_of(data, session)
            assert rows is not None  # as checked before the start
            if isinstance(rows, DataFrame):
                check_handed(self.pipeline, arrow_schema_of(rows), self.agreement)
            trains = self.pipeline.train is not None
            etl = Etl(spark, rows, self.pipeline.steps, labelled=trains, since=self.since, agreement=self.agreement)
            datasets: dict[str, Dataset] = {}
            with reporting(lambda: stage.progress(etl.rows_so_far())):
                if self.pipeline.sink is not None:
                    sink = self.pipeline.sink.replacing() if self.full_refresh else self.pipeline.sink
                    contract = self.pipeline.schema_contract
                    sink = sink.adding_columns() if contract is not None and contract.new_columns == "evolve" else sink
                    etl.to_sink(sink, Commits(self.state, self.record.run_id))
                else:
                    splits = any(step.makes_split for step in self.pipeline.steps)
                    self.files = BlockFiles(self.pipeline.checkpoint) if self.pipeline.checkpoint else None
                    datasets = etl.to_ray(SPLIT if splits else None, self.files)
            self.accounts = etl.accounts()
            with self.record.quarantine() as quarantine:
                quarantine.write(etl.rejections())
            self.rejected = quarantine.rows
            stage.rows = self.accounts[-1].rows_out
        if not self.accounts[-1].rows_out and self.since is None:
            raise EmptyResultError(nothing_left(self.accounts))
        if not self.accounts[0].rows_in and self.since is not None:
            self._notice("nothing has come to the source since the last run")
        return datasets

    def _finish(self, trained: Trained, datasets: Mapping[str, Dataset]) -> Result:
        """Write the report and complete the record."""
        fit, evaluation = trained.fit, trained.evaluation
        bundle = self.record.bundle_path if fit else None
        with self._stage("report"):
            content = ReportContent(
                pipeline=self.pipeline.name,
                run_id=self.record.run_id,
                started=self.record.started,
                seconds=time.time() - self.record.started.timestamp(),
                accounts=self.accounts,
                stages=self.record.stages,
                versions=self.record.versions,
                spec_yaml=self.pipeline.describe(),
                spec_hash=self.pipeline.spec_hash,
                splits=trained.splits,
                evaluation=evaluation,
                baselines=trained.baselines,
                epochs=fit.epochs if fit else (),
                best_epoch=fit.best_epoch if fit else None,
                output=_output(self.pipeline, bundle),
                notices=self.record.notices,
            )
            report = write_report(self.record.directory, content)
        if self.agreement is not None:
            self.agreement.keep(self.record.run_id)
        metrics = {
            **({"test": headline(evaluation)} if evaluation else {}),
            **{baseline.name: headline(baseline.evaluation) for baseline in trained.baselines},
        }
        self.record.finish("done", self.accounts, metrics, bundle=bundle, report=report, rejected_rows=self.rejected)
        self.recorded = True
        return Result(
            pipeline=self.pipeline.name,
            run_id=self.record.run_id,
            directory=self.record.directory,
            accounts=self.accounts,
            stages=self.record.stages,
            rejected=self.rejected,
            report=report,
            bundle=bundle,
            evaluation=evaluation,
            baselines=trained.baselines,
            epochs=fit.epochs if fit else (),
            notices=self.record.notices,
            sink=str(getattr(self.pipeline.sink, "path", self.pipeline.sink)) if self.pipeline.sink else None,
            datasets=datasets,
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[Stage]:
        """Time a stage, in the record and for the listener."""
        stage = Stage(name, self.listener)
        self.listener.stage_started(name)
        begun = time.monotonic()
        with self.record.stage(name):
            yield stage
        self.listener.stage_finished(name, stage.rows, time.monotonic() - begun)


def _output(pipeline: Pipeline, bundle: Path | None) -> str:
    if bundle is not None:
        return f"bundle: {bundle}"
    return f"sink: {getattr(pipeline.sink, 'path', pipeline.sink)}" if pipeline.sink is not None else ""
