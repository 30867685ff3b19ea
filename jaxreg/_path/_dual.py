"""The elastic net with more features than rows: Newton's method on the dual problem, which has one number for each row.

    min_u ½‖Zu − t‖² + λ·Σⱼ(aⱼ|uⱼ| + ½bⱼuⱼ²)   with   lowⱼ <= uⱼ <= upⱼ

has the residual r = t − Zu at its solution, and where every bⱼ > 0 that minimises

    φ(r) = ½‖r‖² − tᵀr + Σⱼ hⱼ(zⱼᵀr),   hⱼ'(c) = uⱼ(c) = clip(sign(c)·max(|c| − λaⱼ, 0)/(λbⱼ), lowⱼ, upⱼ):

strongly convex, smooth and piecewise quadratic, so that Newton's steps find the active set and end (Li, Sun and Toh, A highly efficient
semismooth Newton augmented Lagrangian method for solving lasso problems, 2018, §3; Boschi, Reimherr and Chiaromonte, An efficient
semi-smooth Newton augmented Lagrangian method for elastic net, 2020). A step is one Cholesky factor of the size of the rows, of
``λI + K`` with K = Σ zⱼzⱼᵀ/bⱼ over the coefficients that move; K follows the active set by a few columns at a time. Residuals are nearly
straight in λ: on the line through the last two most of the next one's active set is right already.

Where some bⱼ are zero (a lasso with bounds) or too small for rounding, proximal steps lead there: each minimises the same and
``½λβ·Σⱼ(uⱼ − ūⱼ)²``, which has curvature, about the minimiser ū before (Li, Sun and Toh, algorithm 1); what a step leaves of the slope
is λβ(u − ū). A β that steps do not get shorter by falls.

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
from ._dual_factor import Curvature, Members, restricted
from ._dual_newton import Phi, Point
from ._engine import Design
from ._follow import part_of
from ._together import CHUNK, LARGEST, beyond, for_checks, guard, onward, room_for, worst
from ._working_set import Columns

_MOST = 2048  # rows: a factor of more costs more than it saves
_SMALLEST = 512  # features in a set
_MARGIN = 0.95  # of its bound, from which on a feature is expected to be active
_STRIDE = 1.5  # times the step of λ before: as far as products with a residual may be continued like it
_PROXIMAL = 1e-3  # curvature that a chunk's first λ is given where columns, of norm one, have none of their own
_LEAST = 1e-7  # what that may fall to
_STEPS, _STALLED = 200, 8  # of the proximal method; the last ones without progress
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


def fits(design: Design) -> bool:
    """Whether it may solve what the Gram matrix of few features has not."""
    return design.X.shape[0] <= _MOST


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


def serves(columns: Columns, design: Design, lams: np.ndarray, *, few_rows: bool = True) -> bool:
    """Whether X is dense, every λ positive, and there are few rows: fewer than columns, if asked."""
    most = min(_MOST, design.X.shape[1]) if few_rows else _MOST
    return not isinstance(columns.rows, SparseRows) and columns.target.size <= most and bool((lams > 0).all())


def curved(problem: Quadratic) -> bool:
    """Whether every column has a curvature of its own that rounding does not swamp."""
    a, b = np.asarray(problem.a), np.asarray(problem.b)
    return bool((b > 0).all()) and bool((a <= _STRAIGHT * b).all())


def follow(
    columns: Columns,
    problem: Quadratic,
    lams: np.ndarray,
    told: Callable[[int, np.ndarray], bool],
    near: np.ndarray | None,
    *,
    proximal: bool = False,
) -> np.ndarray:
    """The coefficients at every λ (decreasing) as ``_together.follow`` gives them; ``near`` are answers to a similar problem.

    ``proximal`` problems need no curvature of their own.
    """
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

    def anchored(begin: int) -> Near:
        before = coef[max(begin - 1, 0), order] if begin else np.zeros(len(order), lams.dtype)
        return Near(jnp.asarray(np.pad(before, (0, len(members.rows) - len(order)))), jnp.asarray(_PROXIMAL / lams[begin]))

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
                columns, coarse, problem, members, part, residuals, solved > 0, trail, following, anchored(begin) if proximal else None
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


class Near(NamedTuple):
    """What coefficients' distance from where they were costs: λ times the curvature times half its square."""

    anchor: Float[Array, "b"]
    curvature: Float[Array, ""]  # at first

    def phi(self, members: Members, target: Array, lam: Array, anchor: Array, curvature: Array) -> Phi:
        bent = members.problem._replace(b=members.problem.b + curvature)
        return Phi(members._replace(problem=bent), target, lam, lam * curvature * anchor)


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


