"""One-dimensional total variation and SLOPE against compiled code, in float64.

Peers are those that are installed: condat-tv (C) for the former, scikit-learn (Cython) and skglm (numba) for the latter. Both of these
pool what is sorted; sorting and putting back is NumPy's here. sortedl1 offers no prox of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxreg
from jaxreg._dtypes import x64_scope

from . import _prox_numpy as literature
from ._timing import Comparison, compare, measure, shown

Vec = np.ndarray
STRENGTHS = {"FusedLasso": (0.2, 5.0, 200.0), "SLOPE": (0.1, 0.4, 1.0)}
PEERS = {"FusedLasso": ("condat-tv",), "SLOPE": ("scikit-learn", "skglm")}


def signals(n: int) -> dict[str, Vec]:
    rng = np.random.default_rng(0)
    noise, levels = rng.standard_normal(n), rng.normal(0, 3, 100)
    return {"noise": noise, "noise + steps": noise + levels[np.arange(n) * 100 // n]}


def penalty(name: str, n: int, lam: float) -> jaxreg.Penalty:
    return jaxreg.FusedLasso(lam) if name == "FusedLasso" else jaxreg.SLOPE(lam, literature.falling_prices(n))


def peer(name: str, n: int, lam: float) -> Callable[[Vec], Any] | None:
    """The same prox elsewhere; None where it is not installed."""
    weights = literature.falling_prices(n) if name in PEERS["SLOPE"] else None
    module = {"condat-tv": "condat_tv", "scikit-learn": "sklearn.isotonic", "skglm": "skglm.utils.prox_funcs"}[name]
    try:
        found = importlib.import_module(module)
    except ImportError:
        return None
    if name == "condat-tv":
        return lambda x: found.tv_denoise(x, lam)
    if name == "scikit-learn":
        return lambda x: literature.slope(x, lam, weights)
    return lambda x: literature.falling_first(x, lambda falling: found.prox_SLOPE(falling, lam * weights))


class Line(NamedTuple):
    name: str
    signal: str
    lam: float
    blocks: int
    seconds: float
    peers: dict[str, Comparison | None]


def lines(names: list[str], size: int, repeats: int, seconds: float) -> Iterator[Line]:
    """A row for each prox, signal and strength."""
    prox = jax.jit(lambda penalty, x: penalty.prox(x))
    with x64_scope():
        for name in names:
            for signal, point in signals(size).items():
                for lam in STRENGTHS[name]:
                    x, ours = jnp.asarray(point), jax.device_put(penalty(name, size, lam))
                    calls: dict[str, Any] = {"jaxreg": lambda ours=ours, x=x: prox(ours, x)}
                    found = {other: peer(other, size, lam) for other in PEERS[name]}
                    calls |= {other: lambda call=call, point=point: call(point) for other, call in found.items() if call}
                    timings = measure(calls, repeats, seconds)
                    mine = timings["jaxreg"]
                    compared = {other: compare(mine, timings[other]) if call else None for other, call in found.items()}
                    blocks = len(np.unique(np.round(np.abs(mine.answer) if name == "SLOPE" else mine.answer, 12)))
                    yield Line(name, signal, lam, blocks, mine.median, compared)


def report(names: list[str], size: int, repeats: int, seconds: float) -> None:
    print(f"\nAgainst compiled code: {size:,} numbers in float64; each peer's time over jaxreg's, and the largest difference")
    for name in names:
        heads = "".join(f"{other:>16}" for other in PEERS[name])
        print(f"{name:<14}{'signal':<16}{'λ':>8}{'levels':>9}{'ms':>10}{heads}")
        for line in lines([name], size, repeats, seconds):
            compared = "".join(map(shown, line.peers.values()))
            print(f"{'':<14}{line.signal:<16}{line.lam:>8g}{line.blocks:>9}{1e3 * line.seconds:>10.2f}{compared}", flush=True)
