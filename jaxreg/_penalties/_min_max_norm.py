"""Annuli: vectors whose length lies between two bounds."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._base import Strength, static
from ._interval import check_order
from ._l2_norm import direction, length
from ._sphere import project as onto_sphere
from ._vector import VectorSet, rounding


def project(w: Float[Array, " n"], lower, upper) -> Float[Array, " n"]:
    size = length(w)
    moved = jnp.where((size > upper) | (upper == 0), upper * direction(w), w)
    return jnp.where(size < lower, onto_sphere(w, lower), moved)


def violation(w: Float[Array, " n"], lower, upper) -> tuple[Scalar, Scalar]:
    size = length(w)
    return jnp.maximum(size - upper, lower - size), upper


def tangent(w: Float[Array, " n"], d: Float[Array, " n"], lower, upper) -> Float[Array, " n"]:
    """Without its radial part where that leads out: outwards from the upper bound, inwards from the lower."""
    outward, slack = direction(w), rounding(w) * upper
    rise = jnp.sum(outward * d)
    blocked = jnp.where(length(w) >= upper - slack, jnp.maximum(rise, 0), 0) + jnp.where(
        length(w) <= lower + slack, jnp.minimum(rise, 0), 0
    )
    return jnp.where(upper > 0, d - blocked * outward, 0)


class MinMaxNorm(VectorSet):
    """Norm constraint from both sides: the weights into each unit satisfy ``lower <= ‖w_slice‖₂ <= upper``; λ has no effect. Not convex.

    Prox: the direction kept, the length clipped; a zero vector, from which all directions are alike, gets ``lower/√n`` in each entry.
    Gradient 0. No conjugate is given: it is that of the ball. ``MaxNorm`` is the case of lower = 0, ``UnitNorm`` that of both 1.

    Args:
      lower, upper: numbers, 0 <= lower <= upper.
      axis: 0 for kernels (inputs, outputs), ``(0, 1, 2)`` for convolutions (height, width, inputs, outputs); None for one vector.

    Raises:
      ValueError: a bound is negative or not finite, or ``lower`` exceeds ``upper``; a leaf lacks the axis.

    References:
      Chollet and others, Keras, 2015, constraints.MinMaxNorm at rate 1; Rockafellar and Wets, Variational analysis, 1998, ex. 6.8 (the
      normal cone).

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.MinMaxNorm(0.5, 1.0).prox(jnp.array([[3.0, 0.0], [4.0, 0.1]])).round(4).tolist()
    [[0.60..., 0.0], [0.80..., 0.5]]
    """

    lower: Strength = 0.0
    upper: Strength = 1.0
    axis: Any = static(default=0)
    condition = "{lower} ≤ ‖{w}‖₂ ≤ {upper}"
    about = About(
        equation="lower ≤ ‖w_slice‖₂ ≤ upper",
        domain="0 ≤ lower ≤ upper",
        cost="O(n)",
        also="Keras",
        source="Keras, constraints.MinMaxNorm",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_order(self)
