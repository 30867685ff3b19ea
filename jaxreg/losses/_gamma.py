"""The gamma loss: positive targets whose standard deviation grows with their mean, under a log link."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ._base import Loss, check_numbers


class Gamma(Loss):
    """Gamma loss ``cᵢ·(yᵢ exp(−ηᵢ) + ηᵢ)`` for y > 0: the log-likelihood under a log link, up to the shape and constants.

    Gradient ``cᵢ(1 − yᵢ exp(−ηᵢ))``, curvature ``cᵢyᵢ exp(−ηᵢ)``, conjugate ``c(a log(a/y) − a)`` of ``a = 1 − dual/c``, finite for
    a >= 0. The expected target is ``exp η``.

    Args:
      reduction: ``"sum"`` (default) or ``"mean"`` (scikit-learn's ``GammaRegressor``).

    References:
      McCullagh and Nelder, Generalized linear models, 1989, §8.

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> float(losses.Gamma()(jnp.zeros(2), jnp.array([1.0, 3.0])))  # 1·e⁰ + 0 + 3·e⁰ + 0
    4.0
    """

    score: ClassVar[str] = "mean half deviance"
    deviance: ClassVar[float | None] = 2.0
    log_link: ClassVar[bool] = True
    reach: ClassVar[float] = 80.0

    def pointwise(self, eta: Array, y: Array) -> Array:
        return y * jnp.exp(-eta) + eta

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        return 1 - y * jnp.exp(-eta)

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        return y * jnp.exp(-eta)

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        a = 1 - dual
        value = jnp.where(a > 0, a * jnp.log(jnp.where(a > 0, a, 1) / y), 0) - a
        return jnp.where(a < 0, jnp.inf, value)

    def mean(self, eta: Array) -> Array:
        return jnp.exp(eta)

    def check_targets(self, y: Any) -> None:
        check_numbers(y, "Gamma", lambda y: y > 0, "> 0")

    def formula(self) -> str:
        return "Σ(y·e⁻ᵑ + η)" + ("/n" if self.reduction == "mean" else "")
