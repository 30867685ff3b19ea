"""Cox's partial likelihood: against its definition, event by event, against R's coxph and glmnet, and along paths."""

import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg import losses

RNG = np.random.default_rng(0)
N, P = 70, 4  # more rows than two blocks of the running sums
X = RNG.normal(size=(N, P)) + 2
HAZARD = np.exp(0.8 * X[:, 0] - 0.5 * X[:, 1])
TIME = np.ceil(20 * RNG.exponential(1 / HAZARD))  # whole numbers: ties
EVENT = (RNG.random(N) < 0.6).astype(float)
Y = np.stack([TIME, EVENT], axis=1)
WEIGHTS = RNG.integers(0, 4, N) / 2
slow = pytest.mark.slow
every_ties = pytest.mark.parametrize("ties", losses._cox.TIES)
ties = pytest.mark.parametrize("ties", ["efron", pytest.param("breslow", marks=slow)])


def defined(eta, y, v, ties):
    """The sum by loops over the events; weight-0 rows dropped first, tied events of mean weight as in R."""
    eta, (time, event), v = eta[v > 0], y[v > 0].T, v[v > 0]
    total = 0.0
    for t in np.unique(time[event == 1]):
        dying, at_risk = (time == t) & (event == 1), time >= t
        count = dying.sum()
        for r in range(count):
            left = np.where(dying, 1 - (r / count if ties == "efron" else 0), 1)[at_risk]
            top = eta[at_risk].max()
            total += v[dying].mean() * (top + np.log(np.sum(left * v[at_risk] * np.exp(eta[at_risk] - top))))
        total -= v[dying] @ eta[dying]
    return total


def slopes(eta, *args):
    """Central differences, of error (step²/6)·f‴ <= 1e-9 and rounding 1e-16·f/step."""
    step = 1e-5
    return np.array([(defined(eta + step * e, *args) - defined(eta - step * e, *args)) / (2 * step) for e in np.eye(len(eta))])


@ties
def test_value_and_gradient_are_those_of_the_definition(x64, ties):
    loss, eta = losses.Cox(ties=ties), np.log(HAZARD)
    assert float(loss(eta, Y, WEIGHTS)) == pytest.approx(defined(eta, Y, WEIGHTS, ties), rel=1e-13)
    np.testing.assert_allclose(loss.grad(eta, Y, WEIGHTS), slopes(eta, Y, WEIGHTS, ties), atol=1e-7)


EXTREMES = {
    "all events at one time": np.stack([np.full(6, 3.0), np.ones(6)], axis=1),
    "a single event": np.stack([np.arange(6.0), np.arange(6) == 2], axis=1).astype(float),
    "censored only after the last event": np.stack([np.array([1.0, 2, 2, 5, 6, 7]), np.arange(6) < 3], axis=1).astype(float),
}


@ties
@pytest.mark.parametrize("case", [pytest.param(k, marks=() if k.startswith("all") else slow) for k in EXTREMES])
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=slow)])
def test_extremes_to_the_edge_of_the_reach(case, ties, dtype):
    """|η| = 1000 either way: what is left of the digits is eps·1000 a row."""
    y, eta = EXTREMES[case], np.array([1e3, -1e3, 3.0, 1e3, -1e3, 0.0])
    with jaxreg._path._inputs.scope(np.ones(1, dtype)):
        loss, tol = losses.Cox(ties=ties), 12 * 1e3 * float(np.finfo(dtype).eps)
        values = loss(jnp.asarray(eta, dtype), y.astype(dtype)), loss.grad(jnp.asarray(eta, dtype), y.astype(dtype))
        assert values[0].dtype == dtype
        assert float(values[0]) == pytest.approx(defined(eta, y, np.ones(6), ties), abs=tol)
        np.testing.assert_allclose(values[1], slopes(eta, y, np.ones(6), ties), atol=max(tol, 1e-5))


