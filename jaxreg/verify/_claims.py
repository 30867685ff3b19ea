"""What a penalty claims about itself for the sake of sums: its terms, role, cone, and the coordinates it touches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import L1, L2, Box, NonNegative, Penalty, UnknownOperation
from .._penalties._arithmetic import total
from . import _tolerances as tolerances
from ._proximal import Values, against_oracle
from ._report import Finding, worst
from ._subject import Subject, batched


def _differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a − b| relative to max(1, |b|); 0 between equal infinities, NaN for NaN."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, np.abs(a - b) / np.maximum(1, np.abs(np.where(np.isfinite(b), b, 1))))


def _base(s: Subject) -> np.ndarray:
    """Points where the penalty is finite, random ones and kinks."""
    points = np.concatenate([s.inside, s.kinks])
    if not len(points):
        raise UnknownOperation("no point was found where the penalty is finite")
    return points


def terms_add_up(s: Subject) -> Finding:
    """The values of ``terms()`` sum to the penalty's: joint proxes are made of them."""
    terms = s.p.terms()
    points = np.concatenate([s.scattered, s.masked])
    summed = batched(lambda x: total([term(s.tree(x)) for term in terms]) + 0 * jnp.sum(x))(points)
    return worst(_differ(summed, s.value(points)), tolerances.FORMULA, lambda i: s.at(points[i]))


