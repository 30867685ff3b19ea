"""Smoothness on a graph: ``lam·Σ weight_ij·(w_i − w_j)²`` over its edges."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Scalar

from .. import _tree
from .._dtypes import is_number
from ._about import About
from ._arithmetic import coefficient, product
from ._base import PyTree, Strength, static
from ._components import components, means
from ._linear import conjugate_gradients
from ._vector import Vectorwise, rounding

Edges = Int[Array, "edges 2"]
_MOST = 10_000  # iterations of conjugate gradients


def _jumps(w: Float[Array, " n"], edges: Edges) -> Float[Array, " edges"]:
    return w[edges[:, 0]] - w[edges[:, 1]]


def _scatter(x: Float[Array, " edges"], edges: Edges, n: int) -> Float[Array, " n"]:
    """Of each edge's number, added at its first node and subtracted at its second."""
    return jnp.zeros(n, x.dtype).at[edges[:, 0]].add(x).at[edges[:, 1]].add(-x)


def laplacian(w: Float[Array, " n"], weights: Float[Array, " edges"], edges: Edges) -> Float[Array, " n"]:
    """``Lw``, in O(edges)."""
    return _scatter(weights * _jumps(w, edges), edges, w.size)


def _components(n: int, edges: Edges, weights: Float[Array, " edges"]) -> Int[Array, " n"]:
    here = edges[:, 0]
    return components(here, jnp.where(weights > 0, edges[:, 1], here), n)


def _degrees(n: int, edges: Edges, weights: Float[Array, " edges"]) -> Float[Array, " n"]:
    """L's diagonal."""
    proper = jnp.where(edges[:, 0] == edges[:, 1], 0, weights)
    return jnp.zeros(n, weights.dtype).at[edges[:, 0]].add(proper).at[edges[:, 1]].add(proper)


def value(w: Float[Array, " n"], lam, weights, edges: Edges) -> Scalar:
    return lam * jnp.sum(weights * _jumps(w, edges) ** 2)


def grad(w: Float[Array, " n"], lam, weights, edges: Edges) -> Float[Array, " n"]:
    return 2 * lam * laplacian(w, weights, edges)


# Compiled here: called as they stand, loops over closures would be compiled anew at each call.
@jax.jit
def prox(w: Float[Array, " n"], step, lam, weights, edges: Edges) -> Float[Array, " n"]:
    """``(I + 2·step·lam·L)⁻¹w`` by conjugate gradients. Components keep their means, which are set aside: what is left has no
    direction in which L vanishes, so that the iterations stay bounded for any strength."""
    strength = 2 * step * lam
    label = _components(w.size, edges, weights)
    diagonal = jax.lax.stop_gradient(1 + strength * _degrees(w.size, edges, weights))

    def solve(product: Any, b: Array) -> Array:
        mean = means(b, label)
        rest = conjugate_gradients(product, b - mean, diagonal, _MOST)
        return mean + (rest - means(rest, label))

    return jax.lax.custom_linear_solve(lambda z: z + strength * laplacian(z, weights, edges), w, solve, symmetric=True)


@jax.jit
def conjugate(u: Float[Array, " n"], lam, weights, edges: Edges) -> Scalar:
    """``uᵀL⁺u/(4·lam)`` where u sums to 0 (but for rounding) on each component, +inf elsewhere."""
    label = _components(u.size, edges, weights)
    mean = means(u, label)
    degrees = jax.lax.stop_gradient(_degrees(u.size, edges, weights))
    rest = u - mean
    # With the means' projection L is definite, and the same on what has mean 0.
    flow = conjugate_gradients(lambda z: laplacian(z, weights, edges) + means(z, label), rest, 1 + degrees, _MOST)
    inside = jnp.all(jnp.abs(mean) <= rounding(u) * means(jnp.abs(u), label))
    square = product(rest, flow) / (4 * jnp.where(lam > 0, lam, 1))
    return jnp.where(inside, jnp.where(lam > 0, square, jnp.where(jnp.all(u == 0), 0, jnp.inf)), jnp.inf).astype(u.dtype)


