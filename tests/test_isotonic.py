"""Pooling of adjacent violators against scikit-learn's isotonic regression, values and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.isotonic import isotonic_regression

from jaxreg._penalties._isotonic import decreasing


def draws(kind, n=2000):
    noise = np.random.default_rng(0).normal(size=n)
    return {
        "noise": noise,
        "falling": np.sort(noise)[::-1],
        "rising": np.sort(noise),  # one pool
        "walk": np.cumsum(noise),
        "ties": np.round(noise),
        "concave": -(np.linspace(-1, 1, n) ** 2),  # a pool that takes its neighbours in one by one
        "steep prices": np.sort(np.abs(noise))[::-1] - 3 * np.linspace(1, 0, n),
        "level but for rounding": np.full(n, 0.1),
        "accelerating": np.cumsum(np.geomspace(1e-6, 1, n)) - np.geomspace(1e3, 1, n),
    }[kind].copy()


@pytest.mark.thin(2)
@pytest.mark.parametrize(
    "kind", ["noise", "falling", "rising", "walk", "ties", "accelerating", "concave", "steep prices", "level but for rounding"]
)
def test_against_sklearn(x64, kind):
    """A mean of n numbers rounds to n·ε of the largest at worst."""
    v = draws(kind)
    ours = decreasing(jnp.asarray(v), jnp.zeros(v.shape, bool))
    np.testing.assert_allclose(ours, isotonic_regression(v, increasing=False), rtol=0, atol=v.size * 2.2e-16 * np.abs(v).max())


def test_a_fence_separates(x64):
    v = draws("walk", 200)
    fence = np.isin(np.arange(200), [0, 50, 51, 180])
    parts = [isotonic_regression(part, increasing=False) for part in np.split(v, [50, 51, 180])]
    np.testing.assert_allclose(decreasing(jnp.asarray(v), jnp.asarray(fence)), np.concatenate(parts), atol=1e-12)


@pytest.mark.slow
def test_derivatives_are_means_over_pools(x64):
    """Against central differences, which are exact but for rounding where the pools stay: 1e-16/1e-6."""
    v, u = jnp.asarray(draws("noise", 50)), jnp.asarray(draws("walk", 50))
    none = jnp.zeros(50, bool)
    forward = jax.jvp(lambda x: decreasing(x, none), (v,), (u,))[1]
    expected = (decreasing(v + 1e-6 * u, none) - decreasing(v - 1e-6 * u, none)) / 2e-6
    np.testing.assert_allclose(forward, expected, atol=1e-8)
    backward = jax.grad(lambda x: decreasing(x, none) @ u)(v)
    np.testing.assert_allclose(backward @ u, forward @ u, rtol=1e-12)


def test_empty_and_single():
    for n in (0, 1):
        np.testing.assert_array_equal(decreasing(jnp.ones(n), jnp.zeros(n, bool)), np.ones(n))
