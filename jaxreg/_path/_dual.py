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
from ._together import CHUNK, LARGEST, beyond, onward, worst
from ._working_set import Columns

_MOST = 2048  # rows: a factor of more costs more than it saves
_SMALLEST = 512  # features in a set, doubled as it fills: each is compiled anew
_MARGIN = 0.95  # of its bound, from which on a feature is expected to be active
_BLOCK = 32  # columns that K takes in or gives up at once
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
    problem: Quadratic  # but for q; G where the set is no larger than the rows are many
    curvature: Curvature | None  # else


class Trail(NamedTuple):
    """The residuals of two λ, the later one last."""

    lams: Float[Array, "2"]
    residuals: Float[Array, "2 n"]

    def onward(self, lam: Array) -> Array:
        """The residual at λ on the line through the two."""
        return onward(self.residuals, self.lams, lam[None])[0]

    def then(self, lam: Array, residual: Array) -> Trail:
        return Trail(jnp.stack([self.lams[1], lam]), jnp.stack([self.residuals[1], residual]))


class Point(NamedTuple):
    """A residual, with what follows from it."""

    r: Float[Array, "n"]
    c: Float[Array, "b"]  # Zᵀr
    u: Float[Array, "b"]
    g: Float[Array, "n"]  # the gradient of φ


def serves(columns: Columns, problem: Quadratic, lams: np.ndarray) -> bool:
    """Whether there are fewer rows than columns, and every column has a curvature of its own that rounding does not swamp."""
    if isinstance(columns.rows, SparseRows) or columns.target.size > min(_MOST, problem.a.size) or not (lams > 0).all():
        return False
    a, b = np.asarray(problem.a), np.asarray(problem.b)
    return bool((b > 0).all()) and bool((a <= _STRAIGHT * b).all())


def follow(
    columns: Columns, problem: Quadratic, lams: np.ndarray, told: Callable[[int, np.ndarray], bool], near: np.ndarray | None
) -> np.ndarray:
    """The coefficients at every λ (decreasing) as ``_together.follow`` gives them; ``near`` are answers to a similar problem."""
    p = problem.a.size
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
        members = _restricted(columns, problem, np.append(order, np.full(room - len(order), -1)).astype(int), members)
        return True

    def missing(excess: Array) -> np.ndarray:
        return worst(np.where(inside, -np.inf, np.asarray(excess)), len(order))

    free = np.asarray(problem.a) == 0
    if not admit(np.flatnonzero(free if near is None else free | (near != 0).any(axis=0))):
        return coef
    parts = [part_of(lams, begin, CHUNK) for begin in range(0, len(lams) + CHUNK, CHUNK)]
    ahead = _ahead(columns, problem, parts[0])
    for begin, part, following in zip(range(0, len(lams), CHUNK), parts, parts[1:], strict=False):
        trail, residuals, excess = ahead
        new = missing(excess)
        while True:
            if len(new) and not admit(new):
                return coef
            found, residuals, members, excess, ahead = _solved(columns, problem, members, part, residuals, trail, following)
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
def _ahead(columns: Columns, problem: Quadratic, lams: Float[Array, "k"]) -> Ahead:
    """Before the first λ, where nothing is known but the target."""
    residuals = jnp.broadcast_to(columns.target, (lams.size, columns.target.size))
    return Ahead(Trail(jnp.repeat(lams[:1], 2), residuals[:2]), residuals, _excess(columns, problem, residuals, lams, lams)[0])


@jax.jit
def _restricted(columns: Columns, problem: Quadratic, places: Int[Array, "b"], before: Members | None) -> Members:
    """The problem on the features ``places``, −1 where there is none; K stays what it was."""
    real = places >= 0

    def at(x: Array, fill: float) -> Array:
        return jnp.where(real, x[places], fill)

    rows, n, b = jnp.where(real[:, None], columns.rows[places], 0), columns.target.size, places.size
    G = rows @ rows.T if b <= n else problem.G
    own = Quadratic(G, problem.q, at(problem.a, 1.0), at(problem.b, 1.0), at(problem.low, -jnp.inf), at(problem.up, jnp.inf))
    if b <= n:
        return Members(rows, own, None)
    empty = Curvature(jnp.zeros((n, n), rows.dtype), jnp.zeros(0, bool))
    K, inside = empty if before is None or before.curvature is None else before.curvature
    return Members(rows, own, Curvature(K, jnp.pad(inside, (0, b - inside.size))))


