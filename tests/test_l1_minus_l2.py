"""L1 minus L2: the prox against all stationary points, and weights of very different size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import L1MinusL2


def objective(x, v, lam):
    return ((x - v) ** 2).sum() / 2 + lam * (np.abs(x).sum() - np.sqrt((x**2).sum()))


def stationary_points(v, lam):
    """Of ½‖x − v‖² + lam·(‖x‖₁ − ‖x‖₂) with the signs of v, on the k largest entries: ``x·(1 − lam/r) = |v| − lam`` with r = ‖x‖."""
    order = np.argsort(-np.abs(v))
    yield 0 * v
    for k in range(1, v.size + 1):
        z = np.abs(v[order[:k]]) - lam
        for sign in (1, -1):
            if np.all(sign * z > 0) and (r := lam + sign * np.sqrt((z**2).sum())) > 0:
                x = 0 * v
                x[order[:k]] = np.sign(v[order[:k]]) * z * r / (r - lam)
                yield x


@pytest.mark.parametrize("lam", [0.01, 0.7, 1.9, 2.4, 100.0])
def test_prox_is_the_best_stationary_point(x64, lam):
    """Objectives agree to a few roundings of ½‖v‖². One entry on its own is stationary where r − lam = |v| − lam, whatever lam is."""
    for seed in range(10):
        v = np.random.default_rng(seed).normal(size=12)
        z = np.asarray(L1MinusL2(lam).prox(jnp.asarray(v)))
        best = min(objective(x, v, lam) for x in stationary_points(v, lam))
        assert objective(z, v, lam) <= best + 1e-14 * v @ v


def test_prox_of_levels_keeps_one(x64):
    """Of equal weights below the threshold the first stays; above it all do."""
    assert L1MinusL2(1.0).prox(jnp.array([0.5, -0.5, 0.5])).tolist() == [0.5, 0, 0]
    assert L1MinusL2(1.0).prox(jnp.array([0.0, -1.0, 1.0])).tolist() == [0, -1, 0]
    np.testing.assert_allclose(L1MinusL2(1.0).prox(jnp.array([2.0, -2.0])), np.array([1, -1]) * (1 + 0.5**0.5), rtol=1e-15)


def test_small_weights_beside_a_large_one(x64):
    """‖w‖₁ − ‖w‖₂ = ε − ε²/2 + … for (1, ε): the plain difference would round to 1e-16."""
    assert float(L1MinusL2(1.0)(jnp.array([1.0, 1e-12]))) == pytest.approx(1e-12, rel=1e-11)
    assert float(L1MinusL2(1.0)(jnp.array([0.0, -7.3, 0.0]))) == 0


@pytest.mark.slow
def test_derivatives_at_size(x64):
    """Against central differences, with a step of 1e-6: about 1e-9."""
    rng = np.random.default_rng(1)
    v, u, du = (jnp.asarray(rng.normal(size=300)) for _ in range(3))

    @jax.jit
    def prox(v, lam):
        return L1MinusL2(lam).prox(v, 0.6)

    forward = jax.jvp(prox, (v, 0.9), (u, 0.3))[1]
    h = 1e-6
    np.testing.assert_allclose(forward, (prox(v + h * u, 0.9 + 0.3 * h) - prox(v - h * u, 0.9 - 0.3 * h)) / (2 * h), atol=1e-8)
    by_v, by_lam = jax.vjp(prox, v, 0.9)[1](du)
    assert float(by_v @ u + 0.3 * by_lam) == pytest.approx(float(forward @ du), rel=1e-12)
    np.testing.assert_array_equal(jax.jacrev(prox)(jnp.zeros(3), 0.0), np.eye(3))


def test_slices(x64):
    """Each column is a vector of its own; a column of one number costs nothing and is free."""
    w = jnp.array([[4.0, 0.4], [5.0, 0.6], [0.5, 0.0]])
    columns = L1MinusL2(1.0, axis=0)
    assert float(columns(w)) == pytest.approx(sum(float(L1MinusL2(1.0)(w[:, j])) for j in range(2)), rel=1e-15)
    np.testing.assert_array_equal(columns.prox(w), jnp.stack([L1MinusL2(1.0).prox(w[:, j]) for j in range(2)], axis=1))
    assert columns.free({"a": w, "b": jnp.ones((1, 2))})["b"].tolist() == [[True, True]]
    assert float(columns.lambda_max(jnp.ones((1, 2)))) == 0
    assert np.isposinf(columns.lambda_max(w))


def test_steepest_descent_at_zero(x64):
    """No direction descends faster than the distance says, and the one it points to does: checked on 10⁵ directions."""
    g = jnp.array([0.3, -1.4, 2.0])
    claimed = float(L1MinusL2(0.8).subdiff_distance(jnp.zeros(3), g))
    d = np.random.default_rng(0).normal(size=(100_000, 3))
    d /= np.sqrt((d**2).sum(1, keepdims=True))
    rates = -(d @ np.asarray(g)) - 0.8 * (np.abs(d).sum(1) - 1)
    assert rates.max() <= claimed <= rates.max() + 1e-3
    assert float(L1MinusL2(0.8).subdiff_distance(jnp.zeros(3), jnp.zeros(3))) == 0


@pytest.mark.slow
def test_huge_tiny_and_odd_input():
    """The prox of c·v at c·lam is c times that of v; float32 rounds a few times."""
    v = np.array([4.0, -5.0, 0.5], np.float32)
    base = np.asarray(L1MinusL2(1.0).prox(v))
    for c in (1e30, 1e-30):
        np.testing.assert_allclose(np.asarray(L1MinusL2(c).prox(jnp.asarray(c * v, jnp.float32)), float) / c, base, rtol=1e-6)
        assert float(L1MinusL2(1.0)(jnp.asarray(c * v, jnp.float32))) == pytest.approx(c * float(L1MinusL2(1.0)(v)), rel=1e-5)
    assert np.isnan(L1MinusL2(1.0).prox(jnp.array([1.0, jnp.nan, 0.1]))).any()
    assert np.isnan(L1MinusL2(1.0)(jnp.array([1.0, jnp.nan])))
    assert L1MinusL2(1.0).prox(jnp.zeros(0)).shape == (0,)
    assert float(L1MinusL2(1.0)(jnp.zeros(0))) == 0
    assert L1MinusL2(9.0).prox(jnp.array([0.1])).tolist() == [np.float32(0.1)]
