"""``path`` against scikit-learn, published numbers, closed forms and its own certificate recomputed in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge

import jaxreg
from jaxreg import ConvergenceWarning, losses
from jaxreg._path import _at_once, _follow

from . import reference
from .reference import made

HALF = losses.SquaredError("half_mean")


@pytest.fixture(scope="module")
def diabetes():
    data = load_diabetes()
    return data.data, data.target, data.feature_names


# --- published numbers -------------------------------------------------------------------------------------------------


def test_diabetes_coefficients_at_lambda_20(diabetes):
    X, y, _ = diabetes
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=[40.0])  # "sum" is twice ½·SSE, so λ = 2·20
    np.testing.assert_allclose(fit.coef[0], reference.DIABETES_AT_20, atol=5e-7)  # six printed decimals
    assert fit.nonzeros[0] == 7


def test_diabetes_knots_and_order_of_entry(diabetes):
    X, y, names = diabetes
    knots = 2 * reference.DIABETES_KNOTS[:-1]
    # Just inside a knot its feature is in (or s3 is out), just outside it is not yet.
    inside, outside = knots * (1 - 1e-6), knots * (1 + 1e-6)
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=np.concatenate([inside, outside]), tol=1e-12)
    nonzero = np.asarray(fit.coef)[::-1] != 0  # by increasing λ, as np.sort gives
    at = dict(zip(np.sort(np.concatenate([inside, outside])), nonzero, strict=True))
    events = [np.array(names)[at[i] != at[o]].tolist() for i, o in zip(inside, outside, strict=True)]
    assert events == [[name] for name in [*reference.DIABETES_ENTRY, "s3", "s3"]]
    assert not at[inside[10]][6]
    assert at[inside[11]][6]


def test_diabetes_least_squares_end(diabetes):
    X, y, _ = diabetes
    for penalty in (jaxreg.L1(), jaxreg.L2()):
        fit = jaxreg.path(X, y, penalty, lams=[0.0])
        np.testing.assert_allclose(fit.coef[0], reference.DIABETES_LEAST_SQUARES, atol=5e-6)
        assert np.isnan(fit.gap[0])
        assert fit.converged[0]
        assert "λ = 0" in fit.gap_reason


def test_leave_one_out_ridge():
    fit = jaxreg.path(reference.LOO_X, reference.LOO_Y, jaxreg.L2(), lams=reference.LOO_LAMS)
    assert fit.reordered
    np.testing.assert_allclose(fit.loo[::-1], reference.LOO_ERRORS, rtol=1e-8)
    assert fit.lams[np.argmin(fit.loo)] == 10


# --- the peers -----------------------------------------------------------------------------------------------------------


@pytest.mark.thin(2)
@pytest.mark.parametrize(("n", "p"), [(60, 7), (20, 35)])
@pytest.mark.parametrize("intercept", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_ridge_equals_scikit_learn(n, p, intercept):
    X, y = made(n, p)
    fit = jaxreg.path(X, y, jaxreg.L2(), lams=[1e-3, 1.0, 1e3], intercept=intercept)
    for lam, coef, b in zip(fit.lams, fit.coef, fit.intercept, strict=True):
        peer = Ridge(alpha=lam, fit_intercept=intercept, solver="svd").fit(X, y)
        np.testing.assert_allclose(coef, peer.coef_, atol=1e-10)
        np.testing.assert_allclose(b, peer.intercept_, atol=1e-10)
    assert fit.gap.max() < 1e-9


@pytest.mark.thin(4)
@pytest.mark.parametrize(("n", "p"), [(60, 7), (20, 35)])
@pytest.mark.parametrize("intercept", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
def test_lasso_and_elastic_net_equal_scikit_learn(n, p, intercept, l1_ratio):
    X, y = made(n, p)
    penalty = jaxreg.L1() if l1_ratio == 1 else jaxreg.ElasticNet(l1_ratio=l1_ratio)
    fit = jaxreg.path(X, y, penalty, loss=HALF, lams=8, intercept=intercept)
    assert fit.gap.max() < 1e-9
    assert fit.converged.all()
    for i in (0, 3, 7):
        model = Lasso(alpha=fit.lams[i]) if l1_ratio == 1 else ElasticNet(alpha=fit.lams[i], l1_ratio=l1_ratio)
        peer = model.set_params(fit_intercept=intercept, tol=1e-14, max_iter=1_000_000).fit(X, y)
        np.testing.assert_allclose(fit.coef[i], peer.coef_, atol=1e-7)
        np.testing.assert_allclose(fit.intercept[i], peer.intercept_, atol=1e-7)
    assert fit.nonzeros[0] == 0


@pytest.mark.slow
def test_logistic_equals_scikit_learn():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    fit = jaxreg.path(X, y, jaxreg.L2(), loss=losses.Logistic(), lams=[100.0, 1.0], tol=1e-13)
    for i in (0, 1):
        peer = LogisticRegression(C=1 / (2 * fit.lams[i]), solver="newton-cholesky", tol=1e-12).fit(X, y)
        np.testing.assert_allclose(fit.coef[i], peer.coef_[0], atol=1e-8)
        np.testing.assert_allclose(fit.intercept[i], peer.intercept_[0], atol=1e-8)
    sparse = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=[10.0])
    peer = LogisticRegression(C=0.1, l1_ratio=1, solver="saga", tol=1e-10, max_iter=20_000).fit(X, y)
    np.testing.assert_allclose(sparse.coef[0], peer.coef_[0], atol=1e-6)  # saga's own accuracy
    assert sparse.gap[0] < 1e-10


@pytest.mark.slow
def test_multinomial_equals_scikit_learn():
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    fit = jaxreg.path(X, y, jaxreg.L2(), loss=losses.Multinomial(), lams=[10.0, 0.5])
    assert fit.coef.shape == (2, 13, 3)
    for i in (0, 1):
        peer = LogisticRegression(C=1 / (2 * fit.lams[i]), solver="newton-cholesky", tol=1e-12).fit(X, y)
        np.testing.assert_allclose(fit.coef[i], peer.coef_.T, atol=1e-8)
        np.testing.assert_allclose(fit.predict(X, lam=fit.lams[i]), peer.predict_proba(X), atol=1e-8)
    sparse = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Multinomial(), lams=12)
    assert sparse.gap.max() < 1e-10
    assert sparse.nonzeros[0] == 0


def test_group_lasso_is_certified_and_takes_whole_groups(diabetes):
    X, y, _ = diabetes
    fit = jaxreg.path(X, y, jaxreg.GroupLasso(1.0, groups=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]), lams=20)
    assert fit.gap.max() < 1e-10
    zero = (fit.coef.reshape(20, 5, 2) == 0).sum(axis=2)
    assert set(np.unique(zero)) == {0, 2}


@pytest.mark.slow
def test_working_sets_for_wide_designs():
    X, y = made(50, 1200, noise=0.1)
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=HALF, lams=15)
    assert fit.gap.max() < 1e-10
    peer = Lasso(alpha=fit.lams[9], tol=1e-14, max_iter=1_000_000).fit(X, y)
    np.testing.assert_allclose(fit.coef[9], peer.coef_, atol=1e-7)


@pytest.mark.slow
def test_l2_logistic_with_more_features_than_a_working_set_holds():
    X, y = made(50, 1200)
    labels = (y > np.median(y)).astype(int)
    fit = jaxreg.path(X, labels, jaxreg.L2(), loss=losses.Logistic(), lams=[100.0, 1.0])
    assert fit.gap.max() < 1e-10
    peer = LogisticRegression(C=0.5, solver="lbfgs", tol=1e-12, max_iter=10_000).fit(X, labels)
    np.testing.assert_allclose(fit.coef[1], peer.coef_[0], atol=1e-6)  # lbfgs's own accuracy


# --- the certificate, recomputed from the definition ------------------------------------------------------------------------


def test_gap_of_the_lasso_recomputed_in_numpy(diabetes):
    X, y, _ = diabetes
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=[300.0], tol=1e-3)
    wrong = fit.coef[0] * 1.05  # not the solution, so that the gap is far from rounding
    X0, y0 = X - X.mean(0), y - y.mean()
    residual = y0 - X0 @ wrong
    theta = 2 * residual * min(1, 300 / np.abs(2 * X0.T @ residual).max())
    primal = residual @ residual + 300 * np.abs(wrong).sum()
    dual = theta @ y0 - theta @ theta / 4
    expected = (primal - dual) / (y0 @ y0)
    from jaxreg._dtypes import x64_scope
    from jaxreg._path._certificate import certify, free_columns, null_model
    from jaxreg._path._inputs import check_problem

    with x64_scope():
        options = dict.fromkeys(["loss", "sample_weight", "offset", "penalty_factor", "lower", "upper"])
        problem = check_problem(X, y, jaxreg.L1(), intercept=True, standardize=False, **options)
        ones, A = jnp.ones(len(y)), free_columns(problem.setup, problem.design.X, problem.free)
        null = null_model(problem.setup, problem.design, ones, jnp.ones(10), A, jaxreg.L1())
        b = jnp.array([[y.mean() - X.mean(0) @ wrong]])
        found = certify(
            problem.setup,
            problem.design,
            ones,
            jnp.ones(10),
            A,
            jaxreg.L1(),
            null,
            jnp.array([300.0]),
            jnp.array([wrong]),
            b,
            jnp.array([wrong]),
            True,
        )
    assert expected > 1e-4
    np.testing.assert_allclose(found.gap[0], expected, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [losses.SquaredError(), losses.Logistic(), losses.Multinomial()], ids=lambda loss: type(loss).__name__)
def test_at_lambda_max_all_is_zero_and_just_below_not(loss):
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    y = y if loss.vector else (y > 0).astype(int)
    top = jaxreg.path(X, y, jaxreg.L1(), loss=loss, lams=12).lams[0]
    around = jaxreg.path(X, y, jaxreg.L1(), loss=loss, lams=[2 * top, top, top * (1 - 1e-5)])
    assert around.nonzeros.tolist()[:2] == [0, 0]
    assert around.nonzeros[2] >= 1


# --- options: each changes the answer as its definition says ------------------------------------------------------------------


@pytest.mark.slow
def test_reductions_rescale_lambda_only(diabetes):
    X, y, _ = diabetes
    total = jaxreg.path(X, y, jaxreg.L1(), lams=[40.0])
    mean = jaxreg.path(X, y, jaxreg.L1(), loss=losses.SquaredError("mean"), lams=[40.0 / 442])
    half = jaxreg.path(X, y, jaxreg.L1(), loss=HALF, lams=[20.0 / 442])
    np.testing.assert_allclose(mean.coef, total.coef, atol=1e-9)
    np.testing.assert_allclose(half.coef, total.coef, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [jaxreg.L2(), jaxreg.L1(), jaxreg.ElasticNet()], ids=lambda p: type(p).__name__)
def test_integer_weights_are_repeated_rows(penalty):
    X, y = made(40, 5)
    v = np.random.default_rng(1).integers(0, 3, 40)
    weighted = jaxreg.path(X, y, penalty, lams=[5.0], sample_weight=v)
    repeated = jaxreg.path(np.repeat(X, v, axis=0), np.repeat(y, v), penalty, lams=[5.0])
    np.testing.assert_allclose(weighted.coef, repeated.coef, atol=1e-10)
    np.testing.assert_allclose(weighted.intercept, repeated.intercept, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [jaxreg.L2(), jaxreg.L1()], ids=lambda p: type(p).__name__)
def test_standardize_is_scaling_by_hand(penalty):
    X, y = made(60, 7)
    X = X * np.logspace(-3, 3, 7)
    inside = jaxreg.path(X, y, penalty, lams=[10.0, 1.0], standardize=True)
    by_hand = jaxreg.path((X - X.mean(0)) / X.std(0), y, penalty, lams=[10.0, 1.0])
    np.testing.assert_allclose(inside.coef * X.std(0), by_hand.coef, atol=1e-9)
    assert "w·sd" in inside.formula
    assert inside.loo is None
    assert inside.gap.max() < 1e-9


@pytest.mark.slow
def test_offset_shifts_the_target_of_least_squares_and_the_odds():
    X, y = made(60, 7)
    shift = np.random.default_rng(2).normal(size=60)
    for penalty in (jaxreg.L2(), jaxreg.L1()):
        a = jaxreg.path(X, y, penalty, lams=[5.0], offset=shift)
        b = jaxreg.path(X, y - shift, penalty, lams=[5.0])
        np.testing.assert_allclose(a.coef, b.coef, atol=1e-10)
    labels = (y > y.mean()).astype(int)
    # A constant offset is taken back by the intercept.
    a = jaxreg.path(X, labels, jaxreg.L1(), loss=losses.Logistic(), lams=[2.0], offset=np.full(60, 0.7))
    b = jaxreg.path(X, labels, jaxreg.L1(), loss=losses.Logistic(), lams=[2.0])
    np.testing.assert_allclose(a.coef, b.coef, atol=1e-9)
    np.testing.assert_allclose(a.intercept + 0.7, b.intercept, atol=1e-9)


@pytest.mark.slow
def test_penalty_factor_scales_columns_and_zero_frees_them():
    X, y = made(60, 7)
    factor = np.array([1.0, 2.0, 0.5, 1.0, 1.0, 3.0, 1.0])
    a = jaxreg.path(X, y, jaxreg.L1(), lams=[20.0], penalty_factor=factor)
    b = jaxreg.path(X / factor, y, jaxreg.L1(), lams=[20.0])
    np.testing.assert_allclose(a.coef * factor, b.coef, atol=1e-9)
    free = jaxreg.path(X, y, jaxreg.L1(), lams=30, penalty_factor=[0, 1, 1, 1, 1, 1, 1])
    assert free.gap.max() < 1e-10
    assert (free.coef[:, 0] != 0).all()
    alone = np.linalg.lstsq(np.c_[np.ones(60), X[:, 0]], y, rcond=None)[0]
    np.testing.assert_allclose([free.intercept[0], free.coef[0, 0]], alone, rtol=1e-9)


@pytest.mark.slow
def test_bounds_hold_and_are_optimal():
    from scipy.optimize import nnls

    X, y = made(60, 7)
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=20, lower=0.0)
    assert (fit.coef >= 0).all()
    assert fit.gap.max() < 1e-10
    X0, y0 = X - X.mean(0), y - y.mean()
    exact = nnls(np.r_[X0, 1e-9 * np.eye(7)], np.r_[y0, np.zeros(7)])[0]
    nearly = jaxreg.path(X, y, jaxreg.L1(), lams=[1e-5], lower=0.0)
    # λ = 1e-5 moves the coefficients by λ over twice the smallest eigenvalue of X0ᵀX0.
    np.testing.assert_allclose(nearly.coef[0], exact, atol=1e-5 / np.linalg.eigvalsh(X0.T @ X0)[0])
    capped = jaxreg.path(X, y, jaxreg.L2(), lams=[1.0], lower=-0.5, upper=0.5)
    assert np.abs(capped.coef).max() == 0.5
    # A bound on one side: what the dual point exceeds there is no excess.
    below = jaxreg.path(X, y, jaxreg.L1(), lams=[20.0, 1.0], upper=0.3)
    assert below.coef.max() == 0.3
    assert below.gap.max() < 1e-10
    assert "lower" in capped.formula


@pytest.mark.slow
def test_sums_of_penalties_are_the_elastic_net():
    X, y = made(60, 7)
    net = jaxreg.path(X, y, jaxreg.ElasticNet(2.0, l1_ratio=0.25), lams=[4.0])
    written_out = jaxreg.path(X, y, jaxreg.L1(0.5) + jaxreg.L2(0.75), lams=[4.0])
    np.testing.assert_allclose(net.coef, written_out.coef, atol=1e-10)


def test_a_warning_says_what_was_missed():
    """Of columns whose mean is a million times their spread, but for squared error."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(60, 5)) + 1e6
    with pytest.warns(ConvergenceWarning, match=r"worst gap \d.*, residual \d"):
        fit = jaxreg.path(Z, Z[:, 0] - 1e6 + rng.normal(size=60), jaxreg.L1(), loss=losses.Huber(), lams=10)
    assert not fit.converged.all()


