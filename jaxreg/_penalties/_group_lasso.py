"""The group lasso: ``lam·Σ_g weight_g·‖w_g‖₂``, for groups given by integer ids that may span leaves."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .. import _tree
from .._dtypes import is_penalised_leaf
from ._arithmetic import check_numbers, coefficient, refuse_nothing, safe_sqrt, zeros
from ._base import Penalty, PyTree, Strength, UnknownOperation, static


def shrink(norms: Float[Array, "..."], threshold) -> Float[Array, "..."]:
    """What the prox multiplies each group by: ``(1 − threshold/‖w_g‖)₊``, exactly 0 at and below the threshold."""
    large = norms > threshold
    return jnp.where(large, 1 - threshold / jnp.where(large, norms, 1), 0)


class GroupLasso(Penalty):
    """Group lasso: ``lam·Σ_g weight_g·‖w_g‖₂``; whole groups become exactly zero.

    Gradient ``lam·weight_g·w_g/‖w_g‖`` (0 for a zero group), prox block soft thresholding, conjugate the indicator
    of ``‖u_g‖ <= lam·weight_g``. Convex, not separable, smooth where no group is zero.

    Args:
      lam: strength, >= 0, one number; per-group strengths go into ``weights``.
      groups: integer ids from 0, as an array or pytree that fits the parameters: each entry broadcasts to its leaf
        (``jnp.arange(d)[:, None]`` groups a kernel by rows; one integer makes a leaf a group, and equal ids in
        several leaves make one group across them). Ids that no parameter has are empty groups and cost nothing.
      weights: one number >= 0 for each id; the default is √(number of parameters in the group).

    Raises:
      ValueError: negative or non-finite strengths, negative or fractional ids, a wrong number of weights.

    References:
      Yuan and Lin, Model selection and estimation in regression with grouped variables, 2006, eq. 2.1.

    >>> import jax.numpy as jnp, jaxreg
    >>> penalty = jaxreg.GroupLasso(1.0, groups=[0, 0, 1], weights=[5.0, 1.0])
    >>> penalty.prox(jnp.array([3.0, 4.0, 3.0])).tolist()
    [0.0, 0.0, 2.0]
    """

    lam: Strength = 1.0
    groups: Any = static(default=None)
    weights: Strength = None
    convex, role = True, "norm"

    def __post_init__(self) -> None:
        super().__post_init__()
        groups = self.groups
        if groups is None:
            raise ValueError("GroupLasso: groups is missing; pass integer ids, such as groups=[0, 0, 1]")
        if isinstance(groups, list | np.ndarray | jax.Array):
            groups = np.asarray(groups)
        ids = [np.asarray(leaf) for leaf in jax.tree.leaves(groups)]
        for leaf in ids:
            if not np.issubdtype(leaf.dtype, np.integer) or (leaf < 0).any():
                raise ValueError(f"GroupLasso: groups must hold integers >= 0, got {leaf.dtype} {leaf.ravel()[:4]}")
        if self.weights is not None:
            weights = jnp.asarray(self.weights)
            count = max((int(leaf.max()) + 1 for leaf in ids if leaf.size), default=0)
            if weights.shape != (count,):
                raise ValueError(f"GroupLasso: weights must have shape ({count},), one for each id, got {weights.shape}")
            object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "groups", _tree.Static(groups))

    # Every method sees the parameters as leaves with an id for each number, and the groups as one vector.

    def _bind(self, params: PyTree) -> tuple[list[Any], list[np.ndarray | None], Any, Array, Any]:
        """(leaves, ids or None for leaves left alone, treedef, weights, lam)."""
        leaves, treedef = jax.tree.flatten(params)
        refuse_nothing(leaves)
        prefix = _tree.broadcast_prefix(self.groups.value, params, "groups")
        ids: list[np.ndarray | None] = []
        for leaf, group in zip(leaves, prefix, strict=True):
            if group is None or not is_penalised_leaf(leaf):
                ids.append(None)
                continue
            try:
                ids.append(np.broadcast_to(group, np.shape(leaf)))
            except ValueError:
                raise ValueError(f"groups of shape {np.shape(group)} do not fit a params leaf of shape {np.shape(leaf)}") from None
        if np.ndim(self.lam) != 0 or not jax.tree.all(jax.tree.map(lambda x: x is self.lam, self.lam)):
            raise UnknownOperation("GroupLasso: lam must be one number; put per-group strengths into weights")
        dtype = jnp.result_type(*[leaf for leaf, i in zip(leaves, ids, strict=True) if i is not None] or [float])
        dtype = jnp.promote_types(dtype, jnp.float32)  # a sum of squares overflows or stalls in half precision
        if self.weights is None:
            count = max((int(i.max()) + 1 for i in ids if i is not None and i.size), default=0)
            sizes = sum((np.bincount(i.ravel(), minlength=count) for i in ids if i is not None), np.zeros(count, int))
            weights = jnp.asarray(np.sqrt(sizes), dtype)
        else:
            weights = jnp.asarray(self.weights, dtype)
        return leaves, ids, treedef, weights, jnp.asarray(self.lam, dtype)

    def _norms(self, leaves: list[Any], ids: list[np.ndarray | None], count: int, dtype: Any) -> Array:
        parts = [(jnp.asarray(leaf, dtype).ravel(), i.ravel()) for leaf, i in zip(leaves, ids, strict=True) if i is not None]
        # Each group in units of its largest entry, so that squares neither overflow nor vanish. The unit cancels, and so
        # it is no part of the derivative.
        unit = jnp.zeros(count, dtype)
        for w, i in parts:
            unit = jnp.maximum(unit, jax.ops.segment_max(jnp.abs(w), i, num_segments=count))
        unit = jax.lax.stop_gradient(jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1))
        squares = jnp.zeros(count, dtype)
        for w, i in parts:
            squares += jax.ops.segment_sum((w / unit[i]) ** 2, i, num_segments=count)
        return unit * safe_sqrt(squares)

    def __call__(self, params: PyTree) -> Scalar:
        leaves, ids, _, weights, lam = self._bind(params)
        return lam * jnp.sum(weights * self._norms(leaves, ids, weights.size, weights.dtype))

    def _rescale(self, params: PyTree, factors: Any, bound: Any, exempt: Any) -> PyTree:
        leaves, ids, treedef, _, _ = bound
        out = [
            exempt(leaf) if i is None else jnp.asarray(leaf) * factors[i].astype(jnp.asarray(leaf).dtype)
            for leaf, i in zip(leaves, ids, strict=True)
        ]
        return jax.tree.unflatten(treedef, out)

    def grad(self, params: PyTree) -> PyTree:
        bound = leaves, ids, _, weights, lam = self._bind(params)
        norms = self._norms(leaves, ids, weights.size, weights.dtype)
        factors = jnp.where(norms > 0, lam * weights / jnp.where(norms > 0, norms, 1), 0)
        return self._rescale(params, factors, bound, zeros)

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        if not jax.tree_util.treedef_is_leaf(jax.tree.structure(step)) or jnp.ndim(step) != 0:
            raise UnknownOperation("GroupLasso: prox needs one step for all parameters; a group norm has no diagonal metric")
        check_numbers("step", step, lambda s: s >= 0, ">= 0")
        bound = leaves, ids, _, weights, lam = self._bind(params)
        norms = self._norms(leaves, ids, weights.size, weights.dtype)
        threshold = jnp.asarray(step, weights.dtype) * lam * weights
        return self._rescale(params, shrink(norms, threshold), bound, lambda leaf: leaf)

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        gradient = self.grad(params)
        return gradient, gradient

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        leaves, ids, _, weights, lam = self._bind(params)
        at_zero = self._norms(leaves, ids, weights.size, weights.dtype) == 0
        bound = residual_leaves, residual_ids, _, _, _ = self._bind(residual)
        norms = self._norms(residual_leaves, residual_ids, weights.size, weights.dtype)
        return self._rescale(residual, jnp.where(at_zero, shrink(norms, lam * weights), 1), bound, lambda leaf: leaf)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        leaves, ids, _, weights, lam = self._bind(grad_at_zero)
        norms = self._norms(leaves, ids, weights.size, weights.dtype)
        radius = lam * weights
        return jnp.max(jnp.where(radius > 0, norms / jnp.where(radius > 0, radius, 1), 0), initial=0.0)

    def conjugate(self, dual: PyTree) -> Scalar:
        leaves, ids, _, weights, lam = self._bind(dual)
        inside = jnp.all(self._norms(leaves, ids, weights.size, weights.dtype) <= lam * weights)
        for leaf, i in zip(leaves, ids, strict=True):
            if i is None and is_penalised_leaf(leaf):
                inside &= jnp.all(jnp.asarray(leaf) == 0)
        return jnp.where(inside, 0.0, jnp.inf).astype(weights.dtype)

    def support(self, params: PyTree) -> PyTree:
        leaves, ids, treedef, weights, lam = self._bind(params)
        smooth = (self._norms(leaves, ids, weights.size, weights.dtype) > 0) | (lam * weights == 0)
        out = [jnp.ones(np.shape(w), bool) if i is None else smooth[i] for w, i in zip(leaves, ids, strict=True)]
        return jax.tree.unflatten(treedef, out)

    def free(self, params: PyTree) -> PyTree:
        leaves, ids, treedef, weights, lam = self._bind(params)
        out = [jnp.ones(np.shape(w), bool) if i is None else (lam * weights == 0)[i] for w, i in zip(leaves, ids, strict=True)]
        return jax.tree.unflatten(treedef, out)

    def covers(self, params: PyTree) -> PyTree:
        leaves, ids, treedef, _, _ = self._bind(params)
        del leaves
        return jax.tree.unflatten(treedef, [i is not None for i in ids])

    def formula(self, prefix: str = "", w: str = "w") -> str:
        weight = "√|g|" if self.weights is None else "weight_g"
        return f"{coefficient(prefix, self.lam)}Σ_g {weight}·‖{w}_g‖₂"
