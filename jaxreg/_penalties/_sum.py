"""Sums of penalties: ``p + q``. The value adds; the prox is joint, and known only for the pairs below.

Write the sum as quadratics ``½a(w − r)²`` plus the rest. Completing the square,

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
from jaxtyping import Scalar

from .._dtypes import cast, is_concrete, is_number, is_penalised_leaf
from ._arithmetic import total, zero_or_inf
from ._base import Penalty, PyTree, Strength, UnknownOperation, _fields
from ._place import Around, Wrapper, largest


def add(first: Penalty, second: Penalty) -> Penalty:
    """``first + second``, flattened; a zero penalty adds nothing."""
    summands = tuple(p for term in (first, second) for p in (term.summands if isinstance(term, Sum) else (term,)))
    kept: list[Penalty] = []
    for p in summands:
        # Terms about one centre are joined while it is known to be one: under jit its copies would no longer be.
        about = [i for i, other in enumerate(kept) if _share_a_center(other, p)]
        if about:
            kept[about[0]] = Around(add(kept[about[0]].penalty, p.penalty), p.center)  # pyright: ignore[reportAttributeAccessIssue]
        elif p.terms():
            kept.append(p)
    return kept[0] if len(kept) == 1 else Sum(tuple(kept) or summands[:1])


def _share_a_center(first: Penalty, second: Penalty) -> bool:
    """One object, or equal numbers of one structure; under jit only the former can be told."""
    if not (isinstance(first, Around) and isinstance(second, Around)):
        return False
    if first.center is second.center:
        return True
    (a, structure), (b, other) = jax.tree.flatten(first.center), jax.tree.flatten(second.center)
    return structure == other and all(
        x is y or (is_concrete(x) and is_concrete(y) and np.shape(x) == np.shape(y) and bool(np.all(np.asarray(x) == np.asarray(y))))
        for x, y in zip(a, b, strict=True)
    )


class Sum(Penalty):
    """``p + q + …``; made by ``+``. Strength leaves are those of its terms."""

    summands: tuple[Penalty, ...] = ()

    convex = property(lambda self: all(p.convex for p in self.summands))  # pyright: ignore[reportAssignmentType]
    smooth = property(lambda self: all(p.smooth for p in self.summands))  # pyright: ignore[reportAssignmentType]
    separable = property(lambda self: all(p.separable for p in self.summands))  # pyright: ignore[reportAssignmentType]
    finite = property(lambda self: all(p.finite for p in self.summands))  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        """The terms validated themselves."""

    def _fold(self, trees: list[PyTree], function: Any) -> PyTree:
        return jax.tree.map(lambda first, *rest: _reduce(function, first, rest), *trees)

    def __call__(self, params: PyTree) -> Scalar:
        return total([p(params) for p in self.summands])

    def grad(self, params: PyTree) -> PyTree:
        return self._fold([p.grad(params) for p in self.summands], jnp.add)

    def curvature(self, params: PyTree) -> PyTree:
        return self._fold([p.curvature(params) for p in self.summands], jnp.add)

    def support(self, params: PyTree) -> PyTree:
        return self._fold([p.support(params) for p in self.summands], jnp.logical_and)

    def free(self, params: PyTree) -> PyTree:
        return self._fold([p.free(params) for p in self.summands], jnp.logical_and)

    def covers(self, params: PyTree) -> PyTree:
        return jax.tree.map(lambda *flags: any(flags), *[p.covers(params) for p in self.summands])

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        bounds = [p.subdifferential(params) for p in self.summands]
        # Outside a domain it is (+inf, −inf); the sum with a ray must stay empty, never become inf − inf.
        lower = self._fold([b[0] for b in bounds], lambda a, b: jnp.where((a == jnp.inf) | (b == jnp.inf), jnp.inf, a + b))
        upper = self._fold([b[1] for b in bounds], lambda a, b: jnp.where((a == -jnp.inf) | (b == -jnp.inf), -jnp.inf, a + b))
        return lower, upper

    def subdiff_distance(self, params: PyTree, grad: PyTree) -> Scalar:
        summands = self._unnested()
        kinked = sorted((p for p in summands if not p.smooth), key=lambda p: p.role != "levels")
        if not kinked or (len(kinked) > 1 and kinked[0].role != "levels"):
            with _named(kinked):
                return super().subdiff_distance(params, grad)
        # The smooth terms only move the gradient, and what a norm's or a set's subdifferential looks like is its own affair.
        moved = self._fold([grad, *[p.grad(params) for p in summands if p.smooth]], jnp.add)
        first, *rest = kinked
        if not rest:
            return first.subdiff_distance(params, moved)
        # Within a level all numbers are alike: the shortest element is a joint prox, of the two subdifferentials' support functions.
        for p in rest:
            if _overlap(first, p, params) and not _known(first, p, params):
                raise _unknown("subdifferential", first, p, _obstacle(first, p))
        return Sum(tuple(rest)).subdiff_distance(params, first._shortest(params, moved))

    def _unnested(self) -> tuple[Penalty, ...]:
        """Its terms, a sum that was placed on leaves as the sum of what is placed there."""
        nested = [isinstance(p, Wrapper) and isinstance(p.penalty, Sum) for p in self.summands]
        return tuple(q for p, n in zip(self.summands, nested, strict=True) for q in (p.terms() if n else (p,)))

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        self._refuse_overlap([p for p in self._terms() if p.role == "norm"], params)
        for p in self.summands:
            residual = p._relax(params, residual)
        return residual

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        for p in self._terms():
            if p.reference() is not None:
                return p.lambda_max(grad_at_zero)  # raises: such a term does not shrink towards zero
        zero = jax.tree.map(jnp.zeros_like, grad_at_zero)
        free = self.free(zero)
        grad_at_zero = jax.tree.map(lambda g, free: jnp.where(free, 0, g), grad_at_zero, free)
        summands = self._unnested()
        kinked, smooth = [p for p in summands if not p.smooth], [p for p in summands if p.smooth]
        if len(kinked) == 1 and not self.separable:
            # Smooth terms are flat at zero, or there is no such λ; nor where a slope is left to them.
            slopes = jax.tree.leaves([p.grad(zero) for p in smooth])
            left = jax.tree.leaves(jax.tree.map(lambda g, free: jnp.where(free, g, 0), grad_at_zero, kinked[0].free(zero)))
            never = jnp.any(jnp.stack([jnp.any(x != 0) for x in slopes + left]))
            return jnp.where(never, jnp.inf, kinked[0].lambda_max(grad_at_zero))
        together = [p.role for p in self._terms() if not p.smooth]
        if "norm" not in together and "levels" not in together:
            with _named(kinked):
                return super().lambda_max(grad_at_zero)
        return _smallest_by_bisection(self, grad_at_zero, zero)

    def weak_convexity(self) -> Any:
        """A bound: the moduli add, but two terms need not be at their worst at one place."""
        return sum(p.weak_convexity() for p in self.summands)

    def scaled(self, factor: Strength) -> Penalty:
        return Sum(tuple(p.scaled(factor) for p in self.summands))

    def at(self, lam: Strength) -> Penalty:
        return Sum(tuple(p.at(lam) for p in self.summands))

    def terms(self) -> tuple[Penalty, ...]:
        return self._terms()

    def _terms(self) -> tuple[Penalty, ...]:
        return tuple(term for p in self.summands for term in p.terms())

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return " + ".join(p.formula(prefix, w) for p in self.summands)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.summands))

    # --- the joint prox ----------------------------------------------------------------------------------------

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        terms = self._terms()
        quadratics = [t for t in terms if t.role == "quadratic"]
        rest = sorted((t for t in terms if t.role != "quadratic"), key=_order)
        for i, first in enumerate(rest):
            for second in rest[i + 1 :]:
                if _overlap(first, second, params) and not _known(first, second, params):
                    raise _unknown("prox", first, second, _obstacle(first, second))
        point, steps = params, [step] * len(rest)
        if quadratics:
            point, eased = _complete_square(quadratics, params, step)
            steps = [eased if t.separable else _common_step(t, quadratics, params, step) for t in rest]
        for term, own_step in zip(rest, steps, strict=True):
            point = term.prox(point, own_step)
        return _in_all([t for t in rest if t.role == "interval"], point)

    def conjugate(self, dual: PyTree) -> Scalar:
        terms = self._terms()
        covers = [t.covers(dual) for t in terms]
        if not any(_overlap(a, b, dual) for i, a in enumerate(terms) for b in terms[i + 1 :]):
            skipped = lambda u, c: any(c) or not is_penalised_leaf(u)  # noqa: E731
            uncovered = jax.tree.map(lambda u, *c: None if skipped(u, c) else jnp.sum(zero_or_inf(jnp.asarray(u))), dual, *covers)
            own = [
                t.conjugate(jax.tree.map(lambda u, c: u if c else jnp.zeros_like(u), dual, c)) for t, c in zip(terms, covers, strict=True)
            ]
            return total([*own, *jax.tree.leaves(uncovered)])
        homogeneous = [t.reference() is None and (t.role in ("levels", "soft") or (t.role == "interval" and t.cone)) for t in terms]
        if all(homogeneous) and any(t.role == "levels" for t in terms):
            # Of what grows in proportion: the indicator of the subdifferential at zero, here to the rounding of running sums.
            zero = jax.tree.map(jnp.zeros_like, dual)
            missed = self.subdiff_distance(zero, jax.tree.map(jnp.negative, dual))
            size = sum(jnp.size(u) for u in jax.tree.leaves(dual))
            slack = 4 * max(16, size) * jnp.finfo(missed.dtype).eps * largest(dual)
            return jnp.where(missed <= slack, 0, jnp.inf).astype(missed.dtype)
        if any(t.role not in ("soft", "quadratic", "interval") or t.reference() is not None for t in terms):
            pairs = [(a, b) for i, a in enumerate(terms) for b in terms[i + 1 :] if _overlap(a, b, dual)]
            raise _unknown("conjugate", *pairs[0])
        return _separable_conjugate(terms, dual)

    def _refuse_overlap(self, norms: list[Penalty], params: PyTree) -> None:
        for i, first in enumerate(norms):
            for second in norms[i + 1 :]:
                if _overlap(first, second, params):
                    raise _unknown("subdifferential", first, second)


@contextlib.contextmanager
def _named(kinked: list[Penalty]) -> Iterator[None]:
    """What a term alone would say of itself is said of the two that are not known together."""
    try:
        yield
    except UnknownOperation as error:
        first, *rest = sorted(kinked, key=lambda p: p.separable)
        if not rest:
            raise
        raise _unknown("subdifferential", first, rest[0]) from error


@jax.custom_jvp
def _constant(x: Any) -> Any:
    return x


@_constant.defjvp
def _no_derivative(primals: Any, tangents: Any) -> Any:
    del primals, tangents
    raise UnknownOperation("lambda_max of a sum of a norm, or levels, and another kink is found by bisection: it has no derivative here")


def _smallest_by_bisection(penalty: Penalty, grad_at_zero: PyTree, zero: PyTree) -> Scalar:
    """A ball, or levels, and an interval together: no closed form, but zero is the solution exactly from some λ on.

    Doubling finds an upper end, halving the interval then takes one bit of λ a step. λ is proportional to the gradient: in units of it
    no size is too small.
    """
    penalty, grad_at_zero = jax.tree.map(_constant, (penalty, grad_at_zero))
    size = largest(grad_at_zero)
    unit = jnp.where((size > 0) & jnp.isfinite(size), size, 1)
    slopes = jax.tree.map(lambda g: g / unit.astype(g.dtype) if is_penalised_leaf(g) else g, grad_at_zero)
    one = jnp.ones((), jnp.result_type(*jax.tree.leaves(grad_at_zero)))
    bits = jnp.finfo(one.dtype).bits
    # Running sums over levels round; the answer is that much larger.
    levels = any(t.role == "levels" for t in penalty.terms())
    slack = 4 * max(16, sum(jnp.size(g) for g in jax.tree.leaves(slopes))) * float(jnp.finfo(one.dtype).eps) if levels else 0.0

    def is_zero_solution(lam: Any) -> Any:
        return penalty.at(lam).subdiff_distance(zero, slopes) <= slack

    upper = jax.lax.while_loop(lambda u: ~is_zero_solution(u) & jnp.isfinite(u), lambda u: 2 * u, one)

    def halve(_: Any, ends: tuple[Any, Any]) -> tuple[Any, Any]:
        lower, upper = ends
        middle = (lower + upper) / 2
        solved = is_zero_solution(middle)
        return jnp.where(solved, lower, middle), jnp.where(solved, middle, upper)

    found = jax.lax.fori_loop(0, 2 * bits, halve, (jnp.zeros_like(upper), upper))[1]
    return jnp.where(is_zero_solution(0.0), 0, (1 + slack) * found * unit.astype(one.dtype))


def _reduce(function: Any, first: Any, rest: tuple[Any, ...]) -> Any:
    for other in rest:
        first = function(first, other)
    return first


def _separable_conjugate(terms: tuple[Penalty, ...], dual: PyTree) -> Scalar:
    """``sup u·w − s|w| − ½a·w²`` over lower <= w <= upper, number by number.

    With curvature the maximiser is the clipped ``soft(u, s)/a``. Without, the function is concave and piecewise linear: its
    supremum is at a bound or at the point nearest 0.
    """
    zero = jax.tree.map(jnp.zeros_like, dual)
    slopes = _added([t.subdifferential(zero)[1] for t in terms if t.role == "soft"], zero)
    curvatures = _added([t.curvature(zero) for t in terms if t.role == "quadratic"], zero)
    ends = []
    for far in (-jnp.inf, jnp.inf):
        point = jax.tree.map(lambda u, far=far: jnp.full_like(u, far), dual)
        for t in terms:
            point = t.prox(point) if t.role == "interval" else point
        ends.append(point)

    def supremum(u: Any, low: Any, up: Any, s: Any, a: Any) -> Any:
        if not is_penalised_leaf(u):
            return None

        def at(w: Any) -> Any:
            return u * w - s * jnp.abs(w) - 0.5 * a * w**2

        best = jnp.sign(u) * jnp.maximum(jnp.abs(u) - s, 0) / jnp.where(a > 0, a, 1)
        curved = at(jnp.clip(best, low, up))
        # At an infinite bound the slope there decides; 0·inf must not arise.
        at_low = jnp.where(jnp.isinf(low), jnp.where(-u - s > 0, jnp.inf, -jnp.inf), at(jnp.where(jnp.isinf(low), 0, low)))
        at_up = jnp.where(jnp.isinf(up), jnp.where(u - s > 0, jnp.inf, -jnp.inf), at(jnp.where(jnp.isinf(up), 0, up)))
        straight = jnp.maximum(jnp.maximum(at_low, at_up), at(jnp.clip(0.0, low, up)))
        return jnp.sum(jnp.where(a > 0, curved, straight))

    return total(jax.tree.leaves(jax.tree.map(supremum, dual, *ends, slopes, curvatures)))


def _added(trees: list[PyTree], zero: PyTree) -> PyTree:
    return jax.tree.map(lambda *parts: sum(parts[1:], start=parts[0]), zero, *trees)


def _order(term: Penalty) -> int:
    """The order in which proxes compose: cones before norms, intervals last."""
    if term.role == "interval":
        return 1 if term.cone else 3
    return {"levels": -1, "soft": 0, "folded": 0, "": 0, "norm": 2}[term.role]


def _known(first: Penalty, second: Penalty, params: PyTree) -> bool:
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


def _overlap(first: Penalty, second: Penalty, params: PyTree) -> bool:
    both = zip(jax.tree.leaves(first.covers(params)), jax.tree.leaves(second.covers(params)), strict=True)
    return any(a and b for a, b in both)


def _in_all(intervals: list[Penalty], point: PyTree) -> PyTree:
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


def _obstacle(first: Penalty, second: Penalty) -> str:
    """Why two terms that otherwise have a joint prox have none as they stand."""
    if first.reference() is not second.reference():
        return " (their centres differ)"
    if first.role == "levels" and second.convex and second.separable:
        return " (the strengths of the second must be single numbers, on all leaves of the first)"
    return ""


def _unknown(what: str, first: Penalty, second: Penalty, why: str = "") -> UnknownOperation:
    return UnknownOperation(
        f"the {what} of {first!r} + {second!r} is not known where they share leaves{why}. Known joint proxes: L1, L2, elastic "
        f"net and Box or NonNegative in any sum; any penalty with one number's L2; a separable convex one with Box; a group "
        f"norm with L1 or NonNegative; fused differences with a separable convex one of single strengths; a folded concave one with "
        f"NonNegative. Otherwise put the terms on different leaves with .on, smooth one with .envelope(mu) or add it to the loss"
    )


def _complete_square(quadratics: list[Penalty], params: PyTree, step: Any) -> tuple[PyTree, PyTree]:
    """The point and the steps (a pytree) at which the rest's prox is to be taken."""
    from .._tree import broadcast_prefix

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


def _common_step(norm: Penalty, quadratics: list[Penalty], params: PyTree, step: Any) -> Any:
    """The one step left for a group norm, which exists only if the curvature is one number on all its leaves."""
    placed = jax.tree.leaves(norm.covers(params))
    curvature: Any = 0.0
    for q in quadratics:
        flags = [c for c, on_norm in zip(jax.tree.leaves(q.covers(params)), placed, strict=True) if on_norm]
        if not any(flags):
            continue
        bare: Any = q
        while hasattr(bare, "penalty"):
            bare = bare.penalty
        if not all(flags) or not is_number(bare.lam) or np.ndim(bare.lam):
            raise _unknown("prox", norm, q, " (the quadratic's strength must be one number, on all leaves of the first)")
        curvature = curvature + 2 * bare.lam
    return step / (1 + step * curvature)
