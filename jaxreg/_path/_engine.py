"""The λ path of one data term under one penalty, for several sets of sample weights (folds) in one compiled program.

Lanes are sets of sample weights: lane 0 is all the data, the others a fold's training rows. A chunk of λ is a scan that
warm-starts each λ from the one before, lanes are mapped one after the other. The caller holds the loop over chunks: there
progress is shown, buckets grow and a path may stop early.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._penalties import Penalty
from ..losses import Loss, SquaredError
from ._blocks import on_blocks
from ._columns import Matrix, means, predictors, squares
from ._newton import Smooth, minimise
from ._penalised import Penalised


class Design(NamedTuple):
    """What is fitted; arrays only."""

    X: Any  # (n, p), an array or Sparse
    y: Array  # (n,) or (n, targets); classes as numbers
    offset: Array  # of the linear predictor's shape
    free: Array  # (p,) bool: features that carry no penalty
    lower: Array | None  # bounds on the coefficients, original scale
    upper: Array | None


class Setup(NamedTuple):
    """What decides the program; hashable."""

    loss: Loss
    intercept: bool
    standardize: bool
    outputs: int | None  # None for a vector of coefficients, else the number of columns
    bucket: int  # features in a working set; the number of features when there is none
    block: int | None = None  # features in each block that the penalty is a sum over, None where it is no such sum

    @property
    def columns(self) -> int:
        return self.outputs or 1

    def shape(self, p: int) -> tuple[int, ...]:
        return (p,) if self.outputs is None else (p, self.outputs)


class Gram(NamedTuple):
    """The squared error of centred columns in p numbers: ``Σv(y − Zw − b)²`` is ``wᵀGw − 2wᵀq + …``."""

    products: Float[Array, "p p"]
    target: Float[Array, "p"]
    total: Array  # Σv(y − offset)


class Lane(NamedTuple):
    """One set of sample weights, prepared: centred and scaled columns, and the Gram matrix where it serves."""

    weights: Float[Array, "n"]
    center: Float[Array, "p"]
    scale: Float[Array, "p"]
    gram: Gram | None


class Point(NamedTuple):
    """Where a lane stands on its path, in centred and scaled coordinates."""

    coef: Array
    intercept: Array


class Fit(NamedTuple):
    """A lane's answer at one λ, on the original scale."""

    coef: Array
    intercept: Array
    scaled: Array  # the coefficients of scaled columns, where what is level is so to the last bit
    overflow: Array  # the support filled the working set: the answer needs a larger bucket


def scales(setup: Setup, X: Matrix, v: Array, free: Array) -> tuple[Array, Array]:
    """Weighted column means (0 without intercept) and standard deviations (1 unless standardising, or constant).

    A feature without a penalty may be scaled as one likes: it always is, so that no tolerance depends on its unit.
    """
    mean, spread, size = spreads(X, v)
    center = mean if setup.intercept else jnp.zeros_like(mean)
    # A constant column has a spread of rounding size; dividing by that would make noise a feature.
    constant = spread <= 16 * jnp.finfo(X.dtype).eps * size
    return center, jnp.where(constant | ~(free | setup.standardize), 1.0, spread)


def spreads(X: Matrix, v: Array) -> tuple[Float[Array, "p"], Float[Array, "p"], Float[Array, "p"]]:
    """Weighted means of the columns, their standard deviations and root mean squares."""
    total, mean = jnp.sum(v), means(X, v)
    variance = squares(X, v, mean) / total
    return mean, jnp.sqrt(variance), jnp.sqrt(variance + mean**2)


@functools.partial(jax.jit, static_argnames=("setup",))
def scale_of(setup: Setup, design: Design, v: Float[Array, "n"]) -> Float[Array, "p"]:
    """The scale of a lane that is not prepared otherwise."""
    return scales(setup, design.X, v, design.free)[1]


def scales_of(setup: Setup, design: Design, weights: np.ndarray) -> np.ndarray:
    """``scale_of`` each lane (row of weights)."""
    if not setup.standardize and not np.asarray(design.free).any():
        return np.ones((len(weights), design.X.shape[1]), design.X.dtype)
    return np.stack([np.asarray(scale_of(setup, design, jnp.asarray(v, design.X.dtype))) for v in weights])


def predictor(setup: Setup, Z: Matrix, coef: Array, intercept: Array, offset: Array) -> Array:
    """η = Zw + b + offset, of the loss's shape."""
    eta = Z @ coef + offset
    return eta if not setup.intercept else eta + (intercept[0] if setup.outputs is None else intercept)


def all_predictors(setup: Setup, design: Design, coef: Float[Array, "l p ..."], intercept: Array) -> Float[Array, "l n ..."]:
    """η at several answers: one pass over X."""
    eta = predictors(design.X, coef) + design.offset
    return eta if not setup.intercept else eta + (intercept if setup.outputs is None else intercept[:, None])


