"""Other paths than the lasso's against the fastest peers: elastic net, ridge with leave-one-out, ten-fold cross-validation.

Run as ``python -m experiments.benchmarks.paths`` (minutes), or with the works and problems that are wanted:
``… paths --work elastic ridge --problems B C``. What is fair, and the problems A to F, are those of ``lasso_path``; folds are the same
rows for everybody. The gap of a cross-validation is that of the path of all rows, which every peer fits too. Of ridge, where every
method is exact, the difference from the first method's coefficients stands in its place. ``--memory`` adds the peak memory of one
fit, compilation included, each in a process of its own.
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

from .lasso_path import HALF, Answer, Glmnet, Method, Problem, problem, race, uncentered

FOLDS = 10
RATIO = 0.5


def fold_ids(problem: Problem) -> np.ndarray:
    return np.arange(len(problem.y)) % FOLDS


def worst_gap(problem: Problem, answer: Answer, ratio: float) -> float:
    """The largest duality gap over the null model's loss, from the definition, for Σ(y − η)²/(2n) + λ·(ratio·Σ|w| + ½(1 − ratio)·Σw²)."""
    X, y = problem.centered
    coef, intercept = (np.asarray(x, float) for x in answer)
    if np.isnan(coef).all():  # a method that says nothing of the path of all rows
        return float("nan")
    n, worst = len(y), 0.0
    for w, b, lam in zip(coef, intercept, problem.lams, strict=True):
        residual = y - X @ w + (problem.y.mean() - problem.X.mean(0) @ w - b)
        primal = residual @ residual / (2 * n) + lam * (ratio * np.abs(w).sum() + (1 - ratio) / 2 * (w @ w))
        dual = residual - residual.mean()
        if ratio == 1:
            dual = dual * min(1, n * lam / max(np.abs(X.T @ dual).max(), 1e-300))
            lost = 0.0
        else:
            lost = (np.maximum(np.abs(X.T @ dual) / n - lam * ratio, 0) ** 2).sum() / (2 * lam * (1 - ratio))
        worst = max(worst, abs(primal - ((dual @ y - dual @ dual / 2) / n - lost)) / ((y @ y) / (2 * n)))
    return worst


def ours(penalty: Any, dtype: Any, cv: bool) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        X, y = jnp.asarray(problem.X, dtype), jnp.asarray(problem.y, dtype)
        if not cv:
            return lambda: jaxreg.path(X, y, penalty, loss=HALF, lams=problem.lams), lambda fit: (fit.coef, fit.intercept)
        folds = fold_ids(problem)

        def fit() -> Any:
            return jaxreg.cross_validate(X, y, penalty, loss=HALF, lams=problem.lams, folds=folds)

        return fit, lambda cv: (cv.path.coef, cv.path.intercept)

    return prepare


def scikit_learn(tol: float) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        from sklearn.linear_model import enet_path

        X, y = problem.centered
        fit = lambda: enet_path(X, y, l1_ratio=RATIO, alphas=problem.lams, tol=tol, max_iter=1_000_000)[1]  # noqa: E731
        return fit, lambda coef: uncentered(problem, coef.T)

    return prepare


def scikit_learn_cv(ratio: float, tol: float) -> Method:
    """The folds' paths and one fit; the path of all rows, which the others compute too, is left out in its favour."""

    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        from sklearn.linear_model import ElasticNetCV, LassoCV
        from sklearn.model_selection import PredefinedSplit

        kind = LassoCV if ratio == 1 else ElasticNetCV
        options: dict[str, Any] = {} if ratio == 1 else {"l1_ratio": ratio}
        folds = PredefinedSplit(fold_ids(problem))
        model = kind(alphas=problem.lams, cv=folds, tol=tol, max_iter=1_000_000, **options)
        nothing = np.full((len(problem.lams), problem.X.shape[1]), np.nan)
        return lambda: model.fit(problem.X, problem.y), lambda _: (nothing, nothing[:, 0])

    return prepare


