"""jaxopt's proximal operators: its names, its signature ``(x, hyperparams, scaling)`` and its λ, over jaxreg's penalties.

``from jaxreg.compat.jaxopt import prox_lasso`` stands in for ``from jaxopt.prox import prox_lasso``. Each function says which penalty it
is; a penalty that is not here gives a callable of the same signature by ``penalty.as_prox_fn()``. What differs from jaxopt, on purpose:

- Errors where jaxopt computes: a strength that is negative or not finite; a negative scaling; an array of strengths that is larger than
  its leaf (jaxopt enlarges x); complex x; x of integers alone, which beside floating-point leaves are handed back as they are.
- ``prox_group_lasso`` takes one strength and one scaling, and its derivative at zero is 0, where jaxopt's is NaN.
- Results have the dtype of x, whatever that of the strengths. A zero that thresholding makes is +0.0; jaxopt's has the sign of x.
- Values where jaxopt has errors: strengths and scalings that are pytree prefixes of x, in every function; x without leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .. import _tree
from .._penalties import L1, L2, GroupLasso, NonNegative
from .._penalties._arithmetic import check_strength

PyTree = Any


def prox_none(x: PyTree, hyperparams: Any = None, scaling: Any = 1.0) -> PyTree:
    """The identity: the prox of no penalty, ``Zero()``. ``hyperparams`` and ``scaling`` are ignored.

    >>> prox_none(2.0)
    2.0
    """
    del hyperparams, scaling
    return x


def prox_lasso(x: PyTree, l1reg: Any = 1.0, scaling: Any = 1.0) -> PyTree:
    """Soft thresholding, ``argmin_y ½‖y − x‖² + scaling·l1reg·Σ|y|``: the prox of ``L1(l1reg)``.

    Args:
      x: any pytree.
      l1reg: a number or a pytree that is a prefix of x, >= 0; None is 1.
      scaling: a number >= 0.

    Raises:
      ValueError: a strength is negative or not finite, or fits no leaf; the scaling is negative.
      TypeError: x is complex, or has no floating-point leaf.

    >>> import jax.numpy as jnp
    >>> prox_lasso(jnp.array([3.0, -0.5]), 2.0, 0.5).tolist()
    [2.0, 0.0]
    """
    return L1(_or_one(l1reg)).as_prox_fn()(x, scaling=scaling)


def prox_non_negative_lasso(x: PyTree, l1reg: Any = 1.0, scaling: Any = 1.0) -> PyTree:
    """The same over ``y >= 0``: the prox of ``L1(l1reg) + NonNegative()``.

    >>> import jax.numpy as jnp
    >>> prox_non_negative_lasso(jnp.array([3.0, -3.0])).tolist()
    [2.0, 0.0]
    """
    return (L1(_or_one(l1reg)) + NonNegative()).as_prox_fn()(x, scaling=scaling)


def prox_elastic_net(x: PyTree, hyperparams: tuple[Any, Any] | None = None, scaling: Any = 1.0) -> PyTree:
    """``argmin_y ½‖y − x‖² + scaling·λ·(Σ|y| + ½γ·Σy²)`` for ``hyperparams = (λ, γ)``: the prox of ``L1(λ) + L2(λγ/2)``.

    Args:
      x: any pytree.
      hyperparams: two numbers or prefixes of x, >= 0; None is (1, 1). γ is no ``l1_ratio``: that is
        1/(1 + γ), with λ(1 + γ) as strength.
      scaling: a number >= 0.

    Raises:
      ValueError: a strength is negative or not finite, or fits no leaf; the scaling is negative.
      TypeError: one of the two strengths is None; x is complex, or has no floating-point leaf.

    >>> import jax.numpy as jnp
    >>> prox_elastic_net(jnp.array([3.0, 0.5]), (1.0, 3.0)).tolist()
    [0.5, 0.0]
    """
    lam, gamma = (1.0, 1.0) if hyperparams is None else hyperparams
    if lam is None or gamma is None:
        raise TypeError(f"prox_elastic_net: hyperparams must be two strengths, or None for (1, 1), got {hyperparams!r}")
    check_strength("prox_elastic_net: hyperparams", hyperparams)
    treedef = jax.tree.structure(x)
    pairs = zip(_tree.broadcast_prefix(lam, x, "hyperparams[0]"), _tree.broadcast_prefix(gamma, x, "hyperparams[1]"), strict=True)
    halves = jax.tree.unflatten(treedef, [a * b / 2 for a, b in pairs])
    return (L1(lam) + L2(halves)).as_prox_fn()(x, scaling=scaling)


def prox_group_lasso(x: PyTree, l2reg: Any = 1.0, scaling: Any = 1.0) -> PyTree:
    """Block soft thresholding, ``argmin_y ½‖y − x‖² + scaling·l2reg·‖y‖₂``: all leaves of x are one group, of weight 1.

    ``jax.vmap`` makes several groups, and ``GroupLasso(l2reg, groups, weights)`` has them without it; mind that its weights are
    the square roots of the groups' sizes unless given.

    >>> import jax.numpy as jnp
    >>> prox_group_lasso(jnp.array([3.0, 4.0]), 2.5).tolist()
    [1.5, 2.0]
    """
    return GroupLasso(_or_one(l2reg), groups=0, weights=jnp.ones(1)).as_prox_fn()(x, scaling=scaling)


def prox_ridge(x: PyTree, l2reg: Any = 1.0, scaling: Any = 1.0) -> PyTree:
    """``x/(1 + scaling·l2reg)``: the prox of ``½·l2reg·Σy²``, that is of ``L2(l2reg/2)``.

    jaxopt's later documentation leaves the ½ out; its code, which this follows, has it.

    >>> import jax.numpy as jnp
    >>> prox_ridge(jnp.array([3.0]), 2.0).tolist()
    [1.0]
    """
    return L2(_half(l2reg, "prox_ridge")).as_prox_fn()(x, scaling=scaling)


def prox_non_negative_ridge(x: PyTree, l2reg: Any = 1.0, scaling: Any = 1.0) -> PyTree:
    """The same over ``y >= 0``: the prox of ``L2(l2reg/2) + NonNegative()``.

    >>> import jax.numpy as jnp
    >>> prox_non_negative_ridge(jnp.array([3.0, -3.0]), 2.0).tolist()
    [1.0, 0.0]
    """
    return (L2(_half(l2reg, "prox_non_negative_ridge")) + NonNegative()).as_prox_fn()(x, scaling=scaling)


def make_prox_from_projection(projection: Callable[[PyTree, Any], PyTree]) -> Callable[..., PyTree]:
    """The prox of a set's indicator is the projection onto it, whatever the scaling.

    Args:
      projection: ``(x, hyperparams) -> y``, as in ``optax.projections``.

    >>> import jax.numpy as jnp, optax
    >>> prox = make_prox_from_projection(optax.projections.projection_l2_ball)
    >>> prox(jnp.array([3.0, 4.0]), 1.0).tolist()
    [0.6..., 0.8...]
    """

    def prox(x: PyTree, hyperparams: Any = None, scaling: Any = 1.0) -> PyTree:
        del scaling
        return projection(x, hyperparams)

    return prox


def _or_one(strength: Any) -> Any:
    return 1.0 if strength is None else strength


def _half(strength: Any, name: str) -> Any:
    check_strength(f"{name}: l2reg", strength)
    return jax.tree.map(lambda value: value / 2, _or_one(strength))
