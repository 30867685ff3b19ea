"""Ridge for every λ from one factorisation, with exact leave-one-out, GCV and effective degrees of freedom.

With Z the centred, weighted columns divided by the root of their penalty's strength, and Z = U d Vᵀ the thin singular value
decomposition (of the shorter side, whatever the shape), ``coef(λ) = V d/(d² + λ) Uᵀy``. The singular values themselves, not
their squares, are computed, so nothing is lost as λ → 0; values below rounding count as zero, which gives the
minimum-norm answer at λ = 0 (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2009, eq. 3.47).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._engine import Design, Lane, Setup


class Ridge(NamedTuple):
    """For each lane and λ: coefficients and intercept; what leave-one-out needs, for each λ."""

    coef: Array  # (lams, p[, T])
    intercept: Array  # (lams, T or 0)
    loo: Float[Array, "lams"]  # weighted mean of squared leave-one-out residuals
    gcv: Float[Array, "lams"]  # n·RSS/(n − df)², a mean squared error
    df: Float[Array, "lams"]  # effective degrees of freedom, the intercept's included


def strengths(penalty: Any, shape: tuple[int, ...], dtype: Any) -> Array | None:
    """The a_j of a penalty that is exactly ``Σ a_j·w_j²`` with one number a feature, all positive; else None."""
    terms = penalty.terms()
    if not terms or any(t.role != "quadratic" or t.reference() is not None for t in terms):
        return None
    half = penalty.curvature(jnp.zeros(shape, dtype)) / 2
    if half.ndim == 2:
        if not bool(jnp.all(half == half[:, :1])):
            return None
        half = half[:, 0]
    return half if bool(jnp.all(half > 0)) else None


@functools.partial(jax.jit, static_argnames=("setup",))
def fit(setup: Setup, design: Design, lanes: Lane, a: Float[Array, "p"], lams: Float[Array, "lams"]) -> Ridge:
    """Every lane (set of sample weights) at every λ."""

    def one(lane: Lane) -> Ridge:
        v, total = lane.weights, jnp.sum(lane.weights)
        Y = (design.y - design.offset).reshape(design.X.shape[0], -1)
        mean = v @ Y / total if setup.intercept else jnp.zeros(Y.shape[1], Y.dtype)
        root = jnp.sqrt(v)[:, None]
        size = lane.scale * jnp.sqrt(a)
        U, d, Vt = jnp.linalg.svd(root * (design.X - lane.center) / size, full_matrices=False)
        rotated = U.T @ (root * (Y - mean))
        # The squared error's own factor: Σ, Σ/n or Σ/(2n) against λΣaw².
        kappa = {"sum": 1.0, "mean": 1 / total, "half_mean": 0.5 / total}[setup.loss.reduction]
        # What rounding left of a zero singular value must not be divided by (NumPy's rule for the rank).
        kept = d > jnp.max(d, initial=0.0) * max(design.X.shape) * jnp.finfo(d.dtype).eps

        def one_lam(lam: Array) -> Ridge:
            bend = jnp.where(kept | (lam > 0), d**2 + lam / kappa, 1.0)
            gain = jnp.where(kept, d / bend, 0.0)
            coef = (Vt.T @ (gain[:, None] * rotated)) / size[:, None]
            intercept = mean - lane.center @ coef if setup.intercept else jnp.zeros(0, Y.dtype)
            residual = Y - design.X @ coef - (intercept if setup.intercept else 0)
            hat = jnp.sum(U**2 * (d * gain), axis=1) + (v / total if setup.intercept else 0)
            df = jnp.sum(d * gain) + (1.0 if setup.intercept else 0.0)
            # A case that the fit passes through exactly (h = 1) has no leave-one-out residual.
            slack = jnp.where(1 - hat > 64 * jnp.finfo(d.dtype).eps, 1 - hat, jnp.nan)
            left_out = jnp.where(v[:, None] > 0, residual / slack[:, None], 0.0)
            loo = jnp.sum(v[:, None] * left_out**2) / (total * Y.shape[1])
            cases = jnp.sum(v > 0)
            rss = jnp.sum(v[:, None] * residual**2) / (total * Y.shape[1])
            gcv = rss / (1 - df / cases) ** 2
            return Ridge(coef.reshape(coef.shape[0], *design.y.shape[1:]), intercept, loo, gcv, df)

        return jax.lax.map(one_lam, lams)

    return jax.lax.map(one, lanes)
