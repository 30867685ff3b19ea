"""The elastic net and bounded lasso under squared error in p numbers: every λ at once from a Gram matrix."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._penalties import Penalty
from ..losses import SquaredError
from . import _moments
from ._batch import Quadratic, all_lams
from ._engine import Design, Setup
from ._moments import Moments

MOST = 1024  # features: the product with a Gram matrix of more costs more than a step on the active ones


class Strengths(NamedTuple):
    """A penalty that is ``Σ aⱼ|wⱼ| + ½bⱼwⱼ²``."""

    a: Float[Array, "p"]
    b: Float[Array, "p"]


def strengths(setup: Setup, design: Design, penalty: Penalty) -> Strengths | None:
    """None where the penalty or the problem is another."""
    n, p = design.X.shape
    terms = penalty.terms()
    if not isinstance(setup.loss, SquaredError) or setup.outputs is not None or p > MOST or p > n:
        return None
    if not terms or any(term.role not in ("soft", "quadratic") or term.reference() is not None for term in terms):
        return None
    found = _at_zero(penalty, np.zeros(p, design.X.dtype))
    return found if (np.asarray(found.a) > 0).any() else None


@jax.jit
def _at_zero(penalty: Penalty, zero: Any) -> Strengths:
    return Strengths(penalty.subdifferential(zero)[1], penalty.curvature(zero))


def fit(
    setup: Setup,
    design: Design,
    weights: np.ndarray,
    penalty: Strengths,
    lams: np.ndarray,
    ids: np.ndarray | None,
    step: Callable[[int, int, np.ndarray], bool],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(coefficients, intercepts, scales) of each lane (row of weights) at every λ (decreasing), as ``_lasso.fit`` takes them."""
    moments = _moments.of_lanes(design, weights, ids)
    found = []
    for lane in range(len(weights)):
        coef, intercept, scale = (np.asarray(x) for x in _one(setup, design, moments, lane, penalty, lams))
        found.append((coef, intercept, scale))
        step(lane, len(lams), coef)
    return tuple(np.stack(column) for column in zip(*found, strict=True))  # pyright: ignore[reportReturnType]


@functools.partial(jax.jit, static_argnames=("setup",))
def _one(setup: Setup, design: Design, moments: Moments, lane: Any, penalty: Strengths, lams: Any) -> tuple[Array, Array, Array]:
    unit, G, q = _moments.reduce(setup, moments, lane, penalty.a, design.free)
    own = (unit.scale if setup.standardize else 1.0) / unit.size
    low = jnp.full_like(q, -jnp.inf) if design.lower is None else design.lower * unit.size
    up = jnp.full_like(q, jnp.inf) if design.upper is None else design.upper * unit.size
    problem = Quadratic(G, q, unit.radius, penalty.b * own**2, low, up)
    found = all_lams(problem, lams / unit.kappa, 64 * jnp.finfo(q.dtype).eps * jnp.linalg.norm(q)).T
    coef = found / unit.size
    # A bound that is met is met to the last bit: the certificate asks whether it is.
    if design.lower is not None and design.upper is not None:
        coef = jnp.where(found <= low, design.lower, jnp.where(found >= up, design.upper, coef))
    intercept = (unit.level - coef @ unit.center)[:, None]
    return coef, intercept if setup.intercept else intercept[:, :0], unit.scale
