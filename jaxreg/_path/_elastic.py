"""The elastic net and bounded lasso under squared error: many λ at once, on a Gram matrix of all columns or of a working set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._penalties import Penalty
from ..losses import SquaredError
from . import _columns, _dual, _moments, _together, _working_set
from ._batch import FEW, Quadratic, all_lams, leading, solve
from ._columns import Rows, Sparse
from ._engine import Design, Setup
from ._moments import Moments, Units
from ._progress import Teller, stacked
from ._working_set import Columns

_FIRM = 1e-8  # curvature that a penalty adds to columns of norm one, from which on a minimiser is told from others
_ANSWER, _GRADIENT = 1e-8, 1e-11  # how far answers and their gradients may be off, of the gradient at zero
_SOME = 1024  # features of which all λ are one program where the rows are more; without that, FEW


class Strengths(NamedTuple):
    """A penalty that is ``Σ aⱼ|wⱼ| + ½bⱼwⱼ²``."""

    a: Float[Array, "p"]
    b: Float[Array, "p"]


def strengths(setup: Setup, design: Design, penalty: Penalty) -> Strengths | None:
    """None where the penalty or the problem is another."""
    if not isinstance(setup.loss, SquaredError) or setup.outputs is not None:
        return None
    found = of_penalty(setup, design, penalty)
    return found if found is not None and (np.asarray(found.a) > 0).any() else None


def of_penalty(setup: Setup, design: Design, penalty: Penalty) -> Strengths | None:
    """What the penalty is in the coefficients, (p,) or (p, T); None where it is another."""
    terms = penalty.terms()
    if not terms or any(term.role not in ("soft", "quadratic") or term.reference() is not None for term in terms):
        return None
    return _at_zero(penalty, np.zeros(setup.shape(design.X.shape[1]), design.X.dtype))


@jax.jit
def _at_zero(penalty: Penalty, zero: Any) -> Strengths:
    return Strengths(penalty.subdifferential(zero)[1], penalty.curvature(zero))


def fit(
    setup: Setup,
    design: Design,
    weights: np.ndarray,
    penalty: Strengths,
    lams: np.ndarray,
    ids: np.ndarray | None,
    told: Teller,
    *,
    dual: bool = False,
    moments: Moments | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(coefficients, intercepts, scales) of each lane (row of weights) at every λ (decreasing), as ``_lasso.fit`` takes them.

    ``dual`` is for few features, which are solved by their Gram matrix otherwise; ``moments`` are what
    ``_moments.of_lanes`` would find, if they are known.
    """
    n, p = design.X.shape
    if moments is None and by_moments(design, dual=dual):
        moments = _moments.of_lanes(design, weights, ids)
    found: list[tuple[np.ndarray, ...]] = []
    for lane in range(len(weights)):
        if lane and told.stopped():
            break
        of_lane = told.part(lane, len(weights))
        if moments is not None and at_once(n, p):
            coef, intercept, scale = (np.asarray(x) for x in _all_at_once(setup, design, moments, lane, penalty, lams))
            done = _together.reported(coef, of_lane)
            found.append((coef[:done], intercept[:done], scale))
            continue
        columns = None
        if moments is None:
            columns = _working_set.columns(setup, design, jnp.asarray(weights[lane]), penalty.a)
            unit = columns.unit
            problem = _problem(setup, design, penalty, unit, _columns.products(columns.rows, columns.target[None])[0])
        else:
            unit, problem = _from_moments(setup, design, moments, lane, penalty)
        own = lams / np.asarray(unit.kappa)
        near = _start(problem, unit, own, found[0][0]) if lane and bool(_firm(problem, unit, own).all()) else None
        near = None if near is None else np.asarray(near)
        work: Any = FromGram(problem) if columns is None else FromColumns(columns, problem)
        bent = int((own > 0).sum())  # λ, decreasing, of which the dual knows
        if columns is not None and bent and _dual.serves(columns, design, own[:bent], few_rows=not dual):
            rest = _dual.apart(columns, problem, design)
            proximal = not _dual.curved(rest.problem)
            units = rest.whole(_dual.follow(rest.columns, rest.problem, own[:bent], of_lane, near, proximal=proximal))
            if len(units) == bent < len(own) and np.isfinite(units[-1]).all():
                later = functools.partial(_later, of_lane, bent)
                units = np.concatenate([units, _together.follow(work, np.flatnonzero(units[-1]), own[bent:], later, origin=units[-1])])
        else:
            free = np.flatnonzero((np.asarray(penalty.a) == 0) & ~np.asarray(unit.silent))
            units = _together.follow(work, free, own, of_lane, near)
        found.append(tuple(np.asarray(x) for x in _original(setup, design, unit, jnp.asarray(units))))
    return stacked(found, len(lams))


def by_moments(design: Design, *, dual: bool = False) -> bool:
    """Whether the Gram matrix of all columns is what it is solved by: in the dual none is needed."""
    n, p = design.X.shape
    return _moments.enough(n, p) and not dual and p <= max(n, FEW) and not isinstance(design.X, Sparse)


