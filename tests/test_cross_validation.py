"""``cross_validate`` against a loop of separate fits, and its rules against their definitions."""

import inspect
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import Lasso, Ridge, RidgeCV

import jaxreg
from jaxreg import losses
from jaxreg._path._cv import mean_and_error

KEY = jax.random.key(0)
HALF = losses.SquaredError("half_mean")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 7))
    return X, X @ np.array([2.0, -1.0, 0.5, 0, 0, 0, 0]) + 1 + rng.normal(size=60)


@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
@pytest.mark.parametrize("penalty", [jaxreg.L1(), pytest.param(jaxreg.L2(), marks=pytest.mark.slow)], ids=lambda p: type(p).__name__)
def test_every_fold_is_the_peer_fitted_on_its_training_rows(data, penalty):
    X, y = data
    ids = np.arange(60) % 4
    cv = jaxreg.cross_validate(X, y, penalty, loss=HALF, lams=12, folds=ids)
    for k in range(4):
        train, test = ids != k, ids == k
        for i in (3, 11):
            n = train.sum()
            # Ridge(alpha) is SSE + alpha·‖w‖²; ours is SSE/(2n) + λ·‖w‖².
            peer = Lasso(alpha=cv.lams[i], tol=1e-14, max_iter=10**6) if isinstance(penalty, jaxreg.L1) else Ridge(alpha=2 * n * cv.lams[i])
            peer.fit(X[train], y[train])
            np.testing.assert_allclose(cv.fold_coef[k, i], peer.coef_, atol=1e-8)
            np.testing.assert_allclose(cv.fold_errors[k, i], np.mean((y[test] - peer.predict(X[test])) ** 2), rtol=1e-7)
    assert cv.fold_converged.all()
    np.testing.assert_array_equal(cv.path.coef, jaxreg.path(X, y, penalty, loss=HALF, lams=12).coef)


def test_standard_error_is_that_of_the_mean_over_folds():
    errors = np.array([[1.0], [2.0], [4.0], [5.0]])
    mean, se = mean_and_error(errors, np.full(4, 15.0), np.zeros(4, int))
    assert mean[0] == 3
    np.testing.assert_allclose(se[0], np.std(errors, ddof=1) / np.sqrt(4))
    # Unequal folds, by hand: weights 1/4, 3/4; m = 1·1/4 + 3·3/4; spread = (1/4)(1−m)² + (3/4)(3−m)², over K − 1 = 1.
    mean, se = mean_and_error(np.array([[1.0], [3.0]]), np.array([5.0, 15.0]), np.zeros(2, int))
    np.testing.assert_allclose([mean[0], se[0]], [2.5, np.sqrt(0.25 * 1.5**2 + 0.75 * 0.5**2)])


def test_rules(data):
    X, y = data
    smallest = jaxreg.cross_validate(X, y, jaxreg.L1(), loss=HALF, lams=20, folds=5, key=KEY)
    simplest = jaxreg.cross_validate(X, y, jaxreg.L1(), loss=HALF, lams=20, folds=5, key=KEY, rule="1se")
    i = int(np.argmin(smallest.mean))
    assert smallest.lam == smallest.lam_min == smallest.lams[i]
    within = np.flatnonzero(smallest.mean <= smallest.mean[i] + smallest.se[i])
    assert simplest.lam == simplest.lam_1se == smallest.lams[within[0]]
    assert simplest.lam > smallest.lam
    np.testing.assert_array_equal(simplest.coef, simplest.path.coef[within[0]])
    np.testing.assert_allclose(simplest.predict(X), X @ simplest.coef + simplest.intercept)
    assert "λ_min" in str(smallest)
    assert "1se" in repr(simplest)


