"""What a fit owes to each of its rows: degrees of freedom, and every row left out by one Newton step.

At a fit with gradients sᵢ and curvatures Bᵢ of the data term, on the columns A of its support (intercept and unpenalised features
among them) and with the penalty's curvature P there, the leverages are

    Qᵢ = aᵢᵀ(AᵀBA + P)⁻¹aᵢ,    df = Σ tr(BᵢQᵢ) = tr((AᵀBA + P)⁻¹AᵀBA),

and the Newton step to the fit without row i, by the Woodbury identity, moves its predictor to ``ηᵢ + Qᵢ(I − BᵢQᵢ)⁻¹sᵢ`` (Rad and
Maleki, A scalable estimate of the out-of-sample prediction error via approximate leave-one-out cross-validation, 2020, eq. 6; on a
support, Wang et al., Approximate leave-one-out for fast parameter tuning in high dimensions, 2018, §3). The divisor of the loss (n, 2n)
and λ stay as they are.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._penalties import Penalty
from ..losses._base import gram_of
from ._engine import Design, Setup, bounded, predictor
from ._scoring import mean_score


@functools.partial(jax.jit, static_argnames=("setup",))
def predictors(setup: Setup, design: Design, coef: Array, intercept: Array) -> Array:
    """η of every λ: (lams, n) or (lams, n, T)."""
    return jax.lax.map(lambda at: predictor(setup, design.X, at[0], at[1], design.offset), (coef, intercept), batch_size=10)


@functools.partial(jax.jit, static_argnames=("setup",))
def selected(
    setup: Setup, design: Design, scale: Float[Array, "p"], penalty: Penalty, lams: Float[Array, "lams"], coef: Array
) -> tuple[Int[Array, "lams"], Bool[Array, "lams"]]:
    """(features on the support, whether all others are held at zero) of each λ."""

    def one(args: tuple[Array, Array]) -> tuple[Array, Array]:
        lam, w = args
        active = bounded(penalty.at(lam), design, scale, setup.outputs).support(_scaled(w, scale))
        return jnp.sum(jnp.any(active.reshape(scale.size, -1), axis=1)), jnp.all(active | (w == 0))

    return jax.lax.map(one, (lams, coef))


@functools.partial(jax.jit, static_argnames=("setup", "size", "scoring"))
def leave_out(
    setup: Setup,
    design: Design,
    v: Float[Array, "n"],
    scale: Float[Array, "p"],
    penalty: Penalty,
    lams: Float[Array, "lams"],
    coef: Array,
    eta: Array,
    size: int,
    scoring: str,
) -> tuple[Float[Array, "lams"], Float[Array, "lams"]]:
    """(degrees of freedom, mean score of rows left out) of each λ, whose support has at most ``size`` features."""
    loss, T, (n, p) = setup.loss, setup.columns, design.X.shape
    center = v @ design.X / jnp.sum(v) if setup.intercept else jnp.zeros(p, v.dtype)
    # Targets that neither the loss nor the penalty ties together are problems of their own.
    tied = loss.vector or not penalty.separable
    kept = 1 if setup.intercept else 0

    def one(args: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        lam, w, eta = args
        member, u = bounded(penalty.at(lam), design, scale, setup.outputs), _scaled(w, scale)
        active = member.support(u).reshape(p, T)
        chosen = jnp.nonzero(jnp.any(active, axis=1), size=size, fill_value=p)[0]
        columns = (design.X - center).at[:, chosen].get(mode="fill", fill_value=0)
        A = jnp.concatenate([columns, jnp.ones((n, kept), columns.dtype)], axis=1)
        on = jnp.pad(active.at[chosen].get(mode="fill", fill_value=False), ((0, kept), (0, 0)), constant_values=True)
        slope = loss.grad(eta, design.y, v).reshape(n, T)
        B = loss.blocks(eta, design.y, v)
        if penalty.separable:
            bend = (member.curvature(u) * _scaled(jnp.ones_like(w), scale) ** 2).reshape(p, T)
            bend = jnp.pad(bend.at[chosen].get(mode="fill", fill_value=0), ((0, kept), (0, 0)))
        else:
            bend = jax.jacfwd(lambda w: member.grad(_scaled(w, scale)))(w).reshape(p, T, p, T)
            bend = bend * scale[:, None, None, None]
            bend = bend.at[chosen[:, None], :, chosen[None]].get(mode="fill", fill_value=0).transpose(0, 2, 1, 3)
            bend = jnp.pad(bend, ((0, kept), (0, 0), (0, kept), (0, 0)))
        if tied:
            rows = bend.reshape(A.shape[1] * T, -1)
            P = jnp.diag(rows.ravel()) if penalty.separable else rows
            moved, df = _without(A, on, P, B, slope)
        else:
            parts = on.T[:, :, None], bend.T, jnp.diagonal(B, axis1=1, axis2=2).T[:, :, None, None], slope.T[:, :, None]
            moved, df = jax.lax.map(lambda x: _without(A, x[0], jnp.diag(x[1]), *x[2:]), parts)
            moved, df = moved[:, :, 0].T, jnp.sum(df)
        return df, jnp.mean(mean_score(scoring, loss, eta + moved.reshape(eta.shape), design.y, v, v))

    return jax.lax.map(one, (lams, coef, eta))


def _scaled(w: Array, scale: Array) -> Array:
    return w * (scale if w.ndim == 1 else scale[:, None])


def _without(
    A: Float[Array, "n s"], on: Bool[Array, "s k"], P: Float[Array, "m m"], B: Float[Array, "n k k"], slope: Float[Array, "n k"]
) -> tuple[Float[Array, "n k"], Float[Array, ""]]:
    """(change of each row's predictors when it is left out, degrees of freedom)."""
    n, s = A.shape
    k, eps = B.shape[1], jnp.finfo(A.dtype).eps
    inverse = _inverse(A, on.ravel(), P, B).reshape(s, k, s, k)
    pairs = inverse.transpose(1, 3, 0, 2).reshape(k * k, s, s)
    Q = jax.lax.map(lambda M: jnp.sum((A @ M) * A, axis=1), pairs).T.reshape(n, k, k)
    rest = jnp.eye(k, dtype=A.dtype) - B @ Q
    # A row that the fit passes through exactly has no fit without it.
    left = jnp.where((jnp.linalg.det(rest) > 64 * eps)[:, None, None], rest, jnp.nan)
    moved = Q @ (slope[:, :, None] / left if k == 1 else jnp.linalg.solve(left, slope[:, :, None]))
    return moved[:, :, 0], jnp.sum(B * Q.transpose(0, 2, 1))


def _inverse(A: Array, on: Array, P: Array, B: Array) -> Array:
    """(AᵀBA + P)⁻¹ on the coordinates that are on, 0 elsewhere; the pseudo-inverse where columns are collinear, NaN where not convex."""
    H = jnp.where(on[:, None] & on, gram_of(A, B) + P, 0)
    diagonal = jnp.diag(H)
    root = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))  # to a unit diagonal, so that no column's scale matters
    G = H / root / root[:, None] + jnp.diag(jnp.where(on, 0.0, 1.0).astype(H.dtype))
    factor = jnp.linalg.cholesky(G)
    eps = jnp.finfo(H.dtype).eps

    def pseudo() -> Array:
        values, vectors = jnp.linalg.eigh(G)
        noise = 16 * H.shape[0] * eps * jnp.max(jnp.abs(values))
        gain = jnp.where(jnp.abs(values) > noise, 1 / jnp.where(values == 0, 1, values), 0)
        return jnp.where(values[0] < -noise, jnp.nan, (vectors * gain) @ vectors.T)

    # A pivot that is nearly gone says that a column is nearly spanned by those before it: then rounding decides, and ranks are judged.
    regular = jnp.min(jnp.diag(factor), initial=jnp.inf) ** 2 > eps ** (2 / 3)
    whole = jax.lax.cond(regular, lambda: jax.scipy.linalg.cho_solve((factor, True), jnp.eye(H.shape[0], dtype=H.dtype)), pseudo)
    return jnp.where(on[:, None] & on, whole / root / root[:, None], 0)
