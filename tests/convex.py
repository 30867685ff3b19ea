"""The objectives of ``path`` written a second time, in cvxpy and from the documented formulas: what an independent solver minimises.

Nothing here calls jaxreg but for the constructors that name what is tested.
"""

import zlib
from typing import NamedTuple

import cvxpy as cp
import numpy as np

import jaxreg
from jaxreg import losses

N, P = 30, 6
GROUPS = np.array([0, 0, 1, 1, 1, 2])
PRICES = np.array([2.0, 1.6, 1.2, 0.9, 0.5, 0.2])
BOX = 0.4


class Case(NamedTuple):
    """A choice for every factor."""

    loss: str = "squared"
    penalty: str = "L1"
    sample_weight: str = "ones"
    offset: bool = False
    bounds: str = "none"
    factor: str = "none"
    intercept: bool = True
    standardize: bool = False
    targets: int = 1

    def __str__(self):
        return ",".join(str(v) if n not in ("intercept", "standardize", "offset") else f"{n}={v}" for n, v in self._asdict().items())


def counts(rng, eta):
    return rng.poisson(np.exp(eta)).astype(float)


def both_classes(rng, eta):
    return (eta + rng.logistic(size=eta.shape) > np.median(eta, axis=0)).astype(float)


def three_classes(rng, eta):
    if eta.ndim > 1:  # no such thing: path must say so
        return rng.integers(0, 3, eta.shape).astype(float)
    return np.argmax(np.stack([np.zeros(N), eta, -eta], 1) + rng.gumbel(size=(N, 3)), axis=1).astype(float)


def check_function_smoothed(r, level, width):
    """The envelope of ``½|r| + c·r``: that of ``½|r|``, a Huber function, moved by ``width·c``."""
    c = level - 0.5
    return cp.huber(r - width * c, width / 2) / (2 * width) + c * r - width * c**2 / 2


def symmetric(rng, eta):
    return eta + rng.normal(size=eta.shape)


def long_tailed(rng, eta):
    return eta + rng.standard_t(2, size=eta.shape)


def square(eta, y):
    return cp.square(y - eta)


# name: (loss, targets drawn about a predictor, ℓ of each row (or row and target), divisor of Σvℓ from Σv)
LOSSES = {
    "squared": (losses.SquaredError(), symmetric, square, None),
    "squared mean": (losses.SquaredError("mean"), symmetric, square, 1),
    "half mean": (
        losses.SquaredError("half_mean"),
        symmetric,
        square,
        2,
    ),
    "logistic": (losses.Logistic(), both_classes, lambda eta, y: cp.logistic(eta) - cp.multiply(y, eta), None),
    "multinomial": (
        losses.Multinomial("mean"),
        three_classes,
        lambda eta, y: cp.log_sum_exp(eta, axis=1) - cp.sum(cp.multiply(np.eye(3)[y.astype(int)], eta), axis=1),
        1,
    ),
    "poisson": (losses.Poisson(), counts, lambda eta, y: cp.exp(eta) - cp.multiply(y, eta), None),
    "gamma": (
        losses.Gamma("mean"),
        lambda rng, eta: rng.gamma(3.0, np.exp(eta) / 3),
        lambda eta, y: cp.multiply(y, cp.exp(-eta)) + eta,
        1,
    ),
    "tweedie": (
        losses.Tweedie(power=1.4),
        lambda rng, eta: counts(rng, eta) * rng.gamma(2.0, 0.5, eta.shape),
        lambda eta, y: cp.exp(0.6 * eta) / 0.6 + cp.multiply(y, cp.exp(-0.4 * eta)) / 0.4,
        None,
    ),
    "huber": (
        losses.Huber(delta=0.8),
        long_tailed,
        lambda eta, y: cp.huber(y - eta, 0.8) / 2,  # cvxpy's has no ½
        None,
    ),
    "quantile": (
        losses.Quantile("mean", level=0.7, width=0.2),
        long_tailed,
        lambda eta, y: check_function_smoothed(y - eta, 0.7, 0.2),
        1,
    ),
    "squared hinge": (
        losses.SquaredHinge("mean"),
        both_classes,
        lambda eta, y: cp.square(cp.pos(1 - cp.multiply(2 * y - 1, eta))),
        1,
    ),
}
CLASSES_APART = ("logistic", "squared hinge")


