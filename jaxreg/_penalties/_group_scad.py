"""SCAD, the smoothly clipped absolute deviation, of group norms."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._about import About
from ._arithmetic import check_numbers
from ._base import Strength, static
from ._group_folded import GroupKnee
from ._scad import SCAD


class GroupSCAD(GroupKnee):
    """Group SCAD: ``Σ_g SCAD(‖w_g‖₂; lam·weight_g, a)``, a group lasso up to its first knee and flat from the second on.

    Slope ``lam·weight_g`` up to ``‖w_g‖ = lam·weight_g``, falling to 0 at ``a·lam·weight_g``. On a path λ takes the place of ``lam``
    (``at``); ``c * GroupSCAD(…)`` multiplies the whole. Not convex. Gradient of the norm's SCAD along ``w_g/‖w_g‖`` (0 for a zero
    group); the prox is exact for every step, ``SCAD``'s on the norm.

    Args:
      lam: slope at zero of a group of weight 1, >= 0, one number.
      groups: integer ids from 0, as ``GroupLasso`` takes them.
      a: where the slope ends, in units of ``lam·weight_g``, > 2.
      weights: one number >= 0 for each id; the default is √(number of parameters in the group).
      scale: a factor on the whole, >= 0; what ``c * GroupSCAD(…)`` sets.

    Raises:
      ValueError: a strength is negative or not finite, ``a`` is 2 or less, ids or weights do not fit.

    References:
      Wang, Chen and Li, Group SCAD regression analysis for microarray time course gene expression data, 2007, eq. 5; Breheny and
      Huang, Group descent algorithms for nonconvex penalized linear and logistic regression models with grouped predictors, 2015, §2.

    >>> import jax.numpy as jnp, jaxreg
    >>> penalty = jaxreg.GroupSCAD(1.0, groups=[0, 0, 1], weights=[2.0, 2.0])
    >>> penalty.prox(jnp.array([6.0, 8.0, 3.0])).tolist()
    [6.0, 8.0, 1.0]
    """

    lam: Strength = 1.0
    groups: Any = static(default=None)
    a: Strength = 3.7
    weights: Strength = None
    scale: Strength = 1.0
    single = SCAD
    weak_convexity = SCAD.weak_convexity  # that of a function of the norm is the function's own
    about = About(
        equation="scale·Σ_g SCAD(‖w_g‖₂; lam·weight_g, a)",
        domain="lam ≥ 0, a > 2, weight_g ≥ 0",
        cost="O(n)",
        also="grpreg, skglm",
        source="Breheny and Huang 2015, §2",
    )

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "a":
            check_numbers("GroupSCAD: a", value, lambda x: np.asarray(x > 2), "> 2")
