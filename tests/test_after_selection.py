"""Relaxed fits, debiased intervals, stability selection and the bootstrap against least squares, plain Newton, loops and glmnet."""

import inspect
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from scipy.stats import norm
from sklearn.linear_model import Lasso

import jaxreg
from jaxreg import L1, losses
from jaxreg._path._resample import generator
from jaxreg._path._stability import subsamples, unimodal_bound

KEY = jax.random.key(0)
HALF = losses.SquaredError("half_mean")
LAMS = [0.8, 0.4, 0.1]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 7)) * np.array([1, 5, 1, 1, 0.2, 1, 1]) + 3
    return X, X[:, :5] @ np.array([1.0, 0.4, 0, -1, 4]) + rng.normal(size=60)


def with_copy(X):
    """The last column as a copy of the first."""
    return np.c_[X[:, :-1], X[:, 0]]


def least_squares(X, y, inside):
    """Coefficients and intercept by definition, of least norm in standardised columns, and the rank."""
    w = np.zeros(X.shape[1])
    sd = X.std(0)
    found, _, rank, _ = np.linalg.lstsq(((X - X.mean(0)) / sd)[:, inside], y - y.mean(), rcond=1e-9)
    w[inside] = found / sd[inside]
    return w, y.mean() - X.mean(0) @ w, rank


# --- relaxed fits ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.slow)])
def test_refits_are_least_squares_on_the_support(data, dtype):
    X, y = with_copy(data[0]), data[1]
    free = np.array([1, 0, 0, 0, 0, 0, 1.0])  # the two copies stay, so that every refit has many minimisers
    fit = jaxreg.relax(X.astype(dtype), y.astype(dtype), L1(), loss=HALF, lams=LAMS, penalty_factor=1 - free)
    eps = np.finfo(dtype).eps
    for i in range(len(LAMS)):
        inside = (fit.path.coef[i] != 0) | (free > 0)
        w, b, rank = least_squares(X, y, inside)
        # Normal equations: the error is about their condition (below 1e3 on any of these supports) times rounding.
        np.testing.assert_allclose(fit.coef[i], w, atol=1e3 * eps * np.abs(w).max())
        np.testing.assert_allclose(fit.intercept[i], b, atol=1e3 * eps * (np.abs(X.mean(0)) @ np.abs(w) + abs(b)))
        assert fit.rank[i] == rank == inside.sum() - 1
        assert fit.deviance_ratio[i] >= fit.path.deviance_ratio[i]
    assert fit.converged.all()
    assert fit.coef.dtype == dtype
    coef, intercept = fit.blend(0.25)
    np.testing.assert_allclose(coef, 0.25 * fit.path.coef + 0.75 * fit.coef, rtol=1e3 * eps)
    np.testing.assert_allclose(fit.predict(X, 0.4, 0.25), X @ coef[1] + intercept[1], rtol=1e3 * eps)
    np.testing.assert_array_equal(fit.blend(1.0)[0], fit.path.coef)
    assert "by refit" in str(fit)
    with pytest.raises(ValueError, match="not on the grid"):
        fit.predict(X, 0.5)
    with pytest.raises(ValueError, match="gamma must lie in"):
        fit.blend(1.5)


def test_a_refit_refuses_what_would_leave_a_constraint(data):
    with pytest.raises(ValueError, match="holds a constraint"):
        jaxreg.relax(*data, L1() + jaxreg.NonNegative())