def _later(told: Callable[[int, np.ndarray], bool], before: int, done: int, coef: np.ndarray) -> bool:
    """``told`` of λ that follow others."""
    return told(before + done, coef)


def at_once(n: int, p: int) -> bool:
    """Whether all λ are one program."""
    return p <= FEW or p <= min(n, _SOME)


def _problem(setup: Setup, design: Design, penalty: Strengths, unit: Units, q: Array, G: Array | None = None) -> Quadratic:
    own = (unit.scale if setup.standardize else 1.0) / unit.size
    low = jnp.full_like(q, -jnp.inf) if design.lower is None else design.lower * unit.size
    up = jnp.full_like(q, jnp.inf) if design.upper is None else design.upper * unit.size
    return Quadratic(jnp.zeros((0, 0), q.dtype) if G is None else G, q, unit.radius, penalty.b * own**2, low, up)


@functools.partial(jax.jit, static_argnames=("setup",))
def _from_moments(setup: Setup, design: Design, moments: Moments, lane: Any, penalty: Strengths) -> tuple[Units, Quadratic]:
    unit, G, q = _moments.reduce(setup, moments, lane, penalty.a, design.free)
    return unit, _problem(setup, design, penalty, unit, q, G)


@functools.partial(jax.jit, static_argnames=("setup",))
def _all_at_once(setup: Setup, design: Design, moments: Moments, lane: Any, penalty: Strengths, lams: Any) -> tuple[Array, Array, Array]:
    unit, problem = _from_moments(setup, design, moments, lane, penalty)
    own = lams / unit.kappa
    found = all_lams(problem, own, _finest(problem, own))
    return _original(setup, design, unit, found)


@functools.partial(jax.jit, static_argnames=("setup",))
def several(setup: Setup, design: Design, moments: Moments, penalty: Strengths, lams: Float[Array, "L"]) -> tuple[Array, Array, Array]:
    """(coefficients, intercepts, scales) of all lanes of the moments: each starts at the answers of the one before."""
    p, count = moments.center.size, len(moments.sums)
    unit, problem = _from_moments(setup, design, moments, 0, penalty)
    top, vector = leading(problem.G)

    Carry = tuple[Array, Array]

    def one(carry: Carry, lane: Array) -> tuple[Carry, tuple[Array, Array, Array]]:
        before, vector = carry
        unit, problem = _from_moments(setup, design, moments, lane, penalty)
        own = lams / unit.kappa
        top, vector = leading(problem.G, vector)
        found = solve(problem, own, _start(problem, unit, own, before), _finest(problem, own), top=top)
        answers = _original(setup, design, unit, found)
        return (answers[0], vector), answers

    if p <= FEW:
        return jax.lax.scan(one, (jnp.zeros((lams.size, p), lams.dtype), vector), jnp.arange(count))[1]
    own = lams / unit.kappa
    first = _original(setup, design, unit, all_lams(problem, own, _finest(problem, own), top))
    if count == 1:
        return jax.tree.map(lambda x: x[None], first)
    rest = jax.lax.scan(one, (first[0], vector), jnp.arange(1, count))[1]
    return jax.tree.map(lambda x, others: jnp.concatenate([x[None], others]), first, rest)


@jax.jit
def _start(problem: Quadratic, unit: Units, lams: Float[Array, "L"], coef: Float[Array, "L p"]) -> Float[Array, "L p"]:
    """Another lane's answers to start from, where there is one minimiser: of many, a fold's would be one that knows the held-out rows."""
    return jnp.where(_firm(problem, unit, lams)[:, None] & ~unit.silent, coef * unit.size, 0)


@jax.jit
def _firm(problem: Quadratic, unit: Units, lams: Float[Array, "L"]) -> Bool[Array, "L"]:
    """Whether the penalty alone leaves one minimiser, and tells it from others by more than rounding does."""
    return lams * jnp.min(jnp.where(unit.silent, jnp.inf, problem.b)) > _FIRM


def _finest(problem: Quadratic, lams: Float[Array, "L"]) -> Float[Array, "L"]:
    """The residual of answers at each λ: what the penalty's curvature makes eight digits of the coefficients of, or rounding."""
    digits = jnp.maximum(jnp.minimum(_ANSWER * lams * jnp.min(problem.b), _GRADIENT), 64 * jnp.finfo(problem.q.dtype).eps)
    return digits * jnp.linalg.norm(problem.q)


@functools.partial(jax.jit, static_argnames=("setup",))
def _original(setup: Setup, design: Design, unit: Units, found: Float[Array, "L p"]) -> tuple[Array, Array, Array]:
    """(coefficients, intercepts, scales) on the original scale."""
    coef = unscaled(design, found, unit.size)
    intercept = (unit.level - coef @ unit.center)[:, None]
    return coef, intercept if setup.intercept else intercept[:, :0], unit.scale


