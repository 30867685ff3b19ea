"""Logistic regression on the breast cancer data: three penalties as scikit-learn has them, calibration, margin, separable classes."""

from __future__ import annotations

import re
import warnings
from typing import Any, NamedTuple

import numpy as np

import jaxreg

from . import _style
from ._check import Check, against, agree, at_least, at_most, holds

TITLE = "Logistic regression"
CLAIM = "Too small a λ makes a fit overconfident, none leaves separable classes without a fit; L2, L1, elastic net equal scikit-learn's."
FORMULA = r"\sum_{i=1}^n \log\left( 1 + e^{-y_i (x_i^\top w + b)} \right) + \lambda \, P(w), \qquad y_i \in \{-1, 1\}"
DISCUSSION = (
    "Half of 569 tumours train, half test; columns are standardised by the training half. Confidence is the probability of the class "
    "that is predicted; calibrated means that it equals the share that is right. As λ falls confidence grows beyond that. On separable "
    "classes doubling w lowers the loss for ever: ‖w‖ grows without bound as λ → 0, at λ = 0 there is no minimum, and jaxreg marks that "
    "fit as not converged. In the limit the direction is that of the largest margin (Rosset, Zhu and Hastie 2004); what is checked is "
    "the bound that this rests on."
)

LAMS = np.geomspace(1e3, 1e-3, 49)
RATIO = 0.5
SEPARABLE_LAMS = np.append(np.geomspace(1e2, 1e-7, 37), 0.0)


class Data(NamedTuple):
    X: Any
    y: Any
    X_test: Any
    y_test: Any
    points: Any
    labels: Any


class Fit(NamedTuple):
    l2: Any
    l1: Any
    net: Any
    probability: Any
    separable: Any
    converged: Any
    warned: Any


def data() -> Data:
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    train, test = order[:285], order[285:]
    X = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
    labels = np.repeat([0, 1], 20)
    points = rng.normal(size=(40, 2)) * [0.6, 1.0] + np.where(labels, 1.7, -1.7)[:, None] * [1.0, 0.4]
    return Data(X[train], y[train], X[test], y[test], points, labels)


def fit(data: Data) -> Fit:
    options = {"loss": jaxreg.losses.Logistic("sum"), "lams": LAMS}
    penalties = jaxreg.L2(), jaxreg.L1(), jaxreg.ElasticNet(1.0, l1_ratio=RATIO)
    paths = [jaxreg.path(data.X, data.y, penalty, **options) for penalty in penalties]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", jaxreg.ConvergenceWarning)
        separable = jaxreg.path(data.points, data.labels, jaxreg.L2(), loss=options["loss"], lams=SEPARABLE_LAMS)
    warned = sum(issubclass(w.category, jaxreg.ConvergenceWarning) for w in caught)
    weights = [np.column_stack([path.coef, path.intercept]) for path in (*paths, separable)]
    return Fit(*weights[:3], paths[0].predict(data.X_test), weights[3], separable.converged.astype(int), warned)


