"""What Newton's steps on the dual of an elastic net are made of: a working set, K = Σ zⱼzⱼᵀ/bⱼ of what moves, and factors of ``λI + K``."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._batch import Quadratic
from ._working_set import Columns

_BLOCK = 32  # columns that K takes in or gives up at once
_LARGE = 512  # rows from which on a factor is worth correcting


class Curvature(NamedTuple):
    """K and the coefficients that it is made of."""

    K: Float[Array, "n n"]
    inside: Bool[Array, "b"]


class Members(NamedTuple):
    """The problem on a working set; what fills it up is zero."""

    rows: Float[Array, "b n"]
    problem: Quadratic  # but for q; of G's and K's precision are the factors
    coarse: Float[Array, "b n"]  # the rows in that
    curvature: Curvature | None  # None where the set is no larger than the rows are many, and G is known


@functools.partial(jax.jit, static_argnames=("precision",))
def restricted(columns: Columns, problem: Quadratic, places: Int[Array, "b"], before: Curvature | None, precision: Any) -> Members:
    """The problem on the features ``places``, −1 where there is none; K stays what it was ``before``."""
    real = places >= 0

    def at(x: Array, fill: float) -> Array:
        return jnp.where(real, x[places], fill)

    rows, n, b = jnp.where(real[:, None], columns.rows[places], 0), columns.target.size, places.size
    coarse = rows.astype(precision)
    G = coarse @ coarse.T if b <= n else problem.G
    own = Quadratic(G, problem.q, at(problem.a, 1.0), at(problem.b, 1.0), at(problem.low, -jnp.inf), at(problem.up, jnp.inf))
    if b <= n:
        return Members(rows, own, coarse, None)
    K, inside = Curvature(jnp.zeros((n, n), precision), jnp.zeros(0, bool)) if before is None else before
    return Members(rows, own, coarse, Curvature(K, jnp.pad(inside, (0, b - inside.size))))


def factor(members: Members, curvature: Curvature | None, moving: Bool[Array, "b"], lam: Array) -> tuple[Array, Curvature | None]:
    """Cholesky's of ``I + K/λ`` for K of the coefficients ``moving``: of the size of the set or of the rows, the smaller one."""
    if curvature is None:
        matrix = jnp.where(moving[:, None] & moving, members.problem.G, 0)
        matrix += jnp.diag(jnp.where(moving, lam * members.problem.b, 1).astype(matrix.dtype))
    else:
        curvature = followed(members.coarse, members.problem.b, curvature, moving)
        K = curvature.K.T  # it is symmetric, and this way round LAPACK takes it as it is
        matrix = jnp.where(jnp.eye(len(K), dtype=bool), K + lam.astype(K.dtype), K)
    return jax.lax.linalg.cholesky(matrix, symmetrize_input=False), curvature


def descent(
    members: Members, L: Float[Array, "m m"], of: Bool[Array, "b"], moving: Bool[Array, "b"], lam: Array, g: Float[Array, "n"]
) -> Float[Array, "n"]:
    """``−(I + K/λ)⁻¹g`` to the digits of the factor, which is ``of`` coefficients that differ from those ``moving`` by a few."""
    size = jnp.linalg.norm(g)
    unit = (g / jnp.where(size > 0, size, 1)).astype(L.dtype)
    if members.curvature is None:
        inner = jax.scipy.linalg.cho_solve((L.T, False), jnp.where(moving, members.coarse @ unit, 0))
        return size * (inner @ members.coarse - unit)

    def half(x: Array) -> Array:
        return jax.scipy.linalg.solve_triangular(L.T, x, trans=1)

    def corrected(x: Array) -> Array:
        Z, change, _ = changes(members.coarse, members.problem.b, of, moving)
        W = half(Z.T)
        M = W.T @ W + jnp.diag(jnp.where(change == 0, 1, 1 / jnp.where(change == 0, 1, change)))
        return x - W @ jnp.linalg.solve(M, x @ W)

    inner = half(unit)
    if reach(members):
        inner = jax.lax.cond(jnp.any(moving != of), corrected, lambda x: x, inner)
    return -size * lam * jax.scipy.linalg.solve_triangular(L.T, inner)


def reach(members: Members) -> int:
    """Changes of what moves up to which the factor at hand is corrected: where it is large, a new one is dearer."""
    return _BLOCK if members.curvature is not None and len(members.curvature.K) >= _LARGE else 0


def changes(
    rows: Float[Array, "b n"], b: Float[Array, "b"], inside: Bool[Array, "b"], wanted: Bool[Array, "b"]
) -> tuple[Array, Array, Array]:
    """The columns of the first coefficients to be taken in or given up, what K takes of each, and ``inside`` when that is done."""
    block = min(_BLOCK, b.size)
    # No nonzero and no scatter, which XLA makes loops of on a CPU: the changes are counted, and the k-th looked up.
    changed = inside != wanted
    rank = jnp.cumsum(changed)
    at = jnp.searchsorted(rank, jnp.arange(1, block + 1), method="compare_all")
    Z = rows.at[at].get(mode="fill", fill_value=0)
    change = jnp.where(wanted, 1 / b, -1 / b).astype(rows.dtype).at[at].get(mode="fill", fill_value=0)
    return Z, change, jnp.where(changed & (rank <= block), wanted, inside)


def followed(rows: Float[Array, "b n"], b: Float[Array, "b"], curvature: Curvature, wanted: Bool[Array, "b"]) -> Curvature:
    """K of the coefficients ``wanted``."""

    def step(curvature: Curvature) -> Curvature:
        Z, change, inside = changes(rows, b, curvature.inside, wanted)
        return Curvature(curvature.K + Z.T @ (change[:, None] * Z), inside)

    return jax.lax.while_loop(lambda curvature: jnp.any(curvature.inside != wanted), step, curvature)
