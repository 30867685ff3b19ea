"""The cone of symmetric positive semidefinite matrices."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import product
from ._base import static
from ._matrix import Matrixwise
from ._spectral import eigenvalues, negligible, symmetric, symmetric_map
from ._vector import VectorSet


def positive(values: Float[Array, " n"]) -> Float[Array, " n"]:
    return jnp.maximum(values, 0)


def negative(values: Float[Array, " n"]) -> Float[Array, " n"]:
    return jnp.minimum(values, 0)


def project(W: Float[Array, "n n"]) -> Float[Array, "n n"]:
    return symmetric(symmetric_map(positive, W))


def violation(W: Float[Array, "n n"]) -> tuple[Scalar, Scalar]:
    """The largest of skewness and negative eigenvalues, 0 inside: symmetric matrices have no interior among all."""
    values, _ = eigenvalues(W)
    return jnp.max(jnp.append(jnp.abs(W - W.T), -values), initial=0), jnp.max(jnp.abs(values), initial=0)


def tangent(W: Float[Array, "n n"], d: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The symmetric part of d, without its negative part where W has eigenvalues 0."""
    values, Q = eigenvalues(W)
    null = product(Q * negligible(values), Q.T)
    d = symmetric(d)
    return d - symmetric_map(negative, product(null, product(d, null)))


def conjugate(u: Float[Array, "n n"]) -> Scalar:
    """The indicator of the polar cone, of which the symmetric part has no eigenvalue above 0 (but for rounding)."""
    values, _ = eigenvalues(u)
    return jnp.where(jnp.all((values <= 0) | negligible(values)), 0, jnp.where(jnp.any(jnp.isnan(u)), jnp.nan, jnp.inf)).astype(u.dtype)


class PSDCone(Matrixwise, VectorSet):
    """The constraint that a matrix is symmetric and positive semidefinite: 0 where it holds, +inf elsewhere. λ has no effect on it.

    Its prox is the projection: the symmetric part, with negative eigenvalues set to 0. Convex; conjugate the indicator of the polar cone,
    matrices whose symmetric part has no positive eigenvalue.

    Args:
      axes: the axes of rows and of columns; others count matrices, which must be square.

    Raises:
      ValueError: a leaf lacks the axes, or its matrices are not square.

    References:
      Higham, Computing a nearest symmetric positive semidefinite matrix, 1988, thm. 2.1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.PSDCone().prox(jnp.array([[2.0, 1.0], [-1.0, -3.0]])).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """

    axes: Any = static(default=(-2, -1))
    convex, condition = True, "{w} ⪰ 0"
    about = About(
        equation="W = Wᵀ, W ⪰ 0",
        domain="square matrices",
        cost="an eigendecomposition, O(n³)",
        also="ProximalOperators.jl",
        source="Higham 1988, thm. 2.1",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)
    vector_conjugate = staticmethod(conjugate)

    def _slices(self, w: Array) -> Array:
        block = super()._slices(w)
        if block.shape[1] != block.shape[2]:
            raise ValueError(
                f"PSDCone: a params leaf of shape {w.shape} holds matrices {block.shape[1]}×{block.shape[2]}, which are not square; "
                "place the constraint on square ones, with .on"
            )
        return block
