"""Each conversion is proved by the same optimum: the other library's solution is stationary for ours, and not for twice or half λ."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn
from sklearn import linear_model

from jaxreg import L1, L2, ElasticNet, conventions

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)) * np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.0])
Y = X @ np.array([1.5, -2.0, 0.0, 0.7, 0.0, 0.0]) + 3.0 + RNG.normal(size=60)
CLASSES = (np.median(Y) < Y + RNG.normal(size=60)).astype(float)


def optimality(problem, targets, coef, intercept):
    """The distance of a solution from stationarity, in units of the loss's gradient at zero: 0 at the optimum, 1 at zero."""
    params = {"w": jnp.asarray(coef), "b": jnp.asarray(intercept)}
    penalty = problem.penalty.on("w")

    def loss(p):
        return problem.loss(jnp.asarray(X) @ p["w"] + p["b"], jnp.asarray(targets))

    null = {"w": jnp.zeros(X.shape[1]), "b": jnp.asarray(np.mean(targets), float)}
    scale = math.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(jax.grad(loss)(null))))
    return float(penalty.subdiff_distance(params, jax.grad(loss)(params))) / scale


def logistic_regression(C, ratio):
    """scikit-learn 1.8 dropped ``penalty`` for ``l1_ratio`` alone; before, ``l1_ratio`` beside any but "elasticnet" warned."""
    version = tuple(int(part) for part in re.findall(r"\d+", sklearn.__version__)[:2])
    extra = {"l1_ratio": ratio}
    if version < (1, 8):
        name = {0.0: "l2", 1.0: "l1"}.get(ratio, "elasticnet")
        extra = {"penalty": name, "l1_ratio": ratio if name == "elasticnet" else None}
    if ratio == 0:
        return linear_model.LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000, **extra)
    return linear_model.LogisticRegression(C=C, solver="saga", tol=1e-12, max_iter=200_000, random_state=0, **extra)


def lasso_like(alpha, l1_ratio):
    return linear_model.ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-15, max_iter=100_000)


# (conversion of a strength, the estimator to fit, targets). Strengths that leave some coefficients at zero and some not.
SKLEARN = {
    "ridge": (lambda s: conventions.from_sklearn_ridge(20.0 * s), lambda: linear_model.Ridge(alpha=20.0, solver="cholesky"), Y),
    "lasso": (lambda s: conventions.from_sklearn_lasso(0.3 * s), lambda: linear_model.Lasso(alpha=0.3, tol=1e-15), Y),
    "elastic net": (lambda s: conventions.from_sklearn_elastic_net(0.5 * s, 0.7), lambda: lasso_like(0.5, 0.7), Y),
    "logistic l2": (lambda s: conventions.from_sklearn_logistic(0.2 / s), lambda: logistic_regression(0.2, 0.0), CLASSES),
    "logistic l1": (lambda s: conventions.from_sklearn_logistic(0.2 / s, "l1"), lambda: logistic_regression(0.2, 1.0), CLASSES),
    "logistic elastic net": (
        lambda s: conventions.from_sklearn_logistic(0.2 / s, "elasticnet", l1_ratio=0.6),
        lambda: logistic_regression(0.2, 0.6),
        CLASSES,
    ),
}


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learns_optimum_is_ours(x64, name):
    """1e-7: what scikit-learn's own stopping rules leave (measured 1e-9 for saga), far below the 1e-2 of a lost factor 2."""
    convert, estimator, targets = SKLEARN[name]
    fitted = estimator().fit(X, targets)
    coef, intercept = np.ravel(fitted.coef_), float(np.ravel(fitted.intercept_)[0])
    assert np.abs(coef).max() > 0.1
    assert optimality(convert(1.0), targets, coef, intercept) < 1e-7
    for factor in (0.5, 2.0):
        assert optimality(convert(factor), targets, coef, intercept) > 1e-2


