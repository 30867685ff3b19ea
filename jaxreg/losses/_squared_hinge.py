"""The squared hinge loss: the linear support vector machine with a differentiable loss."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ._base import Loss, check_classes


class SquaredHinge(Loss):
    """Squared hinge ``cᵢ·max(0, 1 − sᵢηᵢ)²`` with ``s = 2y − 1`` for classes y in {0, 1}.

    Gradient ``−2cᵢsᵢ·max(0, 1 − sᵢηᵢ)``, curvature 2cᵢ or 0, conjugate ``c(m + ¼m²)`` of ``m = s·dual/c``, finite for m <= 0. No
    probability belongs to it, so that ``mean`` is not defined and a path predicts the class: 1 where η is positive.

    Args:
      reduction: ``"sum"`` (default; with ``L2(1/(2C))`` scikit-learn's ``LinearSVC(C)`` without its penalised intercept) or ``"mean"``.

    References:
      Chang, Hsieh and Lin, Coordinate descent method for large-scale L2-loss linear support vector machines, 2008, eq. 1.

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> float(losses.SquaredHinge()(jnp.array([0.5, 0.5]), jnp.array([1.0, 0.0])))  # ½² + (1½)²
    2.5
    """

    classification: ClassVar[bool] = True
    score: ClassVar[str] = "mean squared hinge"

    def pointwise(self, eta: Array, y: Array) -> Array:
        return jnp.maximum(1 - (2 * y - 1) * eta, 0) ** 2

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        s = 2 * y - 1
        return -2 * s * jnp.maximum(1 - s * eta, 0)

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        return jnp.where((2 * y - 1) * eta < 1, 2.0, 0.0).astype(eta.dtype)

    def pointwise_majorizer(self, eta: Array, y: Array) -> Array:
        del y
        return jnp.full_like(eta, 2)

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        m = (2 * y - 1) * dual
        return jnp.where(m > 64 * jnp.finfo(dual.dtype).eps, jnp.inf, m + m**2 / 4)

    def prediction(self, eta: Array) -> Array:
        return jnp.where(eta > 0, 1.0, 0.0).astype(eta.dtype)

    def check_targets(self, y: Any) -> None:
        check_classes(y, "SquaredHinge", most=2)

    def formula(self) -> str:
        return "Σ(1 − (2y − 1)·η)₊²" + ("/n" if self.reduction == "mean" else "")
