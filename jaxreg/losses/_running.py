"""Sums and means over the rows up to each one, of weights so unequal that only their logarithms are finite."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

NOTHING = -1e30  # the logarithm of 0, finite so that derivatives are
# Rows whose weights on each other are written out, in place of a scan over single rows; on a CPU a tenth of the time of jax's cumlogsumexp.
_BLOCK = 32


def grouped_logsumexp(x: Float[Array, "n"], first: Int[Array, "n"]) -> Float[Array, "n"]:
    """log Σ exp x over the rows of a group, at each of them; ``first`` is each row's group's first row, increasing."""
    n = x.shape[0]
    top = jax.lax.stop_gradient(jax.ops.segment_max(x, first, n, indices_are_sorted=True)[first])
    return top + jnp.log(jax.ops.segment_sum(jnp.exp(x - top), first, n, indices_are_sorted=True)[first])


def running_logsumexp(x: Float[Array, "n"], *, reverse: bool = False) -> Float[Array, "n"]:
    """log Σ exp x over the rows up to each one (from each one on, where reversed)."""
    if reverse:
        return running_logsumexp(x[::-1])[::-1]

    def step(before: Array, x: Array) -> tuple[Array, Array]:
        among = jnp.where(jnp.tri(x.size, dtype=bool), x, NOTHING)
        top = jax.lax.stop_gradient(jnp.maximum(jnp.max(among, axis=1), before))
        total = top + jnp.log(jnp.exp(before - top) + jnp.sum(jnp.exp(among - top[:, None]), axis=1))
        return total[-1], total

    return jax.lax.scan(step, jnp.full((), NOTHING, x.dtype), _blocks(x, NOTHING))[1].reshape(-1)[: x.size]


def running_mean(x: Float[Array, "n"], total: Float[Array, "n"], A: Float[Array, "n q"], *, reverse: bool = False) -> Float[Array, "n q"]:
    """Means of the rows of A up to each one (from each one on, where reversed), weighted by exp x.

    Args:
      total: ``running_logsumexp(x, reverse=reverse)``, by which every weight is divided before it is anything but a logarithm.
    """
    if reverse:
        return running_mean(x[::-1], total[::-1], A[::-1])[::-1]

    def step(carry: tuple[Array, Array], block: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        before, mean = carry
        x, total, A = block
        weights = jnp.exp(jnp.where(jnp.tri(x.size, dtype=bool), x - total[:, None], NOTHING))
        means = jnp.exp(before - total)[:, None] * mean + weights @ A
        return (total[-1], means[-1]), means

    start = (jnp.full((), NOTHING, x.dtype), jnp.zeros_like(A[0]))
    blocks = _blocks(x, NOTHING), _blocks(total, jnp.inf), _blocks(A, 0.0)
    return jax.lax.scan(step, start, blocks)[1].reshape(-1, A.shape[1])[: x.size]


def _blocks(x: Array, fill: float) -> Array:
    count = -(-x.shape[0] // _BLOCK)
    padded = jnp.pad(x, [(0, count * _BLOCK - x.shape[0])] + [(0, 0)] * (x.ndim - 1), constant_values=fill)
    return padded.reshape(count, _BLOCK, *x.shape[1:])
