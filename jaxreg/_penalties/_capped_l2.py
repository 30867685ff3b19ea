"""Capped L2: ``lam·min(w², cap²)``."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import at_most, check_numbers, weighted_sum
from ._base import Strength
from ._separable import Separable


def value(w: Float[Array, "..."], lam, cap) -> Float[Array, "..."]:
    return lam * at_most(jnp.abs(w), cap) ** 2


def grad(w: Float[Array, "..."], lam, cap) -> Float[Array, "..."]:
    return jnp.where(jnp.abs(w) > cap, 0, 2 * lam * w)


def subdifferential(w: Float[Array, "..."], lam, cap) -> tuple[Array, Array]:
    """Left and right slope: empty at the cap, where the corner points upwards and the left one is the larger."""
    slope, edge = grad(w, lam, cap), jnp.abs(w) == cap
    return jnp.where(edge & (w < 0), 0, slope), jnp.where(edge & (w > 0), 0, slope)


def support(w: Float[Array, "..."], lam, cap) -> Array:
    return (jnp.abs(w) != cap) | (lam == 0)


def prox(w: Float[Array, "..."], step, lam, cap) -> Float[Array, "..."]:
    """Shrunk as by L2 at the price ``step·lam·w²/(1 + 2·step·lam)``, or left as it is at ``step·lam·cap²``, the cheaper."""
    factor = 1 + 2 * step * lam
    return jnp.where(jnp.abs(w) <= cap * jnp.sqrt(factor), w / factor, w)


class CappedL2(Separable):
    """Capped L2 (truncated quadratic, relaxed Mumford–Shah): ``lam·Σ min(w², cap²)``: ridge up to the cap, no further cost beyond.

    Of differences it smooths between jumps and leaves jumps alone. Gradient ``2·lam·w`` below the cap, 0 above; prox ``w/(1 + 2·step·lam)``
    up to ``cap·√(1 + 2·step·lam)``, w beyond. Not convex; the corner at the cap points upwards, so nothing comes to rest there.

    Args:
      lam: strength, >= 0, in units of loss per squared parameter: a number, an array (one leaf) or a pytree prefix.
      cap: > 0, in units of the parameters; shapes as ``lam``.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``cap`` is not positive.

    References:
      Blake and Zisserman, Visual reconstruction, 1987, §3 (the weak string); the prox: Strekalovskiy and Cremers, Real-time
      minimization of the piecewise smooth Mumford–Shah functional, 2014.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.CappedL2(1.5, cap=1.0).prox(jnp.array([1.0, 2.0, 2.5])).tolist()
    [0.25, 0.5, 2.5]
    """

    lam: Strength = 1.0
    cap: Strength = 1.0
    role = "folded"
    about = About(
        equation="lam·Σ min(w², cap²)",
        domain="lam ≥ 0, cap > 0",
        cost="O(n)",
        also="PyProximal",
        source="Blake and Zisserman 1987, §3",
    )

    leaf_value, leaf_grad, leaf_prox = staticmethod(value), staticmethod(grad), staticmethod(prox)
    leaf_subdifferential, leaf_support = staticmethod(subdifferential), staticmethod(support)

    def _validate(self, name: str, value: Strength) -> None:
        super()._validate(name, value)
        if name == "cap":
            check_numbers("CappedL2: cap", value, lambda x: np.asarray(x > 0), "> 0")

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"min({w}², cap²)")
