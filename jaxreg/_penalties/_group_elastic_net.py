"""The group elastic net: a group lasso and squares, ``lam·(l1_ratio·Σ_g weight_g·‖w_g‖₂ + ½(1 − l1_ratio)·Σw²)``."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import check_numbers, coefficient, number
from ._base import Penalty, Strength, static
from ._group_lasso import GroupLasso
from ._groups import Radial
from ._l2 import L2


def value(m: Float[Array, " groups"], lam, l1_ratio, weights) -> Float[Array, " groups"]:
    return lam * m * (l1_ratio * weights + (1 - l1_ratio) / 2 * m)


def slope(m: Float[Array, " groups"], lam, l1_ratio, weights) -> Float[Array, " groups"]:
    return lam * (l1_ratio * weights + (1 - l1_ratio) * m)


def steepest(m: Float[Array, " groups"], lam, l1_ratio, weights) -> Float[Array, " groups"]:
    del m
    return lam * l1_ratio * weights


def ease(m: Float[Array, " groups"], step, lam, l1_ratio, weights) -> Float[Array, " groups"]:
    """Soft-threshold, then shrink."""
    return jnp.maximum(m - step * lam * l1_ratio * weights, 0) / (1 + step * lam * (1 - l1_ratio))


def conjugate(u: Float[Array, " groups"], lam, l1_ratio, weights) -> Float[Array, " groups"]:
    """``(u − lam·l1_ratio·weight_g)₊²/(2·lam·(1 − l1_ratio))``: what is beyond the norm's ball, at the price of the squares."""
    beyond, curvature = jnp.maximum(u - lam * l1_ratio * weights, 0), lam * (1 - l1_ratio)
    square = beyond * (beyond / (2 * jnp.where(curvature > 0, curvature, 1)))
    return jnp.where(curvature > 0, square, jnp.where(beyond == 0, 0, jnp.inf)).astype(u.dtype)


def untouched(m: Float[Array, " groups"], lam, l1_ratio, weights) -> Array:
    return (steepest(m, lam, l1_ratio, weights) == 0) & (lam * (1 - l1_ratio) == 0)


class GroupElasticNet(Radial):
    """Group elastic net: ``lam·(l1_ratio·Σ_g weight_g·‖w_g‖₂ + ½(1 − l1_ratio)·Σw²)``.

    Whole groups become zero, and the squares keep correlated groups together. The ½ is part of the definition, as in
    ``ElasticNet``. adelie and grpreg (``alpha`` there is ``l1_ratio`` here) multiply a group's squares by its weight too: with
    weights of 1 they are the same. Gradient ``lam·(l1_ratio·weight_g/‖w_g‖ + 1 − l1_ratio)·w_g`` (0 for a zero group), prox
    a group's soft thresholding and then a division, conjugate a square beyond each group's ball. Convex.

    Args:
      lam: strength, >= 0, one number.
      groups: integer ids from 0, as ``GroupLasso`` takes them.
      l1_ratio: the share of the norms, in [0, 1].
      weights: one number >= 0 for each id, for its norm; the default is √(number of parameters in the group).

    Raises:
      ValueError: a strength is negative or not finite, ``l1_ratio`` is outside [0, 1], ids or weights do not fit.

    References:
      Yang and Hastie, A fast and scalable pathwise-solver for group lasso and elastic net penalized regression via
      block-coordinate descent, 2024, eq. 1; the prox: Parikh and Boyd, Proximal algorithms, 2014, §2.2 and §6.5.1.

    >>> import jax.numpy as jnp, jaxreg
    >>> penalty = jaxreg.GroupElasticNet(2.0, groups=[0, 0, 1], weights=[4.0, 1.0])
    >>> penalty.prox(jnp.array([3.0, 4.0, 3.0])).tolist()
    [0.3..., 0.4..., 1.0]
    """

    lam: Strength = 1.0
    groups: Any = static(default=None)
    l1_ratio: Strength = 0.5
    weights: Strength = None
    convex = True
    about = About(
        equation="lam·(l1_ratio·Σ_g weight_g·‖w_g‖₂ + ½(1 − l1_ratio)·Σw²)",
        domain="lam ≥ 0, 0 ≤ l1_ratio ≤ 1, weight_g ≥ 0",
        cost="O(n)",
        also="adelie and grpreg, with the squares weighted too",
        source="Yang and Hastie 2024, eq. 1",
    )

    norm_value, norm_slope, norm_steepest = staticmethod(value), staticmethod(slope), staticmethod(steepest)
    norm_shrink, norm_conjugate, norm_free = staticmethod(ease), staticmethod(conjugate), staticmethod(untouched)

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "l1_ratio":
            check_numbers("GroupElasticNet: l1_ratio", value, lambda x: np.asarray(x <= 1), "in [0, 1]")

    def terms(self) -> tuple[Penalty, ...]:
        norms = GroupLasso(1.0, groups=self.groups.value)._with(lam=self.lam * self.l1_ratio, weights=self.weights)
        return norms, L2()._with(lam=self._where_grouped(self.lam * (1 - self.l1_ratio) / 2))

    def formula(self, prefix: str = "", w: str = "w") -> str:
        r = number(self.l1_ratio, "l1_ratio")
        return f"{coefficient(prefix, self.lam)}({r}·Σ_g {self._norm_text(w)} + ½·(1−{r})·Σ{w}²)"
