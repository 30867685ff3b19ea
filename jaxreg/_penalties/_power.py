"""What L½ and L⅔ share: ``lam·Σ|w|^p`` with 0 < p < 1, whose prox a cubic or a quartic solves."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._dtypes import accumulator
from ._base import PyTree, Strength
from ._folded import Folded, no_lambda_max


def kept(p: float) -> float:
    """The prox keeps m where ``s^(1/(2−p))`` is below this share of it (s is step·lam).

    Keeping is worth it where ``½z² − mz + s·z^p < 0`` at the stationary z: from ``z = (2s(1−p))^(1/(2−p))`` on.
    """
    level = (2 * (1 - p)) ** (1 / (2 - p))
    return 1 / (level + p * level ** (p - 1))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def rest(m: Float[Array, "..."], s: Float[Array, "..."], kind: Any) -> Float[Array, "..."]:
    """The prox of magnitudes m at s = step·lam.

    In units of m the stationary point z = m·y^(1/(1−p)) has ``y^((2−p)/(1−p)) = y − c``, hence ``z = m·(1 − c/y)``,
    which is m itself at c = 0. Of ratios only: neither powers of m nor of s overflow.
    """
    share = kind.radical(s) / jnp.where(m > 0, m, 1)
    keep = (m > 0) & (share < kept(kind.power))
    share = jnp.where(keep, share, 0)
    c = kind.power * share ** (2 - kind.power)
    return jnp.where(keep, m * (1 - c / kind.root(c)), 0)


@rest.defjvp
def _derivative(kind: Any, primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Of z + s·p·z^(p−1) = m, implicitly: through the formulas themselves it is 0·∞ at s = 0."""
    (m, s), (dm, ds) = primals, tangents
    z, p = rest(m, s, kind), kind.power
    away = jnp.where(z > 0, z, 1)
    bend = jnp.where(z > 0, (1 - p) * (m - z) / away, 0)  # s·p·(1−p)·z^(p−2), where m − z is s·p·z^(p−1)
    return z, jnp.where(z > 0, (dm - p * away ** (p - 1) * ds) / (1 - bend), 0)


def _value(cls: Any, w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    m = jnp.where(w == 0, 1, jnp.abs(w))  # where the power has a derivative
    return lam * jnp.where(w == 0, 0, m**cls.power)


def _slope(cls: Any, m: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return lam * cls.power * m ** (cls.power - 1)


def _shrink(cls: Any, m: Float[Array, "..."], step, lam) -> Float[Array, "..."]:
    wide = accumulator(m)
    return rest(wide, jnp.broadcast_to(step * lam, m.shape).astype(wide.dtype), cls).astype(m.dtype)


def steepest(w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return jnp.broadcast_to(jnp.where(lam == 0, 0, jnp.inf).astype(w.dtype), w.shape)


class Power(Folded):
    """``lam·Σ|w|^power``: give ``radical(s)``, s^(1/(2−power)), and ``root(c)``, the largest root of ``y^((2−p)/(1−p)) − y + c``."""

    lam: Strength = 1.0
    power: ClassVar[float] = 0.5
    radical: ClassVar[Any] = None
    root: ClassVar[Any] = None

    leaf_value, slope, shrink = classmethod(_value), classmethod(_slope), classmethod(_shrink)
    steepest = staticmethod(steepest)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        raise no_lambda_max(self)
