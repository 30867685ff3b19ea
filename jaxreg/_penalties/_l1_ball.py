"""The ℓ1 ball: absolute weights that sum to no more than a radius."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._base import Strength, static
from ._simplex import level, onto_l1_ball
from ._vector import VectorSet


def violation(w: Float[Array, " n"], radius) -> tuple[Scalar, Scalar]:
    return jnp.sum(jnp.abs(w)) - radius, radius


def tangent(w: Float[Array, " n"], d: Float[Array, " n"], radius) -> Float[Array, " n"]:
    """``Σ_{w≠0} sign(w)·d + Σ_{w=0} |d| <= 0``."""
    del radius
    nonzero = w != 0
    outward = jnp.where(nonzero, jnp.sign(w) * d, jnp.abs(d))
    excess = jnp.maximum(level(outward, nonzero), 0)
    return jnp.where(nonzero, d - excess * jnp.sign(w), jnp.sign(d) * jnp.maximum(outward - excess, 0))


def conjugate(u: Float[Array, " n"], radius) -> Scalar:
    return radius * jnp.max(jnp.abs(u), initial=0)


class L1Ball(VectorSet):
    """The constraint ``Σ|w| <= radius``, for each slice where ``axis`` is given; λ has no effect. The lasso in its first form.

    Prox soft thresholding at the level that leaves ``Σ|w| = radius``, gradient 0, conjugate ``radius·max|u|``; convex, smooth
    inside.

    Args:
      radius: >= 0, one number.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``radius`` is negative or not finite; a leaf lacks the axis.

    References:
      Duchi et al., Efficient projections onto the l1-ball, 2008, §4; Tibshirani, Regression shrinkage and selection via the lasso,
      1996, eq. 1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.L1Ball(2.0).prox(jnp.array([3.0, -2.0, 0.1])).tolist()
    [1.5, -0.5, 0.0]
    """

    radius: Strength = 1.0
    axis: Any = static(default=None)
    convex, condition = True, "Σ|{w}| ≤ {radius}"
    about = About(
        equation="Σ|w| ≤ radius",
        domain="radius ≥ 0",
        cost="O(n), some passes",
        also="optax, jaxopt, ProximalOperators.jl, PyProximal",
        source="Duchi et al. 2008, §4",
    )

    project, violation, tangent = staticmethod(onto_l1_ball), staticmethod(violation), staticmethod(tangent)
    vector_conjugate = staticmethod(conjugate)
