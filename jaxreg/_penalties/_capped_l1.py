"""Capped L1: ``lam·min(|w|, cap)``."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import at_most, check_numbers, weighted_sum
from ._base import Strength
from ._folded import Folded, deeper


def value(w: Float[Array, "..."], lam, cap) -> Float[Array, "..."]:
    return lam * at_most(jnp.abs(w), cap)


def slope(m: Float[Array, "..."], lam, cap) -> Float[Array, "..."]:
    return jnp.where(m < cap, lam, 0)


def steepest(w: Float[Array, "..."], lam, cap) -> Float[Array, "..."]:
    del cap
    return jnp.broadcast_to(lam, w.shape)


def subdifferential(w: Float[Array, "..."], lam, cap) -> tuple[Array, Array]:
    """Left and right slope: empty at the cap, where the corner points upwards and the left one is the larger."""
    broken = jnp.where(jnp.isnan(w), w, 0)
    left = jnp.where((w > 0) & (w <= cap), lam, jnp.where((w <= 0) & (w > -cap), -lam, 0))
    right = jnp.where((w >= 0) & (w < cap), lam, jnp.where((w < 0) & (w >= -cap), -lam, 0))
    return left + broken, right + broken


def support(w: Float[Array, "..."], lam, cap) -> Array:
    return ((w != 0) & (jnp.abs(w) != cap)) | (lam == 0)


def shrink(m: Float[Array, "..."], step, lam, cap) -> Float[Array, "..."]:
    """The better of soft thresholding below the cap and of nothing above it."""
    soft = jnp.minimum(jnp.maximum(m - step * lam, 0), cap)
    return jnp.where(jnp.isinf(m), m, deeper(m, step, lambda z: value(z, lam, cap), soft, jnp.maximum(m, cap)))


class CappedL1(Folded):
    """Capped L1: ``lam·Σ min(|w|, cap)``: L1 up to the cap, no further cost beyond.

    Gradient ``lam·sign(w)`` below the cap, 0 above. Not convex; the corner at the cap points upwards, so nothing comes to rest there.

    Args:
      lam: slope, >= 0: a number, an array (one leaf) or a pytree prefix.
      cap: > 0, in units of the parameters; shapes as ``lam``.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``cap`` is not positive.

    References:
      Zhang, Analysis of multi-stage convex relaxation for sparse regularization, 2010, §1; the prox: Gong et al., A general iterative
      shrinkage and thresholding algorithm for non-convex regularized optimization problems, 2013, table 1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.CappedL1(1.0, cap=1.0).prox(jnp.array([0.5, 1.4, 4.0])).tolist()
    [0.0, 0.3..., 4.0]
    """

    lam: Strength = 1.0
    cap: Strength = 1.0
    about = About(
        equation="lam·Σ min(|w|, cap)",
        domain="lam ≥ 0, cap > 0",
        cost="O(n)",
        also="",
        source="T. Zhang 2010 (multi-stage convex relaxation), §1",
    )

    leaf_value, slope, steepest, shrink = staticmethod(value), staticmethod(slope), staticmethod(steepest), staticmethod(shrink)
    leaf_subdifferential, leaf_support = staticmethod(subdifferential), staticmethod(support)

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "cap":
            check_numbers("CappedL1: cap", value, lambda x: np.asarray(x > 0), "> 0")

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"min(|{w}|, cap)")
