"""The latent group lasso: its interior-point method against block coordinate descent, and its derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import GroupLasso, OverlappingGroupLasso, solve

# A chain of overlaps, a group inside another, and two groups of the same numbers.
GROUPS = ((0, 1, 2), (2, 3, 4), (4, 5), (5, 6, 7, 8), (7, 8), (8, 9), (8, 9))
W = np.array([1.2, -0.7, 0.4, 0.9, 0.0, -0.3, 1.5, -0.8, 0.05, 0.3])
PENALTY = OverlappingGroupLasso(0.7, GROUPS)


def decomposition(w, threshold, weights, sweeps=5000):
    """The parts v_g of the prox: each in turn the block soft thresholding of what the others leave of w, from the definition."""
    parts = np.zeros((len(GROUPS), w.size))
    for _ in range(sweeps):
        old = parts.copy()
        for g, group in enumerate(GROUPS):
            left = np.zeros(w.size)
            left[list(group)] = (w - parts.sum(0) + parts[g])[list(group)]
            size = np.linalg.norm(left)
            parts[g] = left * max(0, 1 - threshold * weights[g] / size) if size else 0
        if np.abs(parts - old).max() < 1e-16:
            break
    return parts


@pytest.fixture(scope="module")
def prox():
    return jax.jit(lambda w, step, p: p.prox(w, step))


@pytest.mark.slow
@pytest.mark.parametrize("step", [0.05, 0.4, 1.0])
def test_prox_and_value(step, prox, x64):
    """Both to 1e-13: at the prox its parts are the best decomposition, and so their price is the value there."""
    weights = np.sqrt([len(g) for g in GROUPS])
    parts = decomposition(W, 0.7 * step, weights)
    z = prox(jnp.asarray(W), step, PENALTY)
    np.testing.assert_allclose(z, parts.sum(0), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(z == 0, parts.sum(0) == 0)
    price = 0.7 * np.sum(weights * np.linalg.norm(parts, axis=1))
    assert float(PENALTY(jnp.asarray(parts.sum(0)))) == pytest.approx(price, rel=1e-13)


@pytest.mark.slow
def test_value_is_the_support_function_of_the_dual_ball(x64):
    """The gradient is in the ball, and ⟨gradient, w⟩ is the value: no point of the ball does better, by Cauchy and Schwarz in each part."""
    u = np.asarray(PENALTY.grad(jnp.asarray(W)))
    assert max(np.linalg.norm(u[list(g)]) / np.sqrt(len(g)) for g in GROUPS) <= 0.7 * (1 + 1e-13)
    assert float(PENALTY(jnp.asarray(W))) == pytest.approx(u @ W, rel=1e-13)
    assert float(PENALTY.conjugate(jnp.asarray(u * (1 - 1e-12)))) == 0
    assert float(PENALTY.conjugate(jnp.asarray(u * 1.01))) == np.inf


@pytest.mark.slow
def test_disjoint_groups_are_a_group_lasso(x64):
    p, q = OverlappingGroupLasso(0.7, ((0, 1), (2,), (3, 4))), GroupLasso(0.7, [0, 0, 1, 2, 2])
    w = jnp.array([1.0, -2.0, 0.3, 0.0, 0.0])
    assert float(p(w)) == pytest.approx(float(q(w)), rel=1e-14)
    np.testing.assert_allclose(p.prox(w), q.prox(w), atol=1e-14)
    assert float(p.lambda_max(w)) == pytest.approx(float(q.lambda_max(w)), rel=1e-14)
    assert p.support(w).tolist() == q.support(w).tolist()


@pytest.mark.slow
def test_derivatives(prox, x64):
    """Of the prox in w, λ, weights and step, and of the gradient, against central differences: rounding 1e-15/1e-6."""
    u = np.random.default_rng(0).normal(size=W.size)
    weights = np.sqrt([len(g) for g in GROUPS])
    turn = np.random.default_rng(1).normal(size=len(GROUPS))
    turn[-1] = turn[-2]  # of two groups of the same numbers the cheaper takes all: a kink where they cost the same

    @jax.jit
    def moved(h):
        p = PENALTY._with(lam=0.7 + 0.2 * h, weights=weights + 0.1 * h * turn)
        return jnp.concatenate([p.prox(W + h * u, 0.4 + 0.1 * h), p.grad(jnp.asarray(W) + h * u)])

    forward = jax.jvp(moved, (0.0,), (1.0,))[1]
    differences = (moved(1e-6) - moved(-1e-6)) / 2e-6
    np.testing.assert_allclose(forward, differences, atol=1e-7)
    v = np.random.default_rng(2).normal(size=forward.size)
    assert float(jax.grad(lambda h: moved(h) @ v)(0.0)) == pytest.approx(float(forward @ v), rel=1e-10)
    hessian = jax.hessian(PENALTY)(jnp.asarray(W))
    np.testing.assert_allclose(hessian, jax.jacobian(PENALTY.grad)(jnp.asarray(W)), atol=1e-10)


@pytest.mark.slow
def test_copies_solve_the_same_problem(x64):
    """Least squares on copies with a plain group lasso, and directly: minimisers of one strictly convex objective."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 10)) / np.sqrt(30), rng.normal(size=30) * 2
    p = PENALTY.at(0.4 * float(PENALTY.lambda_max(-X.T @ y)))

    def loss(v, design):
        return 0.5 * jnp.sum((design @ v - y) ** 2)

    copies = p.expand(jnp.asarray(X))
    apart = solve(loss, p.latent(), jnp.zeros(copies.shape[1]), copies, tol=1e-10)
    direct = solve(loss, p, jnp.zeros(10), jnp.asarray(X), tol=1e-10)
    assert bool(apart.converged)
    assert bool(direct.converged)
    np.testing.assert_allclose(p.collapse(apart.params), direct.params, atol=1e-8)
    assert float(apart.value) == pytest.approx(float(direct.value), rel=1e-12)
    assert 0 < np.sum(np.asarray(direct.params) == 0) < 10


