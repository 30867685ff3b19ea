"""A hyperplane within a box: bounds on every number, and one linear equation of them all."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._dtypes import is_concrete, is_number
from ._about import About
from ._base import static
from ._half_space import Linear, excess, normalised, size
from ._interval import check_order
from ._vector import rounding


def piece(knots: Float[Array, "k"], enough: Any) -> Scalar:
    """A τ within the piece where ``enough(τ)``, true up to some τ and false from there on, changes; infinite knots are none."""
    knots = jnp.sort(jnp.where(jnp.isfinite(knots), knots, jnp.inf))
    count = jnp.sum(jnp.isfinite(knots))

    def halve(_: Any, ends: tuple[Any, Any]) -> tuple[Any, Any]:
        low, high = ends
        middle = jnp.maximum((low + high) // 2, 0)
        yes = enough(knots[middle])
        searching = high - low > 1
        return jnp.where(searching & yes, middle, low), jnp.where(searching & ~yes, middle, high)

    low, high = jax.lax.fori_loop(0, (knots.size + 1).bit_length(), halve, (-jnp.ones_like(count), count))
    before, after = knots[jnp.maximum(low, 0)], knots[jnp.minimum(high, knots.size - 1)]
    before = jnp.where(low >= 0, before, jnp.where(count > 0, 2 * jnp.minimum(after, 0) - 1, 0))
    after = jnp.where(high < count, after, jnp.where(count > 0, 2 * jnp.maximum(before, 0) + 1, 0))
    return before / 2 + after / 2


def nearest(w: Float[Array, " n"], a: Float[Array, " n"], b: Any, lower: Any, upper: Any) -> Float[Array, " n"]:
    """``clip(w − τa, lower, upper)`` with the τ at which ``⟨a, ·⟩`` is b: falling in τ, and straight between the bends of the clips."""
    fixed, normal, offset, least, most = jax.lax.stop_gradient((w, a, b, lower, upper))
    slope = jnp.where(normal == 0, 1, normal)
    bends = [jnp.where(normal == 0, jnp.inf, (fixed - end) / slope) for end in (least, most)]
    within = piece(jnp.concatenate(bends), lambda tau: jnp.sum(normal * jnp.clip(fixed - tau * normal, least, most)) >= offset)
    moved = fixed - within * normal
    low, high = moved <= least, moved >= most
    between = ~(low | high)
    free = jnp.where(between, a, 0)
    squares = jnp.sum(free**2)
    z = jnp.where(low, lower, jnp.where(high, upper, w))
    for _ in range(2):  # the first time rounds in units of w, which may be far larger than the answer
        z = z - (jnp.sum(a * z) - b) / jnp.where(squares > 0, squares, 1) * free
    return z + jax.lax.stop_gradient(jnp.clip(z, least, most) - z)


def project(w: Float[Array, " n"], normal, offset, lower, upper) -> Float[Array, " n"]:
    """NaN where nothing meets all conditions."""
    a, b = normalised(w, normal, offset)
    lower, upper = jnp.broadcast_to(lower, w.shape), jnp.broadcast_to(upper, w.shape)
    least, most = jnp.minimum(a * lower, a * upper), jnp.maximum(a * lower, a * upper)
    slack = rounding(w) * jnp.sum(jnp.maximum(jnp.abs(least), jnp.abs(most)))
    some = (jnp.sum(least) - slack <= b) & (b <= jnp.sum(most) + slack) & jnp.all(lower <= upper)
    return jnp.where(some & ~jnp.any(jnp.isnan(w)), nearest(w, a, b, lower, upper), jnp.nan)


def violation(w: Float[Array, " n"], normal, offset, lower, upper) -> tuple[Scalar, Scalar]:
    off = jnp.maximum(jnp.abs(excess(w, normal, offset)), jnp.max(jnp.maximum(lower - w, w - upper)))
    return off, jnp.maximum(size(w, normal, offset), jnp.maximum(jnp.max(jnp.abs(lower)), jnp.max(jnp.abs(upper))))


def tangent(w: Float[Array, " n"], d: Float[Array, " n"], normal, offset, lower, upper) -> Float[Array, " n"]:
    """The hyperplane through 0, bounded at 0 where w meets a bound."""
    a, b = normalised(w, normal, offset)
    slack = rounding(w) * violation(w, normal, offset, lower, upper)[1]
    least, most = jnp.where(w <= lower + slack, 0, -jnp.inf), jnp.where(w >= upper - slack, 0, jnp.inf)
    return nearest(d, a, jnp.zeros_like(b), least.astype(d.dtype), most.astype(d.dtype))


def conjugate(u: Float[Array, " n"], normal, offset, lower, upper) -> Scalar:
    """The least over τ of ``τb + Σ max((u − τa)·lower, (u − τa)·upper)``: by linear programming's duality."""
    a, b = normalised(u, normal, offset)
    lower, upper = jnp.broadcast_to(lower, u.shape), jnp.broadcast_to(upper, u.shape)
    slope = jnp.where(a == 0, 1, a)
    knots = jnp.where(a == 0, jnp.inf, u / slope)

    def dearest(tau: Any) -> Array:
        return jnp.where(u - tau * a > 0, upper, lower)

    def bound(tau: Any) -> Array:
        return tau * b + jnp.sum((u - tau * a) * dearest(tau))

    within = jax.lax.stop_gradient(piece(knots, lambda tau: jnp.sum(a * dearest(tau)) >= b))
    # The least is at a knot: the nearest on either side of the piece.
    below = jnp.max(jnp.where(knots <= within, knots, -jnp.inf))
    above = jnp.min(jnp.where(knots >= within, knots, jnp.inf))
    found = [jnp.where(jnp.isfinite(end), bound(jnp.where(jnp.isfinite(end), end, 0)), jnp.inf) for end in (below, above)]
    return jnp.minimum(*found).astype(u.dtype)


