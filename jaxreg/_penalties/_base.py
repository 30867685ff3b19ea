"""The penalty contract, and what every penalty gets from it for free."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Scalar

from .._dtypes import is_concrete, is_number, is_penalised_leaf
from ._about import About
from ._arithmetic import check_numbers, check_step, check_strength, coefficient, norm, poisoned

PyTree = Any
Strength = Any  # a number, an array that belongs to one leaf, or a pytree of them that is a prefix of params


def static(**kwargs: Any) -> Any:
    """A dataclass field that is structure, not strength: part of the treedef, never traced."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


class UnknownOperation(TypeError):
    """The mathematics that was asked for has no closed form here (say, the joint prox of two penalties)."""


def check_one_step(step: Any, params: PyTree, name: str, reason: str = "it has no diagonal metric") -> None:
    """For what acts on all numbers at once: a step for each of them is refused."""
    check_step(step, params)
    if not jax.tree_util.treedef_is_leaf(jax.tree.structure(step)) or np.ndim(step) != 0:
        raise UnknownOperation(f"{name}: prox needs one step for all parameters; {reason}")


def _fields(penalty: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The dataclass fields; Penalty itself is no dataclass, so a type checker must be told."""
    return dataclasses.fields(penalty)


def _nan_in_nan_out(method: Callable[[Any, PyTree], Scalar]) -> Callable[[Any, PyTree], Scalar]:
    """Conjugates and ``lambda_max`` compare, which would make 0 or inf of a NaN; every subclass's own are held to this."""

    @functools.wraps(method)
    def guarded(self: Any, tree: PyTree) -> Scalar:
        return poisoned(method(self, tree), tree)

    return guarded


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static,))
class Penalty:
    """A function of parameters that is added to a loss, with everything a solver needs to know of it.

    Subclasses become frozen dataclasses registered as pytrees. Their fields are the leaves (strengths), save those
    declared with ``static()``. Unflattening never validates, so gradients with respect to a penalty, ``in_axes``
    and tracers go through; values that a person passes are checked once, at construction.

    For a penalty that acts on each number by itself, subclass :class:`Separable`, which asks for less.
    """

    __array_ufunc__ = None  # ndarray * penalty is ours, not NumPy's element by element
    about: ClassVar[About | None] = None
    convex: ClassVar[bool] = False
    smooth: ClassVar[bool] = False  # the gradient's slope is finite about every point of the domain
    separable: ClassVar[bool] = False
    finite: ClassVar[bool] = True  # false for constraints, whose value outside is +inf
    cone: ClassVar[bool] = False  # the indicator of a cone that scaling and group shrinkage stay inside
    # How the penalty takes part in a joint prox: "soft", "norm", "quadratic", "interval", "folded", "levels" or "" (see _sum.py).
    role: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for name in ("conjugate", "lambda_max"):
            if name in vars(cls):
                setattr(cls, name, _nan_in_nan_out(vars(cls)[name]))
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
        check_strength(f"{type(self).__name__}: {name}", value)

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
        """Elementwise bounds (lower, upper) of the subdifferential: the slopes to the left and to the right.

        Where lower > upper it is empty: outside the domain, and at corners that point upwards.

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
        return norm(self._residual(params, grad))

    def _residual(self, params: PyTree, grad: PyTree) -> PyTree:
        """That distance, number by number, where the subdifferential is a sum of intervals and balls."""
        lower, upper = self.subdifferential(params)

        def outside(w: Any, g: Any, lo: Any, up: Any) -> Any:
            return jnp.where(lo > up, jnp.inf, jnp.maximum(jnp.maximum(lo + g, -g - up), 0.0)) if is_penalised_leaf(w) else None

        return self._relax(params, jax.tree.map(outside, params, grad, lower, upper))

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        """What is left of a residual after the part of the subdifferential that is no interval took its share."""
        del params
        return residual

    def _shortest(self, params: PyTree, grad: PyTree) -> PyTree:
        """The shortest element of ``grad`` plus the subdifferential at ``params``, of grad's structure; what role "levels" needs."""
        del params, grad
        raise UnknownOperation(f"the subdifferential of {self!r} in a sum is not known")

    @_nan_in_nan_out
    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        """The smallest λ from which on zero is stationary for ``loss + λ·penalty``, for a convex one a solution; +inf without one (ridge).

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
            # A slope that is not 0 at zero is no member of λ's growing intervals (an envelope of what shrinks elsewhere).
            ratio = jnp.where(((bound <= 0) & (g != 0)) | (lo > 0) | (up < 0) | (lo > up), jnp.inf, ratio)
            return jnp.max(jnp.where(untouched, 0.0, ratio), initial=0.0)

        found = jax.tree.leaves(jax.tree.map(smallest, grad_at_zero, lower, upper, free))
        return jnp.max(jnp.stack(found)) if found else jnp.zeros(())

    def weak_convexity(self) -> Any:
        """The smallest ρ >= 0 for which ``penalty + ½ρ‖·‖²`` is convex: 0 for a convex penalty, +inf where no ρ does.

        A bound from above for sums and where strengths are arrays.
        """
        return 0.0 if self.convex else np.inf

    def at(self, lam: Strength) -> Penalty:
        """The member of the λ path at ``lam``: ``lam * penalty``; of MCP, SCAD and their group forms the one whose strength is ``lam``."""
        return self.scaled(lam)

    def as_prox_fn(self) -> Callable[..., PyTree]:
        """The prox as ``prox(x, hyperparams=None, scaling=1.0)``, the signature of jaxopt and of the solvers written for it.

        ``hyperparams`` is λ: the prox is that of ``scaling·penalty.at(λ)``, and of the penalty as it stands where it is None.

        >>> import jax.numpy as jnp, jaxreg
        >>> jaxreg.L1(1.0).as_prox_fn()(jnp.array([3.0, -0.5]), 2.0, 0.5).tolist()
        [2.0, 0.0]
        """

        def prox(x: PyTree, hyperparams: Strength = None, scaling: Any = 1.0) -> PyTree:
            check_numbers("scaling", scaling, lambda s: s >= 0, ">= 0")
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
        from ._place import around

        return around(self, reference)

    def envelope(self, mu: Strength) -> Penalty:
        """The Moreau envelope ``min_z penalty(z) + ‖w − z‖²/(2·mu)``: smooth; see :class:`Envelope`."""
        from ._envelope import Envelope

        return Envelope(self, mu)

    def dual(self) -> Penalty:
        """The Fenchel conjugate as a penalty of its own; see :class:`Dual`."""
        from ._dual import Dual

        return Dual(self)

    def distance(self, lam: Strength = 1.0) -> Penalty:
        """``lam·min ‖w − z‖₂`` over z in a convex set, of which this is the indicator; see :class:`Distance`."""
        from ._distance import Distance

        return Distance(self, lam)

    def rescale(self, factor: Strength) -> Penalty:
        """``penalty(factor·w)``, number by number.

        Args:
          factor: not 0; a number, an array (one leaf) or a pytree prefix; one number where the penalty is not separable.

        >>> import jax.numpy as jnp, jaxreg
        >>> jaxreg.L1(1.0).rescale(jnp.array([1.0, 0.5])).prox(jnp.array([3.0, 3.0])).tolist()
        [2.0, 2.5]
        """
        from ._compose import Rescaled

        return Rescaled(self, factor)

    def rotate(self, rotation: Any) -> Penalty:
        """``penalty(Q·w)`` for an orthogonal Q.

        Args:
          rotation: an orthogonal matrix, for all floating-point leaves flattened to one vector, or a pair of functions
            ``(forward, inverse)`` from pytree to pytree that keep every norm, such as an orthonormal wavelet transform.

        >>> import jax.numpy as jnp, jaxreg
        >>> turn = jnp.array([[1.0, 1.0], [-1.0, 1.0]]) / jnp.sqrt(2.0)
        >>> jaxreg.L1(2**0.5).rotate(turn).prox(jnp.array([3.0, 1.0])).round(3).tolist()
        [1.0, 1.0]
        """
        from ._compose import Rotated

        if isinstance(rotation, tuple):
            if len(rotation) != 2 or not all(callable(f) for f in rotation):
                raise TypeError("rotate: pass an orthogonal matrix, or a pair of functions (forward, inverse)")
            return Rotated(self, functions=rotation)
        return Rotated(self, matrix=rotation)

    def __add__(self, other: Any) -> Penalty:
        from ._sum import add

        return add(self, other) if isinstance(other, Penalty) else NotImplemented

    def __radd__(self, other: Any) -> Penalty:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum([...]) starts at 0

    def __mul__(self, factor: Any) -> Penalty:
        if isinstance(factor, Penalty) or not is_number(factor):
            return NotImplemented
        check_strength("factor", factor)
        return self.scaled(factor)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        fields = _fields(self)
        return f"{type(self).__name__}({', '.join(f'{f.name}={_shown(getattr(self, f.name))}' for f in fields)})"


def _shown(value: Any) -> str:
    with np.printoptions(threshold=12, edgeitems=2, linewidth=1000):  # of thousands of groups a message shows the first and the last
        return repr(jax.tree.map(lambda x: x if is_concrete(x) else "traced", value))
