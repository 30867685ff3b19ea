"""Choosing λ by cross-validation: one grid from all the data, folds drawn once, every error kept."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._dtypes import on_device
from .._penalties import Penalty
from .._warnings import ConvergenceWarning, GridEdgeWarning
from ..losses import Loss
from . import _ridge
from ._certified import reached
from ._columns import Sparse
from ._cv_result import CrossValidation
from ._engine import Design, Setup, all_predictors
from ._fit import Fits, fit_lanes
from ._folds import as_folds, check_rows
from ._inputs import Problem, check_lams, check_problem, scope
from ._interrupt import Stop, interruptible, warn_if_late
from ._path import as_path, perfect, warn_if_not_converged
from ._progress import Progress
from ._scoring import SCORES, check_scoring, mean_score

RULES = ("min", "1se")
_NULL = 0.01  # share of the null model that a model at the largest λ may explain without a word: ridge never explains nothing


def cross_validate(
    X: Any,
    y: Any,
    penalty: Penalty,
    *,
    loss: Loss | None = None,
    lams: Any = 100,
    folds: Any = 10,
    repeats: int = 1,
    key: jax.Array | None = None,
    rule: str = "min",
    scoring: str = "loss",
    lam_per_target: bool = False,
    intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    offset: Any = None,
    penalty_factor: Any = None,
    lower: Any = None,
    upper: Any = None,
    tol: float | None = None,
    progress: Progress = None,
) -> CrossValidation:
    """Fit the path on all the data and on every fold's training rows, and choose λ by held-out error.

    All folds share their compiled programs. The grid comes from all the data; each fold minimises the stated objective
    with the same λ. Under a ``"sum"`` loss a fold has fewer rows and so weighs the penalty more than the full fit does (by
    K/(K−1)); ``"half_mean"`` or ``"mean"`` avoid that. Folds are stratified by class for the likelihoods of classes, by event for ``Cox``,
    whose partial likelihood has no rows of its own. There a fold's error at the η fitted without it is, with v the rows' weights and F the
    ``"sum"`` less its least, ``(F(η; trained and held out) − F(η; trained))/Σ held-out v`` (Verweij and van Houwelingen; glmnet's
    ``grouped=TRUE``, which divides by events).

    Args:
      folds: the number of folds K (then ``key`` is needed; K = n leaves one out); (n,) ids 0 … K−1 of the fold in which each row is
        held out, or (repeats, n); a :class:`jaxreg.Folds`, such as ``Folds.by_group`` and ``Folds.in_time``; or pairs (rows to train
        on, rows to test on).
      repeats: deal the rows out anew this often; only with a number of folds.
      key: a jax random key from which the folds are drawn, once.
      rule: ``"min"`` chooses the smallest mean error, ``"1se"`` the largest λ within one standard error of it.
      scoring: the error of a held-out row: "loss", the pointwise loss less the smallest that any prediction has; "deviance";
        "squared_error" (Brier score for classes), "absolute_error" or "misclassification".
      lam_per_target: of several targets, whether each gets its own λ by its own errors (scikit-learn's ``alpha_per_target``); else one λ
        serves all, by the mean of their errors. The penalty must be a sum over targets, so that no target's λ touches another. Neither
        ``compare`` nor ``cross_validate_relaxed`` has it.
      progress: called with (done, total): λ, as a mean over the fits of all rows and of each fold.
      X, y, penalty, loss, lams, intercept, standardize, sample_weight, offset, penalty_factor, lower, upper, tol: as in
        :func:`jaxreg.path`.

    Returns:
      A :class:`CrossValidation`. Errors are means over a fold's rows, weighted by ``sample_weight``. With fold weights n_k (held-out
      weight) and errors e_k, the mean is m = Σn_k·e_k/Σn_k and its standard error √(Σn_k(e_k − m)²/Σn_k/(K−1)), which for equal folds
      is the standard deviation of the fold errors over √K. Over repeats the means, and the squares of the standard errors, are
      averaged: repeats take away what the drawing of folds adds, not what so many rows leave open. Either standard error counts
      folds that share training rows as independent, and is too small (Bengio and Grandvalet); in the order of time it is a rough guide.
      Ctrl-C keeps the folds that are done (or, where all are followed side by side, the λ) if they are two at least, and whole repeats
      if there is one; ``interrupted`` marks the result. Earlier, pressed twice, or of several targets whose exact paths or elastic nets
      are fitted one after the other, it raises KeyboardInterrupt.

    Raises:
      TypeError, ValueError: as :func:`jaxreg.path`; more folds than rows, no key, an unknown rule, a score that makes no
        sense for the loss, ``lam_per_target`` without several targets or under a penalty that ties them.

    Warns:
      ConvergenceWarning: some λ, of all rows or of a fold, did not reach ``tol``, or Ctrl-C was pressed.
      GridEdgeWarning: the smallest error is that of the smallest λ, which is not 0, or of the largest, though that one explains
        more than a hundredth of the null model's loss.

    References:
      Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2009, §7.10; Bengio and Grandvalet, No
      unbiased estimator of the variance of K-fold cross-validation, 2004; Verweij and van Houwelingen, Cross-validation in survival
      analysis, 1993, eq. 3; Bates, Hastie and Tibshirani, Cross-validation: what does
      it estimate and how well does it do it?, 2024.

    >>> import jax, numpy as np, jaxreg
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 5))
    >>> y = 3 * X[:, 0] + rng.normal(size=60)
    >>> cv = jaxreg.cross_validate(X, y, jaxreg.L1(), folds=5, key=jax.random.key(0), rule="1se")
    >>> cv.lam == cv.lam_1se >= cv.lam_min
    True
    >>> np.flatnonzero(cv.coef).tolist()
    [0]
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, got {rule!r}")
    with scope(X), interruptible() as stop:
        problem = check_problem(
            X, y, penalty, loss=loss, intercept=intercept, standardize=standardize, sample_weight=sample_weight,
            offset=offset, penalty_factor=penalty_factor, lower=lower, upper=upper,
        )  # fmt: skip
        _check_targets(lam_per_target, problem)
        result, _ = validated(
            problem, penalty, lams, folds, repeats, key, rule, scoring, tol, progress, lam_per_target=bool(lam_per_target), stop=stop
        )
    warn_of_folds(result, "cross_validate")
    warn_if_late(stop, result.interrupted, "cross_validate")
    if result.edge and not result.path.interrupted:
        warnings.warn(
            f"cross_validate: the smallest error is that of the smallest λ, {_end(result, -1)}, so that a smaller λ may be better; "
            "extend lams downwards",
            GridEdgeWarning,
            stacklevel=2,
        )
    share = float(result.path.deviance_ratio[0])
    if len(result.lams) > 1 and np.min(result.index_min) == 0 and share > _NULL:
        warnings.warn(
            f"cross_validate: the smallest error is that of the largest λ, {_end(result, 0)}, at which the model still explains "
            f"{share:.1%}, so that a larger λ may be better; extend lams upwards",
            GridEdgeWarning,
            stacklevel=2,
        )
    return result


