"""Ridge for every λ from one factorisation, with exact leave-one-out, GCV and effective degrees of freedom.

With Z the centred, weighted columns divided by the root of their penalty's strength, ``(ZᵀZ + λ)⁻¹Zᵀy`` are the coefficients of Z (λ in
units of the sum of squares): an eigendecomposition of ZᵀZ, or of ZZᵀ where there are more columns than rows, gives them for all λ in one
matrix product, and every hat value with them (Hastie,
Tibshirani and Friedman, The Elements of Statistical Learning, 2009, eq. 3.47; Golub, Heath and Wahba, Generalized cross-validation as a
method for choosing a good ridge parameter, 1979). Products square the condition number: where λ is too small to make up for that, the
singular values themselves are computed instead; those below rounding count as zero, which gives the minimum-norm answer at λ = 0.

A penalty ``wᵀΩw`` with a matrix (and features without a penalty, whose rows of Ω are zero) takes the vectors V that make both ``VᵀXᵀXV``
and ``VᵀΩV`` diagonal in place of eigenvectors (Golub and Van Loan, Matrix Computations, 2013, §8.7.2).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._penalties import L2, GraphLaplacian, Penalty, Tikhonov
from . import _moments
from ._columns import over_rows
from ._engine import Design, Lane, Setup, curvature_scale, prepare, scales
from ._moments import Moments, Units

_ROWS = 2048  # of a block whose hat values are computed together
_LARGEST = 1024  # coefficients whose quadratic form is written as a matrix


class Criteria(NamedTuple):
    """Of all data, for each λ and target."""

    loo: Float[Array, "lams T"]  # weighted mean of squared leave-one-out residuals
    gcv: Float[Array, "lams T"]  # n·RSS/(n − df)², a mean squared error
    df: Float[Array, "lams"]  # effective degrees of freedom, the intercept's included


class Answers(NamedTuple):
    """Of each lane."""

    coef: Array  # (lanes, lams, p[, T])
    intercept: Array  # (lanes, lams, T or 0)
    scale: Float[Array, "lanes p"]  # as `scales` of the engine defines it
    blurred: Array  # (lanes,) whether rounding may have hidden what λ does not make up for


def form(penalty: Penalty, setup: Setup, p: int, dtype: Any) -> Array | None:
    """What :func:`strengths` returns, or the matrix Ω (p, p) of a penalty that is ``wᵀΩw`` for every target; None of another."""
    shape = setup.shape(p)
    found = strengths(penalty, shape, dtype)
    known = all(isinstance(t, L2 | Tikhonov | GraphLaplacian) and t.reference() is None for t in penalty.terms())
    if found is not None or not known or not penalty.terms() or p * setup.columns > _LARGEST:
        return found
    whole = np.asarray(_matrix(penalty, np.zeros(shape, dtype))).reshape(p, setup.columns, p, setup.columns)
    first = whole[:, 0, :, 0]
    alike = (whole == np.einsum("jk,tu->jtku", first, np.eye(setup.columns, dtype=first.dtype))).all()
    return jnp.asarray((first + first.T) / 2) if alike and np.trace(first) > 0 else None


@jax.jit
def _matrix(penalty: Penalty, zero: Array) -> Array:
    return jax.jacfwd(penalty.grad)(zero) / 2


def strengths(penalty: Any, shape: tuple[int, ...], dtype: Any) -> Array | None:
    """The a_j of a penalty that is exactly ``Σ a_j·w_j²`` with one number a feature, all positive; else None."""
    terms = penalty.terms()
    if not terms or any(t.role != "quadratic" or t.reference() is not None for t in terms):
        return None
    half = _halves(penalty, np.zeros(shape, dtype))
    of_feature = np.asarray(half)
    if of_feature.ndim == 2:
        if not (of_feature == of_feature[:, :1]).all():
            return None
        half, of_feature = half[:, 0], of_feature[:, 0]
    return half if (of_feature > 0).all() else None


@jax.jit
def _halves(penalty: Any, zero: Array) -> Array:
    return penalty.curvature(zero) / 2


def fit(
    setup: Setup, design: Design, weights: np.ndarray, a: Array, lams: Float[Array, "lams"], ids: np.ndarray | None
) -> tuple[Answers, Criteria] | None:
    """Every lane (row of weights) at every λ, decreasing; ``a`` as of :func:`form`, ``ids`` as in ``_moments.of_lanes``.

    None where a matrix leaves too few digits.
    """
    if design.X.shape[0] >= design.X.shape[1] or a.ndim == 2:
        moments = _moments.of_lanes(design, weights, ids)
        answers, basis = of_columns(setup, design, moments, a, lams)
        if not bool(jnp.any(answers.blurred)):
            return answers, criteria(setup, design, jnp.asarray(weights[0]), basis)
        if a.ndim == 2:
            return None
    else:
        answers, found = _of_rows(setup, design, jnp.asarray(weights), a, lams)
        if not bool(jnp.any(answers.blurred)):
            return answers, jax.tree.map(lambda x: x[0], found)
    lanes = prepare(setup, design, jnp.asarray(weights))
    answers, found = _of_singular_values(setup, design, lanes, a, lams)
    return answers, jax.tree.map(lambda x: x[0], found)


def _blurred(d2: Array, least: Array, expected: Any) -> Array:
    """Whether more eigenvalues than expected are so small that only λ keeps them from noise, and λ is too."""
    limit = jnp.finfo(d2.dtype).eps ** 0.4 * jnp.max(d2)
    return (least < limit) & (jnp.sum(d2 < limit) > expected)


def _passing(dtype: Any) -> float:
    """What 1 − h has to exceed: rounding has its share of hat values, some of a factorisation's condition among it."""
    return float(jnp.finfo(dtype).eps) ** (2 / 3)


