"""Elastic nets with more features than rows, by Newton's method on the dual: held against the conditions of optimality in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import enet_path

import jaxreg
from jaxreg import ElasticNet
from jaxreg._path import _dual, _dual_factor, _together
from jaxreg._path._batch import Quadratic

HALF = jaxreg.losses.SquaredError("half_mean")
N, P = 40, 300


def made(n=N, p=P, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X[:, :6] @ rng.normal(size=6) + rng.normal(size=n)


@pytest.fixture
def used(monkeypatch):
    """Counts what the dual solves, so that a test of it is one."""
    calls, solved = [], _dual._solved
    monkeypatch.setattr(_dual, "_solved", lambda *a: calls.append(a) or solved(*a))
    return calls


def stationarity(X, y, fit, ratio, *, weights=None, factor=1.0, lower=-np.inf, upper=np.inf, offset=0.0, intercept=True, standardize=False):
    """The largest violation of the optimality conditions, over that of zero: written from the definition."""
    v = np.ones(len(y)) if weights is None else np.asarray(weights, float)
    total = v.sum()
    mean = v @ X / total if intercept else np.zeros(X.shape[1])
    scale = np.sqrt(v @ (X - v @ X / total) ** 2 / total) if standardize else np.ones(X.shape[1])
    scale = np.where(scale > 1e-12, scale, 1)
    worst, size = 0.0, np.abs(X.T @ (v * (y - offset - v @ (y - offset) / total))).max() / total
    for w, b, lam in zip(fit.coef, fit.intercept, fit.lams, strict=True):
        residual = y - offset - X @ w - b
        slope = -(v * residual) @ (X - mean) / total + lam * factor * (1 - ratio) * w * scale**2
        soft = lam * ratio * np.broadcast_to(factor * scale, w.shape)
        below, above = np.where(w > 0, slope + soft, slope - soft), np.where(w < 0, slope - soft, slope + soft)
        least, most = np.where(w <= lower, -np.inf, below), np.where(w >= upper, np.inf, above)
        worst = max(worst, np.maximum(np.maximum(least, -most), 0).max())
        if intercept:
            worst = max(worst, abs(v @ residual) / total)
    return worst / size


OPTIONS = {
    "plain": {},
    "no intercept": {"intercept": False},
    "standardized": {"standardize": True},
    "factors": {"factor": np.r_[np.linspace(0.2, 2, P)]},
    "weights": {"weights": np.arange(N) % 4.0},
    "offset": {"offset": np.linspace(-2, 2, N)},
    "positive": {"lower": 0.0},
    "bounded": {"lower": -0.05, "upper": np.linspace(0.05, 0.4, P)},
    "duplicates": {},
    "scales": {"standardize": True},
}
NAMES = {"factor": "penalty_factor", "weights": "sample_weight"}


@pytest.mark.thin(4)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("ratio", [0.5, 0.05, 0.95])
def test_options(used, option, ratio):
    X, y = made()
    if option == "duplicates":
        X[:, 3], X[:, 5], X[:, 7] = X[:, 2], 7.0, X[:, 2] * (1 + 1e-7 * X[:, 0])
    if option == "scales":
        X = X * np.logspace(-6, 6, P)
    options = OPTIONS[option]
    fit = jaxreg.path(
        X, y, ElasticNet(l1_ratio=ratio), loss=HALF, lams=30, **{NAMES.get(key, key): value for key, value in options.items()}
    )
    assert used
    assert (fit.method, fit.fallback) == ("batch", None)
    assert fit.converged.all()
    assert fit.gap.max() < 1e-12
    plain = option not in ("scales", "duplicates")
    assert stationarity(X, y, fit, ratio, **options) < (1e-11 if plain else 1e-8)
    if "lower" in options:
        assert (fit.coef == options["lower"]).any()
        assert ((fit.coef >= options["lower"]) & (fit.coef <= options.get("upper", np.inf))).all()


def test_a_ridge_within_is_solved_without_any_l1_on_some_features(used):
    """Features under squares alone are members from the start, and never zero."""
    X, y = made()
    penalty = jaxreg.L1(np.r_[0.0, 0.0, np.full(P - 2, 1.0)]) + jaxreg.L2(0.3)
    fit = jaxreg.path(X, y, penalty, loss=HALF, lams=np.geomspace(1, 0.01, 10))
    assert used
    assert fit.gap.max() < 1e-12
    assert (fit.coef[:, :2] != 0).all()


def correlated(n, p):
    rng = np.random.default_rng(1)
    X = np.sqrt(0.999) * rng.normal(size=(n, 1)) + np.sqrt(0.001) * rng.normal(size=(n, p))
    return X, X[:, : p // 5] @ rng.normal(size=p // 5) + rng.normal(size=n)


@pytest.mark.parametrize("ratio", [0.5, pytest.param(0.99, marks=pytest.mark.slow)])
@pytest.mark.parametrize("unpenalised", [[0, 1], pytest.param([0, 1, 1], marks=pytest.mark.slow)], ids=["apart", "twice"])
def test_features_without_a_penalty_are_projected_out(used, ratio, unpenalised):
    """Also two that are the same column, and among columns that are hard to tell from each other."""
    X, y = correlated(N, P)
    X[:, : len(unpenalised)] = X[:, unpenalised]
    factor = np.r_[np.zeros(len(unpenalised)), np.ones(P - len(unpenalised))]
    fit = jaxreg.path(X, y, ElasticNet(l1_ratio=ratio), loss=HALF, lams=np.geomspace(3, 3e-4, 20), penalty_factor=factor)
    assert used
    assert (fit.method, fit.fallback) == ("batch", None)
    assert fit.gap.max() < 1e-12
    assert stationarity(X, y, fit, ratio, factor=factor) < 1e-10
    assert (fit.coef[:, :2] != 0).all()


@pytest.mark.parametrize("ratio", [0.5, pytest.param(0.99, marks=pytest.mark.slow)])
def test_correlations_that_spoil_the_gram_matrix_are_left_to_the_dual(used, ratio):
    """More rows than features: gradient steps and conjugate gradients on the Gram matrix end far from the answer here."""
    X, y = correlated(300, 200)
    fit = jaxreg.path(X, y, ElasticNet(l1_ratio=ratio), loss=HALF, lams=np.geomspace(3, 3e-5, 20))
    assert used
    assert (fit.method, fit.fallback) == ("batch", None)
    assert fit.gap.max() < 1e-12
    assert stationarity(X, y, fit, ratio) < 1e-10


@pytest.mark.slow
def test_equals_scikit_learn(used):
    X, y = made()
    fit = jaxreg.path(X, y, ElasticNet(), loss=HALF, lams=25)
    _, peer, _ = enet_path(X - X.mean(0), y - y.mean(), l1_ratio=0.5, alphas=fit.lams[::6], tol=1e-12, max_iter=1_000_000)
    np.testing.assert_allclose(fit.coef[::6], peer.T, atol=1e-5)  # the square root of the peer's gap
    assert used


@pytest.mark.slow
def test_a_set_that_grows(used, monkeypatch):
    """From below the number of rows to above it: the factor's size, and what is carried along, change on the way."""
    monkeypatch.setattr(_dual, "_SMALLEST", 16)
    X, y = made(150, 900)
    y = y + 0.3 * X @ np.random.default_rng(1).normal(size=900)
    fit = jaxreg.path(X, y, ElasticNet(l1_ratio=0.2), loss=HALF, lams=60)
    sizes = {len(a[3].rows) for a in used}
    assert min(sizes) < 150 < max(sizes)
    assert fit.gap.max() < 1e-12
    assert stationarity(X, y, fit, 0.2) < 1e-11


