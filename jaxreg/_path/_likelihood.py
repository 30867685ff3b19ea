"""Smooth losses of one linear predictor with an elastic-net penalty and bounds: what ``_proximal_newton`` solves, lane by lane."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._penalties import Penalty
from ..losses import SquaredError
from . import _conjugate, _together
from ._certificate import Null
from ._columns import Rows, Sparse, SparseRows, in_float32
from ._elastic import Strengths, of_penalty, unscaled
from ._engine import Design, Setup, scales_of, spreads
from ._progress import Teller, stacked
from ._proximal_newton import Columns, Likelihood
from ._together import CHUNK, Aim

_FIRM = 1e-8  # share of the loss's curvature that a penalty adds, from which on a minimiser is told from others
_SMALL = 256, 512  # coefficients up to which all are members from the start: in any case, and where there are as many rows
_MANY, _ROOM = 25, 1 << 22  # λ solved as one program where nobody has to join, if all their predictions are no more numbers than this


def strengths(setup: Setup, design: Design, penalty: Penalty) -> Strengths | None:
    """What the penalty is in one target's coefficients, (p,) or (p, T); None where the penalty or the loss is another.

    The squared error, which has better methods, is taken of a sparse X alone.
    """
    loss = setup.loss
    if (isinstance(loss, SquaredError) and not isinstance(design.X, Sparse)) or loss.vector or loss.bent or loss.coupled:
        return None
    return of_penalty(setup, design, penalty)


def fit(
    setup: Setup,
    design: Design,
    weights: np.ndarray,
    penalty: Strengths,
    lams: np.ndarray,
    null: Null,
    tol: float,
    told: Teller,
    before: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(coefficients, intercepts, scales) of each lane (row of weights) at every λ (decreasing), as ``_lasso.fit`` takes them.

    Args:
      null: the model at which paths start; residuals are measured in units of its gradient.
      before: the lanes' coefficients and intercepts that missed ``tol`` for all that was expected: from there on to the finest residuals.
    """
    dtype = design.X.dtype
    finest = np.asarray(max(1e-3 * tol, 8 * float(jnp.finfo(dtype).eps)), dtype)
    whole = weights.max(axis=0)  # of all lanes: what is constant there is so in each
    frame, rows, constant = _standardised(setup, design, jnp.asarray(whole))
    coarse = in_float32(rows)
    own = scales_of(setup, design, weights)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for lane, v in enumerate(weights):
        if lane and told.stopped():
            break
        answers = []
        if isinstance(rows, SparseRows):
            silent = np.zeros(design.X.shape[1], bool)
        else:
            silent = np.asarray(_silent(setup, rows, v) if (whole[v == 0] > 0).any() else constant)
        for target, (one, of_one, strength, tilt) in enumerate(by_target(setup, design, penalty, null.slope)):
            size = jnp.linalg.norm(tilt * jnp.asarray(own[0]) / frame[1])
            size = jnp.where(size > 0, size, 1)
            columns = _columns(one, of_one, strength, frame, own[lane], jnp.asarray(v))._replace(rows=rows, coarse=coarse)
            similar = (found[0] if lane else None) if before is None else (before[0][lane], before[1][lane])
            near = None if similar is None else _units(one, frame, *(x[..., target] for x in _apart(setup, *similar)))
            if silent.any():  # beside the intercept any coefficient of theirs would do
                columns = columns._replace(low=columns.low.at[: silent.size].set(jnp.where(silent, 0, columns.low[: silent.size])))
                columns = columns._replace(up=columns.up.at[: silent.size].set(jnp.where(silent, 0, columns.up[: silent.size])))
            smooth = design.lower is None and not (np.asarray(strength.a) > 0).any() and not silent.any()
            a, b = np.asarray(columns.a), np.asarray(columns.b)
            least = np.min(b[(a > 0) | (b > 0)], initial=np.inf)
            aim = Aim(tol if before is None else 0.0, null.unit / setup.columns, finest, least if np.isfinite(least) else 0.0, size)
            aim = jax.tree.map(lambda x: jnp.asarray(x, dtype), aim)
            work = Likelihood(setup.loss, smooth, columns, aim)
            few = work.size <= max(_SMALL[0], min(_SMALL[1], design.X.shape[0]))
            free = np.arange(work.size) if few else np.flatnonzero(a == 0)
            origin = np.zeros(work.size, dtype)
            origin[design.X.shape[1] :] = np.atleast_1d(null.level)[target]
            if near is not None and before is None:
                # Where it is one of many, a fold's minimiser would be the one that knows the held-out rows.
                own_bend = float(jnp.sum(setup.loss.curvature(of_one.offset + origin[-1] * setup.intercept, of_one.y, jnp.asarray(v))))
                penalised = np.append(~silent, np.zeros(int(setup.intercept), bool))
                firm = lams > 0 if (a[penalised] > 0).all() else lams * b[penalised].min(initial=np.inf) > _FIRM * own_bend
                near = near if firm.all() else None
            many = few and before is None and _MANY * design.X.shape[0] <= _ROOM
            chunk = max(-(-len(lams) // -(-len(lams) // _MANY)), CHUNK) if many else CHUNK
            of_target = told.part(lane, len(weights)).part(target, setup.columns)._replace(features=design.X.shape[1])
            if smooth and isinstance(rows, SparseRows):
                units = _conjugate.follow(setup.loss, columns, lams, aim, of_target, near, origin)
            else:
                units = _together.follow(work, free, lams, of_target, near, origin, chunk)
            answers.append([np.asarray(x) for x in _original(one, of_one, frame, jnp.asarray(units))])
            if told.stopped():
                break
        if len(answers) < setup.columns or len({len(coef) for coef, _ in answers}) > 1:  # in the middle of several targets
            if not lane:
                raise KeyboardInterrupt  # of all rows nothing is whole
            break
        found.append(_side_by_side(setup, answers))
    coef, intercept = stacked(found, len(lams))
    return coef, intercept, own[: len(coef)]


@functools.partial(jax.jit, static_argnames=("setup",))
def _silent(setup: Setup, rows: Float[Array, "size n"], v: Float[Array, "n"]) -> Bool[Array, "p"]:
    """Columns that are constant where a lane has weight, or zero without an intercept."""
    own = rows[: rows.shape[0] - setup.intercept]
    high, low = (jnp.max(jnp.where(v > 0, x, -jnp.inf), axis=1) for x in (own, -own))
    size = jnp.maximum(jnp.abs(high), jnp.abs(low))
    return high + low <= 64 * jnp.finfo(rows.dtype).eps * size if setup.intercept else size <= 0


def by_target(setup: Setup, design: Design, penalty: Any, slope: Array) -> Iterator[tuple[Setup, Design, Any, Array]]:
    """A penalty that is a sum over coefficients leaves nothing that targets share: a problem for each, with its part of every strength."""
    if setup.outputs is None:
        yield setup, design, penalty, slope
        return
    for t in range(setup.outputs):

        def of(x: Any, t: int = t) -> Any:
            return x[:, min(t, x.shape[1] - 1)] if np.ndim(x) == 2 else x

        one = design._replace(y=of(design.y), offset=of(design.offset), lower=of(design.lower), upper=of(design.upper))
        yield setup._replace(outputs=None), one, jax.tree.map(of, penalty), of(slope)


def _side_by_side(setup: Setup, answers: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (L, p[, T]) and intercepts (L, T or 0) from each target's."""
    if setup.outputs is None:
        return answers[0][0], answers[0][1]
    return np.stack([coef for coef, _ in answers], axis=-1), np.concatenate([intercept for _, intercept in answers], axis=1)


def _apart(setup: Setup, coef: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (L, p, T) and intercepts (L, 1 or 0, T)."""
    apart = intercept[:, None] if setup.intercept else np.zeros((len(coef), 0, setup.columns), coef.dtype)
    return coef.reshape(*coef.shape[:2], setup.columns), apart


@functools.partial(jax.jit, static_argnames=("setup",))
def _standardised(setup: Setup, design: Design, v: Float[Array, "n"]) -> tuple[tuple[Array, Array], Rows, Bool[Array, "p"]]:
    """((means, deviations), the columns in those units as rows, which of them say nothing) under weights v."""
    mean, spread, size = spreads(design.X, v)
    center = mean if setup.intercept else jnp.zeros_like(mean)
    # Rounding is all that centring leaves of a constant column.
    flat = spread <= 64 * jnp.finfo(mean.dtype).eps * size
    scale = jnp.where(flat, 1.0, spread)
    constant = flat if setup.intercept else size <= 0
    factor = jnp.where(constant, 0.0, 1 / scale)
    if isinstance(design.X, Sparse):
        factor, shift = (jnp.append(x, x_last)[: scale.size + setup.intercept] for x, x_last in ((factor, 0.0), (-factor * center, 1.0)))
        rows = SparseRows(design.X.columns, design.X.rows, factor, shift, jnp.ones(design.X.shape[0], scale.dtype))
    else:
        rows = (design.X - center).T * factor[:, None]
        rows = jnp.concatenate([rows, jnp.ones((1, rows.shape[1]), rows.dtype)]) if setup.intercept else rows
    return (center, scale), rows, constant


@functools.partial(jax.jit, static_argnames=("setup",))
def _columns(setup: Setup, design: Design, penalty: Strengths, frame: tuple[Array, Array], own: Array, v: Array) -> Columns:
    """Without the rows, which a program would copy."""
    ratio, scale = (own if setup.standardize else 1.0) / frame[1], frame[1]

    def full(x: Array, fill: float) -> Array:
        return jnp.append(x, jnp.asarray(fill, x.dtype)) if setup.intercept else x

    low = jnp.full_like(scale, -jnp.inf) if design.lower is None else design.lower * scale
    up = jnp.full_like(scale, jnp.inf) if design.upper is None else design.upper * scale
    a, b = full(penalty.a * ratio, 0.0), full(penalty.b * ratio**2, 0.0)
    return Columns(None, None, design.y, design.offset, v, a, b, full(low, -jnp.inf), full(up, jnp.inf))


def _units(setup: Setup, frame: tuple[Array, Array], coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Answers on the original scale as coefficients of the rows."""
    center, scale = (np.asarray(x) for x in frame)
    return np.concatenate([coef * scale, intercept + coef @ center[:, None]], axis=1) if setup.intercept else coef * scale


@functools.partial(jax.jit, static_argnames=("setup",))
def _original(setup: Setup, design: Design, frame: tuple[Array, Array], found: Float[Array, "L size"]) -> tuple[Array, Array]:
    center, scale = frame
    coef = unscaled(design, found[:, : scale.size], scale)
    return coef, found[:, scale.size :] - (coef @ center[:, None] if setup.intercept else 0.0)