def _left_out(v: Float[Array, "n"], hat: Float[Array, "n lams"], squares: Float[Array, "n lams T"]) -> tuple[Array, Array]:
    """Sums over the rows of squared residuals: of each row left out, and of the fit to all."""
    # A case that the fit passes through exactly (h = 1) has no leave-one-out residual.
    left = jnp.where(1 - hat > _passing(hat.dtype), 1 - hat, jnp.nan)
    weights = v[:, None, None]
    each = jnp.where(weights > 0, weights * squares, 0)
    return jnp.sum(jnp.where(weights > 0, each / left[:, :, None] ** 2, 0), axis=0), jnp.sum(each, axis=0)


def _judged(sums: tuple[Array, Array], v: Float[Array, "n"], df: Float[Array, "lams"]) -> Criteria:
    """From the sums over all rows of :func:`_left_out`."""
    total, left = jnp.sum(v), 1 - df / jnp.sum(v > 0)
    left = jnp.where(left > _passing(df.dtype), left, jnp.nan)
    return Criteria(sums[0] / total, sums[1] / total / left[:, None] ** 2, df)


class Axes(NamedTuple):
    """Vectors in which data and penalty are diagonal at once."""

    vectors: Float[Array, "p p"]  # of the columns of X − center: their factors included
    data: Float[Array, "p"]  # d², of the sum of squares
    penalty: Float[Array, "p"]  # at λ = 1
    target: Float[Array, "p T"]
    blurred: Array


def _axes(unit: Units, G: Float[Array, "p p"], q: Float[Array, "p T"], a: Array, least: Array) -> Axes:
    """Of the lane ``unit``, ``G`` and ``q``; ``least`` is the smallest pull of the penalty, in units of the sum of squares."""
    if a.ndim == 1:
        root = unit.scale * jnp.sqrt(a)
        r = unit.size / root
        d2, V = jnp.linalg.eigh(r[:, None] * G * r)
        d2 = jnp.maximum(d2, 0)
        vectors = jnp.where(unit.silent, 0, 1 / root)[:, None] * V
        return Axes(vectors, d2, jnp.ones_like(d2), V.T @ (r[:, None] * q), _blurred(d2, least, jnp.sum(unit.silent)))
    eps = jnp.finfo(G.dtype).eps
    r = unit.size / unit.scale
    G, q = r[:, None] * G * r, r[:, None] * q
    share = jnp.trace(G) / jnp.trace(a)
    dead = unit.silent & (jnp.diag(a) == 0)  # neither data nor penalty: zero
    L = jnp.linalg.cholesky(G + share * a + jnp.diag(jnp.where(dead, share, 0)))
    half = jax.scipy.linalg.solve_triangular(L, G, lower=True)
    d2, U = jnp.linalg.eigh(jax.scipy.linalg.solve_triangular(L, half.T, lower=True))
    # Shares of the data, the rest being the penalty's: what is 0 or 1 but for rounding is.
    noise = 16 * d2.size * eps
    d2 = jnp.where(d2 > noise, jnp.where(1 - d2 > noise, d2, 1), 0)
    V = jax.scipy.linalg.solve_triangular(L.T, U)
    target = jnp.where((d2 > 0)[:, None], V.T @ q, 0)
    vectors = jnp.where(dead, 0, 1 / unit.scale)[:, None] * V
    blurred = _blurred(d2, least / share, jnp.sum(d2 == 0)) | ~jnp.all(jnp.isfinite(V))  # NaN where L is none
    return Axes(vectors, d2, (1 - d2) / share, target, blurred)


