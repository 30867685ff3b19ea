"""Newton's method along a path: the host loop over compiled chunks of λ."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._penalties import L2
from ._blocks import blocks, on_blocks
from ._certificate import Null, facts
from ._engine import Lane, advance, buckets, null_point
from ._inputs import Problem
from ._progress import Teller

CHUNK = 10  # λ a compiled call: short enough to show progress, long enough not to be felt


class Followed(NamedTuple):
    """Of every lane at every λ: leading axes (lanes, λ)."""

    coef: np.ndarray
    intercept: np.ndarray
    scaled: np.ndarray | None  # the coefficients of scaled columns, where the method knows them to the last bit


def follow(problem: Problem, lanes: Lane, null: Null, lams: Any, tol: float, told: Teller) -> Followed:
    """The host loop over chunks of λ: grows the working set when one overflows. ``told`` of lane 0's answers, it may stop early."""
    setup, design = problem.setup, problem.design
    dtype, p = design.X.dtype, design.X.shape[1]
    sizes = buckets(setup, p, problem.penalty.separable)
    points = null_point(setup, p, len(lanes.weights), null.level)
    if not jnp.isfinite(facts(problem.penalty, setup.shape(p), dtype)[1]):
        # Zero is not in the set, and outside of it no residual shows the way: from its nearest point.
        points = points._replace(coef=jnp.broadcast_to(problem.penalty.prox(points.coef[0]), points.coef.shape))
    # The gap is of the residual's first order at worst; aiming four digits below tol costs a Newton step or none.
    aim = jnp.asarray(max(1e-4 * tol, 16 * float(jnp.finfo(dtype).eps)), dtype)
    unit = null.size
    steps, wanted = _stepping_stones(np.asarray(lams), float(null.lambda_max))
    total, chunk = len(steps), CHUNK
    parts: list[Followed] = []
    found = 0
    for start in range(0, total, chunk):
        part = jnp.asarray(part_of(steps, start, chunk))
        moved, fit = advance(setup, design, lanes, problem.penalty, part, points, unit, aim)
        while setup.bucket < p and sizes.index(setup.bucket) + 1 < len(sizes) and bool(jnp.any(fit.overflow)):
            setup = setup._replace(bucket=sizes[sizes.index(setup.bucket) + 1])
            moved, fit = advance(setup, design, lanes, problem.penalty, part, points, unit, aim)
        points = moved
        kept = np.flatnonzero(wanted[start : start + chunk])
        parts.append(Followed(*(np.asarray(x)[:, kept] for x in (fit.coef, fit.intercept, fit.scaled))))
        found += len(kept)
        if told(found, parts[-1].coef[0].reshape(len(kept), p * setup.columns)) and found:
            break
    return Followed(*(np.concatenate(column, axis=1) for column in zip(*parts, strict=True)))


class InBlocks(NamedTuple):
    """A problem whose features are block by block, of one size each; columns of zeros fill the smaller blocks."""

    problem: Problem
    places: np.ndarray | None  # of the features among them; None where they were there

    def original(self, found: Followed) -> Followed:
        """Answers of the problem with its features where they were."""
        if self.places is None:
            return found
        assert found.scaled is not None  # Newton's method knows them
        return found._replace(coef=found.coef[:, :, self.places], scaled=found.scaled[:, :, self.places])


def in_blocks(problem: Problem) -> InBlocks:
    """For ``Setup.block``; a problem of a penalty without blocks is left as it is."""
    setup, design, penalty = problem.setup, problem.design, problem.penalty
    p = design.X.shape[1]
    shape = setup.shape(p)
    table = blocks(penalty, shape)
    if table is None or np.array_equal(table.ravel(), np.arange(p)):
        return InBlocks(problem, None)
    features = table.ravel()

    def at(of_features: Any, fill: Any) -> Any:
        return None if of_features is None else of_features.at[features].get(mode="fill", fill_value=fill)

    X = design.X.at[:, features].get(mode="fill", fill_value=0)
    design = design._replace(X=X, free=at(design.free, False), lower=at(design.lower, -np.inf), upper=at(design.upper, np.inf))
    setup = setup._replace(bucket=buckets(setup, features.size, separable=False)[0])
    ordered = problem._replace(setup=setup, design=design, penalty=on_blocks(penalty, jnp.asarray(table), shape))
    return InBlocks(ordered, np.argsort(features, kind="stable")[:p])


