"""The squared error: ``Σ(y − η)²``, ``Σ(y − η)²/n`` or ``Σ(y − η)²/(2n)``."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ._base import Loss


class SquaredError(Loss):
    """Squared error ``cᵢ·(yᵢ − ηᵢ)²`` (Gaussian likelihood): gradient ``2cᵢ(ηᵢ − yᵢ)``, curvature ``2cᵢ``.

    Args:
      reduction: ``"sum"`` (default; with ``L2(lam)`` this is ``Ridge(alpha=lam)``), ``"mean"`` (/n) or ``"half_mean"``
        (/(2n): glmnet's and scikit-learn's Lasso). With sample weights v, n becomes Σv.

    Raises:
      ValueError: an unknown reduction.

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> eta, y = jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])
    >>> [float(losses.SquaredError(r)(eta, y)) for r in ("sum", "mean", "half_mean")]
    [5.0, 2.5, 1.25]
    """

    reductions: ClassVar[tuple[str, ...]] = ("sum", "mean", "half_mean")
    score: ClassVar[str] = "mean squared error"
    deviance: ClassVar[float | None] = 1.0

    def pointwise(self, eta: Array, y: Array) -> Array:
        return (y - eta) ** 2

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        return 2 * (eta - y)

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        return jnp.full_like(eta, 2)

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        return dual * y + dual**2 / 4

    def mean(self, eta: Array) -> Array:
        return eta

    def formula(self) -> str:
        return "Σ(y − η)²" + {"sum": "", "mean": "/n", "half_mean": "/(2n)"}[self.reduction]
