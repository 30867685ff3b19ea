"""Every loss × penalty × option of ``path`` against a convex solver that shares no line with it (Clarabel, by cvxpy).

The full product of ``convex.FACTORS`` has half a million cases. A pairwise covering selection of those that jaxreg accepts holds every pair
of choices at least once; every pair that it refuses is asked for once, and must be refused by name.
"""

import inspect
import itertools
import random
import warnings

import cvxpy as cp
import numpy as np
import pytest

import jaxreg

from .convex import CLASSES_APART, FACTORS, PENALTIES, SEPARABLE, Case, Made

NAMES = list(FACTORS)


def refusal(case):
    """What the message must say where the case is none, from the documentation; None where it must be solved."""
    if case.targets > 1 and case.loss in (*CLASSES_APART, "multinomial"):
        return r"y must be a vector of classes"
    if case.factor != "none" and case.penalty not in SEPARABLE:
        return "penalty_factor scales a penalty feature by feature"
    if case.penalty == "Nuclear" and case.targets == 1 and case.loss != "multinomial":
        return r"penalty does not fit coefficients of shape \(6,\): Nuclear"
    if case.bounds != "none" and case.penalty not in SEPARABLE:
        return "lower and upper: the joint prox or subdifferential of bounds and"
    return None


def pairs(case):
    """A case's choices, two factors at a time."""
    return set(itertools.combinations(zip(NAMES, case, strict=True), 2))


def every_pair():
    return [((a, x), (b, y)) for a, b in itertools.combinations(NAMES, 2) for x in FACTORS[a] for y in FACTORS[b]]


def at_random(rng, given=()):
    return Case(**{name: rng.choice(FACTORS[name]) for name in NAMES} | dict(given))


def solvable(case):
    return refusal(case) is None


def covering(seed=0, tries=40):
    """Cases that must be solved, which together hold every pair of choices that any such case holds: each the best of some draws."""
    rng, cases, left = random.Random(seed), [], every_pair()
    while left:
        drawn = [at_random(rng, left[0]) for _ in range(tries)]
        allowed = [case for case in drawn if solvable(case)]
        allowed = allowed or [case for case in (at_random(rng, left[0]) for _ in range(2000)) if solvable(case)]
        if not allowed:
            left = left[1:]  # a pair that is always refused
            continue
        best = max(allowed, key=lambda case: len(pairs(case).intersection(left)))
        cases.append(best)
        left = [pair for pair in left if pair not in pairs(best)]
    return cases


def refused():
    """For every pair of choices that alone is refused, the plainest such case."""
    cases = (Case(**dict(pair)) for pair in every_pair())
    return list(dict.fromkeys(case for case in cases if refusal(case)))


def solved(problem):
    """Clarabel's answer, as accurate as it gets; inaccurate ones serve too, as their objective is an upper bound all the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)
        problem.solve(cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    assert problem.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE)


def curvature(made, lam):
    """A modulus of strong convexity in the coefficients, from the penalty and from squared errors; 0 where neither gives one."""
    bent = lam * PENALTIES[made.case.penalty][2] * np.min(made.factor * made.sd**2)
    if not made.case.loss.endswith(("squared", "mean")):
        return bent
    center = made.v @ made.X / made.v.sum() if made.case.intercept else 0
    # Σv(y − η)² with the intercept minimised out.
    matrix = 2 * (made.X - center).T @ (made.v[:, None] * (made.X - center))
    return bent + np.linalg.eigvalsh(matrix)[0] / (1 if made.divisor is None else made.divisor * made.v.sum())


def agree(case):
    made = Made(case)
    X, y, penalty, given = made.arguments()
    fit = jaxreg.path(X, y, penalty, **given)
    assert fit.converged.all()
    assert (not np.isnan(fit.gap).any()) or fit.gap_reason
    most = np.argmax(fit.deviance_ratio)
    unit = (fit.null_loss - fit.loss_value[most]) / fit.deviance_ratio[most]  # of gaps: what the null model leaves to explain
    lower, upper = made.limits()
    some = False
    for i, lam in enumerate(fit.lams):
        total, data, w, b = made.objective(lam)
        solved(cp.Problem(cp.Minimize(total), [w >= lower, w <= upper] if np.isfinite([lower, upper]).any() else []))
        theirs = np.clip(w.value, lower, upper)
        w.save_value(theirs)
        best = total.value
        w.save_value(fit.coef[i])
        b.save_value(np.reshape(fit.intercept[i], b.shape))
        ours = total.value
        rounding = 1e-13 * (1 + abs(ours))
        gap = (0 if np.isnan(fit.gap[i]) else fit.gap[i]) * unit
        # The coefficients of a scaled bound are the bound but for a rounding.
        np.testing.assert_array_less(np.maximum(lower - fit.coef[i], fit.coef[i] - upper), 4e-16)
        np.testing.assert_allclose(fit.loss_value[i], data.value, rtol=1e-12, atol=1e-13)
        # Weak duality: no point is better than ours by more than the gap. Without one, the residual times a distance is as small.
        assert ours - best <= (gap if gap else 1e-10 * unit) + rounding
        # Clarabel's own accuracy.
        assert best - ours <= 1e-6 * unit
        modulus = curvature(made, lam)
        if modulus > 0:
            room = gap + rounding
            apart = np.sqrt(2 * max(best - ours + room, room) / modulus) + np.sqrt(2 * room / modulus)
            assert np.linalg.norm(theirs - fit.coef[i]) <= apart
        some |= bool(np.any(fit.coef[i] != 0))
    assert some, "a problem without a nonzero coefficient tells little"


FAST = [Case("squared", "L1", "zeros", offset=True, bounds="both", factor="zero", standardize=True)]
OTHERS = [
    Case("logistic", "ElasticNet", "weights", offset=True, factor="positive", intercept=False),
    Case("huber", "GroupLasso", "weights"),
    Case("poisson", "L2", "zeros", bounds="lower"),
    Case("multinomial", "L2", "zeros", factor="zero"),
    Case("squared mean", "SLOPE", offset=True),
    Case("logistic", "FusedLasso", "weights", standardize=True),
    Case("quantile", "AsymmetricL1", "weights", standardize=True),
]


@pytest.mark.parametrize("case", [*FAST, *(pytest.param(case, marks=pytest.mark.slow) for case in OTHERS)], ids=str)
def test_some_combinations(case):
    agree(case)


# A level that nothing penalises separates a class there: the minimum is at infinity, and path says that it is not reached.
AT_INFINITY = {("multinomial", "FusedLasso")}


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in covering() if case[:2] not in AT_INFINITY], ids=str)
def test_every_pair_of_choices(case):
    agree(case)


ASKED = refused()
EACH = {refusal(case): case for case in ASKED}.values()  # one of every message, the others are for the long run


@pytest.mark.parametrize("case", [case if case in EACH else pytest.param(case, marks=pytest.mark.slow) for case in ASKED], ids=str)
def test_what_is_refused_is_named(case):
    X, y, penalty, given = Made(case).arguments()
    path = inspect.unwrap(jaxreg.path)
    with pytest.raises((ValueError, TypeError), match=refusal(case)):
        path(X, y, penalty, **given)


@pytest.mark.slow
def test_the_selection_covers_every_pair():
    """Counted apart from how it was drawn: a pair that is missing is one that is refused however the rest is chosen."""
    held = set().union(*map(pairs, covering()))
    missing = [pair for pair in every_pair() if pair not in held]
    rng = random.Random(1)
    assert not any(solvable(at_random(rng, pair)) for pair in missing for _ in range(200))
    assert len(missing) < 70
