"""Arithmetic that the penalties share: checks of numbers, formulas as text, norms with derivatives at zero."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._dtypes import accumulator, is_concrete, is_number, is_penalised_leaf

PyTree = Any

# Products in full precision: accelerators round factors to 10 bits by default.
product = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def check_numbers(name: str, value: Any, valid: Callable[[np.ndarray], Any], domain: str) -> None:
    """Refuse numbers outside a domain. Tracers pass, and so does what other code puts in a pytree's place."""
    if isinstance(value, str):
        raise TypeError(f"{name} must be {domain}, got the string {value!r}")
    for leaf in jax.tree.leaves(value):
        if not is_number(leaf) or not is_concrete(leaf):
            continue
        if np.iscomplexobj(leaf):
            raise TypeError(f"{name} must be real, got {leaf!r}")
        bad = ~np.asarray(valid(np.asarray(leaf)))
        if np.any(bad):
            first = np.asarray(leaf)[bad].ravel()[0] if np.ndim(leaf) else leaf
            count = f" ({int(bad.sum())} of {bad.size} entries)" if bad.size > 1 else ""
            raise ValueError(f"{name} must be {domain}, got {first}{count}")


def check_step(step: Any, params: PyTree) -> None:
    if step is None and jax.tree.leaves(params):  # a tree without leaves, of which nothing would be checked
        raise TypeError("step must be >= 0, got None")
    check_numbers("step", step, lambda s: s >= 0, ">= 0")


def check_strength(name: str, value: Any) -> None:
    """A strength, or a tree of them, is finite and not negative."""
    check_numbers(name, value, lambda x: np.isfinite(x) & (x >= 0), "finite and >= 0")


def refuse_nothing(leaves: list[Any]) -> None:
    """Parameters of which none can be penalised are a mistake, not a penalty of zero: integers are no parameters."""
    if leaves and not any(is_penalised_leaf(leaf) for leaf in leaves):
        kinds = sorted({str(getattr(leaf, "dtype", type(leaf).__name__)) for leaf in leaves})
        raise TypeError(f"params has no floating-point leaf to penalise, only {', '.join(kinds)}; convert with .astype(float)")


def number(value: Any, name: str) -> str:
    """A single known number as text, and the name of anything else."""
    return f"{float(value):g}" if is_number(value) and np.ndim(value) == 0 and is_concrete(value) else name


def coefficient(prefix: str, lam: Any) -> str:
    """What stands before a sum: ``λ·``, ``0.5·``, ``λ·0.5·``, or ``λ·lam·`` where lam is no single number."""
    factors = [prefix] if prefix else []
    shown = number(lam, "lam")
    if shown != "1" or not prefix:
        factors.append(shown)
    return "·".join(factors) + "·"


def weighted_sum(prefix: str, lam: Any, term: str) -> str:
    """``λ·0.5·Σ|w|``, or ``λ·Σ lam_j·|w|`` where every number has its own strength."""
    if is_number(lam) and np.ndim(lam):
        return f"{prefix}·Σ lam_j·{term}" if prefix else f"Σ lam_j·{term}"
    return f"{coefficient(prefix, lam)}Σ{term}"


def zeros(leaf: Any) -> Any:
    """A zero gradient for a leaf that is not penalised; None for what is no array at all."""
    if not is_number(leaf) or jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.extended):
        return None  # PRNG keys are arrays, but no numbers
    return jnp.zeros_like(jnp.asarray(leaf))


def zero_or_inf(u: Array) -> Array:
    """The conjugate of the zero function: 0 at 0, +inf elsewhere."""
    return jnp.where(u == 0, 0.0, jnp.inf).astype(u.dtype)


def at_most(x: Any, most: Any) -> Any:
    """``min(x, most)``, but NaN where x is: XLA's minimum on a CPU may lose it."""
    return jnp.where(x > most, most, x)


def finite_product(step: Any, lam: Any) -> Any:
    """``step·lam``, and the largest number where that overflows: inf/inf is no number."""
    found = jnp.multiply(step, lam)
    return jnp.minimum(found, jnp.finfo(found.dtype).max)


def steepest_bend(slopes: Any, widths: Any) -> Any:
    """The largest slope over the smallest width, from trees of strengths: a bound on how concave a penalty can be."""
    largest = functools.reduce(jnp.maximum, [jnp.max(jnp.asarray(x)) for x in jax.tree.leaves(slopes)])
    return largest / functools.reduce(jnp.minimum, [jnp.min(jnp.asarray(x)) for x in jax.tree.leaves(widths)])


def total(values: PyTree) -> Scalar:
    """The sum of a pytree of scalars; 0 for an empty one."""
    return functools.reduce(jnp.add, jax.tree.leaves(values) or [jnp.zeros(())])


def poisoned(value: Any, tree: PyTree) -> Scalar:
    """The value, NaN where a number in the tree is NaN: comparisons would make 0 or inf of it."""
    lost = [jnp.any(jnp.isnan(x)) for x in jax.tree.leaves(tree) if is_penalised_leaf(x)]
    return jnp.where(jnp.any(jnp.stack(lost)), jnp.nan, value) if lost else value


def norm(tree: PyTree) -> Scalar:
    """The Euclidean norm over a whole pytree, in at least float32."""
    return safe_sqrt(total([jnp.sum(accumulator(jnp.asarray(x)) ** 2) for x in jax.tree.leaves(tree)]))


def safe_sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """√x with derivative 0 at 0 (plain sqrt gives inf there, and NaN once multiplied by 0)."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), jnp.where(x == 0, 0.0, x))
