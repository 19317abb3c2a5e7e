from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from pipelines.log import LIBRARIES, OURS, LogFormat, get_logger, redirect_output, run_log


@pytest.fixture
def terminal() -> Iterator[StringIO]:
    """What a library's own handler, set up before the run, prints to."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def state() -> dict[str, tuple[object, ...]]:
    loggers = {name: logging.getLogger(name) for name in ("", *OURS, *LIBRARIES)}
    return {name: (one.level, one.propagate, tuple(one.handlers)) for name, one in loggers.items()}


def test_our_own_lines_carry_their_facts(tmp_path: Path) -> None:
    with run_log(tmp_path / "run.log") as log:
        log.logger.info("step done", step="split", rows=12)
        get_logger("pipelines.session").info("started")
        get_logger("pipelines.session").debug("too fine to keep")

    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "step done" in text
    assert "rows=12" in text
    assert "pipelines.session" in text
    assert "too fine" not in text


def test_json_lines_are_one_object_each_with_time_level_and_logger(tmp_path: Path) -> None:
    with run_log(tmp_path / "run.log", form="json") as log:
        log.logger.info("读完", rows=12)
        logging.getLogger("ray.data").error("lost %s", "a block")

    ours, rays = (json.loads(line) for line in (tmp_path / "run.log").read_text(encoding="utf-8").splitlines())
    assert (ours["event"], ours["rows"], ours["logger"], ours["level"]) == ("读完", 12, "headrace", "info")
    assert (rays["event"], rays["logger"], rays["level"]) == ("lost a block", "ray.data", "error")
    assert ours["timestamp"] <= rays["timestamp"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_logged_with_its_traceback(tmp_path: Path, form: LogFormat) -> None:
    with run_log(tmp_path / "run.log", form=form) as log:
        try:
            raise ValueError("bad row")
        except ValueError:
            log.logger.exception("a step failed")
            logging.getLogger("py4j").exception("a call failed")

    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert text.count("ValueError: bad row") == 2
    assert text.count("Traceback") == 2


def test_libraries_go_to_the_file_instead_of_the_terminal(tmp_path: Path, terminal: StringIO) -> None:
    with run_log(tmp_path / "run.log"):
        logging.getLogger("transformers.models").warning("some weights were not used")
        logging.getLogger("a_library_nobody_thought_of").warning("hello")

    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert text.count("some weights were not used") == 1
    assert text.count("hello") == 1
    assert terminal.getvalue() == ""


def test_a_logger_below_a_library_with_a_terminal_of_its_own_is_routed_once(tmp_path: Path) -> None:
    stream, handler = StringIO(), logging.StreamHandler
    inner = logging.getLogger("ray.train.inner")
    own = handler(stream)
    with run_log(tmp_path / "run.log") as log:
        inner.addHandler(own)
        inner.propagate = False
        log.route()
        log.route()
        inner.warning("worker started")

    assert (tmp_path / "run.log").read_text(encoding="utf-8").count("worker started") == 1
    assert stream.getvalue() == ""
    assert (inner.handlers, inner.propagate) == ([own], False)
    inner.removeHandler(own)
    inner.propagate = True


def test_a_library_that_formats_every_handler_it_finds_does_not_change_the_log(tmp_path: Path) -> None:
    with run_log(tmp_path / "run.log", form="json"):
        for handler in logging.getLogger("ray").handlers:
            handler.setFormatter(logging.Formatter("%(message)s"))
        logging.getLogger("ray").warning("started")

    assert json.loads((tmp_path / "run.log").read_text(encoding="utf-8"))["event"] == "started"


def test_everything_is_put_back_as_it_was(tmp_path: Path, terminal: StringIO) -> None:
    before, shown = state(), warnings.showwarning

    with run_log(tmp_path / "run.log") as log:
        log.route()
        during = state()

    assert during != before
    assert state() == before
    assert warnings.showwarning is shown
    logging.getLogger("transformers").warning("back on the terminal")
    assert "back on the terminal" in terminal.getvalue()
    assert "back on" not in (tmp_path / "run.log").read_text(encoding="utf-8")


def test_it_is_put_back_after_an_error_too(tmp_path: Path) -> None:
    before = state()

    with pytest.raises(RuntimeError), run_log(tmp_path / "run.log"):
        raise RuntimeError("the run failed")

    assert state() == before


def test_a_handler_that_a_library_adds_in_the_meantime_is_the_librarys_again(tmp_path: Path) -> None:
    logger, handler = logging.getLogger("optuna"), logging.StreamHandler(StringIO())
    with run_log(tmp_path / "run.log"):
        logger.addHandler(handler)

    assert logger.handlers == [handler]
    logger.removeHandler(handler)
    logger.propagate = True


def test_warnings_go_to_the_file(tmp_path: Path) -> None:
    with warnings.catch_warnings(), run_log(tmp_path / "run.log"):
        warnings.simplefilter("always")
        warnings.warn("this will be removed", DeprecationWarning, stacklevel=1)

    text = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "DeprecationWarning: this will be removed" in text


def test_a_second_run_appends_nothing_to_the_first_ones_file(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with run_log(tmp_path / name) as log:
            log.logger.info(f"this is the {name}")

    assert "second" not in (tmp_path / "first").read_text(encoding="utf-8")


def test_a_child_started_meanwhile_writes_to_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = "import sys; print('to output'); print('to error', file=sys.stderr)"
    with redirect_output(tmp_path / "run.log"):
        subprocess.run([sys.executable, "-c", program], check=True)
    os.write(1, b"after\n")

    assert set((tmp_path / "run.log").read_text().splitlines()) == {"to output", "to error"}
    assert capfd.readouterr().out == "after\n"


def test_output_is_put_back_after_an_error_and_no_descriptor_is_lost(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def attempt() -> None:
        with redirect_output(tmp_path / "run.log"):
            os.write(2, b"inside\n")
            raise RuntimeError("no JVM")

    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    with pytest.raises(RuntimeError):
        attempt()
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    os.write(2, b"outside\n")

    assert before == after
    assert (tmp_path / "run.log").read_bytes() == b"inside\n"
    assert capfd.readouterr().err == "outside\n"


def test_the_log_and_a_child_share_a_file_without_overwriting_each_other(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    with run_log(path) as log:
        log.logger.info("before")
        with redirect_output(path):
            subprocess.run([sys.executable, "-c", "print('from the child')"], check=True)
            log.logger.info("during")
        log.logger.info("after")

    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert all(word in line for word, line in zip(("before", "from the child", "during", "after"), lines, strict=True))