def _check_targets(lam_per_target: Any, problem: Problem) -> None:
    if not isinstance(lam_per_target, bool | np.bool_):
        raise TypeError(f"lam_per_target must be True or False, got {lam_per_target!r}")
    if not lam_per_target:
        return
    if problem.setup.outputs is None or problem.setup.loss.vector:
        raise ValueError("lam_per_target: y has one target, which has its own λ already; pass y of shape (n, targets), or leave it out")
    setup, design = problem.setup, problem.design
    if not problem.penalty.separable and _ridge.form(problem.penalty, setup, design.X.shape[1], design.X.dtype) is None:
        raise ValueError(
            f"lam_per_target: {type(problem.penalty).__name__} is not known to be a sum over targets, so that one's λ may touch another; "
            "leave it out, or cross-validate target by target"
        )


def _end(result: CrossValidation, index: int) -> str:
    """The λ at an end of the grid, and how many targets choose it."""
    lams, chosen = np.asarray(result.lams), np.asarray(result.index_min)
    return f"{lams[index]:.4g}" + (
        f" (for {np.sum(lams[chosen] == lams[index])} of {chosen.size} targets)" if result.lam_per_target else ""
    )


def validated(
    problem: Problem,
    penalty: Penalty,
    lams: Any,
    folds: Any,
    repeats: int,
    key: jax.Array | None,
    rule: str,
    scoring: str,
    tol: float | None,
    progress: Progress,
    *,
    lam_per_target: bool = False,
    stop: Stop,
) -> tuple[CrossValidation, Fits]:
    """All rows and every split's training rows in the same calls; lane 0 of the fits is all rows. Within the precision scope."""
    setup, design, weights = problem.setup, problem.design, problem.weights
    check_scoring(scoring, setup.loss)
    labels = setup.loss.strata(design.y)
    splits = as_folds(folds, weights.size, key, labels, repeats)
    check_rows(splits, weights, labels, setup.loss)
    lanes = np.concatenate([weights[None], np.where(splits.train, weights, 0.0)])
    ids = splits.ids
    grid = check_lams(lams)
    fits = fit_lanes(problem, lanes, grid, tol, progress, ids=None if ids is None else np.atleast_2d(ids), stop=stop)
    full = as_path(problem, fits, penalty, lams)
    cut = len(fits.coef) < len(lanes)
    splits = splits.first(len(fits.coef) - 1) if cut else splits
    if splits is None:
        raise KeyboardInterrupt  # there is no standard error of one fold, and of none nothing to choose by
    count = len(splits.test)
    trained, held_out = lanes[1 : count + 1], np.where(splits.test, weights, 0.0)
    fold_coef, fold_intercept = (jnp.asarray(x[1 : count + 1]) for x in (fits.coef, fits.intercept))
    dtype = design.X.dtype
    of_targets = errors(setup, design, held_out.astype(dtype), trained.astype(dtype), fold_coef, fold_intercept, scoring)
    sizes = held_out.sum(axis=1)
    fold_errors = of_targets.mean(axis=2)
    mean, se = mean_and_error(fold_errors, sizes, splits.repeat)
    target_mean, target_se = mean_and_error(of_targets, sizes, splits.repeat)
    if lam_per_target:
        ranked = [_ranked(*column) for column in zip(target_mean.T, target_se.T, strict=True)]
        index_min, index_1se = (np.array(column) for column in zip(*ranked, strict=True))
    else:
        index_min, index_1se = _ranked(mean, se)
    converged = reached(fits.certificate, fits.coef, fits.tol)[1 : count + 1]
    if float(fits.lams[-1]) == 0:
        lost = fits.certificate.loss[1 : count + 1] - np.asarray(_least(setup, design, jnp.asarray(trained, dtype)))[:, None]
        converged &= ~perfect(setup, np.asarray(fits.lams), lost, float(fits.null.unit))
    if not setup.intercept:
        fold_intercept = jnp.zeros((*fold_errors.shape, setup.columns), dtype)
    fold_intercept = fold_intercept[..., 0] if setup.outputs is None else fold_intercept
    arrays: dict[str, Any] = {"fold_errors": fold_errors, "fold_converged": converged, "mean": mean, "se": se}
    if setup.outputs is not None and not setup.loss.vector:
        arrays |= {"target_errors": of_targets, "target_mean": target_mean, "target_se": target_se}
    if problem.as_numpy:
        fold_coef, fold_intercept = np.asarray(fold_coef), np.asarray(fold_intercept)
    else:
        arrays = on_device(arrays)
    result = CrossValidation(
        path=full,
        lams=full.lams,
        folds=splits,
        fold_coef=fold_coef,
        fold_intercept=fold_intercept,
        fold_method=fits.methods[1 : count + 1],
        index_min=index_min,
        index_1se=index_1se,
        rule=rule,
        error_name=SCORES[scoring].name(setup.loss),
        lam_per_target=lam_per_target,
        interrupted=cut or full.interrupted,
        **arrays,
    )
    return result, fits


