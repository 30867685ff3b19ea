"""A line of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._penalties import Penalty

Definition = Callable[[np.ndarray], np.ndarray]


class Entry(NamedTuple):
    """A penalty to verify, to document and to draw.

    Attributes:
      penalty: an example, of 4 numbers at most unless separable.
      definition: its value in NumPy, of vectors (…, n); for a set, how far outside.
      params: the parameters that the example is for; None for a vector of 4.
      sample: for a set, points of it from any numbers (…, n).
      small: the same penalty for two numbers, where the example is for four and takes no two: what the picture shows.
      plane: the two of the flattened numbers that the picture shows, the others being 0.
    """

    penalty: Penalty
    definition: Definition
    params: Any = None
    sample: Definition | None = None
    small: Penalty | None = None
    plane: tuple[int, int] = (0, 1)

    @property
    def kind(self) -> type[Penalty]:
        """The class, under ``on``, ``around`` and ``rescale``; a sum is its own."""
        bare: Any = self.penalty
        while isinstance(getattr(bare, "penalty", None), Penalty):
            bare = bare.penalty
        return type(bare)


def name_of(kind: type[Penalty]) -> str:
    """The command line's name of a class.

    >>> from jaxreg import MCP, ElasticNet, LInf
    >>> [name_of(kind) for kind in (MCP, ElasticNet, LInf)]
    ['mcp', 'elastic-net', 'l-inf']
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", kind.__name__).lower()


def matrices(w: np.ndarray) -> np.ndarray:
    """(…, 4) as (…, 2, 2)."""
    return w.reshape(*w.shape[:-1], 2, 2)
