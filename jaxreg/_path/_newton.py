"""Proximal Newton for ``smooth(z) + penalty(coef)``, with an active-set Newton inside; every shape is static.

z is one flat vector: the coefficients, then the intercepts, which no penalty sees. Each outer step minimises the
quadratic model with the penalty kept exact, then searches the line (Lee, Sun and Saunders, Proximal Newton-type methods
for minimizing composite functions, 2014, algorithm 1). The model is minimised by short bursts of accelerated proximal
gradient steps, or of descent in one block after the other where the penalty is a sum over blocks or features, which find the support,
and Newton steps on that support, which finish: a convex piecewise quadratic needs few of them when the previous λ warm-starts it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._batch import largest_eigenvalue
from ._penalised import Penalised, Vector, block_descent

_SWEEPS = 4  # of block coordinate descent between two Newton steps
_BURST = 8  # proximal gradient steps between two Newton steps: enough to move the support, cheap beside a factorisation
_SHORTER = 5  # lengths of a Newton step that are tried
# Sizes of the gathered support: a factorisation costs the cube, a size costs compile time.
_SUPPORTS = (64, 128, 256, 384, 512, 640, 768)
_INNER = 200
_OUTER = 60


class Smooth(NamedTuple):
    """The data term as functions of z.

    ``hessian(z, far)`` mixes in a majorizer's curvature in proportion to ``far``, from 1 away from the solution to 0 at it: where a loss
    is straight, Newton's model has no minimum. The steps stay superlinear.
    """

    value: Callable[[Vector], Any]
    grad: Callable[[Vector], Vector]
    hessian: Callable[[Vector, Any], Array]
    bent: bool = False  # whether the gradient has kinks: near the solution a full step may then lead to and fro


def minimise_quadratic(H: Array, h: Vector, penalised: Penalised, z: Vector, tol: Any) -> Vector:
    """``argmin ½zᵀHz − hᵀz + penalty(z)`` from a warm start, to a stationarity residual of ``tol``."""
    diagonal = jnp.diag(H)
    scale = jnp.where(diagonal > 0, diagonal, jnp.maximum(jnp.max(diagonal), jnp.finfo(H.dtype).tiny))
    root = jnp.sqrt(scale)
    if penalised.penalty.separable:
        # The largest row sum bounds the spectral radius of the Jacobi-scaled matrix, so the steps are never too long.
        steps = 1 / (scale * jnp.maximum(jnp.max(jnp.sum(jnp.abs(H) / root / root[:, None], axis=1)), 1))
    else:
        steps = 1 / jnp.maximum(largest_eigenvalue(H), jnp.finfo(H.dtype).tiny)
    sweeps = block_descent(H, h, penalised) if penalised.block is not None and not penalised.penalty.smooth else None
    # Cholesky needs a positive definite matrix where columns are duplicated; the bias this brings is undone by iterating.
    jitter = 64 * h.size * jnp.finfo(H.dtype).eps

    def objective(z: Vector) -> Any:
        return 0.5 * z @ (H @ z) - h @ z + penalised.value(z)

    def residual(z: Vector) -> Any:
        return penalised.residual(z, H @ z - h)

    def gradient_step(y: Vector) -> Vector:
        return penalised.prox(y - steps * (H @ y - h), steps)

    def burst(z: Vector, count: Any) -> Vector:
        def accelerated(_: Any, carry: tuple[Vector, Vector, Any]) -> tuple[Vector, Vector, Any]:
            z, y, t = carry
            new = gradient_step(y)
            uphill = jnp.sum((y - new) / steps * (new - z)) > 0  # O'Donoghue and Candès 2015, eq. 12
            t = jnp.where(uphill, 1.0, t)
            t_next = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
            return new, jnp.where(uphill, new, new + (t - 1) / t_next * (new - z)), t_next

        return jax.lax.fori_loop(0, count, accelerated, (z, z, jnp.ones((), z.dtype)))[0]

    def newton(z: Vector) -> Vector:
        free = penalised.support(z)
        slope = H @ z - h + penalised.grad(z)
        curvature = penalised.hessian(z)

        def solve(size: int) -> Callable[[], Vector]:
            def on_support() -> Vector:
                # A support that fits `size` is gathered; places left over get the identity and a zero slope.
                chosen = jnp.nonzero(free, size=size, fill_value=h.size)[0]
                real = chosen < h.size
                block = H.at[chosen[:, None], chosen].get(mode="fill", fill_value=0)
                block += curvature(chosen)
                unit = root.at[chosen].get(mode="fill", fill_value=1)  # to a unit diagonal, so that no column's scale matters
                factor = jax.scipy.linalg.cho_factor(block / unit / unit[:, None] + jnp.diag(jnp.where(real, jitter, 1.0)))
                move = jax.scipy.linalg.cho_solve(factor, -slope.at[chosen].get(mode="fill", fill_value=0) / unit) / unit
                move = jnp.where(real & jnp.isfinite(move), move, 0)
                return jnp.zeros_like(z).at[chosen].add(move, mode="drop")

            return on_support

        sizes = [size for size in _SUPPORTS if size < 0.75 * h.size] + [h.size]
        if len(sizes) == 1 or penalised.penalty.smooth:
            return solve(h.size)()
        fitting = jnp.searchsorted(jnp.array(sizes), jnp.sum(free))
        return jax.lax.switch(fitting, [solve(size) for size in sizes])

    def improve(z: Vector, stalled: Any) -> Vector:
        if penalised.penalty.smooth:
            return z + newton(z)
        # Where the support is hard to find, longer bursts are what finds it.
        start = burst(z, _BURST << stalled) if sweeps is None else sweeps(z, _SWEEPS << stalled)
        move = newton(start)
        on_the_way = [start + 0.25**k * move for k in range(_SHORTER)]
        if not penalised.penalty.separable:
            # Of groups the next sweep does what a gradient step would, block by block.
            careful = [gradient_step(on_the_way[0])] if sweeps is None else []
            return choose(jnp.stack([start, *on_the_way, *careful]))
        # Where the Newton step crosses zero the sign it assumed is wrong: stop at the first crossing, on the kink, or at all of them.
        full, coefficients = on_the_way[0], jnp.arange(len(z)) < penalised.size
        crossed = coefficients & (start * full < 0)
        crossing = jnp.where(crossed, jnp.abs(start) / jnp.where(move == 0, 1, jnp.abs(move)), jnp.inf)
        first = jnp.min(crossing)
        blocked = jnp.where(crossing == first, 0.0, start + jnp.minimum(first, 1) * move)
        clipped = [jnp.where(coefficients & (start * to < 0), 0.0, to) for to in on_the_way]
        return choose(jnp.stack([start, full, gradient_step(full), blocked, *clipped]))

    def choose(candidates: Array) -> Vector:
        values = jax.vmap(objective)(candidates)
        residuals = jax.vmap(residual)(candidates)
        values = jnp.where(jnp.isnan(values), jnp.inf, values)
        residuals = jnp.where(jnp.isnan(residuals), jnp.inf, residuals)
        # Near the solution the objective no longer tells candidates apart, the residual still does.
        settled = jnp.min(residuals) <= 0.1 * residuals[0]
        return candidates[jnp.where(settled, jnp.argmin(residuals), jnp.argmin(values))]

    def unfinished(carry: tuple[Vector, Vector, Any, Any, Any, Any]) -> Any:
        _, _, best, _, stalled, count = carry
        return (best > tol) & (stalled < 6) & (count < _INNER)

    def body(carry: tuple[Vector, Vector, Any, Any, Any, Any]) -> tuple[Vector, Vector, Any, Any, Any, Any]:
        z, champion, best, lowest, stalled, count = carry
        z = improve(z, stalled)
        reached, value = residual(z), objective(z)
        better = reached < best
        # Progress is a smaller residual or, far from the solution, a lower objective; without either, rounding rules.
        progress = (reached < 0.7 * best) | (value < lowest - 64 * jnp.finfo(z.dtype).eps * jnp.abs(lowest))
        stalled = jnp.where(progress, 0, stalled + 1)
        best = jnp.where(better, reached, best)
        return z, jnp.where(better, z, champion), best, jnp.minimum(value, lowest), stalled, count + 1

    start = (z, z, residual(z), objective(z), jnp.zeros((), int), jnp.zeros((), int))
    return jax.lax.while_loop(unfinished, body, start)[1]


def minimise(smooth: Smooth, penalised: Penalised, z: Vector, unit: Any, tol: Any, *, quadratic: bool) -> tuple[Vector, Any, Any]:
    """Minimise ``smooth + penalty`` from z until the stationarity residual is ``tol`` or cannot be lowered.

    ``unit`` is the size of a residual that is far from 0. Returns (z, residual, outer steps). The residual is that of the best point met,
    and that point is returned.
    """
    eps = jnp.finfo(z.dtype).eps

    def total(z: Vector) -> Any:
        return smooth.value(z) + penalised.value(z)

    def at(z: Vector) -> Any:
        return penalised.residual(z, smooth.grad(z))

    def unfinished(carry: tuple[Vector, Vector, Any, Any, Any, Any]) -> Any:
        _, _, best, _, stalled, count = carry
        return (best > tol) & (stalled < 3) & (count < _OUTER) & jnp.isfinite(best)

    def body(carry: tuple[Vector, Vector, Any, Any, Any, Any]) -> tuple[Vector, Vector, Any, Any, Any, Any]:
        z, champion, best, lowest, stalled, count = carry
        H, slope = smooth.hessian(z, jnp.minimum(best / unit, 1)), smooth.grad(z)
        # A quadratic model is the truth for squared error; elsewhere it need not be solved better than it is true.
        inner_tol = 0.5 * tol if quadratic else jnp.maximum(0.5 * tol, 1e-3 * best)
        target = minimise_quadratic(H, H @ z - slope, penalised, z, inner_tol)
        z = target if quadratic else line_search(z, slope, target)
        reached = at(z)
        better = reached < best
        value = lowest if quadratic else total(z)
        progress = (reached < 0.7 * best) | (value < lowest - 64 * eps * jnp.abs(lowest))
        stalled = jnp.where(progress, 0, stalled + 1)
        best = jnp.where(better, reached, best)
        return z, jnp.where(better, z, champion), best, jnp.minimum(value, lowest), stalled, count + 1

    def line_search(z: Vector, slope: Vector, target: Vector) -> Vector:
        value = total(z)
        # Sufficient decrease against the model's promise (Lee et al., eq. 2.17), with room for rounding in the values.
        promise = slope @ (target - z) + penalised.value(target) - penalised.value(z)
        room = 16 * eps * jnp.abs(value)

        def too_long(t: Any) -> Any:
            return ~(total(z + t * (target - z)) <= value + 1e-4 * t * promise + room) & (t > 1e-8)

        t = jax.lax.while_loop(too_long, lambda t: t / 2, jnp.ones((), z.dtype))
        if smooth.bent:
            # Where the values no longer tell steps apart, the residuals do.
            steps = t * jnp.exp2(-jnp.arange(8, dtype=t.dtype))
            reached = jax.lax.map(lambda t: at(z + t * (target - z)), steps)
            t = jnp.where(1e-4 * jnp.abs(promise) <= room, steps[jnp.argmin(reached)], t)
        return jnp.where(t == 1, target, z + t * (target - z))  # at t = 1 the target's exact zeros survive

    start = at(z)
    lowest = jnp.zeros((), z.dtype) if quadratic else total(z)
    first = (z, z, start, lowest, jnp.zeros((), int), jnp.zeros((), int))
    _, z, reached, _, _, steps = jax.lax.while_loop(unfinished, body, first)
    return z, reached, steps
