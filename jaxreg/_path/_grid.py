"""The λ of a path for which only their number was given."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ._certificate import Null
from ._engine import Design
from ._inputs import Problem


def default_grid(problem: Problem, null: Null, count: int) -> np.ndarray:
    """Log-spaced from the smallest λ whose solution is all zero (ridge: the elastic net's at l1_ratio 1e-3)."""
    largest = float(null.lambda_max)
    if not np.isfinite(largest) or largest <= 0:
        flat = "the loss is stationary there at λ = 0 already: no penalised feature varies with what is left of y, or nothing is penalised"
        why = flat if largest <= 0 else f"no finite λ does that for {problem.penalty!r}"
        raise ValueError(
            "lams: a grid starts at the smallest λ whose coefficients are all zero, and there is none to start at "
            f"({why}); pass values, such as lams=np.geomspace(10, 0.01, 30), on the command line --lams 10:0.01:30"
        )
    return largest * default_ratios(problem.design, count, smooth=bool(null.smooth))


def default_ratios(design: Design, count: int, *, smooth: bool) -> np.ndarray:
    """Of the grid to its largest λ, which is that of ``smooth`` penalties or the smallest that gives all zeros."""
    n, p = design.X.shape
    smallest = 1e-3 if n > p else 1e-2
    if smooth:
        # The substitute is a thousand times the λ at which an L1 of the same weight would start to select.
        smallest *= 1e-3
    # Two roundings above, so that rounding does not leave a coefficient of 1e-17 at the first λ.
    return (1 + 4 * float(jnp.finfo(design.X.dtype).eps)) * np.geomspace(1, smallest, count)
