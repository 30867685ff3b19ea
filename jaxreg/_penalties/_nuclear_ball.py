"""The ball of the nuclear norm: singular values that sum to no more than a radius."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import product
from ._base import Strength, static
from ._matrix import Matrixwise
from ._simplex import level, onto_l1_ball
from ._spectral import decompose, negligible, singular_values, spectral_map
from ._vector import VectorSet


def project(W: Float[Array, "m n"], radius) -> Float[Array, "m n"]:
    """Inside, W itself: no decomposition puts it together to the last bit."""
    moved = spectral_map(onto_l1_ball, W, radius)
    return jnp.where((jnp.sum(singular_values(W)) <= radius) & (radius > 0), W, moved)


def violation(W: Float[Array, "m n"], radius) -> tuple[Scalar, Scalar]:
    return jnp.sum(singular_values(W)) - radius, radius


def tangent(W: Float[Array, "m n"], d: Float[Array, "m n"], radius) -> Float[Array, "m n"]:
    """Normal are the multiples t >= 0 of ``UVᵀ`` with, off W's rows and columns, any matrix of spectral norm <= t: as for numbers, with the
    diagonal of ``UᵀdV`` where W has singular values and the singular values of the rest of d where it has none."""
    del radius
    U, s, Vt = decompose(W)
    kept = ~negligible(s)
    U, Vt = U * kept, Vt * kept[:, None]
    below = d - product(U, product(U.T, d))
    off = below - product(product(below, Vt.T), Vt)
    P, t, Qt = decompose(off)
    along = jnp.diagonal(product(U.T, product(d, Vt.T)))
    both = jnp.concatenate([jnp.where(kept, along, -jnp.inf), t])
    excess = jnp.maximum(level(both, jnp.concatenate([kept, jnp.zeros(t.shape, bool)])), 0)
    return d - excess * product(U, Vt) - product(P * jnp.minimum(t, excess), Qt)


def conjugate(u: Float[Array, "m n"], radius) -> Scalar:
    return radius * jnp.max(singular_values(u), initial=0)


class NuclearBall(Matrixwise, VectorSet):
    """The constraint ``Σσ_i(W) <= radius`` for each matrix; λ has no effect. Matrix completion in its constrained form.

    Prox: singular values onto the ℓ1 ball, which makes small ones 0; gradient 0; conjugate ``radius·σ_max(U)``. Convex, smooth inside.

    Args:
      radius: >= 0, one number.
      axes: the axes of rows and of columns, each one or several (``((0, 1, 2), 3)`` for a convolution); others count matrices.

    Raises:
      ValueError: ``radius`` is negative or not finite; a leaf lacks the axes.

    References:
      Jaggi and Sulovský, A simple algorithm for nuclear norm regularized problems, 2010, §3; the normal cone: Watson,
      Characterization of the subdifferential of some matrix norms, 1992.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.NuclearBall(2.0).prox(jnp.diag(jnp.array([3.0, 2.0, 0.5]))).round(3).diagonal().tolist()
    [1.5, 0.5, 0.0]
    """

    radius: Strength = 1.0
    axes: Any = static(default=(-2, -1))
    convex, condition = True, "Σσ({w}) ≤ {radius}"
    about = About(
        equation="Σσ_i(W) ≤ radius",
        domain="radius ≥ 0; matrices",
        cost="an SVD, O(m·n·min(m, n))",
        also="PyProximal",
        source="Jaggi and Sulovský 2010, §3",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)
    vector_conjugate = staticmethod(conjugate)
