"""``cross_validate_relaxed``: λ and the share of the penalised fit in the blend, chosen together by held-out error."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import Penalty
from ..losses import Loss
from ._cv import CrossValidation, cross_validate, errors, mean_and_error
from ._inputs import check_problem, refuse_sparse, scope
from ._progress import Progress
from ._relax import Relaxed, as_relaxed, check_gammas, refit_lanes, refuse_constraints, warn_of_refits


@dataclasses.dataclass(frozen=True, repr=False)
class RelaxedCrossValidation:
    """Cross-validation over λ × γ; made by :func:`jaxreg.cross_validate_relaxed`.

    Attributes:
      relaxed: path and refits on all the data.
      cv: the cross-validation of the penalised path, γ = 1, whose folds these are.
      gammas: (G,) the shares, as given.
      fold_errors: (K, G, L) weighted mean error of each fold's held-out rows.
      mean, se: (G, L) over folds, as in :class:`jaxreg.CrossValidation`.
      fold_converged: (K, L) bool: both the fold's fit and its refit.
      index: (position of the chosen γ, position of the chosen λ).
    """

    relaxed: Relaxed
    cv: CrossValidation
    gammas: Any
    fold_errors: Any
    mean: Any
    se: Any
    fold_converged: Any
    index: tuple[int, int]

    @property
    def gamma(self) -> float:
        """The chosen γ."""
        return float(self.gammas[self.index[0]])

    @property
    def lam(self) -> float:
        """The chosen λ."""
        return float(self.cv.lams[self.index[1]])

    @property
    def coef(self) -> Any:
        """The coefficients of the chosen blend, from all the data."""
        return self.relaxed.blend(self.gamma)[0][self.index[1]]

    @property
    def intercept(self) -> Any:
        """The intercept of the chosen blend, from all the data."""
        return self.relaxed.blend(self.gamma)[1][self.index[1]]

    def predict(self, X: Any, *, offset: Any = None) -> Any:
        """The expected target of the chosen blend; ``offset`` as in a path's."""
        return self.relaxed.predict(X, self.lam, self.gamma, offset=offset)

    def __repr__(self) -> str:
        chosen = f"λ = {self.lam:.4g}, γ = {self.gamma:g}"
        return f"<relaxed cross-validation: {self.relaxed.path.formula}; {self.fold_errors.shape[0]} folds, {self.cv.rule}: {chosen}>"

    def __str__(self) -> str:
        rows = [repr(self), f"{'γ':>6} {'best λ':>12} {'nonzeros':>9} {self.cv.error_name:>24} {'± SE':>9}"]
        for g, gamma in enumerate(np.asarray(self.gammas)):
            i = int(np.nanargmin(self.mean[g])) if np.isfinite(self.mean[g]).any() else 0
            numbers = f"{float(self.cv.lams[i]):12.6g} {int(self.relaxed.path.nonzeros[i]):9d} {float(self.mean[g, i]):24.6g}"
            rows.append(f"{gamma:6g} {numbers} {float(self.se[g, i]):9.2g}{'  chosen' if g == self.index[0] else ''}")
        return "\n".join(rows)


