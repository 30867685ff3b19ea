"""Criteria that choose λ: degrees of freedom, leave-one-out and information criteria, each against its definition or a peer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LassoLarsIC

import jaxreg
from jaxreg import losses
from jaxreg._path import _compare

HALF = losses.SquaredError("half_mean")
pytestmark = pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")


def made(loss=None, n=40, p=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 0.5 * rng.normal(size=(n, 1))
    eta = X[:, :3] @ np.array([2.0, -1.5, 1.0]) + 1
    if isinstance(loss, losses.Logistic):
        return X, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    if isinstance(loss, losses.Multinomial):
        return X, np.digitize(eta + rng.normal(size=n), [0.0, 2.0])
    if isinstance(loss, losses.Poisson):
        return X, rng.poisson(np.exp(0.3 * eta)).astype(float)
    return X, eta + rng.normal(size=n)


def left_out_by_a_newton_step(loss, X, y, v, coef, intercept, bend):
    """Σv·ℓ/Σv of rows left out, dense and row by row: delete the row, build the gradient and Hessian of the rest, step, predict.

    ``bend`` is the penalty's Hessian (p·T, p·T), coordinates with an infinite diagonal entry staying where they are. Also the trace of
    (H + P)⁻¹H.
    """
    T = coef.shape[1] if coef.ndim == 2 else 1
    free = np.append(np.isfinite(np.diag(bend)), np.ones(T, bool))
    P = np.pad(np.where(np.isfinite(bend), bend, 0), (0, T))[np.ix_(free, free)]
    A = np.kron(np.column_stack([X, np.ones(len(y))]), np.eye(T)).reshape(len(y), T, -1)[:, :, free]
    with jaxreg._dtypes.x64_scope():
        eta = jnp.asarray(X @ coef + intercept)
        slope = np.asarray(loss.grad(eta, jnp.asarray(y), jnp.asarray(v))).reshape(-1, T)
        curvature = np.asarray(loss.curvature(eta, jnp.asarray(y), jnp.asarray(v)))
        curvature = curvature.reshape(-1, T, T)
        parts = np.einsum("ita,itu,iub->iab", A, curvature, A)
        H = parts.sum(axis=0)
        # The rest's gradient is minus the row's own: all of them together are stationary.
        moved = [np.linalg.pinv(H - parts[i] + P, rcond=1e-12, hermitian=True) @ (A[i].T @ slope[i]) for i in range(len(y))]
        out = np.asarray(eta) + np.einsum("ita,ia->it", A, np.array(moved)).reshape(eta.shape)
        values = loss.pointwise(jnp.asarray(out), jnp.asarray(y)) + loss.pointwise_conjugate(jnp.zeros_like(eta), jnp.asarray(y))
        return np.average(values, weights=v), np.trace(np.linalg.pinv(H + P, rcond=1e-12, hermitian=True) @ H)


NEWTON = [
    (losses.SquaredError(), jaxreg.ElasticNet(l1_ratio=0.5), [10.0, 2.0]),
    (losses.Logistic("mean"), jaxreg.ElasticNet(l1_ratio=0.5), [0.05, 0.005]),
    (losses.Multinomial(), jaxreg.L1(), [4.0, 1.0]),
    (losses.Poisson(), jaxreg.L2(), [4.0, 1.0]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "penalty", "lams"), NEWTON, ids=lambda x: type(x).__name__)
def test_rows_left_out_by_a_newton_step(loss, penalty, lams):
    X, y = made(loss)
    v = np.linspace(0.5, 1.5, 40)
    found = jaxreg.compare(X, y, penalty, loss=loss, lams=lams, criteria=("loo",), sample_weight=v)
    assert found["loo"].note == "one Newton step"
    for i, lam in enumerate(found.path.lams):
        w = found.path.coef[i]
        square = {jaxreg.ElasticNet: 0.5 * lam, jaxreg.L1: 0.0, jaxreg.L2: 2 * lam}[type(penalty)]
        stays = (w == 0) & (not isinstance(penalty, jaxreg.L2))
        bend = np.diag(np.where(stays, np.inf, square).ravel())
        loo, df = left_out_by_a_newton_step(loss, X, y, v, w, found.path.intercept[i], np.where(np.isnan(bend), 0, bend))
        np.testing.assert_allclose(found.curves["loo"][i], loo, rtol=1e-8)
        np.testing.assert_allclose(found.df[i], df, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("p", [6, 60])
@pytest.mark.parametrize("option", ["weights", "standardize", "no intercept"])
def test_ridge_agrees_with_its_exact_formulas(monkeypatch, p, option):
    X, y = made(p=p)
    options = {
        "weights": {"sample_weight": np.arange(40) % 4.0},
        "standardize": {"standardize": True},
        "no intercept": {"intercept": False},
    }
    general = _compare.leverages
    monkeypatch.setattr(_compare, "leverages", lambda problem, fits, scoring: general(problem, fits._replace(ridge=None), scoring))
    found = jaxreg.compare(X, y, jaxreg.L2(), lams=[30.0, 1.0], criteria=("loo", "gcv"), **options[option])
    np.testing.assert_allclose(found.df, found.path.df, rtol=1e-10)
    np.testing.assert_allclose(found.curves["gcv"], found.path.gcv, rtol=1e-10)
    if found.path.loo is None:
        assert np.isnan(found.curves["loo"]).all()
        assert "standardize" in found["loo"].note
    else:
        np.testing.assert_allclose(found.curves["loo"], found.path.loo, rtol=1e-10)


@pytest.mark.slow
def test_leaving_a_row_out_of_the_lasso_is_exact_while_the_support_stays():
    X, y = made(p=3)  # three strong features: no row's absence drops one
    found = jaxreg.compare(X, y, jaxreg.L1(), lams=[2.0], criteria=("loo",))
    errors = []
    for i in range(40):
        rest = np.arange(40) != i
        alone = jaxreg.path(X[rest], y[rest], jaxreg.L1(), lams=[2.0])
        assert (alone.coef != 0).all()
        errors.append((y[i] - X[i] @ alone.coef[0] - alone.intercept[0]) ** 2)
    np.testing.assert_allclose(found.curves["loo"], np.mean(errors), rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [losses.Logistic(), losses.Poisson()], ids=lambda x: type(x).__name__)
def test_one_newton_step_is_near_the_refit(loss):
    X, y = made(loss, n=80)
    found = jaxreg.compare(X, y, jaxreg.L2(), loss=loss, lams=[4.0], criteria=("loo",))
    refits = jaxreg.cross_validate(X, y, jaxreg.L2(), loss=loss, lams=[4.0], folds=np.arange(80))
    in_sample = found.path.loss_value[0] / 80 + np.mean(loss.pointwise_conjugate(jnp.zeros(80), jnp.asarray(y)))
    # What one step misses is of second order: far less than what leaving out changes.
    assert abs(found.curves["loo"][0] - refits.mean[0]) < 0.05 * (refits.mean[0] - in_sample)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("penalty", "options"),
    [
        (jaxreg.GroupLasso(groups=[0, 0, 1, 1, 2, 2]), {}),
        (jaxreg.GroupLasso(groups=[0, 0, 1, 1, 2, 2]), {"standardize": True}),
        (jaxreg.L1(), {"lower": -0.1, "upper": 0.9}),
        (jaxreg.ElasticNet(l1_ratio=0.3), {"penalty_factor": [0.0, 1, 2, 1, 1, 1], "intercept": False}),
        (jaxreg.Huber(delta=0.5), {}),
    ],
    ids=lambda x: str(list(x)) if isinstance(x, dict) else type(x).__name__,
)
def test_degrees_of_freedom_are_the_divergence(penalty, options):
    """Stein: df = Σ ∂ŷᵢ/∂yᵢ, by central differences of refits, for any squared-error fit."""
    X, y = made(n=12)
    found = jaxreg.compare(X, y, penalty, lams=[6.0], criteria=("gcv",), **options)
    total, h = 0.0, 1e-4
    for i in range(12):
        ends = [jaxreg.path(X, y + s * h * (np.arange(12) == i), penalty, lams=[6.0], tol=1e-13, **options) for s in (1, -1)]
        total += (ends[0].predict(X, 6.0)[i] - ends[1].predict(X, 6.0)[i]) / (2 * h)
    assert 1 < found.df[0] < 7
    np.testing.assert_allclose(found.df[0], total, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_scikit_learns_information_criteria(criterion):
    X, y = made()
    peer = LassoLarsIC(criterion, noise_variance=1.3).fit(X, y)
    lams = peer.alphas_[1:-1] * (1 + 1e-9)  # at a knot itself rounding decides whether a feature has entered
    found = jaxreg.compare(X, y, jaxreg.L1(), loss=HALF, lams=lams, criteria=(criterion,), dispersion=1.3)
    factor = {"aic": 2.0, "bic": np.log(40)}[criterion]
    # Its n·log(2πσ²) is left out here, our intercept is not counted there.
    constant = 40 * np.log(2 * np.pi * 1.3) - factor
    np.testing.assert_allclose(found.curves[criterion] + constant, peer.criterion_[1:-1], rtol=1e-7)


@pytest.mark.slow
def test_formulas():
    X, y = made()
    X[:, 5] = X[:, 0]  # collinear: the rank counts
    found = jaxreg.compare(X, y, jaxreg.L1(), lams=[40.0, 4.0, 0.5], criteria=("aic", "bic", "ebic", "gcv", "cp"), gamma=0.7)
    rss = np.array([np.sum((y - X @ w - b) ** 2) for w, b in zip(found.path.coef, found.path.intercept, strict=True)])
    j = (found.path.coef != 0).sum(1)
    rank = [np.linalg.matrix_rank(np.column_stack([np.ones(40), X[:, w != 0]])) for w in found.path.coef]
    np.testing.assert_allclose(found.df, rank, rtol=1e-12)
    fit, df = 40 * np.log(rss / 40), np.array(rank)
    sigma2 = rss[-1] / (40 - df[-1])
    subsets = np.array([{0: 1, 1: 6, 2: 15, 3: 20, 4: 15, 5: 6, 6: 1}[k] for k in j])
    expected = {
        "aic": fit + 2 * df,
        "bic": fit + np.log(40) * df,
        "ebic": fit + np.log(40) * df + 2 * 0.7 * np.log(subsets),
        "gcv": rss / 40 / (1 - df / 40) ** 2,
        "cp": rss / sigma2 - 40 + 2 * df,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found.curves[name], values, rtol=1e-10)
        choice = found[name]
        assert choice.index == np.argmin(values)
        assert choice.lam == found.path.lams[choice.index]
        np.testing.assert_array_equal(choice.coef, found.path.coef[choice.index])
        assert choice.nonzeros == j[choice.index]
    text = str(found)
    assert all(name in text for name in expected)


@pytest.mark.slow
def test_likelihoods_and_several_targets():
    X, y = made(losses.Logistic())
    found = jaxreg.compare(X, y, jaxreg.L1(), loss=losses.Logistic("mean"), lams=[0.1], criteria=("aic", "gcv", "cp"))
    eta = X @ found.path.coef[0] + found.path.intercept[0]
    deviance = 2 * np.sum(np.log1p(np.exp(eta)) - y * eta)
    np.testing.assert_allclose(found.curves["aic"], deviance + 2 * found.df, rtol=1e-10)
    np.testing.assert_allclose(found.curves["gcv"], deviance / 40 / (1 - found.df / 40) ** 2, rtol=1e-10)
    assert found["cp"].index is None
    assert "Cp is of the squared error" in str(found)
    X, y = made()
    both = np.stack([y, np.flip(y)], axis=1)
    together = jaxreg.compare(X, both, jaxreg.L1(), lams=[4.0], criteria=("loo", "bic"))
    alone = [jaxreg.compare(X, both[:, t], jaxreg.L1(), lams=[4.0], criteria=("loo", "aic")) for t in range(2)]
    np.testing.assert_allclose(together.df, sum(one.df for one in alone), rtol=1e-10)
    np.testing.assert_allclose(together.curves["loo"], np.mean([one.curves["loo"] for one in alone], axis=0), rtol=1e-8)
    rss = sum(one.path.loss_value for one in alone)
    np.testing.assert_allclose(together.curves["bic"], 80 * np.log(rss / 80) + np.log(80) * together.df, rtol=1e-10)


def test_one_path_serves_cross_validation_too():
    X, y = made()
    ids = np.arange(40) % 4
    found = jaxreg.compare(X, y, jaxreg.L2(), lams=[30.0, 3.0, 0.3], folds=ids, criteria=("cv", "1se", "loo", "bic"))
    cv = jaxreg.cross_validate(X, y, jaxreg.L2(), lams=[30.0, 3.0, 0.3], folds=ids)
    assert found.path is found.cv.path
    np.testing.assert_array_equal(found.curves["cv"], cv.mean)
    assert (found["cv"].lam, found["1se"].lam) == (cv.lam_min, cv.lam_1se)
    assert found["loo"].note == "exact"
    assert list(found.choices) == ["cv", "1se", "loo", "bic"]


@pytest.mark.slow
def test_the_edge_of_the_grid_is_warned_of():
    X, y = made()
    with pytest.warns(jaxreg.GridEdgeWarning, match="gcv choose the smallest λ, 30"):
        found = jaxreg.compare(X, y, jaxreg.L2(), lams=[300.0, 30.0], criteria=("gcv",))
    assert found["gcv"].edge
    assert "edge of the grid" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("penalty", "options", "criteria", "why"),
    [
        (jaxreg.FusedLasso(), {}, ("loo", "aic", "gcv", "cp"), "ties together have no support"),
        (jaxreg.L2(), {"loss": losses.Gamma()}, ("aic", "ebic"), "dispersion of Gamma is not known"),
        (jaxreg.L2(), {"loss": losses.Huber()}, ("aic", "gcv"), "no negative log-likelihood"),
        (jaxreg.L2(), {"loss": losses.Quantile(width=0.5)}, ("loo",), "kinks of the quantile loss"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, jaxreg.Penalty) else None,
)
def test_what_is_not_known_says_why(penalty, options, criteria, why):
    X, y = made()
    found = jaxreg.compare(X, np.abs(y), penalty, lams=[30.0, 10.0], criteria=criteria, **options)
    for name in criteria:
        assert np.isnan(found.curves[name]).all()
        assert found[name].index is None
        assert why in found[name].note
    if "dispersion" in why:
        known = jaxreg.compare(X, np.abs(y), penalty, lams=[30.0, 10.0], criteria=criteria, dispersion=0.5, **options)
        eta = known.path.coef @ X.T + known.path.intercept[:, None]
        deviance = 2 * np.sum(np.abs(y) * np.exp(-eta) + eta - np.log(np.abs(y)) - 1, axis=1)
        np.testing.assert_allclose(known.curves["aic"], deviance / 0.5 + 2 * known.df, rtol=1e-9)


@pytest.mark.slow
def test_a_fit_through_every_row_is_no_choice():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(10, 30)), rng.normal(size=10)
    found = jaxreg.compare(X, y, jaxreg.L1(), lams=[8.0, 4.0, 0.0], criteria=("loo", "aic", "gcv", "cp"))
    assert found["cp"].note.startswith("the smallest λ leaves no degrees of freedom")
    for name in ("loo", "aic", "gcv"):
        assert np.isnan(found.curves[name][-1])
        assert np.isfinite(found.curves[name][0])
        assert found[name].note.endswith("(at 1 of 3 λ)")


@pytest.mark.slow
def test_float32():
    X, y = made()
    exact = jaxreg.compare(X, y, jaxreg.L1(), lams=[40.0, 4.0, 0.5], criteria=("loo", "bic"))
    single = jaxreg.compare(
        jnp.asarray(X, jnp.float32), jnp.asarray(y, jnp.float32), jaxreg.L1(), lams=[40.0, 4.0, 0.5], criteria=("loo", "bic")
    )
    assert isinstance(single.df, jax.Array)
    for name in ("loo", "bic"):
        assert single.curves[name].dtype == jnp.float32
        np.testing.assert_allclose(single.curves[name], exact.curves[name], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criteria": ("bic", "dic")}, r"criteria must be some of \('cv', "),
        ({"criteria": "bic"}, "criteria must be some of"),
        ({"criteria": ()}, "criteria must be some of"),
        ({"gamma": 2.0}, r"gamma must be a number in \[0, 1\], got 2.0"),
        ({"dispersion": 0.0}, "dispersion must be a number > 0, got 0.0"),
        ({"criteria": ("cv",)}, "key is missing"),
        ({"criteria": ("loo",), "scoring": "misclassification"}, "its targets are no classes"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        jaxreg.compare(*made(), jaxreg.L1(), **options)
