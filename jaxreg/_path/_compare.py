"""Several criteria that choose λ, side by side on one path."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._dtypes import is_number
from .._penalties import Penalty
from .._warnings import GridEdgeWarning
from ..losses import Loss
from ._criteria import Curve, information, leverages
from ._cv import validated, warn_of_folds
from ._cv_result import CrossValidation
from ._fit import fit_lanes
from ._inputs import check_lams, check_problem, refuse_sparse, scope
from ._interrupt import interruptible, warn_if_late
from ._path import as_path, warn_if_interrupted, warn_if_not_converged
from ._progress import Progress
from ._result import Path, at_edge
from ._scoring import check_scoring

CRITERIA = ("cv", "1se", "loo", "gcv", "aic", "bic", "ebic", "cp")
OF_FOLDS = ("cv", "1se")


@dataclasses.dataclass(frozen=True)
class Choice:
    """What one criterion chooses.

    Attributes:
      criterion: its name.
      index, lam: the position of the chosen λ, and λ; None and NaN where the criterion is not known anywhere.
      value: the criterion there.
      df, nonzeros: degrees of freedom and coefficients that are not zero there.
      coef, intercept: the answer there, from all the data.
      edge: whether it is the smallest λ of the grid, so that a smaller one may be better.
      note: "exact" or "one Newton step" for leave-one-out; why the criterion is not known at some λ.
    """

    criterion: str
    index: int | None
    lam: float
    value: float
    df: float
    nonzeros: int
    coef: Any
    intercept: Any
    edge: bool
    note: str


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison:
    """Criteria that choose λ, on one path; made by :func:`jaxreg.compare`.

    Attributes:
      path: the path on all the data.
      cv: the cross-validation, None where none was asked for.
      curves: of each criterion (L,) values, NaN where they are not known.
      df: (L,) effective degrees of freedom, the intercept's included, all targets together.
      choices: of each criterion what it chooses; ``comparison["bic"]`` is ``comparison.choices["bic"]``.
    """

    path: Path
    cv: CrossValidation | None
    curves: dict[str, Any]
    df: Any
    choices: dict[str, Choice]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C left λ or folds out."""
        return self.path.interrupted or (self.cv is not None and self.cv.interrupted)

    def __getitem__(self, criterion: str) -> Choice:
        return self.choices[criterion]

    def __repr__(self) -> str:
        return f"<comparison: {self.path.formula}; {', '.join(self.choices)}{'; interrupted' if self.interrupted else ''}>"

    def __str__(self) -> str:
        rows = [repr(self), f"{'criterion':>9} {'λ':>12} {'nonzeros':>9} {'df':>8} {'value':>12}"]
        for c in self.choices.values():
            numbers = f"{c.lam:12.6g} {c.nonzeros:9d} {c.df:8.4g} {c.value:12.6g}" if c.index is not None else f"{'not known':>12}"
            rows.append(
                "  ".join([f"{c.criterion:>9} {numbers}", *(["edge of the grid"] if c.edge else []), *([c.note] if c.note else [])])
            )
        return "\n".join(rows)


