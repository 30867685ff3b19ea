"""The exact lasso path of a quadratic, knot by knot: principal pivots of a tableau whose rank-one terms wait in a buffer.

For ``½uᵀGu − qᵀu + λ·Σ rⱼ|uⱼ|`` with active set A and signs s, stationarity makes everything linear in λ:

    u_A = G_AA⁻¹(q_A − λ·r_A s_A),        (q − Gu)_I = b_I − λ·v_I,

so two vectors b and v hold coefficients (on A) and correlations (off A) as ``b − λv``. A coordinate enters where its
correlation reaches ±λr and leaves where its coefficient reaches zero (Osborne, Presnell and Turlach, A new approach to
variable selection in least squares problems, 2000; Efron, Hastie, Johnstone and Tibshirani, Least angle regression, 2004).
Either event is a symmetric sweep on that coordinate (Goodnight, A tutorial on the SWEEP operator, 1979) of

    S = [ −G_AA⁻¹       G_AA⁻¹G_AI               ]
        [ G_IA G_AA⁻¹   G_II − G_IA G_AA⁻¹G_AI ],

which subtracts ``zzᵀ/d`` from S. An event needs one row of S alone: the terms are therefore kept as rows of a small
buffer and subtracted from S together, as one matrix product, when it is full.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_WAITING = 32  # rank-one terms before S is brought up to date: more make each row dearer, fewer the matrix products
EVENTS = 128  # events a compiled call; the caller goes on while there are more


class Tableau(NamedTuple):
    """Where a path stands. G has a unit diagonal, but for columns that can never enter (padding, constant ones): 0."""

    S: Float[Array, "p p"]
    diagonal: Float[Array, "p"]  # of S; off A what is left of a column that A does not explain
    b: Float[Array, "p"]
    v: Float[Array, "p"]
    sign: Float[Array, "p"]  # of the active coefficients; 0 off A and on the unpenalised
    active: Bool[Array, "p"]
    radius: Float[Array, "p"]  # r; 0 marks the unpenalised, which enter before anything else
    room: Int[Array, ""]  # coordinates that may be active at once: the rank that the rows allow
    lam: Float[Array, ""]  # of the next event, and
    index: Int[Array, ""]  # its coordinate
    idle: Int[Array, ""]  # events since λ last fell


class Events(NamedTuple):
    """What one call met, in order; rows from ``count`` on say nothing."""

    lam: Float[Array, "k"]
    index: Int[Array, "k"]
    entered: Bool[Array, "k"]  # or left
    coef: Float[Array, "k p"]  # at that λ, the event's own coordinate at zero
    count: Int[Array, ""]


class Buffer(NamedTuple):
    """Sweeps that S has not seen: off its diagonal S is ``S − Zᵀ diag(weights) Z``."""

    Z: Float[Array, "m p"]
    weights: Float[Array, "m"]
    count: Int[Array, ""]


def start(G: Float[Array, "p p"], q: Float[Array, "p"], radius: Float[Array, "p"], room: Any) -> Tableau:
    """The tableau of an empty active set."""
    zeros, nothing = jnp.zeros_like(q), jnp.zeros((), int)
    infinite = jnp.full((), jnp.inf, q.dtype)
    room = jnp.asarray(room, int)
    return foresee(Tableau(G, jnp.diag(G), q, zeros, zeros, zeros.astype(bool), radius, room, infinite, nothing, nothing))


def coefficients(tableau: Tableau, lam: Any) -> Float[Array, "p"]:
    """The coefficients at a λ between the last event and the next."""
    return jnp.where(tableau.active, tableau.b - lam * tableau.v, 0.0)


def going(tableau: Tableau, floor: Any) -> Array:
    """Whether the path has an event above ``floor``: false as well where it is stuck or met a NaN (``broken``)."""
    return (tableau.lam > floor) & ~_stuck(tableau)


def broken(tableau: Tableau) -> Array:
    """Whether the path cannot be continued."""
    return jnp.isnan(tableau.lam) | _stuck(tableau)


def _stuck(tableau: Tableau) -> Array:
    # Ties are resolved by pivots at one λ. The rule for picking them cannot cycle in exact arithmetic; rounding can.
    return tableau.idle > 4 * tableau.b.size + 16


def room_for(most: int, p: int, dtype: Any) -> Events:
    """No events yet, and room for ``most`` of them."""
    return Events(jnp.zeros(most, dtype), jnp.zeros(most, int), jnp.zeros(most, bool), jnp.zeros((most, p), dtype), jnp.zeros((), int))


def follow(tableau: Tableau, floor: Float[Array, ""], events: Events) -> tuple[Tableau, Events]:
    """The next events above ``floor``, written over ``events``, as many as there is room for."""
    p, dtype = tableau.b.size, tableau.b.dtype
    none = jnp.zeros((), int)
    events, most = events._replace(count=none), events.lam.size

    def unfinished(carry: tuple[Tableau, Events]) -> Array:
        return going(carry[0], floor) & (carry[1].count < most)

    def fill_buffer(carry: tuple[Tableau, Events]) -> tuple[Tableau, Events]:
        tableau, events = carry
        S = tableau.S  # not in the loop's state: what a loop rewrites, XLA copies
        buffer = Buffer(jnp.zeros((_WAITING, p), dtype), jnp.zeros(_WAITING, dtype), none)

        def body(inner: tuple[Tableau, Events, Buffer]) -> tuple[Tableau, Events, Buffer]:
            return _event(S, *inner)

        def more(inner: tuple[Tableau, Events, Buffer]) -> Array:
            return unfinished(inner[:2]) & (inner[2].count < _WAITING)

        tableau, events, buffer = jax.lax.while_loop(more, body, (tableau._replace(S=jnp.zeros(())), events, buffer))
        swept = S - buffer.Z.T @ (buffer.weights[:, None] * buffer.Z)
        return tableau._replace(S=jnp.where(jnp.eye(p, dtype=bool), tableau.diagonal, swept)), events

    return jax.lax.while_loop(unfinished, fill_buffer, (tableau, events))


def _event(S: Array, tableau: Tableau, events: Events, buffer: Buffer) -> tuple[Tableau, Events, Buffer]:
    """Pivot on the coordinate whose turn it is and look ahead to the next."""
    _, diagonal, b, v, sign, active, radius, _, lam, k, _ = tableau
    entering = ~active[k]
    at = events.count
    # Free coordinates enter at λ = ∞, before v is anything but zero.
    here = jnp.where(jnp.isinf(lam), 0.0, lam)
    events = Events(
        events.lam.at[at].set(lam),
        events.index.at[at].set(k),
        events.entered.at[at].set(entering),
        jax.lax.dynamic_update_slice(events.coef, coefficients(tableau, here).at[k].set(0.0)[None], (at, 0)),
        at + 1,
    )
    Z, weights, count = buffer
    loads = jax.lax.dynamic_slice(Z, (0, k), (len(Z), 1))[:, 0]
    d = diagonal[k]
    column = (S[k] - (weights * loads) @ Z).at[k].set(0.0)
    turn = jnp.where(entering, 1.0, -1.0).astype(b.dtype)
    # c = b − λv is ±λr where k enters; where it leaves its sign goes.
    s = jnp.where(entering, jnp.where(radius[k] > 0, jnp.sign(b[k] - here * v[k]), 0.0), sign[k])
    t_b, t_v = b[k] / d, (v[k] + jnp.where(entering, s * radius[k], 0.0)) / d
    # z = d − turn at k makes of row k what the sweep does, ±column/d: c − (d − turn)·c/d.
    z = column.at[k].set(d - turn)
    buffer = Buffer(jax.lax.dynamic_update_slice(Z, z[None], (count, 0)), weights.at[count].set(1 / d), count + 1)
    moved = tableau._replace(
        diagonal=(diagonal - column * column / d).at[k].set(-1 / d),
        b=(b - column * t_b).at[k].set(turn * t_b),
        v=(v - column * t_v).at[k].set(jnp.where(entering, t_v, -s * radius[k] - t_v)),
        sign=sign.at[k].set(jnp.where(entering, s, 0.0)),
        active=active.at[k].set(entering),
    )
    return foresee(moved), events, buffer


def foresee(tableau: Tableau) -> Tableau:
    """Find the next event: of several at one λ the first by index, which cannot cycle (Murty, 1974)."""
    _, diagonal, b, v, sign, active, radius, room, before, _, idle = tableau
    eps = jnp.finfo(b.dtype).eps
    # A column that A explains to rounding has no pivot; it stays within its bound as long as A does.
    enterable = ~active & (diagonal > 256 * eps) & (jnp.sum(active) < room)

    def meets(s: float) -> Array:
        closing = radius + s * v
        return jnp.where(closing > 64 * eps * radius, s * b / jnp.where(closing > 0, closing, 1.0), 0.0)

    entry = jnp.where(enterable, jnp.where(radius > 0, jnp.maximum(meets(1.0), meets(-1.0)), jnp.inf), 0.0)
    leave = jnp.where(active & (sign * v < 0), b / jnp.where(v == 0, 1.0, v), 0.0)
    # One that is past its bound already, by rounding, is due now.
    root = jnp.minimum(jnp.where(active, leave, entry), before)
    index = jnp.argmax(root)
    lam = root[index]
    return tableau._replace(lam=lam, index=index, idle=jnp.where(lam < before, 0, idle + 1))
