"""A penalty's conjugate, λ_max and class facts against their definitions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import UnknownOperation
from . import _tolerances as tolerances
from ._report import Finding, worst
from ._search import box_minimum, line_minimum, wide_grid
from ._sets import suprema
from ._subject import Subject, batched


def conjugate_against_supremum(s: Subject) -> Finding:
    """``sup_w ⟨u, w⟩ − p(w)`` by search; +inf where the search keeps finding more in a thousand times the radius.

    Gradients of the penalty, and what is a little less, lie in the conjugate's domain; a little more, and random points, may not.
    """
    base = np.concatenate([s.inside, s.kinks])
    if not len(base):
        raise UnknownOperation("no point was found where the penalty is finite")
    slopes = s.grad(base[:: max(1, len(base) // 6)])
    # Exactly on the boundary of the domain, rounding decides: stay off it, and further where a search over all numbers at once would have
    # to find its way in a valley that hardly falls. What grows in proportion has none: its supremum is at 0, or nowhere.
    proportional = np.allclose(s.value(2 * base), 2 * s.value(base), rtol=1e-12, atol=0)
    off = 1e-5 if s.separable_oracle else 1e-3 if proportional else 0.05
    near = [(1 - off) * slopes, 0.5 * slopes, (1 + off) * slopes]
    u = np.concatenate([*near, *[c * s.normal(3) for c in (0.03, 0.3, 3.0)], np.zeros((1, s.n))])
    found = s.conjugate(u)
    if s.sample is not None:
        near, far = suprema(s, u)
        errors = compare_suprema(found, near, far) * (tolerances.CONJUGATE / tolerances.SAMPLED)
        return worst(errors, tolerances.CONJUGATE, lambda i: f"u = {s.at(u[i])}: conjugate {found[i]:.6g}, sampled {far[i]:.6g}")
    if s.separable_oracle:
        near, far = _suprema(s, u, base[np.linalg.norm(base, axis=1).argmin()])
    else:
        ways = base[:: max(1, len(base) // 6)]
        near, far = _box_suprema(s, u, np.concatenate([ways, ways, ways, u[3 * len(ways) :]]))
    errors = compare_suprema(found, near, far)
    tolerance = tolerances.CONJUGATE if s.separable_oracle else tolerances.CONJUGATE_OF_ALL
    return worst(errors, tolerance, lambda i: f"u = {s.at(u[i])}: conjugate {found[i]:.6g}, search {far[i]:.6g}")


def compare_suprema(found: np.ndarray, near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Relative errors of claimed suprema, given those over a smaller and a larger region."""
    # A bounded supremum is found in both regions, alike but for the search's accuracy.
    unbounded = far > near + 1e-6 * np.maximum(1, np.abs(near))
    with np.errstate(invalid="ignore"):
        inside = np.abs(found - far) / np.maximum(1, np.abs(far))
    # One that lies beyond the smaller region is found in the larger: no search ends by chance where the claim does.
    return np.where(unbounded & ~(inside <= 1e-9), np.where(np.isposinf(found), 0.0, np.inf), inside)


