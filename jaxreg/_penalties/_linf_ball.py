"""The ℓ∞ ball: no weight larger than a radius."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from . import _interval as interval
from ._about import About
from ._arithmetic import number
from ._base import Penalty, Strength
from ._separable import Separable


class LInfBall(Separable):
    """The constraint ``|w_j| <= radius``: 0 where it holds, +inf elsewhere; λ has no effect.

    ``Box(-radius, radius)`` with one strength for both ends. Prox the clip, gradient 0, conjugate ``radius·Σ|u|``; convex, separable,
    smooth inside. It needs no axis: the balls of all slices are the ball of the whole.

    Args:
      radius: >= 0; a number, an array (one leaf) or a pytree prefix.

    Raises:
      ValueError: ``radius`` is negative or not finite.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.2 (boxes).

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.LInfBall(2.0).prox(jnp.array([-3.0, 0.5, 3.0])).tolist()
    [-2.0, 0.5, 2.0]
    """

    radius: Strength = 1.0
    convex, finite, role = True, False, "interval"
    about = About(
        equation="max|w| ≤ radius",
        domain="radius ≥ 0",
        cost="O(n)",
        also="optax, jaxopt, ProximalOperators.jl",
        source="Parikh and Boyd 2014, §6.2",
    )

    @staticmethod
    def leaf_value(w: Float[Array, "..."], radius) -> Float[Array, "..."]:
        return interval.value(w, -radius, radius)

    @staticmethod
    def leaf_grad(w: Float[Array, "..."], radius) -> Float[Array, "..."]:
        return interval.grad(w, -radius, radius)

    @staticmethod
    def leaf_prox(w: Float[Array, "..."], step, radius) -> Float[Array, "..."]:
        return interval.prox(w, step, -radius, radius)

    @staticmethod
    def leaf_subdifferential(w: Float[Array, "..."], radius) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        return interval.subdifferential(w, -radius, radius)

    @staticmethod
    def leaf_support(w: Float[Array, "..."], radius) -> Array:
        return interval.support(w, -radius, radius)

    @staticmethod
    def leaf_conjugate(u: Float[Array, "..."], radius) -> Float[Array, "..."]:
        return (radius * jnp.abs(u)).astype(u.dtype)

    @staticmethod
    def leaf_free(w: Float[Array, "..."], radius) -> Array:
        return jnp.zeros(w.shape, bool)

    def scaled(self, factor: Strength) -> Penalty:
        del factor
        return self

    def formula(self, prefix: str = "", w: str = "w") -> str:
        del prefix
        return f"[max|{w}| ≤ {number(self.radius, 'radius')}]"
