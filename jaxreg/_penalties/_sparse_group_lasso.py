"""The sparse group lasso: ``lam·(l1_ratio·Σ|w| + (1 − l1_ratio)·Σ_g weight_g·‖w_g‖₂)``, zeros between groups and inside them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from . import _l1
from ._about import About
from ._arithmetic import check_numbers, coefficient, number, zeros
from ._base import Penalty, PyTree, Strength, static
from ._group_lasso import GroupLasso
from ._groups import Grouped, Members, _true, shrink


def soften(w: Float[Array, "..."], threshold) -> Float[Array, "..."]:
    """Soft thresholding; with a threshold of 0 the identity, also in its derivative at 0, where groups go on depending on w."""
    held = (jnp.abs(w) <= threshold) & (threshold > 0)
    return jnp.where(held, 0, w - jnp.sign(w) * threshold)


def prox(members: Members, step, lam, l1_ratio, weights) -> Float[Array, "..."]:
    """Soft-threshold the numbers, then the groups: Simon et al. 2013, eq. 12."""
    radius = step * lam * (1 - l1_ratio) * weights
    softened = soften(members.w, step * lam * l1_ratio)
    return members.resize(softened, lambda m: jnp.maximum(m - radius, 0), jnp.where(radius > 0, 0, 1))


def root(members: Members, l1_ratio, weights) -> Float[Array, " groups"]:
    """The λ >= 0 of each group at which ``‖soft(w_g, λ·l1_ratio)‖ = λ·(1 − l1_ratio)·weight_g``; 0 where both sides vanish for every λ.

    The difference of the two sides is convex and falls in λ, so Newton's method from 0 climbs to the root, never past it, and
    converges quadratically at the end. The last step is repeated for the derivative, which it has by itself.
    """

    def newton(lam: Array, inside: Members, l1_ratio: Any, slope: Any) -> Array:
        left = soften(inside.w, inside.spread(lam) * l1_ratio)
        unit, length = inside.lengths(left)
        falls = l1_ratio * inside.sums(jnp.abs(left) / inside.spread(unit)) / jnp.where(length > 0, length, 1) + slope
        falls = jax.lax.stop_gradient(falls)
        # Below the root the left side is the larger; rounding may say otherwise at the root, where the step is then 0.
        higher = lam + jnp.maximum(unit * length - lam * slope, 0) / jnp.where(falls > 0, falls, 1)
        return jnp.where((falls > 0) & (length > 0), higher, lam)

    slope = (1 - l1_ratio) * weights
    fixed = members._replace(w=jax.lax.stop_gradient(members.w)), *jax.lax.stop_gradient((l1_ratio, slope))

    def climb(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        lam, _, count = state
        higher = newton(lam, *fixed)
        return higher, jnp.any(higher > lam * (1 + 4 * jnp.finfo(lam.dtype).eps)), count + 1

    start = jnp.zeros(members.count, members.w.dtype), jnp.ones((), bool), jnp.zeros((), int)
    lam, _, _ = jax.lax.while_loop(lambda state: state[1] & (state[2] < 200), climb, start)
    return newton(lam, members, l1_ratio, slope)


class SparseGroupLasso(Grouped):
    """Sparse group lasso: ``lam·(l1_ratio·Σ|w| + (1 − l1_ratio)·Σ_g weight_g·‖w_g‖₂)``.

    Whole groups become zero, and single numbers in the groups that stay. Gradient the sum of both (0 where either bends), prox
    soft thresholding of numbers and then of groups, conjugate the indicator of ``‖soft(u_g, lam·l1_ratio)‖ <=
    lam·(1 − l1_ratio)·weight_g``. Convex; it is ``L1(lam·l1_ratio) + GroupLasso(lam·(1 − l1_ratio), groups)``.

    Args:
      lam: strength, >= 0, one number.
      groups: integer ids from 0, as ``GroupLasso`` takes them.
      l1_ratio: the share of L1, in [0, 1]; 1 is the lasso, 0 the group lasso.
      weights: one number >= 0 for each id; the default is √(number of parameters in the group).

    Raises:
      ValueError: a strength is negative or not finite, ``l1_ratio`` is outside [0, 1], ids or weights do not fit.

    References:
      Simon, Friedman, Hastie and Tibshirani, A sparse-group lasso, 2013, eq. 3 (``alpha`` there is ``l1_ratio`` here).

    >>> import jax.numpy as jnp, jaxreg
    >>> penalty = jaxreg.SparseGroupLasso(2.0, groups=[0, 0, 0, 1], weights=[1.0, 1.0])
    >>> penalty.prox(jnp.array([4.0, 5.0, 1.0, 1.5])).tolist()
    [2.4..., 3.2..., 0.0, 0.0]
    """

    lam: Strength = 1.0
    groups: Any = static(default=None)
    l1_ratio: Strength = 0.5
    weights: Strength = None
    convex = True
    about = About(
        equation="lam·(l1_ratio·Σ|w| + (1 − l1_ratio)·Σ_g weight_g·‖w_g‖₂)",
        domain="lam ≥ 0, 0 ≤ l1_ratio ≤ 1, weight_g ≥ 0",
        cost="O(n)",
        also="PyProximal, skglm",
        source="Simon et al. 2013, eq. 3",
    )

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "l1_ratio":
            check_numbers("SparseGroupLasso: l1_ratio", value, lambda x: np.asarray(x <= 1), "in [0, 1]")

    def terms(self) -> tuple[Penalty, ...]:
        norms = GroupLasso(1.0, groups=self.groups.value)._with(lam=self.lam * (1 - self.l1_ratio), weights=self.weights)
        return _l1.L1()._with(lam=self._where_grouped(self.lam * self.l1_ratio)), norms

    def __call__(self, params: PyTree) -> Scalar:
        members, (lam, l1_ratio, weights) = self._bind(params)
        return lam * (l1_ratio * jnp.sum(jnp.abs(members.w)) + (1 - l1_ratio) * jnp.sum(weights * members.norms(members.w)))

    def _bounds(self, params: PyTree) -> tuple[Members, Array, Array, Array]:
        """The smooth part's gradient, and the ends of the interval that L1 adds to it."""
        members, (lam, l1_ratio, weights) = self._bind(params)
        norms = members.resize(members.w, lambda m: lam * (1 - l1_ratio) * weights, 0)
        return members, norms, *_l1.subdifferential(members.w, lam * l1_ratio)

    def grad(self, params: PyTree) -> PyTree:
        members, norms, lower, upper = self._bounds(params)
        return members.put_back(norms + (lower + upper) / 2, zeros)

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        members, strengths = self._bind(params)
        return members.put_back(prox(members, self._step(step, members.w), *strengths), lambda leaf: leaf)

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        members, norms, lower, upper = self._bounds(params)
        return members.put_back(norms + lower, zeros), members.put_back(norms + upper, zeros)

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        """At a zero group L1's interval took its share; the rest of the subdifferential is the norm's ball."""
        members, (lam, l1_ratio, weights) = self._bind(params)
        left, _ = self._bind(residual)
        ball = shrink(left.norms(left.w), lam * (1 - l1_ratio) * weights)
        factor = jnp.where(members.norms(members.w) == 0, ball, 1)
        return left.put_back(left.w * left.spread(factor), lambda leaf: leaf)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        members, (lam, l1_ratio, weights) = self._bind(grad_at_zero)
        largest = jnp.max(root(members, l1_ratio, weights), initial=0)
        return jnp.where(lam > 0, largest / jnp.where(lam > 0, lam, 1), 0)

    def conjugate(self, dual: PyTree) -> Scalar:
        members, (lam, l1_ratio, weights) = self._bind(dual)
        # The dual ball is a sum of balls: a box of half-width lam·l1_ratio takes what it can, the norm's ball must hold the rest.
        inside = members.norms(soften(members.w, lam * l1_ratio)) <= lam * (1 - l1_ratio) * weights
        return jnp.where(jnp.all(inside), 0, jnp.inf).astype(members.w.dtype) + self._uncovered(dual)

    def support(self, params: PyTree) -> PyTree:
        members, (lam, l1_ratio, weights) = self._bind(params)
        smooth = (members.norms(members.w) > 0) | (lam * (1 - l1_ratio) * weights == 0)
        return members.put_back(members.spread(smooth) & _l1.support(members.w, lam * l1_ratio), _true)

    def free(self, params: PyTree) -> PyTree:
        members, (lam, l1_ratio, weights) = self._bind(params)
        untouched = (lam * (1 - l1_ratio) * weights == 0) & (lam * l1_ratio == 0)
        return members.put_back(members.spread(untouched), _true)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        r = number(self.l1_ratio, "l1_ratio")
        return f"{coefficient(prefix, self.lam)}({r}·Σ|{w}| + (1−{r})·Σ_g {self._norm_text(w)})"
