"""A prox against its definition: ``argmin_z ½‖z − v‖² + step·p(z)``, minimised globally from values of p alone."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import UnknownOperation
from . import _tolerances as tolerances
from ._report import Finding, worst
from ._search import box_minimum, grid_around, line_minimum
from ._sets import projection_against_sample
from ._subject import LONG_STEPS, STEPS, Subject, batched

Values = Callable[[np.ndarray], np.ndarray]  # of vectors in an array (…, n)


def asked(s: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, steps and the proxes claimed for them."""
    points = s.sweep if s.separable_oracle else np.concatenate([s.sweep[4:60:9], s.scattered[6:9], s.masked[:4]])
    v, steps = np.repeat(points, len(STEPS), axis=0), np.tile(STEPS, len(points))
    # The long steps at all sizes, the short ones at the largest; of a search over all numbers at once, which is dear, three.
    if s.separable_oracle:
        more = [(s.far_sweep, t) for t in LONG_STEPS] + [(s.far_sweep[-5:], t) for t in STEPS]
    else:
        more = [(s.far_sweep[8:9], LONG_STEPS[0]), (s.far_sweep[-3:-2], LONG_STEPS[1]), (s.far_sweep[-3:-2], STEPS[1])]
    v = np.concatenate([v, *[far for far, _ in more]])
    steps = np.concatenate([steps, *[np.full(len(far), t) for far, t in more]])
    return v, steps, s.prox(v, steps)


def prox_against_oracle(s: Subject) -> Finding:
    return against_oracle(s, *asked(s), lambda z: np.zeros(z.shape[:-1]))


def against_oracle(s: Subject, v: np.ndarray, steps: np.ndarray, z: np.ndarray, added: Values) -> Finding:
    """Claimed proxes z, at v, of the subject plus ``added``: a function as separable and convex as the subject."""
    if s.sample is not None:
        return projection_against_sample(s, v, steps, z, added)

    def values(w: np.ndarray) -> np.ndarray:
        return s.values(w) + added(w)

    if s.separable_oracle:
        return _by_coordinates(s, v, steps, z, values)

    def objective(rows: np.ndarray, t: np.ndarray) -> np.ndarray:
        return 0.5 * np.sum((t - v[rows, None]) ** 2, axis=2) + steps[rows, None] * values(t)

    radius = 2 * np.maximum(np.abs(v).max(axis=1), np.max(np.abs(z), axis=1, initial=0, where=np.isfinite(z))) + 2
    count = 13 if s.n == 4 else 25
    even = radius[:, None, None] * np.linspace(-1, 1, count) * np.ones((*v.shape, 1))
    axes = np.concatenate([even, v[..., None], np.zeros((*v.shape, 1))], axis=2)
    # Several wells: a search from v with each subset of its numbers set to zero.
    starts = None if s.p.convex else v[:, None] * np.array(list(itertools.product([0.0, 1.0], repeat=s.n)))
    best, lowest = box_minimum(objective, axes, radius, starts)
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
        # Where the claim is lower than all that was found, it is the search that is off: creases that no axis follows slow it.
        missed = np.where(-beaten <= 1, apart / np.sqrt(scale) / tolerances.POINT, 0.0) if s.p.convex else np.zeros_like(beaten)
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


def prox_is_monotone(s: Subject) -> Finding:
    """``⟨prox(a) − prox(b), a − b⟩ >= 0``, which the prox of any function obeys, convex or not."""
    points = np.concatenate([s.scattered, s.masked])
    a, b = np.repeat(points, 3, axis=0), np.repeat(points[s.rng.permutation(len(points))], 3, axis=0)
    steps = np.tile(STEPS, len(points))
    product = np.sum((s.prox(a, steps) - s.prox(b, steps)) * (a - b), axis=1)
    errors = (-product / np.maximum(1, np.sum((a - b) ** 2, axis=1))).clip(0)
    return worst(errors, tolerances.SAME, lambda i: f"a = {s.at(a[i])}, b = {s.at(b[i])}, step {steps[i]:g}")


def prox_scales_with_step(s: Subject) -> Finding:
    """A step of t is a strength t times as large: ``prox(v, t)`` of p is ``prox(v, 1)`` of t·p."""
    points, steps = np.repeat(s.scattered, 2, axis=0), np.tile([0.3, 4.0], len(s.scattered))
    scaled = batched(lambda x, t: s.flat.flat(s.p.scaled(t).prox(s.tree(x), 1.0)))(points, steps)
    errors = np.abs(s.prox(points, steps) - scaled) / np.maximum(1, np.abs(points).max(axis=1))[:, None]
    return worst(errors, tolerances.FORMULA, lambda i, j: f"{s.at(points[i], j)}, step {steps[i]:g}")


