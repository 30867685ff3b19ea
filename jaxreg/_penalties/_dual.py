"""The conjugate of a penalty as a penalty of its own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Scalar

from .._dtypes import cast, is_concrete, is_penalised_leaf
from ._arithmetic import check_step, check_strength, coefficient, number
from ._base import Penalty, PyTree, Strength, UnknownOperation, check_one_step
from ._place import forgiving_conjugate


def _rest(w: Any, part: Any) -> Any:
    """``w − part``, exactly 0 where it is no more than their rounding."""
    w = jnp.asarray(w)
    rest = w - part
    return jnp.where((rest != 0) & (jnp.abs(rest) <= 4 * jnp.finfo(rest.dtype).eps * jnp.abs(w)), 0, rest).astype(w.dtype)


class Dual(Penalty):
    """Fenchel conjugate: ``scale·sup_w ⟨u, w⟩ − penalty(w)``; made by ``penalty.dual()``.

    Convex. Prox by Moreau's identity, ``v − t·prox_penalty(v/t, 1/t)`` with t = step·scale; the conjugate of it is the penalty again.
    A path multiplies the whole by λ.

    Args:
      penalty: a convex penalty whose conjugate is known.
      scale: a factor on the whole, >= 0; what ``c * dual`` sets.

    Raises:
      UnknownOperation: the penalty is not convex; on use, its conjugate is not known, or its prox takes no step that is an array.

    References:
      Rockafellar, Convex analysis, 1970, §12; Parikh and Boyd, Proximal algorithms, 2014, eq. 2.4.

    >>> import jax.numpy as jnp, jaxreg
    >>> ball = jaxreg.L1(2.0).dual()  # the indicator of |u| <= 2
    >>> float(ball(jnp.array([1.0, -2.0]))), ball.prox(jnp.array([5.0, -1.0])).tolist()
    (0.0, [2.0, -1.0])
    """

    penalty: Penalty
    scale: Strength = 1.0
    convex, finite = True, False

    separable = property(lambda self: self.penalty.separable)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        if not self.penalty.convex:
            raise UnknownOperation(f"{self.penalty!r} is not convex: a dual would describe its convex hull, not itself")
        check_strength("Dual: scale", self.scale)

    def __call__(self, params: PyTree) -> Scalar:
        # What prox puts on the edge of the domain lies a rounding of v outside: inside means within 1024 ε, for v a thousand times as far.
        value = forgiving_conjugate(self.penalty, params, 1024)
        # 0·inf: a constraint stays one, whatever the factor.
        return jnp.where(jnp.isposinf(value), value, self.scale * jnp.where(jnp.isposinf(value), 0, value))

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        from .._tree import broadcast_prefix

        check_step(step, params)
        if not self.separable:
            check_one_step(step, params, repr(self))
        leaves, treedef = jax.tree.flatten(params)
        steps = [self._least(s, leaf) for s, leaf in zip(broadcast_prefix(step, params, "step", own_leaf=True), leaves, strict=True)]
        far = jax.tree.unflatten(treedef, [w / t if is_penalised_leaf(w) else w for w, t in zip(leaves, steps, strict=True)])
        inverse = jax.tree.unflatten(treedef, [1 / t for t in steps]) if self.separable else 1 / steps[0]
        inner = jax.tree.leaves(self.penalty.prox(far, inverse))
        out = [_rest(w, t * z) if is_penalised_leaf(w) else w for w, t, z in zip(leaves, steps, inner, strict=True)]
        return jax.tree.unflatten(treedef, out)

    def _least(self, step: Any, leaf: Any) -> Any:
        """The step times scale in the leaf's dtype; at 0, where only the domain is left, so small a one that it moves nothing."""
        if not is_penalised_leaf(leaf):
            return 1.0
        wide = jnp.promote_types(jnp.asarray(leaf).dtype, jnp.float32)
        return jnp.maximum(jnp.asarray(step, wide) * jnp.asarray(self.scale, wide), float(jnp.finfo(wide).eps) ** 2)

    def conjugate(self, dual: PyTree) -> Scalar:
        """``scale·penalty(w/scale)``: a convex penalty is the conjugate of its conjugate."""
        if is_concrete(self.scale) and np.ndim(self.scale) == 0 and self.scale == 0:
            raise UnknownOperation(f"the conjugate of {self!r} is the indicator of a set that is not known in closed form")
        scaled = jax.tree.map(lambda w: jnp.asarray(w) / cast(self.scale, jnp.asarray(w)) if is_penalised_leaf(w) else w, dual)
        return self.scale * self.penalty(scaled)

    def scaled(self, factor: Strength) -> Penalty:
        return self._with(scale=factor * self.scale)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        factor = coefficient(prefix, self.scale)
        return f"{'' if factor == '1·' else factor}sup_z ⟨{w}, z⟩ − {self.penalty.formula('', 'z')}"

    def __repr__(self) -> str:
        text = f"{self.penalty!r}.dual()"
        return text if number(self.scale, "scale") == "1" else f"{number(self.scale, 'scale')} * {text}"
