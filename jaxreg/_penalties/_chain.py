"""Least squares along a chain: a sequence near v whose differences of some order are priced, free or forbidden."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._arithmetic import product


def fit(v: Float[Array, " n"], order: int, weight: Float[Array, " m"], slope: Float[Array, " m"]) -> tuple[Array, Array, Array]:
    """The w that minimises ``½‖w − v‖² + Σ_i (½·weight_i·q_i² + slope_i·q_i)`` with ``q = D^{order+1} w``, and q and its prices u.

    A weight of 0 leaves a difference free but for its slope, one of +inf forbids it; ``u = weight·q + slope`` where finite, and
    ``w = v − Dᵀu`` always. O(n): dynamic programming over the state (w_i, ∇w_i, …, ∇^order w_i), as a Kalman smoother in
    information form. Nothing is squared: DDᵀ, which the textbook solves with, has a condition of n^(2·order + 2).
    """
    k = order + 1
    # The first k numbers are any polynomial's; in terms of the state there they are these.
    first = np.array([[(-1) ** r * math.comb(j, r) for r in range(k)] for j in range(k - 1, -1, -1)], float)
    curvature, pull = jnp.asarray(first.T @ first, v.dtype), product(jnp.asarray(first.T, v.dtype), v[:k])

    def ahead(state: Any, entry: Any) -> tuple[Any, Any]:
        curvature, pull = state
        v, weight, slope = entry
        gain = 1 / (weight + curvature[-1, -1])
        column = curvature[:, -1]
        moved = curvature - gain * column[:, None] * column[None, :]
        # In terms of the next state: ∇^r there is ∇^r here plus ∇^(r+1) there.
        moved = moved - jnp.pad(moved, ((1, 0), (0, 0)))[:-1]
        moved = moved - jnp.pad(moved, ((0, 0), (1, 0)))[:, :-1]
        lifted = pull - gain * column * (pull[-1] + slope)
        lifted = lifted - jnp.pad(lifted, (1, 0))[:-1]
        return (moved.at[0, 0].add(1), lifted.at[0].add(v)), (curvature[:, -1], pull[-1], gain)

    def back(state: Any, entry: Any) -> tuple[Any, Any]:
        column, pull, gain, slope = entry
        here = state - jnp.append(state[1:], 0)
        price = jnp.sum(column * here) - pull
        q = gain * (price - slope)
        return here.at[-1].add(-q), (here[0] - (q if k == 1 else 0), q, price - column[-1] * q)

    (curvature, pull), passed = jax.lax.scan(ahead, (curvature, pull), (v[k:], weight, slope))
    last = jnp.linalg.solve(curvature, pull)
    start, (w, q, u) = jax.lax.scan(back, last, (*passed, slope), reverse=True)
    return jnp.concatenate([product(jnp.asarray(first[:-1], v.dtype), start), w, last[:1]]), q, u
