"""Projections onto the simplex and the ℓ1 ball, which several norms and sets are made of."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float


def onto_simplex(v: Float[Array, " n"], radius: Any = 1.0) -> Float[Array, " n"]:
    """The nearest ``z >= 0`` with ``Σz = radius``, by one sort; entries of −inf stay at 0.

    Held, Wolfe and Crowder, Validation of subgradient optimization, 1974, §2; Duchi et al. 2008, fig. 1.
    """
    if v.size == 0:
        return v
    top = jnp.max(v)
    ordered = jnp.flip(jnp.sort(v - top))  # relative to the largest, so that nothing cancels
    sums = jnp.cumsum(jnp.where(jnp.isneginf(ordered), 0, ordered))
    rank = jnp.arange(1, v.size + 1, dtype=v.dtype)
    kept = jnp.maximum(jnp.sum((ordered * rank > sums - radius) & ~jnp.isneginf(ordered)), 1)
    threshold = (sums[kept - 1] - radius) / kept.astype(v.dtype)
    return jnp.maximum(v - top - threshold, 0)


def onto_l1_ball(v: Float[Array, " n"], radius: Any = 1.0) -> Float[Array, " n"]:
    """The nearest z with ``Σ|z| <= radius``."""
    size = jnp.abs(v)
    return jnp.where(jnp.sum(size) <= radius, v, jnp.sign(v) * onto_simplex(size, radius))
