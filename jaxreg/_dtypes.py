"""Dtypes and precision scopes: the only place that knows how jax spells them."""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def x64_scope() -> contextlib.AbstractContextManager[Any]:
    """A local scope in which jax computes in float64; the global flag is left alone.

    jax 0.8 moved ``jax.experimental.enable_x64`` to ``jax.enable_x64`` and 0.9 dropped the old name.
    """
    scope = getattr(jax, "enable_x64", None)
    if scope is None:
        from jax.experimental import enable_x64 as scope  # pyright: ignore
    return scope(True)


@jax.jit
def on_device(arrays: Any) -> Any:
    """NumPy arrays, copied into jax arrays: many in one call, for a tenth of what ``jax.device_put`` takes."""
    return jax.tree.map(jnp.copy, arrays)


def is_concrete(x: Any) -> bool:
    """True for a value that can be looked at now, false for a tracer."""
    return not isinstance(x, Tracer)


def is_number(x: Any) -> bool:
    """True for Python numbers, NumPy numbers and arrays, and jax arrays and tracers."""
    return isinstance(x, bool | int | float | complex | np.generic | np.ndarray | jax.Array)


def is_penalised_leaf(leaf: Any) -> bool:
    """True for the leaves a penalty may touch: real floating-point numbers and arrays.

    Integer and boolean arrays, PRNG keys, functions and strings are structure, not parameters.
    """
    if isinstance(leaf, complex):
        _refuse_complex()
    if isinstance(leaf, float):
        return True
    dtype = getattr(leaf, "dtype", None)
    if dtype is None:
        return False
    if jnp.issubdtype(dtype, jnp.complexfloating):
        _refuse_complex()
    return jnp.issubdtype(dtype, jnp.floating)


def _refuse_complex() -> None:
    raise TypeError(
        "params has a complex leaf; penalties are defined for real parameters. Pass the real and imaginary parts as two leaves."
    )


def accumulator(x: jax.Array) -> jax.Array:
    """x in at least float32: sums of squares overflow or lose digits in half precision."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def cast(strength: Any, like: jax.Array) -> jax.Array:
    """A strength in the dtype of the leaf it acts on, so that 0.1 stays 0.1 in a float64 scope."""
    return jnp.asarray(strength, dtype=like.dtype)
