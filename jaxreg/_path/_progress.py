"""What is done between chunks of λ: progress is shown, and a path may end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ._interrupt import Stop, never

_ALIGNED = 64  # bytes

Progress = Callable[[int, int], None] | None


class Interest(NamedTuple):
    """What a caller wants to know, and when it has had enough."""

    progress: Progress = None
    max_nonzeros: int | None = None
    stop: Stop = never

    def teller(self, total: int) -> Teller:
        """Of a path of ``total`` λ, or of equal parts of it."""
        return Teller(self, total)


class Teller(NamedTuple):
    """Called with (λ done, the last of their coefficients): passes progress on, and says whether to end here."""

    interest: Interest
    total: int
    index: int = 0
    parts: int = 1
    features: int | None = None  # how many coefficients count: an intercept may follow them

    def part(self, index: int, parts: int) -> Teller:
        """Of one of equal parts that are done one after the other: lanes, targets."""
        return self._replace(index=self.index * parts + index, parts=self.parts * parts)

    def stopped(self) -> bool:
        """Whether somebody pressed Ctrl-C."""
        return self.interest.stop()

    def __call__(self, done: int, coef: np.ndarray) -> bool:
        if self.interest.progress:
            self.interest.progress((self.index * self.total + done) // self.parts, self.total)
        most = self.interest.max_nonzeros
        return self.stopped() or (most is not None and bool((coef[:, : self.features] != 0).sum(axis=1).max(initial=0) > most))


def check_interest(progress: Any, max_nonzeros: Any, stop: Stop) -> Interest:
    """From what a person passes."""
    if max_nonzeros is not None and (isinstance(max_nonzeros, bool) or not isinstance(max_nonzeros, int | np.integer)):
        raise TypeError(f"max_nonzeros must be a whole number, got {max_nonzeros!r}")
    if max_nonzeros is not None and max_nonzeros < 1:
        raise ValueError(f"max_nonzeros must be at least 1, got {max_nonzeros}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be a function of (λ done, λ in all), got {progress!r}")
    told: Any = progress
    return Interest(told, None if max_nonzeros is None else int(max_nonzeros), stop)


def stacked(lanes: list[Any], total: int) -> Any:
    """Each array that lanes have, with a leading axis; their coefficients (λ, …) come first.

    Without the last lane if it ended early, as all that is kept of the first one may.
    """
    whole = lanes[:-1] if len(lanes) > 1 and len(lanes[-1][0]) < total else lanes
    return tuple(_aligned([np.asarray(x) for x in column]) for column in zip(*whole, strict=True))


def _aligned(parts: list[np.ndarray]) -> np.ndarray:
    """As ``np.stack``, at an address from where a device takes it without a copy: coefficients of folds are the most of what there is."""
    shape, dtype = (len(parts), *parts[0].shape), parts[0].dtype
    size = int(np.prod(shape)) * dtype.itemsize
    room = np.empty(size + _ALIGNED, np.uint8)
    start = -room.ctypes.data % _ALIGNED
    return np.stack(parts, out=room[start : start + size].view(dtype).reshape(shape))
