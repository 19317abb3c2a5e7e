"""Undoing without being disturbed: what one interruption has begun to take down, another must not leave half down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_HELD_BACK = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back for as long as the block lasts.

    Python delivers signals to the main thread alone, so that in any other this does nothing.

    Raises:
        KeyboardInterrupt: a signal came meanwhile; at the end of a block that raised nothing itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda received, _: came.append(received)) for number in _HELD_BACK}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None stands for a handler that is not Python's, which Python cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if came:
        raise KeyboardInterrupt