def prox_in_float32(s: Subject) -> Finding:
    """float32 against float64 at the same, float32-representable, points: the points agree or, where a prox may jump, the objectives."""
    v, steps, _ = asked(s)
    v = v.astype(np.float32)
    steps = steps.astype(np.float32)
    double = s.prox(v.astype(np.float64), steps.astype(np.float64))
    single = batched(s.prox_of)(v, steps).astype(np.float64)
    errors = np.abs(single - double).max(axis=1) / np.maximum(1, np.abs(v).max(axis=1))
    if not s.p.convex:

        def objective(z: np.ndarray) -> np.ndarray:
            # A set's float32 points are a rounding outside: there the distance alone counts.
            own = s.value(z) if s.p.finite else 0.0
            return 0.5 * np.sum((z - v) ** 2, axis=1) + steps * own

        low = objective(double)
        errors = np.minimum(errors, np.abs(objective(single) - low) / np.maximum(1, np.sum(v.astype(float) ** 2, axis=1)))
    return worst(errors, tolerances.SINGLE, lambda i: f"v = {s.at(v[i])}, step {steps[i]:g}")


def prox_derivatives(s: Subject) -> Finding:
    """The prox's derivatives with respect to the point and to a factor on λ.

    Forward mode against central differences, away from kinks; reverse mode against forward mode everywhere, kinks included; and where the
    factor is 0, on the edge of its range, against what must be: the identity, less step times the penalty's gradient.
    """
    v, steps, _ = asked(s)
    v, steps = v[:: max(1, len(v) // 180)], steps[:: max(1, len(v) // 180)]
    along, pull = s.normal(len(v)), s.normal(len(v))
    size = np.maximum(1, np.abs(v).max(axis=1))

    def prox(x: Any, factor: Any, t: Any) -> Any:
        return s.flat.flat(s.p.scaled(factor).prox(s.tree(x), t))

    one, h = np.ones(len(v)), tolerances.DIFFERENCE_STEP
    run = batched(prox)

    def forward(x: Any, factor: Any, t: Any, dx: Any, dc: Any) -> Any:
        return jax.jvp(lambda y, c: prox(y, c, t), (x, factor), (dx, dc))[1]

    def backward(x: Any, t: Any, u: Any) -> Any:
        return jax.vjp(lambda y, c: prox(y, c, t), x, jnp.ones(()))[1](u)

    derivative, errors, smooth = batched(forward), [], []
    center = run(v, one, steps)
    # The last lies further off than the differences reach, where they stay on one side of what they straddle at v.
    asides = [v + far * h * size[:, None] * s.normal(len(v)) for far in (1, 1, 1, 4)]
    for dx, dc in ((along * size[:, None], 0 * one), (0 * along, one)):

        def slopes(x: np.ndarray, dx: np.ndarray = dx, dc: np.ndarray = dc) -> np.ndarray:
            return (run(x + h * dx, one + h * dc, steps) - run(x - h * dx, one - h * dc, steps)) / (2 * h)

        slope = slopes(v)
        scale = np.maximum(size, np.abs(slope).max(axis=1))
        # At a kink the two one-sided slopes differ or, if it is point-symmetric, as at 0, the slope differs from that a step aside.
        above, below = run(v + h * dx, one + h * dc, steps), run(v - h * dx, one - h * dc, steps)
        # Where it is straight on both sides of every line, as a cone is, two numbers of other signs tell.
        turned = [v + 4 * h * along * size[:, None] * np.where(np.arange(s.n) // k % 2, -1, 1) for k in (1, 2)]
        bends = [np.abs(above - 2 * center + below) / h, *[np.abs(slopes(aside) - slope) for aside in (*asides, *turned)]]
        bend = np.max(bends, axis=(0, 2))
        errors.append(np.abs(derivative(v, one, steps, dx, dc) - slope).max(axis=1) / scale / tolerances.DIFFERENCE)
        # The shorter the step the nearer is the prox to the identity, its kinks included.
        smooth.append(bend <= tolerances.BEND * scale * np.minimum(1, steps))
    pulled, by_factor = batched(backward)(v, steps, pull)
    pushed = derivative(v, one, steps, along, one)
    both = np.sum(pulled * along, axis=1) + by_factor, np.sum(pull * pushed, axis=1)
    scale = np.maximum(1, np.linalg.norm(pull, axis=1) * np.linalg.norm(pushed, axis=1))
    errors.append(np.abs(both[0] - both[1]) / scale / tolerances.FORMULA)
    smooth.append(np.ones(len(v), bool))
    kinds = ("differences in v", "differences in λ", "reverse mode")
    found = worst(np.stack(errors), 1.0, lambda k, i: f"{kinds[k]}: v = {s.at(v[i])}, step {steps[i]:g}", np.stack(smooth))
    return max(found, _derivatives_at_zero(s, derivative), key=lambda f: f.error) if s.p.finite else found


def _derivatives_at_zero(s: Subject, derivative: Callable[..., np.ndarray]) -> Finding:
    """The forward derivatives at a factor of 0: in v everywhere, for the prox is the identity; in λ at random points.

    There p is differentiable, or ``support`` says where it is not.
    """
    random = np.concatenate([s.scattered[:-1], s.far])
    points = np.concatenate([random, s.masked])
    v, steps = np.repeat(points, 2, axis=0), np.tile([0.5, 3.0], len(points))
    along, zero, one = s.normal(len(v)), np.zeros(len(v)), np.ones(len(v))
    gradient = steps[:, None] * s.grad(v)
    in_v = np.abs(derivative(v, zero, steps, along, zero) - along)
    in_lam = np.abs(derivative(v, zero, steps, 0 * along, one) + gradient)
    smooth = np.broadcast_to((np.arange(len(v)) < 2 * len(random))[:, None], v.shape)
    with contextlib.suppress(UnknownOperation):
        smooth = smooth & s.support(v)
    # A prox is worked out to a rounding of its point, and an envelope's gradient is a difference of two such.
    scale = np.maximum(1, np.abs(np.concatenate([v, along, gradient], axis=1)).max(axis=1))[:, None] * tolerances.FORMULA
    kinds = ("in v", "in λ")
    mask = np.stack([np.ones(v.shape, bool), smooth])
    return worst(np.stack([in_v, in_lam]) / scale, 1.0, lambda k, i, j: f"{kinds[k]}, at λ = 0: {s.at(v[i], j)}, step {steps[i]:g}", mask)


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
    """The prox at λ = 0 (the identity) and just above, at 1e12 (where the penalty is lowest) and, to threshold, exact zeros."""
    points = np.concatenate([s.scattered, s.masked[:8]])
    run = batched(lambda x, factor: s.flat.flat(s.p.scaled(factor).prox(s.tree(x), 1.0)))

    def at(factor: float) -> np.ndarray:
        return run(points, np.full(len(points), factor))

    def identity() -> Finding:
        errors = np.abs(at(0.0) - points) / np.maximum(1, np.abs(points))
        return worst(errors, tolerances.SAME, lambda i, j: s.at(points[i], j))

    def near_zero() -> Finding:
        # p(v) − p(z) >= ‖z − v‖²/(2λ), or z would be no minimiser.
        z = at(1e-12)
        with np.errstate(invalid="ignore"):
            most = np.sqrt(2e-12 * np.maximum(s.value(points) - s.value(z), 0))
        errors = (np.linalg.norm(z - points, axis=1) - most) / np.maximum(1, np.abs(points).max(axis=1))
        return worst(errors.clip(0), tolerances.SAME, lambda i: s.at(points[i]))

    def finite() -> Finding:
        return worst(np.where(np.isfinite(at(1e12)), 0.0, np.inf), tolerances.SAME, lambda i, j: s.at(points[i], j))

    def lowest() -> Finding:
        # No point w may have λ·p(w) + ½‖w − v‖² below λ·p(z): the limit of the prox minimises the penalty.
        others = np.concatenate([points, s.inside])
        apart = 0.5 * np.sum((others[None] - points[:, None]) ** 2, axis=2) / 1e12
        excess = s.value(at(1e12)) - np.min(s.value(others)[None] + apart, axis=1)
        return worst((excess / np.maximum(1, np.abs(points).max(axis=1))).clip(0), tolerances.LIMIT, lambda i: s.at(points[i]))

    def zeros() -> Finding:
        covered = np.broadcast_to(~s.free, points.shape)
        if not covered.any():
            raise UnknownOperation("the penalty touches no number")
        return worst(np.abs(at(1e6)), 0.0, lambda i, j: s.at(points[i], j), covered)

    checks: dict[str, Any] = {"prox at huge λ is finite": finite}
    if s.p.finite:
        checks["prox at λ = 0 is the identity"] = identity
        checks["prox as λ → 0"] = near_zero
        checks["prox as λ → ∞"] = lowest
    if s.p.role in ("soft", "norm") and s.p.reference() is None:
        checks["prox gives exact zeros"] = zeros
    return checks
