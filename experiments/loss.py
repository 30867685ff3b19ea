"""Loss = Original + λΣw²: its two parts over training and over λ, and the picture of the ball, the diamond and the contours."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxreg

from . import _style
from ._check import Check, against, agree, at_most, holds

TITLE = "The loss"
CLAIM = "A penalty trades fit for small weights: as λ grows the solution moves from least squares to zero, under L1 by way of an axis."
FORMULA = r"\mathrm{Loss}(w) = \frac{1}{n} \|y - Xw\|^2 + \lambda \sum_j w_j^2 \qquad \text{or} \qquad \ldots + \lambda \sum_j |w_j|"
DISCUSSION = (
    "Two features, so that everything can be drawn. At the solution the contour of the original loss touches the ball: the two gradients "
    "point against each other. The diamond has corners on the axes, and a contour that touches a corner has a weight of exactly zero. "
    "Training (gradient descent from zero) lowers the sum while the weights, and with them the penalty, grow. Over λ the original loss "
    "only rises and Σw² only falls; their product λΣw² has a peak."
)

LAMS = np.geomspace(100.0, 1e-3, 121)
BALL, DIAMOND = 54, 41  # indices of the λ whose ball and diamond are drawn: 0.56 and 1.96
RATE, STEPS, LAM = 0.05, 300, 0.3
W1, W2 = np.meshgrid(np.linspace(-1.6, 3.2, 121), np.linspace(-2.0, 2.0, 101))


class Data(NamedTuple):
    X: Any
    y: Any


class Fit(NamedTuple):
    ridge: Any
    lasso: Any
    surface: Any
    trained: Any
    loss_in_training: Any
    penalty_in_training: Any
    loss_at_lams: Any
    penalty_at_lams: Any


def data() -> Data:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 2)) @ np.array([[1.0, 0.35], [0.0, 0.85]])
    return Data(X, X @ np.array([2.0, 0.6]) + rng.normal(size=60))


def fit(data: Data) -> Fit:
    options = {"loss": jaxreg.losses.SquaredError("mean"), "lams": LAMS, "intercept": False}
    ridge = jaxreg.path(data.X, data.y, jaxreg.L2(), **options).coef
    lasso = jaxreg.path(data.X, data.y, jaxreg.L1(), **options).coef

    def loss(w: Any, X: Any, y: Any) -> Any:
        return jnp.mean((y - X @ w) ** 2)

    X, y = jnp.asarray(data.X), jnp.asarray(data.y)
    objective = jaxreg.objective(loss, jaxreg.L2(LAM))
    surface = jax.vmap(lambda w: objective(w, X, y))(jnp.stack([W1.ravel(), W2.ravel()], axis=1))
    step = jaxreg.make_step(objective, optax.sgd(RATE))
    state, parts = step.init(jnp.zeros(2)), []
    for _ in range(STEPS):
        state, metrics = step(state, X, y)
        parts.append((metrics.loss, metrics.penalty))
    losses, penalties = np.asarray(parts).T
    at_lams = jax.vmap(lambda w, lam: (loss(w, X, y), jaxreg.L2(lam)(w)))(jnp.asarray(ridge), jnp.asarray(LAMS))
    return Fit(ridge, lasso, surface.reshape(W1.shape), state.params, losses, penalties, *at_lams)


def _loss(data: Data, w: Any) -> Any:
    return np.mean((data.y[:, None] - data.X @ np.atleast_2d(w).T) ** 2, axis=0)


def closed_form(data: Data, lam: float) -> Any:
    n = len(data.y)
    return np.linalg.solve(data.X.T @ data.X / n + lam * np.eye(2), data.X.T @ data.y / n)


def loop(data: Data) -> Any:
    """Gradient descent in NumPy: the loss and the penalty before each step."""
    w, parts = np.zeros(2), []
    for _ in range(STEPS):
        parts.append((_loss(data, w)[0], LAM * w @ w))
        w = w - RATE * (-2 * data.X.T @ (data.y - data.X @ w) / len(data.y) + 2 * LAM * w)
    return np.asarray(parts).T


def check(data: Data, fit: Fit) -> Any:
    yield agree("L2 path ≡ closed form, 121 λ", fit.ridge, np.stack([closed_form(data, lam) for lam in LAMS]), 1e-12)
    yield against("sklearn.linear_model", "L1 path ≡ scikit-learn's Lasso(alpha=λ/2)", lambda peer: _versus_sklearn(peer, data, fit))
    points = np.stack([W1.ravel(), W2.ravel()], axis=1)
    surface = (_loss(data, points) + LAM * np.sum(points**2, axis=1)).reshape(W1.shape)
    yield agree("loss + penalty over the plane ≡ NumPy", fit.surface, surface, 1e-13)
    # The slowest direction contracts by 1 − 2·0.05·(0.3 + smallest eigenvalue ≈ 0.5) ≤ 0.93 a step: 0.93³⁰⁰ ≈ 4e-10.
    yield agree("end of training ≡ closed form", fit.trained, closed_form(data, LAM), 1e-9)
    losses, penalties = loop(data)
    yield agree("loss in training ≡ NumPy loop", fit.loss_in_training, losses, 1e-12)
    yield agree("penalty in training ≡ NumPy loop", fit.penalty_in_training, penalties, 1e-12)
    yield agree("loss over λ ≡ NumPy", fit.loss_at_lams, _loss(data, fit.ridge), 1e-12)
    yield agree("penalty over λ ≡ NumPy", fit.penalty_at_lams, LAMS * np.sum(np.square(fit.ridge), axis=1), 1e-12)
    slope = -2 * (data.y - fit.ridge[BALL] @ data.X.T) @ data.X / len(data.y)
    cosine = slope @ fit.ridge[BALL] / np.linalg.norm(slope) / np.linalg.norm(fit.ridge[BALL])
    yield at_most("cosine between ∂L/∂w and w where the contour touches the ball, plus 1", cosine + 1, 1e-12, ".1e")
    yield holds("second weight at the diamond's corner", f"{fit.lasso[DIAMOND][1]:g}", "exactly 0", fit.lasso[DIAMOND][1] == 0)
    on_axis = np.asarray(fit.lasso)[:, 1] == 0
    shown = f"0 at {on_axis.sum()} of 121 λ, then {np.abs(fit.lasso[-1][1]):.2f}"
    yield holds(
        "second weight under L1 as λ falls",
        shown,
        "0 first, and never again",
        on_axis[0] and not on_axis[-1] and np.all(np.diff(on_axis.astype(int)) <= 0),
    )
    rises = np.diff(fit.loss_at_lams[::-1]).min() > 0 > np.diff(fit.penalty_at_lams[::-1] / LAMS[::-1]).max()
    yield holds("as λ grows the original loss rises and Σw² falls", "yes" if rises else "no", "at all 120 steps", rises)


def _versus_sklearn(linear_model: Any, data: Data, fit: Fit) -> Check:
    lasso = linear_model.Lasso(fit_intercept=False, tol=1e-14, max_iter=100_000)
    theirs = [lasso.set_params(alpha=lam / 2).fit(data.X, data.y).coef_.copy() for lam in LAMS]
    # Its stopping rule is on the gap: the square root of 1e-14 remains in the weights.
    return agree("L1 path ≡ scikit-learn's Lasso(alpha=λ/2)", fit.lasso, np.stack(theirs), 1e-7)


def figure(data: Data, fit: Fit) -> Any:
    made, ((ball, diamond), (training, strengths)) = _style.figure(2, 2)
    original = np.asarray(fit.surface) - LAM * (W1**2 + W2**2)
    turn = np.linspace(0, 2 * np.pi, 200)
    circle = np.linalg.norm(fit.ridge[BALL]) * np.stack([np.cos(turn), np.sin(turn)])
    corners = np.abs(fit.lasso[DIAMOND]).sum() * np.array([[1, 0, -1, 0, 1], [0, 1, 0, -1, 0]])
    drawn = (ball, fit.ridge, circle, BALL, "L2: a ball"), (diamond, fit.lasso, corners, DIAMOND, "L1: a diamond")
    for axes, path, edge, shown, name in drawn:
        touching = _loss(data, path[shown])[0]
        levels = np.sort([*(_loss(data, path[-1])[0] + np.array([0.1, 0.5, 1.5, 3.0, 5.0, 8.0])), touching])
        widths = np.where(levels == touching, 2.4, 0.9)
        axes.contour(W1, W2, original, levels=levels, colors=_style.GREY, linewidths=widths)
        axes.fill(*edge, color=_style.SKY, alpha=0.35)
        axes.plot(*edge, color=_style.BLUE, linewidth=1.8)
        axes.plot(*path.T, color=_style.RED, label="solutions, λ from 0.001 to 100")
        axes.plot(*path[-1], "o", color=_style.BLACK, markersize=8, label="λ = 0.001: nearly least squares")
        axes.plot(*path[shown], "D", color=_style.RED, markersize=9, label=f"solution at λ = {LAMS[shown]:.2f}")
        axes.axhline(0, color="#555555", linewidth=0.8)
        axes.axvline(0, color="#555555", linewidth=0.8)
        axes.set(xlabel="first weight", ylabel="second weight", aspect="equal")
        axes.legend(loc="lower right", fontsize=11)
        _style.title(axes, name)
    steps = np.arange(STEPS)
    _parts(training, steps, fit.loss_in_training, fit.penalty_in_training)
    training.set_xlabel("step of gradient descent")
    training.set_xlim(0, 60)
    _style.title(training, f"The parts over training, λ = {LAM}")
    _parts(strengths, LAMS, fit.loss_at_lams, fit.penalty_at_lams)
    _style.lambda_axis(strengths)
    _style.title(strengths, "The parts at the L2 solution")
    return made


def _parts(axes: Any, x: Any, loss: Any, penalty: Any) -> None:
    axes.plot(x, np.asarray(loss) + np.asarray(penalty), color=_style.BLACK, label="sum")
    axes.plot(x, loss, "--", color=_style.BLUE, label="original loss")
    axes.plot(x, penalty, ":", color=_style.RED, linewidth=2.6, label="penalty λΣw²")
    axes.set_ylabel("loss (units of y²)")
    axes.legend(fontsize=12)
