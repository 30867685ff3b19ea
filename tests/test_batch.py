"""All λ at once from a Gram matrix: the elastic net and bounded problems, against coordinate descent, SciPy and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from sklearn.linear_model import enet_path

import jaxreg
from jaxreg import losses
from jaxreg._path import _at_once, _dual, _elastic, _moments, _together
from jaxreg._path._batch import FEW, Quadratic, all_lams, largest_eigenvalue, shared_inverse, solve

HALF = losses.SquaredError("half_mean")


def made(n, p, seed=0, correlation=0.5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + np.sqrt(correlation / (1 - correlation)) * rng.normal(size=(n, 1))
    y = X[:, : p // 3 + 1] @ rng.normal(size=p // 3 + 1) + rng.normal(size=n)
    return X, y


def descent(G, q, soft, bend, low, up):
    """Coordinate descent to the last digits, in plain NumPy."""
    u = np.clip(np.zeros_like(q), low, up)
    for _ in range(200_000):
        before = u.copy()
        for j in range(len(q)):
            rest = q[j] - G[j] @ u + G[j, j] * u[j]
            u[j] = np.clip(np.sign(rest) * max(abs(rest) - soft[j], 0) / (G[j, j] + bend[j]), low[j], up[j])
        if np.abs(u - before).max() <= 1e-15 * (1 + np.abs(u).max()):
            return u
    raise AssertionError("coordinate descent did not converge")


@pytest.mark.thin(3)
@pytest.mark.parametrize("seed", range(6))
def test_against_coordinate_descent(x64, seed):
    rng = np.random.default_rng(seed)
    p = 8
    X = rng.normal(size=(30, p)) + rng.normal(size=(30, 1))
    X /= np.linalg.norm(X, axis=0)
    G, q = X.T @ X, rng.normal(size=p) * 2
    a, b = rng.uniform(0, 1, p) * (rng.random(p) < 0.8), rng.uniform(0.01, 1, p)
    low, up = np.where(rng.random(p) < 0.3, 0.0, -np.inf), np.where(rng.random(p) < 0.4, 0.3, np.inf)
    lams = np.geomspace(3, 1e-2, 7)
    found = solve(Quadratic(*map(jnp.asarray, (G, q, a, b, low, up))), jnp.asarray(lams), jnp.zeros((7, p)), jnp.asarray(1e-14))
    for column, lam in zip(np.asarray(found), lams, strict=True):
        # Coordinate descent stops at steps of 1e-15, which leaves the condition number times as much.
        expected = descent(G, q, lam * a, lam * b, low, up)
        np.testing.assert_allclose(column, expected, atol=1e-13 * np.linalg.cond(G))
        assert ((column == 0) == (expected == 0)).all()


@pytest.mark.slow
def test_from_a_few_lams_to_all_is_the_same(x64):
    p = FEW + 12  # so many that it goes over a few
    X, y = made(400, p)
    X = (X - X.mean(0)) / np.linalg.norm(X - X.mean(0), axis=0)
    none = jnp.full(p, jnp.inf)
    problem = Quadratic(jnp.asarray(X.T @ X), jnp.asarray(X.T @ y), jnp.ones(p), jnp.ones(p), -none, none)
    lams = jnp.geomspace(5, 1e-3, 61)
    alone = solve(problem, lams, jnp.zeros((61, p)), jnp.asarray(1e-13))
    np.testing.assert_allclose(all_lams(problem, lams, jnp.asarray(1e-13)), alone, atol=1e-11)


def test_the_shared_inverse_is_that_of_what_is_used(x64):
    """Of the mean ridge where any row uses a feature; of the diagonal elsewhere. Float32 leaves its rounding times the condition number."""
    Z = np.random.default_rng(0).normal(size=(20, 6))
    G, used, bend = Z.T @ Z, np.array([1, 1, 0, 1, 0, 1], bool), np.array([[0.2] * 6, [0.6] * 6])
    top = np.linalg.eigvalsh(G)[-1]
    kept = np.where(np.outer(used, used) | np.eye(6, dtype=bool), G, 0) + 0.4 * np.eye(6)
    found = shared_inverse(*map(jnp.asarray, (G, top, used, bend)))
    np.testing.assert_allclose(found, np.linalg.inv(kept), atol=6e-8 * np.linalg.cond(kept) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize("ridge", [0.5, 0.0])
def test_large_sets_of_few_lams(x64, ridge):
    """Where one inverse serves all rows; without a ridge the matrix is singular, with fewer rows of X than columns."""
    p, few = 1100, 6
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(700, p))
    Z /= np.linalg.norm(Z, axis=0)
    none = jnp.full(p, jnp.inf)
    problem = Quadratic(jnp.asarray(Z.T @ Z), jnp.asarray(Z.T @ rng.normal(size=700)), jnp.ones(p), jnp.full(p, ridge), -none, none)
    lams = jnp.geomspace(0.6, 0.3, few)
    loose = solve(problem, lams, jnp.zeros((few, p)), jnp.asarray(1e-2))
    found = np.asarray(solve(problem, lams, loose, jnp.asarray(1e-12)))
    assert ((found != 0).sum(axis=1) > 100).all()
    slope = found @ np.asarray(problem.G) - np.asarray(problem.q) + np.asarray(lams)[:, None] * ridge * found
    bound = np.asarray(lams)[:, None] * np.ones(p)
    off = np.where(found == 0, np.maximum(np.abs(slope) - bound, 0), slope + bound * np.sign(found))
    assert np.linalg.norm(off, axis=1).max() < 1e-11


@pytest.mark.parametrize("kind", ["random", "one direction", "identity", "zero"])
def test_the_largest_eigenvalue_is_met_closely(x64, kind):
    rng = np.random.default_rng(0)
    for p in (1, 2, 9, 60):
        Z = rng.normal(size=(2 * p, p)) + (10 * rng.normal(size=(2 * p, 1)) if kind == "one direction" else 0)
        G = {"identity": np.eye(p), "zero": np.zeros((p, p))}.get(kind, Z.T @ Z)
        found, true = float(largest_eigenvalue(jnp.asarray(G))), float(np.linalg.eigvalsh(G)[-1])
        assert 0.95 * true <= found <= 1.1 * true * (1 + 1e-12)


OPTIONS = {
    "plain": {},
    "no intercept": {"intercept": False},
    "standardized": {"standardize": True},
    "unpenalised": {"penalty_factor": np.r_[0.0, 0.0, np.linspace(0.5, 2, 6)]},
    "weights": {"sample_weight": np.arange(60) % 4.0},
    "offset": {"offset": np.linspace(-2, 2, 60)},
    "positive": {"lower": 0.0},
    "bounded": {"lower": -0.05, "upper": np.linspace(0.05, 0.4, 8)},
    "duplicates": {},
    "scales": {},
}


@pytest.mark.thin(5)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("l1_ratio", [pytest.param(1.0, marks=pytest.mark.slow), 0.5])
def test_options_are_certified(option, l1_ratio):
    X, y = made(60, 8)
    if option == "duplicates":
        X[:, 3], X[:, 5] = X[:, 2], 7.0
    if option == "scales":
        X = X * np.logspace(-6, 6, 8)
    fit = jaxreg.path(X, y, jaxreg.ElasticNet(l1_ratio=l1_ratio), loss=HALF, lams=20, **OPTIONS[option])
    bounded = option in ("positive", "bounded")
    # ElasticNet of ratio 1 has a quadratic term, of strength 0.
    assert fit.method == "batch"
    assert fit.fallback is None
    assert fit.converged.all()
    assert fit.gap.max() < 1e-12
    assert fit.kkt.max() < 1e-9
    if bounded:
        lower, upper = OPTIONS[option]["lower"], OPTIONS[option].get("upper", np.inf)
        assert ((fit.coef >= lower) & (fit.coef <= upper)).all()
        assert (fit.coef == lower).any()


@pytest.mark.slow
@pytest.mark.parametrize("l1_ratio", [0.2, 0.9])
def test_equals_scikit_learn(l1_ratio):
    X, y = made(100, 12)
    fit = jaxreg.path(X, y, jaxreg.ElasticNet(l1_ratio=l1_ratio), loss=HALF, lams=30)
    center = X - X.mean(0)
    _, peer, _ = enet_path(center, y - y.mean(), l1_ratio=l1_ratio, alphas=fit.lams, tol=1e-12, max_iter=1_000_000)
    np.testing.assert_allclose(fit.coef, peer.T, atol=1e-6)  # the square root of the peer's gap, as strong convexity has it


@pytest.mark.slow
def test_non_negative_least_squares():
    X, y = made(50, 6)
    fit = jaxreg.path(X, y, jaxreg.L1() + jaxreg.L2(1.0), lams=[1e-3], lower=0.0, intercept=False)
    rows, target = np.vstack([X, np.sqrt(1e-3) * np.eye(6)]), np.r_[y, np.zeros(6)]
    # λ·Σw over w >= 0 is linear: it moves the target.
    shift = np.linalg.lstsq(rows.T, 1e-3 / 2 * np.ones(6), rcond=None)[0]
    expected = scipy.optimize.nnls(rows, target - shift)[0]
    np.testing.assert_allclose(fit.coef[0], expected, atol=1e-10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_folds_are_the_paths_of_their_rows():
    X, y = made(90, 6)
    penalty = jaxreg.ElasticNet(l1_ratio=0.6)
    cv = jaxreg.cross_validate(X, y, penalty, loss=HALF, lams=[0.5, 0.05], folds=3, key=jax.random.key(1))
    assert set(cv.fold_method) == {"batch"}
    for k in range(3):
        rows = cv.fold_ids != k
        alone = jaxreg.path(X[rows], y[rows], penalty, loss=HALF, lams=[0.5, 0.05])
        np.testing.assert_allclose(cv.fold_coef[k], alone.coef, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_residual_below_rounding_is_asked_for(x64, dtype):
    """It would be sought for until nothing gains any more."""
    one = jnp.ones(3, dtype)
    problem = Quadratic(jnp.eye(3, dtype=dtype), one, one, one, -np.inf * one, np.inf * one)
    asked = np.asarray(_elastic._finest(problem, jnp.asarray([1e3, 1.0, 1e-3, 0.0], dtype))) / np.sqrt(3)
    rounding = 64 * np.finfo(dtype).eps
    exact = np.maximum([1e-11, 1e-11, 1e-11, 0.0], rounding)
    np.testing.assert_allclose(asked, exact, rtol=1e-6)


@pytest.mark.slow
def test_float32_says_what_it_reached():
    X, y = made(100, 12)
    fit = jaxreg.path(X.astype(np.float32), y.astype(np.float32), jaxreg.ElasticNet(), loss=HALF, lams=20)
    exact = jaxreg.path(X, y, jaxreg.ElasticNet(), loss=HALF, lams=fit.lams.astype(float))
    assert fit.coef.dtype == np.float32
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef, exact.coef, atol=1e-4)


@pytest.mark.parametrize("dual", [True, False])
def test_what_falls_short_is_finished_by_the_dual_or_else_by_newton_and_says_so(monkeypatch, dual):
    X, y = made(60, 8)
    if not dual:
        monkeypatch.setattr(_dual, "_MOST", 0)
    monkeypatch.setattr(_at_once, "fit", lambda *_, **__: None)
    monkeypatch.setattr(_elastic, "all_lams", lambda problem, lams, tol: jnp.zeros((lams.size, problem.q.size)))
    _elastic._all_at_once.clear_cache()
    fit = jaxreg.path(X, y, jaxreg.ElasticNet(), loss=HALF, lams=6)
    _elastic._all_at_once.clear_cache()
    assert fit.converged.all()
    assert fit.method == ("batch" if dual else "newton")
    assert fit.fallback is None if dual else "missed tol at 5 λ" in fit.fallback


def programs():
    names = ("_all_at_once", "_on_set", "_joined", "_gathered", "_excess_of_gram", "_excess_of_columns")
    return [getattr(_elastic, name)._cache_size() for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(60, 8), (20, 200)])
def test_changing_lambda_or_data_does_not_compile_anew(shape):
    X, y = made(*shape)
    jaxreg.path(X, y, jaxreg.ElasticNet(l1_ratio=0.3), loss=HALF, lams=20)
    before = programs()
    jaxreg.path(2 * X, -y, jaxreg.ElasticNet(l1_ratio=0.7), loss=HALF, lams=np.geomspace(2, 0.1, 20))
    assert programs() == before


# --- working sets -------------------------------------------------------------------------------------------------------------


@pytest.mark.thin(4)
@pytest.mark.parametrize("gram", [True, False])
@pytest.mark.parametrize(
    "option",
    [
        *("unpenalised", "bounded"),
        *(
            pytest.param(option, marks=pytest.mark.slow)
            for option in ("plain", "no intercept", "standardized", "weights", "offset", "positive")
        ),
    ],
)
def test_working_sets_reach_the_same_answer(monkeypatch, gram, option):
    """With a set of 4 features and joins of 2, from the Gram matrix of all or of those that joined."""
    X, y = made(60, 8)
    fit = lambda: jaxreg.path(X, y, jaxreg.ElasticNet(l1_ratio=0.8), loss=HALF, lams=25, **OPTIONS[option])  # noqa: E731
    whole = fit()
    monkeypatch.setattr(_elastic, "FEW", 0)
    monkeypatch.setattr(_together, "BLOCK", 2)
    monkeypatch.setattr(_together, "_SMALLEST", 4)
    monkeypatch.setattr(_moments, "enough", lambda n, p: gram)
    joined = fit()
    assert joined.method == "batch"
    assert joined.gap.max() < 1e-12
    np.testing.assert_allclose(joined.coef, whole.coef, atol=1e-11)
    assert ((joined.coef == 0) == (whole.coef == 0)).all()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(40, 300), (30, 1100)])
def test_more_features_than_rows(shape):
    X, y = made(*shape)
    fit = jaxreg.path(X, y, jaxreg.ElasticNet(), loss=HALF, lams=25)
    assert (fit.method, fit.fallback) == ("batch", None)
    assert fit.gap.max() < 1e-12
    center = X - X.mean(0)
    _, peer, _ = enet_path(center, y - y.mean(), l1_ratio=0.5, alphas=fit.lams[::6], tol=1e-10, max_iter=1_000_000)
    np.testing.assert_allclose(fit.coef[::6], peer.T, atol=1e-5)  # the square root of the peer's gap


@pytest.mark.slow
def test_a_set_that_may_not_grow_leaves_the_rest_to_newton(monkeypatch):
    X, y = made(30, 150)
    monkeypatch.setattr(_together, "LARGEST", 10)
    monkeypatch.setattr(_dual, "_MOST", 0)  # which would solve it
    fit = jaxreg.path(X, y, jaxreg.ElasticNet(), loss=HALF, lams=np.geomspace(3, 0.05, 20))
    assert fit.converged.all()
    assert fit.method == "newton"


@pytest.mark.slow
def test_a_path_stops_at_max_nonzeros():
    for shape in [(60, 20), (40, 300)]:
        X, y = made(*shape)
        whole = jaxreg.path(X, y, jaxreg.ElasticNet(), loss=HALF, lams=60)
        part = jaxreg.path(X, y, jaxreg.ElasticNet(), loss=HALF, lams=60, max_nonzeros=5)
        assert 8 <= len(part.lams) < 60
        assert part.nonzeros[-1] > 5
        np.testing.assert_allclose(part.coef, whole.coef[: len(part.lams)], atol=1e-12)


@pytest.mark.slow
def test_float32_stays_float32_where_float64_is_on(x64):
    """Among the λ of a grid some start on the line between two others, whose shares are float32 too."""
    rng = np.random.default_rng(0)
    X = jnp.asarray(rng.normal(size=(60, 8)), jnp.float32)
    fit = jaxreg.path(X, X[:, 0] - X[:, 1], jaxreg.ElasticNet(l1_ratio=0.5), lams=30)
    assert fit.method == "batch"
    assert fit.coef.dtype == jnp.float32
    assert fit.converged.all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxreg.ConvergenceWarning")
def test_a_matrix_that_float32_takes_for_singular():
    """Two columns 1e-7 apart beside columns of all scales, and next to no ridge part.

    Rounding of the problem itself leaves gaps of some 1e-9; with steps in float32 alone they are far above what is allowed here.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 9)) * np.array([1, 1, 1, 1e-8, 1e8, 1, 1, 1, 1])
    y = X[:, 0] + rng.normal(size=80)
    X[:, 5] = X[:, 6] + 1e-7 * rng.normal(size=80)
    fit = jaxreg.path(X, y, jaxreg.ElasticNet(l1_ratio=0.999), lams=np.geomspace(100, 1e-4, 30))
    assert fit.gap.max() < 1e-7
