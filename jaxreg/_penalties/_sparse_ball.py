"""The ℓ0 ball: vectors with no more than k nonzeros."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Scalar

from ._about import About
from ._base import PyTree, static
from ._vector import VectorSet


def largest(size: Float[Array, " n"], k: int) -> Bool[Array, " n"]:
    """Where the k largest are; of equals, the first in order."""
    return jnp.zeros(size.shape, bool).at[jax.lax.top_k(size, min(k, size.size))[1]].set(True)


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
        cost="O(n log n)",
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