@pytest.mark.slow
def test_folds_are_the_paths_of_their_rows(used):
    X, y = made()
    folds = np.arange(N) % 4
    with pytest.warns(jaxreg.GridEdgeWarning):
        cv = jaxreg.cross_validate(X, y, ElasticNet(), loss=HALF, lams=12, folds=folds)
    for k in range(4):
        fit = jaxreg.path(X[folds != k], y[folds != k], ElasticNet(), loss=HALF, lams=cv.lams)
        np.testing.assert_allclose(cv.fold_coef[k], fit.coef, atol=1e-10)
    assert used


def test_changing_lambda_or_data_does_not_compile_anew():
    X, y = made()
    jaxreg.path(X, y, ElasticNet(), loss=HALF, lams=np.geomspace(2, 0.02, 20))
    before = _dual._solved._cache_size()
    jaxreg.path(X**3, y**2, ElasticNet(l1_ratio=0.7), loss=HALF, lams=np.geomspace(30, 0.3, 30))
    assert _dual._solved._cache_size() == before > 0


def test_float32_stays_and_says_what_it_reached(used):
    X, y = made()
    fit = jaxreg.path(jnp.asarray(X, jnp.float32), jnp.asarray(y, jnp.float32), ElasticNet(), loss=HALF, lams=20)
    assert used
    assert fit.coef.dtype == jnp.float32
    assert np.asarray(fit.converged).all()
    assert float(np.max(fit.gap)) < 1e-5


