"""The sum of the k largest entries: ``lam·Σ_{i<=k} w_(i)``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Scalar

from ._about import About
from ._arithmetic import coefficient
from ._base import PyTree, Strength, static
from ._box_section import piece
from ._vector import Vectorwise, rounding


def _top(w: Float[Array, " n"], k: int) -> tuple[Bool[Array, " n"], Bool[Array, " n"], Scalar]:
    """The entries above the k-th largest, those level with it, and how many of these count."""
    last = jnp.sort(w)[w.size - k]
    above, level = w > last, w == last
    return above, level, (k - jnp.sum(above)).astype(w.dtype)


def shelf(v: Float[Array, " n"], members: Bool[Array, " n"], cap: Any, total: Any) -> Scalar:
    """The τ at which the members' ``Σ clip(v − τ, 0, cap)`` is total, on the piece between two of the bends v and v − cap."""
    fixed, height, needed = jax.lax.stop_gradient((v, cap, total))
    bends = jnp.concatenate([jnp.where(members, fixed, jnp.inf), jnp.where(members, fixed - height, jnp.inf)])
    within = piece(bends, lambda tau: jnp.sum(jnp.where(members, jnp.clip(fixed - tau, 0, height), 0)) >= needed)
    full = members & (v - cap > within)
    between = members & (v > within) & ~full
    count = jnp.sum(between).astype(v.dtype)
    # Seen from within the piece: far off, differences of large numbers would round.
    excess = jnp.sum(jnp.where(between, v - within, 0)) + cap * jnp.sum(full) - total
    return jnp.where(count > 0, within + excess / jnp.where(count > 0, count, 1), within)


def value(w: Float[Array, " n"], k: int, lam) -> Scalar:
    return lam * jnp.sum(jnp.sort(w)[w.size - k :])


def grad(w: Float[Array, " n"], k: int, lam) -> Float[Array, " n"]:
    """Entries level with the k-th share what is left of k."""
    above, level, left = _top(w, k)
    shares = jnp.where(above, 1, jnp.where(level, left / jnp.sum(level), 0)).astype(w.dtype)
    return jnp.where(jnp.isnan(w), jnp.nan, lam * shares)


def prox(w: Float[Array, " n"], k: int, step, lam) -> Float[Array, " n"]:
    """Moreau: less the projection onto ``0 <= u <= step·lam, Σu = k·step·lam``. Written as two bounds, so that ties stay exact."""
    strength = step * lam
    tau = shelf(w, jnp.ones(w.shape, bool), strength, k * strength)
    moved = jnp.maximum(w - strength, jnp.minimum(w, tau))
    moved = jnp.where(jnp.isinf(strength) & ~jnp.isnan(w), -jnp.inf, moved)  # no bottom: an endless step does not end
    return jnp.where(strength == 0, w - step * grad(w, k, lam), moved)


def residual(w: Float[Array, " n"], g: Float[Array, " n"], k: int, lam) -> Float[Array, " n"]:
    """The level entries share what is left of k in any way that gives none of them more than lam."""
    above, level, left = _top(w, k)
    tau = shelf(-g, level, lam, left * lam)
    shares = jnp.where(above, lam, jnp.where(level, jnp.clip(-g - tau, 0, lam), 0))
    return g + jnp.where(jnp.any(jnp.isnan(w)), jnp.nan, shares)


def conjugate(u: Float[Array, " n"], k: int, lam) -> Scalar:
    """The indicator of ``0 <= u <= lam, Σu = k·lam``, to rounding."""
    slack = rounding(u) * jnp.maximum(k * lam, jnp.sum(jnp.abs(u)))
    inside = jnp.all((u >= -slack) & (u <= lam + slack)) & (jnp.abs(jnp.sum(u) - k * lam) <= slack)
    return jnp.where(inside, 0, jnp.inf).astype(u.dtype)


class SumLargest(Vectorwise):
    """Sum of the k largest entries, in value and not in size: ``lam·Σ_{i<=k} w_(i)``, summed over slices where ``axis`` is given.

    With k = 1 the maximum: of losses the worst case, of k the k/n-tail (k times the conditional value at risk). It is negative where
    they are. Gradient ``lam`` at the k largest, shared where several are level with the k-th; prox: the largest are lowered by
    ``step·lam``, or to a common level; conjugate the indicator of ``0 <= u <= lam``, ``Σu = k·lam``. Convex, and unbounded below: zero is a
    solution for no λ or for one, and ``lambda_max`` is +inf.

    Args:
      lam: strength, >= 0, one number, in units of loss per parameter.
      k: how many, an integer >= 1; all where a vector has fewer.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``k`` is less than 1; a leaf lacks the axis.
      TypeError: ``k`` is no integer.

    References:
      Overton and Womersley, Optimality conditions and duality theory for minimizing sums of the largest eigenvalues of symmetric
      matrices, 1993, §2 (of numbers); the prox follows by Moreau's identity.

    >>> import jax.numpy as jnp, jaxreg
    >>> penalty = jaxreg.SumLargest(1.0, k=2)
    >>> float(penalty(jnp.array([3.0, -1.0, 2.0]))), penalty.prox(jnp.array([3.0, -1.0, 1.5, 1.0])).tolist()
    (5.0, [2.0, -1.0, 0.75, 0.75])
    """

    lam: Strength = 1.0
    k: Any = static(default=1)
    axis: Any = static(default=None)
    convex = True
    about = About(
        equation="lam·Σ_{i≤k} w_(i)",
        domain="lam ≥ 0, integer k ≥ 1",
        cost="O(n·log n)",
        also="ProximalOperators.jl",
        source="Overton and Womersley 1993, §2",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.k, int | np.integer) or isinstance(self.k, bool):
            raise TypeError(f"SumLargest: k must be an integer, got {self.k!r}")
        if self.k < 1:
            raise ValueError(f"SumLargest: k must be >= 1, got {self.k}")

    def _count(self, w: Array) -> int:
        return min(self.k, w.size)

    def vector_value(self, w: Float[Array, " n"], lam) -> Scalar:
        return value(w, self._count(w), lam)

    def vector_prox(self, w: Float[Array, " n"], step, lam) -> Float[Array, " n"]:
        return prox(w, self._count(w), step, lam) if w.size else w

    def vector_residual(self, w: Float[Array, " n"], g: Float[Array, " n"], lam) -> Float[Array, " n"]:
        return residual(w, g, self._count(w), lam) if w.size else g

    def vector_conjugate(self, u: Float[Array, " n"], lam) -> Scalar:
        return conjugate(u, self._count(u), lam)

    def vector_support(self, w: Float[Array, " n"], lam) -> Array:
        """Where the k-th largest is larger than the next."""
        down = jnp.sort(w)[::-1]
        k = self._count(w)
        return (down[k - 1] > down[k]) | (lam == 0) if k < w.size else jnp.ones((), bool)

    @staticmethod
    def vector_lambda_max(g: Float[Array, " n"], lam) -> Scalar:
        return jnp.where(lam > 0, jnp.inf if g.size else 0, 0).astype(g.dtype)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(lambda w, lam: grad(w, self._count(w), lam) if w.size else w, params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return (
            f"{coefficient(prefix, self.lam)}Σ{w}_(1…{self.k})"
            if self.axis is None
            else f"{coefficient(prefix, self.lam)}ΣΣ{w}_slice(1…{self.k})"
        )
