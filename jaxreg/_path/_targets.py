"""Many targets under a penalty that is a sum over coefficients: a path for each; under squared error from moments that they share."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import Penalty
from ..losses import SquaredError
from . import _elastic, _lasso, _likelihood, _moments
from ._certificate import Null
from ._columns import Sparse
from ._elastic import Strengths, of_penalty
from ._engine import Design, Setup, buckets
from ._inputs import Problem
from ._progress import Teller


def strengths(setup: Setup, design: Design, penalty: Penalty) -> Strengths | None:
    """What the penalty is in the coefficients, (p, T); None where the problem is another, or leaves a target without a part of L1."""
    if not isinstance(setup.loss, SquaredError) or setup.outputs is None or isinstance(design.X, Sparse):
        return None
    found = of_penalty(setup, design, penalty)
    return found if found is not None and (np.asarray(found.a) > 0).any(axis=0).all() else None


def fit(
    setup: Setup,
    design: Design,
    weights: np.ndarray,
    penalty: Strengths,
    lams: np.ndarray,
    ids: np.ndarray | None,
    told: Teller,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """(coefficients, intercepts, scales) of each lane (row of weights) at every λ (decreasing), and how they were found."""
    exact = design.lower is None and not (np.asarray(penalty.b) > 0).any()
    shared = _moments.enough(*design.X.shape) if exact else _elastic.by_moments(design)
    moments = _moments.of_lanes(design, weights, ids) if shared else None
    answers, scales = [], None
    for target, (one, of_one, strength, _) in enumerate(_likelihood.by_target(setup, design, penalty, jnp.zeros(()))):
        own = None if moments is None else _moments.of_target(moments, target)
        of_target = told.part(target, setup.columns)
        if exact:
            coef, intercept, scales, _ = _lasso.fit(one, of_one, weights, strength.a, lams, ids, of_target, own)
        else:
            coef, intercept, scales = _elastic.fit(one, of_one, weights, strength, lams, ids, of_target, moments=own)
        if told.stopped() and (target + 1 < setup.columns or coef.shape[:2] != (len(weights), len(lams))):
            raise KeyboardInterrupt  # no lane is whole
        answers.append((coef, intercept))
    assert scales is not None  # there is a target
    coef, intercept = np.stack([coef for coef, _ in answers], axis=-1), np.concatenate([level for _, level in answers], axis=-1)
    return coef, intercept, scales, "homotopy" if exact else "batch"


def apart(problem: Problem, null: Null) -> list[tuple[Problem, Null]]:
    """A problem for each target, where they are too many to be fitted together and nothing joins them; else none."""
    setup, design, penalty = problem.setup, problem.design, problem.penalty
    p = design.X.shape[1]
    if setup.bucket >= p or setup.outputs in (None, 1) or setup.loss.vector or not penalty.separable:
        return []
    spread = jax.tree.map(lambda x: x if jnp.ndim(x) == 0 else jnp.broadcast_to(x, setup.shape(p)), penalty)
    found = []
    for target, (one, of_one, own, slope) in enumerate(_likelihood.by_target(setup, design, spread, null.slope)):
        one = one._replace(bucket=buckets(one, p, separable=True)[0])
        own_null = null._replace(level=null.level.reshape(-1)[target], slope=slope)
        found.append((problem._replace(setup=one, design=of_one, penalty=own), own_null))
    return found
