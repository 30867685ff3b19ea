"""What a path asks of a penalty: tried by tracing, once for each kind of penalty and problem."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .._penalties import Penalty
from ._engine import Design, Setup, bounded

Question = Callable[[Penalty, jax.Array], Any]


def ask(question: Question, setup: Setup, design: Design, penalty: Penalty) -> None:
    """Raise the UnknownOperation with which ``question(penalty with the design's bounds, coefficients)`` is refused, if it is."""
    bounds = design._replace(X=None, y=None, offset=None, free=None)
    leaves, structure = jax.tree.flatten((bounds, penalty))
    kinds = tuple((x.shape, x.dtype) if hasattr(x, "dtype") else None for x in leaves)
    _answered(question, setup.outputs, setup.shape(design.X.shape[1]), design.X.dtype, structure, kinds)


@functools.lru_cache(maxsize=256)
def _answered(question: Question, outputs: int | None, shape: tuple[int, ...], dtype: Any, structure: Any, kinds: tuple[Any, ...]) -> None:
    """Answers are kept, errors are not: they show the penalty that was asked."""

    def answer(leaves: list[Any], w: jax.Array) -> Any:
        bounds, penalty = jax.tree.unflatten(structure, leaves)
        return question(bounded(penalty, bounds, jnp.ones(shape[0], dtype), outputs), w)

    leaves = [1.0 if kind is None else jax.ShapeDtypeStruct(*kind) for kind in kinds]
    jax.eval_shape(answer, leaves, jax.ShapeDtypeStruct(shape, dtype))
