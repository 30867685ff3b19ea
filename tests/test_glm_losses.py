"""The losses of generalised linear and robust models: by `verify`, against scikit-learn's deviances, estimators and SciPy."""

import jax
import numpy as np
import pytest
import scipy.optimize
from sklearn import linear_model, metrics, svm

import jaxreg
from jaxreg import losses, verify
from jaxreg.verify._all import LOSSES

RNG = np.random.default_rng(0)
N, P = 120, 5
X = RNG.normal(size=(N, P)) + 0.3
ETA = 0.5 * X[:, 0] - 0.4 * X[:, 1] + 0.3
COUNTS = RNG.poisson(np.exp(ETA)).astype(float)
POSITIVE = RNG.gamma(2, np.exp(ETA) / 2)
CLAIMS = np.where(RNG.random(N) < 0.3, 0, POSITIVE)
HEAVY = ETA + RNG.standard_t(1.5, size=N)
BINARY = (HEAVY > 0).astype(float)
WEIGHTS = RNG.integers(0, 4, N).astype(float)

# name: (loss, target that it accepts)
CASES = {
    "poisson": (losses.Poisson("mean"), COUNTS),
    "gamma": (losses.Gamma("mean"), POSITIVE),
    "tweedie": (losses.Tweedie("mean", power=1.4), CLAIMS),
    "huber": (losses.Huber("mean", delta=0.7), HEAVY),
    "quantile": (losses.Quantile("mean", level=0.3, width=0.05), HEAVY),
    "squared hinge": (losses.SquaredHinge("mean"), BINARY),
}
every = pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "poisson" else pytest.mark.slow) for name in CASES])


def rarely(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


# What Cox's rows do to each other takes long to compile.
SLOW = pytest.param(losses.Cox(ties="breslow"), marks=pytest.mark.slow, id="Breslow"), pytest.param(LOSSES[-1], marks=pytest.mark.slow)


@pytest.mark.thin(3)
@pytest.mark.parametrize("loss", [*LOSSES[3:-1], *SLOW], ids=lambda loss: type(loss).__name__)
def test_verified(loss):
    report = verify.loss(loss)
    assert report.ok, "\n".join(map(str, report.failures))


@pytest.mark.parametrize(("name", "power"), [("poisson", 1), ("tweedie", 1.4), ("gamma", 2)])
def test_deviances(x64, name, power):
    """The loss above its smallest value, minus the conjugate at 0, is half of scikit-learn's deviance."""
    loss, y = CASES[name]
    least = -loss.conjugate(np.zeros(N), y, WEIGHTS)
    deviance = metrics.mean_tweedie_deviance(y, np.exp(ETA), sample_weight=WEIGHTS, power=power)
    assert float(loss(ETA, y, WEIGHTS) - least) == pytest.approx(deviance / 2, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("poisson", lambda lam: linear_model.PoissonRegressor(alpha=2 * lam, tol=1e-12, max_iter=10_000, solver="newton-cholesky")),
        rarely("gamma", lambda lam: linear_model.GammaRegressor(alpha=2 * lam, tol=1e-12, max_iter=10_000, solver="newton-cholesky")),
        rarely("tweedie", lambda lam: linear_model.TweedieRegressor(alpha=2 * lam, power=1.4, link="log", tol=1e-12, max_iter=10_000)),
    ],
)
@pytest.mark.parametrize("weights", [pytest.param(None, marks=pytest.mark.slow, id="unweighted"), pytest.param(WEIGHTS, id="weighted")])
def test_ridge_equals_scikit_learn(name, peer, weights):
    """scikit-learn halves its squares. Its own stopping rule leaves 1e-6 of the coefficients with L-BFGS."""
    loss, y = CASES[name]
    fit = jaxreg.path(X, y, jaxreg.L2(), loss=loss, lams=[0.3, 0.01], sample_weight=weights)
    assert fit.converged.all()
    for i, lam in enumerate(fit.lams):
        model = peer(float(lam)).fit(X, y, sample_weight=weights)
        np.testing.assert_allclose(fit.coef[i], model.coef_, atol=1e-5)
        np.testing.assert_allclose(fit.intercept[i], model.intercept_, atol=1e-5)
        np.testing.assert_allclose(fit.predict(X, lam), model.predict(X), rtol=1e-4)


@pytest.mark.slow
def test_squared_hinge_equals_the_support_vector_machine():
    loss, y = losses.SquaredHinge(), BINARY
    fit = jaxreg.path(X, y, jaxreg.L2(), loss=loss, lams=[0.5], intercept=False)
    model = svm.LinearSVC(C=1.0, loss="squared_hinge", fit_intercept=False, tol=1e-10, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(fit.coef[0], model.coef_[0], atol=1e-6)
    np.testing.assert_array_equal(fit.predict(X, 0.5), model.predict(X))


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.1, 1e-3])
def test_quantile_is_within_its_bias_of_the_linear_program(width):
    loss = losses.Quantile("mean", level=0.3, width=width)
    fit = jaxreg.path(X, HEAVY, jaxreg.L1(), loss=loss, lams=[0.02])
    model = linear_model.QuantileRegressor(quantile=0.3, alpha=0.02).fit(X, HEAVY)

    def objective(coef, intercept):
        return metrics.mean_pinball_loss(HEAVY, X @ coef + intercept, alpha=0.3) + 0.02 * np.abs(coef).sum()

    best, ours = objective(model.coef_, model.intercept_), objective(fit.coef[0], fit.intercept[0])
    assert fit.converged.all()
    assert best - 1e-9 <= ours <= best + loss.bias + 1e-9


