"""Hyperslabs: one linear function of all parameters, between two bounds."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._base import static
from ._half_space import Linear, excess, normalised, onto_half_space, onto_hyperplane, size, support_function
from ._interval import check_order
from ._vector import rounding


def project(w: Float[Array, " n"], normal, lower, upper) -> Float[Array, " n"]:
    """To the nearer of two half-spaces; a point is outside of one at most."""
    above = onto_half_space(w, normal, upper)
    # Where both bounds are one there is no inside that would leave w as it is, also in its derivative.
    below = (excess(w, normal, lower) < 0) | (lower == upper)
    return jnp.where(below, onto_hyperplane(w, normal, lower), above)


def violation(w: Float[Array, " n"], normal, lower, upper) -> tuple[Scalar, Scalar]:
    outside = jnp.maximum(excess(w, normal, upper), -excess(w, normal, lower))
    return outside, jnp.maximum(size(w, normal, lower), size(w, normal, upper))


def tangent(w: Float[Array, " n"], d: Float[Array, " n"], normal, lower, upper) -> Float[Array, " n"]:
    """A half-space at either bound, a hyperplane at both."""
    slack = rounding(w) * violation(w, normal, lower, upper)[1]
    at_lower, at_upper = excess(w, normal, lower) <= slack, excess(w, normal, upper) >= -slack
    zero = jnp.zeros_like(lower)
    moved = jnp.where(at_upper, onto_half_space(d, normal, zero), d)
    return jnp.where(at_lower, -onto_half_space(-moved, normal, zero), moved)


class Hyperslab(Linear):
    """The constraints ``lower <= ⟨normal, w⟩ <= upper``, for each slice where ``axis`` is given; λ has no effect.

    Prox: where a bound does not hold, the nearest point of its hyperplane. Gradient 0, conjugate the larger of ``t·lower`` and ``t·upper``
    at ``t·normal`` and +inf elsewhere (to rounding). Convex, smooth inside. With one bound it is a :class:`HalfSpace`, with both
    equal a :class:`Hyperplane`.

    Args:
      normal: a vector, not zero, in the order in which the parameters flatten (``jax.flatten_util.ravel_pytree``).
      lower, upper: numbers, lower <= upper.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``normal`` is missing, zero, not finite or does not fit the parameters; a bound is not finite (for one bound use
        ``HalfSpace``), or ``lower`` exceeds ``upper``; a leaf lacks the axis.

    References:
      Bauschke and Combettes, Convex analysis and monotone operator theory in Hilbert spaces, 2017, ex. 29.21.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Hyperslab([1.0, 1.0], -1.0, 2.0).prox(jnp.array([3.0, 1.0])).round(4).tolist()
    [2.0, 0.0]
    """

    normal: Any = None
    lower: Any = -1.0
    upper: Any = 1.0
    axis: Any = static(default=None)
    condition = "{lower} ≤ ⟨normal, {w}⟩ ≤ {upper}"
    about = About(
        equation="lower ≤ ⟨normal, w⟩ ≤ upper",
        domain="normal ≠ 0, lower ≤ upper",
        cost="O(n)",
        also="ProximalOperators.jl",
        source="Bauschke and Combettes 2017, ex. 29.21",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_order(self)

    @staticmethod
    def vector_conjugate(u: Float[Array, " n"], normal, lower, upper) -> Scalar:
        a, _ = normalised(u, normal, lower)
        return support_function(u, normal, jnp.where(jnp.sum(a * u) >= 0, upper, lower))
