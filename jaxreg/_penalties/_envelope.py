"""The Moreau envelope: a smooth penalty with the same minimisers as one that has kinks, or the distance to a set."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Scalar

from .. import _tree
from .._dtypes import accumulator, cast, is_concrete, is_number, is_penalised_leaf
from ._arithmetic import check_numbers, check_step, coefficient, number, total, zeros
from ._base import Penalty, PyTree, Strength, UnknownOperation, static


@jax.custom_jvp
def _lowest(penalty: Penalty, mu: Any, params: PyTree) -> Scalar:
    return _at(penalty, mu, params, penalty.prox(params, mu))


@_lowest.defjvp
def _derivative(primals: Any, tangents: Any) -> tuple[Scalar, Scalar]:
    """The minimiser z counts as fixed (envelope theorem); it is differentiated through only by a second derivative."""
    penalty, mu, params = primals
    z = penalty.prox(params, mu)
    return jax.jvp(lambda p, m, w: _at(p, m, w, z), primals, tangents)


def _at(penalty: Penalty, mu: Any, params: PyTree, z: PyTree) -> Scalar:
    apart = [accumulator(w) - accumulator(own) for w, own in zip(jax.tree.leaves(params), jax.tree.leaves(z), strict=True)]
    return penalty(z) + total([jnp.sum(d**2) for d in apart]) / (2 * mu)


class Envelope(Penalty):
    """Moreau envelope: ``scale·min_z penalty(z) + ‖w − z‖²/(2·mu)``; made by ``penalty.envelope(mu)``.

    Smooth, with gradient ``scale·(w − prox(w, mu))/mu``, Lipschitz with constant ``scale/mu`` for a convex penalty. That of L1 is the
    Huber penalty, that of a set half the squared distance over mu. A path multiplies the whole by λ.

    Args:
      penalty: convex, or weakly convex with a modulus below 1/mu (MCP, SCAD, LogSum): else the envelope is not smooth.
      mu: how far it smooths, > 0, in units of squared parameters per unit of the penalty.
      scale: a factor on the whole, >= 0; what ``c * envelope`` sets.

    Raises:
      ValueError: ``mu`` is not positive and finite, or too large for the penalty's weak convexity.
      UnknownOperation: no mu gives a smooth envelope (L0, LHalf, sets that are not convex).

    References:
      Moreau, Proximité et dualité dans un espace hilbertien, 1965; Parikh and Boyd, Proximal algorithms, 2014, §3.1; for weakly convex
      functions Davis and Drusvyatskiy, Stochastic model-based minimization of weakly convex functions, 2019, lemma 2.2.

    >>> import jax.numpy as jnp, jaxreg
    >>> smooth = jaxreg.L1(1.0).envelope(0.5)
    >>> w = jnp.array([2.0, 0.25])
    >>> float(smooth(w)), smooth.grad(w).tolist()
    (1.8125, [1.0, 0.5])
    """

    penalty: Penalty
    mu: Strength = 1.0
    scale: Strength = 1.0
    smooth = True

    convex = property(lambda self: self.penalty.convex)  # pyright: ignore[reportAssignmentType]
    separable = property(lambda self: self.penalty.separable)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        for name, domain in (("mu", "> 0"), ("scale", ">= 0")):
            value = getattr(self, name)
            if not is_number(value) or np.ndim(value):
                raise TypeError(f"Envelope: {name} must be one number, got {value!r}")
            check_numbers(f"Envelope: {name}", value, lambda x, d=domain: np.isfinite(x) & ((x > 0) if d == "> 0" else (x >= 0)), domain)
        rho = self.penalty.weak_convexity()
        if is_concrete(rho) and np.isinf(rho):
            raise UnknownOperation(f"{self.penalty!r} is not even weakly convex: no envelope of it is smooth")
        if is_concrete(rho) and is_concrete(self.mu) and rho * self.mu >= 1:
            raise ValueError(f"Envelope: mu must be below {1 / rho:g} for {self.penalty!r} (weak convexity {float(rho):g}), got {self.mu}")

    def _numbers(self, params: PyTree) -> tuple[list[Any], Any]:
        """The floating-point leaves, and a function that puts them back among the others."""
        leaves, treedef = jax.tree.flatten(params)
        own = [is_penalised_leaf(leaf) for leaf in leaves]

        def put_back(new: list[Any]) -> PyTree:
            each = iter(new)
            return jax.tree.unflatten(treedef, [next(each) if mine else leaf for leaf, mine in zip(leaves, own, strict=True)])

        return [jnp.asarray(leaf) for leaf, mine in zip(leaves, own, strict=True) if mine], put_back

    def __call__(self, params: PyTree) -> Scalar:
        numbers, put_back = self._numbers(params)
        inner = _Placed()._with(penalty=self.penalty, put_back=put_back)
        return self.scale * _lowest(inner, self.mu, numbers)

    def grad(self, params: PyTree) -> PyTree:
        z = self.penalty.prox(params, self.mu)

        def slope(w: Any, own: Any) -> Any:
            if not is_penalised_leaf(w):
                return zeros(w)
            w = jnp.asarray(w)
            return cast(self.scale, w) * ((w - own) / cast(self.mu, w))

        return jax.tree.map(slope, params, z)

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        """``v + s/(s + mu)·(prox_penalty(v, s + mu) − v)`` with s = step·scale."""
        if self.separable:
            steps = jax.tree.unflatten(jax.tree.structure(params), _tree.broadcast_prefix(step, params, "step", own_leaf=True))
        else:
            steps = jax.tree.map(lambda _: step, params)
        check_step(step, params)
        own = jax.tree.map(lambda s: s * self.scale, steps)
        far = self.penalty.prox(params, jax.tree.map(lambda s: s + self.mu, own) if self.separable else step * self.scale + self.mu)

        def between(w: Any, z: Any, s: Any) -> Any:
            if not is_penalised_leaf(w):
                return w
            w = jnp.asarray(w)
            return w + cast(s / (s + self.mu), w) * (z - w)

        return jax.tree.map(between, params, far, own)

    def conjugate(self, dual: PyTree) -> Scalar:
        """``scale·(penalty*(u/scale) + ½mu·‖u/scale‖²)``; the indicator of 0 where scale is 0."""
        positive = jnp.asarray(self.scale) > 0
        scale = jnp.where(positive, self.scale, 1)
        numbers, put_back = self._numbers(dual)
        scaled = [u / cast(scale, u) for u in numbers]
        squares = total([jnp.sum(accumulator(u) ** 2) for u in scaled])
        own = scale * (self.penalty.conjugate(put_back(scaled)) + self.mu / 2 * squares)
        return jnp.where(positive, own, jnp.where(squares > 0, jnp.inf, 0.0))

    def free(self, params: PyTree) -> PyTree:
        return jax.tree.map(lambda free: free | (jnp.asarray(self.scale) == 0), self.penalty.free(params))

    def weak_convexity(self) -> Any:
        """ρ/(1 − mu·ρ) of the penalty's ρ: the most negative slope of the gradient."""
        rho = self.penalty.weak_convexity()
        return self.scale * rho / (1 - self.mu * rho)

    def covers(self, params: PyTree) -> PyTree:
        return self.penalty.covers(params)

    def reference(self) -> Any:
        return self.penalty.reference()

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        # Where the penalty shrinks towards another point its own refusal says so.
        return self.penalty.lambda_max(grad_at_zero) if self.reference() is not None else super().lambda_max(grad_at_zero)

    def scaled(self, factor: Strength) -> Penalty:
        return self._with(scale=factor * self.scale)

    def formula(self, prefix: str = "", w: str = "w") -> str:
        factor = coefficient(prefix, self.scale)
        return f"{'' if factor == '1·' else factor}min_z {self.penalty.formula('', 'z')} + ‖{w} − z‖²/(2·{number(self.mu, 'mu')})"

    def __repr__(self) -> str:
        text = f"{self.penalty!r}.envelope({number(self.mu, 'mu')})"
        return text if number(self.scale, "scale") == "1" else f"{number(self.scale, 'scale')} * {text}"


class _Placed(Penalty):
    """A penalty as a function of the floating-point leaves alone: what has a custom derivative must be given nothing else."""

    penalty: Any = None
    put_back: Any = static(default=None)

    def __call__(self, params: PyTree) -> Scalar:
        return self.penalty(self.put_back(params))

    def prox(self, params: PyTree, step: Any = 1.0) -> PyTree:
        return [jnp.asarray(z) for z in jax.tree.leaves(self.penalty.prox(self.put_back(params), step)) if is_penalised_leaf(z)]
