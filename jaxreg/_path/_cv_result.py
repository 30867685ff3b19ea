"""What ``cross_validate`` returns: every fold's errors and answers, and the λ that they choose."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ._folds import Folds
from ._result import Path, at_edge, shown_rows


@dataclasses.dataclass(frozen=True, repr=False)
class CrossValidation:
    """K-fold cross-validation of a λ path; made by :func:`jaxreg.cross_validate`.

    Attributes:
      path: the path on all the data.
      lams: (L,) the grid, decreasing.
      folds: which rows each of the S splits trains on and holds out (K folds, of each repeat).
      fold_errors: (S, L) weighted mean error of each split's held-out rows.
      fold_coef, fold_intercept: (S, L, …) each split's answers.
      fold_converged: (S, L) bool, each by its own certificate.
      fold_method: what solved each split, as ``Path.method``.
      mean: (L,) mean error over folds, weighted by their held-out weight.
      se: (L,) its standard error.
      index_min, index_1se: positions of the smallest mean, and of the largest λ within one standard error of it; (targets,) where
        ``lam_per_target`` is true.
      rule: which of the two is chosen.
      error_name: what the error is.
      lam_per_target: whether each target has its own λ.
      interrupted: whether Ctrl-C left folds or λ out; ``folds`` and ``lams`` are those that were done.
      target_errors: (S, L, targets) the errors of each of several targets, of which ``fold_errors`` are the means; None of one.
      target_mean, target_se: (L, targets) mean and standard error of each.
    """

    path: Path
    lams: Any
    folds: Folds
    fold_errors: Any
    fold_coef: Any
    fold_intercept: Any
    fold_converged: Any
    fold_method: tuple[str, ...]
    mean: Any
    se: Any
    index_min: Any
    index_1se: Any
    rule: str
    error_name: str
    lam_per_target: bool = False
    interrupted: bool = False
    target_errors: Any = None
    target_mean: Any = None
    target_se: Any = None

    @property
    def index(self) -> Any:
        """The position of the chosen λ; (targets,) where each has its own."""
        return self.index_min if self.rule == "min" else self.index_1se

    @property
    def lam(self) -> Any:
        """The chosen λ; (targets,) where each has its own."""
        return self._lam(self.index)

    @property
    def lam_min(self) -> Any:
        """The λ with the smallest mean error; (targets,) where each has its own."""
        return self._lam(self.index_min)

    @property
    def lam_1se(self) -> Any:
        """The largest λ whose mean error is within one standard error of the smallest; (targets,) where each has its own."""
        return self._lam(self.index_1se)

    @property
    def coef(self) -> Any:
        """The coefficients at the chosen λ, from all the data."""
        if not self.lam_per_target:
            return self.path.coef[self.index]
        return self.path.coef[self.index, :, np.arange(len(self.index))].T  # the targets' axis comes first of such an index

    @property
    def intercept(self) -> Any:
        """The intercept at the chosen λ, from all the data."""
        return self.path.intercept[(self.index, np.arange(len(self.index))) if self.lam_per_target else self.index]

    @property
    def edge(self) -> bool:
        """Whether the smallest error (of some target) lies at the small end of the grid: a longer grid might find a smaller one."""
        return at_edge(self.lams, int(np.max(self.index_min)))

    @property
    def fold_ids(self) -> np.ndarray | None:
        """``folds.ids``: (n,) or (repeats, n), the fold in which each row is held out; None in the order of time."""
        return self.folds.ids

    @property
    def error(self) -> Any:
        """The mean error at the chosen λ; (targets,) where each has its own."""
        return np.asarray(self.target_mean)[self.index, np.arange(len(self.index))] if self.lam_per_target else float(self.mean[self.index])

    def predict(self, X: Any, *, offset: Any = None) -> Any:
        """The expected target at the chosen λ: (rows,) or (rows, targets); ``offset`` as in :meth:`Path.predict`."""
        return self.path.predict_by(X, self.coef, self.intercept, offset)

    def _lam(self, index: Any) -> Any:
        return np.asarray(self.lams)[index] if self.lam_per_target else float(self.lams[index])

    def __repr__(self) -> str:
        lam = f"{self.lam.min():.4g} to {self.lam.max():.4g} of {self.lam.size} targets" if self.lam_per_target else f"{self.lam:.4g}"
        cut = ", interrupted" if self.interrupted else ""
        return f"<cross-validation: {self.path.formula}; {self.folds.counted()}, {self.rule}: λ = {lam}{cut}>"

    def __str__(self) -> str:
        many = f"mean of {self.error.size} targets, one λ for all:" if self.lam_per_target else ""
        rows = [repr(self), *([many] if many else []), f"{'λ':>12} {'nonzeros':>9} {self.error_name:>24} {'± SE':>9}"]
        chosen = [("λ_min", np.atleast_1d(self.index_min)), ("λ_1se", np.atleast_1d(self.index_1se))]
        for i in sorted({*shown_rows(len(self.lams), 15), *(int(j) for _, at in chosen for j in at)}):
            counts = [(name, int(np.sum(at == i))) for name, at in chosen]
            marks = [f"{name} of {count}" if self.lam_per_target else name for name, count in counts if count]
            numbers = f"{float(self.lams[i]):12.6g} {int(self.path.nonzeros[i]):9d} {float(self.mean[i]):24.6g} {float(self.se[i]):9.2g}"
            rows.append(" ".join([numbers, *marks]))
        if many:
            rows.append(f"mean of {self.error.size} targets, each at its own λ: {self.error.mean():.6g}")
        return "\n".join(rows)