def compare(
    X: Any,
    y: Any,
    penalty: Penalty,
    *,
    criteria: Sequence[str] = CRITERIA,
    loss: Loss | None = None,
    lams: Any = 100,
    folds: Any = 10,
    repeats: int = 1,
    key: jax.Array | None = None,
    scoring: str = "loss",
    gamma: float = 0.5,
    dispersion: float | None = None,
    intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    offset: Any = None,
    penalty_factor: Any = None,
    lower: Any = None,
    upper: Any = None,
    tol: float | None = None,
    progress: Progress = None,
) -> Comparison:
    r"""Fit one path and let several criteria choose λ on it.

    With deviance D (of the squared error Σv(y − η)², of the likelihoods twice the loss's excess over the saturated model), n rows of
    positive weight (times targets), dispersion φ and degrees of freedom df::

        aic   F + 2·df                      F = n·log(D/n) for the squared error (the Gaussian likelihood at its best variance),
        bic   F + log(n)·df                 D/φ where φ is given or known (1 for classes and counts); constants left out
        ebic  bic + 2·gamma·log C(p, j)     of p penalised coefficients j are not zero
        cp    D/σ² − n + 2·df               σ² is φ if given, else D/(n − df) at the smallest λ
        gcv   (D/Σv)/(1 − df/n)²
        loo   the mean score of rows left out one by one: exact for ridge, else by one Newton step on the support
        cv    the mean score over folds; 1se the largest λ within one standard error of its minimum

    df is the trace of (H + P)⁻¹H on the support, with the data term's Hessian H and the penalty's P: for the lasso the number of
    coefficients that are not zero (the rank of their columns), for ridge the trace of the hat matrix. The intercept and features
    without a penalty count; a variance that is estimated does not. Where a penalty is not convex, or its ties leave no support of
    coefficients (fused lasso), jumps of the selection are not counted, or the criterion is NaN and ``note`` says why.

    Args:
      criteria: some of "cv", "1se", "loo", "gcv", "aic", "bic", "ebic", "cp". Without the first two no fold is fitted.
      folds, repeats, key: as in :func:`jaxreg.cross_validate`.
      scoring: of "cv" and "loo", as in :func:`jaxreg.cross_validate`.
      gamma: of the extended BIC, in [0, 1]; 0 is BIC.
      dispersion: φ > 0, the variance of the squared error's noise; needed for aic, bic and ebic under ``Gamma`` and ``Tweedie``.
      X, y, penalty, loss, lams, intercept, standardize, sample_weight, offset, penalty_factor, lower, upper, tol, progress: as in
        :func:`jaxreg.path`.

    Returns:
      A :class:`Comparison`; ``print`` it. Ctrl-C ends the fits as it does those of :func:`jaxreg.cross_validate`; degrees of freedom and
      leave-one-out of what they have are computed nevertheless, unless it is pressed twice.

    Raises:
      TypeError, ValueError: as :func:`jaxreg.cross_validate`; an unknown criterion, gamma outside [0, 1], dispersion not positive.

    Warns:
      ConvergenceWarning: some λ, of all rows or of a fold, did not reach ``tol``, or Ctrl-C was pressed.
      GridEdgeWarning: a criterion chooses the smallest λ, which is not 0.

    References:
      Zou, Hastie and Tibshirani, On the degrees of freedom of the lasso, 2007; Chen and Chen, Extended Bayesian information criteria for
      model selection with large model spaces, 2008, eq. 1; Mallows, Some comments on C_p, 1973; Golub, Heath and Wahba 1979; Rad and
      Maleki, A scalable estimate of the out-of-sample prediction error via approximate leave-one-out cross-validation, 2020.

    >>> import numpy as np, jaxreg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 8))
    >>> y = 3 * X[:, 0] + rng.normal(size=60)
    >>> found = jaxreg.compare(X, y, jaxreg.L1(), criteria=("loo", "bic"))
    >>> found["bic"].nonzeros <= found["loo"].nonzeros
    True
    """
    names = tuple(criteria)
    unknown = [name for name in names if name not in CRITERIA]
    if unknown or not names or isinstance(criteria, str):
        raise ValueError(f"criteria must be some of {CRITERIA}, got {criteria!r}")
    if not (is_number(gamma) and 0 <= gamma <= 1):
        raise ValueError(f"gamma must be a number in [0, 1], got {gamma!r}")
    if dispersion is not None and not (is_number(dispersion) and 0 < dispersion < np.inf):
        raise ValueError(f"dispersion must be a number > 0, got {dispersion!r}")
    refuse_sparse(X, "degrees of freedom are counted of a dense X alone; cross_validate takes it")
    with scope(X), interruptible() as stop:
        problem = check_problem(
            X, y, penalty, loss=loss, intercept=intercept, standardize=standardize, sample_weight=sample_weight,
            offset=offset, penalty_factor=penalty_factor, lower=lower, upper=upper,
        )  # fmt: skip
        check_scoring(scoring, problem.setup.loss)
        cv = None
        if set(names) & set(OF_FOLDS):
            cv, fits = validated(problem, penalty, lams, folds, repeats, key, "min", scoring, tol, progress, stop=stop)
            full = cv.path
        else:
            fits = fit_lanes(problem, problem.weights[None], check_lams(lams), tol, progress, stop=stop)
            full = as_path(problem, fits, penalty, lams)
        of_rows = leverages(problem, fits, scoring)
        found = information(problem, fits, of_rows.df, tuple(n for n in names if n not in (*OF_FOLDS, "loo")), gamma, dispersion)
        found["loo"] = of_rows.loo
        if cv is not None:
            found["cv"] = found["1se"] = Curve(np.asarray(cv.mean))
        choices = {name: _choice(name, found[name], of_rows.df.values, full, cv) for name in names}
        out = np.asarray if problem.as_numpy else lambda x: jnp.asarray(x, problem.design.X.dtype)
        result = Comparison(full, cv, {name: out(found[name].values) for name in names}, out(of_rows.df.values), choices)
    if cv is not None:
        warn_of_folds(cv, "compare")
    else:
        warn_if_not_converged(full, "compare")
        warn_if_interrupted(full, fits.unfinished, "compare")
    warn_if_late(stop, result.interrupted, "compare")
    edges = [c.criterion for c in choices.values() if c.edge and not full.interrupted]
    if edges:
        warnings.warn(
            f"compare: {', '.join(edges)} choose the smallest λ, {float(full.lams[-1]):.4g}, so that a smaller one may be better; "
            "extend lams downwards",
            GridEdgeWarning,
            stacklevel=2,
        )
    return result


def _choice(name: str, curve: Curve, df: np.ndarray, path: Path, cv: CrossValidation | None) -> Choice:
    if not np.isfinite(curve.values).any():
        return Choice(name, None, np.nan, np.nan, np.nan, 0, None, None, False, curve.note)
    missing = int(np.isnan(curve.values).sum())
    index = cv.index_1se if name == "1se" and cv is not None else int(np.nanargmin(curve.values))
    return Choice(
        criterion=name,
        index=index,
        lam=float(path.lams[index]),
        value=float(curve.values[index]),
        df=float(df[index]),
        nonzeros=int(path.nonzeros[index]),
        coef=path.coef[index],
        intercept=path.intercept[index],
        edge=at_edge(path.lams, index),
        note=f"{curve.note} (at {missing} of {len(path.lams)} λ)" if missing else curve.note,
    )
