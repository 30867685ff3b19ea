"""A prox against its definition: ``argmin_z ½‖z − v‖² + step·p(z)``, minimised globally from values of p alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._penalties import UnknownOperation
from . import _tolerances as tolerances
from ._report import Finding, worst
from ._search import box_minimum, grid_around, line_minimum
from ._subject import STEPS, Subject, batched

Values = Callable[[np.ndarray], np.ndarray]  # of vectors in an array (…, n)


def asked(s: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, steps and the proxes claimed for them."""
    points = s.sweep if s.separable_oracle else np.concatenate([s.sweep[4:60:9], s.scattered[6:9], s.masked[:4]])
    v = np.repeat(points, len(STEPS), axis=0)
    steps = np.tile(STEPS, len(points))
    return v, steps, s.prox(v, steps)


def prox_against_oracle(s: Subject) -> Finding:
    return against_oracle(s, *asked(s), s.values)


def against_oracle(s: Subject, v: np.ndarray, steps: np.ndarray, z: np.ndarray, values: Values) -> Finding:
    """Claimed proxes z, at v, of the function ``values``: the subject's own or, if as separable and convex, another."""
    if s.separable_oracle:
        return _by_coordinates(s, v, steps, z, values)

    def objective(rows: np.ndarray, t: np.ndarray) -> np.ndarray:
        return 0.5 * np.sum((t - v[rows, None]) ** 2, axis=2) + steps[rows, None] * values(t)

    radius = 2 * np.maximum(np.abs(v).max(axis=1), np.max(np.abs(z), axis=1, initial=0, where=np.isfinite(z))) + 2
    count = 13 if s.n == 4 else 25
    even = radius[:, None, None] * np.linspace(-1, 1, count) * np.ones((*v.shape, 1))
    axes = np.concatenate([even, v[..., None], np.zeros((*v.shape, 1))], axis=2)
    best, lowest = box_minimum(objective, axes, radius)
    claimed = objective(np.arange(len(v)), z[:, None])[:, 0]
    errors = _either(s, claimed, lowest, np.max(np.abs(best - z), axis=1))
    return worst(errors, 1.0, lambda i: f"v = {s.at(v[i])}, step {steps[i]:g}: prox {s.at(z[i])}, oracle {s.at(best[i])}")


def _by_coordinates(s: Subject, v: np.ndarray, steps: np.ndarray, z: np.ndarray, values: Values) -> Finding:
    """One number at a time, with the others where the prox put them: each may carry a strength of its own."""
    own = np.tile(np.eye(s.n, dtype=bool), (len(v), 1))
    others, step = np.repeat(z, s.n, axis=0), np.repeat(steps, s.n)
    center, claim = v.ravel(), z.ravel()

    def objective(rows: np.ndarray, t: np.ndarray) -> np.ndarray:
        moved = np.where(own[rows, None], t[..., None], others[rows, None])
        return 0.5 * (t - center[rows, None]) ** 2 + step[rows, None] * values(moved)

    reference = np.zeros_like(center) if s.p.reference() is None else np.tile(s.centered(np.zeros((1, s.n)))[0], len(v))
    radius = 2 * np.maximum(np.abs(center), np.maximum(np.abs(reference), np.where(np.isfinite(claim), np.abs(claim), 0))) + 2
    best, lowest = line_minimum(objective, grid_around(center, radius, reference[:, None]), s.n)
    claimed = objective(np.arange(len(claim)), claim[:, None])[:, 0]
    errors = _either(s, claimed, lowest, np.abs(best - claim))
    return worst(
        errors,
        1.0,
        lambda i: f"v = {center[i]:.6g} ({s.flat.names[i % s.n]}), step {step[i]:g}: prox {claim[i]:.6g}, oracle {best[i]:.6g}",
    )


