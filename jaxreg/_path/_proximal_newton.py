"""Smooth losses of one linear predictor with an elastic-net penalty and bounds: many λ at once by Newton steps that share a Hessian.

For neighbouring λ the curvatures of the observations differ little. With c̄ their mean over a chunk of λ, every λ takes

    U ← argmin  ½⟨U − Uₜ, H(U − Uₜ)⟩ + ⟨gₜ, U⟩ + penalty(U),      H = Σᵢ c̄ᵢxᵢxᵢᵀ,

one proximal Newton step (Lee, Sun and Saunders, Proximal Newton-type methods for minimizing composite functions, 2014, algorithm 1) with
an H that is made once for all and again where that saves steps. A step then costs two products with the working set's columns for all λ
together, where Newton's own would cost a Hessian for each λ. Such steps find the coefficients that are not zero and converge linearly.
Where many would be left, Newton's own on those coefficients finish: by conjugate gradients, which need no Hessian, preconditioned with
the inverse of the one that is shared. What neither brings near enough is solved λ by λ, each with a Hessian of its own.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..losses import Loss
from . import _together
from ._batch import SHORT, Known, Quadratic, largest_eigenvalue, linear_solve, residual, shared_inverse, solve
from ._columns import combined, gram, in_float32, products, take
from ._together import Aim, goals

_STEPS = 60
_STALLED = 3  # steps without progress that end it: rounding rules
_ENOUGH = 10.0  # times the goal: what rounding leaves is not worth a Hessian for each λ
_FEW_STEPS = 2  # that seem to be left are taken with the Hessian at hand
_FEW_MODELS = 3  # steps with a shared Hessian that cost no more than Newton's own
_CONJUGATE = 50  # steps of a linear system at most
_JOINED = 8  # coefficients that an inverse may lack
_MOVED = 0.05  # share by which the curvatures have moved since a Hessian was made, before it is made anew


class Columns(NamedTuple):
    """Centred and scaled columns as contiguous rows, the intercept's ones among them, and the problem in their coefficients."""

    rows: Any  # (size, n), an array or SparseRows
    coarse: Any  # the same in float32, for what needs few digits; SparseRows are the same
    y: Float[Array, "n"]
    offset: Float[Array, "n"]
    weights: Float[Array, "n"]
    a: Float[Array, "size"]
    b: Float[Array, "size"]
    low: Float[Array, "size"]
    up: Float[Array, "size"]


class Hessian(NamedTuple):
    """``Σᵢ cᵢxᵢxᵢᵀ`` of the curvatures c, in units that give it a unit diagonal; 0 before it is made."""

    matrix: Float[Array, "b b"]
    size: Float[Array, "b"]  # root of its diagonal; 1 where that is 0
    curvature: Float[Array, "n"]
    known: Known
    used: Bool[Array, "b"]  # coefficients that the inverse is of


class Members(NamedTuple):
    """The columns of a working set; what fills it up is zero and costs."""

    places: Int[Array, "b"]
    columns: Columns
    hessian: Hessian


class Likelihood(NamedTuple):
    """One lane's problem, as ``_together.follow`` takes it."""

    loss: Loss
    smooth: bool  # whether nothing but squares is penalised, and nothing bounded
    columns: Columns
    aim: Aim

    @property
    def size(self) -> int:
        return self.columns.a.size

    def restrict(self, places: np.ndarray, before: Any) -> Members:
        del before
        # Rows stay outside of the program, which would copy them, and where all are members they are those there are.
        rows, coarse = self.columns.rows, self.columns.coarse
        if not np.array_equal(places, np.arange(self.size)):
            rows = take(rows, places)
            coarse = in_float32(rows)
        members = _gathered(self.columns._replace(rows=None, coarse=None), jnp.asarray(places))
        return members._replace(columns=members.columns._replace(rows=rows, coarse=coarse))

    def solve(self, members: Members, lams: Array, start: Array, *, precise: bool) -> tuple[Array, Members]:
        loose = np.asarray(0.0 if precise else _together.LOOSE, lams.dtype)
        found, hessian, goal, done = _shared(self.loss, self.smooth, members.columns, members.hessian, lams, start, self.aim, loose)
        if not done:
            found = _one_by_one(self.loss, self.smooth, members.columns, hessian, lams, found, goal, self.aim.unit)
        return found, members._replace(hessian=hessian)

    def excess(self, members: Members, found: Array, lams: Array) -> Array:
        return _excess(self.loss, self.columns, members.columns, found, lams)


