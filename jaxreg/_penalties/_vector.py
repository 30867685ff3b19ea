"""Penalties of vectors: all parameters as one vector, or each slice of each leaf along ``axis``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from .._dtypes import is_penalised_leaf
from ._arithmetic import coefficient, norm, number, refuse_nothing, total, zeros
from ._base import Penalty, PyTree, Strength, UnknownOperation, _fields, check_one_step

Blocks = list[Array]  # each (vectors, numbers): vectors of one length


def _like(result: Any, leaf: Any) -> Any:
    return result.astype(jnp.asarray(leaf).dtype) if is_penalised_leaf(leaf) else result


def _undefined(what: str) -> Any:
    def raises(cls: Any, *arguments: Any) -> Any:
        raise UnknownOperation(f"{what} of {cls.__name__} is not known in closed form")

    return classmethod(raises)


class Vectorwise(Penalty):
    """A sum of a function of vectors: define it for one vector, and placing, batching and dtypes are done.

    With ``axis=None`` all floating-point leaves together are one vector, as in ``optax.projections``. With an axis (or a tuple
    of axes) each slice of each leaf along it is a vector of its own: ``axis=0`` of a kernel (inputs, outputs) penalises the
    weights into each output unit together. Strengths are single numbers; half precision is computed in float32.

    Subclasses declare ``axis: Any = static(default=None)`` and give static methods of a vector ``w`` of shape (n,) and the
    strengths in the order of the fields: ``vector_value`` and ``vector_prox(w, step, …)``; ``vector_residual(w, g, …)``, the
    shortest element of ``g + ∂p(w)``; ``vector_conjugate(u, …)``; ``vector_lambda_max(g, …)``; ``vector_support(w, …)``.
    """

    vector_value: ClassVar[Any] = _undefined("the value")
    vector_prox: ClassVar[Any] = _undefined("the prox")
    vector_residual: ClassVar[Any] = _undefined("the subdifferential")
    vector_conjugate: ClassVar[Any] = _undefined("the conjugate")
    vector_lambda_max: ClassVar[Any] = _undefined("lambda_max")
    vector_support: ClassVar[Any] = _undefined("the support")

    def __post_init__(self) -> None:
        super().__post_init__()
        axis = getattr(self, "axis", None)
        axes = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
        if not all(isinstance(a, int | np.integer) and not isinstance(a, bool) for a in axes) or axis == ():
            raise TypeError(f"{type(self).__name__}: axis must be None, an integer or a tuple of integers, got {axis!r}")

    def _gather(self, params: PyTree) -> tuple[Blocks, Callable[[Blocks, Callable[[Any], Any]], PyTree]]:
        """The vectors, and a function that puts vectors (and what becomes of the other leaves) back into the tree."""
        leaves, treedef = jax.tree.flatten(params)
        refuse_nothing(leaves)
        arrays = [jnp.asarray(leaf) if is_penalised_leaf(leaf) else None for leaf in leaves]
        own = [a for a in arrays if a is not None]
        wide = jnp.result_type(jnp.float32, *[a.dtype for a in own])
        axis = getattr(self, "axis", None)
        if axis is None:
            blocks = [jnp.concatenate([jnp.ravel(a).astype(wide) for a in own])[None]] if own else []
        else:
            blocks = [self._slices(a).astype(jnp.promote_types(a.dtype, jnp.float32)) for a in own]

        def put_back(results: Blocks, exempt: Callable[[Any], Any]) -> PyTree:
            if axis is None:
                ends = np.cumsum([a.size for a in own])[:-1]
                parts = [part.reshape(a.shape) for part, a in zip(jnp.split(results[0][0], ends), own, strict=True)] if own else []
            else:
                parts = [self._unslice(block, a.shape) for block, a in zip(results, own, strict=True)]
            each = iter(parts)
            out = [exempt(leaf) if a is None else next(each) for leaf, a in zip(leaves, arrays, strict=True)]
            return jax.tree.unflatten(treedef, out)

        return blocks, put_back

    def _axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        axis = getattr(self, "axis")
        axes = axis if isinstance(axis, tuple) else (axis,)
        if any(not -len(shape) <= a < len(shape) for a in axes):
            raise ValueError(
                f"{type(self).__name__}: axis {axis} does not exist in a params leaf of shape {shape}; "
                "place the penalty on leaves that have it, with .on"
            )
        if len({a % len(shape) for a in axes}) < len(axes):
            raise ValueError(f"{type(self).__name__}: axis {axis} names an axis twice in a params leaf of shape {shape}")
        return tuple(a % len(shape) for a in axes)

    def _slices(self, w: Array) -> Array:
        axes = self._axes(w.shape)
        last = jnp.moveaxis(w, axes, range(-len(axes), 0))
        count = int(np.prod([w.shape[a] for a in axes]))
        return last.reshape(w.size // count if count else 0, count)

    def _unslice(self, block: Array, shape: tuple[int, ...]) -> Array:
        axes = self._axes(shape)
        rest = [n for i, n in enumerate(shape) if i not in axes]
        return jnp.moveaxis(block.reshape(*rest, *[shape[a] for a in axes]), range(-len(axes), 0), axes)

    def _strengths(self, dtype: Any) -> list[Any]:
        found = []
        for field in _fields(self):
            if field.metadata.get("static"):
                continue
            value = getattr(self, field.name)
            if not jax.tree_util.treedef_is_leaf(jax.tree.structure(value)) or jnp.ndim(value) > self._dimension(field.name):
                raise UnknownOperation(
                    f"{type(self).__name__}: {field.name} must be one number; give parts of the tree their own with .on and a sum"
                )
            found.append(jnp.asarray(value, dtype))
        return found

    def _dimension(self, name: str) -> int:
        """How many dimensions a strength may have."""
        del name
        return 0

    def _apply(self, function: Any, blocks: Blocks, *rest: Blocks) -> list[Array]:
        """``function(vector, *rest, *strengths)`` of every vector, stacked block by block."""
        out = []
        for columns in zip(blocks, *rest, strict=True):
            strengths = self._strengths(columns[0].dtype)
            if columns[0].shape[0] == 1:
                out.append(function(*[c[0] for c in columns], *strengths)[None])
            else:
                out.append(jax.vmap(lambda *c, s=strengths: function(*c, *s))(*columns))
        return out

    def _write(self, function: Any, params: PyTree, *rest: PyTree, exempt: Callable[[Any], Any] = zeros) -> PyTree:
        """``function(vector, *rest, *strengths)``, a vector, in each vector's place and dtype."""
        blocks, put_back = self._gather(params)
        results = self._apply(function, blocks, *[self._gather(other)[0] for other in rest])
        # What is exempt may be no leaf at all: None, for what is no number.
        leaves, treedef = jax.tree.flatten(params)
        return jax.tree.unflatten(treedef, map(_like, treedef.flatten_up_to(put_back(results, exempt)), leaves))

    def __call__(self, params: PyTree) -> Scalar:
        blocks, _ = self._gather(params)
        return total([jnp.sum(v) for v in self._apply(lambda w, *s: self.vector_value(w, *s), blocks)])

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        check_one_step(step, params, type(self).__name__)
        return self._write(lambda w, *s: self.vector_prox(w, jnp.asarray(step, w.dtype), *s), params, exempt=lambda leaf: leaf)

    def subdiff_distance(self, params: PyTree, grad: PyTree) -> Scalar:
        blocks, _ = self._gather(params)
        slopes, _ = self._gather(grad)
        residuals = self._apply(lambda w, g, *s: self.vector_residual(w, g, *s), blocks, slopes)
        return norm(residuals)

    def _shortest(self, params: PyTree, grad: PyTree) -> PyTree:
        blocks, _ = self._gather(params)
        slopes, put_back = self._gather(grad)
        return put_back(self._apply(lambda w, g, *s: self.vector_residual(w, g, *s), blocks, slopes), lambda leaf: leaf)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        blocks, _ = self._gather(grad_at_zero)
        found = self._apply(lambda g, *s: self.vector_lambda_max(g, *s), blocks)
        return jnp.max(jnp.concatenate([jnp.ravel(f) for f in found]), initial=0.0) if found else jnp.zeros(())

    def conjugate(self, dual: PyTree) -> Scalar:
        blocks, _ = self._gather(dual)
        return total([jnp.sum(v) for v in self._apply(lambda u, *s: self.vector_conjugate(u, *s), blocks)])

    def support(self, params: PyTree) -> PyTree:
        blocks, put_back = self._gather(params)
        flags = self._apply(lambda w, *s: jnp.broadcast_to(self.vector_support(w, *s), w.shape), blocks)
        return put_back(flags, lambda w: jnp.ones(np.shape(w), bool))

    def free(self, params: PyTree) -> PyTree:
        blocks, put_back = self._gather(params)
        flags = self._apply(lambda w, *s: jnp.broadcast_to(self.vector_free(*s), w.shape), blocks)
        return put_back(flags, lambda w: jnp.ones(np.shape(w), bool))

    @staticmethod
    def vector_free(*strengths: Any) -> Any:
        """Whether the strengths make the penalty vanish."""
        return strengths[0] == 0 if strengths else False


