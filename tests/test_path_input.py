"""``path`` and bad input: each message names the argument, what was wrong and what to do."""

import inspect
import warnings

import jax
import numpy as np
import pytest

import jaxreg
from jaxreg import losses

from .reference import made


def broken(**changes):
    X, y = made(30, 3)
    arguments = {"X": X, "y": y, "penalty": jaxreg.L1(), **changes}
    path = inspect.unwrap(jaxreg.path)  # the message that a user sees, not that of the tests' own type checks
    return lambda: path(arguments.pop("X"), arguments.pop("y"), arguments.pop("penalty"), **arguments)


def holed(value, column):
    X = made(30, 3)[0]
    X[[2, 5], column] = value
    return X


BAD = {
    "nan": (broken(X=holed(np.nan, 1)), r"X has NaN or infinite values \(column 1: 2\); remove or impute"),
    "inf": (broken(X=holed(np.inf, 2)), r"column 2: 2"),
    "nan in y": (broken(y=np.r_[np.nan, np.ones(29)]), r"y has 1 NaN or infinite values \(first in row 0\)"),
    "rows": (broken(y=np.ones(29)), "y must have 30 rows like X"),
    "one-dimensional X": (broken(X=np.ones(30)), r"X must have shape \(n, p\)"),
    "empty target": (
        broken(y=np.c_[np.arange(30), np.zeros(30)], loss=losses.Poisson()),
        "y: target 1 is 0 in all rows, so that its intercept would go to −∞",
    ),
    "one vector of all targets": (
        broken(y=np.c_[np.arange(30), np.ones(30)], penalty=jaxreg.Tikhonov(matrix=np.eye(3)), lams=[1.0]),
        "penalty does not fit coefficients of shape .* takes axis=0",
    ),
    "constant target": (broken(y=np.ones(30)), r"y is constant \(1 in all 30 rows\)"),
    "intercept": (broken(intercept="no"), "intercept must be True or False, got 'no'"),
    "standardize": (broken(standardize=1), "standardize must be True or False, got 1"),
    "part of a nonzero": (broken(max_nonzeros=1.5), "max_nonzeros must be a whole number, got 1.5"),
    "no function": (broken(progress=True), "progress must be a function of"),
    "masked": (broken(y=np.ma.masked_greater(np.arange(30.0), 20)), "y is a masked array, whose mask would be lost"),
    "negative λ": (broken(lams=[1.0, -2.0]), "lams must be finite and >= 0, got -2"),
    "infinite λ": (broken(lams=[np.inf]), "lams must be finite and >= 0, got inf"),
    "no λ": (broken(lams=[]), "lams must be a count or a list"),
    "zero λ count": (broken(lams=0), "at least 1, got 0"),
    "text": (broken(X=np.array([["a", "b"]] * 30)), "X must hold numbers, got dtype <U1; encode"),
    "no penalty": (broken(penalty=0.1), "penalty must be a jaxreg penalty"),
    "no loss": (broken(loss="logistic"), "loss must be one of jaxreg.losses"),
    "labels": (broken(loss=losses.Logistic()), "Logistic: y must hold classes coded 0, 1"),
    "single class": (broken(y=np.ones(30, int), loss=losses.Logistic()), r"single class \[1"),
    "three classes": (broken(y=np.arange(30) % 3, loss=losses.Logistic()), "must hold the classes 0 … 1, but holds 2"),
    "weights shape": (broken(sample_weight=np.ones(3)), r"sample_weight must have shape \(30,\)"),
    "negative weights": (broken(sample_weight=-np.ones(30)), "sample_weight must be >= 0, but 30 entries"),
    "zero weights": (broken(sample_weight=np.eye(30)[0]), "fewer than two rows"),
    "offset shape": (broken(offset=np.ones(3)), r"offset must have shape \(30,\)"),
    "factor": (broken(penalty_factor=[1, -1, 1]), "penalty_factor must be >= 0"),
    "factor of groups": (broken(penalty=jaxreg.GroupLasso(1.0, [0, 0, 1]), penalty_factor=np.ones(3)), "feature by feature"),
    "bounds": (broken(lower=0.5), "lower <= 0 <= upper"),
    "array λ": (broken(penalty=jaxreg.L1(np.ones(4))), r"penalty does not fit coefficients of shape \(3,\)"),
    "groups": (broken(penalty=jaxreg.GroupLasso(1.0, [0, 1])), r"penalty does not fit coefficients of shape \(3,\)"),
    "λ as truth": (broken(lams=True), "lams must be a count or a list of values, got a bool"),
    "λ as text": (broken(lams="abc"), "lams must hold numbers"),
    "tol": (broken(tol=-1.0), "tol must be a number > 0, got -1"),
    "bound as text": (broken(lower="a"), "lower must hold numbers"),
    "stop at nothing": (broken(max_nonzeros=0), "max_nonzeros must be at least 1"),
    "ridge has no zeros": (broken(penalty=jaxreg.L2(), max_nonzeros=1), "ridge has no zero coefficients"),
    "a hole in the classes": (broken(y=np.arange(30) % 2 * 2, loss=losses.Multinomial()), "no row of class 1, though classes up to 2"),
    "constant where weighted": (broken(y=np.arange(30) // 15, sample_weight=np.arange(30) // 15), "in all 15 rows of positive weight"),
    "bounds of groups": (broken(penalty=jaxreg.GroupLasso(1.0, [0, 0, 1]), lower=0.0), r"lower and upper: .*add NonNegative\(\) to the"),
    "bounds of lines": (
        broken(penalty=jaxreg.FusedLasso(), upper=1.0),
        "lower and upper: the joint prox .* Fused",
    ),
    "a sum of no known prox": (
        broken(penalty=jaxreg.L1() + jaxreg.LInf()),
        "penalty: a path needs the prox and",
    ),
    "nothing to do": (broken(X=np.ones((30, 3))), "the loss is stationary there at λ = 0 already"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.slow
def test_boolean_and_integer_columns_are_computed_in_floating_point():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (30, 3)).astype(bool)
    y = X @ np.array([1.0, -1.0, 0.0]) + rng.normal(size=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a = jaxreg.path(X, y, jaxreg.L1(), lams=3)
    b = jaxreg.path(X.astype(float), y, jaxreg.L1(), lams=3)
    np.testing.assert_array_equal(a.coef, b.coef)


def test_traced_data_are_refused_with_the_way_out():
    X, y = made(30, 3)
    with pytest.raises(TypeError, match="X is traced: paths look at their data"):
        jax.jit(lambda X: jaxreg.path(X, y, jaxreg.L1()).coef)(X)


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e-20), (np.float32, 1e20), (np.float64, 1e-100), (np.float64, 1e100)])
def test_weights_whose_squares_vanish_are_refused(dtype, size):
    """Certificates are made of them: zeros would say that all has converged."""
    rng = np.random.default_rng(0)
    X, y, weights = rng.normal(size=(20, 2)).astype(dtype), (np.arange(20) % 2).astype(dtype), np.full(20, size)
    with pytest.raises(ValueError, match=r"sample_weight: the largest is 1e.*multiply all weights and λ"):
        jaxreg.path(X, y, jaxreg.L2(), loss=losses.Logistic(), lams=[size], sample_weight=weights)
    assert jaxreg.path(X, y, jaxreg.L2(), loss=losses.Logistic("mean"), lams=[0.1], sample_weight=weights).converged.all()


def test_classes_that_a_free_feature_separates_are_told_of():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    with pytest.warns(jaxreg.ConvergenceWarning, match="features without a penalty separate the classes"):
        fit = jaxreg.path(X, X[:, 0] > 0, jaxreg.L1(), loss=losses.Logistic(), lams=[1.0], penalty_factor=[0, 1, 1])
    assert not fit.converged.any()
