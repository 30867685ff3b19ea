"""The second-order cone: the first number is at least the length of the others."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._base import static
from ._l2_norm import direction, length, unit
from ._vector import VectorSet


def project(w: Float[Array, " n"]) -> Float[Array, " n"]:
    largest = unit(w)  # in its units no sum overflows
    first, rest = w[:1] / largest, w[1:] / largest
    size = length(rest)
    height = (first + size) / 2
    onto_side = largest * jnp.concatenate([height, height * direction(rest)])
    return jnp.where(size <= first, w, jnp.where(size <= -first, 0, onto_side))


def violation(w: Float[Array, " n"]) -> tuple[Scalar, Scalar]:
    """In units of the largest number, where no sum overflows."""
    w = w / unit(w)
    first, size = jnp.sum(w[:1]), length(w[1:])
    return size - first, jnp.abs(first) + size


def tangent(w: Float[Array, " n"], d: Float[Array, " n"]) -> Float[Array, " n"]:
    """The cone itself at its tip, a half-space on its side."""
    outward = jnp.concatenate([-jnp.ones_like(w[:1]), direction(w[1:])])
    beside = d - jnp.maximum(jnp.sum(outward * d), 0) / 2 * outward
    return jnp.where(jnp.all(w == 0), project(d), beside)


class SecondOrderCone(VectorSet):
    """The constraint ``w_1 >= ‖(w_2, …, w_n)‖₂``, for each slice where ``axis`` is given; λ has no effect.

    Also the Lorentz or ice-cream cone. Prox: itself inside, 0 in the polar cone; between, the first number and the length of the others
    become their mean. Gradient 0, conjugate the indicator of the polar cone ``−w_1 >= ‖(w_2, …)‖``. Convex, smooth inside.

    Args:
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: a leaf lacks the axis.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.3; Bauschke, Projection algorithms and monotone operators, 1996, thm. 3.3.6.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.SecondOrderCone().prox(jnp.array([1.0, 3.0, 4.0])).round(4).tolist()
    [3.0, 1.8..., 2.4...]
    """

    axis: Any = static(default=None)
    convex, condition = True, "{w}₁ ≥ ‖{w}₂…ₙ‖₂"
    about = About(
        equation="w₁ ≥ ‖(w₂, …, wₙ)‖₂",
        domain="no parameters",
        cost="O(n)",
        also="ProximalOperators.jl",
        source="Parikh and Boyd 2014, §6.3",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)

    @classmethod
    def vector_conjugate(cls, u: Float[Array, " n"]) -> Scalar:
        return jnp.where(cls.inside(-u), 0, jnp.inf).astype(u.dtype)