RNG = np.random.default_rng(3)
DESIGN = RNG.normal(size=(80, 6))
SIGNAL = DESIGN @ np.array([0.8, -0.5, 0, 0, 0.3, 0])
TARGETS = {
    "logistic": (losses.Logistic(), RNG.uniform(size=80) < 1 / (1 + np.exp(-SIGNAL))),
    "poisson": (losses.Poisson("mean"), RNG.poisson(np.exp(SIGNAL))),
    "gamma": (losses.Gamma(), np.exp(SIGNAL) * RNG.gamma(4, 0.25, size=80)),
    "huber": (losses.Huber(), SIGNAL + RNG.standard_t(2, size=80)),
    "quantile": (losses.Quantile(), SIGNAL + RNG.normal(size=80)),
    "targets": (losses.Poisson(), RNG.poisson(np.exp(np.c_[SIGNAL, -SIGNAL]))),
    "multinomial": (losses.Multinomial(), np.digitize(SIGNAL + RNG.normal(size=80), [-0.5, 0.5])),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_refits_of_likelihoods_are_minima_on_their_supports(name, x64):
    loss, y = TARGETS[name]
    y, v, o = np.asarray(y, float), RNG.uniform(0.5, 2, size=80), 0.1 * DESIGN[:, 0]
    offset = o[:, None] * np.ones((1, loss.outputs(y))) if y.ndim == 2 or loss.vector else o
    fit = jaxreg.relax(DESIGN, y, L1(), loss=loss, lams=6, sample_weight=v, offset=offset)
    assert fit.converged.all()
    shape = fit.coef.shape[1:]
    for i in (2, 5):
        inside = fit.path.coef[i] != 0

        def objective(z, inside=inside):
            w = jnp.zeros(shape).at[np.nonzero(inside)].set(z[: inside.sum()])
            level = z[inside.sum() :]
            return loss(jnp.asarray(DESIGN) @ w + (level if len(shape) == 2 else level[0]) + offset, jnp.asarray(y), jnp.asarray(v))

        start = np.zeros(inside.sum() + np.size(fit.intercept[i]))
        peer = minimize(jax.jit(jax.value_and_grad(objective)), start, jac=True, method="BFGS", options={"gtol": 1e-7})
        mine = objective(np.append(fit.coef[i][inside], fit.intercept[i]))
        # BFGS stops where rounding hides descent: its value is above the minimum by no more than that.
        np.testing.assert_allclose(mine, peer.fun, rtol=1e-9)
        assert mine <= peer.fun + 1e-13 * abs(peer.fun)
        assert (fit.coef[i][~inside] == 0).all()


@pytest.mark.slow
def test_refits_at_infinity_are_not_converged():
    y = DESIGN[:, 0] > 0
    with pytest.warns(jaxreg.ConvergenceWarning, match="refits did not reach"):
        fit = jaxreg.relax(DESIGN, y, L1(), loss=losses.Logistic(), lams=5)
    assert fit.converged.tolist() == [True] + [False] * 4
    counts = np.where(DESIGN[:, 0] > 0.5, 0, RNG.poisson(3.0, size=80))
    X = np.c_[DESIGN[:, 0] > 0.5, DESIGN[:, 1]]  # no event where the first column is 1: its coefficient falls for ever
    with pytest.warns(jaxreg.ConvergenceWarning, match="refits did not reach"):
        fit = jaxreg.relax(X, counts, L1(), loss=losses.Poisson(), lams=5)
    assert fit.converged.tolist() == [True] + [False] * 4


@pytest.mark.slow
def test_more_features_than_a_bucket_holds():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 300))
    y = X[:, :90] @ rng.normal(size=90) + rng.normal(size=200)
    fit = jaxreg.relax(X, y, L1(), lams=20)
    assert (fit.path.nonzeros > 64).any()
    for i in (5, 19):
        w = least_squares(X, y, fit.path.coef[i] != 0)[0]
        np.testing.assert_allclose(fit.coef[i], w, atol=1e-8 * np.abs(w).max())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")  # of the five λ the penalised fit's best is the last
