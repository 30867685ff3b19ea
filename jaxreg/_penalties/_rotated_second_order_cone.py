"""The rotated second-order cone: ``2·w₁·w₂`` is at least the squared length of the others."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from . import _second_order_cone as upright
from ._about import About
from ._base import static
from ._l2_norm import unit
from ._vector import VectorSet


def turn(w: Float[Array, " n"]) -> Float[Array, " n"]:
    """The first two numbers by 45°, onto the cone ``w₁ >= ‖(w₂, …)‖``; the turn is its own inverse."""
    if w.size < 2:
        raise ValueError(f"RotatedSecondOrderCone: a vector must have 2 numbers at least, got {w.size}")
    half = jnp.asarray(0.5**0.5, w.dtype)
    return jnp.concatenate([jnp.stack([half * (w[0] + w[1]), half * (w[0] - w[1])]), w[2:]])


def project(w: Float[Array, " n"]) -> Float[Array, " n"]:
    """Inside, w itself: two turns round. In units of the largest number, for a turned one is up to √2 times as large."""
    size = unit(w)
    turned = turn(w / size)
    return jnp.where(upright.violation(turned)[0] <= 0, w, size * turn(upright.project(turned)))


def violation(w: Float[Array, " n"]) -> tuple[Scalar, Scalar]:
    return upright.violation(turn(w))


def tangent(w: Float[Array, " n"], d: Float[Array, " n"]) -> Float[Array, " n"]:
    return turn(upright.tangent(turn(w), turn(d)))


class RotatedSecondOrderCone(VectorSet):
    """The constraints ``2·w₁·w₂ >= Σ_{i>2} w_i²`` and ``w₁, w₂ >= 0``, for each slice where ``axis`` is given; λ has no effect.

    A :class:`SecondOrderCone` turned by 45° in the first two numbers: squares and products of variables as a cone. Prox as there,
    gradient 0, conjugate the indicator of its negative (the cone is its own dual). Convex, smooth inside.

    Args:
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: a vector has fewer than 2 numbers; a leaf lacks the axis.

    References:
      Alizadeh and Goldfarb, Second-order cone programming, 2003, §2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.RotatedSecondOrderCone().prox(jnp.array([1.0, 1.0, 2.0])).round(4).tolist()
    [1.20..., 1.20..., 1.70...]
    """

    axis: Any = static(default=None)
    convex, condition = True, "2·{w}₁·{w}₂ ≥ ‖{w}₃…ₙ‖₂², {w}₁, {w}₂ ≥ 0"
    about = About(
        equation="2·w₁·w₂ ≥ ‖(w₃, …, wₙ)‖₂², w₁, w₂ ≥ 0",
        domain="no parameters",
        cost="O(n)",
        also="ProximalOperators.jl",
        source="Alizadeh and Goldfarb 2003, §2",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)

    @classmethod
    def vector_conjugate(cls, u: Float[Array, " n"]) -> Scalar:
        return jnp.where(cls.inside(-u), 0, jnp.inf).astype(u.dtype)
