"""The quantile loss, smoothed: conditional quantiles by a convex loss with a gradient."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from ._base import Loss


@dataclasses.dataclass(frozen=True)
class Quantile(Loss):
    """Smoothed quantile loss: ``cᵢ`` times the Moreau envelope of ``max(level·r, (level − 1)·r)`` at ``r = yᵢ − ηᵢ``.

    A parabola ``r²/(2·width)`` between ``−(1 − level)·width`` and ``level·width``, the check function less a constant beyond. A fit
    certifies this objective; per unit of cᵢ the check function itself is above it by at most ``½·width·max(level, 1 − level)²``
    (``bias``), so that a gap g here is one of at most g + Σcᵢ·bias there. Gradient ``cᵢ·clip((ηᵢ − yᵢ)/width, −level, 1 − level)``,
    curvature cᵢ/width or 0, conjugate ``c(uy + ½width·u²)`` of ``u = dual/c``, finite for ``−level <= u <= 1 − level``.

    Args:
      reduction: ``"sum"`` (default) or ``"mean"`` (scikit-learn's ``QuantileRegressor``).
      level: the quantile, in (0, 1); a half is the median, least absolute deviations.
      width: of the smoothing, > 0, in units of the target: small against the spread of the residuals, such as a hundredth.

    Raises:
      ValueError: ``level`` is not in (0, 1), or ``width`` not positive and finite.

    References:
      Koenker and Bassett, Regression quantiles, 1978, eq. 1.4; Nesterov, Smooth minimization of non-smooth functions, 2005, eq. 2.5.

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> loss = losses.Quantile(level=0.75, width=0.25)
    >>> float(loss(jnp.zeros(2), jnp.array([2.0, -2.0]))), loss.bias  # ¾·2 + ¼·2, less what the smoothing takes off
    (1.921875, 0.0703125)
    """

    level: float = 0.5
    width: float = 0.01
    score: ClassVar[str] = "mean quantile loss"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.level < 1:
            raise ValueError(f"Quantile: level must be between 0 and 1, both excluded, got {self.level}")
        if not 0 < self.width < float("inf"):
            raise ValueError(f"Quantile: width must be positive and finite, got {self.width}")

    @property
    def bias(self) -> float:
        """The most by which the check function exceeds its smoothed self."""
        return self.width * max(self.level, 1 - self.level) ** 2 / 2

    def pointwise(self, eta: Array, y: Array) -> Array:
        u = self.pointwise_grad(eta, y)
        return u * (eta - y) - self.width * u**2 / 2

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        return jnp.clip((eta - y) / self.width, -self.level, 1 - self.level)

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        u = (eta - y) / self.width
        return jnp.where((u >= -self.level) & (u <= 1 - self.level), 1 / self.width, 0.0).astype(eta.dtype)

    def pointwise_majorizer(self, eta: Array, y: Array) -> Array:
        """Of Hunter and Lange, Quantile regression via an MM algorithm, 2000, but no sharper than the parabola."""
        return 1 / jnp.maximum(2 * jnp.abs(y - eta), self.width)

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        slack = 64 * jnp.finfo(dual.dtype).eps
        outside = (dual < -self.level - slack) | (dual > 1 - self.level + slack)
        return jnp.where(outside, jnp.inf, dual * y + self.width * dual**2 / 2)

    def mean(self, eta: Array) -> Array:
        """The quantile, not the mean."""
        return eta

    def formula(self) -> str:
        return f"Σ ρ(y − η; {self.level:g}, width {self.width:g})" + ("/n" if self.reduction == "mean" else "")
