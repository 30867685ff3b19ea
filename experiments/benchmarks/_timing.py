"""Times of several ways to compute one thing, taken in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

Call = Callable[[], Any]
BLOCK = 0.02  # seconds: far above the clock's resolution and a thread's wake-up


class Timing(NamedTuple):
    """Seconds a call for each repeat, and the answer."""

    seconds: list[float]
    answer: np.ndarray

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def block(call: Call, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        out = call()
    jax.block_until_ready(out)
    return (time.perf_counter() - start) / calls


def measure(calls: Mapping[str, Call], repeats: int, seconds: float) -> dict[str, Timing]:
    """Blocks of the calls alternate, with the order swapped each time, so that drift of the machine meets all alike.

    Stops early, but not before three repeats, when ``seconds`` are over.
    """
    answers = {name: np.asarray(call()) for name, call in calls.items()}  # compiled, and warm
    sizes = {name: int(np.clip(BLOCK / block(call, 1), 1, 50)) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    for repeat in range(repeats):
        if repeat >= 3 and time.perf_counter() - start > seconds:
            break
        for name in list(calls)[:: -1 if repeat % 2 else 1]:
            times[name].append(block(calls[name], sizes[name]))
    return {name: Timing(times[name], answers[name]) for name in calls}


class Comparison(NamedTuple):
    """How many times as long a peer takes as we do, and the largest difference of the answers."""

    ratio: float
    difference: float


def compare(ours: Timing, peer: Timing) -> Comparison:
    ratios = [b / a for a, b in zip(ours.seconds, peer.seconds, strict=True)]
    return Comparison(statistics.median(ratios), float(np.max(np.abs(ours.answer - peer.answer))))


def shown(comparison: Comparison | None) -> str:
    return f"{'missing':>16}" if comparison is None else f"{comparison.ratio:>8.3g}{comparison.difference:>8.0e}"


def exponent(sizes: list[int], times: list[float]) -> float:
    """The slope of log time on log size, of the larger half of the sizes: what a call costs at any size is in the smaller ones."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(times[half:]), 1)[0])