def by_rows(u, groups=GROUPS):
    """(√size, ‖u_g‖) of each group; with several targets each row is one."""
    if u.ndim == 2:
        return [(np.sqrt(u.shape[1]), cp.norm2(u[j])) for j in range(P)]
    return [(np.sqrt(np.sum(groups == g)), cp.norm2(u[groups == g])) for g in range(groups.max() + 1)]


def group_ids(targets):
    return GROUPS if targets == 1 else np.arange(P)[:, None]


def prices(columns):
    return np.repeat(PRICES, columns)


def absolute(u, f):
    return cp.sum(cp.multiply(f, cp.abs(u)))


def squares(u, f):
    return cp.sum(cp.multiply(f, cp.square(u)))


def sorted_l1(u, f):
    w = prices(int(u.size) // P)
    return sum((w[i] - (w[i + 1] if i + 1 < w.size else 0)) * cp.sum_largest(cp.abs(cp.vec(u, order="C")), i + 1) for i in range(w.size))


def norms(u):
    return sum(weight * norm for weight, norm in by_rows(u))


# name: (penalty for a number of columns, Ω(u, f) of scaled coefficients and factors (of u's shape), that Ω bends by at least m·f)
PENALTIES = {
    "L1": (lambda k: jaxreg.L1(), absolute, 0.0),
    "L2": (lambda k: jaxreg.L2(), squares, 2.0),
    "ElasticNet": (lambda k: jaxreg.ElasticNet(l1_ratio=0.6), lambda u, f: 0.6 * absolute(u, f) + 0.2 * squares(u, f), 0.4),
    "L1+L2": (lambda k: jaxreg.L1(0.7) + jaxreg.L2(0.2), lambda u, f: 0.7 * absolute(u, f) + 0.2 * squares(u, f), 0.4),
    "AsymmetricL1": (
        lambda k: jaxreg.AsymmetricL1(positive=1.5, negative=0.5),
        lambda u, f: cp.sum(cp.multiply(f, 0.5 * cp.neg(u) + 1.5 * cp.pos(u))),
        0.0,
    ),
    "Huber": (lambda k: jaxreg.Huber(delta=0.3), lambda u, f: cp.sum(cp.multiply(f, cp.huber(u, 0.3))) / 2, 0.0),
    "GroupLasso": (lambda k: jaxreg.GroupLasso(1.0, group_ids(k)), lambda u, f: norms(u), 0.0),
    "SparseGroupLasso": (
        lambda k: jaxreg.SparseGroupLasso(1.0, group_ids(k), l1_ratio=0.3),
        lambda u, f: 0.3 * absolute(u, f) + 0.7 * norms(u),
        0.0,
    ),
    "GroupElasticNet": (
        lambda k: jaxreg.GroupElasticNet(1.0, group_ids(k), l1_ratio=0.4),
        lambda u, f: 0.4 * norms(u) + 0.3 * squares(u, f),
        0.6,
    ),
    "FusedLasso": (lambda k: jaxreg.FusedLasso(1.0, axis=0), lambda u, f: cp.sum(cp.abs(u[1:] - u[:-1])), 0.0),
    "FusedLasso+L1": (
        lambda k: jaxreg.FusedLasso(1.0, axis=0) + jaxreg.L1(0.5),
        lambda u, f: cp.sum(cp.abs(u[1:] - u[:-1])) + 0.5 * absolute(u, f),
        0.0,
    ),
    "SLOPE": (lambda k: jaxreg.SLOPE(1.0, prices(k)), sorted_l1, 0.0),
    "LInf": (lambda k: jaxreg.LInf(), lambda u, f: cp.max(cp.abs(u)), 0.0),
    "Nuclear": (lambda k: jaxreg.Nuclear(), lambda u, f: cp.normNuc(u), 0.0),
    "NonNegative+L1": (lambda k: jaxreg.NonNegative() + jaxreg.L1(), absolute, 0.0),
    "Box+L2": (lambda k: jaxreg.Box(-BOX, BOX) + jaxreg.L2(0.5), lambda u, f: 0.5 * squares(u, f), 1.0),
}
LIMITS = {"NonNegative+L1": (0.0, np.inf), "Box+L2": (-BOX, BOX)}  # of scaled coefficients
SEPARABLE = ("L1", "L2", "ElasticNet", "L1+L2", "AsymmetricL1", "Huber", "NonNegative+L1", "Box+L2")

FACTORS = {
    "loss": [*LOSSES],
    "penalty": [*PENALTIES],
    "sample_weight": ["ones", "weights", "zeros"],
    "offset": [False, True],
    "bounds": ["none", "lower", "both"],
    "factor": ["none", "positive", "zero"],
    "intercept": [True, False],
    "standardize": [False, True],
    "targets": [1, 2],
}


class Made:
    """The data of a case, its arguments for ``path``, and its objective in cvxpy."""

    def __init__(self, case):
        self.case = case
        rng = np.random.default_rng(zlib.crc32(repr(case).encode()))
        self.loss, draw, self.row_loss, self.divisor = LOSSES[case.loss]
        columns = 3 if case.loss == "multinomial" else case.targets
        shape = (P,) if columns == 1 else (P, columns)
        X = rng.normal(size=(N, P)) @ (np.eye(P) + 0.4 * rng.normal(size=(P, P)) / np.sqrt(P)) * np.linspace(0.5, 1.5, P)
        self.X = X + 0.5 * rng.normal(size=P)
        signal = X @ (0.4 * rng.normal(size=(P, case.targets)))
        self.y = draw(rng, signal[:, 0] if case.targets == 1 else signal)
        if case.loss == "multinomial":
            self.y[:3] = np.reshape([0, 1, 2], (3, *[1] * (self.y.ndim - 1)))  # no class without a row
        self.v = {"ones": np.ones(N), "weights": rng.uniform(0.5, 2, N), "zeros": np.append(np.ones(3), rng.integers(0, 3, N - 3))}[
            case.sample_weight
        ]
        self.offset = 0.3 * rng.normal(size=(N, *shape[1:])) if case.offset else np.zeros((N, *shape[1:]))
        factor = {"none": np.ones(P), "positive": rng.uniform(0.5, 2, P), "zero": np.array([1, 0, 0.5, 1, 2, 1.0])}[case.factor]
        self.factor = np.broadcast_to(factor.reshape(-1, *[1] * (len(shape) - 1)), shape)
        self.lower = {"none": -np.inf, "lower": 0.0, "both": -0.3}[case.bounds]
        self.upper = np.linspace(0.1, 0.6, P) if case.bounds == "both" else np.full(P, np.inf)
        mean = self.v @ self.X / self.v.sum()
        sd = np.sqrt(self.v @ (self.X - mean) ** 2 / self.v.sum()) if case.standardize else np.ones(P)
        self.sd = sd.reshape(-1, *[1] * (len(shape) - 1))
        self.columns, self.shape = columns, shape
        # λ that leave some of the coefficients: of the size of a gradient where no coefficient fits anything.
        self.lams = np.array([3.0, 0.5]) / (1 if self.divisor is None else self.divisor * self.v.sum())

    def arguments(self):
        case = self.case
        given = {"loss": self.loss, "lams": self.lams, "intercept": case.intercept, "standardize": case.standardize}
        given |= {"sample_weight": self.v} if case.sample_weight != "ones" else {}
        given |= {"offset": self.offset} if case.offset else {}
        given |= {"penalty_factor": self.factor.reshape(P, -1)[:, 0]} if case.factor != "none" else {}
        given |= {"lower": self.lower} if case.bounds != "none" else {}
        given |= {"upper": self.upper} if case.bounds == "both" else {}
        return self.X, self.y, PENALTIES[case.penalty][0](self.columns), given

    def limits(self):
        """On the coefficients, those of bounds and those of the penalty together; each of the coefficients' shape."""
        low, high = LIMITS.get(self.case.penalty, (-np.inf, np.inf))
        upper = self.upper.reshape(-1, *[1] * (len(self.shape) - 1))
        lower = np.broadcast_to(np.maximum(self.lower, low / self.sd), self.shape)
        return lower, np.broadcast_to(np.minimum(upper, high / self.sd), self.shape)

    def objective(self, lam):
        """(objective, data term, w, b) as expressions."""
        w = cp.Variable(self.shape)
        b = cp.Variable(1 if self.columns == 1 else (1, self.columns))
        shift = np.ones((N, 1)) @ b if self.columns > 1 else b[0]
        eta = self.X @ w + self.offset + (shift if self.case.intercept else 0)
        rows = self.row_loss(eta, self.y)
        v = self.v if rows.ndim == 1 else np.repeat(self.v[:, None], self.columns, axis=1)
        data = cp.sum(cp.multiply(v, rows)) / (1 if self.divisor is None else self.divisor * self.v.sum())
        return data + lam * PENALTIES[self.case.penalty][1](cp.multiply(np.broadcast_to(self.sd, self.shape), w), self.factor), data, w, b
