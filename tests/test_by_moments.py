"""Certificates from second moments: what they say is what the rows say, and moments that are wrong do not get through."""

import contextlib
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg._path import _at_once, _by_moments, _certified, _moments
from jaxreg._path._engine import Design, Setup

from .optimality import Problem

MEAN = jaxreg.losses.SquaredError("mean")


def made(seed, n=60, p=8):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * np.geomspace(0.1, 10, p) + rng.normal(size=p)
    return X, X @ (rng.normal(size=p) / np.geomspace(0.1, 10, p)) + rng.normal(size=n) + 3


@contextlib.contextmanager
def moments_with(monkeypatch, error):
    """The solver's moments, of all rows, are ``error(moments)``."""
    own = _moments.second_moments
    _at_once._fit.clear_cache()
    with monkeypatch.context() as patch:
        patch.setattr(_moments, "second_moments", lambda *args: error(own(*args)))
        yield
    _at_once._fit.clear_cache()


def wrong_at(j, k, by):
    """The moment of columns j and k (−2: the target) off by a share of what their sizes allow."""

    def error(sums):
        size = by * jnp.sqrt(sums[:, j, j] * sums[:, k, k])
        return sums.at[:, j, k].add(size).at[:, k, j].add(size if j != k else 0)

    return error


@pytest.mark.parametrize("intercept", [True, False])
def test_the_sums_are_those_of_the_rows(x64, intercept):
    X, y = made(0)
    rng = np.random.default_rng(1)
    v, offset = rng.uniform(0, 2, 60) * (rng.uniform(size=60) > 0.2), rng.normal(size=60)
    w, b = rng.normal(size=(5, 8)), rng.normal(size=(5, 1))
    setup = Setup(MEAN, intercept, False, None, 8)
    design = Design(jnp.asarray(X), jnp.asarray(y), jnp.asarray(offset), jnp.zeros(8, bool), None, None)
    moments = _moments.summed(design, v[None], [], *_moments.means(design, v))[0]
    origin = _moments.origin_of(setup, moments)
    assert (origin is None) == (not intercept)
    center, middle = (v @ X / v.sum(), v @ (y - offset) / v.sum()) if intercept else (np.zeros(8), 0.0)
    level = jnp.asarray(b + (w @ center)[:, None] - middle if intercept else b[:, :0])
    sums, lever = _moments.sums_of_moments(setup, moments, 0, jnp.asarray(w), level, origin)
    residual = w @ X.T + offset - y + (b if intercept else 0)
    s, X = 2 * v / v.sum() * residual, X - center
    # Products of numbers up to 100, summed over 60 rows.
    close = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(sums.value, (v / v.sum() * residual**2).sum(axis=1), **close)
    np.testing.assert_allclose(sums.slope, s @ X, **close)
    np.testing.assert_allclose(sums.slope_target, s @ (y - offset - middle), **close)
    np.testing.assert_allclose(sums.slope_intercept, s.sum(axis=1) if intercept else np.zeros(5), **close)
    np.testing.assert_allclose(sums.slope_free, s.sum(axis=1)[:, None] if intercept else np.zeros((5, 0)), **close)
    np.testing.assert_allclose(lever, (2 * v / v.sum() @ X)[None] if intercept else np.zeros((0, 8)), **close)


@pytest.mark.parametrize("by", [1e-12, 1e-8, 1e-4])
@pytest.mark.parametrize("place", [(2, -2), (1, 5), (3, 3)])
def test_gaps_are_no_smaller_than_the_true_ones(x64, monkeypatch, place, by):
    """Of answers to a problem whose moments are wrong, by the dual bound of the definition."""
    X, y = made(2)
    found = []
    fit = _at_once.fit
    with moments_with(monkeypatch, wrong_at(*place, by)), monkeypatch.context() as patch:
        patch.setattr(_at_once, "fit", lambda *args, **options: found.append(fit(*args, **options)) or found[0])
        jaxreg.path(X, y, jaxreg.L1(), loss=MEAN, lams=20)
    (answers,) = found
    true = []
    for lam, w, b in zip(answers.lams, answers.coef[0], answers.intercept[0], strict=True):
        free = np.full(8, np.inf)
        own = Problem("gaussian", X, y, np.full(60, 2 / 60), np.full(8, lam), np.zeros(8), np.zeros((60, 1)), -free, free)
        true.append(own.gap(w, b) / np.mean((y - y.mean()) ** 2))
    rounding = 1e-14
    assert max(true) > 0.01 * by  # these answers are wrong
    assert (answers.certificate.gap[0] + rounding >= true).all()
    assert answers.certificate.gap[0].max() < 100 * by + rounding * 100  # and no more is made of it than that


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize(("penalty", "by"), [(jaxreg.L1(), "newton"), (jaxreg.ElasticNet(), "batch")], ids=["lasso", "elastic net"])
def test_answers_to_wrong_moments_are_found_out_and_mended(monkeypatch, penalty, by, folds):
    """The lasso's by Newton's method, the elastic net's by its dual."""
    X, y = made(3)
    if folds:
        fit = lambda: jaxreg.cross_validate(X, y, penalty, loss=MEAN, lams=20, folds=np.arange(60) % 5)  # noqa: E731
    else:
        fit = lambda: jaxreg.path(X, y, penalty, loss=MEAN, lams=20)  # noqa: E731
    right = fit()
    with moments_with(monkeypatch, wrong_at(2, -2, 1e-3)):
        mended = fit()
    path = mended.path if folds else mended
    assert path.converged.all()
    assert path.method == by
    if folds:
        assert mended.fold_converged.all()
        np.testing.assert_allclose(mended.mean, right.mean, rtol=1e-6)
    # A gap of 1e-10 leaves coefficients of columns whose deviation is 0.1 at least off by less than 1e-3.
    np.testing.assert_allclose(path.coef, (right.path if folds else right).coef, atol=1e-3)


