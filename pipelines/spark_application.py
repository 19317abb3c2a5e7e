"""One Spark application on Ray: its start and its end.

RayDP starts its master, which asks Ray for the executors once there is a driver, and leaves the driver's output on the
terminal. Here the driver's JVM is launched by us: its output goes to the log, and its process ends when Spark is
released. While the executors start, the driver plans a first query, which loads its classes.
"""

from __future__ import annotations

import subprocess
import threading
import time
import uuid
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession
from raydp.spark import SparkCluster

from pipelines.class_archive import record_classes
from pipelines.errors import PipelineError, SessionError
from pipelines.executor_watch import ExecutorWatch
from pipelines.java import Java
from pipelines.ray_cluster import remove_from_nodes, wait_until
from pipelines.session_options import SessionOptions
from pipelines.spark_settings import DRIVER_FLAGS, give_secrets, spark_settings

_STOP_SECONDS = 30.0
_EXECUTORS = "spark.executor.instances"
# Scala's name for a field of RayDP's that is private to its package.
_APPLICATION = "org$apache$spark$scheduler$cluster$raydp$RayCoarseGrainedSchedulerBackend$$appId"


class SparkApplication:
    """Spark on the Ray that this process is connected to: RayDP's master and executors, and the driver's JVM.

    Args:
        options: what the session is asked to be.
        java: the runtime of all its JVMs.
        log: the file that the driver's JVM writes to.
    """

    def __init__(self, options: SessionOptions, java: Java, log: Path) -> None:
        self.session: SparkSession | None = None
        self._options = options
        self._java = java
        self._log = log
        self._settings = spark_settings(java, options)
        self._name = f"headrace-{uuid.uuid4().hex[:8]}"
        self._cluster: SparkCluster | None = None
        self._starting: threading.Thread | None = None
        self._given_up = threading.Event()
        self._directory: str | None = None
        self._watch: ExecutorWatch | None = None
        # Where Spark's catalog of its own keeps tables; it makes the directory whether there are any or not.
        self._warehouse = Path("spark-warehouse").absolute()
        self._warehouse_is_new = not self._warehouse.exists()
        self._cpus_without = ray.available_resources().get("CPU", 0.0)

    def start(self) -> None:
        """Bring everything up within the session's deadline.

        RayDP's own start has no deadline and cannot be interrupted, so it runs in a thread that is left to itself
        when time is up; `stop` then ends what it had started.
        """
        failure: list[BaseException] = []

        def bring_up() -> None:
            try:
                self._bring_up()
            except BaseException as error:
                failure.append(error)

        thread = self._starting = threading.Thread(target=bring_up, name="headrace-spark-start", daemon=True)
        deadline = time.monotonic() + self._options.start_timeout
        thread.start()
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(0.2)
        if failure:
            if isinstance(failure[0], PipelineError):
                raise failure[0]
            raise SessionError(f"Spark did not start: {failure[0]}; the JVMs' output is in {self._log}") from failure[0]
        if thread.is_alive():
            raise SessionError(self._too_slow("Spark did not start"))
        assert self.session is not None
        if not wait_until(self._executors_are_there, deadline - time.monotonic()):
            raise SessionError(self._too_slow(f"{self._options.executors} executors did not register"))
        # Before the start some may have been taken for a moment, by a task of Ray Data's that had just ended.
        beside = ray.available_resources().get("CPU", 0.0)
        executors = self._options.executors * self._options.executor_cores
        self._cpus_without = max(self._cpus_without, beside + executors)
        self._watch = ExecutorWatch(self.session.sparkContext, self._options.executors)

    def stop(self, *, failed: bool = False) -> None:
        """End the application and its JVMs, and wait until Ray has the executors' CPUs back.

        Args:
            failed: something went wrong, or was interrupted: the classes that it has loaded are not worth recording.
        """
        self._given_up.set()
        if self._watch is not None:
            self._watch.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        while True:
            # A start that was given up may be bringing the next process up, so what there is is ended until it ends.
            on_its_way = self._starting is not None and self._starting.is_alive()
            try:
                self._stop_session()
                if not failed:
                    self._record_classes()
            finally:
                self._stop_driver()
                self._stop_master()
            if self._starting is None or not on_its_way or time.monotonic() > deadline:
                break
            self._starting.join(0.2)
        wait_until(self._cpus_are_back, _STOP_SECONDS)
        if self._directory is not None:
            remove_from_nodes(self._directory)  # what executors that were killed had there, such as shuffled rows
        if self._warehouse_is_new:
            with suppress(OSError):  # it is not there, or tables are in it
                self._warehouse.rmdir()

    def _cpus_are_back(self) -> bool:
        # A node that was lost meanwhile has taken its CPUs with it.
        expected = min(self._cpus_without, ray.cluster_resources().get("CPU", 0.0))
        return bool(ray.available_resources().get("CPU", 0.0) >= expected)

    def _bring_up(self) -> None:
        self._cluster = _Cluster(
            self._name,
            self._options.executors,
            self._options.executor_cores,
            self._options.executor_memory,
            False,
            dict(self._settings),
        )
        if self._given_up.is_set():
            return
        gateway = self._launch(self._cluster)
        conf = self._conf(self._cluster).setMaster(self._cluster.get_cluster_url())
        session = SparkSession(SparkContext(conf=conf, gateway=gateway))
        self._directory = _directory_of(session)
        give_secrets(session, self._options)
        _plan_a_query(session)
        self.session = session

    def _launch(self, cluster: SparkCluster) -> JavaGateway:
        """Launch the driver's JVM."""
        with self._log.open("ab") as log:
            output = {"stdout": log, "stderr": subprocess.STDOUT}
            return launch_gateway(self._conf(cluster), popen_kwargs=output)  # type: ignore[no-untyped-call]

    def _conf(self, cluster: SparkCluster) -> SparkConf:
        conf = SparkConf(loadDefaults=False).setAll(list(cluster._configs.items())).setAppName(self._name)
        # Without RayDP's Java agent, which gives the output of JVMs that Ray starts a place, and keeps classes from
        # being recorded.
        return conf.set(DRIVER_FLAGS, self._settings[DRIVER_FLAGS])

    def _executors_are_there(self) -> bool:
        assert self.session is not None
        # The map counts the driver's own block manager too.
        known: int = self.session.sparkContext._jsc.sc().getExecutorMemoryStatus().size()
        return known > self._options.executors

    def _stop_session(self) -> None:
        session, self.session = self.session, None
        if session is None:
            return
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Unable to cleanly shutdown Spark JVM", RuntimeWarning)
                session.stop()
        except (Py4JError, OSError):
            # The driver's JVM is gone already; what pyspark remembers of it would bar the next one.
            SparkSession._instantiatedSession = SparkSession._activeSession = None
            SparkContext._active_spark_context = None

    def _stop_driver(self) -> None:
        gateway, SparkContext._gateway, SparkContext._jvm = SparkContext._gateway, None, None
        if gateway is not None:
            gateway.shutdown()
        drivers = self._drivers()
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for driver in filter(_runs, drivers):
                with suppress(psutil.NoSuchProcess):
                    end(driver)
            if wait_until(lambda: not any(map(_runs, drivers)), _STOP_SECONDS):
                break
        if gateway is not None:
            gateway.proc.poll()

    def _record_classes(self) -> None:
        for driver in self._drivers():
            record_classes(self._java, driver.pid)

    def _drivers(self) -> list[psutil.Process]:
        """Return the driver's JVM, if it runs.

        It is found rather than remembered, because a start that was interrupted never returned it: it is a child of
        this process, where the executors' parent is the raylet.
        """
        return [child for child in psutil.Process().children() if self._is_own_driver(child)]

    def _is_own_driver(self, child: psutil.Process) -> bool:
        try:
            return self._name in " ".join(child.cmdline())
        except psutil.Error:
            return False

    def _stop_master(self) -> None:
        try:
            master = ray.get_actor(f"{self._name}_SPARK_MASTER")
        except ValueError:
            return  # it never came up
        if self._cluster is None:
            ray.kill(master)  # it is still starting, and would not listen before that is done
            return
        self._cluster.stop(cleanup_data=True)
        if not wait_until(lambda: not _is_alive(master), _STOP_SECONDS):
            ray.kill(master)

    def _too_slow(self, what: str) -> str:
        return (
            f"{what} within {self._options.start_timeout:.0f} s (start_timeout); the cluster may be full, a node's "
            f"Java may be missing, or the machine slow: see `ray status`, and the JVMs' output in {self._log}"
        )