@pytest.mark.parametrize("loss", [losses.SquaredError(), losses.Poisson()], ids=repr)
def test_a_boolean_target_is_numbers(loss):
    X, y = made(60, 7)
    options = {"loss": loss, "lams": [5.0, 1.0]}
    np.testing.assert_array_equal(
        jaxreg.path(X, y > 0, jaxreg.L1(), **options).coef, jaxreg.path(X, 1 * (y > 0), jaxreg.L1(), **options).coef
    )


def test_without_an_intercept_a_constant_target_is_explained():
    X, _ = made(60, 7)
    fit = jaxreg.path(X + 1, np.ones(60), jaxreg.L1(), intercept=False, lams=[1.0, 0.0])
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef[1], np.linalg.lstsq(X + 1, np.ones(60))[0], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rows", ["apart", "alike", pytest.param("many", marks=pytest.mark.slow)])
def test_ridge_of_classes_with_many_features(monkeypatch, rows, dtype):
    """Solved in the span of the rows; stationary by the definition: 2aⱼwⱼλ is Xᵀ(which class − its probability)."""
    rng = np.random.default_rng(0)
    n, p = (410, 400) if rows == "many" else (20, 400)
    X, y = rng.normal(size=(n, p)).astype(dtype), np.arange(n) % 3
    if rows == "alike":  # XXᵀ is singular to rounding
        X[1] = X[0] + dtype(1e-3 if dtype == np.float32 else 1e-7) * X[1]
    by_qr, called = _follow._by_qr, []
    monkeypatch.setattr(_follow, "_by_qr", lambda *given: called.append(1) or by_qr(*given))
    factor = rng.uniform(0.5, 2, p)
    fit = jaxreg.path(X, y, jaxreg.L2(), loss=losses.Multinomial(), lams=[2.0], penalty_factor=factor)
    assert fit.converged.all()
    assert bool(called) == (rows != "apart")
    eta = X @ fit.coef[0] + fit.intercept[0]
    share = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    # float32: sums of n products of columns of order one, and a gap of 1e-5 allows a residual of its root.
    atol = 1e-9 if dtype == np.float64 else 1e-2
    np.testing.assert_allclose(4.0 * factor[:, None] * fit.coef[0], X.T @ (np.eye(3)[y] - share), atol=atol)


