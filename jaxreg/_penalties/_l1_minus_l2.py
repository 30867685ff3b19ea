"""L1 minus L2: ``lam·(‖w‖₁ − ‖w‖₂)``, zero exactly for vectors with at most one weight."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import coefficient
from ._base import PyTree, Strength, static
from ._l1 import prox as soft
from ._l2_norm import direction, length
from ._vector import Vectorwise


def _first(size: Float[Array, " n"]) -> Array:
    """Marks one largest entry."""
    return jnp.arange(size.size) == jnp.argmax(size) if size.size else jnp.zeros(0, bool)


def value(w: Float[Array, " n"], lam) -> Scalar:
    """With the largest weight t apart, ``‖w‖₁ − ‖w‖₂ = Σrest − Σrest²/(‖w‖₂ + t)``: beside a large weight small ones are not lost."""
    size, first = jnp.abs(w), _first(jnp.abs(w))
    rest, whole = jnp.where(first, 0, size), length(w) + jnp.sum(jnp.where(first, size, 0))
    share = rest / jnp.where(whole == 0, 1, whole)
    return lam * (jnp.sum(rest) - jnp.sum(rest * share))


def grad(w: Float[Array, " n"], lam) -> Float[Array, " n"]:
    return lam * (jnp.sign(w) - direction(w))


def prox(w: Float[Array, " n"], step, lam) -> Float[Array, " n"]:
    """Soft thresholding, made longer by the threshold; where nothing would be left, the largest weight alone, which costs nothing."""
    threshold, size = step * lam, jnp.abs(w)
    left = soft(w, 1, threshold)
    longer = left + threshold * direction(left)
    some = (jnp.max(size, initial=0) > threshold) | (threshold == 0)
    return jnp.where(some, longer, jnp.where(_first(size), w, 0))


def residual(w: Float[Array, " n"], g: Float[Array, " n"], lam) -> Float[Array, " n"]:
    """At 0 the only subgradient is 0, yet slopes there are not those of a convex function: the steepest descent is the prox of −g."""
    return jnp.where(jnp.all(w == 0), prox(g, 1, lam), jnp.where(w == 0, soft(g, 1, lam), g + grad(w, lam)))


class L1MinusL2(Vectorwise):
    """L1 minus L2: ``lam·(‖w‖₁ − ‖w‖₂)``, summed over slices where ``axis`` is given.

    It leaves one weight of a vector free of charge, and has the contours of L0 near the axes. Gradient ``lam·(sign(w) − w/‖w‖₂)`` (0 at
    0), prox soft thresholding followed by a lengthening; where all would vanish, the largest weight stays as it is (of several, the
    first). Not convex. Zero is a solution only where the gradient is zero: ``lambda_max`` is +inf. There ``subdiff_distance`` is the
    rate of steepest descent, which is less than the distance to the one regular subgradient 0 and vanishes with it.

    Args:
      lam: strength, >= 0, one number, in units of loss per parameter.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``lam`` is negative or not finite; a leaf lacks the axis.

    References:
      Yin, Lou, He and Xin, Minimization of ℓ1−2 for compressed sensing, 2015; the prox: Lou and Yan, Fast L1−L2 minimization
      via a proximal operator, 2018, lemma 1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.L1MinusL2(1.0).prox(jnp.array([4.0, 5.0, 0.5])).tolist()
    [3.6, 4.8, 0.0]
    >>> jaxreg.L1MinusL2(1.0).prox(jnp.array([0.4, 0.6])).tolist()
    [0.0, 0.6...]
    """

    lam: Strength = 1.0
    axis: Any = static(default=None)
    about = About(
        equation="lam·(‖w‖₁ − ‖w‖₂)",
        domain="lam ≥ 0",
        cost="O(n)",
        also="SCICO",
        source="Yin, Lou, He and Xin 2015; Lou and Yan 2018, lemma 1",
    )

    vector_value, vector_prox, vector_residual = staticmethod(value), staticmethod(prox), staticmethod(residual)

    @staticmethod
    def vector_lambda_max(g: Float[Array, " n"], lam) -> Scalar:
        return jnp.where(jnp.any(g != 0) & (lam > 0) & (g.size > 1), jnp.inf, 0).astype(g.dtype)

    @staticmethod
    def vector_support(w: Float[Array, " n"], lam) -> Array:
        return (w != 0) | (lam == 0) | (w.size == 1)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(grad, params)

    def free(self, params: PyTree) -> PyTree:
        """A vector of one number costs nothing."""
        blocks, put_back = self._gather(params)
        flags = self._apply(lambda w, lam: jnp.broadcast_to((lam == 0) | (w.size == 1), w.shape), blocks)
        return put_back(flags, lambda w: jnp.ones(np.shape(w), bool))

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return coefficient(prefix, self.lam) + (f"(‖{w}‖₁ − ‖{w}‖₂)" if self.axis is None else f"Σ(‖{w}_slice‖₁ − ‖{w}_slice‖₂)")
