"""Logistic paths of 50 λ, L1 and L2, against the fastest peers.

Run as ``python -m experiments.benchmarks.logistic_path`` (minutes), or with what is wanted: ``… --penalty l1 --problems B C``. The
problems are those of ``lasso_path`` with their target cut at its median, the objective is the mean negative log-likelihood plus λ·Σ|w| or
λ·Σw² with an intercept, nothing is scaled, and what is fair is fair as there. The gap is the worst over the path, relative to the null
model's loss, recomputed here from X, y and the coefficients. ``jaxreg 1e-6`` asks for gaps of 1e-6 instead of 1e-10. celer's logistic
regression has no intercept, so that it is not here.
"""

from __future__ import annotations

from . import lasso_path as bench  # first: it limits the threads

# isort: split

import argparse
import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.special import xlogy

import jaxreg
from jaxreg._dtypes import x64_scope

from .lasso_path import Answer, Glmnet, Method, Problem, problem, race

LAMS = 50


def classes(row: str, penalty: str) -> Problem:
    data = problem(row)
    y = (data.y > np.median(data.y)).astype(float)
    n, p = data.X.shape
    top = np.abs(data.X.T @ (y - y.mean())).max() / n
    # For L2 from where an elastic net with a thousandth of L1 and the same curvature would start, as glmnet does.
    return data._replace(y=y, lams=(500 if penalty == "l2" else 1) * top * np.geomspace(1, 1e-3 if n > p else 1e-2, LAMS))


def worst_gap(problem: Problem, answer: Answer, penalty: str) -> float:
    """The largest duality gap over the null model's loss, from the definition."""
    X, y = problem.X, problem.y
    n, mean = len(y), y.mean()
    null = -(xlogy(mean, mean) + xlogy(1 - mean, 1 - mean))
    worst = 0.0
    for w, b, lam in zip(*(np.asarray(x, float) for x in answer), problem.lams, strict=True):
        eta = X @ w + b
        primal = np.mean(np.logaddexp(0, eta) - y * eta)
        rest = 1 / (1 + np.exp(-eta)) - y
        # Onto sum zero by a change of the intercept, to first order: that keeps every probability inside.
        bend = (rest + y) * (1 - rest - y)
        dual = (rest - bend * rest.sum() / bend.sum()) / n
        pull = X.T @ dual
        if penalty == "l1":
            dual = dual * min(1, lam / np.abs(pull).max())
            primal, lost = primal + lam * np.abs(w).sum(), 0.0
        else:
            primal, lost = primal + lam * (w @ w), (pull @ pull) / (4 * lam)
        q = n * dual + y
        worst = max(worst, abs(primal + np.mean(xlogy(q, q) + xlogy(1 - q, 1 - q)) + lost) / null)
    return worst


def _off(problem: Problem, penalty: str, answer: Answer, reference: Answer) -> float:
    del reference
    return worst_gap(problem, answer, penalty)


def ours(penalty: str, dtype: Any = jnp.float64, tol: float | None = None) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        X, y = jnp.asarray(problem.X, dtype), jnp.asarray(problem.y, dtype)
        kind = jaxreg.L1() if penalty == "l1" else jaxreg.L2()
        fit = lambda: jaxreg.path(X, y, kind, loss=jaxreg.losses.Logistic("mean"), lams=problem.lams, tol=tol)  # noqa: E731
        return fit, lambda fit: (fit.coef, fit.intercept)

    return prepare


def glmnet(penalty: str, thresh: str) -> Method:
    # glmnet halves the squares.
    how = "lambda = l, alpha = 1" if penalty == "l1" else "lambda = 2 * l, alpha = 0"
    return Glmnet(thresh, f"glmnet(X, y, family = 'binomial', {how}, standardize = FALSE, thresh = tol, maxit = 1e6)")


def loop(make: Callable[[float, int], Any], strength: str) -> Method:
    """One estimator that is fitted from λ to λ, started where it was; ``strength`` names what changes."""

    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        def fit() -> Any:
            model, found = make(float(problem.lams[0]), len(problem.y)), []
            for lam in problem.lams:
                setattr(model, strength, getattr(make(float(lam), len(problem.y)), strength))
                model.fit(problem.X, problem.y)
                found.append((np.ravel(model.coef_).copy(), float(np.ravel(model.intercept_)[0])))
            return found

        return fit, lambda found: (np.stack([w for w, _ in found]), np.array([b for _, b in found]))

    return prepare


def scikit_learn(tol: float) -> Method:
    def make(lam: float, n: int) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=1 / (2 * n * lam), tol=tol, max_iter=10_000, warm_start=True)

    return loop(make, "C")


def skglm(tol: float) -> Method:
    def make(lam: float, n: int) -> Any:
        from skglm import SparseLogisticRegression

        del n
        return SparseLogisticRegression(alpha=lam, tol=tol, warm_start=True)

    return loop(make, "alpha")


METHODS: dict[str, dict[str, tuple[str, Method]]] = {
    "l1": {
        "jaxreg": ("jaxreg", ours("l1")),
        "jaxreg 1e-6": ("jaxreg", ours("l1", tol=1e-6)),
        "jaxreg float32": ("jaxreg", ours("l1", jnp.float32)),
        "glmnet 1e-7 (default)": ("glmnet", glmnet("l1", "1e-7")),
        "glmnet 1e-12": ("glmnet", glmnet("l1", "1e-12")),
        "skglm 1e-4 (default)": ("skglm", skglm(1e-4)),
        "skglm 1e-7": ("skglm", skglm(1e-7)),
    },
    "l2": {
        "jaxreg": ("jaxreg", ours("l2")),
        "jaxreg 1e-6": ("jaxreg", ours("l2", tol=1e-6)),
        "jaxreg float32": ("jaxreg", ours("l2", jnp.float32)),
        "glmnet 1e-7 (default)": ("glmnet", glmnet("l2", "1e-7")),
        "glmnet 1e-12": ("glmnet", glmnet("l2", "1e-12")),
        "50 × lbfgs 1e-4 (default)": ("sklearn", scikit_learn(1e-4)),
        "50 × lbfgs 1e-8": ("sklearn", scikit_learn(1e-8)),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="logistic_path")
    parser.add_argument("--penalty", nargs="*", default=list(METHODS), choices=list(METHODS))
    options = bench.options_of(parser, "BCD", 7)
    warnings.simplefilter("ignore")  # peers warn of not having converged: the gap beside their time says so
    with x64_scope():
        if options.once:
            penalty, row = options.penalty[0], options.problems[0]
            bench.once(METHODS[penalty][options.once][1](classes(row, penalty))[0])
            return
        bench.heading(f"{LAMS} λ", memory=options.memory)
        for penalty in options.penalty:
            for row in options.problems:
                data = classes(row, penalty)
                peak = functools.partial(bench.peak_of, "logistic_path", "--penalty", penalty, "--problems", row)
                off = functools.partial(_off, data, penalty)
                race(penalty, data, METHODS[penalty], options.repeats, options.patience, off, peak if options.memory else None)


if __name__ == "__main__":
    main()