@pytest.mark.slow
def test_several_targets():
    X, y = made(60, 7)
    Y = np.c_[y, -2 * y + X[:, 3]]
    for penalty in (jaxreg.L2(), jaxreg.L1()):
        both = jaxreg.path(X, Y, penalty, lams=[3.0, 1.0])
        assert both.coef.shape == (2, 7, 2)
        for t in (0, 1):
            alone = jaxreg.path(X, Y[:, t], penalty, lams=[3.0, 1.0])
            np.testing.assert_allclose(both.coef[:, :, t], alone.coef, atol=1e-9)


# --- ridge's own criteria ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("n", "p"), [(25, 4), (12, 20)])
def test_leave_one_out_by_leaving_one_out(n, p):
    X, y = made(n, p)
    v = np.random.default_rng(3).uniform(0.5, 2.0, n)
    fit = jaxreg.path(X, y, jaxreg.L2(), lams=[3.0], sample_weight=v)
    errors = []
    for i in range(n):
        rest = np.arange(n) != i
        peer = Ridge(alpha=3.0, solver="svd").fit(X[rest], y[rest], sample_weight=v[rest])
        errors.append((y[i] - peer.predict(X[i : i + 1])[0]) ** 2)
    np.testing.assert_allclose(fit.loo[0], np.average(errors, weights=v), rtol=1e-9)


