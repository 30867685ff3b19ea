"""The elastic net with more features than rows: Newton's method on the dual problem, which has one number for each row.

    min_u ½‖Zu − t‖² + λ·Σⱼ(aⱼ|uⱼ| + ½bⱼuⱼ²)   with   lowⱼ <= uⱼ <= upⱼ   and every bⱼ > 0

has the residual r = t − Zu at its solution, and that minimises

    φ(r) = ½‖r‖² − tᵀr + Σⱼ hⱼ(zⱼᵀr),   hⱼ'(c) = uⱼ(c) = clip(sign(c)·max(|c| − λaⱼ, 0)/(λbⱼ), lowⱼ, upⱼ):

strongly convex, smooth and piecewise quadratic, so that Newton's steps find the active set and end (Li, Sun and Toh, A highly efficient
semismooth Newton augmented Lagrangian method for solving lasso problems, 2018, §3; Boschi, Reimherr and Chiaromonte, An efficient
semi-smooth Newton augmented Lagrangian method for elastic net, 2020). A step is one Cholesky factor of the size of the rows, of
``λI + K`` with K = Σ zⱼzⱼᵀ/bⱼ over the coefficients that move; K follows the active set by a few columns at a time. Residuals are nearly
straight in λ: on the line through the last two most of the next one's active set is right already.

In float64 the factors are of float32 first: where the active set stays, each step by the same one leaves a small share of the gradient.
Residuals, coefficients and what moves are float64 all the way, so that a factor decides how many steps there are and nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ._batch import Quadratic
from ._columns import SparseRows
from ._dual_factor import Curvature, Members, descent, factor, reach, restricted
from ._engine import Design
from ._follow import part_of
from ._together import CHUNK, LARGEST, beyond, for_checks, guard, onward, room_for, worst
from ._working_set import Columns

_MOST = 2048  # rows: a factor of more costs more than it saves
_SMALLEST = 512  # features in a set
_MARGIN = 0.95  # of its bound, from which on a feature is expected to be active
_STRIDE = 1.5  # times the step of λ before: as far as products with a residual may be continued like it
_STEPS = 100
_STALLED = 3  # steps that neither lower φ by more than rounding nor halve its gradient end it
_SHORTEST = 1e-6  # of a step to the minimum of the quadratic
_STRAIGHT = 1e5  # a over b, with columns of norm one: how much u feels a rounding of c


class Trail(NamedTuple):
    """The residuals r of two λ, the later one last; within a working set also what its columns make of them, Zᵀr."""

    lams: Float[Array, "2"]
    rows: Float[Array, "2 m"]  # r, or r and Zᵀr side by side

    def onward(self, lam: Array) -> Array:
        """The row at λ on the line through the two."""
        return onward(self.rows, self.lams, lam[None])[0]

    def then(self, lam: Array, row: Array) -> Trail:
        return Trail(jnp.stack([self.lams[1], lam]), jnp.stack([self.rows[1], row]))


class Point(NamedTuple):
    """A residual, with what follows from it."""

    r: Float[Array, "n"]
    c: Float[Array, "b"]  # Zᵀr
    u: Float[Array, "b"]
    g: Float[Array, "n"]  # the gradient of φ


class Search(NamedTuple):
    """Of Newton's method at one λ."""

    point: Point
    best: Array  # the smallest gradient so far
    stalled: Array
    count: Array


def curved(design: Design, penalty: Any) -> bool:
    """Whether every feature has a curvature of its own, or no penalty and no bounds at all."""
    free = np.asarray(design.free)
    return bool(((np.asarray(penalty.b) > 0).reshape(free.size, -1) | free[:, None]).all())


def fits(design: Design, penalty: Any) -> bool:
    """Whether it may solve what the Gram matrix of few features has not."""
    return design.X.shape[0] <= _MOST and curved(design, penalty)


class Apart(NamedTuple):
    """The problem of the penalised features, where the others are projected out of all columns and the target."""

    columns: Columns
    problem: Quadratic
    whole: Callable[[np.ndarray], np.ndarray]  # from its answers (λ, p), where the others are 0, those of all features


