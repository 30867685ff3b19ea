"""Ridge regression on Longley's data: one answer by four routes, and what it does to collinear columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import jaxreg

from . import _style
from ._check import Check, against, agree, holds

TITLE = "Ridge regression"
CLAIM = "The closed form, gradient descent and scikit-learn's Ridge(alpha=λ) give the same weights, and λ tames collinear columns."
FORMULA = r"\hat w = \arg\min_w \; \|y - Xw\|^2 + \lambda \|w\|^2 = (X^\top X + \lambda I)^{-1} X^\top y"
DISCUSSION = (
    "Six economic series of 1947–1962 that all grow together (Longley 1967). Least squares gives the gross national product a negative "
    "weight; a little ridge turns its sign. XᵀX + λI has condition number (d₁² + λ)/(d₆² + λ): λ bounds it."
)

# Longley (1967), as NIST's StRD publishes it: employment (thousands), then GNP deflator, GNP (millions), unemployed, armed forces
# (thousands), population (thousands), year.
LONGLEY = np.array([
    (60323, 83.0, 234289, 2356, 1590, 107608, 1947),
    (61122, 88.5, 259426, 2325, 1456, 108632, 1948),
    (60171, 88.2, 258054, 3682, 1616, 109773, 1949),
    (61187, 89.5, 284599, 3351, 1650, 110929, 1950),
    (63221, 96.2, 328975, 2099, 3099, 112075, 1951),
    (63639, 98.1, 346999, 1932, 3594, 113270, 1952),
    (64989, 99.0, 365385, 1870, 3547, 115094, 1953),
    (63761, 100.0, 363112, 3578, 3350, 116219, 1954),
    (66019, 101.2, 397469, 2904, 3048, 117388, 1955),
    (67857, 104.6, 419180, 2822, 2857, 118734, 1956),
    (68169, 108.4, 442769, 2936, 2798, 120445, 1957),
    (66513, 110.8, 444546, 4681, 2637, 121950, 1958),
    (68655, 112.6, 482704, 3813, 2552, 123366, 1959),
    (69564, 114.2, 502601, 3931, 2514, 125368, 1960),
    (69331, 115.7, 518173, 4806, 2572, 127852, 1961),
    (70551, 116.9, 554894, 4007, 2827, 130081, 1962),
])  # fmt: skip
NAMES = ("GNP deflator", "GNP", "unemployed", "armed forces", "population", "year")
# NIST's certified least-squares coefficients of the raw columns.
CERTIFIED = np.array([15.0618722713733, -0.0358191792925910, -2.02022980381683, -1.03322686717359, -0.0511041056535807, 1829.15146461355])
DESCENT = 20  # index of λ = 1, which gradient descent solves: at a condition number of 78 the steps are few


class Data(NamedTuple):
    X: Any
    y: Any
    scale: Any


class Fit(NamedTuple):
    lams: Any
    coef: Any
    descent: Any
    least_squares: Any


def data() -> Data:
    X = LONGLEY[:, 1:] - LONGLEY[:, 1:].mean(axis=0)
    scale = X.std(axis=0)
    return Data(X / scale, LONGLEY[:, 0] - LONGLEY[:, 0].mean(), scale)


def fit(data: Data) -> Fit:
    lams = np.geomspace(1e2, 1e-4, 61)
    path = jaxreg.path(data.X, data.y, jaxreg.L2(), lams=lams, intercept=False)
    X, y = jnp.asarray(data.X), jnp.asarray(data.y)
    descent = jaxreg.solve(
        lambda w: jnp.sum((y - X @ w) ** 2),
        jaxreg.L2(path.lams[DESCENT]),
        jnp.zeros(6),
        method="gradient_descent",
        tol=1e-8,
        max_steps=100_000,
    )
    least_squares = jaxreg.path(data.X, data.y, jaxreg.Zero(), lams=[0.0], intercept=False)
    return Fit(path.lams, path.coef, descent.params, least_squares.coef[0] / data.scale)


def check(data: Data, fit: Fit) -> Any:
    X, y = data.X, data.y
    closed = np.stack([np.linalg.solve(X.T @ X + lam * np.eye(6), X.T @ y) for lam in fit.lams])
    # XᵀX has condition number 1e4, so the normal equations may lose 4 of the 16 digits.
    yield agree("path ≡ closed form, 61 λ", fit.coef, closed, 1e-10)
    yield agree(f"gradient descent ≡ closed form, λ = {fit.lams[DESCENT]:.2g}", fit.descent, closed[DESCENT], 1e-6)
    yield against("sklearn.linear_model", "path ≡ scikit-learn's Ridge(alpha=λ)", lambda peer: _versus_sklearn(peer, data, fit))
    yield agree("least squares ≡ NIST's certified coefficients", fit.least_squares, CERTIFIED, 1e-9)
    first, last = fit.least_squares[1] * data.scale[1], fit.coef[_nearest(fit.lams, 1.0)][1]
    yield holds(
        "the weight of GNP: sign without λ and at λ = 1", f"{first:.0f} and {last:+.0f}", "negative, then positive", first < 0 < last
    )
    turned = np.sum(np.sign(fit.coef[0]) != np.sign(fit.least_squares))
    yield holds("weights of another sign at λ = 100 than without λ", f"{turned} of 6", "at least 2", turned >= 2)
    d = np.linalg.svd(X, compute_uv=False)
    conditions = [np.linalg.cond(X.T @ X + lam * np.eye(6)) for lam in fit.lams]
    yield agree("condition number ≡ (d₁² + λ)/(d₆² + λ), 61 λ", conditions, (d[0] ** 2 + fit.lams) / (d[-1] ** 2 + fit.lams), 1e-10)
    norms = np.linalg.norm(fit.coef, axis=1)
    yield holds(
        "‖w‖ grows as λ falls",
        f"from {norms[0]:.0f} to {norms[-1]:.0f}",
        "at every step",
        (np.diff(norms) > 0).all() and fit.lams[0] > fit.lams[-1],
    )


def _versus_sklearn(linear_model: Any, data: Data, fit: Fit) -> Check:
    theirs = [linear_model.Ridge(alpha=lam, fit_intercept=False, solver="svd").fit(data.X, data.y).coef_ for lam in np.abs(fit.lams)]
    return agree("path ≡ scikit-learn's Ridge(alpha=λ)", fit.coef, np.stack(theirs), 1e-10)


def _nearest(lams: Any, lam: float) -> int:
    return int(np.argmin(np.abs(lams - lam)))


def figure(data: Data, fit: Fit) -> Any:
    made, (left, right) = _style.figure()
    for j, name in enumerate(NAMES):
        left.plot(fit.lams, fit.coef[:, j], color=_style.COLORS[j], label=name)
    left.axhline(0, color="#555555", linewidth=1)
    left.set_ylabel("weight (1,000 jobs per sd)")
    left.legend(fontsize=11)
    d = np.linalg.svd(data.X, compute_uv=False)
    right.plot(fit.lams, (d[0] ** 2 + fit.lams) / (d[-1] ** 2 + fit.lams), color=_style.BLUE)
    right.set_yscale("log")
    right.set_ylabel("condition number of XᵀX + λI")
    for axes, text in ((left, "Ridge trace: signs turn"), (right, "λ bounds the condition number")):
        _style.lambda_axis(axes)
        _style.title(axes, text)
    return made
