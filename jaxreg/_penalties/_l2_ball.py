"""Euclidean balls: vectors no longer than a radius."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._base import Strength, static
from ._l2_norm import direction, length
from ._vector import VectorSet


def project(w: Float[Array, " n"], radius) -> Float[Array, " n"]:
    return jnp.where((length(w) <= radius) & (radius > 0), w, radius * direction(w))


def violation(w: Float[Array, " n"], radius) -> tuple[Scalar, Scalar]:
    return length(w) - radius, radius


def tangent(w: Float[Array, " n"], d: Float[Array, " n"], radius) -> Float[Array, " n"]:
    """Without its outward radial part; nothing is left in a ball of radius 0."""
    outward = direction(w)
    return jnp.where(radius > 0, d - jnp.maximum(jnp.sum(outward * d), 0) * outward, 0)


def conjugate(u: Float[Array, " n"], radius) -> Scalar:
    return radius * length(u)


class L2Ball(VectorSet):
    """The constraint ``‖w‖₂ <= radius``, for each slice where ``axis`` is given; λ has no effect.

    Prox ``w·min(1, radius/‖w‖)``, gradient 0, conjugate ``radius·‖u‖₂``; convex, smooth inside.

    Args:
      radius: >= 0, one number.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``radius`` is negative or not finite; a leaf lacks the axis.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.5.1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.L2Ball(1.0).prox(jnp.array([3.0, 4.0])).round(4).tolist()
    [0.60..., 0.80...]
    """

    radius: Strength = 1.0
    axis: Any = static(default=None)
    convex, condition = True, "‖{w}‖₂ ≤ {radius}"
    about = About(
        equation="‖w‖₂ ≤ radius",
        domain="radius ≥ 0",
        cost="O(n)",
        also="optax, jaxopt, SCICO, ProximalOperators.jl, PyProximal",
        source="Parikh and Boyd 2014, §6.5.1",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)
    vector_conjugate = staticmethod(conjugate)


class MaxNorm(L2Ball):
    """Max-norm constraint: the weights into each unit satisfy ``‖w_slice‖₂ <= radius``; λ has no effect.

    :class:`L2Ball` under the name that networks know it by, and with their axis. Dropout is often trained with it.

    Args:
      radius: >= 0, one number.
      axis: 0 for kernels (inputs, outputs), ``(0, 1, 2)`` for convolutions (height, width, inputs, outputs); None for one vector.

    Raises:
      ValueError: ``radius`` is negative or not finite; a leaf lacks the axis.

    References:
      Srebro and Shraibman, Rank, trace-norm and max-norm, 2005; Srivastava et al., Dropout, 2014, §5.1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.MaxNorm(1.0).prox(jnp.array([[3.0, 0.1], [4.0, 0.1]])).round(4).tolist()
    [[0.60..., 0.10...], [0.80..., 0.10...]]
    """

    axis: Any = static(default=0)
    about = About(
        equation="‖w_slice‖₂ ≤ radius",
        domain="radius ≥ 0",
        cost="O(n)",
        also="Keras",
        source="Srebro and Shraibman 2005; Srivastava et al. 2014, §5.1",
    )
