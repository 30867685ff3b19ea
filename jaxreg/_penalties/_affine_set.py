"""Affine sets: several linear equations of all parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._dtypes import is_concrete, is_number
from ._about import About
from ._arithmetic import check_numbers
from ._base import static
from ._half_space import normalised
from ._vector import VectorSet, rounding


def scaled_rows(w: Float[Array, " n"], matrix, offset) -> tuple[Float[Array, "m n"], Float[Array, " m"]]:
    """The equations with rows of length 1."""
    if matrix.shape[1:] != w.shape:
        raise ValueError(f"AffineSet: matrix must have a column for each of the {w.size} parameters of a vector, got shape {matrix.shape}")
    return jax.vmap(lambda a, b: normalised(w, a, b))(matrix, jnp.broadcast_to(offset, matrix.shape[:1]))


def orthonormal(w: Float[Array, " n"], matrix, offset) -> tuple[Float[Array, "m n"], Float[Array, " m"]]:
    """The same set as ``{Qw = c}`` with orthonormal rows, from the QR factors of the transpose."""
    a, b = scaled_rows(w, matrix, offset)
    q, r = jnp.linalg.qr(a.T)
    return q.T, jax.scipy.linalg.solve_triangular(r, b, trans="T")


def times(matrix: Float[Array, "m n"], w: Float[Array, " n"]) -> Float[Array, " m"]:
    """Accelerators round the factors of a product unless told not to."""
    return jnp.matmul(matrix, w, precision=jax.lax.Precision.HIGHEST)


def project(w: Float[Array, " n"], matrix, offset) -> Float[Array, " n"]:
    """Twice: the first time rounds in units of w, which may be far larger than the answer."""
    q, c = orthonormal(w, matrix, offset)
    for _ in range(2):
        w = w - times(q.T, times(q, w) - c)
    return w


def violation(w: Float[Array, " n"], matrix, offset) -> tuple[Scalar, Scalar]:
    a, b = scaled_rows(w, matrix, offset)
    return jnp.max(jnp.abs(times(a, w) - b), initial=0), jnp.max(times(jnp.abs(a), jnp.abs(w)) + jnp.abs(b), initial=0)


def tangent(w: Float[Array, " n"], d: Float[Array, " n"], matrix, offset) -> Float[Array, " n"]:
    del w
    return project(d, matrix, jnp.zeros_like(offset))


def conjugate(u: Float[Array, " n"], matrix, offset) -> Scalar:
    """``⟨y, offset⟩`` at ``u = matrixᵀy``, in orthonormal rows."""
    q, c = orthonormal(u, matrix, offset)
    y = times(q, u)
    spanned = jnp.max(jnp.abs(u - times(q.T, y)), initial=0) <= rounding(u) * jnp.max(jnp.abs(u), initial=0)
    return jnp.where(spanned, jnp.sum(y * c), jnp.inf).astype(u.dtype)


class AffineSet(VectorSet):
    """The constraints ``matrix·w = offset``, for each slice where ``axis`` is given; λ has no effect.

    Prox ``w − Qᵀ(Qw − c)`` in orthonormal rows Q; gradient 0; conjugate ``⟨y, offset⟩`` at ``matrixᵀy`` and +inf elsewhere (to rounding).
    Convex, smooth nowhere. ``matrix`` and ``offset`` are data: a prox has derivatives with respect to them. The matrix is factored at
    each call, in O(n·m²).

    Args:
      matrix: (m, n), of full row rank, its columns in the order in which the parameters flatten (``jax.flatten_util.ravel_pytree``).
      offset: (m,), or one number for all.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``matrix`` is missing, not finite, does not fit the parameters or the offset, or has dependent rows: they say nothing
        new or contradict each other, and the message says which.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.2.

    >>> import jax.numpy as jnp, jaxreg
    >>> two = jaxreg.AffineSet([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]], [1.0, 4.0])
    >>> two.prox(jnp.array([2.0, 1.0, 5.0])).round(4).tolist()
    [1.0..., 0.0..., 2.0...]
    """

    matrix: Any = None
    offset: Any = 0.0
    axis: Any = static(default=None)
    convex, condition = True, "matrix·{w} = {offset}"
    about = About(
        equation="matrix·w = offset",
        domain="full row rank",
        cost="O(n·m²) for m equations",
        also="jaxopt, ProximalOperators.jl, PyProximal",
        source="Parikh and Boyd 2014, §6.2",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)
    vector_conjugate = staticmethod(conjugate)

    def __post_init__(self) -> None:
        if self.matrix is None:
            raise ValueError("AffineSet: matrix is missing; pass (equations, parameters)")
        for name in ("matrix", "offset"):
            value = getattr(self, name)
            object.__setattr__(self, name, np.asarray(value) if isinstance(value, list | tuple) else value)
        super().__post_init__()
        if np.ndim(self.matrix) != 2:
            raise ValueError(f"AffineSet: matrix must have shape (m, n), got {np.shape(self.matrix)}")
        if np.shape(self.offset) not in ((), np.shape(self.matrix)[:1]):
            raise ValueError(f"AffineSet: offset must have shape ({np.shape(self.matrix)[0]},) or (), got {np.shape(self.offset)}")
        if all(is_number(x) and is_concrete(x) for x in (self.matrix, self.offset)):
            _refuse_dependent_rows(np.asarray(self.matrix), np.asarray(self.offset))

    def _validate(self, name: str, value: Any) -> None:
        check_numbers(f"AffineSet: {name}", value, np.isfinite, "finite")

    def _dimension(self, name: str) -> int:
        return {"matrix": 2, "offset": 1}[name]

    @staticmethod
    def vector_free(matrix, offset) -> Array:
        """What no equation mentions."""
        return jnp.all(matrix == 0, axis=0)


def _refuse_dependent_rows(matrix: np.ndarray, offset: np.ndarray) -> None:
    size = np.abs(matrix).max(axis=1, initial=0, keepdims=True)
    size = np.where(size > 0, size, 1)
    rows, right = matrix / size, np.broadcast_to(offset, len(matrix))[:, None] / size
    eps = np.finfo(matrix.dtype if np.issubdtype(matrix.dtype, np.floating) else float).eps
    tolerance = max(rows.shape, default=1) * eps
    rank = np.linalg.matrix_rank(rows, rtol=tolerance) if rows.size else 0
    if rank < len(rows):
        missed = rows @ np.linalg.lstsq(rows, right, rcond=tolerance)[0] - right
        consistent = np.abs(missed).max(initial=0) <= np.sqrt(eps) * np.abs(right).max(initial=0)
        verdict = "drop the rows that follow from others" if consistent else "no parameters meet all of these equations"
        raise ValueError(f"AffineSet: the {len(rows)} rows of matrix have rank {rank}; {verdict}")
