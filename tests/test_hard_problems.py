"""Problems that break solvers: the right answer with a certificate that NumPy confirms, or an error or a flag that says what happened."""

import numpy as np
import pytest

import jaxreg
from jaxreg import losses

from .optimality import Problem
from .reference import made

LOSSES = {"gaussian": losses.SquaredError("half_mean"), "binomial": losses.Logistic("mean"), "poisson": losses.Poisson("mean")}
PENALTIES = {
    "lasso": (jaxreg.L1(), 1.0, 0.0),
    "elastic net": (jaxreg.ElasticNet(l1_ratio=0.5), 0.5, 0.5),
    "ridge": (jaxreg.L2(0.5), 0.0, 1.0),
}


def certified(X, y, penalty, loss="gaussian", sample_weight=None, tol=1e-10, **given):
    """The path, each λ of which is as near to the best as ``tol`` says, by a gap that is computed apart from jaxreg."""
    p, l1, l2 = PENALTIES[penalty]
    fit = jaxreg.path(X, y, p, loss=LOSSES[loss], sample_weight=sample_weight, **given)
    assert fit.converged.all()
    v = np.ones(len(y)) if sample_weight is None else sample_weight
    X, y, v = X[v > 0], y[v > 0], v[v > 0]
    size, ones = X.shape[1], np.ones(X.shape[1])
    for lam, coef, intercept in zip(fit.lams, fit.coef, fit.intercept, strict=True):
        if lam == 0:
            continue  # nothing bounds the dual: only what the caller checks
        shape = np.zeros((len(y), 1)), np.full(size, -np.inf), np.full(size, np.inf)
        problem = Problem(loss, X, y, v / v.sum(), lam * l1 * ones, lam * l2 * ones, *shape, given.get("intercept", True))
        # Rounding: of η, on both sides of the gap.
        assert -1e-13 <= problem.gap(coef, intercept) / problem.value(0 * coef, np.average(y, weights=v) * 0) <= 10 * tol
    return fit


def tied():
    rng = np.random.default_rng(0)
    X = rng.integers(-1, 2, (40, 10)).astype(float)
    return X, (X[:, 0] - X[:, 1] + X[:, 2] + rng.integers(-1, 2, 40)).astype(float)


def degenerate():
    X, y = made(40, 5)
    return np.c_[X, X[:, 0], -X[:, 1], 2 * X[:, 2], np.ones(40), np.zeros(40)], y


def tiny(n):
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, 10)), rng.normal(size=n)


def collinear(size):
    """Columns that are sums of others but for ``size``: at a rounding of it they are the same to the machine."""
    X, y = made(40, 6)
    X = np.c_[X, X[:, :3] + X[:, 1:4], X[:, 0] - X[:, 5]]
    return X + size * np.random.default_rng(2).normal(size=X.shape), y


def scales():
    X, y = made(40, 10)
    return X * np.logspace(-8, 8, 10), y


DESIGNS = {
    "ties": tied(),
    "duplicated and constant columns": degenerate(),
    "two rows": tiny(2),
    "three rows": tiny(3),
    "collinear": collinear(0.0),
    "collinear but for rounding": collinear(1e-15),
    "collinear but for 1e-10": collinear(1e-10),
    "scales from 1e-8 to 1e8": scales(),
}


SLOW = pytest.mark.slow  # what compiles a program of its own
TINY = [pytest.param(name, marks=SLOW) if name.endswith("rows") else name for name in DESIGNS]
METHODS = ["lasso", "elastic net", pytest.param("ridge", marks=SLOW)]