@pytest.mark.slow
def test_extremes(prox):
    """Steps of 0 and beyond all norms; sizes whose squares leave float32; zero; NaN."""
    w = jnp.asarray(W, jnp.float32)
    np.testing.assert_array_equal(prox(w, 0.0, PENALTY), w)
    np.testing.assert_array_equal(prox(w, 1e-30, PENALTY), w)
    assert not np.any(prox(w, 1e30, PENALTY))
    assert not np.any(prox(0 * w, 0.3, PENALTY))
    assert np.isnan(prox(w.at[0].set(jnp.nan), 0.3, PENALTY)).all()
    plain = prox(w, 0.4, PENALTY)
    for size in (1e30, 1e-30):
        scaled = prox(w * np.float32(size), 0.4, PENALTY._with(lam=np.float32(0.7 * size)))
        np.testing.assert_allclose(scaled / np.float32(size), plain, atol=1e-5)  # some hundred roundings in float32


@pytest.mark.slow
def test_derivatives_at_zero_are_finite(x64):
    zero = jnp.zeros(10)
    assert not np.any(PENALTY.grad(zero))
    assert not np.any(jax.grad(PENALTY)(zero))
    assert not np.any(jax.jacobian(PENALTY.prox)(zero))
    np.testing.assert_array_equal(jax.jacobian(PENALTY._with(lam=0.0).prox)(zero), np.eye(10))


@pytest.mark.slow
def test_leaves_are_one_vector(x64):
    params = {"a": jnp.asarray(W[:4]).reshape(2, 2), "b": jnp.asarray(W[4:])}
    assert float(PENALTY(params)) == pytest.approx(float(PENALTY(jnp.asarray(W))), rel=1e-15)
    assert PENALTY.prox(params)["a"].shape == (2, 2)


def test_errors_say_what_to_do():
    for groups, match in (
        (((0, 1), (3,)), r"\[2\] are in none; give each a group"),
        ((), r"\[0\] are in none"),
        (((0, 1), (-1,)), "-1 is negative"),
        (((0, 0),), "names an index twice"),
    ):
        with pytest.raises(ValueError, match=match):
            OverlappingGroupLasso(1.0, groups)
    with pytest.raises(ValueError, match=r"weights must be > 0"):
        OverlappingGroupLasso(1.0, ((0, 1),), weights=[0.0])
    with pytest.raises(ValueError, match=r"weights must have shape \(1,\)"):
        OverlappingGroupLasso(1.0, ((0, 1),), weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="name 2 indices, but there are 3 parameters"):
        OverlappingGroupLasso(1.0, ((0, 1),))(jnp.ones(3))
