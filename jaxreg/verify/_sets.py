"""A set's projection, support function and normal cone, from points of the set and from how far outside a point is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._penalties import UnknownOperation
from . import _tolerances as tolerances
from ._report import Finding, worst
from ._search import pattern_search
from ._subject import Definition, Subject

# Draws to start from, in groups of which each sends its best on: wells apart are searched apart.
_DRAWS, _GROUPS = 512, 8


def _outside(s: Subject, points: np.ndarray) -> np.ndarray:
    """How far outside, relative to the size of the point."""
    if s.definition is None:
        raise UnknownOperation("no definition of the set was given")
    return s.definition(points) / np.maximum(1, np.abs(points).max(axis=-1))


def _sample(s: Subject) -> Definition:
    if s.sample is None:
        raise UnknownOperation("no sample of the set was given")
    return s.sample


def _draws(s: Subject, radius: float) -> np.ndarray:
    """Numbers to sample with, of all sizes up to the radius and with some of them zero."""
    sizes = np.geomspace(1e-2, radius, _DRAWS)[:, None]
    return s.rng.standard_normal((_DRAWS, s.n)) * sizes * (s.rng.random((_DRAWS, s.n)) < 0.75)


def _lowest(s: Subject, objective: Callable[..., np.ndarray], rows: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Points of the set at which each of some functions is lowest, and its values there."""
    sample, draws = _sample(s), _draws(s, radius)

    def of_numbers(which: np.ndarray, t: np.ndarray) -> np.ndarray:
        return objective(which, sample(np.clip(t, -radius, radius)))

    values = of_numbers(np.arange(rows), np.broadcast_to(draws, (rows, *draws.shape))).reshape(rows, _GROUPS, -1)
    best = np.where(np.isnan(values), np.inf, values).argmin(axis=2) + np.arange(_GROUPS) * (_DRAWS // _GROUPS)
    t, lowest = pattern_search(of_numbers, draws[best], np.full(rows, 0.1 * radius))
    return sample(np.clip(t, -radius, radius)), lowest


def projection_against_sample(s: Subject, v: np.ndarray, steps: np.ndarray, z: np.ndarray, added: Definition) -> Finding:
    """The claimed ``argmin ½‖z − v‖² + step·added(z)`` over the set: in it, beaten by no point of it and, as the search comes close, near.

    A set of no volume is missed by every grid: the points come from a map of all numbers onto the set.
    """

    def objective(rows: np.ndarray, w: np.ndarray) -> np.ndarray:
        return 0.5 * np.sum((w - v[rows, None]) ** 2, axis=2) + steps[rows, None] * added(w)

    best, lowest = _lowest(s, objective, len(v), 4 * float(np.abs(v).max()) + 4)
    claimed = objective(np.arange(len(v)), z[:, None])[:, 0]
    scale = np.maximum(1, np.maximum(np.abs(lowest), np.sum(v**2, axis=1)))
    gap = (claimed - lowest) / scale
    errors = np.maximum(gap / tolerances.OBJECTIVE, np.maximum(-gap / tolerances.SAMPLED, _outside(s, z) / tolerances.MEMBER))
    return worst(errors, 1.0, lambda i: f"v = {s.at(v[i])}, step {steps[i]:g}: projection {s.at(z[i])}, sampled {s.at(best[i])}")


def projection_is_idempotent(s: Subject) -> Finding:
    """A projection is in the set, so projecting it again does nothing."""
    points = np.concatenate([s.scattered, s.masked])
    steps = np.ones(len(points))
    z = s.prox(points, steps)
    again = np.abs(s.prox(z, steps) - z).max(axis=1) / np.maximum(1, np.abs(z).max(axis=1))
    return worst(again, tolerances.FORMULA, lambda i: s.at(points[i]))


def normal_cone_against_projection(s: Subject) -> Finding:
    """The distance from u to the normal cone is the speed ``‖P(x + t·u) − x‖/t`` at which a projection follows u (Moreau)."""
    # Cones and balls bend with the radius of the point: keep curvature times t below the tolerance.
    points = s.kinks[np.all((s.kinks == 0) | (np.abs(s.kinks) > 0.05), axis=1)]
    points = points[:: max(1, len(points) // 60)]
    x = np.tile(points, (2, 1))
    u = np.concatenate([0.3 * s.normal(len(points)), 3 * s.normal(len(points))])
    t = tolerances.ONE_SIDED_STEP * np.maximum(1, np.abs(x).max(axis=1))
    followed = np.linalg.norm(s.prox(x + t[:, None] * u, np.ones(len(x))) - x, axis=1) / t
    errors = np.abs(s.distance(x, -u) - followed) / np.maximum(1, np.abs(u).max(axis=1))
    return worst(errors, tolerances.ONE_SIDED, lambda i: f"u = {s.at(u[i])} at {s.at(x[i])}")


def suprema(s: Subject, u: np.ndarray) -> np.ndarray:
    """``sup ⟨u, w⟩`` over points of the set from numbers up to 100 and up to 1000: (2, rows)."""

    def objective(rows: np.ndarray, w: np.ndarray) -> np.ndarray:
        return -np.sum(u[rows, None] * w, axis=2)

    return np.stack([-_lowest(s, objective, len(u), radius)[1] for radius in (1e2, 1e3)])
