"""The loss contract: what a generalised linear model says about its linear predictor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, Scalar

from .._dtypes import is_concrete

Either = Array | np.ndarray
Predictor = Float[Either, "n"] | Float[Either, "n t"]
Targets = Num[Either, "n"] | Num[Either, "n t"]
Columns = Float[Either, "n q"]
Weights = Num[Either, "n"] | None


@dataclasses.dataclass(frozen=True)
class Loss:
    """A data term ``Σᵢ cᵢ·ℓ(yᵢ, ηᵢ)`` of targets y and linear predictors η.

    The reduction sets the cᵢ, with sample weights v (all one when not given): ``"sum"`` cᵢ = vᵢ, ``"mean"``
    cᵢ = vᵢ/Σv, and, for the squared error alone, ``"half_mean"`` cᵢ = vᵢ/(2Σv).

    Subclasses give ``pointwise``, ``pointwise_grad``, ``pointwise_curvature`` and ``pointwise_conjugate`` of one
    observation's η, written by hand; ``verify.loss`` holds them against each other. Where observations meet in the loss (``coupled``) there
    is no such thing: those give the value, ``grad``, ``product``, ``least`` and ``conjugate_bound``.
    """

    reduction: str = "sum"
    reductions: ClassVar[tuple[str, ...]] = ("sum", "mean")
    classification: ClassVar[bool] = False
    vector: ClassVar[bool] = False  # one predictor for each class rather than one for each observation
    record: ClassVar[tuple[str, ...]] = ()  # columns of y that together are one observation's target
    coupled: ClassVar[bool] = False  # whether observations meet in the loss, so that its Hessian in η is not of blocks
    intercept: ClassVar[bool] = True  # whether an intercept makes a difference
    score: ClassVar[str] = "mean loss"  # what cross-validation reports: the mean of ℓ less the smallest that any η gives
    # The deviance is so many times what ℓ exceeds its smallest by; None where ℓ is no negative log-likelihood.
    deviance: ClassVar[float | None] = None
    dispersion: ClassVar[float | None] = None  # what the deviance is divided by in the likelihood; None where that must be estimated
    log_link: ClassVar[bool] = False  # whether e^η is expected, so that a target of zeros alone has its best constant at −∞
    reach: ClassVar[float] = 1e3  # |η| up to which nothing overflows, in float32 too

    def __post_init__(self) -> None:
        if self.reduction not in self.reductions:
            raise ValueError(f"{type(self).__name__}: reduction must be one of {self.reductions}, got {self.reduction!r}")

    def __call__(self, eta: Predictor, y: Targets, sample_weight: Weights = None) -> Scalar:
        """The scalar ``Σᵢ cᵢ·ℓ(yᵢ, ηᵢ)``.

        Args:
          eta: linear predictors, (n,), (n, targets) or, for the multinomial loss, (n, classes).
          y: targets, (n,) or (n, targets).
          sample_weight: weights v >= 0, (n,).
        """
        eta, y = self._fitting(eta, y)
        return jnp.sum(self._weighted(self.pointwise(eta, y), eta, sample_weight))

    def grad(self, eta: Predictor, y: Targets, sample_weight: Weights = None) -> Array:
        """The gradient with respect to η, of η's shape."""
        eta, y = self._fitting(eta, y)
        return self._weighted(self.pointwise_grad(eta, y), eta, sample_weight)

    def curvature(self, eta: Predictor, y: Targets, sample_weight: Weights = None, far: Any = 0.0) -> Array:
        """Second derivatives with respect to η: of η's shape, or (n, classes, classes) for the multinomial loss.

        With ``far`` in (0, 1] at least that share of a majorizing parabola's curvature, for solvers away from the solution.
        """
        eta, y = self._fitting(eta, y)
        curvatures = self.pointwise_curvature(eta, y)
        if self.bent:
            curvatures = jnp.maximum(curvatures, far * self.pointwise_majorizer(eta, y))
        return self._weighted(curvatures, eta, sample_weight)

    def product(self, A: Columns, eta: Predictor, y: Targets, sample_weight: Weights = None, far: Any = 0.0) -> Array:
        """The Hessian in η times columns, ``H·A`` of shape (n, q), where an observation has one predictor."""
        return self.curvature(eta, y, sample_weight, far).reshape(-1, 1) * jnp.asarray(A)

    def gram(self, A: Columns, eta: Predictor, y: Targets, sample_weight: Weights = None, far: Any = 0.0) -> Array:
        """The Hessian in the coefficients of columns A, ``AᵀHA``: (q, q), or (q·t, q·t) of t predictors, a column's together."""
        A, eta = jnp.asarray(A), jnp.asarray(eta)
        if eta.ndim == 1:
            return A.T @ self.product(A, eta, y, sample_weight, far)
        return gram_of(A, self.blocks(eta, y, sample_weight, far))

    def blocks(self, eta: Predictor, y: Targets, sample_weight: Weights = None, far: Any = 0.0) -> Array:
        """Each observation's second derivatives, (n, t, t) of t predictors."""
        curvature = self.curvature(eta, y, sample_weight, far)
        return curvature if self.vector else jax.vmap(jnp.diag)(curvature.reshape(curvature.shape[0], -1))

    def conjugate(self, dual: Predictor, y: Targets, sample_weight: Weights = None) -> Scalar:
        """``sup_η ⟨dual, η⟩ − loss(η)``; observations of weight 0 take dual 0."""
        dual, y = self._fitting(dual, y)
        weights = self._spread(self.case_weights(dual, sample_weight), dual)
        positive = weights > 0
        values = self.pointwise_conjugate(dual / jnp.where(positive, weights, 1), y)
        weights = self._spread(self.case_weights(dual, sample_weight), values)
        return jnp.sum(jnp.where(weights > 0, weights * jnp.where(weights > 0, values, 0), 0))

    def conjugate_bound(
        self, share: Any, dual: Predictor, eta: Predictor, change: Predictor, y: Targets, sample_weight: Weights = None
    ) -> Scalar:
        """At least ``conjugate(share·dual)``, for ``dual = ∇loss(η) − H·change``; what a duality gap needs."""
        del eta, change
        return self.conjugate(share * dual, y, sample_weight)

    def least(self, eta: Predictor, y: Targets, sample_weight: Weights = None) -> Scalar:
        """The infimum of the loss over all predictors of η's shape: that of the saturated model."""
        return -self.conjugate(jnp.zeros_like(eta), y, sample_weight)

    @property
    def bent(self) -> bool:
        """Whether the gradient has kinks, so that the curvature may vanish; then a majorizer is given."""
        return type(self).pointwise_majorizer is not Loss.pointwise_majorizer

    def case_weights(self, eta: Predictor, sample_weight: Weights = None) -> Float[Array, "n"]:
        """The cᵢ of the reduction."""
        n = eta.shape[0]
        v = jnp.ones(n, eta.dtype) if sample_weight is None else jnp.asarray(sample_weight, eta.dtype)
        if self.reduction == "sum":
            return v
        return v / (jnp.sum(v) * (2 if self.reduction == "half_mean" else 1))

    def _weighted(self, values: Array, eta: Array, sample_weight: Weights) -> Array:
        """A row of weight zero counts for nothing, also where an exponential overflows there."""
        weights = self._spread(self.case_weights(eta, sample_weight), values)
        return weights * values if sample_weight is None else jnp.where(weights == 0, 0, weights * values)

    def _fitting(self, eta: Any, y: Any) -> tuple[Array, Array]:
        """η and y as jax arrays of shapes that fit each other."""
        expected = np.shape(eta)[:1] if self.vector else np.shape(eta)
        expected += (len(self.record),) if self.record else ()
        if np.shape(y) != expected:
            raise ValueError(f"y has shape {np.shape(y)}, but the linear predictor of shape {np.shape(eta)} needs {expected}")
        return jnp.asarray(eta), jnp.asarray(y)

    @staticmethod
    def _spread(weights: Array, values: Array) -> Array:
        return weights.reshape(weights.shape + (1,) * (values.ndim - 1))

    def pointwise(self, eta: Array, y: Array) -> Array:
        """ℓ(y, η) for each observation."""
        raise TypeError(f"{type(self).__name__} defines no pointwise loss")

    def pointwise_grad(self, eta: Array, y: Array) -> Array:
        """∂ℓ/∂η for each observation."""
        raise TypeError(f"{type(self).__name__} defines no pointwise_grad")

    def pointwise_curvature(self, eta: Array, y: Array) -> Array:
        """∂²ℓ/∂η² for each observation."""
        raise TypeError(f"{type(self).__name__} defines no pointwise_curvature")

    def pointwise_majorizer(self, eta: Array, y: Array) -> Array:
        """The curvature of a parabola in η that touches ℓ at η and lies above it; the curvature itself where that never vanishes."""
        return self.pointwise_curvature(eta, y)

    def pointwise_conjugate(self, dual: Array, y: Array) -> Array:
        """``sup_η dual·η − ℓ(y, η)`` for each observation; +inf outside its domain."""
        raise TypeError(f"{type(self).__name__} defines no pointwise_conjugate")

    def mean(self, eta: Array) -> Array:
        """The expected target: the prediction on the target's scale."""
        raise TypeError(f"{type(self).__name__} defines no mean")

    def prediction(self, eta: Array) -> Array:
        """What a fitted path predicts: the mean, where there is one."""
        return self.mean(eta)

    def outputs(self, y: Any) -> int:
        """How many linear predictors an observation has (targets or classes)."""
        return 1 if np.ndim(y) == 1 else int(np.shape(y)[1])

    def strata(self, y: Any) -> np.ndarray | None:
        """(n,) labels of which every fold of cross-validation gets its share; None where rows are alike."""
        return np.asarray(y) if self.classification else None

    def check_targets(self, y: Any) -> None:
        """Raise ValueError for targets that this loss is not defined for."""

    def formula(self) -> str:
        """The data term as a reader would write it."""
        raise TypeError(f"{type(self).__name__} defines no formula")


