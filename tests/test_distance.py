"""Distances to sets: against formulas, and what they are for: constraints that are met from some price on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import L1, Box, Hyperplane, L2Ball, LogBarrier, MaxNorm, NonNegative, Simplex, SparseBall, UnknownOperation

V = np.random.default_rng(0).normal(size=(6, 20)) * np.geomspace(0.05, 5, 6)[:, None]


@jax.jit
def members(p, v, g):
    z = p.prox(v, 0.5)
    return p(v), p.grad(v), jax.grad(p)(v), z, p.subdiff_distance(z, (z - v) / 0.5), p.conjugate(g), p.lambda_max(g)


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.slow), np.float64])
def test_distance_to_a_ball(x64, dtype):
    """Lengths are all there is: d = ‖v‖ − 1.5, the prox shortens by 0.5·0.8 down to 1.5, the conjugate is 1.5·‖u‖ up to ‖u‖ = 0.8."""
    ball, tight = L2Ball(1.5).distance(0.8), 64 * np.finfo(dtype).eps
    for v in V.astype(dtype):
        size = np.linalg.norm(v)
        u = (0.7 * v / size).astype(dtype)
        value, grad, automatic, z, stationary, conjugate, _ = members(ball, v, u)
        slope = 0.8 * v / size if size > 1.5 else 0 * v
        np.testing.assert_allclose(value, 0.8 * max(size - 1.5, 0), rtol=tight, atol=tight)
        np.testing.assert_allclose(grad, slope, atol=tight)
        np.testing.assert_allclose(automatic, slope, atol=tight)
        np.testing.assert_allclose(z, v * min(1, max(1.5, size - 0.4) / size), atol=tight * size)
        assert stationary <= 4 * tight * size
        np.testing.assert_allclose(conjugate, 1.5 * 0.7, rtol=tight)
        assert np.isposinf(ball.conjugate(1.2 * u))


@pytest.mark.slow
def test_lambda_max_is_the_length_of_a_normal(x64):
    """Zero lies on the plane: −g is normal to it, of length 5·|t|, or it is not."""
    plane = Hyperplane([3.0, 4.0]).distance(2.0)
    np.testing.assert_allclose(plane.lambda_max(jnp.array([-3.0, -4.0])), 2.5)
    assert np.isposinf(plane.lambda_max(jnp.array([3.0, -4.0])))
    np.testing.assert_allclose(plane.subdiff_distance(jnp.zeros(2), jnp.array([-6.0, -8.0])), 8.0)
    np.testing.assert_allclose(plane.subdiff_distance(jnp.zeros(2), jnp.array([4.0, -3.0])), 5.0)


@pytest.mark.slow
def test_an_exact_penalty(x64):
    """½‖w − v‖² + lam·d(w) has its minimum in the set from lam = d(v) on, and none of a smaller lam."""
    v = V[5]
    z = Simplex().prox(v)
    far = float(np.linalg.norm(v - z))
    np.testing.assert_allclose(Simplex().distance(1.001 * far).prox(v), z, atol=1e-14)
    short = Simplex().distance(0.999 * far).prox(v)
    np.testing.assert_allclose(np.linalg.norm(short - z), 0.001 * far, rtol=1e-9)


@pytest.mark.slow
def test_several_leaves_and_what_is_no_number():
    """One distance for all; the bias has no part in it, and integers stay."""
    params = {"kernel": jnp.array([[3.0, 0.0], [4.0, 13.0]]), "bias": jnp.ones(2), "steps": 7}
    far = MaxNorm(1.0).on("**/kernel").distance(0.5)
    np.testing.assert_allclose(far(params), 0.5 * np.hypot(4.0, 12.0), rtol=1e-6)
    z = far.prox(params, 2.0)
    assert z["steps"] == 7
    np.testing.assert_array_equal(z["bias"], params["bias"])
    assert far.covers(params) == {"kernel": True, "bias": False, "steps": False}
    assert repr(far) == f"{MaxNorm(1.0).on('**/kernel')!r}.distance(0.5)"
    assert (2 * far).lam == 1.0


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: SparseBall(2).distance(), UnknownOperation, "no convex set"),
        (lambda: L1().distance(), UnknownOperation, "no convex set"),
        (lambda: LogBarrier().distance(), UnknownOperation, "no convex set"),
        (lambda: (L1() + NonNegative()).distance(), UnknownOperation, "no convex set"),
        (lambda: Box(0, 1).distance(-1.0), ValueError, "lam must be finite and >= 0"),
        (lambda: Box(0, 1).distance(np.ones(2)), TypeError, "lam must be one number"),
        (lambda: Box(0, 1).distance().prox(jnp.ones(2), jnp.ones(2)), UnknownOperation, "one step"),
    ],
)
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make()
