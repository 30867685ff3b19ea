"""The lasso of every column on all the others, many columns at once as rows of one batched quadratic."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._batch import Quadratic, residual, solve

_ROWS = 256  # columns solved as one program
_GRID = 20  # λ to choose from
_GROWN = 1.25  # times the standard error that less bias may cost (1 + κ₀ of Zhang and Zhang)
_ROUGH = 1e-2  # of the residual at zero: enough to choose λ by


class Directions(NamedTuple):
    """What is left of each column, z_j = Z_j − Z_{−j}γ, with Z centred and of unit norm."""

    scores: Float[Array, "n p"]
    overlap: Float[Array, "p"]  # z_jᵀX_j; NaN where z_j is 0 to rounding
    lams: np.ndarray
    kkt: np.ndarray  # relative to the residual at zero
    bias: np.ndarray  # √n·max_k |z_jᵀZ_k|/‖z_j‖ over the other columns k


def directions(X: Float[Array, "n p"], intercept: bool, lams: Any) -> Directions:
    """Nodewise lassos at given λ (a number, (p,), or None to choose each)."""
    n, p = X.shape
    given = None if lams is None else np.asarray(lams, float)
    if given is not None:
        if given.shape not in ((), (p,)) or not (np.isfinite(given) & (given >= 0)).all():
            raise ValueError(f"nodewise_lam must be a number >= 0, or ({p},) of them, got {lams!r}")
        given = np.broadcast_to(given, (p,))
    Z, size, G = _unit_columns(X, intercept)
    chosen, near = _choose(G, n, full_rank=n > p + intercept) if given is None else (given, np.zeros((p, p)))
    parts = []
    for begin in range(0, p, _ROWS):
        rows = _block(begin, p)
        lam = jnp.asarray(chosen[rows], G.dtype)
        U = _solved(G, rows, lam, jnp.asarray(near[rows], G.dtype), 64 * float(jnp.finfo(G.dtype).eps))[0]
        parts.append([np.asarray(x)[: p - begin] for x in _what_is_left(Z, rows, lam, U)])
    scores, overlap, kkt, bias = (np.concatenate(column) for column in zip(*parts, strict=True))
    # What rounding leaves of a column that depends on the others is no direction.
    overlap = np.where(overlap > 64 * p * np.finfo(overlap.dtype).eps, overlap, np.nan)
    return Directions(jnp.asarray(scores.T), jnp.asarray(overlap) * size, chosen, kkt, bias)


def _block(begin: int, p: int) -> np.ndarray:
    """The columns of one program, the last one repeated where they run out."""
    return np.minimum(np.arange(begin, begin + min(_ROWS, p)), p - 1)


@jax.jit
def _unit_columns(X: Array, intercept: Any) -> tuple[Array, Array, Array]:
    Z = X - jnp.where(intercept, jnp.mean(X, axis=0), 0)
    size = jnp.linalg.norm(Z, axis=0)
    Z = Z / size
    return Z, size, (Z.T @ Z).at[jnp.diag_indices(size.size)].set(1)


def _problem(G: Array, rows: Array) -> Quadratic:
    """One row for each column of ``rows``, whose own coefficient is held at zero."""
    own = jax.nn.one_hot(rows, G.shape[0], dtype=bool)
    far = jnp.where(own, 0, jnp.inf).astype(G.dtype)
    return Quadratic(G, jnp.where(own, 0, G[rows]), jnp.ones(G.shape[0], G.dtype), jnp.zeros(G.shape[0], G.dtype), -far, far)


@jax.jit
def _solved(G: Array, rows: Array, lams: Array, start: Array, tol: Any) -> tuple[Array, Array, Array]:
    """(coefficients, bias max_k |z_jᵀZ_k|/‖z_j‖, error ‖z_j‖/|z_jᵀZ_j|) of each row, to ``tol`` of the residual at zero."""
    problem = _problem(G, rows)
    U = solve(problem, lams, start, tol * jnp.linalg.norm(problem.q, axis=1))
    slope = problem.q - U @ G
    overlap = 1 - jnp.sum(problem.q * U, axis=1)
    tiny = jnp.finfo(G.dtype).tiny
    size = jnp.sqrt(jnp.maximum(overlap - jnp.sum(U * slope, axis=1), tiny))
    bias = jnp.max(jnp.where(problem.up > 0, jnp.abs(slope), 0), axis=1) / size
    return U, bias, size / jnp.maximum(jnp.abs(overlap), tiny)


@jax.jit
def _what_is_left(Z: Array, rows: Array, lams: Array, U: Array) -> tuple[Array, Array, Array, Array]:
    """(z, z_jᵀZ_j, relative stationarity residual, bias times √n), from the columns: apart from the solver and its Gram matrix."""
    own = jax.nn.one_hot(rows, Z.shape[1], dtype=bool)
    far = jnp.where(own, 0, jnp.inf).astype(Z.dtype)
    scores = Z.T[rows] - U @ Z.T
    products = scores @ Z
    others = jnp.where(own, 0, products)
    unit = jnp.linalg.norm(jnp.where(own, 0, Z.T[rows] @ Z), axis=1)
    kkt = residual(U, -others, jnp.broadcast_to(lams[:, None], U.shape), -far, far) / jnp.where(unit > 0, unit, 1)
    bias = jnp.max(jnp.abs(others), axis=1) * Z.shape[0] ** 0.5 / jnp.linalg.norm(scores, axis=1)
    return scores, jnp.sum(jnp.where(own, products, 0), axis=1), kkt, bias


def _choose(G: Array, n: int, *, full_rank: bool) -> tuple[np.ndarray, np.ndarray]:
    """Each λ_j by Zhang and Zhang's Table 1, along a grid that is left once every row has its own, and about their coefficients (p, p)."""
    p = G.shape[0]
    most = np.sqrt(2 * np.log(max(p, 2)) / n)
    largest = max(float(jnp.max(jnp.abs(G - jnp.eye(p, dtype=G.dtype)))), float(jnp.finfo(G.dtype).eps))
    # With fewer rows than columns the error may never grow by a quarter, while the bias hardly falls below a fifth of its bound.
    grid = np.geomspace(largest, 1e-3 * largest if full_rank else min(largest, most / 5), _GRID)
    if full_rank:
        grid[-1] = 0
    places, near = np.zeros(p, int), np.zeros((p, p), G.dtype)
    for begin in range(0, p, _ROWS):
        rows = _block(begin, p)
        U = jnp.zeros((len(rows), p), G.dtype)
        first, least = np.full((2, len(rows)), np.inf)  # the error at the first λ of little bias; the smallest bias so far
        going, chosen = np.ones(len(rows), bool), np.zeros(len(rows), int)
        for at, lam in enumerate(grid):
            U, bias, error = _solved(G, rows, jnp.full(len(rows), lam, G.dtype), U, _ROUGH)
            bias, error = np.asarray(bias), np.asarray(error)
            first = np.where(np.isinf(first) & (bias <= most), error, first)
            started = np.isfinite(first)
            allowed = started & going & (error <= _GROWN * first)
            # Where no λ keeps the bias within bounds it is the one with the least.
            better = allowed | (~started & (bias < least))
            chosen[better] = at
            near[rows[better]] = np.asarray(U)[better]
            going, least = ~started | allowed, np.minimum(bias, least)
            if not going.any():
                break
        places[rows] = chosen
    return grid[places], near
