"""L½ of group norms: ``lam·Σ_g weight_g·√‖w_g‖₂``."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import coefficient
from ._base import PyTree, Strength, static
from ._folded import no_lambda_max
from ._groups import Radial
from ._l_half import LHalf


def value(m: Float[Array, " groups"], lam, weights) -> Float[Array, " groups"]:
    return LHalf.leaf_value(m, lam * weights)


def slope(m: Float[Array, " groups"], lam, weights) -> Float[Array, " groups"]:
    return LHalf.slope(m, lam * weights)


def steepest(m: Float[Array, " groups"], lam, weights) -> Float[Array, " groups"]:
    return LHalf.steepest(m, lam * weights)


def shrink(m: Float[Array, " groups"], step, lam, weights) -> Float[Array, " groups"]:
    return LHalf.shrink(m, step, lam * weights)


class GroupLHalf(Radial):
    """Group L½: ``lam·Σ_g weight_g·√‖w_g‖₂``; sparser in groups than the group lasso, and less biased.

    Gradient ``½·lam·weight_g·w_g/‖w_g‖^{3/2}`` (0 for a zero group), prox ``LHalf``'s on the norms. Not convex, and zero is stationary
    for every λ: there is no ``lambda_max``.

    Args:
      lam: strength, >= 0, one number, in units of loss per root of a parameter.
      groups: integer ids from 0, as ``GroupLasso`` takes them.
      weights: one number >= 0 for each id; the default is √(number of parameters in the group).

    Raises:
      ValueError: a strength is negative or not finite, ids or weights do not fit.

    References:
      Hu, Li, Meng, Qin and Yang, Group sparse optimization via ℓp,q regularization, 2017, §1 (q = ½) and §4.

    >>> import jax.numpy as jnp, jaxreg
    >>> penalty = jaxreg.GroupLHalf(1.0, groups=[0, 0, 1], weights=[1.0, 1.0])
    >>> penalty.prox(jnp.array([3.0, 4.0, 1.0])).round(3).tolist()
    [2.86..., 3.81..., 0.0]
    """

    lam: Strength = 1.0
    groups: Any = static(default=None)
    weights: Strength = None
    about = About(
        equation="lam·Σ_g weight_g·√‖w_g‖₂",
        domain="lam ≥ 0, weight_g ≥ 0",
        cost="O(n)",
        also="skglm (weights of 1)",
        source="Hu, Li, Meng, Qin and Yang 2017, §1",
    )

    norm_value, norm_slope = staticmethod(value), staticmethod(slope)
    norm_steepest, norm_shrink = staticmethod(steepest), staticmethod(shrink)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        raise no_lambda_max(self)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}Σ_g {self._norm_text(w).replace('‖', '√‖', 1)}"