@pytest.mark.thin(12)
@pytest.mark.parametrize("design", TINY)
@pytest.mark.parametrize("penalty", METHODS)
def test_designs(design, penalty):
    X, y = DESIGNS[design]
    lams = 12 if penalty != "ridge" else [10.0, 1.0, 0.1]
    fit = certified(X, y, penalty, lams=lams)
    assert np.isfinite(fit.coef).all()
    if design == "duplicated and constant columns":
        np.testing.assert_array_equal(fit.coef[:, 8:], 0)
        if penalty != "lasso":  # strictly convex: twins share
            np.testing.assert_allclose(fit.coef[:, 0], fit.coef[:, 5], atol=1e-9)
            np.testing.assert_allclose(fit.coef[:, 1], -fit.coef[:, 6], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("loss", ["binomial", "poisson"])
def test_designs_of_other_losses(design, loss):
    X, y = DESIGNS[design]
    y = (y > np.median(y)).astype(float) if loss == "binomial" else np.round(np.exp(np.clip(y - y.mean(), -3, 1.5)))
    if len(np.unique(y)) == 1:
        y[0] += 1
    for penalty in ("lasso", "elastic net"):
        assert np.isfinite(certified(X, y, penalty, loss, lams=12).coef).all()


@pytest.mark.slow
@pytest.mark.parametrize("design", ["ties", "duplicated and constant columns", "collinear", "collinear but for rounding", "three rows"])
def test_the_exact_path_does_not_cycle(design):
    """A hundred λ down to where rounding rules: equal steps in and out would keep a homotopy that cycles from ever ending."""
    X, y = DESIGNS[design]
    top = jaxreg.path(X, y, jaxreg.L1(), loss=LOSSES["gaussian"], lams=2).lams[0]
    fit = certified(X, y, "lasso", lams=top * np.geomspace(1, 1e-8, 100))
    assert (np.diff(fit.loss_value) <= 1e-12 * fit.null_loss).all()


# --- λ ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("penalty", PENALTIES)
def test_no_penalty_is_least_squares(penalty):
    X, y = made(40, 4)
    fit = certified(X, y, penalty, lams=[1.0, 0.0])
    expected = np.linalg.lstsq(np.c_[X, np.ones(40)], y, rcond=None)[0]
    np.testing.assert_allclose(np.append(fit.coef[1], fit.intercept[1]), expected, atol=1e-11)
    assert np.isnan(fit.gap[1])
    assert "λ = 0" in fit.gap_reason


@pytest.mark.slow
def test_no_penalty_with_more_features_than_rows_interpolates():
    X, y = tiny(3)
    fit = certified(X, y, "lasso", lams=[0.1, 0.0])
    np.testing.assert_allclose(X @ fit.coef[1] + fit.intercept[1], y, atol=1e-9)


def test_lams_in_any_order_repeated_and_beyond_the_first_zero():
    X, y = made(40, 10)
    top = jaxreg.path(X, y, jaxreg.L1(), loss=LOSSES["gaussian"], lams=1).lams[0]
    given = top * np.array([0.1, 3.0, 0.5, 0.1, 1.0, 1e6])
    fit = certified(X, y, "lasso", lams=given)
    assert fit.reordered
    np.testing.assert_array_equal(fit.lams, np.sort(given)[::-1])
    np.testing.assert_array_equal(fit.coef[fit.lams >= top], 0)
    np.testing.assert_array_equal(fit.coef[-1], fit.coef[-2])
    np.testing.assert_allclose(fit.intercept[0], y.mean(), rtol=1e-14)
    alone = certified(X, y, "lasso", lams=[0.5 * top])
    assert alone.coef.shape == (1, 10)
    np.testing.assert_allclose(alone.coef[0], fit.coef[3], atol=1e-12)


# --- targets ------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("loss", [losses.Logistic("mean"), losses.Multinomial("mean"), losses.SquaredHinge("mean")], ids=repr)
def test_separable_classes(loss):
    """With a penalty an ordinary problem, however small it is; without one finite and, where nothing is attained, flagged."""
    X, _ = made(40, 3)
    y = (X[:, 0] > X[:, 0].mean()).astype(float)
    fit = jaxreg.path(X, y, jaxreg.L1(), loss=loss, lams=[0.1, 1e-3, 1e-6])
    assert fit.converged.all()
    assert np.isfinite(fit.coef).all()
    assert (np.diff(np.abs(fit.coef).sum(axis=tuple(range(1, fit.coef.ndim)))) > 0).all()
    if isinstance(loss, losses.SquaredHinge):
        return  # its minimum, 0, is attained
    with pytest.warns(jaxreg.ConvergenceWarning, match="1 of 1 λ"):
        endless = jaxreg.path(X, y, jaxreg.L1(), loss=loss, lams=[0.0])
    assert np.isfinite(endless.coef).all()
    assert not endless.converged[0]
    assert "separable" in endless.gap_reason


@pytest.mark.slow
@pytest.mark.parametrize("loss", [None, losses.Poisson(), losses.Huber()], ids=lambda x: type(x).__name__)
def test_a_constant_target_is_refused_unless_an_offset_moves(loss):
    X, _ = made(40, 3)
    with pytest.raises(ValueError, match="y is constant"):
        jaxreg.path(X, np.full(40, 2.0), jaxreg.L1(), loss=loss)
    fit = jaxreg.path(X, np.full(40, 2.0), jaxreg.L1(), loss=loss, lams=3, offset=0.1 * X[:, 0])
    assert fit.converged.all()
    assert fit.coef[-1, 0] < 0


@pytest.mark.slow
def test_what_unpenalised_features_explain_leaves_nothing():
    """The null model is perfect but for rounding, which must become neither λ_max nor the unit of a gap."""
    X, _ = made(40, 5)
    given = {"penalty_factor": [0, 0, 1, 1, 1]}
    fit = jaxreg.path(X, X[:, 0] - X[:, 1], jaxreg.L1(), lams=[1.0], **given)
    assert fit.converged.all()
    np.testing.assert_allclose(fit.coef[0], [1, -1, 0, 0, 0], atol=1e-13)
    with pytest.raises(ValueError, match="the loss is stationary there at λ = 0 already"):
        jaxreg.path(X, X[:, 0] - X[:, 1], jaxreg.L1(), **given)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_rows_of_weight_zero_are_no_rows(loss):
    X, y = made(40, 4)
    y = {"gaussian": y, "binomial": (y > 0).astype(float), "poisson": np.round(np.abs(y))}[loss]
    v = np.arange(40) % 3.0
    X[v == 0] *= 1e3  # what they hold must not matter
    fit = certified(X, y, "lasso", loss, lams=4, sample_weight=v)
    seen = jaxreg.path(X[v > 0], y[v > 0], jaxreg.L1(), loss=LOSSES[loss], lams=fit.lams, sample_weight=v[v > 0])
    np.testing.assert_allclose(fit.coef, seen.coef, atol=1e-9)


# --- sets and centres -----------------------------------------------------------------------------------------------------------


OUTSIDE = [jaxreg.Simplex(), *(pytest.param(p, marks=SLOW) for p in (jaxreg.Hyperplane(np.ones(4), 1.0), jaxreg.Sphere()))]


@pytest.mark.slow
@pytest.mark.parametrize("penalty", OUTSIDE, ids=lambda p: type(p).__name__)
def test_sets_without_zero(penalty):
    """With orthonormal columns the answer is the projection of least squares: here of (0.9, 0.4, −0.3, 0.2)."""
    Q = np.linalg.qr(np.c_[np.ones(20), np.random.default_rng(0).normal(size=(20, 4))])[0][:, 1:]
    w = np.array([0.9, 0.4, -0.3, 0.2])
    fit = jaxreg.path(Q, Q @ w + 3, penalty, lams=[1.0])
    # The simplex: 0.1 off the three largest leaves 0.8 + 0.3 + 0.1 = 1.2; a further 0.2/3 off each.
    projections = {"Simplex": [0.9 - 1 / 6, 0.4 - 1 / 6, 0, 0.2 - 1 / 6], "Hyperplane": w - 0.05, "Sphere": w / np.linalg.norm(w)}
    np.testing.assert_allclose(fit.coef[0], projections[type(penalty).__name__], atol=1e-12)
    assert fit.converged.all()


@pytest.mark.slow
def test_towards_another_point():
    """``λ·Σ(w − r)²`` is ridge on the residuals of r: the answers differ by r."""
    X, y = made(40, 4)
    r = np.array([1.0, -1.0, 0.5, 0.0])
    fit = jaxreg.path(X, y, jaxreg.L2().around(r), lams=[10.0, 1.0])
    plain = jaxreg.path(X, y - X @ r, jaxreg.L2(), lams=[10.0, 1.0])
    np.testing.assert_allclose(fit.coef, plain.coef + r, atol=1e-11)
    assert fit.gap.max() < 1e-12


@pytest.mark.parametrize(("dtype", "unit"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize(
    ("loss", "penalty"),
    [
        (jaxreg.losses.SquaredError(), jaxreg.L1()),
        (jaxreg.losses.Huber(), jaxreg.L1()),
        (jaxreg.losses.Logistic(), jaxreg.GroupLasso(1.0, groups=np.arange(12) // 3)),
    ],
    ids=["squares", "huber", "groups"],
)
def test_columns_in_small_units_change_nothing_but_units(loss, penalty, dtype, unit):
    """What rounding leaves of the intercept's equation is large beside gradients of such columns, and hides nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 12))
    y = X[:, :3].sum(axis=1) + rng.logistic(size=80)
    y = ((y > 0) * 1.0 if loss.classification else y).astype(dtype)
    lams = np.array([20.0, 8.0, 3.0])
    small = jaxreg.path((X * unit).astype(dtype), y, penalty, loss=loss, lams=unit * lams, tol=1e-4 if dtype == np.float32 else None)
    expected = jaxreg.path(X, y.astype(float), penalty, loss=loss, lams=lams)
    assert small.converged.all()
    # Coefficients of about 1 are as far off as the root of a gap.
    np.testing.assert_allclose(small.coef * unit, expected.coef, atol=1e-2 if dtype == np.float32 else 1e-6)


@pytest.mark.parametrize("penalty", [jaxreg.L2(), pytest.param(jaxreg.L1(), marks=pytest.mark.slow)], ids=["ridge", "lasso"])
@pytest.mark.parametrize(
    "loss", ["Logistic", *(pytest.param(name, marks=pytest.mark.slow) for name in ("Poisson", "Multinomial", "SquaredError"))]
)
def test_columns_far_from_zero_beside_their_spread(loss, penalty):
    """A mean of 1e4: what the sums of uncentred columns leave of their rounding would be a residual of some 1e-4."""
    rng = np.random.default_rng(3)
    Z = rng.normal(size=(200, 8))
    eta = Z @ rng.normal(size=8) / 4
    y = {
        "Logistic": (eta + rng.logistic(size=200) > 0).astype(float),
        "Poisson": rng.poisson(np.exp(eta)).astype(float),
        "Multinomial": rng.integers(0, 3, 200),
        "SquaredError": np.stack([eta, -eta], axis=1) + rng.normal(size=(200, 2)),  # of one target there are better ways
    }[loss]
    fit = jaxreg.path(1e4 + Z, y, penalty, loss=getattr(losses, loss)(), lams=10)
    assert fit.converged.all()
    near = jaxreg.path(Z, y, penalty, loss=getattr(losses, loss)(), lams=fit.lams)
    assert fit.kkt.max() < 1e-6
    np.testing.assert_allclose(fit.coef, near.coef, atol=1e-7)