@slow
@every_ties
def test_the_bound_on_the_conjugate_is_an_entropy_of_feasible_measures(x64, ties):
    """Its distributions written out, event by event; their entropies lie between the supremum over some η and the bound."""
    loss, eta, change, share = losses.Cox(ties=ties), np.log(HAZARD), 0.1 * np.tanh(X[:, 2]), 0.7
    dual = np.asarray(loss.grad(eta, Y, WEIGHTS) - loss.product(change[:, None], eta, Y, WEIGHTS)[:, 0])
    bound = float(loss.conjugate_bound(share, dual, eta, change, Y, WEIGHTS))
    event, made, entropy = (EVENT == 1) & (WEIGHTS > 0), np.zeros(N), 0.0
    for t in np.unique(TIME[event]):
        dying = event & (t == TIME)
        own = np.where(dying, WEIGHTS, 0) / WEIGHTS[dying].sum()
        for r in range(dying.sum()):
            b = (t <= TIME) * WEIGHTS * np.where(dying, 1 - (r / dying.sum() if ties == "efron" else 0), 1)
            p = b * np.exp(eta) / (b @ np.exp(eta))
            q = share * p * (1 - change + p @ change) + (1 - share) * own
            made += WEIGHTS[dying].mean() * q
            entropy += WEIGHTS[dying].mean() * np.sum(q[q > 0] * np.log(q[q > 0] / b[q > 0]))
    np.testing.assert_allclose(made - np.where(event, WEIGHTS, 0), share * dual, atol=1e-12)
    assert entropy <= bound <= entropy + 0.3 * abs(entropy)
    others = [*(scale * eta for scale in (-1, 0, 0.5, 0.7, 1)), *RNG.normal(size=(20, N))]
    assert max(share * dual @ other - float(loss(other, Y, WEIGHTS)) for other in others) <= entropy
    assert float(loss.conjugate_bound(1.0, dual, eta, 20 * change, Y, WEIGHTS)) == np.inf


@slow
@every_ties
def test_the_least_is_approached(x64, ties):
    loss = losses.Cox("mean", ties=ties)
    eta = 20 * EVENT - 40 * TIME  # sums of them round at 1e-12
    assert float(loss.least(eta, Y, WEIGHTS)) == pytest.approx(defined(eta, Y, WEIGHTS, ties) / WEIGHTS.sum(), rel=1e-7)


@pytest.mark.slow
def test_a_path_is_certified_without_an_intercept():
    """The gradient of the definition at the answer is the penalty's."""
    fit = jaxreg.path(X, Y, jaxreg.L2(), loss=losses.Cox(), lams=[3.0, 0.1], sample_weight=WEIGHTS)
    assert fit.converged.all()
    assert fit.gap.max() < 1e-10
    assert not fit.intercept.any()
    for w, lam in zip(fit.coef, fit.lams, strict=True):
        np.testing.assert_allclose(X.T @ slopes(X @ w, Y, WEIGHTS, "efron"), -2 * lam * w, atol=1e-5)
    np.testing.assert_allclose(fit.predict(X, fit.lams[-1]), np.exp(X @ fit.coef[-1]), rtol=1e-12)


@slow
def test_a_lasso_path_starts_where_the_definition_says():
    fit = jaxreg.path(X, Y, jaxreg.L1(), loss=losses.Cox(), lams=3, sample_weight=WEIGHTS)
    pull = np.array([X.T @ slopes(X @ w, Y, WEIGHTS, "efron") for w in fit.coef])
    assert fit.converged.all()
    assert fit.gap.max() < 1e-10
    assert fit.nonzeros[0] == 0
    assert fit.lams[0] == pytest.approx(np.abs(pull[0]).max(), rel=1e-6)
    np.testing.assert_allclose(pull[1:][fit.coef[1:] != 0], (-np.sign(fit.coef) * fit.lams[:, None])[1:][fit.coef[1:] != 0], atol=1e-5)
    assert (np.abs(pull) <= fit.lams[:, None] + 1e-5).all()