class _Closer(NamedTuple):
    """Of the proximal method at one λ."""

    point: Point
    anchor: Float[Array, "b"]
    curvature: Array
    moved: Array  # what the last step leaves of the slope
    best: Array
    stalled: Array
    count: Array
    settled: Array


def _proximal(near: Near, members: Members, target: Array, lam: Array, start: Point, anchor: Array) -> tuple[Point, Array]:
    """The minimiser that proximal steps lead to from the anchor, and whether they ended there (Rockafellar, Monotone operators and the
    proximal point algorithm, 1976): where they do not get shorter, they are let go farther.
    """
    enough = 64 * jnp.finfo(target.dtype).eps * jnp.linalg.norm(target)
    # K is of coefficients with other curvatures each time.
    nothing = jax.tree.map(jnp.zeros_like, members.curvature)

    def closer(state: _Closer) -> _Closer:
        phi = near.phi(members, target, lam, state.anchor, state.curvature)
        point, _ = phi.minimum(phi.at(state.point.r, state.point.c), nothing)
        moved = lam * state.curvature * jnp.linalg.norm(point.u - state.anchor)
        slow = moved > 0.5 * state.best
        curvature = jnp.where(slow, jnp.maximum(0.1 * state.curvature, _LEAST / _PROXIMAL * near.curvature), state.curvature)
        stalled = jnp.where(slow, state.stalled + 1, 0)
        return _Closer(point, point.u, curvature, moved, jnp.minimum(moved, state.best), stalled, state.count + 1, phi.settled(point))

    def unfinished(state: _Closer) -> Array:
        return (state.moved > enough) & (state.stalled < _STALLED) & (state.count < _STEPS)

    endless, none = jnp.full_like(lam, jnp.inf), jnp.zeros((), int)
    first = _Closer(start, anchor, near.curvature, endless, endless, none, none, jnp.zeros((), bool))
    last = jax.lax.while_loop(unfinished, closer, first)
    return last.point, last.settled & (last.moved <= 16 * enough)


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
    near: Near | None,
) -> tuple[Float[Array, "k b"], Float[Array, "k n"], Curvature | None, Bool[Array, ""], Float[Array, "p"], Ahead]:
    """Of λ after λ, as near as rounding lets them: minimisers, residuals, K, whether all came that near, the excess, what follows.

    Each λ starts on the line through the two before it, or where it was solved ``again``, if that is nearer.
    """
    target, rows = columns.target, members.rows
    n = target.size

    Carry = tuple[Trail, Curvature | None, Array | None]

    def one(carry: Carry, given: tuple[Array, Array]) -> tuple[Carry, tuple[Array, Array, Array]]:
        trail, curvature, anchor = carry
        lam, own = given
        r, c = jnp.split(trail.onward(lam), [n])
        # A step much longer than the one before would multiply what rounding has made of c.
        near_by = trail.lams[1] - lam <= _STRIDE * (trail.lams[0] - trail.lams[1])
        c = jax.lax.cond(near_by, lambda: c, lambda: rows @ r)

        first = Phi(members, target, lam, 0.0) if near is None else near.phi(members, target, lam, anchor, near.curvature)

        def nearer(own: Array) -> Point:
            found, on_line = first.at(own, rows @ own), first.at(r, c)
            better = jnp.linalg.norm(found.g) <= jnp.linalg.norm(on_line.g)
            return jax.tree.map(lambda *x: jnp.where(better, *x), found, on_line)

        start = jax.lax.cond(again, nearer, lambda _: first.at(r, c), own)
        if near is None:
            point, curvature = first.minimum(start, curvature)
            settled = first.settled(point)
        else:
            point, settled = _proximal(near, members, target, lam, start, anchor)
            anchor = point.u
        return (trail.then(lam, jnp.append(point.r, point.c)), curvature, anchor), (point.u, point.r, settled)

    both = Trail(trail.lams, jnp.concatenate([trail.rows, trail.rows @ rows.T], axis=1))
    carry = both, members.curvature, None if near is None else near.anchor
    (both, curvature, _), (found, residuals, all_settled) = jax.lax.scan(one, carry, (lams, given))
    trail = Trail(both.lams, both.rows[:, :n])
    expected = onward(trail.rows, trail.lams, following)
    excess, ahead = _excess(columns, coarse, problem, residuals, lams, following)
    return found, residuals, curvature, jnp.all(all_settled), excess, Ahead(trail, expected, ahead)