def test_without_curvature_proximal_steps_serve(used):
    """A column under L1 alone, or nearly, has no dual that is smooth to rounding."""
    X, y = made(20, 150)
    for penalty in (jaxreg.L1() + jaxreg.L2(np.r_[0.0, np.ones(149)]), jaxreg.L1() + jaxreg.L2(1e-9)):
        fit = jaxreg.path(X, y, penalty, loss=HALF, lams=np.geomspace(1, 0.1, 8))
        assert fit.method == "batch"
        assert fit.gap.max() < 1e-12
        assert len(used) == 1
        used.clear()


def test_few_features_that_miss_tol_are_solved_in_the_dual(used):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(16, 40)), rng.normal(size=16)
    fit = jaxreg.path(X, y, ElasticNet(), lams=[1, 1e-3, 1e-6])
    assert used
    assert (fit.method, fit.fallback) == ("batch", None)
    assert fit.converged.all()
    assert fit.gap.max() < 1e-12


def test_zero_is_gone_on_to_from_the_last_lambda(used):
    """λ = 0 has no dual, and of its many minimisers the answer is the path's limit."""
    X, y = made(20, 150)
    fit = jaxreg.path(X, y, ElasticNet(), loss=HALF, lams=[0.5, 0.1, 1e-9, 0.0])
    assert used
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef[3], fit.coef[2], atol=1e-7 * np.abs(fit.coef[2]).max())


