"""What the terms of a sum cannot answer one by one: conjugates on shared leaves, and a ``lambda_max`` without closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Scalar

from .._dtypes import accumulator, is_penalised_leaf
from ._arithmetic import total
from ._base import Penalty, PyTree, UnknownOperation
from ._joint import in_all
from ._place import largest


def separable_conjugate(terms: Sequence[Penalty], dual: PyTree) -> Scalar:
    """``sup u·w − s|w| − ½a·w²`` over lower <= w <= upper, number by number.

    With curvature the maximiser is the clipped ``soft(u, s)/a``. Without, the function is concave and piecewise linear: its
    supremum is at a bound or at the point nearest 0.
    """
    zero = jax.tree.map(jnp.zeros_like, dual)
    slopes = _added([t.subdifferential(zero)[1] for t in terms if t.role == "soft"], zero)
    curvatures = _added([t.curvature(zero) for t in terms if t.role == "quadratic"], zero)
    intervals = [t for t in terms if t.role == "interval"]
    ends = []
    for far in (-jnp.inf, jnp.inf):
        point = jax.tree.map(lambda u, far=far: jnp.full_like(u, far) if is_penalised_leaf(u) else u, dual)
        for t in intervals:
            point = t.prox(point)
        ends.append(in_all(intervals, point))

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


def homogeneous_conjugate(penalty: Penalty, dual: PyTree) -> Scalar:
    """Of what grows in proportion to w: the indicator of the subdifferential at zero, to the rounding of the sums that find it."""
    zero = jax.tree.map(jnp.zeros_like, dual)
    missed = penalty.subdiff_distance(zero, jax.tree.map(lambda u: -u if is_penalised_leaf(u) else u, dual))
    size = sum(jnp.size(u) for u in jax.tree.leaves(dual))
    slack = 4 * max(16, size) * jnp.finfo(missed.dtype).eps * largest(dual)
    return jnp.where(missed <= slack, 0, jnp.inf).astype(missed.dtype)


def curved_conjugate(curvature: Any, rest: Penalty, dual: PyTree) -> Scalar:
    """``sup_w ⟨u, w⟩ − ½a‖w‖² − rest(w)``, at ``w = prox_rest(u/a, 1/a)``; without curvature that of the rest."""
    without = rest.conjugate(dual)  # first: where it is not known, neither is the whole
    a = jnp.where(curvature > 0, curvature, 1)
    best = rest.prox(jax.tree.map(lambda u: (u / a).astype(u.dtype) if is_penalised_leaf(u) else u, dual), 1 / a)

    def gain(u: Any, w: Any) -> Any:
        u, w = accumulator(jnp.asarray(u)), accumulator(jnp.asarray(w))
        return jnp.sum(u * w - 0.5 * a * w**2)

    pairs = zip(jax.tree.leaves(dual), jax.tree.leaves(best), strict=True)
    gained = total([gain(u, w) for u, w in pairs if is_penalised_leaf(u)])
    return jnp.where(curvature > 0, gained - rest(best), without)


def _added(trees: list[PyTree], zero: PyTree) -> PyTree:
    return jax.tree.map(lambda *parts: sum(parts[1:], start=parts[0]), zero, *trees)


@jax.custom_jvp
def _constant(x: Any) -> Any:
    return x


@_constant.defjvp
def _no_derivative(primals: Any, tangents: Any) -> Any:
    del primals, tangents
    raise UnknownOperation("lambda_max of a sum of a norm, or levels, and another kink is found by bisection: it has no derivative here")


@jax.jit
def smallest_by_bisection(penalty: Penalty, grad_at_zero: PyTree, zero: PyTree) -> Scalar:
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
