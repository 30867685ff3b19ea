"""Weight decay as optax transforms: three couplings, which agree under SGD and nowhere else.

Each takes a penalty in the penalty's own units: ``L2(lam)`` decays by its gradient ``2·lam·w``, so PyTorch's and optax's
``weight_decay=d`` is ``L2(d/2)`` (see ``jaxreg.conventions``). The penalty sits in the optimizer's state, so λ is traced:
changing it, or mapping over it, never recompiles.

Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019 (arXiv 1711.05101), algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ._dtypes import is_number
from ._penalties import Penalty

Schedule = Callable[[Any], Any]


class CoupledState(NamedTuple):
    """The penalty, whose strengths may be replaced between steps."""

    penalty: Penalty


class DecoupledState(NamedTuple):
    """The penalty, and the number of steps taken (what a schedule is asked for)."""

    penalty: Penalty
    count: jax.Array


def coupled(penalty: Penalty) -> optax.GradientTransformation:
    """Add the penalty's gradient to the loss's gradient, before any preconditioning.

    Put it first: ``chain(coupled(L2(lam)), adam(lr))`` is Adam on ``loss + lam·Σw²`` (PyTorch's
    ``Adam(weight_decay=2·lam)``; line 6 of algorithm 2). Equation: ``g ← g + ∇penalty(w)``.

    Args:
      penalty: any penalty with finite values; λ in units of the loss.

    Raises:
      TypeError: ``penalty`` is no penalty, or a constraint, whose gradient says nothing outside it.

    >>> import jax.numpy as jnp, jaxreg, optax
    >>> tx = optax.chain(jaxreg.transforms.coupled(jaxreg.L2(0.5)), optax.sgd(0.1))
    >>> w = jnp.array([1.0])
    >>> updates, _ = tx.update(jnp.array([2.0]), tx.init(w), w)
    >>> optax.apply_updates(w, updates).tolist()  # 1 − 0.1·(2 + 2·0.5·1)
    [0.69...]
    """
    _check(penalty)

    def init(params: Any) -> CoupledState:
        penalty(params)  # a selection that fits no leaf is an error here, not in the tenth epoch
        return CoupledState(_as_arrays(penalty))

    def update(updates: Any, state: CoupledState, params: Any = None) -> tuple[Any, CoupledState]:
        _need(params, "coupled")
        return jax.tree.map(_add, updates, state.penalty.grad(params)), state

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def decoupled(penalty: Penalty, learning_rate: float | jax.Array | Schedule) -> optax.GradientTransformation:
    """Decay apart from the gradient step, scaled by the learning rate (``adamw`` of optax and PyTorch).

    Put it last, after the learning rate: ``chain(adam(lr), decoupled(L2(lam), lr))`` is
    ``adamw(lr, weight_decay=2·lam)``. Equation: ``update ← update − lr_t·∇penalty(w)``.

    Args:
      penalty: any penalty with finite values.
      learning_rate: the same number (traced or not, so it can be swept) or optax schedule that the optimizer has.

    Raises:
      TypeError: as :func:`coupled`, or ``learning_rate`` is neither a number nor a schedule.

    >>> import jax.numpy as jnp, jaxreg, optax
    >>> tx = optax.chain(optax.adam(0.1), jaxreg.transforms.decoupled(jaxreg.L2(0.5), 0.1))
    >>> w = jnp.array([1.0])
    >>> updates, _ = tx.update(jnp.array([2.0]), tx.init(w), w)
    >>> round(float(optax.apply_updates(w, updates)[0]), 4)  # 1 − 0.1·1 (Adam) − 0.1·2·0.5·1 (decay)
    0.8
    """
    return _apart(penalty, learning_rate, "learning_rate", "decoupled")


def fully_decoupled(penalty: Penalty, schedule: float | jax.Array | Schedule) -> optax.GradientTransformation:
    """Decay scaled by the schedule's multiplier only, not by the learning rate (the paper's AdamW, line 12).

    Put it last: ``chain(adam(lambda t: lr*eta(t)), fully_decoupled(L2(lam), eta))``. Equation:
    ``update ← update − η_t·∇penalty(w)``. The multiplier is given explicitly and never guessed from the optimizer:
    1.0 for a constant schedule.

    Args:
      penalty: any penalty with finite values; here λ is a fraction of the weight for each step.
      schedule: the multiplier η_t, a number or a function of the step count from 0.

    Raises:
      TypeError: as :func:`decoupled`.

    >>> import jax.numpy as jnp, jaxreg, optax
    >>> tx = optax.chain(optax.sgd(0.1), jaxreg.transforms.fully_decoupled(jaxreg.L2(0.005), 1.0))
    >>> w = jnp.array([1.0])
    >>> updates, _ = tx.update(jnp.array([0.0]), tx.init(w), w)
    >>> round(float(optax.apply_updates(w, updates)[0]), 4)  # 1 − 2·0.005·1
    0.99
    """
    return _apart(penalty, schedule, "schedule", "fully_decoupled")


def _apart(penalty: Penalty, multiplier: float | jax.Array | Schedule, name: str, who: str) -> optax.GradientTransformation:
    _check(penalty)
    if isinstance(multiplier, Penalty) or not (callable(multiplier) or (is_number(multiplier) and jnp.ndim(multiplier) == 0)):
        raise TypeError(f"{who}: {name} must be a number or a schedule (step count) -> number, got {multiplier!r}")

    def init(params: Any) -> DecoupledState:
        penalty(params)
        return DecoupledState(_as_arrays(penalty), jnp.zeros((), jnp.int32))

    def update(updates: Any, state: DecoupledState, params: Any = None) -> tuple[Any, DecoupledState]:
        _need(params, who)
        scale = multiplier(state.count) if callable(multiplier) else multiplier
        decay = jax.tree.map(lambda g: -jnp.asarray(scale, g.dtype) * g, state.penalty.grad(params))
        return jax.tree.map(_add, updates, decay), DecoupledState(state.penalty, state.count + 1)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def penalties_in(state: Any) -> list[Penalty]:
    """The penalties that an optax state's jaxreg transforms carry."""
    ours = (CoupledState, DecoupledState)
    found = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, ours))
    return [s.penalty for s in found if isinstance(s, ours)]


def _add(update: Any, decay: Any) -> Any:
    return update + decay.astype(jnp.result_type(update))


def _as_arrays(penalty: Penalty) -> Penalty:
    """Strengths as arrays: a state's leaves must keep their types from step to step."""
    return jax.tree.map(jnp.asarray, penalty)


def _check(penalty: Any) -> None:
    if not isinstance(penalty, Penalty):
        raise TypeError(f"penalty must be a jaxreg penalty such as jaxreg.L2(0.1), got {penalty!r}")
    if not penalty.finite:
        raise TypeError(f"{penalty!r} is a constraint: its gradient cannot enforce it. Project after the step, or use jaxreg.solve")


def _need(params: Any, who: str) -> None:
    if params is None:
        raise ValueError(f"{who}: the decay depends on the weights; call tx.update(grads, state, params)")
