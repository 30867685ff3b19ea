"""Trend filtering: the nearest sequence that is piecewise polynomial, its knots at a price."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._chain import adjoint, exact, fit
from ._levels import level

_NEWTON = 60  # steps at most; 12 to 20 reach rounding
_EXCHANGES = 30  # of knots that the interior point put on the wrong side: 0 to 3, but nothing forbids a cycle


def nearest(v: Float[Array, " n"], lam: Any, free: Bool[Array, " m"], order: int) -> Float[Array, " n"]:
    """``argmin_z ½‖z − v‖² + lam·Σ|D^{order+1} z|``, where differences that are ``free`` cost nothing."""
    if free.size == 0:
        return v
    if order == 0:
        return level(v, lam, jnp.append(True, free))
    # At lam 0 the answer is v; what lam would do to it is in the signs of v's differences.
    start = v - lam * adjoint(jnp.where(free, 0, jnp.sign(jnp.diff(v, order + 1))), order)
    return jnp.where(lam > 0, spline(v, lam, free, order), start)


@functools.partial(jax.jit, static_argnums=3)  # called by itself, its loops would be compiled anew each time
def spline(v: Float[Array, " n"], lam: Any, free: Bool[Array, " m"], order: int) -> Float[Array, " n"]:
    """:func:`nearest` for order > 0 and lam > 0.

    An interior point finds the knots and their signs, an exchange of knots corrects them, and least squares with these knots,
    linear in v and lam, gives the answer and its derivatives. The duality gap of the answer bounds its error,
    ``½‖z − z*‖² <= gap``; where it exceeds √ε·‖v‖² the answer is NaN.
    """
    unit = jax.lax.stop_gradient(jnp.max(jnp.abs(v)))
    unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)
    # Numbers of at most 1 have prices below 2·n^(order + 1): more of lam changes nothing, and might overflow.
    scaled, price = v / unit, jnp.minimum(lam / unit, 4.0 * float(v.size) ** (order + 1))
    knots = _knots(*jax.lax.stop_gradient((scaled, price)), free, order)
    answer, q, u = _through(scaled, price, knots, free, order)
    bounded = jnp.clip(u, -price, price)
    lost = jnp.sum((scaled - answer - adjoint(bounded, order)) ** 2) / 2 + jnp.sum(jnp.where(free, 0, price * jnp.abs(q) - bounded * q))
    proved = jax.lax.stop_gradient(lost <= jnp.finfo(v.dtype).eps ** 0.5 * jnp.sum(scaled**2))
    # A price below the smallest number is none.
    return jnp.where(price > 0, jnp.where(proved, unit * answer, jnp.nan), v)


def _through(v: Array, lam: Any, knots: Int[Array, " m"], free: Array, order: int) -> tuple[Array, Array, Array]:
    """Least squares with given knots (their signs, 0 for none), the differences at them, and the prices of the others."""
    weight = jnp.where(free | (knots != 0), 0, jnp.inf).astype(v.dtype)
    return fit(v, order, weight, jnp.where(knots == 0, 0, lam * knots))


class _Point(NamedTuple):
    """How far prices are below lam and above −lam, kept apart because lam − u loses its digits, and the multipliers of both."""

    above: Float[Array, " m"]
    below: Float[Array, " m"]
    upper: Float[Array, " m"]
    lower: Float[Array, " m"]


def _knots(v: Array, lam: Any, free: Array, order: int) -> Int[Array, " m"]:
    point = _interior(v, lam, free, order)
    # Of a pair whose product is nearly 0, the one that is larger for its kind is the one that is not.
    size = jnp.maximum(jnp.max(point.upper, initial=0), jnp.max(point.lower, initial=0))
    size = jnp.maximum(size, jnp.finfo(v.dtype).eps)
    up, down = point.upper * lam > point.above * size, point.lower * lam > point.below * size
    knots = jnp.where(free, 0, up.astype(jnp.int8) - down.astype(jnp.int8))
    slack = 4 * jnp.finfo(v.dtype).eps * v.size**0.5 * lam

    def exchange(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        knots, _, count = state
        _, q, u = _through(v, lam, knots, free, order)
        entering = jnp.where(~free & (jnp.abs(u) > lam + slack), jnp.sign(u), 0).astype(knots.dtype)
        new = jnp.where(knots == 0, entering, jnp.where(q * knots > 0, knots, 0))
        return new, jnp.any(new != knots), count + 1

    exchanged, cycles, _ = jax.lax.while_loop(lambda s: s[1] & (s[2] < _EXCHANGES), exchange, (knots, lam > 0, jnp.zeros((), int)))
    return jnp.where(cycles, knots, exchanged)


def _interior(v: Array, lam: Any, free: Array, order: int) -> _Point:
    """Mehrotra's predictor-corrector on the dual, ``min ½‖v − Dᵀu‖²`` over ``|u| <= lam``."""
    count = jnp.maximum(jnp.sum(~free), 1)
    slopes = jnp.where(free, 0, jnp.diff(v, order + 1))
    size = jnp.maximum(jnp.mean(jnp.abs(slopes)), jnp.finfo(v.dtype).tiny)

    def gap(p: _Point) -> Array:
        return jnp.sum(p.upper * p.above + p.lower * p.below)

    def solve(p: _Point, top: Array, bottom: Array) -> _Point:
        """The Newton direction towards ``upper·above = top`` and ``lower·below = bottom``."""
        # Of what the present prices leave of v: the direction itself is fitted, and loses no digits beside lam.
        sides = exact(lam) - p.above, exact(p.below) - lam
        now = jax.tree.map(lambda high, low: jnp.where(free, 0, jnp.where(p.above < p.below, high, low)), *sides)
        weight = jnp.where(free, 0, 1 / (p.upper / p.above + p.lower / p.below))
        slope = jnp.where(free, 0, -weight * (top / p.above - bottom / p.below))
        du = jnp.where(free, 0, fit(exact(v) - adjoint(now, order), order, weight, slope)[2])
        return _Point(-du, du, (top + p.upper * du) / p.above - p.upper, (bottom - p.lower * du) / p.below - p.lower)

    def longest(p: _Point, d: _Point) -> Array:
        ratios = jax.tree.map(lambda x, dx: jnp.min(jnp.where(dx < 0, -x / jnp.where(dx < 0, dx, -1), jnp.inf), initial=jnp.inf), p, d)
        return jnp.minimum(1, 0.99 * jnp.min(jnp.stack(ratios)))

    def move(p: _Point, d: _Point, length: Array) -> _Point:
        return jax.tree.map(lambda x, dx: jnp.where(free, x, x + length * dx), p, d)

    def newton(state: tuple[_Point, Array, Array, Array]) -> tuple[_Point, Array, Array, Array]:
        p, now, step, _ = state

        def direction(_: Any, carry: tuple[Array, Array, _Point]) -> tuple[Array, Array, _Point]:
            """The predictor's, then the corrector's: a loop, for fitting takes long to compile."""
            d = solve(p, *carry[:2])
            target = (gap(move(p, d, longest(p, d))) / now) ** 3 * now / (2 * count)
            return target - d.above * d.upper, target - d.below * d.lower, d

        *_, d = jax.lax.fori_loop(0, 2, direction, (jnp.zeros_like(slopes), jnp.zeros_like(slopes), p))
        moved = move(p, d, longest(p, d))
        new = gap(moved)
        # Near the end rounding decides: stop where the gap, once small, no longer falls.
        stuck = ~(new < 0.9 * now) & (~(now > end) | ~jnp.isfinite(new))
        better = jax.tree.map(lambda x, y: jnp.where(stuck, x, y), p, moved)
        return better, jnp.where(stuck, now, new), step + 1, stuck

    sides = (jnp.where(free, 0, jnp.maximum(s * slopes, 0) + size) for s in (1, -1))
    start = _Point(jnp.full_like(slopes, lam), jnp.full_like(slopes, lam), *sides)
    # The pairs that float32 is computed with have digits beyond its ε.
    end = jnp.sum(v**2) * jnp.finfo(v.dtype).eps ** (1.2 if v.dtype == jnp.float32 else 0.65)
    floor = gap(start) * jnp.finfo(v.dtype).eps ** 2
    state = (start, gap(start), jnp.zeros((), int), jnp.zeros((), bool))
    return jax.lax.while_loop(lambda s: ~s[3] & (s[2] < _NEWTON) & (s[1] > floor), newton, state)[0]
