"""The Huber loss: squares of small residuals, absolute values of large ones."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ._base import Loss


@dataclasses.dataclass(frozen=True)
class Huber(Loss):
    """Huber loss ``cᵢ·h(yᵢ − ηᵢ)``, ``h(r) = ½r²`` up to ``|r| = delta`` and ``delta·|r| − ½delta²`` beyond: robust regression.

    Gradient ``cᵢ·clip(ηᵢ − yᵢ, −delta, delta)``, curvature cᵢ or 0, conjugate ``c(uy + ½u²)`` of ``u = dual/c``, finite for
    ``|u| <= delta``. The expected target is η.

    Args:
      reduction: ``"sum"`` (default) or ``"mean"``.
      delta: where squares end, > 0, in units of the target. (The delta of ``jaxreg.Huber``, the penalty, is one of parameters.)

    Raises:
      ValueError: ``delta`` is not positive and finite.

    References:
      Huber, Robust estimation of a location parameter, 1964, eq. 3.

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> float(losses.Huber(delta=1.0)(jnp.zeros(2), jnp.array([1.0, -3.0])))  # ½ + (3 − ½)
    3.0
    """

    delta: float = 1.0
    score: ClassVar[str] = "mean Huber loss"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.delta < float("inf"):
            raise ValueError(f"losses.Huber: delta must be positive and finite, got {self.delta}")

    def pointwise(self, eta: Array, y: Array) -> Array:
        size = jnp.abs(y - eta)
        near = jnp.minimum(size, self.delta)
        return near * (size - near / 2)

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        return jnp.clip(eta - y, -self.delta, self.delta)

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        return jnp.where(jnp.abs(y - eta) <= self.delta, 1.0, 0.0).astype(eta.dtype)

    def pointwise_majorizer(self, eta: Array, y: Array) -> Array:
        size = jnp.abs(y - eta)
        return self.delta / jnp.maximum(size, self.delta)

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        slack = self.delta * (1 + 64 * jnp.finfo(dual.dtype).eps)
        return jnp.where(jnp.abs(dual) > slack, jnp.inf, dual * y + dual**2 / 2)

    def mean(self, eta: Array) -> Array:
        return eta

    def formula(self) -> str:
        return f"Σ h(y − η; {self.delta:g})" + ("/n" if self.reduction == "mean" else "")
