"""``solve``: minimise a loss plus a penalty over any pytree, and differentiate the answer."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp

from .. import _tree
from .._dtypes import is_concrete, is_number, is_penalised_leaf
from .._penalties import Penalty
from .._penalties._arithmetic import norm
from .._warnings import ConvergenceWarning
from . import _fista
from ._contract import Problem, along
from ._gradient_descent import solver as _gradient_descent
from ._lbfgs import solver as _lbfgs

PyTree = Any
METHODS: dict[str, Any] = {"fista": _fista, "gradient_descent": _gradient_descent, "lbfgs": _lbfgs}
# Up to this many parameters the implicit system is solved densely, where no iteration can fail to converge.
_DENSE = 1024


class Solution(NamedTuple):
    """The answer of :func:`solve`.

    Attributes:
      params: the minimiser, of ``init``'s structure.
      value: the objective there.
      optimality: distance from ``−∇loss`` to the penalty's subdifferential, over ‖∇loss(init)‖, so that the scale of the
        loss does not matter (an ``init`` where the loss alone is stationary sets an impossible unit; start elsewhere).
      converged: whether everything is finite and ``optimality`` is within ``tol``.
      steps: steps taken.
    """

    params: PyTree
    value: jax.Array
    optimality: jax.Array
    converged: jax.Array
    steps: jax.Array


def solve(
    loss: Callable[..., Any],
    penalty: Penalty,
    init: PyTree,
    *args: Any,
    method: str = "auto",
    tol: float | None = None,
    max_steps: int = 20_000,
) -> Solution:
    """Minimise ``loss(params, *args) + penalty(params)``.

    The answer is differentiable with respect to the penalty's strengths and ``args``, by the implicit function theorem on
    the fixed point ``params = prox(params − step·∇loss)``: coordinates that the prox holds at a kink do not move, so the
    system is that of the support. At a knot (where the support changes) the derivative is one-sided. Second
    derivatives of the answer are not defined here.

    Args:
      loss: ``(params, *args) -> scalar``, differentiable.
      penalty: any penalty with a prox; for the smooth methods any smooth penalty.
      init: a pytree of floating-point parameters to start from; other leaves are kept as they are.
      *args: handed to the loss (data, other parameters).
      method: ``"fista"``, ``"lbfgs"``, ``"gradient_descent"``, or ``"auto"``: L-BFGS where the penalty is smooth, else FISTA.
      tol: on ``Solution.optimality``; default 1e-8 in float64, 1e-5 in float32.
      max_steps: most steps to take.

    Returns:
      A :class:`Solution`.

    Raises:
      ValueError: an unknown method, a smooth method for a penalty that is not, or ``init`` without floating-point leaves.
      UnknownOperation: the penalty has no prox.

    Warns:
      ConvergenceWarning: not within ``tol``; inside a transformation there is only the field.

    >>> import jax, jax.numpy as jnp, jaxreg
    >>> def loss(w, y):
    ...     return 0.5 * jnp.sum((w - y) ** 2)
    >>> y = jnp.array([3.0, 0.5])
    >>> jaxreg.solve(loss, jaxreg.L1(1.0), jnp.zeros(2), y).params.tolist()
    [2.0, 0.0]
    >>> jax.jacobian(lambda lam: jaxreg.solve(loss, jaxreg.L1(lam), jnp.zeros(2), y).params)(1.0).tolist()
    [-1.0, 0.0]
    """
    if not isinstance(penalty, Penalty):
        raise TypeError(f"penalty must be a jaxreg penalty such as jaxreg.L1(0.1), got {penalty!r}")
    if method == "auto":
        method = "lbfgs" if penalty.smooth else "fista"
    if method not in METHODS:
        raise ValueError(f"method must be one of {('auto', *METHODS)}, got {method!r}")
    if method != "fista" and not penalty.smooth:
        raise ValueError(f'method="{method}" needs a smooth penalty, which {penalty!r} is not; use method="fista"')
    if not any(is_penalised_leaf(leaf) for leaf in jax.tree.leaves(init)):
        raise ValueError("init has no floating-point leaf to optimise")
    traced = not all(is_concrete(x) for x in jax.tree.leaves((penalty, init, args)))
    arrays = all(is_number(leaf) for leaf in jax.tree.leaves(init))
    # Inside a transformation the surrounding program is compiled as a whole; a cache keyed by the loss could then hold
    # on to tracers that the loss closes over.
    run = _compiled if arrays and _hashable(loss) and not traced else _run
    tol = jnp.nan if tol is None else tol
    solution = run(loss, penalty, init, args, method=method, tol=tol, max_steps=max_steps)
    if is_concrete(solution.converged) and not bool(jnp.all(solution.converged)):
        warnings.warn(
            f"solve: stopped after {int(solution.steps)} steps at optimality {float(solution.optimality):.1e}, above tol; "
            "the answer is marked converged=False. More max_steps, a larger tol or a better scaled problem may serve",
            ConvergenceWarning,
            stacklevel=2,
        )
    return solution


def _hashable(loss: Any) -> bool:
    try:
        hash(loss)
    except TypeError:
        return False
    return True


def _run(loss: Any, penalty: Penalty, init: PyTree, args: Any, *, method: str, tol: Any, max_steps: int) -> Solution:
    mask = jax.tree.map(is_penalised_leaf, init)
    # Leaves that are no parameters leave the tree (None is no leaf) and come back for the loss.
    start = jax.tree.map(lambda w: None if w is None else jnp.asarray(w), _tree.keep(mask, init), is_leaf=lambda x: x is None)

    def whole(params: PyTree) -> PyTree:
        return _tree.fill(params, init, lambda leaf: leaf)

    def bind(penalty: Penalty, args: Any) -> Problem:
        return Problem(lambda params: loss(whole(params), *args), penalty)

    # The iterations are not differentiated, their fixed point is.
    frozen = bind(*jax.lax.stop_gradient((penalty, args)))
    solver = METHODS[method]
    size = norm(jax.grad(frozen.smooth)(start))
    unit = jnp.where(size > 0, size, 1.0)
    tol = jnp.where(jnp.isnan(tol), 1e-8 if unit.dtype == jnp.float64 else 1e-5, tol)

    def unfinished(carry: tuple[Any, Any, Any, Any]) -> Any:
        _, value, reached, count = carry
        return (reached > tol * unit) & (count < max_steps) & jnp.isfinite(value)

    def body(carry: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        state, info = solver.step(frozen, carry[0])
        return state, info.value.astype(unit.dtype), info.optimality.astype(unit.dtype), carry[3] + 1

    # An infinite start (outside a constraint) is no reason to stop before the first step.
    first = (solver.init(frozen, start), jnp.zeros_like(unit), jnp.full_like(unit, jnp.inf), jnp.zeros((), int))
    state, value, reached, steps = jax.lax.while_loop(unfinished, body, first)
    problem = bind(penalty, args)
    params = _implicit(bind, jax.lax.stop_gradient(state.params), penalty, args)
    converged = jnp.isfinite(value) & (reached <= tol * unit)
    return Solution(whole(params), problem.total(params), jnp.where(jnp.isfinite(value), reached / unit, jnp.nan), converged, steps)


_compiled = jax.jit(_run, static_argnames=("loss", "method", "max_steps"))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _implicit(bind: Callable[[Penalty, Any], Problem], solution: PyTree, penalty: Penalty, args: Any) -> PyTree:
    """``solution`` with the derivatives that the fixed point of the prox-gradient map gives it: −(∂F/∂w)⁻¹ ∂F/∂θ."""
    del bind, penalty, args
    return solution


@_implicit.defjvp
def _implicit_jvp(bind: Callable[[Penalty, Any], Problem], primals: Any, tangents: Any) -> tuple[PyTree, PyTree]:
    solution, penalty, args = primals

    def residual(params: PyTree, penalty: Penalty, args: Any) -> PyTree:
        problem = bind(penalty, args)
        slope = jax.grad(problem.smooth)(params)
        if penalty.smooth:
            return jax.tree.map(jnp.add, slope, penalty.grad(params))
        # Any step gives the same derivative; 1 needs no estimate of the curvature.
        return jax.tree.map(jnp.subtract, params, penalty.prox(along(params, slope, -1.0), 1.0))

    _, shift = jax.jvp(lambda penalty, args: residual(solution, penalty, args), (penalty, args), tangents[1:])
    right, unravel = jax.flatten_util.ravel_pytree(shift)

    def matvec(x: Any) -> Any:
        moved = jax.jvp(lambda params: residual(params, penalty, args), (solution,), (unravel(x),))[1]
        return jax.flatten_util.ravel_pytree(moved)[0]

    if right.size <= _DENSE:
        matrix = jax.vmap(matvec, out_axes=1)(jnp.eye(right.size, dtype=right.dtype))
        # The pseudo-inverse: where the minimiser is not unique, the derivative of least norm.
        moved = jnp.linalg.pinv(matrix) @ right
    else:

        def gmres(linear: Callable[[Any], Any], x: Any) -> Any:
            tol = 1e-3 * float(jnp.finfo(x.dtype).eps) ** 0.5
            found = jax.scipy.sparse.linalg.gmres(linear, x, tol=tol, restart=64, maxiter=100)[0]
            # A derivative that the iteration did not reach is no derivative.
            missed = jnp.linalg.norm(linear(found) - x) > 1e3 * tol * jnp.linalg.norm(x)
            return jnp.where(missed, jnp.nan, found)

        moved = jax.lax.custom_linear_solve(matvec, right, solve=gmres, transpose_solve=gmres)
    return solution, unravel(-moved)
