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
from ._moments import Moments, middle, squared_sums, sums_of_moments

_COMBINATIONS = 4  # of a lane's answers
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

    center = middle(setup, moments)

    def one(lane: Array, v: Array, scale: Array, coef: Array, intercept: Array) -> Certificate:
        of_lane = functools.partial(sums_of_moments, setup, moments, lane)
        level = intercept + (coef @ center)[:, None] if setup.intercept else intercept
        found = certify_sums(setup, design, v, scale, A, penalty, null, lams, coef * scale, *of_lane(coef, level), gap_defined)
        mixed = shares @ coef, shares @ level
        said, seen = of_lane(*mixed)[0], squared_sums(setup, design, v, A, *mixed, center=center)[0]
        error = seen.slope - said.slope
        of_target, of_intercept = (
            _norm((x - y)[:, None]) for x, y in ((seen.slope_target, said.slope_target), (seen.slope_intercept, said.slope_intercept))
        )
        # A gap is off by twice ⟨z, error⟩ at most, z the coefficients, the target's −1 and the intercept; in units of each column's own.
        spread = jnp.sqrt(jnp.diagonal(moments.sums[lane])[: scale.size])
        unit = jnp.where(spread > 0, spread, 1)
        off = jnp.max(jnp.linalg.norm(coef * unit, axis=1)) * _norm(error / unit)
        off += of_target + jnp.max(jnp.abs(level), initial=0.0) * of_intercept
        return Certificate(
            found.gap + 2 * off / null.unit, found.kkt + jnp.hypot(_norm(error / scale), of_intercept) / null.size, found.loss
        )

    return jax.vmap(one)(jnp.arange(len(weights)), weights, scales, coef, intercept)


def _norm(errors: Float[Array, "k m"]) -> Float[Array, ""]:
    """The root of their mean square norm: about that of the root of the sum over all answers, of which no one's is larger."""
    return jnp.sqrt(jnp.mean(jnp.sum(errors**2, axis=1)))
