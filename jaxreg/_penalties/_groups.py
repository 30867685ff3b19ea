"""Groups of parameters: integer ids that may span leaves, and penalties that are functions of each group's norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .. import _tree
from .._dtypes import is_penalised_leaf
from ._arithmetic import refuse_nothing, safe_sqrt, total, zero_or_inf, zeros
from ._base import Penalty, PyTree, Strength, UnknownOperation, _fields, check_one_step


def shrink(norms: Float[Array, "..."], threshold) -> Float[Array, "..."]:
    """What block soft thresholding multiplies each group by: ``(1 − threshold/‖w_g‖)₊``, exactly 0 at and below the threshold.

    A threshold of 0 is the identity, also in its derivative at 0; NaN stays NaN.
    """
    kept = ~((norms <= threshold) & (threshold > 0))
    return jnp.where(kept, 1 - threshold / jnp.where(kept & (norms != 0), norms, 1), 0)


class Members(NamedTuple):
    """The parameters that belong to groups as one vector, with a group id for each number: O(n) memory for any groups.

    Groups of one size that lie one after the other are the rows of a matrix: its sums cost a third.
    """

    w: Float[Array, "..."]  # in at least float32: a sum of squares overflows or stalls in half precision
    ids: np.ndarray
    count: int
    put_back: Callable[[Any, Callable[[Any], Any]], PyTree]

    def sums(self, x: Array) -> Array:
        """Σ over each group."""
        return jnp.sum(x, axis=1) if x.ndim == 2 else jax.ops.segment_sum(x, self.ids, num_segments=self.count)

    def largest(self, x: Array) -> Array:
        return jnp.max(x, axis=1) if x.ndim == 2 else jax.ops.segment_max(x, self.ids, num_segments=self.count)

    def spread(self, m: Array) -> Array:
        """Each group's number to its members: what broadcasts to w."""
        return m[:, None] if self.w.ndim == 2 else m[self.ids]

    def lengths(self, x: Array) -> tuple[Array, Array]:
        """‖x_g‖ as (unit, norm in that unit): the group's largest entry, so that squares neither overflow nor vanish.

        The unit cancels, and so it is no part of the derivative; it is a power of two, and so it rounds nothing.
        """
        unit = self.largest(jax.lax.stop_gradient(jnp.abs(x)))
        unit = jax.lax.reduce_precision(unit, exponent_bits=jnp.finfo(x.dtype).nexp, mantissa_bits=0)
        unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)
        return unit, safe_sqrt(self.sums((x / self.spread(unit)) ** 2))

    def norms(self, x: Array) -> Array:
        unit, length = self.lengths(x)
        return unit * length

    def resize(self, x: Array, size: Callable[[Array], Array], at_zero: Any) -> Array:
        """x with each group's norm m made ``size(m)``; ``at_zero`` is the limit of size(m)/m, for derivatives there."""
        unit, length = self.lengths(x)
        factor = size(unit * length) / unit / jnp.where(length == 0, 1, length)
        return x * self.spread(jnp.where(length == 0, at_zero, factor))


