"""What a prox costs: every penalty at a million numbers, beside jaxopt, NumPy and the formulas of SCICO.

Run as ``python -m experiments.benchmarks.prox``; ``--quick`` takes seconds, ``--only L1 SLOPE`` times some. Fair means: one process
on two cores, two threads each; arrays on the device; strengths handed on as arguments; all compiled and warm before a clock starts;
blocks of the peers alternate, the order swapped each time. The ratio is the median of the pairwise ratios of a peer's time to
jaxreg's, so above 1 jaxreg is faster; beside it stands the largest difference of the two answers.

``compile`` is tracing and compiling. ``MB`` is what XLA plans for one call, answer and scratch, without the arguments. Matrices have
as many numbers as vectors, so that 1,000 × 1,000 is a whole singular value decomposition; images and trend filters are smaller, as
the column ``numbers`` says.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxreg
from jaxreg._dtypes import x64_scope

from . import _prox_lines
from ._prox_cases import CASES, UNTIMED, Case, Prox, class_name
from ._timing import Comparison, compare, measure, shown

THREADS = 2
PEERS = "jaxopt", "NumPy", "SCICO-like"
QUICK = "L1", "MCP", "GroupLasso"


class Row(NamedTuple):
    """One penalty in one dtype. ``peers`` has None for a peer that is missing."""

    name: str
    numbers: int
    dtype: str
    seconds: float
    compile: float
    megabytes: float
    peers: dict[str, Comparison | None]


def put(strengths: tuple[Any, ...], dtype: Any, convert: Callable[..., Any]) -> tuple[Any, ...]:
    """Arrays in the dtype of the point; numbers stay Python numbers."""
    return tuple(convert(s, dtype) if isinstance(s, np.ndarray) else s for s in strengths)


def runners(case: Case, point: np.ndarray) -> dict[str, tuple[Prox, tuple[Any, ...]] | None]:
    """Each way to compute the prox, with its arguments; None where there is none. Those of jax are compiled."""
    n = point.size
    strengths, x = case.strengths(n), jnp.asarray(point)
    penalty = case.penalty(n, *strengths)
    found: dict[str, Any] = {"jaxreg": (jax.jit(lambda penalty, x: penalty.prox(x)), (jax.device_put(penalty), x))}
    for name, peer in (("jaxopt", case.jaxopt), ("SCICO-like", case.scico)):
        found[name] = peer and (jax.jit(peer), (x, *put(strengths, point.dtype, jnp.asarray)))
    found["NumPy"] = case.numpy and (case.numpy, (point, *put(strengths, point.dtype, np.asarray)))
    return found


def compiled(function: Any, *args: Any) -> tuple[float, float]:
    """Seconds to trace and compile, and megabytes of answer and scratch."""
    start = time.perf_counter()
    program = function.lower(*args).compile()
    seconds = time.perf_counter() - start
    memory = program.memory_analysis()
    return seconds, (memory.output_size_in_bytes + memory.temp_size_in_bytes) / 1e6 if memory else float("nan")


def row(case: Case, size: int, dtype: str, repeats: int, seconds: float) -> Row:
    with x64_scope() if dtype == "float64" else contextlib.nullcontext():
        point = np.random.default_rng(0).standard_normal(case.shape(size)).astype(dtype)
        found = runners(case, point)
        compile_time, megabytes = compiled(found["jaxreg"][0], *found["jaxreg"][1])
        calls = {name: lambda f=pair[0], args=pair[1]: f(*args) for name, pair in found.items() if pair}
        timings = measure(calls, repeats, seconds)
    peers = {name: compare(timings["jaxreg"], timings[name]) if name in timings else None for name in PEERS}
    return Row(case.name, point.size, dtype, timings["jaxreg"].median, compile_time, megabytes, peers)


def rows(names: Sequence[str], size: int, repeats: int, seconds: float) -> Iterator[Row]:
    jax.jit(lambda x: x + 1)(jnp.zeros(1)).block_until_ready()  # the first compilation of a process pays for more than its own
    for case in CASES:
        if class_name(case) in names:
            for dtype in ("float32", "float64"):
                yield row(case, size, dtype, repeats, seconds)


def report(names: Sequence[str], size: int, repeats: int, seconds: float) -> None:
    print(
        f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {THREADS} threads; peers: their time over jaxreg's, largest difference"
    )
    heads = "".join(f"{name:>16}" for name in PEERS)
    print(f"{'prox':<28}{'numbers':>9} {'dtype':<8}{'ms':>10}{'ns/number':>11}{heads}{'compile s':>11}{'MB':>8}")
    for r in rows(names, size, repeats, seconds):
        compared = "".join(map(shown, r.peers.values()))
        cost = f"{1e3 * r.seconds:>10.3f}{1e9 * r.seconds / r.numbers:>11.2f}"
        print(f"{r.name:<28}{r.numbers:>9} {r.dtype:<8}{cost}{compared}{r.compile:>11.2f}{r.megabytes:>8.1f}", flush=True)


def untimed() -> dict[str, str]:
    """The exported penalties that no case times, and why."""
    abstract = (jaxreg.Penalty, jaxreg.Separable)
    exported = {k for k, v in vars(jaxreg).items() if isinstance(v, type) and issubclass(v, jaxreg.Penalty) and v not in abstract}
    return {name: UNTIMED.get(name, "it has no case in _prox_cases") for name in sorted(exported - {class_name(case) for case in CASES})}


def main(arguments: Sequence[str] | None = None) -> None:
    known = sorted({class_name(case) for case in CASES})
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.prox", description="What a prox costs, beside its peers.")
    parser.add_argument("--size", type=int, default=None, help="numbers; 1,000,000, and a tenth of it against compiled code")
    parser.add_argument("--repeats", type=int, default=11, help="blocks of each peer (default 11)")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="stop repeating a row after so long, with three blocks at least (default 5)"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=known, help="penalties to time; all of them by default")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} at 10,000 numbers, three blocks")
    asked = parser.parse_args(arguments)
    size = asked.size or (10_000 if asked.quick else 1_000_000)
    if size < 100 or size % 10:
        parser.error(f"--size must be a multiple of 10 from 100 on, for the groups of ten; got {size}")
    repeats = 3 if asked.quick else asked.repeats
    names = asked.only or (QUICK if asked.quick else known)
    report(names, size, repeats, asked.seconds)
    if in_lines := [name for name in _prox_lines.STRENGTHS if name in names]:
        _prox_lines.report(in_lines, size // 10, repeats, asked.seconds)
    if not (asked.only or asked.quick):
        for name, why in untimed().items():
            print(f"not timed: {name}, because {why}")
    print(f"largest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")  # Linux counts in kB


def in_child(arguments: Sequence[str]) -> int:
    """In a process of its own: thread pools take their size from the environment and the cores as they start, some at import."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    pools = {f"{pool}_NUM_THREADS": str(THREADS) for pool in ("OPENBLAS", "OMP", "MKL", "NUMBA")}
    code = "from experiments.benchmarks.prox import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], env=os.environ | pools, check=False).returncode


if __name__ == "__main__":
    sys.exit(in_child(sys.argv[1:]))
