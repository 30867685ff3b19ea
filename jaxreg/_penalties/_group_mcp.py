"""The minimax concave penalty of group norms."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._about import About
from ._arithmetic import check_numbers
from ._base import Strength, static
from ._group_folded import GroupKnee
from ._mcp import MCP


class GroupMCP(GroupKnee):
    """Group MCP: ``Σ_g MCP(‖w_g‖₂; lam·weight_g, gamma)``, a group lasso that leaves large groups unbiased.

    Slope ``lam·weight_g`` at zero, falling to 0 at ``‖w_g‖ = gamma·lam·weight_g``. On a path λ takes the place of ``lam`` (``at``);
    ``c * GroupMCP(…)`` multiplies the whole. Not convex. Gradient of the norm's MCP along ``w_g/‖w_g‖`` (0 for a zero group); the prox
    is exact for every step, ``MCP``'s on the norm.

    Args:
      lam: slope at zero of a group of weight 1, >= 0, one number.
      groups: integer ids from 0, as ``GroupLasso`` takes them.
      gamma: how far the slope lasts, > 0; large is the group lasso.
      weights: one number >= 0 for each id; the default is √(number of parameters in the group).
      scale: a factor on the whole, >= 0; what ``c * GroupMCP(…)`` sets.

    Raises:
      ValueError: a strength is negative or not finite, ``gamma`` is not positive, ids or weights do not fit.

    References:
      Huang, Breheny and Ma, A selective review of group selection in high-dimensional models, 2012, §2.3; Breheny and Huang, Group
      descent algorithms for nonconvex penalized linear and logistic regression models with grouped predictors, 2015, §2.

    >>> import jax.numpy as jnp, jaxreg
    >>> penalty = jaxreg.GroupMCP(1.0, groups=[0, 0, 1], weights=[2.0, 2.0])
    >>> penalty.prox(jnp.array([6.0, 8.0, 1.0])).tolist()
    [6.0, 8.0, 0.0]
    """

    lam: Strength = 1.0
    groups: Any = static(default=None)
    gamma: Strength = 3.0
    weights: Strength = None
    scale: Strength = 1.0
    single = MCP
    weak_convexity = MCP.weak_convexity  # that of a function of the norm is the function's own
    about = About(
        equation="scale·Σ_g MCP(‖w_g‖₂; lam·weight_g, gamma)",
        domain="lam ≥ 0, gamma > 0, weight_g ≥ 0",
        cost="O(n)",
        also="grpreg, skglm",
        source="Breheny and Huang 2015, §2",
    )

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "gamma":
            check_numbers("GroupMCP: gamma", value, lambda x: np.asarray(x > 0), "> 0")