@functools.partial(jax.jit, static_argnames=("setup",))
def prepare(setup: Setup, design: Design, weights: Float[Array, "lanes n"]) -> Lane:
    """Centre, scale and, for squared error without a working set, the Gram matrices, lane by lane."""

    def one(v: Array) -> Lane:
        center, scale = scales(setup, design.X, v, design.free)
        if not _has_gram(setup, design.X.shape[1]):
            return Lane(v, center, scale, None)
        Z = (design.X - center) / scale
        response = v * (design.y - design.offset)
        return Lane(v, center, scale, Gram(Z.T @ (v[:, None] * Z), Z.T @ response, jnp.sum(response)))

    return jax.lax.map(one, weights)


def _has_gram(setup: Setup, p: int) -> bool:
    return isinstance(setup.loss, SquaredError) and setup.bucket >= p and setup.outputs is None


def smooth_part(setup: Setup, design: Design, Z: Array, v: Array, gram: Gram | None) -> Smooth:
    """The data term as a function of z = (coef, intercept) for the columns Z."""
    loss, p = setup.loss, Z.shape[1]
    shape, count = setup.shape(p), p * setup.columns

    def eta(z: Array) -> Array:
        return predictor(setup, Z, z[:count].reshape(shape), z[count:], design.offset)

    def value(z: Array) -> Array:
        return loss(eta(z), design.y, v)

    def grad(z: Array) -> Array:
        slope = loss.grad(eta(z), design.y, v)
        parts = [(Z.T @ slope).ravel()]
        if setup.intercept:
            parts.append(jnp.atleast_1d(jnp.sum(slope, axis=0)))
        return jnp.concatenate(parts)

    def hessian(z: Array, far: Array) -> Array:
        A = jnp.concatenate([Z, jnp.ones((Z.shape[0], 1), Z.dtype)], axis=1) if setup.intercept else Z
        return loss.gram(A, eta(z), design.y, v, far)

    if gram is None:
        return Smooth(value, grad, hessian, loss.bent)
    kappa = curvature_scale(loss, jnp.sum(v))

    def gram_grad(z: Array) -> Array:
        slope = gram.products @ z[:p] - gram.target
        if not setup.intercept:
            return kappa * slope
        # Centred columns are orthogonal to the intercept, whose own curvature is the sum of the weights.
        return kappa * jnp.append(slope, jnp.sum(v) * z[p] - gram.total)

    def gram_hessian(z: Array, far: Array) -> Array:
        del z, far
        if not setup.intercept:
            return kappa * gram.products
        return kappa * jnp.pad(gram.products, (0, 1)).at[-1, -1].set(jnp.sum(v))

    return Smooth(value, gram_grad, gram_hessian)


def curvature_scale(loss: Loss, total: Array) -> Array:
    """The squared error's curvature for weight one, 2cᵢ/vᵢ, from the sum of the weights."""
    return {"sum": jnp.full_like(total, 2.0), "mean": 2.0 / total, "half_mean": 1.0 / total}[loss.reduction]


def bounded(penalty: Penalty, design: Design, scale: Array, outputs: int | None) -> Penalty:
    """The penalty with the bounds on original coefficients written for scaled ones."""
    if design.lower is None or design.upper is None:
        return penalty
    from .._penalties import Box

    factor = scale if outputs is None else scale[:, None]
    lower = jnp.broadcast_to(design.lower * factor, (scale.size,) if outputs is None else (scale.size, outputs))
    upper = jnp.broadcast_to(design.upper * factor, lower.shape)
    return penalty + Box()._with(lower=lower, upper=upper)


@functools.partial(jax.jit, static_argnames=("setup",))
def advance(
    setup: Setup, design: Design, lanes: Lane, penalty: Penalty, lams: Array, points: Point, scale: Array, tol: Array
) -> tuple[Point, Fit]:
    """Move every lane along a chunk of λ; returns where they stand and a Fit with leading axes (lanes, λ).

    Args:
      scale: the size of the gradient at the null model; residuals are relative to it.
      tol: the relative stationarity residual that the solver aims for.
    """

    def one_lane(args: tuple[Lane, Point]) -> tuple[Point, Fit]:
        lane, point = args
        Z = (design.X - lane.center) / lane.scale

        def one_lam(point: Point, lam: Array) -> tuple[Point, Fit]:
            member = bounded(penalty.at(lam), design, lane.scale, setup.outputs)
            solve = _whole if setup.bucket >= design.X.shape[1] else _working_set
            point, overflow = solve(setup, design, Z, lane, member, point, scale, scale * tol)
            factor = lane.scale if setup.outputs is None else lane.scale[:, None]
            coef = point.coef / factor
            intercept = point.intercept - jnp.atleast_1d(lane.center @ coef) if setup.intercept else point.intercept
            if setup.loss.vector and setup.intercept:
                intercept = intercept - jnp.mean(intercept)  # symmetric: a shift of all classes changes nothing
            return point, Fit(coef, intercept, point.coef, overflow)

        return jax.lax.scan(one_lam, point, lams)

    return jax.lax.map(one_lane, (lanes, points))


