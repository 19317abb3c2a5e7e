"""Ray and Spark for the time of a ``with`` block: Spark's executors are Ray actors, and all is undone at the end.

What is started is undone in reverse order, whatever was raised in between; a Ray that was running before is left
running. RayDP starts the application master and the executors; the driver's JVM is launched here, so that its output
goes to the log and its process ends when Spark is released.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import ray
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession
from raydp.spark import SparkCluster

from pipelines import preflight
from pipelines.errors import PipelineError, PreflightError, SessionError
from pipelines.interruption import undisturbed
from pipelines.java import Java, find_java
from pipelines.log import run_log
from pipelines.ray_cluster import OwnProcesses, free_resources, require_java, start_ray, wait_until
from pipelines.session_options import SessionOptions
from pipelines.spark_settings import changed_environment, give_secrets, spark_settings, worker_environment

_STOP_SECONDS = 30.0


class Session:
    """Ray with Spark on it.

    >>> with Session(executors=1, executor_cores=1) as session:
    ...     session.spark.range(10).count()

    Args:
        options: what the session is asked to be; or its fields by keyword, see `SessionOptions`.
        log: the file that the JVMs and the libraries write to; None makes one in the temporary directory, which is
            removed when all went well.

    Raises:
        pydantic.ValidationError: an option is unknown or has a wrong value.
    """

    def __init__(self, options: SessionOptions | None = None, *, log: Path | None = None, **fields: object) -> None:
        self.options = options or SessionOptions.model_validate(fields)
        self.log = log or Path(tempfile.gettempdir()) / f"headrace-session-{uuid.uuid4().hex[:8]}.log"
        self._log_is_own = log is None
        self._undo = ExitStack()
        self._java: Java | None = None
        self._spark: _Spark | None = None
        self._at_release = ExitStack()

    @property
    def spark(self) -> SparkSession:
        """The SparkSession, an ordinary one.

        Raises:
            SessionError: Spark was released, or the session was not entered.
        """
        if self._spark is None or self._spark.session is None:
            raise SessionError("this session has no Spark: it was released, or not started; start_spark() starts it")
        return self._spark.session

    @property
    def has_spark(self) -> bool:
        """Whether Spark is up."""
        return self._spark is not None

    def __enter__(self) -> Session:
        if self._java is not None:
            raise SessionError("this session is entered already; close it first, or make another one")
        try:
            self._start()
        except BaseException:
            self._close(failed=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(failed=kind is not None)

    def start_spark(self) -> SparkSession:
        """Start Spark on the running Ray, if it is not up, and return its session.

        Raises:
            SessionError: it did not come up within ``start_timeout``, or the session is not entered.
            PreflightError: the cluster has no room for the executors, or another Spark is active here.
        """
        if self._spark is None:
            if self._java is None:
                raise SessionError("the session is not entered: use it as `with Session(...) as session:`")
            _require_no_active_spark()
            preflight.require(iter([preflight.check_cluster(self.options, free_resources())]))
            spark = _Spark(self.options, self._java, self.log)
            try:
                spark.start()
            except BaseException:
                spark.stop()
                raise
            self._spark = spark
        return self.spark

    def release_spark(self) -> None:
        """Give Spark's CPUs, memory and JVMs back while Ray goes on; `start_spark` brings a new one up."""
        spark, self._spark = self._spark, None
        try:
            self._at_release.close()
        finally:
            if spark is not None:
                spark.stop()

    def at_release(self, undo: Callable[[], None]) -> None:
        """Have `undo` called when Spark is released: for what its frames need until then."""
        self._at_release.callback(undo)

    def close(self) -> None:
        """Undo all that was started; safe to call again."""
        self._close(failed=False)

    def _start(self) -> None:
        _require_no_active_spark()
        starts_ray = self.options.address is None and not ray.is_initialized()
        preflight.require(preflight.check_machine(self.options, starts_ray=starts_ray))
        self._java = find_java()
        self._undo.enter_context(changed_environment(worker_environment(self._java)))
        log = self._undo.enter_context(run_log(self.log))
        if not ray.is_initialized():
            processes = OwnProcesses()
            if self.options.address is None:
                self._undo.callback(processes.end)
            self._undo.callback(_shut_ray_down, processes)
            start_ray(self.options)
            log.route()  # Ray puts handlers of its own on its loggers when it starts
            joined = self.options.address is not None
        else:
            joined = True
        if joined:
            require_java()
        self.start_spark()

    def _close(self, *, failed: bool) -> None:
        """Undo everything; a second interruption waits until that is done."""
        with undisturbed():
            try:
                self.release_spark()
            finally:
                self._undo.close()
                self._java = None
                if self._log_is_own and not failed:
                    self.log.unlink(missing_ok=True)


