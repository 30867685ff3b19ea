"""Ctrl-C during long work: a request to stop after the chunk at hand, so that what is done is kept."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

Stop = Callable[[], bool]


def never() -> bool:
    return False


@contextlib.contextmanager
def interruptible() -> Iterator[Stop]:
    """A function that says whether Ctrl-C was pressed meanwhile. Pressed once more it interrupts as it does elsewhere.

    Only the main thread gets signals, and a handler that somebody else has set is left alone.
    """
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or usual is not signal.default_int_handler:
        yield never
        return
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        del number, frame
        if asked:
            raise KeyboardInterrupt
        asked = True

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, usual)
