"""L2: the squared norm, ``lam·Σw²``. No ½: the gradient is ``2·lam·w``."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import weighted_sum, zero_or_inf
from ._base import Strength
from ._separable import Separable


def value(w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return lam * w**2


def grad(w: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return 2 * lam * w


def prox(w: Float[Array, "..."], step, lam) -> Float[Array, "..."]:
    return w / (1 + 2 * step * lam)


def conjugate(u: Float[Array, "..."], lam) -> Float[Array, "..."]:
    return jnp.where(lam > 0, u**2 / (4 * jnp.where(lam > 0, lam, 1)), zero_or_inf(u))


class L2(Separable):
    """Squared L2 norm (ridge, weight decay, Gaussian prior): ``lam·Σw²``.

    There is no ½, so that with a sum-of-squares loss it is ``Ridge(alpha=lam)``; gradient ``2·lam·w``, prox
    ``w/(1 + 2·step·lam)``, conjugate ``Σu²/(4·lam)``. Convex, smooth, separable; no λ makes the solution zero.

    Args:
      lam: strength, >= 0, in units of loss per squared parameter: a number, an array (one leaf, per feature)
        or a pytree prefix of the parameters (per layer).

    Raises:
      ValueError: ``lam`` is negative or not finite.

    References:
      Hoerl and Kennard, Ridge regression: biased estimation for nonorthogonal problems, 1970, eq. 2.3.

    >>> import jax.numpy as jnp, jaxreg
    >>> w = jnp.array([1.0, -2.0])
    >>> float(jaxreg.L2(0.1)(w)), jaxreg.L2(0.1).grad(w).tolist()
    (0.5, [0.2..., -0.4...])
    """

    lam: Strength = 1.0
    convex, smooth, role = True, True, "quadratic"
    about = About(
        equation="lam·Σw²",
        domain="lam ≥ 0",
        cost="O(n)",
        also="jaxopt, nemos, skglm, SCICO, ProximalOperators.jl, PyProximal, Keras, glmnet, scikit-learn, optax",
        source="Hoerl and Kennard 1970, eq. 2.3",
    )

    leaf_value = staticmethod(value)
    leaf_grad = staticmethod(grad)
    leaf_prox = staticmethod(prox)
    leaf_conjugate = staticmethod(conjugate)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return weighted_sum(prefix, self.lam, f"{w}²")
