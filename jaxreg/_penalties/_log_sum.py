"""The log-sum penalty, ``lam·Σ log(1 + |w|/eps)``: what reweighted L1 minimises."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import check_numbers, steepest_bend, weighted_sum
from ._base import Strength
from ._folded import Folded, deeper


def value(w: Float[Array, "..."], lam, eps) -> Float[Array, "..."]:
    return lam * jnp.log1p(jnp.abs(w) / eps)


def slope(m: Float[Array, "..."], lam, eps) -> Float[Array, "..."]:
    return lam / (m + eps)


def steepest(w: Float[Array, "..."], lam, eps) -> Float[Array, "..."]:
    return jnp.broadcast_to(lam / eps, w.shape)


def shrink(m: Float[Array, "..."], step, lam, eps) -> Float[Array, "..."]:
    """The larger root of (z − m)(z + eps) + step·lam = 0. Where the objective is convex, that or zero; else the deeper of the two."""
    share = 1 - 4 * step * lam / (m + eps) / (m + eps)  # of (m + eps)², which would overflow
    half = (m + eps) / 2 * jnp.sqrt(jnp.where(share > 0, share, 1))
    # Below eps the larger root is a difference of two large numbers. The smaller is not, and their product is step·lam − m·eps.
    below = (m < eps) & (share > 0)
    smaller = jnp.where(below, (m - eps) / 2 - half, -eps)
    root = jnp.where(below, (jnp.where(below, step * lam, 0) / eps - m) / (smaller / eps), (m - eps) / 2 + half)
    root = jnp.maximum(jnp.where(share > 0, root, 0), 0)
    jumps = step * lam > eps**2
    continuous = jnp.where(m > step * lam / eps, root, 0)
    return jnp.where(jumps, deeper(m, step, lambda z: value(z, lam, eps), jnp.zeros_like(m), root), continuous)


class LogSum(Folded):
    """Log-sum: ``lam·Σ log(1 + |w|/eps)``; between L1 (large ``eps``) and L0 (small).

    Gradient ``lam·sign(w)/(|w| + eps)``. Not convex; the prox is the root of a quadratic, and jumps where ``step·lam > eps²``.

    Args:
      lam: strength, >= 0, in units of loss: a number, an array (one leaf) or a pytree prefix.
      eps: > 0, in units of the parameters: the slope at zero is ``lam/eps``; shapes as ``lam``.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``eps`` is not positive.

    References:
      Candès, Wakin and Boyd, Enhancing sparsity by reweighted ℓ1 minimization, 2008, eq. 8; the prox: Gong et al., 2013, table 1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.LogSum(2.0, eps=1.0).prox(jnp.array([1.0, 3.0])).tolist()
    [0.0, 2.4...]
    """

    lam: Strength = 1.0
    eps: Strength = 1.0
    about = About(
        equation="lam·Σ log(1 + |w|/eps)",
        domain="lam ≥ 0, eps > 0",
        cost="O(n)",
        also="skglm, PyProximal",
        source="Candès, Wakin and Boyd 2008, eq. 8",
    )

    leaf_value, slope, steepest, shrink = staticmethod(value), staticmethod(slope), staticmethod(steepest), staticmethod(shrink)

    def weak_convexity(self) -> Any:
        """The slope ``lam/(m + eps)`` falls fastest at 0, by lam/eps²."""
        return steepest_bend(self.lam, jax.tree.map(lambda eps: eps**2, self.eps))

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "eps":
            check_numbers("LogSum: eps", value, lambda x: np.asarray(x > 0), "> 0")

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"log(1 + |{w}|/eps)")