def apart(columns: Columns, problem: Quadratic, design: Design) -> Apart:
    """Least squares of the others leave ``Zu − t`` its part that is orthogonal to them."""
    free = np.asarray(design.free)
    if not free.any():
        return Apart(columns, problem, lambda units: units)
    others = np.flatnonzero(free & ~np.asarray(columns.unit.silent))
    mine = columns.rows[others]
    rows, target = _projected(columns.rows, columns.target, mine)
    rest = problem._replace(a=jnp.where(free, 1, problem.a), b=jnp.where(free, 1, problem.b))

    def whole(units: np.ndarray) -> np.ndarray:
        units = units.copy()
        units[:, others] = np.asarray(_least_squares(columns.rows, columns.target, mine, jnp.asarray(units)))
        return units

    return Apart(columns._replace(rows=jnp.where(free[:, None], 0, rows), target=target), rest, whole)


@jax.jit
def _projected(rows: Float[Array, "p n"], target: Float[Array, "n"], others: Float[Array, "k n"]) -> tuple[Array, Array]:
    _, sizes, Q = jnp.linalg.svd(others, full_matrices=False)
    Q = jnp.where((sizes > len(target) * jnp.finfo(sizes.dtype).eps * jnp.max(sizes))[:, None], Q, 0)
    for _ in range(2):  # once more for what rounding leaves
        rows, target = rows - (rows @ Q.T) @ Q, target - (Q @ target) @ Q
    return rows, target


@jax.jit
def _least_squares(rows: Float[Array, "p n"], target: Float[Array, "n"], others: Float[Array, "k n"], units: Float[Array, "L p"]) -> Array:
    return (target - units @ rows) @ jnp.linalg.pinv(others)


def serves(columns: Columns, problem: Quadratic, design: Design, lams: np.ndarray, *, few_rows: bool = True) -> bool:
    """Whether every penalised column has a curvature that rounding does not swamp, and there are fewer rows than columns, if asked."""
    most = min(_MOST, problem.a.size) if few_rows else _MOST
    if isinstance(columns.rows, SparseRows) or columns.target.size > most or not (lams > 0).all():
        return False
    a, b, free = np.asarray(problem.a), np.asarray(problem.b), np.asarray(design.free)
    return bool((free | (b > 0)).all()) and bool((free | (a <= _STRAIGHT * b)).all())


def follow(
    columns: Columns, problem: Quadratic, lams: np.ndarray, told: Callable[[int, np.ndarray], bool], near: np.ndarray | None
) -> np.ndarray:
    """The coefficients at every λ (decreasing) as ``_together.follow`` gives them; ``near`` are answers to a similar problem."""
    p = problem.a.size
    coef = np.full((len(lams), p), np.nan, lams.dtype)
    order: list[int] = []
    inside = np.zeros(p, bool)
    members: Any = None
    precision: Any = jnp.float32

    def admit(features: np.ndarray) -> bool:
        """Whether there was room for them."""
        nonlocal members
        if len(order) + len(features) > LARGEST:
            return False
        order.extend(features.tolist())
        inside[features] = True
        members = renewed(members)
        return True

    def renewed(before: Members | None) -> Members:
        room = min(p, room_for(len(order), _SMALLEST))
        places = np.append(order, np.full(room - len(order), -1)).astype(int)
        return restricted(columns, problem, places, None if before is None else before.curvature, precision)

    def missing(excess: Array) -> np.ndarray:
        return worst(np.where(inside, -np.inf, np.asarray(excess)), len(order))

    free = np.asarray(problem.a) == 0
    if not admit(np.flatnonzero(free if near is None else free | (near != 0).any(axis=0))):
        return coef
    parts = [part_of(lams, begin, CHUNK) for begin in range(0, len(lams) + CHUNK, CHUNK)]
    coarse = for_checks(columns.rows, columns.target, problem.a, lams)
    ahead = _ahead(columns, coarse, problem, parts[0])
    for begin, part, following in zip(range(0, len(lams), CHUNK), parts, parts[1:], strict=False):
        trail, residuals, excess = ahead
        new = missing(excess)
        for solved in itertools.count():
            if len(new) and not admit(new):
                return coef
            found, residuals, curvature, settled, excess, ahead = _solved(
                columns, coarse, problem, members, part, residuals, solved > 0, trail, following
            )
            members = members._replace(curvature=curvature)
            if not settled and precision != lams.dtype:
                precision = lams.dtype
                members, new = renewed(None), new[:0]
                continue
            new = missing(excess)
            if not len(new):
                break
        done = min(begin + CHUNK, len(lams))
        coef[begin:done] = 0
        coef[begin:done, order] = np.asarray(found)[: done - begin, : len(order)]
        if told(done, coef[begin:done]):
            return coef[:done]
    return coef