class GraphLaplacian(Vectorwise):
    """Smoothness on a graph: ``lam·Σ weight_ij·(w_i − w_j)²`` over the edges, which is ``lam·wᵀLw`` with the graph's Laplacian L.

    Parameters of neighbours are drawn together. Gradient ``2·lam·Lw`` and value in O(edges), prox ``(I + 2·step·lam·L)⁻¹w`` by
    conjugate gradients to rounding (O(edges) an iteration, some √(condition of L) of them), conjugate ``uᵀL⁺u/(4·lam)`` where u
    sums to 0 on each component, +inf elsewhere. Convex and smooth; derivatives with respect to ``weights`` too. With L1 it is
    network-constrained regularisation.

    Args:
      lam: strength, >= 0, one number, in units of loss per squared difference.
      edges: integers (edges, 2), each edge once: nodes are the parameters of a vector, in the order in which they flatten.
      weights: one number >= 0 for each edge, 1 by default; data, not structure.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``lam`` or a weight is negative or not finite, ``edges`` is missing or no (edges, 2) array of integers >= 0, names a
        node that a vector lacks, or does not fit ``weights``.

    References:
      Belkin and Niyogi, Semi-supervised learning on Riemannian manifolds, 2004, §3; Li and Li, Network-constrained regularization and
      variable selection for analysis of genomic data, 2008, eq. 2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.GraphLaplacian(0.5, edges=[[0, 1]]).prox(jnp.array([0.0, 3.0, 7.0])).round(3).tolist()
    [1.0, 2.0, 7.0]
    """

    lam: Strength = 1.0
    edges: Any = static(default=None)
    weights: Any = None
    axis: Any = static(default=None)
    convex, smooth = True, True
    about = About(
        equation="lam·Σ weight_ij·(w_i − w_j)²",
        domain="lam ≥ 0; weights ≥ 0, one for each edge",
        cost="conjugate gradients, O(edges) an iteration",
        also="",
        source="Belkin and Niyogi 2004, §3; Li and Li 2008, eq. 2",
    )

    def __post_init__(self) -> None:
        if self.edges is None:
            raise ValueError("GraphLaplacian: edges is missing; pass pairs of parameters, such as edges=[[0, 1], [1, 2]]")
        edges = np.asarray(self.edges)
        if edges.ndim != 2 or edges.shape[1] != 2 or not np.issubdtype(edges.dtype, np.integer) or (edges < 0).any():
            raise ValueError(f"GraphLaplacian: edges must hold integers >= 0 of shape (edges, 2), got {edges.dtype} of shape {edges.shape}")
        object.__setattr__(self, "edges", _tree.Static(edges))
        weights: Any = np.ones(len(edges)) if self.weights is None else self.weights
        object.__setattr__(self, "weights", np.asarray(weights) if isinstance(weights, list | tuple) else weights)
        super().__post_init__()
        if is_number(self.weights) and np.shape(weights) != (len(edges),):
            raise ValueError(f"GraphLaplacian: weights must have shape ({len(edges)},), one for each edge, got {np.shape(weights)}")

    def _dimension(self, name: str) -> int:
        return 1 if name == "weights" else 0

    def _edges(self, w: Array) -> Array:
        edges = self.edges.value
        if edges.size and edges.max() >= w.size:
            raise ValueError(f"GraphLaplacian: edges name node {edges.max()}, but a vector has {w.size} parameters")
        return jnp.asarray(edges)

    def vector_value(self, w: Float[Array, " n"], lam, weights) -> Scalar:  # pyright: ignore[reportIncompatibleVariableOverride]
        return value(w, lam, weights, self._edges(w))

    def vector_prox(self, w: Array, step, lam, weights) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return prox(w, step, lam, weights, self._edges(w))

    def vector_conjugate(self, u: Array, lam, weights) -> Scalar:  # pyright: ignore[reportIncompatibleVariableOverride]
        return conjugate(u, lam, weights, self._edges(u))

    def vector_residual(self, w: Array, g: Array, lam, weights) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return g + grad(w, lam, weights, self._edges(w))

    def vector_lambda_max(self, g: Array, lam, weights) -> Scalar:  # pyright: ignore[reportIncompatibleVariableOverride]
        """No λ makes a gradient that is not 0 vanish at 0."""
        return jnp.where(jnp.any((g != 0) & ~self._alone(g, lam, weights)), jnp.inf, 0).astype(g.dtype)

    def _alone(self, w: Array, lam: Any, weights: Any) -> Array:
        return (_degrees(w.size, self._edges(w), weights) == 0) | (lam == 0)

    @staticmethod
    def vector_support(w: Float[Array, " n"], lam, weights) -> Array:
        del lam, weights
        return jnp.ones(w.shape, bool)

    def free(self, params: PyTree) -> PyTree:
        blocks, put_back = self._gather(params)
        return put_back(self._apply(self._alone, blocks), lambda w: jnp.ones(np.shape(w), bool))

    def grad(self, params: PyTree) -> PyTree:
        return self._write(lambda w, lam, weights: grad(w, lam, weights, self._edges(w)), params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}Σ weight_ij·({w}_i − {w}_j)²"