@pytest.mark.parametrize("wrong", [0.3, 0.4])
def test_another_l1_ratio_is_another_optimum(x64, wrong):
    """l1_ratio and its complement are told apart: 0.7 fitted, neither 0.3 nor 0.4 fits."""
    fitted = lasso_like(0.5, 0.7).fit(X, Y)
    assert optimality(conventions.from_sklearn_elastic_net(0.5, wrong), Y, fitted.coef_, fitted.intercept_) > 1e-2


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_glmnet_gaussian(x64, alpha):
    """glmnet's documented objective on y/s, minimised by scikit-learn's ElasticNet (another program than ours), mapped back by s."""
    lam, s = 0.9, np.std(Y)
    scaled = lasso_like(lam / s, alpha) if alpha else linear_model.Ridge(alpha=len(Y) * lam / s, solver="cholesky")
    fitted = scaled.fit(X, Y / s)
    coef, intercept = s * fitted.coef_, s * fitted.intercept_
    assert optimality(conventions.from_glmnet_gaussian(lam, alpha, y_sd=s), Y, coef, intercept) < 1e-7
    assert optimality(conventions.from_glmnet_gaussian(2 * lam, alpha, y_sd=s), Y, coef, intercept) > 1e-2
    if alpha < 1:  # forgetting the scale of y is what the conversion is there to prevent
        assert optimality(conventions.from_glmnet_gaussian(lam, alpha), Y, coef, intercept) > 1e-2


def test_glmnet_ridge_as_its_users_know_it(x64):
    """The recipe handed down in R: ``glmnet(alpha=0, lambda = sd(y)·λ/n)`` is the textbook ridge ``SSE + λ·Σw²``."""
    lam, s, n = 20.0, np.std(Y), len(Y)
    fitted = linear_model.Ridge(alpha=lam, solver="cholesky").fit(X, Y)
    problem = conventions.from_glmnet_gaussian(s * lam / n, alpha=0.0, y_sd=s)
    assert optimality(problem, Y, fitted.coef_, fitted.intercept_) < 1e-7


def test_glmnet_penalty_factors_sum_to_p(x64):
    """Factors that sum to 8.5 on 6 columns: the fit with λ·6/8.5 on each, by scikit-learn on columns divided by their factor."""
    factors = np.array([0.5, 1.0, 3.0, 1.0, 2.0, 1.0])
    ours = conventions.from_glmnet_penalty_factor(factors)
    assert ours.sum() == pytest.approx(6, rel=1e-15)
    np.testing.assert_allclose(ours / ours[1], factors, rtol=1e-15)
    scaled = linear_model.Lasso(alpha=0.3 * 6 / 8.5, tol=1e-15, max_iter=100_000).fit(X / factors, Y)
    coef = scaled.coef_ / factors
    problem = conventions.from_sklearn_lasso(0.3)
    assert optimality(problem._replace(penalty=L1(0.3 * ours)), Y, coef, scaled.intercept_) < 1e-7
    assert optimality(problem._replace(penalty=L1(0.3 * factors)), Y, coef, scaled.intercept_) > 1e-2


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_weight_decay_in_the_gradient(x64, optimizer):
    """optax.add_decayed_weights(d), like PyTorch's SGD and Adam, adds d·w."""
    w, g = jnp.asarray([1.0, -2.0, 0.5]), jnp.asarray([0.3, 0.1, -1.0])
    tx = optax.add_decayed_weights(0.06)
    theirs, _ = tx.update(g, tx.init(w), w)
    ours = g + conventions.from_weight_decay(0.06, optimizer).grad(w)
    np.testing.assert_allclose(ours, theirs, rtol=1e-15)


def test_weight_decay_beside_the_gradient(x64):
    """optax.adamw's decay is lr·d·w: the difference to adam in one step."""
    w, g, lr, d = jnp.asarray([1.0, -2.0, 0.5]), jnp.asarray([0.3, 0.1, -1.0]), 0.1, 0.06
    with_decay, without = optax.adamw(lr, weight_decay=d), optax.adam(lr)
    a, _ = with_decay.update(g, with_decay.init(w), w)
    b, _ = without.update(g, without.init(w), w)
    # The subtraction of two updates of size lr costs their rounding, relative to a decay of size lr·d·w.
    np.testing.assert_allclose(b - a, lr * conventions.from_weight_decay(d, "adamw").grad(w), rtol=1e-12)


def test_weight_decay_round_trip():
    assert conventions.to_weight_decay(conventions.from_weight_decay(0.06)) == 0.06
    per_layer = {"a": 0.5, "b": 0.25}
    assert conventions.to_weight_decay(conventions.from_weight_decay(per_layer)) == per_layer
    for other in (L1(1.0), ElasticNet(1.0, 0.0), L2(1.0).on("a")):
        with pytest.raises(ValueError, match="only L2"):
            conventions.to_weight_decay(other)


def test_keras_values(x64):
    """keras.regularizers: ``l1 * sum(abs(x))``, ``l2 * sum(square(x))`` and their sum."""
    w = np.array([[1.0, -2.0], [0.5, 4.0]])
    absolute, square = np.sum(np.abs(w)), np.sum(w * w)
    assert float(conventions.from_keras_l1(0.3)(w)) == pytest.approx(0.3 * absolute, rel=1e-15)
    assert float(conventions.from_keras_l2(0.3)(w)) == pytest.approx(0.3 * square, rel=1e-15)
    assert float(conventions.from_keras_l1_l2(0.3, 0.2)(w)) == pytest.approx(0.3 * absolute + 0.2 * square, rel=1e-15)


