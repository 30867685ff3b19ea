"""Many resamples of the rows as lanes of sample weights, fitted through the same program as the folds of cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from .._penalties import Penalty
from .._warnings import ConvergenceWarning
from ._certified import reached
from ._fit import Fits, fit_lanes
from ._inputs import Problem
from ._interrupt import Stop
from ._moments import enough
from ._path import as_path
from ._progress import Progress, check_interest
from ._result import Path

_BYTES = 2**29  # of what a chunk of lanes keeps: coefficients, weights and, for squared error, second moments


class Chunk(NamedTuple):
    """Some of the resamples, as NumPy arrays."""

    coef: np.ndarray  # (k, L, p[, T])
    intercept: np.ndarray  # (k, L, T or 0)
    converged: np.ndarray  # (k, L)


def generator(key: Any) -> np.random.Generator:
    """NumPy's generator seeded by a jax random key."""
    if key is None:
        raise ValueError("key is missing: resamples are drawn from an explicit key, such as key=jax.random.key(0)")
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def check_resamples(resamples: Any, least: int) -> int:
    if not isinstance(resamples, int | np.integer) or isinstance(resamples, bool) or resamples < least:
        raise ValueError(f"resamples must be a whole number >= {least}, got {resamples!r}")
    return int(resamples)


def check_classes_drawn(counts: np.ndarray, classes: np.ndarray | None, what: str) -> None:
    """Every resample needs a row of every class."""
    for label in () if classes is None else np.unique(classes[counts.any(axis=0)]):
        if not counts[:, classes == label].any(axis=1).all():
            raise ValueError(
                f"{what} has no row of class {int(label)}, of which there are too few; fit without that class, or get more rows"
            )


def warn_of_resamples(converged: float, tol: float, what: str) -> None:
    if converged < 1:
        warnings.warn(
            f"{what}: {1 - converged:.2%} of the resamples' fits did not reach tol={tol:g}; a larger tol or larger λ may serve",
            ConvergenceWarning,
            stacklevel=3,
        )


def warn_of_missing(path: Path, done: int, resamples: int, what: str) -> None:
    """Say aloud that Ctrl-C left resamples out, or λ of them all."""
    if done < resamples or path.interrupted:
        text = f"{what}: interrupted, with {done} of {resamples} resamples and {len(path.lams)} λ done; the result is of those alone"
        warnings.warn(text, ConvergenceWarning, stacklevel=3)


def fit_resamples(
    problem: Problem, penalty: Penalty, counts: np.ndarray, grid: Any, tol: float | None, progress: Progress, stop: Stop, together: int = 1
) -> Iterator[tuple[Path, Chunk]]:
    """(the path on all the data, a chunk of the resamples' fits) until all resamples are fitted, or ``stop()``.

    What is done then is whole, and is one set at least.

    Args:
      counts: (resamples, n): how often a row is drawn; multiplies the sample weights.
      together: how many resamples in a row belong together, and are dropped together where one of them is missing.
    """
    check_interest(progress, None, stop)
    setup, (n, p) = problem.setup, problem.design.X.shape
    lams = grid if isinstance(grid, int) else len(grid)
    numbers = lams * p * setup.columns + n + ((p + 2) ** 2 if enough(n, p) else 0)
    sets = counts.reshape(-1, together, n)
    chunks = -(-len(sets) // max(1, _BYTES // (8 * numbers * together)))

    def told(done: int, total: int, at: int = 0) -> None:
        if progress:
            progress(at * total + done, chunks * total)

    for at, part in enumerate(np.array_split(sets, chunks)):
        # All the data come first in every chunk: they decide the grid, and the other lanes start from their answers.
        weights = np.concatenate([problem.weights[None], problem.weights * part.reshape(-1, n)])
        fits: Fits = fit_lanes(problem, weights, grid, tol, lambda done, total, at=at: told(done, total, at), stop=stop)
        end = len(fits.coef) - (len(fits.coef) - 1) % together
        if end == 1 and not at:
            raise KeyboardInterrupt  # no resample is whole
        if end == 1 or (at and fits.unfinished):
            return
        converged = reached(fits.certificate, fits.coef, fits.tol)[1:end]
        yield (
            as_path(problem, fits, penalty, grid),
            Chunk(np.asarray(fits.coef[1:end]), np.asarray(fits.intercept[1:end]), np.asarray(converged)),
        )
        if stop():
            return
