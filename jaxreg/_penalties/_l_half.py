"""L½: ``lam·Σ√|w|``, half thresholding."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import weighted_sum
from ._power import Power


def radical(s: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.cbrt(s) ** 2


def root(c: Float[Array, "..."]) -> Float[Array, "..."]:
    """Of y³ − y + c, for c <= 0.28: Viète's cosine."""
    return 2 / 3**0.5 * jnp.cos(jnp.arccos(-(27**0.5) / 2 * c) / 3)


class LHalf(Power):
    """L½ quasi-norm: ``lam·Σ√|w|``; sparser than L1 and less biased, between it and L0.

    Gradient ``½·lam·sign(w)/√|w|`` (0 at 0), prox half thresholding: 0 up to ``3/2·(step·lam)^⅔``, from there the largest root of a
    cubic. Not convex, and zero is stationary for every λ: there is no ``lambda_max``.

    Args:
      lam: strength, >= 0, in units of loss per root of a parameter: a number, an array (one leaf) or a pytree prefix.

    Raises:
      ValueError: ``lam`` is negative or not finite.

    References:
      Xu, Chang, Xu and Zhang, L1/2 regularization: a thresholding representation theory and a fast solver, 2012.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.LHalf(1.0).prox(jnp.array([1.5, 1.6, 9.0])).tolist()
    [0.0, 1.1..., 8.8...]
    """

    power, radical, root = 0.5, staticmethod(radical), staticmethod(root)
    about = About(
        equation="lam·Σ√|w|",
        domain="lam ≥ 0",
        cost="O(n)",
        also="skglm",
        source="Xu, Chang, Xu and Zhang 2012",
    )

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"√|{w}|")
