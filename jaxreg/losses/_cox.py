"""Cox's proportional hazards: the negative log partial likelihood of survival times, with Breslow's or Efron's ties."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Scalar

from .._dtypes import is_concrete
from ._base import Loss, Predictor, Targets, Weights, check_numbers
from ._running import NOTHING, grouped_logsumexp, running_logsumexp, running_mean

TIES = ("efron", "breslow")
_compiled = functools.partial(jax.jit, static_argnums=0)  # called one by one, its many small operations would each be compiled


class _Rows(NamedTuple):
    """The rows in the order of time, and what the loss has for each of them that η does not change."""

    order: Int[Array, "n"]
    first: Int[Array, "n"]  # the first and the last row of the same time
    last: Int[Array, "n"]
    event: Bool[Array, "n"]  # those of weight 0 are none
    weight: Float[Array, "n"]
    log_weight: Float[Array, "n"]
    scale: Scalar  # 1, or 1/Σv
    share: Float[Array, "n"]  # what the row's log-sum-exp is multiplied by
    left_out: Float[Array, "n"]  # the share of its own time's events that its risk set lacks (Efron)

    def tied(self, x: Array) -> Array:
        """Sums over the rows of the same time, at each of them."""
        return jax.ops.segment_sum(x, self.first, x.shape[0], indices_are_sorted=True)[self.first]


@dataclasses.dataclass(frozen=True)
class Cox(Loss):
    """Negative log partial likelihood ``Σ_k d_k·(log Σ_j b_kj·exp η_j) − Σᵢ δᵢvᵢηᵢ`` of times t with events δ, over the event rows k.

    With Breslow's ties ``d_k = v_k`` and ``b_kj = v_j`` for all rows at risk, ``t_j >= t_k``. With Efron's the m events of one time
    share their weight, ``d_k = v̄``, and the r-th of them (r = 0 … m − 1) counts the events of its time only by ``b_kj = (1 − r/m)·v_j``.
    Rows of weight 0 are as if absent; ``"mean"`` divides by Σv. A constant added to η changes nothing: a path has no intercept.

    With p_k the softmax weights of a log-sum-exp, the gradient is ``Σ_k d_k·p_k − δv``, the Hessian ``Σ_k d_k(diag p_k − p_k p_kᵀ)``;
    both by running sums over the rows in order of time, O(n log n) and O(n) a column. The smallest loss that any η approaches is
    ``Σ_k d_k·log(b_k-weight of the events of its time)``, R's saturated model. A path predicts the relative risk ``exp η``.

    Args:
      reduction: ``"sum"`` (default) or ``"mean"`` (glmnet).
      ties: ``"efron"`` (default, as R's ``coxph``) or ``"breslow"`` (glmnet).

    Targets y are (n, 2): the time, and 1 for an event or 0 where the row was last seen alive (censored).

    Raises:
      ValueError: unknown ties; of :func:`jaxreg.path`, targets without an event.

    References:
      Cox, Partial likelihood, 1975; Breslow, Covariance analysis of censored survival data, 1974; Efron, The efficiency of Cox's
      likelihood function for censored data, 1977, §3; Simon et al., Regularization paths for Cox's model via coordinate descent, 2011.

    >>> import jax.numpy as jnp
    >>> from jaxreg import losses
    >>> y = jnp.array([[1.0, 1.0], [2.0, 0.0], [3.0, 1.0]])  # the second row is censored
    >>> round(float(losses.Cox()(jnp.zeros(3), y)), 6)  # log 3 + log 1
    1.098612
    """

    ties: str = "efron"
    record: ClassVar[tuple[str, ...]] = ("time", "event")
    coupled: ClassVar[bool] = True
    intercept: ClassVar[bool] = False
    score: ClassVar[str] = "held-out partial loss"
    deviance: ClassVar[float | None] = 2.0
    dispersion: ClassVar[float | None] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ties not in TIES:
            raise ValueError(f"Cox: ties must be one of {TIES}, got {self.ties!r}")

    @_compiled
    def __call__(self, eta: Predictor, y: Targets, sample_weight: Weights = None) -> Scalar:
        eta, y = self._fitting(eta, y)
        rows = self._rows(eta, y, sample_weight)
        x = _level(eta)[rows.order]
        each = rows.share * _log_sums(x + rows.log_weight, rows).all
        return jnp.sum(each) - rows.scale * jnp.sum(jnp.where(rows.event, rows.weight * x, 0))

    @_compiled
    def grad(self, eta: Predictor, y: Targets, sample_weight: Weights = None) -> Array:
        eta, y = self._fitting(eta, y)
        rows = self._rows(eta, y, sample_weight)
        a = _level(eta)[rows.order] + rows.log_weight
        slope = _hazards(a, rows, _log_sums(a, rows)).of_row - jnp.where(rows.event, rows.scale * rows.weight, 0)
        return jnp.zeros_like(slope).at[rows.order].set(slope)

    @_compiled
    def product(self, A: Any, eta: Predictor, y: Targets, sample_weight: Weights = None, far: Any = 0.0) -> Array:
        """``H·A``: at row j its hazard times what its column exceeds the mean over the events k that it was at risk of of ``p_kᵀA`` by."""
        del far
        eta, y = self._fitting(eta, y)
        rows = self._rows(eta, y, sample_weight)
        a = _level(eta)[rows.order] + rows.log_weight
        sums, columns = _log_sums(a, rows), jnp.asarray(A)[rows.order]
        hazards = _hazards(a, rows, sums)
        at_events = _risk_means(a, rows, sums, columns)
        upto = running_mean(hazards.event, hazards.upto, at_events)
        weights = jnp.where(rows.event, hazards.event + jnp.log1p(-rows.left_out) - hazards.own, NOTHING)
        own = rows.tied(jnp.exp(weights)[:, None] * at_events)
        mixed = (
            jnp.exp(hazards.before - hazards.total)[:, None] * upto[rows.first - 1] + jnp.exp(hazards.own - hazards.total)[:, None] * own
        )
        means = jnp.where(rows.event[:, None], mixed, upto[rows.last])
        return jnp.zeros_like(columns).at[rows.order].set(hazards.of_row[:, None] * (columns - means))

    def curvature(self, eta: Predictor, y: Targets, sample_weight: Weights = None, far: Any = 0.0) -> Array:
        """The whole Hessian, (n, n): only for small n; ``product`` and ``gram`` do without it."""
        return self.product(jnp.eye(np.shape(eta)[0], dtype=jnp.asarray(eta).dtype), eta, y, sample_weight, far)

    def conjugate(self, dual: Predictor, y: Targets, sample_weight: Weights = None) -> Scalar:
        """Refused: it is an infimal convolution over the events; ``conjugate_bound`` bounds it where certificates need it."""
        raise TypeError("Cox: the conjugate has no closed form; conjugate_bound bounds it at the gradient, least gives it at 0")

    @_compiled
    def least(self, eta: Predictor, y: Targets, sample_weight: Weights = None) -> Scalar:
        """``Σ_k d_k·log Σ_{j∈D_k} b_kj`` over the events D_k of its time: what η that falls fast with time approaches."""
        eta, y = self._fitting(eta, y)
        rows = self._rows(eta, y, sample_weight)
        together = rows.tied(jnp.where(rows.event, rows.weight, 0))
        logs = jnp.log(jnp.where(rows.event, together, 1)) + jnp.log1p(-rows.left_out)
        return jnp.sum(rows.share * logs)

    @_compiled
    def conjugate_bound(
        self, share: Any, dual: Predictor, eta: Predictor, change: Predictor, y: Targets, sample_weight: Weights = None
    ) -> Scalar:
        """At least ``conjugate(share·dual)`` for ``dual = ∇loss(η) − H·change`` and share in [0, 1]; exact for share 1 and no change.

        The conjugate is the least ``Σ_k d_k·Σ_j q_kj log(q_kj/b_kj)`` of distributions with ``Σ_k d_k·q_k = share·dual + δv``. Those taken
        are ``share·p_k∘(1 − change + p_kᵀchange) + (1 − share)·e_k``, e_k the weights of the events of k's time, and by Jensen
        ``Σ q log(q/p) <= log Σ q²/p``; the rest is Fenchel's equality at η. +inf where a q_k would be negative.
        """
        eta, y = self._fitting(eta, y)
        rows = self._rows(eta, y, sample_weight)
        level, moved = _level(eta)[rows.order], jnp.asarray(change)[rows.order]
        a = level + rows.log_weight
        sums = _log_sums(a, rows)
        mean, square = _risk_means(a, rows, sums, jnp.stack([moved, moved**2], axis=1)).T
        weight = jnp.where(rows.event, rows.weight, 0)
        together = jnp.where(rows.event, rows.tied(weight), 1)
        of_events = rows.tied(weight * moved) / together
        # Σ e²/p, in logarithms: it is huge where an event was thought unlikely, and is multiplied by next to nothing.
        inverse = grouped_logsumexp(jnp.where(rows.event, rows.log_weight - level, NOTHING), rows.first)
        inverse = sums.all - jnp.log1p(-rows.left_out) - 2 * jnp.log(together) + inverse
        rest = 1 - share
        far = jnp.exp(jnp.where(rows.event, inverse, NOTHING) + 2 * jnp.log(rest)) - rest**2
        apart = share**2 * jnp.maximum(square - mean**2, 0) + far - 2 * share * rest * (of_events - mean)
        value = self(eta, y, sample_weight)
        bound = share * jnp.sum(dual * eta) - value + jnp.sum(rows.share * jnp.log1p(jnp.where(rows.event, jnp.maximum(apart, 0), 0)))
        present = rows.weight > 0
        spread = jnp.max(jnp.where(present, moved, -jnp.inf)) - jnp.min(jnp.where(present, moved, jnp.inf))
        return jnp.where(spread <= 1, bound, jnp.inf)

    def prediction(self, eta: Array) -> Array:
        """The relative risk."""
        return jnp.exp(eta)

    def strata(self, y: Any) -> np.ndarray:
        return np.asarray(y)[:, 1]

    def check_targets(self, y: Any) -> None:
        if np.ndim(y) != 2 or np.shape(y)[1] != 2:
            raise ValueError(f"Cox: y must have shape (n, 2) with the columns time and event (1, or 0 for censored), got {np.shape(y)}")
        if not is_concrete(y):
            return
        event = np.asarray(y)[:, 1]
        check_numbers(event, "Cox", lambda e: (e == 0) | (e == 1), "1 (event) or 0 (censored) in its second column")
        if not event.any():
            raise ValueError("Cox: y has no event (every row of its second column is 0, censored); at least one is needed")

    def formula(self) -> str:
        return f"Σ_events(log Σ_at risk e^η − η; {self.ties})" + ("/n" if self.reduction == "mean" else "")

    def _rows(self, eta: Array, y: Array, sample_weight: Weights) -> _Rows:
        n = eta.shape[0]
        order = jnp.argsort(y[:, 0])
        time, event = y[order, 0], y[order, 1] > 0
        v = jnp.ones(n, eta.dtype) if sample_weight is None else jnp.asarray(sample_weight, eta.dtype)[order]
        scale = 1 / jnp.sum(v) if self.reduction == "mean" else jnp.ones((), eta.dtype)
        event = event & (v > 0)
        first, last = jnp.searchsorted(time, time), jnp.searchsorted(time, time, side="right") - 1
        log_weight = jnp.where(v > 0, jnp.log(jnp.where(v > 0, v, 1)), NOTHING)
        weight, left_out = jnp.where(event, v, 0), jnp.zeros(n, eta.dtype)
        rows = _Rows(order, first, last, event, v, log_weight, scale, scale * weight, left_out)
        if self.ties == "breslow":
            return rows
        seen = jnp.cumsum(event)
        before = (seen - event)[first]
        count = jnp.maximum(seen[last] - before, 1)
        share = jnp.where(event, scale * rows.tied(weight) / count, 0)
        return rows._replace(share=share, left_out=jnp.where(event, (seen - 1 - before) / count, 0).astype(eta.dtype))


def _level(eta: Array) -> Array:
    """A constant changes nothing, but its size would cost digits."""
    return eta - jax.lax.stop_gradient(jnp.max(eta))


class _LogSums(NamedTuple):
    """At each row, log Σ of exp a."""

    running: Float[Array, "n"]  # over the rows from this one on
    tied: Float[Array, "n"]  # over the events of its time
    all: Float[Array, "n"]  # over its risk set, less what Efron's ties leave out


def _log_sums(a: Float[Array, "n"], rows: _Rows) -> _LogSums:
    running = running_logsumexp(a, reverse=True)
    at_risk = running[rows.first]
    tied = grouped_logsumexp(jnp.where(rows.event, a, NOTHING), rows.first)
    # Rounding may leave the part larger than the whole.
    return _LogSums(running, tied, at_risk + jnp.log1p(-rows.left_out * jnp.exp(jnp.minimum(tied - at_risk, 0))))


def _risk_means(a: Float[Array, "n"], rows: _Rows, sums: _LogSums, columns: Float[Array, "n q"]) -> Float[Array, "n q"]:
    """``p_kᵀA`` at each event row k (elsewhere nothing of use)."""
    at_risk = running_mean(a, sums.running, columns, reverse=True)[rows.first]
    own = jnp.where(rows.event, jnp.exp(a - sums.tied), 0)
    tied = rows.tied(own[:, None] * columns)
    # The part left out is at most as much of the whole as the sums without it allow.
    part = rows.left_out * jnp.where(rows.event, jnp.exp(sums.tied - sums.all), 0)
    return (1 + part)[:, None] * at_risk - part[:, None] * tied


class _Hazards(NamedTuple):
    """Logarithms of sums of ``d_k/Σ_j b_kj exp η_j`` over events k."""

    event: Float[Array, "n"]  # the row's own
    upto: Float[Array, "n"]  # over this row and those before
    before: Float[Array, "n"]  # over earlier times
    own: Float[Array, "n"]  # over its own time, less what ties leave out: of events
    total: Float[Array, "n"]  # over the events that it was at risk of
    of_row: Float[Array, "n"]  # ``Σ_k d_k·p_kj``, no logarithm


def _hazards(a: Float[Array, "n"], rows: _Rows, sums: _LogSums) -> _Hazards:
    dying = rows.share > 0
    each = jnp.where(dying, jnp.log(jnp.where(dying, rows.share, 1)) - sums.all, NOTHING)
    upto = running_logsumexp(each)
    before = jnp.where(rows.first > 0, upto[rows.first - 1], NOTHING)
    own = grouped_logsumexp(each + jnp.log1p(-rows.left_out), rows.first)
    total = jnp.where(rows.event, jnp.logaddexp(before, own), upto[rows.last])
    return _Hazards(each, upto, before, own, total, jnp.exp(a + total))
