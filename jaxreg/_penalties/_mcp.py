"""The minimax concave penalty: L1 near zero, flat from ``gamma·lam`` on."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import at_most, check_numbers, steepest_bend
from ._base import Strength
from ._folded import Knee


def value(w: Float[Array, "..."], lam, gamma, scale) -> Float[Array, "..."]:
    m = at_most(jnp.abs(w), gamma * lam)
    return scale * (lam * m - m**2 / (2 * gamma))


def slope(m: Float[Array, "..."], lam, gamma, scale) -> Float[Array, "..."]:
    return scale * jnp.maximum(lam - m / gamma, 0)


def shrink(m: Float[Array, "..."], step, lam, gamma, scale) -> Float[Array, "..."]:
    """Firm thresholding for steps below gamma; from there on the objective is concave up to the knee, and the threshold is hard."""
    step = step * scale
    firm = jnp.where(m <= gamma * lam, jnp.maximum(m - step * lam, 0) / jnp.where(step < gamma, 1 - step / gamma, 1), m)
    return jnp.where(step < gamma, firm, jnp.where(m > lam * jnp.sqrt(step * gamma), m, 0))


class MCP(Knee):
    """Minimax concave penalty: ``scale·Σ f(w)``, ``f = lam·|w| − w²/(2·gamma)`` up to ``|w| = gamma·lam``, ``½·gamma·lam²`` beyond.

    It selects like L1 and leaves large weights unbiased: its slope falls from ``lam`` at zero to 0 at ``gamma·lam``. On a path λ takes
    the place of ``lam`` (``at``), for ``c·MCP(w; lam)`` is another function than ``MCP(w; c·lam)``; ``c * MCP(…)`` is the former.
    Not convex. The prox is exact for every step, firm thresholding below ``gamma`` and hard from there on.

    Args:
      lam: slope at zero, >= 0, in units of loss per parameter: a number, an array (one leaf) or a pytree prefix.
      gamma: how far the slope lasts, > 0, in units of parameters per slope; large is L1, small is L0.
      scale: a factor on the whole, >= 0; what ``c * MCP(…)`` and penalty factors set.

    Raises:
      ValueError: ``lam`` or ``scale`` is negative or not finite, ``gamma`` is not positive.

    References:
      Zhang, Nearly unbiased variable selection under minimax concave penalty, 2010, eq. 2.1; the prox for small steps: Breheny and
      Huang, Coordinate descent algorithms for nonconvex penalized regression, 2011, eq. 2.6.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.MCP(1.0, gamma=3.0).prox(jnp.array([0.5, 2.0, 4.0])).tolist()
    [0.0, 1.5, 4.0]
    """

    lam: Strength = 1.0
    gamma: Strength = 3.0
    scale: Strength = 1.0
    about = About(
        equation="scale·Σ f(w), f = lam·|w| − w²/(2·gamma) up to |w| = gamma·lam, ½·gamma·lam² beyond",
        domain="lam ≥ 0, gamma > 0, scale ≥ 0",
        cost="O(n)",
        also="skglm, ncvreg, PyProximal (gamma = 1)",
        source="C.-H. Zhang 2010, eq. 2.1",
    )

    leaf_value, slope, shrink = staticmethod(value), staticmethod(slope), staticmethod(shrink)

    def weak_convexity(self) -> Any:
        return steepest_bend(self.scale, self.gamma)

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "gamma":
            check_numbers("MCP: gamma", value, lambda x: np.asarray(x > 0), "> 0")
