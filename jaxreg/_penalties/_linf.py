"""The largest weight: ``lam·max|w|``."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._base import PyTree, Strength, static
from ._simplex import onto_l1_ball, onto_simplex
from ._vector import Norm, norm_formula


def value(w: Float[Array, " n"], lam) -> Scalar:
    # XLA's maximum on a CPU may lose a NaN.
    return lam * jnp.where(jnp.any(jnp.isnan(w)), jnp.nan, jnp.max(jnp.abs(w), initial=0))


def grad(w: Float[Array, " n"], lam) -> Float[Array, " n"]:
    """Weights that are level with the largest share its slope."""
    top = (jnp.abs(w) == jnp.max(jnp.abs(w), initial=0)) & (w != 0)
    return jnp.where(jnp.any(jnp.isnan(w)), jnp.nan, lam * jnp.sign(w) * top / jnp.maximum(jnp.sum(top), 1))


def prox(w: Float[Array, " n"], step, lam) -> Float[Array, " n"]:
    """Moreau: what the projection onto the ℓ1 ball of radius step·lam leaves. Written as a clip, so that ties stay exact."""
    size, strength = jnp.abs(w), step * lam
    taken = jnp.abs(onto_l1_ball(w, strength))
    level = jnp.where(jnp.any(taken > 0), jnp.max(jnp.where(taken > 0, size - taken, 0), initial=0), jnp.inf)
    moved = jnp.where(jnp.sum(size) <= strength, 0, jnp.clip(w, -level, level))
    # w itself, with the derivative that a clip at the largest has not: the largest share the first of the strength.
    return jnp.where(strength == 0, w - step * grad(w, lam), moved)


def residual(w: Float[Array, " n"], g: Float[Array, " n"], lam) -> Float[Array, " n"]:
    """At 0 the subdifferential is the ℓ1 ball of radius lam; elsewhere a simplex on the largest weights, in their signs."""
    top = jnp.max(jnp.abs(w), initial=0)
    sign = jnp.sign(w)
    face = sign * onto_simplex(jnp.where(jnp.abs(w) == top, -sign * g, -jnp.inf), lam)
    found = g + jnp.where(top == 0, onto_l1_ball(-g, lam), face)
    return jnp.where(jnp.any(jnp.isnan(w)), jnp.nan, found)


class LInf(Norm):
    """ℓ∞ norm: ``lam·max|w|``, summed over slices where ``axis`` is given.

    It shrinks the largest weights until they are level, and gives ties where L1 gives zeros. Prox ``w − P(w)`` with P the projection
    onto the ℓ1 ball of radius step·lam, conjugate that ball's indicator. Gradient ``lam·sign(w)`` at the largest, shared if
    several are level.

    Args:
      lam: strength, >= 0, one number.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``lam`` is negative or not finite; a leaf lacks the axis.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.5.2; Duchi et al., Efficient projections onto the l1-ball, 2008, fig. 1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.LInf(2.0).prox(jnp.array([4.0, -3.0, 1.0])).tolist()
    [2.5, -2.5, 1.0]
    """

    lam: Strength = 1.0
    axis: Any = static(default=None)
    about = About(
        equation="lam·max|w|",
        domain="lam ≥ 0",
        cost="O(n), some passes",
        also="ProximalOperators.jl",
        source="Parikh and Boyd 2014, §6.5.2",
    )

    vector_value, vector_prox, vector_residual = staticmethod(value), staticmethod(prox), staticmethod(residual)

    @staticmethod
    def dual_norm(u: Float[Array, " n"]) -> Scalar:
        return jnp.sum(jnp.abs(u))

    @staticmethod
    def vector_support(w: Float[Array, " n"], lam) -> Array:
        """Where no other weight is level with the largest."""
        size = jnp.abs(w)
        return (jnp.sum(size == jnp.max(size, initial=0)) == 1) & (jnp.max(size, initial=0) > 0) | (lam == 0)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(grad, params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return norm_formula(self, prefix, w, ("max|", "|"))
