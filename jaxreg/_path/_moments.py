"""Squared error in p numbers: weighted second moments of the columns, for all rows and for all but a fold's."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from . import _columns
from ._columns import CENTRED, Sparse, over_rows
from ._engine import Design, Setup, curvature_scale

_HALVED = 128  # columns from which on a product is made of two


def enough(n: int, p: int) -> bool:
    """Whether a Gram matrix of all columns is the cheaper summary: few enough of them, or that many rows."""
    return p <= 1024 or (p <= 4096 and n >= 4 * p)


class Units(NamedTuple):
    """How a lane's coefficients w become u = size·w, in which every column has norm one."""

    size: Float[Array, "p"]  # 1 for a column that says nothing (constant, or zero without an intercept)
    silent: Bool[Array, "p"]
    radius: Float[Array, "p"]  # what multiplies |u| in the penalty
    center: Float[Array, "p"]  # 0 without an intercept
    scale: Float[Array, "p"]  # as `scales` of the engine defines it
    level: Array  # mean of y − offset, () or (T,); 0 without an intercept
    kappa: Float[Array, ""]  # the objective is kappa·(½uᵀGu − qᵀu) and what does not depend on u


@functools.partial(jax.jit, static_argnames=("setup",))
def units(
    setup: Setup,
    strengths: Float[Array, "p"],
    free: Bool[Array, "p"],
    squares: Float[Array, "p"],
    means: Float[Array, "p"],
    level: Array,
    total: Float[Array, ""],
) -> Units:
    """From the columns' sums of squares about their means.

    A feature without a penalty counts as standardised, as everywhere in the engine.
    """
    raw = squares + total * means**2
    # A constant column's spread is of rounding size; dividing by that would make noise a feature.
    constant = squares <= (16 * jnp.finfo(squares.dtype).eps) ** 2 * raw
    scale = jnp.where(constant | ~(free | setup.standardize), 1.0, jnp.sqrt(squares / total))
    silent = constant if setup.intercept else raw <= 0
    size = jnp.where(silent, 1.0, jnp.sqrt(squares if setup.intercept else raw))
    radius = strengths * (scale if setup.standardize else 1.0) / size
    kappa = curvature_scale(setup.loss, total)
    kept = 1.0 if setup.intercept else 0.0
    return Units(size, silent, radius, kept * means, scale, kept * level, kappa)


@jax.jit
def means(design: Design, v: Float[Array, "n"]) -> tuple[Float[Array, "p"], Array]:
    """Weighted means of the columns and of y − offset, () or (T,)."""
    return _columns.means(design.X, v), mean_target(design, v)


def mean_target(design: Design, v: Float[Array, "n"]) -> Array:
    return v @ (design.y - design.offset) / jnp.sum(v)


@jax.jit
def second_moments(
    design: Design, v: Float[Array, "n"], center: Float[Array, "p"], level: Array, ends: Int[Array, "k"]
) -> Float[Array, "k m m"]:
    """``Σ v·aaᵀ`` with a = (x − center, y − offset − level, 1), over each of the row ranges that end at ``ends``."""
    n, p = design.X.shape
    response = (design.y - design.offset - level).reshape(n, -1)
    width = p + response.shape[1] + 1
    half = width // 2 if width >= _HALVED else 0  # what is below the diagonal is known from above it: a quarter of the product is saved

    def products(x: Array, target: Array, weights: Array) -> tuple[Array, Array, Array]:
        block, root, ones = x - center, jnp.sqrt(weights), jnp.ones((len(x), 1), x.dtype)
        if block.dtype == jnp.float64:  # turned about in the cache first: that takes two thirds of the time
            left = block[:, :half].T * root
            right = jnp.concatenate([block[:, half:].T, target.T, ones.T]) * root
            left, right = jax.lax.optimization_barrier((left, right))
            return left @ left.T, left @ right.T, right @ right.T
        left = block[:, :half] * root[:, None]
        right = jnp.concatenate([block[:, half:], target, ones], axis=1) * root[:, None]
        return left.T @ left, left.T @ right, right.T @ right

    def one(span: tuple[Array, Array]) -> Array:
        corner, side, other = over_rows(design.X, (response, v), products, span, CENTRED)
        return jnp.block([[corner, side], [side.T, other]])

    return jax.lax.map(one, (jnp.concatenate([jnp.zeros(1, ends.dtype), ends[:-1]]), ends))


class Origin(NamedTuple):
    """What columns and target count from: an intercept makes up for their means, whose rounding would hide what is beside them."""

    columns: Float[Array, "p"]
    target: Float[Array, ""]

    def level(self, coef: Float[Array, "... p"], intercept: Float[Array, "... 1"]) -> Float[Array, "... 1"]:
        """The intercept there."""
        return intercept + (coef @ self.columns)[..., None] - self.target


class SquaredSums(NamedTuple):
    """Of the squared error at several answers (a leading axis), with s its gradient in η."""

    value: Float[Array, "k"]
    slope: Float[Array, "k p"]  # Xᵀs
    slope_free: Float[Array, "k q"]  # Aᵀs
    slope_intercept: Float[Array, "k"]  # Σs, 0 without an intercept
    slope_target: Float[Array, "k"]  # ⟨s, y − offset⟩


