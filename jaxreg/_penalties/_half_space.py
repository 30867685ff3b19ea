"""Hyperplanes and half-spaces: one linear equation, or inequality, of all parameters."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._dtypes import is_concrete, is_number
from ._about import About
from ._arithmetic import check_numbers, safe_sqrt
from ._base import static
from ._l2_norm import unit
from ._vector import VectorSet, rounding


def normalised(w: Float[Array, " n"], normal, offset) -> tuple[Float[Array, " n"], Scalar]:
    """The equation with a normal of length 1, divided twice so that neither square nor quotient leaves the range of floats."""
    if normal.shape != w.shape:
        raise ValueError(f"normal must have one entry for each of the {w.size} parameters of a vector, got shape {normal.shape}")
    scale = unit(normal)
    size = safe_sqrt(jnp.sum((normal / scale) ** 2))
    size = jnp.where(size > 0, size, 1)
    return normal / scale / size, offset / scale / size


def excess(w: Float[Array, " n"], normal, offset) -> Scalar:
    """``(⟨normal, w⟩ − offset)/‖normal‖``."""
    a, b = normalised(w, normal, offset)
    return jnp.sum(a * w) - b


def onto_hyperplane(w: Float[Array, " n"], normal, offset) -> Float[Array, " n"]:
    """Twice: the first time rounds in units of w, which may be far larger than the answer."""
    a, _ = normalised(w, normal, offset)
    w = w - excess(w, normal, offset) * a
    return w - excess(w, normal, offset) * a


def onto_half_space(w: Float[Array, " n"], normal, offset) -> Float[Array, " n"]:
    return jnp.where(excess(w, normal, offset) <= 0, w, onto_hyperplane(w, normal, offset))


def size(w: Array, normal: Array, offset: Array) -> Array:
    a, b = normalised(w, normal, offset)
    return jnp.sum(jnp.abs(a * w)) + jnp.abs(b)


class Linear(VectorSet):
    """A set with the field ``normal``, checked, and bounds of ``⟨normal, w⟩``."""

    convex: ClassVar[bool] = True

    def __post_init__(self) -> None:
        normal = getattr(self, "normal")
        if normal is None:
            raise ValueError(f"{type(self).__name__}: normal is missing; pass a vector with one entry for each parameter")
        for field in ("normal", "lower", "upper"):  # as far as the set has them
            value = getattr(self, field, None)
            if isinstance(value, list | tuple):
                object.__setattr__(self, field, np.asarray(value))
        super().__post_init__()
        if np.ndim(normal) != 1:
            raise ValueError(f"{type(self).__name__}: normal must have shape (n,), got {np.shape(normal)}")
        if is_number(getattr(self, "normal")) and is_concrete(normal) and not np.any(np.asarray(normal)):
            raise ValueError(f"{type(self).__name__}: normal must not be zero; it would bound nothing or exclude everything")

    def _validate(self, name: str, value: Any) -> None:
        check_numbers(f"{type(self).__name__}: {name}", value, np.isfinite, "finite")

    def _dimension(self, name: str) -> int:
        return 1 if name == "normal" else 0

    @staticmethod
    def vector_free(normal, *bounds: Any) -> Array:
        """What no equation mentions."""
        del bounds
        return normal == 0


class Hyperplane(Linear):
    """The constraint ``⟨normal, w⟩ = offset``, for each slice where ``axis`` is given; λ has no effect.

    Prox ``w − (⟨normal, w⟩ − offset)·normal/‖normal‖²``, gradient 0, conjugate ``t·offset`` at ``t·normal`` and +inf elsewhere (to
    rounding). Convex, smooth nowhere. ``normal`` and ``offset`` are data: a prox has derivatives with respect to them.

    Args:
      normal: a vector, not zero, in the order in which the parameters flatten (``jax.flatten_util.ravel_pytree``).
      offset: one number.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``normal`` is missing, zero, not finite or does not fit the parameters; a leaf lacks the axis.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Hyperplane([1.0, 1.0, 1.0, 1.0], 2.0).prox(jnp.array([1.0, 2.0, 3.0, 4.0])).tolist()
    [-1.0, 0.0, 1.0, 2.0]
    """

    normal: Any = None
    offset: Any = 0.0
    axis: Any = static(default=None)
    condition = "⟨normal, {w}⟩ = {offset}"
    about = About(
        equation="⟨normal, w⟩ = offset",
        domain="normal ≠ 0",
        cost="O(n)",
        also="optax, jaxopt",
        source="Parikh and Boyd 2014, §6.2",
    )
    project = staticmethod(onto_hyperplane)

    @staticmethod
    def violation(w: Float[Array, " n"], normal, offset) -> tuple[Scalar, Scalar]:
        return jnp.abs(excess(w, normal, offset)), size(w, normal, offset)

    @staticmethod
    def tangent(w: Float[Array, " n"], d: Float[Array, " n"], normal, offset) -> Float[Array, " n"]:
        return onto_hyperplane(d, normal, jnp.zeros_like(offset))

    @staticmethod
    def vector_conjugate(u: Float[Array, " n"], normal, offset) -> Scalar:
        return support_function(u, normal, offset)


class HalfSpace(Linear):
    """The constraint ``⟨normal, w⟩ <= offset``, for each slice where ``axis`` is given; λ has no effect.

    Prox: where it does not hold, the nearest point of the hyperplane. Gradient 0, conjugate ``t·offset`` at ``t·normal`` for ``t >= 0``
    and +inf elsewhere (to rounding). Convex, smooth inside. ``normal`` and ``offset`` are data: a prox has derivatives with respect to
    them.

    Args:
      normal: a vector, not zero, in the order in which the parameters flatten (``jax.flatten_util.ravel_pytree``).
      offset: one number.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``normal`` is missing, zero, not finite or does not fit the parameters; a leaf lacks the axis.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.HalfSpace([1.0, 1.0, 1.0, 1.0], 2.0).prox(jnp.array([1.0, 2.0, 3.0, 4.0])).tolist()
    [-1.0, 0.0, 1.0, 2.0]
    """

    normal: Any = None
    offset: Any = 0.0
    axis: Any = static(default=None)
    condition = "⟨normal, {w}⟩ ≤ {offset}"
    about = About(
        equation="⟨normal, w⟩ ≤ offset",
        domain="normal ≠ 0",
        cost="O(n)",
        also="optax, jaxopt, ProximalOperators.jl, PyProximal",
        source="Parikh and Boyd 2014, §6.2",
    )
    project = staticmethod(onto_half_space)

    @staticmethod
    def violation(w: Float[Array, " n"], normal, offset) -> tuple[Scalar, Scalar]:
        return excess(w, normal, offset), size(w, normal, offset)

    @staticmethod
    def tangent(w: Float[Array, " n"], d: Float[Array, " n"], normal, offset) -> Float[Array, " n"]:
        return onto_half_space(d, normal, jnp.zeros_like(offset))

    @staticmethod
    def vector_conjugate(u: Float[Array, " n"], normal, offset) -> Scalar:
        a, _ = normalised(u, normal, offset)
        return jnp.where(jnp.sum(a * u) >= 0, support_function(u, normal, offset), jnp.inf).astype(u.dtype)


def support_function(u: Array, normal: Array, offset: Array) -> Array:
    """``t·offset`` for ``u = t·normal``."""
    a, b = normalised(u, normal, offset)
    along = jnp.sum(a * u)
    parallel = jnp.max(jnp.abs(u - along * a), initial=0) <= rounding(u) * jnp.max(jnp.abs(u), initial=0)
    return jnp.where(parallel, along * b, jnp.inf).astype(u.dtype)
