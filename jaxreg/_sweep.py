"""``sweep``: one pure training function over many λ (and many keys) in compiled chunks that fit memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any
# What a chunk may take where the device does not say how much it has.
_DEFAULT_BYTES = 2 * 2**30


def sweep(
    train: Callable[..., PyTree],
    lams: PyTree,
    *,
    keys: jax.Array | None = None,
    chunk: int | None = None,
    max_bytes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PyTree:
    """Run ``train(lam)`` for every λ, or ``train(lam, key)`` for every λ and key, as one vmapped program.

    Args:
      train: a pure function from one strength (and one key) to any pytree of arrays. It must be traceable by jax.
      lams: the swept pytree; every leaf has the same leading axis: an array of λ, a tuple of arrays for several λ, or a
        whole penalty with stacked strengths, ``L2(jnp.logspace(-4, 0, 32))``.
      keys: (K,) jax random keys, each combined with every λ.
      chunk: how many runs are vmapped at once; by default as many as fit ``max_bytes`` by the compiler's own count.
      max_bytes: memory for a chunk; by default half of what the device reports free, or 2 GiB.
      progress: called with (done, total) runs as chunks finish.

    Returns:
      The results stacked: each leaf has a leading axis (λ,), or (λ, keys).

    Raises:
      ValueError: leaves of different length, nothing to sweep, or a chunk below 1.

    >>> import jax, jax.numpy as jnp, jaxreg
    >>> def train(lam):  # ridge of a single weight: argmin (w − 1)² + λw²
    ...     return {"w": 1 / (1 + lam)}
    >>> jaxreg.sweep(train, jnp.array([0.0, 1.0, 3.0]))["w"].tolist()
    [1.0, 0.5, 0.25]
    >>> def noisy(penalty, key):
    ...     return penalty(jax.random.normal(key, (2,)))
    >>> jaxreg.sweep(noisy, jaxreg.L2(jnp.ones(4)), keys=jax.random.split(jax.random.key(0), 3)).shape
    (4, 3)
    """
    leaves: list[Any] = [jnp.asarray(leaf) for leaf in jax.tree.leaves(lams)]
    if not leaves or any(leaf.ndim == 0 for leaf in leaves):
        raise ValueError("lams: every leaf needs a leading axis over the sweep, such as jnp.logspace(-4, 0, 32)")
    lengths = {leaf.shape[0] for leaf in leaves}
    if len(lengths) > 1:
        raise ValueError(f"lams: leaves have different lengths {sorted(lengths)}; give each the same leading axis")
    count = leaves[0].shape[0]
    if keys is not None and jnp.ndim(keys) == 0:
        raise ValueError("keys must be several keys, such as jax.random.split(jax.random.key(0), 3), got one")
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    if count == 0 or (keys is not None and len(keys) == 0):
        raise ValueError("there is nothing to sweep: lams or keys is empty")
    # λ and key vary together over one flat axis of runs, λ slowest.
    per_lam = 1 if keys is None else len(keys)
    runs = count * per_lam
    swept = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf), per_lam, axis=0), lams)
    inputs = (swept,) if keys is None else (swept, keys[jnp.tile(jnp.arange(per_lam), count)])
    size, program = _program(train, inputs, min(chunk or runs, runs), None if chunk else _memory(max_bytes))
    results = []
    for start in range(0, runs, size):
        rows = jnp.minimum(jnp.arange(start, start + size), runs - 1)
        part = jax.block_until_ready(program(*jax.tree.map(lambda x, rows=rows: x[rows], inputs)))
        kept = min(size, runs - start)
        # On the host: what is finished must not take the device's memory from what is still to run.
        results.append(jax.tree.map(lambda x, kept=kept: np.asarray(x[:kept]), part) if size < runs else part)
        if progress:
            progress(start + kept, runs)

    def stack(*parts: Any) -> Any:
        joined = jnp.concatenate(parts) if size < runs else jnp.asarray(parts[0])
        return joined if keys is None else joined.reshape(count, per_lam, *joined.shape[1:])

    return jax.tree.map(stack, *results)


def _resized(x: Any, size: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype)


def _memory(max_bytes: int | None) -> int:
    if max_bytes is not None:
        return max_bytes
    stats = jax.local_devices()[0].memory_stats() or {}
    limit = stats.get("bytes_limit")
    return (limit - stats.get("bytes_in_use", 0)) // 2 if limit else _DEFAULT_BYTES


def _program(train: Callable[..., PyTree], inputs: tuple[PyTree, ...], size: int, limit: int | None) -> tuple[int, Any]:
    """(runs a chunk, the compiled chunk): the size asked for, or what the compiler counts to fit ``limit`` bytes."""
    runs = jax.tree.leaves(inputs)[0].shape[0]
    while True:
        size = -(-runs // -(-runs // size))  # equal chunks: none is mostly padding
        shapes = jax.tree.map(functools.partial(_resized, size=size), inputs)
        program = jax.jit(jax.vmap(train)).lower(*shapes).compile()
        analysis = program.memory_analysis()
        needed = 0 if analysis is None else analysis.temp_size_in_bytes + analysis.output_size_in_bytes
        if limit is None or needed <= limit or size == 1:
            return size, program
        size = max(1, min(size - 1, size * limit // needed))
