"""The training step: compiled from an objective and an optax transform, and the textbook formula it is checked by."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ._dtypes import is_concrete
from ._objective import Objective
from ._penalties import Penalty
from .transforms import penalties_in

PyTree = Any


class TrainState(NamedTuple):
    """What the next step needs. The penalty rides along so that λ is traced: replacing it never recompiles."""

    params: PyTree
    opt_state: PyTree
    penalty: Penalty


class Metrics(NamedTuple):
    """What a person wants to know of a step, all measured before the update."""

    loss: jax.Array
    penalty: jax.Array
    grad_norm: jax.Array
    aux: Any = None


class Step:
    """The compiled ``step(state, *batch) -> (state, metrics)`` made by :func:`make_step`; ``init`` makes the state."""

    def __init__(self, objective: Objective, tx: optax.GradientTransformation, allow_both: bool):
        self._objective, self._tx, self._allow_both = objective, tx, allow_both
        self._latest: tuple[Any, Any, Any] = (None, None, None)

        def step(treedef: Any, strengths: Any, params: PyTree, opt_state: PyTree, *batch: Any) -> Any:
            def total(params: PyTree) -> tuple[Any, Any]:
                value = objective.loss(params, *batch)
                loss, aux = value if objective.has_aux else (value, None)
                penalty = jax.tree.unflatten(treedef, strengths)(params)
                return loss + penalty, (loss, penalty, aux)

            (_, (loss, penalty, aux)), grads = jax.value_and_grad(total, has_aux=True)(params)
            updates, opt_state = tx.update(grads, opt_state, params)
            params = optax.apply_updates(params, updates)
            return params, opt_state, Metrics(loss, penalty, optax.tree.norm(grads), aux)

        self._step = jax.jit(step, static_argnums=0)

    def init(self, params: PyTree) -> TrainState:
        """The state before the first step.

        Raises:
          ValueError: the optax chain holds a jaxreg penalty although the objective has one already.
        """
        opt_state = self._tx.init(params)
        penalty = jax.tree.map(_strong, self._objective.penalty)
        penalty(params)
        twice = penalties_in(opt_state)
        if twice and penalty.terms() and not self._allow_both:
            raise ValueError(
                f"the objective has the penalty {self._objective.penalty!r} and the optax chain has {twice[0]!r}: the weights "
                "would be penalised twice. Use jaxreg.Zero() in one of them, or pass allow_both=True if that is meant"
            )
        return TrainState(params, opt_state, penalty)

    def __call__(self, state: TrainState, *batch: Any) -> tuple[TrainState, Metrics]:
        # A small step lasts as long as flattening a penalty and back does, so that is done once for each penalty met, not
        # in every step. Strengths become strongly typed arrays: L2(1) and L2(np.float64(1)) are then one program.
        seen, treedef, strengths = self._latest
        if state.penalty is not seen:
            _refuse_constraint(state.penalty)
            strengths, treedef = jax.tree.flatten(jax.tree.map(_strong, state.penalty))
            if all(is_concrete(s) for s in strengths):  # tracers must not outlive their trace
                self._latest = (state.penalty, treedef, strengths)
        params, opt_state, metrics = self._step(treedef, strengths, state.params, state.opt_state, *batch)
        return TrainState(params, opt_state, state.penalty), metrics

    def __repr__(self) -> str:
        return f"<step: {self._objective.formula()}>"


def _refuse_constraint(penalty: Penalty) -> None:
    if not penalty.finite:
        raise TypeError(f"{penalty!r} contains a constraint, which a gradient step cannot enforce; use jaxreg.solve")


def _strong(strength: Any) -> jax.Array:
    array = jnp.asarray(strength)
    kind = array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else jnp.result_type(float)
    return jax.lax.convert_element_type(array, kind)


def make_step(objective: Objective, tx: optax.GradientTransformation, *, allow_both: bool = False) -> Step:
    """One compiled training step: ``jax.value_and_grad``, ``tx.update``, ``optax.apply_updates``.

    Args:
      objective: from ``jaxreg.objective(loss, penalty)``.
      tx: any optax transform.
      allow_both: accept a penalty in the objective and another in the chain, which otherwise is an error. Only jaxreg's own
        transforms can be seen there: ``optax.adamw`` decays too, and says nothing of it.

    Returns:
      ``step(state, *batch) -> (state, metrics)`` with ``step.init(params)``; the state holds params, opt_state and
      penalty, the metrics loss, penalty, grad_norm (of the sum) and aux. ``state._replace(penalty=L2(0.1))`` changes λ
      without compiling anew.

    Raises:
      TypeError: not an objective, or its penalty is a constraint, which a gradient cannot enforce.

    >>> import jax.numpy as jnp, jaxreg, optax
    >>> f = jaxreg.objective(lambda w, x: jnp.sum((w - x) ** 2), jaxreg.L2(1.0))
    >>> step = jaxreg.make_step(f, optax.sgd(0.1))
    >>> state, metrics = step(step.init(jnp.array([1.0])), jnp.array([3.0]))
    >>> round(float(state.params[0]), 4), float(metrics.loss), float(metrics.penalty)  # 1 − 0.1·(2·(1−3) + 2·1·1)
    (1.2, 4.0, 1.0)
    """
    if not isinstance(objective, Objective):
        raise TypeError(f"objective must come from jaxreg.objective(loss, penalty), got {objective!r}")
    _refuse_constraint(objective.penalty)
    return Step(objective, tx, allow_both)


def gradient_step(params: PyTree, grads: PyTree, lr: Any, lam: Any) -> PyTree:
    """The textbook update ``w − lr·(g + 2·lam·w)``: gradient descent on ``loss + lam·Σw²``.

    Args:
      params, grads: pytrees of the same structure, ``grads`` the gradient of the loss alone.
      lr: learning rate, a scalar.
      lam: strength in the units of ``L2(lam)``.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.gradient_step(jnp.array([1.0]), jnp.array([2.0]), lr=0.5, lam=0.25).tolist()  # 1 − 0.5·(2 + 0.5)
    [-0.25]
    """
    return jax.tree.map(lambda w, g: w - lr * (g + 2 * lam * w), params, grads)
