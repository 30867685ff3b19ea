"""The simplex, and the projections onto it and onto the ℓ1 ball that several norms and sets are made of."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Scalar

from ._about import About
from ._base import Strength, static
from ._vector import VectorSet


def above(e: Float[Array, " n"], start: Bool[Array, " n"], a: Any, b: Any, c: Any) -> tuple[Bool[Array, " n"], Scalar]:
    """The entries above the level ``(a·Σe − b)/(c + a·#e)`` that they themselves set, and the level: entries drop out of ``start`` until
    none is below.

    Newton's method from the left on a convex, piecewise linear function (Condat, Fast projection onto the simplex, 2016, §2):
    a handful of passes over e, where a sort costs a hundred. The entries have no derivative, the level has.
    """

    def level(kept: Array, e: Array, a: Any, b: Any, c: Any) -> Array:
        count = jnp.sum(kept).astype(e.dtype)
        return (a * jnp.sum(jnp.where(kept, e, 0)) - b) / jnp.where(count > 0, c + a * count, 1)

    fixed = jax.lax.stop_gradient((e, a, b, c))

    def drop(state: tuple[Array, Array]) -> tuple[Array, Array]:
        kept, _ = state
        left = kept & (fixed[0] > level(kept, *fixed))
        return left, jnp.any(left != kept)

    kept = jax.lax.while_loop(lambda state: state[1], drop, (start, jnp.any(start)))[0]
    return kept, level(kept, e, a, b, c)


def onto_simplex(v: Float[Array, " n"], radius: Any = 1.0) -> Float[Array, " n"]:
    """The nearest ``z >= 0`` with ``Σz = radius``: entries of −inf are taken to 0, and beside one of +inf all others.

    Held, Wolfe and Crowder, Validation of subgradient optimization, 1974, §2.
    """
    if v.size == 0:
        return v
    v = jnp.where(radius > 0, v, jax.lax.stop_gradient(v))  # on a single point nothing depends on v
    # Relative to the largest, which is kept, so that nothing cancels; a shift of all has no derivative.
    top = jax.lax.stop_gradient(jnp.max(v))
    shifted = jnp.where(jnp.isinf(top) & (v == top), 0, v - top)
    kept, _ = above(shifted, shifted > -radius, 1.0, radius, 0.0)
    kept = kept | (shifted == 0)
    level = (jnp.sum(jnp.where(kept, shifted, 0)) - radius) / jnp.maximum(jnp.sum(kept), 1).astype(v.dtype)
    return jnp.where(shifted <= level, 0, shifted - level)  # at the knot the derivative of 0, where a maximum's would be half


def onto_l1_ball(v: Float[Array, " n"], radius: Any = 1.0) -> Float[Array, " n"]:
    """The nearest z with ``Σ|z| <= radius``."""
    size = jnp.abs(v)
    return jnp.where((jnp.sum(size) <= radius) & (radius > 0), v, jnp.sign(v) * onto_simplex(size, radius))


def level(e: Float[Array, " n"], kept: Bool[Array, " n"]) -> Scalar:
    """The τ at which ``Σ_kept (e − τ) + Σ_rest (e − τ)₊ = 0``: of the levels that the k largest of the rest would give, the highest.

    For any k the equation without ₊ lies below the whole one, and for the right k it is the whole one.
    """
    rest = jnp.flip(jnp.sort(jnp.where(kept, -jnp.inf, e)))
    none = jnp.zeros(1, e.dtype)
    sums = jnp.sum(jnp.where(kept, e, 0)) + jnp.concatenate([none, jnp.cumsum(jnp.where(jnp.isneginf(rest), 0, rest))])
    count = jnp.sum(kept) + jnp.arange(e.size + 1)
    possible = (count > 0) & (count <= e.size)
    return jnp.max(jnp.where(possible, sums / jnp.where(possible, count, 1), -jnp.inf))


def violation(w: Float[Array, " n"], radius) -> tuple[Scalar, Scalar]:
    below = jnp.max(-w, initial=0)
    return jnp.maximum(jnp.abs(jnp.sum(w) - radius), below), jnp.sum(jnp.abs(w)) + radius


def tangent(w: Float[Array, " n"], d: Float[Array, " n"], radius) -> Float[Array, " n"]:
    """``Σd = 0``, and ``d >= 0`` where w is 0."""
    del radius
    positive = w > 0
    moved = d - level(d, positive)
    return jnp.where(positive, moved, jnp.maximum(moved, 0))


def conjugate(u: Float[Array, " n"], radius) -> Scalar:
    return radius * jnp.max(u, initial=-jnp.inf)


class Simplex(VectorSet):
    """The constraints ``w >= 0`` and ``Σw = radius``, for each slice where ``axis`` is given; λ has no effect.

    Prox ``max(w − τ, 0)`` at the level τ that makes the sum right, gradient 0, conjugate ``radius·max u``. Convex, smooth
    nowhere: it has no interior.

    Args:
      radius: the sum, >= 0, one number; 1 for probabilities and portfolios.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``radius`` is negative or not finite; a leaf lacks the axis.

    References:
      Held, Wolfe and Crowder, Validation of subgradient optimization, 1974, §2; Duchi et al., Efficient projections onto the l1-ball,
      2008, fig. 1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Simplex().prox(jnp.array([1.5, 1.0, -2.0])).tolist()
    [0.75, 0.25, 0.0]
    """

    radius: Strength = 1.0
    axis: Any = static(default=None)
    convex, condition = True, "{w} ≥ 0, Σ{w} = {radius}"
    about = About(
        equation="w ≥ 0, Σw = radius",
        domain="radius ≥ 0",
        cost="O(n), some passes",
        also="optax, jaxopt, ProximalOperators.jl, PyProximal",
        source="Held, Wolfe and Crowder 1974, §2",
    )

    project, violation, tangent = staticmethod(onto_simplex), staticmethod(violation), staticmethod(tangent)
    vector_conjugate = staticmethod(conjugate)
