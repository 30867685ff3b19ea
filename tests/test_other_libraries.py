"""What docs/penalties.md says of other libraries' penalties: each expression of jaxreg against their formula, in NumPy."""

import jax
import numpy as np
import pytest
from scipy.optimize import brentq, minimize

import jaxreg
from jaxreg import L1, L2Ball
from jaxreg._catalogue import FOREIGN
from jaxreg._dtypes import x64_scope

Q = np.array([[0.6, -0.8], [0.8, 0.6]])
M = np.array([[1.0, -0.5, 0.3], [0.2, 1.5, -1.0]])
W = np.array([[0.9, -1.4], [0.3, 0.2], [-2.0, 0.7]])
V = np.array([0.9, -1.4, 0.3, 2.1])
FINE = {"xatol": 1e-12, "fatol": 1e-16, "maxiter": 2000}
ARGUMENTS = {
    "alpha": 0.7, "a": 1.3, "b": -0.4, "mu": 0.6, "lam": 0.8, "rho": 0.3, "sigma": 0.9, "gamma": 1.7, "delta": 0.5, "eps": 0.4,
    "kappa": 0.5, "value": 1.3, "scale": 0.8, "strength": 0.9, "radius": 1.1, "k": 2, "l1": 0.2, "l2": 0.3, "l1_ratio": 0.4, "l2_axis": 0,
    "p": 0.25,
    "lower": -0.5, "upper": 0.8, "min_value": 0.6, "max_value": 1.3, "weights": np.array([0.5, 1.5]), "groups": [0, 0, 1],
    "w": V + 0.2, "c": 0.7, "f": L1(0.7), "C": L2Ball(1.1), "Q": Q, "M": M, "W": W,
}  # fmt: skip


def ball(v, radius, center=0.0):
    return center + (v - center) * min(1.0, radius / np.linalg.norm(v - center))


def rows(function):
    return lambda w: sum(function(np.linalg.norm(row)) for row in w)


def minimax_concave(m, alpha=0.7, gamma=1.7):
    return alpha * m - m**2 / (2 * gamma) if m <= gamma * alpha else gamma * alpha**2 / 2


def clipped(m, alpha=0.7, gamma=2.5):
    if m <= alpha:
        return alpha * m
    return (2 * gamma * alpha * m - m**2 - alpha**2) / (2 * (gamma - 1)) if m <= gamma * alpha else alpha**2 * (gamma + 1) / 2


def huber(m, delta):
    return np.where(m <= delta, m**2 / 2, delta * (m - delta / 2))


def beyond_ball(w, radius=1.1):
    return max(np.linalg.norm(w) - radius, 0.0)


def section(v):
    """The multiplier by bracketing."""
    normal = V + 0.2
    inside = lambda tau: np.clip(v - tau * normal, -0.5, 0.8)  # noqa: E731
    return inside(brentq(lambda tau: normal @ inside(tau) - 0.7, -10, 10, xtol=1e-15))


def onto_surface(surface, start):
    """The nearest point of a curved side (two numbers, and the third in terms of them), by a search that ends at about 1e-7."""
    return lambda v: surface(minimize(lambda t: ((surface(t) - v) ** 2).sum(), start, method="Nelder-Mead", options=FINE).x)


