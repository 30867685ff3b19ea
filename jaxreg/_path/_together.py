"""Many λ at once on a set of features that violators join: the loop that the solvers of whole chunks of λ share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._columns import in_float32
from ._follow import part_of

CHUNK = 8  # λ solved as one program
BLOCK = 128  # features that may join at once, or as many as the set has
LOOSE = 1e-3  # of the residual at zero: enough to see who is missing from a set
_SHORTEST = 1e-8  # of a step
_UNSURE = 0.02  # of the smallest bound: what rounding of a check may leave open
_ROUNDINGS = 16  # of a sum whose terms are rounded, of which the square root of their number is seen
_SMALLEST, LARGEST = 128, 8192  # sizes of a set


@runtime_checkable
class Work(Protocol):
    """One lane's problem: solved on sets of its coefficients, judged on all ``size`` of them."""

    @property
    def size(self) -> int: ...

    def restrict(self, places: np.ndarray, before: Any) -> Any:
        """The problem on the coefficients ``places``, −1 where there is none; ``before`` is the problem on the first of them, or None."""
        ...

    def solve(self, members: Any, lams: Float[Array, "k"], start: Float[Array, "k b"], *, precise: bool) -> tuple[Float[Array, "k b"], Any]:
        """The minimisers, and the members with what was learnt on the way."""
        ...

    def excess(self, members: Any, found: Float[Array, "k b"], lams: Float[Array, "k"]) -> Float[Array, "size"]:
        """How far a coefficient that stays zero is from being allowed to, at the worst of the λ; <= 0 where it is."""
        ...


def follow(
    work: Work,
    first: np.ndarray,
    lams: np.ndarray,
    told: Callable[[int, np.ndarray], bool],
    near: np.ndarray | None = None,
    origin: np.ndarray | None = None,
    chunk: int = CHUNK,
) -> np.ndarray:
    """The coefficients at every λ (decreasing), (λ done, size); NaN from where the set may not grow any more.

    Args:
      first: coefficients that are members from the start.
      told: ``told(λ done, the last chunk's coefficients)`` ends the path where it is true.
      near: (L, size) answers to a similar problem, to start from.
      origin: (size,) where to start without them; the default is zero.
      chunk: how many λ are solved as one program.
    """
    coef = np.full((len(lams), work.size), np.nan, lams.dtype)
    order: list[int] = []
    inside = np.zeros(work.size, bool)
    members: Any = None

    def admit(features: np.ndarray) -> None:
        nonlocal members
        order.extend(features.tolist())
        inside[features] = True
        room = min(work.size, room_for(len(order), _SMALLEST))
        members = work.restrict(np.append(order, np.full(room - len(order), -1)).astype(int), members)

    def padded(rows: np.ndarray) -> Array:
        return jnp.asarray(np.pad(rows, ((0, 0), (0, len(members.places) - rows.shape[1]))))

    known = np.zeros(work.size, bool) if near is None else (near != 0).any(axis=0)
    known[first] = True
    admit(np.flatnonzero(known))
    last = np.zeros((1, len(order)), lams.dtype) if origin is None else origin[None, order]
    for begin in range(0, len(lams), chunk):
        done = min(begin + chunk, len(lams))
        part = jnp.asarray(part_of(lams, begin, chunk))
        rows = np.repeat(last, chunk, axis=0) if near is None else part_of(near[:, order], begin, chunk)
        precise = bool(inside.all())
        while True:
            found, members = work.solve(members, part, padded(rows), precise=precise)
            rows = np.asarray(found)[:, : len(order)]
            if inside.all() and precise:
                break
            new = worst(np.where(inside, -np.inf, np.asarray(work.excess(members, found, part))), len(order))
            if not len(new) and precise:
                break
            precise = precise or not len(new)
            if len(new):
                if len(order) + len(new) > LARGEST:
                    return coef
                admit(new)
        last = rows[-1:]
        coef[begin:done] = 0
        coef[begin:done, order] = rows[: done - begin]
        if told(done, coef[begin:done]):
            return coef[:done]
    return coef


def room_for(members: int, smallest: int) -> int:
    """Few sizes, each of which is compiled anew: powers of two, and above 1024 what lies halfway between them."""
    room = max(smallest, 1 << max(members - 1, 0).bit_length())
    return 3 * room // 4 if room > 1024 and members <= 3 * room // 4 else room


def worst(excess: np.ndarray, members: int) -> np.ndarray:
    """Of the features whose excess is positive those that may join ``members`` at once, the worst first."""
    new = np.flatnonzero(excess > 0)
    return new[np.argsort(-excess[new], kind="stable")[: max(BLOCK, members)]]


