"""Penalties of matrices: each leaf as a batch of matrices over ``axes``."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._base import Penalty
from ._vector import Vectorwise


class Matrixwise(Vectorwise):
    """A sum of a function of matrices: everything that Vectorwise gives, with a matrix (m, n) in the vector's place.

    ``axes`` says which axes of a leaf are rows and which are columns; the others count matrices. Either may be several, which are read
    as one: ``axes=((0, 1, 2), 3)`` makes a convolution's kernel (height, width, in, out) one matrix (height·width·in) × out.
    Subclasses declare ``axes: Any = static(default=(-2, -1))``, and list this class before ``Norm`` or ``VectorSet``.
    """

    axis = property(lambda self: self._pair())

    def __post_init__(self) -> None:
        Penalty.__post_init__(self)
        pair = self._pair()
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(_is_axis(a) for side in pair for a in _several(side)):
            raise TypeError(
                f"{type(self).__name__}: axes must be a pair (rows, columns), each an integer or a tuple of integers, got {pair!r}"
            )
        object.__setattr__(self, "axes", tuple(tuple(side) if isinstance(side, list) else side for side in pair))

    def _pair(self) -> Any:
        return getattr(self, "axes")

    def _sides(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        rows, columns = (_several(side) for side in self._pair())
        if any(not -len(shape) <= a < len(shape) for a in (*rows, *columns)):
            raise ValueError(
                f"{type(self).__name__}: axes {self._pair()} do not exist in a params leaf of shape {shape}; "
                "place the penalty on leaves that have them, with .on"
            )
        rows, columns = (tuple(a % len(shape) for a in side) for side in (rows, columns))
        if len({*rows, *columns}) < len(rows) + len(columns):
            raise ValueError(f"{type(self).__name__}: axes {self._pair()} name an axis twice in a params leaf of shape {shape}")
        return rows, columns

    def _slices(self, w: Array) -> Array:
        rows, columns = self._sides(w.shape)
        both = (*rows, *columns)
        last = jnp.moveaxis(w, both, range(-len(both), 0))
        count = int(np.prod(last.shape[: w.ndim - len(both)]))
        return last.reshape(count, int(np.prod([w.shape[a] for a in rows])), int(np.prod([w.shape[a] for a in columns])))

    def _unslice(self, block: Array, shape: tuple[int, ...]) -> Array:
        both = sum(self._sides(shape), ())
        rest = [n for i, n in enumerate(shape) if i not in both]
        return jnp.moveaxis(block.reshape(*rest, *[shape[a] for a in both]), range(-len(both), 0), both)


def _several(side: Any) -> tuple[Any, ...]:
    return tuple(side) if isinstance(side, tuple | list) else (side,)


def _is_axis(a: Any) -> bool:
    return isinstance(a, int | np.integer) and not isinstance(a, bool)
