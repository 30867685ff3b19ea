"""L0: the number of weights that are not zero, ``lam·#{w ≠ 0}``."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import weighted_sum
from ._base import PyTree, Strength
from ._folded import Folded, no_lambda_max


def value(w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return jnp.where(w == 0, 0, lam + jnp.where(jnp.isnan(w), w, 0))


def slope(m: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return jnp.zeros_like(m * lam)


def steepest(w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return jnp.broadcast_to(jnp.where(lam == 0, 0, jnp.inf).astype(w.dtype), w.shape)


def shrink(m: Float[Array, "..."], step, lam) -> Float[Array, "..."]:
    """Hard thresholding at √(2·step·lam), not at lam: keeping m costs step·lam, dropping it ½m²."""
    return jnp.where(m > jnp.sqrt(2 * step * lam), m, 0)


class L0(Folded):
    """L0 (best subset): ``lam`` for every weight that is not exactly zero.

    Gradient 0, prox hard thresholding at ``√(2·step·lam)``. Not convex, and zero is stationary for every λ: there is no ``lambda_max``.

    Args:
      lam: cost of a weight, >= 0, in units of loss: a number, an array (one leaf) or a pytree prefix.

    Raises:
      ValueError: ``lam`` is negative or not finite.

    References:
      Blumensath and Davies, Iterative thresholding for sparse approximations, 2008, eq. 2.2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.L0(2.0).prox(jnp.array([3.0, 1.9])).tolist()
    [3.0, 0.0]
    """

    lam: Strength = 1.0
    about = About(
        equation="lam·#{w ≠ 0}",
        domain="lam ≥ 0",
        cost="O(n)",
        also="SCICO, ProximalOperators.jl, PyProximal",
        source="Blumensath and Davies 2008, eq. 2.2",
    )

    leaf_value, slope, steepest, shrink = staticmethod(value), staticmethod(slope), staticmethod(steepest), staticmethod(shrink)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        raise no_lambda_max(self)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"[{w} ≠ 0]")
