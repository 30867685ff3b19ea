"""What ``path`` returns: every λ with its answer and its certificate."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .._penalties import Penalty
from ..losses import Loss
from ._knots import Knots


@dataclasses.dataclass(frozen=True, repr=False)
class Path:
    """A λ path in decreasing order of λ; made by :func:`jaxreg.path`.

    Attributes:
      lams: (L,) the λ, decreasing.
      coef: (L, p), or (L, p, targets) for several targets or classes; on the original scale of X.
      intercept: (L,) or (L, targets); zeros when there is none.
      gap: (L,) duality gap relative to the null model's loss; NaN where none is defined (``gap_reason`` says why). It is computed apart
        from the solver: from the rows, or, where second moments of X and y are much smaller than they are, from those, with what
        random combinations of the answers have otherwise by the rows added (Freivalds, 1977).
      kkt: (L,) stationarity residual relative to the gradient at the null model.
      nonzeros: (L,) number of coefficients that are not zero.
      converged: (L,) bool: the gap (or, where undefined, the residual) is finite and within ``tol``, and the residual within √tol.
        Classes that are separable are flagged at λ = 0. Where only some rows are, or a feature without a penalty separates them, there is
        no minimiser either: what is called converged then is a point whose loss is within the gap of the infimum, or nothing is.
      deviance_ratio: (L,) share of the null model's loss that is explained.
      loss_value: (L,) the data term at the answer.
      null_loss: the data term of the null model.
      loss, penalty, formula: what was minimised.
      tol: the tolerance that ``converged`` refers to.
      method: what solved it: "homotopy" (the exact path of the lasso under squared error), "batch" (many λ at once on a set of features:
        conjugate gradients, the dual, or for likelihoods Newton steps that share a Hessian), "ridge" (one factorisation) or "newton" (one
        λ after the other).
      fallback: why "newton" had to finish some λ of what "homotopy" or "batch" began, or all in place of "ridge"; None elsewhere.
      knots: where the exact path bends (:class:`Knots`); None for other methods, for many targets, and where one λ had to be finished
        by another method.
      gap_reason: why the gap is NaN, or None.
      interrupted: whether Ctrl-C ended it before the last λ that was asked for.
      reordered: whether the λ were passed in another order than they are returned.
      offset: whether it was fitted with an offset, which ``predict`` asks for then.
      loo, gcv, df: (L,) exact leave-one-out error, generalised cross-validation (both mean squared errors) and effective
        degrees of freedom; None but for ridge (squared error without bounds, and L2, ``Tikhonov`` or ``GraphLaplacian``, where one
        factorisation solves it: ``method`` is "ridge"; a matrix whose smallest λ leaves too few digits is for "newton", which has none
        of the three). NaN where the fit passes through a case (leave-one-out) or all of them (GCV) but for rounding: ``np.nanargmin``
        finds the least. A case is left out of the sum, its divisor (n, 2n) and λ staying as they are. Leave-one-out is None under
        ``standardize``, whose scale would have to be computed anew for each case. Of several targets ``loo`` and ``gcv`` are means over
        them.
      target_loo, target_gcv: (L, targets) the same for each of several targets: ``lams[np.nanargmin(target_loo, axis=0)]`` are their own λ.
    """

    lams: Any
    coef: Any
    intercept: Any
    gap: Any
    kkt: Any
    nonzeros: Any
    converged: Any
    deviance_ratio: Any
    loss_value: Any
    null_loss: float
    loss: Loss
    penalty: Penalty
    formula: str
    tol: float
    method: str = "newton"
    fallback: str | None = None
    knots: Knots | None = None
    gap_reason: str | None = None
    interrupted: bool = False
    reordered: bool = False
    offset: bool = False
    loo: Any = None
    gcv: Any = None
    df: Any = None
    target_loo: Any = None
    target_gcv: Any = None

    def index(self, lam: float) -> int:
        """The position of a λ of the grid.

        Raises:
          ValueError: ``lam`` is not on the grid.
        """
        lams = np.asarray(self.lams)
        nearest = int(np.argmin(np.abs(lams - lam)))
        if not np.isclose(lams[nearest], lam, rtol=1e-6, atol=0):
            raise ValueError(f"λ = {lam:g} is not on the grid; the nearest is {lams[nearest]:g}. coef_at(lam) goes between")
        return nearest

    def coef_at(self, lam: float) -> tuple[Any, Any]:
        """(coef, intercept) at any λ within the grid: exact from ``knots``, else interpolated between its neighbours.

        Raises:
          ValueError: ``lam`` lies outside the grid.
        """
        lams = np.asarray(self.lams)
        if not lams[-1] <= lam <= lams[0]:
            raise ValueError(f"λ = {lam:g} lies outside the path's {lams[-1]:g} … {lams[0]:g}; fit it with lams=[{lam:g}]")
        if self.knots is not None:
            coef, intercept = self.knots.coef_at(lam, self.coef.shape[1])
            return _like(coef, self.coef), _like(intercept, self.coef)
        right = int(np.searchsorted(-lams, -lam))
        if right == 0 or lams[right] == lam:
            return self.coef[right], self.intercept[right]
        share = (lams[right - 1] - lam) / (lams[right - 1] - lams[right])
        blend = [a[right - 1] + share * (a[right] - a[right - 1]) for a in (self.coef, self.intercept)]
        return blend[0], blend[1]

    def predict(self, X: Any, lam: float | None = None, *, offset: Any = None) -> Any:
        """The expected target: (rows,) or (rows, targets) at ``lam``, or with a leading λ axis when it is None.

        For classes these are probabilities: of class 1, or of each class. The squared hinge knows none and gives the class. Under ``Cox``
        the relative risk exp η, to that of a row of zeros.

        Args:
          X: (rows, p).
          lam: a λ within the grid, or None for all of the grid.
          offset: (rows,) or (rows, targets), added to the linear predictor of these rows; needed where the path was fitted with one.

        Raises:
          ValueError: X has another number of columns, the offset another shape, or it is missing; ``lam`` lies outside the grid.
        """
        if lam is None:
            return self.predict_by(X, self.coef, self.intercept, offset)
        return self.predict_by(X, *self.coef_at(lam), offset)

    def predict_by(self, X: Any, coef: Any, intercept: Any, offset: Any = None) -> Any:
        """The expected target by coefficients of this model, (p,) or (p, targets), or with a leading λ axis; as :meth:`predict`."""
        if np.ndim(X) != 2 or np.shape(X)[1] != self.coef.shape[1]:
            raise ValueError(f"X must have shape (rows, {self.coef.shape[1]}), got {np.shape(X)}")
        shape = (np.shape(X)[0], *self.coef.shape[2:])
        if offset is None and self.offset:
            raise ValueError("offset: the path was fitted with one, and these rows have none; pass theirs, such as zeros")
        if offset is not None and np.shape(offset) != shape:
            raise ValueError(f"offset must have shape {shape}, got {np.shape(offset)}")
        from ._columns import as_sparse, entries, is_sparse, predictors
        from ._inputs import scope

        with scope(self.coef):
            import jax.numpy as jnp

            dtype, many = jnp.asarray(self.coef).dtype, coef.ndim == self.coef.ndim
            coef, intercept = jnp.asarray(coef, dtype), jnp.asarray(intercept, dtype)
            X = as_sparse(entries(X), X.shape, dtype) if is_sparse(X) else jnp.asarray(X, dtype)
            shift = jnp.zeros((), dtype) if offset is None else jnp.asarray(offset, dtype)
            if many:
                eta = predictors(X, coef) + intercept[:, None] + shift
                mean = jnp.stack([self.loss.prediction(e) for e in eta])
            else:
                mean = self.loss.prediction(X @ coef + intercept + shift)
            return np.asarray(mean) if isinstance(self.coef, np.ndarray) else mean

    def __repr__(self) -> str:
        count = len(self.lams)
        return f"<path: {self.formula}; {count} λ from {float(self.lams[0]):.4g} to {float(self.lams[-1]):.4g}>"

    def __str__(self) -> str:
        rows = [repr(self), f"{'λ':>12} {'nonzeros':>9} {'explained':>10} {'gap':>9} {'kkt':>9}"]
        for i in shown_rows(len(self.lams)):
            mark = "" if self.converged[i] else "  not converged"
            rows.append(
                f"{float(self.lams[i]):12.6g} {int(self.nonzeros[i]):9d} {float(self.deviance_ratio[i]):10.4f} "
                f"{float(self.gap[i]):9.1e} {float(self.kkt[i]):9.1e}{mark}"
            )
        if self.gap_reason:
            rows.append(f"no gap: {self.gap_reason}")
        if self.fallback:
            rows.append(f"fallback: {self.fallback}")
        return "\n".join(rows)


def at_edge(lams: Any, index: int) -> bool:
    """Whether a position is the small end of a grid beyond which there are smaller λ."""
    return len(lams) > 1 and index == len(lams) - 1 and float(lams[-1]) > 0


def shown_rows(count: int, most: int = 20) -> list[int]:
    """Evenly spread row numbers with both ends: a table that fits a screen."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())) if count else []


def _like(x: Any, reference: Any) -> Any:
    """x as the kind of array that the reference is."""
    if isinstance(reference, np.ndarray):
        return np.asarray(x, reference.dtype)
    import jax.numpy as jnp

    return jnp.asarray(x, reference.dtype)
