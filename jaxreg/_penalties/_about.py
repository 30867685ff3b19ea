"""What a reader wants to know of a penalty before its formulas: the line of the table in docs/penalties.md."""

from __future__ import annotations

from typing import NamedTuple


class About(NamedTuple):
    """Facts for the catalogue; those that can be tested (convex, smooth, separable) are class facts instead.

    Attributes:
      equation: the penalty as its docstring writes it.
      domain: of λ and of what shapes the penalty.
      cost: of the prox for n parameters.
      also: libraries that have it too, comma-separated; "" for none known.
      source: paper and equation.
    """

    equation: str
    domain: str
    cost: str
    also: str
    source: str
