"""The exclusive lasso: ``½·lam·Σ_g ‖w_g‖₁²``, competition inside each group."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import coefficient, finite_product
from ._base import PyTree, Strength, static
from ._simplex import above
from ._vector import Vectorwise


def value(w: Float[Array, " n"], lam) -> Scalar:
    return lam * jnp.sum(jnp.abs(w)) ** 2 / 2


def grad(w: Float[Array, " n"], lam) -> Float[Array, " n"]:
    return lam * jnp.sum(jnp.abs(w)) * jnp.sign(w)


def prox(w: Float[Array, " n"], step, lam) -> Float[Array, " n"]:
    """Soft thresholding at ``t = step·lam·‖z‖₁``; with the k largest kept, ``t = step·lam·S_k/(1 + step·lam·k)``."""
    strength, size = finite_product(step, lam), jnp.abs(w)
    # Both sides over 1 + strength, so that no sum of weights overflows.
    share, rest = strength / (1 + strength), 1 / (1 + strength)
    kept, _ = above(size, size > 0, share, 0.0, rest)
    kept = kept | (size == jnp.max(size, initial=0))  # which rounding may lose where the strength is large
    threshold = share * jnp.sum(jnp.where(kept, size, 0)) / (rest + share * jnp.sum(kept))
    moved = jnp.sign(w) * jnp.maximum(size - threshold, 0)
    # Without a strength the prox is the identity, and near w = 0 a shrinkage along each axis: slopes that the sign would lose.
    return jnp.where((w == 0) & ((strength == 0) | (jnp.max(size, initial=0) == 0)), w * rest, moved)


def residual(w: Float[Array, " n"], g: Float[Array, " n"], lam) -> Float[Array, " n"]:
    """An L1 penalty of strength lam·‖w‖₁."""
    slope = lam * jnp.sum(jnp.abs(w))
    return jnp.where(w == 0, jnp.sign(g) * jnp.maximum(jnp.abs(g) - slope, 0), g + slope * jnp.sign(w))


def conjugate(u: Float[Array, " n"], lam) -> Scalar:
    top = jnp.max(jnp.abs(u), initial=0)
    return jnp.where(lam > 0, top**2 / (2 * jnp.where(lam > 0, lam, 1)), jnp.where(top > 0, jnp.inf, 0)).astype(u.dtype)


class ExclusiveLasso(Vectorwise):
    """Exclusive lasso (ℓ1,2): ``½·lam·‖w‖₁²``, summed over slices where ``axis`` is given.

    Weights of one group compete: few in each stay, but rarely none. Gradient ``lam·‖w‖₁·sign(w)``, prox soft thresholding at a level that
    some passes find, conjugate ``max|u|²/(2·lam)``. Zero is never a solution unless the gradient is zero: ``lambda_max`` is +inf.

    Args:
      lam: strength, >= 0, one number. The ½ is part of the definition.
      axis: None for one group of all leaves, or the axis (or axes) of each leaf whose slices are groups.

    Raises:
      ValueError: ``lam`` is negative or not finite; a leaf lacks the axis.

    References:
      Zhou, Jin and Hoi, Exclusive lasso for multi-task feature selection, 2010, eq. 2; Campbell and Allen, Within group variable
      selection through the exclusive lasso, 2017, eq. 2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.ExclusiveLasso(1.0).prox(jnp.array([3.0, 1.0])).tolist()
    [1.5, 0.0]
    """

    lam: Strength = 1.0
    axis: Any = static(default=None)
    convex = True
    about = About(
        equation="½·lam·‖w‖₁²",
        domain="lam ≥ 0",
        cost="O(n), some passes",
        also="",
        source="Zhou, Jin and Hoi 2010, eq. 2",
    )

    vector_value, vector_prox, vector_residual = staticmethod(value), staticmethod(prox), staticmethod(residual)
    vector_conjugate = staticmethod(conjugate)

    @staticmethod
    def vector_lambda_max(g: Float[Array, " n"], lam) -> Scalar:
        return jnp.where(jnp.any(g != 0) & (lam > 0), jnp.inf, 0).astype(g.dtype)

    @staticmethod
    def vector_support(w: Float[Array, " n"], lam) -> Array:
        """At 0 the function is smooth; a zero weight beside others is a kink."""
        return (w != 0) | jnp.all(w == 0) | (lam == 0)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(grad, params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"½·{coefficient(prefix, self.lam)}" + (f"‖{w}‖₁²" if self.axis is None else f"Σ‖{w}_slice‖₁²")
