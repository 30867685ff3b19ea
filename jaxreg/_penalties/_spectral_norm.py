"""The spectral norm: ``lam·σ_max(W)``, the largest singular value."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from . import _linf as linf
from ._about import About
from ._arithmetic import coefficient, product
from ._base import PyTree, Strength, static
from ._matrix import Matrixwise
from ._simplex import onto_l1_ball, onto_simplex
from ._spectral import decompose, level_with_largest, singular_values, spectral_map, spectral_value, symmetric, symmetric_map
from ._vector import Norm


def largest(s: Float[Array, " k"], lam) -> Scalar:
    """A zero has no derivative."""
    return lam * jnp.max(jnp.where(s == 0, 0, s), initial=0)


def value(W: Float[Array, "m n"], lam) -> Scalar:
    return spectral_value(largest, W, lam)


def top(W: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """``u₁v₁ᵀ``, their mean where several singular values are level with the largest, and 0 at 0: a gradient of σ_max."""
    U, s, Vt = decompose(W)
    level = level_with_largest(s)
    return product(U * (level / jnp.maximum(jnp.sum(level), 1)), Vt)


def prox(W: Float[Array, "m n"], step, lam) -> Float[Array, "m n"]:
    return spectral_map(linf.prox, W, step, lam)


def face_residual(W: Float[Array, "m n"], g: Float[Array, "m n"], radius) -> Float[Array, "m n"]:
    """The shortest of ``g + U₁SV₁ᵀ`` over positive semidefinite S of trace ``radius``, for the singular vectors of σ_max.

    That S is a projection of eigenvalues onto a simplex; the directions that are not of σ_max get eigenvalues too low to be kept.
    """
    U, s, Vt = decompose(W)
    level = level_with_largest(s)
    inner = symmetric(product(U.T, product(-g, Vt.T))) * level * level[:, None]
    low = jax.lax.stop_gradient(2 * (jnp.sqrt(jnp.sum(inner**2)) + radius))
    S = symmetric_map(onto_simplex, inner - jnp.diag(jnp.where(level, 0, low)), radius)
    return g + product(U * level, product(S, Vt * level[:, None]))


def residual(W: Float[Array, "m n"], g: Float[Array, "m n"], lam) -> Float[Array, "m n"]:
    """At 0 the subdifferential is the ball of nuclear norm lam."""
    at_zero = g + spectral_map(onto_l1_ball, -g, lam)
    return jnp.where(jnp.all(W == 0), at_zero, face_residual(W, g, lam))


class SpectralNorm(Matrixwise, Norm):
    """Spectral norm: ``lam·σ_max(W)``, by how much a layer stretches at most, summed over matrices.

    Gradient ``lam·u₁v₁ᵀ``; the prox levels the largest singular values as ``LInf`` levels numbers; conjugate the indicator of nuclear
    norm <= lam. Convex, smooth where σ_max is simple. The penalty of networks squares it: :class:`SquaredSpectralNorm`.

    Args:
      lam: strength, >= 0, one number, in units of loss per singular value.
      axes: the axes of rows and of columns, each one or several (``((0, 1, 2), 3)`` for a convolution); others count matrices.

    Raises:
      ValueError: ``lam`` is negative or not finite; a leaf lacks the axes.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.7; the subdifferential: Watson, Characterization of the subdifferential of some
      matrix norms, 1992.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.SpectralNorm(2.0).prox(jnp.diag(jnp.array([4.0, 3.0, 1.0]))).round(3).diagonal().tolist()
    [2.5, 2.5, 1.0]
    """

    lam: Strength = 1.0
    axes: Any = static(default=(-2, -1))
    about = About(
        equation="lam·σ_max(W)",
        domain="lam ≥ 0; matrices",
        cost="an SVD, O(m·n·min(m, n))",
        also="",
        source="Parikh and Boyd 2014, §6.7",
    )

    vector_value, vector_prox, vector_residual = staticmethod(value), staticmethod(prox), staticmethod(residual)

    @staticmethod
    def dual_norm(u: Float[Array, "m n"]) -> Scalar:
        return jnp.sum(singular_values(u))

    @staticmethod
    def vector_support(w: Float[Array, "m n"], lam) -> Array:
        """Where no other singular value is level with the largest."""
        s = singular_values(w)
        return (jnp.sum(level_with_largest(s)) == 1) | (lam == 0)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(lambda W, lam: lam * top(W), params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}Σσ_max({w})"
