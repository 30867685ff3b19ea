"""The multinomial loss: softmax cross-entropy with one linear predictor for each class, symmetric."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._base import Loss, check_classes, xlogx


class Multinomial(Loss):
    """Multinomial loss ``cᵢ·(logsumexp ηᵢ − ηᵢ[yᵢ])`` for classes y in {0, …, K−1} and η of shape (n, K).

    Gradient ``cᵢ(softmax ηᵢ − onehot yᵢ)``, curvature ``cᵢ(diag p − p pᵀ)``, conjugate ``Σ p log p`` of
    ``p = onehot y + dual/c``, finite on the simplex. All K columns are kept (glmnet's symmetric form): a shift of a
    row of η changes nothing, and the penalty decides.

    Args:
      reduction: ``"sum"`` (default) or ``"mean"``.

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> round(float(losses.Multinomial()(jnp.zeros((1, 3)), jnp.array([2]))), 6)  # log 3
    1.098612
    """

    classification: ClassVar[bool] = True
    vector: ClassVar[bool] = True
    score: ClassVar[str] = "mean log loss"
    deviance: ClassVar[float | None] = 2.0
    dispersion: ClassVar[float | None] = 1.0

    def pointwise(self, eta: Array, y: Array) -> Array:
        chosen = jnp.take_along_axis(eta, y.astype(int)[:, None], axis=1)[:, 0]
        return jax.scipy.special.logsumexp(eta, axis=1) - chosen

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        return jax.nn.softmax(eta, axis=1) - jax.nn.one_hot(y.astype(int), eta.shape[1], dtype=eta.dtype)

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        del y
        p = jax.nn.softmax(eta, axis=1)
        return p[:, :, None] * (jnp.eye(eta.shape[1], dtype=eta.dtype) - p[:, None, :])

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        p = dual + jax.nn.one_hot(y.astype(int), dual.shape[1], dtype=dual.dtype)
        # The sum must be 1; what rounding leaves of it is not a violation.
        off = jnp.abs(jnp.sum(dual, axis=1)) > 64 * jnp.finfo(dual.dtype).eps * dual.shape[1]
        return jnp.where(off, jnp.inf, jnp.sum(xlogx(p), axis=1))

    def mean(self, eta: Array) -> Array:
        return jax.nn.softmax(eta, axis=1)

    def outputs(self, y: Any) -> int:
        return check_classes(y, "Multinomial")

    def check_targets(self, y: Any) -> None:
        check_classes(y, "Multinomial")

    def formula(self) -> str:
        return "Σ(logsumexp η − η[y])" + ("/n" if self.reduction == "mean" else "")
