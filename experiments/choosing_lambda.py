"""Choosing λ for ridge: K-fold, the 1-SE rule, exact leave-one-out and GCV on the same data, each against brute force."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jaxreg

from . import _style
from ._check import Check, against, agree, at_least, at_most, holds

TITLE = "Choosing λ"
CLAIM = (
    "K-fold, leave-one-out and GCV find a λ of nearly the best error; one factorisation gives the last two exactly, without a single refit."
)
FORMULA = (
    r"\mathrm{LOO} = \frac{1}{n} \sum_i \left( \frac{y_i - \hat y_i}{1 - h_{ii}} \right)^2, \qquad"
    r" \mathrm{GCV} = \frac{\frac{1}{n} \|y - \hat y\|^2}{(1 - \frac{1}{n} \mathrm{tr} H)^2}, \qquad \hat y = H y"
)
DISCUSSION = (
    "A curve made of 20 bumps is fitted to 60 noisy points (one draw) by ridge. Every rule uses the training points alone; the test "
    "error is the mean squared distance to the true curve. The 1-SE rule takes the largest λ whose error is within one standard error of "
    "the smallest: a smoother curve on purpose, at some cost in error. The milliseconds are medians of five warm calls here: "
    "leave-one-out and GCV come with the path; leaving each point out by refitting, which gives the same numbers, is the last row."
)

LAMS = np.geomspace(1e3, 1e-6, 73)
N, BUMPS, NOISE = 60, 20, 0.4
FINE = np.linspace(0, 1, 400)
RULES = "10-fold", "1-SE", "LOO", "GCV"
TOO_SMALL, TOO_LARGE = 70, 4  # indices of λ ≈ 2e-6 and 320
# scikit-learn pull request 33020: exact leave-one-out errors of Ridge(alpha=λ) with an intercept.
SMALL_X, SMALL_Y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0.0, -1, 1, 3])
SMALL_LAMS, PUBLISHED = np.array([1000.0, 10, 1, 0.1, 0.001]), np.array([3.88829726, 3.83870968, 3.875, 6.59763314, 8.96416931])


class Data(NamedTuple):
    x: Any
    X: Any
    y: Any
    folds: Any


class Fit(NamedTuple):
    coef: Any
    intercept: Any
    loo: Any
    gcv: Any
    fold_errors: Any
    chosen: Any
    published: Any
    milliseconds: Any


def truth(x: Any) -> Any:
    return np.sin(9 * x**2) + x


def bumps(x: Any) -> Any:
    return np.exp(-0.5 * ((np.asarray(x)[:, None] - np.linspace(0, 1, BUMPS)) / 0.06) ** 2)


def data() -> Data:
    rng = np.random.default_rng(4)
    x = np.sort(rng.uniform(size=N))
    return Data(x, bumps(x), truth(x) + NOISE * rng.normal(size=N), rng.permutation(N) % 10)


def fit(data: Data) -> Fit:
    def whole() -> Any:
        return jaxreg.path(data.X, data.y, jaxreg.L2(), lams=LAMS)

    def by_folds(folds: Any) -> Any:
        return jaxreg.cross_validate(data.X, data.y, jaxreg.L2(), lams=LAMS, folds=folds)

    path, cv = whole(), by_folds(data.folds)
    small = jaxreg.path(SMALL_X, SMALL_Y, jaxreg.L2(), lams=SMALL_LAMS)
    times = [_warm(lambda: by_folds(data.folds)), _warm(whole), _warm(lambda: by_folds(np.arange(N)))]
    chosen = np.array([cv.lam_min, cv.lam_1se, path.lams[path.loo.argmin()], path.lams[path.gcv.argmin()]])
    return Fit(path.coef, path.intercept, path.loo, path.gcv, cv.fold_errors, chosen, small.loo, 1e3 * np.array(times))


def _warm(call: Callable[[], Any]) -> float:
    """Median seconds of five calls after a first one, which compiles."""
    call()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def refit(X: Any, y: Any, lam: float) -> tuple[Any, Any]:
    """(coef, intercept) by the normal equations with an unpenalised column of ones."""
    A = np.column_stack([X, np.ones(len(y))])
    solved = np.linalg.solve(A.T @ A + lam * np.diag([1.0] * X.shape[1] + [0.0]), A.T @ y)
    return solved[:-1], solved[-1]


def held_out_errors(data: Data, folds: Any) -> Any:
    """(folds, λ): mean squared errors of the rows held out, by refitting."""
    errors = []
    for k in range(folds.max() + 1):
        X, y = data.X[folds != k], data.y[folds != k]
        fits = [refit(X, y, lam) for lam in LAMS]
        errors.append([np.mean((data.y[folds == k] - data.X[folds == k] @ w - b) ** 2) for w, b in fits])
    return np.array(errors)


def check(data: Data, fit: Fit) -> Any:
    # The normal equations have a condition number of up to 1e8 at the smallest λ: of 16 digits 8 remain.
    tolerance = 1e-7
    everything = [refit(data.X, data.y, lam) for lam in LAMS]
    yield agree("coefficients ≡ normal equations, 73 λ", fit.coef, np.stack([w for w, _ in everything]), tolerance)
    yield agree("intercepts ≡ normal equations", fit.intercept, np.array([b for _, b in everything]), tolerance)
    yield agree(f"leave-one-out ≡ {N} refits for each λ", fit.loo, held_out_errors(data, np.arange(N)).mean(axis=0), tolerance)
    yield agree("leave-one-out ≡ published (scikit-learn 33020)", fit.published, PUBLISHED, 1e-8)
    yield agree("GCV ≡ its definition (Golub, Heath and Wahba 1979)", fit.gcv, _gcv(data), tolerance)
    folds = held_out_errors(data, data.folds)
    yield agree("10-fold errors ≡ refits", fit.fold_errors, folds, tolerance)
    mean, error = folds.mean(axis=0), folds.std(axis=0, ddof=1) / np.sqrt(10)
    within = np.flatnonzero(mean <= mean.min() + error[mean.argmin()])
    yield agree("λ of 10-fold and of the 1-SE rule ≡ from the refits", fit.chosen[:2], LAMS[[mean.argmin(), within[0]]], 1e-12)
    yield agree("λ of GCV ≡ from its definition", fit.chosen[3], LAMS[_gcv(data).argmin()], 1e-12)
    yield against("sklearn.linear_model", "λ of leave-one-out ≡ scikit-learn's RidgeCV", lambda peer: _ridge_cv(peer, data, fit))
    errors = curve_errors(fit)
    for name, lam in zip(RULES, fit.chosen, strict=True):
        ratio = errors[_index(lam)] / errors.min()
        yield at_most(f"{name}: test error over the best on the grid", ratio, 3 if name == "1-SE" else 2)
    for name, index in (("too small", TOO_SMALL), ("too large", TOO_LARGE)):
        yield at_least(f"λ {name}: test error over the best", errors[index] / errors.min(), 3)
    times = "10-fold {:.0f}, path {:.0f}, refits {:.0f}".format(*fit.milliseconds)
    # One factorisation against sixty: far from 5 by any clock.
    ratio = fit.milliseconds[2] / fit.milliseconds[1] if fit.milliseconds.min() > 0 else np.nan
    yield holds("milliseconds, warm", times, "path ≤ a fifth of the refits", ratio >= 5)


def _gcv(data: Data) -> Any:
    A, values = np.column_stack([data.X, np.ones(N)]), []
    for lam in LAMS:
        H = A @ np.linalg.solve(A.T @ A + lam * np.diag([1.0] * BUMPS + [0.0]), A.T)
        values.append(np.mean((data.y - H @ data.y) ** 2) / (1 - np.trace(H) / N) ** 2)
    return np.array(values)


def _ridge_cv(linear_model: Any, data: Data, fit: Fit) -> Check:
    peer = linear_model.RidgeCV(alphas=LAMS).fit(data.X, data.y)
    return agree("λ of leave-one-out ≡ scikit-learn's RidgeCV", fit.chosen[2], peer.alpha_, 1e-12)


def curve_errors(fit: Fit) -> Any:
    """For each λ the mean squared distance to the true curve."""
    return np.mean((fit.coef @ bumps(FINE).T + fit.intercept[:, None] - truth(FINE)) ** 2, axis=1)


def _index(lam: float) -> int:
    return int(np.argmin(np.abs(np.log(LAMS / abs(lam)))))


def figure(data: Data, fit: Fit) -> Any:
    made, ((criteria, curves), (test, table)) = _style.figure(2, 2)
    mean, error = fit.fold_errors.mean(axis=0), fit.fold_errors.std(axis=0, ddof=1) / np.sqrt(10)
    colors, markers = (_style.BLUE, _style.SKY, _style.RED, _style.GREEN), "oDs^"
    criteria.fill_between(LAMS, mean - error, mean + error, color=_style.BLUE, alpha=0.18, linewidth=0, label="10-fold ± 1 SE")
    estimates = mean, mean, fit.loo, fit.gcv
    for name, values, lam, color, marker in zip(RULES, estimates, fit.chosen, colors, markers, strict=True):
        if name != RULES[1]:
            criteria.plot(LAMS, values, color=color, linewidth=2)
        criteria.plot(lam, values[_index(lam)], marker, color=color, markersize=9, markeredgecolor="black", label=name)
    criteria.set(ylabel="estimated error (units of y²)", yscale="log", ylim=(0.1, 2))
    _style.plain_log(criteria.yaxis)
    criteria.legend(fontsize=11, ncols=2, loc="upper left")
    _style.title(criteria, "Four rules on the same data")
    curves.plot(data.x, data.y, "o", color=_style.GREY, markersize=4)
    curves.plot(FINE, truth(FINE), color=_style.BLACK, linewidth=1.4, label="truth")
    shown = (
        (TOO_SMALL, "too small, 2e-6", _style.RED, ":"),
        (_index(fit.chosen[2]), f"of LOO, {fit.chosen[2]:.2g}", _style.BLUE, "-"),
        (TOO_LARGE, "too large, 320", _style.GREEN, "--"),
    )
    for index, name, color, line in shown:
        curve = bumps(FINE) @ fit.coef[index] + fit.intercept[index]
        curves.plot(FINE, curve, line, color=color, label=f"λ {name}")
    curves.set(xlabel="x", ylabel="y", ylim=(data.y.min() - 0.3, data.y.max() + 1.2))
    curves.legend(fontsize=11, ncols=2, loc="upper left")
    _style.title(curves, "Too small, right, too large")
    errors = curve_errors(fit)
    test.plot(LAMS, errors, color=_style.BLACK)
    for name, lam, color, marker in zip(RULES, fit.chosen, colors, markers, strict=True):
        test.plot(lam, errors[_index(lam)], marker, color=color, markersize=9, markeredgecolor="black", label=name)
    test.set(yscale="log", ylabel="test error (units of y²)")
    _style.plain_log(test.yaxis)
    test.legend(fontsize=11, loc="upper left")
    _style.title(test, "Where each lands")
    folds, path, brute = fit.milliseconds
    rows = [f"{folds:.0f} ms", "the same call", f"{path:.0f} ms, with the path", "the same call"]
    names, found = [*RULES, "LOO, refits"], [*fit.chosen, fit.chosen[2]]
    for i, (lam, cost, color) in enumerate(zip(found, [*rows, f"{brute:.0f} ms"], (*colors, _style.RED), strict=True)):
        table.barh(i, errors[_index(lam)], color=color, alpha=0.5, height=0.7)
        table.text(0.02 * errors[_index(found[1])], i, f"λ = {lam:.2g}; {cost}", va="center", fontsize=12)
    table.set_yticks(range(5), names)
    table.invert_yaxis()
    table.set_xlabel("test error (units of y²)")
    _style.title(table, "λ found, error and cost")
    for axes in (criteria, test):
        _style.lambda_axis(axes)
    return made
