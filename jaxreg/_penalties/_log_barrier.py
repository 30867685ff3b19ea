"""The logarithmic barrier: ``−lam·Σ log w``, which keeps numbers positive."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import safe_sqrt, weighted_sum
from ._base import Strength
from ._separable import Separable


def _inside(w: Float[Array, "..."], lam) -> Array:
    """What is left of it at λ = 0 is the constraint w >= 0."""
    return (w > 0) | ((w == 0) & (lam == 0))


def value(w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    outside = jnp.where(jnp.isnan(w), jnp.nan, jnp.inf)
    return jnp.where(_inside(w, lam), -lam * jnp.log(jnp.where(w > 0, w, 1)), outside).astype(w.dtype)


def grad(w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    """0 outside the domain."""
    return jnp.where(w <= 0, 0, -lam / jnp.where(w <= 0, 1, w))


def prox(w: Float[Array, "..."], step, lam) -> Float[Array, "..."]:
    """The positive root of ``z² − wz − step·lam = 0``; for w < 0 as the product of the roots over the other, which does not cancel."""
    unit = jax.lax.stop_gradient(jnp.maximum(jnp.abs(w), jnp.sqrt(step * lam)))
    unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)
    size = jnp.where(w > 0, w, -w)  # unlike |w| it has a slope at 0
    far = unit * ((safe_sqrt((w / unit) ** 2 + 4 * step * lam / unit / unit) + size / unit) / 2)
    return jnp.where(w > 0, far, step * lam / jnp.where(far == 0, 1, far))


def subdifferential(w: Float[Array, "..."], lam) -> tuple[Array, Array]:
    slope, inside = grad(w, lam), _inside(w, lam)
    return jnp.where(inside, jnp.where(w == 0, -jnp.inf, slope), jnp.inf), jnp.where(inside, slope, -jnp.inf)


def support(w: Float[Array, "..."], lam) -> Array:
    del lam
    return w > 0


def conjugate(u: Float[Array, "..."], lam) -> Float[Array, "..."]:
    """Attained at w = −lam/u."""
    positive = (u < 0) & (lam > 0)
    inner = -lam - lam * jnp.log(jnp.where(positive, -u, 1) / jnp.where(positive, lam, 1))
    return jnp.where(positive, inner, jnp.where((lam == 0) & (u <= 0), 0, jnp.inf)).astype(u.dtype)


def free(w: Float[Array, "..."], lam) -> Array:
    del lam
    return jnp.zeros(w.shape, bool)


class LogBarrier(Separable):
    """Logarithmic barrier: ``−lam·Σ log w`` for w > 0, +inf elsewhere; what interior-point methods add for ``w >= 0``.

    It may be negative. Gradient ``−lam/w``, prox ``½(w + √(w² + 4·step·lam))``, conjugate ``−lam·Σ(1 + log(−u/lam))`` for u < 0.
    Convex, and smooth where it is finite; zero is outside, so ``lambda_max`` is +inf. At λ = 0 the constraint ``w >= 0`` is left. For
    ``−lam·Σ log(a·w + b)`` write ``LogBarrier(lam).around(-b).rescale(a)``.

    Args:
      lam: strength, >= 0, in units of loss: a number, an array (one leaf) or a pytree prefix.

    Raises:
      ValueError: ``lam`` is negative or not finite.

    References:
      Boyd and Vandenberghe, Convex optimization, 2004, §11.2.1; Parikh and Boyd, Proximal algorithms, 2014, §6.1.3.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.LogBarrier(2.0).prox(jnp.array([1.0, -1.0])).tolist()
    [2.0, 1.0]
    """

    lam: Strength = 1.0
    convex, finite = True, False
    about = About(
        equation="−lam·Σ log w, w > 0",
        domain="lam ≥ 0",
        cost="O(n)",
        also="ProximalOperators.jl",
        source="Boyd and Vandenberghe 2004, §11.2.1",
    )

    leaf_value, leaf_grad, leaf_prox = staticmethod(value), staticmethod(grad), staticmethod(prox)
    leaf_subdifferential, leaf_support = staticmethod(subdifferential), staticmethod(support)
    leaf_conjugate, leaf_free = staticmethod(conjugate), staticmethod(free)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return "−" + weighted_sum(prefix, self.lam, f"log {w}")
