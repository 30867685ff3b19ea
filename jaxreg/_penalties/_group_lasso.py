"""The group lasso: ``lam·Σ_g weight_g·‖w_g‖₂``, for groups given by integer ids that may span leaves."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import coefficient
from ._base import Strength, static
from ._groups import Radial


def value(m: Float[Array, " groups"], lam, weights) -> Float[Array, " groups"]:
    return lam * weights * m


def slope(m: Float[Array, " groups"], lam, weights) -> Float[Array, " groups"]:
    del m
    return lam * weights


def soften(m: Float[Array, " groups"], step, lam, weights) -> Float[Array, " groups"]:
    return jnp.maximum(m - step * lam * weights, 0)


def conjugate(u: Float[Array, " groups"], lam, weights) -> Float[Array, " groups"]:
    """The indicator of each group's ball of radius lam·weight_g."""
    return jnp.where(u <= lam * weights, 0, jnp.inf).astype(u.dtype)


class GroupLasso(Radial):
    """Group lasso: ``lam·Σ_g weight_g·‖w_g‖₂``; whole groups become exactly zero.

    Gradient ``lam·weight_g·w_g/‖w_g‖`` (0 for a zero group), prox block soft thresholding, conjugate the indicator
    of ``‖u_g‖ <= lam·weight_g``. Convex, not separable, smooth where no group is zero.

    Args:
      lam: strength, >= 0, one number; per-group strengths go into ``weights``.
      groups: integer ids from 0, as an array or pytree that fits the parameters: each entry broadcasts to its leaf
        (``jnp.arange(d)[:, None]`` groups a kernel by rows; one integer makes a leaf a group, and equal ids in
        several leaves make one group across them). Ids that no parameter has are empty groups and cost nothing.
      weights: one number >= 0 for each id; the default is √(number of parameters in the group).

    Raises:
      ValueError: negative or non-finite strengths, negative or fractional ids, a wrong number of weights.

    References:
      Yuan and Lin, Model selection and estimation in regression with grouped variables, 2006, eq. 2.1.

    >>> import jax.numpy as jnp, jaxreg
    >>> penalty = jaxreg.GroupLasso(1.0, groups=[0, 0, 1], weights=[5.0, 1.0])
    >>> penalty.prox(jnp.array([3.0, 4.0, 3.0])).tolist()
    [0.0, 0.0, 2.0]
    """

    lam: Strength = 1.0
    groups: Any = static(default=None)
    weights: Strength = None
    convex, role = True, "norm"
    about = About(
        equation="lam·Σ_g weight_g·‖w_g‖₂",
        domain="lam ≥ 0, weight_g ≥ 0",
        cost="O(n)",
        also="jaxopt (one group), skglm, nemos, grpreg, adelie, SCICO, ProximalOperators.jl, PyProximal",
        source="Yuan and Lin 2006, eq. 2.1",
    )

    norm_value, norm_slope, norm_steepest = staticmethod(value), staticmethod(slope), staticmethod(slope)
    norm_shrink, norm_conjugate = staticmethod(soften), staticmethod(conjugate)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}Σ_g {self._norm_text(w)}"
