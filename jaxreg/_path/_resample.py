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
from ._follow import Progress
from ._inputs import Problem
from ._moments import enough
from ._path import as_path
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


def fit_resamples(
    problem: Problem, penalty: Penalty, counts: np.ndarray, grid: Any, tol: float | None, progress: Progress
) -> Iterator[tuple[Path, Chunk]]:
    """(the path on all the data, a chunk of the resamples' fits) until all resamples are fitted.

    Args:
      counts: (resamples, n): how often a row is drawn; multiplies the sample weights.
    """
    setup, (n, p) = problem.setup, problem.design.X.shape
    lams = grid if isinstance(grid, int) else len(grid)
    numbers = lams * p * setup.columns + n + ((p + 2) ** 2 if enough(n, p) else 0)
    size = max(1, _BYTES // (8 * numbers))
    chunks = -(-len(counts) // size)

    def told(done: int, total: int, at: int = 0) -> None:
        if progress:
            progress(at * total + done, chunks * total)

    for at, part in enumerate(np.array_split(counts, chunks)):
        # All the data come first in every chunk: they decide the grid, and the other lanes start from their answers.
        weights = np.concatenate([problem.weights[None], problem.weights * part])
        fits: Fits = fit_lanes(problem, weights, grid, tol, lambda done, total, at=at: told(done, total, at))
        converged = reached(fits.certificate, fits.coef, fits.tol)[1:]
        yield as_path(problem, fits, penalty, grid), Chunk(np.asarray(fits.coef[1:]), np.asarray(fits.intercept[1:]), np.asarray(converged))
