"""The lasso path of 100 λ against the fastest peers, on six problems.

Run as ``python -m experiments.benchmarks.lasso_path`` (minutes), or with the rows that are wanted: ``… lasso_path A B`` (under a
minute). ``--memory`` adds the peak memory of one fit, each in a process of its own.

Fair means: the same X, y and λ, Σ(y − η)²/(2n) + λ·Σ|w| with an intercept and no scaling; two threads each; what is
installed takes turns within one process (glmnet in an R process beside it, timed there), and the medians are compared; a turn of
what takes less than 20 ms is as many calls as they hold, and starts when the threads of the one before it have gone to sleep.
jaxreg has X on the device and returns what ``jaxreg.path`` returns, its certificate included; scikit-learn, celer and skglm
get columns that were centred beforehand, outside of the time. The gap is the worst over the path, relative to the null
model's loss, recomputed here from X, y and the coefficients. A peer that is not installed is named as missing.
"""

from __future__ import annotations

import os

# Before anything starts its threads.
THREADS = 2
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = str(THREADS)
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])

import argparse  # noqa: E402
import functools  # noqa: E402
import importlib.util  # noqa: E402
import inspect  # noqa: E402
import shutil  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, NamedTuple  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import jaxreg  # noqa: E402
from jaxreg._dtypes import x64_scope  # noqa: E402

from ._timing import BLOCK  # noqa: E402

HALF = jaxreg.losses.SquaredError("half_mean")
# Seconds that one method may take of one row, and how often it is run if it takes fewer.
PATIENCE, REPEATS = 40.0, 9
PAUSE = 0.1  # seconds before a turn: idle threads of OpenBLAS spin for tens of ms, and would take the cores of who comes next
LONG = 10.0  # seconds of a first call, compilation included, after which one call is a turn
SHAPES = {"B": (1000, 100, 10), "C": (10000, 500, 50), "D": (200, 5000, 20), "E": (1000, 10000, 50), "F": (100000, 200, 20)}

Answer = tuple[np.ndarray, np.ndarray]  # coefficients (L, p) and intercepts (L,)


class Problem(NamedTuple):
    """One row of the table."""

    name: str
    X: np.ndarray
    y: np.ndarray
    lams: np.ndarray

    @property
    def centered(self) -> tuple[np.ndarray, np.ndarray]:
        return np.asfortranarray(self.X - self.X.mean(0)), self.y - self.y.mean()


def problem(row: str) -> Problem:
    rng = np.random.default_rng(0)
    if row == "A":
        from sklearn.datasets import load_diabetes

        X, y = load_diabetes(return_X_y=True)
    else:
        n, p, nonzeros = SHAPES[row]
        X = rng.normal(size=(n, p))
        if row == "F":  # neighbouring columns correlated by a half, as in an autoregression
            for j in range(1, p):
                X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
        w = np.zeros(p)
        w[rng.choice(p, nonzeros, replace=False)] = rng.normal(size=nonzeros)
        y = X @ w + np.linalg.norm(w) * rng.normal(size=n)
    n, p = X.shape
    top = np.abs((X - X.mean(0)).T @ (y - y.mean())).max() / n
    return Problem(f"{row} {n}×{p}", np.ascontiguousarray(X), y, top * np.geomspace(1, 1e-3 if n > p else 1e-2, 100))


def worst_gap(problem: Problem, answer: Answer) -> float:
    """The largest duality gap over the null model's loss, from the definition."""
    X, y = problem.centered
    coef, intercept = (np.asarray(x, float) for x in answer)
    shift = problem.y.mean() - problem.X.mean(0) @ coef.T - intercept  # what the intercepts are off by
    residual = y[:, None] - X @ coef.T + shift
    bound = np.abs(X.T @ residual).max(axis=0)
    dual = (residual - residual.mean(axis=0)) * np.minimum(1, len(y) * problem.lams / np.maximum(bound, 1e-300))
    primal = (residual**2).sum(0) / (2 * len(y)) + problem.lams * np.abs(coef).sum(axis=1)
    return float(np.max(np.abs(primal - (dual * y[:, None] - dual**2 / 2).sum(0) / len(y))) / ((y @ y) / (2 * len(y))))