@jax.jit
def _gathered(columns: Columns, places: Int[Array, "b"]) -> Members:
    def at(x: Array, fill: float) -> Array:
        return jnp.where(places >= 0, x[places], fill)

    fills = {"a": 1.0, "b": 0.0, "low": -jnp.inf, "up": jnp.inf}
    own = columns._replace(**{name: at(getattr(columns, name), fill) for name, fill in fills.items()})
    size, dtype = places.size, columns.a.dtype
    unknown = Known(jnp.zeros((), dtype), jnp.zeros((size, size), jnp.float32))
    nothing = Hessian(jnp.zeros((size, size), dtype), jnp.ones(size, dtype), jnp.zeros_like(columns.offset), unknown, jnp.zeros(size, bool))
    return Members(places, own, nothing)


def _slopes(loss: Loss, columns: Columns, eta: Float[Array, "k n"]) -> Float[Array, "k n"]:
    return jax.vmap(lambda eta: loss.grad(eta, columns.y, columns.weights))(eta)


@functools.partial(jax.jit, static_argnames=("loss",))
def _excess(loss: Loss, everything: Columns, columns: Columns, found: Array, lams: Array) -> Float[Array, "size"]:
    s = _slopes(loss, columns, combined(columns.rows, found) + columns.offset)
    size = jnp.max(jnp.linalg.norm(s, axis=1)) * s.shape[1] ** 0.5  # the rows have this norm
    pull = -products(everything.coarse, s.astype(everything.coarse.dtype)).astype(s.dtype)
    excess = _together.beyond(everything.a, everything.low, everything.up, pull, lams, size)
    return excess + _together.guard(everything.coarse.dtype, size)


@functools.partial(jax.jit, static_argnames=("loss", "smooth"))
def _shared(
    loss: Loss, smooth: bool, columns: Columns, hessian: Hessian, lams: Float[Array, "k"], start: Array, aim: Aim, loose: Array
) -> tuple[Array, Hessian, Array, Array]:
    """Where steps with one Hessian for all λ lead, that Hessian, the residuals asked for, and whether they were met."""
    goal = jnp.maximum(goals(aim, lams), loose * aim.unit)
    found, reached, hessian = _minimised(loss, smooth, columns, hessian, lams, start, goal, aim.unit)
    return found, hessian, goal, jnp.all(reached <= _ENOUGH * goal)


@functools.partial(jax.jit, static_argnames=("loss", "smooth"))
def _one_by_one(
    loss: Loss,
    smooth: bool,
    columns: Columns,
    hessian: Hessian,
    lams: Float[Array, "k"],
    start: Array,
    goal: Float[Array, "k"],
    unit: Array,
) -> Array:
    """Newton steps with a Hessian for each λ, for those that need them."""

    def one(args: tuple[Array, Array, Array]) -> Array:
        lam, u, goal = args
        return _minimised(loss, smooth, columns, hessian, lam[None], u[None], goal[None], unit, patient=True)[0][0]

    return jax.lax.map(one, (lams, start, goal))


class _Carry(NamedTuple):
    U: Float[Array, "k b"]
    eta: Float[Array, "k n"]
    value: Float[Array, "k"]
    slope: Float[Array, "k b"]
    reached: Float[Array, "k"]
    best: Float[Array, "k"]  # of all residuals, and where it was
    champion: Float[Array, "k b"]
    stalled: Int[Array, "k"]
    steps: Float[Array, "k"]  # that would be left if each gained what the last one did
    hessian: Hessian
    settled: Bool[Array, ""]  # whether Newton's own steps on the sets that are found are worth their products
    count: Array