def test_the_edge_of_the_grid_is_seen(data):
    X, y = data
    with pytest.warns(jaxreg.GridEdgeWarning, match=r"the smallest λ, 0\.8"):
        assert jaxreg.cross_validate(X, y, jaxreg.L1(), loss=HALF, lams=[1.0, 0.8], folds=5, key=KEY).edge
    assert not jaxreg.cross_validate(X, y, jaxreg.L1(), loss=HALF, lams=[1.0, 0.8, 0.0], folds=5, key=KEY).edge  # nothing is below 0
    noise = np.random.default_rng(5).normal(size=60)  # nothing to find: the largest λ is best, and that is no edge
    assert not jaxreg.cross_validate(X, noise, jaxreg.L1(), loss=HALF, lams=[1.0, 0.8, 1e-9], folds=5, key=KEY).edge
    with pytest.warns(jaxreg.GridEdgeWarning, match=r"the largest λ, 0\.01, at which the model still explains"):
        jaxreg.cross_validate(X, noise, jaxreg.L1(), loss=HALF, lams=[0.01, 0.001], folds=5, key=KEY)


def test_folds_come_from_the_key_and_are_balanced():
    a, b = jaxreg.Folds.draw(103, 10, KEY).ids, jaxreg.Folds.draw(103, 10, KEY).ids
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, jaxreg.Folds.draw(103, 10, jax.random.key(1)).ids)
    assert set(np.bincount(a)) == {10, 11}
    labels = np.r_[np.zeros(60, int), np.ones(20, int)]
    ids = jaxreg.Folds.draw(80, 5, KEY, classes=labels).ids
    assert [np.bincount(labels[ids == k]).tolist() for k in range(5)] == [[12, 4]] * 5


UNKNOWN = {  # where a fold's minimiser is one of many: (rows, columns, penalty, loss)
    "few columns": (20, 40, jaxreg.ElasticNet(l1_ratio=0.5), losses.SquaredError()),
    "many columns": (30, 200, jaxreg.ElasticNet(l1_ratio=0.5), losses.SquaredError()),
    "likelihood": (20, 40, jaxreg.ElasticNet(l1_ratio=0.5), losses.Gamma()),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*list(UNKNOWN)[:1], *(pytest.param(name, marks=pytest.mark.slow) for name in list(UNKNOWN)[1:])])
