"""The exponential-type penalty: ``lam·(1 − exp(−gamma·|w|))/(1 − exp(−gamma))``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._dtypes import accumulator
from ._about import About
from ._arithmetic import check_numbers, finite_product, steepest_bend, weighted_sum
from ._base import Strength
from ._folded import Folded, deeper, stationary


def value(w: Float[Array, "..."], lam, gamma) -> Float[Array, "..."]:
    return lam * (jnp.expm1(-gamma * jnp.abs(w)) / jnp.expm1(-gamma))


def slope(m: Float[Array, "..."], lam, gamma) -> Float[Array, "..."]:
    return lam * (gamma / -jnp.expm1(-gamma)) * jnp.exp(-gamma * m)


def steepest(w: Float[Array, "..."], lam, gamma) -> Float[Array, "..."]:
    return jnp.broadcast_to(lam * (gamma / -jnp.expm1(-gamma)), w.shape)


def _log_share(m: Float[Array, "..."], step, lam, gamma) -> Float[Array, "..."]:
    """log(a) of ``u·exp(−u) = a``, whose u in [0, 1] is gamma·(m − z) at the stationary point z; it has one up to a = 1/e."""
    return jnp.log(finite_product(step * gamma, steepest(m, lam, gamma))) - gamma * m


def root(m: Float[Array, "..."], step, lam, gamma) -> Float[Array, "..."]:
    """u = −W₀(−a), Lambert's function: its series about the branch point a = 1/e, then Halley's steps."""
    a = jnp.exp(jnp.minimum(_log_share(m, step, lam, gamma), -1))
    p = jnp.sqrt(jnp.maximum(2 * (1 - jnp.e * a), 0))
    u = jnp.clip(1 - p + p**2 / 3 - 11 / 72 * p**3, 0, 1)
    for _ in range(4):  # each triples the digits, of which the series gives one at least
        excess, rise = u - a * jnp.exp(u), 1 - a * jnp.exp(u)
        below = 2 * rise**2 + excess * a * jnp.exp(u)
        u = jnp.clip(u - 2 * excess * rise / jnp.where(below > 0, below, 1), 0, 1)
    return jnp.maximum(m - u / gamma, 0)


def shrink(m: Float[Array, "..."], step, lam, gamma) -> Float[Array, "..."]:
    """The stationary point or zero, the deeper of the two; where the objective is convex, zero up to step times the steepest slope."""
    wide = accumulator(m)
    step, lam, gamma = (jnp.broadcast_to(x, m.shape).astype(wide.dtype) for x in (step, lam, gamma))
    found = jnp.where(
        _log_share(wide, step, lam, gamma) < -1, stationary(root(wide, step, lam, gamma), lambda z: slope(z, lam, gamma), wide, step), 0
    )
    threshold = finite_product(step, steepest(wide, lam, gamma))
    continuous = jnp.where(wide > threshold, found, 0)
    jumping = deeper(wide, step, lambda z: value(z, lam, gamma), jnp.zeros_like(wide), found)
    return jnp.where(jnp.isinf(wide), wide, jnp.where(gamma * threshold > 1, jumping, continuous)).astype(m.dtype)


class ETP(Folded):
    """Exponential-type penalty: ``lam·Σ (1 − exp(−gamma·|w|))/(1 − exp(−gamma))``; L1 as gamma → 0, L0 as gamma → ∞.

    It is ``lam`` for a weight of 1, and bounded. Gradient ``lam·gamma/(1 − exp(−gamma))·exp(−gamma·|w|)·sign(w)``. Not convex; the prox
    is given by Lambert's function, and jumps where ``step`` times the steepest slope exceeds 1/gamma.

    Args:
      lam: the price of a weight of 1, >= 0, in units of loss: a number, an array (one leaf) or a pytree prefix.
      gamma: how fast it saturates, > 0, per unit of the parameters; shapes as ``lam``.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``gamma`` is not positive.

    References:
      Gao, Wang, Yu and Zhang, A feasible nonconvex relaxation approach to feature selection, 2011; Lambert's function: Corless et
      al., On the Lambert W function, 1996, eq. 4.22 and §5.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.ETP(2.0, gamma=1.0).prox(jnp.array([1.0, 3.0])).tolist()
    [0.0, 2.8...]
    """

    lam: Strength = 1.0
    gamma: Strength = 1.0
    about = About(
        equation="lam·Σ (1 − exp(−gamma·|w|))/(1 − exp(−gamma))",
        domain="lam ≥ 0, gamma > 0",
        cost="O(n)",
        also="PyProximal",
        source="Gao, Wang, Yu and Zhang 2011",
    )

    leaf_value, slope, steepest, shrink = staticmethod(value), staticmethod(slope), staticmethod(steepest), staticmethod(shrink)

    def weak_convexity(self) -> Any:
        """The slope falls fastest at 0, by gamma times itself, and that grows with gamma."""
        return steepest_bend(self.lam, jax.tree.map(lambda gamma: -jnp.expm1(-gamma) / gamma**2, self.gamma))

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "gamma":
            check_numbers("ETP: gamma", value, lambda x: np.asarray(x > 0), "> 0")

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"(1 − exp(−gamma·|{w}|))/(1 − exp(−gamma))")