class _Spark:
    """One Spark application on Ray: RayDP's master and executors, and the driver's JVM."""

    def __init__(self, options: SessionOptions, java: Java, log: Path) -> None:
        self.session: SparkSession | None = None
        self._options = options
        self._java = java
        self._log = log
        self._name = f"headrace-{uuid.uuid4().hex[:8]}"
        self._cluster: SparkCluster | None = None
        self._starting: threading.Thread | None = None
        self._given_up = threading.Event()
        self._cpus_before = ray.available_resources().get("CPU", 0.0)

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

    def stop(self) -> None:
        """End the application and its JVMs, and wait until Ray has the executors' CPUs back."""
        self._given_up.set()
        deadline = time.monotonic() + _STOP_SECONDS
        while True:
            # A start that was given up may be bringing the next process up, so what there is is ended until it ends.
            on_its_way = self._starting is not None and self._starting.is_alive()
            try:
                self._stop_session()
            finally:
                self._stop_driver()
                self._stop_master()
            if self._starting is None or not on_its_way or time.monotonic() > deadline:
                break
            self._starting.join(0.2)
        wait_until(lambda: ray.available_resources().get("CPU", 0.0) >= self._cpus_before, _STOP_SECONDS)

    def _bring_up(self) -> None:
        self._cluster = SparkCluster(
            self._name,
            self._options.executors,
            self._options.executor_cores,
            self._options.executor_memory,
            False,
            spark_settings(self._java, self._options),
        )
        if self._given_up.is_set():
            return
        conf = SparkConf(loadDefaults=False).setAll(list(self._cluster._configs.items())).setAppName(self._name)
        with self._log.open("ab") as log:
            output = {"stdout": log, "stderr": subprocess.STDOUT}
            gateway = launch_gateway(conf, popen_kwargs=output)  # type: ignore[no-untyped-call]
        context = SparkContext(conf=conf.setMaster(self._cluster.get_cluster_url()), gateway=gateway)
        session = SparkSession(context)
        give_secrets(session, self._options)
        self.session = session

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
        # Found among our children rather than remembered, because a start that was interrupted never returned it.
        # The driver's JVM is a child of this process; the executors' parent is the raylet.
        drivers = [child for child in psutil.Process().children() if self._is_own_driver(child)]
        for driver in drivers:
            driver.terminate()
        _, left = psutil.wait_procs(drivers, timeout=_STOP_SECONDS)
        for driver in left:
            driver.kill()

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


def _require_no_active_spark() -> None:
    if SparkContext._active_spark_context is not None:
        raise PreflightError(
            "a Spark session is already active in this process, and Spark allows one; close it first "
            "(session.close(), or spark.stop() if it is not one of Headrace's)"
        )


def _is_alive(actor: Any) -> bool:
    try:
        ray.get(actor.get_actor_id.remote(), timeout=1.0)
    except ray.exceptions.GetTimeoutError:
        return True  # busy stopping
    except ray.exceptions.RayError:
        return False
    return True


def _shut_ray_down(processes: OwnProcesses) -> None:
    processes.note()
    ray.shutdown()
