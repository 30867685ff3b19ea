"""What a first call costs beyond a later one: compilation, and with a filled compilation cache what is left of it.

Run as ``python -m experiments.benchmarks.first_call`` (minutes), or with the works and problems that are wanted:
``… first_call --work elastic --problems C D``. Each number is of a process of its own: the first call's time less the median of three
later ones. Works and problems are those of the other benchmarks.
"""

from __future__ import annotations

from . import lasso_path as bench  # first: it limits the threads

# isort: split

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

from jaxreg._dtypes import x64_scope

from . import logistic_path, paths

OWN = {"ridge": "jaxreg, with LOO"}  # what jaxreg is called there, if not jaxreg
LATER = 3


def prepared(work: str, row: str) -> Callable[[], Any]:
    if work == "lasso":
        return bench.METHODS["jaxreg"][1](bench.problem(row))[0]
    if work in paths.WORKS:
        return paths.WORKS[work][1][OWN.get(work, "jaxreg")][1](paths.of_work(work, row))[0]
    penalty = work.split()[0]
    return logistic_path.METHODS[penalty]["jaxreg"][1](logistic_path.classes(row, penalty))[0]


WORKS = ["lasso", *paths.WORKS, "l1 logistic", "l2 logistic"]


def in_process(work: str, row: str, cache: str) -> float:
    """Seconds of a first call beyond a later one, in a fresh process; NaN if it failed."""
    own = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "experiments.benchmarks.first_call", "--work", work, "--problems", row, "--once"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | own)
    return float(done.stdout) if done.returncode == 0 else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(prog="first_call")
    parser.add_argument("--work", nargs="*", default=WORKS, choices=WORKS)
    parser.add_argument("--problems", nargs="*", default=list("ABCD"), choices=list("ABCDEF"))
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.once:
        with x64_scope():
            fit = prepared(options.work[0], options.problems[0])
            first = bench.timed(fit)[0]
            print(first - statistics.median(bench.timed(fit)[0] for _ in range(LATER)))
        return
    print(f"{'work':<12} {'problem':<10} {'cold s':>8} {'cached s':>9}")
    for work in options.work:
        for row in options.problems:
            with tempfile.TemporaryDirectory() as cache:
                cold, cached = in_process(work, row, cache), in_process(work, row, cache)
            print(f"{work:<12} {row:<10} {cold:8.2f} {cached:9.2f}", flush=True)


if __name__ == "__main__":
    main()
