"""The cube of the Euclidean norm: ``lam·‖w‖₂³``, what cubic regularisation adds to a second-order model."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._base import PyTree, Strength, static
from ._l2_norm import length
from ._vector import Vectorwise, norm_formula


def value(w: Float[Array, " n"], lam) -> Scalar:
    return lam * length(w) ** 3


def grad(w: Float[Array, " n"], lam) -> Float[Array, " n"]:
    return 3 * lam * length(w) * w


def prox(w: Float[Array, " n"], step, lam) -> Float[Array, " n"]:
    """The length r of the result obeys ``r + 3·step·lam·r² = ‖w‖``."""
    size = length(w)
    strength = 12 * step * lam
    product = strength * size
    # Where the product overflows the roots of its factors do not.
    far = jnp.isinf(product) & jnp.isfinite(size)
    root = jnp.sqrt(jnp.where(far, strength, 1)) * jnp.sqrt(jnp.where(far, size, 1))
    return w * (2 / (1 + jnp.where(far, root, jnp.sqrt(1 + jnp.where(far, 0, product)))))


def conjugate(u: Float[Array, " n"], lam) -> Scalar:
    """``⅔·‖u‖·r`` with r the length at which the gradient is as long as u."""
    size, positive = length(u), lam > 0
    r = jnp.sqrt(size / jnp.where(positive, 3 * lam, 1))
    return jnp.where(positive, 2 / 3 * size * r, jnp.where(size > 0, jnp.inf, 0)).astype(u.dtype)


class CubeNorm(Vectorwise):
    """Cubed Euclidean norm: ``lam·‖w‖₂³``, summed over slices where ``axis`` is given.

    It hardly touches short vectors and holds long ones back more than ridge. Gradient ``3·lam·‖w‖·w``, prox
    ``2w/(1 + √(1 + 12·step·lam·‖w‖))``, conjugate ``2·‖u‖^{3/2}/(3·√(3·lam))``. Convex and smooth, though the gradient is not Lipschitz;
    zero is a solution only where the gradient is zero: ``lambda_max`` is +inf.

    Args:
      lam: strength, >= 0, one number, in units of loss per cubed parameter; Nesterov and Polyak's M is 6·lam.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``lam`` is negative or not finite; a leaf lacks the axis.

    References:
      Nesterov and Polyak, Cubic regularization of Newton method and its global performance, 2006, eq. 2.3.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.CubeNorm(0.4).prox(jnp.array([3.0, 4.0])).round(4).tolist()
    [1.0, 1.33...]
    """

    lam: Strength = 1.0
    axis: Any = static(default=None)
    convex, smooth = True, True
    about = About(
        equation="lam·‖w‖₂³",
        domain="lam ≥ 0",
        cost="O(n)",
        also="ProximalOperators.jl",
        source="Nesterov and Polyak 2006",
    )

    vector_value, vector_prox, vector_conjugate = staticmethod(value), staticmethod(prox), staticmethod(conjugate)

    @staticmethod
    def vector_residual(w: Float[Array, " n"], g: Float[Array, " n"], lam) -> Float[Array, " n"]:
        return g + grad(w, lam)

    @staticmethod
    def vector_lambda_max(g: Float[Array, " n"], lam) -> Scalar:
        return jnp.where(jnp.any(g != 0) & (lam > 0), jnp.inf, 0).astype(g.dtype)

    @staticmethod
    def vector_support(w: Float[Array, " n"], lam) -> Array:
        del w, lam
        return jnp.ones((), bool)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(grad, params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return norm_formula(self, prefix, w, ("‖", "‖₂³"))
