"""What a prediction is judged by: the loss itself, or an error that other libraries report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..losses import Loss, Quantile

_COUPLED = "rows are compared with each other, and none has an expected target"


class Score(NamedTuple):
    """An error of one observation."""

    name: Callable[[Loss], str]
    each: Callable[[Loss, Array, Array], Array]  # of (loss, η, y)
    refuse: Callable[[Loss], str | None]  # why it makes no sense for a loss


def _excess(loss: Loss, eta: Array, y: Array) -> Array:
    return loss.pointwise(eta, y) + loss.pointwise_conjugate(jnp.zeros_like(eta), y)


def _deviance(loss: Loss, eta: Array, y: Array) -> Array:
    return (loss.deviance or 0) * _excess(loss, eta, y)


def _target(loss: Loss, eta: Array, y: Array) -> Array:
    return jax.nn.one_hot(y.astype(int), eta.shape[1], dtype=eta.dtype) if loss.vector else y


def _squared(loss: Loss, eta: Array, y: Array) -> Array:
    squares = (loss.mean(eta) - _target(loss, eta, y)) ** 2
    return jnp.sum(squares, axis=1) if loss.vector else squares


def _absolute(loss: Loss, eta: Array, y: Array) -> Array:
    return jnp.abs(loss.mean(eta) - y)


def _wrong(loss: Loss, eta: Array, y: Array) -> Array:
    guess = jnp.argmax(eta, axis=1) if loss.vector else eta > 0
    return (guess != y).astype(eta.dtype)


def _no_mean(loss: Loss) -> str | None:
    if loss.coupled:
        return _COUPLED
    if isinstance(loss, Quantile):
        return "it predicts a quantile, which squares of residuals do not judge"
    return "it predicts classes without probabilities" if type(loss).mean is Loss.mean else None


SCORES = {
    "loss": Score(lambda loss: loss.score, _excess, lambda loss: None),
    "deviance": Score(
        lambda loss: "mean deviance", _deviance, lambda loss: "it is no negative log-likelihood" if loss.deviance is None else None
    ),
    "squared_error": Score(
        lambda loss: "Brier score" if loss.classification else "mean squared error",
        _squared,
        _no_mean,
    ),
    "absolute_error": Score(
        lambda loss: "mean absolute error",
        _absolute,
        lambda loss: _COUPLED if loss.coupled else "its targets are classes" if loss.classification else None,
    ),
    "misclassification": Score(
        lambda loss: "share misclassified", _wrong, lambda loss: None if loss.classification else "its targets are no classes"
    ),
}


def check_scoring(scoring: Any, loss: Loss) -> str:
    """The name of a score that makes sense for the loss, or an error that says which do."""
    sensible = [name for name, score in SCORES.items() if score.refuse(loss) is None]
    if scoring not in SCORES:
        raise ValueError(f"scoring must be one of {tuple(SCORES)}, got {scoring!r}; for {type(loss).__name__} one of {sensible}")
    why = SCORES[scoring].refuse(loss)
    if why is not None:
        raise ValueError(f"scoring={scoring!r} makes no sense for {type(loss).__name__}: {why}; use one of {sensible}")
    return scoring


def mean_score(scoring: str, loss: Loss, eta: Array, y: Array, weights: Array, trained: Array) -> Array:
    """The weighted mean over rows, () or of each target (T,); rows of weight 0 are not looked at.

    Where rows are compared with each other: what the loss above its least grows by when these rows join those of weights
    ``trained`` that η was fitted to, over their weight.
    """
    if loss.coupled:
        whole = dataclasses.replace(loss, reduction="sum")
        both, before = (whole(eta, y, v) - whole.least(eta, y, v) for v in (jnp.maximum(weights, trained), trained))
        return (loss.deviance or 0 if scoring == "deviance" else 1) * (both - before) / jnp.sum(weights)
    values = SCORES[scoring].each(loss, eta, y)
    of_row = weights if values.ndim == 1 else weights[:, None]
    return jnp.sum(jnp.where(of_row > 0, of_row * values, 0), axis=0) / jnp.sum(weights)
