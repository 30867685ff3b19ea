"""``objective(loss, penalty)``: exactly ``loss(params, *batch) + penalty(params)``, as a pure callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ._penalties import Penalty

PyTree = Any


@jax.tree_util.register_pytree_node_class
class Objective:
    """The sum of a loss and a penalty that still knows its parts; made by :func:`objective`.

    A pytree whose leaves are the penalty's strengths, so it can be an argument of a jitted or vmapped function.
    """

    def __init__(self, loss: Callable[..., Any], penalty: Penalty, has_aux: bool = False):
        self.loss = loss
        self.penalty = penalty
        self.has_aux = has_aux

    def __call__(self, params: PyTree, *batch: Any) -> Any:
        """``loss + penalty``; with ``has_aux`` the pair (that scalar, aux)."""
        if self.has_aux:
            value, aux = self.loss(params, *batch)
            return value + self.penalty(params), aux
        return self.loss(params, *batch) + self.penalty(params)

    def parts(self, params: PyTree, *batch: Any) -> tuple[Any, Any]:
        """The pair (loss, penalty) whose sum the objective is; aux is left out."""
        value = self.loss(params, *batch)
        return (value[0] if self.has_aux else value), self.penalty(params)

    def grad(self, params: PyTree, *batch: Any) -> PyTree:
        """``jax.grad(loss) + penalty.grad``: autodiff for the loss, the closed form for the penalty."""
        slopes = jax.grad(lambda p: self.parts(p, *batch)[0])(params)
        return jax.tree.map(lambda a, b: a + b, slopes, self.penalty.grad(params))

    def with_penalty(self, penalty: Penalty) -> Objective:
        """The same loss under another penalty."""
        return Objective(self.loss, penalty, self.has_aux)

    def formula(self) -> str:
        """``loss(params) + …`` with the penalty written out."""
        name = getattr(self.loss, "__name__", type(self.loss).__name__)
        return f"{name if name.isidentifier() else 'loss'}(w) + {self.penalty.formula()}"

    def __repr__(self) -> str:
        return f"<objective: {self.formula()}>"

    def tree_flatten(self):
        return (self.penalty,), (self.loss, self.has_aux)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Objective:
        return cls(aux[0], children[0], aux[1])


def objective(loss: Callable[..., Any], penalty: Penalty, has_aux: bool = False) -> Objective:
    """Compose a loss and a penalty: the result is exactly ``loss(params, *batch) + penalty(params)``.

    Args:
      loss: ``(params, *batch) -> scalar``, or ``-> (scalar, aux)`` with ``has_aux``; any pytree of parameters.
      penalty: any penalty; λ in units of the loss.
      has_aux: whether the loss returns auxiliary data, which is handed on as ``jax.value_and_grad`` does.

    Returns:
      A callable ``(params, *batch) -> scalar`` for ``jax.jit``, ``jax.grad`` and ``jax.vmap``.

    Raises:
      TypeError: ``loss`` is not callable or ``penalty`` is not a penalty.

    >>> import jax, jax.numpy as jnp, jaxreg
    >>> def loss(w, X, y):
    ...     return jnp.sum((X @ w - y) ** 2)
    >>> f = jaxreg.objective(loss, jaxreg.L2(0.5))
    >>> f
    <objective: loss(w) + 0.5·Σw²>
    >>> X, y, w = jnp.eye(2), jnp.zeros(2), jnp.array([1.0, 2.0])
    >>> float(f(w, X, y)), jax.grad(f)(w, X, y).tolist()
    (7.5, [3.0, 6.0])
    >>> jax.vmap(lambda lam: jaxreg.objective(loss, jaxreg.L2(lam))(w, X, y))(jnp.array([0.0, 1.0])).tolist()
    [5.0, 10.0]
    """
    if not callable(loss):
        raise TypeError(f"loss must be a function (params, *batch) -> scalar, got {loss!r}")
    if not isinstance(penalty, Penalty):
        raise TypeError(f"penalty must be a jaxreg penalty such as jaxreg.L2(0.1), got {penalty!r}")
    return Objective(loss, penalty, has_aux)
