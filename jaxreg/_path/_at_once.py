"""Squared error of few features, for the rows there are: moments, null model, paths and certificates of all lanes as one program.

What a small problem costs is calls: a dozen of them take longer than the arithmetic. Where the program meets what it is not made for
(a path of more events than there is room for, a fold that holds nearly all of a column) it says so, and the general way is taken.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._penalties import Penalty
from . import _by_moments, _elastic, _lasso, _moments, _ridge
from ._certificate import LANES, Certificate, Null, certify, certify_lanes, null_model
from ._columns import Sparse
from ._elastic import Strengths
from ._engine import Design, Setup, scale_of
from ._follow import part_of
from ._inputs import Problem
from ._lasso import Several

_FEW = 256  # λ
_LANES = 11  # all rows, and ten folds


class Fit(NamedTuple):
    """Of every lane, a leading axis, at every λ."""

    null: Null
    lams: Any
    coef: Any
    intercept: Any
    scales: Any
    certificate: Certificate
    sound: Bool[Array, ""]  # whether all of it may be used
    paths: Several | None  # of a lasso
    ridge: _ridge.Criteria | None  # of a ridge regression, of all rows


class Squares(NamedTuple):
    """What the penalty of a ridge regression is in each coefficient."""

    strength: Float[Array, "p"]


def fit(
    problem: Problem,
    weights: np.ndarray,
    grid: np.ndarray,
    slopes: Any,
    squares: Any,
    ids: np.ndarray | None,
    *,
    relative: bool,
    gap_defined: bool,
) -> Fit | None:
    """None where the problem is another, or has to be taken more care of.

    Args:
      grid: λ, decreasing; ``relative`` to the smallest that gives all zeros, or not.
      slopes: those of a lasso, else None.
      squares: those of a ridge regression, else None.
      ids: as in ``_moments.of_lanes``, of no more than one repeat.
    """
    setup, design, penalty = problem.setup, problem.design, problem.penalty
    n, p = design.X.shape
    small = len(weights) <= _LANES and len(grid) <= _FEW and (ids is None or len(ids) == 1) and _moments.enough(n, p)
    if not small or isinstance(design.X, Sparse) or problem.free.any():
        return None
    kind = slopes
    if squares is not None:
        kind = Squares(squares) if squares.ndim == 1 and n >= p and setup.outputs is None else None
    elif slopes is None and _elastic.at_once(n, p):
        kind = _elastic.strengths(setup, design, penalty)
    if kind is None:
        return None
    rooms = np.minimum((weights > 0).sum(axis=1) - setup.intercept, p)
    # Few sizes, each of which is compiled anew.
    lams = part_of(grid, 0, -(-len(grid) // 25) * 25 if len(grid) > 10 else 10)
    found = _fit(setup, design, weights, _moments.in_order(ids), penalty, kind, lams, rooms, np.asarray(relative), _room(n, p), gap_defined)
    if not found.sound:
        return None
    cut = lambda x: np.asarray(x)[:, : len(grid)]  # noqa: E731
    certificate = Certificate(*map(cut, found.certificate))
    return found._replace(
        lams=np.asarray(found.lams)[: len(grid)],
        coef=cut(found.coef),
        intercept=cut(found.intercept),
        certificate=certificate,
        ridge=jax.tree.map(lambda x: np.asarray(x)[: len(grid)], found.ridge),
    )


def _room(n: int, p: int) -> int:
    """Events of a path for which there is room: hardly one has twice as many as it may have coefficients."""
    return 32 << (2 * min(n, p) // 32).bit_length()


@functools.partial(jax.jit, static_argnames=("setup", "most", "gap_defined"))
def _fit(
    setup: Setup,
    design: Design,
    weights: Float[Array, "m n"],
    folds: list[tuple[Array, Array]],
    penalty: Penalty,
    kind: Float[Array, "p"] | Strengths | Squares,
    grid: Float[Array, "L"],
    rooms: Int[Array, "m"],
    relative: Bool[Array, ""],
    most: int,
    gap_defined: bool,
) -> Fit:
    (n, p), dtype = design.X.shape, design.X.dtype
    A = jnp.ones((n, int(setup.intercept)), dtype)
    scale = scale_of(setup, design, weights[0]) if setup.standardize else jnp.ones(p, dtype)
    moments, thin = _moments.summed(design, weights, folds, *_moments.means(design, weights[0]))
    null = null_model(setup, design, weights[0], scale, A, penalty, moments)
    lams = jnp.where(relative, grid * null.lambda_max, grid)
    lanes = np.arange(len(weights))
    paths, criteria, sound = None, None, ~jnp.any(thin)
    if isinstance(kind, Squares):
        (coef, intercept, scales, blurred), basis = _ridge.of_columns(setup, design, moments, kind.strength, lams)
        criteria = _ridge.criteria(setup, design, weights[0], basis)
        sound = sound & ~jnp.any(blurred)
    elif isinstance(kind, Strengths):
        coef, intercept, scales = _elastic.several(setup, design, moments, kind, lams)
    else:
        paths = _lasso.several(setup, design, moments, lanes, kind, lams, rooms, most)
        coef, intercept, scales = paths.coef, paths.intercept, paths.unit.scale
    answers = weights, scales, coef, intercept, coef * scales[:, None]
    origin = _moments.origin_of(setup, moments)
    if _by_moments.serves(design):
        certificate = _by_moments.certify(setup, design, moments, weights, scales, A, penalty, null, lams, coef, intercept, gap_defined)
    elif len(lanes) == 1:
        v, of_lane, *own = (x[0] for x in answers)
        own = certify(setup, design, v, of_lane, A, penalty, null, lams, *own, gap_defined, origin=origin)
        certificate = jax.tree.map(lambda x: x[None], own)
    else:
        padded = part_of(lanes, 0, -(-len(lanes) // LANES) * LANES)
        found = certify_lanes(setup, design, A, penalty, null, lams, tuple(x[padded] for x in answers), gap_defined, origin)
        certificate = jax.tree.map(lambda x: x[: len(lanes)], found)
    sound = sound & (~relative | (jnp.isfinite(null.lambda_max) & (null.lambda_max > 0)))
    if paths is not None:
        sound = sound & jnp.all(paths.whole)
    return Fit(null, lams, coef, intercept, scales, certificate, sound, paths, criteria)
