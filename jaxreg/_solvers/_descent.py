"""Descent on a smooth objective by an optax transform that carries its own line search."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax

from .._penalties._arithmetic import norm
from ._contract import Info, Problem

PyTree = Any


class State(NamedTuple):
    """What the next step needs."""

    params: PyTree
    opt_state: PyTree


class Descent:
    """The two functions of a solver for one optax transform."""

    def __init__(self, tx: optax.GradientTransformationExtraArgs):
        self._tx = tx

    def init(self, problem: Problem, params: PyTree) -> State:
        """The transform's own state."""
        del problem
        return State(params, self._tx.init(params))

    def step(self, problem: Problem, state: State) -> tuple[State, Info]:
        """One step along the transform's direction, as far as its line search goes."""
        value, slope = optax.value_and_grad_from_state(problem.total)(state.params, state=state.opt_state)
        updates, opt_state = self._tx.update(slope, state.opt_state, state.params, value=value, grad=slope, value_fn=problem.total)
        params: Any = optax.apply_updates(state.params, updates)
        value, slope = jax.value_and_grad(problem.total)(params)
        return State(params, opt_state), Info(value, norm(slope))
