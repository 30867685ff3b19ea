"""The k-support norm, squared: ``½·lam·(‖w‖_k^sp)²``, the tightest convex relaxation of sparsity k within a Euclidean ball."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Scalar

from ._about import About
from ._arithmetic import coefficient
from ._base import PyTree, Strength, static
from ._l2_norm import unit
from ._vector import Vectorwise

# With shares 0 <= θ <= 1 of a budget Σθ <= k, the norm is ‖w‖² = min_θ Σw²/θ (McDonald et al. 2014). The best shares are
# θ = min(|w|/t, 1), and those of the prox θ = clip(|w|/t − s, 0, 1) with s = step·lam, for the level t at which they sum to k.


def level(w: Float[Array, " n"], k: int) -> tuple[Scalar, Bool[Array, " n"]]:
    """t, and which weights have a whole share; t is 0 where fewer than k weights share the budget."""
    size = jnp.abs(jax.lax.stop_gradient(w))
    m = jnp.flip(jnp.sort(size))
    left = jnp.append(jnp.flip(jnp.cumsum(jnp.flip(m))), 0)  # left[j]: the sum of all but the j largest
    head = jnp.sum(m * (k - 1 - jnp.arange(m.size, dtype=m.dtype)) > left[1:])
    whole = (size >= jnp.append(jnp.inf, m)[head]) | (left[head] == 0)
    return _mean(w, ~whole, k - jnp.sum(whole)), whole


def _mean(w: Float[Array, " n"], part: Bool[Array, " n"], budget) -> Scalar:
    return jnp.sum(jnp.where(part, jnp.abs(w), 0)) / jnp.where(budget > 0, budget, 1)


def value(w: Float[Array, " n"], k: int, lam) -> Scalar:
    t, whole = level(w, k)
    return lam / 2 * (jnp.sum(jnp.where(whole, w, 0) ** 2) + t * jnp.sum(jnp.where(whole, 0, jnp.abs(w))))


def grad(w: Float[Array, " n"], k: int, lam) -> Float[Array, " n"]:
    """``lam·w/θ``: weights of a part of a share pay as the level does."""
    return lam * jnp.sign(w) * jnp.maximum(jnp.abs(w), level(w, k)[0])


def _largest(w: Float[Array, " n"], count: int) -> Float[Array, " count"]:
    """The largest magnitudes, falling, and zeros where there are no more."""
    top = jax.lax.top_k(jnp.abs(w), min(count, w.size))[0]
    return jnp.pad(top, (0, count - top.size))


@functools.partial(jax.jit, static_argnums=1)  # called by itself, a loop would be compiled anew each time
def _marks(w: Float[Array, " n"], k: int, s) -> tuple[Bool[Array, " n"], Bool[Array, " n"]]:
    """Which weights have a whole share of the prox's budget, and which a part."""
    m = jnp.abs(w) / unit(w)
    last, following = _largest(m, k + 1)[k - 1 :]
    # The k largest take all, and none has a part, where the next is small enough beside them.
    clear = following * (1 + s) <= last * s
    # Else t lies in these bounds, where Σθ falls. Halving their logarithm takes one bit off t a round, whatever n is.
    ends = last / (1 + s), jnp.minimum(following / s, jnp.sum(m) / k)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        t = jnp.sqrt(ends[0]) * jnp.sqrt(ends[1])
        over = jnp.sum(jnp.clip((m - t * s) / t, 0, 1)) >= k
        return jnp.where(over, t, ends[0]), jnp.where(over, ends[1], t)

    t = jax.lax.fori_loop(0, jnp.finfo(m.dtype).bits, halve, ends)[0]
    whole = jnp.where(clear, m >= last, m > t * (1 + s))
    none = jnp.where(clear, m < last, m <= t * s) & (s > 0)
    return whole, ~(whole | none)  # NaN is neither, and so enters t


def prox(w: Float[Array, " n"], k: int, step, lam) -> Float[Array, " n"]:
    """``θ·w/(θ + s)``: whole shares shrink like ridge, parts are soft-thresholded at s·t."""
    s = step * lam
    whole, part = _marks(jax.lax.stop_gradient(w), k, jax.lax.stop_gradient(s))
    t = _mean(w, part, k - jnp.sum(whole) + s * jnp.sum(part))
    return jnp.where(whole, w / (1 + s), jnp.where(part, w - jnp.sign(w) * jnp.minimum(s * t, jnp.abs(w)), 0))


