"""Certificates of a path, computed from X and y and apart from the solver: duality gap and stationarity residual.

With F the data term in the linear predictor and Ω the penalty, weak duality (Fenchel) says, for every ν with Aᵀν = 0 on
the columns A that carry no penalty,

    min_w F(Xw + o) + Ω(w)  >=  ⟨ν, o⟩ − F*(ν) − Ω*(−Xᵀν).

ν is F's gradient at the answer, moved onto Aᵀν = 0 by the Newton step of the unpenalised coordinates (which keeps it in F*'s
domain) and, where Ω* needs it, shrunk until −Xᵀν is feasible. Where F* has no closed form an upper bound of it takes its place. The
gap is reported relative to the null model's loss.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._dtypes import on_device
from .._penalties import Penalty, UnknownOperation
from ..losses import Loss, SquaredError
from ..losses._base import gram_of
from ._columns import Matrix, Sparse, dense_columns, over_rows, pulls
from ._engine import Design, Setup, all_predictors, bounded
from ._known import ask
from ._moments import Moments, Origin, SquaredSums, at_null, squared_sums


class Null(NamedTuple):
    """The model with every penalised coefficient at zero and the others at their best."""

    loss: Array
    saturated: Array  # the smallest loss that any predictors give; from it deviances are measured
    unit: Array  # the difference: the unit of gaps
    level: Array  # mean of its predictor beyond the offset, () or (T,): about its intercept, where paths start
    slope: Array  # gradient there with respect to scaled coefficients
    size: Array  # its norm: the unit of stationarity residuals
    lambda_max: Array  # the smallest λ whose solution is all zero; ridge: the elastic net's at l1_ratio 1e-3
    smooth: Array  # whether that substitute was needed
    push: Array  # Σ|s| of the gradient s in its predictor, () or (T,): of its rounding a sum of s that should be 0 consists


class Certificate(NamedTuple):
    """For each λ: relative duality gap (NaN where undefined), relative stationarity residual, value of the data term."""

    gap: Any
    kkt: Any
    loss: Any


def free_columns(setup: Setup, X: Matrix, free: np.ndarray) -> Array:
    """The columns that carry no penalty: the intercept's ones, and those marked free."""
    ones = [np.ones((X.shape[0], 1), X.dtype)] if setup.intercept else []
    if not free.any():
        return on_device(ones[0] if ones else np.ones((X.shape[0], 0), X.dtype))
    columns = dense_columns(X, free)
    # Another basis of the same space, in which no column is small or nearly constant: a pseudo-inverse judges by size.
    if setup.intercept:
        columns = columns - jnp.mean(columns, axis=0)
    size = jnp.sqrt(jnp.mean(columns**2, axis=0))
    return jnp.concatenate([*ones, columns / jnp.where(size > 0, size, 1)], axis=1)


def _blurred(loss: Loss, eta: Array, y: Array, v: Array) -> Array:
    """|H|·|η| of the loss's Hessian H: a rounding of η in units of ε, as the gradient feels it."""
    if eta.ndim == 1:
        return jnp.abs(loss.product(jnp.abs(eta)[:, None], eta, y, v))[:, 0]
    if not loss.vector:  # targets know nothing of each other: no blocks, of which most would be zeros
        return jax.vmap(functools.partial(_blurred, loss, v=v), in_axes=1, out_axes=1)(eta, y)
    return jnp.einsum("ist,it->is", jnp.abs(loss.blocks(eta, y, v)), jnp.abs(eta))


def _inverse(H: Float[Array, "q q"]) -> Float[Array, "q q"]:
    """The pseudo-inverse: a constant column beside the intercept, or the shift of all classes, makes H singular.

    Of one number, as mostly, without the eigenvalues that take longer to compile than all the rest.
    """
    return jnp.where(H > 0, 1 / jnp.where(H > 0, H, 1), 0) if H.size == 1 else jnp.linalg.pinv(H, hermitian=True)


def _free_step(loss: Loss, A: Array, slope: Array, eta: Array, y: Array, v: Array, far: Any = 0.0) -> tuple[Array, Array]:
    """The Newton step of the unpenalised coordinates: (what it takes off η, the gradient it leaves behind), both of η's shape."""
    q, columns = A.shape[1], slope.size // slope.shape[0]
    if not q:
        return jnp.zeros_like(slope), slope
    if columns == 1:  # the same, as plain matrix products
        bent = loss.product(A, eta, y, v, far)
        move = _inverse(A.T @ bent) @ (A.T @ slope)
        return A @ move, slope - bent @ move
    if not loss.vector:
        return jax.vmap(lambda slope, eta, y: _free_step(loss, A, slope, eta, y, v, far), in_axes=1, out_axes=1)(slope, eta, y)
    blocks = loss.blocks(eta, y, v, far)
    hessian = gram_of(A, blocks)
    move = (_inverse(hessian) @ (A.T @ slope).ravel()).reshape(q, columns)
    change = A @ move
    return change, slope - jnp.einsum("ist,it->is", blocks, change)


