"""The Stiefel manifold: matrices with orthonormal columns."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import product
from ._base import static
from ._matrix import Matrixwise
from ._spectral import spectral_map, symmetric
from ._vector import VectorSet


def project(W: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """``UVᵀ``, the polar factor."""
    return spectral_map(jnp.ones_like, W)


def violation(W: Float[Array, "m n"]) -> tuple[Scalar, Scalar]:
    return jnp.max(jnp.abs(product(W.T, W) - jnp.eye(W.shape[1], dtype=W.dtype)), initial=0), jnp.ones((), W.dtype)


def tangent(W: Float[Array, "m n"], d: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """d without the part that would stretch the columns or turn them towards each other."""
    return d - product(W, symmetric(product(W.T, d)))


class Stiefel(Matrixwise, VectorSet):
    """The constraint of orthonormal columns, ``WᵀW = I``: 0 where it holds, +inf elsewhere. λ has no effect on it. Not convex.

    Prox ``UVᵀ``, the polar factor: all singular values set to 1. Where one is 0 several matrices are nearest, the decomposition's choice is
    taken, and there is no derivative. No conjugate is given: it is that of the ball of spectral norm 1.

    Args:
      axes: the axes of rows and of columns, each one or several (``((0, 1, 2), 3)`` for a convolution); others count matrices. For
        orthonormal rows swap the two.

    Raises:
      ValueError: a leaf lacks the axes, or its matrices have more columns than rows.

    References:
      Higham, Functions of matrices, 2008, thm. 8.4 (the nearest); Absil, Mahony and Sepulchre, Optimization algorithms on matrix
      manifolds, 2008, eq. 3.35 (the projection on the tangent space).

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Stiefel().prox(jnp.array([[3.0, 0.0], [0.0, -0.5]])).tolist()
    [[1.0, 0.0], [0.0, -1.0]]
    """

    axes: Any = static(default=(-2, -1))
    condition = "{w}ᵀ{w} = I"
    about = About(
        equation="WᵀW = I",
        domain="matrices m × n, m ≥ n",
        cost="an SVD, O(m·n²)",
        also="ProximalOperators.jl",
        source="Higham 2008, thm. 8.4",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)

    def _slices(self, w: Array) -> Array:
        block = super()._slices(w)
        if block.shape[1] < block.shape[2]:
            raise ValueError(
                f"Stiefel: a params leaf of shape {w.shape} holds matrices {block.shape[1]}×{block.shape[2]}, whose columns cannot all be "
                "orthonormal; swap axes for orthonormal rows, or place the constraint with .on"
            )
        return block
