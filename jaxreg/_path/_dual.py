"""The elastic net with more features than rows: Newton's method on the dual problem, which has one number for each row.

    min_u ½‖Zu − t‖² + λ·Σⱼ(aⱼ|uⱼ| + ½bⱼuⱼ²)   with   lowⱼ <= uⱼ <= upⱼ   and every bⱼ > 0

has the residual r = t − Zu at its solution, and that minimises

    φ(r) = ½‖r‖² − tᵀr + Σⱼ hⱼ(zⱼᵀr),   hⱼ'(c) = uⱼ(c) = clip(sign(c)·max(|c| − λaⱼ, 0)/(λbⱼ), lowⱼ, upⱼ):

strongly convex, smooth and piecewise quadratic, so that Newton's steps find the active set and end (Li, Sun and Toh, A highly efficient
semismooth Newton augmented Lagrangian method for solving lasso problems, 2018, §3; Boschi, Reimherr and Chiaromonte, An efficient
semi-smooth Newton augmented Lagrangian method for elastic net, 2020). A step is one Cholesky factor of the size of the rows, of
``λI + K`` with K = Σ zⱼzⱼᵀ/bⱼ over the coefficients that move; K follows the active set by a few columns at a time. Residuals are nearly
straight in λ: on the line through the last two most of the next one's active set is right already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ._batch import Quadratic
from ._columns import SparseRows
from ._follow import part_of
from ._together import CHUNK, LARGEST, beyond
from ._working_set import Columns

MOST = 2048  # rows: a factor of more costs more than it saves
_SMALLEST = 512  # features in a set, doubled as it fills: each is compiled anew
_BLOCK = 64  # columns that K takes in or gives up at once
_STEPS = 100
_STALLED = 3  # steps that neither lower φ by more than rounding nor halve its gradient end it
_SHORTEST = 1e-6  # of a step to the minimum of the quadratic
_STRAIGHT = 1e5  # a over b, with columns of norm one: how much u feels a rounding of c


class Curvature(NamedTuple):
    """K and the coefficients that it is made of."""

    K: Float[Array, "n n"]
    inside: Bool[Array, "b"]


class Members(NamedTuple):
    """The problem on a working set; what fills it up is zero."""

    rows: Float[Array, "b n"]
    problem: Quadratic  # but for G and q
    curvature: Curvature


class Trail(NamedTuple):
    """The residuals of two λ, the later one last."""

    lams: Float[Array, "2"]
    residuals: Float[Array, "2 n"]

    def onward(self, lam: Array) -> Array:
        """The residual at λ on the line through the two."""
        apart = self.lams[0] - self.lams[1]
        share = jnp.where(apart > 0, (self.lams[1] - lam) / jnp.where(apart > 0, apart, 1), 0)
        return self.residuals[1] + share * (self.residuals[1] - self.residuals[0])

    def then(self, lam: Array, residual: Array) -> Trail:
        return Trail(jnp.stack([self.lams[1], lam]), jnp.stack([self.residuals[1], residual]))


class Point(NamedTuple):
    """A residual, with what follows from it."""

    r: Float[Array, "n"]
    c: Float[Array, "b"]  # Zᵀr
    u: Float[Array, "b"]
    g: Float[Array, "n"]  # the gradient of φ


def serves(columns: Columns, problem: Quadratic) -> bool:
    """Whether there are few rows, and every column has a curvature of its own that rounding does not swamp."""
    if isinstance(columns.rows, SparseRows) or columns.target.size > min(MOST, problem.a.size):
        return False
    a, b = np.asarray(problem.a), np.asarray(problem.b)
    return bool((b > 0).all()) and bool((a <= _STRAIGHT * b).all())


def follow(
    columns: Columns, problem: Quadratic, lams: np.ndarray, told: Callable[[int, np.ndarray], bool], near: np.ndarray | None
) -> np.ndarray:
    """The coefficients at every λ (decreasing) as ``_together.follow`` gives them; ``near`` are answers to a similar problem."""
    p, target = problem.a.size, columns.target
    coef = np.full((len(lams), p), np.nan, lams.dtype)
    order: list[int] = []
    inside = np.zeros(p, bool)
    members: Any = None

    def admit(features: np.ndarray) -> bool:
        """Whether there was room for them."""
        nonlocal members
        if len(order) + len(features) > LARGEST:
            return False
        order.extend(features.tolist())
        inside[features] = True
        room = min(p, max(_SMALLEST, 1 << max(len(order) - 1, 0).bit_length()))
        members = _restricted(columns, problem, jnp.asarray(np.append(order, np.full(room - len(order), -1)).astype(int)), members)
        return True

    def missing(residuals: Array, part: Array) -> np.ndarray:
        """Features outside that are pulled away from zero at some λ."""
        return np.flatnonzero((np.asarray(_excess(columns, problem, residuals, part)) > 0) & ~inside)

    free = np.asarray(problem.a) == 0
    trail = Trail(jnp.full(2, lams[:1].max(initial=0)), jnp.stack([target, target]))
    if not admit(np.flatnonzero(free if near is None else free | (near != 0).any(axis=0))):
        return coef
    for begin in range(0, len(lams), CHUNK):
        done = min(begin + CHUNK, len(lams))
        part = jnp.asarray(part_of(lams, begin, CHUNK))
        residuals = _onward(trail, part) if near is None else _left(columns, jnp.asarray(part_of(near, begin, CHUNK)))
        new = missing(residuals, part)
        while True:
            if len(new) and not admit(new):
                return coef
            found, residuals, members = _solved(target, members, part, residuals, trail)
            new = missing(residuals, part)
            if not len(new):
                break
        trail = _advanced(trail, part, residuals)
        coef[begin:done] = 0
        coef[begin:done, order] = np.asarray(found)[: done - begin, : len(order)]
        if told(done, coef[begin:done]):
            return coef[:done]
    return coef


@jax.jit
def _restricted(columns: Columns, problem: Quadratic, places: Int[Array, "b"], before: Members | None) -> Members:
    """The problem on the features ``places``, −1 where there is none; K stays what it was."""
    real = places >= 0

    def at(x: Array, fill: float) -> Array:
        return jnp.where(real, x[places], fill)

    vectors = Quadratic(problem.G, problem.q, at(problem.a, 1), at(problem.b, 1), at(problem.low, -jnp.inf), at(problem.up, jnp.inf))
    n = columns.target.size
    K, inside = before.curvature if before else (jnp.zeros((n, n), columns.target.dtype), jnp.zeros(0, bool))
    return Members(
        jnp.where(real[:, None], columns.rows[places], 0), vectors, Curvature(K, jnp.pad(inside, (0, places.size - inside.size)))
    )


@jax.jit
def _excess(columns: Columns, problem: Quadratic, residuals: Float[Array, "k n"], lams: Float[Array, "k"]) -> Float[Array, "p"]:
    pull = (columns.rows @ residuals.T).T  # in this order a pass over the columns takes half the time
    return beyond(problem.a, problem.low, problem.up, pull, lams, jnp.linalg.norm(columns.target))


@jax.jit
def _left(columns: Columns, U: Float[Array, "k p"]) -> Float[Array, "k n"]:
    return columns.target - U @ columns.rows


@jax.jit
def _onward(trail: Trail, lams: Float[Array, "k"]) -> Float[Array, "k n"]:
    return jax.vmap(trail.onward)(lams)


@jax.jit
def _advanced(trail: Trail, lams: Float[Array, "k"], residuals: Float[Array, "k n"]) -> Trail:
    return jax.lax.scan(lambda trail, one: (trail.then(*one), None), trail, (lams, residuals))[0]


def _followed(members: Members, wanted: Bool[Array, "b"]) -> Members:
    """With K of the coefficients ``wanted``."""
    b = members.problem.b

    def step(curvature: Curvature) -> Curvature:
        K, inside = curvature
        at = jnp.nonzero(inside != wanted, size=min(_BLOCK, b.size), fill_value=b.size)[0]
        Z = members.rows.at[at].get(mode="fill", fill_value=0)
        change = jnp.where(wanted, 1 / b, -1 / b).at[at].get(mode="fill", fill_value=0)
        return Curvature(K + Z.T @ (change[:, None] * Z), inside.at[at].set(wanted[jnp.minimum(at, b.size - 1)], mode="drop"))

    unequal = lambda curvature: jnp.any(curvature.inside != wanted)  # noqa: E731
    return members._replace(curvature=jax.lax.while_loop(unequal, step, members.curvature))


@jax.jit
def _solved(
    target: Float[Array, "n"], members: Members, lams: Float[Array, "k"], given: Float[Array, "k n"], trail: Trail
) -> tuple[Float[Array, "k b"], Float[Array, "k n"], Members]:
    """(minimisers, residuals) of λ after λ, as near as rounding lets them; each starts at ``given`` or on the line so far."""
    rows, (_, _, a, b, low, up) = members.rows, members.problem
    eps = jnp.finfo(target.dtype).eps

    def minimiser(c: Array, lam: Array) -> Array:
        return jnp.clip(jnp.sign(c) * jnp.maximum(jnp.abs(c) - lam * a, 0) / (lam * b), low, up)

    def at(r: Array, lam: Array) -> Point:
        c = rows @ r
        u = minimiser(c, lam)
        return Point(r, c, u, r - target + u @ rows)

    def value(r: Array, c: Array, lam: Array) -> Array:
        u = minimiser(c, lam)
        return r @ (r / 2 - target) + jnp.sum(c * u - lam * (a * jnp.abs(u) + b * u**2 / 2))

    def moving(point: Point, lam: Array) -> Array:
        return (jnp.abs(point.c) > lam * a) & (low < point.u) & (point.u < up)

    def off(point: Point, lam: Array) -> tuple[Array, Array]:
        """(size of the gradient, whether rounding explains it)."""
        size = jnp.linalg.norm(point.g)
        felt = jnp.where(moving(point, lam), a / b + jnp.abs(point.u), 0)  # what a rounding of c does to u, in units of ε
        return size, size <= eps * (64 * jnp.linalg.norm(target) + 4 * jnp.linalg.norm(felt))

    State = tuple[Point, Members, Array, Array, Array]

    def one(carry: tuple[Trail, Members], given: tuple[Array, Array]) -> tuple[tuple[Trail, Members], tuple[Array, Array]]:
        trail, members = carry
        lam, own = given
        starts = jax.vmap(lambda r: at(r, lam))(jnp.stack([own, trail.onward(lam)]))
        nearer = jnp.argmin(jnp.linalg.norm(starts.g, axis=1))
        point = jax.tree.map(lambda x: x[nearer], starts)

        def step(state: State) -> State:
            point, members, best, stalled, count = state
            members = _followed(members, moving(point, lam))
            factor = jnp.linalg.cholesky(lam * jnp.eye(target.size, dtype=target.dtype) + members.curvature.K)
            d = -lam * jax.scipy.linalg.cho_solve((factor, True), point.g)
            turned, downhill, before = rows @ d, point.g @ d, value(point.r, point.c, lam)

            # What is decided is carried: worked out again for the loop's condition it could round to the other side, and never end.
            def shorten(tried: tuple[Array, Array]) -> tuple[Array, Array]:
                t = tried[0] / 2
                higher = value(point.r + t * d, point.c + t * turned, lam) > before + 1e-4 * t * downhill + 16 * eps * jnp.abs(before)
                return t, higher & (t > _SHORTEST)

            t, _ = jax.lax.while_loop(lambda tried: tried[1], shorten, (jnp.full_like(lam, 2.0), jnp.ones((), bool)))
            point = at(point.r + t * d, lam)
            size, _ = off(point, lam)
            progress = (size < 0.5 * best) | (value(point.r, point.c, lam) < before - 64 * eps * jnp.abs(before))
            return point, members, jnp.minimum(size, best), jnp.where(progress, 0, stalled + 1), count + 1

        def unfinished(state: State) -> Array:
            point, _, _, stalled, count = state
            return ~off(point, lam)[1] & (stalled < _STALLED) & (count < _STEPS)

        none = jnp.zeros((), int)
        point, members, *_ = jax.lax.while_loop(unfinished, step, (point, members, jnp.linalg.norm(point.g), none, none))
        return (trail.then(lam, point.r), members), (point.u, point.r)

    (_, members), (found, residuals) = jax.lax.scan(one, (trail, members), (lams, given))
    return found, residuals, members
