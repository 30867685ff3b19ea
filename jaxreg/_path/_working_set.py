"""The lasso path with more features than a tableau holds: the homotopy on a working set that violators join.

A chunk of λ is followed on the set, one matrix product checks the stationarity of every feature at every λ of the chunk, and
while some feature violates it the worst of them join and the chunk is followed again from its start. The same product foresees who
enters in the next chunk, so that this is rare.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ._columns import Sparse, SparseRows, squares
from ._engine import Design, Setup
from ._follow import part_of
from ._homotopy import Tableau, foresee, start
from ._knots import Segments, joined, trace
from ._moments import Units, means, units
from ._together import for_checks, guard, onward, room_for, worst

_BLOCK = 32  # features that join with one product; at most _together.BLOCK do before the path is followed again
_MARGIN = 0.97  # of its bound, from which on a feature is expected to enter
_SMALLEST, _LARGEST = 512, 8192  # sizes of a set
_CHUNK = 10  # λ between two checks


class Columns(NamedTuple):
    """The weighted, centred columns of norm one, as contiguous rows, and the target they explain."""

    rows: Any  # (p, n), an array; of a sparse X a SparseRows, which the homotopy does not take
    target: Float[Array, "n"]
    unit: Units


class Members(NamedTuple):
    """The working set: its columns (zero where none has joined yet) and the tableau over them."""

    rows: Float[Array, "b n"]
    tableau: Tableau


@functools.partial(jax.jit, static_argnames=("setup",))
def columns(setup: Setup, design: Design, v: Float[Array, "n"], strengths: Float[Array, "p"]) -> Columns:
    middle, level = means(design, v)
    unit = units(setup, strengths, design.free, squares(design.X, v, middle), middle, level, jnp.sum(v))
    root = jnp.sqrt(v)
    kept = jnp.where(unit.silent, 0.0, 1 / unit.size)
    if isinstance(design.X, Sparse):
        rows = SparseRows(design.X.columns, design.X.rows, kept, -kept * unit.center, root)
    else:
        rows = (design.X - unit.center).T * kept[:, None] * root
    return Columns(rows, root * (design.y - design.offset - unit.level), unit)


@functools.partial(jax.jit, donate_argnames=("members",))
def join(found: Columns, members: Members, new: Int[Array, "k"], count: Int[Array, ""], lam: Float[Array, ""]) -> Members:
    """Append features to a set of ``count``, at λ; −1 among them joins nothing."""
    real = new >= 0
    rows = jnp.where(real[:, None], found.rows[new], 0.0)
    Z = jax.lax.dynamic_update_slice(members.rows, rows, (count, jnp.zeros_like(count)))
    tableau = members.tableau
    S, active = tableau.S, tableau.active
    G = rows @ Z.T
    to_active = jnp.where(active, G, 0.0)
    # On the active columns S is −G_AA⁻¹, between them and the others G_AA⁻¹G_AI.
    swept = to_active @ S
    outside = jnp.where(active, -swept, G - swept)
    own = jax.lax.dynamic_slice(G, (jnp.zeros_like(count), count), (new.size, new.size)) + jnp.where(active, swept, 0.0) @ to_active.T
    outside = jax.lax.dynamic_update_slice(outside, own, (jnp.zeros_like(count), count))
    S = jax.lax.dynamic_update_slice(S, outside, (count, jnp.zeros_like(count)))
    S = jax.lax.dynamic_update_slice(S, outside.T, (jnp.zeros_like(count), count))

    def put(into: Array, values: Array) -> Array:
        return jax.lax.dynamic_update_slice(into, values, (count,))

    tableau = tableau._replace(
        S=S,
        diagonal=put(tableau.diagonal, jnp.diag(own)),
        b=put(tableau.b, rows @ found.target - to_active @ tableau.b),
        v=put(tableau.v, -to_active @ tableau.v),
        radius=put(tableau.radius, jnp.where(real, found.unit.radius[new], 1.0)),
        lam=lam,
    )
    return Members(Z, foresee(tableau))


@jax.jit
def excess(
    found: Columns,
    coarse: Float[Array, "p n"],
    rows: Float[Array, "b n"],
    coef: Float[Array, "k b"],
    lams: Float[Array, "k"],
    following: Float[Array, "k"],
) -> tuple[Float[Array, "p"], Float[Array, "p"]]:
    """By how much each feature's correlation is above its bound at the worst of the λ; and what is expected of those that follow.

    Residuals are piecewise straight in λ: expected is what lies on the line through the last two, with a margin.
    """
    residual = (found.target - coef @ rows).astype(coarse.dtype)
    correlation = (coarse @ residual.T).T.astype(coef.dtype)  # in this order a pass takes half the time
    eps, size = jnp.finfo(coef.dtype).eps, jnp.linalg.norm(found.target)
    # Columns have norm one: rounding leaves this much of a correlation undecided, and what is coarse is on the safe side.
    noise = 256 * eps * size - guard(coarse.dtype, size)
    radius = jnp.where(found.unit.radius > 0, found.unit.radius, 1.0)

    def above(correlation: Array, bound: Array) -> Array:
        return jnp.max((jnp.abs(correlation) - noise) / radius - bound[:, None] * (1 + 64 * eps), axis=0)

    return above(correlation, lams), above(onward(correlation, lams, following), _MARGIN * following)


def follow_lane(
    setup: Setup,
    design: Design,
    v: Float[Array, "n"],
    strengths: Float[Array, "p"],
    lams: np.ndarray,
    room: np.ndarray,
    told: Callable[[int, np.ndarray], bool],
) -> tuple[Units, Segments, np.ndarray, int]:
    """Follow λ chunk by chunk until ``told(λ done, their coefficients)`` says stop.

    Returns (units, the path in them and in the quadratic's λ, the features of its columns, λ done).
    """
    found = columns(setup, design, v, strengths)
    n, p = design.X.shape
    dtype = found.target.dtype
    lams = lams / np.asarray(found.unit.kappa)
    order: list[int] = []
    inside = np.zeros(p, bool)
    members = _nothing(n, room, dtype, _SMALLEST)
    lam = np.asarray(np.inf, dtype)
    coarse = for_checks(found.rows, found.target, found.unit.radius, lams)

    def admit(members: Members, features: np.ndarray) -> Members:
        """New features join at the last λ that is certain."""
        for at in range(0, len(features), _BLOCK):
            block = features[at : at + _BLOCK]
            members = _with_room(members, len(order) + _BLOCK)
            padded = np.append(block, np.full(_BLOCK - len(block), -1))
            members = join(found, members, padded, np.asarray(len(order)), lam)
            order.extend(block.tolist())
            inside[block] = True
        return members

    def outside(excess: Array) -> np.ndarray:
        return worst(np.where(inside, -np.inf, np.asarray(excess)), len(order))

    members = admit(members, np.flatnonzero(np.asarray(found.unit.radius) == 0))
    pieces: list[Segments] = []
    parts = [part_of(lams, at, _CHUNK) for at in range(0, len(lams) + _CHUNK, _CHUNK)]
    # Nothing is known before the first λ but the target, nor followed on from.
    ahead, _ = excess(found, coarse, members.rows, np.zeros((_CHUNK, len(members.rows)), dtype), parts[0], parts[0])
    done = 0
    for part, following in itertools.pairwise(parts):
        done = min(done + _CHUNK, len(lams))
        new = outside(ahead)[: max(_LARGEST - len(order) - _BLOCK, 0)]
        while True:
            members = admit(members, new)
            tableau, piece = trace(members.tableau, part[-1])
            coef = piece.at(part, pieces[-1] if pieces else None)
            now, ahead = excess(found, coarse, members.rows, coef, part, following)
            new = outside(now)
            full = len(order) + len(new) + _BLOCK > _LARGEST
            if not len(new) or full:
                break
        if len(new):
            piece.coef[-1] = np.nan  # the set may not grow any more
        members, lam = members._replace(tableau=tableau), np.asarray(part[-1])
        pieces.append(piece)
        if np.isnan(piece.coef[-1]).any():
            done = len(lams)  # NaN from there on
        if told(done, coef):
            break
    path = joined(pieces)
    return found.unit, path._replace(coef=path.coef[:, : len(order)]), np.array(order, int), done


@functools.partial(jax.jit, static_argnames=("n", "dtype", "size"))
def _nothing(n: int, room: Array, dtype: Any, size: int) -> Members:
    zeros = jnp.zeros(size, dtype)
    return Members(jnp.zeros((size, n), dtype), start(jnp.zeros((size, size), dtype), zeros, zeros + 1, room))


def _with_room(members: Members, size: int) -> Members:
    """The set with more places if ``size`` is more than it has."""
    more = room_for(size, _SMALLEST) - members.rows.shape[0]
    if more <= 0:
        return members
    tableau = members.tableau
    padded = {name: jnp.pad(getattr(tableau, name), (0, more)) for name in ("diagonal", "b", "v", "sign", "active", "radius")}
    return Members(jnp.pad(members.rows, ((0, more), (0, 0))), tableau._replace(S=jnp.pad(tableau.S, (0, more)), **padded))