@pytest.mark.thin(2)
def test_degrees_of_freedom_and_gcv_from_the_hat_matrix():
    X, y = made(25, 4)
    fit = jaxreg.path(X, y, jaxreg.L2(), lams=[3.0])
    X0 = X - X.mean(0)
    hat = X0 @ np.linalg.solve(X0.T @ X0 + 3 * np.eye(4), X0.T) + 1 / 25
    rss = np.sum((y - hat @ y) ** 2)
    np.testing.assert_allclose(fit.df[0], np.trace(hat), rtol=1e-12)
    np.testing.assert_allclose(fit.gcv[0], 25 * rss / (25 - np.trace(hat)) ** 2, rtol=1e-12)


@pytest.mark.slow
def test_ridge_is_stable_as_lambda_goes_to_zero():
    rng = np.random.default_rng(4)
    U, _ = np.linalg.qr(rng.normal(size=(40, 6)))
    V, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    d = np.logspace(0, -7, 6)  # condition number 1e7: its square is beyond what a Gram matrix resolves
    X = U * d @ V.T
    truth = rng.normal(size=6)
    fit = jaxreg.path(X, X @ truth, jaxreg.L2(), lams=[0.0, 1e-18], intercept=False)
    # Forward error of least squares: eps times the condition number.
    np.testing.assert_allclose(fit.coef[1], truth, atol=50 * 1e7 * np.finfo(float).eps)
    wide = jaxreg.path(X.T, truth, jaxreg.L2(), lams=[0.0], intercept=False, tol=1e-7)  # eps times 1e7
    np.testing.assert_allclose(wide.coef[0], np.linalg.pinv(X.T) @ truth, rtol=1e-6)


