"""SLOPE: the sorted L1 norm, ``lam·Σ weights_i·|w|_(i)``, the largest weight at the highest price."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Scalar

from .._dtypes import x64_scope
from ._about import About
from ._arithmetic import check_numbers, coefficient
from ._base import PyTree, Strength, static
from ._isotonic import decreasing
from ._vector import Norm


def _fitting(w: Array, weights: Array) -> Array:
    if weights.shape != w.shape:
        raise ValueError(f"SLOPE: weights must have one entry for each of the {w.size} parameters of a vector, got shape {weights.shape}")
    return weights


def _falling(size: Float[Array, " n"], stable: bool = False) -> Array:
    """The order of numbers >= 0 from the largest down: sorted by their bits, as integers, which XLA does in half the time."""
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(size), jnp.dtype(f"int{8 * size.dtype.itemsize}"))
    return jax.lax.sort((-bits, jnp.arange(size.size)), num_keys=1, is_stable=stable)[1]


def value(w: Float[Array, " n"], lam, weights) -> Scalar:
    return lam * jnp.sum(_fitting(w, weights) * jnp.flip(jnp.sort(jnp.abs(w))))


def grad(w: Float[Array, " n"], lam, weights) -> Float[Array, " n"]:
    """Each weight at its own price; of equals, the first in order pays the higher."""
    order = _falling(jnp.abs(w), stable=True)
    return lam * jnp.sign(w) * jnp.zeros_like(w).at[order].set(_fitting(w, weights))


def prox(w: Float[Array, " n"], step, lam, weights) -> Float[Array, " n"]:
    """Sort, subtract, never rise, never below zero, and back into the old order."""
    size = jnp.abs(w)
    order = _falling(size)  # level weights are pooled: their order does not matter
    fitted = decreasing(size[order] - step * lam * _fitting(w, weights), jnp.zeros(w.shape, bool))
    moved = jnp.sign(w) * jnp.zeros_like(w).at[order].set(jnp.maximum(fitted, 0))
    # Without a strength the prox is the identity, whose slope at 0 the sign would lose.
    return jnp.where((w == 0) & (step * lam == 0), w, moved)


def residual(w: Float[Array, " n"], g: Float[Array, " n"], lam, weights) -> Float[Array, " n"]:
    """Weights of one size share their prices in any order: the nearest such share is an isotonic regression in each cluster."""
    size = jnp.abs(w)
    outward = jnp.where(w == 0, jnp.abs(g), -jnp.sign(w) * g)
    order = jnp.lexsort((-outward, -size))
    fence = jnp.concatenate([jnp.ones(1, bool), size[order][1:] != size[order][:-1]])[: w.size]
    left = decreasing(outward[order] - lam * _fitting(w, weights), fence)
    left = jnp.zeros_like(w).at[order].set(left)
    return jnp.where(w == 0, jnp.sign(g) * jnp.maximum(left, 0), -jnp.sign(w) * left)


class SLOPE(Norm):
    """SLOPE (sorted L1): ``lam·Σ weights_i·|w|_(i)`` with ``|w|_(1) >= |w|_(2) >= …``; OSCAR is a case of it.

    Large weights pay more, and weights of correlated features are made level. Gradient ``lam·weights_i·sign(w)``, prox by a sort and
    an isotonic regression, about log n rounds of O(n); conjugate the
    indicator of ``Σ_{i<=k} |u|_(i) <= lam·Σ_{i<=k} weights_i`` for every k.

    Args:
      lam: strength, >= 0, one number; ``SLOPE(lams)`` with a sequence alone, as the literature writes it, is ``SLOPE(1.0, lams)``.
      weights: prices, >= 0, never rising, one for each parameter of a vector; see :meth:`benjamini_hochberg` and :meth:`oscar`.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: a strength is negative or not finite, ``weights`` is missing, rises, or does not fit the parameters.

    References:
      Bogdan et al., SLOPE: adaptive variable selection via convex optimization, 2015, eq. 1.2 and alg. 3; Bondell and Reich,
      Simultaneous regression shrinkage with OSCAR, 2008, eq. 3.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.SLOPE(1.0, weights=[2.0, 1.0]).prox(jnp.array([4.0, -3.5])).tolist()
    [2.25, -2.25]
    >>> jaxreg.SLOPE([2.0, 1.0]).prox(jnp.array([4.0, -3.5])).tolist()
    [2.25, -2.25]
    """

    lam: Strength = 1.0
    weights: Any = None
    axis: Any = static(default=None)
    about = About(
        equation="lam·Σ weights_i·|w|_(i)",
        domain="lam ≥ 0; weights ≥ 0, never rising",
        cost="a sort, then O(n) a round: about log n rounds",
        also="skglm",
        source="Bogdan et al. 2015, eq. 1.2 and alg. 3",
    )

    vector_value, vector_prox, vector_residual = staticmethod(value), staticmethod(prox), staticmethod(residual)

    def __post_init__(self) -> None:
        if self.weights is None and np.ndim(self.lam) == 1:
            object.__setattr__(self, "weights", self.lam)
            object.__setattr__(self, "lam", 1.0)
        if self.weights is None:
            raise ValueError("SLOPE: weights is missing; pass prices that never rise, such as SLOPE.oscar(n) or weights=[2.0, 1.0]")
        object.__setattr__(self, "weights", np.asarray(self.weights) if isinstance(self.weights, list | tuple) else self.weights)
        super().__post_init__()
        if np.ndim(self.weights) != 1:
            raise ValueError(f"SLOPE: weights must have shape (n,), got {np.shape(self.weights)}")

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "weights":
            check_numbers("SLOPE: weights", value, lambda x: np.diff(x, prepend=x[:1]) <= 0 if np.ndim(x) else True, "never rising")

    def _dimension(self, name: str) -> int:
        return 1 if name == "weights" else 0

    def grad(self, params: PyTree) -> PyTree:
        return self._write(grad, params)

    @staticmethod
    def dual_norm(u: Float[Array, " n"], weights) -> Scalar:
        sums, prices = jnp.cumsum(jnp.flip(jnp.sort(jnp.abs(u)))), jnp.cumsum(_fitting(u, weights))
        ratios = jnp.where(prices > 0, sums / jnp.where(prices > 0, prices, 1), jnp.where(sums > 0, jnp.inf, 0))
        return jnp.max(ratios, initial=0)

    @staticmethod
    def vector_support(w: Float[Array, " n"], lam, weights) -> Array:
        """Where a weight is not zero and level with none, or with some of one price."""
        size = jnp.sort(jnp.abs(w))
        first = w.size - jnp.searchsorted(size, jnp.abs(w), side="right")
        last = w.size - 1 - jnp.searchsorted(size, jnp.abs(w), side="left")
        prices = _fitting(w, weights)
        return (w != 0) & (prices[first] == prices[last]) | (lam == 0) | jnp.all(prices == 0)

    @classmethod
    def benjamini_hochberg(cls, n: int, q: float = 0.1, lam: Strength = 1.0) -> SLOPE:
        """Prices ``Φ⁻¹(1 − i·q/(2n))``: for orthogonal columns and unit noise the false discovery rate is at most q.

        >>> import jaxreg
        >>> jaxreg.SLOPE.benjamini_hochberg(3).weights.round(2).tolist()
        [2.13, 1.83, 1.64]
        """
        if not 0 < q < 1:
            raise ValueError(f"SLOPE: q must be between 0 and 1, got {q}")
        with x64_scope():  # float32 quantiles of a million numbers are not monotone
            return cls(lam, weights=np.asarray(-ndtri(np.arange(1, n + 1) * q / (2 * n))))

    @classmethod
    def oscar(cls, n: int, c: float = 1.0, lam: Strength = 1.0) -> SLOPE:
        """OSCAR, ``lam·(Σ|w| + c·Σ_{j<k} max(|w_j|, |w_k|))``: prices ``1 + c·(n − i)``.

        >>> import jaxreg
        >>> jaxreg.SLOPE.oscar(3, c=0.5).weights.tolist()
        [2.0, 1.5, 1.0]
        """
        return cls(lam, weights=1 + c * np.arange(n - 1, -1, -1))

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}Σ weights_i·|{w}|_(i)"