class BoxSection(Linear):
    """The constraints ``lower <= w <= upper`` and ``⟨normal, w⟩ = offset``, for each slice where ``axis`` is given; λ has no effect.

    Budgets with limits on each part: capped simplices, portfolios, balanced assignments, the dual of a support vector machine. Prox
    ``clip(w − τ·normal, lower, upper)`` with the one τ that meets the equation; gradient 0; conjugate by linear programming's duality.
    Convex, smooth nowhere. All four fields are data: a prox has derivatives with respect to them.

    Args:
      normal: a vector, not zero, in the order in which the parameters flatten (``jax.flatten_util.ravel_pytree``).
      offset: one number.
      lower, upper: finite numbers, or vectors with one entry for each parameter; lower <= upper.
      axis: None for all leaves as one vector, or the axis (or axes) of each leaf whose slices are vectors.

    Raises:
      ValueError: ``normal`` is missing, zero, not finite or does not fit the parameters; a bound is not finite or does not fit, or
        ``lower`` exceeds ``upper``; no vector within the bounds meets the equation (traced, the prox is NaN); a leaf lacks the axis.

    References:
      Brucker, An O(n) algorithm for quadratic knapsack problems, 1984; Kiwiel, Breakpoint searching algorithms for the continuous
      quadratic knapsack problem, 2008.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.BoxSection([1.0, 1.0, 1.0], 1.0, 0.0, 0.5).prox(jnp.array([2.0, 0.4, 0.2])).round(4).tolist()
    [0.5, 0.34..., 0.15...]
    """

    normal: Any = None
    offset: Any = 0.0
    lower: Any = -1.0
    upper: Any = 1.0
    axis: Any = static(default=None)
    condition = "{lower} ≤ {w} ≤ {upper}, ⟨normal, {w}⟩ = {offset}"
    about = About(
        equation="lower ≤ w ≤ upper, ⟨normal, w⟩ = offset",
        domain="normal ≠ 0, lower ≤ upper",
        cost="O(n·log n)",
        also="jaxopt, PyProximal",
        source="Brucker 1984; Kiwiel 2008",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)
    vector_conjugate = staticmethod(conjugate)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_order(self)
        numbers = self.normal, self.offset, self.lower, self.upper
        if not all(map(is_number, numbers)):
            return
        for name in ("lower", "upper"):
            if np.ndim(getattr(self, name)) and np.shape(getattr(self, name)) != np.shape(self.normal):
                raise ValueError(
                    f"BoxSection: {name} must be one number, or one for each of the {np.size(self.normal)} entries of normal, "
                    f"got shape {np.shape(getattr(self, name))}"
                )
        if all(map(is_concrete, numbers)):
            a, b, lower, upper = (np.asarray(x, float) for x in numbers)
            ends = np.stack([a * lower, a * upper])
            least, most, slack = ends.min(0).sum(), ends.max(0).sum(), 1e-6 * np.abs(ends).max(0).sum()
            if not least - slack <= b <= most + slack:
                raise ValueError(
                    f"BoxSection: offset is {b:g}, but ⟨normal, w⟩ within the bounds lies between {least:g} and {most:g}; "
                    "widen the bounds or move the offset"
                )

    def _dimension(self, name: str) -> int:
        return 0 if name == "offset" else 1

    @staticmethod
    def vector_free(*strengths: Any) -> Any:
        """A bound holds everywhere."""
        del strengths
        return False
