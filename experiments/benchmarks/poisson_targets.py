"""Fifty Poisson targets × 8 λ × 3 folds on one design of 25,000 × 150 (an encoding model of fifty neurons), elastic net of l1_ratio 0.9.

Run as ``python -m experiments.benchmarks.poisson_targets`` (minutes). Every method fits each target on all rows and on the training rows
of each fold at every λ, that is 1,600 fits, of the mean negative log-likelihood plus λ·(0.9·Σ|w| + 0.05·Σw²) with an intercept. A peer that
would need more than ``--patience`` seconds fits as many targets as it can in them, and its time is shown for one target. The excess
is how far the objective is above jaxreg's, at the worst λ of the targets fitted on all rows, relative to the null model's loss.
"""

from __future__ import annotations

from . import lasso_path as bench  # first: it limits the threads

# isort: split

import argparse
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import xlogy

import jaxreg
from jaxreg._dtypes import x64_scope

from .lasso_path import kilobytes, missing

N, P, LAMS, FOLDS, RATIO = 25_000, 150, 8, 3, 0.9


def made(targets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(X, counts, λ): columns that neighbours share, a dozen of which matter to each target."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P))
    for j in range(1, P):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
    w = np.where(rng.random((P, targets)) < 0.08, rng.normal(size=(P, targets)) * 0.2, 0)
    Y = rng.poisson(np.exp(X @ w - 1)).astype(float)
    top = np.abs(X.T @ (Y - Y.mean(0))).max() / N / RATIO
    return X, Y, top * np.geomspace(1, 1e-3, LAMS)


def objective(X: np.ndarray, y: np.ndarray, lam: float, w: np.ndarray, b: float) -> float:
    eta = X @ w + b
    return float(np.mean(np.exp(eta) - y * eta) + lam * (RATIO * np.abs(w).sum() + (1 - RATIO) / 2 * w @ w))


def null_loss(y: np.ndarray) -> float:
    """Above the smallest that any rates give."""
    return float(y.mean() - xlogy(y.mean(), y.mean()) - np.mean(y - xlogy(y, y)))


Fitted = Callable[[int], tuple[np.ndarray, np.ndarray]]  # target -> coefficients (L, p) and intercepts (L,) on all rows


def ours(X: np.ndarray, Y: np.ndarray, lams: np.ndarray, patience: float, dtype: Any) -> tuple[float, int, Fitted]:
    del patience
    design, counts = jnp.asarray(X, dtype), jnp.asarray(Y, dtype)
    start = time.perf_counter()
    penalty, loss = jaxreg.ElasticNet(l1_ratio=RATIO), jaxreg.losses.Poisson("mean")
    cv = jaxreg.cross_validate(design, counts, penalty, loss=loss, lams=lams, folds=np.arange(N) % FOLDS)
    seconds = time.perf_counter() - start
    coef, intercept = np.asarray(cv.path.coef, float), np.asarray(cv.path.intercept, float)
    return seconds, Y.shape[1], lambda t: (coef[..., t], intercept[:, t])


def glmnet(X: np.ndarray, Y: np.ndarray, lams: np.ndarray, patience: float) -> tuple[float, int, Fitted]:
    code = """
    suppressMessages(library(glmnet)); a <- commandArgs(TRUE); n <- as.integer(a[2]); p <- as.integer(a[3]); m <- as.integer(a[4])
    L <- as.integer(a[5]); K <- as.integer(a[6]); ratio <- as.double(a[7]); patience <- as.double(a[8])
    d <- readBin(a[1], "double", n * p + n * m + L); X <- matrix(d[1:(n * p)], n, p)
    Y <- matrix(d[n * p + 1:(n * m)], n, m); l <- d[n * p + n * m + 1:L]
    total <- 0; out <- file(paste0(a[1], ".out"), "wb")
    for (t in 1:m) {
      total <- total + system.time({
        how <- list(family = "poisson", lambda = l, alpha = ratio, standardize = FALSE, thresh = 1e-9)
        fit <- function(rows) do.call(glmnet, c(list(X[rows, ], Y[rows, t]), how))
        whole <- fit(1:n)
        for (k in 1:K) fit(which((1:n - 1) %% K != k - 1))
      })[["elapsed"]]
      writeBin(as.vector(rbind(as.matrix(whole$beta), whole$a0)), out)
      if (total > patience) break
    }
    close(out); cat(total, t)"""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        np.concatenate([X.T.ravel(), Y.T.ravel(), lams]).tofile(data)
        numbers = [*X.shape, Y.shape[1], LAMS, FOLDS, RATIO, patience]
        done = subprocess.run(["Rscript", "-e", code, str(data), *map(str, numbers)], capture_output=True, text=True, check=True)
        seconds, count = done.stdout.split()
        table = np.fromfile(f"{data}.out").reshape(int(count), LAMS, P + 1)
    return float(seconds), int(count), lambda t: (table[t, :, :-1], table[t, :, -1])


def nemos(X: np.ndarray, Y: np.ndarray, lams: np.ndarray, patience: float) -> tuple[float, int, Fitted]:
    from nemos.glm import GLM
    from sklearn.model_selection import GridSearchCV, PredefinedSplit

    found: list[tuple[np.ndarray, np.ndarray]] = []
    total = 0.0
    folds = PredefinedSplit(np.arange(N) % FOLDS)
    for y in Y.T:
        start = time.perf_counter()
        model = GLM(regularizer="ElasticNet", regularizer_strength=(float(lams[0]), RATIO))
        grid = {"regularizer_strength": [(float(lam), RATIO) for lam in lams]}
        GridSearchCV(model, grid, cv=folds, refit=False).fit(X, y)
        whole = [GLM(regularizer="ElasticNet", regularizer_strength=strength).fit(X, y) for strength in grid["regularizer_strength"]]
        total += time.perf_counter() - start
        found.append((np.stack([np.asarray(m.coef_, float) for m in whole]), np.array([float(m.intercept_[0]) for m in whole])))
        if total > patience:
            break
    return total, len(found), lambda t: found[t]


def main() -> None:
    parser = argparse.ArgumentParser(prog="poisson_targets")
    parser.add_argument("--targets", type=int, default=50)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds after which a peer starts no other target")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    methods: dict[str, tuple[str, Callable[..., tuple[float, int, Fitted]]]] = {
        "jaxreg": ("jaxreg", lambda *a: ours(*a, jnp.float64)),
        "jaxreg, again": ("jaxreg", lambda *a: ours(*a, jnp.float64)),
        "jaxreg float32": ("jaxreg", lambda *a: ours(*a, jnp.float32)),
        "glmnet 1e-9": ("glmnet", glmnet),
        "nemos, ProximalGradient": ("nemos", nemos),
    }
    with x64_scope():
        X, Y, lams = made(options.targets)
        print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {bench.THREADS} threads")
        print(f"{N}×{P}, {LAMS} λ, {FOLDS} folds and all rows")
        print(f"{'method':<24} {'s a target':>10} {'÷ jaxreg':>9} {'targets':>8} {'excess':>9}")
        best: Fitted | None = None
        base = float("nan")
        for name, (module, run) in methods.items():
            if missing(module):
                print(f"{name:<24} missing")
                continue
            try:
                seconds, count, fitted = run(X, Y, lams, options.patience)
            except Exception as error:  # a peer that fails is shown as failing
                print(f"{name:<24} failed: {type(error).__name__}: {error}"[:140])
                continue
            if best is None:
                best, first = fitted, seconds / count
            base = first if name == "jaxreg" else seconds / count if name == "jaxreg, again" else base
            worst = max(
                (objective(X, Y[:, t], lam, w, b) - objective(X, Y[:, t], lam, *own)) / null_loss(Y[:, t])
                for t in range(count)
                for lam, w, b, own in zip(lams, *fitted(t), zip(*best(t), strict=True), strict=True)
            )
            print(f"{name:<24} {seconds / count:10.3f} {seconds / count / base:9.2f} {count:8d} {worst:9.0e}", flush=True)
        print(f"peak memory of this process: {kilobytes(Path('/proc/self/status'), 'VmHWM') / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