# --- hard designs -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_duplicated_and_constant_columns():
    X, y = made(60, 4)
    X = np.c_[X, X[:, 0], np.ones(60)]
    lasso = jaxreg.path(X, y, jaxreg.L1(), lams=30)
    assert lasso.gap.max() < 1e-10
    assert (lasso.coef[:, 5] == 0).all()
    for penalty in (jaxreg.ElasticNet(), jaxreg.L2()):
        fit = jaxreg.path(X, y, penalty, lams=10)
        assert fit.gap.max() < 1e-9
        np.testing.assert_allclose(fit.coef[:, 0], fit.coef[:, 4], atol=1e-8)


@pytest.mark.slow
def test_separable_classes_are_finite_and_flagged_only_at_zero():
    X = np.linspace(-1, 1, 20)[:, None]
    y = (X[:, 0] > 0).astype(int)
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=[1.0, 1e-2, 1e-6])
    assert np.isfinite(fit.coef).all()
    assert fit.converged.all()
    with pytest.warns(jaxreg.ConvergenceWarning, match="1 of 1 λ"):
        endless = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=[0.0])
    assert "separable" in endless.gap_reason
    assert np.isfinite(endless.coef).all()
    assert not endless.converged[0]


@pytest.mark.slow
def test_columns_of_very_different_scale():
    X, y = made(60, 5)
    X = X * np.array([1e-6, 1e-3, 1.0, 1e3, 1e6])
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=20)
    assert fit.converged.all()


