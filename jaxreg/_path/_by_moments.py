"""Certificates of the squared error from second moments of X and y, and X's own word that those are right.

Of n rows and p features a certificate of L answers from the rows takes 4npL operations, as many as the moments or more; from them it takes
2p²L. They are the solver's moments, though. What they say is therefore compared with what the rows say of a few random combinations of
the answers, as a product of matrices is checked with random vectors (Freivalds, Probabilistic machines can use less running time, 1977).
Residuals are affine in the answers: of combinations whose shares add up to one they are the same combinations of the answers' own, and
so is what they lack.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._penalties import Penalty
from ._certificate import Certificate, Null, certify_sums
from ._engine import Design, Setup
from ._moments import Moments, origin_of, squared_sums, sums_of_moments

_COMBINATIONS = 8  # of a lane's answers
_FEW = 256  # features up to which float32's rounding of their products leaves something of its tolerance


def serves(design: Design) -> bool:
    """Whether moments are so much smaller than X that asking them is worth the comparison."""
    n, p = design.X.shape
    return n >= 4 * p and (design.X.dtype == jnp.float64 or p <= _FEW)


def certify(
    setup: Setup,
    design: Design,
    moments: Moments,
    weights: Float[Array, "lanes n"],
    scales: Float[Array, "lanes p"],
    A: Float[Array, "n q"],
    penalty: Penalty,
    null: Null,
    lams: Float[Array, "L"],
    coef: Float[Array, "lanes L p"],
    intercept: Float[Array, "lanes L q"],
    gap_defined: bool,
) -> Certificate:
    """The certificates of all lanes; what the rows could have otherwise is added to gaps and residuals."""
    shares = np.random.default_rng(0).normal(size=(_COMBINATIONS, lams.size))
    shares = jnp.asarray(shares - shares.mean(axis=1, keepdims=True) + 1 / lams.size, coef.dtype)

    origin = origin_of(setup, moments)

    def one(lane: Array, v: Array, scale: Array, coef: Array, intercept: Array) -> Certificate:
        level = intercept if origin is None else origin.level(coef, intercept)
        of_lane = functools.partial(sums_of_moments, setup, moments, lane, origin=origin)
        mixed = shares @ coef, shares @ level
        said, seen = of_lane(*mixed)[0], squared_sums(setup, design, v, A, *mixed, origin=origin)[0]
        error, of_target, of_intercept = (
            _sizes(x - y)
            for x, y in (
                (seen.slope, said.slope),
                (seen.slope_target, said.slope_target),
                (seen.slope_intercept, said.slope_intercept),
            )
        )
        sums = of_lane(coef, level)
        found = certify_sums(setup, design, v, scale, A, penalty, null, lams, coef * scale, *sums, origin, gap_defined, error)
        # Beside what a dual point may lack, values are off by ⟨z, error⟩, z the coefficients, the target's −1 and the intercept.
        off = 2 * (jnp.abs(coef) @ error + of_target + jnp.sum(jnp.abs(level), axis=1) * of_intercept)
        residual = found.kkt + jnp.hypot(jnp.linalg.norm(error / scale), of_intercept) / null.size
        return Certificate(found.gap + off / null.unit, residual, found.loss)

    return jax.vmap(one)(jnp.arange(len(weights)), weights, scales, coef, intercept)


def _sizes(errors: Float[Array, "k ..."]) -> Float[Array, "..."]:
    """How large an error may be in an answer, from those of combinations: the root of their mean square.

    That is about the root of the sum over all answers: no one's is larger, and most are smaller by far.
    """
    return jnp.sqrt(jnp.mean(errors**2, axis=0))