def _touched(s: Subject) -> np.ndarray:
    """Where moving one number alone, to 0 or to some size of either sign, changes the value."""
    base = _base(s)
    base = base[:: max(1, len(base) // 6)]
    sizes = np.array([1e-3, 0.03, 0.3, 1.0, 3.0, 30.0, 1e3, 1e6, 1e12, 1e100])
    moves = np.concatenate([[0.0], sizes, -sizes])
    # (coordinate, point, move, n): the point with that one coordinate moved.
    own = np.eye(s.n, dtype=bool)[:, None, None]
    moved = np.where(own, moves[:, None], base[:, None])
    changed = _differ(s.values(moved), s.value(base)[None, :, None]) > tolerances.FORMULA
    return np.any(changed.reshape(s.n, -1), axis=1)


def free_is_untouched(s: Subject) -> Finding:
    """True exactly on the coordinates that change nothing, wherever they move."""
    wrong = s.free == _touched(s)
    return worst(np.where(wrong, np.inf, 0.0), tolerances.FORMULA, lambda j: f"free is {bool(s.free[j])} for {s.flat.names[j]}")


def covers_what_it_touches(s: Subject) -> Finding:
    """True for each leaf that changes the value, false for the others, save those where a strength of 0 makes it ``free``."""
    flags = jax.tree.leaves(s.p.covers(s.tree(np.zeros(s.n))), is_leaf=lambda x: x is None)
    if len(flags) != len(s.flat.shapes) or not all(isinstance(flag, bool) for flag in flags):
        raise ValueError(f"covers must give a Python bool for each of {len(s.flat.shapes)} leaves, got {flags}")
    touched, leaf_of = _touched(s), np.asarray(s.flat.leaf_of)
    leaves = np.unique(leaf_of)
    errors = []
    for leaf in leaves:
        mine = leaf_of == leaf
        right = flags[leaf] if touched[mine].any() else (not flags[leaf] or bool(s.free[mine].all()))
        errors.append(0.0 if right else np.inf)
    first = [int(np.argmax(leaf_of == leaf)) for leaf in leaves]
    return worst(np.array(errors), tolerances.FORMULA, lambda i: f"covers is {flags[leaves[i]]} for the leaf of {s.flat.names[first[i]]}")


def _around_center(s: Subject, points: np.ndarray) -> np.ndarray:
    return s.value(points if s.p.reference() is None else s.centered(points))


def role_is_right(s: Subject) -> Finding:
    """What each role promises to joint proxes and conjugates (see ``Penalty.role``), from values.

    ``"interval"``: 0 inside, +inf outside. ``"quadratic"``: its value is that of its gradient at 0 and of one curvature.
    ``"soft"`` and ``"norm"``: about the reference, even and proportional to the distance. ``"folded"``: even there, and never falling
    with the distance of any number. ``"levels"``: the same where one number is added to all, and additive over monotone changes.
    """
    points = np.concatenate([s.scattered, s.masked])
    if s.p.role == "interval":
        values = s.value(points)
        return worst(np.where(np.isposinf(values), 0.0, np.abs(values)), 0.0, lambda i: s.at(points[i]))
    if s.p.role == "quadratic":
        zero = np.zeros((1, s.n))
        line = np.sum(s.grad(zero) * points + s.curvature(zero) * points**2 / 2, axis=1)
        return worst(_differ(s.value(zero) + line, s.value(points)), tolerances.FORMULA, lambda i: s.at(points[i]))
    if s.p.role == "folded":
        start, smaller = _around_center(s, points), _around_center(s, points * s.rng.uniform(0, 1, points.shape))
        falls = np.maximum(smaller - start, 0) / np.maximum(1, np.abs(start))
        return worst(np.stack([_differ(_around_center(s, -points), start), falls]), tolerances.FORMULA, lambda _, i: s.at(points[i]))
    if s.p.role == "levels":
        # p(T(w)) + p(w − T(w)) = p(w) for monotone T and w − T: what lets a function of single numbers be added.
        thresholds = s.rng.standard_normal((len(points), 1))
        clipped = np.minimum(points, thresholds)
        moved = [s.value(points + thresholds), s.value(clipped) + s.value(points - clipped)]
        return worst(_differ(np.stack(moved), s.value(points)), tolerances.FORMULA, lambda _, i: s.at(points[i]))
    if s.p.role not in ("soft", "norm"):
        raise ValueError(f'role must be "soft", "norm", "folded", "levels", "quadratic", "interval" or "", got {s.p.role!r}')
    start = _around_center(s, points)
    errors = [_differ(_around_center(s, c * points), abs(c) * start) for c in (-1.0, 0.3, 2.0)]
    return worst(np.stack(errors), tolerances.FORMULA, lambda _, i: s.at(points[i]))


def cone_is_scalable(s: Subject) -> Finding:
    """0 or +inf, and what scaling by any numbers >= 0, group by group and so one by one, leaves as it is."""
    points = _base(s)
    factors = s.rng.choice([0.0, 0.01, 0.5, 1.0, 20.0, 1e4], points.shape)
    scaled = np.concatenate([0.01 * points, 1e4 * points, factors * points])
    values = np.concatenate([s.value(points), s.value(scaled)])
    points = np.concatenate([points, scaled])
    return worst(np.abs(values), 0.0, lambda i: f"{s.at(points[i])} gives {values[i]}")


@dataclasses.dataclass(frozen=True)
class _Partner:
    """A penalty to add: itself, its value in NumPy and the projection onto its domain."""

    penalty: Penalty
    value: Values
    project: Callable[[np.ndarray], np.ndarray] = lambda x: x


def _partners(s: Subject) -> list[_Partner]:
    def within(low: float, up: float) -> Values:
        return lambda z: np.where(np.all((low <= z) & (z <= up), axis=-1), 0.0, np.inf)

    out = [
        _Partner(L2(0.3), lambda z: 0.3 * np.sum(z**2, axis=-1)),
        _Partner(L1(0.2), lambda z: 0.2 * np.sum(np.abs(z), axis=-1)),
        _Partner(Box(-0.5, 0.7), within(-0.5, 0.7), lambda x: np.clip(x, -0.5, 0.7)),
        _Partner(NonNegative(), within(0.0, np.inf), lambda x: np.maximum(x, 0)),
    ]
    base = _base(s)
    # A box that misses the penalty's own domain leaves nothing to minimise over.
    return [q for q in out if np.isfinite(s.value(q.project(base))).any()]


def joint_prox_against_oracle(s: Subject) -> Finding:
    """The prox of sums with ``L2``, ``L1``, ``Box`` and ``NonNegative``, where known, against a search over the summed values."""
    known: list[tuple[_Partner, Penalty]] = []
    shape, why = jax.ShapeDtypeStruct((s.n,), jnp.float64), UnknownOperation("no joint prox is known")
    for q in _partners(s):
        joint = s.p + q.penalty
        try:
            jax.eval_shape(lambda x, joint=joint: s.flat.flat(joint.prox(s.tree(x), 0.5)), shape)
            known.append((q, joint))
        except UnknownOperation as error:
            why = error
    if not known:
        raise why
    run = batched(lambda x, step: jnp.stack([s.flat.flat(joint.prox(s.tree(x), step)) for _, joint in known]))
    if s.separable_oracle:
        points = np.concatenate([s.sweep[[2, 4, 9, 13, 22, 31, 44, 58]], s.scattered[[0, 6, 7, 12]]])
        v, steps = np.repeat(points, 2, axis=0), np.tile([0.5, 3.0], len(points))
    else:
        v, steps = np.concatenate([s.sweep[[13, 22, 31]], s.scattered[[6, 7]]]), np.array([0.5, 0.5, 3.0, 0.5, 3.0])
    proxes = run(v, steps)
    found = []
    for k, (q, _) in enumerate(known):
        one = against_oracle(s, v, steps, proxes[:, k], q.value)
        found.append(dataclasses.replace(one, where=f"+ {q.penalty!r}: {one.where}"))
    return max(found, key=lambda f: f.error)
