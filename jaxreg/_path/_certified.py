"""The certificates of every lane at every λ, in compiled chunks, and what they say of convergence."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._certificate import LANES, Certificate, Null, certify, certify_lanes, constant_curvature
from ._columns import Sparse, means
from ._engine import Design, Setup
from ._follow import CHUNK, part_of
from ._inputs import Problem
from ._moments import Origin, mean_target
from ._together import room_for

_SMALLEST = 128  # places of a support: few sizes, each is compiled anew
_MANY = 1 << 17  # predictions at one λ, of which several times ten would fill the memory


def certificates(
    problem: Problem, A: Any, null: Null, lams: np.ndarray, v: Any, scale: Any, coef: Any, intercept: Any, scaled: Any, gap_defined: bool
) -> Certificate:
    """The certificate of every lane, a leading axis, in compiled chunks of λ."""
    setup = problem.setup
    # Squared error is certified in one pass over the rows for all λ of a chunk, and for several lanes where rows are the larger part.
    wide = constant_curvature(setup) and not isinstance(problem.design.X, Sparse)
    chunk = _certified_together(len(lams), problem.design.y.size, wide=wide)
    together = min(LANES, len(v)) if wide and len(v[0]) >= coef.shape[2] else 1
    supports = _supports(coef) if wide and together == 1 else None
    origin = None
    if setup.intercept and not isinstance(problem.design.X, Sparse):
        origin = _origin(setup, problem.design, v[0])
    parts = []
    for start in range(0, len(lams), chunk):
        rest = A, problem.penalty, null, part_of(lams, start, chunk)
        own = [None if x is None else _chunk_of(x, start, chunk) for x in (coef, intercept, scaled)]
        lanes = []
        for first in range(0, len(v), together):
            those = slice(min(first, len(v) - together), first + together)  # the last ones reach back: each number is compiled anew
            taken = tuple(None if x is None else x[those] for x in (v, scale, *own))
            if together > 1:
                found = certify_lanes(setup, problem.design, *rest, taken, gap_defined=gap_defined, origin=origin)
            else:
                one = [None if x is None else x[0] for x in taken]
                support = None if supports is None else supports[first]
                found = certify(setup, problem.design, *one[:2], *rest, *one[2:], gap_defined=gap_defined, support=support, origin=origin)
                found = [x[None] for x in found]
            lanes.append([np.asarray(x)[first - those.start :] for x in found])
        parts.append([np.concatenate(column) for column in zip(*lanes, strict=True)])
    return Certificate(*(np.concatenate(column, axis=1)[:, : len(lams)] for column in zip(*parts, strict=True)))


@functools.partial(jax.jit, static_argnames=("setup",))
def _origin(setup: Setup, design: Design, v: Any) -> Origin:
    return Origin(means(design.X, v), mean_target(design, v) if constant_curvature(setup) else jnp.zeros((), design.X.dtype))


def _supports(coef: Any) -> np.ndarray | None:
    """Of each lane the places of all coefficients that are not zero, and of some that are; None where that is not few of them."""
    used = (np.asarray(coef) != 0).any(axis=1)
    room = room_for(int(used.sum(axis=1).max()), _SMALLEST)
    return np.argsort(~used, axis=1, kind="stable")[:, :room] if 4 * room <= used.shape[1] else None


def _certified_together(count: int, size: int, *, wide: bool) -> int:
    """How many of ``count`` λ are certified by one call, with predictions of ``size`` numbers each; few numbers, each is compiled anew."""
    if count <= CHUNK or (not wide and size > _MANY):
        return CHUNK
    most, step = (100, 25) if wide else (25, 5)
    calls = -(-count // most)
    return -(-count // (calls * step)) * step


def _chunk_of(x: Any, start: int, size: int) -> Any:
    """λ (axis 1) from ``start`` on, the last one repeated where they run out; no copy where they do not."""
    whole = x[:, start : start + size]
    return whole if whole.shape[1] == size else x[:, part_of(np.arange(x.shape[1]), start, size)]


def shortfall(certificate: Certificate, coef: Any) -> np.ndarray:
    """What tol applies to: the gap, or the residual where no gap is defined; +inf for what is not finite."""
    missing, value = np.isnan(certificate.gap), certificate.gap
    if missing.any():
        finite = np.isfinite(coef).all(axis=tuple(range(value.ndim, coef.ndim)))
        value = np.where(missing & finite, certificate.kkt, value)
    return np.where(np.isnan(value), np.inf, value)


def reached(certificate: Certificate, coef: Any, tol: float) -> np.ndarray:
    """Whether the answers are converged; a gap within tol beside a residual far from it would be a broken certificate."""
    return (shortfall(certificate, coef) <= tol) & (certificate.kkt <= np.sqrt(tol))