def check(data: Data, fit: Fit) -> Any:
    peer = "sklearn.linear_model"
    # saga is scikit-learn's only solver for L1 with a free intercept; for pure L1 it needs more than 20,000 sweeps from λ = 10 down.
    compared = (
        ("L2, C = 1/(2λ)", fit.l2, 0.0, "49 λ", slice(None)),
        ("L1, C = 1/λ", fit.l1, 1.0, "λ = 32 and 100", [12, 8]),
        ("elastic net, C = 1/λ", fit.net, RATIO, "λ = 1, 10 and 100", [24, 16, 8]),
    )
    for name, ours, ratio, where, some in compared:
        what = f"{name} ≡ scikit-learn's LogisticRegression, {where}"
        yield against(peer, what, lambda module, w=what, o=ours, r=ratio, s=some: _versus_sklearn(module, w, data, o, r, s))
    for name, weights, ratio in (("L1", fit.l1, 1.0), ("elastic net", fit.net, RATIO)):
        yield at_most(f"optimality of {name}, from X and y alone, 49 λ", _stationarity(data, weights, ratio), 1e-8, ".1e")
    eta = data.X_test @ fit.l2[:, :-1].T + fit.l2[:, -1]
    yield agree("predicted probabilities ≡ 1/(1 + e^−η)", fit.probability, 1 / (1 + np.exp(-eta.T)), 1e-12)
    excess = np.subtract(*_confidence_and_share(data, fit))
    shown = f"{excess[-1]:+.3f} at λ = 0.001, {excess[0]:+.3f} at λ = 1000"
    yield holds("confidence minus share right, test half", shown, "positive, negative", excess[-1] > 0 > excess[0])
    losses = _log_loss(data, fit.l2)
    yield at_least("test log-loss at λ = 0.001 over that of the best λ", losses[-1] / losses.min(), 1.5)
    norms = np.linalg.norm(fit.separable[:-1, :2], axis=1)
    growth = np.diff(norms[-9:])  # two decades of λ in eight steps
    yield holds(
        "‖w‖ on separable classes over the last two decades of λ", f"{norms[-9]:.1f} to {norms[-1]:.1f}", "still growing", growth > 0
    )
    yield holds(
        "the fit at λ = 0 on separable classes", f"converged: {bool(fit.converged[-1])}", "marked not converged", fit.converged[-1] == 0
    )
    others = fit.converged[:-1]
    yield holds("the fits at λ > 0", f"{others.sum()} of {len(others)} converged", "all", others == 1)
    yield holds("ConvergenceWarning", f"{fit.warned}", "one", fit.warned == 1)
    what = "distance to the boundary minus its lower bound from the largest margin, 37 λ"
    yield against("sklearn.svm", what, lambda svm: _versus_svm(svm, what, data, fit))


def _versus_sklearn(linear_model: Any, what: str, data: Data, ours: Any, ratio: float, some: Any) -> Check:
    import sklearn

    # Before 1.8 the kind of penalty was an argument of its own, and l1_ratio beside any but "elasticnet" warned; now it says it alone.
    old = tuple(int(part) for part in re.findall(r"\d+", sklearn.__version__)[:2]) < (1, 8)
    kind: dict[str, Any] = {"l1_ratio": ratio}
    if old:
        name = {0.0: "l2", 1.0: "l1"}.get(ratio, "elasticnet")
        kind = {"penalty": name, "l1_ratio": ratio if name == "elasticnet" else None}
    solver, tol = ("newton-cholesky", 1e-12) if ratio == 0 else ("saga", 1e-10)
    theirs = []
    for lam in LAMS[some]:
        C = 1 / (2 * lam) if ratio == 0 else 1 / lam
        peer = linear_model.LogisticRegression(C=C, solver=solver, tol=tol, max_iter=20_000, random_state=0, **kind)
        peer.fit(data.X, data.y)
        theirs.append(np.append(peer.coef_, peer.intercept_))
    # saga stops when a sweep changes no weight by more than 1e-10 of the largest; flat directions are some 1e4 slower.
    return agree(what, ours[some], np.stack(theirs), 1e-8 if ratio == 0 else 1e-5)


def _stationarity(data: Data, weights: Any, ratio: float) -> Any:
    """For each λ the largest violation, over the gradient at zero, of what an optimum obeys: ∂L/∂w + λ(1 − α)w = −λα·sign(w), or at most
    λα in size where w = 0; and ∂L/∂b = 0."""
    eta = data.X @ weights[:, :-1].T + weights[:, -1]
    residual, w = 1 / (1 + np.exp(-eta)) - data.y[:, None], weights[:, :-1].T
    slope, threshold = data.X.T @ residual + LAMS * (1 - ratio) * w, LAMS * ratio
    violation = np.where(w != 0, np.abs(slope + threshold * np.sign(w)), np.maximum(np.abs(slope) - threshold, 0))
    return np.maximum(violation.max(axis=0), np.abs(residual.sum(axis=0))) / np.abs(data.X.T @ (data.y - data.y.mean())).max()


def _log_loss(data: Data, weights: Any) -> Any:
    eta = data.X_test @ weights[:, :-1].T + weights[:, -1]
    return np.mean(np.logaddexp(0, -(2 * data.y_test[:, None] - 1) * eta), axis=0)


