"""Folds by groups, in time, repeated and given; scores of held-out rows: each against its definition or scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics
from sklearn.model_selection import KFold, RepeatedKFold, ShuffleSplit, TimeSeriesSplit

import jaxreg
from jaxreg import Folds, losses
from jaxreg._path._scoring import mean_score

KEY = jax.random.key(0)
pytestmark = pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    return X, X @ np.array([2.0, -1.0, 0.5, 0, 0]) + 1 + rng.normal(size=60)


def test_groups_stay_together_and_folds_are_level():
    rng = np.random.default_rng(1)
    groups = rng.permutation(np.repeat([f"site {g}" for g in range(20)], 5))
    folds = Folds.by_group(groups, 4, KEY, repeats=2)
    assert folds.repeats == 2
    for ids in folds.ids:
        assert len({(g, k) for g, k in zip(groups, ids, strict=True)}) == 20
        assert np.bincount(ids).tolist() == [25] * 4
    assert not np.array_equal(*folds.ids)
    np.testing.assert_array_equal(folds.ids, Folds.by_group(groups, 4, KEY, repeats=2).ids)
    # Unequal groups, the largest first: 8 | 5 + 2 | 4 + 3 is as level as it gets.
    sizes = np.bincount(Folds.by_group(np.repeat(range(5), [3, 8, 2, 5, 4]), 3, KEY).ids)
    assert sorted(sizes) == [7, 7, 8]


@pytest.mark.parametrize(("n", "folds", "gap", "window"), [(20, 3, 0, None), (23, 4, 2, None), (23, 4, 1, 5)])
def test_time_order_is_that_of_scikit_learn(n, folds, gap, window):
    ours = Folds.in_time(n, folds, gap=gap, window=window)
    peer = TimeSeriesSplit(folds, gap=gap, max_train_size=window).split(np.zeros(n))
    for train, test, (peer_train, peer_test) in zip(ours.train, ours.test, peer, strict=True):
        assert np.flatnonzero(train).tolist() == peer_train.tolist()
        assert np.flatnonzero(test).tolist() == peer_test.tolist()
    assert ours.ids is None


def ridge_errors(X, y, train, test, lam, v):
    """Weighted mean squared error of the rows held out, by the normal equations of the rows trained on."""
    A, root = np.column_stack([X, np.ones(len(y))]), np.sqrt(v)[:, None]
    B = (root * A)[train]
    w = np.linalg.solve(B.T @ B + lam * np.diag(np.arange(A.shape[1]) < X.shape[1]), B.T @ (root[:, 0] * y)[train])
    return np.average((y - A @ w)[test] ** 2, weights=v[test])


@pytest.mark.slow
def test_rows_after_a_block_are_not_trained_on(data):
    X, y = data
    cv = jaxreg.cross_validate(X, y, jaxreg.L2(), lams=[20.0, 2.0], folds=Folds.in_time(60, 3, gap=1))
    assert cv.fold_ids is None
    row = np.arange(60)
    for k, start in enumerate((15, 30, 45)):
        for i, lam in enumerate(cv.lams):
            found = ridge_errors(X, y, row < start - 1, (row >= start) & (row < start + 15), lam, np.ones(60))
            np.testing.assert_allclose(cv.fold_errors[k, i], found, rtol=1e-9)


@pytest.mark.slow
def test_repeats_deal_out_anew_and_their_standard_errors_are_averaged(data):
    X, y = data
    v = np.linspace(0.5, 2, 60)
    cv = jaxreg.cross_validate(X, y, jaxreg.L2(), lams=[20.0, 2.0], folds=4, repeats=3, key=KEY, sample_weight=v)
    assert "4 folds × 3 repeats" in repr(cv)
    np.testing.assert_array_equal(cv.fold_ids[0], Folds.draw(60, 4, KEY).ids)
    assert len({tuple(row) for row in cv.fold_ids}) == 3
    errors = [[[ridge_errors(X, y, ids != k, ids == k, lam, v) for lam in cv.lams] for k in range(4)] for ids in cv.fold_ids]
    np.testing.assert_allclose(cv.fold_errors, np.reshape(errors, (12, 2)), rtol=1e-9)
    shares = np.array([[v[ids == k].sum() / v.sum() for k in range(4)] for ids in cv.fold_ids])[:, :, None]
    means = np.sum(shares * errors, axis=1)
    np.testing.assert_allclose(cv.mean, means.mean(axis=0), rtol=1e-9)
    variances = np.sum(shares * (errors - means[:, None]) ** 2, axis=1) / 3
    np.testing.assert_allclose(cv.se, np.sqrt(variances.mean(axis=0)), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [jaxreg.L1(), jaxreg.ElasticNet()], ids=["L1", "ElasticNet"])
def test_the_exact_path_and_the_batch_take_repeats_and_time(data, penalty):
    X, y = data
    repeated = jaxreg.cross_validate(X, y, penalty, lams=[20.0, 2.0], folds=4, repeats=2, key=KEY)
    for r, ids in enumerate(repeated.fold_ids):
        alone = jaxreg.cross_validate(X, y, penalty, lams=[20.0, 2.0], folds=ids)
        np.testing.assert_allclose(repeated.fold_coef[4 * r : 4 * r + 4], alone.fold_coef, atol=1e-10)
    in_time = jaxreg.cross_validate(X, y, penalty, lams=[20.0, 2.0], folds=Folds.in_time(60, 2))
    for k, start in enumerate((20, 40)):
        np.testing.assert_allclose(in_time.fold_coef[k], jaxreg.path(X[:start], y[:start], penalty, lams=[20.0, 2.0]).coef, atol=1e-9)


@pytest.mark.slow
def test_pairs_of_scikit_learn(data):
    X, y = data
    pairs = list(KFold(5, shuffle=True, random_state=0).split(X))
    by_pairs = jaxreg.cross_validate(X, y, jaxreg.L2(), lams=[20.0, 2.0], folds=KFold(5, shuffle=True, random_state=0).split(X))
    ids = np.empty(60, int)
    for k, (_, test) in enumerate(pairs):
        ids[test] = k
    np.testing.assert_array_equal(by_pairs.fold_ids, ids)
    by_ids = jaxreg.cross_validate(X, y, jaxreg.L2(), lams=[20.0, 2.0], folds=ids)
    np.testing.assert_array_equal(by_pairs.fold_errors, by_ids.fold_errors)
    assert Folds.of_pairs(ShuffleSplit(3, random_state=0).split(X), 60).ids is None  # some rows are never held out


@pytest.mark.parametrize(
    ("scoring", "loss", "peer"),
    [
        ("absolute_error", losses.SquaredError("mean"), metrics.mean_absolute_error),
        ("squared_error", losses.Logistic(), metrics.brier_score_loss),
        ("misclassification", losses.Logistic(), lambda y, p, sample_weight: np.average(y != (p > 0.5), weights=sample_weight)),
        ("misclassification", losses.SquaredHinge(), lambda y, p, sample_weight: np.average(y != p, weights=sample_weight)),
        ("deviance", losses.Logistic(), lambda y, p, sample_weight: 2 * metrics.log_loss(y, p, sample_weight=sample_weight)),
        ("misclassification", losses.Multinomial(), lambda y, p, sample_weight: np.average(y != p.argmax(1), weights=sample_weight)),
        (
            "squared_error",
            losses.Multinomial(),
            lambda y, p, sample_weight: np.average(((p - np.eye(3)[y]) ** 2).sum(1), weights=sample_weight),
        ),
        ("deviance", losses.SquaredError(), metrics.mean_squared_error),
        ("deviance", losses.Poisson("mean"), metrics.mean_poisson_deviance),
        ("deviance", losses.Gamma(), metrics.mean_gamma_deviance),
        pytest.param(
            "deviance",
            losses.Tweedie(power=1.5),
            lambda y, p, **v: metrics.mean_tweedie_deviance(y, p, power=1.5, **v),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_scores(x64, scoring, loss, peer):
    rng = np.random.default_rng(2)
    eta = rng.normal(size=(40, 3) if loss.vector else 40)
    y = (
        np.arange(40) % (3 if loss.vector else 2)
        if loss.classification
        else rng.poisson(2.0, 40) + (0.5 if isinstance(loss, losses.Gamma) else 0)
    )
    v = rng.uniform(0.1, 2, 40)
    found = mean_score(scoring, loss, jnp.asarray(eta), jnp.asarray(y), jnp.asarray(v), jnp.asarray(v))
    np.testing.assert_allclose(found, peer(y, np.asarray(loss.prediction(jnp.asarray(eta))), sample_weight=v), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_held_out_rows_are_scored_as_asked(data, dtype):
    X, y = (x.astype(dtype) for x in data)
    ids = np.arange(60) % 3
    cv = jaxreg.cross_validate(X, y, jaxreg.L2(), lams=[30.0, 3.0], folds=ids, scoring="absolute_error")
    assert cv.error_name == "mean absolute error"
    assert cv.fold_errors.dtype == dtype
    out = ids == 1
    eta = X[out] @ cv.fold_coef[1].T + cv.fold_intercept[1]
    np.testing.assert_allclose(cv.fold_errors[1], np.abs(y[out, None] - eta).mean(axis=0), rtol=50 * np.finfo(dtype).eps)


BAD = {
    "unknown": ({"scoring": "r2"}, r"scoring must be one of \('loss', 'deviance', .*for SquaredError one of \['loss', 'deviance', 'squ"),
    "classes": ({"scoring": "misclassification"}, "makes no sense for SquaredError: its targets are no classes"),
    "quantile": ({"scoring": "squared_error", "loss": losses.Quantile()}, "it predicts a quantile"),
    "no likelihood": ({"scoring": "deviance", "loss": losses.Huber()}, "no negative log-likelihood; use one of"),
    "repeats": ({"folds": np.arange(60) % 3, "repeats": 2}, "repeats = 2 deals a number of folds out anew"),
    "no repeat": ({"repeats": 0}, "repeats must be at least 1, got 0"),
    "rows": ({"folds": np.arange(59) % 3}, "got ids of 59 rows"),
    "a number": ({"folds": 2.5}, "folds must be a count, 60 integer ids, pairs or jaxreg.Folds, got 2.5"),
    "overlap": ({"folds": [([0, 1, 2], [2, 3]), ([3, 4], [0, 1])]}, "pair 0 trains on row 2 and tests on it"),
    "range": ({"folds": [([0, 60], [2]), ([3, 4], [0])]}, "row numbers 0 … 59"),
    "one pair": ({"folds": [([0, 1], [2])]}, "at least two pairs"),
    "nothing to train on": ({"folds": [([0], [2]), ([3, 4], [0])]}, "fold 0 leaves fewer than two rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(data, case):
    options, message = BAD[case]
    with pytest.raises((TypeError, ValueError), match=message):
        jaxreg.cross_validate(*data, jaxreg.L1(), **({"folds": 3, "key": KEY} | options))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Folds.in_time(10, 9, gap=1), "fewer than 2 rows to train on"),
        (lambda: Folds.in_time(10, 2, gap=-1), "gap must be >= 0"),
        (lambda: Folds.in_time(10, 1), "folds must be at least 2"),
        (lambda: Folds.by_group([0, 0, 1], 3, KEY), "folds = 3 is more than the 2 groups"),
        (lambda: Folds.by_group(np.zeros((3, 2)), 2, KEY), "one label for each row"),
    ],
)
def test_bad_folds(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pairs_that_hold_out_every_row_in_turn_are_rounds():
    drawn = Folds.draw(23, 4, jax.random.key(0), repeats=3)
    given = Folds.of_pairs(zip(drawn.train, drawn.test, strict=True), 23)
    np.testing.assert_array_equal(given.repeat, drawn.repeat)
    assert Folds.of_pairs(RepeatedKFold(n_splits=5, n_repeats=2, random_state=0).split(np.zeros(23)), 23).repeats == 2
    # Not every row is held out, or some of them more often than others: then all is one round.
    overlapping = [(np.arange(10, 23), np.arange(10)), (np.arange(5), np.arange(5, 23)), (np.arange(5, 23), np.arange(5))]
    for pairs in (ShuffleSplit(4, random_state=0).split(np.zeros(23)), overlapping):
        assert Folds.of_pairs(pairs, 23).repeats == 1