def _ranked(mean: np.ndarray, se: np.ndarray) -> tuple[int, int]:
    """Positions of the smallest mean, and of the largest λ within one standard error of it."""
    if not np.isfinite(mean).any():
        return 0, 0
    best = int(np.nanargmin(mean))
    return best, int(np.flatnonzero(mean <= mean[best] + se[best])[0])


@functools.partial(jax.jit, static_argnames=("setup",))
def _least(setup: Setup, design: Design, weights: Array) -> Array:
    return jax.lax.map(lambda v: setup.loss.least(design.offset, design.y, v), weights)


def errors(setup: Setup, design: Design, held_out: np.ndarray, trained: np.ndarray, coef: Any, intercept: Any, scoring: str) -> np.ndarray:
    """(S, L, T): each split's weighted mean score of each target on its held-out rows."""
    rows = None
    if not (setup.loss.coupled or isinstance(design.X, Sparse)):  # whose rows have no error of their own, or are not taken out one by one
        count = max(int((held_out > 0).sum(axis=1).max()), 1)
        step = 1 << max(count.bit_length() - 4, 0)
        size = min(-(-count // step) * step, held_out.shape[1])  # few sizes: each is compiled anew
        rows = np.argsort(held_out <= 0, axis=1, kind="stable")[:, :size]  # those held out come first
    return np.asarray(_errors(setup, design, rows, held_out, trained, coef, intercept, scoring))


@functools.partial(jax.jit, static_argnames=("setup", "scoring"))
def _errors(
    setup: Setup, design: Design, rows: Array | None, held_out: Array, trained: Array, coef: Array, intercept: Array, scoring: str
) -> Array:
    """Of the splits' ``rows`` alone, if they are given."""

    def one(args: tuple[Any, ...]) -> Array:
        at, v, trained, coefs, intercepts = args
        own = design
        if at is not None:
            own, v, trained = design._replace(X=design.X[at], y=design.y[at], offset=design.offset[at]), v[at], trained[at]
        eta = all_predictors(setup, own, coefs, intercepts)
        return jax.vmap(lambda eta: jnp.atleast_1d(mean_score(scoring, setup.loss, eta, own.y, v, trained)))(eta)

    return jax.lax.map(one, (rows, held_out, trained, coef, intercept))


def mean_and_error(errors: np.ndarray, sizes: np.ndarray, repeat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard error) over the folds of each repeat, of given held-out weight, averaged over repeats; errors are (S, …)."""
    means, variances = [], []
    for r in range(repeat[-1] + 1):
        own = repeat == r
        share = (sizes[own] / sizes[own].sum()).reshape(-1, *[1] * (errors.ndim - 1))
        means.append((share * errors[own]).sum(axis=0))
        variances.append((share * (errors[own] - means[-1]) ** 2).sum(axis=0) / (own.sum() - 1))
    return np.mean(means, axis=0), np.sqrt(np.mean(variances, axis=0))


def warn_of_folds(result: CrossValidation, what: str) -> None:
    """Say aloud which fits, of all rows or of a fold, did not converge, and whether some are missing."""
    warn_if_not_converged(result.path, what, stacklevel=4)
    if result.interrupted:
        done = f"{len(result.fold_errors)} folds and {len(result.lams)} λ"
        warnings.warn(f"{what}: interrupted, with {done} done; the result is of those alone", ConvergenceWarning, stacklevel=3)
    missed = ~np.asarray(result.fold_converged)
    if missed.any():
        warnings.warn(
            f"{what}: {missed.sum()} of {missed.size} fold fits did not reach tol={result.path.tol:g}; result.fold_converged marks them",
            ConvergenceWarning,
            stacklevel=3,
        )