class Ahead(NamedTuple):
    """What is expected of the next λ."""

    trail: Trail
    residuals: Float[Array, "k n"]
    excess: Float[Array, "p"]  # how far each feature is pulled away from zero there, at the worst of the λ; <= 0 where it is not


@jax.jit
def _ahead(columns: Columns, coarse: Float[Array, "p n"], problem: Quadratic, lams: Float[Array, "k"]) -> Ahead:
    """Before the first λ, where nothing is known but the target."""
    residuals = jnp.broadcast_to(columns.target, (lams.size, columns.target.size))
    return Ahead(Trail(jnp.repeat(lams[:1], 2), residuals[:2]), residuals, _excess(columns, coarse, problem, residuals, lams, lams)[0])


def _excess(
    columns: Columns,
    coarse: Float[Array, "p n"],
    problem: Quadratic,
    residuals: Float[Array, "k n"],
    lams: Float[Array, "k"],
    following: Float[Array, "k"],
) -> tuple[Float[Array, "p"], Float[Array, "p"]]:
    """How far features are pulled away from zero, at these λ and as is foreseen at those that follow: at the worst of each."""
    pull = (coarse @ residuals.astype(coarse.dtype).T).T.astype(lams.dtype)  # in this order a pass over the columns takes half the time
    size, bounds = jnp.linalg.norm(columns.target), (problem.a, problem.low, problem.up)
    excess = beyond(*bounds, pull, lams, size) + guard(coarse.dtype, size)
    return excess, beyond(*bounds, onward(pull, lams, following), _MARGIN * following, size)


