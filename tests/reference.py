"""Published numbers, as data with their sources; and the made data that several test files share."""

import numpy as np

# Diabetes data of Efron, Hastie, Johnstone and Tibshirani 2004 as scikit-learn ships them, columns centred and of unit norm,
# y centred, objective ½·SSE + λ·Σ|w|. Source: scikit-learn's lars_path(method="lasso"), an independent implementation.
DIABETES_KNOTS = np.array([
    949.43526038, 889.31378536, 452.89570053, 316.07337895, 130.1295371, 88.78429935, 68.96479019, 19.98116536, 5.47753637,
    5.08823629, 2.18226684, 1.31044134, 0.0,
])  # fmt: skip
DIABETES_ENTRY = ["bmi", "s5", "bp", "s3", "sex", "s6", "s1", "s4", "s2", "age"]
DIABETES_AT_20 = np.array([
    0.0, -197.720485, 522.266108, 297.136778, -103.905561, 0.0, -223.913374, 0.0, 514.724026, 54.752591,
])  # fmt: skip
DIABETES_LEAST_SQUARES = np.array([
    -10.00987, -239.81564, 519.84592, 324.38465, -792.17564, 476.73902, 101.04327, 177.06324, 751.2737, 67.62669,
])  # fmt: skip

# Exact leave-one-out ridge: scikit-learn pull request 33020; Ridge(alpha=λ) with intercept.
LOO_X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LOO_Y = np.array([0.0, -1.0, 1.0, 3.0])
LOO_LAMS = np.array([0.001, 0.1, 1.0, 10.0, 1000.0])
LOO_ERRORS = np.array([8.96416931, 6.59763314, 3.875, 3.83870968, 3.88829726])


def made(n, p, seed=0, noise=1.0):
    """Correlated columns with means, six of them with an effect."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) @ (np.eye(p) + 0.3 * rng.normal(size=(p, p)) / np.sqrt(p)) + rng.normal(size=p)
    w = np.zeros(p)
    w[: min(p, 6)] = rng.normal(size=min(p, 6)) * 2
    return X, X @ w + 1.5 + noise * rng.normal(size=n)
