"""Losses × properties, against scikit-learn's metrics and SciPy's special functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from sklearn import metrics

from jaxreg import losses

RNG = np.random.default_rng(0)
N, K = 7, 3
ETA, WEIGHTS = RNG.normal(size=N) * 2, np.array([1.0, 2.0, 0.0, 0.5, 3.0, 1.0, 0.25])
REAL, BINARY, CLASSES = RNG.normal(size=N), np.array([0.0, 1, 1, 0, 1, 0, 0]), np.array([0, 2, 1, 1, 0, 2, 2])
MATRIX = RNG.normal(size=(N, K)) * 2

# name: (class, predictors, targets, mean loss by scikit-learn).
LOSSES = {
    "squared error": (losses.SquaredError, ETA, REAL, lambda v: metrics.mean_squared_error(REAL, ETA, sample_weight=v)),
    "squared error, two targets": (
        losses.SquaredError,
        MATRIX[:, :2],
        MATRIX[:, 1:],
        lambda v: 2 * metrics.mean_squared_error(MATRIX[:, 1:], MATRIX[:, :2], sample_weight=v),  # it averages over targets
    ),
    "logistic": (losses.Logistic, ETA, BINARY, lambda v: metrics.log_loss(BINARY, scipy.special.expit(ETA), sample_weight=v)),
    "multinomial": (
        losses.Multinomial,
        MATRIX,
        CLASSES,
        lambda v: metrics.log_loss(CLASSES, scipy.special.softmax(MATRIX, axis=1), sample_weight=v),
    ),
}
table = pytest.mark.parametrize("name", LOSSES)


@table
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_value_and_reductions(x64, name, weights):
    kind, eta, y, mean = LOSSES[name]
    eta, y, v = jnp.asarray(eta), jnp.asarray(y), None if weights is None else jnp.asarray(weights)
    total = N if weights is None else weights.sum()
    expected = {"sum": mean(weights) * total, "mean": mean(weights), "half_mean": mean(weights) / 2}
    for reduction in kind.reductions:
        assert float(kind(reduction)(eta, y, v)) == pytest.approx(expected[reduction], rel=1e-13)
    assert float(kind()(eta, y, v)) == float(kind("sum")(eta, y, v))


@table
def test_derivatives(x64, name):
    """Central differences: the cube root of eps, 6e-6, is the best step and its square the error."""
    kind, eta, y, _ = LOSSES[name]
    y, v = jnp.asarray(y), jnp.asarray(WEIGHTS)
    for reduction in kind.reductions:
        loss = kind(reduction)
        grad, curvature = np.asarray(loss.grad(jnp.asarray(eta), y, v)), np.asarray(loss.curvature(jnp.asarray(eta), y, v))
        assert grad.shape == eta.shape
        for index in np.ndindex(*eta.shape):
            e = np.zeros(eta.shape)
            e[index] = 6e-6
            up, down = jnp.asarray(eta + e), jnp.asarray(eta - e)
            assert grad[index] == pytest.approx((float(loss(up, y, v)) - float(loss(down, y, v))) / 1.2e-5, abs=1e-8)
            second = (np.asarray(loss.grad(up, y, v)) - np.asarray(loss.grad(down, y, v)))[index[0]] / 1.2e-5
            row = curvature[index] if kind.vector else (curvature[index[0]] if eta.ndim == 1 else curvature[index[0]] * (e[index[0]] > 0))
            np.testing.assert_allclose(row, second, atol=1e-8)
        np.testing.assert_allclose(grad, jax.grad(loss)(jnp.asarray(eta), y, v), rtol=1e-13, atol=1e-15)


@table
def test_fenchel_young(x64, name):
    """loss(η) + conjugate(∇loss(η)) = ⟨∇loss(η), η⟩, and >= at every other η: the conjugate is neither too small nor too large."""
    kind, eta, y, _ = LOSSES[name]
    eta, y, v = jnp.asarray(eta), jnp.asarray(y), jnp.asarray(WEIGHTS)
    for reduction in kind.reductions:
        loss = kind(reduction)
        dual = loss.grad(eta, y, v)
        conjugate = float(loss.conjugate(dual, y, v))
        assert float(loss(eta, y, v)) + conjugate == pytest.approx(float(jnp.sum(dual * eta)), rel=1e-12)
        for _ in range(5):
            other = eta + jnp.asarray(RNG.normal(size=eta.shape))
            assert float(loss(other, y, v)) + conjugate >= float(jnp.sum(dual * other)) - 1e-12


@pytest.mark.parametrize(("dual", "y"), [(0.3, 0.0), (-0.6, 1.0), (0.0, 0.0), (-1.0, 1.0), (1.0, 0.0)])
def test_logistic_conjugate_by_search(x64, dual, y):
    """sup over η by SciPy; at the ends of the domain it is a limit, reached at η = ±40 to exp(−40)."""
    loss = losses.Logistic()
    found = scipy.optimize.minimize_scalar(lambda t: np.logaddexp(t, 0) - y * t - dual * t, bounds=(-40, 40), method="bounded")
    assert float(loss.conjugate(jnp.array([dual]), jnp.array([y]))) == pytest.approx(-found.fun, abs=1e-6)


@pytest.mark.parametrize(("dual", "y"), [(0.5, 1.0), (-0.5, 0.0), (1.1, 0.0)])
def test_logistic_conjugate_outside_its_domain(dual, y):
    assert float(losses.Logistic().conjugate(jnp.array([dual]), jnp.array([y]))) == np.inf


def test_multinomial_conjugate_outside_its_domain():
    loss, y = losses.Multinomial(), jnp.array([0])
    assert float(loss.conjugate(jnp.array([[-0.5, 0.25, 0.5]]), y)) == np.inf  # does not sum to one
    assert float(loss.conjugate(jnp.array([[0.5, 0.25, -0.75]]), y)) == np.inf  # a negative probability
    assert float(loss.conjugate(jnp.array([[-0.5, 0.25, 0.25]]), y)) == pytest.approx(0.5 * np.log(0.5) + 0.5 * np.log(0.25), rel=1e-6)


@pytest.mark.parametrize("size", [30.0, 1e3, 1e30])
def test_extreme_predictors(size):
    """Right and wrong with certainty: nothing overflows, and the loss is |η| on the wrong side and exp(−|η|) on the right."""
    eta, right, wrong = jnp.array([size, -size]), jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
    loss = losses.Logistic()
    assert float(loss(eta, wrong)) == pytest.approx(2 * size, rel=1e-6)
    assert float(loss(eta, right)) == pytest.approx(2 * np.exp(-size), rel=1e-5)
    for y in (right, wrong):
        assert np.all(np.isfinite(loss.grad(eta, y)))
        assert np.all(np.isfinite(loss.curvature(eta, y)))
        assert np.all(np.isfinite(jax.grad(loss)(eta, y)))
    rows, labels = jnp.array([[size, 0.0, -size]]), jnp.array([2])
    loss = losses.Multinomial()
    assert float(loss(rows, labels)) == pytest.approx(2 * size, rel=1e-6)
    assert np.all(np.isfinite(loss.grad(rows, labels)))
    assert np.all(np.isfinite(loss.curvature(rows, labels)))


def test_the_logistic_loss_has_no_kink_for_autodiff(x64):
    """Twice, from the value alone, also at 0, and to the last digits of values far out."""
    loss = losses.Logistic()
    zero = jnp.zeros(1)
    assert float(jax.grad(lambda eta: loss(eta, zero))(zero)[0]) == 0.5
    assert float(jax.hessian(lambda eta: loss(eta, zero))(zero)[0, 0]) == 0.25
    eta = np.array([-700.0, -40.0, -1.0, 0.0, 1e-9, 3.0, 40.0, 1e5])
    np.testing.assert_allclose(loss.pointwise(jnp.asarray(eta), jnp.zeros(8)), np.logaddexp(0, eta), rtol=4 * np.finfo(float).eps)


def test_symmetric_multinomial():
    """A constant added to a row changes nothing; two classes are the logistic loss of the difference."""
    loss, y = losses.Multinomial(), jnp.array([0, 1, 1])
    eta = jnp.asarray(MATRIX[:3, :2], jnp.float32)
    assert float(loss(eta + 5, y)) == pytest.approx(float(loss(eta, y)), rel=1e-6)
    assert float(loss(eta, y)) == pytest.approx(float(losses.Logistic()(eta[:, 1] - eta[:, 0], y)), rel=1e-6)
    np.testing.assert_allclose(loss.mean(eta)[:, 1], losses.Logistic().mean(eta[:, 1] - eta[:, 0]), rtol=1e-6)


def test_a_weight_of_zero_is_no_observation(x64):
    for kind, eta, y, _ in LOSSES.values():
        kept = np.flatnonzero(WEIGHTS)
        for reduction in kind.reductions:
            loss = kind(reduction)
            full = loss(jnp.asarray(eta), jnp.asarray(y), jnp.asarray(WEIGHTS))
            part = loss(jnp.asarray(eta[kept]), jnp.asarray(y[kept]), jnp.asarray(WEIGHTS[kept]))
            assert float(full) == pytest.approx(float(part), rel=1e-14)


@pytest.mark.parametrize("reduction", ["half_sum", "none", ""])
def test_unknown_reductions(reduction):
    with pytest.raises(ValueError, match=r"SquaredError: reduction must be one of \('sum', 'mean', 'half_mean'\)"):
        losses.SquaredError(reduction)


def test_half_mean_is_for_squares_alone():
    for kind in (losses.Logistic, losses.Multinomial):
        with pytest.raises(ValueError, match="reduction must be one of"):
            kind("half_mean")


@pytest.mark.parametrize("method", ["__call__", "grad", "curvature"])
def test_shapes_that_would_broadcast_are_errors(method):
    """(n, 1) predictors against (n,) targets would silently make an (n, n) table."""
    for loss, eta, y in [
        (losses.SquaredError(), jnp.ones((4, 1)), jnp.ones(4)),
        (losses.SquaredError(), jnp.ones(4), jnp.ones((4, 1))),
        (losses.Multinomial(), jnp.ones((4, 3)), jnp.ones((4, 3))),
    ]:
        with pytest.raises(ValueError, match="y has shape"):
            getattr(loss, method)(eta, y)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        (losses.Logistic(), [1.0, 2.0], "must hold the classes 0 … 1, but holds 2"),
        (losses.Logistic(), [-1.0, 1.0], "coded 0, 1, …, but holds"),
        (losses.Logistic(), [0.0, 0.5], "coded 0, 1"),
        (losses.Logistic(), [1.0, 1.0], "single class"),
        (losses.Multinomial(), [0.0, 1.5], "coded 0, 1"),
        (losses.Multinomial(), [2.0, 2.0], "single class"),
    ],
)
def test_targets_out_of_range(loss, y, message):
    with pytest.raises(ValueError, match=message):
        loss.check_targets(np.array(y))


def test_losses_are_values():
    """Equal by content and hashable, so that a compiled function may take one as a static argument."""
    assert losses.SquaredError("mean") == losses.SquaredError("mean") != losses.SquaredError("sum")
    assert len({losses.Logistic(), losses.Logistic(), losses.Multinomial()}) == 2
