"""``relax``: every λ of a path fitted again without the penalty on its support, and blends of the two."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._penalties import Penalty
from .._warnings import ConvergenceWarning
from ..losses import Loss
from ._certificate import free_columns
from ._fit import null_of
from ._inputs import Problem, check_problem, refuse_sparse, scope
from ._path import path
from ._progress import Progress
from ._refit import Refits, refit
from ._result import Path, shown_rows


@dataclasses.dataclass(frozen=True, repr=False)
class Relaxed:
    """A path and, at every λ, the fit without a penalty on its support; made by :func:`jaxreg.relax`.

    Attributes:
      path: the penalised path.
      lams: (L,) its λ, decreasing.
      coef, intercept: the refits, of the shapes of ``path.coef`` and ``path.intercept``.
      kkt: (L,) norm of the loss's gradient in the coefficients on the support and the intercept, relative to the gradient at
        the null model.
      rank: (L,) rank of the support's columns (summed over targets, for classes of all their coefficients). Where it is below the number
        of coefficients that are fitted, the refit is not unique: it is then the one of least norm in standardised columns.
      converged: (L,) bool: ``kkt`` is within ``path.tol`` and the refit is at no infinity (as it is for separable classes).
      deviance_ratio: (L,) share of the null model's loss that the refit explains.
    """

    path: Path
    lams: Any
    coef: Any
    intercept: Any
    kkt: Any
    rank: Any
    converged: Any
    deviance_ratio: Any

    def blend(self, gamma: float) -> tuple[Any, Any]:
        """(coefficients, intercepts) at every λ of γ·penalised + (1−γ)·refit.

        Args:
          gamma: γ in [0, 1]; 1 is the penalised path, 0 the refit.

        Raises:
          ValueError: γ outside [0, 1].
        """
        check_gammas(gamma)
        pairs = (self.path.coef, self.coef), (self.path.intercept, self.intercept)
        # At the ends exactly: a refit that is NaN must not reach the penalised path.
        blends = [penalised if gamma == 1 else relaxed + gamma * (penalised - relaxed) for penalised, relaxed in pairs]
        return blends[0], blends[1]

    def predict(self, X: Any, lam: float | None = None, gamma: float = 0.0, *, offset: Any = None) -> Any:
        """The expected target of a blend: at one λ of the grid, or with a leading λ axis when it is None; ``offset`` as in a path's.

        Raises:
          ValueError: a λ that is not on the grid (between two supports there is no refit), or γ outside [0, 1].
        """
        coef, intercept = self.blend(gamma)
        blended = dataclasses.replace(self.path, coef=coef, intercept=intercept, knots=None)
        return blended.predict(X, None if lam is None else float(self.lams[self.path.index(lam)]), offset=offset)

    def __repr__(self) -> str:
        return f"<relaxed path: {self.path.formula}; {len(self.lams)} λ, refitted without the penalty on the support>"

    def __str__(self) -> str:
        rows = [repr(self), f"{'λ':>12} {'nonzeros':>9} {'rank':>6} {'explained':>10} {'by refit':>10} {'kkt':>9}"]
        for i in shown_rows(len(self.lams)):
            counts = f"{float(self.lams[i]):12.6g} {int(self.path.nonzeros[i]):9d} {int(self.rank[i]):6d}"
            shares = f"{float(self.path.deviance_ratio[i]):10.4f} {float(self.deviance_ratio[i]):10.4f} {float(self.kkt[i]):9.1e}"
            rows.append(f"{counts} {shares}{'' if self.converged[i] else '  not converged'}")
        return "\n".join(rows)


def check_gammas(gammas: Any) -> np.ndarray:
    """γ as a vector of numbers in [0, 1]."""
    values = np.atleast_1d(np.asarray(gammas, float))
    if values.ndim != 1 or not values.size or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"gamma must lie in [0, 1] (1 the penalised path, 0 the refit), got {gammas!r}")
    return values


def relax(
    X: Any,
    y: Any,
    penalty: Penalty,
    *,
    loss: Loss | None = None,
    lams: Any = 100,
    intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    offset: Any = None,
    penalty_factor: Any = None,
    tol: float | None = None,
    max_nonzeros: int | None = None,
    progress: Progress = None,
) -> Relaxed:
    """Fit a path, and at each λ minimise the loss alone over the coefficients that are not zero.

    With S the support of the penalised answer ŵ(λ) and the features that carry no penalty,

        refit(λ) = argmin { loss(y, Xw + b + offset) : w_j = 0 for j not in S },    blend(γ) = γ·ŵ(λ) + (1−γ)·refit(λ).

    The penalty selects, the refit takes its shrinkage back, γ says how much of it (glmnet's ``relax=TRUE`` and its γ). The refits are
    Newton steps on gathered supports, many in one compiled call.

    Args:
      X, y, penalty, loss, lams, intercept, standardize, sample_weight, offset, penalty_factor, tol, max_nonzeros, progress: as in
        :func:`jaxreg.path`. The support is that of the nonzero coefficients: the penalty must give exact zeros for the refit to be
        another fit than that of all features. There are no bounds, which the refit would leave.

    Returns:
      A :class:`Relaxed`.

    Raises:
      TypeError, ValueError: as :func:`jaxreg.path`; a penalty that holds a constraint (``NonNegative``, ``Box``, …).

    Warns:
      ConvergenceWarning: some λ of the path, or some refit, did not reach ``tol``; on separable classes the refit is at infinity.

    References:
      Meinshausen, Relaxed lasso, 2007; Hastie, Tibshirani and Tibshirani, Best subset, forward stepwise or lasso?, 2020, §2.

    >>> import numpy as np, jaxreg
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> y = np.array([3.0, 1.0, -3.0, -1.0])
    >>> fit = jaxreg.relax(X, y, jaxreg.L1(), lams=[8.0, 4.0])
    >>> [float(fit.blend(gamma)[0][0, 0].round(12)) for gamma in (1.0, 0.5, 0.0)]  # shrunk by λ/4, by half of it, not at all
    [1.0, 2.0, 3.0]
    """
    refuse_sparse(X, "refits are made of a dense X alone")
    refuse_constraints(penalty)
    options: dict[str, Any] = {
        "loss": loss, "intercept": intercept, "standardize": standardize, "sample_weight": sample_weight,
        "offset": offset, "penalty_factor": penalty_factor,
    }  # fmt: skip
    fit = path(X, y, penalty, lams=lams, tol=tol, max_nonzeros=max_nonzeros, progress=progress, **options)
    with scope(X):
        problem = check_problem(X, y, penalty, lower=None, upper=None, **options)
        found = refit_lanes(problem, problem.weights[None], np.asarray(fit.coef)[None], np.asarray(fit.intercept)[None], fit.tol)
        result = as_relaxed(problem, fit, found)
    warn_of_refits(np.asarray(result.converged), fit.tol, "relax")
    return result


def refit_lanes(problem: Problem, weights: np.ndarray, coef: np.ndarray, intercept: np.ndarray, tol: float) -> Refits:
    """The refits of answers as results hold them: with an intercept of zero where there is none."""
    null = null_of(problem, problem.weights, free_columns(problem.setup, problem.design.X, problem.free))
    level = intercept.reshape(*coef.shape[:2], -1)
    return refit(problem, weights, coef, level if problem.setup.intercept else level[..., :0], null, tol)


def as_relaxed(problem: Problem, fit: Path, found: Refits) -> Relaxed:
    """Lane 0 as a Relaxed."""
    arrays = {name: value[0] for name, value in found._asdict().items()}
    levels = arrays["intercept"] if problem.setup.intercept else np.zeros((len(arrays["kkt"]), problem.setup.columns), arrays["coef"].dtype)
    arrays["intercept"] = levels[:, 0] if problem.setup.outputs is None else levels
    out = np.asarray if problem.as_numpy else jnp.asarray
    return Relaxed(path=fit, lams=fit.lams, **{name: out(value) for name, value in arrays.items()})


def refuse_constraints(penalty: Any) -> None:
    if isinstance(penalty, Penalty) and not penalty.finite:
        raise ValueError(f"penalty: {penalty!r} holds a constraint, which a refit without the penalty would leave; take it out of the sum")


def warn_of_refits(converged: np.ndarray, tol: float, what: str) -> None:
    if not converged.all():
        warnings.warn(
            f"{what}: {(~converged).sum()} of {converged.size} refits did not reach tol={tol:g} (classes that the support separates have "
            "no finite refit); result.converged marks them. Larger λ have smaller supports",
            ConvergenceWarning,
            stacklevel=3,
        )
