"""The log of a run: one file for our own lines, the libraries', Python's warnings and the JVMs' output.

Nothing here is configured for the whole process to keep: leaving `run_log` and `redirect_output` puts every
logger, the showing of warnings and the file descriptors back.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO, cast

import structlog

LogFormat = Literal["text", "json"]

OURS = ("headrace", "connectors", "pipelines", "training")
"""The loggers whose lines are kept from INFO up; the others keep the level that they have."""

LIBRARIES = (
    "accelerate", "datasets", "filelock", "fsspec", "huggingface_hub", "lightning", "matplotlib", "mlflow",
    "optuna", "py.warnings", "py4j", "pyarrow", "pyspark", "ray", "raydp", "sentence_transformers",
    "tokenizers", "torch", "transformers", "urllib3",
)  # fmt: skip
"""The loggers that are kept off the terminal, with all below them."""


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that takes an event and its facts: ``log.info("step done", step="split", rows=12)``.

    It needs no configuration, and its lines go wherever those of the standard logger `name` go.
    """
    wrapped = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            *_facts(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=False,
    )
    return cast(structlog.stdlib.BoundLogger, wrapped)


class RunLog:
    """The open log of a run.

    Attributes:
        path: the file; everything is appended to it.
        logger: the run's own logger.
    """

    def __init__(self, path: Path, handler: logging.Handler) -> None:
        """Use `run_log`."""
        self.path = path
        self.logger = get_logger("headrace")
        self._handler = handler
        self._taken: dict[str, _Taken] = {}

    def route(self) -> None:
        """Send the loggers to the file and take them off the terminal.

        `run_log` does so at its start. Call it again after a library has been imported or started: ray, Ray
        Data and transformers put a handler for the terminal on their own loggers when they are.
        """
        leads = ("", *OURS, *LIBRARIES)
        for name in leads:
            logger = self._take_off_terminal(logging.getLogger(name))
            logger.addHandler(self._handler)
            logger.propagate = False
        for name in OURS:
            logging.getLogger(name).setLevel(logging.INFO)
        for name, below in list(logging.root.manager.loggerDict.items()):
            known = name not in leads and name.partition(".")[0] in leads
            if known and isinstance(below, logging.Logger) and below.handlers:
                self._take_off_terminal(below).propagate = True

    def restore(self) -> None:
        """Put every logger back as it was, keeping what a library set up for itself in the meantime."""
        while self._taken:
            _, taken = self._taken.popitem()
            taken.put_back(self._handler)

    def _take_off_terminal(self, logger: logging.Logger) -> logging.Logger:
        taken = self._taken.get(logger.name)
        if taken is None:
            taken = _Taken(logger, logger.level, logger.propagate, list(logger.handlers))
            self._taken[logger.name] = taken
        # A user's own handlers at the root are the user's business: only the libraries are silenced.
        for handler in [] if logger is logging.root else list(logger.handlers):
            if _writes_to_terminal(handler):
                logger.removeHandler(handler)
                if handler not in taken.handlers:
                    taken.handlers.append(handler)
                    taken.propagate = logger.propagate
        return logger


class _LogFile(logging.FileHandler):
    """The handler that appends to the file from INFO up, in a form that stays as it is."""

    def __init__(self, path: Path, formatter: logging.Formatter) -> None:
        super().__init__(path, mode="a", encoding="utf-8", errors="backslashreplace")
        super().setFormatter(formatter)
        self.setLevel(logging.INFO)

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802
        """Keep the formatter: starting Ray gives its own to every handler that it finds at its logger."""


@dataclass
class _Taken:
    """A logger that has been taken, and how it is to be put back."""

    logger: logging.Logger
    level: int
    propagate: bool
    handlers: list[logging.Handler]

    def put_back(self, ours: logging.Handler) -> None:
        self.logger.removeHandler(ours)
        # Handlers that came meanwhile stay, and with them what their library decided about propagation.
        if any(handler not in self.handlers for handler in self.logger.handlers):
            self.propagate = self.logger.propagate
        for handler in self.handlers:
            self.logger.addHandler(handler)
        self.logger.propagate = self.propagate
        if self.logger.name in OURS:
            # The others' levels were never touched, and a library may have set its own since.
            self.logger.setLevel(self.level)


@contextmanager
def run_log(path: Path, form: LogFormat = "text") -> Iterator[RunLog]:
    """Open the log of a run at `path` and route everything into it until the end.

    Our own loggers, those of the libraries, Python's warnings, and whatever reaches the root logger are
    appended to the file from INFO up. Lines are whole even when `redirect_output` sends a JVM to the same
    file.

    Args:
        path: the log file; its directory must exist.
        form: ``text`` for people; ``json`` for programs, one object a line (send JVMs to another file
            then).

    Raises:
        OSError: the file cannot be written.
    """
    handler = _LogFile(path, _formatter(form))
    log = RunLog(path, handler)
    with ExitStack() as undo:
        undo.callback(handler.close)
        undo.callback(log.restore)
        log.route()
        undo.enter_context(_logged_warnings())
        yield log


@contextmanager
def redirect_output(path: Path) -> Iterator[None]:
    """Point the process's standard output and error at the end of the file `path` meanwhile.

    Processes started inside, such as JVMs, inherit the file instead of the terminal and keep it. This is for
    the whole process, all its threads included: what other code prints in the meantime goes to the file too,
    but for what goes to a copy of the terminal made before, as the progress view has one.

    Raises:
        OSError: the file cannot be written.
    """
    with ExitStack() as undo:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        undo.callback(os.close, target)
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            _flush(stream)
            undo.callback(_point_back(descriptor))
            os.dup2(target, descriptor)
            # What was printed meanwhile and is still buffered belongs in the file.
            undo.callback(_flush, stream)
        yield


def _point_back(descriptor: int) -> Callable[[], None]:
    """Return what makes `descriptor` be again what it is now: open on the same thing, or closed."""
    try:
        saved = os.dup(descriptor)
    except OSError:
        return lambda: os.close(descriptor)

    def put_back() -> None:
        os.dup2(saved, descriptor)
        os.close(saved)

    return put_back


def _flush(stream: TextIO | None) -> None:
    if stream is not None and not stream.closed:
        stream.flush()


def _writes_to_terminal(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)


@contextmanager
def _logged_warnings() -> Iterator[None]:
    """Log warnings that would be shown on the terminal; which ones are, the filters decide as always."""
    before = warnings.showwarning

    def log_warning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if file is not None:
            before(message, category, filename, lineno, file, line)
            return
        logging.getLogger("py.warnings").warning("%s:%s: %s: %s", filename, lineno, category.__name__, message)

    warnings.showwarning = log_warning
    try:
        yield
    finally:
        warnings.showwarning = before


def _facts() -> list[structlog.typing.Processor]:
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(form: LogFormat) -> logging.Formatter:
    renderer: structlog.typing.Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=False, sort_keys=False)
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        foreign_pre_chain=[*_facts(), structlog.processors.format_exc_info],
    )
