"""Penalties of single numbers: define one elementwise, and the pytree work is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Scalar

from .. import _tree
from .._dtypes import accumulator, cast, is_penalised_leaf
from ._arithmetic import check_step, refuse_nothing, total, zero_or_inf, zeros
from ._base import Penalty, PyTree, UnknownOperation, _fields


def _leaf_value(cls: Any, w: Array, *strengths: Any) -> Array:
    """The penalty of each number."""
    raise UnknownOperation("a Separable penalty must define leaf_value(w, *strengths)")


def _leaf_grad(cls: Any, w: Array, *strengths: Any) -> Array:
    """The derivative at each number; derived by autodiff unless overridden."""
    return jax.grad(lambda x: jnp.sum(cls.leaf_value(x, *strengths)))(w)


def _leaf_prox(cls: Any, w: Array, step: Any, *strengths: Any) -> Array:
    """``argmin_z ½(z − w)² + step·value(z)`` for each number; ``step`` may be an array."""
    raise UnknownOperation(f"{cls.__name__} defines no leaf_prox(w, step, *strengths)")


def _leaf_subdifferential(cls: Any, w: Array, *strengths: Any) -> tuple[Array, Array]:
    """The ends of the interval of subgradients at each number."""
    if not cls.smooth:
        raise UnknownOperation(f"{cls.__name__} is not smooth and defines no leaf_subdifferential")
    gradient = cls.leaf_grad(w, *strengths)
    return gradient, gradient


def _leaf_support(cls: Any, w: Array, *strengths: Any) -> Array:
    """True where the penalty is smooth around w."""
    if not cls.smooth:
        raise UnknownOperation(f"{cls.__name__} is not smooth and defines no leaf_support")
    return jnp.ones(w.shape, bool)


def _leaf_conjugate(cls: Any, u: Array, *strengths: Any) -> Array:
    """``sup_w u·w − value(w)`` for each number."""
    raise UnknownOperation(f"the conjugate of {cls.__name__} is not known in closed form")


def _leaf_free(cls: Any, w: Array, *strengths: Any) -> Array:
    """True where the strengths make the penalty vanish."""
    return jnp.broadcast_to(strengths[0] == 0, w.shape) if strengths else jnp.zeros(w.shape, bool)


class Separable(Penalty):
    """A penalty that is a sum over numbers: define it for an array, elementwise, and the pytree work is done.

    Subclasses give static methods of an array ``w`` and the strengths, in the order of the dataclass fields; only
    ``leaf_value`` is required. ``leaf_grad`` is derived by autodiff when missing.

    >>> import jax.numpy as jnp, jaxreg
    >>> class LogCosh(jaxreg.Separable):
    ...     lam: float = 1.0
    ...     convex, smooth = True, True
    ...     @staticmethod
    ...     def leaf_value(w, lam):
    ...         return lam * (jnp.logaddexp(w, -w) - jnp.log(2.0))
    >>> penalty = LogCosh(2.0).on("**/kernel")
    >>> float(penalty.grad({"kernel": jnp.ones(3), "bias": jnp.ones(3)})["kernel"][0])  # 2·tanh(1)
    1.523...
    """

    separable = True

    # Of an array w and the strengths. Declared as ClassVar[Any] so that a subclass may bind static methods.
    leaf_value: ClassVar[Any] = classmethod(_leaf_value)
    leaf_grad: ClassVar[Any] = classmethod(_leaf_grad)
    leaf_prox: ClassVar[Any] = classmethod(_leaf_prox)
    leaf_subdifferential: ClassVar[Any] = classmethod(_leaf_subdifferential)
    leaf_support: ClassVar[Any] = classmethod(_leaf_support)
    leaf_conjugate: ClassVar[Any] = classmethod(_leaf_conjugate)
    leaf_free: ClassVar[Any] = classmethod(_leaf_free)

    def curvature(self, params: PyTree) -> PyTree:
        def diagonal(w: Array, *strengths: Any) -> Array:
            return jax.jvp(lambda x: self.leaf_grad(x, *strengths), (w,), (jnp.ones_like(w),))[1]

        return self._map(diagonal, zeros, params)

    def _map(self, function: Callable[..., Any], exempt: Callable[[Any], Any], params: PyTree, *rest: list[Any], wide: bool = False) -> Any:
        """``function(leaf, *rest, *strengths)`` on penalised leaves, ``exempt(leaf)`` on the others.

        With ``wide``, leaves of half precision are taken to float32 first: sums of squares overflow or lose digits there.
        """
        leaves, treedef = jax.tree.flatten(params)
        refuse_nothing(leaves)
        names = [f.name for f in _fields(self) if not f.metadata.get("static")]
        columns = [_tree.broadcast_prefix(getattr(self, n), params, n, own_leaf=True) for n in names]
        out = []
        for i, leaf in enumerate(leaves):
            strengths = [column[i] for column in columns]
            if not is_penalised_leaf(leaf) or any(s is None for s in strengths):
                out.append(exempt(leaf))
                continue
            w = accumulator(jnp.asarray(leaf)) if wide else jnp.asarray(leaf)
            out.append(function(w, *[cast(column[i], w) for column in rest], *[cast(s, w) for s in strengths]))
        return jax.tree.unflatten(treedef, out)

    def __call__(self, params: PyTree) -> Scalar:
        values = self._map(lambda w, *s: jnp.sum(self.leaf_value(w, *s)), lambda _: None, params, wide=True)
        return total(values)

    def grad(self, params: PyTree) -> PyTree:
        return self._map(lambda w, *s: self.leaf_grad(w, *s), zeros, params)

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        check_step(step, params)
        steps = _tree.broadcast_prefix(step, params, "step", own_leaf=True)
        return self._map(lambda w, t, *s: self.leaf_prox(w, t, *s), lambda leaf: leaf, params, steps)

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        lower = self._map(lambda w, *s: self.leaf_subdifferential(w, *s)[0], zeros, params)
        upper = self._map(lambda w, *s: self.leaf_subdifferential(w, *s)[1], zeros, params)
        return lower, upper

    def conjugate(self, dual: PyTree) -> Scalar:
        values = self._map(
            lambda u, *s: jnp.sum(self.leaf_conjugate(u, *s)),
            lambda u: jnp.sum(zero_or_inf(jnp.asarray(u))) if is_penalised_leaf(u) else None,
            dual,
            wide=True,
        )
        return total(values)

    def support(self, params: PyTree) -> PyTree:
        return self._map(lambda w, *s: self.leaf_support(w, *s), lambda w: jnp.ones(np.shape(w), bool), params)

    def free(self, params: PyTree) -> PyTree:
        return self._map(lambda w, *s: self.leaf_free(w, *s), lambda w: jnp.ones(np.shape(w), bool), params)