def squared_sums(
    setup: Setup,
    design: Design,
    v: Float[Array, "n"],
    A: Float[Array, "n q"],
    coef: Float[Array, "k p"],
    intercept: Array,
    support: Int[Array, "s"] | None = None,
    origin: Origin | None = None,
) -> tuple[SquaredSums, Float[Array, "q p"]]:
    """Those sums, and ``Aᵀ·diag(curvature)·X``: one pass over the rows, in blocks whose residuals at all answers stay in the cache.

    Coefficients outside of the ``support``, if there is one, are zero. Columns of a dense X, the target and the intercept count from an
    ``origin``, if there is one.
    """
    response, curvature = design.y - design.offset, setup.loss.curvature(design.offset, design.y, v)
    response = response if origin is None else response - origin.target
    zero = jnp.zeros(coef.shape[0], coef.dtype)
    level = intercept if setup.intercept else jnp.zeros((coef.shape[0], 1), coef.dtype)
    if isinstance(design.X, Sparse):
        residual = _columns.predictors(design.X, coef) + level - response
        s = curvature * residual
        total = jnp.sum(s, axis=1) if setup.intercept else zero
        sums = SquaredSums(jnp.sum(s * residual, axis=1) / 2, s @ design.X, s @ A, total, s @ response)
        return sums, (curvature[:, None] * A).T @ design.X

    inner = coef if support is None else coef[:, support]

    def beyond(x: Array, at: Array | None = None) -> Array:
        return x if origin is None else x - (origin.columns if at is None else origin.columns[at])

    own = () if support is None else (beyond(design.X[:, support], support),)

    def of_block(x: Array, target: Array, free: Array, bend: Array, *own: Array) -> tuple[SquaredSums, Array]:
        x = beyond(x)
        residual = inner @ (own[0] if own else x).T + level - target
        s = bend * residual
        total = jnp.sum(s, axis=1) if setup.intercept else zero
        found = SquaredSums(jnp.sum(s * residual, axis=1) / 2, s @ x, s @ free, total, s @ target)
        return found, (bend[:, None] * free).T @ x

    return over_rows(design.X, (response, A, curvature, *own), of_block, size=CENTRED)


class Moments(NamedTuple):
    """``Σ v·aaᵀ`` of several lanes, with a = (x − center, y − offset − level, 1)."""

    sums: Float[Array, "lanes m m"]
    center: Float[Array, "p"]
    level: Array  # () or (T,)


def sums_of_moments(
    setup: Setup, moments: Moments, lane: Int[Array, ""] | int, coef: Float[Array, "k p"], level: Array, origin: Origin | None
) -> tuple[SquaredSums, Float[Array, "q p"]]:
    """What :func:`squared_sums` finds, for one target and no feature without a penalty, in as many numbers as a lane's moments are.

    Residuals are ``aᵀz`` with z = (w, −1, what the level lacks), so that every sum over the rows is a part of ``Σ v·aaᵀ·z``. ``level`` is
    the intercept at the origin, (k, 1), or (k, 0).
    """
    sums, p = moments.sums[lane], moments.center.size
    one = jnp.ones((coef.shape[0], 1), coef.dtype)
    away, above = moments.center, moments.level
    if origin is not None:
        away, above = away - origin.columns, above - origin.target
    left = (coef @ away)[:, None] - above + (level if setup.intercept else 0.0)
    z = jnp.concatenate([coef, -one, left], axis=1)
    kappa = curvature_scale(setup.loss, sums[-1, -1])
    pushed = kappa * (z @ sums)
    rest = pushed[:, -1]
    slope, of_target = pushed[:, :p] + rest[:, None] * away, pushed[:, p] + rest * above
    free, of_intercept = (rest[:, None], rest) if setup.intercept else (jnp.zeros_like(one[:, :0]), jnp.zeros_like(rest))
    lever = kappa * (sums[-1, :p] + sums[-1, -1] * away)[None]
    return SquaredSums(jnp.sum(z * pushed, axis=1) / 2, slope, free, of_intercept, of_target), lever[: free.shape[1]]


def origin_of(setup: Setup, moments: Moments) -> Origin | None:
    """That of moments of one target; without an intercept there is none but zero."""
    return Origin(moments.center, moments.level) if setup.intercept else None


def at_null(setup: Setup, moments: Moments, v: Float[Array, "n"], terms: Float[Array, "n"]) -> tuple[Float[Array, "p"], Float[Array, "p"]]:
    """Lane 0's (gradient where all coefficients are zero, no less than ``Σ|xᵢ|·termsᵢ``); v are its weights."""
    zero, total = jnp.zeros((1, moments.center.size), v.dtype), jnp.sum(v)
    origin = origin_of(setup, moments)
    found, lever = sums_of_moments(setup, moments, 0, zero, jnp.zeros((1, 1), v.dtype), origin)
    slope = found.slope[0] - found.slope_free[0] / (curvature_scale(setup.loss, total) * total) @ lever
    squares = jnp.diagonal(moments.sums[0])[: zero.size] + total * moments.center**2
    # By Cauchy and Schwarz: what a row of weight zero has is zero.
    return slope, jnp.sqrt(squares * jnp.sum(terms**2 / jnp.where(v > 0, v, 1)))