def constant_curvature(setup: Setup) -> bool:
    """Whether nothing but the gradient depends on η: many λ are then certified in one pass over the rows."""
    return isinstance(setup.loss, SquaredError) and setup.outputs is None


@functools.partial(jax.jit, static_argnames=("setup",))
def null_model(
    setup: Setup,
    design: Design,
    v: Float[Array, "n"],
    scale: Float[Array, "p"],
    A: Float[Array, "n q"],
    penalty: Penalty,
    moments: Moments | None = None,
) -> Null:
    """Fit the unpenalised coordinates alone.

    The ``moments`` of the squared error of one target, lane 0 of them under weights v, save a pass over X; no feature is free then.
    """
    loss, y = setup.loss, design.y
    eta = _without_penalised(loss, A, design.offset, y, v) if A.shape[1] else design.offset
    factor = scale if setup.outputs is None else scale[:, None]
    left = _free_step(loss, A, loss.grad(eta, y, v), eta, y, v)[1]
    # What the rounding of these sums, and of η in them, can account for is zero: a constant column explains nothing.
    blur = _blurred(loss, eta, y, v)
    terms = jnp.abs(loss.grad(eta, y, v)) + blur
    if moments is not None:
        slope, sums = at_null(setup, moments, v, terms)
    elif isinstance(design.X, Sparse):
        slope, sums = design.X.T @ left, abs(design.X).T @ terms
    else:
        slope, sums = over_rows(design.X, (left, terms), lambda x, left, terms: ((left.T @ x).T, (terms.T @ jnp.abs(x)).T))
    slope, noise = slope / factor, 8 * jnp.finfo(slope.dtype).eps * sums / factor
    slope = jnp.where(jnp.abs(slope) <= noise, 0, slope)
    value, size = loss(eta, y, v), jnp.sqrt(jnp.sum(slope**2))
    best = loss.least(eta, y, v)
    # Units of the certificates: where the null model is perfect but for rounding they are absolute.
    eps = jnp.finfo(value.dtype).eps
    rounding = 64 * eps * jnp.abs(best) + jnp.sum(blur * (64 * eps) ** 2 * jnp.abs(eta))
    unit = jnp.where(value - best > rounding, value - best, 1)
    level = v @ (eta - design.offset) / jnp.sum(v)
    push = jnp.sum(jnp.abs(loss.grad(eta, y, v)), axis=0)
    return Null(value, best, unit, level, slope, jnp.where(size > 0, size, 1), *_largest(penalty, slope), push)


def _without_penalised(loss: Loss, A: Array, offset: Array, y: Array, v: Array) -> Array:
    """The best η = offset + Am: Newton steps, halved until the loss falls; for squared error one, and one for its rounding."""
    if isinstance(loss, SquaredError):
        return jax.lax.fori_loop(0, 2, lambda _, eta: eta - _free_step(loss, A, loss.grad(eta, y, v), eta, y, v)[0], offset)

    def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        eta, size, count = carry
        change = -_free_step(loss, A, loss.grad(eta, y, v), eta, y, v, jnp.minimum(size, 1))[0]
        value = loss(eta, y, v)
        t = jax.lax.while_loop(lambda t: ~(loss(eta + t * change, y, v) <= value) & (t > 1e-6), lambda t: t / 2, jnp.ones((), eta.dtype))
        size = jnp.max(jnp.abs(change), initial=0.0) / (1 + jnp.max(jnp.abs(eta), initial=0.0))
        return jnp.where(t > 1e-6, eta + t * change, eta), size, count + 1

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > 4 * jnp.finfo(carry[0].dtype).eps) & (carry[2] < 100)

    return jax.lax.while_loop(unfinished, body, (offset, jnp.full((), jnp.inf, offset.dtype), jnp.zeros((), int)))[0]


def _largest(penalty: Penalty, slope: Array) -> tuple[Array, Array]:
    try:
        largest = penalty.lambda_max(slope)
    except UnknownOperation:  # zero is stationary at every λ (L0), or the reference is elsewhere: λ must be given, and then nothing is lost
        largest = jnp.full((), jnp.nan, slope.dtype)
    if not penalty.separable:
        return largest, jnp.zeros((), bool)
    # A penalty that is flat at zero never gives exact zeros. glmnet starts ridge where an elastic net with one part
    # in a thousand of L1 and the same curvature would.
    curvature = penalty.curvature(jnp.zeros_like(slope))
    substitute = jnp.max(jnp.where(curvature > 0, jnp.abs(slope) / (1e-3 * jnp.where(curvature > 0, curvature, 1)), 0))
    return jnp.where(jnp.isinf(largest), substitute, largest), jnp.isinf(largest)