def cross_validate_relaxed(
    X: Any,
    y: Any,
    penalty: Penalty,
    *,
    gammas: Any = (0.0, 0.25, 0.5, 0.75, 1.0),
    rule: str = "min",
    scoring: str = "loss",
    loss: Loss | None = None,
    intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    offset: Any = None,
    penalty_factor: Any = None,
    lams: Any = 100,
    folds: Any = 10,
    repeats: int = 1,
    key: jax.Array | None = None,
    tol: float | None = None,
    progress: Progress = None,
) -> RelaxedCrossValidation:
    """Choose λ and γ of ``γ·ŵ(λ) + (1−γ)·refit(λ)`` by K-fold cross-validation.

    The folds are fitted once; their refits and all blends follow from those fits.

    Args:
      gammas: (G,) the γ to try, each in [0, 1]: 1 is the penalised fit, 0 the refit without the penalty on its support.
      rule: ``"min"`` chooses the smallest mean error of all λ × γ (the larger λ if several share it); ``"1se"`` the largest λ at
        which some γ is within one standard error of it, and of its γ the best.
      scoring, lams, folds, repeats, key, tol, progress: as in :func:`jaxreg.cross_validate`.
      X, y, penalty, loss, intercept, standardize, sample_weight, offset, penalty_factor: as in :func:`jaxreg.relax`.

    Returns:
      A :class:`RelaxedCrossValidation`. Ctrl-C ends the fits as it does those of :func:`jaxreg.cross_validate`; during the refits
      it raises KeyboardInterrupt. A λ with a fold whose refit has no finite answer has the error NaN but at γ = 1.

    Raises:
      TypeError, ValueError: as :func:`jaxreg.cross_validate` and :func:`jaxreg.relax`; γ outside [0, 1].

    Warns:
      ConvergenceWarning: some fit or refit did not reach ``tol``.

    References:
      Hastie, Tibshirani and Tibshirani, Best subset, forward stepwise or lasso?, 2020, §2.
    """
    refuse_sparse(X, "refits are made of a dense X alone")
    refuse_constraints(penalty)
    gammas = check_gammas(gammas)
    model: dict[str, Any] = {
        "loss": loss, "intercept": intercept, "standardize": standardize, "sample_weight": sample_weight,
        "offset": offset, "penalty_factor": penalty_factor,
    }  # fmt: skip
    cv = cross_validate(
        X, y, penalty, rule=rule, scoring=scoring, lams=lams, folds=folds, repeats=repeats, key=key, tol=tol, progress=progress, **model
    )
    with scope(X):
        problem = check_problem(X, y, penalty, lower=None, upper=None, **model)
        weights, folds = problem.weights, cv.folds
        held_out = np.where(folds.test, weights, 0.0)
        coef, level = np.asarray(cv.fold_coef), np.asarray(cv.fold_intercept)
        full = refit_lanes(problem, weights[None], np.asarray(cv.path.coef)[None], np.asarray(cv.path.intercept)[None], cv.path.tol)
        found = refit_lanes(problem, np.where(folds.train, weights, 0.0), coef, level, cv.path.tol)
        level = level.reshape(*coef.shape[:2], -1)
        refitted = found.intercept if problem.setup.intercept else np.zeros_like(level)
        usable = np.where(found.converged, 0, np.nan)

        def blended(penalised: np.ndarray, relaxed: np.ndarray) -> Any:
            """(K, G·L, …); NaN where a refit is needed that there is none of."""
            move = penalised - relaxed + usable.reshape(*usable.shape, *[1] * (coef.ndim - 2))
            parts = [penalised if g == 1 else relaxed + g * move for g in gammas]
            return jnp.asarray(np.concatenate(parts, axis=1), problem.design.X.dtype)

        parts = held_out, np.where(folds.train, weights, 0.0)
        at = errors(problem.setup, problem.design, *parts, blended(coef, found.coef), blended(level, refitted), scoring)
        fold_errors = at.mean(axis=2).reshape(len(held_out), len(gammas), -1)
        mean, se = mean_and_error(fold_errors.reshape(len(held_out), -1), held_out.sum(axis=1), folds.repeat)
        mean, se = mean.reshape(fold_errors.shape[1:]), se.reshape(fold_errors.shape[1:])
        out = np.asarray if problem.as_numpy else jnp.asarray
        relaxed = as_relaxed(problem, cv.path, full)
        fold_converged = np.asarray(cv.fold_converged) & found.converged
        arrays = (out(x) for x in (gammas, fold_errors, mean, se, fold_converged))
        result = RelaxedCrossValidation(relaxed, cv, *arrays, index=_chosen(mean, se, rule))
    warn_of_refits(np.concatenate([full.converged, found.converged]), cv.path.tol, "cross_validate_relaxed")
    return result


def _chosen(mean: np.ndarray, se: np.ndarray, rule: str) -> tuple[int, int]:
    """Positions of γ and λ."""
    if not np.isfinite(mean).any():
        return 0, 0
    best = np.nanmin(mean, axis=0, initial=np.inf)  # of each λ
    lam = int(np.argmin(best))
    gamma = int(np.nanargmin(mean[:, lam]))
    if rule == "1se":
        lam = int(np.flatnonzero(best <= mean[gamma, lam] + se[gamma, lam])[0])
        gamma = int(np.nanargmin(mean[:, lam]))
    return gamma, lam
