"""``path``: every λ of a regularisation path, each answer with its certificate."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._dtypes import is_number
from .._penalties import L2, Penalty
from .._warnings import ConvergenceWarning
from ..losses import Loss, SquaredError
from . import _ridge
from ._certificate import Certificate, Null, certify, free_columns, null_model, why_no_gap
from ._engine import Lane, Setup, advance, buckets, null_point, prepare
from ._inputs import Problem, check_lams, check_problem, scope
from ._result import Path

Progress = Callable[[int, int], None] | None
_CHUNK = 10  # λ a compiled call: short enough to show progress, long enough not to be felt


class Fits(NamedTuple):
    """Answers of every lane at every λ, as device arrays with leading axes (lanes, lams)."""

    lams: Any
    coef: Any
    intercept: Any
    certificate: Certificate
    null: Null
    ridge: _ridge.Ridge | None
    reason: str | None
    tol: float


def path(
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
    lower: Any = None,
    upper: Any = None,
    tol: float | None = None,
    max_nonzeros: int | None = None,
    progress: Progress = None,
) -> Path:
    """Fit ``loss(y, Xw + b + offset) + λ·penalty(w)`` for every λ of a grid.

    The objective is minimised as written: no column is scaled, no λ converted (``jaxreg.conventions`` converts from other
    libraries). The intercept b is never penalised. Each answer carries its relative duality gap and stationarity residual,
    computed from X and y apart from the solver; what is not converged is marked and warned of.

    Args:
      X: (n, p) design matrix. NumPy input of float64 (and integers) is computed in float64 and returned as NumPy; float32
        stays float32; jax arrays keep their dtype.
      y: (n,) targets, (n, targets) for squared error, classes coded 0, 1, … for the likelihoods of classes.
      penalty: a jaxreg penalty on the coefficients; the grid multiplies it (``penalty.at(λ)``), so ``L1()`` gives
        ``λ·Σ|w|``.
      loss: data term; default ``losses.SquaredError()``, the sum of squares. λ is in units of this loss: under ``"sum"`` it
        grows with n.
      lams: how many λ (log-spaced from the smallest that gives all zeros, down to 1e-3 of it when n > p, else 1e-2; for ridge,
        which has none, from the elastic net's at l1_ratio 1e-3, and a thousand times further down), or the values in any
        order.
      intercept: whether to fit b.
      standardize: scale columns to unit (weighted, 1/n) standard deviation inside, so that the penalty acts on
        ``w·sd``; coefficients come back on the original scale.
      sample_weight: (n,) weights >= 0 of the rows.
      offset: added to the linear predictor; (n,) or (n, targets).
      penalty_factor: (p,) multiplies the penalty feature by feature; 0 leaves a feature unpenalised. Never rescaled.
      lower, upper: bounds on the coefficients (original scale), lower <= 0 <= upper; numbers or (p,).
      tol: on the relative gap, or the residual where no gap is defined; default 1e-10 in float64, 1e-5 in float32.
      max_nonzeros: stop after the first chunk of λ in which more coefficients than this are nonzero (not for ridge).
      progress: called with (done, total) as chunks of λ finish.

    Returns:
      A :class:`Path`.

    Raises:
      TypeError, ValueError: the message names the argument, what is wrong with it and what to do.

    Warns:
      ConvergenceWarning: some λ did not reach ``tol``.

    References:
      Friedman, Hastie and Tibshirani, Regularization paths for generalized linear models via coordinate descent, 2010.

    >>> import numpy as np, jaxreg
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> y = np.array([3.0, 1.0, -3.0, -1.0])
    >>> fit = jaxreg.path(X, y, jaxreg.L1(), lams=[4.0, 8.0])
    >>> fit.formula
    'Σ(y − η)² + λ·Σ|w|'
    >>> (fit.coef + 0.0).round(12).tolist()  # orthogonal columns: soft thresholding at λ/4
    [[1.0, 0.0], [2.0, 0.0]]
    """
    with scope(X):
        grid = check_lams(lams)
        problem = check_problem(
            X, y, penalty, loss=loss, intercept=intercept, standardize=standardize, sample_weight=sample_weight,
            offset=offset, penalty_factor=penalty_factor, lower=lower, upper=upper,
        )  # fmt: skip
        fits = fit_lanes(problem, problem.weights[None], grid, tol, progress, max_nonzeros)
        result = as_path(problem, fits, penalty, reordered=not isinstance(grid, int) and list(grid) != list(np.atleast_1d(lams)))
    warn_if_not_converged(result)
    return result


def fit_lanes(problem: Problem, weights: Any, grid: Any, tol: float | None, progress: Progress, max_nonzeros: int | None = None) -> Fits:
    """Fit lanes of sample weights (lane 0 is all the data) on one grid, which lane 0 decides."""
    setup, design, penalty = problem.setup, problem.design, problem.penalty
    dtype = design.X.dtype
    weights = jnp.asarray(np.asarray(weights), dtype)
    if tol is not None and not (is_number(tol) and np.ndim(tol) == 0 and np.isfinite(tol) and tol > 0):
        raise ValueError(f"tol must be a number > 0, got {tol!r}")
    if max_nonzeros is not None and max_nonzeros < 1:
        raise ValueError(f"max_nonzeros must be at least 1, got {max_nonzeros}")
    tol = float(tol if tol is not None else (1e-10 if dtype == jnp.float64 else 1e-5))
    lanes = prepare(setup, design, weights)
    A = free_columns(setup, design.X, problem.free)
    null = null_model(setup, design, weights[0], lanes.scale[0], A, penalty)
    lams = np.asarray(default_grid(problem, null, grid) if isinstance(grid, int) else grid, dtype)
    no_gap = why_no_gap(setup, design, penalty)
    a = None if design.lower is not None else _ridge.strengths(penalty, setup.shape(design.X.shape[1]), dtype)
    ridge = None
    if a is not None and isinstance(setup.loss, SquaredError):
        if max_nonzeros is not None:
            raise ValueError("max_nonzeros: ridge has no zero coefficients, so that there is nothing to stop at; leave it out")
        whole = -(-len(lams) // _CHUNK) * _CHUNK
        padded = _ridge.fit(setup, design, lanes, a, jnp.asarray(_part(lams, 0, whole)))
        answers: Any = [np.asarray(x)[:, : len(lams)] for x in padded]
        ridge = _ridge.Ridge(*answers)
        coef, intercept = ridge.coef, ridge.intercept
        if progress:
            progress(len(lams), len(lams))
    elif a is not None and setup.bucket < design.X.shape[1] and not setup.standardize:
        coef, intercept = _follow_in_row_space(problem, weights, a, null, lams, tol, progress)
    else:
        coef, intercept = _follow(problem, lanes, null, lams, tol, progress, max_nonzeros)
        lams = lams[: coef.shape[1]]
    chunk = _CHUNK

    def certified(lane: int, start: int) -> Certificate:
        part = [_part(x, start, chunk) for x in (lams, coef[lane], intercept[lane])]
        return certify(setup, design, weights[lane], lanes.scale[lane], A, penalty, null, *part, gap_defined=no_gap is None)

    parts = [[certified(lane, start) for start in range(0, len(lams), chunk)] for lane in range(len(weights))]
    joined = [[np.concatenate(column)[: len(lams)] for column in zip(*lane, strict=True)] for lane in parts]
    stacked: Any = [np.stack(column) for column in zip(*joined, strict=True)]
    certificate = Certificate(*stacked)
    return Fits(lams, coef, intercept, certificate, null, ridge, no_gap, tol)


def _follow(
    problem: Problem, lanes: Lane, null: Null, lams: Any, tol: float, progress: Progress, max_nonzeros: int | None
) -> tuple[Any, Any]:
    """The host loop over chunks of λ: grows the working set when one overflows, shows progress, may stop early."""
    setup, design = problem.setup, problem.design
    dtype, p = design.X.dtype, design.X.shape[1]
    sizes = buckets(setup.columns, p, problem.penalty.separable)
    points = null_point(setup, p, len(lanes.weights), dtype)
    # The gap is of the residual's first order at worst; aiming four digits below tol costs a Newton step or none.
    aim = jnp.asarray(max(1e-4 * tol, 64 * float(jnp.finfo(dtype).eps)), dtype)
    unit = null.size
    steps, wanted = _stepping_stones(np.asarray(lams), float(null.lambda_max))
    total, chunk = len(steps), _CHUNK
    coefs, intercepts, found = [], [], 0
    for start in range(0, total, chunk):
        part = jnp.asarray(_part(steps, start, chunk))
        moved, fit = advance(setup, design, lanes, problem.penalty, part, points, unit, aim)
        while setup.bucket < p and sizes.index(setup.bucket) + 1 < len(sizes) and bool(jnp.any(fit.overflow)):
            setup = setup._replace(bucket=sizes[sizes.index(setup.bucket) + 1])
            moved, fit = advance(setup, design, lanes, problem.penalty, part, points, unit, aim)
        points = moved
        kept = np.flatnonzero(wanted[start : start + chunk])
        coefs.append(np.asarray(fit.coef)[:, kept])
        intercepts.append(np.asarray(fit.intercept)[:, kept])
        found += len(kept)
        if progress:
            progress(found, len(lams))
        nonzeros = (coefs[-1][0] != 0).sum(axis=tuple(range(1, coefs[-1][0].ndim)))
        if max_nonzeros is not None and nonzeros.max(initial=0) > max_nonzeros:
            break
    return np.concatenate(coefs, axis=1), np.concatenate(intercepts, axis=1)


def _follow_in_row_space(problem: Problem, weights: Any, a: Any, null: Null, lams: Any, tol: float, progress: Progress) -> tuple[Any, Any]:
    """L2 with more features than a working set holds: none is ever zero, but w lies in the span of the rows.

    With ``X/√a = R Qᵀ``, Q orthonormal, the penalty ``Σa·w²`` of ``w = Q u/√a`` is ``Σu²``, and the n columns of R take
    the features' place.
    """
    design, setup = problem.design, problem.setup
    Q, R = jnp.linalg.qr((design.X / jnp.sqrt(a)).T)
    n = Q.shape[1]
    reduced = problem._replace(
        setup=setup._replace(bucket=n), design=design._replace(X=R.T, free=jnp.zeros(n, bool)), penalty=L2(1.0), free=np.zeros(n, bool)
    )
    lanes = prepare(reduced.setup, reduced.design, weights)
    coef, intercept = _follow(reduced, lanes, null, lams, tol, progress, None)
    back = np.asarray(Q) / np.sqrt(np.asarray(a))[:, None]
    return np.einsum("pn,kln...->klp...", back, coef), intercept


def _stepping_stones(lams: np.ndarray, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """(λ to pass through, which of them were asked for): no step down by more than a factor of 3.

    A far jump starts Newton's method and the working set far from their answer. The way there from the null model is
    short: ten stones for five orders of magnitude.
    """
    out: list[float] = []
    wanted: list[bool] = []
    before = largest if np.isfinite(largest) else float(lams[0])
    for lam in lams:
        # λ = 0 is approached until what is left of the penalty is small beside everything else.
        goal = max(float(lam), 1e-6 * largest) if np.isfinite(largest) else float(lam)
        if 0 < goal < before:
            count = int(np.ceil(np.log(before / goal) / np.log(3.0) - 1e-9))
            stones = np.geomspace(before, goal, count + 1)[1:-1] if lam > 0 else np.geomspace(before, goal, count + 1)[1:]
            out.extend(stones)
            wanted.extend([False] * len(stones))
        out.append(float(lam))
        wanted.append(True)
        before = min(before, float(lam)) if lam > 0 else 0.0
    return np.asarray(out, lams.dtype), np.asarray(wanted)


def _part(rows: Any, start: int, size: int) -> Any:
    """``size`` rows from ``start`` on, the last one repeated where they run out."""
    return np.asarray(rows)[np.minimum(np.arange(start, start + size), len(rows) - 1)]


def default_grid(problem: Problem, null: Null, count: int) -> np.ndarray:
    """Log-spaced from the smallest λ whose solution is all zero (ridge: the elastic net's at l1_ratio 1e-3)."""
    n, p = problem.design.X.shape
    largest = float(null.lambda_max)
    if not np.isfinite(largest) or largest <= 0:
        raise ValueError("lams: no λ grid can be derived (the gradient at the null model is zero or the penalty has no λ); pass values")
    smallest = 1e-3 if n > p else 1e-2
    if bool(null.smooth):
        # The substitute is a thousand times the λ at which an L1 of the same weight would start to select.
        smallest *= 1e-3
    # Two roundings above, so that rounding does not leave a coefficient of 1e-17 at the first λ.
    return largest * (1 + 4 * float(jnp.finfo(problem.design.X.dtype).eps)) * np.geomspace(1, smallest, count)


def as_path(problem: Problem, fits: Fits, penalty: Penalty, *, reordered: bool = False) -> Path:
    """Lane 0 as a Path."""
    setup = problem.setup
    coef, intercept, lams = np.asarray(fits.coef[0]), np.asarray(fits.intercept[0]), np.asarray(fits.lams)
    if not setup.intercept:
        intercept = np.zeros((coef.shape[0], setup.columns), coef.dtype)
    gap, kkt, value = (np.asarray(x[0]) for x in fits.certificate)
    null_loss = float(fits.null.loss)
    coefficients = tuple(range(1, coef.ndim))
    certified = np.where(np.isnan(gap) & np.isfinite(coef).all(coefficients), kkt, gap)
    separable = separable_classes(setup, lams, value, null_loss)
    certified = np.where(separable, np.inf, certified)
    if separable.any():
        reason = "λ = 0 has no solution: the classes are separable and the coefficients diverge"
    else:
        reason = fits.reason or (_no_bound(lams[np.isnan(gap)]) if np.isnan(gap).any() else None)
    arrays: dict[str, Any] = {
        "lams": lams,
        "coef": coef,
        "intercept": intercept[:, 0] if setup.outputs is None else intercept,
        "gap": gap,
        "kkt": kkt,
        "nonzeros": (coef != 0).sum(coefficients),
        # A gap within tol beside a residual far from it would be a broken certificate, not a solution.
        "converged": (certified <= fits.tol) & (kkt <= np.sqrt(fits.tol)),
        "deviance_ratio": 1 - value / null_loss,
        "loss_value": value,
    }
    if fits.ridge is not None:
        arrays |= {"gcv": np.asarray(fits.ridge.gcv[0]), "df": np.asarray(fits.ridge.df[0])}
        if not setup.standardize:
            arrays["loo"] = np.asarray(fits.ridge.loo[0])
    if not problem.as_numpy:
        arrays = {name: jnp.asarray(value) for name, value in arrays.items()}
    return Path(
        **arrays,
        null_loss=null_loss,
        loss=setup.loss,
        penalty=penalty,
        formula=path_formula(problem, penalty),
        tol=fits.tol,
        gap_reason=reason,
        reordered=reordered,
    )


def _no_bound(lams: Any) -> str:
    if (lams == 0).all():
        return "λ = 0 has no duality gap: nothing bounds the dual"
    return "no dual point is feasible to rounding, so that there is no bound; the stationarity residual decides"


def separable_classes(setup: Setup, lams: Any, value: Any, null_loss: float) -> Any:
    """Where, without a penalty, classes are fitted perfectly: the minimiser is at infinity, however small the gradient."""
    return (lams == 0) & (value < 1e-6 * null_loss) & setup.loss.classification


def path_formula(problem: Problem, penalty: Penalty) -> str:
    """The objective exactly as minimised."""
    setup, design = problem.setup, problem.design
    text = f"{setup.loss.formula()} + {penalty.formula('λ', '(w·sd)' if setup.standardize else 'w')}"
    return text + (" with lower ≤ w ≤ upper" if design.lower is not None else "")


def warn_if_not_converged(result: Path, what: str = "path") -> None:
    """Say aloud which λ did not converge."""
    missed = ~np.asarray(result.converged)
    if missed.any():
        worst = np.nanmax(np.where(np.isnan(result.gap), result.kkt, result.gap)[missed])
        lams = np.asarray(result.lams)[missed]
        warnings.warn(
            f"{what}: {missed.sum()} of {missed.size} λ did not reach tol={result.tol:g} (worst {worst:.1e}, largest such "
            f"λ {lams[0]:.4g}); result.converged marks them. A larger tol or fewer, larger λ may serve",
            ConvergenceWarning,
            stacklevel=3,
        )
