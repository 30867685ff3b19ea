"""L⅔: ``lam·Σ|w|^⅔``, whose prox is the root of a quartic."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import weighted_sum
from ._power import Power


def radical(s: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.sqrt(s) * jnp.sqrt(jnp.sqrt(s))


def root(c: Float[Array, "..."]) -> Float[Array, "..."]:
    """Of y⁴ − y + c, for c <= 0.40: Ferrari's, with Cardano's root u = a² of u³ − 4c·u − 1. Nothing cancels."""
    third = 4 / 3 * c
    largest = jnp.cbrt(0.5 + jnp.sqrt(0.25 - third**3))
    a = jnp.sqrt(largest + third / largest)
    return (a + jnp.sqrt(2 / a - a**2)) / 2


class LTwoThirds(Power):
    """L⅔ quasi-norm: ``lam·Σ|w|^⅔``; between L1 and L½.

    Gradient ``⅔·lam·sign(w)/∛|w|`` (0 at 0), prox 0 up to ``2·(⅔·step·lam)^¾``, from there the largest root of a quartic. Not convex,
    and zero is stationary for every λ: there is no ``lambda_max``.

    Args:
      lam: strength, >= 0, in units of loss per parameter to the power ⅔: a number, an array (one leaf) or a pytree prefix.

    Raises:
      ValueError: ``lam`` is negative or not finite.

    References:
      Cao, Sun and Xu, Fast image deconvolution using closed-form thresholding formulas of Lq (q = 1/2, 2/3) regularization, 2013.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.LTwoThirds(1.5).prox(jnp.array([2.0, 2.1, 8.0])).tolist()
    [0.0, 1.2..., 7.4...]
    """

    power, radical, root = 2 / 3, staticmethod(radical), staticmethod(root)
    about = About(
        equation="lam·Σ|w|^⅔",
        domain="lam ≥ 0",
        cost="O(n)",
        also="skglm",
        source="Cao, Sun and Xu 2013",
    )

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"|{w}|^⅔")
