"""Indicators of intervals: 0 inside, +inf outside. Their prox is the projection, whatever the step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._dtypes import is_concrete, is_number
from .._tree import combine
from ._about import About
from ._arithmetic import check_numbers
from ._base import Penalty, Strength
from ._separable import Separable


def slack(w: Float[Array, "..."], end: Any) -> Any:
    """What rounding may add to a number that was set to the end and then moved or scaled, as ``around`` and ``rescale`` do."""
    finite = jnp.where(jnp.isfinite(end), end, 0)
    return 64 * jnp.finfo(w.dtype).eps * jnp.abs(finite)


def value(w: Float[Array, "..."], lower, upper) -> Float[Array, "..."]:
    """Inside means to 64 ε of an end."""
    inside = (lower - slack(w, lower) <= w) & (w <= upper + slack(w, upper))
    return jnp.where(inside, 0.0, jnp.where(jnp.isnan(w), jnp.nan, jnp.inf)).astype(w.dtype)


def grad(w: Float[Array, "..."], lower, upper) -> Float[Array, "..."]:
    """0, an element of the normal cone at every point of the interval."""
    del lower, upper
    return jnp.zeros_like(w)


def prox(w: Float[Array, "..."], step, lower, upper) -> Float[Array, "..."]:
    """The derivative at a bound is that of outside, 0: of ties, clipping would make halves."""
    del step
    return jnp.where(w <= lower, lower, jnp.where(w >= upper, upper, w)).astype(w.dtype)


def subdifferential(w: Float[Array, "..."], lower, upper) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """The normal cone: {0} inside, a ray at an end, nothing (an empty interval) outside."""
    outside = (w < lower - slack(w, lower)) | (w > upper + slack(w, upper)) | jnp.isnan(w)
    down = jnp.where(w <= lower + slack(w, lower), -jnp.inf, 0.0)
    up = jnp.where(w >= upper - slack(w, upper), jnp.inf, 0.0)
    return jnp.where(outside, jnp.inf, down).astype(w.dtype), jnp.where(outside, -jnp.inf, up).astype(w.dtype)


def support(w: Float[Array, "..."], lower, upper) -> Array:
    return (lower + slack(w, lower) < w) & (w < upper - slack(w, upper))


def conjugate(u: Float[Array, "..."], lower, upper) -> Float[Array, "..."]:
    """The larger of u·lower and u·upper, with 0·inf = 0."""
    ends = [jnp.where(u == 0, 0.0, u * end) for end in (lower, upper)]
    return jnp.maximum(*ends).astype(u.dtype)


class NonNegative(Separable):
    """The constraint w >= 0: 0 where it holds, +inf elsewhere; prox ``max(w, 0)``. λ has no effect on it.

    The prox's derivative at 0 is that of below, 0.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.2.

    >>> import jax.numpy as jnp, jaxreg
    >>> (jaxreg.L1(1.0) + jaxreg.NonNegative()).prox(jnp.array([3.0, -3.0])).tolist()
    [2.0, 0.0]
    """

    convex, finite, cone, role = True, False, True, "interval"
    about = About(
        equation="w ≥ 0",
        domain="no parameters",
        cost="O(n)",
        also="optax, jaxopt, skglm, SCICO, ProximalOperators.jl, Keras",
        source="Parikh and Boyd 2014, §6.2",
    )

    @staticmethod
    def leaf_value(w: Float[Array, "..."]) -> Float[Array, "..."]:
        return value(w, 0.0, jnp.inf)

    @staticmethod
    def leaf_grad(w: Float[Array, "..."]) -> Float[Array, "..."]:
        return grad(w, 0.0, jnp.inf)

    @staticmethod
    def leaf_prox(w: Float[Array, "..."], step) -> Float[Array, "..."]:
        return prox(w, step, 0.0, jnp.inf)

    @staticmethod
    def leaf_subdifferential(w: Float[Array, "..."]):
        return subdifferential(w, 0.0, jnp.inf)

    @staticmethod
    def leaf_support(w: Float[Array, "..."]) -> Array:
        return support(w, 0.0, jnp.inf)

    @staticmethod
    def leaf_conjugate(u: Float[Array, "..."]) -> Float[Array, "..."]:
        return conjugate(u, 0.0, jnp.inf)

    def scaled(self, factor: Strength) -> Penalty:
        del factor
        return self

    def formula(self, prefix: str = "", w: str = "w") -> str:
        del prefix
        return f"[{w} ≥ 0]"


def check_order(penalty: Any) -> None:
    """Of the fields lower and upper, where both are known: one is a number, or both have one structure."""
    name = type(penalty).__name__

    def compare(lower: Any, upper: Any) -> None:
        if all(map(is_concrete, (lower, upper))):
            crossed = np.greater(np.asarray(lower), np.asarray(upper))
            if crossed.any():
                raise ValueError(f"{name}: lower must not exceed upper, but does in {crossed.sum()} of {crossed.size} entries")

    if all(map(is_number, jax.tree.leaves((penalty.lower, penalty.upper)))):
        combine(penalty.lower, penalty.upper, compare, f"{name}: upper")


class Box(Separable):
    """The constraint lower <= w <= upper: 0 where it holds, +inf elsewhere; prox ``clip``. λ has no effect on it.

    The prox's derivative at a bound is that of outside, 0.

    Args:
      lower, upper: numbers, arrays (one leaf) or pytree prefixes, infinite where there is no bound; lower <= upper.

    Raises:
      ValueError: a bound is NaN, or a lower bound exceeds its upper bound.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.Box(-1.0, 2.0).prox(jnp.array([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 2.0]
    """

    lower: Strength = -np.inf
    upper: Strength = np.inf
    convex, finite, role = True, False, "interval"
    about = About(
        equation="lower ≤ w ≤ upper",
        domain="lower ≤ upper",
        cost="O(n)",
        also="optax, jaxopt, skglm, ProximalOperators.jl, PyProximal, glmnet",
        source="Parikh and Boyd 2014, §6.2",
    )

    leaf_value = staticmethod(value)
    leaf_grad = staticmethod(grad)
    leaf_prox = staticmethod(prox)
    leaf_subdifferential = staticmethod(subdifferential)
    leaf_support = staticmethod(support)
    leaf_conjugate = staticmethod(conjugate)

    @staticmethod
    def leaf_free(w: Float[Array, "..."], lower, upper) -> Array:
        return jnp.broadcast_to(jnp.isneginf(lower) & jnp.isposinf(upper), w.shape)

    def _validate(self, name: str, value: Any) -> None:
        check_numbers(f"Box: {name}", value, lambda x: ~np.isnan(x), "a number")
        if name == "upper":
            check_order(self)

    def scaled(self, factor: Strength) -> Penalty:
        del factor
        return self

    def formula(self, prefix: str = "", w: str = "w") -> str:
        del prefix
        low, up = (f"{float(b):g}" if np.ndim(b) == 0 and is_number(b) else name
                   for b, name in ((self.lower, "lower"), (self.upper, "upper")))  # fmt: skip
        return f"[{low} ≤ {w} ≤ {up}]"