@functools.partial(jax.jit, static_argnames=("setup",))
def reduce(
    setup: Setup, moments: Moments, lane: Int[Array, ""] | int, strengths: Float[Array, "p"], free: Bool[Array, "p"]
) -> tuple[Units, Float[Array, "p p"], Array]:
    """(units, G, q) of one lane; q is (p,), or (p, T) of several targets."""
    p = moments.center.size
    sums = moments.sums[lane]
    total = sums[-1, -1]
    shift = sums[-1, :-1] / total
    products = sums[:-1, :-1] - total * shift[:, None] * shift
    middle = jnp.append(moments.center, moments.level) + shift
    level = middle[p:].reshape(moments.level.shape)
    unit = units(setup, strengths, free, jnp.diag(products)[:p], middle[:p], level, total)
    if not setup.intercept:
        products = products + total * middle[:, None] * middle
    kept = jnp.where(unit.silent, 0.0, 1 / unit.size)
    G = (kept[:, None] * products[:p, :p] * kept).at[jnp.diag_indices(kept.size)].set(jnp.where(unit.silent, 0.0, 1.0))
    return unit, G, (kept[:, None] * products[:p, p:]).reshape(p, *level.shape)


def of_lanes(design: Design, weights: np.ndarray, ids: np.ndarray | None) -> Moments:
    """The moments of every lane (row of weights); with ``ids``, (repeats, n), the lanes after the first are all rows but a fold's.

    Folds cost one more pass over the rows for each repeat: their moments are subtracted from those of all. Where that leaves too
    few digits of a column, nearly all of whose spread lies in the one fold, the lane's own rows are summed.
    """
    moments, thin = summed(design, weights, in_order(ids), *means(design, weights[0]))
    sums, everything = moments.sums, np.array([weights.shape[1]])
    for lane in np.flatnonzero(thin):
        sums = sums.at[lane].set(second_moments(design, weights[lane], moments.center, moments.level, everything)[0])
    return moments._replace(sums=sums)


def of_target(moments: Moments, target: int) -> Moments:
    """Those of one target of several."""
    p = moments.center.size
    kept = np.array([*range(p), p + target, moments.sums.shape[-1] - 1])
    return Moments(moments.sums[:, kept[:, None], kept], moments.center, moments.level[target])


def in_order(ids: np.ndarray | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each repeat (the rows fold by fold, where the folds end)."""
    return [] if ids is None else [(np.argsort(row, kind="stable"), np.cumsum(np.bincount(row))) for row in ids]


def summed(
    design: Design, weights: Any, folds: list[tuple[Any, Any]], center: Float[Array, "p"], level: Array
) -> tuple[Moments, Bool[Array, "lanes"]]:
    """(moments, which of them a fold's subtraction left with too few digits); ``folds`` are those of ``in_order``, or none.

    ``center`` and ``level`` are the ``means`` of lane 0.
    """
    # Not the sum of the folds: the path of all rows is to the last digit what it is without folds.
    total = second_moments(design, weights[0], center, level, np.array([weights.shape[1]]))
    if not folds:
        sums = total if len(weights) == 1 else _of_each(design, weights, center, level)
        return Moments(sums, center, level), jnp.zeros(len(weights), bool)
    rest = [_without_folds(design, weights[0], center, level, total, *fold) for fold in folds]
    sums = jnp.concatenate([total, *rest])
    left = jnp.diagonal(sums, axis1=1, axis2=2)
    size = jnp.concatenate([center, jnp.atleast_1d(level), jnp.zeros(1, center.dtype)])
    noise = (16 * jnp.finfo(left.dtype).eps) ** 2 * left[0, -1] * size**2
    return Moments(sums, center, level), jnp.any((left < 1e-6 * left[0]) & (left[0] > noise), axis=1)


@jax.jit
def _of_each(design: Design, weights: Float[Array, "lanes n"], center: Float[Array, "p"], level: Array) -> Float[Array, "lanes m m"]:
    everything = np.array([weights.shape[1]])
    return jax.lax.map(lambda v: second_moments(design, v, center, level, everything)[0], weights)


@jax.jit
def _without_folds(
    design: Design,
    v: Float[Array, "n"],
    center: Float[Array, "p"],
    level: Array,
    total: Array,
    order: Int[Array, "n"],
    ends: Int[Array, "K"],
) -> Float[Array, "K m m"]:
    """The moments of all rows but a fold's; ``order`` has the rows fold by fold, which end at ``ends``."""
    by_fold = design._replace(X=design.X[order], y=design.y[order], offset=design.offset[order])
    return total - second_moments(by_fold, v[order], center, level, ends)