def unscaled(design: Design, found: Float[Array, "L p"], size: Float[Array, "p"]) -> Float[Array, "L p"]:
    """``found/size``; a bound that is met is met to the last bit: the certificate asks whether it is."""
    if design.lower is None or design.upper is None:
        return found / size
    return jnp.where(found <= design.lower * size, design.lower, jnp.where(found >= design.upper * size, design.upper, found / size))


class Members(NamedTuple):
    """The problem on a working set."""

    places: Int[Array, "b"]  # −1 where none has joined yet
    problem: Quadratic
    rows: Rows | None = None  # (b, n): the columns, where the Gram matrix of all is not at hand


class FromGram(NamedTuple):
    """The problem of all columns is known in full."""

    problem: Quadratic

    @property
    def size(self) -> int:
        return self.problem.a.size

    def restrict(self, places: np.ndarray, before: Any) -> Members:
        del before
        return _gathered(self.problem, jnp.asarray(places))

    def solve(self, members: Members, lams: Array, start: Array, *, precise: bool) -> tuple[Array, Members]:
        return _on_set(members.problem, lams, start, _goal(self.problem, precise=precise)), members

    def excess(self, members: Members, found: Array, lams: Array) -> Array:
        return _excess_of_gram(self.problem, members.places, found, lams)


class FromColumns(NamedTuple):
    """The Gram matrix is made of the columns that join."""

    columns: Columns
    problem: Quadratic  # of all columns, but for G

    @property
    def size(self) -> int:
        return self.problem.a.size

    def restrict(self, places: np.ndarray, before: Members | None) -> Members:
        known = 0 if before is None else int((np.asarray(before.places) >= 0).sum())
        new = np.flatnonzero(places >= 0)[known:]
        block = 1 << max(len(new) - 1, _together.BLOCK - 1).bit_length()
        at = np.append(new, np.full(block - len(new), len(places)))
        G = jnp.zeros((len(places), len(places)), self.columns.target.dtype)
        if before is not None:
            G = G.at[: before.places.size, : before.places.size].set(before.problem.G)
        return _joined(_columns.take(self.columns.rows, places), self.problem, jnp.asarray(places), jnp.asarray(at), G)

    def solve(self, members: Members, lams: Array, start: Array, *, precise: bool) -> tuple[Array, Members]:
        return _on_set(members.problem, lams, start, _goal(self.problem, precise=precise)), members

    def excess(self, members: Members, found: Array, lams: Array) -> Array:
        assert members.rows is not None
        return _excess_of_columns(self.columns, self.problem, members.rows, found, lams)


_on_set = jax.jit(solve)


@functools.partial(jax.jit, static_argnames=("precise",))
def _goal(problem: Quadratic, *, precise: bool) -> Array:
    return (64 * jnp.finfo(problem.q.dtype).eps if precise else _together.LOOSE) * jnp.linalg.norm(problem.q)


def _vectors(problem: Quadratic, places: Array) -> Quadratic:
    """All but G at ``places``; what fills them up says nothing."""

    def at(x: Array, fill: float) -> Array:
        return jnp.where(places >= 0, x[places], fill)

    _, q, a, b, low, up = problem
    return Quadratic(problem.G, at(q, 0.0), at(a, 1.0), at(b, 0.0), at(low, -jnp.inf), at(up, jnp.inf))


@jax.jit
def _gathered(problem: Quadratic, places: Int[Array, "b"]) -> Members:
    real: Bool[Array, "b"] = places >= 0
    G = jnp.where(real[:, None] & real, problem.G[places[:, None], places], 0)
    return Members(places, _vectors(problem, places)._replace(G=G))


@jax.jit
def _joined(rows: Rows, problem: Quadratic, places: Int[Array, "b"], at: Int[Array, "k"], G: Float[Array, "b b"]) -> Members:
    """With the Gram matrix's rows and columns ``at`` (as many as there are places: none) computed."""
    products = _columns.products_of(rows, at)
    G = G.at[at].set(products, mode="drop").at[:, at].set(products.T, mode="drop")
    return Members(places, _vectors(problem, places)._replace(G=G), rows)


@jax.jit
def _excess_of_gram(problem: Quadratic, places: Array, found: Float[Array, "k b"], lams: Float[Array, "k"]) -> Float[Array, "p"]:
    return _together.beyond(problem.a, problem.low, problem.up, problem.q - found @ problem.G[places], lams, jnp.linalg.norm(problem.q))


@jax.jit
def _excess_of_columns(
    columns: Columns, problem: Quadratic, rows: Rows, found: Float[Array, "k b"], lams: Float[Array, "k"]
) -> Float[Array, "p"]:
    residual = columns.target - _columns.combined(rows, found)
    return _together.beyond(
        problem.a, problem.low, problem.up, _columns.products(columns.rows, residual), lams, jnp.linalg.norm(columns.target)
    )
