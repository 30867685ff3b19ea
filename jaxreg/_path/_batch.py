"""Quadratics with a separable convex penalty, for all λ at once: matrix products in place of loops over coordinates.

    min_u ½uᵀGu − qᵀu + λ·Σⱼ(aⱼ|uⱼ| + ½bⱼuⱼ²)   with   lowⱼ <= uⱼ <= upⱼ,

a column of U for each λ, so that every step is one product G·U. Accelerated proximal gradient steps, restarted column by column
(O'Donoghue and Candès, Adaptive restart for accelerated gradient schemes, 2015), find the active sets; conjugate gradients on them, again
for all columns together, finish: with the right set the answer is the solution of a linear system (semismooth Newton: Li, Sun and Toh, A
highly efficient semismooth Newton augmented Lagrangian method for solving lasso problems, 2018, §3).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_BURST = 6  # gradient steps between two solves: enough to move the active set
_CONJUGATE = 40  # steps of a solve at most
_ROUNDS = 60
_STALLED = 6  # rounds without progress that end it: rounding rules


class Quadratic(NamedTuple):
    """G has a unit diagonal, but for columns that say nothing, whose row and q are 0."""

    G: Float[Array, "p p"]
    q: Float[Array, "p"]
    a: Float[Array, "p"]
    b: Float[Array, "p"]
    low: Float[Array, "p"]  # −inf where there is none
    up: Float[Array, "p"]


def largest_eigenvalue(G: Float[Array, "p p"]) -> Float[Array, ""]:
    """About a tenth above it, by power iteration: a step twice as long would still descend."""

    def step(_: Any, x: Array) -> Array:
        y = G @ (G @ x)
        return y / jnp.maximum(jnp.linalg.norm(y), jnp.finfo(y.dtype).tiny)

    p = G.shape[0]
    start = jnp.cos(jnp.arange(p, dtype=G.dtype)) + 1.5
    x = jax.lax.fori_loop(0, 12, step, start / jnp.linalg.norm(start))
    found = jnp.linalg.norm(G @ x)
    rows = jnp.max(jnp.sum(jnp.abs(G), axis=1))
    return jnp.minimum(1.1 * found, rows)


def solve(problem: Quadratic, lams: Float[Array, "L"], start: Float[Array, "p L"], tol: Float[Array, ""]) -> Float[Array, "p L"]:
    """The minimisers to a stationarity residual of ``tol`` (Euclidean, column by column), or as near as rounding lets it."""
    G, q, a, b, low, up = problem
    soft, bend = a[:, None] * lams, b[:, None] * lams
    low, up, q = low[:, None], up[:, None], q[:, None]
    # G + diag(bend) is below diag(top + bend): each number has a step of its own.
    steps = 1 / (largest_eigenvalue(G) + bend)

    def prox(V: Array) -> Array:
        cut = soft * steps
        return jnp.clip(jnp.sign(V) * jnp.maximum(jnp.abs(V) - cut, 0), low, up)

    def value(U: Array, GU: Array) -> Array:
        return jnp.sum(U * (0.5 * GU - q + 0.5 * bend * U) + soft * jnp.abs(U), axis=0)

    def residual(U: Array, GU: Array) -> Array:
        slope = GU - q + bend * U
        down, rise = jnp.where(U > 0, soft, -soft), jnp.where(U < 0, -soft, soft)
        # A bound that is met takes any slope that pushes against it.
        least = slope + jnp.where(low >= U, -jnp.inf, down)
        most = slope + jnp.where(up <= U, jnp.inf, rise)
        return jnp.sqrt(jnp.sum(jnp.maximum(jnp.maximum(least, -most), 0) ** 2, axis=0))

    def burst(U: Array) -> Array:
        def step(_: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            U, Y, t = carry
            new = prox(Y - steps * (G @ Y - q + bend * Y))
            uphill = jnp.sum((Y - new) / steps * (new - U), axis=0) > 0
            t = jnp.where(uphill, 1.0, t)
            following = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
            return new, jnp.where(uphill, new, new + (t - 1) / following * (new - U)), following

        return jax.lax.fori_loop(0, _BURST, step, (U, U, jnp.ones_like(lams)))[0]

    def newton(U: Array, GU: Array, reached: Array) -> Array:
        """U and the solution of the linear system on its active set, cut where a sign would change."""
        free: Bool[Array, "p L"] = ((U != 0) | (soft == 0)) & (low < U) & (up > U) & (jnp.diagonal(G)[:, None] + bend > 0)
        right = jnp.where(free, q - GU - bend * U - soft * jnp.sign(U), 0)
        inverse = 1 / (1 + bend)

        def product(D: Array) -> Array:
            return jnp.where(free, G @ D + bend * D, 0)

        # No more digits than the active set deserves: superlinear, as in any truncated Newton method.
        goal = jnp.sum(right**2, axis=0) * jnp.clip(reached / scale, jnp.finfo(G.dtype).eps, 0.1) ** 2

        def step(carry: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
            D, R, P, rho, count = carry
            H = product(P)
            bent = jnp.sum(P * H, axis=0)
            length = jnp.where(bent > 0, rho / jnp.where(bent > 0, bent, 1), 0)
            D, R = D + length * P, R - length * H
            Z = inverse * R
            new = jnp.sum(R * Z, axis=0)
            return D, R, Z + jnp.where(rho > 0, new / jnp.where(rho > 0, rho, 1), 0) * P, new, count + 1

        def unfinished(carry: tuple[Array, Array, Array, Array, Array]) -> Array:
            return jnp.any(jnp.sum(carry[1] ** 2, axis=0) > goal) & (carry[4] < _CONJUGATE)

        Z = inverse * right
        first = (jnp.zeros_like(U), right, Z, jnp.sum(right * Z, axis=0), jnp.zeros((), int))
        moved = U + jax.lax.while_loop(unfinished, step, first)[0]
        crossed = (moved * U < 0) & (soft > 0)
        return jnp.clip(jnp.where(crossed, 0, moved), low, up)

    scale = jnp.maximum(jnp.linalg.norm(q), jnp.finfo(q.dtype).tiny)
    eps = jnp.finfo(q.dtype).eps

    def body(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        U, best, stalled, count = carry
        near = burst(U)
        G_near = G @ near
        far = newton(near, G_near, residual(near, G_near))
        G_far = G @ far
        at_near, at_far = residual(near, G_near), residual(far, G_far)
        below = value(far, G_far) <= value(near, G_near)
        take = jnp.where(at_far <= 0.1 * at_near, True, jnp.where(at_near <= 0.1 * at_far, False, below))
        new, reached = jnp.where(take, far, near), jnp.where(take, at_far, at_near)
        better = reached < best
        U = jnp.where(better | (best > jnp.sqrt(eps) * scale), new, U)
        stalled = jnp.where(reached < 0.7 * best, 0, stalled + 1)
        return U, jnp.where(best > jnp.sqrt(eps) * scale, reached, jnp.minimum(reached, best)), stalled, count + 1

    def unfinished(carry: tuple[Array, Array, Array, Array]) -> Array:
        _, best, stalled, count = carry
        return jnp.any((best > tol) & (stalled < _STALLED)) & (count < _ROUNDS)

    begin = (start, residual(start, G @ start), jnp.zeros(lams.size, int), jnp.zeros((), int))
    return jax.lax.while_loop(unfinished, body, begin)[0]


@functools.partial(jax.jit, static_argnames="coarse")
def all_lams(problem: Quadratic, lams: Float[Array, "L"], tol: Float[Array, ""], coarse: int = 8) -> Float[Array, "p L"]:
    """From a few λ to all of them: what lies between two solutions starts on the line between them."""
    count = lams.size
    if count < 3 * coarse:
        return solve(problem, lams, jnp.zeros((problem.q.size, count), lams.dtype), tol)
    chosen = jnp.unique(jnp.append(jnp.arange(0, count, coarse), count - 1), size=-(-(count - 1) // coarse) + 1)
    rough = solve(
        problem, lams[chosen], jnp.zeros((problem.q.size, chosen.size), lams.dtype), jnp.maximum(tol, 1e-4 * jnp.linalg.norm(problem.q))
    )
    at = jnp.arange(count)
    left = jnp.clip(jnp.searchsorted(chosen, at, side="right") - 1, 0, chosen.size - 2)
    share = (at - chosen[left]) / (chosen[left + 1] - chosen[left])
    return solve(problem, lams, rough[:, left] * (1 - share) + rough[:, left + 1] * share, tol)
