from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.accounting import StepAccount
from pipelines.progress import Listener, LiveView, PlainLines, Silent, show_progress
from pipelines.run_record import StageTime


@dataclass(frozen=True)
class Finished:
    """A run that only moved rows."""

    pipeline: str = "corpus"
    accounts: Sequence[StepAccount] = field(default_factory=lambda: [StepAccount("csv", 10, 0, 9, {"malformed": 1})])
    stages: Sequence[StageTime] = (StageTime("etl", 0.0, 2.0),)
    evaluation: None = None
    baselines: Sequence[None] = ()
    report: Path | None = Path("runs/corpus/1/report.html")
    bundle: None = None
    sink: str | None = None
    notices: Sequence[str] = ("node 10.0.0.2 went away",)


def tell(listener: Listener) -> None:
    listener.stage_started("etl", 1000)
    listener.stage_progress("etl", 500, "reading")
    listener.stage_finished("etl", 1000, 2.0)
    listener.stage_started("train")
    listener.stage_progress("train", 300, "epoch 1")


def live_console() -> Console:
    return Console(file=StringIO(), force_terminal=True, width=100, color_system=None, force_jupyter=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def shown(view: LiveView) -> list[str]:
    console = Console(file=StringIO(), width=100)
    console.print(view.table())
    return [" ".join(line.split()) for line in printed(console).splitlines()]


def test_plain_lines_are_one_for_a_start_and_one_for_an_end() -> None:
    console = Console(file=StringIO(), width=100)

    tell(PlainLines(console))

    assert printed(console).splitlines() == [
        "etl … (1,000 rows)",
        "etl done in 2.0 s, 1,000 rows, 500 rows/s",
        "train …",
    ]


def test_a_notice_is_printed_when_it_comes_and_again_in_the_summary() -> None:
    console = Console(file=StringIO(), width=100)
    listener = PlainLines(console)

    listener.noticed("node 10.0.0.2 went away")
    listener.run_finished(Finished())

    lines = printed(console).splitlines()
    assert lines[0] == "note: node 10.0.0.2 went away"
    assert "Note    node 10.0.0.2 went away" in lines[1:]


def test_the_live_view_prints_a_notice_above_its_table() -> None:
    console = live_console()
    with LiveView(console) as view:
        tell(view)
        view.noticed("node 10.0.0.2 went away")
    assert "note: node 10.0.0.2 went away" in printed(console)


def test_plain_lines_show_no_rate_where_there_are_no_rows() -> None:
    console = Console(file=StringIO(), width=100)

    PlainLines(console).stage_finished("start", 0, 21.4)

    assert printed(console) == "start done in 21 s\n"


def test_a_stage_called_like_markup_is_printed_as_it_is() -> None:
    console = Console(file=StringIO(), width=100)

    PlainLines(console).stage_started("[red]etl[/nothing]")

    assert printed(console) == "[red]etl[/nothing] …\n"


def test_the_live_table_has_state_rows_rate_and_note() -> None:
    view = LiveView(live_console())

    tell(view)

    etl, train = shown(view)
    assert etl == "✓ etl 1,000 rows 500 rows/s 2.0 s"
    assert "train 300 rows" in train
    assert "epoch 1" in train


def test_a_running_stage_of_known_size_shows_its_share() -> None:
    view = LiveView(live_console())

    view.stage_started("etl", 1000)
    view.stage_progress("etl", 250)

    assert "250 of 1,000 rows (25%)" in shown(view)[0]


def test_a_run_that_breaks_off_leaves_the_stage_marked_and_the_cursor_visible() -> None:
    console = live_console()
    view = LiveView(console)

    def run() -> None:
        with view:
            view.stage_started("train")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()

    assert shown(view)[0].startswith("✗ train")
    assert printed(console).rindex("\x1b[?25h") > printed(console).rindex("\x1b[?25l")


def test_the_summary_comes_after_the_live_view() -> None:
    console = live_console()
    with LiveView(console) as view:
        tell(view)
        view.run_finished(Finished())

    text = printed(console)
    assert text.rindex("Report") > text.rindex("rows/s")


def test_a_stream_that_is_no_terminal_gets_plain_lines_without_escapes() -> None:
    stream = StringIO()
    with show_progress(stream) as listener:
        tell(listener)
        listener.run_finished(Finished())

    assert isinstance(listener, PlainLines)
    assert "etl done in 2.0 s" in stream.getvalue()
    assert "malformed 1" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_the_silent_listener_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    listener: Listener = Silent()

    tell(listener)
    listener.run_finished(Finished())

    assert capfd.readouterr() == ("", "")


def test_progress_stays_on_the_pipe_while_output_is_redirected(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from pipelines.log import redirect_output
from pipelines.progress import show_progress

with show_progress() as listener, redirect_output(Path(sys.argv[1])):
    listener.stage_started("start")
    os.write(1, b"noise of a JVM\\n")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run.log")],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONUTF8": "1"},
    )  # fmt: skip

    assert (ended.stdout, ended.stderr) == ("start …\n", "")
    assert (tmp_path / "run.log").read_text() == "noise of a JVM\n"


def test_the_live_view_on_a_real_terminal_is_chosen_and_stays_there(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from pipelines.log import redirect_output
from pipelines.progress import LiveView, show_progress

with show_progress() as listener:
    assert isinstance(listener, LiveView), listener
    with redirect_output(Path(sys.argv[1])):
        listener.stage_started("start")
        os.write(1, b"noise of a JVM\\n")
        listener.stage_finished("start", 5, 1.0)
"""
    leader, follower = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "run.log")],
        stdout=follower, stderr=follower, env={**os.environ, "PYTHONUTF8": "1", "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(follower)
    text = read_to_end(leader)
    code = child.wait()

    assert code == 0, text
    assert "start" in text
    assert "5 rows" in text
    assert "noise" not in text
    assert (tmp_path / "run.log").read_text() == "noise of a JVM\n"


def read_to_end(descriptor: int) -> str:
    parts: list[bytes] = []
    try:
        while part := os.read(descriptor, 4096):
            parts.append(part)
    except OSError:
        # Linux reports the end of a terminal whose other side is closed as an input/output error.
        parts.append(b"")
    finally:
        os.close(descriptor)
    return b"".join(parts).decode()
