"""Tikhonov's quadratic form: ``lam·‖Aw‖²``, of all parameters or of each slice."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._dtypes import is_number
from ._about import About
from ._arithmetic import check_numbers, coefficient, product
from ._base import PyTree, Strength, static
from ._spectral import decompose, negligible
from ._vector import Vectorwise, rounding


def _fitting(w: Float[Array, " n"], matrix: Float[Array, "m k"]) -> Float[Array, "m n"]:
    if matrix.ndim != 2 or matrix.shape[1] != w.size:
        raise ValueError(f"Tikhonov: matrix must have one column for each of the {w.size} parameters of a vector, got shape {matrix.shape}")
    return matrix


def value(w: Float[Array, " n"], lam, matrix) -> Scalar:
    return lam * jnp.sum(product(_fitting(w, matrix), w) ** 2)


def grad(w: Float[Array, " n"], lam, matrix) -> Float[Array, " n"]:
    A = _fitting(w, matrix)
    return 2 * lam * product(A.T, product(A, w))


def prox(w: Float[Array, " n"], step, lam, matrix) -> Float[Array, " n"]:
    """``(I + 2·step·lam·AᵀA)⁻¹w``, with derivatives of the equation, not of the decomposition that solves it."""
    A, strength = _fitting(w, matrix), 2 * step * lam
    fixed = jax.lax.stop_gradient((A, strength))

    def solve(_: Any, v: Array) -> Array:
        """Each singular vector of A keeps its part of v over 1 + curvature, at any strength; what is off them all is kept whole."""
        _, s, Vt = decompose(fixed[0])
        along = product(Vt, v)
        kept = product(Vt.T, along / (1 + fixed[1] * s**2))
        return kept if Vt.shape[0] == Vt.shape[1] else (v - product(Vt.T, along)) + kept

    def matvec(z: Array) -> Array:
        return z + strength * product(A.T, product(A, z))

    return jax.lax.custom_linear_solve(matvec, w, solve, symmetric=True)


def conjugate(u: Float[Array, " n"], lam, matrix) -> Scalar:
    """``‖A⁺ᵀu‖²/(4·lam)`` where u lies in the span of A's rows, +inf off it; singular values and parts of u up to 4·n·ε are 0."""
    _, s, Vt = decompose(_fitting(u, matrix))
    kept = ~negligible(s) & (lam > 0)
    along = jnp.where(kept, product(Vt, u), 0)
    off = u - product(Vt.T, along)
    inside = jnp.max(jnp.abs(off), initial=0) <= rounding(u) * jnp.max(jnp.abs(u), initial=0)
    square = jnp.sum((along / jnp.where(kept, s, 1)) ** 2) / (4 * jnp.where(lam > 0, lam, 1))
    return jnp.where(inside, square, jnp.inf).astype(u.dtype)


class Tikhonov(Vectorwise):
    """Tikhonov (generalised ridge): ``lam·‖Aw‖²``, summed over slices where ``axis`` is given.

    A chooses what is to be small: differences for smoothness, a whitening matrix for a Gaussian prior with precision
    ``2·lam·AᵀA``. Gradient ``2·lam·AᵀAw``, prox ``(I + 2·step·lam·AᵀA)⁻¹w`` by a singular value decomposition, conjugate
    ``‖A⁺ᵀu‖²/(4·lam)`` on the span of A's rows, +inf off it. Convex and smooth; derivatives with respect to ``matrix`` too.
    ``L2(lam)`` is the case of the identity; like it, without ½.

    Args:
      lam: strength, >= 0, one number, in units of loss per square of Aw.
      matrix: A, of shape (m, parameters of a vector), in the order in which the leaves flatten; data, not structure.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``matrix`` is missing, not finite, no matrix, or does not fit the parameters.

    References:
      Tikhonov, Solution of incorrectly formulated problems and the regularization method, 1963; Hansen, Rank-deficient and discrete
      ill-posed problems, 1998, eq. 1.4 and 2.20.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Tikhonov(0.5, matrix=[[-1.0, 1.0]]).prox(jnp.array([0.0, 3.0])).round(3).tolist()
    [1.0, 2.0]
    """

    lam: Strength = 1.0
    matrix: Any = None
    axis: Any = static(default=None)
    convex, smooth = True, True
    about = About(
        equation="lam·‖Aw‖²",
        domain="lam ≥ 0; A with n columns",
        cost="an SVD, O(m·n·min(m, n))",
        also="",
        source="Tikhonov 1963; Hansen 1998, eq. 1.4",
    )

    vector_value, vector_prox, vector_conjugate = staticmethod(value), staticmethod(prox), staticmethod(conjugate)

    def __post_init__(self) -> None:
        if self.matrix is None:
            raise ValueError("Tikhonov: matrix is missing; pass an array (m, n), such as np.diff(np.eye(n), axis=0) for smoothness")
        object.__setattr__(self, "matrix", np.asarray(self.matrix) if isinstance(self.matrix, list | tuple) else self.matrix)
        super().__post_init__()
        if is_number(self.matrix) and np.ndim(self.matrix) != 2:
            raise ValueError(f"Tikhonov: matrix must have shape (m, n), got {np.shape(self.matrix)}")

    def _validate(self, name: str, value: Any) -> None:
        if name == "matrix":
            check_numbers("Tikhonov: matrix", value, np.isfinite, "finite")
        else:
            super()._validate(name, value)

    def _dimension(self, name: str) -> int:
        return 2 if name == "matrix" else 0

    @staticmethod
    def vector_residual(w: Float[Array, " n"], g: Float[Array, " n"], lam, matrix) -> Float[Array, " n"]:
        return g + grad(w, lam, matrix)

    @staticmethod
    def vector_lambda_max(g: Float[Array, " n"], lam, matrix) -> Scalar:
        """No λ makes a gradient that is not 0 vanish at 0."""
        return jnp.where(jnp.any((g != 0) & ~Tikhonov.vector_free(lam, matrix)), jnp.inf, 0).astype(g.dtype)

    @staticmethod
    def vector_support(w: Float[Array, " n"], lam, matrix) -> Array:
        del lam, matrix
        return jnp.ones(w.shape, bool)

    @staticmethod
    def vector_free(lam, matrix) -> Array:
        """Numbers that A multiplies by 0."""
        return (lam == 0) | jnp.all(matrix == 0, axis=0)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(grad, params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}{'' if self.axis is None else 'Σ'}‖A{w}{'' if self.axis is None else '_slice'}‖²"
