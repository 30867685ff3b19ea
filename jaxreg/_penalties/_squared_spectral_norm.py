"""The squared spectral norm: ``lam·σ_max(W)²``, exactly or by power iteration."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import coefficient, product
from ._base import PyTree, Strength, static
from ._l2_norm import length
from ._matrix import Matrixwise
from ._spectral import level_with_largest, singular_values, spectral_map, spectral_value
from ._spectral_norm import face_residual, top


def squared_largest(s: Float[Array, " k"], lam) -> Scalar:
    return lam * jnp.max(s, initial=0) ** 2


def value(W: Float[Array, "m n"], lam) -> Scalar:
    return spectral_value(squared_largest, W, lam)


def grad(W: Float[Array, "m n"], lam) -> Float[Array, "m n"]:
    return 2 * lam * jnp.max(singular_values(W), initial=0) * top(W)


def capped(s: Float[Array, " k"], step, lam) -> Float[Array, " k"]:
    """min(s, level) with ``Σ(s − level)₊ = 2·step·lam·level``: of the levels that the k largest ask for, the highest."""
    largest = jnp.cumsum(jnp.flip(jnp.sort(s)))
    level = jnp.max(largest / (jnp.arange(1, s.size + 1, dtype=s.dtype) + 2 * step * lam), initial=0)
    # s itself at strength 0, with the derivative that a level at the largest has not: the largest share the first of the strength.
    top = s == jnp.max(s, initial=0)
    still = s - 2 * step * lam * top * s / jnp.maximum(jnp.sum(top), 1)
    return jnp.where(step * lam == 0, still, jnp.where(s > level, level, s))


def prox(W: Float[Array, "m n"], step, lam) -> Float[Array, "m n"]:
    return spectral_map(capped, W, step, lam)


def residual(W: Float[Array, "m n"], g: Float[Array, "m n"], lam) -> Float[Array, "m n"]:
    return face_residual(W, g, 2 * lam * jnp.max(singular_values(W), initial=0))


def conjugate(u: Float[Array, "m n"], lam) -> Scalar:
    nuclear = jnp.sum(singular_values(u))
    return jnp.where(lam > 0, nuclear**2 / (4 * jnp.where(lam > 0, lam, 1)), jnp.where(nuclear == 0, 0, jnp.inf))


def right_vector(W: Float[Array, "m n"], iterations: int) -> Float[Array, " n"]:
    """Nearly v₁: ``(WᵀW)^iterations`` of a fixed direction, which has no chance to be orthogonal to it; no part of the derivative."""
    W = jax.lax.stop_gradient(W)
    W = W / jnp.maximum(jnp.max(jnp.abs(W), initial=0), jnp.finfo(W.dtype).tiny)

    def turn(_: Any, v: Array) -> Array:
        moved = product(W.T, product(W, v))
        size = length(moved)
        return jnp.where(size > 0, moved / jnp.where(size > 0, size, 1), v)

    start = jax.random.normal(jax.random.key(0), W.shape[1:], W.dtype)
    return jax.lax.stop_gradient(jax.lax.fori_loop(0, iterations, turn, start / length(start)))


class SquaredSpectralNorm(Matrixwise):
    """Squared spectral norm: ``lam·σ_max(W)²``, summed over matrices; spectral norm regularisation of networks.

    It bounds how far a perturbed input can move a layer's output. Gradient ``2·lam·σ_max·u₁v₁ᵀ``; the prox lowers the largest singular
    values to one level; conjugate ``‖U‖_*²/(4·lam)``. Convex, smooth where σ_max is simple. Exact by an SVD or, with ``iterations``, value
    and gradient by power iteration from a fixed start: ``lam·‖Wv‖²``, at most the exact value, with v left out of the derivative. It
    needs no state, costs two products an iteration, and errs by (σ₂/σ₁)^(4·iterations) of the value.

    Args:
      lam: strength, >= 0, one number. No ½: Yoshida and Miyato's λ is ``2·lam``.
      axes: the axes of rows and of columns, each one or several (``((0, 1, 2), 3)`` for a convolution); others count matrices.
      iterations: None, or how many power iterations value and gradient take, >= 1; prox, conjugate and distances stay exact.

    Raises:
      ValueError: ``lam`` is negative or not finite; ``iterations`` is no positive integer; a leaf lacks the axes.

    References:
      Yoshida and Miyato, Spectral norm regularization for improving the generalizability of deep learning, 2017, eq. 5 and alg. 1.

    >>> import jax.numpy as jnp, jaxreg
    >>> kernel = jnp.diag(jnp.array([3.0, 1.0]))
    >>> round(float(jaxreg.SquaredSpectralNorm(0.5)(kernel)), 3), round(float(jaxreg.SquaredSpectralNorm(0.5, iterations=8)(kernel)), 3)
    (4.5, 4.5)
    """

    lam: Strength = 1.0
    axes: Any = static(default=(-2, -1))
    iterations: int | None = static(default=None)
    convex = True
    about = About(
        equation="lam·σ_max(W)²",
        domain="lam ≥ 0; matrices",
        cost="an SVD, O(m·n·min(m, n)); value and gradient O(m·n) an iteration",
        also="",
        source="Yoshida and Miyato 2017, eq. 5",
    )

    vector_prox, vector_residual, vector_conjugate = staticmethod(prox), staticmethod(residual), staticmethod(conjugate)

    def __post_init__(self) -> None:
        super().__post_init__()
        count = self.iterations
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise ValueError(f"SquaredSpectralNorm: iterations must be None or an integer >= 1, got {count!r}")

    def vector_value(self, w: Float[Array, "m n"], lam) -> Scalar:
        if self.iterations is None:
            return value(w, lam)
        return lam * length(product(w, right_vector(w, self.iterations))) ** 2

    def grad(self, params: PyTree) -> PyTree:
        count = self.iterations
        if count is None:
            return self._write(grad, params)

        def one_pair(W: Array, lam: Array) -> Array:
            v = right_vector(W, count)
            return 2 * lam * product(W, v)[:, None] * v

        return self._write(one_pair, params)

    @staticmethod
    def vector_lambda_max(g: Float[Array, "m n"], lam) -> Scalar:
        """Its gradient at 0 is 0: no λ holds a matrix at zero against a gradient."""
        return jnp.where((lam > 0) & jnp.any(g != 0), jnp.inf, 0).astype(g.dtype)

    @staticmethod
    def vector_support(w: Float[Array, "m n"], lam) -> Array:
        """Where no other singular value is level with the largest; also at 0."""
        s = singular_values(w)
        return (jnp.sum(level_with_largest(s)) == 1) | jnp.all(s == 0) | (lam == 0)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}Σσ_max({w})²"