# --- the methods: each prepares a problem and gives back what is timed, and what it answered ---------------------------------

Method = Callable[[Problem], tuple[Callable[[], Any], Callable[[Any], Answer]]]


def ours(dtype: Any) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        X, y = jnp.asarray(problem.X, dtype), jnp.asarray(problem.y, dtype)
        return lambda: jaxreg.path(X, y, jaxreg.L1(), loss=HALF, lams=problem.lams), lambda fit: (fit.coef, fit.intercept)

    return prepare


def gram(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
    X = jnp.asarray(problem.X)
    product = jax.jit(lambda X: X.T @ X)
    return lambda: product(X).block_until_ready(), lambda _: (np.full((100, X.shape[1]), np.nan), np.full(100, np.nan))


def scikit_learn(tol: float) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        from sklearn.linear_model import lasso_path

        X, y = problem.centered
        return lambda: lasso_path(X, y, alphas=problem.lams, tol=tol, max_iter=1_000_000)[1], lambda coef: uncentered(problem, coef.T)

    return prepare


def celer(tol: float) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        from celer import celer_path

        X, y = problem.centered
        return lambda: celer_path(X, y, pb="lasso", alphas=problem.lams, tol=tol)[1], lambda coef: uncentered(problem, coef.T)

    return prepare


def skglm(tol: float) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        from skglm import Lasso

        X, y = problem.centered
        model = Lasso(fit_intercept=False, tol=tol)
        return lambda: model.path(X, y, problem.lams)[1], lambda coef: uncentered(problem, coef.T)

    return prepare


def adelie(tol: float, ratio: float = 1.0, group: int = 1) -> Method:
    def prepare(problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        import adelie

        X = np.asfortranarray(problem.X)

        def fit() -> Any:
            family = adelie.glm.gaussian(y=problem.y)
            options: dict[str, Any] = {"early_exit": False, "tol": tol, "n_threads": THREADS, "progress_bar": False}
            groups = np.arange(0, X.shape[1], group)
            return adelie.grpnet(X=X, glm=family, lmda_path=problem.lams, alpha=ratio, groups=groups, **options)

        return fit, lambda state: (state.betas.toarray(), np.asarray(state.intercepts))

    return prepare


class Glmnet:
    """An R process that holds the data and fits, timing itself, whenever it is told to."""

    CODE = """
    suppressMessages(library(glmnet)); a <- commandArgs(TRUE); n <- as.integer(a[2]); p <- as.integer(a[3])
    tol <- as.double(a[4]); L <- as.integer(a[5])
    d <- readBin(a[1], "double", n * p + n + L); X <- matrix(d[1:(n * p)], n, p); y <- d[n * p + 1:n]; l <- d[n * p + n + 1:L]
    input <- file("stdin", "r")
    while (length(line <- readLines(input, 1))) {
      calls <- as.integer(line); t <- system.time(for (i in seq_len(calls)) f <- CALL)[["elapsed"]] / calls
      if (!is.null(f$glmnet.fit)) f <- f$glmnet.fit
      b <- matrix(NA_real_, p + 1, L); k <- ncol(f$beta); b[, 1:k] <- rbind(as.matrix(f$beta), f$a0)
      writeBin(as.vector(b), paste0(a[1], ".out")); cat(t, "\\n"); flush(stdout())
    }"""

    def __init__(self, thresh: str, call: str = "glmnet(X, y, lambda = l, standardize = FALSE, thresh = tol)") -> None:
        self.code, self.thresh = self.CODE.replace("CALL", call), thresh

    def __call__(self, problem: Problem) -> tuple[Callable[[], Any], Callable[[Any], Answer]]:
        self.folder = tempfile.TemporaryDirectory()
        data = Path(self.folder.name) / "data"
        self.write(problem, data)
        command = ["Rscript", "-e", self.code, str(data), *map(str, problem.X.shape), self.thresh, str(len(problem.lams))]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def fit(calls: int = 1) -> float:
            stdin.write(f"{calls}\n")
            stdin.flush()
            return float(stdout.readline())

        def answer(_: Any) -> Answer:
            stdin.close()
            process.wait()
            table = np.fromfile(f"{data}.out").reshape(len(problem.lams), -1)
            return table[:, :-1], table[:, -1]

        return fit, answer

    def write(self, problem: Problem, data: Path) -> None:
        np.concatenate([problem.X.T.ravel(), problem.y, problem.lams]).tofile(data)


def uncentered(problem: Problem, coef: np.ndarray) -> Answer:
    return coef, problem.y.mean() - coef @ problem.X.mean(0)


METHODS: dict[str, tuple[str, Method]] = {
    "jaxreg": ("jaxreg", ours(jnp.float64)),
    "jaxreg float32": ("jaxreg", ours(jnp.float32)),
    "XᵀX alone, jax": ("jaxreg", gram),
    "scikit-learn 1e-4 (default)": ("sklearn", scikit_learn(1e-4)),
    "scikit-learn 1e-8": ("sklearn", scikit_learn(1e-8)),
    "glmnet 1e-7 (default)": ("glmnet", Glmnet("1e-7")),
    "glmnet 1e-12": ("glmnet", Glmnet("1e-12")),
    "celer 1e-4 (default)": ("celer", celer(1e-4)),
    "celer 1e-8": ("celer", celer(1e-8)),
    "skglm 1e-4 (default)": ("skglm", skglm(1e-4)),
    "skglm 1e-8": ("skglm", skglm(1e-8)),
    "adelie 1e-7 (default)": ("adelie", adelie(1e-7)),
    "adelie 1e-12": ("adelie", adelie(1e-12)),
}


def missing(module: str) -> bool:
    if module != "glmnet":
        return importlib.util.find_spec(module) is None
    return not shutil.which("Rscript") or bool(subprocess.run(["Rscript", "-e", "library(glmnet)"], capture_output=True).returncode)


def heading(what: str, *, memory: bool) -> None:
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {THREADS} threads; milliseconds; {what}")
    columns = f"{'median':>10} {'best':>10} {'÷ jaxreg':>9} {'gap':>9} {'compile s':>9}" + (f" {'peak MB':>9}" if memory else "")
    print(f"{'work':<11} {'problem':<14} {'method':<28} {columns}")


def timed(fit: Callable[..., Any], calls: int = 1) -> tuple[float, Any]:
    """(seconds a call, the last result); what another process runs, it times."""
    if "calls" in inspect.signature(fit).parameters:
        seconds = fit(calls)
        return seconds, seconds
    start = time.perf_counter()
    for _ in range(calls):
        result = fit()
    return (time.perf_counter() - start) / calls, result


def a_turn(fit: Callable[..., Any], first: float) -> int:
    """Calls that take long enough for the clocks, R's of 1 ms among them, and for threads to wake up."""
    return 1 if first > LONG else int(np.clip(BLOCK / max(timed(fit)[0], 1e-3), 1, 20))


def race(
    label: str,
    data: Problem,
    methods: dict[str, tuple[str, Method]],
    repeats: int,
    patience: float,
    off: Callable[[Answer, Answer], float],
    peak: Callable[[str], float] | None = None,
) -> None:
    """Print a line for every method, lost or not; ``off(its answer, the first method's)`` judges it. The first method is jaxreg.

    ``peak(method)`` gives the megabytes of a last column.
    """
    runs, first, times, results, calls = {}, {}, {}, {}, {}
    for name, (module, prepare) in methods.items():
        if missing(module):
            print(f"{label:<11} {data.name:<14} {name:<28} missing")
            continue
        try:
            runs[name] = prepare(data)
            first[name], results[name] = timed(runs[name][0])
            times[name], calls[name] = [], a_turn(runs[name][0], first[name])
        except Exception as error:  # a peer that fails is shown as failing
            print(f"{label:<11} {data.name:<14} {name:<28} failed: {type(error).__name__}: {error}"[:140])
            runs.pop(name, None)
    for repeat in range(repeats):
        for name in sorted(runs, reverse=bool(repeat % 2)):
            if calls[name] * sum(times[name]) + first[name] < patience or not times[name]:
                time.sleep(PAUSE)
                seconds, results[name] = timed(runs[name][0], calls[name])
                times[name].append(seconds)
    own = next(iter(methods))
    if own not in runs:
        raise SystemExit(f"{own} itself failed, as said above: there is nothing to compare with")
    base, reference = statistics.median(times[own]), runs[own][1](results[own])
    for name, (_, answer) in runs.items():
        median, distance = statistics.median(times[name]), off(reference if name == own else answer(results[name]), reference)
        compiled = f"{max(first[name] - median, 0):9.2f}" if "jax" in name else f"{'':9}"
        memory = f" {peak(name):9.0f}" if peak and "glmnet" not in name else ""  # glmnet's is another process
        print(
            f"{label:<11} {data.name:<14} {name:<28} {1e3 * median:10.1f} {1e3 * min(times[name]):10.1f}"
            f" {median / base:9.2f} {distance:9.0e} {compiled}{memory}",
            flush=True,
        )


def measure(row: str, names: list[str], memory: bool) -> None:
    """Print one row of the table: every method, lost, missing or not."""
    data = problem(row)
    peak = functools.partial(peak_of, "lasso_path", row) if memory else None
    race("lasso", data, {name: METHODS[name] for name in names}, REPEATS, PATIENCE, lambda answer, _: worst_gap(data, answer), peak)


def peak_of(benchmark: str, *arguments: str) -> float:
    """Megabytes that a fresh process which holds the data needs on top for a method's first fit, compilation included; NaN if unknown.

    The last of ``arguments`` is the method.
    """
    *rest, method = arguments
    command = [sys.executable, "-m", f"experiments.benchmarks.{benchmark}", *rest, "--once", method]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else float("nan")


def once(fit: Callable[[], Any]) -> None:
    """Print the megabytes that ``fit`` takes on top of what this process holds."""
    status = Path("/proc/self/status")  # getrusage would count what the parent had when it started this process
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew here
    before = kilobytes(status, "VmRSS")
    fit()
    print((kilobytes(status, "VmHWM") - before) / 1024)


def kilobytes(status: Path, field: str) -> int:
    return int(next(line for line in status.read_text().splitlines() if line.startswith(field)).split()[1])


def options_of(parser: argparse.ArgumentParser, problems: str, repeats: int) -> argparse.Namespace:
    """What the benchmarks of paths have in common, read beside what ``parser`` has already."""
    parser.add_argument("--problems", nargs="*", default=list(problems), choices=list("ABCDEF"))
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds that one method may take of one row")
    parser.add_argument("--memory", action="store_true", help="peak memory too; a process for each number")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    parser = argparse.ArgumentParser(prog="lasso_path")
    parser.add_argument("rows", nargs="*", default=list("ABCDEF"), help="A to F; all by default")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--memory", action="store_true", help="peak memory too; a process for each number")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # peers warn of not having converged: the gap beside their time says so
    with x64_scope():
        if options.once:
            once(METHODS[options.once][1](problem(options.rows[0]))[0])
            return
        heading("100 λ", memory=options.memory)
        for row in options.rows:
            measure(row, options.methods, options.memory)


if __name__ == "__main__":
    main()