def _whole(setup: Setup, design: Design, Z: Array, lane: Lane, penalty: Penalty, point: Point, unit: Array, tol: Array):
    smooth = smooth_part(setup, design, Z, lane.weights, lane.gram)
    penalised = Penalised(penalty, point.coef.shape, _unit_of(Z), setup.block)
    z = jnp.concatenate([point.coef.ravel(), point.intercept])
    z, _, _ = minimise(smooth, penalised, z, unit, tol, quadratic=isinstance(setup.loss, SquaredError))
    return Point(*penalised.split(z)), jnp.zeros((), bool)


def _unit_of(Z: Array) -> Array:
    """Of columns in small units, whose gradients are small too: the intercept's rounding would hide them."""
    return jnp.minimum(jnp.max(jnp.abs(Z)), 1)


def _working_set(setup: Setup, design: Design, Z: Array, lane: Lane, penalty: Penalty, point: Point, unit: Array, tol: Array):
    """Solve on a bucket of features, check the stationarity of all, let the blocks of violators in, repeat."""
    assert setup.block is not None  # else there is no working set
    shape, block = point.coef.shape, setup.block
    count, unit_of_z = shape[0] // block, _unit_of(Z)
    most = max(setup.bucket // block, 1)

    def slope(point: Point) -> tuple[Array, Array]:
        eta = predictor(setup, Z, point.coef, point.intercept, design.offset)
        s = setup.loss.grad(eta, design.y, lane.weights)
        return Z.T @ s, jnp.atleast_1d(jnp.sum(s, axis=0)) if setup.intercept else jnp.zeros(0, Z.dtype)

    def violations(point: Point) -> tuple[Array, Array, Array]:
        g, g_intercept = slope(point)
        each = penalty._residual(point.coef, g)
        reached = jnp.sqrt(jnp.sum(each**2) + jnp.sum((unit_of_z * g_intercept) ** 2))
        needed = (point.coef != 0) | penalty.free(point.coef)
        return jnp.max(each.reshape(count, -1), axis=1), jnp.any(needed.reshape(count, -1), axis=1), reached

    def body(carry: tuple[Point, Array, Array, Array]) -> tuple[Point, Array, Array, Array]:
        point, lowest, stalled, rounds = carry
        violation, needed, _ = violations(point)
        _, best = jax.lax.top_k(jnp.where(needed, jnp.inf, violation), most)
        rows = best[:, None] * block + jnp.arange(block)
        chosen = rows.ravel()
        smooth = smooth_part(setup, design, Z[:, chosen], lane.weights, None)
        penalised = Penalised(on_blocks(penalty, rows, shape), setup.shape(chosen.size), unit_of_z, block)
        z = jnp.concatenate([point.coef[chosen].ravel(), point.intercept])
        z, _, _ = minimise(smooth, penalised, z, unit, 0.3 * tol, quadratic=isinstance(setup.loss, SquaredError))
        coef, intercept = penalised.split(z)
        new = Point(jnp.zeros_like(point.coef).at[chosen].set(coef), intercept)
        reached = violations(new)[2]
        return new, jnp.minimum(reached, lowest), jnp.where(reached < 0.7 * lowest, 0, stalled + 1), rounds + 1

    def unfinished(carry: tuple[Point, Array, Array, Array]) -> Array:
        _, lowest, stalled, rounds = carry
        return (lowest > tol) & (stalled < 4) & (rounds < 40)

    start = (point, violations(point)[2], jnp.zeros((), int), jnp.zeros((), int))
    point, *_ = jax.lax.while_loop(unfinished, body, start)
    _, needed, _ = violations(point)
    return point, (jnp.sum(needed) >= most) & (most < count)


def null_point(setup: Setup, p: int, lanes: int, level: Array) -> Point:
    """All coefficients zero and the intercepts at ``level``: where every path starts."""
    columns = setup.columns if setup.intercept else 0
    return Point(jnp.zeros((lanes, *setup.shape(p)), level.dtype), jnp.broadcast_to(level.reshape(-1)[:columns], (lanes, columns)))


def buckets(setup: Setup, p: int, separable: bool) -> list[int]:
    """Working-set sizes (features) to try in turn: all of them where a dense Newton step allows, else growing ones.

    A penalty that is no sum over blocks has no restriction to some features; it is always solved whole. A sum over blocks is so in the
    end, a sum over features stays on the last size, and what that misses is flagged.
    """
    if p * setup.columns <= 1024 or setup.block is None:
        return [p]
    most = max(2048 // setup.columns, 1)
    sizes = {min(size, most, p) for size in (64 // setup.columns + 16, 256, 1024, 2048)}
    return sorted(sizes if separable else {*sizes - {min(sizes)}, p})
