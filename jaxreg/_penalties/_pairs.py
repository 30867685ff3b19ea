"""Numbers as unevaluated sums ``hi + lo`` of two float32: 48 bits where float64 is not to be had.

Sums and products carry their rounding errors along: Dekker, A floating-point technique for extending the available precision, 1971,
§5 and 6. Factors are split into halves of 12 bits, whose products are exact: XLA may fuse them with sums as it likes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array


class Pair(NamedTuple):
    """``hi + lo``, arrays of one shape, |lo| no more than a rounding of hi; every operation is elementwise and broadcasts."""

    hi: Array
    lo: Array

    def __add__(self, other: Any) -> Pair:  # pyright: ignore[reportIncompatibleMethodOverride]
        other = pair(other)
        hi, error = _two_sum(self.hi, other.hi)
        return _settled(hi, error + (self.lo + other.lo))

    __radd__ = __add__

    def __neg__(self) -> Pair:
        return Pair(-self.hi, -self.lo)

    def __sub__(self, other: Any) -> Pair:
        return self + -pair(other)

    def __mul__(self, other: Any) -> Pair:  # pyright: ignore[reportIncompatibleMethodOverride]
        other = pair(other)
        (a, b), (c, d) = _halves(self.hi), _halves(other.hi)
        hi, first = _two_sum(a * c, a * d)
        hi, second = _two_sum(hi, b * c)
        return _settled(hi, (first + second) + (b * d + (self.hi * other.lo + self.lo * other.hi)))

    __rmul__ = __mul__

    def reciprocal(self) -> Pair:
        """One of Newton's steps from the float32's."""
        rough = 1 / self.hi
        return pair(rough) + rough * (1 - self * rough)

    def __rsub__(self, other: Any) -> Pair:
        return pair(other) - self

    def rounded(self) -> Array:
        return self.hi + self.lo


def pair(x: Any) -> Pair:
    if isinstance(x, Pair):
        return x
    hi = jnp.asarray(x, jnp.float32)
    return Pair(hi, jnp.zeros_like(hi))


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _settled(hi: Array, lo: Array) -> Pair:
    total = hi + lo
    return Pair(total, lo - (total - hi))


def _halves(a: Array) -> tuple[Array, Array]:
    top = jax.lax.reduce_precision(a, exponent_bits=8, mantissa_bits=11)
    return top, a - top
