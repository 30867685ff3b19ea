"""Newton's method for the dual of an elastic net at one λ."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ._dual_factor import Curvature, Members, descent, factor, reach

_STEPS = 100
_STALLED = 3  # steps that neither lower φ by more than rounding nor halve its gradient end it
_SHORTEST = 1e-6  # of a step to the minimum of the quadratic


class Point(NamedTuple):
    """A residual, with what follows from it."""

    r: Float[Array, "n"]
    c: Float[Array, "b"]  # Zᵀr
    u: Float[Array, "b"]
    g: Float[Array, "n"]  # the gradient of φ


class Search(NamedTuple):
    """Where it stands."""

    point: Point
    best: Array  # the smallest gradient so far
    stalled: Array
    count: Array


class Phi(NamedTuple):
    """φ(r) = ½‖r‖² − tᵀr + Σⱼ hⱼ(zⱼᵀr + tiltⱼ) at one λ, on a working set."""

    members: Members
    target: Float[Array, "n"]
    lam: Float[Array, ""]
    tilt: Float[Array, "b"] | float

    def at(self, r: Float[Array, "n"], c: Float[Array, "b"]) -> Point:
        u = self._minimiser(c)
        return Point(r, c, u, r - self.target + u @ self.members.rows)

    def settled(self, point: Point) -> Bool[Array, ""]:
        """Whether rounding explains what is left of the gradient."""
        _, _, a, b, _, _ = self.members.problem
        felt = jnp.where(self._moving(point), a / b + jnp.abs(point.u), 0)  # what a rounding of c does to u, in units of ε
        size = 64 * jnp.linalg.norm(self.target) + 4 * jnp.linalg.norm(felt)
        return jnp.linalg.norm(point.g) <= jnp.finfo(point.g.dtype).eps * size

    def minimum(self, point: Point, curvature: Curvature | None) -> tuple[Point, Curvature | None]:
        """From ``point`` on as near as rounding lets it come, and K there."""

        def newton(state: tuple[Search, Curvature | None]) -> tuple[Search, Curvature | None]:
            search, curvature = state
            now = self._moving(search.point)
            L, curvature = factor(self.members, curvature, now, self.lam)
            first = search, jnp.ones((), bool)
            search, _ = jax.lax.while_loop(lambda state: state[1], lambda state: self._step(state[0], L, now), first)
            return search, curvature

        none = jnp.zeros((), int)
        start = Search(point, jnp.linalg.norm(point.g), none, none), curvature
        (point, *_), curvature = jax.lax.while_loop(lambda state: self._unfinished(state[0]), newton, start)
        return point, curvature

    def _minimiser(self, c: Array) -> Array:
        _, _, a, b, low, up = self.members.problem
        c = c + self.tilt
        return jnp.clip(jnp.sign(c) * jnp.maximum(jnp.abs(c) - self.lam * a, 0) / (self.lam * b), low, up)

    def _value(self, r: Array, c: Array) -> Array:
        _, _, a, b, _, _ = self.members.problem
        u = self._minimiser(c)
        return r @ (r / 2 - self.target) + jnp.sum((c + self.tilt) * u - self.lam * (a * jnp.abs(u) + b * u**2 / 2))

    def _moving(self, point: Point) -> Array:
        _, _, a, _, low, up = self.members.problem
        return (jnp.abs(point.c + self.tilt) > self.lam * a) & (low < point.u) & (point.u < up)

    def _unfinished(self, search: Search) -> Array:
        return ~self.settled(search.point) & (search.stalled < _STALLED) & (search.count < _STEPS)

    def _step(self, search: Search, L: Any, now: Array) -> tuple[Search, Array]:
        """By a factor of the coefficients ``now``; and whether it may be used once more."""
        members = self.members
        point, best, stalled, count = search
        d = descent(members, L, now, self._moving(point) if reach(members) else now, self.lam, point.g)
        turned, downhill, before = members.rows @ d, point.g @ d, self._value(point.r, point.c)
        eps = jnp.finfo(before.dtype).eps

        # What is decided is carried: worked out again for the loop's condition it could round to the other side, and never end.
        def shorten(tried: tuple[Array, Array]) -> tuple[Array, Array]:
            t = tried[0] / 2
            higher = self._value(point.r + t * d, point.c + t * turned) > before + 1e-4 * t * downhill + 16 * eps * jnp.abs(before)
            return t, higher & (t > _SHORTEST)

        t, _ = jax.lax.while_loop(lambda tried: tried[1], shorten, (jnp.full_like(self.lam, 2.0), jnp.ones((), bool)))
        point = self.at(point.r + t * d, point.c + t * turned)
        size = jnp.linalg.norm(point.g)
        better = (size < 0.5 * best) | (self._value(point.r, point.c) < before - 64 * eps * jnp.abs(before))
        then = Search(point, jnp.minimum(size, best), jnp.where(better, 0, stalled + 1), count + 1)
        changes = jnp.sum(self._moving(point) != now)
        return then, self._unfinished(then) & ((changes == 0) | (better & (changes <= reach(members))))
