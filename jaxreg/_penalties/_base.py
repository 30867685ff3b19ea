"""The penalty contract, and what every penalty gets from it for free."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Scalar

from .. import _tree
from .._dtypes import accumulator, cast, is_concrete, is_number, is_penalised_leaf
from ._arithmetic import check_numbers, coefficient, norm, refuse_nothing, total, zero_or_inf, zeros

PyTree = Any
Strength = Any  # a number, an array that belongs to one leaf, or a pytree of them that is a prefix of params


def static(**kwargs: Any) -> Any:
    """A dataclass field that is structure, not strength: part of the treedef, never traced."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


class UnknownOperation(TypeError):
    """The mathematics that was asked for has no closed form here (say, the joint prox of two penalties)."""


def _fields(penalty: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The dataclass fields; Penalty itself is no dataclass, so a type checker must be told."""
    return dataclasses.fields(penalty)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static,))
class Penalty:
    """A function of parameters that is added to a loss, with everything a solver needs to know of it.

    Subclasses become frozen dataclasses registered as pytrees. Their fields are the leaves (strengths), save those
    declared with ``static()``. Unflattening never validates, so gradients with respect to a penalty, ``in_axes``
    and tracers go through; values that a person passes are checked once, at construction.

    For a penalty that acts on each number by itself, subclass :class:`Separable`, which asks for less.
    """

    __array_ufunc__ = None  # ndarray * penalty is ours, not NumPy's element by element
    convex: ClassVar[bool] = False
    smooth: ClassVar[bool] = False
    separable: ClassVar[bool] = False
    finite: ClassVar[bool] = True  # false for constraints, whose value outside is +inf
    cone: ClassVar[bool] = False  # the indicator of a cone that scaling and group shrinkage stay inside
    # How the penalty takes part in a joint prox: "soft", "norm", "quadratic", "interval" or "" (see _sum.py).
    role: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        # repr is left to this class; eq=False because comparing arrays has no single truth value.
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        names = [f.name for f in _fields(cls)]
        is_static = {f.name: bool(f.metadata.get("static")) for f in _fields(cls)}
        data = [n for n in names if not is_static[n]]
        meta = [n for n in names if is_static[n]]

        def flatten(p: Any) -> tuple[list[Any], tuple[Any, ...]]:
            return [getattr(p, n) for n in data], tuple(getattr(p, n) for n in meta)

        def flatten_with_keys(p: Any):
            keyed = [(jax.tree_util.GetAttrKey(n), getattr(p, n)) for n in data]
            return keyed, tuple(getattr(p, n) for n in meta)

        def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
            new = object.__new__(cls)
            for name, value in (*zip(data, children, strict=True), *zip(meta, aux, strict=True)):
                object.__setattr__(new, name, value)
            return new

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)

    def __post_init__(self) -> None:
        for field in _fields(self):
            if not field.metadata.get("static"):
                self._validate(field.name, getattr(self, field.name))

    def _validate(self, name: str, value: Any) -> None:
        """Strengths are finite and not negative."""
        check_numbers(f"{type(self).__name__}: {name}", value, lambda x: np.isfinite(x) & (x >= 0), "finite and >= 0")

    def _with(self, **changes: Any) -> Any:
        """A copy with fields replaced and nothing validated (the new values may be tracers or derived)."""
        new = object.__new__(type(self))
        for field in _fields(self):
            object.__setattr__(new, field.name, changes.get(field.name, getattr(self, field.name)))
        return new

    # --- what a subclass defines -------------------------------------------------------------------------------

    def __call__(self, params: PyTree) -> Scalar:
        """The scalar added to the loss."""
        raise UnknownOperation(f"{type(self).__name__} defines no value")

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        """``argmin_z ½‖z − params‖² + step·penalty(z)``."""
        raise UnknownOperation(f"the prox of {type(self).__name__} is not known in closed form")

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        """Elementwise bounds (lower, upper) of the subdifferential; empty (lower > upper) outside the domain.

        For a group norm, whose subdifferential at zero is a ball and no interval, the bounds are those of the smooth
        part and ``_relax`` accounts for the ball.
        """
        if self.smooth:
            gradient = self.grad(params)
            return gradient, gradient
        raise UnknownOperation(f"{type(self).__name__} defines no subdifferential")

    def conjugate(self, dual: PyTree) -> Scalar:
        """The Fenchel conjugate ``sup_w ⟨dual, w⟩ − penalty(w)``."""
        raise UnknownOperation(f"the conjugate of {type(self).__name__} is not known in closed form")

    def support(self, params: PyTree) -> PyTree:
        """Boolean pytree: true where the penalty is locally smooth."""
        if self.smooth:
            return jax.tree.map(lambda w: jnp.ones(jnp.shape(w), bool), params)
        raise UnknownOperation(f"{type(self).__name__} defines no support")

    def free(self, params: PyTree) -> PyTree:
        """Boolean pytree: true on the coordinates that this penalty does not touch at all."""
        return jax.tree.map(lambda w: jnp.zeros(jnp.shape(w), bool), params)

    def curvature(self, params: PyTree) -> PyTree:
        """The diagonal of the Hessian, where the penalty is smooth."""
        ones = jax.tree.map(jnp.ones_like, params)
        if not self.separable:
            raise UnknownOperation(f"{type(self).__name__} is not separable: its Hessian is no diagonal")
        return jax.jvp(self.grad, (params,), (ones,))[1]

    def reference(self) -> Any:
        """What ``around`` moved the penalty to, None at zero."""
        return None

    def scaled(self, factor: Strength) -> Penalty:
        """``factor * penalty``. The strength is taken to enter linearly through the field ``lam``."""
        lam = getattr(self, "lam")
        return self._with(lam=jax.tree.map(lambda value: factor * value, lam))

    def formula(self, prefix: str = "", w: str = "w") -> str:
        """The penalty as a reader would write it, with ``prefix`` (say ``λ``) in front of its strength."""
        return f"{coefficient(prefix, getattr(self, 'lam', 1.0))}{type(self).__name__}({w})"

    # --- what follows from the definition ----------------------------------------------------------------------

    def grad(self, params: PyTree) -> PyTree:
        """The gradient; an element of the subdifferential at a kink. Derived by autodiff unless overridden."""
        return jax.grad(lambda p: self(p))(params)

    def subdiff_distance(self, params: PyTree, grad: PyTree) -> Scalar:
        """Euclidean distance, over the whole tree, from ``−grad`` to the subdifferential at ``params``.

        Zero exactly where ``params`` is stationary for ``loss + penalty`` and ``grad`` is the loss's gradient.
        """
        lower, upper = self.subdifferential(params)

        def outside(w: Any, g: Any, lo: Any, up: Any) -> Any:
            return jnp.maximum(jnp.maximum(lo + g, -g - up), 0.0) if is_penalised_leaf(w) else None

        residual = self._relax(params, jax.tree.map(outside, params, grad, lower, upper))
        return norm(residual)

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        """What is left of a residual after the part of the subdifferential that is no interval took its share."""
        del params
        return residual

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        """The smallest λ for which zero solves ``loss + λ·penalty``; +inf where there is none (ridge).

        Args:
          grad_at_zero: the loss's gradient at zero (with unpenalised coordinates at their best).
            Coordinates that carry no penalty are left out.
        """
        zero = jax.tree.map(jnp.zeros_like, grad_at_zero)
        member = self.at(1.0)  # in the grid's units, also where λ takes the strength's place
        lower, upper = member.subdifferential(zero)
        free = member.free(zero)

        def smallest(g: Any, lo: Any, up: Any, untouched: Any) -> Any:
            # −g must lie in λ·[lo, up]; an infinite bound is met at once, a zero bound never unless g is 0.
            bound = jnp.where(g > 0, -lo, up)
            ratio = jnp.where(jnp.isinf(bound), 0.0, jnp.abs(g) / jnp.where(bound > 0, bound, 1.0))
            ratio = jnp.where(((bound <= 0) & (g != 0)) | (lo > up), jnp.inf, ratio)
            return jnp.max(jnp.where(untouched, 0.0, ratio), initial=0.0)

        found = jax.tree.leaves(jax.tree.map(smallest, grad_at_zero, lower, upper, free))
        return jnp.max(jnp.stack(found)) if found else jnp.zeros(())

    def at(self, lam: Strength) -> Penalty:
        """The member of the λ path at ``lam``: ``lam * penalty``."""
        return self.scaled(lam)

    def as_prox_fn(self) -> Callable[..., PyTree]:
        """The prox as ``prox(x, hyperparams=None, scaling=1.0)``, the signature of jaxopt and of the solvers written for it.

        ``hyperparams`` is λ: the prox is that of ``scaling·penalty.at(λ)``, and of the penalty as it stands where it is None.

        >>> import jax.numpy as jnp, jaxreg
        >>> jaxreg.L1(1.0).as_prox_fn()(jnp.array([3.0, -0.5]), 2.0, 0.5).tolist()
        [2.0, -0.0]
        """

        def prox(x: PyTree, hyperparams: Strength = None, scaling: Any = 1.0) -> PyTree:
            return (self if hyperparams is None else self.at(hyperparams)).prox(x, scaling)

        return prox

    def terms(self) -> tuple[Penalty, ...]:
        """The summands, for a joint prox; an elastic net is two."""
        return (self,)

    def covers(self, params: PyTree) -> PyTree:
        """A pytree of Python bools: the leaves that this penalty is placed on."""
        return jax.tree.map(is_penalised_leaf, params)

    def on(self, where: Any) -> Penalty:
        """The same penalty on some leaves: a glob over the path, a predicate, or a mask or prefix pytree.

        >>> import jaxreg
        >>> penalty = jaxreg.L2(0.5).on("**/kernel")
        >>> float(penalty({"dense": {"kernel": 2.0, "bias": 3.0}}))
        2.0
        """
        from ._place import On

        return On(self, where)

    def around(self, reference: PyTree) -> Penalty:
        """Penalise ``params − reference`` (L2-SP, transfer learning, a lasso on differences).

        >>> import jaxreg
        >>> float(jaxreg.L2(1.0).around(1.0)(3.0))
        4.0
        """
        from ._place import Around

        return Around(self, reference)

    def __add__(self, other: Any) -> Penalty:
        from ._sum import add

        return add(self, other) if isinstance(other, Penalty) else NotImplemented

    def __radd__(self, other: Any) -> Penalty:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum([...]) starts at 0

    def __mul__(self, factor: Any) -> Penalty:
        if isinstance(factor, Penalty) or not is_number(factor):
            return NotImplemented
        check_numbers("factor", factor, lambda x: np.isfinite(x) & (x >= 0), "finite and >= 0")
        return self.scaled(factor)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        fields = _fields(self)
        return f"{type(self).__name__}({', '.join(f'{f.name}={_shown(getattr(self, f.name))}' for f in fields)})"


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


def _shown(value: Any) -> str:
    return repr(jax.tree.map(lambda x: x if is_concrete(x) else "traced", value))


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
        check_numbers("step", step, lambda s: s >= 0, ">= 0")
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