def test_jaxopt_ridge_prox_is_half_of_what_it_documents(x64):
    """jaxopt's code ``x/(1 + scaling·l2reg)``, and a grid's minimiser of ``½(z − x)² + scaling·½·l2reg·z²``."""
    x, l2reg, scaling = 3.0, 0.7, 1.3
    ours = float(conventions.from_jaxopt_prox_ridge(l2reg).prox(x, scaling))
    assert ours == pytest.approx(x / (1 + scaling * l2reg), rel=1e-15)
    grid = np.linspace(-4, 4, 800_001)
    assert ours == pytest.approx(grid[np.argmin((grid - x) ** 2 / 2 + scaling * l2reg * grid**2 / 2)], abs=1e-5)


@pytest.mark.parametrize(
    ("convert", "arguments", "message"),
    [
        ("from_sklearn_ridge", (-1.0,), "from_sklearn_ridge: alpha must be finite and >= 0, got -1"),
        ("from_sklearn_ridge", (float("nan"),), "alpha must be finite"),
        ("from_sklearn_lasso", (-1.0,), "from_sklearn_lasso: alpha"),
        ("from_sklearn_elastic_net", (-1.0, 0.5), "from_sklearn_elastic_net: alpha"),
        ("from_sklearn_elastic_net", (1.0, 1.5), r"l1_ratio must be in \[0, 1\], got 1.5"),
        ("from_sklearn_elastic_net", (1.0, float("nan")), "l1_ratio"),
        ("from_sklearn_logistic", (0.0,), "C must be > 0, got 0"),
        ("from_sklearn_logistic", (-1.0,), "C must be > 0, got -1"),
        ("from_sklearn_logistic", (1.0, "ridge"), "penalty must be 'l2', 'l1', 'elasticnet' or None, got 'ridge'"),
        ("from_sklearn_logistic", (1.0, "elasticnet"), "l1_ratio belongs to"),
        ("from_sklearn_logistic", (1.0, "l2", 0.5), "l1_ratio belongs to"),
        ("from_sklearn_logistic", (1.0, "elasticnet", -0.5), "l1_ratio must be"),
        ("from_glmnet_gaussian", (-1.0,), "lam must be"),
        ("from_glmnet_gaussian", (1.0, 2.0), "alpha must be"),
        ("from_glmnet_gaussian", (1.0, 1.0, 0.0), "y_sd must be > 0"),
        ("from_glmnet_penalty_factor", ([0.0, 0.0],), "at least one factor"),
        ("from_glmnet_penalty_factor", ([1.0, -1.0],), "factors must be"),
        ("from_glmnet_penalty_factor", ([1.0, float("inf")],), "factors must be"),
        ("from_glmnet_penalty_factor", (1.0,), "must be a vector"),
        ("from_weight_decay", (-0.1,), "d must be"),
        ("from_weight_decay", (0.1, "lion"), "optimizer must be one of .* got 'lion'"),
        ("from_keras_l1", (-0.1,), "l1 must be"),
        ("from_keras_l2", (-0.1,), "l2 must be"),
        ("from_keras_l1_l2", (0.1, -0.1), "l2 must be"),
        ("from_jaxopt_prox_ridge", (-0.1,), "l2reg must be"),
    ],
)
def test_refuses(convert, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(conventions, convert)(*arguments)


def test_no_penalty_is_a_logistic_regression_too():
    assert float(conventions.from_sklearn_logistic(1.0, penalty=None).penalty(np.ones(3))) == 0


def test_strengths_may_be_traced(x64):
    """d/dC of the penalty at w: d/dC Σw²/(2C) = −Σw²/(2C²)."""
    w = jnp.asarray([1.0, 2.0])
    slope = jax.grad(lambda C: conventions.from_sklearn_logistic(C).penalty(w))(2.0)
    assert float(slope) == pytest.approx(-5 / 8, rel=1e-15)


def test_table_has_a_row_for_each_conversion_and_four_cells_in_each():
    lines = conventions.table().splitlines()
    assert len(lines) == 2 + len(conventions.TABLE)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in lines)
    libraries = {row.library for row in conventions.TABLE}
    assert libraries == {"scikit-learn", "glmnet", "PyTorch", "optax", "Keras", "jaxopt"}