class RowSpace(NamedTuple):
    """An L2 problem of many features in m <= n numbers: none of the features is ever zero, but w lies in the span of the rows.

    With ``X/√a = RQᵀ``, Q orthonormal, the penalty ``Σa·w²`` of ``w = Qu/√a`` is ``Σu²``, and the m columns of R take
    the features' place.
    """

    problem: Problem
    null: Null
    mix: Float[Array, "m m"]  # Qᵀ√a is mix·base
    base: Float[Array, "m p"]
    a: Float[Array, "p"]

    def of(self, coef: np.ndarray) -> np.ndarray:
        """u of w, at axis 2."""
        return np.asarray(_turned(jnp.moveaxis(jnp.asarray(coef), 2, -1), self.base.T, self.mix.T, jnp.ones(())))

    def original(self, coef: np.ndarray) -> np.ndarray:
        """w of u, at axis 2."""
        return np.asarray(_turned(jnp.moveaxis(jnp.asarray(coef), 2, -1), self.mix, self.base, self.a))


@jax.jit
def _turned(rows: Array, first: Array, second: Array, divisor: Array) -> Array:
    return jnp.moveaxis(rows @ first @ second / divisor, -1, 2)


def row_space(problem: Problem, a: Any, null: Null, tol: float) -> RowSpace:
    """The reduced problem; Q is as near to orthonormal as a gap far below ``tol`` asks."""
    design, setup, a = problem.design, problem.setup, jnp.asarray(a)
    found = _by_cholesky(design.X, a) if design.X.shape[0] < design.X.shape[1] else None
    # Gradients are off by that share of the penalty's, gaps by its square.
    if found is not None and float(found[2]) <= 0.01 * np.sqrt(tol):
        rows, mix, base = found[0], found[1], design.X
    else:
        rows, base = _by_qr(design.X, a)
        mix = jnp.eye(rows.shape[1], dtype=rows.dtype)
    n = rows.shape[1]
    reduced = problem._replace(
        setup=setup._replace(bucket=n, block=1),
        design=design._replace(X=rows, free=jnp.zeros(n, bool)),
        penalty=L2(1.0),
        free=np.zeros(n, bool),
    )
    slope = _reduced(mix, base, a, null.slope)
    return RowSpace(reduced, null._replace(slope=slope), mix, base, a)


@jax.jit
def _reduced(mix: Array, base: Array, a: Array, slope: Array) -> Array:
    return mix @ (base @ (slope.T / a).T)


@jax.jit
def _by_cholesky(X: Float[Array, "n p"], a: Float[Array, "p"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"], Array]:
    """(R, R⁻¹, about what QᵀQ lacks to the identity), with ``Qᵀ = R⁻¹X/√a``."""
    A = X / jnp.sqrt(a)
    K = A @ A.T
    R = jnp.linalg.cholesky(K)
    inverse = jax.scipy.linalg.solve_triangular(R, jnp.eye(len(R), dtype=R.dtype), lower=True)
    condition = jnp.linalg.norm(K, 1) * jnp.linalg.norm(inverse.T @ inverse, 1)
    return R, inverse, jnp.finfo(K.dtype).eps * condition


@jax.jit
def _by_qr(X: Float[Array, "n p"], a: Float[Array, "p"]) -> tuple[Float[Array, "n m"], Float[Array, "m p"]]:
    """(R, Qᵀ√a)."""
    root = jnp.sqrt(a)
    Q, R = jnp.linalg.qr((X / root).T)
    return R.T, (Q * root[:, None]).T


def _stepping_stones(lams: np.ndarray, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """(λ to pass through, which of them were asked for): no step down by more than a factor of 3.

    A far jump starts Newton's method and the working set far from their answer. The way there from the null model is
    short: ten stones for five orders of magnitude.
    """
    out: list[float] = []
    wanted: list[bool] = []
    before = largest if np.isfinite(largest) else float(lams[0])
    for lam in lams:
        # λ = 0 is approached until what is left of the penalty is small beside everything else.
        goal = max(float(lam), 1e-6 * largest) if np.isfinite(largest) else float(lam)
        if 0 < goal < before:
            count = int(np.ceil(np.log(before / goal) / np.log(3.0) - 1e-9))
            stones = np.geomspace(before, goal, count + 1)[1:-1] if lam > 0 else np.geomspace(before, goal, count + 1)[1:]
            out.extend(stones)
            wanted.extend([False] * len(stones))
        out.append(float(lam))
        wanted.append(True)
        before = min(before, float(lam)) if lam > 0 else 0.0
    return np.asarray(out, lams.dtype), np.asarray(wanted)


def part_of(rows: Any, start: int, size: int) -> Any:
    """``size`` rows from ``start`` on, the last one repeated where they run out."""
    return np.asarray(rows)[np.minimum(np.arange(start, start + size), len(rows) - 1)]