@pytest.mark.slow
def test_an_unpenalised_column_of_any_scale():
    X, y = made(60, 5)
    factor = [0, 1, 1, 1, 1]
    plain = jaxreg.path(X, y, jaxreg.L1(), lams=10, penalty_factor=factor)
    X[:, 0] *= 1e-9
    tiny = jaxreg.path(X, y, jaxreg.L1(), lams=10, penalty_factor=factor)
    assert tiny.converged.all()
    np.testing.assert_allclose(tiny.null_loss, plain.null_loss, rtol=1e-9)
    np.testing.assert_allclose(tiny.coef * [1e-9, 1, 1, 1, 1], plain.coef, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [losses.Logistic("mean"), losses.Multinomial("mean")], ids=lambda loss: type(loss).__name__)
def test_a_small_lambda_from_a_cold_start_is_the_end_of_its_path(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 4))
    y = (X @ [3, 4, -3, 0.1] + 0.5 * rng.normal(size=20) > 0).astype(int)
    whole = jaxreg.path(X, y, jaxreg.L1(), loss=loss)
    alone = jaxreg.path(X, y, jaxreg.L1(), loss=loss, lams=[whole.lams[-1]])
    assert alone.converged.all()
    np.testing.assert_allclose(alone.loss_value[0], whole.loss_value[-1], rtol=1e-7)
    if loss.vector:  # two symmetric columns: Σ|w| leaves the split of a difference between them open
        alone, whole = (fit.coef[-1, :, 1] - fit.coef[-1, :, 0] for fit in (alone, whole))
    else:
        alone, whole = alone.coef[-1], whole.coef[-1]
    np.testing.assert_allclose(alone, whole, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_certificates_where_some_coordinates_are_not_curved():
    X, y = made(60, 7)
    factor = np.array([0.0, 1, 1, 1, 1, 1, 1])
    for penalty, options in [
        (jaxreg.L1() + jaxreg.L2(), {"penalty_factor": factor}),
        (jaxreg.L1() + jaxreg.L2(factor), {}),
        (jaxreg.ElasticNet(), {"penalty_factor": factor, "lower": -1.0, "upper": 2.0}),
        (jaxreg.L2() + jaxreg.L2(2.0), {}),
    ]:
        fit = jaxreg.path(X, y, penalty, lams=[20.0, 1.0], **options)
        assert fit.gap.max() < 1e-10
    one = jaxreg.path(X, y, jaxreg.L2(3.0), lams=[20.0, 1.0])
    np.testing.assert_allclose(jaxreg.path(X, y, jaxreg.L2() + jaxreg.L2(2.0), lams=[20.0, 1.0]).coef, one.coef, atol=1e-10)


@pytest.mark.slow
def test_nonnegative_least_squares():
    from scipy.optimize import nnls

    X, y = made(60, 7)
    fit = jaxreg.path(X, y, jaxreg.NonNegative(), lams=[1.0], intercept=False)
    np.testing.assert_allclose(fit.coef[0], nnls(X, y)[0], atol=1e-9)
    assert fit.converged.all()
    assert np.isnan(fit.gap[0]) == (fit.gap_reason is not None)


# --- the result ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_result_types_follow_the_input():
    X, y = made(30, 3)
    assert isinstance(jaxreg.path(X, y, jaxreg.L1(), lams=3).coef, np.ndarray)
    single = jaxreg.path(X.astype(np.float32), y.astype(np.float32), jaxreg.L1(), lams=3)
    assert single.coef.dtype == np.float32
    assert single.converged.all()
    on_device = jaxreg.path(jnp.asarray(X), jnp.asarray(y), jaxreg.L1(), lams=3)
    assert isinstance(on_device.coef, jax.Array)
    assert on_device.coef.dtype == jnp.float32
    double = jaxreg.path(X, y, jaxreg.L1(), lams=3)
    np.testing.assert_allclose(single.coef, double.coef, atol=1e-3 * np.abs(double.coef).max())
    integers = jaxreg.path((10 * X).astype(int), y.astype(int), jaxreg.L1(), lams=3)
    assert integers.coef.dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_predict_interpolates_and_refuses_to_extrapolate(diabetes):
    X, y, _ = diabetes
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=[100.0, 110.0])
    exact = jaxreg.path(X, y, jaxreg.L1(), lams=[104.0])
    coef, intercept = fit.coef_at(104.0)  # no knot between: linear
    np.testing.assert_allclose(coef, exact.coef[0], atol=1e-8)
    np.testing.assert_allclose(fit.predict(X[:3], lam=104.0), X[:3] @ coef + intercept, rtol=1e-12)
    assert fit.predict(X[:3]).shape == (2, 3)
    with pytest.raises(ValueError, match="outside the path"):
        fit.coef_at(99.0)
    with pytest.raises(ValueError, match="not on the grid"):
        fit.index(105.0)
    with pytest.raises(ValueError, match=r"shape \(rows, 10\)"):
        fit.predict(X[:, :3])


