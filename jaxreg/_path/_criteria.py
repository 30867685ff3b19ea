"""Criteria that choose λ from one fit of all rows: degrees of freedom, leave-one-out, GCV, Cp, AIC, BIC and EBIC."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .._penalties import L2, UnknownOperation
from ..losses import Quantile, SquaredError
from ._engine import curvature_scale, scale_of
from ._fit import Fits, quadratic
from ._inputs import Problem
from ._leverage import leave_out, predictors, selected

LARGEST = 4096  # of a matrix that is factorised for every λ


class Curve(NamedTuple):
    """A criterion at every λ; where some are NaN, why, and otherwise of leave-one-out whether it is exact."""

    values: np.ndarray
    note: str = ""


class Leverages(NamedTuple):
    df: Curve
    loo: Curve


def leverages(problem: Problem, fits: Fits, scoring: str) -> Leverages:
    """Degrees of freedom and leave-one-out scores; NaN, with a reason, where they are not known."""
    setup, loss = problem.setup, problem.setup.loss
    nothing = np.full(len(fits.lams), np.nan)
    if fits.ridge is not None and scoring in ("loss", "squared_error", "deviance"):
        df = Curve(np.asarray(fits.ridge.df) * setup.columns)
        return Leverages(df, Curve(nothing, _SCALES) if setup.standardize else Curve(np.asarray(fits.ridge.loo).mean(axis=1), "exact"))
    try:
        df, loo, why = _local(problem, fits, scoring)
    except UnknownOperation as error:
        return Leverages(Curve(nothing, str(error)), Curve(nothing, str(error)))
    if setup.standardize:
        return Leverages(Curve(df, why), Curve(nothing, _SCALES))
    if isinstance(loss, Quantile):
        return Leverages(Curve(df, why), Curve(nothing, "a Newton step does not see the kinks of the quantile loss"))
    exactly = "a row is fitted exactly" if np.isnan(loo).any() else ""
    return Leverages(Curve(df, why), Curve(loo, why or exactly or "one Newton step"))


_SCALES = "under standardize each row left out would change the scales"


def _local(problem: Problem, fits: Fits, scoring: str) -> tuple[np.ndarray, np.ndarray, str]:
    setup, design, penalty = problem.setup, problem.design, problem.penalty
    if setup.loss.coupled:
        raise UnknownOperation(f"rows have no leverages under {type(setup.loss).__name__}, which compares them with each other; use cv")
    n, p = design.X.shape
    v, lams, coef = jnp.asarray(problem.weights, design.X.dtype), jnp.asarray(fits.lams), jnp.asarray(fits.coef[0])
    eta = predictors(setup, design, coef, jnp.asarray(fits.intercept[0]))
    scale = scale_of(setup, design, v)
    a = quadratic(problem) if p > n else None
    if a is not None:
        # A quadratic penalty on more features than rows: n columns that span the rows, each with the penalty Σu², take their place.
        reduced = jnp.linalg.qr((design.X / (jnp.sqrt(a) * scale)).T, mode="r").T
        design = design._replace(X=reduced, free=jnp.zeros(reduced.shape[1], bool))
        penalty, scale = L2(1.0), jnp.ones(reduced.shape[1], v.dtype)
        coef = jnp.zeros((lams.size, *setup.shape(reduced.shape[1])), v.dtype)
    counts, at_zero = (np.asarray(x) for x in selected(setup, design, scale, penalty, lams, coef))
    if not (penalty.separable or at_zero.all()):
        # Tied to each other at other values than zero: what may move is no set of coefficients.
        raise UnknownOperation(f"coefficients that {type(penalty).__name__} ties together have no support")
    columns = design.X.shape[1]
    # Powers of two: a support that grows a little compiles nothing anew.
    size = min(columns, 1 << max(int(counts.max()) - 1, 0).bit_length())
    tied = setup.columns if setup.loss.vector or not penalty.separable else 1
    largest = (size if penalty.separable else columns) * tied
    if largest > LARGEST:
        raise UnknownOperation(f"{largest} selected coefficients need a factorisation that size for every λ; at most {LARGEST} are done")
    df, loo = (np.asarray(x) for x in leave_out(setup, design, v, scale, penalty, lams, coef, eta, size, scoring))
    return df, loo, "the objective is not strictly convex on the support" if np.isnan(df).any() else ""


def information(
    problem: Problem, fits: Fits, df: Curve, names: tuple[str, ...], gamma: float, dispersion: float | None
) -> dict[str, Curve]:
    """The criteria that follow from the deviance and the degrees of freedom."""
    setup, loss = problem.setup, problem.setup.loss
    nothing = np.full(len(fits.lams), np.nan)
    rows = int((problem.weights > 0).sum())
    # Each target of a squared error is an observation of its own; a class is one, however many predictors it has.
    n = rows * (1 if loss.vector else setup.columns)
    if loss.deviance is None:
        return dict.fromkeys(names, Curve(nothing, f"{type(loss).__name__} is no negative log-likelihood"))
    total = problem.weights.sum()
    unit = float(curvature_scale(loss, jnp.asarray(total))) / 2
    deviance = loss.deviance * (np.asarray(fits.certificate.loss[0]) - float(fits.null.saturated)) / unit
    left = n - df.values
    spare = left > 1e-6 * n  # else what is left to judge by is rounding
    full = "the fit leaves no degrees of freedom" if (~spare & np.isfinite(df.values)).any() else ""
    gaussian = isinstance(loss, SquaredError)
    scale = dispersion if dispersion is not None else loss.dispersion
    if scale is not None:
        fit, why = deviance / scale, df.note
    elif gaussian:
        positive = spare & (deviance > 0)
        fit, why = np.where(positive, n * np.log(np.where(positive, deviance, 1) / n), np.nan), df.note or full
    else:
        fit, why = nothing, f"the dispersion of {type(loss).__name__} is not known; pass dispersion"
    found = {"aic": Curve(fit + 2 * df.values, why), "bic": Curve(fit + np.log(n) * df.values, why)}
    found["ebic"] = Curve(found["bic"].values + 2 * gamma * _models(problem, fits), why)
    share = np.where(spare, left / n, np.nan)
    found["gcv"] = Curve(deviance / (total * n / rows) / share**2, df.note or full)
    found["cp"] = Curve(nothing, "Cp is of the squared error; aic is its like here")
    if gaussian:
        noise = dispersion if dispersion is not None else (deviance[-1] / left[-1] if spare[-1] else np.nan)
        lost = "the smallest λ leaves no degrees of freedom to estimate the noise from; pass dispersion"
        found["cp"] = Curve(deviance / noise - n + 2 * df.values, df.note or ("" if np.isfinite(noise) else lost))
    return {name: found[name] for name in names}


def _models(problem: Problem, fits: Fits) -> np.ndarray:
    """The log of how many supports of the same size the penalised coefficients have."""
    coef = np.asarray(fits.coef[0])[:, ~np.asarray(problem.design.free)]
    p = coef[0].size
    j = (coef != 0).reshape(len(coef), -1).sum(axis=1).tolist()
    return np.array([math.lgamma(p + 1) - math.lgamma(k + 1) - math.lgamma(p - k + 1) for k in j])
