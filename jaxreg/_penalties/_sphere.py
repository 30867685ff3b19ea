"""Euclidean spheres: vectors of one length."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._base import Strength, static
from ._l2_norm import direction, length
from ._vector import VectorSet


def project(w: Float[Array, " n"], radius) -> Float[Array, " n"]:
    """Every point of the sphere is nearest to 0: the one with equal entries is taken, and no derivative of it."""
    even = jnp.full(w.shape, max(w.size, 1) ** -0.5, w.dtype)
    return radius * jnp.where(length(w) == 0, even, direction(w))


def violation(w: Float[Array, " n"], radius) -> tuple[Scalar, Scalar]:
    return jnp.abs(length(w) - radius), radius


def tangent(w: Float[Array, " n"], d: Float[Array, " n"], radius) -> Float[Array, " n"]:
    outward = direction(w)
    return jnp.where(radius > 0, d - jnp.sum(outward * d) * outward, 0)


class Sphere(VectorSet):
    """The constraint ``‖w‖₂ = radius``, for each slice where ``axis`` is given; λ has no effect. Not convex.

    Prox ``radius·w/‖w‖``; at w = 0, to which every point is nearest, it is ``radius/√n`` in each entry. Gradient 0; normal cone (regular
    and limiting) the radial line. No conjugate is given: it is that of the ball.

    Args:
      radius: >= 0, one number.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``radius`` is negative or not finite; a leaf lacks the axis.

    References:
      Rockafellar and Wets, Variational analysis, 1998, ex. 6.8 (the normal cone).

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Sphere(2.0).prox(jnp.array([0.3, 0.4])).round(4).tolist()
    [1.2..., 1.6...]
    """

    radius: Strength = 1.0
    axis: Any = static(default=None)
    condition = "‖{w}‖₂ = {radius}"
    about = About(
        equation="‖w‖₂ = radius",
        domain="radius ≥ 0",
        cost="O(n)",
        also="optax, jaxopt, ProximalOperators.jl",
        source="Rockafellar and Wets 1998, ex. 6.8",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)


class UnitNorm(VectorSet):
    """Unit norm: the weights into each unit satisfy ``‖w_slice‖₂ = 1``; λ has no effect. Not convex.

    ``Sphere(1.0, axis)`` under the name that networks know it by, and with their axis.

    Args:
      axis: 0 for kernels (inputs, outputs), ``(0, 1, 2)`` for convolutions (height, width, inputs, outputs); None for one vector.

    Raises:
      ValueError: a leaf lacks the axis.

    References:
      Salimans and Kingma, Weight normalization, 2016, §2 (the direction v/‖v‖).

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.UnitNorm().prox(jnp.array([[3.0, 0.1], [4.0, 0.0]])).round(4).tolist()
    [[0.60..., 1.0], [0.80..., 0.0]]
    """

    axis: Any = static(default=0)
    condition = "‖{w}‖₂ = 1"
    about = About(
        equation="‖w_slice‖₂ = 1",
        domain="no parameters",
        cost="O(n)",
        also="Keras",
        source="Salimans and Kingma 2016, §2",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)

    def _strengths(self, dtype: Any) -> list[Any]:
        return [jnp.ones((), dtype)]
