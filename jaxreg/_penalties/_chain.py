"""Least squares along a chain: a sequence near v whose differences of some order are priced, free or forbidden."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._pairs import Pair, pair

Number = Any  # arrays, or pairs of them, which double what float32 has of digits


def exact(x: Any) -> Number:
    """x in numbers that :func:`fit` computes with."""
    x = jnp.asarray(x)
    return pair(x) if x.dtype == jnp.float32 else x


def adjoint(u: Number, order: int) -> Number:
    """``Dᵀu`` of ``D = diff^{order+1}``."""
    u = _each(lambda x: jnp.pad(x, order + 1), u)
    for _ in range(order + 1):
        u = _at(u, slice(None, -1)) - _at(u, slice(1, None))
    return u


def fit(v: Number, order: int, weight: Float[Array, " m"], slope: Float[Array, " m"]) -> tuple[Array, Array, Array]:
    """The w that minimises ``½‖w − v‖² + Σ_i (½·weight_i·q_i² + slope_i·q_i)`` with ``q = D^{order+1} w``, and q and its prices u.

    A weight of 0 leaves a difference free but for its slope, one of +inf forbids it; ``u = weight·q + slope`` where finite, and
    ``w = v − Dᵀu`` always. O(n): dynamic programming over the state (w_i, ∇w_i, …, ∇^order w_i), as a Kalman smoother in
    information form. Nothing is squared: DDᵀ, which the textbook solves with, has a condition of n^(2·order + 2). What is left grows
    as n^(order + 1), which is too much for float32: there the numbers are pairs, and v may be one.
    """
    k = order + 1
    v = v if isinstance(v, Pair) else exact(v)
    dtype = weight.dtype
    # The first k numbers are any polynomial's; in terms of the state there they are these.
    first = np.array([[(-1) ** r * math.comb(j, r) for r in range(k)] for j in range(k - 1, -1, -1)], float)
    curvature = exact(jnp.asarray(first.T @ first, dtype))
    pull = _weigh(first.T, _at(v, slice(None, k)))
    value, last = (jnp.asarray(np.eye(k)[i], dtype) for i in (0, -1))

    def ahead(state: Any, entry: Any) -> tuple[Any, Any]:
        curvature, pull = state
        v, weight, slope = entry
        column = _at(curvature, (slice(None), -1))
        gain = _inverse(weight, _at(column, -1))
        moved = curvature - _at(gain * column, (slice(None), None)) * _at(column, None)
        # In terms of the next state: ∇^r there is ∇^r here plus ∇^(r+1) there.
        moved = moved - _each(lambda x: jnp.pad(x, ((1, 0), (0, 0)))[:-1], moved)
        moved = moved - _each(lambda x: jnp.pad(x, ((0, 0), (1, 0)))[:, :-1], moved)
        lifted = pull - gain * column * (_at(pull, -1) + slope)
        lifted = lifted - _each(lambda x: jnp.pad(x, (1, 0))[:-1], lifted)
        return (moved + jnp.outer(value, value), lifted + v * value), (column, _at(pull, -1), gain)

    def back(state: Any, entry: Any) -> tuple[Any, Any]:
        column, pull, gain, slope = entry
        here = state - _each(lambda x: jnp.append(x[1:], 0), state)
        price = sum((_at(column * here, i) for i in range(k)), start=-pull)
        q = gain * (price - slope)
        out = _at(here, 0) - (q if k == 1 else 0), q, price - _at(column, -1) * q
        return here - q * last, tuple(map(_rounded, out))

    (curvature, pull), passed = jax.lax.scan(ahead, (curvature, pull), (_at(v, slice(k, None)), weight, slope))
    end = _solve(curvature, pull, k)
    start, (w, q, u) = jax.lax.scan(back, end, (*passed, slope), reverse=True)
    return jnp.concatenate([_rounded(_weigh(first[:-1], start)), w, _rounded(end)[:1]]), q, u


_each = jax.tree.map


def _at(x: Number, index: Any) -> Number:
    return _each(lambda a: a[index], x)


def _rounded(x: Number) -> Array:
    return x.rounded() if isinstance(x, Pair) else x


def _inverse(weight: Array, curvature: Number) -> Number:
    """``1/(weight + curvature)``, 0 where the weight is infinite."""
    total = curvature + jnp.where(jnp.isinf(weight), 0, weight)
    inverse = total.reciprocal() if isinstance(total, Pair) else 1 / total
    return _each(lambda x: jnp.where(jnp.isinf(weight), 0, x), inverse)


def _weigh(matrix: np.ndarray, x: Number) -> Number:
    """A small matrix of whole numbers times x."""
    columns = (_at(x, j) * jnp.asarray(matrix[:, j], jnp.float32) for j in range(1, matrix.shape[1]))
    return sum(columns, start=_at(x, 0) * jnp.asarray(matrix[:, 0], jnp.float32))


def _solve(A: Number, b: Number, k: int) -> Number:
    """Elimination without pivots: A is positive definite."""
    rows, right = [_at(A, i) for i in range(k)], [_at(b, i) for i in range(k)]
    for i in range(k):
        inverse = _inverse(jnp.zeros(()), _at(rows[i], i))
        for j in range(k):
            if j != i:
                factor = _at(rows[j], i) * inverse
                rows[j], right[j] = rows[j] - factor * rows[i], right[j] - factor * right[i]
    solved = [x * _inverse(jnp.zeros(()), _at(row, i)) for i, (x, row) in enumerate(zip(right, rows, strict=True))]
    return _each(lambda *x: jnp.stack(x), *solved)