def _suprema(s: Subject, u: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Coordinate by coordinate around a point where the penalty is finite; a separable penalty's parts add."""
    own, slopes = np.tile(np.eye(s.n, dtype=bool), (2 * len(u), 1)), np.tile(u.ravel(), 2)

    def objective(rows: np.ndarray, t: np.ndarray) -> np.ndarray:
        return s.values(np.where(own[rows, None], t[..., None], base)) - slopes[rows, None] * t

    grids = np.stack([np.concatenate([wide_grid(radius), base]) for radius in (1e3, 1e6)])
    _, lowest = line_minimum(objective, np.repeat(grids, u.size, axis=0), s.n)
    at_base = s.value(base[None])[0]
    return np.sum(at_base - lowest.reshape(2, *u.shape), axis=2) - at_base


def _box_suprema(s: Subject, u: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """Over boxes of two sizes; ``ways`` are points whose slopes u are, or nearly: in their direction the supremum is, or none."""
    slopes, radius = np.tile(u, (2, 1)), np.repeat([1e2, 1e3], len(u))

    def objective(rows: np.ndarray, z: np.ndarray) -> np.ndarray:
        return s.values(z) - np.sum(slopes[rows, None] * z, axis=2)

    axes = radius[:, None, None] * np.linspace(-1, 1, 9) * np.ones((2 * len(u), s.n, 1))
    # A supremum near the end of the slopes lies far out along a flat valley, which the zooms lose and a walk follows.
    starts = np.tile(np.concatenate([u[:, None] * c for c in (0.0, 1.0, 10.0)], axis=1), (2, 1, 1))
    ways = np.tile(ways, (2, 1))
    out = ways * (radius / np.maximum(np.abs(ways).max(axis=1), 1e-300))[:, None]
    starts = np.concatenate([starts, ways[:, None], out[:, None]], axis=1)
    return -box_minimum(objective, axes, radius, starts)[1].reshape(2, len(u))


def scaling_is_linear(s: Subject) -> Finding:
    """``(c·p)(w) = c·p(w)``, with a c for each point."""
    points = s.inside
    factors = np.linspace(0, 2.5, len(points))
    scaled = s.scaled(points, factors)[0]
    plain = factors * s.value(points)
    return worst(np.abs(scaled - plain) / np.maximum(1, np.abs(plain)), tolerances.FORMULA, lambda i: s.at(points[i]))


def path_members_batch(s: Subject) -> Finding:
    """``vmap`` over λ of ``p.at(λ)`` against each λ by itself."""
    points, lams = s.scattered[[6, -1]], np.array([0.5, 2.0])
    together = s.scaled(points, lams)[1]
    apart = np.array([float(s.p.at(float(lam))(s.tree(jnp.asarray(x)))) for x, lam in zip(points, lams, strict=True)])
    with np.errstate(invalid="ignore"):
        errors = np.where(together == apart, 0, np.abs(together - apart) / np.maximum(1, np.abs(apart)))
    return worst(errors, tolerances.SAME, lambda i: f"λ = {lams[i]}")


def lambda_max_is_sharp(s: Subject) -> Finding:
    """Zero is stationary just above λ_max, not just below; where λ_max is +inf, at no λ."""
    g = np.concatenate([s.normal(4), s.normal(2, 30.0), np.abs(s.normal(2)), -np.abs(s.normal(2))]) * ~s.free

    def around(g: Any) -> Any:
        tree, zero = s.tree(g), s.tree(jnp.zeros(s.n))
        found = s.p.lambda_max(tree)
        lam = jnp.where(jnp.isfinite(found), found, 1e6)
        ends = jnp.stack([jnp.maximum(lam * (1 + tolerances.ABOVE), 1e-9), lam * (1 - tolerances.BELOW)])
        return found, jax.vmap(lambda end: s.p.at(end).subdiff_distance(zero, tree))(ends)

    found, distances = batched(around)(g)
    above, below = distances.T
    scale = np.maximum(1, np.abs(g).max(axis=1))
    never = np.where(np.isposinf(found) & (above > 0), 0.0, np.inf)
    # At λ_max 0 there is no below.
    sharp = np.where((found == 0) | (below > tolerances.FORMULA * scale), above / scale, np.inf)
    return worst(np.where(np.isfinite(found), sharp, never), tolerances.FORMULA, lambda i: f"g = {s.at(g[i])}, λ_max {found[i]:.6g}")


def convex_obeys_midpoints(s: Subject) -> Finding:
    """``p(½a + ½b) <= ½p(a) + ½p(b)``."""
    points = np.concatenate([s.scattered, s.masked, s.kinks[:: max(1, len(s.kinks) // 40)]])
    points = points[np.isfinite(s.value(points))]  # a pair with one end outside shows nothing
    a = np.concatenate([points, points, s.masked])
    b = np.concatenate([points[s.rng.permutation(len(points))], 0 * points, s.normal(len(s.masked)) * (s.masked == 0)])
    middle, ends = s.value((a + b) / 2), (s.value(a) + s.value(b)) / 2
    inside = np.isfinite(ends)
    with np.errstate(invalid="ignore"):
        excess = (middle - ends) / np.maximum(1, np.abs(ends))
    return worst(
        np.where(np.isnan(excess), np.inf, excess.clip(0)), tolerances.SAME, lambda i: f"between {s.at(a[i])} and {s.at(b[i])}", inside
    )


def weak_convexity_obeys_midpoints(s: Subject) -> Finding:
    """``p + ½ρ‖·‖²`` is convex for the ρ that the penalty names: then its envelopes of mu < 1/ρ are smooth."""
    rho = float(s.p.weak_convexity())
    if not np.isfinite(rho):
        raise UnknownOperation("the penalty is not even weakly convex")
    # Near a kink and a knee the curvature is largest: pairs at every distance.
    a = np.concatenate([s.scattered, s.masked])
    a = np.tile(a, (4, 1))
    b = a + s.rng.standard_normal(a.shape) * np.repeat([0.01, 0.1, 1.0, 10.0], len(a) // 4)[:, None]
    middle, ends = s.value((a + b) / 2), (s.value(a) + s.value(b)) / 2
    with np.errstate(invalid="ignore"):
        excess = (middle - ends - rho / 8 * np.sum((a - b) ** 2, axis=1)) / np.maximum(1, np.abs(ends))
    return worst(excess.clip(0), tolerances.SAME, lambda i: f"between {s.at(a[i])} and {s.at(b[i])}", np.isfinite(ends))


def weak_convexity_is_sharp(s: Subject) -> Finding:
    """With 0.9 of the ρ that the penalty names, ``p + ½ρ‖·‖²`` is not convex: too large a ρ forbids envelopes that are smooth."""
    rho = 0.9 * float(s.p.weak_convexity())
    if not np.isfinite(rho) or rho == 0:
        raise UnknownOperation("a modulus of 0 or infinity is no matter of degree")
    # Pairs of all sizes along a ray on one side of 0: the curvature may be there at one size only, and at 0 there is a kink.
    rays = np.concatenate([np.eye(s.n), -np.eye(s.n), s.scattered[6:10]])
    a = (np.geomspace(1e-12, 1e6, 73)[:, None, None] * rays).reshape(-1, s.n)
    b = 1.2 * a
    middle, ends = s.value((a + b) / 2), (s.value(a) + s.value(b)) / 2
    inside = np.isfinite(ends)
    if not np.any(ends[inside]):
        raise UnknownOperation("the penalty vanishes")
    with np.errstate(invalid="ignore"):
        # Relative to the values, however small: so is their rounding.
        excess = (middle - ends - rho / 8 * np.sum((a - b) ** 2, axis=1)) / np.abs(ends)
    violated = np.any(excess[inside & (ends != 0)] > tolerances.SAME)
    return Finding(0.0 if violated else np.inf, 0.0, "" if violated else f"{rho:.6g}, nine tenths of the one named, would do")


def separable_has_no_interactions(s: Subject) -> Finding:
    """Moving two numbers changes the value by the sum of what moving each changes."""
    points = np.tile(np.concatenate([s.scattered, s.masked]), (2, 1))
    count = len(points)
    first = s.rng.integers(0, s.n, count)
    second = (first + 1 + s.rng.integers(0, s.n - 1, count)) % s.n
    # A long move from each point, and one that small sets hold.
    size = np.repeat([1.0, 0.03], count // 2)[:, None]
    a, b = np.eye(s.n)[first] * s.normal(count) * size, np.eye(s.n)[second] * s.normal(count) * size
    corners = np.stack([s.value(x) for x in (points + a + b, points + a, points + b, points)])
    inside = np.isfinite(corners).all(axis=0)
    with np.errstate(invalid="ignore"):
        mixed = np.abs(corners[0] - corners[1] - corners[2] + corners[3]) / np.maximum(1, np.abs(corners).max(axis=0))
    return worst(mixed, tolerances.SAME, lambda i: f"{s.flat.names[first[i]]}, {s.flat.names[second[i]]} at {s.at(points[i])}", inside)
