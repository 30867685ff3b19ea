"""Where a penalty acts: ``penalty.on(where)`` on some leaves, ``penalty.around(reference)`` about another point."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Scalar

from .. import _tree
from .._dtypes import accumulator, cast, is_penalised_leaf
from ._arithmetic import check_numbers, norm, total, zero_or_inf, zeros
from ._base import Penalty, PyTree, Strength, UnknownOperation, static


def largest(params: PyTree) -> Any:
    """The largest magnitude of all floating-point leaves; 0 for none."""
    return jnp.max(
        jnp.stack([jnp.zeros(()), *(jnp.max(jnp.abs(jnp.asarray(w)), initial=0) for w in jax.tree.leaves(params) if is_penalised_leaf(w))])
    )


def settled(penalty: Penalty, point: PyTree, size: Any) -> PyTree:
    """A point moved by rounding of numbers of that size, with the ties and zeros that a prox had given it.

    One prox step more, so short that nothing moves by more than 256 roundings, joins what belongs together.
    """
    if penalty.smooth or not penalty.finite:
        return point
    try:
        steep = largest(penalty.grad(point))
        eps = max((float(jnp.finfo(jnp.asarray(w).dtype).eps) for w in jax.tree.leaves(point) if is_penalised_leaf(w)), default=0.0)
        return penalty.prox(point, jnp.where(steep > 0, 256 * eps * size / jnp.where(steep > 0, steep, 1), 0))
    except UnknownOperation:
        return point


def forgiving_conjugate(penalty: Penalty, dual: PyTree, roundings: int) -> Scalar:
    """The conjugate, also where it is infinite only because rounding put the point outside of its domain."""

    def inward(u: Any) -> Any:
        return accumulator(jnp.asarray(u)) * (1 - roundings * jnp.finfo(jnp.asarray(u).dtype).eps) if is_penalised_leaf(u) else u

    value = penalty.conjugate(dual)
    return jnp.where(jnp.isposinf(value), penalty.conjugate(jax.tree.map(inward, dual)), value)


class Wrapper(Penalty):
    """Hands the facts of the penalty it holds on."""

    penalty: Penalty

    convex = property(lambda self: self.penalty.convex)  # pyright: ignore[reportAssignmentType]
    smooth = property(lambda self: self.penalty.smooth)  # pyright: ignore[reportAssignmentType]
    separable = property(lambda self: self.penalty.separable)  # pyright: ignore[reportAssignmentType]
    finite = property(lambda self: self.penalty.finite)  # pyright: ignore[reportAssignmentType]
    cone = property(lambda self: self.penalty.cone)  # pyright: ignore[reportAssignmentType]
    role = property(lambda self: self.penalty.role)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        if not isinstance(self.penalty, Penalty):
            raise TypeError(f"expected a penalty, got {self.penalty!r}")

    def _rewrap(self, penalty: Penalty) -> Penalty:
        return self._with(penalty=penalty)

    def scaled(self, factor: Strength) -> Penalty:
        return self._rewrap(self.penalty.scaled(factor))

    def at(self, lam: Strength) -> Penalty:
        return self._rewrap(self.penalty.at(lam))

    def weak_convexity(self) -> Any:
        return self.penalty.weak_convexity()

    def terms(self) -> tuple[Penalty, ...]:
        return tuple(self._rewrap(term) for term in self.penalty.terms())


class On(Wrapper):
    """A penalty on the leaves that ``where`` selects; made by ``penalty.on(where)``.

    The other leaves are taken out of the tree (None is no leaf) before the inner penalty sees it, so a prefix pytree
    of λ still fits the whole tree.
    """

    where: Any = static(default="**")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.where, _tree.Static):
            object.__setattr__(self, "where", _tree.Static(self.where))

    def _keep(self, params: PyTree) -> PyTree:
        return _tree.keep(_tree.select(self.where.value, params), params)

    def _fill(self, kept: PyTree, params: PyTree, value: Any) -> PyTree:
        return _tree.fill(kept, params, value)

    def __call__(self, params: PyTree) -> Scalar:
        return self.penalty(self._keep(params))

    def grad(self, params: PyTree) -> PyTree:
        return self._fill(self.penalty.grad(self._keep(params)), params, zeros)

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        return self._fill(self.penalty.prox(self._keep(params), step), params, lambda leaf: leaf)

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        lower, upper = self.penalty.subdifferential(self._keep(params))
        return self._fill(lower, params, zeros), self._fill(upper, params, zeros)

    def subdiff_distance(self, params: PyTree, grad: PyTree) -> Scalar:
        """The inner distance and the gradient off the selection, where only 0 is stationary."""
        mask = _tree.select(self.where.value, params)
        off = _tree.keep(jax.tree.map(lambda chosen: not chosen, mask), grad)
        outside = [jnp.asarray(g) for g in jax.tree.leaves(off) if is_penalised_leaf(g)]
        return norm([self.penalty.subdiff_distance(_tree.keep(mask, params), _tree.keep(mask, grad)), *outside])

    def _shortest(self, params: PyTree, grad: PyTree) -> PyTree:
        mask = _tree.select(self.where.value, params)
        return self._fill(self.penalty._shortest(_tree.keep(mask, params), _tree.keep(mask, grad)), grad, lambda leaf: leaf)

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        mask = _tree.select(self.where.value, params)
        relaxed = self.penalty._relax(_tree.keep(mask, params), _tree.keep(mask, residual))
        return self._fill(relaxed, residual, lambda leaf: leaf)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        return self.penalty.lambda_max(self._keep(grad_at_zero))

    def conjugate(self, dual: PyTree) -> Scalar:
        """The inner conjugate, and +inf unless the dual is zero off the selection."""
        mask = _tree.select(self.where.value, dual)
        off = _tree.keep(jax.tree.map(lambda chosen: not chosen, mask), dual)
        outside = [jnp.sum(zero_or_inf(jnp.asarray(u))) for u in jax.tree.leaves(off) if is_penalised_leaf(u)]
        return self.penalty.conjugate(_tree.keep(mask, dual)) + total(outside)

    def support(self, params: PyTree) -> PyTree:
        return self._fill(self.penalty.support(self._keep(params)), params, lambda w: jnp.ones(np.shape(w), bool))

    def free(self, params: PyTree) -> PyTree:
        return self._fill(self.penalty.free(self._keep(params)), params, lambda w: jnp.ones(np.shape(w), bool))

    def curvature(self, params: PyTree) -> PyTree:
        return self._fill(self.penalty.curvature(self._keep(params)), params, zeros)

    def covers(self, params: PyTree) -> PyTree:
        return self._fill(self.penalty.covers(self._keep(params)), params, lambda _: False)

    def reference(self) -> Any:
        return self.penalty.reference()

    def formula(self, prefix: str = "", w: str = "w") -> str:
        where = self.where.value
        shown = where if isinstance(where, str) else getattr(where, "__name__", "a mask")
        return f"{self.penalty.formula(prefix, w)} on {shown}"

    def __repr__(self) -> str:
        return f"{self.penalty!r}.on({self.where!r})"


def around(penalty: Penalty, reference: Any) -> Penalty:
    """``penalty(params − reference)``, with one reference for what is moved twice."""
    check_numbers("around: reference", reference, lambda r: np.ones(r.shape, bool), "numbers")
    if isinstance(penalty, Around):
        return Around(penalty.penalty, _tree.combine(penalty.center, reference, lambda a, b: jnp.asarray(a) + b, "reference"))
    return Around(penalty, reference)


class Around(Wrapper):
    """``penalty(params − reference)``; made by ``penalty.around(reference)``. The reference is data, not structure."""

    center: Any = None

    cone = False  # it starts at the reference

    def _difference(self, params: PyTree) -> PyTree:
        return self._combine(params, lambda w, r: w - r)

    def _combine(self, params: PyTree, function: Any) -> PyTree:
        leaves, treedef = jax.tree.flatten(params)
        centers = _tree.broadcast_prefix(self.center, params, "reference")
        out = []
        for w, r in zip(leaves, centers, strict=True):
            if not is_penalised_leaf(w):
                out.append(w)
                continue
            w = jnp.asarray(w)
            if r is None or not _tree.fits(jnp.shape(r), w.shape):
                shown = "None" if r is None else f"of shape {jnp.shape(r)}"
                raise ValueError(f"around: reference {shown} does not fit a params leaf of shape {w.shape}")
            out.append(function(w, cast(r, w)))
        return jax.tree.unflatten(treedef, out)

    def __call__(self, params: PyTree) -> Scalar:
        return self.penalty(self._difference(params))

    def grad(self, params: PyTree) -> PyTree:
        return self.penalty.grad(self._difference(params))

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        moved = self.penalty.prox(self._difference(params), step)
        return self._combine(moved, lambda z, r: z + r)

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        return self.penalty.subdifferential(self._difference(params))

    def subdiff_distance(self, params: PyTree, grad: PyTree) -> Scalar:
        return self.penalty.subdiff_distance(self._settled(params), grad)

    def _shortest(self, params: PyTree, grad: PyTree) -> PyTree:
        return self.penalty._shortest(self._settled(params), grad)

    def _settled(self, params: PyTree) -> PyTree:
        difference = self._difference(params)
        return settled(self.penalty, difference, jnp.maximum(largest(params), largest(difference)))

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        return self.penalty._relax(self._difference(params), residual)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        raise UnknownOperation(
            "a penalty around a reference shrinks towards the reference, not towards zero: it has no lambda_max; pass the λ yourself"
        )

    def conjugate(self, dual: PyTree) -> Scalar:
        products = self._combine(dual, lambda u, r: jnp.sum(u * r))
        return self.penalty.conjugate(dual) + total([x for x in jax.tree.leaves(products) if is_penalised_leaf(x)])

    def support(self, params: PyTree) -> PyTree:
        return self.penalty.support(self._difference(params))

    def free(self, params: PyTree) -> PyTree:
        return self.penalty.free(params)

    def curvature(self, params: PyTree) -> PyTree:
        return self.penalty.curvature(self._difference(params))

    def covers(self, params: PyTree) -> PyTree:
        return self.penalty.covers(params)

    def reference(self) -> Any:
        inner = self.penalty.reference()
        return self.center if inner is None else _tree.combine(inner, self.center, lambda a, b: jnp.asarray(a) + b, "reference")

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return self.penalty.formula(prefix, f"({w} − {w}₀)")

    def __repr__(self) -> str:
        inner = f"({self.penalty!r})" if len(self.penalty.terms()) > 1 else repr(self.penalty)
        return f"{inner}.around({jax.tree.map(lambda r: r if np.ndim(r) == 0 else np.shape(r), self.center)})"
