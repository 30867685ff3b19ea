"""A penalty's value, gradient and subdifferential against autodiff and difference quotients of the value."""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import UnknownOperation
from . import _tolerances as tolerances
from ._gradient import central_differences
from ._report import Finding, worst
from ._subject import Subject, batched


def _largest(x: np.ndarray) -> np.ndarray:
    """max(1, largest finite entry) of each row: what an error is measured against."""
    return np.maximum(1, np.max(np.abs(np.where(np.isfinite(x), x, 0)), axis=1, initial=0))


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a − b|, 0 between equal infinities and NaN where either is NaN."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, np.abs(a - b))


def value_is_defined(s: Subject) -> Finding:
    """Finite inside the domain (everywhere without constraints), never NaN and never −inf outside."""
    points = np.concatenate([s.scattered, s.masked])
    values = s.value(points)
    allowed = np.isfinite(values) | (np.isposinf(values) & (not s.p.finite))
    return worst(np.where(allowed, 0.0, np.inf), tolerances.FORMULA, lambda i: f"{s.at(points[i])} gives {values[i]}")


def value_against_definition(s: Subject) -> Finding:
    """The value, kinks and zeros included, against another's writing of it; for a set, 0 and +inf against how far outside a point is."""
    assert s.definition is not None
    points = np.concatenate([s.scattered, s.masked, s.kinks])
    values, expected = s.value(points), s.definition(points)
    if s.sample is None:
        errors = _gap(values, expected) / np.maximum(1, np.abs(np.where(np.isfinite(expected), expected, 1)))
        return worst(errors, tolerances.FORMULA, lambda i: f"{s.at(points[i])} gives {values[i]:.6g}, the definition {expected[i]:.6g}")
    size = np.maximum(1, np.abs(points).max(axis=1))
    wrong = np.where(expected <= tolerances.SAME / 16 * size, values != 0, (expected > tolerances.SAMPLED * size) & ~np.isposinf(values))
    return worst(np.where(wrong, np.inf, 0.0), 0.0, lambda i: f"{s.at(points[i])} gives {values[i]:.6g}, {expected[i]:.3g} outside")


def value_in_float32(s: Subject) -> Finding:
    """float32 against float64 at the same, float32-representable, points."""
    points = s.scattered.astype(np.float32)
    double = s.value(points.astype(np.float64))
    single = batched(s.value_of)(points).astype(np.float64)
    errors = _gap(single, double) / np.maximum(1, np.abs(np.where(np.isfinite(double), double, 1)))
    return worst(errors, tolerances.SINGLE, lambda i: s.at(points[i]))


def nan_is_not_hidden(s: Subject) -> Finding:
    """A NaN among the parameters leaves one in prox and gradient (a set has none), and no finite value or distance: divergence is seen."""
    points = np.where(np.eye(s.n, dtype=bool)[~s.free], np.nan, s.scattered[8])
    if not len(points):
        raise UnknownOperation("no parameter is penalised")
    hidden: dict[str, Any] = {"value": np.isfinite(s.value(points))}
    with contextlib.suppress(UnknownOperation):
        hidden["prox"] = ~np.isnan(s.prox(points, np.full(len(points), 0.7))).any(axis=1)
    with contextlib.suppress(UnknownOperation):
        hidden["subdiff_distance"] = np.isfinite(s.distance(points, np.zeros_like(points)))
    if s.p.finite or hasattr(s.p, "lam"):
        hidden["grad"] = ~np.isnan(s.grad(points)).any(axis=1)
    return worst(np.where(np.stack([*hidden.values()]), np.inf, 0.0), 0.0, lambda i, j: f"{[*hidden][i]} at {s.at(points[j])}")


def grad_against_autodiff(s: Subject, derived: bool) -> Finding:
    points = np.concatenate([s.inside, s.far[np.isfinite(s.value(s.far))]])
    smooth = s.support(points)
    analytic, automatic = s.grad(points), s.autodiff(points)
    # A gradient may be a difference of numbers of a far point's size.
    size = np.abs(points).max(axis=1)
    errors = _gap(analytic, automatic) / np.maximum(_largest(automatic), np.where(size > 100, size, 1))[:, None]
    found = worst(errors, tolerances.FORMULA, lambda i, j: s.at(points[i], j), smooth)
    return Finding(found.error, found.tolerance, found.where, derived)


