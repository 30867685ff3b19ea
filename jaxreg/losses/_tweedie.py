"""The Tweedie loss: zeros beside positive targets, between Poisson and gamma, under a log link."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._base import Loss, check_numbers

_STEPS = 40  # of Newton's method within a bracket; 5 to 10 are needed


@dataclasses.dataclass(frozen=True)
class Tweedie(Loss):
    """Tweedie loss ``cᵢ·(exp((2 − p)ηᵢ)/(2 − p) − yᵢ exp((1 − p)ηᵢ)/(1 − p))`` for y >= 0 and a power p in (1, 2).

    Targets whose variance is their mean to the power p: insurance claims, rainfall. Poisson is the limit p = 1, gamma p = 2. Gradient
    ``cᵢ(exp((2 − p)ηᵢ) − yᵢ exp((1 − p)ηᵢ))``, curvature ``cᵢ((2 − p) exp((2 − p)ηᵢ) + (p − 1)yᵢ exp((1 − p)ηᵢ))``. The conjugate is
    computed: the gradient rises with η, and is inverted by Newton's method within a bracket. The expected target is ``exp η``.

    Args:
      reduction: ``"sum"`` (default) or ``"mean"`` (scikit-learn's ``TweedieRegressor(power, link="log")``).
      power: p, between 1 and 2, both excluded.

    Raises:
      ValueError: ``power`` is not in (1, 2).

    References:
      Jørgensen, Exponential dispersion models, 1987; Smyth and Jørgensen, Fitting Tweedie's compound Poisson model to insurance claims
      data, 2002, §2.

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> float(losses.Tweedie(power=1.5)(jnp.zeros(2), jnp.array([0.0, 3.0])))  # 2·e⁰ + 2·e⁰ + 2·3·e⁰
    10.0
    """

    power: float = 1.5
    score: ClassVar[str] = "mean half deviance"
    deviance: ClassVar[float | None] = 2.0
    log_link: ClassVar[bool] = True
    reach: ClassVar[float] = 80.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 < self.power < 2:
            raise ValueError(f"Tweedie: power must be between 1 (Poisson) and 2 (Gamma), both excluded, got {self.power}")

    def pointwise(self, eta: Array, y: Array) -> Array:
        p = self.power
        return jnp.exp((2 - p) * eta) / (2 - p) - y * jnp.exp((1 - p) * eta) / (1 - p)

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        p = self.power
        return jnp.exp((2 - p) * eta) - y * jnp.exp((1 - p) * eta)

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        p = self.power
        return (2 - p) * jnp.exp((2 - p) * eta) + (p - 1) * y * jnp.exp((1 - p) * eta)

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        """At y = 0 the gradient is all of (0, ∞): for a dual of 0 the supremum 0 is at −∞, below there is none."""
        some = (y > 0) | (dual > 0)
        eta = self._slope_is(jnp.where(some, dual, 1), y)
        value = jnp.where(some, dual * eta - self.pointwise(eta, y), jnp.where(dual == 0, 0.0, jnp.inf))
        return jnp.where(jnp.isnan(dual), jnp.nan, value)

    def _slope_is(self, dual: Array, y: Array) -> Array:
        """The η where the gradient ``exp((2 − p)η) − y exp((1 − p)η)`` is ``dual``: log y for 0, above it for more."""
        rise, fall = 2 - self.power, self.power - 1
        up, down = jnp.maximum(dual, 0), jnp.maximum(-dual, 0)
        some = y > 0
        middle = jnp.where(some, jnp.log(jnp.where(some, y, 1)), -jnp.inf)
        # Either term alone bounds η on one side, and with that bound in the other term on the other side.
        least = jnp.maximum(middle, jnp.log(up) / rise)
        most = jnp.log(up + jnp.where(some, y * jnp.exp(-fall * least), 0)) / rise
        above = jnp.where(some, jnp.minimum(middle, jnp.log(jnp.where(some, y, 1) / jnp.where(down > 0, down, 1)) / fall), 0)
        above = jnp.where(down > 0, above, middle)
        below = jnp.log(jnp.where(some, y, 1) / (down + jnp.exp(rise * above))) / fall
        low, high = jnp.where(dual > 0, least, below), jnp.where(dual > 0, most, above)

        def body(_: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            low, high, eta = carry
            excess = self.pointwise_grad(eta, y) - dual
            low, high = jnp.where(excess < 0, eta, low), jnp.where(excess > 0, eta, high)
            step = eta - excess / self.pointwise_curvature(eta, y)
            return low, high, jnp.where((step >= low) & (step <= high), step, (low + high) / 2)

        return jax.lax.fori_loop(0, _STEPS, body, (low, high, (low + high) / 2))[2]

    def mean(self, eta: Array) -> Array:
        return jnp.exp(eta)

    def check_targets(self, y: Any) -> None:
        check_numbers(y, "Tweedie", lambda y: y >= 0, ">= 0")

    def formula(self) -> str:
        p = self.power
        over = "/n" if self.reduction == "mean" else ""
        return f"Σ(e^({2 - p:g}η)/{2 - p:g} + y·e^(−{p - 1:g}η)/{p - 1:g})" + over