OPTIONS = {
    "free feature": (jaxreg.L1(), {"penalty_factor": [0.0, 1, 1, 2], "sample_weight": WEIGHTS}),
    "bounds": (jaxreg.L1(), {"lower": -0.2, "upper": 0.3}),
    "offset, standardized": (jaxreg.ElasticNet(l1_ratio=0.5), {"offset": X[:, 2], "standardize": True}),
    "groups": (jaxreg.GroupLasso(1.0, groups=[0, 0, 1, 1]), {}),
    "wide ridge": (jaxreg.L2(), {"wide": True}),
    "wide lasso": (jaxreg.L1(), {"wide": True}),
    "not convex": (jaxreg.MCP(), {}),
    "no intercept, as always": (jaxreg.L1(), {"intercept": False, "offset": np.full(N, 5.0)}),
}


@slow
@every_ties
@pytest.mark.parametrize("case", OPTIONS)
def test_every_option_is_certified_in_its_own_terms(case, ties):
    penalty, options = OPTIONS[case]
    options = dict(options)
    design = RNG.normal(size=(N, 2000)) + X[:, :1] if options.pop("wide", False) else X
    fit = jaxreg.path(design, Y, penalty, loss=losses.Cox("mean", ties=ties), lams=12, **options)
    assert fit.converged.all()
    assert not fit.intercept.any()
    assert np.isnan(fit.gap).all() if case == "not convex" else fit.gap.max() < 1e-10


@slow
def test_float32_equals_float64():
    rough = jaxreg.path(jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32), jaxreg.L1(), loss=losses.Cox("mean"), lams=10)
    assert rough.converged.all()
    assert rough.coef.dtype == jnp.float32
    exact = jaxreg.path(X, Y, jaxreg.L1(), loss=losses.Cox("mean"), lams=np.asarray(rough.lams, float))
    np.testing.assert_allclose(rough.coef, exact.coef, atol=1e-3)


@slow
def test_events_that_are_all_foreseen_have_no_fit_at_zero():
    y = np.stack([np.arange(1.0, 9), np.ones(8)], axis=1)
    with pytest.warns(jaxreg.ConvergenceWarning):
        fit = jaxreg.path(-y[:, :1], y, jaxreg.L1(), loss=losses.Cox(), lams=[0.1, 0.0])
    assert fit.converged.tolist() == [True, False]
    assert "every event is foreseen" in fit.gap_reason


BAD = {
    "no event": (np.stack([TIME, 0 * EVENT], axis=1), "Cox: y has no event"),
    "no event of positive weight": (np.stack([TIME, WEIGHTS == 0], axis=1), "Cox: y has no event"),
    "a vector": (TIME, r"Cox: y must have shape \(n, 2\)"),
    "three columns": (np.c_[Y, TIME], r"Cox: y must have shape \(n, 2\)"),
    "events coded 1 and 2": (Y + np.array([0, 1]), "in its second column"),
}


@pytest.mark.parametrize("case", BAD)
def test_targets_that_are_refused(case):
    y, match = BAD[case]
    with pytest.raises(ValueError, match=match):
        jaxreg.path(X, y, jaxreg.L1(), loss=losses.Cox(), sample_weight=WEIGHTS)


@pytest.mark.parametrize("scoring", ["squared_error", "absolute_error", "misclassification"])
def test_what_else_is_refused(scoring):
    with pytest.raises(ValueError, match="makes no sense for Cox"):
        jaxreg.cross_validate(X, Y, jaxreg.L1(), loss=losses.Cox(), scoring=scoring, folds=2, key=jax.random.key(0))
    with pytest.raises(ValueError, match="ties must be one of"):
        losses.Cox(ties="exact")
    with pytest.raises(TypeError, match="no closed form"):
        losses.Cox().conjugate(TIME, Y)
    few = np.stack([TIME, np.arange(N) == 0], axis=1)
    with pytest.raises(ValueError, match="no event is left to train on"):
        jaxreg.cross_validate(X, few, jaxreg.L1(), loss=losses.Cox(), folds=2, key=jax.random.key(0))


