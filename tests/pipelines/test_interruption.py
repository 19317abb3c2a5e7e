"""What is being undone is undone to its end, and the interruption is heard then."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from pipelines.interruption import undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    done = []

    @undisturbed()
    def undo() -> None:
        signal.raise_signal(number)
        signal.raise_signal(number)
        done.append("all")

    with pytest.raises(KeyboardInterrupt):
        undo()
    assert done == ["all"]


def test_what_the_block_raises_comes_before_a_signal() -> None:
    @undisturbed()
    def undo() -> None:
        signal.raise_signal(signal.SIGINT)
        raise LookupError

    with pytest.raises(LookupError):
        undo()


def test_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with undisturbed():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_in_another_thread_nothing_needs_to_be_done(tmp_path: Path) -> None:
    def work() -> None:
        with undisturbed():
            (tmp_path / "done").touch()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (tmp_path / "done").exists()
