"""Ctrl-C during long work: a request to stop after the chunk at hand, so that what is done is kept."""

from __future__ import annotations

import contextlib
import signal
import threading
import warnings
from collections.abc import Callable, Iterator

from .._warnings import ConvergenceWarning

Stop = Callable[[], bool]


def never() -> bool:
    return False


def warn_if_late(stop: Stop, interrupted: bool, what: str) -> None:
    """Say aloud that Ctrl-C changed nothing."""
    if stop() and not interrupted:
        warnings.warn(f"{what}: Ctrl-C came when nothing could be left out any more; the result is whole", ConvergenceWarning, stacklevel=3)


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
