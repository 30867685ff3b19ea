"""SCAD, the smoothly clipped absolute deviation: L1 up to ``lam``, flat from ``a·lam`` on."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._about import About
from ._arithmetic import at_most, check_numbers, steepest_bend
from ._base import Strength
from ._folded import Knee, deeper


def value(w: Float[Array, "..."], lam, a, scale) -> Float[Array, "..."]:
    m = at_most(jnp.abs(w), a * lam)
    return scale * (lam * m - jnp.maximum(m - lam, 0) ** 2 / (2 * (a - 1)))


def slope(m: Float[Array, "..."], lam, a, scale) -> Float[Array, "..."]:
    return scale * jnp.where(m <= lam, lam, jnp.maximum(a * lam - m, 0) / (a - 1))


def shrink(m: Float[Array, "..."], step, lam, a, scale) -> Float[Array, "..."]:
    """Soft, then steeper, then no thresholding for steps below a − 1; from there on the middle is concave: one of its ends."""
    step = step * scale
    soft, middle = jnp.maximum(m - step * lam, 0), jnp.where(step < a - 1, a - 1 - step, 1)
    easy = jnp.where(m <= (1 + step) * lam, soft, jnp.where(m <= a * lam, ((a - 1) * m - step * a * lam) / middle, m))
    ends = deeper(m, step, lambda z: value(z, lam, a, 1), jnp.minimum(soft, lam), jnp.maximum(m, a * lam))
    return jnp.where(step < a - 1, easy, ends)


class SCAD(Knee):
    """Smoothly clipped absolute deviation: slope ``lam`` up to ``|w| = lam``, falling to 0 at ``a·lam``, constant ``½(a + 1)·lam²`` beyond.

    Between the two knees the value is ``lam·|w| − (|w| − lam)²/(2(a − 1))``. On a path λ takes the place of ``lam`` (``at``), for
    ``c·SCAD(w; lam)`` is another function than ``SCAD(w; c·lam)``; ``c * SCAD(…)`` is the former. Not convex. The prox is exact for every
    step, also beyond ``a − 1``, where the published formula ends.

    Args:
      lam: slope at zero and first knee, >= 0: a number, an array (one leaf) or a pytree prefix.
      a: where the slope ends, in units of ``lam``, > 2; 3.7 is the authors' choice.
      scale: a factor on the whole, >= 0; what ``c * SCAD(…)`` and penalty factors set.

    Raises:
      ValueError: ``lam`` or ``scale`` is negative or not finite, ``a`` is 2 or less.

    References:
      Fan and Li, Variable selection via nonconcave penalized likelihood and its oracle properties, 2001, eq. 2.7 and 2.8.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.SCAD(1.0, a=3.0).prox(jnp.array([0.5, 1.5, 2.5, 4.0])).tolist()
    [0.0, 0.5, 2.0, 4.0]
    """

    lam: Strength = 1.0
    a: Strength = 3.7
    scale: Strength = 1.0
    about = About(
        equation="scale·Σ f(w), f = lam·|w| up to |w| = lam, lam·|w| − (|w| − lam)²/(2(a − 1)) up to a·lam, ½(a + 1)·lam² beyond",
        domain="lam ≥ 0, a > 2, scale ≥ 0",
        cost="O(n)",
        also="skglm, ncvreg, PyProximal",
        source="Fan and Li 2001, eq. 2.7",
    )

    leaf_value, slope, shrink = staticmethod(value), staticmethod(slope), staticmethod(shrink)

    def weak_convexity(self) -> Any:
        return steepest_bend(self.scale, jax.tree.map(lambda a: a - 1, self.a))

    def _validate(self, name: str, value: Any) -> None:
        super()._validate(name, value)
        if name == "a":
            check_numbers("SCAD: a", value, lambda x: np.asarray(x > 2), "> 2")
