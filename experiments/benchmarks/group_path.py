"""Group lasso paths, features in groups of five, against the fastest peers.

Run as ``python -m experiments.benchmarks.group_path`` (minutes), or with the problems that are wanted: ``… --problems B D``. They are
those of ``lasso_path``, and what is fair is fair as there. The objective is Σ(y − η)²/(2n) + λ·Σ√5·‖w_g‖ with an intercept, nothing
scaled, 50 λ from the largest that matters down to a thousandth of it (n > p) or a hundredth. The gap is the worst over the path, relative
to the null model's loss, recomputed here from X, y and the coefficients.
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

import jaxreg
from jaxreg._dtypes import x64_scope

from .lasso_path import HALF, Answer, Method, Problem, problem, race

SIZE, LAMS = 5, 50


def norms(x: np.ndarray) -> np.ndarray:
    """√5·‖x_g‖ of each group."""
    return np.sqrt(SIZE) * np.linalg.norm(x.reshape(-1, SIZE), axis=1)


def in_groups(row: str) -> Problem:
    data = problem(row)
    X, y = data.centered
    n, p = X.shape
    top = norms(X.T @ y).max() / SIZE / n
    return data._replace(lams=top * np.geomspace(1, 1e-3 if n > p else 1e-2, LAMS))


def worst_gap(problem: Problem, answer: Answer, reference: Answer) -> float:
    """The largest duality gap over the null model's loss, from the definition."""
    del reference
    X, y = problem.centered
    n, worst = len(y), 0.0
    for w, b, lam in zip(*(np.asarray(x, float) for x in answer), problem.lams, strict=True):
        residual = y - X @ w + (problem.y.mean() - problem.X.mean(0) @ w - b)
        dual = residual - residual.mean()
        dual = dual * min(1, n * lam * SIZE / norms(X.T @ dual).max())
        primal = residual @ residual / (2 * n) + lam * norms(w).sum()
        worst = max(worst, abs(primal - (dual @ y - dual @ dual / 2) / n) / ((y @ y) / (2 * n)))
    return worst


def ours(dtype: Any) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        X, y = jnp.asarray(problem.X, dtype), jnp.asarray(problem.y, dtype)
        penalty = jaxreg.GroupLasso(1.0, groups=np.arange(X.shape[1]) // SIZE)
        return lambda: jaxreg.path(X, y, penalty, loss=HALF, lams=problem.lams), lambda fit: (fit.coef, fit.intercept)

    return prepare


def skglm(tol: float) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        from skglm import GroupLasso

        weights = np.full(problem.X.shape[1] // SIZE, np.sqrt(SIZE))

        def fit() -> Any:
            model, found = GroupLasso(SIZE, weights=weights, tol=tol, warm_start=True), []
            for lam in problem.lams:
                model.alpha = float(lam)
                model.fit(problem.X, problem.y)
                found.append((model.coef_.copy(), float(model.intercept_)))
            return found

        return fit, lambda found: (np.stack([w for w, _ in found]), np.array([b for _, b in found]))

    return prepare


METHODS: dict[str, tuple[str, Method]] = {
    "jaxreg": ("jaxreg", ours(jnp.float64)),
    "jaxreg float32": ("jaxreg", ours(jnp.float32)),
    "adelie 1e-7 (default)": ("adelie", bench.adelie(1e-7, group=SIZE)),
    "adelie 1e-12": ("adelie", bench.adelie(1e-12, group=SIZE)),
    "skglm 1e-4 (default)": ("skglm", skglm(1e-4)),
    "skglm 1e-8": ("skglm", skglm(1e-8)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="group_path")
    options = bench.options_of(parser, "ABCD", 5)
    warnings.simplefilter("ignore")  # peers warn of not having converged: the gap beside their time says so
    with x64_scope():
        if options.once:
            bench.once(METHODS[options.once][1](in_groups(options.problems[0]))[0])
            return
        bench.heading(f"{LAMS} λ", memory=options.memory)
        for row in options.problems:
            data, peak = in_groups(row), functools.partial(bench.peak_of, "group_path", "--problems", row)
            race(
                "groups",
                data,
                METHODS,
                options.repeats,
                options.patience,
                functools.partial(worst_gap, data),
                peak if options.memory else None,
            )


if __name__ == "__main__":
    main()
