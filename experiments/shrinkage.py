"""What L2 does: it shrinks, the weak directions most, and never to exactly zero; too little overfits, too much underfits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.legendre import legvander

import jaxreg

from . import _style
from ._check import agree, at_least, holds

TITLE = "What L2 does"
CLAIM = "L2 shrinks the weights as a whole and zeroes none: by one factor if the columns are orthonormal, else the weak directions most."
FORMULA = r"u_i^\top X \hat w = \frac{d_i^2}{d_i^2 + \lambda} \, u_i^\top y, \qquad X = \sum_i d_i \, u_i v_i^\top"
DISCUSSION = (
    "With orthonormal columns every weight is divided by 1 + λ, so large weights lose most in absolute terms. In general the fit's "
    "component along a left singular vector is multiplied by d²/(d² + λ) (lines; the dots are measured), and ‖w‖ falls; a single weight "
    "may grow on the way, where another took over its part. A polynomial of degree 14 on 18 points shows the use of it: as λ grows the "
    "test error falls, has a minimum and rises again, where λ is too much (underfitting). The errors are means over 300 draws of the "
    "noise; theory gives the same curve as squared bias + variance."
)

LAMS = np.geomspace(1e5, 1e-7, 97)
NOISE, DRAWS, DEGREE = 0.35, 300, 14
FINE = np.linspace(-1, 1, 201)


class Data(NamedTuple):
    Q: Any
    z: Any
    X: Any
    truth: Any
    y: Any


class Fit(NamedTuple):
    orthonormal: Any
    coef: Any


def truth(x: Any) -> Any:
    return np.sin(1.5 * np.pi * x)


def basis(x: Any) -> Any:
    """Legendre polynomials of degree 1 to 14; the target is odd and has no constant part."""
    return legvander(np.asarray(x), DEGREE)[:, 1:]


def data() -> Data:
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.normal(size=(60, 6)))[0]
    z = Q @ np.array([8.0, -5.0, 3.0, -2.0, 1.0, 0.3]) + 0.1 * rng.normal(size=60)
    x = np.linspace(-1, 1, 18)
    return Data(Q, z, basis(x), truth(x), truth(x)[:, None] + NOISE * rng.normal(size=(18, DRAWS)))


def fit(data: Data) -> Fit:
    orthonormal = jaxreg.path(data.Q, data.z, jaxreg.L2(), lams=LAMS, intercept=False)
    polynomial = jaxreg.path(data.X, data.y, jaxreg.L2(), lams=LAMS, intercept=False)
    return Fit(orthonormal.coef, polynomial.coef)


def bias_and_variance(data: Data) -> tuple[Any, Any]:
    """Mean squared bias and variance of the fitted curve over FINE, from the hat matrix."""
    bias, variance = [], []
    for lam in LAMS:
        smoother = basis(FINE) @ np.linalg.solve(data.X.T @ data.X + lam * np.eye(DEGREE), data.X.T)
        bias.append(np.mean((smoother @ data.truth - truth(FINE)) ** 2))
        variance.append(NOISE**2 * np.mean(np.sum(smoother**2, axis=1)))
    return np.asarray(bias), np.asarray(variance)


def error_to_truth(fit: Fit) -> Any:
    """(λ, draws): mean squared distance of each fitted curve to the truth."""
    return np.mean((np.einsum("xp,lpd->lxd", basis(FINE), fit.coef) - truth(FINE)[:, None]) ** 2, axis=1)


def check(data: Data, fit: Fit) -> Any:
    least_squares = data.Q.T @ data.z
    yield agree("orthonormal columns: least squares divided by 1 + λ", fit.orthonormal, least_squares / (1 + LAMS[:, None]), 1e-13)
    closed = np.stack([np.linalg.solve(data.X.T @ data.X + lam * np.eye(DEGREE), data.X.T @ data.y) for lam in LAMS])
    # The condition number of XᵀX is 6e3: of 16 digits 12 remain.
    yield agree("polynomials: path ≡ closed form, 97 λ × 300 draws", fit.coef, closed, 1e-11)
    yield agree("factor of each direction ≡ d²/(d² + λ)", *_factors(data, fit), 1e-9)
    zeros = int(np.sum(fit.coef == 0) + np.sum(fit.orthonormal == 0))
    yield holds("weights that are exactly zero", f"{zeros} of {fit.coef.size + fit.orthonormal.size}", "none", zeros == 0)
    norms = np.linalg.norm(fit.coef, axis=1)
    yield holds(
        "‖w‖ as λ grows, 300 draws", f"falls at {np.mean(np.diff(norms, axis=0) > 0):.0%} of the steps", "all", np.diff(norms, axis=0) > 0
    )
    grows = np.mean(np.diff(np.abs(fit.coef), axis=0) < 0)
    yield holds("single weights that grow in size with λ", f"at {grows:.0%} of the steps", "some, not most", 0 < grows < 0.5)
    errors = error_to_truth(fit)
    mean, error = errors.mean(axis=1), errors.std(axis=1, ddof=1) / np.sqrt(DRAWS)
    distance = np.abs(mean - sum(bias_and_variance(data))) / np.maximum(error, 1e-12)
    yield holds(
        "test error against squared bias + variance", f"at most {distance.max():.1f} standard errors apart", "≤ 4", distance.max() <= 4
    )
    for name, end in (("too small", mean[-1]), ("too large", mean[0])):
        yield at_least(f"test error where λ is {name}, over the smallest", end / mean.min(), 2)
    rises = np.diff(np.mean((data.y - np.einsum("np,lpd->lnd", data.X, fit.coef)) ** 2, axis=(1, 2)))
    yield holds("training error as λ falls", f"falls at {np.sum(rises < 0)} of 96 steps", "all", rises < 0)


def _factors(data: Data, fit: Fit) -> tuple[Any, Any]:
    """Of the first draw: uᵀXŵ/uᵀy for each λ and direction, and d²/(d² + λ)."""
    U, d, _ = np.linalg.svd(data.X, full_matrices=False)
    return fit.coef[:, :, 0] @ data.X.T @ U / (data.y[:, 0] @ U), d**2 / (d**2 + LAMS[:, None])


def figure(data: Data, fit: Fit) -> Any:
    made, ((weights, factors), (curves, errors)) = _style.figure(2, 2)
    for j in range(6):
        weights.plot(LAMS, fit.orthonormal[:, j], color=_style.COLORS[j])
    weights.set_xlim(1e-3, 1e3)
    weights.set_ylabel("weight")
    _style.title(weights, "Orthonormal columns: all ÷ (1 + λ)")
    ours, theory = _factors(data, fit)
    for k, i in enumerate((0, 4, 8, 13)):
        factors.plot(LAMS, theory[:, i], color=_style.COLORS[k], label=f"direction {i + 1}")
        factors.plot(LAMS[::3], ours[::3, i], "o", markersize=5, color=_style.COLORS[k])
    factors.set_ylabel("share of the component kept")
    factors.set_xlim(1e-4, 1e5)
    factors.legend(fontsize=11, loc="upper right")
    _style.title(factors, "Weak directions shrink first")
    x = np.linspace(-1, 1, 18)
    curves.plot(FINE, truth(FINE), color=_style.BLACK, linewidth=1.4, label="truth")
    curves.plot(x, data.y[:, 0], "o", color=_style.GREY)
    drawn = (88, _style.RED, ":", "too small, 1e-6"), (44, _style.BLUE, "-", "right, 0.3"), (8, _style.GREEN, "--", "too large, 1e4")
    for index, color, line, name in drawn:
        curves.plot(FINE, basis(FINE) @ fit.coef[index, :, 0], line, color=color, linewidth=2.4, label=f"λ {name}")
    curves.set(xlabel="x", ylabel="y", ylim=(-2.2, 3.2), xticks=[-1, -0.5, 0, 0.5, 1])
    curves.legend(ncols=2, fontsize=11, loc="upper left")
    _style.title(curves, f"Degree {DEGREE} on 18 points")
    bias, variance = bias_and_variance(data)
    training = np.mean((data.y - np.einsum("np,lpd->lnd", data.X, fit.coef)) ** 2, axis=(1, 2))
    errors.plot(LAMS, error_to_truth(fit).mean(axis=1), color=_style.RED, linewidth=3, label="test (to the truth)")
    errors.plot(LAMS, bias + variance, "--", color=_style.BLACK, linewidth=1.5, label="bias² + variance")
    errors.plot(LAMS, training, ":", color=_style.BLUE, linewidth=2.6, label="training")
    errors.set(yscale="log", ylabel="mean squared error (units of y²)")
    _style.plain_log(errors.yaxis)
    errors.legend(fontsize=12, loc="center left")
    _style.title(errors, "Too little and too much: the U")
    for axes in (weights, factors, errors):
        _style.lambda_axis(axes)
    return made
