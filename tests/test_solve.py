"""``solve``: solvers × problems against closed forms and peers; derivatives of the answer against finite differences."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso

import jaxreg
from jaxreg._solvers import Problem
from jaxreg._solvers._solve import METHODS

from . import reference


def half_squares(w, X, y):
    return 0.5 * jnp.sum((X @ w - y) ** 2)


@pytest.fixture
def diabetes(x64):
    X, y = load_diabetes(return_X_y=True)
    return jnp.asarray(X), jnp.asarray(y - y.mean())


@pytest.mark.thin(3)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_ridge(diabetes, method):
    X, y = diabetes
    answer = jaxreg.solve(half_squares, jaxreg.L2(0.5), jnp.zeros(10), X, y, method=method, tol=1e-7)
    exact = jnp.linalg.solve(X.T @ X + jnp.eye(10), X.T @ y)
    assert bool(answer.converged)
    # The error is at most the gradient's norm over the smallest curvature, 1 + λ_min(XᵀX) > 1.
    np.testing.assert_allclose(answer.params, exact, atol=float(1e-7 * jnp.linalg.norm(X.T @ y)))
    np.testing.assert_allclose(answer.value, half_squares(exact, X, y) + 0.5 * exact @ exact, rtol=1e-12)


@pytest.mark.thin(3)
@pytest.mark.parametrize("method", METHODS)
def test_one_contract_for_every_solver(diabetes, method):
    X, y = diabetes
    problem = Problem(lambda w: half_squares(w, X, y), jaxreg.L2(0.5))
    solver = METHODS[method]
    state = solver.init(problem, jnp.zeros(10))
    values = []
    for _ in range(5):
        state, info = solver.step(problem, state)
        values.append(float(info.value))
        np.testing.assert_allclose(info.value, problem.total(state.params), rtol=1e-12)
        slope = jax.grad(problem.total)(state.params)
        np.testing.assert_allclose(info.optimality, jnp.linalg.norm(slope), rtol=1e-9)
    assert values == sorted(values, reverse=True)


def test_lasso_reproduces_the_published_coefficients(diabetes):
    X, y = diabetes
    answer = jaxreg.solve(half_squares, jaxreg.L1(20.0), jnp.zeros(10), X, y, tol=1e-10)
    np.testing.assert_allclose(answer.params, reference.DIABETES_AT_20, atol=1e-5)
    assert (answer.params == 0).sum() == 3


def test_any_pytree_with_passengers(x64):
    def loss(params, x):
        return jnp.sum((params["f"](params["a"]) - x) ** 2) + (params["b"] - 1) ** 2

    init = {"a": jnp.zeros(3), "b": 0.0, "count": 3, "f": jnp.asarray, "none": None}
    answer = jaxreg.solve(loss, jaxreg.L1(0.5).on("a"), init, jnp.array([1.0, 0.1, -2.0]))
    np.testing.assert_allclose(answer.params["a"], [0.75, 0.0, -1.75], atol=1e-8)
    np.testing.assert_allclose(answer.params["b"], 1.0, atol=1e-8)
    assert answer.params["count"] == 3
    assert answer.params["f"] is jnp.asarray


def test_logistic_loss_with_groups_is_stationary(x64):
    rng = np.random.default_rng(0)
    X, labels = jnp.asarray(rng.normal(size=(80, 6))), jnp.asarray(rng.integers(0, 2, 80))
    penalty = jaxreg.GroupLasso(2.0, groups=[0, 0, 1, 1, 2, 2]) + jaxreg.L1(0.5)

    def loss(params, X, y):
        return jaxreg.losses.Logistic()(X @ params["w"] + params["b"], y)

    answer = jaxreg.solve(loss, penalty.on("w"), {"w": jnp.zeros(6), "b": 0.0}, X, labels)
    slope = jax.grad(loss)(answer.params, X, labels)
    assert float(penalty.on("w").subdiff_distance(answer.params, slope)) < 1e-6
    assert bool(answer.converged)


def test_constraints(x64):
    target = jnp.array([2.0, -1.0, 0.3])
    answer = jaxreg.solve(lambda w: jnp.sum((w - target) ** 2), jaxreg.Box(-0.5, 0.5), jnp.zeros(3))
    np.testing.assert_allclose(answer.params, [0.5, -0.5, 0.3], atol=1e-8)
    outside = jaxreg.solve(lambda w: jnp.sum((w - target) ** 2), jaxreg.NonNegative(), -jnp.ones(3))
    np.testing.assert_allclose(outside.params, [2.0, 0.0, 0.3], atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("lam", [20.0, 300.0])
def test_derivative_with_respect_to_lambda(diabetes, lam):
    X, y = diabetes

    def answer(lam):
        return jaxreg.solve(half_squares, jaxreg.L1(lam), jnp.zeros(10), X, y, tol=1e-11).params

    w = answer(lam)
    support = np.flatnonzero(w)
    # REFERENCE: dw_A/dλ = −(X_AᵀX_A)⁻¹ s_A on a fixed support, and 0 off it.
    expected = np.zeros(10)
    expected[support] = -np.linalg.solve(X[:, support].T @ X[:, support], np.sign(w[support]))
    np.testing.assert_allclose(jax.jacfwd(answer)(lam), expected, atol=1e-9)
    np.testing.assert_allclose(jax.jacrev(answer)(lam), expected, atol=1e-9)


def test_the_scale_of_the_loss_does_not_matter(x64):
    for scale in (1e-9, 1.0, 1e9):
        answer = jaxreg.solve(lambda w, scale=scale: scale * jnp.sum((w - 1) ** 2), jaxreg.L1(scale), jnp.zeros(3))
        np.testing.assert_allclose(answer.params, 0.5, atol=1e-7)
        assert bool(answer.converged)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [jaxreg.L2, jaxreg.L1])
def test_derivative_of_many_parameters_is_solved_for_iteratively(x64, monkeypatch, penalty):
    import jaxreg._solvers._solve as module

    monkeypatch.setattr(module, "_DENSE", 10)
    d, y = jnp.linspace(1, 3, 40), jnp.linspace(-2, 2, 40)

    def total(lam):
        return jnp.sum(jaxreg.solve(lambda w, y: 0.5 * jnp.sum(d * (w - y) ** 2), penalty(lam), jnp.zeros(40), y).params ** 2)

    # By hand: L2 gives w = d·y/(d + 2λ), L1 soft thresholding at λ/d.
    if penalty is jaxreg.L2:
        expected = jnp.sum(2 * (d * y) ** 2 / (d + 0.6) ** 3 * -2)
    else:
        w = jnp.sign(y) * jnp.maximum(jnp.abs(y) - 0.3 / d, 0)
        expected = jnp.sum(2 * w * -jnp.sign(w) / d)
    np.testing.assert_allclose(jax.grad(total)(0.3), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jacfwd(total)(0.3), expected, rtol=1e-6)


@pytest.mark.slow
def test_derivative_with_respect_to_data_against_differences(diabetes):
    X, y = diabetes

    def total(y, penalty):
        return jnp.sum(jaxreg.solve(half_squares, penalty, jnp.zeros(10), X, y, tol=1e-12).params ** 2)

    for penalty in (jaxreg.ElasticNet(50.0, 0.7), jaxreg.L2(0.3), jaxreg.GroupLasso(60.0, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])):
        direction = jnp.sin(jnp.arange(y.size))
        slope = jax.grad(total)(y, penalty) @ direction
        difference = (total(y + 1e-3 * direction, penalty) - total(y - 1e-3 * direction, penalty)) / 2e-3
        np.testing.assert_allclose(slope, difference, rtol=1e-5)


def test_vmap_over_lambda_is_the_loop(diabetes):
    X, y = diabetes
    lams = jnp.array([400.0, 100.0, 20.0])
    together = jax.vmap(lambda lam: jaxreg.solve(half_squares, jaxreg.L1(lam), jnp.zeros(10), X, y).params)(lams)
    apart = [jaxreg.solve(half_squares, jaxreg.L1(float(lam)), jnp.zeros(10), X, y).params for lam in lams]
    np.testing.assert_allclose(together, apart, atol=1e-4)
    peer = Lasso(alpha=20 / 442, fit_intercept=False, tol=1e-12, max_iter=10**6).fit(X, y)
    np.testing.assert_allclose(together[2], peer.coef_, atol=1e-4)


def test_float32_reaches_its_own_tolerance():
    X, y = load_diabetes(return_X_y=True)
    X, y = jnp.asarray(X, jnp.float32), jnp.asarray((y - y.mean()) / y.std(), jnp.float32)
    answer = jaxreg.solve(half_squares, jaxreg.L1(0.3), jnp.zeros(10), X, y)
    assert answer.params.dtype == jnp.float32
    assert bool(answer.converged)
    assert float(answer.optimality) <= 1e-5


def test_not_converged_is_said(diabetes):
    X, y = diabetes
    with pytest.warns(jaxreg.ConvergenceWarning, match="stopped after 3 steps"):
        answer = jaxreg.solve(half_squares, jaxreg.L1(20.0), jnp.zeros(10), X, y, max_steps=3)
    assert not bool(answer.converged)
    with pytest.warns(jaxreg.ConvergenceWarning):
        broken = jaxreg.solve(lambda w: jnp.sum(jnp.log(w)), jaxreg.L1(1.0), -jnp.ones(2))
    assert not bool(broken.converged)


def test_a_penalty_without_subdifferential_stops_on_its_prox(x64):
    class OnlyProx(jaxreg.Separable):
        lam: float = 1.0
        leaf_value = staticmethod(lambda w, lam: lam * jnp.abs(w))
        leaf_prox = staticmethod(lambda w, step, lam: jnp.sign(w) * jnp.maximum(jnp.abs(w) - step * lam, 0))

    answer = jaxreg.solve(lambda w: 0.5 * jnp.sum((w - 2) ** 2), OnlyProx(0.5), jnp.zeros(2))
    np.testing.assert_allclose(answer.params, [1.5, 1.5], atol=1e-8)
    assert bool(answer.converged)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "newton"}, "method must be one of"),
        ({"method": "lbfgs", "penalty": jaxreg.L1()}, "needs a smooth penalty"),
        ({"init": {"n": 3}}, "no floating-point leaf"),
        ({"penalty": 0.1}, "penalty must be a jaxreg penalty"),
        ({"penalty": jaxreg.GroupLasso(1.0, [0, 0]) + jaxreg.Box(0, 1)}, "prox of GroupLasso"),
    ],
)
def test_bad_input(changes, message):
    arguments = {"loss": lambda w: jnp.sum(w**2), "penalty": jaxreg.L2(), "init": jnp.zeros(2), **changes}
    with pytest.raises((ValueError, TypeError), match=message):
        inspect.unwrap(jaxreg.solve)(**arguments)