def _directory_of(session: SparkSession) -> str:
    """Return the name of the directory, within Ray's own on each node, in which RayDP's executors work.

    It is the id that RayDP's master knows the application by; Spark's own for it is another.
    """
    backend: Any = session.sparkContext._jsc.sc().schedulerBackend()
    name: str = getattr(backend, _APPLICATION)().get()
    return name


class _Cluster(SparkCluster):  # type: ignore[misc]
    """RayDP's cluster, whose master is not told how many executors there are to be, as only the driver asks for them.

    A master that knows starts no executor in the place of one that Ray had restarted once, as it counts that one twice.
    """

    def _set_up_master(self, resources: dict[str, float], kwargs: dict[Any, Any] | None) -> None:
        executors = self._configs.pop(_EXECUTORS)
        try:
            super()._set_up_master(resources, kwargs)
        finally:
            self._configs[_EXECUTORS] = executors


def _plan_a_query(session: SparkSession) -> None:
    """Plan a query that is not run: it loads the driver's classes for SQL while the executors' JVMs start."""
    session.range(1)._jdf.queryExecution().executedPlan()


def _runs(process: psutil.Process) -> bool:
    """Tell whether a process has not ended; its exit status is left to who started it.

    pyspark waits for the driver's status while that starts, and would wait for ever if somebody else had taken it.
    """
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_alive(actor: Any) -> bool:
    try:
        ray.get(actor.get_actor_id.remote(), timeout=1.0)
    except ray.exceptions.GetTimeoutError:
        return True  # busy stopping
    except ray.exceptions.RayError:
        return False
    return True
