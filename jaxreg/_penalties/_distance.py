"""The distance to a convex set as a penalty: a constraint that may be broken at a price."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Scalar

from .._dtypes import cast, is_number, is_penalised_leaf
from ._arithmetic import coefficient, finite_product, norm, number, safe_sqrt, zeros
from ._base import Penalty, PyTree, Strength, UnknownOperation, check_one_step
from ._dual import Dual


def _is_set(penalty: Any) -> bool:
    """An indicator, or one that is moved, placed, scaled or intersected: nothing in it has a strength.

    A dual is one where it is a cone's: what else it may be the indicator of cannot be told from here.
    """
    if isinstance(penalty, Dual):
        return penalty.penalty.cone
    inner = getattr(penalty, "summands", None) or (getattr(penalty, "penalty", None),)
    parts = [p for p in inner if isinstance(p, Penalty)]
    return not penalty.finite and (all(map(_is_set, parts)) if parts else not hasattr(penalty, "lam"))


class Distance(Penalty):
    """Distance to a convex set: ``lam·min_z ‖w − z‖₂`` over z in it; made by ``penalty.distance(lam)``.

    Not squared, and so an exact penalty: from some lam on the minimiser of loss + penalty is in the set. Gradient the unit vector away from
    the projection times lam (0 in the set); prox: towards the projection by ``step·lam``, at most onto it; conjugate the set's on
    ``‖u‖₂ <= lam`` and +inf beyond. One distance for all parameters together; half the squared one over mu is ``penalty.envelope(mu)``.

    Args:
      penalty: the indicator of a convex set whose projection is known.
      lam: strength, >= 0, one number, in units of loss per parameter.

    Raises:
      UnknownOperation: the penalty is no set, or not convex.
      ValueError: ``lam`` is negative or not finite.

    References:
      Beck, First-order methods in optimization, 2017, lemma 6.43 and ex. 3.49 (the subdifferential); Combettes and Pesquet, Proximal
      splitting methods in signal processing, 2011, table 10.1.

    >>> import jax.numpy as jnp, jaxreg
    >>> beyond = jaxreg.L2Ball(1.0).distance(2.0)
    >>> w = jnp.array([3.0, 4.0])
    >>> float(beyond(w)), beyond.prox(w).round(4).tolist()
    (8.0, [1.79..., 2.39...])
    """

    penalty: Penalty
    lam: Strength = 1.0
    convex = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_set(self.penalty) or not self.penalty.convex:
            raise UnknownOperation(f"distance: {self.penalty!r} is no convex set; of any convex penalty there is .envelope(mu)")

    def _validate(self, name: str, value: Any) -> None:
        if name == "lam":
            if not is_number(value) or np.ndim(value):
                raise TypeError(f"distance: lam must be one number, got {value!r}")
            super()._validate(name, value)

    def _away(self, params: PyTree) -> tuple[PyTree, Scalar]:
        """w − P(w), and its length; exactly 0 where rounding alone tells w from its projection."""
        inside = self.penalty(params) == 0
        away = _numbers(lambda w, z: jnp.where(inside, 0, w - z), params, self.penalty.prox(params), exempt=zeros)
        return away, _length(away)

    def __call__(self, params: PyTree) -> Scalar:
        return self.lam * self._away(params)[1]

    def grad(self, params: PyTree) -> PyTree:
        away, size = self._away(params)
        slope = self.lam / jnp.where(size > 0, size, 1)
        return _numbers(lambda d: d * cast(slope, d), away)

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        check_one_step(step, params, "distance")
        away, size = self._away(params)
        reach = finite_product(step, self.lam)
        arrived, share = (size > 0) & (reach >= size), reach / jnp.where(size > 0, size, 1)
        near = self.penalty.prox(params)
        return _numbers(lambda w, d, z: jnp.where(arrived, z, w - cast(share, w) * d), params, away, near)

    def subdiff_distance(self, params: PyTree, grad: PyTree) -> Scalar:
        """In the set the subdifferential is its normal cone cut off at lam: by that the part of −grad along the cone is shortened."""
        _, size = self._away(params)
        slope, left_open = _length(grad), self.penalty.subdiff_distance(self.penalty.prox(params), grad)
        normal = safe_sqrt(jnp.maximum((slope - left_open) * (slope + left_open), 0))
        beyond = _length(_numbers(lambda g, d: g + d, grad, self.grad(params)))
        return jnp.where(size > 0, beyond, norm([left_open, jnp.maximum(normal - self.lam, 0)]))

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        if self.reference() is not None:
            return self.penalty.lambda_max(grad_at_zero)  # raises: it does not shrink towards zero
        # Zero is in the set and −grad normal to it there, up to a length.
        normal = self.penalty.lambda_max(grad_at_zero) == 0
        size, positive = _length(grad_at_zero), jnp.asarray(self.lam) > 0
        return jnp.where(positive & (size > 0), jnp.where(normal, size / jnp.where(positive, self.lam, 1), jnp.inf), 0)

    def conjugate(self, dual: PyTree) -> Scalar:
        return jnp.where(_length(dual) <= self.lam, self.penalty.conjugate(dual), jnp.inf)

    def support(self, params: PyTree) -> PyTree:
        """Outside the set, and inside where the set says so."""
        outside = self._away(params)[1] > 0
        return jax.tree.map(lambda own: own | outside | (jnp.asarray(self.lam) == 0), self.penalty.support(params))

    def free(self, params: PyTree) -> PyTree:
        return jax.tree.map(lambda free: free | (jnp.asarray(self.lam) == 0), self.penalty.free(params))

    def covers(self, params: PyTree) -> PyTree:
        return self.penalty.covers(params)

    def reference(self) -> Any:
        return self.penalty.reference()

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}dist({w}, {self.penalty.formula('', w)})"

    def __repr__(self) -> str:
        return f"{self.penalty!r}.distance({number(self.lam, 'lam')})"


def _numbers(function: Any, params: PyTree, *others: PyTree, exempt: Any = lambda leaf: leaf) -> PyTree:
    """``function`` of the floating-point leaves."""
    return jax.tree.map(lambda w, *z: function(jnp.asarray(w), *z) if is_penalised_leaf(w) else exempt(w), params, *others)


def _length(tree: PyTree) -> Scalar:
    return norm([leaf for leaf in jax.tree.leaves(tree) if is_penalised_leaf(leaf)])
