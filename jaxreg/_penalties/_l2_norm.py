"""The Euclidean norm, not squared: ``lam·‖w‖₂``, of all parameters or of each slice."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._arithmetic import safe_sqrt
from ._base import Penalty, PyTree, Strength, static
from ._groups import shrink
from ._vector import Norm, norm_formula


def unit(w: Float[Array, " n"]) -> Scalar:
    """The largest entry, a constant to derivatives: in its units no square overflows or vanishes. 1 where that is no help.

    No larger than has a reciprocal: XLA divides by multiplying with that, and one below ``tiny`` is flushed to 0.
    """
    largest = jnp.max(jnp.abs(w), initial=0)
    some = jnp.minimum(largest, 1 / jnp.finfo(w.dtype).tiny)
    return jax.lax.stop_gradient(jnp.where((largest > 0) & jnp.isfinite(largest), some, 1))


def length(w: Float[Array, " n"]) -> Scalar:
    """‖w‖₂; its derivative at 0 is 0."""
    return unit(w) * safe_sqrt(jnp.sum((w / unit(w)) ** 2))


def direction(w: Float[Array, " n"]) -> Float[Array, " n"]:
    """w/‖w‖₂, and 0 for 0; its derivative divides by no square of a length."""
    scaled = w / unit(w)
    size = safe_sqrt(jnp.sum(scaled**2))
    return scaled / jnp.where(size > 0, size, 1)


def value(w: Float[Array, " n"], lam) -> Scalar:
    return lam * length(w)


def grad(w: Float[Array, " n"], lam) -> Float[Array, " n"]:
    size = length(w)
    return jnp.where(size == 0, 0, lam * (w / jnp.where(size == 0, 1, size)))


def prox(w: Float[Array, " n"], step, lam) -> Float[Array, " n"]:
    return w * shrink(length(w), step * lam)


class L2Norm(Norm):
    """Euclidean norm: ``lam·‖w‖₂``, summed over slices where ``axis`` is given.

    Not squared: it shrinks a whole vector to exactly zero or none of it. Gradient ``lam·w/‖w‖`` (0 at 0), prox
    ``(1 − step·lam/‖w‖)₊·w``, conjugate the indicator of the ball of radius lam. ``axis`` gives the group sparsity of neurons
    (``axis=0`` of a kernel (in, out): the weights into a unit) and of filters; it is ``GroupLasso`` with weights of 1.

    Args:
      lam: strength, >= 0, one number.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``lam`` is negative or not finite; a leaf lacks the axis.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.5.1; for networks, Scardapane et al., Group sparse regularization, 2017, eq. 4.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.L2Norm(1.0, axis=0).prox(jnp.array([[3.0, 0.1], [4.0, 0.1]])).tolist()
    [[2.4..., 0.0], [3.2..., 0.0]]
    """

    lam: Strength = 1.0
    axis: Any = static(default=None)
    role = "norm"
    about = About(
        equation="lam·‖w‖₂",
        domain="lam ≥ 0",
        cost="O(n)",
        also="SCICO, ProximalOperators.jl, PyProximal",
        source="Parikh and Boyd 2014, §6.5.1",
    )

    vector_value, vector_prox, dual_norm = staticmethod(value), staticmethod(prox), staticmethod(length)

    @staticmethod
    def vector_support(w: Float[Array, " n"], lam) -> Array:
        return (length(w) > 0) | (lam == 0)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(grad, params)

    # Its subdifferential at 0 is a ball: intervals for the smooth part, and _relax for the ball, as GroupLasso has them.

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        gradient = self.grad(params)
        return gradient, gradient

    def subdiff_distance(self, params: PyTree, grad: PyTree) -> Scalar:
        return Penalty.subdiff_distance(self, params, grad)

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        return self._write(lambda r, w, lam: jnp.where(length(w) == 0, prox(r, 1, lam), r), residual, params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return norm_formula(self, prefix, w, ("‖", "‖₂"))
