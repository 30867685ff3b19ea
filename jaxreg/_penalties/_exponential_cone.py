"""The exponential cone: the closure of ``w₂·exp(w₁/w₂) <= w₃, w₂ > 0``."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from ._about import About
from ._base import static
from ._l2_norm import direction, unit
from ._vector import VectorSet, rounding


def _largest_exponent(w: Array) -> float:
    """What an exponential may be taken of, with room for the powers that derivatives multiply it with."""
    return 0.7 * math.log(float(jnp.finfo(w.dtype).max))


def _ray(w: Float[Array, "3"], rho: Any) -> tuple[Scalar, Scalar]:
    """w's first two numbers as ``p·(ρ, 1) + d·(1, 1 − ρ)``: of a ray of the cone, and of the polar's ray normal to it."""
    size = rho**2 - rho + 1
    return ((rho - 1) * w[0] + w[1]) / size, (w[0] - rho * w[1]) / size


def _excess(w: Float[Array, "3"], rho: Any) -> Scalar:
    """Of ``p·exp(ρ) − d·exp(−ρ)``, the third number of the two, over w's: rising in ρ where p, d >= 0."""
    p, d = _ray(w, rho)
    return p * jnp.exp(rho) - d * jnp.exp(-rho) - w[2]


def _root(w: Float[Array, "3"]) -> Scalar:
    """ρ where the excess is 0, by halving the interval on which p and d are positive; its derivatives are those of the equation."""
    fixed, end = jax.lax.stop_gradient(w), _largest_exponent(w)
    x, y = fixed[0], fixed[1]
    low = jnp.where(x > 0, jnp.clip(1 - y / jnp.where(x > 0, x, 1), -end, end), -end)
    high = jnp.where(y > 0, jnp.clip(x / jnp.where(y > 0, y, 1), -end, end), end)

    def halve(_: Any, ends: tuple[Any, Any]) -> tuple[Any, Any]:
        low, high = ends
        middle = low + (high - low) / 2
        below = _excess(fixed, middle) < 0
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    def divide(linear: Any, y: Any) -> Any:
        slope = linear(jnp.ones_like(y))
        return y / jnp.where(slope > 0, slope, 1)

    found = jax.lax.fori_loop(0, 8 * w.dtype.itemsize, halve, (low, high))[1]
    return jax.lax.custom_root(lambda rho: _excess(w, rho), found, lambda _, rho: rho, divide)


def _power(w: Float[Array, "3"]) -> Scalar:
    """``w₂·exp(w₁/w₂)`` for w₂ > 0."""
    y = jnp.where(w[1] > 0, w[1], 1)
    return y * jnp.exp(jnp.minimum(w[0] / y, _largest_exponent(w)))


def _in_cone(w: Float[Array, "3"]) -> Array:
    return jnp.where(w[1] > 0, _power(w) <= w[2], (w[0] <= 0) & (w[1] == 0) & (w[2] >= 0))


def _in_polar(w: Float[Array, "3"]) -> Array:
    """``w₁·exp(w₂/w₁ − 1) <= −w₃``."""
    turned = _power(jnp.stack([w[1], w[0], w[2]])) / jnp.e
    return jnp.where(w[0] > 0, turned <= -w[2], (w[0] == 0) & (w[1] <= 0) & (w[2] <= 0))


def _check_size(w: Array) -> None:
    if w.size != 3:
        raise ValueError(f"ExponentialCone: a vector must have 3 numbers, got {w.size}; for several, give their axis")


def project(w: Float[Array, " n"]) -> Float[Array, " n"]:
    """w itself, 0, a point of the face w₂ = 0, or a point of the ray with the root ρ: in terms of the share that does not cancel."""
    _check_size(w)
    largest = unit(w)
    v = w / largest
    on_face = (v[0] <= 0) & (v[0] <= -_largest_exponent(w) * v[1])  # or so near to it that the exponential is 0
    simple = _in_cone(v) | _in_polar(v) | on_face
    v = jnp.where(simple, jnp.asarray([1, 1, 0], w.dtype), v)
    rho = _root(v)
    p, d = _ray(v, rho)
    down = jnp.exp(-jnp.maximum(rho, 0))
    third = jnp.maximum(v[2] + d * down, 0)
    share = jnp.where(rho > 0, third * down, jnp.maximum(p, 0))
    third = jnp.where(rho > 0, third, share * jnp.exp(jnp.minimum(rho, 0)))
    ray = largest * jnp.stack([share * rho, share, third])
    face = jnp.concatenate([w[:1], jnp.maximum(w[1:], 0)])
    answer = jnp.where(_in_polar(w / largest), 0, jnp.where(on_face, face, ray))
    return jnp.where(_in_cone(w / largest), w, jnp.where(jnp.any(jnp.isnan(w)), jnp.nan, answer))