def test_folds_know_nothing_of_rows_held_out(name):
    """Of noise: whoever predicts rows well has seen them. The minimiser at λ = 0 is not unique, and that of all rows is one of a fold's."""
    n, p, penalty, loss = UNKNOWN[name]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, p)), rng.normal(size=n)
    y = np.exp(y) if isinstance(loss, losses.Gamma) else y
    lams = [1, 0.1, 1e-3, 1e-6, 1e-9, 0.0]
    cv = jaxreg.cross_validate(X, y, penalty, loss=loss, folds=np.arange(n) % 5, lams=lams, scoring="loss")
    assert (cv.mean > 0.3 * cv.mean[0]).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("penalty", "loss", "factor"),
    [
        (jaxreg.ElasticNet(l1_ratio=0.5), losses.SquaredError(), None),
        (jaxreg.L1(), losses.Poisson(), [1.0, 1.0, 0.0]),
        (jaxreg.L2(), losses.Poisson(), None),
        pytest.param(jaxreg.L1(), losses.Poisson(), None, marks=pytest.mark.slow),
    ],
    ids=["elastic net", "unpenalised", "ridge", "likelihood"],
)
def test_a_column_that_is_constant_without_a_fold_says_nothing_there(penalty, loss, factor):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    X[:, 2] = 0
    X[7, 2] = 3.0
    y = rng.poisson(np.exp(X[:, 0])).astype(float)
    y[7] = 1
    cv = jaxreg.cross_validate(X, y, penalty, loss=loss, folds=np.arange(60) // 6, lams=[2, 1.0, 0.1, 0.0], penalty_factor=factor)
    np.testing.assert_array_equal(cv.fold_coef[1][:, 2], 0)
    assert cv.fold_converged[1].all()
    assert np.isfinite(cv.fold_errors).all()


@pytest.mark.slow
def test_classes_are_stratified_and_scored_by_log_loss():
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    cv = jaxreg.cross_validate(X, y, jaxreg.L1(), loss=losses.Multinomial("mean"), lams=10, folds=3, key=KEY)
    assert cv.error_name == "mean log loss"
    k, i = 1, 9
    test = cv.fold_ids == k
    eta = X[test] @ cv.fold_coef[k, i] + cv.fold_intercept[k, i]
    p = np.exp(eta - eta.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(cv.fold_errors[k, i], -np.mean(np.log(p[np.arange(test.sum()), y[test]])), rtol=1e-10)
    assert cv.mean[cv.index_min] < 0.2 < cv.mean[0]
    assert {tuple(np.bincount(y[cv.fold_ids == k])) for k in range(3)} <= {(a, b, c) for a in (19, 20) for b in (23, 24) for c in (16,)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_sample_weights_weigh_training_and_scoring(data):
    X, y = data
    v = np.random.default_rng(1).integers(1, 4, 60)
    ids = np.arange(60) % 5
    weighted = jaxreg.cross_validate(X, y, jaxreg.L1(), lams=[4.0, 2.0], folds=ids, sample_weight=v)
    repeated = jaxreg.cross_validate(np.repeat(X, v, 0), np.repeat(y, v), jaxreg.L1(), lams=[4.0, 2.0], folds=np.repeat(ids, v))
    np.testing.assert_allclose(weighted.fold_errors, repeated.fold_errors, rtol=1e-9)
    np.testing.assert_allclose(weighted.se, repeated.se, rtol=1e-9)


@pytest.mark.slow
def test_a_fold_whose_classes_separate_is_not_converged_at_zero():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 2))
    y = (X[:, 0] > 0).astype(int)
    with pytest.warns(jaxreg.ConvergenceWarning):
        cv = jaxreg.cross_validate(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=[0.1, 0.0], folds=4, key=KEY)
    assert cv.fold_converged[:, 0].all()
    assert not cv.fold_converged[:, 1].any()


BAD = {
    "no key": ({"folds": 5}, "key is missing: folds are drawn from an explicit key"),
    "one fold": ({"folds": 1, "key": KEY}, "folds must be at least 2, got 1"),
    "too many": ({"folds": 61, "key": KEY}, "folds = 61 is more than the 60 rows"),
    "rule": ({"folds": 5, "key": KEY, "rule": "best"}, "rule must be one of"),
    "ids": ({"folds": np.zeros(60)}, "ids must be integers of shape .*, got float64"),
    "missing id": ({"folds": np.arange(60) % 2 * 2}, "none missing"),
    "empty fold": ({"folds": np.arange(60) % 2, "sample_weight": (np.arange(60) % 2).astype(float)}, "fold 0 holds out no row"),
}


@pytest.fixture(scope="module")
def targets(data):
    """Three targets of which the first is nearly noise, the last nearly none."""
    X, _ = data
    rng = np.random.default_rng(1)
    return X, X @ (rng.normal(size=(7, 3)) * [0.05, 0.5, 5]) + 3 * rng.normal(size=(60, 3))


@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
@pytest.mark.parametrize("rule", ["min", "1se"])
@pytest.mark.parametrize("penalty", [jaxreg.L1(), pytest.param(jaxreg.L2(), marks=pytest.mark.slow)], ids=lambda p: type(p).__name__)
def test_each_target_gets_the_lambda_that_it_gets_alone(targets, penalty, rule):
    X, y = targets
    options = {"lams": np.geomspace(1e4, 1e-1, 15), "folds": np.arange(60) % 4, "rule": rule}
    cv = jaxreg.cross_validate(X, y, penalty, lam_per_target=True, **options)
    assert len(set(cv.index)) > 1
    for t in range(3):
        alone = jaxreg.cross_validate(X, y[:, t], penalty, **options)
        assert (cv.index[t], cv.lam[t], cv.lam_1se[t]) == (alone.index, alone.lam, alone.lam_1se)
        np.testing.assert_allclose(cv.coef[:, t], alone.coef, atol=1e-8)
        np.testing.assert_allclose(cv.intercept[t], alone.intercept, atol=1e-8)
        np.testing.assert_allclose(cv.predict(X)[:, t], alone.predict(X), atol=1e-7)
        np.testing.assert_allclose(cv.target_errors[:, :, t], alone.fold_errors, rtol=1e-7)
        np.testing.assert_allclose(cv.target_se[:, t], alone.se, rtol=1e-6)
        assert alone.target_errors is None
    shared = jaxreg.cross_validate(X, y, penalty, **options)
    assert shared.index_min == np.argmin(cv.target_mean.mean(axis=1))
    np.testing.assert_allclose(shared.fold_errors, cv.target_errors.mean(axis=2))
    assert f"of {np.sum(cv.index_min == cv.index_min[0])}" in str(cv)
    own = [cv.target_mean[cv.index[t], t] for t in range(3)]
    np.testing.assert_array_equal(cv.error, own)
    assert f"each at its own λ: {np.mean(own):.6g}" in str(cv)
    assert shared.error == shared.mean[shared.index]
    assert "of 3 targets" in repr(cv)


@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_leave_one_out_of_each_target_is_ridge_cvs(targets):
    X, y = targets
    lams = np.geomspace(1e4, 1e-1, 15)
    peer = RidgeCV(alphas=lams, alpha_per_target=True).fit(X, y)
    fit = jaxreg.path(X, y, jaxreg.L2(), lams=lams)
    np.testing.assert_array_equal(fit.lams[fit.target_loo.argmin(axis=0)], peer.alpha_)
    np.testing.assert_allclose(fit.loo, fit.target_loo.mean(axis=1), rtol=1e-12)


@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_one_target_as_a_column_and_a_matrix_of_each_target(targets):
    X, y = targets
    options: dict[str, Any] = {"lams": [100.0, 10.0, 1.0], "folds": np.arange(60) % 4}
    column = jaxreg.cross_validate(X, y[:, 2:], jaxreg.L1(), lam_per_target=True, **options)
    alone = jaxreg.cross_validate(X, y[:, 2], jaxreg.L1(), **options)
    assert column.lam.tolist() == [alone.lam]
    np.testing.assert_allclose(column.coef[:, 0], alone.coef, atol=1e-9)
    smooth = np.diff(np.eye(7), axis=0)
    each = jaxreg.cross_validate(X, y, jaxreg.Tikhonov(matrix=smooth, axis=0), lam_per_target=True, **options)
    for t in range(3):
        own = jaxreg.cross_validate(X, y[:, t], jaxreg.Tikhonov(matrix=smooth), **options)
        assert (each.lam[t], each.path.method) == (own.lam, "ridge")


def test_the_edge_counts_targets(targets):
    with pytest.warns(jaxreg.GridEdgeWarning, match=r"smallest λ, 10 \(for \d of 3 targets\)"):
        jaxreg.cross_validate(*targets, jaxreg.L1(), lams=[1e4, 10.0], folds=np.arange(60) % 4, lam_per_target=True)


def test_what_has_no_lambda_for_each_target(data, targets):
    fit = inspect.unwrap(jaxreg.cross_validate)
    options: dict[str, Any] = {"folds": np.arange(60) % 4, "lam_per_target": True}
    with pytest.raises(ValueError, match="lam_per_target: y has one target"):
        fit(*data, jaxreg.L1(), **options)
    with pytest.raises(ValueError, match=r"lam_per_target: GroupLasso is not known to be a sum over targets"):
        fit(*targets, jaxreg.GroupLasso(groups=np.arange(7)[:, None]), **options)
    with pytest.raises(TypeError, match="lam_per_target must be True or False, got 'yes'"):
        fit(*targets, jaxreg.L1(), **options | {"lam_per_target": "yes"})


@pytest.mark.parametrize("case", BAD)
def test_bad_input(data, case):
    options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(jaxreg.cross_validate)(*data, jaxreg.L1(), **options)


def test_a_class_that_lives_in_one_fold(data):
    X, _ = data
    y = (np.arange(60) < 12).astype(int)
    with pytest.raises(ValueError, match="without fold 0 no row of class 1 is left"):
        jaxreg.cross_validate(X, y, jaxreg.L1(), loss=losses.Logistic(), folds=np.arange(60) // 12)