@functools.partial(jax.jit, static_argnames=("shape", "dtype"))
def facts(penalty: Penalty, shape: tuple[int, ...], dtype: Any) -> tuple[Array, Array]:
    """(which coefficients are free of the penalty, its value at zero), in one compiled call."""
    zero = jnp.zeros(shape, dtype)
    return penalty.free(zero), penalty(zero)


@functools.partial(jax.jit, static_argnames=("setup", "gap_defined"))
def certify(
    setup: Setup,
    design: Design,
    v: Float[Array, "n"],
    scale: Float[Array, "p"],
    A: Float[Array, "n q"],
    penalty: Penalty,
    null: Null,
    lams: Float[Array, "lams"],
    coef: Array,
    intercept: Array,
    scaled: Array | None,
    gap_defined: bool,
    support: Array | None = None,
    origin: Origin | None = None,
) -> Certificate:
    """Gap and stationarity residual of answers ``coef`` (lams, p[, T]) and ``intercept`` (lams, T or 0).

    ``scaled`` are the coefficients of scaled columns, ``coef·scale`` but for rounding: what the penalty is asked about, since of
    coefficients that a penalty holds level that rounding would make a violation; None where it is that product. Where all
    coefficients but those of a ``support`` are zero, that saves squared error half of the work. An ``origin`` needs an intercept.
    """
    loss, y = setup.loss, design.y
    scaled = coef * (scale if setup.outputs is None else scale[:, None]) if scaled is None else scaled
    if constant_curvature(setup):
        level = intercept if origin is None else origin.level(coef, intercept)
        found = squared_sums(setup, design, v, A, coef, level, support, origin)
        return certify_sums(setup, design, v, scale, A, penalty, null, lams, scaled, *found, origin, gap_defined)
    judge = functools.partial(_judge, setup, design, scale, penalty, null, gap_defined)

    # The products with X of all λ together: each is one pass over X.
    eta = all_predictors(setup, design, coef, intercept)
    slopes = jax.vmap(lambda eta: loss.grad(eta, y, v))(eta)

    def dual_point(args: tuple[Array, Array]) -> tuple[Array, Array]:
        eta, slope = args
        change, nu = _free_step(loss, A, slope, eta, y, v)
        # Where no row of a piecewise straight loss bends, the step cannot reach Aᵀν = 0, and nothing is bounded.
        kept = 64 * jnp.finfo(slope.dtype).eps * (jnp.abs(A).T @ jnp.abs(slope))
        off = jnp.any(jnp.abs(A.T @ nu) > jnp.maximum(jnp.sqrt(jnp.finfo(slope.dtype).eps) * null.size, kept))
        return change, jnp.where(off, jnp.nan, nu)

    changes, nus = jax.lax.map(dual_point, (eta, slopes)) if gap_defined else (slopes, slopes)
    pull = pulls(design.X, jnp.concatenate([slopes, nus]) if gap_defined else slopes, None if origin is None else origin.columns)

    def one(args: tuple[Array, ...]) -> Certificate:
        lam, u, eta, slope, change, nu, g, g_nu = args
        g_intercept = jnp.sum(slope, axis=0) if setup.intercept else jnp.zeros((), u.dtype)
        dual_value = lambda t: jnp.sum(t * nu * design.offset) - loss.conjugate_bound(t, nu, eta, change, y, v)  # noqa: E731
        return judge(lam, u, loss(eta, y, v), g, g_intercept, g_nu, dual_value)

    return jax.lax.map(one, (lams, scaled, eta, slopes, changes, nus, pull[: lams.size], pull[-lams.size :]))


LANES = 4  # certified at once: each row of X is read once for all of them, and what that makes stays in the cache


@functools.partial(jax.jit, static_argnames=("setup", "gap_defined"))
def certify_lanes(
    setup: Setup,
    design: Design,
    A: Float[Array, "n q"],
    penalty: Penalty,
    null: Null,
    lams: Array,
    lanes: tuple[Array | None, ...],
    gap_defined: bool,
    origin: Origin | None = None,
) -> Certificate:
    """``certify`` of several lanes, ``LANES`` at a time: their (v, scale, coef, intercept, scaled) with a leading axis."""

    def one(lane: tuple[Any, ...]) -> Certificate:
        return certify(setup, design, *lane[:2], A, penalty, null, lams, *lane[2:], gap_defined, origin=origin)

    return jax.lax.map(one, lanes, batch_size=LANES)