def violation(w: Float[Array, " n"]) -> tuple[Scalar, Scalar]:
    """By how much an inequality fails, or how far the face w₂ = 0 is, the smaller; an error of w₁ counts w₁/w₂ times in the exponential."""
    _check_size(w)
    v = w / unit(w)
    off_face = jnp.max(jnp.stack([v[0], jnp.abs(v[1]), -v[2]]))
    off_curve = jnp.where(v[1] > 0, jnp.maximum(_power(v) - v[2], -v[1]), jnp.inf)
    steep = jnp.where(v[1] > 0, jnp.clip(v[0] / jnp.where(v[1] > 0, v[1], 1), 0, _largest_exponent(w)), 0)
    return jnp.minimum(off_curve, off_face), 1 + steep


def tangent(w: Float[Array, " n"], d: Float[Array, " n"]) -> Float[Array, " n"]:
    """The cone itself at its tip, a half-space on its curved side; on the face w₂ = 0 that d₂ >= 0 and, where w₃ is 0 too, d₃ >= 0."""
    _check_size(w)
    v = w / unit(w)
    low = jnp.abs(v) <= rounding(w)
    on_face = jnp.stack([d[0], jnp.maximum(d[1], 0), jnp.where(low[2], jnp.maximum(d[2], 0), d[2])])
    rho = jnp.where(low[1], 0, v[0] / jnp.where(low[1], 1, v[1]))
    flat = jnp.exp(jnp.minimum(rho, 0))
    outward = direction(jnp.stack([flat, flat * (1 - rho), -jnp.exp(-jnp.maximum(rho, 0))]))
    on_side = d - jnp.maximum(jnp.sum(outward * d), 0) * outward
    return jnp.where(jnp.all(w == 0), project(d), jnp.where(low[1], on_face, on_side))


class ExponentialCone(VectorSet):
    """The closure of the constraints ``w₂·exp(w₁/w₂) <= w₃`` and ``w₂ > 0``, for each slice where ``axis`` is given; λ has no effect.

    The closure adds the face ``w₁ <= 0, w₂ = 0, w₃ >= 0``. Entropies, logarithms and log-sum-exps are its sections. Prox by one equation in
    one number; gradient 0; conjugate the indicator of the polar cone, to rounding. Convex, smooth inside.

    Args:
      axis: None for all leaves as one vector of 3 numbers, or the axis of each leaf along which the three lie.

    Raises:
      ValueError: a vector has not 3 numbers; a leaf lacks the axis.

    References:
      Parikh and Boyd, Proximal algorithms, 2014, §6.3.4; the equation: Friberg, Projection onto the exponential cone: a univariate
      root-finding problem, 2023, §3.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.ExponentialCone().prox(jnp.array([1.0, 1.0, 1.0])).round(3).tolist()
    [0.42..., 0.75..., 1.32...]
    """

    axis: Any = static(default=None)
    convex, condition = True, "{w}₂·exp({w}₁/{w}₂) ≤ {w}₃"
    about = About(
        equation="w₂·exp(w₁/w₂) ≤ w₃, w₂ > 0, closed",
        domain="vectors of 3",
        cost="a halving for each bit of a number",
        also="ProximalOperators.jl",
        source="Parikh and Boyd 2014, §6.3.4",
    )

    project, violation, tangent = staticmethod(project), staticmethod(violation), staticmethod(tangent)

    @staticmethod
    def vector_conjugate(u: Float[Array, " n"]) -> Scalar:
        left = jnp.max(jnp.abs(project(u)))
        return jnp.where(left <= rounding(u) * jnp.max(jnp.abs(u)), 0, jnp.inf).astype(u.dtype)
