"""The lasso under squared error: every λ from the knots of its exact path, for several sets of sample weights."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._penalties import Penalty
from ..losses import SquaredError
from . import _moments, _together, _working_set
from ._engine import Design, Setup
from ._follow import part_of
from ._homotopy import Events, broken, coefficients, follow, going, room_for, start
from ._knots import Knots, Segments, between, segments_of, trace
from ._moments import Moments, Units
from ._progress import Teller, stacked

_LANES = 10  # whose paths are one program: between two of them progress is shown
_MOST = 4096  # events of a path for which there is room in it


class Found(NamedTuple):
    """One lane's answers on the original scale, as NumPy arrays; NaN where its path could not be continued."""

    coef: np.ndarray  # (L, p)
    intercept: np.ndarray  # (L, 1 or 0)
    scale: Array  # as `scales` of the engine defines it
    segments: Segments  # of `columns`, then the intercept; λ in the objective's units
    columns: np.ndarray

    @property
    def knots(self) -> Knots:
        return _as_knots(self.segments, self.columns)


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
    told: Teller,
    moments: Moments | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Knots]:
    """(coefficients, intercepts, scales) of each lane (row of weights) at every λ (decreasing), and the first one's knots.

    Lanes are parts of ``told``; where it says so the first ends there, and others are left out. ``ids`` are as in ``_moments.of_lanes``;
    ``moments`` are what it would find, if they are known.
    """
    n, p = design.X.shape
    if moments is None and _moments.enough(n, p):
        moments = _moments.of_lanes(design, weights, ids)
    rooms = np.minimum((weights > 0).sum(axis=1) - setup.intercept, p)

    def one(lane: int) -> Found:
        of_lane, room = told.part(lane, len(weights)), np.asarray(rooms[lane])
        if moments is None:
            unit, segments, columns, done = _working_set.follow_lane(
                setup, design, jnp.asarray(weights[lane]), strengths, lams, room, of_lane
            )
        else:
            unit, G, q = _moments.reduce(setup, moments, lane, strengths, design.free)
            segments, columns = trace(_start(G, q, unit.radius, room), lams[-1] / np.asarray(unit.kappa))[1], np.arange(p)
            done = _together.reported(segments.at(lams / np.asarray(unit.kappa)), of_lane)
        return _original(setup, p, unit, segments, columns, lams[:done])

    first = one(0)
    answers = [tuple(np.asarray(x) for x in first[:3])]
    # The other lanes' paths have about as many events: there is room for a quarter more, in a few sizes, each compiled anew.
    most = 64 << max(int(1.25 * len(first.segments.index)) // 64, 1).bit_length()
    size = min(len(weights) - 1, _LANES)
    for begin in range(1, len(weights), _LANES):
        if told.stopped():
            break
        lanes = range(begin, min(begin + _LANES, len(weights)))
        found: tuple[Any, ...] = ()
        whole = np.zeros(size, bool)
        if moments is not None and most <= _MOST:
            taken = part_of(lanes, 0, size)
            paths = several(setup, design, moments, taken, strengths, lams, rooms[taken], most=most)
            found, whole = tuple(np.asarray(x) for x in (paths.coef, paths.intercept, paths.unit.scale)), np.asarray(paths.whole)
        for at, lane in enumerate(lanes):
            if not whole[at] and told.stopped():
                break
            if whole[at]:
                _together.reported(found[0][at], told.part(lane, len(weights)))
            answers.append(tuple(x[at] for x in found) if whole[at] else tuple(np.asarray(x) for x in one(lane)[:3]))
    return *stacked(answers, len(lams)), first.knots


class Several(NamedTuple):
    """Paths of lanes that are one program."""

    coef: Float[Array, "m L p"]
    intercept: Float[Array, "m L q"]
    unit: Units  # with a leading axis
    whole: Bool[Array, "m"]  # whether all of a lane's events were among the first ``most``, and none of them broke it
    events: Events  # of the first lane


@functools.partial(jax.jit, static_argnames=("setup", "most"))
def several(
    setup: Setup,
    design: Design,
    moments: Moments,
    lanes: Int[Array, "m"],
    strengths: Float[Array, "p"],
    lams: Float[Array, "L"],
    rooms: Int[Array, "m"],
    most: int,
) -> Several:
    """The answers of ``lanes`` at every λ, if their paths have no more than ``most`` events."""

    def one(events: Events, args: tuple[Array, Array]) -> tuple[Events, tuple[Array, Array, Units, Array]]:
        lane, room = args
        unit, G, q = _moments.reduce(setup, moments, lane, strengths, design.free)
        own = lams / unit.kappa
        tableau, events = follow(start(G, q, unit.radius, room), own[-1], events)
        coef = between(events, coefficients(tableau, own[-1]), own) / unit.size
        level = (unit.level - coef @ unit.center)[:, None]
        return events, (coef, level if setup.intercept else level[:, :0], unit, ~going(tableau, own[-1]) & ~broken(tableau))

    # One room for all of them, backwards: in the end it holds the first lane's events.
    events, found = jax.lax.scan(one, room_for(most, moments.center.size, lams.dtype), (lanes, rooms), reverse=True)
    return Several(*found, events)


def first_knots(found: Several, last: Any, end: Any) -> Knots:
    """Of the first of several lanes, whose path is whole down to the ``last`` λ, as far as ``end``; λ in the objective's units."""
    unit = jax.tree.map(lambda x: np.asarray(x)[0], found.unit)
    columns = np.arange(unit.size.size)
    segments = segments_of(found.events, np.asarray(found.coef)[0, -1] * unit.size, last / unit.kappa)
    return _as_knots(_to_original(unit, segments, columns, end), columns)


_start = jax.jit(start)


def _original(setup: Setup, p: int, unit: Units, segments: Segments, columns: np.ndarray, lams: np.ndarray) -> Found:
    """Back to the original scale and the objective's λ; the path ends at the smallest of ``lams``."""
    segments = _to_original(unit, segments, columns, lams[-1])
    at = segments.at(lams)
    answers = np.zeros((len(lams), p), at.dtype)
    answers[:, columns] = at[:, :-1]
    return Found(answers, at[:, -1:] if setup.intercept else at[:, :0], unit.scale, segments, columns)


def _to_original(unit: Units, segments: Segments, columns: np.ndarray, end: Any) -> Segments:
    size, center, level, kappa = (np.asarray(x) for x in (unit.size, unit.center, unit.level, unit.kappa))
    segments = segments.until(end / kappa)
    coef = segments.coef / size[columns]
    shift = level - coef @ center[columns]
    breaks = np.append(segments.breaks[:-1] * kappa, end)
    return segments._replace(breaks=breaks, coef=np.concatenate([coef, shift[:, None]], axis=1))


def _as_knots(segments: Segments, columns: np.ndarray) -> Knots:
    return Knots(segments.breaks[:-1], columns[segments.index], segments.entered, columns, segments)