def test_predictions_ask_for_the_offset_that_the_path_was_fitted_with():
    X, y = made(40, 3)
    counts, offset = np.abs(y).round(), np.linspace(1, 3, 40)
    fit = jaxreg.path(X, counts, jaxreg.L2(), loss=losses.Poisson(), offset=offset, lams=[2.0, 1.0])
    eta = X @ fit.coef[1] + fit.intercept[1]
    np.testing.assert_allclose(fit.predict(X, 1.0, offset=offset), np.exp(eta + offset), rtol=1e-12)
    np.testing.assert_allclose(fit.predict(X, offset=np.zeros(40))[1], np.exp(eta), rtol=1e-12)
    with pytest.raises(ValueError, match="offset: the path was fitted with one"):
        fit.predict(X, 1.0)
    with pytest.raises(ValueError, match=r"offset must have shape \(40,\), got \(3,\)"):
        fit.predict(X, 1.0, offset=offset[:3])
    cv = jaxreg.cross_validate(X, counts, jaxreg.L2(), loss=losses.Poisson(), offset=offset, lams=[1.0], folds=np.arange(40) % 4)
    np.testing.assert_allclose(cv.predict(X, offset=offset), fit.predict(X, 1.0, offset=offset), rtol=1e-5)
    best = jaxreg.relax(X, counts, jaxreg.L1(), loss=losses.Poisson(), offset=offset, lams=[2.0])
    assert best.predict(X, 2.0, 1.0, offset=offset).shape == (40,)


def test_what_a_large_lambda_leaves_of_the_gradient_is_called_rounding():
    X, y = made(30, 6)
    with pytest.warns(ConvergenceWarning, match="what is left of the gradient may be rounding"):
        fit = jaxreg.path(X, y, jaxreg.Tikhonov(matrix=np.diff(np.eye(6), axis=0)), lams=[1e15])
    level = X.sum(axis=1)  # the limit: all coefficients are level
    slope = np.polyfit(level, y, 1)[0]
    np.testing.assert_allclose(fit.coef[0], slope, rtol=1e-9)


def test_the_table_and_the_formula(diabetes):
    X, y, _ = diabetes
    fit = jaxreg.path(X, y, jaxreg.ElasticNet(l1_ratio=0.25), loss=HALF, lams=5)
    assert fit.formula == "Σ(y − η)²/(2n) + λ·(0.25·Σ|w| + ½·0.75·Σw²)"
    assert fit.formula in repr(fit)
    assert str(fit).count("\n") == 6
    assert np.all(np.diff(fit.lams) < 0)


def test_stops_early_and_reports_progress(diabetes):
    X, y, _ = diabetes
    seen = []
    fit = jaxreg.path(X, y, jaxreg.L1(), max_nonzeros=3, progress=lambda done, total: seen.append((done, total)))
    assert fit.nonzeros.max() > 3
    assert len(fit.lams) < 100
    assert seen[-1] == (len(fit.lams), 100)


def test_not_converged_is_said(diabetes):
    X, y, _ = diabetes
    with pytest.warns(jaxreg.ConvergenceWarning, match="did not reach tol=1e-25"):
        fit = jaxreg.path(X, y, jaxreg.L1(), lams=5, tol=1e-25)
    assert not fit.converged.all()


