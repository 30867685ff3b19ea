"""Sums of penalties: ``p + q``. Value and gradient add; which proxes and duals are known of a sum says _joint.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Scalar

from .._dtypes import is_concrete, is_penalised_leaf
from ._arithmetic import total, zero_or_inf
from ._base import Penalty, PyTree, Strength
from ._joint import common_curvature, complete_square, in_all, known, named, obstacle, order, overlap, unknown
from ._place import Around, Wrapper
from ._sum_duals import curved_conjugate, homogeneous_conjugate, separable_conjugate, smallest_by_bisection


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
            with named(kinked):
                return super().subdiff_distance(params, grad)
        # The smooth terms only move the gradient, and what a norm's or a set's subdifferential looks like is its own affair.
        moved = self._fold([grad, *[p.grad(params) for p in summands if p.smooth]], jnp.add)
        first, *rest = kinked
        if not rest:
            return first.subdiff_distance(params, moved)
        # Within a level all numbers are alike: the shortest element is a joint prox, of the two subdifferentials' support functions.
        for p in rest:
            if overlap(first, p, params) and not known(first, p, params):
                raise unknown("subdifferential", first, p, obstacle(first, p))
        return Sum(tuple(rest)).subdiff_distance(params, first._shortest(params, moved))

    def _unnested(self) -> tuple[Penalty, ...]:
        """Its terms, a sum that was placed on leaves as the sum of what is placed there."""
        nested = [isinstance(p, Wrapper) and isinstance(p.penalty, Sum) for p in self.summands]
        return tuple(q for p, n in zip(self.summands, nested, strict=True) for q in (p.terms() if n else (p,)))

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        for pair in _shared([p for p in self._terms() if p.role == "norm"], params):
            raise unknown("subdifferential", *pair)
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
            with named(kinked):
                return super().lambda_max(grad_at_zero)
        return smallest_by_bisection(self, grad_at_zero, zero)

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
        rest = sorted((t for t in terms if t.role != "quadratic"), key=order)
        for first, second in _shared(rest, params):
            if not known(first, second, params):
                raise unknown("prox", first, second, obstacle(first, second))
        point, steps = params, [step] * len(rest)
        if quadratics:
            point, eased = complete_square(quadratics, params, step)
            steps = [eased if t.separable else _eased(step, common_curvature(t, quadratics, params, "prox")) for t in rest]
        for term, own_step in zip(rest, steps, strict=True):
            point = term.prox(point, own_step)
        return in_all([t for t in rest if t.role == "interval"], point)

    def conjugate(self, dual: PyTree) -> Scalar:
        leaves, treedef = jax.tree.flatten(dual)
        covered = jax.tree.leaves(self.covers(dual))
        outside = [jnp.sum(zero_or_inf(jnp.asarray(u))) for u, c in zip(leaves, covered, strict=True) if is_penalised_leaf(u) and not c]
        inside = jax.tree.unflatten(treedef, [u if c else jnp.zeros_like(u) for u, c in zip(leaves, covered, strict=True)])
        return total([self._conjugate_inside(inside), *outside])

    def _conjugate_inside(self, dual: PyTree) -> Scalar:
        terms = sorted(self._terms(), key=order)
        shared = _shared(terms, dual)
        if not shared:
            own = [jax.tree.map(lambda u, c: u if c else jnp.zeros_like(u), dual, t.covers(dual)) for t in terms]
            return total([t.conjugate(part) for t, part in zip(terms, own, strict=True)])
        if any(t.reference() is not None for t in terms):
            raise unknown("conjugate", *shared[0], " (one has a centre)")
        if all(t.role in ("soft", "quadratic", "interval") for t in terms):
            return separable_conjugate(terms, dual)
        quadratics, rest = [t for t in terms if t.role == "quadratic"], [t for t in terms if t.role != "quadratic"]
        if quadratics:
            return curved_conjugate(common_curvature(self, quadratics, dual, "conjugate"), Sum(tuple(rest)), dual)
        proportional = all(t.role in ("levels", "soft", "norm") or (t.role == "interval" and t.cone) for t in terms)
        for first, second in shared:
            if not proportional or not known(first, second, dual):
                raise unknown("conjugate", first, second)
        return homogeneous_conjugate(self, dual)


def _shared(terms: Iterable[Penalty], params: PyTree) -> list[tuple[Penalty, Penalty]]:
    """The pairs that meet on a leaf."""
    return [(a, b) for a, b in itertools.combinations(terms, 2) if overlap(a, b, params)]


def _eased(step: Any, curvature: Any) -> Any:
    return step / (1 + step * curvature)


def _reduce(function: Any, first: Any, rest: tuple[Any, ...]) -> Any:
    for other in rest:
        first = function(first, other)
    return first
