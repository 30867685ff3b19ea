"""Isotonic regression: the nearest sequence that never rises."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


@jax.custom_jvp
def decreasing(v: Float[Array, " n"], fence: Bool[Array, " n"]) -> Float[Array, " n"]:
    """``argmin_z ‖z − v‖²`` with ``z_i >= z_{i+1}``, save across a fence: where ``fence[i]`` is true, ``z_i`` starts anew.

    Pool adjacent violators, every run of them at once: the blocks that rise are one block of the answer in any order of
    pooling, so a round may pool them all. Each round is O(n); there are about log n where blocks grow all over, and up to n where one
    block takes its neighbours in one by one.
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

    def rises(pools: Array) -> Array:
        level = _means(v, pools)
        return jnp.concatenate([jnp.zeros(1, bool), level[1:] > level[:-1]])[: v.size] & ~fence

    def pool(state: tuple[Array, Array]) -> tuple[Array, Array]:
        pools, rising = state
        starts = jnp.concatenate([jnp.ones(1, bool), pools[1:] != pools[:-1]])[: v.size] & ~rising
        pools = jnp.cumsum(starts, dtype=pools.dtype) - 1
        return pools, rises(pools)

    first = jnp.arange(v.size)
    return jax.lax.while_loop(lambda state: jnp.any(state[1]), pool, (first, rises(first)))[0]