def gram_of(A: Array, blocks: Array) -> Array:
    """``Σᵢ aᵢaᵢᵀ ⊗ Bᵢ``, (q·t, q·t), of columns (n, q) and blocks (n, t, t)."""
    # One pair of columns at a time: the whole (n, t, t, q) product would not fit memory for many classes.
    rows = jax.lax.map(lambda c: jax.vmap(lambda d: A.T @ (d[:, None] * A), in_axes=1)(c), jnp.moveaxis(blocks, 1, 0))
    return rows.transpose(2, 0, 3, 1).reshape(A.shape[1] * blocks.shape[1], -1)  # (s, t, j, k) -> (j, s, k, t)


def check_classes(y: Any, name: str, most: int | None = None) -> int:
    """The number of classes of concrete labels coded 0, 1, …; an error for anything else."""
    if not is_concrete(y):
        raise TypeError(f"{name}: the number of classes cannot be read from traced targets; pass classes=K")
    labels = np.unique(np.asarray(y))
    if labels.size and (np.any(labels != np.floor(labels)) or labels[0] < 0):
        raise ValueError(f"{name}: y must hold classes coded 0, 1, …, but holds {labels[:5].tolist()}")
    if labels.size < 2:
        raise ValueError(f"{name}: y holds the single class {labels.tolist()}; at least two are needed")
    if most and labels[-1] >= most:
        raise ValueError(f"{name}: y must hold the classes 0 … {most - 1}, but holds {int(labels[-1])}")
    absent = sorted(set(range(int(labels[-1]) + 1)) - set(labels.astype(int).tolist()))
    if absent:
        raise ValueError(
            f"{name}: y has no row of class {absent[0]}, though classes up to {int(labels[-1])}; code them 0, 1, … without a hole"
        )
    return int(labels[-1]) + 1


def check_numbers(y: Any, name: str, allowed: Callable[[np.ndarray], Any], domain: str) -> None:
    """An error for concrete targets outside a loss's domain."""
    if not is_concrete(y):
        return
    bad = ~np.asarray(allowed(np.asarray(y)))
    if bad.any():
        raise ValueError(f"{name}: y must be {domain}, but {int(bad.sum())} entries are not (the first is {np.asarray(y)[bad][0]:g})")


def xlogx(p: Array) -> Array:
    """p·log p with 0·log 0 = 0, and +inf for negative p (outside a conjugate's domain)."""
    value = jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0)
    return jnp.where(p < 0, jnp.inf, value)