def _excess(
    columns: Columns, problem: Quadratic, residuals: Float[Array, "k n"], lams: Float[Array, "k"], following: Float[Array, "k"]
) -> tuple[Float[Array, "p"], Float[Array, "p"]]:
    pull = (columns.rows @ residuals.T).T  # in this order a pass over the columns takes half the time
    size, bounds = jnp.linalg.norm(columns.target), (problem.a, problem.low, problem.up)
    return beyond(*bounds, pull, lams, size), beyond(*bounds, onward(pull, lams, following), _MARGIN * following, size)


def _newton(members: Members, moving: Bool[Array, "b"], lam: Array, g: Float[Array, "n"]) -> tuple[Float[Array, "n"], Members]:
    """``−(I + K/λ)⁻¹g`` for K of the coefficients ``moving``, by a factor of the size of the set or of the rows, the smaller one."""

    def solved(matrix: Array, right: Array) -> Array:
        return jax.scipy.linalg.cho_solve((jax.lax.linalg.cholesky(matrix, symmetrize_input=False), True), right)

    if members.curvature is None:
        G, b = members.problem.G, members.problem.b
        matrix = jnp.where(moving[:, None] & moving, G, 0) + jnp.diag(jnp.where(moving, lam * b, 1))
        return solved(matrix, jnp.where(moving, members.rows @ g, 0)) @ members.rows - g, members
    curvature = _followed(members.rows, members.problem.b, members.curvature, moving)
    step = -lam * solved(curvature.K + lam * jnp.eye(g.size, dtype=g.dtype), g)
    return step, members._replace(curvature=curvature)


def _followed(rows: Float[Array, "b n"], b: Float[Array, "b"], curvature: Curvature, wanted: Bool[Array, "b"]) -> Curvature:
    """K of the coefficients ``wanted``."""
    block = min(_BLOCK, b.size)

    def step(curvature: Curvature) -> Curvature:
        K, inside = curvature
        # No nonzero and no scatter, which XLA makes loops of on a CPU: the changes are counted, and the k-th looked up.
        changed = inside != wanted
        rank = jnp.cumsum(changed)
        at = jnp.searchsorted(rank, jnp.arange(1, block + 1))
        Z = rows.at[at].get(mode="fill", fill_value=0)
        change = jnp.where(wanted, 1 / b, -1 / b).at[at].get(mode="fill", fill_value=0)
        return Curvature(K + Z.T @ (change[:, None] * Z), jnp.where(changed & (rank <= block), wanted, inside))

    return jax.lax.while_loop(lambda curvature: jnp.any(curvature.inside != wanted), step, curvature)


@jax.jit
def _solved(
    columns: Columns,
    problem: Quadratic,
    members: Members,
    lams: Float[Array, "k"],
    given: Float[Array, "k n"],
    trail: Trail,
    following: Float[Array, "k"],
) -> tuple[Float[Array, "k b"], Float[Array, "k n"], Members, Float[Array, "p"], Ahead]:
    """Of λ after λ, as near as rounding lets them: minimisers, residuals, the members, the features' excess, and the λ that follow.

    Each λ starts at ``given`` or on the line through the two before it.
    """
    target, rows, (_, _, a, b, low, up) = columns.target, members.rows, members.problem
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
            d, members = _newton(members, moving(point, lam), lam, point.g)
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

    (trail, members), (found, residuals) = jax.lax.scan(one, (trail, members), (lams, given))
    expected = onward(trail.residuals, trail.lams, following)
    excess, ahead = _excess(columns, problem, residuals, lams, following)
    return found, residuals, members, excess, Ahead(trail, expected, ahead)
