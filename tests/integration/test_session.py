"""The session: Spark's executors are Ray actors, and what was started is undone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import ray

from connectors import Memory
from pipelines import Pipeline
from pipelines.errors import PreflightError, SessionError
from pipelines.handoff import to_ray
from pipelines.ray_cluster import wait_until
from pipelines.session import Session
from pipelines.steps import ArrowFunction
from tests.integration.functions import with_ancestors
from tests.integration.lives import MARK, SECRET, marked
from tests.integration.traces import living_executors, receiver_processes

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.ray]

ROOT = Path(__file__).parent.parent.parent


class TestExecutors:
    def test_every_task_of_the_etl_descends_from_an_executor_actor(self, session: Session, tmp_path: Path) -> None:
        rows = [{"text": f"row {number}"} for number in range(25_000)]
        pipeline = Pipeline(name="ancestors", source=Memory(rows=rows), steps=[ArrowFunction(function=with_ancestors)])

        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(pipeline.run, session, runs=tmp_path)
            seen = [living_executors()]
            while not run.done():
                seen.append(living_executors())
        executors = set.union(*seen)
        found = run.result().datasets[""].take_all()

        assert len(found) == 25_000
        assert len(executors) == session.options.executors
        assert all(executors & set(json.loads(lineage)) for lineage in {row["ancestors"] for row in found})

    def test_releasing_spark_ends_executors_and_receivers_and_gives_their_cpus_back(
        self, session: Session, spark: SparkSession
    ) -> None:
        executors = living_executors()
        javas = [process for process in psutil.Process().children(recursive=True) if "java" in process.name()]
        dataset = to_ray(spark.range(1000))
        receivers = receiver_processes()

        session.release_spark()

        assert executors
        assert executors < {process.pid for process in javas}
        assert not living_executors()
        assert receivers
        assert wait_until(lambda: not receiver_processes(), 20.0)
        assert wait_until(lambda: not any(is_alive(process) for process in javas), 20.0)
        assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]
        assert dataset.sum("id") == 499_500
        assert not session.has_spark
        with pytest.raises(SessionError, match="start_spark"):
            _ = session.spark

    def test_spark_comes_back_after_its_driver_was_killed(self, session: Session) -> None:
        for process in psutil.Process().children():
            if "java" in process.name():
                process.kill()
        session.release_spark()
        assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]

        # A task that has a CPU while Spark starts has given it back when Spark is released.
        task = ray.remote(lambda: time.sleep(2)).remote()
        assert session.start_spark().range(10).count() == 10
        assert session.start_spark() is session.spark
        ray.get(task)
        session.release_spark()
        assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]

    @pytest.mark.soak
    def test_the_next_one_maps_the_classes_that_the_first_has_recorded(
        self, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session.release_spark()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        session.start_spark()
        session.release_spark()
        (archive,) = (tmp_path / "headrace").glob("spark-*.jsa")

        assert session.start_spark().range(10).count() == 10

        javas = [process for process in psutil.Process().children(recursive=True) if "java" in process.name()]
        assert len(javas) == 4  # the driver's, RayDP's master and what that starts, and the executor's
        assert all(str(archive) in {place.path for place in process.memory_maps()} for process in javas)


class TestRefusals:
    def test_a_second_session_beside_the_first_is_refused_and_leaves_it_alone(self, session: Session) -> None:
        with pytest.raises(PreflightError, match="already active"):
            Session().start()
        with pytest.raises(SessionError, match="started already"):
            session.start()
        assert session.spark.range(3).count() == 3

    @pytest.mark.parametrize(
        ("options", "cure"),
        [
            ({"executor_cores": 512}, "executor_cores"),
            ({"executors": 2, "executor_memory": "900g"}, "executor_memory"),
        ],
    )
    def test_more_than_the_running_cluster_has_is_refused(
        self, ray_cluster: None, options: dict[str, Any], cure: str
    ) -> None:
        before = {process.pid for process in psutil.Process().children(recursive=True)}
        with pytest.raises(PreflightError, match=rf"(?s)cluster: asked for.*cure:.*{cure}"):
            Session(**options).start()
        started = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
        assert not [process for process in started if "java" in process.name()]


@pytest.fixture(scope="module")
def foreign() -> Life:
    return Life.of("in_a_foreign_ray")


@pytest.fixture(scope="module")
def failing() -> Life:
    return Life.of("failing")


class TestWholeLives:
    def test_a_ray_that_ran_before_still_runs_after(self, foreign: Life) -> None:
        assert foreign.seen["rows"] == 10
        assert foreign.seen["ray_is_up"] == "still here"
        assert foreign.seen["cpus"] == 2
        assert foreign.seen["left_by_session"] == []

    def test_a_secret_reaches_hadoop_and_no_command_line(self, foreign: Life) -> None:
        assert foreign.seen["hadoop"] == SECRET
        assert not foreign.seen["in_conf"]
        assert foreign.seen["command_lines"] > 5
        assert foreign.seen["in_command_line"] == []
        assert not foreign.seen["in_log"]

    def test_more_than_the_machine_has_is_refused_before_anything_starts(self, failing: Life) -> None:
        refusal = failing.seen["refused"]
        assert "cpus: 512 for the executors" in refusal
        assert "memory: " in refusal
        assert refusal.count("cure: ask for") == 2
        assert failing.seen["started_by_refused"] == []

    def test_a_start_that_takes_too_long_names_the_cure_and_leaves_nothing(self, failing: Life) -> None:
        assert "within 3 s (start_timeout)" in failing.seen["too_slow"]
        assert "ray status" in failing.seen["too_slow"]
        assert failing.seen["took"] < 28  # Ray's own start and end included
        assert failing.seen["log_of_start"]
        assert failing.seen["left_by_start"] == []

    def test_an_exception_inside_takes_everything_down(self, failing: Life) -> None:
        assert failing.seen["rows"] == 10
        assert failing.seen["raised"] == "a mistake in the notebook"
        assert failing.seen["left_by_block"] == []
        assert not failing.seen["ray_is_up"]
        assert failing.seen["environment_is_back"]
        assert failing.seen["log_of_block"]

    def test_no_process_outlives_its_program(self, foreign: Life, failing: Life) -> None:
        assert foreign.survivors() == []
        assert failing.survivors() == []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Life:
    """A program that had a session, after its end: what it has seen, and what it left behind."""

    def __init__(self, mark: str, seen: dict[str, Any]) -> None:
        self.seen = seen
        self._mark = mark

    @classmethod
    def of(cls, name: str) -> Life:
        mark = uuid.uuid4().hex
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.lives", name],
            cwd=ROOT,
            env={**os.environ, MARK: mark},
            capture_output=True,
            text=True,
            timeout=140,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return cls(mark, json.loads(done.stdout.splitlines()[-1]))

    def survivors(self) -> list[str]:
        """Return the command lines of the processes that are still there after a while."""
        wait_until(lambda: not list(marked(self._mark)), 20.0)
        return [" ".join(process.cmdline())[:200] for process in marked(self._mark)]
