"""The Poisson loss: the negative log-likelihood of counts under a log link."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ._base import Loss, check_numbers, xlogx


class Poisson(Loss):
    """Poisson loss ``cᵢ·(exp ηᵢ − yᵢηᵢ)`` for y >= 0, the log-likelihood without ``log y!``.

    Gradient ``cᵢ(exp ηᵢ − yᵢ)``, curvature ``cᵢ exp ηᵢ``, conjugate ``c(m log m − m)`` of ``m = y + dual/c``, finite for m >= 0. The
    expected target is ``exp η``. Exposure goes into the path's ``offset`` as its logarithm.

    Args:
      reduction: ``"sum"`` (default) or ``"mean"`` (glmnet, scikit-learn's ``PoissonRegressor``, nemos).

    References:
      McCullagh and Nelder, Generalized linear models, 1989, §6.2.

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> float(losses.Poisson()(jnp.array([0.0, 0.0]), jnp.array([0.0, 3.0])))  # e⁰ − 0·0 + e⁰ − 3·0
    2.0
    """

    score: ClassVar[str] = "mean half deviance"
    deviance: ClassVar[float | None] = 2.0
    dispersion: ClassVar[float | None] = 1.0
    log_link: ClassVar[bool] = True
    reach: ClassVar[float] = 80.0

    def pointwise(self, eta: Array, y: Array) -> Array:
        return jnp.exp(eta) - y * eta

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        return jnp.exp(eta) - y

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        del y
        return jnp.exp(eta)

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        m = y + dual
        return xlogx(m) - m

    def mean(self, eta: Array) -> Array:
        return jnp.exp(eta)

    def check_targets(self, y: Any) -> None:
        check_numbers(y, "Poisson", lambda y: y >= 0, ">= 0, counts or rates")

    def formula(self) -> str:
        return "Σ(eᵑ − y·η)" + ("/n" if self.reduction == "mean" else "")
