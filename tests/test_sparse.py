"""Sparse X: products and moments from the definition, paths and folds against the same X made dense, input of every kind."""

import inspect
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from jax.experimental.sparse import BCOO

import jaxreg
from jaxreg import losses
from jaxreg._dtypes import x64_scope
from jaxreg._path import _columns


def made(n, p, seed=0):
    """A matrix with a column of more than one piece, an empty row, an empty column, and one that is constant and stored in full."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * (rng.random((n, p)) < 0.2)
    X[:, 1] = 0.7
    X[3], X[:, 2] = 0, 0
    return X


def target(loss, X, seed=1):
    rng = np.random.default_rng(seed)
    eta = X[:, 3:8] @ np.array([1.0, -1, 0.5, 0.5, -1])
    if isinstance(loss, losses.Logistic):
        return (rng.random(len(X)) < 1 / (1 + np.exp(-eta))).astype(float)
    return rng.poisson(np.exp(eta)).astype(float) if isinstance(loss, losses.Poisson) else eta + 0.3 * rng.normal(size=len(X))


def shuffled(X):
    """The same entries out of order, a fifth of them split in two that add up, and zeros among them."""
    found, rng = scipy.sparse.coo_array(X), np.random.default_rng(2)
    split = rng.random(found.nnz) < 0.2
    rows, columns = (np.r_[at, at[split], [0, 0]] for at in (found.row, found.col))
    values = np.r_[np.where(split, found.data - 1, found.data), np.ones(split.sum()), [0.0, 0.0]]
    order = rng.permutation(len(rows))
    return scipy.sparse.coo_array((values[order], (rows[order], columns[order])), shape=X.shape)


def unsorted(X):
    found = scipy.sparse.csr_array(X)
    for first, last in zip(found.indptr[:-1], found.indptr[1:], strict=True):
        for of in (found.indices, found.data):
            of[first:last] = of[first:last][::-1].copy()
    return scipy.sparse.csr_array((found.data, found.indices, found.indptr), shape=X.shape)


def padded(X):
    """As jax pads: with places outside."""
    found = scipy.sparse.coo_array(X)
    outside = np.repeat([X.shape], 3, axis=0)
    return BCOO((np.r_[found.data, np.ones(3)], np.r_[np.column_stack([found.row, found.col]), outside]), shape=X.shape)


FORMATS = {
    "csr": scipy.sparse.csr_matrix,
    "csc": scipy.sparse.csc_array,
    "lil": scipy.sparse.lil_matrix,
    "dok": scipy.sparse.dok_array,
    "duplicates": shuffled,
    "unsorted": unsorted,
    "BCOO": padded,
}


def sparse(X, dtype=np.float64):
    return _columns.as_sparse(_columns.entries(scipy.sparse.coo_array(X)), X.shape, dtype)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_the_same_entries(name):
    X = made(12, 6)
    rows, columns, values = _columns.entries(FORMATS[name](X))
    assert (np.diff(columns * 12 + rows) > 0).all()
    found = np.zeros_like(X)
    found[rows, columns] = values
    np.testing.assert_allclose(found, X, atol=1e-15)  # a duplicate is a sum


def test_input_is_not_changed():
    given = unsorted(made(12, 6))
    before = [x.copy() for x in (given.data, given.indices, given.indptr)]
    _columns.entries(given)
    assert all(np.array_equal(a, b) for a, b in zip(before, (given.data, given.indices, given.indptr), strict=True))


@pytest.mark.parametrize(("dtype", "eps"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_products_and_moments_are_those_of_the_dense_matrix(dtype, eps):
    X, rng = made(40, 15), np.random.default_rng(3)
    v = rng.random(40)
    with x64_scope():
        S, D = sparse(X, dtype), X.astype(dtype)
        W, R = rng.normal(size=(15, 3)).astype(dtype), rng.normal(size=(11, 40)).astype(dtype)  # as many as go at once, and more
        mean = v @ X / v.sum()

        @jax.jit
        def computed(S, W, R, v):
            center = _columns.means(S, v)
            return S @ W, R @ S, v @ S, center, _columns.squares(S, v, center)

        expected = D @ W, R @ D, v @ X, mean, v @ (X - mean) ** 2
        for found, true in zip(computed(S, *(jnp.asarray(x, dtype) for x in (W, R, v))), expected, strict=True):
            assert found.dtype == dtype
            np.testing.assert_allclose(found, true, atol=10 * eps)
        chosen = np.arange(15) % 4 == 1
        np.testing.assert_array_equal(_columns.dense_columns(S, chosen), D[:, chosen])


def test_a_constant_column_is_constant_to_rounding():
    X = np.full((20001, 1), 0.1)  # a sum of as many loses digits
    with x64_scope():
        S, v = sparse(X), jnp.asarray(np.random.default_rng(0).random(20001))
        spread = jax.jit(lambda S, v: jnp.sqrt(_columns.squares(S, v, _columns.means(S, v)) / jnp.sum(v)))(S, v)
    assert np.asarray(spread)[0] <= 4 * np.finfo(float).eps * 0.1


@pytest.mark.slow
def test_rows_of_a_working_set_are_those_of_the_dense_matrix():
    X, rng = made(30, 12), np.random.default_rng(4)
    factor, shift, root = rng.normal(size=13), rng.normal(size=13), rng.random(30)
    factor[12] = 0  # the intercept's
    Z = root * (factor[:, None] * np.column_stack([X, np.zeros(30)]).T + shift[:, None])
    places = np.array([4, 1, 12, -1, 7, -1])
    own = np.where(places[:, None] >= 0, Z[places], 0)
    U, V, R, c = rng.normal(size=(3, 6)), rng.normal(size=(3, 13)), rng.normal(size=(3, 30)), rng.random(30)
    with x64_scope():
        S = sparse(X)
        rows = _columns.SparseRows(S.columns, S.rows, *(jnp.asarray(x) for x in (factor, shift, root)))
        some = _columns.take(rows, places)

        @jax.jit
        def computed(rows, some, U, V, R, c, at):
            of_some = _columns.combined(some, U), _columns.products(some, R), _columns.gram(some, c), _columns.products_of(some, at)
            return *of_some, _columns.combined(rows, V), rows.squares(c[None])[0]

        found = computed(rows, some, *(jnp.asarray(x) for x in (U, V, R, c, [2, 0, 6])))
    block = np.r_[own[[2, 0]], np.zeros((1, 30))]  # there is no row 6
    expected = U @ own, R @ own.T, (own * c) @ own.T, block @ own.T, V @ Z, Z**2 @ c
    for one, true in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, true, atol=1e-12)


@pytest.mark.slow
def test_an_elastic_net_path_is_stationary():
    X = made(40, 60)
    y = target(losses.SquaredError(), X)
    fit = jaxreg.path(scipy.sparse.csr_array(X), y, jaxreg.ElasticNet(l1_ratio=0.8), loss=losses.SquaredError("half_mean"), lams=6)
    assert fit.converged.all()
    assert fit.gap.max() < 1e-12
    for lam, w, b in zip(fit.lams, fit.coef, fit.intercept, strict=True):
        residual = y - X @ w - b
        pull = X.T @ residual / 40 - lam * 0.2 * w
        assert abs(residual.sum()) < 1e-11
        np.testing.assert_allclose(np.where(w != 0, pull - 0.8 * lam * np.sign(w), 0), 0, atol=1e-12)
        assert np.abs(pull).max() <= 0.8 * lam * (1 + 1e-11)
    for lam in (None, fit.lams[2]):
        np.testing.assert_allclose(fit.predict(scipy.sparse.csc_array(X), lam), fit.predict(X, lam), atol=1e-13)


OPTIONS = {
    "plain": {},
    "no intercept": {"intercept": False},
    "standardized": {"standardize": True},
    "unpenalised": {"penalty_factor": np.r_[0.0, 1, 1, 0.0, np.linspace(0.5, 2, 26)]},
    "weights": {"sample_weight": np.arange(80) % 4.0},
    "offset": {"offset": np.linspace(-1, 1, 80)},
    "bounded": {"lower": -0.1, "upper": np.linspace(0.1, 0.4, 30)},
}
LOSSES = {"squared": losses.SquaredError(), "logistic": losses.Logistic(), "poisson": losses.Poisson("mean")}
PENALTIES = {"l1": jaxreg.L1(), "elastic": jaxreg.L1(0.5) + jaxreg.L2(0.1), "l2": jaxreg.L2()}


def equals_dense(X, y, penalty, **options):
    options = {"tol": 1e-12} | options  # coefficients are as far off as the root of a gap
    dense = jaxreg.path(X, y, penalty, **options)
    # A dense X falls back on Newton's method where classes are nearly separated; a sparse one has nothing to fall back on.
    kept = len(dense.lams) - 2
    found = jaxreg.path(scipy.sparse.csr_array(X), y, penalty, **{**options, "lams": dense.lams[:kept]})
    assert found.method == "batch"
    assert found.converged.all()
    atol = 1e-5 if isinstance(penalty, jaxreg.L2) else 1e-7
    np.testing.assert_allclose(found.coef, dense.coef[:kept], atol=atol * np.abs(dense.coef).max())
    np.testing.assert_allclose(found.intercept, dense.intercept[:kept], atol=atol)
    np.testing.assert_allclose(found.deviance_ratio, dense.deviance_ratio[:kept], atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("option", OPTIONS)
def test_equals_dense(option, loss, penalty):
    X = made(80, 30)
    equals_dense(X, target(LOSSES[loss], X), PENALTIES[penalty], loss=LOSSES[loss], lams=10, **OPTIONS[option])


@pytest.mark.slow
@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize("loss", LOSSES)
def test_equals_dense_with_more_columns_than_rows(loss, penalty):
    X = made(60, 300)
    equals_dense(X, target(LOSSES[loss], X), PENALTIES[penalty], loss=LOSSES[loss], lams=10)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared", "poisson"])
def test_several_targets_equal_dense(loss):
    X = made(60, 40)
    y = np.stack([target(LOSSES[loss], X, seed) for seed in (1, 2)], axis=1)
    equals_dense(X, y, jaxreg.ElasticNet(l1_ratio=0.5), loss=LOSSES[loss], lams=6)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_folds_equal_dense(loss):
    X = made(80, 100)
    y, key = target(LOSSES[loss], X), jax.random.key(0)
    options = {"loss": LOSSES[loss], "lams": 8, "folds": 4, "key": key}
    dense = jaxreg.cross_validate(X, y, jaxreg.L1(), **options)
    found = jaxreg.cross_validate(scipy.sparse.csc_array(X), y, jaxreg.L1(), **options)
    np.testing.assert_allclose(found.fold_errors, dense.fold_errors, atol=1e-8)
    np.testing.assert_allclose(found.predict(scipy.sparse.csr_array(X)), dense.predict(X), atol=1e-8)
    assert found.fold_converged.all()


@pytest.mark.slow
def test_bcoo_keeps_its_dtype():
    X = made(60, 80)
    given = BCOO.fromdense(jnp.asarray(X, jnp.float32))
    fit = jaxreg.path(given, target(LOSSES["logistic"], X), jaxreg.L1(), loss=LOSSES["logistic"], lams=8)
    assert isinstance(fit.coef, jax.Array)
    assert (fit.coef.dtype, fit.predict(given).dtype) == (jnp.float32, jnp.float32)
    whole = jaxreg.path(X, target(LOSSES["logistic"], X), jaxreg.L1(), loss=LOSSES["logistic"], lams=np.asarray(fit.lams, float))
    np.testing.assert_allclose(fit.coef, whole.coef, atol=1e-3)  # of gaps of 1e-5
    assert fit.converged.all()


def refused(X, y=None, penalty=None, call=jaxreg.path, **options):
    y = target(losses.SquaredError(), made(30, 12)) if y is None else y
    return inspect.unwrap(call)(X, y, penalty or jaxreg.L1(), **options)


holed = scipy.sparse.csr_array(made(30, 12))
holed.data[:1] = np.nan
GIVEN = scipy.sparse.csr_array(made(30, 12))
BAD = {
    "group": (
        lambda: refused(GIVEN, penalty=jaxreg.GroupLasso(1.0, np.arange(12) // 3)),
        r"X is sparse: .*not GroupLasso.* X.toarray\(\)",
    ),
    "loss": (lambda: refused(GIVEN, loss=losses.Huber()), r"X is sparse: the loss .*Huber.* dense X alone.*X.toarray\(\)"),
    "max_nonzeros": (lambda: refused(GIVEN, penalty=jaxreg.L2(), max_nonzeros=3), "X is sparse: max_nonzeros needs"),
    "relax": (lambda: refused(GIVEN, call=jaxreg.relax), "X is sparse: refits are made"),
    "relaxed cv": (lambda: refused(GIVEN, call=jaxreg.cross_validate_relaxed, key=jax.random.key(0)), "X is sparse: refits are made"),
    "debiased": (lambda: jaxreg.debiased_lasso(GIVEN, np.ones(GIVEN.shape[0])), "X is sparse: nodewise lassos"),
    "compare": (lambda: refused(GIVEN, call=jaxreg.compare, folds=3, key=jax.random.key(0)), "X is sparse: degrees of freedom"),
    "nan": (lambda: refused(holed), r"X has NaN or infinite values \(column \d+: 1\)"),
    "rows": (lambda: refused(GIVEN, np.ones(29)), "y must have 30 rows like X"),
    "complex": (lambda: refused(GIVEN.astype(complex)), "X must hold real numbers"),
    "batched": (lambda: refused(BCOO((np.ones((30, 12)), np.zeros((30, 12, 1), int)), shape=(30, 12))), "n_batch = n_dense = 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_supported_names_x(case):
    call, message = BAD[case]
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.slow
def test_a_large_problem_fits_two_gigabytes():
    """X alone would be eight; the process counts its own peak."""
    code = r"""
    import pathlib, re, numpy as np, scipy.sparse, jaxreg
    rng, n, p = np.random.default_rng(0), 20_000, 50_000
    at = rng.integers(0, n, n * p * 15 // 10_000), rng.integers(0, p, n * p * 15 // 10_000)
    X = scipy.sparse.coo_array((rng.random(len(at[0])), at), shape=(n, p)).tocsr()
    y = X[:, :100] @ rng.normal(size=100) + 0.1 * rng.normal(size=n)
    fit = jaxreg.path(X, y, jaxreg.L1(), lams=20, max_nonzeros=300)
    assert fit.converged.all() and fit.nonzeros.max() > 50, fit
    # Not ru_maxrss, which a process has from the one that started it.
    print(int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2000
