"""How the cost of a path grows: with rows, features, number of λ and folds, as exponents and a picture.

Run as ``python -m experiments.benchmarks.scaling`` (minutes); the picture goes to ``scaling.png``, or where ``--out`` says. Each size is
run three times after its programs are compiled and the median taken; the exponent is the slope of log time on log size over the larger
half of the sizes, so that what a call costs at any size does not hide it.
"""

from __future__ import annotations

from . import lasso_path as bench  # first: it limits the threads

# isort: split

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import jaxreg
from jaxreg._dtypes import x64_scope

from ._timing import exponent

NET = jaxreg.ElasticNet(l1_ratio=0.5)
LOGISTIC = jaxreg.losses.Logistic("mean")
# method: (penalty, loss)
METHODS: dict[str, tuple[Any, Any]] = {
    "lasso": (jaxreg.L1(), bench.HALF),
    "elastic net": (NET, bench.HALF),
    "ridge": (jaxreg.L2(), bench.HALF),
    "L1 logistic": (jaxreg.L1(), LOGISTIC),
}


class Work(NamedTuple):
    """One size of a problem."""

    n: int = 2000
    p: int = 100
    lams: int = 100
    folds: int = 0


# what grows: (its sizes, the work of one size)
AXES: dict[str, tuple[list[int], Callable[[int], Work]]] = {
    "rows, 100 features": ([1000, 2000, 4000, 8000, 16000, 32000], lambda n: Work(n=n)),
    "features, 2,000 rows": ([32, 64, 128, 256, 512, 1024], lambda p: Work(p=p)),
    "features, 200 rows": ([512, 1024, 2048, 4096, 8192], lambda p: Work(n=200, p=p)),
    "λ": ([25, 50, 100, 200, 400, 800], lambda count: Work(lams=count)),
    "folds": ([2, 4, 8, 16, 32], lambda k: Work(folds=k)),
}


def data(work: Work, classes: bool) -> tuple[Any, Any, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(work.n, work.p))
    w = np.zeros(work.p)
    w[rng.choice(work.p, 10, replace=False)] = rng.normal(size=10)
    y = X @ w + np.linalg.norm(w) * rng.normal(size=work.n)
    y = (y > 0).astype(float) if classes else y
    top = np.abs((X - X.mean(0)).T @ (y - y.mean())).max() / work.n
    return jnp.asarray(X), jnp.asarray(y), top * np.geomspace(1, 1e-3 if work.n > work.p else 1e-2, work.lams)


def seconds(method: str, work: Work, repeats: int) -> float:
    penalty, loss = METHODS[method]
    X, y, lams = data(work, loss is LOGISTIC)

    def fit() -> Any:
        if not work.folds:
            return jaxreg.path(X, y, penalty, loss=loss, lams=lams)
        return jaxreg.cross_validate(X, y, penalty, loss=loss, lams=lams, folds=np.arange(work.n) % work.folds)

    fit()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        fit()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def draw(results: dict[str, dict[str, list[float]]], out: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(4 * len(results), 3.8), sharey=True, layout="constrained")
    for ax, (axis, by_method) in zip(np.atleast_1d(axes), results.items(), strict=True):
        sizes = AXES[axis][0]
        for method, times in by_method.items():
            ax.loglog(sizes, 1e3 * np.array(times), "o-", markersize=4, label=f"{method}: {exponent(sizes, times):.1f}")
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45, ha="right")
        ax.minorticks_off()
        ax.set_xlabel(axis)
        ax.legend(title="exponent", fontsize=8, title_fontsize=8)
        ax.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel("ms, warm")
    figure.savefig(out, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scaling")
    parser.add_argument("--axes", nargs="*", default=list(AXES), choices=list(AXES))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--most", type=int, default=10**9, help="leave out sizes above this")
    parser.add_argument("--out", default="scaling.png")
    options = parser.parse_args()
    warnings.simplefilter("ignore", jaxreg.GridEdgeWarning)
    results: dict[str, dict[str, list[float]]] = {}
    with x64_scope():
        for axis in options.axes:
            sizes, work = AXES[axis]
            AXES[axis] = (sizes := [size for size in sizes if size <= options.most], work)
            print(f"{axis:<22}" + "".join(f"{size:>9,}" for size in sizes) + f"{'exponent':>10}   (ms)")
            for method in options.methods:
                times = [seconds(method, work(size), options.repeats) for size in sizes]
                results.setdefault(axis, {})[method] = times
                print(f"  {method:<20}" + "".join(f"{1e3 * t:9.1f}" for t in times) + f"{exponent(sizes, times):10.2f}", flush=True)
    draw(results, options.out)
    print(f"picture: {options.out}")


if __name__ == "__main__":
    main()
