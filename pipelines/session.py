"""Ray and Spark for the time of a ``with`` block: Spark's executors are Ray actors, and all is undone at the end.

What is started is undone in reverse order, whatever was raised in between; a Ray that was running before is left
running.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import ray
from pyspark import SparkContext
from pyspark.sql import SparkSession

from pipelines import preflight
from pipelines.class_archive import with_class_archive
from pipelines.desk import forget_desk
from pipelines.errors import PreflightError, SessionError
from pipelines.idle_receivers import end_idle
from pipelines.interruption import undisturbed
from pipelines.java import Java, find_java
from pipelines.log import run_log
from pipelines.ray_cluster import OwnProcesses, free_resources, require_java, start_ray, wait_until
from pipelines.session_options import SessionOptions
from pipelines.spark_application import SparkApplication
from pipelines.spark_settings import changed_environment, worker_environment

# Ray hears a little late of what has become free, such as the CPUs of a training that has just failed.
_ROOM_SECONDS = 30.0


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
        self._spark: SparkApplication | None = None
        self._executors = 0
        self._at_release = ExitStack()

    @property
    def spark(self) -> SparkSession:
        """The SparkSession, an ordinary one.

        Raises:
            SessionError: Spark was released, or the session was not started.
        """
        if self._spark is None or self._spark.session is None:
            raise SessionError("this session has no Spark: it was released, or not started; start_spark() starts it")
        return self._spark.session

    @property
    def has_spark(self) -> bool:
        """Whether Spark is up."""
        return self._spark is not None

    def __enter__(self) -> Session:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(failed=kind is not None)

    def start(self) -> Session:
        """Start everything and return this session, for a notebook, where no ``with`` block can span the cells.

        Whatever was started is undone by `close`; by this itself where it fails.

        Raises:
            SessionError: it is started already, or did not start within ``start_timeout``.
            PreflightError: something that it needs is not there; the message names the cure.
        """
        if self._java is not None:
            raise SessionError("this session is started already; close it first, or make another one")
        try:
            self._start()
        except BaseException:
            self._close(failed=True)
            raise
        return self

    @property
    def executors(self) -> int:
        """How many executors Spark was started with; 0 while it is not up."""
        return self._executors if self._spark is not None else 0

    def start_spark(self, *, fewer: bool = False) -> SparkSession:
        """Start Spark on the running Ray, if it is not up, and return its session.

        Args:
            fewer: start as many of the executors as the cluster has room for, one at least, as after a node was lost.

        Raises:
            SessionError: it did not come up within ``start_timeout``, or the session is not started.
            PreflightError: the cluster has no room for the executors, or another Spark is active here.
        """
        if self._spark is None:
            if self._java is None:
                raise SessionError(
                    "the session is not started: use it as `with Session(...) as session:`, or call its start()"
                )
            _require_no_active_spark()
            options = self._that_fit() if fewer else self.options
            preflight.require(iter([preflight.check_cluster(options, free_resources())]))
            spark = SparkApplication(options, with_class_archive(self._java), self.log)
            try:
                spark.start()
            except BaseException:
                spark.stop(failed=True)
                raise
            self._spark, self._executors = spark, options.executors
        return self.spark

    def release_spark(self) -> None:
        """Give Spark's CPUs, memory and JVMs back while Ray goes on; `start_spark` brings a new one up."""
        self._release_spark(failed=False)

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

    def _release_spark(self, *, failed: bool) -> None:
        spark, self._spark = self._spark, None
        try:
            self._at_release.close()
            end_idle()
            forget_desk()
        finally:
            if spark is not None:
                spark.stop(failed=failed)

    def _that_fit(self) -> SessionOptions:
        """Return the options with as many of the executors as fit once all that ends has ended, one at least."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        executors = max(1, min(self.options.executors, preflight.places_for(self.options, nodes)))
        wait_until(lambda: preflight.places_for(self.options, free_resources()) >= executors, _ROOM_SECONDS)
        executors = max(1, min(executors, preflight.places_for(self.options, free_resources())))
        return self.options.model_copy(update={"executors": executors})

    def _close(self, *, failed: bool) -> None:
        """Undo everything; a second interruption waits until that is done."""
        with undisturbed():
            try:
                self._release_spark(failed=failed)
            finally:
                self._undo.close()
                self._java = None
                if self._log_is_own and not failed:
                    self.log.unlink(missing_ok=True)


def _require_no_active_spark() -> None:
    if SparkContext._active_spark_context is not None:
        raise PreflightError(
            "a Spark session is already active in this process, and Spark allows one; close it first "
            "(session.close(), or spark.stop() if it is not one of Headrace's)"
        )


def _shut_ray_down(processes: OwnProcesses) -> None:
    processes.note()
    ray.shutdown()