@jax.jit
def _solved(
    columns: Columns,
    coarse: Float[Array, "p n"],
    problem: Quadratic,
    members: Members,
    lams: Float[Array, "k"],
    given: Float[Array, "k n"],
    again: Bool[Array, ""] | bool,
    trail: Trail,
    following: Float[Array, "k"],
) -> tuple[Float[Array, "k b"], Float[Array, "k n"], Curvature | None, Bool[Array, ""], Float[Array, "p"], Ahead]:
    """Of λ after λ, as near as rounding lets them: minimisers, residuals, K, whether all came that near, the excess, what follows.

    Each λ starts on the line through the two before it, or where it was solved ``again``, if that is nearer.
    """
    target, rows, (_, _, a, b, low, up) = columns.target, members.rows, members.problem
    n = target.size
    eps = jnp.finfo(target.dtype).eps

    def minimiser(c: Array, lam: Array) -> Array:
        return jnp.clip(jnp.sign(c) * jnp.maximum(jnp.abs(c) - lam * a, 0) / (lam * b), low, up)

    def at(r: Array, c: Array, lam: Array) -> Point:
        u = minimiser(c, lam)
        return Point(r, c, u, r - target + u @ rows)

    def value(r: Array, c: Array, lam: Array) -> Array:
        u = minimiser(c, lam)
        return r @ (r / 2 - target) + jnp.sum(c * u - lam * (a * jnp.abs(u) + b * u**2 / 2))

    def moving(point: Point, lam: Array) -> Array:
        return (jnp.abs(point.c) > lam * a) & (low < point.u) & (point.u < up)

    def settled(point: Point, lam: Array) -> Array:
        """Whether rounding explains what is left of the gradient."""
        felt = jnp.where(moving(point, lam), a / b + jnp.abs(point.u), 0)  # what a rounding of c does to u, in units of ε
        return jnp.linalg.norm(point.g) <= eps * (64 * jnp.linalg.norm(target) + 4 * jnp.linalg.norm(felt))

    Carry = tuple[Trail, Curvature | None]

    def one(carry: Carry, given: tuple[Array, Array]) -> tuple[Carry, tuple[Array, Array, Array]]:
        trail, curvature = carry
        lam, own = given
        r, c = jnp.split(trail.onward(lam), [n])
        # A step much longer than the one before would multiply what rounding has made of c.
        near_by = trail.lams[1] - lam <= _STRIDE * (trail.lams[0] - trail.lams[1])
        on_line = at(r, jax.lax.cond(near_by, lambda: c, lambda: rows @ r), lam)

        def nearer(own: Array) -> Point:
            found = at(own, rows @ own, lam)
            better = jnp.linalg.norm(found.g) <= jnp.linalg.norm(on_line.g)
            return jax.tree.map(lambda *x: jnp.where(better, *x), found, on_line)

        point = jax.lax.cond(again, nearer, lambda _: on_line, own)

        def step(search: Search, L: Array, now: Array) -> tuple[Search, Array]:
            """By a factor of the coefficients ``now``; and whether it may be used once more."""
            point, best, stalled, count = search
            d = descent(members, L, now, moving(point, lam) if reach(members) else now, lam, point.g)
            turned, downhill, before = rows @ d, point.g @ d, value(point.r, point.c, lam)

            # What is decided is carried: worked out again for the loop's condition it could round to the other side, and never end.
            def shorten(tried: tuple[Array, Array]) -> tuple[Array, Array]:
                t = tried[0] / 2
                higher = value(point.r + t * d, point.c + t * turned, lam) > before + 1e-4 * t * downhill + 16 * eps * jnp.abs(before)
                return t, higher & (t > _SHORTEST)

            t, _ = jax.lax.while_loop(lambda tried: tried[1], shorten, (jnp.full_like(lam, 2.0), jnp.ones((), bool)))
            point = at(point.r + t * d, point.c + t * turned, lam)
            size = jnp.linalg.norm(point.g)
            better = (size < 0.5 * best) | (value(point.r, point.c, lam) < before - 64 * eps * jnp.abs(before))
            then = Search(point, jnp.minimum(size, best), jnp.where(better, 0, stalled + 1), count + 1)
            changes = jnp.sum(moving(point, lam) != now)
            return then, unfinished(then) & ((changes == 0) | (better & (changes <= reach(members))))

        def unfinished(search: Search) -> Array:
            return ~settled(search.point, lam) & (search.stalled < _STALLED) & (search.count < _STEPS)

        def newton(state: tuple[Search, Curvature | None]) -> tuple[Search, Curvature | None]:
            search, curvature = state
            now = moving(search.point, lam)
            L, curvature = factor(members, curvature, now, lam)
            first = search, jnp.ones((), bool)
            search, _ = jax.lax.while_loop(lambda state: state[1], lambda state: step(state[0], L, now), first)
            return search, curvature

        none = jnp.zeros((), int)
        start = Search(point, jnp.linalg.norm(point.g), none, none), curvature
        (point, *_), curvature = jax.lax.while_loop(lambda state: unfinished(state[0]), newton, start)
        return (trail.then(lam, jnp.append(point.r, point.c)), curvature), (point.u, point.r, settled(point, lam))

    both = Trail(trail.lams, jnp.concatenate([trail.rows, trail.rows @ rows.T], axis=1))
    (both, curvature), (found, residuals, all_settled) = jax.lax.scan(one, (both, members.curvature), (lams, given))
    trail = Trail(both.lams, both.rows[:, :n])
    expected = onward(trail.rows, trail.lams, following)
    excess, ahead = _excess(columns, coarse, problem, residuals, lams, following)
    return found, residuals, curvature, jnp.all(all_settled), excess, Ahead(trail, expected, ahead)
