"""Comparisons of what jaxreg computed with independent figures.

Each returns a ``Check`` that passes or fails; NaN and arrays of another shape fail.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import stats

Status = Literal["PASS", "FAIL", "not run"]


class Check(NamedTuple):
    """What was compared, what was measured, the bound that it had to keep, and whether it did."""

    what: str
    measured: str
    required: str
    status: Status


def agree(what: str, ours: Any, theirs: Any, tolerance: float) -> Check:
    """The largest difference of two arrays, relative to the largest entry of the independent one, is at most ``tolerance``."""
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    if ours.shape != theirs.shape:
        return Check(what, f"shapes {ours.shape} and {theirs.shape}", "equal shapes", "FAIL")
    if theirs.size == 0:
        return Check(what, "nothing to compare", "some figures", "FAIL")
    scale = float(np.max(np.abs(theirs), initial=0.0))
    error = float(np.max(np.abs(ours - theirs), initial=0.0)) / (scale or 1.0)
    return Check(what, f"relative difference {error:.1e}", f"≤ {tolerance:.0e}", _status(error <= tolerance))


def at_most(what: str, value: Any, bound: Any, shown: str = ".3g") -> Check:
    """A number, or the largest of an array, is at most a bound."""
    value, bound = float(np.max(value)), float(bound)
    return Check(what, format(value, shown), f"≤ {bound:{shown}}", _status(value <= bound))


def at_least(what: str, value: Any, bound: Any, shown: str = ".3g") -> Check:
    """A number, or the smallest of an array, is at least a bound."""
    value, bound = float(np.min(value)), float(bound)
    return Check(what, format(value, shown), f"≥ {bound:{shown}}", _status(value >= bound))


def below_on_average(what: str, smaller: Any, larger: Any) -> Check:
    """Over seeds, the mean of ``larger − smaller`` is above 0 by Student's t at 2.5 %: both were measured on the same draws."""
    difference = np.asarray(larger, float) - np.asarray(smaller, float)
    errors = float(stats.t.ppf(0.975, len(difference) - 1))
    mean, error = float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))
    return Check(what, f"lower by {mean:.3g} ± {error:.2g} (SE)", f"> {errors:.2g} SE", _status(mean > errors * error))


def holds(what: str, measured: str, required: str, condition: Any) -> Check:
    """A fact about counts, signs or order, with the figures that show it."""
    return Check(what, measured, required, _status(bool(np.all(condition))))


def against(package: str, what: str, compare: Callable[[ModuleType], Check]) -> Check:
    """A comparison with a peer, or "not run" where the peer is not installed."""
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != package.split(".")[0]:
            raise
        return Check(what, f"{package.split('.')[0]} is not installed", "", "not run")
    return compare(module)


def _status(passed: bool) -> Status:
    return "PASS" if passed else "FAIL"
