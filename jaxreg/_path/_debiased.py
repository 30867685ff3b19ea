"""``debiased_lasso``: confidence intervals for single coefficients, whatever the lasso has selected."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._penalties import L1
from .._warnings import ConvergenceWarning
from ..losses import SquaredError
from ._inputs import check_problem, refuse_sparse, scope
from ._nodewise import directions
from ._path import path
from ._result import Path

_HALF = SquaredError("half_mean")


@dataclasses.dataclass(frozen=True, repr=False)
class DebiasedLasso:
    """Estimates, intervals and p-values of all coefficients; made by :func:`jaxreg.debiased_lasso`.

    Attributes:
      coef: (p,) debiased estimates, on the original scale of X.
      se: (p,) their standard errors.
      lower, upper: (p,) ends of the intervals coef ± z·se.
      p_values: (p,) two-sided, of the hypotheses that a coefficient is zero, each for itself.
      holm: (p,) the same adjusted by Holm's method: reject where it is below α, and the probability of any false rejection is at most α.
      level: of the intervals.
      sigma: standard deviation of the noise, given or by the scaled lasso.
      lasso: the lasso that is debiased, a path of one λ.
      nodewise_lams: (p,) the λ_j of the nodewise lassos.
      nodewise_kkt: (p,) their stationarity residuals relative to that at zero, from the Gram matrix.
      bias_factor: (p,) ‖X̃_{−j}ᵀz_j‖∞/‖z_j‖ in columns of unit standard deviation: times ‖ŵ − w‖₁/σ in the same it bounds what bias
        is left, in standard errors.
      converged: (p,) bool: lasso and nodewise lasso reached their tolerance, and the estimate is finite.
    """

    coef: Any
    se: Any
    lower: Any
    upper: Any
    p_values: Any
    holm: Any
    level: float
    sigma: float
    lasso: Path
    nodewise_lams: Any
    nodewise_kkt: Any
    bias_factor: Any
    converged: Any

    def __repr__(self) -> str:
        lasso = f"{self.lasso.formula}, λ = {float(self.lasso.lams[0]):.4g}"
        return f"<debiased lasso: {lasso}; σ = {self.sigma:.4g}, {len(self.coef)} coefficients>"

    def __str__(self) -> str:
        rows = [repr(self), f"{'feature':>8} {'lasso':>11} {'debiased':>11} {f'{self.level:.0%} interval':>25} {'p':>9} {'Holm':>9}"]
        for j in np.argsort(np.asarray(self.p_values), kind="stable")[:20]:
            interval = f"[{float(self.lower[j]):11.4g}, {float(self.upper[j]):11.4g}]"
            numbers = f"{j:8d} {float(self.lasso.coef[0, j]):11.4g} {float(self.coef[j]):11.4g} {interval}"
            tail = f"{float(self.p_values[j]):9.2g} {float(self.holm[j]):9.2g}{'' if self.converged[j] else '  not converged'}"
            rows.append(f"{numbers} {tail}")
        return "\n".join(rows)


def debiased_lasso(
    X: Any,
    y: Any,
    lam: float | None = None,
    *,
    sigma: float | None = None,
    level: float = 0.95,
    nodewise_lam: Any = None,
    intercept: bool = True,
    tol: float | None = None,
) -> DebiasedLasso:
    """Normal confidence intervals for every coefficient of a linear model, with more features than rows too.

    With ŵ the lasso and z_j what is left of column j after its own lasso on all other columns (the nodewise lasso),

        z_j = X_j − X_{−j}γ̂_j,      γ̂_j = argmin ‖X_j − X_{−j}γ‖²/(2n) + λ_j·Σ|γ|,
        b_j = ŵ_j + z_jᵀ(y − Xŵ)/(z_jᵀX_j),      se_j = σ·‖z_j‖/|z_jᵀX_j|,

    columns centred (with an intercept) and of unit standard deviation; the results are on the original scale. The intervals hold for
    sparse models, s·log p ≪ √n with s true effects, and independent noise of one variance. With λ = λ_j = 0 and independent columns
    they are those of least squares, with the normal distribution's quantiles.

    Args:
      X: (n, p) design matrix, y: (n,) targets; as in :func:`jaxreg.path`.
      lam: λ of the lasso ``Σ(y − η)²/(2n) + λ·Σ|w·sd|``; None takes the scaled lasso's, λ = σ̂·√(2·log p/n).
      sigma: standard deviation of the noise; None estimates it by the scaled lasso: the fixed point of σ = ‖y − Xŵ(λ)‖/√n with
        λ = σ·√(2·log p/n).
      level: of the intervals, in (0, 1).
      nodewise_lam: λ_j, a number or (p,), for columns of unit standard deviation; None chooses each as Zhang and Zhang's Table 1
        does: from the largest λ_j at which the bias factor is at most √(2·log p) on to the smallest at which se_j has grown by at most a
        quarter since (on a grid of 20, which ends at 0 if n > p, else at √(2·log p/n)/5).
      intercept: whether an unpenalised intercept is fitted.
      tol: of the lasso, as in :func:`jaxreg.path`; the nodewise lassos are solved to rounding.

    Returns:
      A :class:`DebiasedLasso`; print it for a table of the smallest p-values.

    Raises:
      TypeError, ValueError: as :func:`jaxreg.path`; a constant column, λ, σ or a level outside its range, several targets.

    Warns:
      ConvergenceWarning: the lasso or a nodewise lasso did not reach its tolerance, or a column depends linearly on the others at λ_j = 0.

    References:
      Zhang and Zhang, Confidence intervals for low dimensional parameters in high dimensional linear models, 2014, §2 and Table 1;
      van de Geer, Bühlmann, Ritov and Dezeure, On asymptotically optimal confidence regions and tests for high-dimensional models,
      2014, §2.1; Javanmard and Montanari, Confidence intervals and hypothesis testing for high-dimensional regression, 2014; Sun and Zhang,
      Scaled sparse linear regression, 2012; Holm, A simple sequentially rejective multiple test procedure, 1979.

    >>> import numpy as np, jaxreg
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> y = 3 * X[:, 0] - 2 * X[:, 1] + np.random.default_rng(1).normal(size=60)
    >>> found = jaxreg.debiased_lasso(X, y)
    >>> (found.lower[:2] < [3, -2]).tolist(), (found.upper[:2] > [3, -2]).tolist(), np.flatnonzero(found.holm < 0.05).tolist()
    ([True, True], [True, True], [0, 1])
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    for value, name in ((lam, "lam"), (sigma, "sigma")):
        if value is not None and not (np.ndim(value) == 0 and np.isfinite(value) and (value > 0 or (value == 0 and name == "lam"))):
            raise ValueError(f"{name} must be a number {'>= 0' if name == 'lam' else '> 0'}, got {value!r}")
    refuse_sparse(X, "nodewise lassos need the Gram matrix of all its columns")
    with scope(X):
        problem = check_problem(
            X, y, L1(), loss=_HALF, intercept=intercept, standardize=True, sample_weight=None, offset=None,
            penalty_factor=None, lower=None, upper=None,
        )  # fmt: skip
        design = problem.design
        if problem.setup.outputs is not None:
            raise ValueError(f"y must be a vector, got shape {np.shape(y)}; debias one target at a time")
        p = design.X.shape[1]
        deviation = np.asarray(jnp.std(design.X, axis=0))
        constant = deviation <= 16 * np.finfo(deviation.dtype).eps * np.sqrt(np.mean(np.asarray(design.X) ** 2, axis=0))
        if constant.any():
            raise ValueError(f"X: column {int(np.argmax(constant))} is constant, so that its coefficient is the intercept's; leave it out")
        found = directions(design.X, bool(intercept), nodewise_lam)
        options: dict[str, Any] = {"loss": _HALF, "intercept": intercept, "standardize": True, "tol": tol}
        scaled, noise = _scaled_lasso(X, y, options) if lam is None or sigma is None else (None, sigma)
        lasso = scaled if lam is None and scaled is not None else path(X, y, L1(), lams=[lam], **options)
        noise = noise if sigma is None else float(sigma)
        residual = design.y - design.X @ jnp.asarray(lasso.coef[0]) - jnp.asarray(lasso.intercept[0])
        values = [np.asarray(x) for x in _inference(jnp.asarray(lasso.coef[0]), found.scores, found.overlap, residual, noise, level)]
        reached = found.kkt <= np.sqrt(np.finfo(deviation.dtype).eps)
        converged = bool(lasso.converged[0]) & reached & np.isfinite(values[0]) & np.isfinite(values[1])
        out = np.asarray if problem.as_numpy else jnp.asarray
        names = ("coef", "se", "lower", "upper", "p_values", "holm", "nodewise_lams", "nodewise_kkt", "bias_factor", "converged")
        columns = (*values, found.lams, found.kkt, found.bias, converged)
        arrays: dict[str, Any] = {name: out(x) for name, x in zip(names, columns, strict=True)}
    if not converged.all():
        warnings.warn(
            f"debiased_lasso: {(~converged).sum()} of {p} estimates are not to be relied on (a lasso missed its tolerance, or the column "
            "depends linearly on others); result.converged marks them. A nodewise_lam > 0 or fewer columns may serve",
            ConvergenceWarning,
            stacklevel=2,
        )
    return DebiasedLasso(**arrays, level=float(level), sigma=noise, lasso=lasso)