def test_ridge_of_wrong_moments_is_flagged(monkeypatch):
    X, y = made(3)
    with moments_with(monkeypatch, wrong_at(2, -2, 1e-3)), pytest.warns(jaxreg.ConvergenceWarning, match="did not reach tol"):
        fit = jaxreg.path(X, y, jaxreg.L2(), loss=MEAN, lams=20)
    assert not fit.converged.any()


@pytest.mark.parametrize("shape", [(400, 20), (40, 60)], ids=["moments", "rows"])
@pytest.mark.parametrize("penalty", [jaxreg.L1(), jaxreg.ElasticNet(), jaxreg.L2()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("standardize", [False, True])
def test_means_that_are_large_beside_the_spreads_cost_no_digits(penalty, standardize, shape):
    """Of columns 1 ± 1e-5: residuals of uncentred columns would be their rounding."""
    X, y = made(5, *shape)
    fit = jaxreg.path(1 + 1e-5 * X, y, penalty, loss=MEAN, lams=20, standardize=standardize)
    assert fit.converged.all()
    assert fit.gap.max() < 1e-12  # moments and rows differ by a rounding of 1, 1e-11 of the spreads, in the gradient


@pytest.mark.parametrize("penalty", [jaxreg.L1(), jaxreg.ElasticNet(), jaxreg.L2()], ids=lambda p: type(p).__name__)
def test_nor_do_they_change_the_answer(penalty):
    X, y = made(5, 400, 20)
    far = 1 + 1e-5 * X
    options = {"loss": MEAN, "standardize": True}
    fit = jaxreg.path(far, y, penalty, lams=20, **options)
    near = jaxreg.path((far - 1) * 1e5, y, penalty, lams=fit.lams, **options)
    # A mean of 1 and deviations of 1e-6 to 1e-4 leave them 10 digits.
    np.testing.assert_allclose(fit.coef * 1e-5, near.coef, atol=1e-8)


def test_a_target_far_from_zero_beside_its_spread_costs_none_either():
    X, y = made(6)
    fit = jaxreg.path(X, y + 1e9, jaxreg.L1(), loss=MEAN, lams=10)
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef, jaxreg.path(X, y, jaxreg.L1(), loss=MEAN, lams=fit.lams).coef, atol=1e-5)  # 1e9·ε on y


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 24))])
def test_columns_of_very_different_units(seed):
    """What rounding leaves in a large column's gradient counts beside λ: it is the small ones' coefficients that pay for it."""
    rng = np.random.default_rng(seed)
    units = np.where(np.arange(10) < 4, 10 ** rng.uniform(4.5, 8), 1)
    X = rng.normal(size=(160, 10)) * units
    y = X @ (rng.normal(size=10) / units) + 0.01 * rng.normal(size=160)
    lam = 10 ** rng.uniform(-1, 1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxreg.ConvergenceWarning)  # flagged or right
        fit = jaxreg.path(X, y, jaxreg.L1(), lams=[lam])
    long = np.longdouble
    x, t, w = (X - X.mean(axis=0)).astype(long), (y - y.mean()).astype(long), fit.coef[0].astype(long)
    x, t = x - x.mean(axis=0), t - t.mean()
    r = x @ w - t
    nu = 2 * r / max(1, np.max(np.abs(x.T @ (2 * r))) / lam)
    true = float((r @ r + lam * np.abs(w).sum() + nu @ t + nu @ nu / 4) / (t @ t))
    # Of these, gaps are understated where rounding of the rows themselves decides.
    assert not fit.converged[0] or true < 1e-9
    assert fit.gap[0] > 0.03 * true or true < 1e-11


def test_what_moments_are_too_coarse_for_is_judged_by_the_rows(monkeypatch):
    """Answers that are right although the moments that are asked about them are not."""
    X, y = made(4)
    asked = []
    rows, said = _certified.certify, _by_moments.sums_of_moments

    def coarse(*args, **options):
        sums, lever = said(*args, **options)
        return sums._replace(slope=sums.slope * (1 + 1e-6)), lever

    _at_once._fit.clear_cache()
    with monkeypatch.context() as patch:
        patch.setattr(_by_moments, "sums_of_moments", coarse)
        patch.setattr(_certified, "certify", lambda *args, **options: asked.append(1) or rows(*args, **options))
        fit = jaxreg.path(X, y, jaxreg.L1(), loss=MEAN, lams=20)
    _at_once._fit.clear_cache()
    assert asked
    assert fit.method == "homotopy"
    assert fit.gap.max() < 1e-13
