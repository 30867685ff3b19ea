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
      index_min, index_1se: positions of the smallest mean, and of the largest λ within one standard error of it.
      rule: which of the two is chosen.
      error_name: what the error is.
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
    index_min: int
    index_1se: int
    rule: str
    error_name: str

    @property
    def index(self) -> int:
        """The position of the chosen λ."""
        return self.index_min if self.rule == "min" else self.index_1se

    @property
    def lam(self) -> float:
        """The chosen λ."""
        return float(self.lams[self.index])

    @property
    def lam_min(self) -> float:
        """The λ with the smallest mean error."""
        return float(self.lams[self.index_min])

    @property
    def lam_1se(self) -> float:
        """The largest λ whose mean error is within one standard error of the smallest."""
        return float(self.lams[self.index_1se])

    @property
    def coef(self) -> Any:
        """The coefficients at the chosen λ, from all the data."""
        return self.path.coef[self.index]

    @property
    def intercept(self) -> Any:
        """The intercept at the chosen λ, from all the data."""
        return self.path.intercept[self.index]

    @property
    def edge(self) -> bool:
        """Whether the smallest error lies at the small end of the grid, so that a longer grid might find a smaller one."""
        return at_edge(self.lams, self.index_min)

    @property
    def fold_ids(self) -> np.ndarray | None:
        """``folds.ids``: (n,) or (repeats, n), the fold in which each row is held out; None in the order of time."""
        return self.folds.ids

    def predict(self, X: Any) -> Any:
        """The expected target at the chosen λ."""
        return self.path.predict(X, self.lam)

    def __repr__(self) -> str:
        return f"<cross-validation: {self.path.formula}; {self.folds.counted()}, {self.rule}: λ = {self.lam:.4g}>"

    def __str__(self) -> str:
        rows = [repr(self), f"{'λ':>12} {'nonzeros':>9} {self.error_name:>24} {'± SE':>9}"]
        for i in sorted({*shown_rows(len(self.lams), 15), self.index_min, self.index_1se}):
            marks = [name for name, at in (("λ_min", self.index_min), ("λ_1se", self.index_1se)) if at == i]
            numbers = f"{float(self.lams[i]):12.6g} {int(self.path.nonzeros[i]):9d} {float(self.mean[i]):24.6g} {float(self.se[i]):9.2g}"
            rows.append(" ".join([numbers, *marks]))
        return "\n".join(rows)
