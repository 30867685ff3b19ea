"""The elastic net: ``lam·(l1_ratio·Σ|w| + ½(1 − l1_ratio)·Σw²)``, glmnet's and scikit-learn's form, ½ and all."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from . import _l1, _l2
from ._about import About
from ._arithmetic import check_numbers, coefficient
from ._base import Penalty, Strength
from ._separable import Separable


def split(lam, l1_ratio):
    """The strengths (a, b) of the same penalty written as ``a·Σ|w| + b·Σw²``."""
    return lam * l1_ratio, lam * (1 - l1_ratio) / 2


def value(w: Float[Array, "..."], lam, l1_ratio) -> Float[Array, "..."]:
    return lam * (l1_ratio * jnp.abs(w) + 0.5 * (1 - l1_ratio) * w**2)


def grad(w: Float[Array, "..."], lam, l1_ratio) -> Float[Array, "..."]:
    return lam * (l1_ratio * jnp.sign(w) + (1 - l1_ratio) * w)


def prox(w: Float[Array, "..."], step, lam, l1_ratio) -> Float[Array, "..."]:
    """Soft-threshold, then shrink."""
    return _l1.prox(w, step, lam * l1_ratio) / (1 + step * lam * (1 - l1_ratio))


def subdifferential(w: Float[Array, "..."], lam, l1_ratio) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    lower, upper = _l1.subdifferential(w, lam * l1_ratio)
    return lower + lam * (1 - l1_ratio) * w, upper + lam * (1 - l1_ratio) * w


def support(w: Float[Array, "..."], lam, l1_ratio) -> Array:
    return _l1.support(w, lam * l1_ratio)


def conjugate(u: Float[Array, "..."], lam, l1_ratio) -> Float[Array, "..."]:
    """``(|u| − a)₊²/(4b)``: the infimal convolution of the two parts' conjugates."""
    a, b = split(lam, l1_ratio)
    return _l2.conjugate(jnp.maximum(jnp.abs(u) - a, 0), b)


class ElasticNet(Separable):
    """Elastic net: ``lam·(l1_ratio·Σ|w| + ½(1 − l1_ratio)·Σw²)``.

    Mind the ½ before the squares: it is the convention of glmnet (``alpha`` there is ``l1_ratio`` here) and of
    scikit-learn. ``L1(a) + L2(b)`` is the same penalty without it, with ``a = lam·l1_ratio`` and
    ``b = lam·(1 − l1_ratio)/2``.

    Args:
      lam: strength, >= 0: a number, an array (one leaf) or a pytree prefix of the parameters.
      l1_ratio: the share of L1, in [0, 1]; shapes as ``lam``. A leaf too, so it can be swept and differentiated.

    Raises:
      ValueError: ``lam`` is negative or not finite, or ``l1_ratio`` is outside [0, 1].

    References:
      Zou and Hastie, Regularization and variable selection via the elastic net, 2005; Friedman, Hastie and
      Tibshirani, Regularization paths for generalized linear models via coordinate descent, 2010, eq. 2.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.ElasticNet(1.0, l1_ratio=0.5).prox(jnp.array([2.0, 0.4])).tolist()
    [1.0, 0.0]
    """

    lam: Strength = 1.0
    l1_ratio: Strength = 0.5
    convex = True
    about = About(
        equation="lam·(l1_ratio·Σ|w| + ½(1 − l1_ratio)·Σw²)",
        domain="lam ≥ 0, 0 ≤ l1_ratio ≤ 1",
        cost="O(n)",
        also="jaxopt, nemos, skglm, ProximalOperators.jl, Keras, glmnet, scikit-learn",
        source="Friedman, Hastie and Tibshirani 2010, eq. 2",
    )

    leaf_value = staticmethod(value)
    leaf_grad = staticmethod(grad)
    leaf_prox = staticmethod(prox)
    leaf_subdifferential = staticmethod(subdifferential)
    leaf_support = staticmethod(support)
    leaf_conjugate = staticmethod(conjugate)

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "l1_ratio":
            check_numbers("ElasticNet: l1_ratio", value, lambda x: np.asarray(x <= 1), "in [0, 1]")

    def terms(self) -> tuple[Penalty, ...]:
        if jax.tree.structure(self.lam) != jax.tree.structure(self.l1_ratio):
            return (self,)  # a per-layer lam beside one l1_ratio: there is no common tree to split
        parts = jax.tree.map(split, self.lam, self.l1_ratio)
        first, second = jax.tree.transpose(jax.tree.structure(self.lam), jax.tree.structure((0, 0)), parts)
        return (_l1.L1()._with(lam=first), _l2.L2()._with(lam=second))

    def formula(self, prefix: str = "", w: str = "w") -> str:
        ratio = self.l1_ratio
        shown = (f"{float(ratio):g}", f"{1 - float(ratio):g}") if isinstance(ratio, int | float) else ("r", "(1−r)")
        return f"{coefficient(prefix, self.lam)}({shown[0]}·Σ|{w}| + ½·{shown[1]}·Σ{w}²)"
