"""L1: the sum of absolute values, ``lam·Σ|w|``."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import weighted_sum
from ._base import Strength
from ._separable import Separable


def value(w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return lam * jnp.abs(w)


def grad(w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return lam * jnp.sign(w)


def prox(w: Float[Array, "..."], step, lam) -> Float[Array, "..."]:
    """Soft thresholding. At |w| = step·lam, and below, the answer is exactly zero; without a threshold it is w, with slope 1 at 0 too."""
    threshold = step * lam
    return jnp.where((jnp.abs(w) <= threshold) & (threshold > 0), 0, w - jnp.sign(w) * threshold)


def subdifferential(w: Float[Array, "..."], lam) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """The interval [−lam, lam] at 0, one point elsewhere, and NaN at NaN: a broken iterate must not look stationary."""
    broken = jnp.where(jnp.isnan(w), w, 0)
    return jnp.where(w > 0, lam, -lam) + broken, jnp.where(w < 0, -lam, lam) + broken


def support(w: Float[Array, "..."], lam) -> Array:
    return (w != 0) | (lam == 0)


def conjugate(u: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return jnp.where(jnp.abs(u) <= lam, 0.0, jnp.inf).astype(u.dtype)


class L1(Separable):
    """L1 norm (lasso, Laplace prior): ``lam·Σ|w|``.

    Gradient ``lam·sign(w)`` (0 at 0), prox soft thresholding at ``step·lam`` with exact zeros, conjugate the
    indicator of ``|u| <= lam``. Convex, separable, not smooth at 0; ``lambda_max`` is ``max |g|/lam``.

    Args:
      lam: strength, >= 0, in units of loss per parameter: a number, an array (one leaf) or a pytree prefix.

    Raises:
      ValueError: ``lam`` is negative or not finite.

    References:
      Tibshirani, Regression shrinkage and selection via the lasso, 1996; Parikh and Boyd, Proximal algorithms, 2014, §6.5.2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.L1(1.0).prox(jnp.array([3.0, 1.0, -0.5])).tolist()
    [2.0, 0.0, 0.0]
    """

    lam: Strength = 1.0
    convex, role = True, "soft"
    about = About(
        equation="lam·Σ|w|",
        domain="lam ≥ 0",
        cost="O(n)",
        also="jaxopt, nemos, skglm, SCICO, ProximalOperators.jl, PyProximal, Keras, glmnet, scikit-learn",
        source="Tibshirani 1996",
    )

    leaf_value = staticmethod(value)
    leaf_grad = staticmethod(grad)
    leaf_prox = staticmethod(prox)
    leaf_subdifferential = staticmethod(subdifferential)
    leaf_support = staticmethod(support)
    leaf_conjugate = staticmethod(conjugate)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"|{w}|")
