"""Reweighted L1: the log-sum penalty by a few lassos, each with the weights that the last one left."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ._penalties import L1, LogSum, Penalty

PyTree = Any


class Reweighted(NamedTuple):
    """The answer of :func:`reweighted_l1`.

    Attributes:
      params: after the last round, of ``init``'s structure.
      weights: of ``init``'s structure, with an axis of rounds in front: the strengths that each round's L1 had.
    """

    params: PyTree
    weights: PyTree


def reweighted_l1(fit: Callable[[Penalty, PyTree], PyTree], init: PyTree, lam: Any = 1.0, eps: Any = 1.0, rounds: int = 5) -> Reweighted:
    """Minimise ``loss + lam·Σ log(1 + |w|/eps)`` by rounds of ``loss + Σ weights·|w|`` with ``weights = lam/(|w| + eps)``.

    That L1 is the tangent of :class:`LogSum` at the last round's magnitudes and lies above it elsewhere, so no round raises the
    objective (majorise, minimise), and where rounds change nothing more the point is stationary. A small weight pays more the next
    time, a large one less: sparser and less biased than one lasso. Started at zero, the first round is ``L1(lam/eps)``.

    Args:
      fit: ``(penalty, params) -> params``, the minimiser of the loss plus the penalty it is given, started from ``params``: any
        solver, such as :func:`solve`. To penalise some leaves only, let it use ``penalty.on(where)``.
      init: the parameters to start from.
      lam: strength, >= 0, in units of loss, as of ``LogSum``: a number, an array (one leaf) or a pytree prefix.
      eps: > 0, in units of the parameters: below it a weight counts as small; shapes as ``lam``.
      rounds: how often to fit, >= 1; a handful does. Unrolled, so that ``fit`` may warn, print and run on the host.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``eps`` is not positive, ``rounds`` is less than 1; or a round's parameters are NaN.

    References:
      Candès, Wakin and Boyd, Enhancing sparsity by reweighted ℓ1 minimization, 2008, §2.2; why it descends: §2.3.

    >>> import jax.numpy as jnp, jaxreg
    >>> y = jnp.array([3.0, 0.9])
    >>> fit = lambda penalty, w: jaxreg.solve(lambda w: jnp.sum((w - y) ** 2) / 2, penalty, w).params
    >>> jaxreg.reweighted_l1(fit, jnp.zeros(2), lam=1.0, eps=1.0).params.tolist()
    [2.7..., 0.0]
    """
    penalty, params, history = LogSum(lam, eps), init, []
    if operator.index(rounds) < 1:
        raise ValueError(f"rounds must be >= 1, got {rounds}")
    for _ in range(rounds):
        slopes = penalty.subdifferential(params)[1]  # at 0 the steepest one, which a gradient does not show
        history.append(jax.tree.map(jnp.abs, slopes))
        params = fit(L1(history[-1]), params)
    return Reweighted(params, jax.tree.map(lambda *each: jnp.stack(each), *history))
