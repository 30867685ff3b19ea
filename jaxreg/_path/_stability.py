"""``stability_selection``: which features are selected on most halves of the data."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import Penalty
from ..losses import Loss
from ._inputs import check_lams, check_problem, scope
from ._interrupt import interruptible, warn_if_late
from ._path import warn_if_not_converged
from ._progress import Progress
from ._resample import check_classes_drawn, check_resamples, fit_resamples, generator, warn_of_missing, warn_of_resamples
from ._result import Path


@dataclasses.dataclass(frozen=True, repr=False)
class StabilitySelection:
    """How often each feature is selected on subsamples; made by :func:`jaxreg.stability_selection`.

    Attributes:
      path: the path on all the data.
      lams: (L,) the grid, decreasing.
      frequencies: (L, p) share of the subsamples in which a feature's coefficient is not zero (of several targets or classes: not all are).
      frequency: (p,) the largest over λ.
      stable: (p,) bool: ``frequency >= threshold``.
      threshold: π.
      selected: q, the mean number of features that a subsample selects at any λ of the grid.
      false_selections: q²/((2π−1)·p), a bound on the expected number of stable features that are no better than a random guess: those
        that a subsample selects with a probability of at most q/p. Subsamples drawn apart need exchangeable noise features for it,
        complementary pairs do not. None where no theorem gives it (``fraction`` other than a half).
      false_selections_unimodal: the sharper bound for complementary pairs whose simultaneous selections are unimodal; else None.
      resamples, complementary: how many subsamples, and whether in pairs that share no row.
      converged: share of the subsamples' fits that reached the path's tolerance.
      interrupted: whether Ctrl-C left subsamples or λ out.
    """

    path: Path
    lams: Any
    frequencies: Any
    frequency: Any
    stable: Any
    threshold: float
    selected: float
    false_selections: float | None
    false_selections_unimodal: float | None
    resamples: int
    complementary: bool
    converged: float
    interrupted: bool = False

    def __repr__(self) -> str:
        pairs = "in complementary pairs" if self.complementary else "drawn apart"
        stable = int(np.sum(self.stable))
        many = f"{self.resamples} subsamples {pairs}{', interrupted' if self.interrupted else ''}"
        return f"<stability selection: {self.path.formula}; {many}, {stable} features in >= {self.threshold:.0%}>"

    def __str__(self) -> str:
        bound = "none is known for this fraction" if self.false_selections is None else f"<= {self.false_selections:.3g}"
        if self.false_selections_unimodal is not None:
            bound += f" (<= {self.false_selections_unimodal:.3g} if unimodal)"
        rows = [repr(self), f"{self.selected:.3g} selected by a subsample; false among the stable, expected: {bound}"]
        rows.append(f"{'feature':>8} {'frequency':>10} {'at λ':>12}")
        frequency = np.asarray(self.frequency)
        for j in np.argsort(-frequency, kind="stable")[:20]:
            if frequency[j] > 0:
                at = float(self.lams[int(np.argmax(np.asarray(self.frequencies)[:, j]))])
                rows.append(f"{j:8d} {frequency[j]:10.3f} {at:12.6g}{'  stable' if self.stable[j] else ''}")
        return "\n".join(rows)


def stability_selection(
    X: Any,
    y: Any,
    penalty: Penalty,
    *,
    key: jax.Array | None,
    resamples: int = 100,
    fraction: float = 0.5,
    complementary: bool = True,
    threshold: float = 0.6,
    most: int | None = None,
    loss: Loss | None = None,
    lams: Any = 30,
    intercept: bool = True,
    standardize: bool = False,
    sample_weight: Any = None,
    offset: Any = None,
    penalty_factor: Any = None,
    lower: Any = None,
    upper: Any = None,
    tol: float | None = None,
    progress: Progress = None,
) -> StabilitySelection:
    """Fit the path on many subsamples and keep the features that at some λ are selected in a share π of them or more.

    With Ŝ_b(λ) the features whose coefficients on subsample b are not zero,

        Π̂_j(λ) = Σ_b 1{j in Ŝ_b(λ)}/B,      stable = {j : max_λ Π̂_j(λ) >= π}.

    The subsamples are lanes of 0/1 weights in the program that cross-validation uses, in chunks that fit memory. Each minimises the stated
    objective with the same λ: under a ``"sum"`` loss half of the rows weigh the penalty twice as much as all of them do; ``"half_mean"`` or
    ``"mean"`` avoid that.

    Args:
      key: a jax random key from which the subsamples are drawn; stratified by class for the likelihoods of classes.
      resamples: B, how many subsamples; an even number for complementary pairs.
      fraction: share of the rows of positive weight that a subsample holds (rounded down), in (0, 1); the bounds are for a half.
      complementary: draw pairs of halves that share no row (Shah and Samworth, 2013); ``fraction`` is then 0.5.
      threshold: π in (0.5, 1].
      most: a subsample's path ends before the λ at which more features than this have been selected; then q <= ``most``, which is how
        the bound is kept small whatever the grid. None follows the whole grid.
      X, y, penalty, loss, lams, intercept, standardize, sample_weight, offset, penalty_factor, lower, upper, tol, progress: as in
        :func:`jaxreg.path`.

    Returns:
      A :class:`StabilitySelection`; print it for a table. Ctrl-C keeps the subsamples that are done (``resamples`` says how many), by whole
      pairs; before the first, or pressed twice, it raises KeyboardInterrupt.

    Raises:
      TypeError, ValueError: as :func:`jaxreg.path`; no key, an odd number of complementary subsamples, a threshold or fraction outside
        its range.

    Warns:
      ConvergenceWarning: some fit did not reach ``tol`` (its support counts as it is), or Ctrl-C was pressed.

    References:
      Meinshausen and Bühlmann, Stability selection, 2010, Theorem 1; Shah and Samworth, Variable selection with error control: another look
      at stability selection, 2013, Theorems 1 and 2.
    """
    if not 0.5 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0.5, 1], got {threshold!r}: below a half nothing bounds the false selections")
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie in (0, 1), got {fraction!r}")
    if complementary and fraction != 0.5:
        raise ValueError(f"fraction = {fraction:g}: complementary pairs are halves; use fraction=0.5 or complementary=False")
    resamples = check_resamples(resamples, 2 if complementary else 1)
    if complementary and resamples % 2:
        raise ValueError(f"resamples = {resamples} is odd: complementary subsamples come in pairs; use an even number")
    if most is not None and most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    rng = generator(key)
    with scope(X), interruptible() as stop:
        grid = check_lams(lams)
        problem = check_problem(
            X, y, penalty, loss=loss, intercept=intercept, standardize=standardize, sample_weight=sample_weight,
            offset=offset, penalty_factor=penalty_factor, lower=lower, upper=upper,
        )  # fmt: skip
        classes = np.asarray(y) if problem.setup.loss.classification else None
        counts = subsamples(rng, problem.weights > 0, resamples, fraction, complementary, classes)
        total, reached, selected, done, path = 0.0, 0, 0, 0, None
        together = 2 if complementary else 1
        for path, chunk in fit_resamples(problem, penalty, counts, grid, tol, progress, stop, together):  # noqa: B007
            done += len(chunk.coef)
            support = (chunk.coef != 0).reshape(*chunk.coef.shape[:3], -1).any(axis=3)
            ever = np.logical_or.accumulate(support, axis=1)
            if most is not None:
                support &= (ever.sum(axis=2) <= most)[..., None]
                ever = support
            total = total + support.sum(axis=0)
            selected += int(ever.any(axis=1).sum())
            reached += int(chunk.converged.sum())
        assert path is not None
        asked, resamples = resamples, done
        out = np.asarray if problem.as_numpy else jnp.asarray
        frequencies = np.asarray(total / resamples, problem.design.X.dtype)
        frequency = frequencies.max(axis=0)
        q, p = selected / resamples, frequency.size
        result = StabilitySelection(
            path=path,
            lams=path.lams,
            frequencies=out(frequencies),
            frequency=out(frequency),
            # Counts, so that a share of 60 of 100 is 0.6 in every precision.
            stable=out(np.max(total, axis=0) >= threshold * resamples * (1 - 1e-12)),
            threshold=float(threshold),
            selected=q,
            false_selections=q**2 / ((2 * threshold - 1) * p) if fraction == 0.5 else None,
            false_selections_unimodal=unimodal_bound(q / p, threshold, resamples // 2, q) if complementary else None,
            resamples=resamples,
            complementary=complementary,
            interrupted=done < asked or path.interrupted,
            converged=reached / (resamples * len(path.lams)),
        )
    warn_if_not_converged(path, "stability_selection")
    warn_of_resamples(result.converged, path.tol, "stability_selection")
    warn_of_missing(path, done, asked, "stability_selection")
    warn_if_late(stop, result.interrupted, "stability_selection")
    return result


def subsamples(
    rng: np.random.Generator, usable: np.ndarray, resamples: int, fraction: float, complementary: bool, classes: np.ndarray | None
) -> np.ndarray:
    """(resamples, n) of 0 and 1: rows drawn without replacement, each class with its share of them."""
    rows = np.flatnonzero(usable)
    size = int(fraction * len(rows))
    if size < 2:
        raise ValueError(f"fraction = {fraction:g} of {len(rows)} rows are fewer than two; use a larger one")
    counts = np.zeros((resamples, len(usable)), bool)
    for b in range(0, resamples, 2 if complementary else 1):
        order = rng.permutation(rows)
        if classes is not None:
            order = order[np.argsort(classes[order], kind="stable")]
        # Evenly spread over an order that is random within classes.
        chosen = np.floor((np.arange(size) + rng.uniform()) * (len(rows) / size)).astype(int)
        counts[b, order[chosen]] = True
        if complementary:
            counts[b + 1, np.delete(order, chosen)[:size]] = True
    check_classes_drawn(counts, classes, "fraction: a subsample")
    return counts


def unimodal_bound(theta: float, threshold: float, pairs: int, selected: float) -> float | None:
    """C(π, B)·θ·q (Shah and Samworth, Theorem 2) for features that a half selects with probability <= θ; None outside its range."""
    if theta > 3**-0.5:
        return None
    if threshold > 0.75:
        factor = 4 * (1 - threshold + 1 / (2 * pairs)) / (1 + 1 / pairs)
    elif threshold > min(0.5 + theta**2, 0.5 + 1 / (2 * pairs) + 0.75 * theta**2):
        factor = 2 * (2 * threshold - 1 - 1 / (2 * pairs))
        factor = 1 / factor if factor > 0 else np.inf
    else:
        return None
    return float(factor * theta * selected)
