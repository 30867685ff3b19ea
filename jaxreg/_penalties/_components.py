"""Connected components of a graph, and means over them."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


@functools.partial(jax.jit, static_argnums=2)
def components(here: Int[Array, " edges"], there: Int[Array, " edges"], count: int) -> Int[Array, " nodes"]:
    """The first node of each node's component; an edge from a node to itself is none. About log(count) rounds.

    Roots take the smallest label across an edge, and the ways to roots are halved (Zhang, Azad and Hu, FastSV, 2020, alg. 1).
    """

    def hook(state: tuple[Array, Array]) -> tuple[Array, Array]:
        parent, _ = state
        up = parent[parent]
        low = jnp.minimum(up[here], up[there])
        new = up.at[parent[here]].min(low).at[parent[there]].min(low).at[here].min(low).at[there].min(low)
        return new, jnp.any(new != parent)

    return jax.lax.while_loop(lambda state: state[1], hook, (jnp.arange(count), jnp.asarray(True)))[0]


def means(x: Float[Array, " nodes"], label: Int[Array, " nodes"]) -> Float[Array, " nodes"]:
    """Each node's number replaced by the mean of its component."""

    def summed(values: Array) -> Array:
        return jax.ops.segment_sum(values, label, num_segments=label.size)

    return (summed(x) / jnp.maximum(summed(jnp.ones_like(x)), 1))[label]