def certify_sums(
    setup: Setup,
    design: Design,
    v: Float[Array, "n"],
    scale: Float[Array, "p"],
    A: Float[Array, "n q"],
    penalty: Penalty,
    null: Null,
    lams: Float[Array, "k"],
    scaled: Array,
    sums: SquaredSums,
    lever: Float[Array, "q p"],
    origin: Origin | None,
    gap_defined: bool,
    blur: Float[Array, "p"] | float = 0.0,
) -> Certificate:
    """``certify`` of the squared error of one target, from what ``squared_sums`` finds; ``blur`` is as in ``_judge``."""
    # With the curvature 2c the same for every λ, ν = s − 2c·Am and all that is asked of it follow from sums over the rows.
    curvature = setup.loss.curvature(design.offset, design.y, v)
    target = design.y - design.offset - (0.0 if origin is None else origin.target)
    hessian, shift = A.T @ (curvature[:, None] * A), A.T @ (curvature * target)
    inverse = _inverse(hessian)

    def one(lam: Array, u: Array, sums: SquaredSums) -> Certificate:
        m = inverse @ sums.slope_free
        line = m @ shift - sums.slope_target
        bend = sums.value - m @ sums.slope_free + m @ hessian @ m / 2
        at = sums.value, sums.slope, sums.slope_intercept, sums.slope - m @ lever
        return _judge(setup, design, scale, penalty, null, gap_defined, lam, u, *at, lambda t: t * line - t**2 * bend, blur)

    return jax.vmap(one)(lams, scaled, sums)


def _judge(
    setup: Setup,
    design: Design,
    scale: Array,
    penalty: Penalty,
    null: Null,
    gap_defined: bool,
    lam: Array,
    u: Array,
    value: Array,
    slope: Array,
    slope_intercept: Array,
    slope_nu: Array,
    dual_value: Callable[[Array], Array],
    blur: Array | float = 0.0,
) -> Certificate:
    """One λ, from the gradient ``slope`` = Xᵀs, ``slope_nu`` = Xᵀν and ``dual_value(t)`` = ⟨tν, o⟩ − F*(tν).

    ``blur`` is by how much numbers of ``slope_nu`` may be larger, under a penalty of which a dual point asks more if they are.
    """
    factor = scale if setup.outputs is None else scale[:, None]
    member = bounded(penalty.at(lam), design, scale, setup.outputs)
    # In small units of X what rounding leaves of the intercept's equation would outweigh all the others.
    left = jnp.maximum(jnp.abs(slope_intercept) - 16 * jnp.finfo(u.dtype).eps * null.push, 0)
    kkt = jnp.sqrt(member.subdiff_distance(u, slope / factor) ** 2 + jnp.sum(left**2)) / null.size
    if not gap_defined:
        return Certificate(jnp.full((), jnp.nan, u.dtype), kkt, value)
    dual = jnp.where(member.free(u), 0.0, -(slope_nu + jnp.where(slope_nu < 0, -blur, blur)) / factor)
    # Towards a bound that is finite a dual point may be as large as it likes.
    tight = dual
    if design.lower is not None and design.upper is not None:
        tight = jnp.where(jnp.isfinite(jnp.where(dual > 0, design.upper, design.lower)), 0, dual)
    try:
        excess = member.lambda_max(-tight)
    except UnknownOperation:  # about a reference: shrinking the dual point does not help it, and no λ was asked for
        excess = jnp.ones((), u.dtype)
    # A little more than needed: rounding must not leave the dual point just outside.
    shrink = (1 - 8 * jnp.finfo(u.dtype).eps) / jnp.maximum(excess, 1.0)

    def bound(t: Array) -> Array:
        at = dual_value(t) - member.conjugate(t * dual)
        return jnp.where(jnp.isnan(at), -jnp.inf, at)

    plain, shrunk = bound(jnp.ones_like(shrink)), bound(shrink)
    best = jnp.maximum(plain, shrunk)
    # Where a cone is missed by rounding, shrinking to nothing is all that is left: a bound, but one that says nothing.
    missed = jnp.isneginf(plain) & (shrink == 0)
    # Below zero only by rounding; the absolute value would show a broken bound instead of hiding it.
    gap = jnp.abs(value + member(u) - best) / null.unit
    return Certificate(jnp.where((lam > 0) & jnp.isfinite(best) & ~missed, gap, jnp.nan), kkt, value)


def why_no_gap(setup: Setup, design: Design, penalty: Penalty) -> str | None:
    """The reason why no duality gap exists for this problem, None if one does."""
    if not penalty.convex:
        return "the penalty is not convex"
    try:
        ask(_conjugate, setup, design, penalty)
    except UnknownOperation as error:
        return str(error)
    return None


def _conjugate(penalty: Penalty, dual: Array) -> Array:
    return penalty.conjugate(dual)
