"""The Geman penalty, ``lam·Σ |w|/(|w| + eps)``: a bounded price, half of it paid at ``eps``."""

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


def value(w: Float[Array, "..."], lam, eps) -> Float[Array, "..."]:
    return lam * (jnp.abs(w) / (jnp.abs(w) + eps))


def slope(m: Float[Array, "..."], lam, eps) -> Float[Array, "..."]:
    return lam / (m + eps) * (eps / (m + eps))


def steepest(w: Float[Array, "..."], lam, eps) -> Float[Array, "..."]:
    return jnp.broadcast_to(lam / eps, w.shape)


def _share(m: Float[Array, "..."], step, lam, eps) -> Float[Array, "..."]:
    """step·lam·eps in units of (m + eps)³: of ratios, for powers overflow."""
    return finite_product(step, lam) / (m + eps) / (m + eps) * (eps / (m + eps))


def root(m: Float[Array, "..."], step, lam, eps) -> Float[Array, "..."]:
    """With z + eps = (m + eps)·t the stationary points are ``t³ − t² + c = 0``: the largest t by Viète's cosine.

    From there m − z = (m + eps)·c/t² keeps its digits where c is small and 1 − t has none.
    """
    c = jnp.minimum(_share(m, step, lam, eps), 4 / 27)
    t = (1 + 2 * jnp.cos(jnp.arccos(jnp.clip(1 - 13.5 * c, -1, 1)) / 3)) / 3
    return jnp.maximum(m - (m + eps) * (c / t**2), 0)


def shrink(m: Float[Array, "..."], step, lam, eps) -> Float[Array, "..."]:
    """The stationary point or zero, the deeper of the two; where the objective is convex, zero up to ``step·lam/eps``."""
    wide = accumulator(m)
    step, lam, eps = (jnp.broadcast_to(x, m.shape).astype(wide.dtype) for x in (step, lam, eps))
    found = jnp.where(
        _share(wide, step, lam, eps) < 4 / 27, stationary(root(wide, step, lam, eps), lambda z: slope(z, lam, eps), wide, step), 0
    )
    strength = finite_product(step, lam)
    jumps = 2 * (strength / eps) > eps
    continuous = jnp.where(wide > strength / eps, found, 0)
    moved = jnp.where(jumps, deeper(wide, step, lambda z: value(z, lam, eps), jnp.zeros_like(wide), found), continuous)
    return jnp.where(jnp.isinf(wide), wide, moved).astype(m.dtype)


class Geman(Folded):
    """Geman penalty: ``lam·Σ |w|/(|w| + eps)``; bounded by ``lam`` a weight, between L1 (large ``eps``) and L0 (small).

    Gradient ``lam·eps·sign(w)/(|w| + eps)²``: large weights are left unbiased, faster than by ``LogSum``. Not convex; the prox is the
    largest root of a cubic, and jumps where ``2·step·lam > eps²``.

    Args:
      lam: strength, >= 0, in units of loss: a number, an array (one leaf) or a pytree prefix.
      eps: > 0, in units of the parameters: a weight of that size pays half of ``lam``; shapes as ``lam``.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``eps`` is not positive.

    References:
      Geman and Yang, Nonlinear image recovery with half-quadratic regularization, 1995; Geman and Reynolds, Constrained
      restoration and the recovery of discontinuities, 1992.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Geman(2.0, eps=1.0).prox(jnp.array([1.0, 3.0])).tolist()
    [0.0, 2.8...]
    """

    lam: Strength = 1.0
    eps: Strength = 1.0
    about = About(
        equation="lam·Σ |w|/(|w| + eps)",
        domain="lam ≥ 0, eps > 0",
        cost="O(n)",
        also="PyProximal",
        source="Geman and Yang 1995",
    )

    leaf_value, slope, steepest, shrink = staticmethod(value), staticmethod(slope), staticmethod(steepest), staticmethod(shrink)

    def weak_convexity(self) -> Any:
        """The slope ``lam·eps/(m + eps)²`` falls fastest at 0, by 2·lam/eps²."""
        return 2 * steepest_bend(self.lam, jax.tree.map(lambda eps: eps**2, self.eps))

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "eps":
            check_numbers("Geman: eps", value, lambda x: np.asarray(x > 0), "> 0")

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"|{w}|/(|{w}| + eps)")
