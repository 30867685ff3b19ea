"""The ℓ0 ball: vectors with no more than k nonzeros."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Scalar

from ._about import About
from ._base import PyTree, static
from ._vector import VectorSet


@functools.partial(jax.jit, static_argnums=1)  # called by itself, a loop would be compiled anew each time
def largest(size: Float[Array, " n"], k: int) -> Bool[Array, " n"]:
    """Where the k largest of numbers >= 0 are; of equals, the first in order."""
    n = size.size
    if k >= n:
        return jnp.ones(size.shape, bool)
    if size.dtype == jnp.float32 and 64 * k <= n:  # else XLA's own sorts, or nearly so, and takes up to twenty times as long
        return jnp.zeros(size.shape, bool).at[jax.lax.top_k(size, k)[1]].set(True)
    # Numbers >= 0 are ordered as their bits are.
    width = 8 * size.dtype.itemsize
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(size), jnp.dtype(f"int{width}"))
    level, count = _last_with(k, lambda t: jnp.sum(bits >= t), bits.dtype, width - 1, n)
    # Where ties leave more than k, so many of the last of them go.
    tied, index = bits == level, jnp.arange(n, dtype=jnp.int32)
    first, _ = _last_with(count - k, lambda t: jnp.sum(tied & (index >= t)), index.dtype, n.bit_length(), jnp.sum(tied))
    return (bits >= level) & ~(tied & (index >= first) & (count > k))


def _last_with(k: Any, counts: Any, dtype: Any, width: int, all_of_them: Any) -> tuple[Array, Array]:
    """The largest t of so many bits with ``counts(t) >= k``, and that count; the first found with just k will do.

    ``counts`` never rises, and is ``all_of_them`` at 0. One bit of t a pass, the highest first.
    """

    def add(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        bit, t, count = state
        tried = t | (jnp.ones((), dtype) << bit.astype(dtype))
        more = counts(tried)
        return bit - 1, jnp.where(more >= k, tried, t), jnp.where(more >= k, more, count)

    start = jnp.asarray(width - 1, jnp.int32), jnp.zeros((), dtype), jnp.asarray(all_of_them, int)
    _, t, count = jax.lax.while_loop(lambda state: (state[0] >= 0) & (state[2] != k), add, start)
    return t, count


def project(w: Float[Array, " n"], k: int) -> Float[Array, " n"]:
    return jnp.where(largest(jnp.abs(w), k), w, 0)


def violation(w: Float[Array, " n"], k: int) -> tuple[Scalar, Scalar]:
    """The largest entry beyond the k: to be 0 exactly. With no entry beyond, every vector of numbers is in the interior."""
    beyond = jnp.max(jnp.where(largest(jnp.abs(w), k), 0, jnp.abs(w))) if k < w.size else -jnp.inf
    return jnp.where(jnp.any(jnp.isnan(w)), jnp.nan, beyond).astype(w.dtype), jnp.zeros((), w.dtype)


def tangent(w: Float[Array, " n"], d: Float[Array, " n"], k: int) -> Float[Array, " n"]:
    """d on the support and, where that has fewer than k numbers, on the largest of d elsewhere."""
    size = jnp.where(w != 0, jnp.inf, jnp.abs(d))
    return jnp.where(largest(size, k), d, 0)


class SparseBall(VectorSet):
    """The constraint of at most k nonzeros, ``‖w‖₀ <= k``, for each slice where ``axis`` is given; λ has no effect. Not convex.

    Prox: the k largest in size, of equals the first in order, and exactly 0 elsewhere (iterative hard thresholding). Gradient 0.
    ``subdiff_distance`` is the steepest descent that the set leaves open: the loss's gradient on the support and, while that is smaller
    than k, on the largest entries elsewhere. No conjugate is given: it is that of the whole space.

    Args:
      k: how many, >= 1.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      TypeError: ``k`` is no integer.
      ValueError: ``k`` is less than 1; a leaf lacks the axis.

    References:
      Blumensath and Davies, Iterative hard thresholding for compressed sensing, 2009, §1.3; Bauschke et al., Restricted normal cones and
      sparsity optimization, 2014, §3 (tangent and normal cones).

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.SparseBall(2).prox(jnp.array([1.0, -3.0, 1.0, 0.5])).tolist()
    [1.0, -3.0, 0.0, 0.0]
    """

    k: Any = static(default=1)
    axis: Any = static(default=None)
    condition = "‖{w}‖₀ ≤ {k}"
    about = About(
        equation="‖w‖₀ ≤ k",
        domain="k ≥ 1",
        cost="O(n), a pass for each bit of a number",
        also="ProximalOperators.jl, PyProximal",
        source="Blumensath and Davies 2009, §1.3",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.k, int | np.integer) or isinstance(self.k, bool):
            raise TypeError(f"SparseBall: k must be an integer, got {self.k!r}")
        if self.k < 1:
            raise ValueError(f"SparseBall: k must be >= 1, got {self.k}")
        object.__setattr__(self, "k", int(self.k))

    def _strengths(self, dtype: Any) -> list[Any]:
        return [self.k]

    def free(self, params: PyTree) -> PyTree:
        """All of a vector that has no more than k numbers."""
        blocks, put_back = self._gather(params)
        flags = [jnp.full(block.shape, block.shape[1] <= self.k) for block in blocks]
        return put_back(flags, lambda w: jnp.ones(np.shape(w), bool))