def test_changing_lambda_or_support_does_not_compile_anew(diabetes):
    from jaxreg._path._engine import advance

    X, y, _ = diabetes
    jaxreg.path(X, y, jaxreg.L1(), lams=20)
    before = advance._cache_size()
    jaxreg.path(X, y[::-1].copy(), jaxreg.L1(3.0), lams=20)
    jaxreg.path(X, y, jaxreg.L1(), lams=np.geomspace(5, 1, 15))
    assert advance._cache_size() == before


# --- ridge from products, and from singular values where they would not do ---------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("n", "p"), [(60, 7), (20, 35)])
@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_ridge_folds_are_the_paths_of_their_rows(n, p):
    X, y = made(n, p)
    cv = jaxreg.cross_validate(X, y, jaxreg.L2(), lams=[30.0, 3.0], folds=4, key=jax.random.key(0))
    for k in range(4):
        rows = cv.fold_ids != k
        alone = jaxreg.path(X[rows], y[rows], jaxreg.L2(), lams=[30.0, 3.0])
        np.testing.assert_allclose(cv.fold_coef[k], alone.coef, rtol=1e-9, atol=1e-11)
        held = np.mean((y[~rows] - alone.predict(X[~rows])) ** 2, axis=1)
        np.testing.assert_allclose(cv.fold_errors[k], held, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"sample_weight": np.arange(40) % 3.0, "standardize": True},
        pytest.param({"intercept": False, "offset": np.linspace(-1, 1, 40)}, marks=pytest.mark.slow),
        pytest.param({"penalty_factor": np.linspace(0.5, 2, 6)}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("lams", [30, [3.0, 0.5, 10.0]])
def test_ridge_in_one_program_is_what_it_is_apart(monkeypatch, options, lams):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6)), rng.normal(size=40)
    fit = lambda: jaxreg.cross_validate(X, y, jaxreg.L2(), lams=lams, folds=np.arange(40) % 4, **options)  # noqa: E731
    whole, found = _at_once.fit, []

    def seen(*args, **given):
        found.append(whole(*args, **given))
        return found[-1]

    with monkeypatch.context() as patched:
        patched.setattr(_at_once, "fit", seen)
        together = fit()
    assert found[0] is not None
    monkeypatch.setattr(_at_once, "fit", lambda *_, **__: None)
    apart = fit()
    assert together.path.method == apart.path.method == "ridge"
    assert (together.path.loo is None) == (apart.path.loo is None) == ("standardize" in options)
    for name in ("lams", "coef", "intercept", "gcv", "df", *(() if apart.path.loo is None else ("loo",))):
        np.testing.assert_allclose(getattr(together.path, name), getattr(apart.path, name), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(together.fold_coef, apart.fold_coef, atol=1e-12)
    np.testing.assert_allclose(together.fold_errors, apart.fold_errors, rtol=1e-10)
    assert together.path.gap.max() < 1e-13


def test_ridge_criteria_over_several_blocks_of_rows():
    """4,500 rows are three blocks, the last one reaching back; weights of zero are no rows."""
    X, y = made(4500, 3)
    v = np.arange(4500) % 3.0
    fit = jaxreg.path(X, y, jaxreg.L2(), lams=[5.0], sample_weight=v)
    root = np.sqrt(v)[:, None]
    Z = root * (X - v @ X / v.sum())
    hat = np.einsum("ij,jk,ik->i", Z, np.linalg.inv(Z.T @ Z + 5 * np.eye(3)), Z) + v / v.sum()
    residual = y - fit.predict(X, 5.0)
    np.testing.assert_allclose(fit.loo[0], np.average((residual / (1 - hat)) ** 2, weights=v), rtol=1e-10)
    np.testing.assert_allclose(fit.df[0], hat.sum(), rtol=1e-12)


@pytest.mark.slow
def test_ridge_of_duplicated_columns_without_a_penalty_is_of_minimum_norm():
    X, y = made(40, 4)
    X = np.c_[X, X[:, 0]]
    fit = jaxreg.path(X, y, jaxreg.L2(), lams=[1.0, 0.0])
    center = X - X.mean(0)
    np.testing.assert_allclose(fit.coef[1], np.linalg.pinv(center) @ (y - y.mean()), atol=1e-12)
    np.testing.assert_allclose(fit.coef[0], Ridge(alpha=1.0, solver="svd").fit(X, y).coef_, atol=1e-12)
