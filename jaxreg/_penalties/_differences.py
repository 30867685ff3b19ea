"""Penalties of differences along a line, ``lam·‖Dw‖₁``: all that they have in common, given the prox."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Scalar

from ._base import PyTree
from ._chain import adjoint
from ._spline import nearest
from ._vector import Vectorwise


def value(w: Float[Array, " n"], order: int, lam) -> Scalar:
    return lam * jnp.sum(jnp.abs(jnp.diff(w, order + 1)))


def grad(w: Float[Array, " n"], order: int, lam) -> Float[Array, " n"]:
    return lam * adjoint(signs(w, order), order) if w.size > order + 1 else jnp.zeros_like(w)


def prox(w: Float[Array, " n"], step, order: int, lam) -> Float[Array, " n"]:
    return nearest(w, step * lam, jnp.zeros(max(w.size - order - 1, 0), bool), order)


def residual(w: Float[Array, " n"], g: Float[Array, " n"], order: int, lam) -> Float[Array, " n"]:
    """``g + Dᵀu`` with u = ±lam where Dw is not 0; where it is, u is any within ±lam, and the shortest is what a prox leaves."""
    return nearest(g + grad(w, order, lam), lam, signs(w, order) != 0, order)


def signs(w: Float[Array, " n"], order: int) -> Float[Array, " m"]:
    """The signs of ``D^{order+1} w``; 0 also for what is no more than the rounding of w, unless D is w_{i+1} − w_i."""
    change, size = jnp.diff(w, order + 1), jnp.abs(w)
    for _ in range(order + 1):
        size = size[1:] + size[:-1]
    return jnp.where(jnp.abs(change) <= (8 * jnp.finfo(w.dtype).eps * size if order else 0), 0, jnp.sign(change))


def untied(w: Float[Array, " n"], order: int) -> Bool[Array, " n"]:
    """Where no difference that a number takes part in is 0."""
    tied = jnp.pad(signs(w, order) == 0, order + 1)
    return ~jnp.any(jnp.stack([tied[i : i + w.size] for i in range(order + 2)]), axis=0)


def needed(u: Float[Array, " n"], order: int) -> Scalar:
    """The smallest lam for which ``u = Dᵀz`` has a ``|z| <= lam``: sums of sums of u; +inf where they do not end at 0.

    A sum is taken for 0 within 4096·(order + 1)·ε of the same sum of |u|: the rounding of a u that was left of numbers a thousand times
    as large.
    """
    sums, sizes = u, jnp.abs(u)
    for _ in range(order + 1):
        sums, sizes = jnp.cumsum(sums), jnp.cumsum(sizes)
    count = max(u.size - order - 1, 0)
    ends = jnp.all(jnp.abs(sums[count:]) <= 4096 * (order + 1) * jnp.finfo(u.dtype).eps * sizes[count:])
    return jnp.where(ends, jnp.max(jnp.abs(sums[:count]), initial=0), jnp.inf)


class Differences(Vectorwise):
    """``lam·Σ|D^{order+1} w|`` along a line. What subclasses add is ``lam``, ``axis`` and, if it is no 0, ``order``."""

    convex = True
    order = 0

    # Methods, not static functions as elsewhere: the order is structure, which is not handed on with the strengths.

    def vector_value(self, w: Float[Array, " n"], lam) -> Scalar:
        return value(w, self.order, lam)

    def vector_prox(self, w: Float[Array, " n"], step, lam) -> Float[Array, " n"]:
        return prox(w, step, self.order, lam)

    def vector_residual(self, w: Float[Array, " n"], g: Float[Array, " n"], lam) -> Float[Array, " n"]:
        return residual(w, g, self.order, lam)

    def vector_conjugate(self, u: Float[Array, " n"], lam) -> Scalar:
        """The indicator of ``{Dᵀz : |z| <= lam}``."""
        slack = 64 * (self.order + 1) * jnp.finfo(u.dtype).eps
        return jnp.where(needed(u, self.order) <= lam * (1 + slack), 0, jnp.inf).astype(u.dtype)

    def vector_lambda_max(self, g: Float[Array, " n"], lam) -> Scalar:
        """+inf unless g is orthogonal to all that costs nothing: constants, lines, …"""
        costs = (lam > 0) & (g.size > self.order + 1)
        return jnp.where(costs, needed(g, self.order) / jnp.where(lam > 0, lam, 1), 0)

    def vector_support(self, w: Float[Array, " n"], lam) -> Array:
        return untied(w, self.order) | (lam == 0)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(lambda w, lam: grad(w, self.order, lam), params)

    def free(self, params: PyTree) -> PyTree:
        """All of a vector that is too short to have a difference, too."""
        blocks, put_back = self._gather(params)
        flags = self._apply(lambda w, lam: jnp.broadcast_to((lam == 0) | (w.size <= self.order + 1), w.shape), blocks)
        return put_back(flags, lambda w: jnp.ones(jnp.shape(w), bool))
