"""Penalties with two sides, and sums with a constraint, against a grid of one number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import L1, L2, AsymmetricL1, ElasticNet, Huber, NonNegative

V = np.array([-3.0, -0.6, -0.2, 0.0, 0.3, 0.6, 1.0, 4.0])
SUMS = {
    "L1": (L1(0.5) + NonNegative(), lambda z: 0.5 * z, 0),
    "L2": (L2(0.7) + NonNegative(), lambda z: 0.7 * z**2, 0),
    "ElasticNet": (ElasticNet(0.8, 0.5) + NonNegative(), lambda z: 0.4 * z + 0.2 * z**2, 0),
    "Huber": (Huber(0.8, delta=0.6) + NonNegative(), lambda z: 0.8 * np.where(z <= 0.6, z**2 / 2, 0.6 * z - 0.18), 0),
    "AsymmetricL1": (AsymmetricL1(0.5, 0.2) + NonNegative(), lambda z: 0.5 * z, 0),
    "AsymmetricL1 + L2": (AsymmetricL1(0.5, 0.2) + L2(0.3), lambda z: np.maximum(0.5 * z, -0.2 * z) + 0.3 * z**2, -4),
}


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("step", [0.4, 2.0])
def test_joint_prox_against_a_grid(x64, name, step):
    """The objective is convex with curvature >= 1: the best of a grid of spacing h is within h of the minimiser."""
    penalty, definition, low = SUMS[name]
    grid = np.linspace(low, 4, 100 * (4 - low) + 1)
    best = grid[np.argmin((grid - V[:, None]) ** 2 / 2 + step * definition(grid), axis=1)]
    z = np.asarray(penalty.prox(jnp.asarray(V), step))
    np.testing.assert_allclose(z, best, atol=0.01)
    np.testing.assert_allclose(penalty(jnp.asarray(z)), definition(z).sum(), rtol=1e-14)
    assert low < 0 or np.isposinf(penalty(jnp.asarray(V)))


def test_asymmetric_sides():
    """Equal strengths are L1; a path multiplies both; one strength may be none."""
    w = jnp.asarray(V, jnp.float32)
    np.testing.assert_array_equal(AsymmetricL1(0.5, 0.5).prox(w), L1(0.5).prox(w))
    penalty = AsymmetricL1(0.5, jnp.array(0.25))
    for member in (2 * penalty, penalty.at(2.0)):
        assert (float(member.positive), float(member.negative)) == (1, 0.5)
    one_sided = AsymmetricL1(0.5, 0.0)
    np.testing.assert_array_equal(one_sided.prox(w)[:4], w[:4])
    assert one_sided.free(w).tolist() == [False] * 8
    assert float(AsymmetricL1(2.0, 1.0).lambda_max(jnp.array([-3.0, 1.0]))) == 1.5
    assert penalty.formula("λ") == "λ·0.5·Σw₊ + λ·0.25·Σ(−w)₊"


def test_asymmetric_odd_input():
    assert np.isnan(AsymmetricL1().prox(jnp.array([jnp.nan]))[0])
    assert np.isnan(AsymmetricL1().subdiff_distance(jnp.array([jnp.nan]), jnp.zeros(1)))
    assert AsymmetricL1().prox(jnp.zeros(0)).shape == (0,)
    np.testing.assert_allclose(AsymmetricL1(1e30, 2e30).prox(jnp.array([3e30, -3e30])), [2e30, -1e30], rtol=1e-6)
    np.testing.assert_array_equal(jax.jacrev(AsymmetricL1(0.0, 0.0).prox)(jnp.zeros(2)), np.eye(2))
    with pytest.raises(ValueError, match="AsymmetricL1: negative must be finite and >= 0, got -1"):
        AsymmetricL1(1.0, -1.0)
