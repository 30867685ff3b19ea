"""Terms of an objective that penalise no parameters: activations, Jacobians, input gradients.

Each function here makes a pure ``(params, *batch) -> scalar``, of which the first of the batch is the inputs, rows first. :func:`add`
adds terms to a loss, and the sum goes to ``objective``, ``make_step`` or ``jax.grad`` as any loss does. Strengths may be traced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Scalar

from ._dtypes import accumulator
from ._penalties import Penalty
from ._penalties._arithmetic import check_strength

PyTree = Any
Term = Callable[..., Any]  # (params, *batch) -> scalar


def add(loss: Term, *terms: Term, has_aux: bool = False) -> Term:
    """``loss + Σ terms``, a loss like the first.

    Args:
      loss: ``(params, *batch) -> scalar``, or ``-> (scalar, aux)`` with ``has_aux``.
      *terms: made by this module, or any ``(params, *batch) -> scalar``.
      has_aux: whether the loss returns auxiliary data, which the sum hands on.

    Raises:
      TypeError: the loss or a term is not callable, or is a penalty, which ``objective`` takes.

    >>> import jax.numpy as jnp, jaxreg
    >>> def loss(w, x, y):
    ...     return jnp.sum((x @ w - y) ** 2)
    >>> total = jaxreg.terms.add(loss, jaxreg.terms.jacobian(lambda w, x: x @ w, lam=0.1))
    >>> jaxreg.objective(total, jaxreg.L2(0.5))
    <objective: loss_plus_jacobian(w) + 0.5·Σw²>
    >>> float(total(jnp.array([1.0, 2.0]), jnp.eye(2), jnp.array([1.0, 2.0])))
    0.5
    """
    for function in (loss, *terms):
        if isinstance(function, Penalty) or not callable(function):
            raise TypeError(f"add takes functions (params, *batch) -> scalar, got {function!r}; a penalty goes to objective(loss, penalty)")

    def total(params: PyTree, *batch: Any) -> Any:
        value, aux = loss(params, *batch) if has_aux else (loss(params, *batch), None)
        for term in terms:
            value = value + term(params, *batch)
        return (value, aux) if has_aux else value

    total.__name__ = "_plus_".join(getattr(function, "__name__", "term").strip("<>") for function in (loss, *terms))
    return total


def activity(apply: Callable[..., PyTree], penalty: Penalty) -> Term:
    """``penalty(apply(params, x)) / rows``: a penalty of activations, averaged over the rows of x.

    Args:
      apply: ``(params, x) -> activations``, an array or a pytree of arrays (then ``penalty.on`` selects among them).
      penalty: any penalty; λ in units of loss per row. With L1 it is Keras's ``activity_regularizer``.

    Raises:
      TypeError: ``penalty`` is no penalty.

    >>> import jax.numpy as jnp, jaxreg
    >>> term = jaxreg.terms.activity(lambda w, x: jnp.tanh(x @ w), jaxreg.L1(0.5))
    >>> round(float(term(jnp.eye(2), jnp.array([[1.0, -1.0], [0.0, 0.0]]))), 4)  # 0.5·2·tanh(1)/2
    0.3808
    """
    if not isinstance(penalty, Penalty):
        raise TypeError(f"activity: penalty must be a jaxreg penalty such as jaxreg.L1(0.1), got {penalty!r}")

    def activity(params: PyTree, x: PyTree, *rest: Any) -> Scalar:
        del rest
        return penalty(apply(params, x)) / _rows(x)

    return activity


def jacobian(apply: Callable[..., PyTree], lam: Any = 1.0, key: Any = None, projections: int = 1) -> Term:
    """``lam·mean_i ‖∂f(params, x_i)/∂x‖_F²``: how much outputs move with inputs, averaged over the rows of x.

    Exact without a key, at the cost of the smaller of inputs and outputs in passes. With a key it is estimated without bias from
    random directions v of the outputs, ``outputs·mean ‖vᵀ∂f/∂x‖²`` over unit vectors v: one pass back for each projection.

    Args:
      apply: ``(params, x) -> outputs`` of rows of inputs (rows, …), where no row may touch another's outputs: batch normalisation in
        training mode does. The exact form runs it row by row.
      lam: strength, >= 0. No ½: Hoffman, Roberts and Yaida's λ is ``2·lam``.
      key: a PRNG key for random projections. A step needs a fresh one: make the term inside the loss, with a key from the batch.
      projections: directions for each row, >= 1.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``projections`` is less than 1, or more without a key; outputs have no rows.
      TypeError: ``projections`` is no integer; x holds integers, which have no derivative.

    References:
      Hoffman, Roberts and Yaida, Robust learning with Jacobian regularization, 2019, alg. 1 (projections); the idea:
      Sokolić et al., Robust large margin deep neural networks, 2017.

    >>> import jax, jax.numpy as jnp, jaxreg
    >>> linear = lambda W, x: x @ W
    >>> W, x = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.ones((8, 2))
    >>> float(jaxreg.terms.jacobian(linear, 0.5)(W, x))  # 0.5·‖W‖_F²
    15.0
    >>> value = jaxreg.terms.jacobian(linear, 0.5, key=jax.random.key(0), projections=1000)(W, x)
    >>> bool(abs(value - 15.0) < 0.5)
    True
    """
    check_strength("jacobian: lam", lam)
    if not isinstance(projections, int | np.integer) or isinstance(projections, bool):
        raise TypeError(f"jacobian: projections must be an integer, got {projections!r}")
    if projections < 1:
        raise ValueError(f"jacobian: projections must be >= 1, got {projections}")
    if key is None and projections != 1:
        raise ValueError(f"jacobian: projections={projections} are random and need a key; without one the Jacobian is exact")

    def jacobian(params: PyTree, x: PyTree, *rest: Any) -> Scalar:
        del rest
        function = functools.partial(apply, params)
        _check_differentiable(x)
        _check_rows_out(function, x)
        found = _exact(function, x) if key is None else _projected(function, x, key, projections)
        return lam * found / _rows(x)

    return jacobian


def input_gradient(loss: Term, lam: Any = 1.0, has_aux: bool = False) -> Term:
    """``lam·mean_i ‖∂loss(params, x_i, …)/∂x_i‖²``: double backpropagation; small where the loss is flat around each input.

    Args:
      loss: ``(params, x, *batch) -> scalar``, or ``-> (scalar, aux)`` with ``has_aux``; it is asked for one row at a time, so a sum and a
        mean over rows give the same.
      lam: strength, >= 0, in units of input² per loss. No ½.
      has_aux: whether the loss returns auxiliary data, which is left out here.

    Raises:
      ValueError: ``lam`` is negative or not finite; an argument after ``params`` does not have the rows of x.

    References:
      Drucker and LeCun, Improving generalization performance using double backpropagation, 1992.

    >>> import jax.numpy as jnp, jaxreg
    >>> def loss(w, x, y):
    ...     return jnp.sum((x @ w - y) ** 2)
    >>> term = jaxreg.terms.input_gradient(loss, lam=0.5)
    >>> float(term(jnp.array([3.0, 4.0]), jnp.zeros((2, 2)), jnp.array([1.0, 0.0])))  # 0.5·(2²·1²·‖w‖² + 0)/2
    25.0
    """
    check_strength("input_gradient: lam", lam)

    def input_gradient(params: PyTree, x: PyTree, *rest: Any) -> Scalar:
        def of_row(row: PyTree, *others: Any) -> Scalar:
            found = loss(params, _one(row), *[_one(other) for other in others])
            return found[0] if has_aux else found

        rows = _rows(x)
        for other in jax.tree.leaves(rest):
            if np.shape(other)[:1] != (rows,):
                raise ValueError(
                    f"input_gradient: every argument after params is taken row by row, but one has shape {np.shape(other)} beside {rows} "
                    "rows of x; bind what has no rows into the loss"
                )
        slopes = jax.vmap(jax.grad(of_row))(x, *rest)
        return lam * _squares(slopes) / rows

    return input_gradient


def _one(row: PyTree) -> PyTree:
    """A row as a batch of one."""
    return jax.tree.map(lambda leaf: leaf[None], row)


def _rows(x: PyTree) -> int:
    counts = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(x)}
    if len(counts) != 1 or counts & {(), (0,)}:
        raise ValueError(f"x must hold rows to average over, as many in each leaf; got shapes {[np.shape(a) for a in jax.tree.leaves(x)]}")
    return counts.pop()[0]


def _squares(tree: PyTree) -> Scalar:
    return sum((jnp.sum(accumulator(leaf) ** 2) for leaf in jax.tree.leaves(tree)), start=jnp.zeros(()))


def _check_differentiable(x: PyTree) -> None:
    kinds = {str(jnp.result_type(leaf)) for leaf in jax.tree.leaves(x) if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating)}
    if kinds:
        raise TypeError(f"jacobian: x must hold floating-point numbers, got {', '.join(sorted(kinds))}; take the Jacobian at embeddings")


def _check_rows_out(function: Callable[[Any], Any], x: PyTree) -> None:
    shapes = [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(function, x))]
    if any(shape[:1] != (_rows(x),) for shape in shapes):
        raise ValueError(f"jacobian: apply must give a row of outputs for each of the {_rows(x)} rows of x, got shapes {shapes}")


def _exact(function: Callable[[Any], Any], x: PyTree) -> Scalar:
    """Σ over rows of the Jacobian's squares."""
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    mode = jax.jacfwd if count(x) <= count(jax.eval_shape(function, x)) else jax.jacrev
    return _squares(jax.vmap(mode(lambda row: function(_one(row))))(x))


def _projected(function: Callable[[Any], Any], x: PyTree, key: Any, projections: int) -> Scalar:
    outputs, back = jax.vjp(function, x)
    leaves, treedef = jax.tree.flatten(outputs)

    def squares(key: Any) -> Scalar:
        keys = jax.random.split(key, len(leaves))
        drawn = [jax.random.normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
        flat = [v.reshape(_rows(x), -1) for v in drawn]
        length = jnp.sqrt(sum((jnp.sum(v**2, axis=1) for v in flat), start=jnp.zeros(())))
        unit = [v / length.reshape(-1, *[1] * (v.ndim - 1)) for v in drawn]
        (pulled,) = back(jax.tree.unflatten(treedef, unit))
        return sum(v.shape[1] for v in flat) * _squares(pulled)

    return jnp.mean(jax.vmap(squares)(jax.random.split(key, projections)))
