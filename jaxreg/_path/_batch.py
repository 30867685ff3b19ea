"""Quadratics with a separable convex penalty, for all λ at once: matrix products in place of loops over coordinates.

    min_u ½uᵀGu − qᵀu + λ·Σⱼ(aⱼ|uⱼ| + ½bⱼuⱼ²)   with   lowⱼ <= uⱼ <= upⱼ,

a row of U, and where they differ of q and the bounds, for each λ, so that every step is one product U·G. Accelerated proximal
gradient steps, restarted row by row (O'Donoghue and Candès, Adaptive restart for accelerated gradient schemes, 2015), find the active
sets; conjugate gradients on them, again for all rows together, finish: with the right set the answer is the solution of a linear
system (semismooth Newton: Li, Sun and Toh, A highly efficient semismooth Newton augmented Lagrangian method for solving lasso
problems, 2018, §3).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

FEW = 128  # features
_BURST = 6  # gradient steps between two solves: enough to move the active set
_CONJUGATE = 40, 150  # steps of a solve at most: while the active set is sought, and once it is nearly right
_NEAR = 1e-4  # of the residual at zero, from where on that is so
_ROUNDS, _EASY = 60, 5  # at most, and what an active set that is found and a matrix far from singular need
_STALLED = 7  # rounds without progress, each of twice as many gradient steps, that end it: rounding rules
SHORT = 1e-5  # of a linear system in float32, what is left of its residual
_SHORTEST = 0.1  # of a step to the solution of a linear system
_CACHED = 1024  # features whose matrix is not much larger than the cache
_MANY, _ROWS = 256, 16  # features from which on, and rows up to which, an inverse for all rows is worth its making


class Quadratic(NamedTuple):
    """G has a unit diagonal, but for columns that say nothing, whose row and q are 0."""

    G: Float[Array, "p p"]
    q: Float[Array, "p"] | Float[Array, "L p"]
    a: Float[Array, "p"]
    b: Float[Array, "p"]
    low: Float[Array, "p"] | Float[Array, "L p"]  # −inf where there is none
    up: Float[Array, "p"] | Float[Array, "L p"]


def times(U: Float[Array, "L p"], G: Float[Array, "p p"]) -> Float[Array, "L p"]:
    """U·G of a symmetric G. Of one larger than the cache the rows are read in order, which takes half the time."""
    return U @ (G.T if len(G) > _CACHED else G)


def largest_eigenvalue(G: Float[Array, "p p"]) -> Float[Array, ""]:
    """About a tenth above it, by power iteration: a step twice as long would still descend."""
    return leading(G)[0]


def leading(G: Float[Array, "p p"], similar: Float[Array, "p"] | None = None) -> tuple[Float[Array, ""], Float[Array, "p"]]:
    """(:func:`largest_eigenvalue`, about its eigenvector), in fewer steps from that of a ``similar`` matrix."""

    rows = jnp.max(jnp.sum(jnp.abs(G), axis=1))
    unit = jnp.where(rows > 0, rows, 1)  # in which no square overflows or vanishes

    def step(_: Any, x: Array) -> Array:
        y = G @ (G @ x / unit) / unit
        return y / jnp.maximum(jnp.linalg.norm(y), jnp.finfo(y.dtype).tiny)

    p = G.shape[0]
    start = jnp.cos(jnp.arange(p, dtype=G.dtype)) + 1.5 if similar is None else similar
    x = jax.lax.fori_loop(0, 12 if similar is None else 3, step, start / jnp.linalg.norm(start))
    return jnp.minimum(1.1 * unit * jnp.linalg.norm(G @ x / unit), rows), x


def residual(U: Float[Array, "L p"], slope: Float[Array, "L p"], soft: Array, low: Array, up: Array) -> Float[Array, "L"]:
    """How far each row is from stationary; ``slope`` is the gradient of everything but ``soft·|u|`` and the bounds."""
    down, rise = jnp.where(U > 0, soft, -soft), jnp.where(U < 0, -soft, soft)
    # A bound that is met takes any slope that pushes against it.
    least = slope + jnp.where(low >= U, -jnp.inf, down)
    most = slope + jnp.where(up <= U, jnp.inf, rise)
    return jnp.sqrt(jnp.sum(jnp.maximum(jnp.maximum(least, -most), 0) ** 2, axis=1))


def shared_inverse(G: Float[Array, "p p"], top: Array, used: Bool[Array, "p"], bend: Float[Array, "L p"]) -> Float[Array, "p p"]:
    """About the inverse of ``G + diag(bend)`` on the features ``used`` by any row, and of its diagonal on the others, in float32.

    For rows of nearly one active set and ridge it leaves conjugate gradients little to do.
    """
    middle = jnp.mean(bend, axis=0)
    # Never so near to singular that float32 could not tell; ``top`` is G's largest eigenvalue.
    own = jnp.where(used, jnp.maximum(middle, 1e-5 * top), jnp.diagonal(G) + middle)
    own = jnp.minimum(jnp.where(own > 0, own, 1), 0.1 * jnp.finfo(jnp.float32).max)
    matrix = jnp.where(used[:, None] & used, G, 0).astype(jnp.float32) + jnp.diag(own.astype(jnp.float32))
    return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(matrix), True), jnp.eye(used.size, dtype=jnp.float32))


def linear_solve(
    times: Callable[[Array], Array], precondition: Callable[[Array], Array], right: Float[Array, "L p"], share: Float[Array, "L"], most: Any
) -> Float[Array, "L p"]:
    """Rows D with ``times(D) = right`` by at most ``most`` steps of conjugate gradients, but for a share of each residual."""
    goal = jnp.sum(right**2, axis=1) * share**2

    def step(carry: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        D, R, P, rho, count = carry
        H = times(P)
        bent = jnp.sum(P * H, axis=1)
        length = jnp.where(bent > 0, rho / jnp.where(bent > 0, bent, 1), 0)[:, None]
        D, R = D + length * P, R - length * H
        Z = precondition(R)
        new = jnp.sum(R * Z, axis=1)
        return D, R, Z + jnp.where(rho > 0, new / jnp.where(rho > 0, rho, 1), 0)[:, None] * P, new, count + 1

    def unfinished(carry: tuple[Array, Array, Array, Array, Array]) -> Array:
        return jnp.any(jnp.sum(carry[1] ** 2, axis=1) > goal) & (carry[4] < most)

    Z = precondition(right)
    first = (jnp.zeros_like(right), right, Z, jnp.sum(right * Z, axis=1), jnp.zeros((), int))
    return jax.lax.while_loop(unfinished, step, first)[0]


class Known(NamedTuple):
    """What need not be found out of a matrix once more."""

    top: Float[Array, ""]  # its largest eigenvalue, or a little more
    inverse: Float[Array, "p p"]  # ``shared_inverse``


def solve(
    problem: Quadratic,
    lams: Float[Array, "L"],
    start: Float[Array, "L p"],
    tol: Array,
    *,
    smooth: bool = False,
    known: Known | None = None,
    top: Float[Array, ""] | None = None,
) -> Float[Array, "L p"]:
    """The minimisers to a stationarity residual of ``tol`` (Euclidean, for each row or for all), or as near as rounding lets it.

    ``smooth`` says that all of ``a`` is 0 and nothing is bounded: then there is no active set to find. ``top`` is G's largest eigenvalue
    or a little more, if it is known, as in ``known``.
    """
    G, q, a, b, low, up = problem
    soft, bend = lams[:, None] * a, lams[:, None] * b
    # G + diag(bend) is below diag(top + bend): each number has a step of its own.
    if top is None:
        top = largest_eigenvalue(G) if known is None else known.top
    steps = 1 / (top + bend)
    eps = jnp.finfo(G.dtype).eps
    scale = jnp.maximum(jnp.linalg.norm(q, axis=-1), jnp.finfo(G.dtype).tiny)

    # Worth it where many digits are asked of large systems; then the start has about the right set.
    shared = known is not None or (len(G) >= _MANY and lams.size <= _ROWS)
    inverse, usable = jnp.zeros((0, 0), jnp.float32), jnp.zeros((), bool)
    if known is not None:
        inverse, usable = known.inverse, jnp.all(jnp.isfinite(known.inverse[:1]))
    elif shared:
        close = jnp.any(tol < _NEAR * scale)
        used = jnp.any((start != 0) | (soft == 0), axis=0)
        inverse = jax.lax.cond(close, lambda: shared_inverse(G, top, used, bend), lambda: jnp.zeros(G.shape, jnp.float32))
        usable = close & jnp.all(jnp.isfinite(inverse[:1]))

    def either(precise: Array, way: Callable[[Array], Array]) -> Array:
        """Ways from a point to the next are computed in float32: what one lacks the next makes up, for gradients are exact.

        Where features are few that saves less than the second program takes to compile.
        """
        if G.dtype == jnp.float32 or len(G) <= FEW:
            return way(G)
        return jax.lax.cond(precise, lambda: way(G), lambda: way(G.astype(jnp.float32)))

    def prox(V: Array) -> Array:
        return jnp.clip(jnp.sign(V) * jnp.maximum(jnp.abs(V) - soft * steps, 0), low, up)

    def value(U: Array, UG: Array) -> Array:
        return jnp.sum(U * (0.5 * UG - q + 0.5 * bend * U) + soft * jnp.abs(U), axis=1)

    def off(U: Array, UG: Array) -> Array:
        return residual(U, UG - q + bend * U, soft, low, up)

    def burst(U: Array, slope: Array, count: Array, precise: Array) -> Array:
        """Steps from U, where the gradient is ``slope``: in the way from there, of whose gradient few digits are needed."""

        def step(_: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            D, Y, t = carry
            turned = either(precise, lambda G: times(Y.astype(G.dtype), G).astype(U.dtype))
            new = prox(U + Y - steps * (slope + turned + bend * Y)) - U
            uphill = jnp.sum((Y - new) / steps * (new - D), axis=1, keepdims=True) > 0
            t = jnp.where(uphill, 1.0, t)
            following = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
            return new, jnp.where(uphill, new, new + (t - 1) / following * (new - D)), following

        zero = jnp.zeros_like(U)
        return U + jax.lax.fori_loop(0, count, step, (zero, zero, jnp.ones((lams.size, 1), G.dtype)))[0]

    def newton(U: Array, UG: Array, reached: Array, precise: Array) -> Array:
        """The way from U to the solution of the linear system on its active set."""
        free: Bool[Array, "L p"] = ((U != 0) | (soft == 0)) & (low < U) & (up > U) & (jnp.diagonal(G) + bend > 0)
        right = jnp.where(free, q - UG - bend * U - soft * jnp.sign(U), 0)
        unit = jnp.max(jnp.abs(right), axis=1, keepdims=True)
        unit = jnp.where(unit > 0, unit, 1)
        most = jnp.where(jnp.any(reached < _NEAR * scale), _CONJUGATE[1], _CONJUGATE[0])

        def conjugate_gradients(G: Array) -> Array:
            few = G.dtype
            b, R = jnp.minimum(bend, 0.1 * jnp.finfo(few).max).astype(few), (right / unit).astype(few)

            def preconditioned(R: Array) -> Array:
                plain = R / (1 + b)
                if not shared:
                    return plain
                whole = lambda: jnp.where(free, times(R.astype(jnp.float32), inverse).astype(few), 0)  # noqa: E731
                return jax.lax.cond(usable, whole, lambda: plain)

            # No more digits than the active set deserves: superlinear, as in any truncated Newton method.
            share = jnp.clip(reached / scale, eps if few == right.dtype else SHORT, 0.1).astype(few)
            found = linear_solve(lambda P: jnp.where(free, times(P, G) + b * P, 0), preconditioned, R, share, most)
            return found.astype(right.dtype)

        return either(precise, conjugate_gradients) * unit

    def search(U: Array, UG: Array, D: Array) -> tuple[Array, Array]:
        """A step along D, halved until the value falls, with zero where a sign would change: (where it leads, that times G)."""
        before, start = value(U, UG), off(U, UG)

        def higher(V: Array, VG: Array) -> Array:
            # Near the solution the values no longer tell points apart, the residuals still do, until rounding rules.
            return (value(V, VG) > before) & (off(V, VG) > 0.1 * start) & (start > tol)

        # What is decided is carried: worked out again for the loop's condition it could round to the other side, and never end.
        def shorten(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            t, V, VG, wrong = carry
            t = jnp.where(wrong, t / 2, t)
            moved = U + t[:, None] * D
            V = jnp.clip(jnp.where((moved * U < 0) & (soft > 0), 0, moved), low, up)
            VG = times(V, G)
            return t, V, VG, higher(V, VG) & (t > _SHORTEST)

        first = (jnp.full_like(lams, 2.0), U, UG, jnp.ones(lams.size, bool))  # the first step tried is a whole one
        return jax.lax.while_loop(lambda carry: jnp.any(carry[3]), shorten, first)[1:3]

    near_by = jnp.sqrt(eps) * scale  # from here on a step must lower the residual
    rounding = 256 * eps * scale

    def going(best: Array, stalled: Array) -> Array:
        return (best > tol) & (stalled < jnp.where(best > rounding, _STALLED, 3))

    State = tuple[Array, Array, Array, Array, Array, Array]

    def body(carry: State) -> State:
        U, UG, best, stalled, refused, count = carry
        # Where the active set is hard to find, longer bursts are what finds it.
        far_off = going(best, stalled) & (best > rounding)
        longer = jnp.where(jnp.any(far_off), jnp.maximum(refused, jnp.max(jnp.where(far_off, stalled, 0))), 0)
        # Where ways in float32 gain too little the matrix is too near to singular for it.
        precise = (count >= _EASY) | jnp.any(going(best, stalled) & (stalled > 0))
        near, near_G = U, UG
        if not smooth:
            near = burst(U, UG - q + bend * U, jnp.where(knows_sets & (count == 0), 0, _BURST << longer), precise)
            near_G = times(near, G)
        far, far_G = search(near, near_G, newton(near, near_G, off(near, near_G), precise))
        at_near, at_far = off(near, near_G), off(far, far_G)
        below = value(far, far_G) <= value(near, near_G)
        take = jnp.where(at_far <= 0.1 * at_near, True, jnp.where(at_near <= 0.1 * at_far, False, below))
        reached = jnp.where(take, at_far, at_near)
        better = (reached < best) | (best > near_by)
        U, UG = (
            jnp.where(better[:, None], jnp.where(take[:, None], at_end, at_start), before)
            for at_end, at_start, before in ((far, near, U), (far_G, near_G, UG))
        )
        refused = jnp.where(jnp.any(take & (best > tol)), 0, jnp.minimum(refused + 1, _STALLED - 1))
        stalled = jnp.where(reached < 0.7 * best, 0, stalled + 1)
        return U, UG, jnp.where(best > near_by, reached, jnp.minimum(reached, best)), stalled, refused, count + 1

    def unfinished(carry: State) -> Array:
        _, _, best, stalled, _, count = carry
        return jnp.any(going(best, stalled)) & (count < _ROUNDS)

    none = jnp.zeros((), int)
    knows_sets = jnp.any(start != 0) & (lams.size <= _ROWS)  # few rows start where a looser solution was
    start_G = times(start, G)
    begin = (start, start_G, off(start, start_G), jnp.zeros(lams.size, int), none, none)
    return jax.lax.while_loop(unfinished, body, begin)[0]


@functools.partial(jax.jit, static_argnames="coarse")
def all_lams(
    problem: Quadratic,
    lams: Float[Array, "L"],
    tol: Float[Array, ""] | Float[Array, "L"],
    top: Float[Array, ""] | None = None,
    coarse: int = 8,
) -> Float[Array, "L p"]:
    """From a few λ to all of them: what lies between two solutions starts on the line between them.

    Where features are few that start saves less than the second program takes to compile. ``top`` is as for :func:`solve`.
    """
    count, p = lams.size, problem.a.size
    top = largest_eigenvalue(problem.G) if top is None else top
    if count < 3 * coarse or p <= FEW:
        return solve(problem, lams, jnp.zeros((count, p), lams.dtype), tol, top=top)
    chosen = jnp.unique(jnp.append(jnp.arange(0, count, coarse), count - 1), size=-(-(count - 1) // coarse) + 1)
    loose = jnp.maximum(jnp.max(tol), 1e-4 * jnp.linalg.norm(problem.q))
    rough = solve(problem, lams[chosen], jnp.zeros((chosen.size, p), lams.dtype), loose, top=top)
    at = jnp.arange(count)
    left = jnp.clip(jnp.searchsorted(chosen, at, side="right") - 1, 0, chosen.size - 2)
    share = ((at - chosen[left]) / (chosen[left + 1] - chosen[left])).astype(lams.dtype)[:, None]
    return solve(problem, lams, rough[left] * (1 - share) + rough[left + 1] * share, tol, top=top)