class Grouped(Penalty):
    """A penalty with the fields ``groups`` (static) and ``weights``: they are checked and bound to parameters here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        name, groups, weights = type(self).__name__, getattr(self, "groups"), getattr(self, "weights")
        if groups is None:
            raise ValueError(f"{name}: groups is missing; pass integer ids, such as groups=[0, 0, 1]")
        if isinstance(groups, np.ndarray | jax.Array) or _is_table(groups):
            groups = np.asarray(groups)
        ids = [np.asarray(leaf) for leaf in jax.tree.leaves(groups)]
        for leaf in ids:
            if not np.issubdtype(leaf.dtype, np.integer) or (leaf < 0).any():
                raise ValueError(f"{name}: groups must hold integers >= 0, got {leaf.dtype} {leaf.ravel()[:4]}")
        if weights is not None:
            weights = jnp.asarray(weights)
            count = max((int(leaf.max()) + 1 for leaf in ids if leaf.size), default=0)
            if weights.shape != (count,):
                raise ValueError(f"{name}: weights must have shape ({count},), one for each id, got {weights.shape}")
            object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "groups", _tree.Static(groups))

    def _ids(self, params: PyTree) -> list[np.ndarray | None]:
        """Ids in the shape of each leaf; None for leaves left alone."""
        leaves = jax.tree.leaves(params)
        refuse_nothing(leaves)
        groups = _tree.broadcast_prefix(getattr(self, "groups").value, params, "groups", own_leaf=True)
        skipped = [group is None or not is_penalised_leaf(leaf) for leaf, group in zip(leaves, groups, strict=True)]
        return [None if s else np.broadcast_to(g, np.shape(leaf)) for leaf, g, s in zip(leaves, groups, skipped, strict=True)]

    def _bind(self, params: PyTree) -> tuple[Members, list[Any]]:
        """The parameters in groups, and the strengths in the order of the fields: weights an array, the others numbers."""
        leaves, treedef = jax.tree.flatten(params)
        ids = self._ids(params)
        arrays = [None if i is None else jnp.asarray(leaf) for leaf, i in zip(leaves, ids, strict=True)]
        own = [a for a in arrays if a is not None]
        dtype = jnp.result_type(jnp.float32, *[a.dtype for a in own])
        flat_ids = np.concatenate([np.zeros(0, int), *[i.ravel() for i in ids if i is not None]])
        weights = getattr(self, "weights")
        if weights is None:
            weights = np.sqrt(np.bincount(flat_ids))
        strengths = [
            jnp.asarray(weights, dtype) if f.name == "weights" else self._number(f.name, dtype) for f in _fields(self) if _is_leaf(f)
        ]
        ends = np.cumsum([a.size for a in own])[:-1]
        w = jnp.concatenate([jnp.zeros(0, dtype), *[a.ravel().astype(dtype) for a in own]])
        count = np.shape(weights)[0]
        size = w.size // max(count, 1)
        if size and np.array_equal(flat_ids, np.arange(count).repeat(size)):
            w = w.reshape(count, size)

        def put_back(numbers: Array, exempt: Callable[[Any], Any]) -> PyTree:
            each = iter(jnp.split(jnp.broadcast_to(numbers, w.shape).ravel(), ends) if own else [])
            return jax.tree.unflatten(
                treedef, [exempt(leaf) if a is None else _like(next(each), a) for leaf, a in zip(leaves, arrays, strict=True)]
            )

        return Members(w, flat_ids, count, put_back), strengths

    def _number(self, name: str, dtype: Any) -> Array:
        value = getattr(self, name)
        if not jax.tree_util.treedef_is_leaf(jax.tree.structure(value)) or np.ndim(value) != 0:
            raise UnknownOperation(f"{type(self).__name__}: {name} must be one number; put per-group strengths into weights")
        return jnp.asarray(value, dtype)

    def _step(self, step: Any, w: Array) -> Array:
        check_one_step(step, w, type(self).__name__, "a group norm has no diagonal metric")
        return jnp.asarray(step, w.dtype)

    def _uncovered(self, dual: PyTree) -> Scalar:
        """The conjugate's part of the leaves in no group: 0, or +inf unless they are 0."""
        pairs = zip(jax.tree.leaves(dual), self._ids(dual), strict=True)
        return total([jnp.sum(zero_or_inf(jnp.asarray(u))) for u, i in pairs if i is None and is_penalised_leaf(u)])

    def _where_grouped(self, strength: Strength) -> Strength:
        """A strength for a penalty of single numbers on the leaves that have groups."""
        groups = getattr(self, "groups").value
        some_have_none = any(leaf is None for leaf in jax.tree.leaves(groups, is_leaf=lambda x: x is None))
        return jax.tree.map(lambda _: strength, groups) if some_have_none else strength

    def covers(self, params: PyTree) -> PyTree:
        return jax.tree.unflatten(jax.tree.structure(params), [i is not None for i in self._ids(params)])

    def _norm_text(self, w: str) -> str:
        return f"{'√|g|' if getattr(self, 'weights') is None else 'weight_g'}·‖{w}_g‖₂"


def _is_table(groups: Any) -> bool:
    """A list of integers, or of lists of them of one length: an array. Any other list is a pytree."""
    if not isinstance(groups, list) or not all(isinstance(i, int | np.integer | list) for i in groups):
        return False
    rows = [g for g in groups if isinstance(g, list)]
    return not rows or (len(rows) == len(groups) and all(map(_is_table, rows)) and len({np.shape(r) for r in rows}) == 1)


def _is_leaf(field: Any) -> bool:
    return not field.metadata.get("static")


