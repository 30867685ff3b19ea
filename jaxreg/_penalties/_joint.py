"""Which penalties have a joint prox, and how it is composed of theirs.

Write a sum as quadratics ``½a(w − r)²`` plus the rest. Completing the square,

    prox_{rest + quadratics}(v, s) = prox_rest((v + s·Σar)/(1 + s·Σa), s/(1 + s·Σa)),

which holds for any rest. Within the rest, on leaves that two terms share:

    differences of neighbours, then any convex function alike for all numbers: it moves levels monotonically, and differences of
                           levels keep their signs                           (Friedman et al. 2007, lemma A.1, for L1)
    soft + soft            thresholds add                                    (composition)
    soft, then a norm      Yu, On decomposing the proximal map, 2013, cor. 4 (sparse group lasso)
    any convex separable, then an interval: in one dimension the constrained minimiser is the clipped one
    a function that rises with |w|, then w >= 0: below 0 the constrained minimiser is 0
    a cone, then a norm    the norm's shrinkage stays in the cone            (Yu 2013, thm. 1)

Everything else raises, naming both terms.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._dtypes import cast, is_concrete, is_number, is_penalised_leaf
from .._tree import broadcast_prefix
from ._base import Penalty, PyTree, UnknownOperation, _fields
from ._place import Wrapper


def order(term: Penalty) -> int:
    """The order in which proxes compose: cones before norms, intervals last."""
    if term.role == "interval":
        return 1 if term.cone else 3
    return {"levels": -1, "soft": 0, "folded": 0, "": 0, "quadratic": 0, "norm": 2}[term.role]


def known(first: Penalty, second: Penalty, params: PyTree) -> bool:
    """Whether prox_second ∘ prox_first is the prox of the sum on shared leaves (``first`` comes first in _order)."""
    roles = (first.role, second.role)
    if first.role == "levels":
        center = first.reference()
        if center is not None and not _single(center):
            return False  # away from levels
        both = zip(jax.tree.leaves(first.covers(params)), jax.tree.leaves(second.covers(params)), strict=True)
        return second.convex and second.separable and _alike(second) and all(b or not a for a, b in both)
    if first.role == "folded":
        return second.cone and first.reference() is None and second.reference() is None
    same_center = first.reference() is second.reference()
    if second.role == "interval" and first.role != "norm":
        return first.convex and first.separable
    if roles == ("interval", "norm"):
        return first.cone and first.reference() is None and second.reference() is None
    return roles in (("soft", "soft"), ("soft", "norm")) and same_center


def _alike(term: Any) -> bool:
    """Whether a separable term is one function of one number: every strength, bound and centre is a single number."""
    own = [getattr(term, f.name) for f in _fields(term) if f.name != "penalty" and not f.metadata.get("static")]
    return all(map(_single, own)) and (not isinstance(term, Wrapper) or _alike(term.penalty))


def _single(x: Any) -> bool:
    return bool(is_number(x)) and np.ndim(x) == 0


def overlap(first: Penalty, second: Penalty, params: PyTree) -> bool:
    both = zip(jax.tree.leaves(first.covers(params)), jax.tree.leaves(second.covers(params)), strict=True)
    return any(a and b for a, b in both)


def in_all(intervals: list[Penalty], point: PyTree) -> PyTree:
    """The last projection's point, if it is in the other intervals too; else they have none in common: an error, or NaN where traced."""
    if len(intervals) < 2:
        return point
    leaves, treedef = jax.tree.flatten(point)
    for term in intervals[:-1]:
        ends = map(treedef.flatten_up_to, term.subdifferential(point))
        for i, (w, low, up) in enumerate(zip(leaves, *ends, strict=True)):
            if not is_penalised_leaf(w):
                continue
            missed = low > up
            if is_concrete(missed) and bool(jnp.any(missed & ~jnp.isnan(w))):
                raise ValueError(f"{term!r} + {intervals[-1]!r}: the intervals have no number in common, in {int(missed.sum())} entries")
            leaves[i] = jnp.where(missed, jnp.nan, w)
    return jax.tree.unflatten(treedef, leaves)


