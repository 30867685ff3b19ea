"""Isotonic regression: the nearest sequence that never rises."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_POOLED = 16  # rounds of pooling before the other way is taken


@jax.custom_jvp
def decreasing(v: Float[Array, " n"], fence: Bool[Array, " n"]) -> Float[Array, " n"]:
    """``argmin_z ‖z − v‖²`` with ``z_i >= z_{i+1}``, save across a fence: where ``fence[i]`` is true, ``z_i`` starts anew.

    Pool adjacent violators, every run of them at once: the blocks that rise are one block of the answer in any order of
    pooling, so a round may pool them all. Where one block takes its neighbours in one by one that needs up to n rounds; after a few
    the answer is therefore divided from above instead: a block has its higher numbers in front up to where the sum of ``v − mean``
    is largest, and is level if that is nowhere above 0. All blocks divide at once, so that there are about log(levels) rounds, each O(n).
    Luss, Rosset and Shahar, Efficient regularized isotonic regression, 2012 (isotonic recursive partitioning).
    """
    return _means(v, _pools(v, fence))


@decreasing.defjvp
def _derivative(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Means over the pools, which stay as they are near v; one-sided where two pools are level."""
    pools = _pools(*primals)
    return _means(primals[0], pools), _means(tangents[0], pools)


def _means(v: Float[Array, " n"], pools: Int[Array, " n"]) -> Float[Array, " n"]:
    def pooled(x: Array) -> Array:
        return jax.ops.segment_sum(x, pools, num_segments=v.size, indices_are_sorted=True)

    return (pooled(v) / jnp.maximum(pooled(jnp.ones(v.shape, v.dtype)), 1))[pools]


def _pools(v: Float[Array, " n"], fence: Bool[Array, " n"]) -> Int[Array, " n"]:
    """The number of each entry's pool."""
    pools, rising, _ = _pool(v, fence, jnp.arange(v.size), _POOLED)
    pools = _divide(v, fence, pools, jnp.any(rising))
    return _pool(v, fence, pools, v.size)[0]  # what rounding made rise


def _pool(v: Array, fence: Array, pools: Array, rounds: int) -> tuple[Array, Array, Array]:
    """Pool what rises, ``rounds`` times at most: (pools, where they still rise, rounds)."""

    def rises(pools: Array) -> Array:
        level = _means(v, pools)
        return jnp.concatenate([jnp.zeros(1, bool), level[1:] > level[:-1]])[: v.size] & ~fence

    def pool(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        pools, rising, count = state
        pools = _number(_starts(pools) & ~rising)
        return pools, rises(pools), count + 1

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        return jnp.any(state[1]) & (state[2] < rounds)

    return jax.lax.while_loop(unfinished, pool, (pools, rises(pools), jnp.zeros((), int)))


def _divide(v: Array, fence: Array, pools: Array, wanted: Array) -> Array:
    """``pools`` unless ``wanted``; then those that one block between two fences falls into."""
    n = jnp.arange(v.size)
    eps = jnp.finfo(v.dtype).eps

    def over(reduce: Any, x: Array, ids: Array) -> Array:
        return reduce(x, ids, num_segments=v.size, indices_are_sorted=True)

    def divide(state: tuple[Array, Array]) -> tuple[Array, Array]:
        ids, _ = state
        starts = _starts(ids)
        excess = v - _means(v, ids)
        excess -= _means(excess, ids)  # what the first mean lost to rounding
        before = jnp.cumsum(excess) - excess  # of all blocks before, which is 0 but for rounding
        gain = jnp.cumsum(excess) - before[jax.lax.cummax(jnp.where(starts, n, 0))]
        gain = jnp.where(jnp.append(starts[1:], True), 0, gain)  # an end divides nothing
        best = over(jax.ops.segment_max, gain, ids)
        spread = over(jax.ops.segment_max, jnp.abs(excess), ids)
        enough = 4 * eps * v.size**0.5 * spread
        last = over(jax.ops.segment_max, jnp.where((gain == best[ids]) & (gain > enough[ids]), n, -1), ids)
        cut = jnp.zeros(v.size + 1, bool).at[last + 1].set(True)[: v.size] & (n > 0)
        return _number(starts | cut), jnp.any(cut & ~starts)

    whole = _number(fence | (n == 0))
    return jax.lax.while_loop(lambda state: state[1], divide, (jnp.where(wanted, whole, pools), wanted))[0]


def _starts(pools: Int[Array, " n"]) -> Bool[Array, " n"]:
    return jnp.concatenate([jnp.ones(1, bool), pools[1:] != pools[:-1]])[: pools.size]


def _number(starts: Bool[Array, " n"]) -> Int[Array, " n"]:
    return jnp.cumsum(starts, dtype=int) - 1
