"""The fused lasso's fusion, one-dimensional total variation: ``lam·Σ|w_{j+1} − w_j|``."""

from __future__ import annotations

from typing import Any

from ._about import About
from ._arithmetic import coefficient
from ._base import Strength, static
from ._differences import Differences


class FusedLasso(Differences):
    """Total variation along a line: ``lam·Σ|w_{j+1} − w_j|``, each vector of each leaf along ``axis`` a line of its own.

    Solutions are piecewise constant: neighbours are fused to one exact level. With an ``L1`` it is the fused lasso of the paper.
    Gradient ``lam·Dᵀsign(Dw)``; the prox is exact and takes about log(levels) rounds of O(n), also where data are contrived;
    conjugate the indicator of vectors whose running sums stay within ±lam and end at 0 (to rounding). Constants are free, so
    zero is a solution at some λ only if the loss's slopes add up to 0.

    Args:
      lam: strength, >= 0, one number; in units of the loss per unit of jump.
      axis: the axis of each leaf that is the line (or axes, raveled), or None for all leaves as one line.

    Raises:
      ValueError: ``lam`` is negative or not finite; a leaf lacks the axis.

    References:
      Tibshirani et al., Sparsity and smoothness via the fused lasso, 2005, eq. 3; Hochbaum, An efficient algorithm for image
      segmentation, Markov random fields and related problems, 2001, §4; Darbon and Sigelle, Image restoration with discrete
      constrained total variation, 2006, §3.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.FusedLasso(0.5).prox(jnp.array([1.0, 2.0, 1.5, 6.0])).tolist()
    [1.5, 1.75, 1.75, 5.5]
    """

    lam: Strength = 1.0
    axis: Any = static(default=-1)
    role = "levels"
    about = About(
        equation="lam·Σ|w_{j+1} − w_j|",
        domain="lam ≥ 0; a line along an axis, or all parameters as one",
        cost="O(n) a round, about log(levels) rounds",
        also="SCICO, ProximalOperators.jl, PyProximal",
        source="Tibshirani et al. 2005, eq. 3; Rudin, Osher and Fatemi 1992",
    )

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return f"{coefficient(prefix, self.lam)}Σ|{w}_(j+1) − {w}_j|"