def _minimised(
    loss: Loss,
    smooth: bool,
    columns: Columns,
    hessian: Hessian,
    lams: Float[Array, "k"],
    start: Float[Array, "k b"],
    goal: Float[Array, "k"],
    unit: Array,
    *,
    patient: bool = False,
) -> tuple[Float[Array, "k b"], Float[Array, "k"], Hessian]:
    """The best points met on the way to stationarity residuals of ``goal``, their residuals, and the last Hessian.

    Far from the answer values may fall for long before residuals do: a ``patient`` search goes on as long as either does, with a new
    Hessian as long as many steps are left. Small curvatures may fall by magnitudes while their sum hardly moves.
    """
    Z, coarse, y, offset, v, a, b, low, up = columns
    soft, bend = lams[:, None] * a, lams[:, None] * b
    eps = jnp.finfo(lams.dtype).eps
    # More steps than a new Hessian is worth: it costs b products with X, a step a few for each λ.
    few = _FEW_STEPS + a.size / 64
    coarse_type = coarse.dtype

    def value(U: Array, eta: Array) -> Array:
        return jax.vmap(lambda eta: loss(eta, y, v))(eta) + jnp.sum(penalty(U), axis=1)

    def penalty(U: Array) -> Array:
        return soft * jnp.abs(U) + bend * U**2 / 2

    def predictors(U: Array) -> Array:
        return combined(Z, U) + offset

    def gradient(eta: Array) -> Array:
        return products(Z, _slopes(loss, columns, eta))

    def off(U: Array, g: Array) -> Array:
        return residual(U, g + bend * U, soft, low, up)

    def movable(U: Array) -> Array:
        return ((U != 0) | (soft == 0)) & (low < U) & (up > U)

    def made(c: Array) -> Hessian:
        # A model is no nearer to the truth in more digits; in units that float32 can hold.
        size = jnp.max(c)
        H = gram(coarse, (c / jnp.where(size > 0, size, 1)).astype(coarse_type)).astype(c.dtype) * size
        diagonal = jnp.diagonal(H)
        d = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
        G = H / d / d[:, None]
        return Hessian(G, d, c, Known(largest_eigenvalue(G), jnp.zeros(G.shape, jnp.float32)), jnp.zeros(d.shape, bool))

    def own_share(hessian: Hessian, curvatures: Array) -> Array:
        """Each λ's own curvature in total, in units of the Hessian's."""
        total = jnp.sum(hessian.curvature)
        return jnp.maximum(jnp.sum(curvatures, axis=1) / jnp.where(total > 0, total, 1), eps)

    def inverted(hessian: Hessian, used: Array, curvatures: Array) -> Hessian:
        ridge = bend / own_share(hessian, curvatures)[:, None] / hessian.size**2
        inverse = shared_inverse(hessian.matrix, hessian.known.top, used, ridge)
        return hessian._replace(known=hessian.known._replace(inverse=inverse), used=used)

    def model(carry: _Carry, curvatures: Array) -> Array:
        """The minimisers of the models that share a Hessian, scaled to each λ's own curvature in total."""
        G, d, _, known, _ = carry.hessian
        own = own_share(carry.hessian, curvatures)
        q = carry.U * d @ G - carry.slope / own[:, None] / d
        problem = Quadratic(G, q, a / d, b / d**2, low * d, up * d)
        # No better than the model is true.
        accuracy = jnp.maximum(0.03 * carry.reached, 0.3 * goal) / own / jnp.max(d)
        found = solve(problem, lams / own, carry.U * d, accuracy, smooth=smooth, known=known)
        # A bound that is met is met to the last bit, or its slope would count.
        return jnp.where(found <= problem.low, low, jnp.where(found >= problem.up, up, found / d))

    def newton(carry: _Carry, curvatures: Array) -> Array:
        """Where each λ's own Newton step leads on the coefficients that are not at zero or a bound."""
        U, hessian = carry.U, carry.hessian
        free, d = movable(U), hessian.size.astype(coarse_type)
        right = jnp.where(free & (carry.best > goal)[:, None], -(carry.slope + bend * U + soft * jnp.sign(U)), 0)
        # In units that float32 can hold.
        size, of_right = jnp.max(curvatures, axis=1, keepdims=True), jnp.max(jnp.abs(right), axis=1, keepdims=True)
        size, of_right = (jnp.where(x > 0, x, 1) for x in (size, of_right))
        c, ridge, right = ((x / y).astype(coarse_type) for x, y in ((curvatures, size), (bend, size), (right, of_right)))
        ridge = jnp.minimum(ridge, 0.1 * jnp.finfo(jnp.float32).max)

        def times(P: Array) -> Array:
            return jnp.where(free, products(coarse, c * combined(coarse, P)) + ridge * P, 0)

        def precondition(R: Array) -> Array:
            return jnp.where(free, ((R / d).astype(jnp.float32) @ hessian.known.inverse).astype(R.dtype) / d, 0)

        # No more digits than a full step would gain.
        share = jnp.clip(carry.reached / unit, jnp.maximum(0.1 * goal / carry.reached, SHORT), 0.1).astype(coarse_type)
        D = linear_solve(times, precondition, right, share, _CONJUGATE).astype(U.dtype) * of_right / size
        to = U + jnp.where(jnp.isfinite(D), D, 0)
        return jnp.clip(jnp.where((to * U < 0) & (soft > 0), 0, to), low, up)

    def body(carry: _Carry) -> _Carry:
        curvatures = jax.vmap(lambda eta: loss.curvature(eta, y, v))(carry.eta)
        mean, old = jnp.mean(curvatures, axis=0), carry.hessian
        moved = jnp.sum(jnp.abs(mean - old.curvature)) > _MOVED * jnp.sum(old.curvature)
        anew = jnp.any(carry.steps > few) & (moved | patient)
        hessian = jax.lax.cond(anew, made, lambda _: old, mean)
        U, eta, g = carry.U, carry.eta, carry.slope
        used = jnp.any(movable(U), axis=0)
        stale = anew | (jnp.sum(used & ~hessian.used) > _JOINED)
        carry = carry._replace(hessian=jax.lax.cond(stale, inverted, lambda hessian, *_: hessian, hessian, used, curvatures))
        to = jax.lax.cond(carry.settled, newton, model, carry, curvatures)
        eta_to, promise = predictors(to), jnp.sum(g * (to - U) + penalty(to) - penalty(U), axis=1)
        t, below = _together.step_lengths(lambda t: value(U + t * (to - U), eta + t * (eta_to - eta)), carry.value, promise)
        to, eta_to = jnp.where(t > 0, to, U), jnp.where(t > 0, eta_to, eta)
        whole = t == 1  # there the target's exact zeros survive
        U, eta = jnp.where(whole, to, U + t * (to - U)), jnp.where(whole, eta_to, eta + t * (eta_to - eta))
        g = gradient(eta)
        now = off(U, g)
        gaining = now < 0.7 * carry.best
        if patient:
            gaining = gaining | (carry.value - below > jnp.sqrt(eps) * jnp.abs(below))
        gain, left = jnp.log(carry.reached / now), jnp.log(now / goal)
        steps = jnp.where(left > 0, jnp.where(gain > 0, left / gain, jnp.inf), 0)
        # What pushes at coefficients that Newton's steps leave alone is small, and the last of them was worth it.
        blocked = residual(U, jnp.where(movable(U), -soft * jnp.sign(U), g + bend * U), soft, low, up)
        right_sets = (blocked <= 0.1 * now) & ((now < 0.5 * carry.reached) | ~carry.settled)
        settled = (carry.settled | jnp.any(steps > _FEW_MODELS)) & jnp.all((now <= goal) | right_sets)
        return _Carry(
            U,
            eta,
            below,
            g,
            now,
            jnp.minimum(now, carry.best),
            jnp.where((now < carry.best)[:, None], U, carry.champion),
            jnp.where(gaining, 0, carry.stalled + 1),
            steps,
            carry.hessian,
            settled,
            carry.count + 1,
        )

    def unfinished(carry: _Carry) -> Array:
        return jnp.any((carry.best > goal) & (carry.stalled < _STALLED)) & (carry.count < _STEPS)

    eta = predictors(start)
    g = gradient(eta)
    first = off(start, g)
    none = jnp.zeros((), int)
    endless, settled = jnp.full_like(lams, jnp.inf), jnp.zeros((), bool)
    carry = _Carry(start, eta, value(start, eta), g, first, first, start, jnp.zeros(lams.shape, int), endless, hessian, settled, none)
    carry = jax.lax.while_loop(unfinished, body, carry)
    return carry.champion, carry.best, carry.hessian
