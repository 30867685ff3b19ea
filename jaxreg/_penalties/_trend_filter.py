"""Trend filtering: ``lam·Σ|D^{order+1} w|``, the price of knots in a piecewise polynomial."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._about import About
from ._arithmetic import coefficient
from ._base import Strength, static
from ._differences import Differences


class TrendFilter(Differences):
    """Trend filtering: ``lam·Σ|D^{order+1} w|``, each vector of each leaf along ``axis`` a line of its own.

    Solutions are piecewise polynomials of degree ``order``: levels for 0 (:class:`FusedLasso`), lines with kinks for 1. Gradient
    ``lam·Dᵀsign(Dw)``, conjugate the indicator of ``Dᵀz`` with ``|z| <= lam`` (to rounding), polynomials of that degree are free.
    The prox is an interior point, then least squares with its knots: O(n) each, a line after the other. Off the knots
    differences are 0 to the rounding of w, and smaller ones count as 0.

    The problem's condition grows as n^(order + 1), for which float32 is computed in pairs of numbers. What the prox cannot prove (to a
    duality gap of √ε·‖w‖²) it returns as NaN: in float64 seen for order 2 on a thousand points without noise and order 3 on thousands; in
    float32 for order 1 on ten thousand points and order 2 on a thousand with a lam that leaves next to no knot, and order 3 on hundreds.

    Args:
      lam: strength, >= 0, one number; in units of the loss per unit of (order + 1)-th difference.
      order: the degree of the polynomials, 0 or more; 1 and 2 are usual.
      axis: the axis of each leaf that is the line (or axes, raveled), or None for all leaves as one line.

    Raises:
      ValueError: ``lam`` is negative or not finite; ``order`` is negative; a leaf lacks the axis.
      TypeError: ``order`` is no integer.

    References:
      Kim, Koh, Boyd and Gorinevsky, ℓ1 trend filtering, 2009, eq. 2 and §5; Tibshirani, Adaptive piecewise polynomial estimation
      via trend filtering, 2014, eq. 2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.TrendFilter(10.0).prox(jnp.array([0.0, 1.0, 5.0])).round(3).tolist()
    [-0.5, 2.0, 4.5]
    """

    lam: Strength = 1.0
    order: Any = static(default=1)
    axis: Any = static(default=-1)
    about = About(
        equation="lam·Σ|D^{order+1} w|",
        domain="lam ≥ 0, order 0, 1, 2, …; a line along an axis, or all parameters as one",
        cost="O(n) a Newton step, 12 to 20 steps",
        also="",
        source="Kim et al. 2009, eq. 2; Tibshirani 2014, eq. 2",
    )

    def __post_init__(self) -> None:
        if not isinstance(self.order, int | np.integer) or isinstance(self.order, bool):
            raise TypeError(f"TrendFilter: order must be an integer, got {self.order!r}")
        if self.order < 0:
            raise ValueError(f"TrendFilter: order must be >= 0, got {self.order}; 0 gives levels, 1 lines, 2 parabolas")
        super().__post_init__()

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}Σ|{self.order + 1}. differences of {w}|"