def _norm_conjugate(cls: Any, u: Float[Array, "..."], lam: Any, *rest: Any) -> Scalar:
    """The indicator of the dual ball of radius lam."""
    return jnp.where(cls.dual_norm(u, *rest) <= lam, 0, jnp.inf).astype(u.dtype)


def _norm_lambda_max(cls: Any, g: Float[Array, "..."], lam: Any, *rest: Any) -> Scalar:
    # The norm of g/lam: that of g may overflow where this does not.
    return jnp.where(lam > 0, cls.dual_norm(g / jnp.where(lam > 0, lam, 1), *rest), 0)


class Norm(Vectorwise):
    """``lam`` times a norm, of vectors or of matrices: give ``dual_norm(u, …)``, and conjugate and ``lambda_max`` follow."""

    convex = True
    dual_norm: ClassVar[Any] = _undefined("the dual norm")
    vector_conjugate = classmethod(_norm_conjugate)
    vector_lambda_max = classmethod(_norm_lambda_max)


class VectorSet(Vectorwise):
    """The indicator of a set of vectors: 0 inside, +inf outside; the prox is the projection, λ has no say.

    Give ``project(w, …)``; ``violation(w, …)``: how far outside (negative inside), in the units of the set's own inequality or
    equation, and the size it is to be compared with; ``tangent(w, d, …)``: a direction d projected on the tangent cone at a point w of
    the boundary, from which normal cone, support and ``lambda_max`` follow; and ``condition``, the set in words of ``{w}`` and fields.
    A point is inside if its violation is within 64 ε of that size (4·n ε for n above 16), because projections round.
    """

    finite = False
    condition: ClassVar[str] = ""
    project: ClassVar[Any] = _undefined("the projection")
    violation: ClassVar[Any] = _undefined("the inequality")
    tangent: ClassVar[Any] = _undefined("the normal cone")

    def scaled(self, factor: Strength) -> Penalty:
        del factor
        return self

    @staticmethod
    def vector_free(*strengths: Any) -> Any:
        del strengths
        return False

    @classmethod
    def inside(cls, w: Float[Array, "..."], *strengths: Any) -> Array:
        excess, size = cls.violation(w, *strengths)
        # Where the inequality overflows, infinity must not count as rounding.
        return (excess <= rounding(w) * size) & (excess < jnp.inf) & jnp.all(jnp.isfinite(w))

    @classmethod
    def vector_value(cls, w: Float[Array, "..."], *strengths: Any) -> Scalar:
        return jnp.where(cls.inside(w, *strengths), 0, jnp.inf).astype(w.dtype)

    @classmethod
    def vector_prox(cls, w: Float[Array, "..."], step: Any, *strengths: Any) -> Float[Array, "..."]:
        del step
        return cls.project(w, *strengths)

    @classmethod
    def vector_support(cls, w: Float[Array, "..."], *strengths: Any) -> Array:
        """The interior: a set without one is smooth nowhere."""
        excess, size = cls.violation(w, *strengths)
        return excess < -rounding(w) * size

    @classmethod
    def vector_residual(cls, w: Float[Array, "..."], g: Float[Array, "..."], *strengths: Any) -> Float[Array, "..."]:
        """The descent that the set leaves open (Moreau); +inf outside, where the normal cone is empty."""
        left = jnp.where(cls.vector_support(w, *strengths), g, -cls.tangent(w, -g, *strengths))
        return jnp.where(cls.inside(w, *strengths), left, jnp.inf)

    @classmethod
    def vector_lambda_max(cls, g: Float[Array, "..."], *strengths: Any) -> Scalar:
        """Zero is a solution for every λ or for none."""
        left = jnp.max(jnp.abs(cls.vector_residual(jnp.zeros_like(g), g, *strengths)), initial=0)
        return jnp.where(left <= rounding(g) * jnp.max(jnp.abs(g), initial=0), 0, jnp.inf).astype(g.dtype)

    def grad(self, params: PyTree) -> PyTree:
        """Zero: an element of the normal cone at every point of the set."""
        return jax.tree.map(zeros, params)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        del prefix
        shown = {f.name: number(getattr(self, f.name), f.name) for f in _fields(self)}
        w = w if getattr(self, "axis", None) is None else f"{w}_slice"
        return f"[{(self.condition or '{w} ∈ ' + type(self).__name__).format(**shown, w=w)}]"


def rounding(w: Float[Array, "..."]) -> float:
    """The relative error that a projection of n numbers is allowed."""
    return 4 * max(16, w.size) * float(jnp.finfo(w.dtype).eps)


def norm_formula(penalty: Any, prefix: str, w: str, ends: tuple[str, str] = ("‖", "‖")) -> str:
    """``λ·‖w‖``, or a sum over slices where an axis is given."""
    inside = f"{ends[0]}{w}{ends[1]}" if getattr(penalty, "axis", None) is None else f"Σ{ends[0]}{w}_slice{ends[1]}"
    return f"{coefficient(prefix, penalty.lam)}{inside}"