def _either(s: Subject, claimed: np.ndarray, lowest: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """How far the prox is beaten or, for a convex penalty, missed, the larger in units of its own tolerance."""
    scale = np.maximum(1, np.abs(np.where(np.isfinite(lowest), lowest, 1)))
    with np.errstate(invalid="ignore"):
        beaten = (claimed - lowest) / scale / tolerances.OBJECTIVE
        missed = apart / np.sqrt(scale) / tolerances.POINT if s.p.convex else np.zeros_like(beaten)
    # NaN, such as inf − inf where the prox leaves the domain, counts as infinite.
    return np.maximum(np.where(np.isnan(beaten), np.inf, beaten), np.where(np.isnan(missed), np.inf, missed)).clip(0)


def prox_is_stationary(s: Subject) -> Finding:
    """``step·dist(0, (z − v)/step + ∂p(z)) = 0`` at z = prox(v)."""
    v, steps, z = asked(s)
    residual = steps * s.distance(z, (z - v) / steps[:, None]) / np.maximum(1, np.abs(v).max(axis=1))
    return worst(residual, tolerances.STATIONARY, lambda i: f"v = {s.at(v[i])}, step {steps[i]:g}")


def prox_is_nonexpansive(s: Subject) -> Finding:
    """``‖prox(a) − prox(b)‖ <= ‖a − b‖``, which every convex penalty's prox obeys."""
    points = np.concatenate([s.scattered, s.masked])
    order = s.rng.permutation(len(points))
    a, b = np.repeat(points, 3, axis=0), np.repeat(points[order], 3, axis=0)
    steps = np.tile(STEPS, len(points))
    moved = np.linalg.norm(s.prox(a, steps) - s.prox(b, steps), axis=1)
    excess = (moved - np.linalg.norm(a - b, axis=1)) / np.maximum(1, np.abs(np.concatenate([a, b], axis=1)).max(axis=1))
    return worst(np.where(np.isnan(excess), np.inf, excess.clip(0)), tolerances.SAME, lambda i: f"a = {s.at(a[i])}, b = {s.at(b[i])}")


def prox_in_a_diagonal_metric(s: Subject) -> Finding:
    """A step for each number gives, in each number, what that step gives for all."""
    points = np.concatenate([s.scattered, s.masked[:8]])
    index = s.rng.integers(0, len(STEPS), points.shape)
    together = batched(lambda x, t: s.prox_of(x, s.tree(t)))(points, STEPS[index])
    alone = np.stack([s.prox(points, np.full(len(points), t)) for t in STEPS])
    expected = np.take_along_axis(alone, index[None], axis=0)[0]
    errors = np.abs(together - expected) / np.maximum(1, np.abs(points).max(axis=1))[:, None]
    return worst(errors, tolerances.SAME, lambda i, j: s.at(points[i], j))


def prox_at_extreme_strengths(s: Subject) -> dict[str, Any]:
    """The prox at λ = 0 (the identity), at 1e12 (finite) and, for thresholding penalties, exact zeros."""
    points = np.concatenate([s.scattered, s.masked[:8]])
    run = batched(lambda x, factor: s.flat.flat(s.p.scaled(factor).prox(s.tree(x), 1.0)))

    def at(factor: float) -> np.ndarray:
        return run(points, np.full(len(points), factor))

    def identity() -> Finding:
        errors = np.abs(at(0.0) - points) / np.maximum(1, np.abs(points))
        return worst(errors, tolerances.SAME, lambda i, j: s.at(points[i], j))

    def finite() -> Finding:
        return worst(np.where(np.isfinite(at(1e12)), 0.0, np.inf), tolerances.SAME, lambda i, j: s.at(points[i], j))

    def zeros() -> Finding:
        covered = np.broadcast_to(~s.free, points.shape)
        if not covered.any():
            raise UnknownOperation("the penalty touches no number")
        return worst(np.abs(at(1e6)), 0.0, lambda i, j: s.at(points[i], j), covered)

    checks: dict[str, Any] = {"prox at huge λ is finite": finite}
    if s.p.finite:
        checks["prox at λ = 0 is the identity"] = identity
    if s.p.role in ("soft", "norm") and s.p.reference() is None:
        checks["prox gives exact zeros"] = zeros
    return checks
