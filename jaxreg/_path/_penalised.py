"""A penalty on a flat vector of coefficients and intercepts, and descent block by block where it is a sum over blocks of features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._penalties import Penalty
from ._batch import largest_eigenvalue
from ._blocks import on_blocks

_SHORT = 256  # steps of a sweep that is one of several
Vector = Array  # one-dimensional; sizes differ between z and its parts


class Penalised(NamedTuple):
    """A penalty on the first entries of z, with the tree of one coefficient array around it taken off."""

    penalty: Penalty
    shape: tuple[int, ...]
    per_intercept: Any = 1.0  # what the intercept's gradient counts for beside the others
    block: int | None = None  # features in each of the blocks, one after the other, that the penalty is a sum over

    @property
    def grouped(self) -> bool:
        """Whether it is a sum over blocks, but not over features."""
        return self.block is not None and not self.penalty.separable

    @property
    def size(self) -> int:
        """How many coefficients there are."""
        return int(np.prod(self.shape))

    @property
    def of_blocks(self) -> tuple[int, ...]:
        """The shape of the coefficients block by block."""
        block = self.block or 1
        return (self.shape[0] // block, block, *self.shape[1:])

    def of_block(self, block: Array) -> Penalty:
        """The penalty on the coefficients of one block."""
        features = block * self.of_blocks[1] + jnp.arange(self.of_blocks[1])
        return on_blocks(self.penalty, features[None], self.shape)

    def split(self, z: Vector) -> tuple[Array, Vector]:
        """(coef, intercept) of z."""
        return z[: self.size].reshape(self.shape), z[self.size :]

    def value(self, z: Vector) -> Any:
        return self.penalty(self.split(z)[0])

    def grad(self, z: Vector) -> Vector:
        coef, intercept = self.split(z)
        return jnp.concatenate([self.penalty.grad(coef).ravel(), jnp.zeros_like(intercept)])

    def prox(self, z: Vector, steps: Any) -> Vector:
        coef, intercept = self.split(z)
        own = self.split(steps)[0] if self.penalty.separable else steps
        return jnp.concatenate([self.penalty.prox(coef, own).ravel(), intercept])

    def support(self, z: Vector) -> Array:
        coef, intercept = self.split(z)
        return jnp.concatenate([self.penalty.support(coef).ravel(), jnp.ones(intercept.shape, bool)])

    def hessian(self, z: Vector) -> Callable[[Array], Array]:
        """Of the penalty: what gives the rows and columns of some numbers of z; of what is beyond it they are 0."""
        coef, intercept = self.split(z)
        if self.penalty.separable:
            curvature = jnp.concatenate([self.penalty.curvature(coef).ravel(), jnp.zeros_like(intercept)])
            return lambda chosen: jnp.diag(curvature.at[chosen].get(mode="fill", fill_value=0))
        if self.grouped:
            count, *shape = self.of_blocks
            blocks = jax.vmap(lambda block, w: _hessian(self.of_block(block), w))(jnp.arange(count), coef.reshape(self.of_blocks))

            def by_blocks(chosen: Array) -> Array:
                block, place = jnp.divmod(chosen, np.prod(shape, dtype=int))
                found = blocks.at[block[:, None], place[:, None], place].get(mode="fill", fill_value=0)
                return jnp.where(block[:, None] == block, found, 0)

            return by_blocks
        whole = jnp.pad(_hessian(self.penalty, coef), (0, intercept.size))
        return lambda chosen: whole.at[chosen[:, None], chosen].get(mode="fill", fill_value=0)

    def residual(self, z: Vector, slope: Vector) -> Any:
        """Distance from stationarity when the data term has gradient ``slope`` at z."""
        coef, intercept = self.split(z)
        del intercept
        slope_coef, slope_intercept = self.split(slope)
        return jnp.sqrt(self.penalty.subdiff_distance(coef, slope_coef) ** 2 + jnp.sum((self.per_intercept * slope_intercept) ** 2))


def _hessian(penalty: Penalty, coef: Array) -> Array:
    return jax.jacfwd(penalty.grad)(coef).reshape(coef.size, coef.size)


def block_descent(H: Float[Array, "z z"], h: Vector, penalised: Penalised) -> Callable[[Vector, Any], Vector]:
    """What takes z through sweeps of block coordinate descent on ``½zᵀHz − hᵀz + penalty``: at most so many, and one where they are long.

    A sweep is a proximal gradient step of each block that is not at zero, or not rightly (Tseng and Yun, A coordinate gradient descent
    method for nonsmooth separable minimization, 2009), in the block's own curvature: correlations between blocks do not shorten it.
    """
    size, (count, *shape) = penalised.size, penalised.of_blocks
    width = size // count
    own = jax.vmap(lambda block: jax.lax.dynamic_slice(H, (block * width, block * width), (width, width)))(jnp.arange(count))
    lengths = _inverse(jax.vmap(largest_eigenvalue)(own))
    of_intercepts = _inverse(jnp.max(jnp.sum(jnp.abs(H[size:, size:]), axis=1), initial=0))

    def at_block(block: Array, carry: tuple[Vector, Vector]) -> tuple[Vector, Vector]:
        z, slope = carry
        start = block * width
        old, g = (jax.lax.dynamic_slice(x, (start,), (width,)) for x in (z, slope))
        new = penalised.of_block(block).prox((old - lengths[block] * g).reshape(shape), lengths[block]).ravel()
        slope = slope + (new - old) @ jax.lax.dynamic_slice(H, (start, 0 * start), (width, len(h)))
        return jax.lax.dynamic_update_slice(z, new, (start,)), slope

    def sweep(carry: tuple[Vector, Vector, Any, Any]) -> tuple[Vector, Vector, Any, Any]:
        z, slope, left, steps = carry
        (coef, _), (of_coef, _) = penalised.split(z), penalised.split(slope)
        busy = jnp.any(((coef != 0) | (penalised.penalty._residual(coef, of_coef) > 0)).reshape(-1, width), axis=1)
        order = jnp.nonzero(busy, size=busy.size, fill_value=0)[0]
        z, slope = jax.lax.fori_loop(0, jnp.sum(busy), lambda i, carry: at_block(order[i], carry), (z, slope))
        move = -of_intercepts * slope[size:]
        return z.at[size:].add(move), slope + move @ H[size:], left - 1, steps + jnp.sum(busy)

    def descend(z: Vector, sweeps: Any) -> Vector:
        first = (z, H @ z - h, jnp.asarray(sweeps), jnp.zeros((), int))
        return jax.lax.while_loop(lambda carry: (carry[2] > 0) & (carry[3] < sweeps * _SHORT), sweep, first)[0]

    return descend


def _inverse(curvature: Array) -> Array:
    """The length of a step; 0 where nothing bends, and nothing is to be gained."""
    return jnp.where(curvature > 0, 1 / jnp.where(curvature > 0, curvature, 1), 0)
