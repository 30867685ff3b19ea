"""Soft orthogonality of kernels: ``lam·‖WᵀW − I‖_F²``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import coefficient, finite_product, product
from ._base import PyTree, Strength, static
from ._matrix import Matrixwise
from ._spectral import spectral_map

# Newton's steps from above: quadratic but where the root is triple (σ = 0, 4·strength = 1), and there each takes off a third.
_STEPS = 60


def _excess(W: Float[Array, "m n"]) -> tuple[Float[Array, "k k"], int]:
    """The smaller of ``WᵀW − I`` and ``WWᵀ − I``, and how much more the square of the former is: 1 for each column beyond the rows."""
    wide = W.shape[1] > W.shape[0]
    gram = product(W, W.T) if wide else product(W.T, W)
    return gram - jnp.eye(len(gram), dtype=W.dtype), W.shape[1] - len(gram)


def value(W: Float[Array, "m n"], lam) -> Scalar:
    excess, more = _excess(W)
    return lam * (jnp.sum(excess**2) + more)


def grad(W: Float[Array, "m n"], lam) -> Float[Array, "m n"]:
    excess, more = _excess(W)
    return 4 * lam * (product(excess, W) if more else product(W, excess))


def shrink(s: Float[Array, " k"], quartic) -> Float[Array, " k"]:
    """``argmin_{z >= 0} ½(z − s)² + ¼·quartic·(z² − 1)²``: the one positive root of ``z·(1 − quartic + quartic·z²) = s``.

    The cubic is convex for z > 0: from a point above the root Newton's method falls to it. Where s = 0 and quartic > 1, the root
    0 is a maximum, and the minimum is the positive root all the same.
    """
    s0, fixed = jax.lax.stop_gradient((s, quartic))
    some = jnp.where(fixed > 0, fixed, 1)
    # Above the root: max(s, 1), and √(1 − 1/quartic)₊ + ∛(s/quartic), which is nearer where s is large.
    above = jnp.sqrt(jnp.maximum(1 - 1 / some, 0)) + jnp.cbrt(s0) / jnp.cbrt(some)
    start = jnp.where(fixed > 0, jnp.minimum(jnp.maximum(s0, 1), above), s0)

    def newton(z: Array, s: Array, quartic: Array) -> Array:
        # Both sides over 1 + quartic, so that no cube overflows.
        linear, cubic = (1 - quartic) / (1 + quartic), quartic / (1 + quartic)
        slope = linear + 3 * (cubic * z) * z
        excess = z * (linear + (cubic * z) * z) - s / (1 + quartic)
        return z - excess / jax.lax.stop_gradient(jnp.where(slope > 0, slope, 1))

    found = jax.lax.fori_loop(0, _STEPS, lambda _, z: newton(z, s0, fixed), start)
    # One more step from a constant: its derivative is the root's, by the implicit function theorem.
    return newton(jax.lax.stop_gradient(found), s, quartic)


def prox(W: Float[Array, "m n"], step, lam) -> Float[Array, "m n"]:
    """Singular vectors stay: by von Neumann's trace inequality W and the minimiser share them."""
    return spectral_map(shrink, W, finite_product(4 * step, lam))


class Orthogonality(Matrixwise):
    """Soft orthogonality of kernels: ``lam·‖WᵀW − I‖_F²``: columns of length 1 at right angles, all singular values at 1.

    Gradient ``4·lam·W(WᵀW − I)``. Smooth, not convex (``+ 2·lam·‖W‖_F²`` is). The prox moves each singular value σ to the one positive
    root of ``z + 4·step·lam·z(z² − 1) = σ``, the global minimiser; at a singular value of 0 with ``4·step·lam > 1`` there are several,
    of which it takes the one with the decomposition's singular vectors. With fewer rows than columns WᵀW cannot be I: the value is that
    of ``‖WWᵀ − I‖²`` plus lam for each column too many, and is computed so.

    Args:
      lam: strength, >= 0, one number.
      axes: the axes of rows and of columns, each one or several; ``((0, 1, 2), 3)`` makes a convolution's filters (height, width, in,
        out) its columns; other axes count matrices.

    Raises:
      ValueError: ``lam`` is negative or not finite; a leaf lacks the axes.

    References:
      Bansal, Chen and Wang, Can we gain more from orthogonality regularizations in training deep CNNs?, 2018, eq. 1.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Orthogonality(0.25).prox(jnp.diag(jnp.array([8.0, 1.0]))).tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """

    lam: Strength = 1.0
    axes: Any = static(default=(-2, -1))
    smooth = True
    about = About(
        equation="lam·‖WᵀW − I‖²",
        domain="lam ≥ 0; matrices",
        cost="an SVD, O(m·n·min(m, n))",
        also="",
        source="Bansal, Chen and Wang 2018, eq. 1",
    )

    vector_value, vector_prox = staticmethod(value), staticmethod(prox)

    @staticmethod
    def vector_residual(w: Float[Array, "m n"], g: Float[Array, "m n"], lam) -> Float[Array, "m n"]:
        return g + grad(w, lam)

    @staticmethod
    def vector_lambda_max(g: Float[Array, "m n"], lam) -> Scalar:
        """Zero is stationary for the penalty (a maximum), and so for no λ if the gradient there is not 0."""
        return jnp.where(jnp.any(g != 0) & (lam > 0), jnp.inf, 0).astype(g.dtype)

    @staticmethod
    def vector_support(w: Float[Array, "m n"], lam) -> Array:
        del lam
        return jnp.ones(w.shape, bool)

    def weak_convexity(self) -> Any:
        """``‖WᵀW − I‖² = ‖WᵀW‖² − 2‖W‖² + n``, of which the first is convex."""
        return 4 * self.lam

    def grad(self, params: PyTree) -> PyTree:
        return self._write(grad, params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}‖{w}ᵀ{w} − I‖²"
