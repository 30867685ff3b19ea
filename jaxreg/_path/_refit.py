"""Fits without a penalty on given supports: masked Newton steps, many supports of one size in one compiled call.

The columns of a support are gathered into a bucket of fixed size, centred and scaled to unit standard deviation. Where they are
linearly dependent, the step leads to the minimiser of least norm in these units, through the Hessian's eigenvectors.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._penalties import Zero
from ..losses import SquaredError
from ._certificate import Null
from ._engine import Design, Setup, predictor, scales, scales_of, smooth_part
from ._follow import CHUNK, part_of
from ._inputs import Problem
from ._newton import Smooth, minimise
from ._penalised import Penalised

_FEW, _GROWTH = 64, 4  # features in the smallest bucket, and from one to the next: each is compiled anew
_STEPS = 50
_STALLED = 3  # steps without progress that end it: rounding rules
_STILL = 1e-3  # of the predictors' size: a last step above this has led nowhere yet, however small the gradient


class Refits(NamedTuple):
    """Leading axes (lanes, lams); original scale, as NumPy arrays."""

    coef: np.ndarray
    intercept: np.ndarray  # (lanes, L, T or 0)
    kkt: np.ndarray  # norm of the gradient on the support, relative to the null model's
    rank: np.ndarray  # of the support's columns, summed over targets or classes
    converged: np.ndarray  # kkt within tol, and Newton's method did not run towards infinity
    deviance_ratio: np.ndarray  # share of the null model's loss that is explained


class Jobs(NamedTuple):
    """One support of one lane and, unless the loss takes all classes at once, of one target."""

    lane: Int[Array, "k"]
    target: Int[Array, "k"]
    places: Int[Array, "k b"]  # features; p where there is none
    inside: Array  # (k, b) or (k, b, classes) bool: the coefficients that are fitted
    coef: Array  # where to start
    intercept: Float[Array, "k t"]


def refit(problem: Problem, weights: np.ndarray, coef: np.ndarray, intercept: np.ndarray, null: Null, tol: float) -> Refits:
    """Minimise the loss over the coefficients that are not zero (or carry no penalty), for each lane and λ.

    Args:
      weights: (lanes, n).
      coef, intercept: (lanes, L, p[, T]) and (lanes, L, T or 0): the answers whose supports count, and where to start.
    """
    setup, design = problem.setup, problem.design
    dtype, p = design.X.dtype, design.X.shape[1]
    several = setup.outputs is not None and not setup.loss.vector
    support = np.logical_or(coef != 0, problem.free if setup.outputs is None else problem.free[:, None])
    mask, start = (np.moveaxis(x, -1, 2) if several else x[:, :, None] for x in (support, coef))
    shape = mask.shape[:3]  # (lanes, L, targets or 1)
    mask, start = np.asarray(mask).reshape(-1, *mask.shape[3:]), start.reshape(-1, *start.shape[3:])
    level = intercept.reshape(len(mask), -1)
    lane, _, target = (x.ravel() for x in np.indices(shape))
    # Neighbouring λ often share their support: it is fitted once.
    code = np.column_stack([lane, target, np.packbits(mask.reshape(len(mask), -1), axis=1)])
    first, same = np.unique(code, axis=0, return_index=True, return_inverse=True)[1:]
    rows: Any = mask[first].reshape(len(first), p, -1).any(axis=2)
    sizes = rows.sum(axis=1)
    frames = [_frame(setup, design, jnp.asarray(v, dtype)) for v in weights]
    lanes = jnp.asarray(weights, dtype), *(jnp.stack(x) for x in zip(*frames, strict=True))
    one = setup if setup.loss.vector else setup._replace(outputs=None)
    aim = jnp.asarray(max(1e-3 * tol, 64 * float(jnp.finfo(dtype).eps)), dtype)

    new = np.zeros((len(first), *start.shape[1:]), dtype)
    new_level = np.zeros((len(first), level.shape[1]), dtype)
    rank, settled = np.zeros(len(first), int), np.zeros(len(first), bool)
    below = -1
    for bucket in _buckets(p):
        chosen = np.flatnonzero((sizes > below) & (sizes <= bucket))
        below = bucket
        for begin in range(0, len(chosen), CHUNK):
            at = part_of(chosen, begin, CHUNK)
            places = np.argsort(~rows[at], axis=1, kind="stable")[:, :bucket]  # the support first
            pick = (first[at][:, None], places)
            inside = mask[pick]
            here = np.where(np.take_along_axis(rows[at], places, axis=1), places, p)
            job = (lane[first[at]], target[first[at]], here, inside, np.where(inside, start[pick], 0), level[first[at]])
            jobs = Jobs(*(jnp.asarray(x) for x in job))
            found = [np.asarray(x) for x in _newton(one._replace(bucket=bucket), design, lanes, jobs, null.size, aim)]
            new[at[:, None], places] = np.where(inside, found[0], 0)
            new_level[at], rank[at], settled[at] = found[1:]
    same = same.reshape(shape)
    found_coef = np.moveaxis(new[same], 2, -1) if several else new[same][:, :, 0]
    found_intercept = new_level[same].reshape(intercept.shape)
    scale = jnp.asarray(scales_of(setup, design, weights))
    kkt, value = (np.asarray(x) for x in _certify(setup, design, lanes[0], scale, null.size, support, found_coef, found_intercept))
    explained = (float(null.loss) - value) / float(null.unit)
    return Refits(found_coef, found_intercept, kkt, rank[same].sum(axis=2), settled[same].all(axis=2) & (kkt <= tol), explained)


def _buckets(p: int) -> list[int]:
    sizes = [_FEW]
    while sizes[-1] < p:
        sizes.append(_GROWTH * sizes[-1])
    return [*sizes[:-1], p]


@functools.partial(jax.jit, static_argnames=("setup",))
def _frame(setup: Setup, design: Design, v: Float[Array, "n"]) -> tuple[Array, Array]:
    return scales(setup._replace(standardize=True), design.X, v, design.free)


@functools.partial(jax.jit, static_argnames=("setup",))
def _newton(
    setup: Setup, design: Design, lanes: tuple[Array, Array, Array], jobs: Jobs, unit: Array, aim: Array
) -> tuple[Array, Array, Array, Array]:
    """(coefficients (k, b[, classes]), intercepts, ranks, whether settled), one job after the other.

    Args:
      unit: the size of the gradient at the null model.
      aim: the residual to reach, in these units.
    """
    eps = jnp.finfo(design.X.dtype).eps
    quadratic = isinstance(setup.loss, SquaredError)

    def one(job: Jobs) -> tuple[Array, Array, Array, Array]:
        v, center, scale = (x[job.lane] for x in lanes)
        center, scale = (x.at[job.places].get(mode="fill", fill_value=fill) for x, fill in ((center, 0.0), (scale, 1.0)))
        Z = (design.X.at[:, job.places].get(mode="fill", fill_value=0) - center) / scale
        several = design.y.ndim == 2 and not setup.loss.record
        data = design._replace(y=design.y[:, job.target], offset=design.offset[:, job.target]) if several else design
        smooth = smooth_part(setup, data, Z, v, None)
        spread = scale if setup.outputs is None else scale[:, None]
        level = job.intercept + center @ job.coef if setup.intercept else job.intercept
        z = jnp.concatenate([(job.coef * spread).ravel(), level])
        count = job.coef.size
        inside = jnp.concatenate([job.inside.ravel(), jnp.ones(level.shape, bool)])

        def eta(z: Array) -> Array:
            return predictor(setup, Z, z[:count].reshape(job.coef.shape), z[count:], data.offset)

        def slope(z: Array) -> Array:
            return jnp.where(inside, smooth.grad(z), 0)

        def hessian(z: Array, far: Array) -> Array:
            return jnp.where(inside[:, None] & inside, smooth.hessian(z, far), 0)

        def target(z: Array, g: Array, far: Array) -> tuple[Array, Array]:
            """Where the model has its minimum, and its rank on the support."""
            H = hessian(z, far)
            top = jnp.max(jnp.where(inside, jnp.diagonal(H), 0), initial=0.0)
            top = jnp.where(top > 0, top, 1)
            H = H / top + jnp.diag(jnp.where(inside, 0.0, 1.0))
            factor = jnp.linalg.cholesky(H)
            slack = z.size * eps
            regular = jnp.min(jnp.diagonal(factor), initial=1.0) ** 2 > slack  # false for NaN

            def dependent() -> tuple[Array, Array]:
                values, vectors = jnp.linalg.eigh(H)
                kept = values > slack * jnp.max(values, initial=0.0)
                parts = vectors.T @ z - jnp.where(kept, vectors.T @ (g / top) / jnp.where(kept, values, 1), 0)
                return vectors @ jnp.where(kept, parts, 0), jnp.sum(kept) - jnp.sum(~inside)

            def independent() -> tuple[Array, Array]:
                return z - jax.scipy.linalg.cho_solve((factor, True), g / top), jnp.sum(inside)

            to, rank = jax.lax.cond(regular, independent, dependent)
            return jnp.where(inside, to, 0), rank

        def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
            z, best, champion, moved, least, stalled, count = carry
            g = slope(z)
            to, rank = target(z, g, jnp.zeros_like(best))
            if not quadratic:
                value = smooth.value(z)
                room = 16 * eps * jnp.abs(value)
                t = jax.lax.while_loop(
                    lambda t: ~(smooth.value(z + t * (to - z)) <= value + room) & (t > 1e-6), lambda t: t / 2, jnp.ones((), z.dtype)
                )
                to = jnp.where(t > 1e-6, z + t * (to - z), z)
            size = jnp.max(jnp.abs(eta(to) - eta(z))) / (1 + jnp.max(jnp.abs(eta(to))))
            reached = jnp.linalg.norm(slope(to))
            better = (reached < best) | (count == 0)  # the first step decides which of many minimisers it is
            stalled = jnp.where((reached < 0.7 * best) | (count == 0), 0, stalled + 1)
            moved = jnp.where(better, size, moved)
            return (
                to,
                jnp.where(better, reached, best),
                jnp.where(better, to, champion),
                moved,
                jnp.minimum(least, rank),
                stalled,
                count + 1,
            )

        def unfinished(carry: tuple[Array, ...]) -> Array:
            _, best, _, moved, _, stalled, count = carry
            restless = False if quadratic else moved > _STILL
            return ((best > aim * unit) | restless) & (stalled < _STALLED) & (count < _STEPS)

        # With a majorizer's curvature, where there is one: the rank is that of the columns.
        first = jnp.sum(inside) if quadratic else target(z, slope(z), jnp.ones((), z.dtype))[1]
        if setup.loss.bent:
            # Kinks in the gradient need the more careful search of the path's own method.
            masked = Smooth(smooth.value, slope, hessian, bent=True)
            z = minimise(masked, Penalised(Zero(), job.coef.shape), z, unit, aim * unit, quadratic=False)[0]
            rank, settled = first, jnp.ones((), bool)
        else:
            none = jnp.zeros((), int)
            begin = (z, jnp.linalg.norm(slope(z)), z, jnp.full((), jnp.inf, z.dtype), jnp.sum(inside), none, none)
            _, _, z, moved, rank, _, _ = jax.lax.while_loop(unfinished, body, begin)
            # Where curvature has vanished on the way, so has the last step there.
            settled = (moved <= _STILL) & (rank == first) | quadratic
        coef = z[:count].reshape(job.coef.shape) / spread
        level = z[count:] - center @ coef if setup.intercept else z[count:]
        level = level - jnp.mean(level) if setup.loss.vector and setup.intercept else level
        return coef, level, rank - setup.intercept * (setup.columns - setup.loss.vector), settled

    return jax.lax.map(one, jobs)


@functools.partial(jax.jit, static_argnames=("setup",))
def _certify(
    setup: Setup, design: Design, weights: Array, scale: Array, unit: Array, support: Array, coef: Array, intercept: Array
) -> tuple[Array, Array]:
    """(relative residual, value of the data term), each (lanes, L), from X and y."""

    def one_lane(args: tuple[Array, ...]) -> tuple[Array, Array]:
        v, size, *answers = args

        def one(at: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            inside, w, b = at
            eta = predictor(setup, design.X, w, b, design.offset)
            s = setup.loss.grad(eta, design.y, v)
            g = jnp.where(inside, design.X.T @ s / (size if setup.outputs is None else size[:, None]), 0)
            level = jnp.sum(s, axis=0) if setup.intercept else jnp.zeros((), s.dtype)
            return jnp.sqrt(jnp.sum(g**2) + jnp.sum(level**2)) / unit, setup.loss(eta, design.y, v)

        return jax.lax.map(one, tuple(answers), batch_size=CHUNK)

    return jax.lax.map(one_lane, (weights, scale, support, coef, intercept))
