"""A penalty of a linear map of the parameters, for the maps through which a prox passes: scalings and rotations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Scalar

from .. import _tree
from .._dtypes import cast, is_concrete, is_number, is_penalised_leaf
from ._arithmetic import check_numbers, product, zeros
from ._base import Penalty, PyTree, Strength, UnknownOperation, check_one_step, static
from ._place import Wrapper, forgiving_conjugate, largest, settled


class Rescaled(Wrapper):
    """``penalty(factor·w)``, number by number; made by ``penalty.rescale(factor)``.

    Prox ``prox_penalty(factor·v, step·factor²)/factor``: for a penalty that is not separable the factor is one number. A factor of units:
    ``L1().rescale(sd)`` penalises coefficients as if the columns had been divided by their standard deviations.
    """

    factor: Strength = 1.0

    # A quadratic's curvature must be readable from its lam, a cone and the order of bounds need a factor > 0.
    cone = False
    role = property(lambda self: self.penalty.role if self.penalty.role == "soft" else "")  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers("rescale: factor", self.factor, lambda x: np.isfinite(x) & (x != 0), "finite and not 0 (leave leaves out with .on)")
        if not self.penalty.separable and not (is_number(self.factor) and np.ndim(self.factor) == 0):
            raise UnknownOperation(f"rescale: {self.penalty!r} is not separable, so the factor must be one number")

    def _factors(self, params: PyTree) -> tuple[list[Any], list[Any], Any]:
        leaves, treedef = jax.tree.flatten(params)
        return leaves, _tree.broadcast_prefix(self.factor, params, "factor", own_leaf=True), treedef

    def _map(self, function: Callable[..., Any], params: PyTree, exempt: Callable[[Any], Any] = lambda leaf: leaf) -> PyTree:
        """``function(leaf, factor)`` on floating-point leaves; those without a factor stay as they are."""
        leaves, factors, treedef = self._factors(params)
        out = []
        for w, d in zip(leaves, factors, strict=True):
            if not is_penalised_leaf(w):
                out.append(exempt(w))
            else:  # no factor is a factor of 1
                out.append(jnp.asarray(w) if d is None else function(jnp.asarray(w), cast(d, jnp.asarray(w))))
        return jax.tree.unflatten(treedef, out)

    def _moved(self, params: PyTree) -> PyTree:
        return self._map(lambda w, d: d * w, params)

    def __call__(self, params: PyTree) -> Scalar:
        return self.penalty(self._moved(params))

    def grad(self, params: PyTree) -> PyTree:
        return self._map(lambda g, d: d * g, self.penalty.grad(self._moved(params)))

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        if self.separable:
            leaves, factors, treedef = self._factors(params)
            own = _tree.broadcast_prefix(step, params, "step", own_leaf=True)
            steps = [s if d is None or not is_penalised_leaf(w) else s * cast(d, jnp.asarray(w)) ** 2
                     for w, d, s in zip(leaves, factors, own, strict=True)]  # fmt: skip
            scaled = jax.tree.unflatten(treedef, steps)
        else:
            scaled = step * self.factor**2
        return self._map(lambda z, d: z / d, self.penalty.prox(self._moved(params), scaled))

    def subdifferential(self, params: PyTree) -> tuple[PyTree, PyTree]:
        lower, upper = self.penalty.subdifferential(self._moved(params))
        low, up = self._map(lambda b, d: d * b, lower, zeros), self._map(lambda b, d: d * b, upper, zeros)
        leaves, factors, treedef = self._factors(low)
        turned = [False if d is None else jnp.asarray(d) < 0 for d in factors]
        both = [
            (jnp.where(t, b, a), jnp.where(t, a, b)) if is_number(a) else (a, b)
            for a, b, t in zip(leaves, jax.tree.leaves(up), turned, strict=True)
        ]
        return jax.tree.unflatten(treedef, [a for a, _ in both]), jax.tree.unflatten(treedef, [b for _, b in both])

    def subdiff_distance(self, params: PyTree, grad: PyTree) -> Scalar:
        if self.separable:
            return super().subdiff_distance(params, grad)
        factor = jnp.abs(jnp.asarray(self.factor))
        return factor * self.penalty.subdiff_distance(self._moved(params), self._map(lambda g, d: g / d, grad))

    def _relax(self, params: PyTree, residual: PyTree) -> PyTree:
        inner = self._map(lambda r, d: r / d, residual)
        return self._map(lambda r, d: d * r, self.penalty._relax(self._moved(params), inner))

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        return self.penalty.lambda_max(self._map(lambda g, d: g / d, grad_at_zero))

    def conjugate(self, dual: PyTree) -> Scalar:
        return self.penalty.conjugate(self._map(lambda u, d: u / d, dual))

    def support(self, params: PyTree) -> PyTree:
        return self.penalty.support(self._moved(params))

    def free(self, params: PyTree) -> PyTree:
        return self.penalty.free(params)

    def curvature(self, params: PyTree) -> PyTree:
        return self._map(lambda c, d: d**2 * c, self.penalty.curvature(self._moved(params)))

    def weak_convexity(self) -> Any:
        largest = max((jnp.max(jnp.asarray(d) ** 2) for d in jax.tree.leaves(self.factor)), default=1.0)
        rho = self.penalty.weak_convexity()
        return rho * largest if not is_concrete(rho) or np.isfinite(rho) else rho

    def covers(self, params: PyTree) -> PyTree:
        return self.penalty.covers(params)

    def reference(self) -> Any:
        center = self.penalty.reference()
        return None if center is None else _tree.combine(center, self.factor, lambda r, d: jnp.asarray(r) / d, "factor")

    def terms(self) -> tuple[Penalty, ...]:
        return (self,)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return self.penalty.formula(prefix, f"(d·{w})")

    def __repr__(self) -> str:
        return f"{self.penalty!r}.rescale({jax.tree.map(lambda d: d if np.ndim(d) == 0 else np.shape(d), self.factor)})"


class Rotated(Wrapper):
    """``penalty(Q·w)`` for an orthogonal Q, a matrix or a pair of functions; made by ``penalty.rotate(Q)``.

    Prox ``Qᵀ·prox_penalty(Q·v, step)``: the lasso of wavelet or Fourier coefficients, the ridge's anything.
    """

    matrix: Any = None
    functions: Any = static(default=None)

    separable, cone, role = False, False, ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.matrix is None:
            return
        shape = np.shape(self.matrix)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(f"rotate: the matrix must be square, got shape {shape}; other maps are a pair of functions (forward, inverse)")
        if is_concrete(self.matrix):
            q = np.asarray(self.matrix, float)
            error = float(np.abs(q.T @ q - np.eye(len(q))).max(initial=0))
            eps = float(jnp.finfo(jnp.result_type(self.matrix, jnp.float32)).eps)
            if not error <= 32 * max(len(q), 1) * eps:
                raise ValueError(f"rotate: the matrix must be orthogonal, but QᵀQ differs from the identity by {error:.1e}")

    def _turned(self, params: PyTree) -> PyTree:
        return self.functions[0](params) if self.matrix is None else self._multiply(params, jnp.asarray(self.matrix))

    def _to(self, params: PyTree) -> PyTree:
        """Qw, in which what is rounding beside the largest number counts as the 0 that a prox may have put there."""
        turned, size = self._turned(params), largest(params)

        def rounded(w: Any) -> Any:
            if not is_penalised_leaf(w):
                return w
            w = jnp.asarray(w)
            noise = 16 * jnp.finfo(w.dtype).eps * cast(size, w)
            return w - jax.lax.stop_gradient(jnp.where(jnp.abs(w) <= noise, w, 0))

        return jax.tree.map(rounded, turned)

    def _back(self, params: PyTree) -> PyTree:
        return self.functions[1](params) if self.matrix is None else self._multiply(params, jnp.asarray(self.matrix).T)

    def _multiply(self, params: PyTree, matrix: Any) -> PyTree:
        """The matrix times all floating-point leaves as one vector."""
        leaves, treedef = jax.tree.flatten(params)
        own = [jnp.asarray(w) for w in leaves if is_penalised_leaf(w)]
        size = sum(w.size for w in own)
        if size != matrix.shape[0]:
            raise ValueError(f"rotate: the matrix has shape {matrix.shape}, but params hold {size} numbers")
        dtype = jnp.result_type(jnp.float32, *own)
        vector = product(matrix.astype(dtype), jnp.concatenate([w.ravel().astype(dtype) for w in own]))
        parts = iter(jnp.split(vector, np.cumsum([w.size for w in own])[:-1]))
        out = [next(parts).reshape(np.shape(w)).astype(jnp.asarray(w).dtype) if is_penalised_leaf(w) else w for w in leaves]
        return jax.tree.unflatten(treedef, out)

    def __call__(self, params: PyTree) -> Scalar:
        return self.penalty(self._to(params))

    def grad(self, params: PyTree) -> PyTree:
        return self._back(self.penalty.grad(self._to(params)))

    def free(self, params: PyTree) -> PyTree:
        """All or none: a number that the rotation mixes with others is free only where the penalty vanishes."""
        inner = [jnp.all(f) for f in jax.tree.leaves(self.penalty.free(self._to(params)))]
        vanishes = jnp.all(jnp.stack(inner)) if inner else jnp.ones((), bool)
        return jax.tree.map(lambda w: jnp.broadcast_to(vanishes | ~np.bool_(is_penalised_leaf(w)), jnp.shape(w)), params)

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        check_one_step(step, params, "rotate", "a rotation has no diagonal metric")
        return self._back(self.penalty.prox(self._to(params), step))

    def subdiff_distance(self, params: PyTree, grad: PyTree) -> Scalar:
        return self.penalty.subdiff_distance(settled(self.penalty, self._to(params), largest(params)), self._turned(grad))

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        return self.penalty.lambda_max(self._turned(grad_at_zero))

    def conjugate(self, dual: PyTree) -> Scalar:
        return forgiving_conjugate(self.penalty, self._turned(dual), 64)

    def reference(self) -> Any:
        return None if self.penalty.reference() is None else self._back(self.penalty.reference())

    def terms(self) -> tuple[Penalty, ...]:
        return (self,)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        return self.penalty.formula(prefix, f"(Q·{w})")

    def __repr__(self) -> str:
        return f"{self.penalty!r}.rotate({'functions' if self.matrix is None else np.shape(self.matrix)})"
