"""200 random problems over losses, shapes and options against glmnet and scikit-learn, each on the objective it documents.

How far apart the answers may be is what their duality gaps allow, which ``optimality`` computes in NumPy for both in the same way.
"""

import re
import shutil
import subprocess
import warnings
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import sklearn
from sklearn import linear_model

import jaxreg
from jaxreg import conventions, losses

from .optimality import Problem

pytestmark = pytest.mark.slow
SEEDS = range(200)
SHAPES = [(60, 8), (30, 45)]
OURS = {
    "gaussian": losses.SquaredError("half_mean"),
    "binomial": losses.Logistic("mean"),
    "multinomial": losses.Multinomial("mean"),
    "poisson": losses.Poisson("mean"),
}


class Drawn(NamedTuple):
    loss: str
    X: np.ndarray
    y: np.ndarray
    v: np.ndarray
    offset: np.ndarray | None
    factor: np.ndarray | None
    lower: float | None
    upper: float | None
    intercept: bool
    ratio: float  # of L1
    lam: float


@cache
def drawn(seed):
    """Fixed by the seed; losses and shapes in turn, the rest at random."""
    rng = np.random.default_rng(seed)
    loss, (n, p) = [*OURS][seed % 4], SHAPES[seed // 4 % 2]
    common = rng.choice([0.0, 0.5, 2.0])  # correlation of all columns
    X = (rng.normal(size=(n, p)) + common * rng.normal(size=(n, 1))) * rng.uniform(0.5, 2, p) + rng.normal(size=p)
    eta = (X - X.mean(0)) @ np.where(np.arange(p) < 4, 0.4 * rng.normal(size=p), 0)
    offset = 0.3 * rng.normal(size=n) if loss != "multinomial" and rng.random() < 0.3 else None
    y = {
        "gaussian": lambda: eta + rng.normal(size=n),
        "binomial": lambda: (eta + rng.logistic(size=n) > 0).astype(float),
        "multinomial": lambda: np.argmax(np.stack([eta, -eta, 0 * eta], 1) + rng.gumbel(size=(n, 3)), axis=1).astype(float),
        "poisson": lambda: rng.poisson(np.exp(np.clip(eta, -3, 3))).astype(float),
    }[loss]()
    v = rng.uniform(0.3, 2, n) if rng.random() < 0.5 else np.ones(n)
    bounds = rng.random()
    # A feature with a bound and no penalty has no dual point but to rounding, and so no gap.
    factor = rng.choice([0.5, 1.0, 2.0], p) * (rng.random(p) > (bounds >= 0.35) / p) if rng.random() < 0.4 else None
    lower, upper = (0.0, None) if bounds < 0.2 else (-0.2, 0.3) if bounds < 0.35 else (None, None)
    ratio = float(rng.choice([0.0, 0.5, 1.0]))
    lam = float(rng.choice([0.3, 0.1, 0.03])) * (0.3 if ratio else 1.0)
    return Drawn(loss, X, y, v, offset, factor, lower, upper, bool(rng.random() < 0.8), ratio, lam)


def spread(d):
    """glmnet's standard deviation of y: of y − offset, about 0 where there is no intercept."""
    rest = d.y - (0 if d.offset is None else d.offset)
    return float(np.sqrt(np.average((rest - d.intercept * np.average(rest, weights=d.v)) ** 2, weights=d.v)))


def strengths(d, peer):
    """The peer's penalty and factors in jaxreg, and the a and q of ``aⱼ|w| + ½qⱼw²`` that it documents."""
    factor, scale, penalty = d.factor, 1.0, jaxreg.ElasticNet(d.lam, d.ratio)
    if peer == "glmnet" and factor is not None:
        factor = conventions.from_glmnet_penalty_factor(factor)
    if peer == "glmnet" and d.loss == "gaussian":
        scale = spread(d)
        penalty = conventions.from_glmnet_gaussian(d.lam, d.ratio, y_sd=scale).penalty
    each = np.ones(d.X.shape[1]) if d.factor is None else d.factor / (np.mean(d.factor) if peer == "glmnet" else 1)
    return penalty, factor, d.lam * d.ratio * each, d.lam * (1 - d.ratio) / scale * each


def stated(d, a, q):
    n, p = d.X.shape
    offset = np.zeros((n, 3 if d.loss == "multinomial" else 1)) if d.offset is None else d.offset[:, None]
    low, up = (np.full(p, far if x is None else x) for x, far in ((d.lower, -np.inf), (d.upper, np.inf)))
    return Problem(d.loss, d.X, d.y, d.v / d.v.sum(), a, q, offset, low, up, d.intercept)


def ours(d, penalty, factor):
    given = {} if factor is None else {"penalty_factor": factor}
    given |= {name: x for name, x in (("offset", d.offset), ("lower", d.lower), ("upper", d.upper)) if x is not None}
    lams = [100.0, 30.0, 10.0, 3.0, 1.0]  # down the same short path as glmnet
    fit = jaxreg.path(d.X, d.y, penalty, loss=OURS[d.loss], lams=lams, intercept=d.intercept, sample_weight=d.v, **given)
    assert fit.converged.all()
    return fit.coef[-1], fit.intercept[-1]


def solved(d, peer):
    """The problem in the peer's units, our answer to it, and the null model's value; the gap by a bound of its own is within tol."""
    penalty, factor, a, q = strengths(d, peer)
    problem = stated(d, a, q)
    w, b = ours(d, penalty, factor)
    null = problem.value(0 * w, 0 * b)
    gap = problem.value(w, b) - problem.bound(w, b)
    assert -1e-14 * (1 + abs(null)) <= gap <= 1e-10 * (1 + abs(null))  # path's tolerance, in units that are no larger
    return problem, w, b, null


def agree(d, peer, theirs):
    problem, w, b, null = solved(d, peer)
    rounding = 1e-14 * (1 + abs(null))
    bound = max(problem.bound(w, b), problem.bound(*theirs))
    own, other = problem.value(w, b) - bound, problem.value(*theirs) - bound
    assert own >= -rounding
    assert other >= own - 1e-10 * (1 + abs(null))  # no peer is better
    assert other <= 1e-4 * (1 + abs(null)), "the peer has solved another problem"
    modulus = problem.modulus(w, b, ((w != 0) | (theirs[0] != 0)).reshape(len(w), -1))
    if modulus > 1e-6:
        # Both answers lie in one subspace, in which the objective bends by at least half as much on the way between them.
        apart = 2 * sum(np.sqrt(max(gap, rounding) / modulus) for gap in (own, other))
        centred = [x - np.mean(x) if np.size(x) > 1 else x for x in (b, theirs[1])]
        assert np.linalg.norm(w - theirs[0]) <= apart
        assert np.linalg.norm(np.subtract(*centred)) <= apart


# --- glmnet -------------------------------------------------------------------------------------------------------------------

# Where glmnet does not converge at 1e-14 it is asked for less; its gap then says how much less that is.
CODE = """
suppressMessages(library(glmnet)); folder <- commandArgs(TRUE)[1]; glmnet.control(fdev = 0, devmax = 1)
for (i in readLines(file.path(folder, "which"))) {
  get <- function(name) { f <- file.path(folder, paste0(i, ".", name)); if (file.exists(f)) readBin(f, "double", file.size(f) / 8) }
  y <- get("y"); n <- length(y); X <- matrix(get("X"), n); s <- get("settings"); family <- readLines(file.path(folder, paste0(i, ".loss")))
  v <- get("factor"); if (is.null(v)) v <- rep(1, ncol(X))
  for (thresh in c(1e-14, 1e-11, 1e-8)) {
    f <- tryCatch(suppressWarnings(glmnet(X, if (family == "multinomial") factor(y) else y, family, weights = get("v"),
      offset = get("offset"), alpha = s[1], lambda = s[2] * c(100, 30, 10, 3, 1), standardize = FALSE, intercept = s[3] == 1,
      penalty.factor = v, lower.limits = s[4], upper.limits = s[5], thresh = thresh, maxit = 1e6)), error = function(e) NULL)
    if (length(f$lambda) == 5) break
  }
  if (length(f$lambda) < 5) next
  b <- coef(f, s = s[2]); b <- if (is.list(b)) do.call(cbind, lapply(b, as.matrix)) else as.matrix(b)
  writeBin(as.vector(b), file.path(folder, paste0(i, ".out")))
}"""


@pytest.fixture(scope="module")
def glmnet(tmp_path_factory):
    """A folder with glmnet's answer to every problem, from one R process."""
    if not shutil.which("Rscript") or subprocess.run(["Rscript", "-e", "library(glmnet)"], capture_output=True).returncode:
        pytest.skip("glmnet is not installed: it needs R with the package glmnet")
    folder = tmp_path_factory.mktemp("glmnet")
    (folder / "which").write_text("\n".join(map(str, SEEDS)) + "\n")
    for seed in SEEDS:
        d = drawn(seed)
        low, up = -np.inf if d.lower is None else d.lower, np.inf if d.upper is None else d.upper
        parts = {"X": d.X.T, "y": d.y, "v": d.v, "offset": d.offset, "factor": d.factor}
        parts["settings"] = np.array([d.ratio, d.lam, d.intercept, low, up], float)
        (folder / f"{seed}.loss").write_text(d.loss + "\n")
        for name, x in parts.items():
            if x is not None:
                np.ascontiguousarray(x, float).tofile(folder / f"{seed}.{name}")
    done = subprocess.run(["Rscript", "-e", CODE, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(folder.glob("*.out"))) >= 0.9 * len(SEEDS)
    return folder


@pytest.mark.parametrize("seed", SEEDS)
def test_glmnet(glmnet, seed):
    d = drawn(seed)
    if not (glmnet / f"{seed}.out").exists():  # glmnet itself does not converge: of one in ten at most, see above
        solved(d, "glmnet")
        return
    table = np.fromfile(glmnet / f"{seed}.out").reshape(-1, d.X.shape[1] + 1)
    theirs = (table[0, 1:], table[0, 0]) if len(table) == 1 else (table[:, 1:].T, table[:, 0])
    low, up = -np.inf if d.lower is None else d.lower, np.inf if d.upper is None else d.upper
    inside = np.clip(theirs[0], low, up)  # glmnet bounds w over the scale of y, which may leave a rounding
    np.testing.assert_allclose(theirs[0], inside, rtol=0, atol=1e-14)
    agree(d, "glmnet", (inside, theirs[1]))


# --- scikit-learn -------------------------------------------------------------------------------------------------------------


def estimator(d):
    """scikit-learn's, and its targets; None for what it does not offer."""
    n, common = d.v.sum(), {"fit_intercept": d.intercept}
    bounded = d.lower is not None or d.upper is not None
    if d.factor is not None or (bounded and (d.loss != "gaussian" or d.ratio == 0 or d.upper is not None)):
        return None
    if d.loss == "gaussian" and d.ratio:
        return linear_model.ElasticNet(alpha=d.lam, l1_ratio=d.ratio, positive=bounded, tol=1e-15, max_iter=1_000_000, **common), d.y - (
            0 if d.offset is None else d.offset
        )
    if d.loss == "gaussian":
        return linear_model.Ridge(alpha=d.lam * n, solver="svd", **common), d.y - (0 if d.offset is None else d.offset)
    if d.offset is not None:
        return None
    if d.loss == "poisson":
        return None if d.ratio else (linear_model.PoissonRegressor(alpha=d.lam, solver="newton-cholesky", tol=1e-12, **common), d.y)
    version = tuple(int(part) for part in re.findall(r"\d+", sklearn.__version__)[:2])
    named = {} if version >= (1, 8) else {"penalty": {0.0: "l2", 0.5: "elasticnet", 1.0: "l1"}[d.ratio]}
    extra = {"l1_ratio": d.ratio if version >= (1, 8) or d.ratio == 0.5 else None} | named
    rule = (
        {"solver": "saga", "tol": 1e-9, "max_iter": 20_000, "random_state": 0} if d.ratio else {"solver": "newton-cholesky", "tol": 1e-12}
    )
    return linear_model.LogisticRegression(C=1 / (d.lam * n), **rule, **extra, **common), d.y


@pytest.mark.parametrize("seed", [seed for seed in SEEDS if estimator(drawn(seed))])
def test_scikit_learn(seed):
    d = drawn(seed)
    model, targets = estimator(d)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it says of its own convergence is not believed either way
        model.fit(d.X, targets, sample_weight=d.v)
    columns = 3 if d.loss == "multinomial" else 1
    coef, intercept = np.reshape(model.coef_, (columns, -1)).T, np.broadcast_to(np.ravel(model.intercept_), columns)
    agree(d, "scikit-learn", (coef[:, 0], intercept[0]) if columns == 1 else (coef, intercept))
