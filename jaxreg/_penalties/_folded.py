"""What the folded concave penalties share: a function of |w| that rises from 0, ever more slowly, with a corner at 0."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._arithmetic import number
from ._base import Penalty, Strength, UnknownOperation, _fields
from ._separable import Separable


def _grad(cls: Any, w: Float[Array, "..."], *strengths: Any) -> Float[Array, "..."]:
    return jnp.where(w == 0, 0, jnp.sign(w) * cls.slope(jnp.where(w == 0, 1, jnp.abs(w)), *strengths))


def _subdifferential(cls: Any, w: Float[Array, "..."], *strengths: Any) -> tuple[Array, Array]:
    """The regular subdifferential: ±the slope at 0 there, one point elsewhere, and NaN at NaN."""
    gradient, steepest = cls.leaf_grad(w, *strengths), cls.steepest(w, *strengths)
    broken = jnp.where(jnp.isnan(w), w, 0)
    return jnp.where(w == 0, -steepest, gradient) + broken, jnp.where(w == 0, steepest, gradient) + broken


def _support(cls: Any, w: Float[Array, "..."], *strengths: Any) -> Array:
    return (w != 0) | (cls.steepest(w, *strengths) == 0)


def _prox(cls: Any, w: Float[Array, "..."], step: Any, *strengths: Any) -> Float[Array, "..."]:
    moved = jnp.sign(w) * cls.shrink(jnp.abs(w), step, *strengths)
    # Without a penalty the prox is the identity, whose slope at 0 the sign would lose.
    return jnp.where((w == 0) & ((cls.steepest(w, *strengths) == 0) | (step == 0)), w, moved)


def _undefined(cls: Any, *arguments: Any) -> Array:
    raise UnknownOperation(f"{cls.__name__} must define slope, steepest and shrink")


class Folded(Separable):
    """A sum of ``f(|w|)`` with f concave, f(0) = 0: give ``leaf_value``, ``slope``, ``steepest`` and ``shrink``.

    ``slope(m, …)`` is f′ at m > 0, ``steepest(w, …)`` its limit at 0 (perhaps infinite) in w's shape, ``shrink(m, step, …)``
    the prox of magnitudes. Not convex: the prox jumps where two minima are equally deep, and takes the smaller there.
    """

    role = "folded"

    slope: ClassVar[Any] = classmethod(_undefined)
    steepest: ClassVar[Any] = classmethod(_undefined)
    shrink: ClassVar[Any] = classmethod(_undefined)

    leaf_grad = classmethod(_grad)
    leaf_prox = classmethod(_prox)
    leaf_subdifferential = classmethod(_subdifferential)
    leaf_support = classmethod(_support)


class Knee(Folded):
    """A folded penalty of λ that does not enter linearly (MCP, SCAD): λ takes the place of ``lam``; a factor goes to ``scale``.

    Subclasses have the fields lam, a shape, scale; the slope at 0 is ``scale·lam``.
    """

    @staticmethod
    def steepest(w: Float[Array, "..."], lam, shape, scale) -> Float[Array, "..."]:
        del shape
        return jnp.broadcast_to(scale * lam, w.shape)

    def at(self, lam: Strength) -> Penalty:
        return self._with(lam=lam)

    def scaled(self, factor: Strength) -> Penalty:
        return self._with(scale=jax.tree.map(lambda value: factor * value, getattr(self, "scale")))

    def formula(self, prefix: str = "", w: str = "w") -> str:
        lam, shape, scale = (number(getattr(self, field.name), field.name) for field in _fields(self))
        return f"{'' if scale == '1' else scale + '·'}Σ{type(self).__name__}({w}; {prefix or lam}, {shape})"

    @staticmethod
    def leaf_free(w: Float[Array, "..."], lam, shape, scale) -> Array:
        del shape
        return jnp.broadcast_to((lam == 0) | (scale == 0), w.shape)


def no_lambda_max(penalty: Penalty) -> UnknownOperation:
    """What penalties of infinite slope at 0 answer."""
    name = type(penalty).__name__
    return UnknownOperation(f"{name}: zero is stationary for every λ > 0, so a gradient gives no lambda_max; pass the λ yourself")


def deeper(m: Float[Array, "..."], step: Any, value: Any, near: Array, far: Array) -> Array:
    """Of two magnitudes the one where ``½(z − m)² + step·value(z)`` is smaller; the first where they are level.

    The difference of the two is formed from differences: the squares themselves overflow, and are nearly equal, for large m.
    """
    closer = 0.5 * (far - near) * ((far - m) + (near - m))
    return jnp.where(closer + step * (value(far) - value(near)) < 0, far, near)


def stationary(root: Array, slope: Any, m: Float[Array, "..."], step: Any) -> Float[Array, "..."]:
    """``root``, the larger z with ``z + step·slope(z) = m``, with the derivatives that this equation gives it.

    Those of the formulas that it came from divide by 0 at a step of 0.
    """

    def solve(linear: Any, y: Array) -> Array:
        bend = linear(jnp.ones_like(y))
        return y / jnp.where(bend > 0, bend, 1)  # where two stationary points meet there is no derivative, and no minimum

    return jax.lax.custom_root(lambda z: z + step * slope(z) - m, jax.lax.stop_gradient(root), lambda _, z: z, solve)
