"""The Huber penalty: squares of small weights, absolute values of large ones."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import at_most, check_numbers, finite_product, weighted_sum
from ._base import Strength
from ._separable import Separable


def value(w: Float[Array, "..."], lam, delta) -> Float[Array, "..."]:
    m = at_most(jnp.abs(w), delta)
    return lam * m * (jnp.abs(w) - m / 2)


def grad(w: Float[Array, "..."], lam, delta) -> Float[Array, "..."]:
    return lam * jnp.where(jnp.abs(w) > delta, jnp.sign(w) * delta, w)


def prox(w: Float[Array, "..."], step, lam, delta) -> Float[Array, "..."]:
    """Shrink by 1 + step·lam up to where that reaches delta; from there subtract step·lam·delta."""
    strength = finite_product(step, lam)
    # No clip: at strength 0 its three arguments are level, and its derivative a mean of theirs.
    return jnp.where(jnp.abs(w) <= delta * (1 + strength), w / (1 + strength), w - jnp.sign(w) * (strength * delta))


def conjugate(u: Float[Array, "..."], lam, delta) -> Float[Array, "..."]:
    """``u²/(2·lam)`` for |u| <= lam·delta, +inf beyond."""
    square = u**2 / (2 * jnp.where(lam > 0, lam, 1))
    return jnp.where(jnp.abs(u) <= lam * delta, square, jnp.inf).astype(u.dtype)


class Huber(Separable):
    """Huber penalty: ``lam·Σ h(w)``, ``h(w) = ½w²`` up to ``|w| = delta`` and ``delta·|w| − ½delta²`` beyond.

    L2 (with ½) for small weights, L1 for large: it shrinks large weights by a constant and none to zero. Gradient
    ``lam·clip(w, ±delta)``. Convex, smooth, separable. For a robust loss see ``losses``; this one is of parameters.

    Args:
      lam: curvature at zero, >= 0: a number, an array (one leaf) or a pytree prefix.
      delta: where squares end, > 0, in units of the parameters; shapes as ``lam``.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``delta`` is not positive.

    References:
      Huber, Robust estimation of a location parameter, 1964, eq. 3; it is ``lam·delta`` times the Moreau envelope of ``|w|``:
      Parikh and Boyd, Proximal algorithms, 2014, §3.1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Huber(1.0, delta=1.0).prox(jnp.array([1.0, 4.0])).tolist()
    [0.5, 3.0]
    """

    lam: Strength = 1.0
    delta: Strength = 1.0
    convex, smooth = True, True
    about = About(
        equation="lam·Σ h(w), h(w) = ½w² up to |w| = delta, delta·|w| − ½delta² beyond",
        domain="lam ≥ 0, delta > 0",
        cost="O(n)",
        also="SCICO, ProximalOperators.jl, PyProximal",
        source="Huber 1964, eq. 3",
    )

    leaf_value = staticmethod(value)
    leaf_grad = staticmethod(grad)
    leaf_prox = staticmethod(prox)
    leaf_conjugate = staticmethod(conjugate)

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "delta":
            check_numbers("Huber: delta", value, lambda x: np.asarray(x > 0), "> 0")

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"h({w})")
