"""What L1 does: exact zeros, reached by the proximal step alone; what it selects, and how unsure it is of correlated columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxreg

from . import _style
from ._check import Check, against, agree, holds

TITLE = "What L1 does"
CLAIM = "L1 sets weights to exactly zero, but only a proximal step gets there; of two nearly equal columns it often keeps one, by chance."
FORMULA = r"w \leftarrow \mathrm{sign}(v) \, \max(|v| - \alpha\lambda, 0), \qquad v = w - \alpha \frac{\partial L}{\partial w}"
DISCUSSION = (
    "Forty columns, of which six matter. A subgradient step adds λ·sign(w), which carries a weight past zero and back, for ever; the "
    "proximal step (soft thresholding) stops at zero exactly. The recall is 1 long before the precision is: the λ that keeps all six "
    "also keeps some that do not matter. Below on the right, two columns with correlation 0.99 and equal true weights, over 200 "
    "bootstrap samples: L1 often drops one of the two, not always the same, and ridge never does. Ridge's λ is the one with L1's "
    "training loss on the sample itself. Both penalties steady the pair (least squares scatters more), ridge by far more."
)

LAMS = np.geomspace(300, 3, 61)
TRUE = np.array([2.0, -1.5, 1.2, -1.0, 0.8, 0.6])
SEEDS, STEPS = 20, 2000
STEPPED = 26  # index of the λ of the two descents, 41
PAIR_LAM, BOOTSTRAPS = 40.0, 200  # λ of L1


class Data(NamedTuple):
    X: Any
    y: Any
    pair: Any
    target: Any
    ridge_lam: Any
    counts: Any


class Fit(NamedTuple):
    coef: Any
    subgradient: Any
    proximal: Any
    pairs_l1: Any
    pairs_l2: Any


def data() -> Data:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(SEEDS, 100, 40))
    y = X[:, :, :6] @ TRUE + rng.normal(size=(SEEDS, 100))
    pair = rng.normal(size=(60, 2)) @ np.linalg.cholesky([[1, 0.99], [0.99, 1]]).T
    target = pair @ np.ones(2) + 1.5 * rng.normal(size=60)
    ridge_lam = _equal_loss(pair, target)
    return Data(X, y, pair, target, ridge_lam, rng.multinomial(60, np.full(60, 1 / 60), size=BOOTSTRAPS).astype(float))


def _equal_loss(X: Any, y: Any) -> float:
    """The λ at which ridge leaves the training loss that L1 leaves."""

    def left(w: Any) -> Any:
        return np.sum((y - X @ w) ** 2)

    everything = np.ones(len(y))
    aim = left(_best_pattern(X, y, everything))
    low, high = 1e-6, 1e6  # the training loss of ridge grows with λ
    for _ in range(100):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if left(_closed_pair(X, y, everything, middle)) < aim else (low, middle)
    return float(low)


def fit(data: Data) -> Fit:
    coef = np.stack([jaxreg.path(X, y, jaxreg.L1(), lams=LAMS, intercept=False).coef for X, y in zip(data.X, data.y, strict=True)])
    pairs = jax.vmap(_pair, in_axes=(None, None, None, 0))
    together = [jnp.asarray(part) for part in (data.pair, data.target, data.counts)]
    return Fit(coef, *_descents(data), pairs(jaxreg.L1(PAIR_LAM), *together), pairs(jaxreg.L2(data.ridge_lam), *together))


def _descents(data: Data) -> tuple[Any, Any]:
    """Every weight after every step of two descents, from zero, with one step size."""
    X, y, penalty = jnp.asarray(data.X[0]), jnp.asarray(data.y[0]), jaxreg.L1(LAMS[STEPPED])
    rate = 0.5 / jnp.linalg.norm(X, 2) ** 2  # 1/(Lipschitz constant of ∂L/∂w)

    def loss(w: Any) -> Any:
        return jnp.sum((y - X @ w) ** 2)

    objective = jaxreg.objective(loss, penalty)

    def subgradient(w: Any, _: Any) -> Any:
        w = w - rate * jax.grad(objective)(w)
        return w, w

    def proximal(w: Any, _: Any) -> Any:
        w = penalty.prox(w - rate * jax.grad(loss)(w), rate)
        return w, w

    return tuple(jax.jit(lambda step=step: jax.lax.scan(step, jnp.zeros(40), length=STEPS)[1])() for step in (subgradient, proximal))


def _pair(penalty: Any, X: Any, y: Any, counts: Any) -> Any:
    return jaxreg.solve(lambda w: jnp.sum(counts * (y - X @ w) ** 2), penalty, jnp.zeros(2), method="fista", tol=1e-12).params


def precision_recall(coef: Any) -> tuple[Any, Any]:
    """(seeds, λ) each; where nothing is selected nothing is wrong, and the precision is 1."""
    selected = coef != 0
    hits = selected[..., :6].sum(axis=-1)
    return np.where(selected.any(axis=-1), hits / np.maximum(selected.sum(axis=-1), 1), 1.0), hits / 6


def check(data: Data, fit: Fit) -> Any:
    peer = "sklearn.linear_model"
    yield against(peer, "path ≡ scikit-learn's Lasso(alpha=λ/2n), 20 draws × 3 λ", lambda module: _versus_sklearn(module, data, fit))
    # The proximal descent contracts; 2,000 steps reach the solution to far below this.
    yield agree("end of the proximal descent ≡ path", fit.proximal[-1], fit.coef[0, STEPPED], 1e-9)
    zeros = [int(np.sum(np.asarray(w[-1]) == 0)) for w in (fit.subgradient, fit.proximal)]
    yield holds("exact zeros of 40 after 2,000 subgradient steps", str(zeros[0]), "none", zeros[0] == 0)
    yield holds(
        "exact zeros of 40 after 2,000 proximal steps", str(zeros[1]), "as on the path", zeros[1] == np.sum(fit.coef[0, STEPPED] == 0) > 0
    )
    yield agree("last subgradient step ≡ NumPy: w − α(∂L/∂w + λ·sign w)", fit.subgradient[-1], _one_step(data, fit.subgradient[-2]), 1e-12)
    precision, recall = (x.mean(axis=0) for x in precision_recall(fit.coef))
    full = int(np.argmax(recall == 1))
    yield holds(
        "precision where the mean recall first is 1",
        f"{precision[full]:.2f}",
        "recall reached, precision < 1",
        recall[full] == 1 > precision[full],
    )
    yield agree("pairs under L2 ≡ closed form, 200 bootstraps", fit.pairs_l2, _closed_pairs(data, data.ridge_lam), 1e-6)
    # Two weights: try each pattern of signs and zeros, and take the best.
    yield agree("pairs under L1 ≡ all nine sign patterns tried, 200 bootstraps", fit.pairs_l1, _all_patterns(data), 1e-6)
    dropped = np.mean(np.any(np.asarray(fit.pairs_l1) == 0, axis=1))
    each = np.sum(np.asarray(fit.pairs_l1) == 0, axis=0)
    yield holds("bootstraps in which L1 drops one of the pair", f"{dropped:.0%}", "at least a quarter", dropped >= 0.25)
    yield holds("times that the first column, the second is dropped", f"{each[0]}, {each[1]}", "each at least 5 of 200", each >= 5)
    spread = [np.std(np.diff(w, axis=1)) for w in (_closed_pairs(data, 0.0), np.asarray(fit.pairs_l1), np.asarray(fit.pairs_l2))]
    shown = "least squares {:.2f}, L1 {:.2f}, L2 {:.2f}".format(*spread)
    yield holds(
        "sd of the difference of the pair's weights",
        shown,
        "L1 below least squares, L2 below half of L1",
        spread[1] < spread[0] and spread[2] < spread[1] / 2,
    )


def _versus_sklearn(linear_model: Any, data: Data, fit: Fit) -> Check:
    some, n = [20, 40, 60], data.y.shape[1]
    theirs = [
        [linear_model.Lasso(alpha=lam / (2 * n), fit_intercept=False, tol=1e-12, max_iter=100_000).fit(X, y).coef_ for lam in LAMS[some]]
        for X, y in zip(data.X, data.y, strict=True)
    ]
    # Its stopping rule is on the gap: the square root of 1e-12 remains in the weights.
    return agree("path ≡ scikit-learn's Lasso(alpha=λ/2n), 20 draws × 3 λ", fit.coef[:, some], np.asarray(theirs), 1e-6)


def _one_step(data: Data, w: Any) -> Any:
    X, y, w = data.X[0], data.y[0], np.asarray(w)
    return w - 0.5 / np.linalg.norm(X, 2) ** 2 * (-2 * X.T @ (y - X @ w) + LAMS[STEPPED] * np.sign(w))


def _closed_pair(X: Any, y: Any, counts: Any, lam: float) -> Any:
    return np.linalg.solve(X.T * counts @ X + lam * np.eye(2), X.T @ (counts * y))


def _closed_pairs(data: Data, lam: float) -> Any:
    return np.stack([_closed_pair(data.pair, data.target, counts, lam) for counts in data.counts])


def _best_pattern(X: Any, y: Any, counts: Any) -> Any:
    """The lasso of two columns: the best of the solutions for each pattern of signs and zeros."""
    G, b, candidates = X.T * counts @ X, X.T @ (counts * y), [np.zeros(2)]
    for signs in np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [1, 0], [-1, 0], [0, 1], [0, -1]]):
        on, w = signs != 0, np.zeros(2)
        w[on] = np.linalg.solve(G[np.ix_(on, on)], (b - PAIR_LAM / 2 * signs)[on])
        candidates.append(w)
    return min(candidates, key=lambda w: w @ G @ w - 2 * b @ w + PAIR_LAM * np.abs(w).sum())


def _all_patterns(data: Data) -> Any:
    return np.stack([_best_pattern(data.pair, data.target, counts) for counts in data.counts])


def figure(data: Data, fit: Fit) -> Any:
    made, ((descent, path), (selection, pairs)) = _style.figure(2, 2)
    steps = np.arange(1, STEPS + 1)
    for w, color, name in ((fit.subgradient, _style.RED, "subgradient"), (fit.proximal, _style.BLUE, "proximal")):
        descent.plot(steps, np.sum(np.asarray(w) == 0, axis=1), color=color, label=name)
    descent.set(xscale="log", xlabel="step (log scale)", ylabel="weights that are exactly zero (of 40)", ylim=(-1, 41))
    descent.legend()
    _style.title(descent, f"Who reaches zero, λ = {LAMS[STEPPED]:.0f}")
    path.plot(LAMS, fit.coef[0, :, 6:], color=_style.GREY, linewidth=1)
    path.plot(LAMS, fit.coef[0, :, :6], color=_style.BLUE)
    path.plot([], color=_style.BLUE, label="the six that matter")
    path.plot([], color=_style.GREY, label="the other 34")
    path.set(ylabel="weight", ylim=(-1.7, 3.1))
    path.legend(loc="upper right")
    _style.title(path, "What matters enters first")
    precision, recall = precision_recall(fit.coef)
    for values, color, line, name in ((precision, _style.BLUE, "-", "precision"), (recall, _style.RED, "--", "recall")):
        mean, spread = values.mean(axis=0), values.std(axis=0)
        selection.plot(LAMS, mean, line, color=color, label=name)
        selection.fill_between(LAMS, mean - spread, np.minimum(mean + spread, 1), color=color, alpha=0.15, linewidth=0)
    selection.set_ylabel("share (mean ± sd over 20 draws)")
    selection.legend(loc="lower center")
    _style.title(selection, "All that matter, and more")
    for w, color, marker, name in ((fit.pairs_l1, _style.RED, "o", "L1"), (fit.pairs_l2, _style.BLUE, "^", "L2")):
        pairs.plot(*np.asarray(w).T, marker, color=color, markersize=5, alpha=0.6, label=name)
    pairs.plot(1, 1, "*", color=_style.BLACK, markersize=14, label="truth")
    pairs.set(xlabel="weight of the first column", ylabel="weight of its twin")
    pairs.legend()
    _style.title(pairs, "Two nearly equal columns, 200 bootstraps")
    for axes in (path, selection):
        _style.lambda_axis(axes)
    return made
