"""Ridge with a matrix, or with features that carry no penalty: from one factorisation, and from its normal equations."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg import losses

LAMS = np.array([300.0, 10.0, 0.3])


def made(n, p):
    rng = np.random.default_rng(n + p)
    X = rng.normal(size=(n, p)) + 1
    return X, X @ np.sin(np.arange(p)) + 2 + rng.normal(size=n)


def by_normal_equations(X, y, form, lam, v):
    """(coefficients, intercept) of Σv(y − Xw − b)² + λ·wᵀΩw, b as one more coefficient."""
    A = np.c_[X, np.ones(len(X))]
    penalty = np.zeros((A.shape[1], A.shape[1]))
    penalty[:-1, :-1] = lam * form
    w = np.linalg.solve(A.T @ (v[:, None] * A) + penalty, A.T @ (v * y))
    return w[:-1], w[-1]


def forms(p):
    D = np.diff(np.eye(p), axis=0)
    edges = np.c_[np.arange(p - 1), np.arange(1, p)]
    factor = np.r_[0.0, 0.0, np.linspace(0.5, 2, p - 2)]
    return {
        "differences": (jaxreg.Tikhonov(matrix=D), {}, D.T @ D),
        "differences and ridge": (jaxreg.Tikhonov(0.5, matrix=D) + jaxreg.L2(0.1), {}, 0.5 * D.T @ D + 0.1 * np.eye(p)),
        "graph": (jaxreg.GraphLaplacian(edges=edges), {}, D.T @ D),
        "unpenalised features": (jaxreg.L2(), {"penalty_factor": factor}, np.diag(factor)),
    }


@pytest.mark.parametrize(("n", "p"), [(40, 6), pytest.param(20, 30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", forms(6))
def test_one_factorisation_is_the_normal_equations_and_leaves_out_case_by_case(name, n, p):
    penalty, options, form = forms(p)[name]
    X, y = made(n, p)
    v = np.random.default_rng(3).uniform(0.5, 2.0, n)
    v[4] = 0
    fit = jaxreg.path(X, y, penalty, lams=LAMS, sample_weight=v, **options)
    assert fit.method == "ridge"
    assert fit.converged.all()
    for i, lam in enumerate(LAMS):
        coef, intercept = by_normal_equations(X, y, form, lam, v)
        np.testing.assert_allclose(fit.coef[i], coef, atol=1e-9)
        np.testing.assert_allclose(fit.intercept[i], intercept, atol=1e-9)
        errors = np.zeros(n)
        for row in np.flatnonzero(v):
            w, b = by_normal_equations(X, y, form, lam, np.where(np.arange(n) == row, 0, v))
            errors[row] = (y[row] - X[row] @ w - b) ** 2
        np.testing.assert_allclose(fit.loo[i], np.average(errors, weights=v), rtol=1e-7)
        A = np.c_[X, np.ones(n)]
        bent = A.T @ (v[:, None] * A)
        df = np.trace(np.linalg.solve(bent + lam * np.pad(form, (0, 1)), bent))
        np.testing.assert_allclose(fit.df[i], df, rtol=1e-9)
        rss = v @ (y - fit.predict(X, lam)) ** 2
        np.testing.assert_allclose(fit.gcv[i], rss / v.sum() / (1 - df / (v > 0).sum()) ** 2, rtol=1e-9)


def test_newtons_method_says_the_same_of_standardised_columns(monkeypatch):
    X, y = made(50, 8)
    penalty = jaxreg.Tikhonov(matrix=np.diff(np.eye(8), 2, axis=0))
    fit = lambda: jaxreg.path(X, y, penalty, lams=LAMS, standardize=True, loss=losses.SquaredError("half_mean"))  # noqa: E731
    one = fit()
    monkeypatch.setattr("jaxreg._path._ridge.form", lambda *_: None)
    other = fit()
    assert (one.method, other.method) == ("ridge", "newton")
    assert one.loo is None
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-9)


def test_where_a_matrix_leaves_too_few_digits_newtons_method_takes_over():
    X, y = made(40, 6)
    X = X * np.geomspace(1e-4, 1e4, 6)
    fit = jaxreg.path(X, y, jaxreg.Tikhonov(matrix=np.diff(np.eye(6), axis=0)), lams=[1e4, 0.1])
    assert (fit.method, fit.loo) == ("newton", None)
    assert "too few digits" in fit.fallback


def test_more_features_than_rows_down_to_nothing():
    """Directions that neither the rows nor rounding tell from zero stay zero at every λ; λ → 0 interpolates."""
    X, y = made(15, 30)
    D = np.diff(np.eye(30), axis=0)
    fit = jaxreg.path(X, y, jaxreg.Tikhonov(matrix=D), lams=[1.0, 1e-6, 1e-10])
    assert (fit.method, fit.fallback) == ("ridge", None)
    assert fit.converged.all()
    # The limit, from its own equations: least ‖Dw‖ among those that interpolate.
    center = X - X.mean(axis=0)
    kkt = np.block([[D.T @ D, center.T], [center, np.zeros((15, 15))]])
    limit = np.linalg.lstsq(kkt, np.r_[np.zeros(30), y - y.mean()], rcond=None)[0][:30]
    np.testing.assert_allclose(fit.coef[-1], limit, atol=1e-7)


@pytest.mark.parametrize("penalty", ["matrix", "ridge"])
@pytest.mark.parametrize("p", [6, 12])
def test_a_fit_through_every_case_has_neither_criterion(penalty, p):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(7, p)) + 3, rng.normal(size=7)
    given = jaxreg.Tikhonov(matrix=np.diff(np.eye(p), axis=0)) if penalty == "matrix" else jaxreg.L2()
    fit = jaxreg.path(X, y, given, lams=[1.0, 0.0])
    assert np.isfinite([fit.loo[0], fit.gcv[0]]).all()
    assert np.isnan([fit.loo[1], fit.gcv[1]]).all()
    assert np.nanargmin(fit.loo) == 0


def test_a_constant_column_is_zero_where_no_penalty_ties_it_to_others():
    X, y = made(30, 5)
    X[:, 1] = 3.0
    free = jaxreg.path(X, y, jaxreg.L2(), lams=LAMS, penalty_factor=np.array([1.0, 0, 1, 1, 0]))
    assert free.method == "ridge"
    assert (free.coef[:, 1] == 0).all()
    tied = jaxreg.path(X, y, jaxreg.Tikhonov(matrix=np.diff(np.eye(5), axis=0)), lams=LAMS)
    np.testing.assert_allclose(tied.coef[:, 1], (tied.coef[:, 0] + tied.coef[:, 2]) / 2, atol=1e-10)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_several_targets(dtype, x64):
    X, y = made(60, 4)
    Y = np.c_[y, X[:, 0] ** 2]
    D = np.diff(np.eye(4), axis=0)
    both = jaxreg.path(jnp.asarray(X, dtype), jnp.asarray(Y, dtype), jaxreg.Tikhonov(matrix=D, axis=0), lams=LAMS)
    assert both.method == "ridge"
    for t in range(2):
        one = jaxreg.path(X, Y[:, t], jaxreg.Tikhonov(matrix=D), lams=LAMS)
        # float32: products of columns of mean 1 about 60 rows, hence some tens of roundings relative to the largest.
        atol = 1e-10 if dtype == jnp.float64 else 64 * np.finfo(np.float32).eps * np.abs(one.coef).max()
        np.testing.assert_allclose(both.coef[:, :, t], one.coef, atol=atol)
        rtol = 1e-9 if dtype == jnp.float64 else 1e-4
        np.testing.assert_allclose(both.target_loo[:, t], one.loo, rtol=rtol)
        np.testing.assert_allclose(both.target_gcv[:, t], one.gcv, rtol=rtol)
    np.testing.assert_allclose(both.loo, both.target_loo.mean(axis=1), rtol=1e-6)
