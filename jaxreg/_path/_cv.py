"""Choosing λ by K-fold cross-validation: one grid from all the data, folds drawn once, every error kept."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._penalties import Penalty
from .._warnings import ConvergenceWarning
from ..losses import Loss
from ._engine import Design, Setup, predictor
from ._fit import fit_lanes, reached
from ._follow import Progress
from ._inputs import check_lams, check_problem, scope
from ._path import as_path, separable_classes, warn_if_not_converged
from ._result import Path, shown_rows

RULES = ("min", "1se")


@dataclasses.dataclass(frozen=True, repr=False)
class CrossValidation:
    """K-fold cross-validation of a λ path; made by :func:`jaxreg.cross_validate`.

    Attributes:
      path: the path on all the data.
      lams: (L,) the grid, decreasing.
      fold_errors: (K, L) weighted mean error of each fold's held-out rows.
      fold_coef, fold_intercept: (K, L, …) each fold's answers.
      fold_converged: (K, L) bool, each by its own certificate.
      fold_method: what solved each fold, as ``Path.method``.
      fold_ids: (n,) the fold in which each row is held out.
      mean: (L,) mean error over folds, weighted by their held-out weight.
      se: (L,) its standard error.
      index_min, index_1se: positions of the smallest mean, and of the largest λ within one standard error of it.
      rule: which of the two is chosen.
      error_name: what the error is.
    """

    path: Path
    lams: Any
    fold_errors: Any
    fold_coef: Any
    fold_intercept: Any
    fold_converged: Any
    fold_method: tuple[str, ...]
    fold_ids: Any
    mean: Any
    se: Any
    index_min: int
    index_1se: int
    rule: str
    error_name: str

    @property
    def index(self) -> int:
        """The position of the chosen λ."""
        return self.index_min if self.rule == "min" else self.index_1se

    @property
    def lam(self) -> float:
        """The chosen λ."""
        return float(self.lams[self.index])

    @property
    def lam_min(self) -> float:
        """The λ with the smallest mean error."""
        return float(self.lams[self.index_min])

    @property
    def lam_1se(self) -> float:
        """The largest λ whose mean error is within one standard error of the smallest."""
        return float(self.lams[self.index_1se])

    @property
    def coef(self) -> Any:
        """The coefficients at the chosen λ, from all the data."""
        return self.path.coef[self.index]

    @property
    def intercept(self) -> Any:
        """The intercept at the chosen λ, from all the data."""
        return self.path.intercept[self.index]

    @property
    def edge(self) -> bool:
        """Whether the smallest error lies at the small end of the grid, so that a longer grid might find a smaller one."""
        return len(self.lams) > 1 and self.index_min == len(self.lams) - 1

    def predict(self, X: Any) -> Any:
        """The expected target at the chosen λ."""
        return self.path.predict(X, self.lam)

    def __repr__(self) -> str:
        return f"<cross-validation: {self.path.formula}; {self.fold_errors.shape[0]} folds, {self.rule}: λ = {self.lam:.4g}>"

    def __str__(self) -> str:
        rows = [repr(self), f"{'λ':>12} {'nonzeros':>9} {self.error_name:>24} {'± SE':>9}"]
        for i in sorted({*shown_rows(len(self.lams), 15), self.index_min, self.index_1se}):
            marks = [name for name, at in (("λ_min", self.index_min), ("λ_1se", self.index_1se)) if at == i]
            numbers = f"{float(self.lams[i]):12.6g} {int(self.path.nonzeros[i]):9d} {float(self.mean[i]):24.6g} {float(self.se[i]):9.2g}"
            rows.append(" ".join([numbers, *marks]))
        return "\n".join(rows)


def draw_folds(n: int, folds: int, key: jax.Array, classes: Any = None) -> np.ndarray:
    """(n,) fold ids 0 … folds−1 of sizes that differ by one at most, drawn from a key; balanced within each class.

    Args:
      n: rows.
      folds: how many folds, between 2 and n.
      key: a jax random key; the same key gives the same folds.
      classes: (n,) labels, to stratify by.

    Raises:
      ValueError: fewer than two folds or more than rows.
    """
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    if folds > n:
        raise ValueError(f"folds = {folds} is more than the {n} rows; use folds <= {n}")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    order = rng.permutation(n)
    if classes is not None:
        # Dealing out the rows sorted by class leaves each fold with its share of every class.
        order = order[np.argsort(np.asarray(classes)[order], kind="stable")]
    ids = np.empty(n, int)
    ids[order] = np.arange(n) % folds
    return ids


@functools.partial(jax.jit, static_argnames=("setup",))
def _errors(setup: Setup, design: Design, held_out: Array, coef: Array, intercept: Array) -> Array:
    """(K, L): each fold's weighted mean loss on its held-out rows, less the smallest that it could be."""
    classes = (setup.columns,) if setup.loss.vector else ()
    least = -setup.loss.pointwise_conjugate(jnp.zeros(design.y.shape + classes, design.X.dtype), design.y)

    def one(args: tuple[Array, Array, Array]) -> Array:
        v, coefs, intercepts = args

        def one_lam(at: tuple[Array, Array]) -> Array:
            eta = predictor(setup, design.X, at[0], at[1], design.offset)
            values = setup.loss.pointwise(eta, design.y) - least
            values = values if values.ndim == 1 else jnp.mean(values, axis=1)
            return jnp.sum(jnp.where(v > 0, v * values, 0)) / jnp.sum(v)

        # Ten λ make a matrix product of what would be ten passes over X.
        return jax.lax.map(one_lam, (coefs, intercepts), batch_size=10)

    return jax.lax.map(one, (held_out, coef, intercept))


