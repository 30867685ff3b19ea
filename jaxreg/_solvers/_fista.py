"""FISTA: accelerated proximal gradient with backtracking and adaptive restart.

Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm, 2009, §4 with backtracking; restart by the gradient
scheme of O'Donoghue and Candès, Adaptive restart for accelerated gradient schemes, 2015, eq. 12. It takes any penalty that
has a prox.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ._contract import Info, Problem, along, dot, optimality

PyTree = Any


class State(NamedTuple):
    """What the next step needs."""

    params: PyTree
    ahead: PyTree  # the extrapolated point that the gradient is taken at
    t: Any  # the momentum's counter
    step: Any  # never grows: the Lipschitz constant of what was met so far


def init(problem: Problem, params: PyTree) -> State:
    """Start with the step that the curvature along the first gradient suggests; backtracking mends it."""
    slope = jax.grad(problem.smooth)(params)
    length = jnp.sqrt(dot(slope, slope))
    tiny = jnp.finfo(length.dtype).tiny
    probe = jnp.sqrt(jnp.finfo(length.dtype).eps) / jnp.maximum(length, tiny)
    bent = jax.grad(problem.smooth)(along(params, slope, probe))
    change = jax.tree.map(jnp.subtract, bent, slope)
    curvature = jnp.sqrt(dot(change, change)) / jnp.maximum(probe * length, tiny)
    # The curvature along one direction is at most the Lipschitz constant, so 1/curvature may be too long already: a
    # generous start, since backtracking only shortens it. Where no curvature is met it starts at 1.
    step = jnp.where((curvature > 0) & jnp.isfinite(curvature), 2 / jnp.where(curvature > 0, curvature, 1), 1.0)
    return State(params, params, jnp.ones_like(length), jnp.minimum(step, 1e6))


def step(problem: Problem, state: State) -> tuple[State, Info]:
    """One proximal gradient step from the extrapolated point."""
    value, slope = jax.value_and_grad(problem.smooth)(state.ahead)
    # Close to the solution the test compares rounding errors; without room it would shrink the step to nothing.
    room = 8 * jnp.finfo(value.dtype).eps * jnp.abs(value)

    def move(size: Any) -> PyTree:
        return problem.penalty.prox(along(state.ahead, slope, -size), size)

    def too_long(size: Any) -> Any:
        new = move(size)
        gone = jax.tree.map(jnp.subtract, new, state.ahead)
        model = value + dot(slope, gone) + dot(gone, gone) / (2 * size)
        return ~(problem.smooth(new) <= model + room) & (size > 1e-30)

    size = jax.lax.while_loop(too_long, lambda s: s / 2, state.step)
    new = move(size)
    gone = jax.tree.map(jnp.subtract, new, state.params)
    uphill = dot(jax.tree.map(jnp.subtract, state.ahead, new), gone) > 0
    t = jnp.where(uphill, 1.0, state.t)
    t_next = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
    ahead = along(new, gone, jnp.where(uphill, 0.0, (t - 1) / t_next))
    at_new, slope_new = jax.value_and_grad(problem.smooth)(new)
    info = Info(at_new + problem.penalty(new), optimality(problem, new, slope_new, size))
    return State(new, ahead, t_next, size), info