@slow
def test_held_out_errors_and_criteria():
    """The formula of the docstring at each fold's own answer; folds have their share of events; leverages are not known."""
    found = jaxreg.compare(
        X, Y, jaxreg.L1(), loss=losses.Cox("mean"), criteria=("cv", "aic", "loo"), lams=8, folds=5, key=jax.random.key(0),
        sample_weight=WEIGHTS + 1,
    )  # fmt: skip
    cv, v = found.cv, WEIGHTS + 1
    for k in range(5):
        test = cv.folds.test[k]
        assert abs(EVENT[test].sum() - EVENT.sum() / 5) <= 1
        for i, w in enumerate(cv.fold_coef[k]):
            both, trained = (defined(X @ w, Y, u, "efron") - least(u) for u in (v, np.where(test, 0, v)))
            assert cv.fold_errors[k, i] == pytest.approx((both - trained) / v[test].sum(), rel=1e-6)
    assert np.isnan(found.curves["aic"]).all()
    assert "Cox" in found["loo"].note


def least(v):
    """By the definition at an η that falls fast with time: within e⁻²⁰."""
    return defined(20 * EVENT - 40 * TIME, Y, v, "efron")


R_CODE = """
suppressMessages({library(survival); library(glmnet)})
d <- as.matrix(read.csv("%s", header = FALSE)); y <- Surv(d[, 1], d[, 2]); v <- d[, 3]; X <- unname(d[, -(1:4)]); lams <- c(0.2, 0.05, 0.01)
cox <- function(ties) coef(coxph(y ~ X, weights = v, ties = ties, control = coxph.control(eps = 1e-14, iter.max = 100)))
cv <- cv.glmnet(X, y, family = "cox", lambda = lams, standardize = FALSE, foldid = d[, 4] + 1, thresh = 1e-16, maxit = 1e7)
for (x in list(cox("efron"), cox("breslow"), as.matrix(coef(cv$glmnet.fit)), cv$glmnet.fit$dev.ratio, cv$cvm))
  cat(sprintf("%%.15g", x), "\n")
"""


@slow
@pytest.mark.skipif(shutil.which("Rscript") is None, reason="needs R")
def test_equals_coxph_and_glmnet(tmp_path):
    v, folds = WEIGHTS + 0.5, np.arange(N) % 5
    np.savetxt(tmp_path / "data.csv", np.column_stack([Y, v, folds, X]), delimiter=",", fmt="%.17g")
    run = subprocess.run(["Rscript", "-e", R_CODE % (tmp_path / "data.csv")], capture_output=True, text=True)
    if "there is no package" in run.stderr:
        pytest.skip(run.stderr.splitlines()[0])
    assert run.returncode == 0, run.stderr
    efron, breslow, coef, ratio, cvm = (np.array(line.split(), float) for line in run.stdout.splitlines())
    for ties, expected in (("efron", efron), ("breslow", breslow)):
        fit = jaxreg.path(X, Y, jaxreg.L2(), loss=losses.Cox(ties=ties), lams=[0.0], sample_weight=v)
        np.testing.assert_allclose(fit.coef[0], expected, rtol=1e-7)
    cv = jaxreg.cross_validate(
        X, Y, jaxreg.L1(), loss=losses.Cox("mean", ties="breslow"), lams=[0.2, 0.05, 0.01], folds=folds, scoring="deviance"
    )
    np.testing.assert_allclose(cv.path.coef, coef.reshape(3, P), atol=1e-6)
    np.testing.assert_allclose(cv.path.deviance_ratio, ratio, rtol=1e-6)
    np.testing.assert_allclose(cv.mean * N / EVENT.sum(), cvm, rtol=1e-5)  # glmnet divides by events
