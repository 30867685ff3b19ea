"""Smooth losses with elastic-net penalties, many λ at once: against Newton's method on the whole problem, and the options."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg import losses
from jaxreg._path import _likelihood, _proximal_newton, _together
from jaxreg._warnings import ConvergenceWarning

from .test_peers import drawn


def made(loss, n=80, p=8, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.7 * rng.normal(size=(n, 1))
    eta = X[:, : min(p, 5)] @ rng.normal(size=min(p, 5)) * 0.5
    y = {
        "Logistic": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
        "Poisson": rng.poisson(np.exp(eta)).astype(float),
        "Gamma": rng.gamma(2.0, np.exp(eta) / 2),
        "Tweedie": rng.poisson(np.exp(eta)) * rng.gamma(2.0, 1.0, n),
    }[type(loss).__name__]
    return X, y


LOSSES = [losses.Logistic(), losses.Poisson("mean"), losses.Gamma(), losses.Tweedie(power=1.5)]
OPTIONS = {
    "plain": {},
    "no intercept": {"intercept": False},
    "standardized": {"standardize": True},
    "unpenalised": {"penalty_factor": np.r_[0.0, 0.0, np.linspace(0.5, 2, 6)]},
    "weights": {"sample_weight": np.arange(80) % 4.0},
    "offset": {"offset": np.linspace(-1, 1, 80)},
    "positive": {"lower": 0.0},
    "bounded": {"lower": -0.05, "upper": np.linspace(0.05, 0.4, 8)},
    "duplicates": {},
    "scales": {},
}


def newton(monkeypatch, *args, **options):
    with monkeypatch.context() as patched:
        patched.setattr(_likelihood, "strengths", lambda *_: None)
        fit = jaxreg.path(*args, **options)
    assert fit.method == "newton"
    return fit


SLOW = [pytest.param(loss, marks=pytest.mark.slow) for loss in LOSSES[2:]]  # their formulas are test_glm_losses'; these are other numbers


@pytest.mark.slow
@pytest.mark.parametrize("loss", [*LOSSES[:2], *SLOW], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("option", [o if o == "weights" else pytest.param(o, marks=pytest.mark.slow) for o in OPTIONS])
def test_options_are_certified(loss, option):
    X, y = made(loss)
    if option == "duplicates":
        X[:, 3], X[:, 5] = X[:, 2], 7.0
    if option == "scales":
        X = X * np.logspace(-6, 6, 8)
    fit = jaxreg.path(X, y, jaxreg.ElasticNet(l1_ratio=0.7), loss=loss, lams=20, **OPTIONS[option])
    assert (fit.method, fit.fallback) == ("batch", None)
    assert fit.converged.all()
    assert fit.gap.max() < 1e-11
    if option in ("positive", "bounded"):
        lower, upper = OPTIONS[option]["lower"], OPTIONS[option].get("upper", np.inf)
        assert ((fit.coef >= lower) & (fit.coef <= upper)).all()
        assert (fit.coef == lower).any()


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [jaxreg.L1(), jaxreg.L2(), jaxreg.L1(np.array([0.0, 0, 1, 2, 1, 1, 1, 1])) + jaxreg.L2(0.1)])
@pytest.mark.parametrize("loss", LOSSES[:2], ids=lambda loss: type(loss).__name__)
def test_equals_newton(monkeypatch, loss, penalty):
    X, y = made(loss)
    # Coefficients are as far off as the root of a gap: to compare them, more is asked of it than by default.
    fit = jaxreg.path(X, y, penalty, loss=loss, lams=15, tol=1e-12)
    assert fit.method == "batch"
    whole = newton(monkeypatch, X, y, penalty, loss=loss, lams=fit.lams)
    # Under squares a gap of tol/1000 lets a residual be the root of 2e-15, 5e-8 of what is far from 0.
    np.testing.assert_allclose(fit.coef, whole.coef, atol=5e-8)
    np.testing.assert_allclose(fit.intercept, whole.intercept, atol=5e-8)


@pytest.mark.parametrize(
    "option", [o if o == "weights" else pytest.param(o, marks=pytest.mark.slow) for o in ("weights", "bounded", "scales")]
)
def test_newtons_own_steps_lead_where_those_with_a_shared_hessian_do(monkeypatch, option):
    X, y = made(losses.Logistic())
    X = X * np.logspace(-6, 6, 8) if option == "scales" else X
    solved, taken = _proximal_newton.linear_solve, []

    def counted(*args):
        jax.debug.callback(lambda: taken.append(1))
        return solved(*args)

    def fit(few_models):
        with monkeypatch.context() as patched:
            patched.setattr(_proximal_newton, "_FEW_MODELS", few_models)
            patched.setattr(_proximal_newton, "linear_solve", counted)
            _proximal_newton._shared.clear_cache()
            found = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=24, tol=1e-12, **OPTIONS[option])
            jax.effects_barrier()
        _proximal_newton._shared.clear_cache()
        return found

    shared = fit(np.inf)
    assert not taken
    own = fit(_proximal_newton._FEW_MODELS)
    assert taken
    assert own.converged.all()
    # In units of their columns, whose scales differ by 1e12.
    np.testing.assert_allclose(own.coef * X.std(axis=0), shared.coef * X.std(axis=0), atol=5e-8)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["plain", "weights", "positive", "unpenalised"])
def test_working_sets_reach_the_same_answer(monkeypatch, option):
    X, y = made(losses.Logistic())
    net, grid = jaxreg.ElasticNet(l1_ratio=0.8), {"lams": 25, "tol": 1e-12}
    fit = lambda: jaxreg.path(X, y, net, loss=losses.Logistic(), **grid, **OPTIONS[option])  # noqa: E731
    whole = fit()
    monkeypatch.setattr(_together, "BLOCK", 2)
    monkeypatch.setattr(_together, "_SMALLEST", 4)
    joined = fit()
    assert (joined.method, joined.fallback) == ("batch", None)
    np.testing.assert_allclose(joined.coef, whole.coef, atol=1e-9)
    assert ((joined.coef == 0) == (whole.coef == 0)).all()


@pytest.mark.slow
def test_more_features_than_rows(monkeypatch):
    X, y = made(losses.Logistic(), 40, 300)
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=15)
    assert (fit.method, fit.fallback) == ("batch", None)
    assert fit.gap.max() < 1e-10
    whole = newton(monkeypatch, X, y, jaxreg.L1(), loss=losses.Logistic(), lams=fit.lams)
    np.testing.assert_allclose(fit.coef, whole.coef, atol=1e-7)


@pytest.mark.slow
def test_targets_are_fitted_apart():
    X, first = made(losses.Poisson())
    y = np.stack([first, made(losses.Poisson(), seed=1)[1], np.flip(first)], axis=1)
    penalty, options = jaxreg.ElasticNet(l1_ratio=0.9), {"loss": losses.Poisson("mean"), "lams": [0.3, 0.1, 0.02]}
    together = jaxreg.path(X, y, penalty, **options)
    assert (together.method, together.coef.shape) == ("batch", (3, 8, 3))
    assert together.converged.all()
    for t in range(3):
        alone = jaxreg.path(X, y[:, t], penalty, **options)
        np.testing.assert_allclose(together.coef[..., t], alone.coef, atol=1e-10)
        np.testing.assert_allclose(together.intercept[:, t], alone.intercept, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_folds_are_the_paths_of_their_rows(targets):
    X, y = made(losses.Poisson(), 90)
    y = y if targets == 1 else np.stack([y, np.flip(y)], axis=1)
    penalty, options = jaxreg.ElasticNet(l1_ratio=0.6), {"loss": losses.Poisson("mean"), "lams": [0.5, 0.05], "tol": 1e-12}
    cv = jaxreg.cross_validate(X, y, penalty, folds=3, key=jax.random.key(1), **options)
    assert set(cv.fold_method) == {"batch"}
    for k in range(3):
        rows = cv.fold_ids != k
        alone = jaxreg.path(X[rows], y[rows], penalty, **options)
        np.testing.assert_allclose(cv.fold_coef[k], alone.coef, atol=1e-7)  # the root of what is asked of gaps, and a tenth


@pytest.mark.slow
def test_float32_says_what_it_reached():
    X, y = made(losses.Logistic(), 100, 12)
    fit = jaxreg.path(X.astype(np.float32), y.astype(np.float32), jaxreg.L1(), loss=losses.Logistic(), lams=20)
    exact = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=fit.lams.astype(float))
    assert fit.coef.dtype == np.float32
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef, exact.coef, atol=1e-3)


@pytest.mark.parametrize(
    ("p", "penalty"), [(5, jaxreg.ElasticNet(l1_ratio=0.5)), (1100, jaxreg.L2())], ids=["elastic net", "in the rows' space"]
)
def test_what_was_not_near_enough_is_gone_on_with(monkeypatch, p, penalty):
    X, y = made(losses.Logistic(), 43, p)
    right = jaxreg.path(X, y, penalty, loss=losses.Logistic(), lams=9)
    exactly = _together.goals

    def coarse(aim, lams):
        return jnp.where(aim.tol > 0, 1e-3 * aim.unit, exactly(aim, lams))

    asked, find = [], _likelihood.fit

    def counted(*args):
        asked.append(len(args[4]))
        return find(*args)

    monkeypatch.setattr(_proximal_newton, "goals", coarse)
    monkeypatch.setattr(_likelihood, "fit", counted)
    _proximal_newton._shared.clear_cache()
    fit = jaxreg.path(X, y, penalty, loss=losses.Logistic(), lams=9)
    _proximal_newton._shared.clear_cache()
    assert len(asked) == 2
    assert asked[0] == 9
    assert (fit.method, fit.fallback) == ("batch", None)
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef, right.coef, atol=1e-6)


def test_the_intercept_is_no_nonzero_coefficient():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 30))
    y = (X[:, :5].sum(axis=1) + 1 + rng.normal(size=80) > 0).astype(float)
    options = {"loss": losses.Logistic(), "lams": np.r_[8.0, 4.0, np.full(60, 2.0)]}  # as many at the end as in the first chunk
    whole = jaxreg.path(X, y, jaxreg.L1(), **options)
    most = int(whole.nonzeros.max())
    assert len(jaxreg.path(X, y, jaxreg.L1(), max_nonzeros=most, **options).lams) == 62
    assert len(jaxreg.path(X, y, jaxreg.L1(), max_nonzeros=most - 1, **options).lams) < 62


@pytest.mark.slow
def test_a_path_stops_at_max_nonzeros():
    X, y = made(losses.Logistic(), 60, 40)
    whole = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=60)
    part = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=60, max_nonzeros=5)
    assert 8 <= len(part.lams) < 60
    assert part.nonzeros[-1] > 5
    np.testing.assert_allclose(part.coef, whole.coef[: len(part.lams)], atol=1e-10)


@pytest.mark.slow
def test_separable_classes_are_flagged_where_no_minimum_is():
    X, _ = made(losses.Logistic())
    y = (X[:, 0] > 0).astype(float)
    with pytest.warns(ConvergenceWarning, match="1 of 3 λ"):
        fit = jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=[10.0, 1.0, 0.0])
    assert fit.converged.tolist() == [True, True, False]
    assert np.isfinite(fit.coef).all()


def test_changing_lambda_or_data_does_not_compile_anew():
    X, y = made(losses.Logistic())
    jaxreg.path(X, y, jaxreg.L1(), loss=losses.Logistic(), lams=20)
    before = _proximal_newton._shared._cache_size()
    jaxreg.path(2 * X, 1 - y, jaxreg.L1(), loss=losses.Logistic(), lams=np.geomspace(2, 0.1, 20))
    assert _proximal_newton._shared._cache_size() == before


def test_one_small_lambda_from_the_null_model():
    """A whole Newton step from there goes to infinity, and later the small curvatures fall by magnitudes while their sum stays."""
    d = drawn(55)  # Poisson, 45 features that share a factor, 30 rows
    fit = jaxreg.path(d.X, d.y, jaxreg.L1(), loss=losses.Poisson("mean"), lams=[0.009], sample_weight=d.v)
    assert (fit.method, fit.fallback) == ("batch", None)
    assert fit.converged.all()
