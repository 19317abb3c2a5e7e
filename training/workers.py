"""Starting Ray Train's workers, giving each its share of the rows, and seeing them through."""

from __future__ import annotations

import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.train
import torch
from ray.data import Dataset
from ray.train import DataConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.config import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig

from training.checkpoint import History
from training.errors import FitError
from training.progress import watching
from training.rows import Share
from training.worker import Job, Learner, Team

SECONDS_FOR_CPUS = 60.0
"""How long to wait for CPUs that something else still holds, such as executors that are just being released."""

START_ATTEMPTS = 1
"""How often Ray Train may try again when the workers do not start within its 60 seconds, before the run fails."""

INTERVAL, SECONDS_BETWEEN_LOOKS = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2"


def share_out(dataset: Dataset, workers: int) -> list[Dataset]:
    """Split a dataset into one part a worker, every row in exactly one, the sizes differing by one row at most.

    The parts' blocks fail at once when their node is lost, and are not computed again: Ray would do so in tasks that
    wait for CPUs, which the workers hold, and the workers would wait for the tasks.
    """
    rows = dataset.count()
    bounds = [rows * number // workers for number in range(1, workers)]
    parts = list(dataset.split_at_indices(bounds)) if bounds else [dataset]
    copies: list[list[Any]] = [[_as_it_is.remote(block) for block in part.to_arrow_refs()] for part in parts]
    return [ray.data.from_arrow_refs(blocks) for blocks in copies]


def cpus_for(workers: int) -> int:
    """Return how many CPUs each worker can have, waiting a while for those that others still hold.

    Raises:
        FitError: the cluster has fewer CPUs than workers, or they do not become free in time.
    """
    nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    if sum(math.floor(cpus) for cpus in nodes) < workers:
        raise FitError(
            f"training asks for {workers} workers, one CPU each at least, and the Ray cluster has {sum(nodes):g} CPUs; "
            "lower workers, or add nodes to the cluster"
        )
    deadline = time.monotonic() + SECONDS_FOR_CPUS
    free = math.floor(ray.available_resources().get("CPU", 0))
    while free < workers:
        if time.monotonic() > deadline:
            raise FitError(
                f"training asks for {workers} workers and only {free} of the cluster's {sum(nodes):g} CPUs are free "
                f"after {SECONDS_FOR_CPUS:g} s; release Spark before training, end the other jobs on this cluster, or "
                "lower workers"
            )
        time.sleep(0.5)
        free = math.floor(ray.available_resources().get("CPU", 0))
    each = free // workers
    while each > 1 and sum(math.floor(cpus / each) for cpus in nodes) < workers:
        each -= 1
    return int(each)


def run_workers(
    job: Job,
    train: list[Dataset],
    validation: list[Dataset],
    *,
    storage: Path,
    name: str,
    listener: Callable[[str, int], None],
) -> Path:
    """Train, and return the directory of the last checkpoint.

    Args:
        job: what to do.
        train: each worker's rows.
        validation: each worker's rows; empty for none.
        storage: where Ray Train keeps its runs.
        name: of this run; one that was interrupted goes on after its last whole epoch.
        listener: told of progress.

    Raises:
        FitError: a worker failed, or the workers did not start.
        KeyboardInterrupt: the user interrupted; the workers are gone.
    """
    datasets: dict[str, Any] = {f"train-{number}": part for number, part in enumerate(train)}
    datasets |= {f"validation-{number}": part for number, part in enumerate(validation)}
    run: Any = RunConfig(
        name=name,
        storage_path=str(storage),
        checkpoint_config=CheckpointConfig(num_to_keep=1),
        failure_config=FailureConfig(max_failures=0, controller_failure_limit=START_ATTEMPTS),
        logging_config=LoggingConfig(log_level="ERROR"),
    )
    trainer = TorchTrainer(
        work,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=len(train), resources_per_worker={"CPU": job.threads}),
        run_config=run,
        datasets=datasets,
        # Ray's own way of splitting drops the rows that remain. Ours are split already, also because the workers hold
        # the CPUs by then, so that a task to split with could wait for ever.
        dataset_config=DataConfig(datasets_to_split=[]),
    )
    listener("starting workers", 0)
    with watching(job.progress, listener), _interruptible(), _prompt():
        try:
            result = trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise FitError(_told(error, name)) from error
    if result.checkpoint is None:
        raise FitError(f"training {name!r} ended without a checkpoint in {storage / name}; look at Ray's logs for why")
    return Path(result.checkpoint.path)


@ray.remote(num_cpus=0, max_retries=0)
def _as_it_is(block: pa.Table) -> pa.Table:
    return block


def work(config: dict[str, Job]) -> None:
    """Run one worker; Ray Train calls this in each of them."""
    job, context = config["job"], ray.train.get_context()
    torch.set_num_threads(job.threads)
    team = Team(context.get_world_rank(), context.get_world_size())
    train = _share(f"train-{team.rank}", job.train_rows[team.rank], job)
    validation = _share(f"validation-{team.rank}", job.validation_rows[team.rank], job)
    learner = Learner(job, team, train, validation)
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as directory:
            learner.resume(Path(directory))
    while not learner.history.finished:
        learner.learn_epoch()
        _keep(learner, learner.history, first=team.rank == 0)


def _keep(learner: Learner, history: History, *, first: bool) -> None:
    metrics = {"epoch": history.epochs[-1].number, "best_epoch": history.best_epoch}
    if not first:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as directory:
        learner.save(Path(directory))
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(directory))


def _share(name: str, rows: int, job: Job) -> Share:
    def read(batch_rows: int) -> Iterable[pa.Table]:
        if not rows:
            return ()
        shard = ray.train.get_dataset_shard(name)
        tables: Iterable[pa.Table] = shard.iter_batches(batch_size=batch_rows, batch_format="pyarrow")
        return tables

    return Share(read, rows, job.share_batch)


@contextmanager
def _prompt() -> Iterator[None]:
    """Let Ray Train's controller look at its workers often, unless the user has said how often.

    A worker waits at the end of an epoch until the controller has taken its report, and by default the controller
    looks every two seconds: most of a minute for the 20 epochs of a head, each of which takes a fraction of a second.
    """
    if INTERVAL in os.environ:
        yield
        return
    os.environ[INTERVAL] = SECONDS_BETWEEN_LOOKS
    try:
        yield
    finally:
        del os.environ[INTERVAL]


@contextmanager
def _interruptible() -> Iterator[None]:
    """Undo what Ray Train does to Ctrl-C: it leaves its handler behind, and makes an interruption look like success."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)


def _told(error: ray.train.TrainingFailedError, name: str) -> str:
    if isinstance(error, ray.train.ControllerError):
        return (
            f"training {name!r} could not go on: {error.controller_failure}; when the workers did not start, see "
            "whether the cluster is overloaded or lacks CPUs on a single node, and start again under the "
            "same name to resume"
        )
    failures = getattr(error, "worker_failures", {})
    rank, cause = next(iter(failures.items()), (0, error))
    lines = [line for line in str(cause).strip().splitlines() if line.strip()]
    return (
        f"training {name!r} failed in worker {rank}: {lines[-1] if lines else type(cause).__name__}; mend the cause "
        "and start again under the same name to go on after the last whole epoch"
    )