class Basis(NamedTuple):
    """Lane 0 in its axes."""

    center: Float[Array, "p"]
    level: Array
    vectors: Float[Array, "p p"]
    weights: Array  # (p, lams, T) of the coordinates
    hat: Float[Array, "p lams"]  # 1/(d² + λ·penalty)
    df: Float[Array, "lams"]


@functools.partial(jax.jit, static_argnames=("setup",))
def of_columns(setup: Setup, design: Design, moments: Moments, a: Array, lams: Float[Array, "lams"]) -> tuple[Answers, Basis]:
    def one(lane: Array) -> tuple[Answers, Basis]:
        unit, G, q = _moments.reduce(setup, moments, lane, jnp.ones_like(moments.center), design.free)
        pull = 2 * lams / unit.kappa
        axes = _axes(unit, G, q.reshape(q.shape[0], -1), a, pull[-1])
        bend = axes.data[:, None] + pull * axes.penalty[:, None]
        gain = jnp.where(bend > 0, 1 / jnp.where(bend > 0, bend, 1), 0)
        inner = gain[:, :, None] * axes.target[:, None]  # (p, lams, T)
        coef = jnp.einsum("jk,klt->ljt", axes.vectors, inner)
        intercept = jnp.atleast_1d(unit.level) - jnp.einsum("j,ljt->lt", unit.center, coef)
        intercept = intercept if setup.intercept else intercept[:, :0]
        shape = coef.shape if setup.outputs is not None else coef.shape[:2]
        df = jnp.sum(axes.data[:, None] * gain, axis=0) + setup.intercept
        answers = Answers(coef.reshape(shape), intercept, unit.scale, axes.blurred)
        return answers, Basis(unit.center, unit.level, axes.vectors, inner, gain, df)

    first = one(jnp.zeros((), int))
    if moments.sums.shape[0] == 1:
        return jax.tree.map(lambda x: x[None], first[0]), first[1]
    others = jax.lax.map(lambda lane: one(lane)[0], jnp.arange(1, moments.sums.shape[0]))
    return jax.tree.map(lambda x, rest: jnp.concatenate([x[None], rest]), first[0], others), first[1]


@functools.partial(jax.jit, static_argnames=("setup",))
def criteria(setup: Setup, design: Design, v: Float[Array, "n"], basis: Basis) -> Criteria:
    """One pass over the rows, in blocks, for all λ."""
    Y = (design.y - design.offset - basis.level).reshape(len(v), -1)
    total = jnp.sum(v)

    def one(x: Array, target: Array, own: Array) -> tuple[Array, Array]:
        P = (x - basis.center) @ basis.vectors
        residual = target[:, None] - jnp.tensordot(P, basis.weights, 1)
        hat = own[:, None] * (P**2 @ basis.hat + (1 / total if setup.intercept else 0))
        return _left_out(own, hat, residual**2)

    sums = over_rows(design.X, (Y, v), one, size=_ROWS)
    return _judged(sums, v, basis.df)


