"""The lasso under squared error: every λ from the knots of its exact path, for several sets of sample weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._penalties import Penalty
from ..losses import SquaredError
from . import _moments, _together, _working_set
from ._engine import Design, Setup
from ._homotopy import start
from ._knots import Knots, Segments, trace
from ._moments import Units


class Found(NamedTuple):
    """One lane's answers on the original scale, as NumPy arrays; NaN where its path could not be continued."""

    coef: np.ndarray  # (L, p)
    intercept: np.ndarray  # (L, 1 or 0)
    scale: Array  # as `scales` of the engine defines it
    segments: Segments  # of `columns`, then the intercept; λ in the objective's units
    columns: np.ndarray

    @property
    def knots(self) -> Knots:
        segments = self.segments
        return Knots(segments.breaks[:-1], self.columns[segments.index], segments.entered, self.columns, segments)


def strengths(setup: Setup, design: Design, penalty: Penalty) -> Array | None:
    """The a_j of a penalty that is exactly ``Σ a_j·|w_j|`` on the squared error of one target without bounds; else None."""
    terms = penalty.terms()
    if not isinstance(setup.loss, SquaredError) or setup.outputs is not None or design.lower is not None:
        return None
    if not terms or any(term.role != "soft" or term.reference() is not None for term in terms):
        return None
    a = _slopes_at_zero(penalty, np.zeros(design.X.shape[1], design.X.dtype))
    return a if (np.asarray(a) > 0).any() else None


@jax.jit
def _slopes_at_zero(penalty: Penalty, zero: Any) -> Float[Array, "p"]:
    return penalty.subdifferential(zero)[1]


def fit(
    setup: Setup,
    design: Design,
    weights: np.ndarray,
    strengths: Float[Array, "p"],
    lams: np.ndarray,
    ids: np.ndarray | None,
    step: Callable[[int, int, np.ndarray], bool],
) -> list[Found]:
    """Each lane (row of weights) at every λ (decreasing); ``ids`` as in ``_moments.of_lanes``.

    ``step(lane, λ done, coefficients of the last of them)`` is told of progress; its answer True ends the lane there.
    """
    n, p = design.X.shape
    moments = _moments.of_lanes(design, weights, ids) if _moments.enough(n, p) else None
    found = []
    for lane, v in enumerate(weights):
        told = functools.partial(step, lane)
        room = np.asarray(min(int(np.sum(v > 0)) - setup.intercept, p))
        if moments is None:
            unit, segments, columns, done = _working_set.follow_lane(setup, design, jnp.asarray(v), strengths, lams, room, told)
        else:
            unit, G, q = _moments.reduce(setup, moments, lane, strengths, design.free)
            segments, columns = trace(_start(G, q, unit.radius, room), lams[-1] / np.asarray(unit.kappa))[1], np.arange(p)
            done = _together.reported(segments.at(lams / np.asarray(unit.kappa)), told)
        found.append(_original(setup, p, unit, segments, columns, lams[:done]))
    return found


_start = jax.jit(start)


def _original(setup: Setup, p: int, unit: Units, segments: Segments, columns: np.ndarray, lams: np.ndarray) -> Found:
    """Back to the original scale and the objective's λ; the path ends at the smallest of ``lams``."""
    size, center, level, kappa = (np.asarray(x) for x in (unit.size, unit.center, unit.level, unit.kappa))
    segments = segments.until(lams[-1] / kappa)
    coef = segments.coef / size[columns]
    shift = level - coef @ center[columns]
    breaks = np.append(segments.breaks[:-1] * kappa, lams[-1])
    segments = segments._replace(breaks=breaks, coef=np.concatenate([coef, shift[:, None]], axis=1))
    at = segments.at(lams)
    answers = np.zeros((len(lams), p), at.dtype)
    answers[:, columns] = at[:, :-1]
    return Found(answers, at[:, -1:] if setup.intercept else at[:, :0], unit.scale, segments, columns)
