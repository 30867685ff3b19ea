"""Zero: no penalty, so that "none" needs no special case."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import zero_or_inf
from ._base import Penalty, Strength
from ._separable import Separable


class Zero(Separable):
    """No penalty at all: value and gradient 0, prox the identity, conjugate the indicator of 0.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §1.1: the prox of a constant is the identity.

    >>> import jax.numpy as jnp, jaxreg
    >>> float(jaxreg.Zero()(jnp.ones(3)))
    0.0
    """

    convex, smooth = True, True
    about = About(
        equation="0",
        domain="no parameters",
        cost="O(n)",
        also="jaxopt, nemos, SCICO, ProximalOperators.jl",
        source="Parikh and Boyd 2014, §1.1",
    )

    @staticmethod
    def leaf_value(w: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.zeros_like(w)

    @staticmethod
    def leaf_grad(w: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.zeros_like(w)

    @staticmethod
    def leaf_prox(w: Float[Array, "..."], step) -> Float[Array, "..."]:
        del step
        return w

    leaf_conjugate = staticmethod(zero_or_inf)

    @staticmethod
    def leaf_free(w: Float[Array, "..."]) -> Array:
        return jnp.ones(w.shape, bool)

    def scaled(self, factor: Strength) -> Penalty:
        del factor
        return self

    def terms(self) -> tuple[Penalty, ...]:
        return ()

    def formula(self, prefix: str = "", w: str = "w") -> str:
        del prefix, w
        return "0"