@pytest.mark.parametrize("name", ["logistic", "squared error"])
def test_relaxed_folds_against_a_loop(data, name):
    X, y = data
    loss = HALF if name == "squared error" else losses.Logistic("mean")
    y = y if name == "squared error" else y > np.median(y) + 3 * np.random.default_rng(0).normal(size=60)
    ids, gammas = np.arange(60) % 4, (0.0, 0.3, 1.0)
    best = jaxreg.cross_validate_relaxed(X, y, L1(), gammas=gammas, loss=loss, lams=5, folds=ids)
    for k in range(4):
        train, test = ids != k, ids == k
        fit = jaxreg.relax(X[train], y[train], L1(), loss=loss, lams=best.cv.lams)
        for g, gamma in enumerate(gammas):
            eta = np.stack([X[test] @ w + b for w, b in zip(*fit.blend(gamma), strict=True)])
            each = (y[test] - eta) ** 2 if name == "squared error" else np.logaddexp(0, eta) - y[test] * eta
            np.testing.assert_allclose(best.fold_errors[k, g], each.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(best.mean, best.fold_errors.mean(axis=0))
    g, i = np.unravel_index(np.argmin(best.mean), best.mean.shape)
    assert (best.gamma, best.lam) == (gammas[g], best.cv.lams[i])
    simple = jaxreg.cross_validate_relaxed(X, y, L1(), gammas=gammas, loss=loss, lams=5, folds=ids, rule="1se")
    within = (best.mean <= best.mean[g, i] + best.se[g, i]).any(axis=0)
    assert simple.lam == best.cv.lams[np.flatnonzero(within)[0]]
    np.testing.assert_allclose(best.predict(X)[:3], best.relaxed.predict(X, best.lam, best.gamma)[:3])
    assert "chosen" in str(best)


# update() evaluates the call again inside glmnet's namespace: the names must mean nothing there.
GLMNET = """
a <- commandArgs(TRUE); design <- as.matrix(read.csv(a[1], header=FALSE)); target <- scan(a[2], quiet=TRUE)
kind <- a[3]; grid <- scan(a[4], quiet=TRUE); suppressMessages(library(glmnet))
f <- glmnet(design, target, family=kind, lambda=grid, relax=TRUE, standardize=FALSE, thresh=1e-20, maxit=1e7)$relaxed
write.table(format(rbind(f$a0, as.matrix(f$beta)), digits=17), a[5], row.names=FALSE, col.names=FALSE, quote=FALSE)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("family", "loss"), [("gaussian", HALF), ("binomial", losses.Logistic("mean"))])
@pytest.mark.skipif(not shutil.which("Rscript"), reason="no R")
def test_glmnets_relaxed_fit(data, family, loss, tmp_path):
    X, y = data
    y = y if family == "gaussian" else (y > np.median(y) + np.random.default_rng(0).normal(size=60)).astype(float)
    fit = jaxreg.relax(X, y, L1(), loss=loss, lams=12)
    names = [str(tmp_path / name) for name in ("X", "y", "lams", "out")]
    for name, values in zip(names, (X, y, fit.lams), strict=False):
        np.savetxt(name, values, delimiter=",", fmt="%.17g")
    command = ["Rscript", "-e", GLMNET, names[0], names[1], family, names[2], names[3]]
    done = subprocess.run(command, capture_output=True, text=True)
    if "no package called" in done.stderr:
        pytest.skip("R has no glmnet")
    assert done.returncode == 0, done.stderr
    peer = np.loadtxt(names[3])
    np.testing.assert_allclose(fit.intercept, peer[0], atol=2e-7)
    np.testing.assert_allclose(fit.coef, peer[1:].T, atol=2e-7)


# --- stability selection and bootstrap ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_frequencies_against_a_loop(data):
    X, y = data
    found = jaxreg.stability_selection(X, y, L1(), key=KEY, resamples=6, loss=HALF, lams=LAMS, threshold=0.7)
    halves = subsamples(generator(KEY), np.ones(60, bool), 6, 0.5, True, None)
    chosen = np.zeros((6, 3, 7), bool)
    for b, i in np.ndindex(6, 3):
        chosen[b, i] = Lasso(alpha=LAMS[i], tol=1e-14, max_iter=10**6).fit(X[halves[b]], y[halves[b]]).coef_ != 0
    np.testing.assert_array_equal(found.frequencies, chosen.mean(axis=0))
    np.testing.assert_array_equal(found.stable, chosen.mean(axis=0).max(axis=0) >= 0.7)
    q = chosen.any(axis=1).sum(axis=1).mean()
    assert found.selected == q
    np.testing.assert_allclose(found.false_selections, q**2 / (0.4 * 7))
    assert found.converged == 1
    assert "stable" in str(found)
    few = jaxreg.stability_selection(X, y, L1(), key=KEY, resamples=6, loss=HALF, lams=LAMS, most=2)
    cut = chosen & (np.logical_or.accumulate(chosen, axis=1).sum(axis=2) <= 2)[..., None]
    np.testing.assert_array_equal(few.frequencies, cut.mean(axis=0))
    assert few.selected <= 2 < q


@pytest.mark.slow
def test_bootstrap_lanes_are_weighted_fits(data):
    X, y = data
    fit = jaxreg.bootstrap(X, y, L1(), key=KEY, resamples=6, level=0.5, loss=HALF, lams=LAMS)
    counts = generator(KEY).multinomial(60, np.full(60, 1 / 60), size=6)
    for b in range(6):
        peer = Lasso(alpha=0.1, tol=1e-14, max_iter=10**6).fit(np.repeat(X, counts[b], axis=0), np.repeat(y, counts[b]))
        np.testing.assert_allclose(fit.coefs[b, 2], peer.coef_, atol=1e-8)
    np.testing.assert_allclose([fit.lower, fit.upper], np.quantile(fit.coefs, [0.25, 0.75], axis=0))
    np.testing.assert_array_equal(fit.frequency, (fit.coefs != 0).mean(axis=0))


def test_subsamples_are_balanced_halves():
    rng = np.random.default_rng(0)
    usable, classes = np.arange(41) > 0, np.r_[np.zeros(31, int), np.ones(10, int)]
    halves = subsamples(rng, usable, 40, 0.5, True, classes)
    assert (halves.sum(axis=1) == 20).all()
    assert not (halves[::2] & halves[1::2]).any()
    assert not halves[:, 0].any()
    assert set(halves[:, classes == 1].sum(axis=1)) == {5}
    drawn = subsamples(rng, usable, 4000, 0.3, False, None)
    assert (drawn.sum(axis=1) == 12).all()
    # Each of 40 shares is the mean of 4000 draws: five standard errors hold for all with probability 1 − 40·6e-7.
    np.testing.assert_allclose(drawn.mean(axis=0)[1:], 0.3, atol=5 * np.sqrt(0.21 / 4000))


@pytest.mark.parametrize(("theta", "threshold"), [(0.1, 0.6), (0.2, 0.7), (0.3, 0.74), (0.2, 0.8), (0.4, 0.9)])
def test_unimodal_bound_is_the_worst_unimodal_distribution(theta, threshold):
    """Both halves select j with probability <= θ², unimodally over 0, 1/B, …; Π̂ >= π makes this share at least 2π − 1."""
    pairs = 50
    share = np.arange(pairs + 1) / pairs
    worst = 0.0
    for mode in range(pairs + 1):
        steps = np.diff(np.eye(pairs + 1), axis=0)  # f(k+1) − f(k)
        order = np.where(np.arange(pairs)[:, None] < mode, -steps, steps)
        tail = -(share >= 2 * threshold - 1 - 1e-12).astype(float)
        found = linprog(tail, np.vstack([order, share]), np.append(np.zeros(pairs), theta**2), np.ones((1, pairs + 1)), [1.0])
        worst = max(worst, -found.fun if found.status == 0 else 0.0)
    bound = unimodal_bound(theta, threshold, pairs, selected=theta)  # for one feature: C·θ·θ
    assert worst <= bound * (1 + 1e-9)
    # The theorem's constants hold for every grid of shares; on this one they give away one step of it.
    assert bound <= worst * (1 + 4 / (pairs * (2 * threshold - 1 - 1 / pairs) * (1 - threshold)))


@pytest.mark.slow
def test_stable_features_of_classes_and_groups():
    X = np.random.default_rng(5).normal(size=(120, 10))
    y = (2 * X[:, 0] - 2 * X[:, 1] + np.random.default_rng(6).normal(size=120) > 0).astype(int)
    for penalty in (L1(), jaxreg.GroupLasso(groups=np.repeat(np.arange(5), 2))):
        found = jaxreg.stability_selection(
            X, y, penalty, loss=losses.Logistic("mean"), key=KEY, resamples=20, most=2, lams=10, threshold=0.9, complementary=False
        )
        assert np.flatnonzero(found.stable).tolist() == [0, 1]
        assert found.false_selections_unimodal is None


# --- debiased lasso ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_penalties_it_is_least_squares(data):
    X, y = data
    A = np.c_[np.ones(60), X]
    w, rss = np.linalg.lstsq(A, y, rcond=None)[:2]
    sigma = float(np.sqrt(rss[0] / (60 - 8)))
    se = sigma * np.sqrt(np.diag(np.linalg.inv(A.T @ A)))[1:]
    found = jaxreg.debiased_lasso(X, y, 0.0, sigma=sigma, nodewise_lam=0.0, level=0.9)
    np.testing.assert_allclose(found.coef, w[1:], rtol=1e-9)
    np.testing.assert_allclose(found.se, se, rtol=1e-9)
    np.testing.assert_allclose([found.lower, found.upper], [w[1:] - norm.ppf(0.95) * se, w[1:] + norm.ppf(0.95) * se], rtol=1e-9)
    p = 2 * norm.sf(np.abs(w[1:]) / se)
    np.testing.assert_allclose(found.p_values, p, rtol=1e-6)
    order = np.argsort(p)
    holm = [min(1, max((7 - m) * p[order[m]] for m in range(k + 1))) for k in range(7)]
    np.testing.assert_allclose(found.holm[order], holm, rtol=1e-6)
    assert found.converged.all()


@pytest.mark.slow
def test_it_is_made_of_a_scaled_and_of_nodewise_lassos(data):
    X, y = data
    Z = (X - X.mean(0)) / X.std(0)
    nodewise = np.linspace(0.02, 0.3, 7)
    found = jaxreg.debiased_lasso(X, y, nodewise_lam=nodewise)
    lam = np.sqrt(2 * np.log(7) / 60) * found.sigma
    peer = Lasso(alpha=lam, tol=1e-14, max_iter=10**6).fit(Z, y)
    residual = y - peer.predict(Z)
    np.testing.assert_allclose(np.sqrt(np.mean(residual**2)), found.sigma, rtol=1e-7)
    for j in range(7):
        others = np.delete(Z, j, axis=1)
        own = Lasso(alpha=nodewise[j], fit_intercept=False, tol=1e-14, max_iter=10**6).fit(others, Z[:, j])
        z = Z[:, j] - others @ own.coef_
        b = peer.coef_[j] + z @ residual / (z @ Z[:, j])
        np.testing.assert_allclose(found.coef[j], b / X[:, j].std(), rtol=1e-6)
        np.testing.assert_allclose(found.se[j], found.sigma * np.linalg.norm(z) / (z @ Z[:, j]) / X[:, j].std(), rtol=1e-6)
        np.testing.assert_allclose(found.bias_factor[j], np.abs(others.T @ z).max() / np.linalg.norm(z), rtol=1e-6)
    assert (found.nodewise_kkt < 1e-12).all()
    assert "Holm" in str(found)


@pytest.mark.slow
def test_a_column_that_depends_on_others_is_marked(data):
    with pytest.warns(jaxreg.ConvergenceWarning, match="2 of 7 estimates"):
        found = jaxreg.debiased_lasso(with_copy(data[0]), data[1], nodewise_lam=0.0)
    assert np.flatnonzero(~found.converged).tolist() == [0, 6]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_coverage_with_more_features_than_rows(dtype):
    """Toeplitz design; at 95 % over 40 data sets."""
    rng = np.random.default_rng(0)
    n, p, sets = 100, 150, 40
    root = np.linalg.cholesky(0.5 ** np.abs(np.subtract.outer(np.arange(p), np.arange(p))))
    w = np.zeros(p)
    w[[3, 50, 120]] = 1
    inside = np.zeros((sets, p), bool)
    rejected = 0
    for s in range(sets):
        X = (rng.normal(size=(n, p)) @ root.T).astype(dtype)
        found = jaxreg.debiased_lasso(X, (X @ w + rng.normal(size=n)).astype(dtype))
        inside[s] = (found.lower <= w) & (w <= found.upper)
        rejected += bool((found.holm[w == 0] < 0.05).any())
        assert found.converged.all()
    # Effects: 3·sets nearly independent intervals; 3.1 standard errors of a binomial share are passed with probability 1e-3.
    assert inside[:, w != 0].mean() >= 0.95 - 3.1 * np.sqrt(0.95 * 0.05 / (3 * sets))
    # Noise: intervals of one data set are correlated through σ̂, so that the data sets count: the spread of their shares is measured.
    shares = inside[:, w == 0].mean(axis=1)
    assert abs(shares.mean() - 0.95) <= 3.1 * shares.std(ddof=1) / np.sqrt(sets) + 0.02  # two points for the asymptotics
    assert rejected <= 0.05 * sets + 3.1 * np.sqrt(sets * 0.05 * 0.95)


# --- what is refused ---------------------------------------------------------------------------------------------------

BAD = {
    "no key": (jaxreg.stability_selection, {"key": None}, "key is missing"),
    "threshold": (jaxreg.stability_selection, {"key": KEY, "threshold": 0.5}, "threshold must lie in"),
    "odd": (jaxreg.stability_selection, {"key": KEY, "resamples": 5}, "resamples = 5 is odd"),
    "fraction": (jaxreg.stability_selection, {"key": KEY, "fraction": 0.4}, "complementary pairs are halves"),
    "outside": (jaxreg.stability_selection, {"key": KEY, "fraction": 1.0, "complementary": False}, "fraction must lie in"),
    "tiny": (jaxreg.stability_selection, {"key": KEY, "fraction": 0.01, "complementary": False}, "fewer than two"),
    "most": (jaxreg.stability_selection, {"key": KEY, "most": 0}, "most must be at least 1"),
    "resamples": (jaxreg.bootstrap, {"key": KEY, "resamples": 1}, "resamples must be a whole number >= 2"),
    "bootstrap level": (jaxreg.bootstrap, {"key": KEY, "level": 1.0}, "level must lie in"),
    "level": (jaxreg.debiased_lasso, {"level": 0.0}, "level must lie in"),
    "lam": (jaxreg.debiased_lasso, {"lam": -1.0}, "lam must be a number >= 0"),
    "sigma": (jaxreg.debiased_lasso, {"sigma": 0.0}, "sigma must be a number > 0"),
    "nodewise": (jaxreg.debiased_lasso, {"lam": 0.1, "sigma": 1.0, "nodewise_lam": [0.1]}, "nodewise_lam must be a number >= 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(data, case):
    function, options, message = BAD[case]
    penalty = () if function is jaxreg.debiased_lasso else (L1(),)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(function)(*data, *penalty, **options)


def test_constant_columns_and_rare_classes_are_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="column 2 is constant"):
        jaxreg.debiased_lasso(np.where(np.arange(7) == 2, 1.0, X), y)
    with pytest.raises(ValueError, match="no row of class 1"):
        jaxreg.stability_selection(X, np.arange(60) == 3, L1(), loss=losses.Logistic(), key=KEY, resamples=4)
