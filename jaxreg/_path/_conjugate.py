"""Smooth losses of a sparse X under squares alone: Newton steps by conjugate gradients, many λ at once.

No coefficient is zero, so that there is no working set; nothing of the size of a Hessian is made (Dembo, Eisenstat and Steihaug, Inexact
Newton methods, 1982). A step of all λ of a chunk costs one product with X and one with Xᵀ, of as many vectors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..losses import Loss, SquaredError
from ._columns import SparseRows
from ._follow import part_of
from ._together import CHUNK, Aim, goals, step_lengths

_NEWTON, _CONJUGATE = 60, 2000  # steps at most
_STALLED = 3  # steps without progress that end it: rounding rules


def follow(
    loss: Loss,
    columns: Any,
    lams: np.ndarray,
    aim: Aim,
    told: Callable[[int, np.ndarray], bool],
    near: np.ndarray | None,
    origin: np.ndarray,
) -> np.ndarray:
    """The coefficients at every λ (decreasing) as ``_together.follow`` gives them; ``columns`` are a ``_proximal_newton.Columns``."""
    coef = np.zeros((len(lams), origin.size), lams.dtype)
    last = origin[None]
    for begin in range(0, len(lams), CHUNK):
        done = min(begin + CHUNK, len(lams))
        start = np.repeat(last, CHUNK, axis=0) if near is None else part_of(near, begin, CHUNK)
        part = jnp.asarray(part_of(lams, begin, CHUNK))
        coef[begin:done] = np.asarray(_minimised(loss, columns, part, jnp.asarray(start), aim))[: done - begin]
        last = coef[done - 1 : done]
        if told(done, coef[begin:done]):
            return coef[:done]
    return coef


@functools.partial(jax.jit, static_argnames=("loss",))
def _minimised(loss: Loss, columns: Any, lams: Float[Array, "k"], start: Float[Array, "k size"], aim: Aim) -> Array:
    rows: SparseRows = columns.rows
    y, v, bend = columns.y, columns.weights, lams[:, None] * columns.b
    goal = goals(aim, lams)

    def gradient(U: Array, eta: Array) -> Array:
        return rows.products(jax.vmap(lambda eta: loss.grad(eta, y, v))(eta)) + bend * U

    def value(U: Array, eta: Array) -> Array:
        return jax.vmap(lambda eta: loss(eta, y, v))(eta) + jnp.sum(bend * U**2, axis=1) / 2

    def newton(g: Array, eta: Array, wanted: Array) -> tuple[Array, Array]:
        """(step, its change of η), to a residual of ``wanted`` or as near as rounding lets it."""
        c = jax.vmap(lambda eta: loss.curvature(eta, y, v))(eta)
        diagonal = rows.squares(c) + bend
        inverse = 1 / jnp.where(diagonal > 0, diagonal, 1)

        def step(carry: tuple[Array, ...]) -> tuple[Array, ...]:
            D, E, R, P, rho, going, count = carry
            PX = rows.combined(P)
            H = rows.products(c * PX) + bend * P
            bent = jnp.sum(P * H, axis=1)
            going = going & (bent > 0)
            length = jnp.where(going, rho / jnp.where(bent > 0, bent, 1), 0)[:, None]
            D, E, R = D + length * P, E + length * PX, R - length * H
            following = jnp.where(going, jnp.sum(R * inverse * R, axis=1), rho)
            P = inverse * R + (following / jnp.where(rho > 0, rho, 1))[:, None] * P
            return D, E, R, P, following, going & (jnp.linalg.norm(R, axis=1) > wanted), count + 1

        def unfinished(carry: tuple[Array, ...]) -> Array:
            return jnp.any(carry[5]) & (carry[6] < _CONJUGATE)

        going, none = jnp.linalg.norm(g, axis=1) > wanted, jnp.zeros((), int)
        first = (jnp.zeros_like(g), jnp.zeros_like(eta), -g, -inverse * g, jnp.sum(g * inverse * g, axis=1), going, none)
        D, E, *_ = jax.lax.while_loop(unfinished, step, first)
        return D, E

    def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        U, eta, g, champion, best, stalled, count = carry
        reached = jnp.linalg.norm(g, axis=1)
        # Quadratic models that are no truth need not be solved better than they are true; nothing more where it is good enough.
        share = 0.0 if isinstance(loss, SquaredError) else jnp.minimum(0.1, jnp.sqrt(reached / aim.unit))
        wanted = jnp.where(best <= goal, jnp.inf, jnp.maximum(0.3 * goal, share * reached))
        D, E = newton(g, eta, wanted)
        U = U + step_lengths(lambda t: value(U + t * D, eta + t * E), value(U, eta), jnp.sum(g * D, axis=1))[0] * D
        eta = rows.combined(U) + columns.offset  # not added up: rounding would be, too
        g = gradient(U, eta)
        now = jnp.linalg.norm(g, axis=1)
        champion = jnp.where((now < best)[:, None], U, champion)
        stalled = jnp.where(now < 0.7 * best, 0, stalled + 1)
        return U, eta, g, champion, jnp.minimum(now, best), stalled, count + 1

    def unfinished(carry: tuple[Array, ...]) -> Array:
        return jnp.any((carry[4] > goal) & (carry[5] < _STALLED)) & (carry[6] < _NEWTON)

    eta = rows.combined(start) + columns.offset
    g = gradient(start, eta)
    none = jnp.zeros((), int)
    carry = (start, eta, g, start, jnp.linalg.norm(g, axis=1), jnp.zeros(lams.shape, int), none)
    return jax.lax.while_loop(unfinished, body, carry)[3]
