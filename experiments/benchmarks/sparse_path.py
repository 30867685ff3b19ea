"""Lasso and L1 logistic paths of a sparse X, 20,000 × 50,000 of which 0.15 % are stored, against the fastest peers.

Run as ``python -m experiments.benchmarks.sparse_path`` (minutes), or with what is wanted: ``… --loss squared --patience 10``. 25 λ from the
largest down to a tenth of it, an intercept, no scaling; the losses are means over the rows (squared error: half of it). What is fair is
fair as in ``lasso_path``; each gets the format that it likes best. jaxreg's time has the sorting of X and the certificate in it. The gap is
the worst over the path, relative to the null model's loss, recomputed here from X, y and the coefficients. celer's logistic regression has
no intercept, so that it is not here.
"""

from __future__ import annotations

from . import lasso_path as bench  # first: it limits the threads

# isort: split

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

import jaxreg
from jaxreg._dtypes import x64_scope

from . import logistic_path
from .lasso_path import HALF, Answer, Glmnet, Method, Problem, race
from .logistic_path import loop

LAMS, SHAPE, DENSITY, TRUE = 25, (20_000, 50_000), 0.0015, 200
MEAN = jaxreg.losses.Logistic("mean")


def problem(loss: str, shape: tuple[int, int] = SHAPE) -> Problem:
    rng = np.random.default_rng(0)
    n, p = shape
    count = int(n * p * DENSITY)
    at = rng.integers(0, n, count), rng.integers(0, p, count)
    X = scipy.sparse.csc_matrix((rng.random(count), at), shape=shape)
    eta = X[:, rng.choice(p, TRUE, replace=False)] @ rng.normal(size=TRUE)
    y = eta + eta.std() * rng.normal(size=n)
    y = y if loss == "squared" else (y > np.median(y)).astype(float)
    lams = np.abs(X.T @ (y - y.mean())).max() / n * np.geomspace(1, 0.1, LAMS)
    return Problem(f"{loss} {n}×{p}", X, y, lams)  # pyright: ignore[reportArgumentType]


def worst_gap(problem: Problem, answer: Answer) -> float:
    """The largest duality gap of the lasso over the null model's loss, from the definition."""
    X, y, n = problem.X, problem.y - problem.y.mean(), len(problem.y)
    worst = 0.0
    for w, b, lam in zip(*(np.asarray(x, float) for x in answer), problem.lams, strict=True):
        residual = problem.y - X @ w - b
        dual = residual - residual.mean()
        dual = dual * min(1, n * lam / np.abs(X.T @ dual).max())
        worst = max(worst, abs(residual @ residual / 2 + n * lam * np.abs(w).sum() - dual @ y + dual @ dual / 2) / (y @ y / 2))
    return worst


def ours(loss: Any, dtype: Any = np.float64, tol: float | None = None) -> Method:
    def prepare(problem: Problem):
        X = problem.X.astype(dtype)
        return lambda: jaxreg.path(X, problem.y, jaxreg.L1(), loss=loss, lams=problem.lams, tol=tol), lambda fit: (fit.coef, fit.intercept)

    return prepare


class SparseGlmnet(Glmnet):
    """As dgCMatrix."""

    CODE = Glmnet.CODE.replace(
        'd <- readBin(a[1], "double", n * p + n + L); X <- matrix(d[1:(n * p)], n, p); y <- d[n * p + 1:n]; l <- d[n * p + n + 1:L]',
        "library(Matrix); r <- function(w, m, kind = 'double') readBin(paste0(a[1], w), kind, m)\n"
        "p1 <- r('p', p + 1, 'integer'); k <- p1[p + 1]; y <- r('y', n); l <- r('l', L)\n"
        "X <- new('dgCMatrix', i = r('i', k, 'integer'), p = p1, x = r('x', k), Dim = c(n, p))",
    )

    def write(self, problem: Problem, data: Path) -> None:
        X: Any = problem.X
        parts = {"i": X.indices.astype(np.int32), "p": X.indptr.astype(np.int32), "x": X.data, "y": problem.y, "l": problem.lams}
        for name, part in parts.items():
            part.tofile(f"{data}{name}")


def glmnet(family: str, thresh: str) -> Method:
    return SparseGlmnet(thresh, f"glmnet(X, y, family = '{family}', lambda = l, standardize = FALSE, thresh = tol, maxit = 1e6)")


def celer(problem: Problem):
    from celer import celer_path

    means, y = np.asarray(problem.X.mean(0)).ravel(), problem.y - problem.y.mean()
    options = {"alphas": problem.lams, "tol": 1e-8, "X_offset": means, "X_scale": np.ones_like(means)}
    return lambda: celer_path(problem.X, y, pb="lasso", **options)[1], lambda coef: (coef.T, problem.y.mean() - coef.T @ means)


def scikit_learn(lam: float, n: int) -> Any:
    from sklearn.linear_model import Lasso

    del n
    return Lasso(alpha=lam, tol=1e-8, max_iter=100_000, warm_start=True)


def skglm(lam: float, n: int) -> Any:
    from skglm import Lasso

    del n
    return Lasso(alpha=lam, tol=1e-7, warm_start=True)


METHODS: dict[str, dict[str, tuple[str, Method]]] = {
    "squared": {
        "jaxreg": ("jaxreg", ours(HALF)),
        "jaxreg float32": ("jaxreg", ours(HALF, np.float32)),
        "glmnet 1e-7 (default)": ("glmnet", glmnet("gaussian", "1e-7")),
        "glmnet 1e-12": ("glmnet", glmnet("gaussian", "1e-12")),
        "celer 1e-8": ("celer", celer),
        "skglm 1e-7": ("skglm", loop(skglm, "alpha")),
        "scikit-learn 1e-8": ("sklearn", loop(scikit_learn, "alpha")),
    },
    "logistic": {
        "jaxreg": ("jaxreg", ours(MEAN)),
        "jaxreg 1e-6": ("jaxreg", ours(MEAN, tol=1e-6)),
        "glmnet 1e-7 (default)": ("glmnet", glmnet("binomial", "1e-7")),
        "glmnet 1e-12": ("glmnet", glmnet("binomial", "1e-12")),
        "skglm 1e-7": ("skglm", logistic_path.skglm(1e-7)),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="sparse_path")
    parser.add_argument("--loss", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--shape", nargs=2, type=int, default=SHAPE)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds that one method may take of one loss")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # peers warn of not having converged: the gap beside their time says so
    with x64_scope():
        bench.heading(f"{LAMS} λ", memory=False)
        for loss in options.loss:
            data = problem(loss, tuple(options.shape))

            def off(answer: Answer, reference: Answer, data: Problem = data, loss: str = loss) -> float:
                del reference
                return worst_gap(data, answer) if loss == "squared" else logistic_path.worst_gap(data, answer, "l1")

            race(loss, data, METHODS[loss], options.repeats, options.patience, off)


if __name__ == "__main__":
    main()
