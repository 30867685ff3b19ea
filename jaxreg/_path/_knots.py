"""The knots of a lasso path: where it bends, what happens there, and the coefficients between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._homotopy import EVENTS, Events, Tableau, broken, coefficients, follow, going, room_for


class Segments(NamedTuple):
    """A path that is linear between breaks, as NumPy arrays; NaN in the last row where it could not be continued."""

    index: np.ndarray  # (K,) the coordinate of each event
    entered: np.ndarray  # (K,) bool
    breaks: np.ndarray  # (K + 1,) λ of the events, decreasing, and of the end
    coef: np.ndarray  # (K + 1, c)

    def at(self, lams: np.ndarray, before: Segments | None = None) -> np.ndarray:
        """Coefficients (L, c) at λ not below the end; above the first break they are those there.

        Args:
          before: the path up to where this one starts.
        """
        breaks, coef = self.breaks, self.coef
        if before is not None:
            breaks, coef = np.append(before.breaks[-1], breaks), np.concatenate([_widened(before.coef[-1:], coef.shape[1]), coef])
        # λ_max is computed twice, each time with rounding of its own: what is level with the first knot lies at it.
        lams = np.where(lams >= breaks[0] * (1 - 256 * np.finfo(coef.dtype).eps), breaks[0], lams)
        after = np.clip(np.searchsorted(-breaks, -lams, side="left"), 0, len(breaks) - 1)
        start = np.maximum(after - 1, 0)
        width = breaks[start] - breaks[after]
        share = np.where(width > 0, (breaks[start] - lams) / np.where(width > 0, width, 1), 1.0)[:, None].astype(coef.dtype)
        return coef[start] * (1 - share) + coef[after] * share

    def until(self, lam: Any) -> Segments:
        """The path down to a λ that is not below its end."""
        kept = int(np.sum(self.breaks[:-1] > lam))
        end = self.at(np.asarray([lam], self.breaks.dtype))
        return Segments(self.index[:kept], self.entered[:kept], np.append(self.breaks[:kept], lam), np.concatenate([self.coef[:kept], end]))


def between(events: Events, end: Float[Array, "p"], lams: Float[Array, "L"]) -> Float[Array, "L p"]:
    """``Segments.at`` within a compiled program, of a path that ends with ``lams`` and has all its events."""
    known = jnp.arange(events.lam.size) < events.count
    breaks = jnp.append(jnp.where(known, events.lam, lams[-1]), lams[-1])
    coef = jnp.concatenate([jnp.where(known[:, None], events.coef, end), end[None]])
    first = jnp.sum(jnp.isinf(breaks))  # what is unpenalised came in before the path began
    top = breaks[first]
    lams = jnp.where(lams >= top * (1 - 256 * jnp.finfo(lams.dtype).eps), top, lams)
    after = jnp.clip(jnp.searchsorted(-breaks, -lams, side="left"), first, events.lam.size)
    before = jnp.maximum(after - 1, first)
    width = breaks[before] - breaks[after]
    share = jnp.where(width > 0, (breaks[before] - lams) / jnp.where(width > 0, width, 1), 1)[:, None]
    return coef[before] * (1 - share) + coef[after] * share


def joined(pieces: Sequence[Segments]) -> Segments:
    """One path of pieces that follow each other; later ones may have more columns."""
    width = pieces[-1].coef.shape[1]
    inner = [piece.coef[:-1] for piece in pieces[:-1]]
    return Segments(
        np.concatenate([piece.index for piece in pieces]),
        np.concatenate([piece.entered for piece in pieces]),
        np.concatenate([*(piece.breaks[:-1] for piece in pieces[:-1]), pieces[-1].breaks]),
        np.concatenate([*(_widened(coef, width) for coef in inner), pieces[-1].coef]),
    )


def _widened(coef: np.ndarray, width: int) -> np.ndarray:
    return np.pad(coef, ((0, 0), (0, width - coef.shape[1])))


@jax.jit
def _advance(tableau: Tableau, floor: Float[Array, ""]) -> tuple[Tableau, Events, Array, Array, Array]:
    tableau, events = follow(tableau, floor, room_for(EVENTS, tableau.b.size, tableau.b.dtype))
    return tableau, events, coefficients(tableau, floor), going(tableau, floor), broken(tableau)


def trace(tableau: Tableau, floor: Any) -> tuple[Tableau, Segments]:
    """Follow a path down to ``floor``, in compiled calls of a bounded number of events."""
    p = tableau.b.size
    floor = np.asarray(floor, tableau.b.dtype)
    found: list[list[np.ndarray]] = []
    total = 0
    while True:
        tableau, events, end, more, lost = _advance(tableau, floor)
        found.append(_seen(events))
        total += int(events.count)
        # There are paths with a number of knots that is exponential in p (Mairal and Yu, 2012); those seen in practice
        # have a few times as many as coordinates.
        lost = bool(lost) or total > 100 * p + 1000
        if lost or not bool(more):
            break
    return tableau, _segments(found, np.full(p, np.nan) if lost else np.asarray(end), floor)


def segments_of(events: Events, end: np.ndarray, floor: Any) -> Segments:
    """The path down to ``floor``, where its coefficients are ``end``, of all its events."""
    return _segments([_seen(events)], end, floor)


def _seen(events: Events) -> list[np.ndarray]:
    rows = slice(0, int(events.count))
    part = [np.asarray(x)[rows] for x in (events.lam, events.index, events.entered, events.coef)]
    finite = np.isfinite(part[0])  # what is unpenalised came in before the path began
    return [x[finite] for x in part]


def _segments(found: list[list[np.ndarray]], end: np.ndarray, floor: Any) -> Segments:
    lams, index, entered, coef = (np.concatenate(column) for column in zip(*found, strict=True))
    return Segments(index, entered, np.append(lams, np.asarray(floor)), np.concatenate([coef, end[None].astype(coef.dtype)]))


@dataclasses.dataclass(frozen=True, repr=False)
class Knots:
    """The events of an exact lasso path as NumPy arrays, in decreasing order of λ, down to the smallest λ of the grid.

    With more features than a tableau holds (about a thousand) the path is followed on a working set, and what is left
    out of it is checked at every λ of the grid: a feature that enters and leaves between two of them may be missed.

    Attributes:
      lams: (K,) λ at which the path bends, in the units of the objective.
      features: (K,) the feature that enters or leaves there.
      entered: (K,) bool, whether it enters.

    >>> import numpy as np, jaxreg
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> y = np.array([3.0, 1.0, -3.0, -1.0])
    >>> knots = jaxreg.path(X, y, jaxreg.L1(), lams=[1.0]).knots
    >>> knots.lams.round(12).tolist(), knots.features.tolist(), knots.entered.tolist()
    ([12.0, 4.0], [0, 1], [True, True])
    """

    lams: Any
    features: Any
    entered: Any
    columns: np.ndarray  # the features that `segments` has, whose last column is the intercept
    segments: Segments

    def __repr__(self) -> str:
        return f"<{len(self.lams)} knots>"

    def coef_at(self, lam: float, p: int) -> tuple[np.ndarray, Any]:
        """((p,) coefficients, intercept) at a λ that is not below the end of the grid."""
        row = self.segments.at(np.array([lam]))[0]
        coef = np.zeros(p, row.dtype)
        coef[self.columns] = row[:-1]
        return coef, row[-1]
