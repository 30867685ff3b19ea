"""The exact lasso path: knots against published and independent ones, answers against the definition, and hard inputs.

The oracle is the definition in NumPy: at λ the coefficients w solve the lasso exactly if every column's inner product with the
residual, in units of the loss, is −λ·a·sign(w) where w ≠ 0 and within ±λ·a elsewhere.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import lars_path

import jaxreg
from jaxreg import losses
from jaxreg._path import _at_once, _dual, _knots, _lasso, _working_set
from jaxreg._path._engine import Design, Setup
from jaxreg._path._moments import second_moments, squared_sums

from . import reference
from .reference import made

EPS = np.finfo(float).eps


def violation(X, y, fit, *, weights=None, offset=None, factor=None, intercept=True, standardize=False):
    """The largest distance from stationarity over the path, relative to what rounding in X and y can account for.

    Each inner product is a sum of n rounded terms, of size at most that of |x|·|residual at the null model|, and carries the
    error of coefficients solved by elimination; 1 means n·eps times that size.
    """
    n = len(y)
    v = np.ones(n) if weights is None else np.asarray(weights, float)
    shift = np.zeros(n) if offset is None else offset
    a = np.ones(X.shape[1]) if factor is None else np.asarray(factor, float)
    mean = np.average(X, axis=0, weights=v)
    if standardize:
        a = a * np.sqrt(np.average((X - mean) ** 2, axis=0, weights=v))
    kappa = {"sum": 2.0, "mean": 2 / v.sum(), "half_mean": 1 / v.sum()}[fit.loss.reduction]
    target = y - shift - (np.average(y - shift, weights=v) if intercept else 0)
    columns = X - (mean if intercept else 0)
    size = kappa * np.sqrt(v @ columns**2) * np.sqrt(v @ target**2)
    worst = 0.0
    for lam, w, b in zip(fit.lams, fit.coef, fit.intercept, strict=True):
        residual = v * (y - shift - X @ w - b)
        slope = kappa * (columns.T @ residual)
        off = np.where(w != 0, np.abs(slope - lam * a * np.sign(w)), np.maximum(np.abs(slope) - lam * a, 0))
        worst = max(worst, np.max(off / np.where(size > 0, size, 1)))
        if intercept:
            worst = max(worst, abs(residual.sum()) / np.sqrt(v.sum() * (v @ target**2)))
    return worst / (n * EPS)


# --- knots -----------------------------------------------------------------------------------------------------------------


@pytest.mark.thin(2)
@pytest.mark.parametrize("reduction", ["sum", "half_mean"])
def test_diabetes_knots_as_published(reduction):
    X, y = load_diabetes(return_X_y=True)
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=losses.SquaredError(reduction), lams=[1.0, 0.0])
    unit = {"sum": 2.0, "half_mean": 1 / len(y)}[reduction]  # of ½·SSE
    # Twelve events; eight decimals are published, and at the smallest knot rounding of λ_max is what decides.
    np.testing.assert_allclose(fit.knots.lams / unit, reference.DIABETES_KNOTS[:-1], atol=1e-8, rtol=1e-10)
    names = np.array(load_diabetes().feature_names)
    assert names[fit.knots.features].tolist() == [*reference.DIABETES_ENTRY, "s3", "s3"]
    assert fit.knots.entered.tolist() == [True] * 10 + [False, True]
    assert fit.method == "homotopy"
    assert fit.fallback is None
    np.testing.assert_allclose(fit.coef[-1], reference.DIABETES_LEAST_SQUARES, atol=5e-6)


@pytest.mark.thin(3)
@pytest.mark.parametrize(("n", "p"), [(50, 8), (200, 40), (25, 60)])
@pytest.mark.parametrize("seed", [0, 1])
def test_knots_and_coefficients_are_those_of_lars(n, p, seed):
    X, y = made(n, p, seed=seed)
    X0, y0 = X - X.mean(0), y - y.mean()
    smallest = 1e-3 * np.abs(X0.T @ y0).max()
    alphas, _, coefs = lars_path(X0, y0, method="lasso", alpha_min=smallest / n)  # ½·SSE/n + alpha·Σ|w|
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=[2 * smallest])
    assert fit.method == "homotopy"
    np.testing.assert_allclose(fit.knots.lams, 2 * n * alphas[:-1], rtol=1e-8)
    for knot, expected in list(zip(fit.knots.lams, coefs.T, strict=False))[1:]:
        coef, intercept = fit.coef_at(knot) if knot <= fit.lams[0] else fit.knots.coef_at(knot, p)
        np.testing.assert_allclose(coef, expected, atol=1e-8 * np.abs(coefs).max())
        np.testing.assert_allclose(intercept, y.mean() - X.mean(0) @ expected, atol=1e-8 * np.abs(y).max())


def test_coef_at_is_exact_across_knots():
    X, y = load_diabetes(return_X_y=True)
    coarse = jaxreg.path(X, y, jaxreg.L1(), lams=[1800.0, 3.0])
    lams = np.geomspace(1799, 3.1, 30)
    exact = jaxreg.path(X, y, jaxreg.L1(), lams=lams)
    for lam, coef, intercept in zip(exact.lams, exact.coef, exact.intercept, strict=True):
        found = coarse.coef_at(lam)
        np.testing.assert_allclose(found[0], coef, atol=1e-9)
        np.testing.assert_allclose(found[1], intercept, atol=1e-9)
        assert ((found[0] != 0) == (coef != 0)).all()


# --- answers against the definition ---------------------------------------------------------------------------------------------


SHAPES = [(30, 12), (12, 30), (6, 9), (20, 20)]  # few, because each compiles its own programs


def problem(seed):
    """A random small problem with random options."""
    rng = np.random.default_rng(seed)
    n, p = SHAPES[seed % 4]
    X, y = made(n, p, seed=seed)
    kind = seed % 10
    if kind == 1:  # duplicated and negated columns
        X[:, 1], X[:, 2] = X[:, 0], -X[:, 0]
    elif kind == 2:
        X[:, -1] = 3.0  # constant
    elif kind == 3:
        X = X * 10.0 ** rng.integers(-8, 9, p)
    elif kind == 4:
        X = np.round(X)  # ties
        y = np.round(y)
    elif kind == 5:  # collinear to rounding
        X[:, 3] = X[:, 0] + X[:, 1] - X[:, 2]
    elif kind == 6:
        X = (X.mean(0) < X).astype(float)
    options = {}
    if seed // 4 % 2:
        options["intercept"] = False
    if seed % 3 == 1:
        options["sample_weight"] = rng.integers(0, 4, n) + (np.arange(n) < 3) * 1.0
    if seed % 5 == 2:
        options["offset"] = rng.normal(size=n)
    if seed % 3 == 2:
        options["penalty_factor"] = rng.uniform(0.2, 3, p)
    if seed % 7 == 3:
        options["penalty_factor"] = np.where(np.arange(p) < min(2, n // 4), 0.0, options.get("penalty_factor", np.ones(p)))
    if seed % 11 == 5:
        options["standardize"] = True
    return X, y, options


# The solver works on columns of norm one, from their Gram matrix: its errors are rounding times the condition of the active
# columns, of which 1e4 stands for a hundred squared.
ROUNDING = 1e4


@pytest.mark.thin(8)
@pytest.mark.parametrize("seed", [pytest.param(i, marks=pytest.mark.slow if i >= 16 else ()) for i in range(50)])
def test_random_problems_satisfy_the_optimality_conditions(seed):
    X, y, options = problem(seed)
    loss = losses.SquaredError(["sum", "mean", "half_mean", "sum"][seed % 4])
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=loss, lams=20, **options)
    assert fit.converged.all()
    assert np.isfinite(fit.coef).all()
    names = {"sample_weight": "weights", "penalty_factor": "factor"}
    found = violation(X, y, fit, **{names.get(key, key): value for key, value in options.items()})
    assert found < ROUNDING, (fit.method, fit.fallback)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(60, 7), (20, 35), (3, 12), (2, 5)])
def test_lambdas_of_every_kind(shape):
    X, y = made(*shape)
    top = jaxreg.path(X, y, jaxreg.L1(), lams=2).lams[0]
    lams = [top / 2, 0.0, 3 * top, top / 2, top / 50, top]
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=lams)
    assert fit.reordered
    assert fit.nonzeros[:2].tolist() == [0, 0]
    np.testing.assert_array_equal(fit.coef[2], fit.coef[3])
    assert fit.converged.all()
    assert violation(X, y, fit) < ROUNDING
    alone = jaxreg.path(X, y, jaxreg.L1(), lams=[top / 50])
    np.testing.assert_allclose(alone.coef[0], fit.coef[4], atol=1e-9 * max(1, np.abs(fit.coef).max()))
    above = jaxreg.path(X, y, jaxreg.L1(), lams=[2 * top])
    assert above.nonzeros[0] == 0
    assert len(above.knots.lams) == 0


@pytest.mark.slow
def test_a_target_that_explains_nothing():
    X = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    y = np.array([1.0, 1, -1, -1])  # orthogonal to both columns
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=[1.0, 0.5, 0.0])
    assert (fit.coef == 0).all()
    assert fit.converged.all()


def test_ties_of_all_features_at_once():
    X = np.vstack([np.eye(6), -np.eye(6)])
    fit = jaxreg.path(X, X @ np.ones(6), jaxreg.L1(), lams=[8.0, 4.0, 2.0, 0.0])
    np.testing.assert_allclose(fit.coef, np.outer([0, 0, 0.5, 1], np.ones(6)), atol=4 * EPS)
    assert fit.method == "homotopy"


@pytest.mark.slow
def test_nearly_equal_columns():
    """Columns 1e-5 apart: their difference has a pivot of 1e-10, so that the Gram matrix leaves six of sixteen digits of it."""
    X, y = made(80, 5)
    X[:, 1] = X[:, 0] + 1e-5 * np.random.default_rng(1).normal(size=80)
    assert jaxreg.path(X, y, jaxreg.L1()).gap.max() < 1e-12
    with pytest.warns(jaxreg.ConvergenceWarning):
        small = jaxreg.path(X, y, jaxreg.L1(), lams=np.geomspace(100, 1e-6, 30))
    assert np.isfinite(small.coef).all()
    assert not small.converged[-1]


@pytest.mark.slow
def test_float32_says_what_it_reached():
    X, y = (x.astype(np.float32) for x in made(80, 12))
    fit = jaxreg.path(X, y, jaxreg.L1())
    assert fit.coef.dtype == np.float32
    assert fit.knots.lams.dtype == np.float32
    assert fit.converged.all()
    assert fit.gap.max() < 1e-5
    double = jaxreg.path(X.astype(float), y.astype(float), jaxreg.L1(), lams=fit.lams.astype(float))
    np.testing.assert_allclose(fit.coef, double.coef, atol=1e-3 * np.abs(double.coef).max())


# --- unpenalised features, options ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_unpenalised_features_are_profiled_out():
    X, y = made(60, 9)
    factor = np.array([0, 1, 1, 0, 1, 1, 2, 1, 1.0])
    fit = jaxreg.path(X, y, jaxreg.L1(), penalty_factor=factor)
    # The others see what is left of them and of y beside the intercept and the two.
    A = np.c_[np.ones(60), X[:, [0, 3]]]
    rest = factor > 0
    left = np.c_[X[:, rest], y] - A @ np.linalg.lstsq(A, np.c_[X[:, rest], y], rcond=None)[0]
    alone = jaxreg.path(left[:, :-1], left[:, -1], jaxreg.L1(), penalty_factor=factor[rest], intercept=False, lams=fit.lams)
    np.testing.assert_allclose(fit.coef[:, rest], alone.coef, atol=1e-9)
    assert fit.method == "homotopy"
    assert set(fit.knots.features.tolist()) <= set(np.flatnonzero(rest).tolist())


@pytest.mark.slow
def test_an_unpenalised_feature_twice_and_a_constant_one():
    X, y = made(60, 5)
    X = np.c_[X, X[:, 0], np.ones(60)]
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=20, penalty_factor=[0, 1, 1, 1, 1, 0, 0])
    assert fit.converged.all()


@pytest.mark.slow
def test_what_is_no_plain_lasso_keeps_its_solver():
    X, y = made(30, 4)
    for penalty, options in [
        (jaxreg.ElasticNet(), {}),
        (jaxreg.L1(), {"lower": 0.0}),
    ]:
        fit = jaxreg.path(X, y, penalty, lams=[2.0, 1.0], **options)
        assert (fit.method, fit.knots) == ("batch", None)
    assert jaxreg.path(X, y, jaxreg.L2(), lams=2).method == "ridge"
    assert jaxreg.path(X, y, jaxreg.L1(np.array([1.0, 2, 0, 1])) + jaxreg.L1(0.5), lams=2).method == "homotopy"


# --- more features than a tableau holds ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_working_sets_reach_the_same_answer():
    X, y = made(40, 1300, noise=0.1)
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=25)
    assert fit.method == "homotopy"
    assert fit.gap.max() < 1e-12
    assert violation(X, y, fit) < ROUNDING
    ever = np.unique(fit.knots.features)
    small = jaxreg.path(X[:, ever], y, jaxreg.L1(), lams=fit.lams)
    np.testing.assert_allclose(fit.coef[:, ever], small.coef, atol=1e-9)
    np.testing.assert_allclose(fit.knots.lams, small.knots.lams, rtol=1e-9)


@pytest.mark.slow
def test_working_sets_grow(monkeypatch):
    monkeypatch.setattr(_working_set, "_SMALLEST", 128)
    X, y = made(100, 1100, noise=3.0)
    options = {"penalty_factor": np.r_[0, 0, np.ones(1098)], "sample_weight": np.r_[np.zeros(5), np.ones(95)]}
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=np.geomspace(200, 1, 15), **options)
    assert fit.converged.all()
    assert fit.method == "homotopy"
    assert violation(X, y, fit, weights=options["sample_weight"], factor=options["penalty_factor"]) < ROUNDING


# --- when it falls short ------------------------------------------------------------------------------------------------------


def test_a_path_that_breaks_is_finished_by_newton_and_says_so(monkeypatch):
    X, y = made(60, 7)
    right = jaxreg.path(X, y, jaxreg.L1(), lams=20)
    whole = _knots.trace

    def broken(tableau, floor):
        tableau, segments = whole(tableau, floor)
        cut = len(segments.index) // 2
        coef = np.concatenate([segments.coef[:cut], np.full((1, 7), np.nan)])
        return tableau, segments._replace(
            index=segments.index[:cut], entered=segments.entered[:cut], breaks=segments.breaks[[*range(cut), -1]], coef=coef
        )

    monkeypatch.setattr("jaxreg._path._at_once.fit", lambda *_, **__: None)
    monkeypatch.setattr("jaxreg._path._lasso.trace", broken)
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=20)
    assert fit.method == "newton"
    assert "Newton" in fit.fallback
    assert fit.fallback in str(fit)
    assert fit.knots is None
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef, right.coef, atol=1e-7)


@pytest.mark.parametrize("penalty", [jaxreg.L1(), jaxreg.ElasticNet(l1_ratio=0.5)], ids=repr)
def test_what_one_program_gets_wrong_is_put_right_by_newton_and_nothing_else(monkeypatch, penalty):
    X, y = made(60, 7)
    right = jaxreg.path(X, y, penalty, lams=20)
    whole = _at_once.fit
    monkeypatch.setattr(_dual, "_MOST", 0)  # which would put an elastic net right before Newton does

    def spoiled(*args, **options):
        found = whole(*args, **options)
        bad = np.arange(20) >= 15
        gap = np.where(bad, 0.1, found.certificate.gap)
        return found._replace(coef=np.where(bad[:, None], 7.0, found.coef), certificate=found.certificate._replace(gap=gap))

    monkeypatch.setattr("jaxreg._path._at_once.fit", spoiled)
    fit = jaxreg.path(X, y, penalty, lams=20)
    assert fit.method == "newton"
    assert "missed tol at 5 λ" in fit.fallback
    assert fit.knots is None
    assert fit.converged.all()
    np.testing.assert_array_equal(fit.coef[:15], right.coef[:15])
    np.testing.assert_allclose(fit.coef, right.coef, atol=1e-7)


OPTIONS = {
    "plain": {},
    "weights and offset": {"sample_weight": np.r_[np.zeros(5), np.linspace(1, 3, 55)], "offset": np.linspace(-1, 1, 60)},
    "no intercept, factors": {"intercept": False, "penalty_factor": np.linspace(0.5, 2, 7)},
    "standardized": {"standardize": True, "lams": [3.0, 0.5, 0.0]},
}


@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("penalty", [jaxreg.L1(), jaxreg.ElasticNet(l1_ratio=0.5)], ids=repr)
def test_one_program_answers_as_the_general_way_does(monkeypatch, penalty, name):
    X, y = made(60, 7)
    options = {"lams": 20, "folds": np.arange(60) % 4} | OPTIONS[name]
    found = jaxreg.cross_validate(X, y, penalty, **options)
    used = []
    monkeypatch.setattr("jaxreg._path._at_once.fit", lambda *_, **__: used.append(1))
    other = jaxreg.cross_validate(X, y, penalty, **options)
    assert used  # and it answered None
    for name in ("fold_coef", "fold_intercept", "fold_errors", "mean"):
        np.testing.assert_allclose(getattr(found, name), getattr(other, name), rtol=1e-9, atol=1e-11)
    for name in ("lams", "coef", "intercept", "loss_value"):
        np.testing.assert_allclose(getattr(found.path, name), getattr(other.path, name), rtol=1e-9, atol=1e-11)
    assert found.path.method == other.path.method
    if found.path.knots is not None:
        np.testing.assert_allclose(found.path.knots.lams, other.path.knots.lams, rtol=1e-9)
        np.testing.assert_array_equal(found.path.knots.features, other.path.knots.features)


@pytest.mark.parametrize("most", [2, 6])
def test_a_path_that_stops_early_has_the_knots_so_far(most):
    X, y = made(60, 7)
    whole = jaxreg.path(X, y, jaxreg.L1(), lams=40)
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=40, max_nonzeros=most)
    assert 0 < len(fit.lams) < 40
    kept = whole.knots.lams > fit.lams[-1]
    assert kept.any()
    assert kept.all() == (most == 6)  # all features are in: nothing happens below
    np.testing.assert_array_equal(fit.knots.lams, whole.knots.lams[kept])
    np.testing.assert_allclose(fit.knots.coef_at(fit.lams[-1], 7)[0], whole.coef[len(fit.lams) - 1], rtol=1e-12)


def test_a_path_of_more_events_than_there_is_room_for_takes_the_general_way(monkeypatch):
    X, y = made(60, 7)
    right = jaxreg.path(X, y, jaxreg.L1(), lams=20)
    monkeypatch.setattr(_at_once, "_room", lambda n, p: 4)
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=20)
    assert fit.method == "homotopy"
    assert len(fit.knots.lams) > 4
    np.testing.assert_allclose(fit.coef, right.coef, rtol=1e-12, atol=1e-12)


def test_nothing_unfinished_is_called_converged():
    X, y = made(60, 7)
    with pytest.warns(jaxreg.ConvergenceWarning):
        fit = jaxreg.path(X, y, jaxreg.L1(), lams=5, tol=1e-30)
    assert not fit.converged.all()
    assert np.isfinite(fit.coef).all()


@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_changing_lambda_or_data_does_not_compile_anew():
    X, y = made(60, 7)
    jaxreg.path(X, y, jaxreg.L1(), lams=20)
    before = _at_once._fit._cache_size()
    jaxreg.path(X, y[::-1].copy(), jaxreg.L1(3.0), lams=np.geomspace(5, 1, 15))
    assert _at_once._fit._cache_size() == before
    jaxreg.cross_validate(X, y, jaxreg.L1(), lams=20, folds=3, key=jax.random.key(0))
    before = _at_once._fit._cache_size()
    jaxreg.cross_validate(X, y[::-1].copy(), jaxreg.L1(), lams=22, folds=3, key=jax.random.key(1))
    assert _at_once._fit._cache_size() == before


# --- folds --------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_folds_are_the_paths_of_their_rows():
    X, y = made(60, 7)
    X[:, 2] *= 1e6
    v = np.random.default_rng(3).uniform(0.1, 2, 60)
    ids = np.arange(60) % 4
    options = {"penalty_factor": [0, 1, 1, 1, 1, 2, 1], "standardize": True}
    cv = jaxreg.cross_validate(X, y, jaxreg.L1(), loss=losses.SquaredError("mean"), lams=15, folds=ids, sample_weight=v, **options)
    assert cv.fold_converged.all()
    assert cv.fold_method == ("homotopy",) * 4
    for k in range(4):
        rows = ids != k
        alone = jaxreg.path(X[rows], y[rows], jaxreg.L1(), loss=losses.SquaredError("mean"), lams=cv.lams, sample_weight=v[rows], **options)
        np.testing.assert_allclose(cv.fold_coef[k] * X.std(0), alone.coef * X.std(0), atol=1e-9)
        held = np.average((y[~rows] - alone.intercept[:, None] - alone.coef @ X[~rows].T) ** 2, axis=1, weights=v[~rows])
        np.testing.assert_allclose(cv.fold_errors[k], held, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_a_feature_that_lives_in_one_fold():
    X, y = made(60, 5)
    ids = np.arange(60) // 15
    X[:, 3] = np.where(ids == 2, X[:, 3], 1.0)
    X[:, 4] = np.where(ids == 1, 1e9, 1.0) * X[:, 4]  # subtracting that fold leaves no digit
    cv = jaxreg.cross_validate(X, y, jaxreg.L1(), lams=[30.0, 3.0], folds=ids)
    assert cv.fold_converged.all()
    assert (cv.fold_coef[2, :, 3] == 0).all()
    alone = jaxreg.path(X[ids != 1], y[ids != 1], jaxreg.L1(), lams=cv.lams)
    np.testing.assert_allclose(cv.fold_coef[1], alone.coef, atol=1e-9)


# --- sums over blocks of rows ------------------------------------------------------------------------------------------------------


def test_sums_over_blocks_are_the_sums_over_all_rows(x64):
    """2500 rows: two blocks of 1024 and one that reaches back."""
    rng = np.random.default_rng(0)
    X, y, v = rng.normal(size=(2500, 3)) + 5, rng.normal(size=2500), rng.uniform(0, 2, 2500)
    design = Design(*(jnp.asarray(x) for x in (X, y, np.sin(y), np.zeros(3, bool))), None, None)
    response = y - np.sin(y)
    ends = np.array([700, 1900, 2500])
    found = second_moments(design, jnp.asarray(v), jnp.full(3, 5.0), jnp.asarray(0.5), jnp.asarray(ends))
    a = np.c_[X - 5, response - 0.5, np.ones(2500)]
    for part, rows in zip(found, np.split(np.arange(2500), ends[:-1]), strict=True):
        np.testing.assert_allclose(part, a[rows].T @ (v[rows, None] * a[rows]), rtol=1e-11, atol=1e-10)
    A, w, b = np.c_[np.ones(2500), X[:, 0]], rng.normal(size=(4, 3)), rng.normal(size=(4, 1))
    setup = Setup(losses.SquaredError("mean"), True, False, None, 3)
    sums, lever = squared_sums(setup, design, *(jnp.asarray(x) for x in (v, A, w, b)))
    residual = X @ w.T + b.T - response[:, None]
    s = 2 * v[:, None] / v.sum() * residual
    expected = (s * residual).sum(0) / 2, s.T @ X, s.T @ A, s.sum(0), s.T @ response
    for got, value in zip((*sums, lever), (*expected, (2 * v / v.sum() * A.T) @ X), strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-11, atol=1e-11)


# --- several lanes as one program ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"penalty_factor": np.r_[0.0, 0.0, np.ones(10)]},
        {"sample_weight": np.arange(60) % 3.0, "standardize": True},
        pytest.param({"intercept": False, "offset": np.linspace(-1, 1, 60)}, marks=pytest.mark.slow),
    ],
)
def test_folds_in_one_program_are_those_followed_apart(monkeypatch, options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 12))
    y = X[:, :4] @ rng.normal(size=4) + 2 * rng.normal(size=60)
    X[:, 5] = X[:, 4]
    folds = np.arange(60) % 4
    fit = lambda: jaxreg.cross_validate(X, y, jaxreg.L1(), folds=folds, lams=np.geomspace(300, 0.1, 40), **options)  # noqa: E731
    monkeypatch.setattr(_at_once, "fit", lambda *_, **__: None)
    together = fit()
    monkeypatch.setattr(_lasso, "_MOST", 0)
    monkeypatch.setattr(_lasso, "several", None)  # would fail if it were called
    apart = fit()
    assert set(together.fold_method) == {"homotopy"}
    np.testing.assert_allclose(together.fold_coef, apart.fold_coef, atol=1e-12)
    np.testing.assert_allclose(together.fold_intercept, apart.fold_intercept, atol=1e-12)
    np.testing.assert_allclose(together.fold_errors, apart.fold_errors, rtol=1e-10)


def test_a_fold_with_too_many_events_is_followed_apart(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6)), rng.normal(size=40)
    fit = lambda: jaxreg.cross_validate(X, y, jaxreg.L1(), folds=np.arange(40) % 4, lams=np.geomspace(30, 0.1, 10))  # noqa: E731
    before = fit()
    monkeypatch.setattr(_at_once, "fit", lambda *_, **__: None)
    several, found = _lasso.several, []

    def few(*args, most):
        found.append(several(*args, most=3))
        return found[-1]

    monkeypatch.setattr(_lasso, "several", few)
    after = fit()
    assert not np.asarray(found[0].whole).any()
    np.testing.assert_allclose(after.fold_coef, before.fold_coef, atol=1e-13)


# --- many targets ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"sample_weight": np.arange(60) % 3.0, "standardize": True},
        pytest.param({"intercept": False, "offset": np.linspace(-1, 1, 60)}, marks=pytest.mark.slow),
        pytest.param({"lower": 0.0, "upper": 0.4}, marks=pytest.mark.slow),
        pytest.param({"penalty_factor": np.r_[0.0, 0.0, np.linspace(0.5, 2, 10)]}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("penalty", [jaxreg.L1(), jaxreg.ElasticNet(l1_ratio=0.5)])
def test_many_targets_are_so_many_paths(penalty, options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 12))
    Y = X[:, :3] @ rng.normal(size=(3, 4)) + rng.normal(size=(60, 4))
    if "offset" in options:
        options = {**options, "offset": np.tile(options["offset"][:, None], 4)}
    fit = jaxreg.path(X, Y, penalty, lams=np.geomspace(60, 0.5, 15), **options)
    assert (fit.method, fit.fallback) == ("homotopy" if isinstance(penalty, jaxreg.L1) and "lower" not in options else "batch", None)
    assert fit.gap.max() < 1e-12
    for t in range(4):
        own = {**options, "offset": options["offset"][:, t]} if "offset" in options else options
        one = jaxreg.path(X, Y[:, t], penalty, lams=fit.lams, **own)
        np.testing.assert_allclose(fit.coef[..., t], one.coef, atol=1e-11)
        np.testing.assert_allclose(fit.intercept[:, t], one.intercept, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [jaxreg.L1(), jaxreg.ElasticNet(l1_ratio=0.5)])
def test_many_targets_of_more_features_than_a_tableau_holds(penalty):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 1500))
    Y = X[:, :3] @ rng.normal(size=(3, 2)) + rng.normal(size=(40, 2))
    fit = jaxreg.path(X, Y, penalty, lams=12)
    assert fit.method in ("homotopy", "batch")
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef[..., 1], jaxreg.path(X, Y[:, 1], penalty, lams=fit.lams).coef, atol=1e-10)


def test_many_targets_of_an_elastic_net_with_more_features_than_rows():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 300))
    Y = X[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(20, 2))
    fit = jaxreg.path(X, Y, jaxreg.ElasticNet(l1_ratio=0.5), lams=5)
    assert fit.method == "batch"
    assert fit.converged.all()
    for t in range(2):
        np.testing.assert_allclose(
            fit.coef[..., t], jaxreg.path(X, Y[:, t], jaxreg.ElasticNet(l1_ratio=0.5), lams=fit.lams).coef, atol=1e-10
        )


def test_folds_of_many_targets_are_the_paths_of_their_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    Y = 3 * X[:, :3] + rng.normal(size=(40, 3))
    folds = np.arange(40) % 4
    cv = jaxreg.cross_validate(X, Y, jaxreg.L1(), folds=folds, lams=[20.0, 5.0, 1.0])
    assert set(cv.fold_method) == {"homotopy"}
    alone = jaxreg.path(X[folds != 2], Y[folds != 2], jaxreg.L1(), lams=cv.lams)
    np.testing.assert_allclose(cv.fold_coef[2], alone.coef, atol=1e-11)
