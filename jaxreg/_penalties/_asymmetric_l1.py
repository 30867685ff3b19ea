"""L1 with a strength for each sign: ``Σ positive·max(w, 0) + negative·max(−w, 0)``."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import _l1
from ._about import About
from ._arithmetic import coefficient
from ._base import Penalty, Strength
from ._separable import Separable


def side(w: Float[Array, "..."], positive, negative) -> Float[Array, "..."]:
    """The strength of the sign that a weight has."""
    return jnp.where(w > 0, positive, negative)


def value(w: Float[Array, "..."], positive, negative) -> Float[Array, "..."]:
    return _l1.value(w, side(w, positive, negative))


def grad(w: Float[Array, "..."], positive, negative) -> Float[Array, "..."]:
    return _l1.grad(w, side(w, positive, negative))


def prox(w: Float[Array, "..."], step, positive, negative) -> Float[Array, "..."]:
    return _l1.prox(w, step, side(w, positive, negative))


def subdifferential(w: Float[Array, "..."], positive, negative) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """The interval [−negative, positive] at 0, one point elsewhere, and NaN at NaN."""
    broken = jnp.where(jnp.isnan(w), w, 0)
    return jnp.where(w > 0, positive, -negative) + broken, jnp.where(w < 0, -negative, positive) + broken


def support(w: Float[Array, "..."], positive, negative) -> Array:
    return (w != 0) | ((positive == 0) & (negative == 0))


def conjugate(u: Float[Array, "..."], positive, negative) -> Float[Array, "..."]:
    return jnp.where((-negative <= u) & (u <= positive), 0.0, jnp.inf).astype(u.dtype)


class AsymmetricL1(Separable):
    """Asymmetric L1 (the check function, of parameters): ``Σ positive·max(w, 0) + negative·max(−w, 0)``.

    Two prices: for weights of a sign that is expected and of one that is not. Equal, they are ``L1``; with ``negative`` 0 only
    positive weights pay. On a path λ multiplies both. Gradient ``positive`` or ``−negative`` by sign (0 at 0), prox soft thresholding
    at ``step·positive`` and ``−step·negative``, conjugate the indicator of ``−negative <= u <= positive``. Convex, separable, not
    smooth at 0. For hard signs add ``NonNegative()``.

    Args:
      positive: strength for positive weights, >= 0, in units of loss per parameter: a number, an array (one leaf) or a pytree prefix.
      negative: strength for negative weights; shapes as ``positive``.

    Raises:
      ValueError: a strength is negative or not finite.

    References:
      Koenker and Bassett, Regression quantiles, 1978 (the same function, of residuals).

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.AsymmetricL1(positive=1.0, negative=2.0).prox(jnp.array([3.0, -3.0, -1.5])).tolist()
    [2.0, -1.0, 0.0]
    """

    positive: Strength = 1.0
    negative: Strength = 1.0
    convex = True
    about = About(
        equation="Σ positive·max(w, 0) + negative·max(−w, 0)",
        domain="positive ≥ 0, negative ≥ 0",
        cost="O(n)",
        also="ProximalOperators.jl (SumPositive)",
        source="Koenker and Bassett 1978",
    )

    leaf_value = staticmethod(value)
    leaf_grad = staticmethod(grad)
    leaf_prox = staticmethod(prox)
    leaf_subdifferential = staticmethod(subdifferential)
    leaf_support = staticmethod(support)
    leaf_conjugate = staticmethod(conjugate)

    @staticmethod
    def leaf_free(w: Float[Array, "..."], positive, negative) -> Array:
        return jnp.broadcast_to((positive == 0) & (negative == 0), w.shape)

    def scaled(self, factor: Strength) -> Penalty:
        positive, negative = (jax.tree.map(lambda value: factor * value, lam) for lam in (self.positive, self.negative))
        return self._with(positive=positive, negative=negative)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        up, down = (coefficient(prefix, lam) for lam in (self.positive, self.negative))
        return f"{up}Σ{w}₊ + {down}Σ(−{w})₊"