def _like(part: Array, leaf: Array) -> Array:
    part = part.reshape(leaf.shape)
    return part if part.dtype == bool else part.astype(leaf.dtype)


def _true(leaf: Any) -> Array:
    return jnp.ones(np.shape(leaf), bool)


def _undefined(cls: Any, *arguments: Any) -> Array:
    raise UnknownOperation(f"{cls.__name__} must define norm_value, norm_slope, norm_steepest and norm_shrink")


def _no_conjugate(cls: Any, *arguments: Any) -> Array:
    raise UnknownOperation(f"the conjugate of {cls.__name__} is not known in closed form")


def _norm_free(cls: Any, m: Array, *strengths: Any) -> Array:
    return cls.norm_steepest(m, *strengths) == 0


class Radial(Grouped):
    """A sum over groups of a function f of the group's norm, f(0) = 0: give f, and the rest follows.

    Static methods of the norms ``m`` (groups,) and the strengths in the order of the fields (``weights`` an array like m):
    ``norm_value``; ``norm_slope``, f′ at m > 0; ``norm_steepest``, its limit at 0; ``norm_shrink(m, step, …)``, the prox of m >= 0;
    ``norm_conjugate`` at u >= 0. Rotations change nothing, and so prox and conjugate act on norms alone: Beck, First-order
    methods in optimization, 2017, thm. 6.18; Bauschke and Combettes, Convex analysis and monotone operator theory, 2017,
    ex. 13.8. Where the steepest slope is 0, f must be 0 or a square.
    """

    norm_value: ClassVar[Any] = classmethod(_undefined)
    norm_slope: ClassVar[Any] = classmethod(_undefined)
    norm_steepest: ClassVar[Any] = classmethod(_undefined)
    norm_shrink: ClassVar[Any] = classmethod(_undefined)
    norm_conjugate: ClassVar[Any] = classmethod(_no_conjugate)
    norm_free: ClassVar[Any] = classmethod(_norm_free)

    def __call__(self, params: PyTree) -> Scalar:
        members, strengths = self._bind(params)
        return jnp.sum(self.norm_value(members.norms(members.w), *strengths))

    def grad(self, params: PyTree) -> PyTree:
        members, strengths = self._bind(params)
        slope = members.resize(members.w, lambda m: self.norm_slope(jnp.where(m == 0, 1, m), *strengths), 0)
        return members.put_back(slope, zeros)

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        members, strengths = self._bind(params)
        step, one = self._step(step, members.w), jnp.ones(members.count, members.w.dtype)
        limit = jnp.where(step * self.norm_steepest(one, *strengths) > 0, 0, self.norm_shrink(one, step, *strengths))
        z = members.resize(members.w, lambda m: self.norm_shrink(m, step, *strengths), limit)
        return members.put_back(z, lambda leaf: leaf)

    # The subdifferential at a zero group is a ball: intervals for the smooth part, and _relax for the ball.

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        gradient = self.grad(params)
        return gradient, gradient

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        members, strengths = self._bind(params)
        norms, (left, _) = members.norms(members.w), self._bind(residual)
        factor = jnp.where(norms == 0, shrink(left.norms(left.w), self.norm_steepest(norms, *strengths)), 1)
        return left.put_back(left.w * left.spread(factor), lambda leaf: leaf)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        member: Any = self.at(1.0)  # in the grid's units, also where λ takes the strength's place
        members, strengths = member._bind(grad_at_zero)
        norms = members.norms(members.w)
        radius = self.norm_steepest(norms, *strengths)
        never = jnp.where(self.norm_free(norms, *strengths) | (norms == 0), 0, jnp.inf)
        return jnp.max(jnp.where(radius > 0, norms / jnp.where(radius > 0, radius, 1), never), initial=0)

    def conjugate(self, dual: PyTree) -> Scalar:
        members, strengths = self._bind(dual)
        return jnp.sum(self.norm_conjugate(members.norms(members.w), *strengths)) + self._uncovered(dual)

    def support(self, params: PyTree) -> PyTree:
        members, strengths = self._bind(params)
        norms = members.norms(members.w)
        return members.put_back(members.spread((norms > 0) | (self.norm_steepest(norms, *strengths) == 0)), _true)

    def free(self, params: PyTree) -> PyTree:
        members, strengths = self._bind(params)
        return members.put_back(members.spread(self.norm_free(members.norms(members.w), *strengths)), _true)
