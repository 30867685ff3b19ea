"""Two values: each number is the one or the other."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import check_numbers, number
from ._base import Penalty, Strength
from ._interval import check_order, grad, slack
from ._separable import Separable


def _is_one(w: Float[Array, "..."], lower, upper) -> Array:
    """To 64 ε."""
    return (jnp.abs(w - lower) <= slack(w, lower)) | (jnp.abs(w - upper) <= slack(w, upper))


def value(w: Float[Array, "..."], lower, upper) -> Float[Array, "..."]:
    return jnp.where(_is_one(w, lower, upper), 0, jnp.where(jnp.isnan(w), jnp.nan, jnp.inf)).astype(w.dtype)


def prox(w: Float[Array, "..."], step, lower, upper) -> Float[Array, "..."]:
    del step
    nearer = jnp.where(w - lower <= upper - w, lower, upper)
    return jnp.where(jnp.isnan(w), w, nearer)


def subdifferential(w: Float[Array, "..."], lower, upper) -> tuple[Array, Array]:
    """Of isolated points everything, elsewhere nothing."""
    end = jnp.where(_is_one(w, lower, upper), jnp.inf, -jnp.inf).astype(w.dtype)
    return -end, end


def support(w: Float[Array, "..."], lower, upper) -> Array:
    del lower, upper
    return jnp.zeros(w.shape, bool)


class Binary(Separable):
    """The constraint that each number is ``lower`` or ``upper``: 0 where it holds, +inf elsewhere. λ has no effect on it. Not convex.

    Prox: the nearer of the two, half way the lower; networks of binary weights take (−1, 1), masks (0, 1). Gradient 0. Every point of
    the set is stationary. No conjugate is given: it is that of ``Box(lower, upper)``, its hull.

    Args:
      lower, upper: numbers, arrays (one leaf) or pytree prefixes; lower <= upper.

    Raises:
      ValueError: a value is not finite, or ``lower`` exceeds ``upper``.

    References:
      Courbariaux, Bengio and David, BinaryConnect, 2015, §2.2 (the projection); Rockafellar and Wets, Variational analysis, 1998, def. 6.3
      (the normal cone).

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Binary(-1.0, 1.0).prox(jnp.array([0.3, -4.0])).tolist()
    [1.0, -1.0]
    """

    lower: Strength = 0.0
    upper: Strength = 1.0
    finite = False
    about = About(
        equation="w ∈ {lower, upper}",
        domain="lower ≤ upper",
        cost="O(n)",
        also="ProximalOperators.jl",
        source="Courbariaux, Bengio and David 2015, §2.2",
    )

    leaf_value, leaf_grad, leaf_prox = staticmethod(value), staticmethod(grad), staticmethod(prox)
    leaf_subdifferential, leaf_support = staticmethod(subdifferential), staticmethod(support)

    @staticmethod
    def leaf_free(w: Float[Array, "..."], lower, upper) -> Array:
        del lower, upper
        return jnp.zeros(w.shape, bool)

    def _validate(self, name: str, value: Any) -> None:
        check_numbers(f"Binary: {name}", value, np.isfinite, "finite")
        if name == "upper":
            check_order(self)

    def scaled(self, factor: Strength) -> Penalty:
        del factor
        return self

    def formula(self, prefix: str = "", w: str = "w") -> str:
        del prefix
        return f"[{w} ∈ {{{number(self.lower, 'lower')}, {number(self.upper, 'upper')}}}]"
