"""What every solver is given and gives: ``init(problem, params) -> State`` and ``step(problem, state) -> (State, Info)``.

A State is a NamedTuple of its solver's own with at least ``params``; Info is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from .._penalties import Penalty, UnknownOperation
from .._penalties._arithmetic import norm

PyTree = Any


class Problem(NamedTuple):
    """``smooth(params) + penalty(params)``, the batch already bound."""

    smooth: Callable[[PyTree], Any]
    penalty: Penalty

    def total(self, params: PyTree) -> Any:
        """The objective."""
        return self.smooth(params) + self.penalty(params)


class Info(NamedTuple):
    """What a person wants to know after a step."""

    value: Any  # the objective at the new params
    optimality: Any  # distance from −∇smooth to the penalty's subdifferential there


class Solver(Protocol):
    """A module with these two functions is a solver."""

    @staticmethod
    def init(problem: Problem, params: PyTree) -> Any: ...

    @staticmethod
    def step(problem: Problem, state: Any) -> tuple[Any, Info]: ...


def optimality(problem: Problem, params: PyTree, slope: PyTree, step: Any) -> Any:
    """Distance from stationarity, given the smooth part's gradient at ``params``.

    For a penalty that defines no subdifferential it is the length of the prox-gradient step, divided by the step.
    """
    try:
        return problem.penalty.subdiff_distance(params, slope)
    except UnknownOperation:
        moved = problem.penalty.prox(along(params, slope, -step), step)
        return norm(jax.tree.map(lambda a, b: (a - b) / step, params, moved))


def along(params: PyTree, direction: PyTree, t: Any) -> PyTree:
    """``params + t·direction``, in each leaf's dtype."""
    return jax.tree.map(lambda w, d: w + jnp.asarray(t, w.dtype) * d, params, direction)


def dot(a: PyTree, b: PyTree) -> Any:
    """The inner product over a whole pytree."""
    return sum(jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)))
