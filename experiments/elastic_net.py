"""The elastic net: correlated columns come and go together, and what the two knobs λ and l1_ratio do to error and sparsity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import jaxreg

from . import _style
from ._check import Check, against, agree, at_most, holds

TITLE = "The elastic net"
CLAIM = "Where the lasso picks a few of a correlated group, the elastic net keeps the group together; identical columns share equally."
FORMULA = r"\frac{1}{2n} \|y - Xw\|^2 + \lambda \left( \alpha \sum_j |w_j| + \frac{1 - \alpha}{2} \sum_j w_j^2 \right)"
DISCUSSION = (
    "Two groups of five columns, each group driven by one hidden factor (correlation 0.95), matter; thirty columns do not. Subtracting the "
    "optimality conditions of two weights of equal sign leaves n·λ(1 − α)(wᵢ − wⱼ) = (xᵢ − xⱼ)ᵀr, so that similar columns must have "
    "similar weights (Zou and Hastie 2005, theorem 1); without the squares there is no such bound. The maps show the price, more nonzero "
    "weights as α (l1_ratio) falls, and that keeping the group need not lower the test error: here α hardly changes it, and the smallest "
    "(star) is the lasso's."
)

LAMS = np.geomspace(3.0, 0.01, 41)
RATIOS = np.linspace(0.05, 1.0, 20)
HALF = 9  # index of l1_ratio 0.5; the last one is the lasso
GROUPS = np.repeat([0, 1, 2], [5, 5, 30])
TWIN_LAMS = np.geomspace(2.0, 0.01, 11)


class Data(NamedTuple):
    X: Any
    y: Any
    X_test: Any
    y_test: Any
    orthonormal: Any
    target: Any


class Fit(NamedTuple):
    coef: Any
    twins: Any


def data() -> Data:
    rng = np.random.default_rng(2)

    def draw(n: int) -> tuple[Any, Any]:
        noise = rng.normal(size=(n, 40))
        X = np.concatenate([np.sqrt(0.95) * rng.normal(size=(n, 2))[:, GROUPS[:10]] + np.sqrt(0.05) * noise[:, :10], noise[:, 10:]], axis=1)
        return X, X[:, :5].sum(axis=1) - 0.6 * X[:, 5:10].sum(axis=1) + 3 * rng.normal(size=n)

    Q = np.linalg.qr(rng.normal(size=(50, 4)))[0] * np.sqrt(50)
    return Data(*draw(60), *draw(2000), Q, Q @ np.array([2.0, -1.0, 0.5, 0.0]) + rng.normal(size=50))


def fit(data: Data) -> Fit:
    options = {"loss": jaxreg.losses.SquaredError("half_mean"), "intercept": False}
    coef = [jaxreg.path(data.X, data.y, jaxreg.ElasticNet(1.0, l1_ratio=ratio), lams=LAMS, **options).coef for ratio in RATIOS]
    doubled = np.column_stack([data.orthonormal, data.orthonormal[:, 0]])  # the last column is the first again
    twins = jaxreg.path(doubled, data.target, jaxreg.ElasticNet(1.0, l1_ratio=0.5), lams=TWIN_LAMS, **options).coef
    return Fit(np.stack(coef), twins)


def check(data: Data, fit: Fit) -> Any:
    what = "coefficients ≡ scikit-learn's ElasticNet(alpha=λ, l1_ratio=α), 20 α × 5 λ"
    yield against("sklearn.linear_model", what, lambda peer: _versus_sklearn(peer, what, data, fit))
    # On orthonormal columns (XᵀX = nI) twins of total s pay ½(1 − α)λ·s²/2 and λα|s|, so s = S(z, λα)/(1 + (1 − α)λ/2).
    z = data.orthonormal.T @ data.target / 50
    soft, divisor = (
        np.sign(z) * np.maximum(np.abs(z) - 0.5 * TWIN_LAMS[:, None], 0),
        1 + 0.5 * TWIN_LAMS[:, None] * np.array([0.5, 1, 1, 1]),
    )
    share = soft / divisor * np.array([0.5, 1, 1, 1])
    yield agree("identical columns: each half of the closed form", fit.twins, np.column_stack([share, share[:, 0]]), 1e-9)
    yield at_most("wᵢ − wⱼ over theorem 1's bound, every pair, α and λ", _over_bound(data, fit), 1)
    kept = {name: int(np.sum(fit.coef[ratio, _best(data, fit)[ratio], :10] != 0)) for name, ratio in (("lasso", -1), ("net", HALF))}
    shown = f"{kept['lasso']} by the lasso, {kept['net']} at α = 0.5"
    yield holds("of the ten columns that matter, kept at the λ of least test error", shown, "more by the net", kept["net"] > kept["lasso"])
    spread = [np.std(fit.coef[ratio, _best(data, fit)[ratio], :5]) for ratio in (HALF, -1)]
    yield at_most("sd of the weights within the first group there, α = 0.5 over lasso", spread[0] / spread[1], 0.5)
    count = [np.mean(np.sum(fit.coef[ratio] != 0, axis=1)) for ratio in (0, -1)]
    yield at_most("mean number of nonzero weights over λ, lasso over α = 0.05", count[1] / count[0], 0.9)


def _versus_sklearn(linear_model: Any, what: str, data: Data, fit: Fit) -> Check:
    net = linear_model.ElasticNet(fit_intercept=False, tol=1e-12, max_iter=100_000)
    grid = [[net.set_params(alpha=lam, l1_ratio=a).fit(data.X, data.y).coef_.copy() for lam in LAMS[::10]] for a in RATIOS]
    # Its stopping rule is on the gap: about the square root of 1e-12 remains in the weights.
    return agree(what, fit.coef[:, ::10], np.asarray(grid), 1e-5)


def _over_bound(data: Data, fit: Fit) -> Any:
    """|wᵢ − wⱼ| over ‖xᵢ − xⱼ‖·‖y‖/(nλ(1 − α)) for weights of equal sign; the lasso, which has no bound, is left out."""
    w = np.asarray(fit.coef)[:-1]
    same = w[..., :, None] * w[..., None, :] > 0
    apart = np.linalg.norm(data.X[:, :, None] - data.X[:, None, :], axis=0) + np.eye(40)
    squares = len(data.y) * LAMS[None, :, None, None] * (1 - RATIOS[:-1, None, None, None])
    return np.where(same, np.abs(w[..., :, None] - w[..., None, :]) * squares / apart / np.linalg.norm(data.y), 0).max()


def _test_error(data: Data, fit: Fit) -> Any:
    """(α, λ): share of the test variance that is left."""
    left = data.y_test - np.einsum("np,alp->aln", data.X_test, fit.coef)
    return np.mean(left**2, axis=2) / np.mean(data.y_test**2)


def _best(data: Data, fit: Fit) -> Any:
    return np.argmin(_test_error(data, fit), axis=1)


def figure(data: Data, fit: Fit) -> Any:
    made, ((lasso, net), (error, nonzeros)) = _style.figure(2, 2)
    for axes, ratio, name in ((lasso, -1, "Lasso: a few of each group"), (net, HALF, "Elastic net, α = 0.5: together")):
        for j in range(39, -1, -1):
            color, line = ((_style.BLUE, "-"), (_style.RED, "-"), (_style.GREY, ":"))[GROUPS[j]]
            axes.plot(LAMS, fit.coef[ratio, :, j], line, color=color, linewidth=1.8 if j < 10 else 0.9)
        for color, line, label in ((_style.BLUE, "-", "first group"), (_style.RED, "-", "second group"), (_style.GREY, ":", "the others")):
            axes.plot([], [], line, color=color, label=label)
        axes.set_ylabel("weight")
        axes.set_ylim(*np.array([1.1, 1.25]) * [fit.coef[[HALF, -1]].min(), fit.coef[[HALF, -1]].max()])
        axes.legend(fontsize=12)
        _style.title(axes, name)
    left = _test_error(data, fit)
    for axes, values, label, name in (
        (error, left, "share of test variance left", "Test error"),
        (nonzeros, (np.asarray(fit.coef) != 0).sum(axis=2), "nonzero weights (of 40)", "Nonzero weights"),
    ):
        mesh = axes.pcolormesh(LAMS, RATIOS, values, cmap=_style.MAP, shading="nearest", rasterized=True)
        made.colorbar(mesh, ax=axes, label=label)
        a, i = np.unravel_index(np.argmin(left), left.shape)
        axes.plot(LAMS[i], RATIOS[a], "*", markersize=16, color="white", markeredgecolor="black")
        axes.set_ylabel("l1_ratio α")
        axes.grid(False)
        _style.title(axes, name)
    for axes in (lasso, net, error, nonzeros):
        _style.lambda_axis(axes)
    return made