@functools.partial(jax.jit, static_argnames=("setup",))
def _of_rows(
    setup: Setup, design: Design, weights: Float[Array, "lanes n"], a: Float[Array, "p"], lams: Float[Array, "lams"]
) -> tuple[Answers, Criteria]:
    """More columns than rows: everything from ZZᵀ."""

    def one(v: Array) -> tuple[Answers, Criteria]:
        center, scale = scales(setup, design.X, v, design.free)
        total, root = jnp.sum(v), jnp.sqrt(v)[:, None]
        Z = root * (design.X - center) / (scale * jnp.sqrt(a))
        Y = (design.y - design.offset).reshape(v.size, -1)
        mean = v @ Y / total if setup.intercept else jnp.zeros(Y.shape[1], Y.dtype)
        d2, U = jnp.linalg.eigh(Z @ Z.T)
        d2 = jnp.maximum(d2, 0)
        pull = 2 * lams / curvature_scale(setup.loss, total)
        kept = (d2 > jnp.max(d2) * v.size * jnp.finfo(d2.dtype).eps)[:, None]
        gain = jnp.where(kept, 1 / jnp.where(kept, d2[:, None] + pull, 1), 0)  # (n, lams)
        response = root * (Y - mean)
        inner = gain[:, :, None] * (U.T @ response)[:, None]
        # First onto the rows: that product is the small one.
        coef = jnp.moveaxis(jnp.tensordot(Z.T, jnp.tensordot(U, inner, 1), 1), 0, 1) / (scale * jnp.sqrt(a))[:, None]
        intercept = mean - jnp.einsum("j,ljt->lt", center, coef)
        residual = response[:, None] - jnp.tensordot(U, d2[:, None, None] * inner, 1)
        hat = U**2 @ (d2[:, None] * gain) + (v / total if setup.intercept else jnp.zeros_like(v))[:, None]
        df = jnp.sum(d2[:, None] * gain, axis=0) + setup.intercept
        squares = (residual / jnp.where(root > 0, root, 1)[:, :, None]) ** 2
        found = _judged(_left_out(v, hat, squares), v, df)
        shape = coef.shape if setup.outputs is not None else coef.shape[:2]
        blurred = _blurred(d2, pull[-1], jnp.sum(v == 0) + setup.intercept)
        return Answers(coef.reshape(shape), intercept if setup.intercept else intercept[:, :0], scale, blurred), found

    return jax.lax.map(one, weights)


@functools.partial(jax.jit, static_argnames=("setup",))
def _of_singular_values(
    setup: Setup, design: Design, lanes: Lane, a: Float[Array, "p"], lams: Float[Array, "lams"]
) -> tuple[Answers, Criteria]:
    def one(lane: Lane) -> tuple[Answers, Criteria]:
        v, total = lane.weights, jnp.sum(lane.weights)
        Y = (design.y - design.offset).reshape(design.X.shape[0], -1)
        mean = v @ Y / total if setup.intercept else jnp.zeros(Y.shape[1], Y.dtype)
        root = jnp.sqrt(v)[:, None]
        size = lane.scale * jnp.sqrt(a)
        U, d, Vt = jnp.linalg.svd(root * (design.X - lane.center) / size, full_matrices=False)
        rotated = U.T @ (root * (Y - mean))
        kappa = curvature_scale(setup.loss, total)
        # What rounding left of a zero singular value must not be divided by (NumPy's rule for the rank).
        kept = d > jnp.max(d, initial=0.0) * max(design.X.shape) * jnp.finfo(d.dtype).eps

        def one_lam(lam: Array) -> tuple[Array, Array, tuple[Array, Array], Array]:
            bend = jnp.where(kept | (lam > 0), d**2 + 2 * lam / kappa, 1.0)
            gain = jnp.where(kept, d / bend, 0.0)
            coef = (Vt.T @ (gain[:, None] * rotated)) / size[:, None]
            intercept = mean - lane.center @ coef if setup.intercept else jnp.zeros(0, Y.dtype)
            residual = Y - design.X @ coef - (intercept if setup.intercept else 0)
            hat = jnp.sum(U**2 * (d * gain), axis=1) + (v / total if setup.intercept else 0)
            df = jnp.sum(d * gain) + (1.0 if setup.intercept else 0.0)
            loo, squares = _left_out(v, hat[:, None], residual[:, None] ** 2)
            return coef.reshape(coef.shape[0], *design.y.shape[1:]), intercept, (loo[0], squares[0]), df

        coef, intercept, sums, df = jax.lax.map(one_lam, lams)
        return Answers(coef, intercept, lane.scale, jnp.zeros((), bool)), _judged(sums, v, df)

    return jax.lax.map(one, lanes)