def residual(w: Float[Array, " n"], k: int, g: Float[Array, " n"], lam) -> Float[Array, " n"]:
    """At a zero weight the subgradients are the interval of ± lam times the level, or the smallest of exactly k weights."""
    slope = lam * jnp.maximum(level(w, k)[0], _largest(w, k)[k - 1])
    return jnp.where(w == 0, jnp.sign(g) * jnp.maximum(jnp.abs(g) - slope, 0), g + grad(w, k, lam))


def conjugate(u: Float[Array, " n"], k: int, lam) -> Scalar:
    """Half the k largest squares, over lam."""
    bound = jnp.where(jnp.any(u != 0), jnp.inf, 0)
    return jnp.where(lam > 0, jnp.sum(_largest(u, k) ** 2) / (2 * jnp.where(lam > 0, lam, 1)), bound).astype(u.dtype)


class KSupport(Vectorwise):
    """k-support norm, squared: ``½·lam·(‖w‖_k^sp)²``, summed over slices where ``axis`` is given.

    The unit ball of ``‖·‖_k^sp`` is the convex hull of the vectors of length 1 with k weights. It selects about k weights and, unlike L1,
    keeps correlated ones together: with k = 1 it is ``ExclusiveLasso``, with k as large as the vector ``½·lam·‖w‖₂²``. Squared, as
    it is used: this has the closed prox, and the conjugate ``Σ(k largest u²)/(2·lam)``. Zero is never a solution unless the
    gradient is zero: ``lambda_max`` is +inf.

    Args:
      lam: strength, >= 0, one number, in units of loss per squared parameter. The ½ is part of the definition.
      k: how many weights a vector may have before sparsity costs, an integer >= 1.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``k`` is less than 1; a leaf lacks the axis.
      TypeError: ``k`` is missing or no integer.

    References:
      Argyriou, Foygel and Srebro, Sparse prediction with the k-support norm, 2012, proposition 2.1; the prox: McDonald, Pontil and
      Stamos, Spectral k-support norm regularization, 2014.

    >>> import jax.numpy as jnp, jaxreg
    >>> penalty = jaxreg.KSupport(1.0, k=2)
    >>> float(penalty(jnp.array([3.0, 1.0, 1.0]))), penalty.prox(jnp.array([8.0, 3.0, 2.0])).tolist()
    (6.5, [4.0, 1.3..., 0.3...])
    """

    lam: Strength = 1.0
    k: Any = static(default=None)
    axis: Any = static(default=None)
    convex = True
    about = About(
        equation="½·lam·(‖w‖_k^sp)²",
        domain="lam ≥ 0, integer k ≥ 1",
        cost="O(n), a pass for each bit of a number",
        also="",
        source="Argyriou, Foygel and Srebro 2012, proposition 2.1",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.k, int | np.integer) or isinstance(self.k, bool):
            raise TypeError(f"KSupport: k must be an integer, the number of weights to allow, got {self.k!r}")
        if self.k < 1:
            raise ValueError(f"KSupport: k must be >= 1, got {self.k}")

    def vector_value(self, w: Float[Array, " n"], lam) -> Scalar:
        return value(w, self.k, lam)

    def vector_prox(self, w: Float[Array, " n"], step, lam) -> Float[Array, " n"]:
        return prox(w, self.k, step, lam)

    def vector_residual(self, w: Float[Array, " n"], g: Float[Array, " n"], lam) -> Float[Array, " n"]:
        return residual(w, self.k, g, lam)

    def vector_conjugate(self, u: Float[Array, " n"], lam) -> Scalar:
        return conjugate(u, self.k, lam)

    def vector_support(self, w: Float[Array, " n"], lam) -> Array:
        """A zero weight is a kink only beside k others."""
        return (w != 0) | (jnp.sum(w != 0) < self.k) | (lam == 0)

    @staticmethod
    def vector_lambda_max(g: Float[Array, " n"], lam) -> Scalar:
        return jnp.where(jnp.any(g != 0) & (lam > 0), jnp.inf, 0).astype(g.dtype)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(lambda w, lam: grad(w, self.k, lam), params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"½·{coefficient(prefix, self.lam)}" + (f"(‖{w}‖_k^sp)²" if self.axis is None else f"Σ(‖{w}_slice‖_k^sp)²")
