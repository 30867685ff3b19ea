"""``path``: every λ of a regularisation path, each answer with its certificate."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .._dtypes import on_device
from .._penalties import Penalty
from .._warnings import ConvergenceWarning
from ..losses import Loss
from ._certified import reached
from ._columns import Sparse
from ._engine import Setup
from ._fit import Fits, fit_lanes
from ._inputs import Problem, check_lams, check_problem, scope
from ._interrupt import interruptible, warn_if_late
from ._progress import Progress
from ._result import Path
from ._together import LARGEST


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

    A lasso under squared error, without bounds, is followed exactly from knot to knot (``Path.knots``, of one target), so that
    the number of λ costs next to nothing; where rounding leaves such a path short of ``tol``, Newton's method takes over
    (``Path.fallback``).

    Args:
      X: (n, p) design matrix. NumPy input of float64 (and integers) is computed in float64 and returned as NumPy; float32
        stays float32; jax arrays keep their dtype. A scipy.sparse matrix (of any format) or a BCOO is never made dense, and is
        centred in thought: smooth losses and squared error with L1, L2 or both, and every option; the rest asks for X.toarray(). No second
        method takes over where these miss ``tol``, and a working set holds 8192 features (``max_nonzeros`` stops before).
        Columns whose mean is more than some 1e5 times their spread cost the certificate digits where the loss is not squared error of one
        target: centre them first.
      y: (n,) targets, (n, targets) for losses of numbers and counts (every target has each λ of the grid), classes coded
        0, 1, … for the likelihoods of classes, (n, 2) times and events (1, or 0 for censored) for ``Cox``.
      penalty: a jaxreg penalty on the coefficients; the grid multiplies it (``penalty.at(λ)``), so ``L1()`` gives
        ``λ·Σ|w|``.
      loss: data term; default ``losses.SquaredError()``, the sum of squares. λ is in units of this loss: under ``"sum"`` it
        grows with n.
      lams: how many λ (log-spaced from the smallest that gives all zeros, down to 1e-3 of it when n > p, else 1e-2; no λ does that
        under L2: its grid starts where the elastic net's at l1_ratio 1e-3 would and ends at 1e-6 of that when n > p, else 1e-5; other
        penalties without one, such as ``Tikhonov``, need values), or the values in any order.
      intercept: whether to fit b. Under ``Cox`` none is identified: there is none, and 0 is reported.
      standardize: scale columns to unit (weighted, 1/n) standard deviation inside, so that the penalty acts on
        ``w·sd``; coefficients come back on the original scale.
      sample_weight: (n,) weights >= 0 of the rows.
      offset: added to the linear predictor; (n,) or (n, targets).
      penalty_factor: (p,) multiplies the penalty feature by feature; 0 leaves a feature unpenalised. Never rescaled.
      lower, upper: bounds on the coefficients (original scale), lower <= 0 <= upper; numbers or (p,).
      tol: on the relative gap, or the residual where no gap is defined (the residual must be within √tol in any case); default 1e-10 in
        float64, 1e-5 in float32. Squared error is solved to rounding whatever it is, or to eight digits of the coefficients at least;
        elsewhere coefficients may be off by a few hundredths of its square root, relative to the largest (4e-7 by default): pass a
        smaller one to compare them digit by digit.
      max_nonzeros: stop after the first chunk of λ in which more coefficients than this are nonzero (not for ridge).
      progress: called with (done, total) as chunks of λ finish.

    Returns:
      A :class:`Path`. Ctrl-C ends it after the chunk of λ at hand and keeps those done (``Path.interrupted``); pressed twice it raises
      KeyboardInterrupt, as it does at once for several targets that are fitted apart.

    Raises:
      TypeError, ValueError: the message names the argument, what is wrong with it and what to do.

    Warns:
      ConvergenceWarning: some λ did not reach ``tol``, or the path was interrupted.

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
    with scope(X), interruptible() as stop:
        grid = check_lams(lams)
        problem = check_problem(
            X, y, penalty, loss=loss, intercept=intercept, standardize=standardize, sample_weight=sample_weight,
            offset=offset, penalty_factor=penalty_factor, lower=lower, upper=upper,
        )  # fmt: skip
        fits = fit_lanes(problem, problem.weights[None], grid, tol, progress, max_nonzeros, stop=stop)
        result = as_path(problem, fits, penalty, lams)
    warn_if_not_converged(result)
    warn_if_late(stop, result.interrupted, "path")
    warn_if_interrupted(result, fits.unfinished, "path")
    return result


def as_path(problem: Problem, fits: Fits, penalty: Penalty, asked: Any) -> Path:
    """Lane 0 as a Path; ``asked`` is what was passed as lams."""
    setup = problem.setup
    coef, intercept, lams = np.asarray(fits.coef[0]), np.asarray(fits.intercept[0]), np.asarray(fits.lams)
    if not setup.intercept:
        intercept = np.zeros((coef.shape[0], setup.columns), coef.dtype)
    gap, kkt, value = (np.asarray(x[0]) for x in fits.certificate)
    null_loss, unit = float(fits.null.loss), float(fits.null.unit)
    coefficients = tuple(range(1, coef.ndim))
    endless = perfect(setup, lams, value - float(fits.null.saturated), unit)
    if endless.any():
        found = "every event is foreseen" if setup.loss.coupled else "the classes are separable"
        reason = f"λ = 0 has no solution: {found} and the coefficients diverge"
    elif isinstance(problem.design.X, Sparse) and np.isnan(coef).any():
        reason = f"X is sparse and more than {LARGEST} coefficients would not be zero: coef is NaN there. max_nonzeros stops before"
    elif setup.loss.classification and (kkt > 1).any():  # farther from stationary than the null model
        reason = "the coefficients diverge, as they do where features without a penalty separate the classes: then there is no minimiser"
    else:
        reason = fits.reason or (_no_bound(lams[np.isnan(gap)]) if np.isnan(gap).any() else None)
    arrays: dict[str, Any] = {
        "lams": lams,
        "coef": coef,
        "intercept": intercept[:, 0] if setup.outputs is None else intercept,
        "gap": gap,
        "kkt": kkt,
        "nonzeros": (coef != 0).sum(coefficients),
        "converged": reached(fits.certificate, fits.coef, fits.tol)[0] & ~endless,
        "deviance_ratio": (null_loss - value) / unit,
        "loss_value": value,
    }
    if fits.ridge is not None:
        known = {"gcv": np.asarray(fits.ridge.gcv)} | ({} if setup.standardize else {"loo": np.asarray(fits.ridge.loo)})
        arrays |= {name: of_target.mean(axis=1) for name, of_target in known.items()} | {"df": np.asarray(fits.ridge.df)}
        if setup.outputs is not None:
            arrays |= {f"target_{name}": of_target for name, of_target in known.items()}
    if not problem.as_numpy:
        arrays = on_device(arrays)
    return Path(
        **arrays,
        null_loss=null_loss,
        loss=setup.loss,
        penalty=penalty,
        formula=path_formula(problem, penalty),
        tol=fits.tol,
        method=fits.methods[0],
        fallback=fits.fallback,
        knots=fits.knots,
        gap_reason=reason,
        interrupted=fits.unfinished > 0,
        offset=problem.shifted,
        reordered=np.ndim(asked) > 0 and bool(np.any(np.diff(asked) > 0)),
    )


def _no_bound(lams: Any) -> str:
    if (lams == 0).all():
        return "λ = 0 has no duality gap: nothing bounds the dual"
    return "no dual point is feasible to rounding, so that there is no bound; the stationarity residual decides"


def perfect(setup: Setup, lams: Any, excess: Any, unit: float) -> Any:
    """Where, without a penalty, a fit comes as near as it likes to a least loss that it never has: the minimiser is at infinity."""
    return (lams == 0) & (excess < 1e-6 * unit) & (setup.loss.classification or setup.loss.coupled)


def path_formula(problem: Problem, penalty: Penalty) -> str:
    """The objective exactly as minimised."""
    setup, design = problem.setup, problem.design
    text = f"{setup.loss.formula()} + {penalty.formula('λ', '(w·sd)' if setup.standardize else 'w')}"
    return text + (" with lower ≤ w ≤ upper" if design.lower is not None else "")


def warn_if_interrupted(result: Path, unfinished: int, what: str) -> None:
    """Say aloud that ``unfinished`` λ are missing."""
    if result.interrupted:
        done = len(result.lams)
        text = f"{what}: interrupted, with {done} of {done + unfinished} λ done; the result ends there"
        warnings.warn(text, ConvergenceWarning, stacklevel=3)


def warn_if_not_converged(result: Path, what: str = "path", stacklevel: int = 3) -> None:
    """Say aloud which λ did not converge."""
    missed = ~np.asarray(result.converged)
    if missed.any():
        gap, kkt = np.asarray(result.gap)[missed], np.asarray(result.kkt)[missed]
        worst = f"gap {np.nanmax(gap):.1e}, residual" if np.isfinite(gap).any() else "residual"
        worst = f"worst {worst} {np.nanmax(kkt):.1e}" if np.isfinite(kkt).any() else "no finite answer"
        advice = "A larger tol or fewer, larger λ may serve, or columns that are centred first where their means are large"
        if result.gap_reason and (np.isnan(gap).any() or not np.isnan(result.gap).any()):  # else it is of other λ
            advice = result.gap_reason
        elif (gap <= result.tol).all():
            advice = (
                "The gap is within tol everywhere, and what is left of the gradient may be rounding: of a λ that is that large, or of "
                "columns whose scales lie that far apart; standardize=True or other units mend the latter"
            )
        lams = np.asarray(result.lams)[missed]
        warnings.warn(
            f"{what}: {missed.sum()} of {missed.size} λ did not reach tol={result.tol:g} ({worst}, largest such "
            f"λ {lams[0]:.4g}); result.converged marks them. {advice}",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