def ridge_cv(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    from sklearn.linear_model import RidgeCV

    # Σ(y − η)²/(2n) + λ·Σw² is Σ(y − η)² + 2nλ·Σw².
    alphas = 2 * len(problem.y) * problem.lams
    nothing = np.full((len(alphas), problem.X.shape[1]), np.nan)
    return lambda: RidgeCV(alphas=alphas).fit(problem.X, problem.y), lambda _: (nothing, nothing[:, 0])


def ridge_loop(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    from sklearn.linear_model import Ridge

    alphas = 2 * len(problem.y) * problem.lams

    def fit() -> list[Any]:
        return [Ridge(alpha=alpha).fit(problem.X, problem.y) for alpha in alphas]

    return fit, lambda models: (np.stack([m.coef_ for m in models]), np.array([m.intercept_ for m in models]))


def glmnet(ratio: float, thresh: str, cv: bool) -> Glmnet:
    common = f"lambda = l, standardize = FALSE, thresh = tol, alpha = {ratio}"
    return Glmnet(thresh, f"cv.glmnet(X, y, foldid = (seq_len(n) - 1) %% {FOLDS} + 1, {common})" if cv else f"glmnet(X, y, {common})")


NET = jaxreg.ElasticNet(l1_ratio=RATIO)
# work: (l1_ratio of its penalty, None for ridge; {method: (module, how)})
WORKS: dict[str, tuple[float | None, dict[str, tuple[str, Method]]]] = {
    "elastic": (
        RATIO,
        {
            "jaxreg": ("jaxreg", ours(NET, jnp.float64, False)),
            "jaxreg float32": ("jaxreg", ours(NET, jnp.float32, False)),
            "scikit-learn 1e-4 (default)": ("sklearn", scikit_learn(1e-4)),
            "scikit-learn 1e-8": ("sklearn", scikit_learn(1e-8)),
            "glmnet 1e-7 (default)": ("glmnet", glmnet(RATIO, "1e-7", False)),
            "glmnet 1e-12": ("glmnet", glmnet(RATIO, "1e-12", False)),
            "adelie 1e-7 (default)": ("adelie", bench.adelie(1e-7, RATIO)),
            "adelie 1e-12": ("adelie", bench.adelie(1e-12, RATIO)),
        },
    ),
    "ridge": (
        None,
        {
            "jaxreg, with LOO": ("jaxreg", ours(jaxreg.L2(), jnp.float64, False)),
            "jaxreg float32": ("jaxreg", ours(jaxreg.L2(), jnp.float32, False)),
            "RidgeCV": ("sklearn", ridge_cv),
            "100 × Ridge, no LOO": ("sklearn", ridge_loop),
        },
    ),
    "cv-lasso": (
        1.0,
        {
            "jaxreg": ("jaxreg", ours(jaxreg.L1(), jnp.float64, True)),
            "jaxreg float32": ("jaxreg", ours(jaxreg.L1(), jnp.float32, True)),
            "LassoCV 1e-4 (default)": ("sklearn", scikit_learn_cv(1.0, 1e-4)),
            "LassoCV 1e-8": ("sklearn", scikit_learn_cv(1.0, 1e-8)),
            "cv.glmnet 1e-7 (default)": ("glmnet", glmnet(1.0, "1e-7", True)),
            "cv.glmnet 1e-12": ("glmnet", glmnet(1.0, "1e-12", True)),
        },
    ),
    "cv-elastic": (
        RATIO,
        {
            "jaxreg": ("jaxreg", ours(NET, jnp.float64, True)),
            "jaxreg float32": ("jaxreg", ours(NET, jnp.float32, True)),
            "ElasticNetCV 1e-4 (default)": ("sklearn", scikit_learn_cv(RATIO, 1e-4)),
            "ElasticNetCV 1e-8": ("sklearn", scikit_learn_cv(RATIO, 1e-8)),
            "cv.glmnet 1e-7 (default)": ("glmnet", glmnet(RATIO, "1e-7", True)),
            "cv.glmnet 1e-12": ("glmnet", glmnet(RATIO, "1e-12", True)),
        },
    ),
}


def of_work(work: str, row: str) -> Problem:
    data = problem(row)
    # glmnet divides y, and so the square part of its penalty, by the deviation of y: at a deviation of 1 it means what the others mean.
    scale = data.y.std()
    return data._replace(y=data.y / scale, lams=data.lams / scale / (WORKS[work][0] or 1.0))


def measure(work: str, row: str, repeats: int, patience: float, memory: bool) -> None:
    """Print one problem of a work: every method that is installed, lost or not."""
    (ratio, methods), data = WORKS[work], of_work(work, row)

    def off(answer: Answer, reference: Answer) -> float:
        if ratio is not None:
            return worst_gap(data, answer, ratio)
        coef, exact = np.asarray(answer[0], float), np.asarray(reference[0], float)
        return float(np.max(np.abs(coef - exact)) / np.max(np.abs(exact)))

    peak = functools.partial(bench.peak_of, "paths", "--work", work, "--problems", row)
    race(work, data, methods, repeats, patience, off, peak if memory else None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="paths")
    parser.add_argument("--work", nargs="*", default=list(WORKS), choices=list(WORKS))
    options = bench.options_of(parser, "ABCD", 7)
    warnings.simplefilter("ignore")  # peers warn of not having converged: the gap beside their time says so
    with x64_scope():
        if options.once:
            work, row = options.work[0], options.problems[0]
            bench.once(WORKS[work][1][options.once][1](of_work(work, row))[0])
            return
        bench.heading("100 λ", memory=options.memory)
        for work in options.work:
            for row in options.problems:
                measure(work, row, options.repeats, options.patience, options.memory)


if __name__ == "__main__":
    main()