def cross_validate(
    X: Any,
    y: Any,
    penalty: Penalty,
    *,
    loss: Loss | None = None,
    lams: Any = 100,
    folds: Any = 10,
    key: jax.Array | None = None,
    rule: str = "min",
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
    K/(K−1)); ``"half_mean"`` or ``"mean"`` avoid that. Folds are stratified by class for the likelihoods of classes.

    Args:
      folds: the number of folds (then ``key`` is needed), or (n,) ids 0 … K−1 of the fold in which each row is held out.
      key: a jax random key from which the folds are drawn, once.
      rule: ``"min"`` chooses the smallest mean error, ``"1se"`` the largest λ within one standard error of it.
      progress: called with (done, total) chunks of λ.
      X, y, penalty, loss, lams, intercept, standardize, sample_weight, offset, penalty_factor, lower, upper, tol: as in
        :func:`jaxreg.path`.

    Returns:
      A :class:`CrossValidation`. Errors are weighted means of the pointwise loss over a fold's rows: squared error, or the
      negative log-likelihood. With fold weights n_k (held-out weight) and errors e_k, the mean is m = Σn_k·e_k/Σn_k and its
      standard error √(Σn_k(e_k − m)²/Σn_k/(K−1)), which for equal folds is the standard deviation of the fold errors over √K.

    Raises:
      TypeError, ValueError: as :func:`jaxreg.path`; more folds than rows, no key, an unknown rule.

    References:
      Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2009, §7.10.

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
    with scope(X):
        grid = check_lams(lams)
        problem = check_problem(
            X, y, penalty, loss=loss, intercept=intercept, standardize=standardize, sample_weight=sample_weight,
            offset=offset, penalty_factor=penalty_factor, lower=lower, upper=upper,
        )  # fmt: skip
        n = problem.weights.size
        ids = _fold_ids(folds, n, key, np.asarray(y) if problem.setup.loss.classification else None)
        held_out = np.where(ids[None] == np.arange(ids.max() + 1)[:, None], problem.weights, 0.0)
        _check_training_rows(problem.setup, ids, held_out, problem.weights, y)
        fits = fit_lanes(problem, np.concatenate([problem.weights[None], problem.weights - held_out]), grid, tol, progress, ids=ids)
        reordered = not isinstance(grid, int) and list(grid) != list(np.atleast_1d(lams))
        full = as_path(problem, fits, penalty, reordered=reordered)
        dtype = problem.design.X.dtype
        fold_coef, fold_intercept = jnp.asarray(fits.coef[1:]), jnp.asarray(fits.intercept[1:])
        errors = np.asarray(_errors(problem.setup, problem.design, jnp.asarray(held_out, dtype), fold_coef, fold_intercept))
        sizes = held_out.sum(axis=1)
        mean, se = mean_and_error(errors, sizes)
        index_min = int(np.nanargmin(mean)) if np.isfinite(mean).any() else 0
        endless = separable_classes(problem.setup, np.asarray(fits.lams), fits.certificate.loss[1:], float(fits.null.unit))
        fold_converged = reached(fits.certificate, fits.coef, fits.tol)[1:] & ~endless
        out = np.asarray if problem.as_numpy else jnp.asarray
        if not problem.setup.intercept:
            fold_intercept = jnp.zeros((*errors.shape, problem.setup.columns), dtype)
        result = CrossValidation(
            path=full,
            lams=full.lams,
            fold_errors=out(errors),
            fold_coef=out(fold_coef),
            fold_intercept=out(fold_intercept[..., 0] if problem.setup.outputs is None else fold_intercept),
            fold_converged=out(fold_converged),
            fold_method=fits.methods[1:],
            fold_ids=out(ids),
            mean=out(mean),
            se=out(se),
            index_min=index_min,
            index_1se=int(np.flatnonzero(mean <= mean[index_min] + se[index_min])[0]) if np.isfinite(mean[index_min]) else index_min,
            rule=rule,
            error_name=problem.setup.loss.score,
        )
    warn_if_not_converged(full, "cross_validate")
    if not fold_converged.all():
        warnings.warn(
            f"cross_validate: {(~fold_converged).sum()} of {fold_converged.size} fold fits did not reach tol={fits.tol:g}; "
            "result.fold_converged marks them",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result


def mean_and_error(errors: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard error) over folds of given held-out weight; errors are (K, L)."""
    share = sizes[:, None] / sizes.sum()
    mean = (share * errors).sum(axis=0)
    return mean, np.sqrt((share * (errors - mean) ** 2).sum(axis=0) / (len(sizes) - 1))


def _fold_ids(folds: Any, n: int, key: jax.Array | None, classes: Any) -> np.ndarray:
    if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
        if key is None:
            raise ValueError("key is missing: folds are drawn from an explicit key, such as key=jax.random.key(0), or pass fold ids")
        return draw_folds(n, int(folds), key, classes)
    ids = np.asarray(folds)
    if ids.shape != (n,) or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"folds must be a count or {n} integer ids, got {ids.dtype} of shape {ids.shape}")
    present = np.unique(ids)
    if present.size < 2 or present[0] != 0 or present[-1] != present.size - 1:
        raise ValueError(f"folds: ids must be 0 … K−1 with K >= 2 and none missing, got {present[:6].tolist()}")
    return ids


def _check_training_rows(setup: Setup, ids: np.ndarray, held_out: np.ndarray, weights: np.ndarray, y: Any) -> None:
    if (held_out.sum(axis=1) <= 0).any():
        empty = int(np.flatnonzero(held_out.sum(axis=1) <= 0)[0])
        raise ValueError(f"folds: fold {empty} holds out no row of positive weight")
    if not setup.loss.classification:
        return
    labels = np.asarray(y)
    for k in range(ids.max() + 1):
        lost = sorted(set(np.unique(labels[weights > 0])) - set(np.unique(labels[(ids != k) & (weights > 0)])))
        if lost:
            raise ValueError(f"folds: without fold {k} no row of class {int(lost[0])} is left to train on; use fewer folds")