def _confidence_and_share(data: Data, fit: Fit) -> tuple[Any, Any]:
    """For each λ, on the test half: the mean probability of the class predicted, and the share that is right."""
    right = (fit.probability > 0.5) == data.y_test
    return np.maximum(fit.probability, 1 - fit.probability).mean(axis=1), right.mean(axis=1)


def _margin(data: Data, weights: Any) -> Any:
    """The smallest signed distance of a point to the boundary."""
    eta = data.points @ weights[..., :2].T + weights[..., 2]
    return np.min((2 * data.labels - 1) * eta.T, axis=-1) / np.linalg.norm(weights[..., :2], axis=-1)


def _versus_svm(svm: Any, what: str, data: Data, fit: Fit) -> Check:
    """At its own ‖w‖ the fit's loss is at most that of the direction of the largest margin γ, so that its smallest distance m obeys
    log(1 + e^−‖w‖m) ≤ n·log(1 + e^−‖w‖γ): m is about γ − log(n)/‖w‖ or more, and tends to γ."""
    gamma = 1 / np.linalg.norm(svm.SVC(kernel="linear", C=1e8, tol=1e-8).fit(data.points, data.labels).coef_)
    weights = fit.separable[:-1]
    norms = np.linalg.norm(weights[:, :2], axis=1)
    least = -np.log(np.expm1(len(data.labels) * np.log1p(np.exp(-norms * gamma)))) / norms
    slack = _margin(data, weights) - least
    return at_least(what, slack, 0)


def figure(data: Data, fit: Fit) -> Any:
    made, ((losses, calibration), (margins, separable)) = _style.figure(2, 2)
    kinds = (("L2", fit.l2, "-", _style.BLUE), ("L1", fit.l1, "--", _style.RED), ("elastic net", fit.net, ":", _style.GREEN))
    for name, weights, line, color in kinds:
        losses.plot(LAMS, _log_loss(data, weights), line, color=color, label=name)
    losses.set(ylabel="test log-loss (nats per tumour)", yscale="log")
    _style.plain_log(losses.yaxis)
    losses.legend()
    _style.title(losses, "Test loss: a best λ for each")
    confidence, share = _confidence_and_share(data, fit)
    calibration.plot(LAMS, 100 * confidence, color=_style.RED, label="mean probability of the class predicted")
    calibration.plot(LAMS, 100 * share, "--", color=_style.BLUE, label="share that is right")
    calibration.set_ylabel("test half (%)")
    calibration.legend(fontsize=11, loc="lower left")
    _style.title(calibration, "Calibration under L2: where they meet")
    eta = (2 * data.y_test - 1) * (fit.l2[:, :-1] @ data.X_test.T + fit.l2[:, -1:])
    for quantile, line in ((0.9, "--"), (0.5, "-"), (0.1, "-."), (0.02, ":")):
        margins.plot(LAMS, np.quantile(eta, quantile, axis=1), line, color=_style.BLUE, label=f"{100 * quantile:.0f} % lie below")
    margins.axhline(0, color="#555555", linewidth=1)
    margins.set_yscale("symlog", linthresh=1)
    margins.set_ylabel("margin y·η, test half (log-odds, symlog)")
    margins.legend(fontsize=11)
    _style.title(margins, "λ shortens the margins, bad and good")
    positive = slice(0, -1)
    norms = np.linalg.norm(fit.separable[positive, :2], axis=1)
    separable.plot(SEPARABLE_LAMS[positive], norms, color=_style.BLUE, label="‖w‖")
    distance = _margin(data, fit.separable[positive])
    separable.plot(SEPARABLE_LAMS[positive], 10 * distance, "--", color=_style.RED, label="10 × smallest distance to the boundary")
    separable.set_ylabel("‖w‖; distance × 10 (units of x)")
    separable.legend(fontsize=11)
    _style.title(separable, "Separable classes: ‖w‖ → ∞ as λ → 0")
    for axes in (losses, calibration, margins, separable):
        _style.lambda_axis(axes)
    return made
