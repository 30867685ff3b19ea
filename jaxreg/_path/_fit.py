"""From a checked problem to certified answers: which method solves it, and what happens where one falls short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._dtypes import is_number
from ..losses import SquaredError
from . import _at_once, _by_moments, _dual, _elastic, _lasso, _likelihood, _ridge, _targets, _together
from ._certificate import Certificate, Null, free_columns, null_model, why_no_gap
from ._certified import certificates, reached, shortfall
from ._columns import Sparse, refusal
from ._engine import prepare, scales_of
from ._follow import CHUNK, Followed, follow, in_blocks, part_of, row_space
from ._grid import default_grid, default_ratios
from ._inputs import Problem
from ._interrupt import Stop, never
from ._knots import Knots
from ._progress import Interest, check_interest

_NAMES = {"homotopy": "the exact path", "batch": "the solver of many λ at once"}


class Fits(NamedTuple):
    """Answers of every lane at every λ, as device arrays with leading axes (lanes, lams)."""

    lams: Any
    coef: Any
    intercept: Any
    certificate: Certificate
    null: Null
    ridge: _ridge.Criteria | None
    reason: str | None
    tol: float
    methods: tuple[str, ...]  # what solved each lane
    fallback: str | None  # why lane 0's exact path gave way to another method
    knots: Knots | None  # lane 0's
    unfinished: int  # how many λ were left when somebody interrupted


def fit_lanes(
    problem: Problem,
    weights: Any,
    grid: Any,
    tol: float | None,
    progress: Any,
    max_nonzeros: Any = None,
    ids: np.ndarray | None = None,
    stop: Stop = never,
) -> Fits:
    """Fit lanes of sample weights (lane 0 is all the data) on one grid, which lane 0 decides.

    With ``ids``, (repeats, n), the lanes after the first are all rows but those of a fold, repeat by repeat. Where ``stop()`` is true
    after a chunk, the first lane ends there and others are left out, with those to come; the lanes that are done are whole.
    """
    setup, design, penalty = problem.setup, problem.design, problem.penalty
    dtype = design.X.dtype
    weights = np.asarray(weights, dtype)
    if tol is not None and not (is_number(tol) and np.ndim(tol) == 0 and np.isfinite(tol) and tol > 0):
        raise ValueError(f"tol must be a number > 0, got {tol!r}")
    interest = check_interest(progress, max_nonzeros, stop)
    tol = float(tol if tol is not None else (1e-10 if dtype == jnp.float64 else 1e-5))
    sparse = isinstance(design.X, Sparse)
    if sparse:
        _check_sparse(problem, interest.max_nonzeros)
    slopes = _lasso.strengths(setup, design, penalty)
    no_gap = why_no_gap(setup, design, penalty) if slopes is None else None
    squares = _of_ridge(problem, interest) if slopes is None else None
    solved = _in_one_program(problem, weights, slopes, squares, grid, ids, interest, tol, gap_defined=no_gap is None)
    if solved is None:
        solved = _apart(problem, weights, slopes, squares, grid, ids, interest, tol, gap_defined=no_gap is None)
    null, lams, answers, certificate = solved
    coef, intercept, scales, method, ridge, knots, _, fallback, closer = answers
    asked, lanes_asked = len(lams), len(weights)
    lams, weights = lams[: coef.shape[1]], weights[: len(coef)]
    methods = [method] * len(weights)
    cut = stop() and (len(weights) < lanes_asked or len(lams) < asked)  # what is left out is not gone on with, and said to be

    def newton(lanes: np.ndarray, at: np.ndarray, *_: Any) -> Followed:
        return _newton(problem, weights[lanes], null, lams[at], tol, Interest())

    for name, way in ((method, closer), ("newton", newton if method in ("homotopy", "batch") and not sparse else None)):
        missed = ~reached(certificate, coef, tol)
        if way is None or not missed.any() or cut:
            continue
        lanes, at = np.flatnonzero(missed.any(axis=1)), np.flatnonzero(missed.any(axis=0))
        at = part_of(at, 0, -(-len(at) // CHUNK) * CHUNK)  # few numbers of λ: each is compiled anew
        those = np.ix_(lanes, at)
        again = way(lanes, at, np.asarray(coef)[those], np.asarray(intercept)[those])
        A = free_columns(setup, design.X, problem.free)
        other = certificates(problem, A, null, lams[at], weights[lanes], scales[lanes], *again, gap_defined=no_gap is None)
        better = missed[those] & (shortfall(other, again.coef) < shortfall(certificate, coef)[those])
        # Copies: some were a program's, and may not be written to.
        kept = [np.array(x) for x in (coef, intercept, *certificate)]
        for old, new in zip(kept, (*again[:2], *other), strict=True):
            spread = better.reshape(better.shape + (1,) * (old.ndim - 2))
            old[those] = np.where(spread, new, old[those])
        coef, intercept, certificate = kept[0], kept[1], Certificate(*kept[2:])
        for lane, taken in zip(lanes, np.atleast_1d(better.any(axis=1)), strict=True):
            methods[lane] = name if taken else methods[lane]
        if name == "newton" and methods[0] == "newton":
            fallback = f"{_NAMES[method]} missed tol at {len(np.unique(at[better[0]]))} λ, which Newton's method came closer to"
            knots = None
    unfinished = asked - len(lams) if stop() else 0
    return Fits(lams, coef, intercept, certificate, null, ridge, no_gap, tol, tuple(methods), fallback, knots, unfinished)


def null_of(problem: Problem, v: np.ndarray, A: Any) -> Null:
    """The null model of one set of sample weights; A are its free columns."""
    setup, design = problem.setup, problem.design
    weights = np.asarray(v, design.X.dtype)
    return null_model(setup, design, weights, scales_of(setup, design, weights[None])[0], A, problem.penalty)


class Answers(NamedTuple):
    """Of every lane at every λ, until a path was stopped; what is solved by one method alone."""

    coef: Any
    intercept: Any
    scales: Any  # (lanes, p) in which the lanes' residuals are measured
    method: str
    ridge: _ridge.Criteria | None = None
    knots: Knots | None = None
    scaled: Any = None  # coef times scales, where the method knows it to the last bit
    fallback: str | None = None  # why the method that would be expected gave way to this one
    closer: Callable[..., Followed] | None = None  # (lanes, λ, their coefficients and intercepts) once more, to more digits


class Solved(NamedTuple):
    """Before it is known whether all of it reached ``tol``."""

    null: Null
    lams: np.ndarray
    answers: Answers
    certificate: Certificate


def _in_one_program(
    problem: Problem,
    weights: np.ndarray,
    slopes: Any,
    squares: Any,
    grid: Any,
    ids: np.ndarray | None,
    interest: Interest,
    tol: float,
    *,
    gap_defined: bool,
) -> Solved | None:
    """By one program, where there is one that serves."""
    design = problem.design
    relative = isinstance(grid, int)
    values = np.asarray(default_ratios(design, grid, smooth=squares is not None) if relative else grid, design.X.dtype)
    found = _at_once.fit(problem, weights, values, slopes, squares, ids, relative=relative, gap_defined=gap_defined)
    if found is None:
        return None
    # All is done when this is known: a wish to stop would only throw it away.
    told = interest._replace(stop=never).teller(len(found.lams))
    done = min(_together.reported(coef, told.part(lane, len(weights))) for lane, coef in enumerate(found.coef))
    coef, intercept, *certificate = (x[:, :done] for x in (found.coef, found.intercept, *found.certificate))
    paths = found.paths
    knots = None if paths is None else _lasso.first_knots(paths, found.lams[-1], found.lams[done - 1])
    method = "homotopy" if paths is not None else "batch" if found.ridge is None else "ridge"
    closer = _by_the_dual(problem, weights, found.lams) if method == "batch" else None
    answers = Answers(coef, intercept, found.scales, method, found.ridge, knots, closer=closer)
    certificate = Certificate(*certificate)
    if _by_moments.serves(design) and not reached(certificate, coef, tol).all():  # what moments are not enough for
        A, lanes, lams = free_columns(problem.setup, design.X, problem.free), len(coef), found.lams[:done]
        taken = weights[:lanes], found.scales, coef, intercept
        certificate = certificates(problem, A, found.null, lams, *taken, None, gap_defined=gap_defined)
    return Solved(found.null, found.lams, answers, certificate)


def _by_the_dual(problem: Problem, weights: np.ndarray, lams: np.ndarray) -> Callable[..., Followed] | None:
    """Of an elastic net that was solved by the Gram matrix of its few features, which correlations spoil; None of another."""
    n, p = problem.design.X.shape
    penalty = _elastic.strengths(problem.setup, problem.design, problem.penalty)
    if penalty is None or not _elastic.at_once(n, p) or not _dual.fits(problem.design) or isinstance(problem.design.X, Sparse):
        return None

    def closer(lanes: np.ndarray, at: np.ndarray, *_: np.ndarray) -> Followed:
        told = Interest().teller(len(at))
        return Followed(*_elastic.fit(problem.setup, problem.design, weights[lanes], penalty, lams[at], None, told, dual=True)[:2], None)

    return closer


def _apart(
    problem: Problem,
    weights: np.ndarray,
    slopes: Any,
    squares: Any,
    grid: Any,
    ids: np.ndarray | None,
    interest: Interest,
    tol: float,
    *,
    gap_defined: bool,
) -> Solved:
    """Null model, answers and certificates one after the other."""
    setup, design = problem.setup, problem.design
    A = free_columns(setup, design.X, problem.free)
    null = null_of(problem, weights[0], A)
    lams = np.asarray(default_grid(problem, null, grid) if isinstance(grid, int) else grid, design.X.dtype)
    answers = _solve(problem, weights, null, slopes, squares, lams, tol, interest, ids)
    coef, intercept = np.asarray(answers.coef), np.asarray(answers.intercept)
    done, weights = lams[: coef.shape[1]], weights[: len(coef)]
    certificate = certificates(problem, A, null, done, weights, answers.scales, coef, intercept, answers.scaled, gap_defined=gap_defined)
    return Solved(null, lams, answers, certificate)


def _solve(
    problem: Problem,
    weights: np.ndarray,
    null: Null,
    slopes: Any,
    squares: Any,
    lams: Any,
    tol: float,
    interest: Interest,
    ids: Any,
) -> Answers:
    """The method that the problem admits: the exact path, one factorisation, or Newton's method."""
    setup, design, penalty = problem.setup, problem.design, problem.penalty
    sparse = isinstance(design.X, Sparse)
    if slopes is not None and not sparse:
        coef, intercept, scales, knots = _lasso.fit(setup, design, weights, slopes, lams, ids, interest.teller(len(lams)))
        return Answers(coef, intercept, scales, "homotopy", knots=knots)
    elastic = _elastic.strengths(setup, design, penalty)
    if elastic is not None:
        found = _elastic.fit(setup, design, weights, elastic, lams, ids, interest.teller(len(lams)))
        return Answers(*found, "batch", closer=_by_the_dual(problem, weights, lams))
    whole = -(-len(lams) // CHUNK) * CHUNK
    of_ridge = None if squares is None else _ridge.fit(setup, design, weights, squares, jnp.asarray(part_of(lams, 0, whole)), ids)
    if of_ridge is not None:
        found, criteria = of_ridge
        coef, intercept = (np.asarray(x)[:, : len(lams)] for x in found[:2])
        if interest.progress:
            interest.progress(len(lams), len(lams))
        criteria = jax.tree.map(lambda x: np.asarray(x)[: len(lams)], criteria)
        return Answers(coef, intercept, np.asarray(found.scale), "ridge", ridge=criteria)
    many = _targets.strengths(setup, design, penalty) if interest.max_nonzeros is None else None
    if many is not None:
        told = interest.teller(len(lams))
        return Answers(*_targets.fit(setup, design, weights, many, lams, ids, told))
    of_each = quadratic(problem)
    if of_each is not None and _wide(problem) and not sparse:
        reduced = row_space(problem, of_each, null, tol)
        answers = _solve(reduced.problem, weights, reduced.null, None, None, lams, tol, interest._replace(max_nonzeros=None), ids)
        scales = np.ones((len(answers.coef), design.X.shape[1]), design.X.dtype)
        once_more = answers.closer

        def closer_in_rows(lanes: np.ndarray, at: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> Followed:
            assert once_more is not None
            again = once_more(lanes, at, reduced.of(coef), intercept)
            return Followed(reduced.original(again.coef), again.intercept, None)

        return answers._replace(
            coef=reduced.original(answers.coef), scales=scales, scaled=None, closer=None if once_more is None else closer_in_rows
        )
    smooth = _likelihood.strengths(setup, design, penalty)
    if smooth is not None and (interest.max_nonzeros is None or setup.outputs is None):
        told = interest.teller(len(lams))
        found = _likelihood.fit(setup, design, weights, smooth, lams, null, tol, told)

        def closer(lanes: np.ndarray, at: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> Followed:
            told, before = Interest().teller(len(at)), (coef, intercept)
            again = _likelihood.fit(setup, design, weights[lanes], smooth, lams[at], null, tol, told, before)
            return Followed(*again[:2], None)

        return Answers(*found, "batch", closer=closer)
    scales = scales_of(setup, design, weights)
    found = _newton(problem, weights, null, lams, tol, interest)
    reason = None if squares is None else "one factorisation would leave too few digits at the smallest λ: by Newton's method"
    return Answers(found.coef, found.intercept, scales, "newton", scaled=found.scaled, fallback=reason)


def _check_sparse(problem: Problem, max_nonzeros: int | None) -> None:
    """Refuse what only the methods for dense X can do."""
    setup, design = problem.setup, problem.design
    found = _likelihood.strengths(setup, design, problem.penalty)
    why = None
    if setup.loss.vector or setup.loss.bent or setup.loss.coupled:
        why = f"the loss {setup.loss!r} is fitted with a dense X alone"
    elif found is None:
        why = f"only L1, L2, the elastic net and their sums are fitted with it, not {problem.penalty!r}"
    elif max_nonzeros is not None and (setup.outputs is not None or not (np.asarray(found.a) > 0).any()):
        why = "max_nonzeros needs one target and a penalty with a part of L1 there"
    elif design.lower is not None and (np.asarray(found.a) == 0).sum() > _together.LARGEST:
        why = f"under bounds at most {_together.LARGEST} features may be without a part of L1"
    if why:
        raise refusal(why)


def _newton(problem: Problem, weights: np.ndarray, null: Null, lams: Any, tol: float, interest: Interest) -> Followed:
    """By the method that takes every loss and penalty."""
    squares = quadratic(problem)
    if squares is None or not _wide(problem):
        targets = _targets.apart(problem, null) if interest.max_nonzeros is None else []
        if targets:
            return _one_by_one(targets, weights, lams, tol, interest)
        ordered = in_blocks(problem)
        told, (setup, design) = interest.teller(len(lams)), ordered.problem[:2]
        return ordered.original(follow(ordered.problem, prepare(setup, design, jnp.asarray(weights)), null, lams, tol, told))
    reduced = row_space(problem, squares, null, tol)
    found = _newton(reduced.problem, weights, reduced.null, lams, tol, interest._replace(max_nonzeros=None))
    coef = reduced.original(found.coef)
    return Followed(coef, found.intercept, coef)


def _one_by_one(targets: list[tuple[Problem, Null]], weights: np.ndarray, lams: Any, tol: float, interest: Interest) -> Followed:
    """The targets' answers side by side."""
    found = []
    for index, (problem, null) in enumerate(targets):
        told, lanes = interest.teller(len(lams)).part(index, len(targets)), prepare(problem.setup, problem.design, jnp.asarray(weights))
        found.append(follow(problem, lanes, null, lams, tol, told))
        if told.stopped() and (index + 1 < len(targets) or found[-1].coef.shape[1] < len(lams)):
            raise KeyboardInterrupt  # of no λ are all targets done
    coef, intercept, scaled = zip(*found, strict=True)
    return Followed(np.stack(coef, axis=-1), np.concatenate(intercept, axis=-1), np.stack(scaled, axis=-1))


def quadratic(problem: Problem) -> Any:
    """The a_j of a penalty that is ``Σ a_j·w_j²`` with every a_j > 0, without bounds; else None."""
    setup, design = problem.setup, problem.design
    return None if design.lower is not None else _ridge.strengths(problem.penalty, setup.shape(design.X.shape[1]), design.X.dtype)


def _of_ridge(problem: Problem, interest: Interest) -> Any:
    """``_ridge.form`` of a problem that one factorisation solves; else None."""
    setup, design = problem.setup, problem.design
    if not isinstance(setup.loss, SquaredError) or isinstance(design.X, Sparse) or design.lower is not None:
        return None
    squares = _ridge.form(problem.penalty, setup, design.X.shape[1], design.X.dtype)
    if squares is not None and interest.max_nonzeros is not None:
        raise ValueError("max_nonzeros: ridge has no zero coefficients, so that there is nothing to stop at; leave it out")
    return squares


def _wide(problem: Problem) -> bool:
    """Whether the features are too many for all of them to be fitted at once, and their number may be reduced to that of the rows."""
    return problem.setup.bucket < problem.design.X.shape[1] and not problem.setup.standardize
