"""``bootstrap``: how much the coefficients of a path vary from resample to resample."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import Penalty
from ..losses import Loss
from ._inputs import check_lams, check_problem, scope
from ._interrupt import interruptible, warn_if_late
from ._path import warn_if_not_converged
from ._progress import Progress
from ._resample import check_classes_drawn, check_resamples, fit_resamples, generator, warn_of_missing, warn_of_resamples
from ._result import Path


@dataclasses.dataclass(frozen=True, repr=False)
class Bootstrap:
    """A path and its fits on resamples of the rows; made by :func:`jaxreg.bootstrap`.

    Attributes:
      path: the path on all the data.
      lams: (L,) the grid, decreasing.
      coefs: (B, L, p), or (B, L, p, targets), of each resample.
      lower, upper: (L, p[, targets]) quantiles (1−level)/2 and (1+level)/2 of them over resamples.
      frequency: (L, p[, targets]) share of the resamples in which the coefficient is not zero.
      level: of the intervals.
      converged: share of the resamples' fits that reached the path's tolerance.
      interrupted: whether Ctrl-C left resamples or λ out.
    """

    path: Path
    lams: Any
    coefs: Any
    lower: Any
    upper: Any
    frequency: Any
    level: float
    converged: float
    interrupted: bool = False

    def __repr__(self) -> str:
        cut = ", interrupted" if self.interrupted else ""
        return f"<bootstrap: {self.path.formula}; {len(self.coefs)} resamples × {len(self.lams)} λ, {self.level:.0%} intervals{cut}>"


def bootstrap(
    X: Any,
    y: Any,
    penalty: Penalty,
    *,
    key: jax.Array | None,
    resamples: int = 200,
    level: float = 0.95,
    loss: Loss | None = None,
    lams: Any = 30,
    intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    offset: Any = None,
    penalty_factor: Any = None,
    lower: Any = None,
    upper: Any = None,
    tol: float | None = None,
    progress: Progress = None,
) -> Bootstrap:
    """Fit the path on rows drawn with replacement, and take quantiles of each coefficient: the percentile bootstrap.

    The resamples are lanes of multinomial weights (how often a row is drawn, times its sample weight) in the program that
    cross-validation uses. The intervals show how a coefficient of the stated objective varies, shrinkage included. They are no confidence
    intervals of a true coefficient: the lasso's bootstrap is not consistent where that is zero; see :func:`jaxreg.debiased_lasso`.

    Args:
      key: a jax random key from which the rows are drawn.
      resamples: B, at least 2.
      level: of the intervals, in (0, 1).
      X, y, penalty, loss, lams, intercept, standardize, sample_weight, offset, penalty_factor, lower, upper, tol, progress: as in
        :func:`jaxreg.path`.

    Returns:
      A :class:`Bootstrap`; it keeps B·L·p coefficients. Ctrl-C keeps the resamples that are done, if they are two at least; earlier, or
      pressed twice, it raises KeyboardInterrupt.

    Raises:
      TypeError, ValueError: as :func:`jaxreg.path`; no key, fewer than two resamples, a level outside (0, 1), a resample without a row of
        some class.

    Warns:
      ConvergenceWarning: some fit did not reach ``tol``, or Ctrl-C was pressed.

    References:
      Efron, Bootstrap methods: another look at the jackknife, 1979; Chatterjee and Lahiri, Asymptotic properties of the residual bootstrap
      for lasso estimators, 2010.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    resamples = check_resamples(resamples, 2)
    rng = generator(key)
    with scope(X), interruptible() as stop:
        grid = check_lams(lams)
        problem = check_problem(
            X, y, penalty, loss=loss, intercept=intercept, standardize=standardize, sample_weight=sample_weight,
            offset=offset, penalty_factor=penalty_factor, lower=lower, upper=upper,
        )  # fmt: skip
        rows = np.flatnonzero(problem.weights > 0)
        counts = np.zeros((resamples, problem.weights.size))
        counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=resamples)
        check_classes_drawn(counts, np.asarray(y) if problem.setup.loss.classification else None, "resamples: one")
        found = list(fit_resamples(problem, penalty, counts, grid, tol, progress, stop))
        if sum(len(chunk.coef) for _, chunk in found) < 2:
            raise KeyboardInterrupt  # there are no quantiles of one
        path, coefs = found[0][0], np.concatenate([chunk.coef for _, chunk in found])
        low, up = np.quantile(coefs, [(1 - level) / 2, (1 + level) / 2], axis=0).astype(coefs.dtype)
        out = np.asarray if problem.as_numpy else jnp.asarray
        result = Bootstrap(
            path=path,
            lams=path.lams,
            coefs=out(coefs),
            lower=out(low),
            upper=out(up),
            frequency=out((coefs != 0).mean(axis=0)),
            level=float(level),
            interrupted=len(coefs) < resamples or path.interrupted,
            converged=float(np.mean(np.concatenate([chunk.converged for _, chunk in found]))),
        )
    warn_if_not_converged(path, "bootstrap")
    warn_of_resamples(result.converged, path.tol, "bootstrap")
    warn_of_missing(path, len(coefs), resamples, "bootstrap")
    warn_if_late(stop, result.interrupted, "bootstrap")
    return result
