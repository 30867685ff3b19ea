"""The nuclear norm: ``lam·Σσ_i(W)``, the L1 norm of singular values."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .. import _tree
from .._dtypes import is_penalised_leaf
from ._about import About
from ._arithmetic import coefficient, product
from ._base import PyTree, Strength, static
from ._matrix import Matrixwise
from ._spectral import decompose, negligible, singular_values, spectral_map, spectral_value
from ._vector import Norm


class Rank(NamedTuple):
    """What is left of a leaf's matrices.

    Attributes:
      path: the leaf.
      shape: of each of its matrices.
      rank: number of singular values above the threshold; an array where the leaf holds several matrices.
      threshold: in units of singular values.
      share: of the sum of all singular values, what those above the threshold have.
    """

    path: str
    shape: tuple[int, int]
    rank: Any
    threshold: Any
    share: Any


def summed(s: Float[Array, " k"], lam) -> Scalar:
    """What rounding leaves of a zero has no derivative; NaN is kept."""
    return lam * jnp.sum(jnp.where(negligible(s), 0, s))


def soft(s: Float[Array, " k"], threshold) -> Float[Array, " k"]:
    """At the threshold the derivative is 1, and so it is everywhere for a threshold of 0."""
    return jnp.where(s >= threshold, s - threshold, 0)


def value(W: Float[Array, "m n"], lam) -> Scalar:
    return spectral_value(summed, W, lam)


def grad(W: Float[Array, "m n"], lam) -> Float[Array, "m n"]:
    U, s, Vt = decompose(W)
    return lam * product(U * ~negligible(s), Vt)


def prox(W: Float[Array, "m n"], step, lam) -> Float[Array, "m n"]:
    return spectral_map(soft, W, step * lam)


def residual(W: Float[Array, "m n"], g: Float[Array, "m n"], lam) -> Float[Array, "m n"]:
    """``UVᵀ`` is due where W has its singular vectors; off them, any matrix of spectral norm up to lam."""
    U, s, Vt = decompose(W)
    U, Vt = U * ~negligible(s), Vt * ~negligible(s)[:, None]
    below = g - product(U, product(U.T, g))
    off = below - product(product(below, Vt.T), Vt)
    return (g - off) + lam * product(U, Vt) + prox(off, 1, lam)


class Nuclear(Matrixwise, Norm):
    """Nuclear norm (trace norm): ``lam·Σσ_i(W)``, the sum of singular values; it makes matrices of low rank.

    Gradient ``lam·UVᵀ`` over the singular values that are not 0, prox ``U (σ − step·lam)₊ Vᵀ``, conjugate the indicator of spectral
    norm <= lam. Convex, smooth at full rank. See :meth:`rank_report` for what is left.

    Args:
      lam: strength, >= 0, one number, in units of loss per singular value.
      axes: the axes of rows and of columns, each one or several (``((0, 1, 2), 3)`` for a convolution); others count matrices.

    Raises:
      ValueError: ``lam`` is negative or not finite; a leaf lacks the axes.

    References:
      Cai, Candès and Shen, A singular value thresholding algorithm for matrix completion, 2010, thm. 2.1; the subdifferential:
      Watson, Characterization of the subdifferential of some matrix norms, 1992.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Nuclear(1.0).prox(jnp.array([[2.0, 2.0], [2.0, 2.0]])).round(3).tolist()
    [[1.5, 1.5], [1.5, 1.5]]
    """

    lam: Strength = 1.0
    axes: Any = static(default=(-2, -1))
    about = About(
        equation="lam·Σσ_i(W)",
        domain="lam ≥ 0; matrices",
        cost="an SVD, O(m·n·min(m, n))",
        also="SCICO, ProximalOperators.jl, PyProximal",
        source="Cai, Candès and Shen 2010, thm. 2.1",
    )

    vector_value, vector_prox, vector_residual = staticmethod(value), staticmethod(prox), staticmethod(residual)

    @staticmethod
    def dual_norm(u: Float[Array, "m n"]) -> Scalar:
        return jnp.max(singular_values(u), initial=0)

    @staticmethod
    def vector_support(w: Float[Array, "m n"], lam) -> Array:
        """Where no singular value is 0."""
        return ~jnp.any(negligible(singular_values(w))) | (lam == 0)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(grad, params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}Σσ({w})"

    def rank_report(self, params: PyTree, step: Any = 0.0) -> list[Rank]:
        """The rank of each leaf's matrices, and with a step the rank that ``prox(params, step)`` will leave.

        >>> import jax.numpy as jnp, jaxreg
        >>> found = jaxreg.Nuclear(1.0).rank_report({"kernel": jnp.diag(jnp.array([3.0, 1.0, 0.0]))}, step=2.0)[0]
        >>> found.path, found.shape, int(found.rank), float(found.threshold), float(found.share)
        ('kernel', (3, 3), 1, 2.0, 0.75)
        """
        blocks, _ = self._gather(params)
        named = [path for path, leaf in zip(_tree.paths(params), jax.tree.leaves(params), strict=True) if is_penalised_leaf(leaf)]
        return [_rank(name, block, step * jnp.asarray(self.lam, block.dtype)) for name, block in zip(named, blocks, strict=True)]


def _rank(path: str, block: Float[Array, "count m n"], threshold: Any) -> Rank:
    s = jax.vmap(singular_values)(block)
    kept = (s > threshold) & ~jax.vmap(negligible)(s)
    total = jnp.sum(s, axis=-1)
    share = jnp.sum(jnp.where(kept, s, 0), axis=-1) / jnp.where(total > 0, total, 1)
    rank, share = (x[0] if len(block) == 1 else x for x in (jnp.sum(kept, axis=-1), share))
    return Rank(path, (block.shape[1], block.shape[2]), rank, threshold, share)