def step_lengths(
    at: Callable[[Array], Array], before: Float[Array, "k"], promise: Float[Array, "k"]
) -> tuple[Float[Array, "k 1"], Float[Array, "k"]]:
    """(lengths, values there) of each λ: 1 or what it takes of halves for ``at(lengths)`` to fall enough, but for rounding.

    That is Lee et al. 2014, eq. 2.17. 0 where no length does, be it that the direction is worthless or not finite.
    """
    room = 16 * jnp.finfo(before.dtype).eps * jnp.abs(before)

    # What is decided is carried: worked out again for the loop's condition it could round to the other side, and never end.
    def shorten(tried: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        t = jnp.where(tried[1], tried[0] / 2, tried[0])
        value = at(t[:, None])
        return t, ~(value <= before + 1e-4 * t * promise + room) & (t > _SHORTEST), value

    first = (jnp.full_like(before, 2.0), jnp.ones(before.shape, bool), before)  # the first step tried is a whole one
    t, _, value = jax.lax.while_loop(lambda tried: jnp.any(tried[1]), shorten, first)
    return jnp.where(t > _SHORTEST, t, 0)[:, None], jnp.where(t > _SHORTEST, value, before)


class Aim(NamedTuple):
    """How near to stationary answers are to be, in a problem's own units."""

    tol: Any  # of the gap, in units of ``null_loss``
    null_loss: Any
    finest: Any  # of the residual ``unit``: no answer has to be nearer
    least: Any  # the smallest curvature of a penalised coefficient's penalty, at λ = 1
    unit: Any  # a residual that is far from 0


def goals(aim: Aim, lams: Float[Array, "k"]) -> Float[Array, "k"]:
    """Residuals of a gap well below ``tol``: it is Σr²/(2λb) at most where every penalty has a curvature b, else of r's order.

    By a factor of a thousand: coefficients are as far off as the root of a gap.
    """
    quadratic = jnp.sqrt(2e-3 * aim.tol * aim.null_loss * lams * aim.least)
    enough = jnp.where(aim.least > 0, quadratic, 0.01 * aim.tol * aim.unit)
    return jnp.clip(enough, aim.finest * aim.unit, jnp.maximum(0.1 * jnp.sqrt(aim.tol), aim.finest) * aim.unit)


def reported(coef: np.ndarray, told: Callable[[int, np.ndarray], bool]) -> int:
    """How many λ are kept when all are known at once."""
    for done in [*range(CHUNK, len(coef), CHUNK), len(coef)]:
        if told(done, coef[max(done - CHUNK, 0) : done]):
            return done
    return len(coef)


def onward(rows: Float[Array, "k m"], lams: Float[Array, "k"], following: Float[Array, "j"]) -> Float[Array, "j m"]:
    """Further down the line through the last two rows: what residuals are made of is nearly straight in λ."""
    apart = lams[-2] - lams[-1]
    share = jnp.where(apart > 0, (lams[-1] - following) / jnp.where(apart > 0, apart, 1), 0)[:, None]
    return rows[-1] + share * (rows[-1] - rows[-2])


def beyond(
    a: Float[Array, "size"],
    low: Float[Array, "size"],
    up: Float[Array, "size"],
    pull: Float[Array, "k size"],
    lams: Float[Array, "k"],
    scale: Array,
) -> Float[Array, "size"]:
    """By how much a coefficient at zero is pulled away from there, at the worst λ; of ``scale``, what rounding decides is not counted."""
    eps = jnp.finfo(pull.dtype).eps
    rise, fall = jnp.where(up > 0, pull, -jnp.inf), jnp.where(low < 0, -pull, -jnp.inf)
    return jnp.max(jnp.maximum(rise, fall) - a * lams[:, None] * (1 + 64 * eps), axis=0) - 4 * eps * scale


def guard(coarse: Any, size: Array) -> Array | float:
    """By how much products in the precision ``coarse`` may fall short of what they are in that of ``size``, the norms' product."""
    return 0.0 if coarse == size.dtype else _ROUNDINGS * jnp.finfo(coarse).eps * size


def for_checks(rows: Any, target: Float[Array, "n"], a: Any, lams: np.ndarray) -> Any:
    """Rows of norm one in float32, unless the ``guard`` that this asks for lets in features that are well within their bounds."""
    a = np.asarray(a)
    least = np.min(a, where=a > 0, initial=np.inf) * lams.min()
    return in_float32(rows) if guard(jnp.float32, jnp.linalg.norm(target)) <= _UNSURE * least else rows
