"""The set of matrices of at most a given rank."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import product
from ._base import PyTree, static
from ._matrix import Matrixwise
from ._spectral import decompose, negligible, singular_values, spectral_map
from ._vector import VectorSet


def truncate(s: Float[Array, " k"], *, rank: int) -> Float[Array, " k"]:
    return jnp.where(jnp.arange(s.size) < rank, s, 0)


def project(W: Float[Array, "m n"], rank: int) -> Float[Array, "m n"]:
    return spectral_map(functools.partial(truncate, rank=rank), W)


def violation(W: Float[Array, "m n"], rank: int) -> tuple[Scalar, Scalar]:
    """The largest singular value beyond the rank. With none beyond, every point is in the interior."""
    if rank >= min(W.shape):
        return jnp.full((), -jnp.inf, W.dtype), jnp.zeros((), W.dtype)
    s = singular_values(W)
    return s[rank], s[0]


def tangent(W: Float[Array, "m n"], d: Float[Array, "m n"], rank: int) -> Float[Array, "m n"]:
    """d where it meets W's rows or columns and, while W's rank is smaller, the nearest of what rank is left to the rest of d."""
    U, s, Vt = decompose(W)
    kept = ~negligible(s)
    U, Vt = U * kept, Vt * kept[:, None]
    below = d - product(U, product(U.T, d))
    off = below - product(product(below, Vt.T), Vt)
    P, t, Qt = decompose(off)
    left = jnp.arange(t.size) < rank - jnp.sum(kept)
    return (d - off) + product(P * jnp.where(left, t, 0), Qt)


class RankBall(Matrixwise, VectorSet):
    """The constraint that a matrix has rank at most ``rank``: 0 where it holds, +inf elsewhere. λ has no effect on it.

    Its prox is the truncated singular value decomposition. Not convex: where the last value kept and the first dropped are level, several
    matrices are nearest, and the decomposition's order decides. ``subdiff_distance`` is the steepest descent that the set leaves open. No
    conjugate is given: it is that of the whole space.

    Args:
      rank: largest rank, an integer >= 1.
      axes: the axes of rows and of columns, each one or several (``((0, 1, 2), 3)`` for a convolution); others count matrices.

    Raises:
      TypeError: ``rank`` is no integer.
      ValueError: ``rank`` is less than 1; a leaf lacks the axes.

    References:
      Eckart and Young, The approximation of one matrix by another of lower rank, 1936; the tangent cone: Schneider and
      Uschmajew, Convergence results for projected line-search methods on varieties of low-rank matrices, 2015, thm. 3.2, cor. 3.3.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.RankBall(1).prox(jnp.diag(jnp.array([3.0, 1.0]))).tolist()
    [[3.0, 0.0], [0.0, 0.0]]
    """

    rank: Any = static(default=1)
    axes: Any = static(default=(-2, -1))
    condition = "rank {w} ≤ {rank}"
    about = About(
        equation="rank(W) ≤ rank",
        domain="rank ≥ 1; matrices",
        cost="an SVD, O(m·n·min(m, n))",
        also="ProximalOperators.jl",
        source="Eckart and Young 1936",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.rank, bool) or not isinstance(self.rank, int | np.integer):
            raise TypeError(f"RankBall: rank must be an integer, got {self.rank!r}")
        if self.rank < 1:
            raise ValueError(f"RankBall: rank must be >= 1, got {self.rank}; for zero only, use Box(0, 0)")
        object.__setattr__(self, "rank", int(self.rank))

    def _strengths(self, dtype: Any) -> list[Any]:
        return [self.rank]

    def free(self, params: PyTree) -> PyTree:
        """All of a matrix that has no more rows, or columns, than the rank."""
        blocks, put_back = self._gather(params)
        flags = [jnp.full(block.shape, min(block.shape[1:]) <= self.rank) for block in blocks]
        return put_back(flags, lambda w: jnp.ones(np.shape(w), bool))