def _stencil(s: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, the scale of a difference's step there, and where such a difference meets no kink."""
    points = s.inside
    size = np.abs(points).max(axis=1)
    # A point of size 1e-3 needs a step of that size: norms bend with radius 1e-3 there.
    scale = np.broadcast_to(np.where(size > 0, size, 1)[:, None], points.shape)
    step = tolerances.DIFFERENCE_STEP * scale
    # A difference straddles a kink where the point is smooth and a point between is not: leave those to the one-sided rows.
    smooth = s.support(points) & (np.sign(points + step) == np.sign(points - step) if not s.p.smooth else True)
    # A function such as √|w| bends with the radius of each number: beside large numbers a small one's step is too long for it.
    smooth &= (np.abs(points) > 0.05 * scale) | (points == 0)
    return points, scale, smooth


def grad_against_differences(s: Subject) -> Finding:
    points, scale, smooth = _stencil(s)
    differences = central_differences(s.value, points, scale)
    smooth &= np.isfinite(differences) if not s.p.finite else True
    analytic = s.grad(points)
    errors = _gap(analytic, differences) / _largest(analytic)[:, None]
    return worst(errors, tolerances.DIFFERENCE, lambda i, j: s.at(points[i], j), smooth)


def curvature_against_differences(s: Subject) -> Finding:
    """The Hessian's diagonal against differences of the gradient, each coordinate of its own."""
    points, scale, smooth = _stencil(s)
    curvature, columns = s.curvature(points), []
    for j in range(s.n):
        columns.append(central_differences(lambda x, j=j: s.grad(x)[:, j], points, scale, [j])[:, 0])
    differences = np.stack(columns, axis=1)
    errors = _gap(curvature, differences) / _largest(curvature)[:, None]
    return worst(errors, tolerances.DIFFERENCE, lambda i, j: s.at(points[i], j), smooth)


def grad_is_finite_at_kinks(s: Subject) -> Finding:
    """Neither the gradient nor autodiff of the value is NaN or infinite where the penalty bends."""
    points = s.kinks
    both = np.concatenate([s.grad(points), s.autodiff(points)], axis=1)
    return worst(np.where(np.isfinite(both), 0.0, np.inf), tolerances.FORMULA, lambda i, j: s.at(points[i], j % s.n))


def grad_is_a_subgradient(s: Subject) -> Finding:
    points = s.kinks
    gradient = s.grad(points)
    errors = s.distance(points, -gradient) / _largest(gradient)
    return worst(errors, tolerances.FORMULA, lambda i: s.at(points[i]))


def subdifferential_against_slopes(s: Subject) -> Finding:
    """The distance from u to the subdifferential is how much faster than the penalty ⟨u, ·⟩ can grow.

    That is ``max_d ⟨u, d⟩ − p'(w; d)`` over unit directions d (and 0), with the directional derivative p' from values alone.
    The directions are the axes, u itself and the residual that the distance claims: for a right subdifferential that last
    one attains the distance; for a wrong one it, or an axis, disagrees.
    """
    points = s.kinks
    # Norms bend with the radius of the point: keep curvature times step below the tolerance.
    points = points[np.all((points == 0) | (np.abs(points) > 0.05), axis=1)]
    points = points[:: max(1, len(points) // 60)]
    gradient = s.grad(points)
    x = np.tile(points, (3, 1))
    u = np.concatenate([gradient + 0.3 * s.normal(len(points)), 0.5 * gradient, gradient + 3 * s.normal(len(points))])
    u = np.where(np.isfinite(u), u, 0)

    def residual(x, u):
        distance = s.distance_of(x, -u)
        return distance, jax.grad(lambda v: s.distance_of(x, -v))(u)

    distance, pull = batched(residual)(x, u)
    pull = np.where(np.isfinite(pull), pull, 0)
    axes = [np.broadcast_to(sign * row, x.shape) for row in np.eye(s.n) for sign in (1.0, -1.0)]
    step = tolerances.ONE_SIDED_STEP * np.maximum(1, np.abs(x).max(axis=1))
    start, excess = s.value(x), np.zeros(len(x))
    for direction in (*axes, u, pull):
        length = np.linalg.norm(direction, axis=1)
        unit = direction / np.where(length > 0, length, 1)[:, None]
        slope = (s.value(x + step[:, None] * unit) - start) / step
        excess = np.maximum(excess, np.sum(u * unit, axis=1) - slope)
    errors = _gap(distance, excess) / _largest(np.concatenate([u, np.tile(gradient, (3, 1))], axis=1))
    return worst(errors, tolerances.ONE_SIDED, lambda i: f"u = {s.at(u[i])} at {s.at(x[i])}")


def _bends(s: Subject, points: np.ndarray) -> np.ndarray:
    """How much the slopes to both sides of each coordinate differ."""
    step = tolerances.ONE_SIDED_STEP * np.maximum(1, np.abs(points).max(axis=1))
    # The step grows with the point, and curvature times step with it: a kink does not.
    start, scale = s.value(points), np.maximum(_largest(s.grad(points)), np.abs(points).max(axis=1))
    columns = []
    for row in np.eye(s.n):
        above, below = s.value(points + step[:, None] * row), s.value(points - step[:, None] * row)
        columns.append(np.abs((above - start) - (start - below)) / step / scale)
    return np.stack(columns, axis=1)


def _jumps(s: Subject, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much the gradient changes from one float to the next, and where: between 0 and each end, halving where it changes more."""
    low, high = 0 * ends, ends
    for _ in range(60):
        middle = (low + high) / 2
        before, at, after = (s.grad(x) for x in (low, middle, high))
        left = (np.abs(at - before).max(axis=1) > np.abs(after - at).max(axis=1))[:, None]
        low, high = np.where(left, low, middle), np.where(left, middle, high)
    below, above = s.grad(low), s.grad(high)
    return np.abs(above - below) / _largest(below)[:, None], low


def smooth_has_no_kinks(s: Subject) -> Finding:
    """The slopes to both sides agree at zeros and wherever else the penalty may bend, and the gradient jumps nowhere on the way there."""
    jumps, where = _jumps(s, s.scattered)
    points = np.concatenate([s.kinks, where])
    return worst(np.concatenate([_bends(s, s.kinks), jumps]), tolerances.ONE_SIDED, lambda i, j: s.at(points[i], j))


def support_is_smooth(s: Subject) -> Finding:
    """Where ``support`` is true the slopes to both sides agree.

    It is true everywhere for a smooth penalty, at all random points for a separable one, whose kinks are single numbers, and for any
    other somewhere among random points, in each coordinate: false everywhere would excuse the gradient from all comparisons.
    """
    drawn = s.scattered[:-1]
    drawn = drawn[np.isfinite(s.value(drawn))]
    points = np.concatenate([drawn, s.inside, s.kinks])
    smooth = s.support(points)
    random = (np.arange(len(points)) < len(drawn))[:, None]
    if s.p.smooth:
        missing = ~smooth
    elif s.p.separable:
        missing = ~smooth & random
    else:
        missing = random & ~smooth[: len(drawn)].any(axis=0)
    # Norms bend with the radius of the point: keep curvature times step below the tolerance.
    judged = np.all((points == 0) | (np.abs(points) > 0.05), axis=1)[:, None]
    errors = np.where(missing, np.inf, _bends(s, points))
    return worst(errors, tolerances.ONE_SIDED, lambda i, j: s.at(points[i], j), (smooth & judged) | missing)


def same_under_transformations(s: Subject) -> Finding:
    """Compiled and batched against one eager call a point, for the value, the gradient and, where given, the prox."""
    points = s.scattered[[6, -1]]
    steps = np.full(len(points), 0.5)
    results = [("value", s.value(points)[:, None], lambda x: s.value_of(x)), ("grad", s.grad(points), lambda x: s.grad_of(x))]
    with contextlib.suppress(UnknownOperation):
        results.append(("prox", s.prox(points, steps), lambda x: s.prox_of(x, 0.5)))
    errors = []
    for _, compiled, eager in results:
        one_by_one = np.stack([np.ravel(np.asarray(eager(jnp.asarray(x)))) for x in points])
        errors.append(np.max(_gap(compiled, one_by_one) / _largest(one_by_one)[:, None], axis=1))
    return worst(np.stack(errors), tolerances.SAME, lambda k, i: f"{results[k][0]} at {s.at(points[i])}")