@pytest.mark.parametrize("lowest", [1e-2, 1e-6])
def test_factors_are_float32_where_that_leads_to_the_answer(used, lowest):
    """Nearly dependent rows: at small λ steps by such factors lead nowhere, and float64 takes over."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 5)) @ rng.normal(size=(5, P)) + 1e-5 * rng.normal(size=(N, P))
    y = X[:, :6] @ rng.normal(size=6) + rng.normal(size=N)
    fit = jaxreg.path(X, y, ElasticNet(), loss=HALF, lams=np.geomspace(1, lowest, 20))
    precisions = [str(members.coarse.dtype) for _, _, _, members, *_ in used]
    assert precisions == sorted(precisions)
    assert set(precisions) == ({"float32"} if lowest > 1e-3 else {"float32", "float64"})
    assert fit.method == "batch"
    assert fit.gap.max() < 1e-12
    assert stationarity(X, y, fit, 0.5) < 1e-11


@pytest.mark.slow
def test_a_coarse_grid_does_not_take_in_everything(used):
    """From the target alone nearly every feature would be expected at the smallest λ."""
    X, y = made(30, 3000)
    fit = jaxreg.path(X, y, ElasticNet(l1_ratio=0.9), loss=HALF, lams=5)
    assert fit.gap.max() < 1e-12
    assert len(used[-1][3].rows) <= 512


@pytest.mark.slow
def test_a_set_that_may_not_grow_leaves_the_rest_to_newton(used, monkeypatch):
    X, y = made(30, 150)
    monkeypatch.setattr(_dual, "LARGEST", 30)
    monkeypatch.setattr(_together, "BLOCK", 10)
    fit = jaxreg.path(X, y, ElasticNet(), loss=HALF, lams=20)
    assert fit.method == "newton"
    assert "missed tol" in fit.fallback
    assert fit.converged.all()
    assert used


def test_a_path_stops_at_max_nonzeros(used):
    X, y = made()
    fit = jaxreg.path(X, y, ElasticNet(), loss=HALF, lams=80, max_nonzeros=5)
    assert used
    assert 8 <= len(fit.lams) < 80
    assert fit.nonzeros[-1] > 5
    assert fit.nonzeros[-9] <= 5


def test_k_follows_the_active_set(x64):
    """Taken in and given up in blocks, K is the sum over what is wanted."""
    rng = np.random.default_rng(0)
    rows, b = rng.normal(size=(200, 7)), rng.uniform(0.5, 2, 200)
    curvature = _dual_factor.Curvature(jnp.zeros((7, 7)), jnp.zeros(200, bool))
    for share in (0.9, 0.1, 0.1, 1.0, 0.0):
        wanted = rng.random(200) < share
        curvature = jax.jit(_dual_factor.followed)(jnp.asarray(rows), jnp.asarray(b), curvature, jnp.asarray(wanted))
        exact = (rows[wanted] / b[wanted, None]).T @ rows[wanted]
        np.testing.assert_allclose(curvature.K, exact, atol=1e-11)
        np.testing.assert_array_equal(curvature.inside, wanted)


@pytest.mark.parametrize("changed", [0, 1, 9, 32])
def test_a_factor_is_corrected_for_what_moves_now(x64, monkeypatch, changed):
    """As far as it reaches, to the digits of a step with a factor of its own: coefficients that joined, and that left."""
    monkeypatch.setattr(_dual_factor, "_LARGE", 1)
    rng = np.random.default_rng(changed)
    n, size, lam = 20, 90, 0.3
    rows, b, g = rng.normal(size=(size, n)), rng.uniform(0.5, 2, size), rng.normal(size=n)
    of = rng.random(size) < 0.5
    now = of ^ (np.isin(np.arange(size), rng.choice(size, changed, replace=False)))
    a = jnp.asarray(np.ones(size))
    problem = Quadratic(jnp.zeros((n, n)), jnp.zeros(size), a, jnp.asarray(b), -jnp.inf * a, jnp.inf * a)
    empty = _dual_factor.Curvature(jnp.zeros((n, n)), jnp.zeros(size, bool))
    members = _dual_factor.Members(jnp.asarray(rows), problem, jnp.asarray(rows), empty)
    assert changed <= _dual_factor.reach(members)
    L, _ = _dual_factor.factor(members, empty, jnp.asarray(of), jnp.asarray(lam))
    found = _dual_factor.descent(members, L, jnp.asarray(of), jnp.asarray(now), jnp.asarray(lam), jnp.asarray(g))
    exact = -np.linalg.solve(np.eye(n) + (rows[now] / b[now, None]).T @ rows[now] / lam, g)
    np.testing.assert_allclose(found, exact, atol=1e-12 * np.abs(g).max())


@pytest.mark.parametrize("options", [{}, {"lower": 0.0}, {"weights": np.arange(N + 1) % 3.0}])
def test_corrected_factors_lead_to_the_same_answers(used, monkeypatch, options):
    monkeypatch.setattr(_dual_factor, "_LARGE", 1)
    X, y = made(N + 1)
    named = {NAMES.get(name, name): value for name, value in options.items()}
    fit = jaxreg.path(X, y, ElasticNet(l1_ratio=0.5), loss=HALF, lams=60, **named)
    assert used
    assert stationarity(X, y, fit, 0.5, **options) < 1e-12
    assert fit.gap.max() < 1e-13


def test_the_dual_serves_where_an_unpenalised_column_says_nothing(used):
    """It is projected out with the others, of which nothing is left; its own coefficient is zero."""
    X, y = made()
    X[:, 3], X[:, 7] = 2.0, X[:, 7] + 5
    factors = np.where(np.isin(np.arange(P), [3, 7]), 0.0, 1.0)
    fit = jaxreg.path(X, y, ElasticNet(), loss=HALF, lams=20, penalty_factor=factors)
    assert used
    assert fit.gap.max() < 1e-12
    assert (fit.coef[:, 3] == 0).all()
    assert stationarity(X, y, fit, 0.5, factor=factors) < 1e-11


def test_a_grid_of_close_pairs(used):
    """A line through two λ that are close, far onward, would multiply the rounding of what lies on it, pair by pair."""
    X, y = made(seed=3)
    top = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / N / 0.5
    lams = np.ravel([[lam, lam * (1 - 1e-6)] for lam in top * np.geomspace(0.9, 0.02, 16)])
    fit = jaxreg.path(X, y, ElasticNet(l1_ratio=0.5), loss=HALF, lams=lams)
    assert used
    assert fit.method == "batch"
    assert stationarity(X, y, fit, 0.5) < 1e-12


BOUNDS = [{"lower": 0.0}, {"lower": -0.1, "upper": 0.3}, {"lower": -0.1, "upper": np.linspace(0.05, 0.3, P)}]


@pytest.mark.parametrize("options", BOUNDS, ids=["positive", "narrow", "of each"])
def test_a_lasso_with_bounds_far_down_its_path(used, options):
    """It took a minute a λ where nearly all coefficients are at a bound, and did not end for thousands of features."""
    X, y = made(seed=6)
    top = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / N
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=HALF, lams=top * np.geomspace(1, 1e-5, 30), **options)
    assert used
    assert fit.method == "batch"
    assert fit.converged.all()
    assert stationarity(X, y, fit, 1.0, **options) < 1e-10


@pytest.mark.parametrize("share", [1e-3, 1e-5])
def test_a_single_small_lam_of_a_lasso_with_bounds(used, share):
    X, y = made(seed=7)
    top = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / N
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=HALF, lams=[share * top], lower=-0.1, upper=0.3)
    assert used
    assert fit.converged.all()
    assert stationarity(X, y, fit, 1.0, lower=-0.1, upper=0.3) < 1e-10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_with_factors_and_weights_by_proximal_steps(used, dtype):
    """Some features without a penalty, bounded or not; rows without weight."""
    X, y = made(seed=8)
    factor = np.where(np.arange(P) % 50 == 0, 0.0, 1.0)
    weights, lower = np.arange(N) % 3.0, np.where(np.arange(P) < 5, -np.inf, -0.05)
    upper = np.where(np.arange(P) < 5, np.inf, 0.2)
    top = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / N
    options = {"sample_weight": weights, "penalty_factor": factor, "lower": lower, "upper": upper}
    fit = jaxreg.path(X.astype(dtype), y.astype(dtype), jaxreg.L1(), loss=HALF, lams=top * np.geomspace(1, 1e-3, 12), **options)
    assert used
    assert fit.converged.all()
    worst = stationarity(X, y, fit, 1.0, weights=weights, factor=factor, lower=lower.astype(dtype), upper=upper.astype(dtype))
    assert worst < (1e-10 if dtype == np.float64 else 1e-4)


def test_folds_of_a_lasso_with_bounds_are_paths_of_their_rows(used):
    X, y = made(seed=9)
    folds = np.arange(N) % 4
    cv = jaxreg.cross_validate(X, y, jaxreg.L1(), loss=HALF, lams=20, folds=folds, lower=0.0)
    alone = jaxreg.path(X[folds != 1], y[folds != 1], jaxreg.L1(), loss=HALF, lams=cv.lams, lower=0.0)
    assert used
    np.testing.assert_allclose(cv.fold_coef[1], alone.coef, atol=1e-8)


def test_columns_that_correlations_spoil_under_bounds(used):
    """More rows than features: what the Gram matrix misses is gone on with in the dual there, too."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 1)) + 0.03 * rng.normal(size=(150, 100))
    y = X[:, :5].sum(axis=1) + rng.normal(size=150)
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=HALF, lams=20, lower=0.0)
    assert fit.converged.all()
    assert stationarity(X, y, fit, 1.0, lower=0.0) < 1e-9