@pytest.mark.slow
def test_huber_against_a_smooth_solver():
    loss, y = CASES["huber"]
    fit = jaxreg.path(X, y, jaxreg.L2(), loss=loss, lams=[0.05])

    def objective(z):
        size = np.abs(y - X @ z[:P] - z[P])
        return np.where(size <= 0.7, size**2 / 2, 0.7 * size - 0.245).mean() + 0.05 * (z[:P] ** 2).sum()

    best = scipy.optimize.minimize(objective, np.zeros(P + 1), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(np.append(fit.coef[0], fit.intercept[0]), best.x, atol=1e-5)  # differences stop BFGS at √eps


@every
def test_every_path_is_certified(name):
    loss, y = CASES[name]
    fit = jaxreg.path(X, y, jaxreg.ElasticNet(l1_ratio=0.7), loss=loss, lams=12)
    assert fit.converged.all()
    assert fit.gap.max() < 1e-10
    assert not fit.coef[0].any()  # λ_max
    assert fit.coef[1].any()
    assert -1e-9 <= fit.deviance_ratio[0] <= fit.deviance_ratio[-1] < 1


@pytest.mark.slow
@every
def test_far_targets_do_not_stop_the_null_model(name):
    """A loss that is straight where the path starts has no curvature there: a majorizer's takes its place."""
    loss, y = CASES[name]
    if loss.classification:
        offset = np.full(N, 50.0)
    elif name in ("huber", "quantile"):
        offset, y = None, y + 100
    else:
        offset, y = None, y * 1e4
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=loss, lams=5, offset=offset)
    assert fit.converged.all()
    assert fit.gap.max() < 1e-10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jaxreg.GridEdgeWarning")
def test_cross_validation_reports_half_deviances():
    loss, y = CASES["poisson"]
    cv = jaxreg.cross_validate(X, y, jaxreg.L1(), loss=loss, lams=[0.3, 0.05], folds=4, key=jax.random.key(0))
    assert cv.error_name == "mean half deviance"
    for k in range(4):
        out = cv.fold_ids == k
        mean = np.exp(X[out] @ cv.fold_coef[k, 1] + cv.fold_intercept[k, 1])
        assert cv.fold_errors[k, 1] == pytest.approx(metrics.mean_poisson_deviance(y[out], mean) / 2, rel=1e-10)


@pytest.mark.slow
def test_exposure_is_an_offset():
    """Rates by rows of exposure t: an offset log t is the same as repeating a row t times with its count shared out."""
    exposure = RNG.integers(1, 4, N)
    rows = np.repeat(np.arange(N), exposure)
    loss = losses.Poisson("sum")
    one = jaxreg.path(X, COUNTS, jaxreg.L1(), loss=loss, lams=[3.0], offset=np.log(exposure))
    other = jaxreg.path(X[rows], (COUNTS / exposure)[rows], jaxreg.L1(), loss=loss, lams=[3.0])
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["poisson", pytest.param("huber", marks=pytest.mark.slow)])
def test_float32_says_what_it_reached(name):
    loss, y = CASES[name]
    fit = jaxreg.path(X.astype(np.float32), y.astype(np.float32), jaxreg.ElasticNet(l1_ratio=0.7), loss=loss, lams=6)
    exact = jaxreg.path(X, y, jaxreg.ElasticNet(l1_ratio=0.7), loss=loss, lams=fit.lams.astype(float))
    assert fit.coef.dtype == np.float32
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef, exact.coef, atol=2e-3)  # √(tol = 1e-5), which bounds ‖w − w*‖ by the gap


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: losses.Tweedie(power=2.0), "power must be between 1"),
        (lambda: losses.Huber(delta=0.0), "delta must be positive"),
        (lambda: losses.Quantile(level=1.0), "level must be between 0 and 1"),
        (lambda: losses.Quantile(width=-1.0), "width must be positive"),
        (lambda: jaxreg.path(X, ETA, jaxreg.L1(), loss=losses.Poisson()), "Poisson: y must be >= 0"),
        (lambda: jaxreg.path(X, CLAIMS, jaxreg.L1(), loss=losses.Gamma()), "Gamma: y must be > 0"),
        (lambda: jaxreg.path(X, COUNTS, jaxreg.L1(), loss=losses.SquaredHinge()), "classes 0 … 1"),
    ],
)
def test_errors_say_what_is_wrong(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("member", ["__call__", "grad", "curvature"])
def test_a_row_of_weight_zero_may_overflow(member):
    found = getattr(losses.Poisson(), member)(np.array([0.0, 1e4]), np.array([2.0, 1.0]), np.array([1.0, 0.0]))
    assert np.isfinite(found).all()
    assert np.ravel(found)[0] == {"__call__": 1, "grad": -1, "curvature": 1}[member]