def _scaled_lasso(X: Any, y: Any, options: dict[str, Any]) -> tuple[Path, float]:
    """(the lasso, σ) at the fixed point of σ = ‖y − Xŵ(σλ₀)‖/√n, from above (Sun and Zhang 2012, equation 4)."""
    n, p = np.shape(X)
    unit = np.sqrt(2 * np.log(max(p, 2)) / n)
    y64 = np.asarray(y, float)
    sigma = float(np.std(y64) if options["intercept"] else np.sqrt(np.mean(y64**2)))
    while True:
        lasso = path(X, y, L1(), lams=[unit * sigma], **options)
        # Half the mean of squares is the loss itself.
        before, sigma = sigma, float(np.sqrt(2 * lasso.loss_value[0]))
        if sigma >= before * (1 - 1e-8):
            return lasso, sigma


@jax.jit
def _inference(
    coef: Float[Array, "p"], scores: Float[Array, "n p"], overlap: Float[Array, "p"], residual: Float[Array, "n"], sigma: Any, level: Any
) -> tuple[Array, ...]:
    """(estimates, standard errors, lower and upper ends, p-values, Holm's)."""
    b = coef + scores.T @ residual / overlap
    se = sigma * jnp.linalg.norm(scores, axis=0) / jnp.abs(overlap)
    width = jax.scipy.stats.norm.ppf((1 + level) / 2) * se
    p_values = 2 * jax.scipy.stats.norm.sf(jnp.abs(b) / se)
    order = jnp.argsort(p_values)
    stepped = jax.lax.cummax(p_values[order] * jnp.arange(b.size, 0, -1))
    return b, se, b - width, b + width, p_values, jnp.zeros_like(b).at[order].set(jnp.minimum(stepped, 1))
