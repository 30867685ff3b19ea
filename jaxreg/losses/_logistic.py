"""The logistic loss: the negative log-likelihood of classes 0 and 1."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._base import Loss, check_classes, xlogx


@jax.custom_jvp
def _softplus(eta: Array) -> Array:
    """``log(1 + exp η)``: jax.nn.softplus in a third of the time."""
    return jnp.maximum(eta, 0) + jnp.log1p(jnp.exp(-jnp.abs(eta)))


@_softplus.defjvp
def _softplus_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _softplus(*primals), jax.nn.sigmoid(*primals) * tangents[0]  # what is differentiated twice has no kink at 0


class Logistic(Loss):
    """Logistic loss ``cᵢ·(log(1 + exp ηᵢ) − yᵢηᵢ)`` for y in {0, 1}.

    Gradient ``cᵢ(σ(ηᵢ) − yᵢ)``, curvature ``cᵢσ(ηᵢ)(1 − σ(ηᵢ))``, conjugate the negative entropy of
    ``p = y + dual/c``, finite for p in [0, 1].

    Args:
      reduction: ``"sum"`` (default; scikit-learn's ``LogisticRegression``) or ``"mean"`` (glmnet).

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> round(float(losses.Logistic()(jnp.zeros(2), jnp.array([0.0, 1.0]))), 6)  # 2·log 2
    1.386294
    """

    classification: ClassVar[bool] = True
    score: ClassVar[str] = "mean log loss"
    deviance: ClassVar[float | None] = 2.0
    dispersion: ClassVar[float | None] = 1.0

    def pointwise(self, eta: Array, y: Array) -> Array:
        return _softplus(eta) - y * eta

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        return jax.nn.sigmoid(eta) - y

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        del y
        return jax.nn.sigmoid(eta) * jax.nn.sigmoid(-eta)

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        p = y + dual
        return xlogx(p) + xlogx(1 - p)

    def mean(self, eta: Array) -> Array:
        return jax.nn.sigmoid(eta)

    def check_targets(self, y: Any) -> None:
        check_classes(y, "Logistic", most=2)

    def formula(self) -> str:
        return "Σ(log(1 + eᵑ) − y·η)" + ("/n" if self.reduction == "mean" else "")