def obstacle(first: Penalty, second: Penalty) -> str:
    """Why two terms that otherwise have a joint prox have none as they stand."""
    if first.reference() is not second.reference():
        return " (their centres differ)"
    if first.role == "levels" and second.convex and second.separable:
        return " (the strengths of the second must be single numbers, on all leaves of the first)"
    return ""


# What the mathematics gives for a sum on shared leaves; docs/penalties.md says the same in a table.
KNOWN = {
    "prox": "L1, L2, elastic net and Box or NonNegative in any sum; any penalty with one number's L2; a separable convex one with Box; a "
    "group norm with L1 or NonNegative; fused differences with a separable convex one of single strengths; a folded concave one with "
    "NonNegative",
    "subdifferential": "separable penalties in any sum, beside at most one group norm on a leaf; any one penalty beside smooth ones; fused "
    "differences beside a separable convex one of single strengths",
    "conjugate": "L1, L2, elastic net, Box and NonNegative in any sum; a group norm, or fused differences, with L1 or NonNegative; any "
    "of known conjugate with one number's L2 on all leaves",
}


def unknown(what: str, first: Penalty, second: Penalty, why: str = "") -> UnknownOperation:
    return UnknownOperation(
        f"the {what} of {first!r} + {second!r} is not known where they share leaves{why}. Known: {KNOWN[what]}. Otherwise put the terms "
        f"on different leaves with .on, smooth one with .envelope(mu) or add it to the loss"
    )


def complete_square(quadratics: list[Penalty], params: PyTree, step: Any) -> tuple[PyTree, PyTree]:
    """The point and the steps (a pytree) at which the rest's prox is to be taken."""
    leaves, treedef = jax.tree.flatten(params)
    zero = jax.tree.map(lambda w: jnp.zeros_like(w) if is_penalised_leaf(w) else w, params)
    # flatten_up_to keeps the three lists aligned where a penalty has None for a leaf that is no number.
    slopes = [treedef.flatten_up_to(q.curvature(params)) for q in quadratics]
    pulls = [treedef.flatten_up_to(q.grad(zero)) for q in quadratics]
    points, steps = [], []
    for i, (w, s) in enumerate(zip(leaves, broadcast_prefix(step, params, "step", own_leaf=True), strict=True)):
        if not is_penalised_leaf(w) or s is None:
            points.append(w)
            steps.append(s)
            continue
        w = jnp.asarray(w)
        s = cast(s, w)
        a, pull = sum(x[i] for x in slopes), -sum(x[i] for x in pulls)
        # An infinite step has a limit: wherever there is curvature the quadratics' own minimiser.
        endless, t = jnp.isinf(s), jnp.where(jnp.isinf(s), 1, s)
        bent = endless & (a != 0)
        bottom = jnp.where(bent, a, 1)
        points.append(jnp.where(endless, jnp.where(bent, pull / bottom, w), (w + t * pull) / (1 + t * a)))
        steps.append(jnp.where(endless, jnp.where(bent, 1 / bottom, s), t / (1 + t * a)))
    return jax.tree.unflatten(treedef, points), jax.tree.unflatten(treedef, steps)


def common_curvature(term: Penalty, quadratics: list[Penalty], params: PyTree, what: str) -> Any:
    """The quadratics' curvature, if it is one number on all leaves of a term that is not separable."""
    placed = jax.tree.leaves(term.covers(params))
    curvature: Any = 0.0
    for q in quadratics:
        flags = [c for c, on_term in zip(jax.tree.leaves(q.covers(params)), placed, strict=True) if on_term]
        if not any(flags):
            continue
        bare: Any = q
        while hasattr(bare, "penalty"):
            bare = bare.penalty
        if not all(flags) or not is_number(bare.lam) or np.ndim(bare.lam):
            raise unknown(what, term, q, " (the quadratic's strength must be one number, on all leaves of the first)")
        curvature = curvature + 2 * bare.lam
    return curvature


@contextlib.contextmanager
def named(kinked: list[Penalty]) -> Iterator[None]:
    """What a term alone would say of itself is said of the two that are not known together."""
    try:
        yield
    except UnknownOperation as error:
        first, *rest = sorted(kinked, key=lambda p: p.separable)
        if not rest:
            raise
        raise unknown("subdifferential", first, rest[0]) from error