# name: (a point, the value there); of a set the projection of the point. Of what it says of several names the first is meant.
VALUES = {
    "Ridge(), strength": (V, lambda w: 0.9 / 2 * (w**2).sum()),
    "UnRegularized()": (V, lambda w: 0.0),
    "L2(alpha)": (V, lambda w: 0.7 / 2 * (w**2).sum()),
    "L1_plus_L2(alpha, l1_ratio)": (V, lambda w: 0.4 * 0.7 * np.abs(w).sum() + 0.6 * 0.7 / 2 * (w**2).sum()),
    "WeightedL1(alpha, weights)": (V[:2], lambda w: 0.7 * np.abs(w) @ [0.5, 1.5]),
    "WeightedMCPenalty(alpha, gamma, weights)": (V[:2], lambda w: 0.5 * minimax_concave(abs(w[0])) + 1.5 * minimax_concave(abs(w[1]))),
    "L0_5(alpha)": (V, lambda w: 0.7 * np.sqrt(np.abs(w)).sum()),
    "L2_3(alpha)": (V, lambda w: 0.7 * (np.abs(w) ** (2 / 3)).sum()),
    "LogSumPenalty(alpha, eps)": (V, lambda w: 0.7 * np.log(1 + np.abs(w) / 0.4).sum()),
    "L2_1(alpha)": (W, rows(lambda m: 0.7 * m)),
    "L2_05(alpha)": (W, rows(lambda m: 0.7 * np.sqrt(m))),
    "BlockMCPenalty(alpha, gamma)": (W, rows(minimax_concave)),
    "BlockSCAD(alpha, gamma)": (W, rows(clipped)),
    "WeightedGroupL2(alpha, weights, groups)": (V[:3], lambda w: 0.7 * (0.5 * np.hypot(w[0], w[1]) + 1.5 * abs(w[2]))),
    "SquaredL2Norm()": (V, lambda w: (w**2).sum()),
    "L21Norm(l2_axis)": (W, lambda w: np.sqrt((w**2).sum(0)).sum()),
    "L1MinusL2Norm(beta=1)": (V, lambda w: np.abs(w).sum() - np.linalg.norm(w)),
    "HuberNorm(delta, separable=False)": (V, lambda w: huber(np.linalg.norm(w), 0.5)),
    "SetDistance(C)": (V, beyond_ball),
    "SquaredSetDistance(C)": (V, lambda w: 0.5 * beyond_ball(w) ** 2),
    "ElasticNet(mu, lam)": (V, lambda w: 0.6 * np.abs(w).sum() + 0.8 / 2 * (w**2).sum()),
    "SqrNormL2(lam)": (V, lambda w: 0.8 / 2 * (w**2).sum()),
    "NormL1plusL2(lam, mu)": (V, lambda w: 0.8 * np.abs(w).sum() + 0.6 * np.linalg.norm(w)),
    "HuberLoss(rho, mu)": (V, lambda w: 0.6 * huber(np.linalg.norm(w), 0.3)),
    "SumPositive()": (V, lambda w: np.maximum(w, 0).sum()),
    "Maximum(lam)": (V, lambda w: 0.8 * w.max()),
    "CubeNormL2(lam)": (V, lambda w: 0.8 * np.linalg.norm(w) ** 3),
    "LogBarrier(a, b, mu)": (np.abs(V) + 0.3, lambda w: -0.6 * np.log(1.3 * w - 0.4).sum()),
    "Quadratic(M'M, 0)": (V[:3], lambda w: ((M @ w) ** 2).sum() / 2),
    "IndFree()": (V, lambda w: 0.0),
    "DistL2(C, lam)": (V, lambda w: 0.8 * beyond_ball(w)),
    "SqrDistL2(C, lam)": (V, lambda w: 0.8 / 2 * beyond_ball(w) ** 2),
    "TotalVariation1D(lam)": (V, lambda w: 0.8 * np.abs(np.diff(w)).sum()),
    "Translate(f, b)": (V, lambda w: 0.7 * np.abs(w - 0.4).sum()),
    "PrecomposeDiagonal(f, a, b)": (V, lambda w: 0.7 * np.abs(1.3 * w - 0.4).sum()),
    "Regularize(f, rho, p)": (V, lambda w: 0.7 * np.abs(w).sum() + 0.3 / 2 * ((w - 0.25) ** 2).sum()),
    "Postcompose(f, a, b)": (V, lambda w: 1.3 * 0.7 * np.abs(w).sum()),
    "L2(sigma, b=p)": (V, lambda w: 0.9 / 2 * ((w - 0.25) ** 2).sum()),
    "L21_plus_L1(sigma, rho)": (W, lambda w: 0.9 * 0.3 * np.abs(w).sum() + 0.9 * 0.7 * np.sqrt((w**2).sum(0)).sum()),
    "Huber(alpha)": (V, lambda w: (huber(np.abs(w), 0.7) / 0.7).sum()),
    "HuberCircular(alpha)": (V, lambda w: huber(np.linalg.norm(w), 0.7) / 0.7),
    "Log(sigma, gamma)": (V, lambda w: 0.9 / np.log(2.7) * np.log(1.7 * np.abs(w) + 1).sum()),
    "Log1(sigma, delta)": (V, lambda w: 0.9 * (np.log(np.abs(w) + 0.5) - np.log(0.5)).sum()),
    "RelaxedMumfordShah(sigma, kappa)": (V, lambda w: np.minimum(0.9 * w**2, 0.5).sum()),
    "QuadraticEnvelopeCard(mu)": (V, lambda w: (0.6 - np.maximum(0, np.sqrt(1.2) - np.abs(w)) ** 2 / 2).sum()),
    "Orthogonal(f, Q)": (V[:2], lambda w: 0.7 * np.abs(Q @ w).sum()),
    "L1L2(l1, l2)": (V, lambda w: 0.2 * np.abs(w).sum() + 0.3 * (w**2).sum()),
    'type.multinomial = "grouped"': (W, rows(lambda m: m)),
}
PROJECTIONS = {
    "projection_hypercube(x, scale)": (V, lambda v: np.clip(v, 0, 0.8)),
    "projection_l2_sphere(x, value)": (V, lambda v: 1.3 * v / np.linalg.norm(v)),
    "PositiveConstraint()": (V, lambda v: np.maximum(v, 0)),
    "IndicatorBox(alpha)": (V, lambda v: np.clip(v, 0, 0.7)),
    "projection_box_section(x, (lower, upper, w, c))": (V, section),
    "HyperPlaneBoxProj(w, c, lower, upper)": (V, section),
    "IndZero()": (V, lambda v: 0 * v),
    "IndPoint(p)": (V, lambda v: 0 * v + 0.25),
    "IndNonpositive()": (V, lambda v: np.minimum(v, 0)),
    "IndBallL0(k)": (V, lambda v: np.where(np.abs(v) >= 1.4, v, 0)),
    "IndGraph(M)": (np.append(V, 0.5), lambda v: (lambda basis: basis @ np.linalg.lstsq(basis, v)[0])(np.vstack([np.eye(3), M]))),
    "IndExpPrimal()": (np.ones(3), onto_surface(lambda t: np.array([t[0], t[1], t[1] * np.exp(t[0] / t[1])]), [0.5, 1.0])),
    "IndExpDual()": (np.array([-1.0, 0.5, -0.3]), onto_surface(lambda t: np.array([t[0], t[1], -t[0] * np.exp(t[1] / t[0] - 1)]), [-1, 1])),
    "EuclideanBall(p, radius)": (V, lambda v: ball(v, 1.1, 0.25)),
    "NonNeg()": (V, lambda v: np.maximum(v, 0)),
    "MinMaxNorm(min_value, max_value)": (W, lambda v: v * np.clip(np.linalg.norm(v, axis=0), 0.6, 1.3) / np.linalg.norm(v, axis=0)),
    "lower.limits, upper.limits": (V, lambda v: np.clip(v, -0.5, 0.8)),
}
WRITTEN = [line for line in FOREIGN if line.here]


def test_every_line_is_tested():
    assert {line.name for line in WRITTEN} == VALUES.keys() | PROJECTIONS.keys()


@pytest.mark.slow  # each a program of its own
@pytest.mark.parametrize("line", WRITTEN, ids=lambda line: f"{line.library}: {line.name}")
def test_it_is_the_same(line):
    """Rounding of a dozen operations; of projections by a search 1e-6."""
    known = {**vars(jaxreg), **ARGUMENTS, "np": np} | ({"gamma": 2.5} if "SCAD" in line.name else {})
    with x64_scope():
        penalty = eval(line.here, known)
        point, reference = (VALUES | PROJECTIONS)[line.name]
        if line.name in VALUES:
            np.testing.assert_allclose(float(jax.jit(penalty)(point)), reference(point), rtol=1e-13, atol=1e-15)
        else:
            np.testing.assert_allclose(jax.jit(penalty.prox)(point), reference(point), rtol=0, atol=1e-6 if "Exp" in line.name else 1e-13)
