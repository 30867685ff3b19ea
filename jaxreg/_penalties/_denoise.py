"""Two-dimensional total variation: the nearest image that changes little.

The dual is ``min ½‖v − Dᵀy‖²`` over fields y whose vectors (or numbers) are at most t long, D being the forward differences; the image is
``v − Dᵀy``. It is solved by projected gradients with momentum, restarted where momentum points uphill: Beck and Teboulle, Fast
gradient-based algorithms for constrained total variation image denoising, 2009, §4; O'Donoghue and Candès, Adaptive restart for
accelerated gradient schemes, 2015, §3.2. Three additions make it precise:

    the image is averaged over the regions that y leaves level, so that its duality gap falls with the square of y's error;
    the dual of the level image, by two cosine transforms, is where it starts: a huge t is solved at once;
    the last digits, and the derivatives, come from Newton's equations on images that are level in those regions.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.fft import dctn, idctn
from jaxtyping import Array, Bool, Float, Int, Scalar, Shaped

from ._arithmetic import safe_sqrt
from ._components import components, means
from ._linear import conjugate_gradients

# How often the gap is looked at, and how many of Newton's steps follow.
_ROUND, _NEWTON = 20, 3
# ‖D‖² <= 8.
_STEP = 1 / 8


def differences(w: Float[Array, "m n"]) -> Float[Array, "2 m n"]:
    """To the pixel below and to the pixel at the right, 0 at the far edges."""
    if not w.size:
        return jnp.zeros((2, *w.shape), w.dtype)
    return jnp.stack([jnp.pad(jnp.diff(w, axis=0), ((0, 1), (0, 0))), jnp.pad(jnp.diff(w, axis=1), ((0, 0), (0, 1)))])


def adjoint(y: Float[Array, "2 m n"]) -> Float[Array, "m n"]:
    """Dᵀy."""
    if not y.size:
        return y[0]
    down, right = y[0, :-1], y[1, :, :-1]
    rows = jnp.pad(down, ((1, 0), (0, 0))) - jnp.pad(down, ((0, 1), (0, 0)))
    return rows + jnp.pad(right, ((0, 0), (1, 0))) - jnp.pad(right, ((0, 0), (0, 1)))


def length(g: Float[Array, "2 m n"], isotropic: bool) -> Float[Array, "k m n"]:
    """Of each vector, or of each number; no square overflows, and the derivative at 0 is 0."""
    if not isotropic:
        return jnp.abs(g)
    unit = jax.lax.stop_gradient(jnp.max(jnp.abs(g), axis=0, keepdims=True))
    unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)
    return unit * safe_sqrt(jnp.sum((g / unit) ** 2, axis=0, keepdims=True))


def direction(g: Float[Array, "2 m n"], isotropic: bool) -> Float[Array, "2 m n"]:
    """``g/|g|``, 0 at 0."""
    size = length(g, isotropic)
    return jnp.where(size == 0, 0, g / jnp.where(size == 0, 1, size))


def inside(x: Shaped[Array, "k m n"]) -> Shaped[Array, "2 m n"]:
    """Zero (or false) at the far edges, where there is no neighbour."""
    rows, columns = (jnp.arange(n) < n - 1 for n in x.shape[1:])
    return jnp.where(jnp.stack(jnp.broadcast_arrays(rows[:, None], columns)), x, jnp.zeros_like(x))


class _Grid(NamedTuple):
    """Which pixels are level with a neighbour: a label for each pixel, its region's first, and the pairs (y there is free)."""

    label: Int[Array, " pixels"]
    linked: Bool[Array, "2 m n"]

    def mean(self, x: Float[Array, "m n"]) -> Float[Array, "m n"]:
        return means(x.ravel(), self.label).reshape(x.shape)


def _regions(linked: Bool[Array, "k m n"]) -> _Grid:
    """Connected components of the pairs that are level."""
    shape = linked.shape[1:]
    linked = inside(linked)
    own = jnp.arange(shape[0] * shape[1]).reshape(shape)
    here = jnp.broadcast_to(own, (2, *shape)).ravel()
    there = jnp.where(linked, jnp.stack([jnp.roll(own, -1, 0), jnp.roll(own, -1, 1)]), own).ravel()

    label = components(here, there, own.size)
    return _Grid(label, linked)


def _newton(z: Float[Array, "m n"], grid: _Grid, right: Float[Array, "m n"], bound: Any, isotropic: bool, most: int) -> Array:
    """The image x, level in the regions, with ``(I + DᵀHD)x = right`` there: H is the Hessian of ``bound·|Dz|``, 0 for single numbers."""
    right = grid.mean(right)
    if not isotropic:
        return right
    g = differences(z)
    size, unit = length(g, True), direction(g, True)
    weight = jnp.where(size > 0, bound / jnp.where(size > 0, size, 1), 0)

    def hessian(x: Array) -> Array:
        moved = differences(grid.mean(x))
        return x + grid.mean(adjoint(weight * (moved - unit * jnp.sum(unit * moved, axis=0, keepdims=True))))

    # Jacobi's preconditioner: what each region's borders weigh, per pixel.
    down, across = inside(jnp.where(grid.linked, 0, weight * (1 - unit**2)))
    diagonal = 1 + grid.mean(down + jnp.roll(down, 1, axis=0) + across + jnp.roll(across, 1, axis=1))
    return conjugate_gradients(hessian, right, diagonal, most)


def _shorten(y: Float[Array, "2 m n"], bound: Any, isotropic: bool) -> Float[Array, "2 m n"]:
    size = length(y, isotropic)
    return y * jnp.where(size > bound, bound / jnp.where(size > 0, size, 1), 1)


def _level_dual(v: Float[Array, "m n"]) -> Float[Array, "2 m n"]:
    """The shortest y with ``v − Dᵀy`` level, by Poisson's equation in cosines."""
    waves = [2 - 2 * jnp.cos(jnp.pi * jnp.arange(n, dtype=v.dtype) / n) for n in v.shape]
    power = waves[0][:, None] + waves[1]
    return differences(idctn(dctn(v, norm="ortho") / jnp.where(power > 0, power, 1), norm="ortho"))


class _State(NamedTuple):
    y: Array
    ahead: Array  # where momentum leads
    momentum: Array
    image: Array
    grid: _Grid
    gap: Array
    count: Array


def _minimise(v: Float[Array, "m n"], bound: Float[Array, "k m n"], isotropic: bool, tol: float, most: int) -> tuple[Array, Array, Scalar]:
    """The image, its regions and its duality gap relative to the objective, for v of mean 0 and size 1."""
    eps = float(jnp.finfo(v.dtype).eps)
    bound = jnp.minimum(bound, jnp.sum(jnp.abs(v)))  # no y need be longer

    def descend(_: Any, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        y, ahead, momentum = now
        new = _shorten(ahead + _STEP * differences(v - adjoint(ahead)), bound, isotropic)
        uphill = jnp.sum((ahead - new) * (new - y)) > 0
        grown = jnp.where(uphill, 1, (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2)
        return new, new + jnp.where(uphill, 0, (momentum - 1) / grown) * (new - y), grown

    def objective(z: Array) -> Scalar:
        return 0.5 * jnp.sum((z - v) ** 2) + jnp.sum(bound * length(differences(z), isotropic))

    def certify(y: Array) -> tuple[Array, _Grid, Scalar]:
        dual_image = v - adjoint(y)
        pull = y + _STEP * differences(dual_image)
        grid = _regions((length(pull, isotropic) <= bound + 4 * eps * jnp.maximum(bound, 1)) & (bound > 0))
        z = grid.mean(dual_image)
        g = differences(z)
        product = jnp.sum(y * g, axis=0, keepdims=True) if isotropic else y * g
        # Each summand is at least 0: nothing cancels, and rounding stays relative.
        gap = 0.5 * jnp.sum((z - dual_image) ** 2) + jnp.sum(bound * length(g, isotropic) - product)
        value = objective(z)
        return z, grid, jnp.where(value > 0, gap / jnp.where(value > 0, value, 1), gap)

    def one_round(state: _State) -> _State:
        y, ahead, momentum = jax.lax.fori_loop(0, _ROUND, descend, (state.y, state.ahead, state.momentum))
        image, grid, gap = certify(y)
        return _State(y, ahead, momentum, image, grid, gap, state.count + _ROUND)

    start = _shorten(_level_dual(v), bound, isotropic)
    image, grid, gap = certify(start)
    state = _State(start, start, jnp.ones((), v.dtype), image, grid, gap, jnp.zeros((), jnp.int32))
    state = jax.lax.while_loop(lambda s: (s.gap > max(tol, 16 * eps)) & (s.count < most), one_round, state)
    grid = state.grid

    def slope(z: Array) -> Array:
        return grid.mean(v - z - adjoint(bound * direction(differences(z), isotropic)))

    def refine(_: Any, z: Array) -> Array:
        new = z + _newton(z, grid, slope(z), bound, isotropic, 100)
        better = (jnp.sum(slope(new) ** 2) < jnp.sum(slope(z) ** 2)) & (objective(new) <= objective(z) * (1 + 16 * eps))
        return jnp.where(better, new, z)

    refined = jax.lax.fori_loop(0, _NEWTON if isotropic else 0, refine, state.image)
    return refined, grid.label, state.gap


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _denoise(
    v: Float[Array, "m n"], bound: Float[Array, "k m n"], isotropic: bool, tol: float, most: int
) -> tuple[Float[Array, "m n"], Scalar]:
    """``argmin_z ½‖z − v‖² + Σ bound·|Dz|`` and its duality gap relative to that objective; a bound may be 0, some or all of them."""
    if not v.size:
        return v, jnp.zeros((), v.dtype)
    top = jnp.max(jnp.abs(v))
    top = jnp.where((top > 0) & jnp.isfinite(top), top, 1)
    mean = jnp.mean(v / top)
    rest = v / top - mean
    unit = jnp.max(jnp.abs(rest))
    unit = jnp.where(unit > 0, unit, 1)
    z, label, gap = _minimise(rest / unit, bound / top / unit, isotropic, tol, most)
    # Level is level to the last bit, on which the derivative relies: fused multiply-adds round equal numbers differently.
    z = (top * (mean + unit * z)).ravel()[label].reshape(v.shape)
    return jnp.where(jnp.all(bound == 0), v, z), gap


@_denoise.defjvp
def _derivative(isotropic: bool, tol: float, most: int, primals: Any, tangents: Any) -> Any:
    """The implicit derivative among images that are level where z is: one-sided where regions are about to join or to part."""
    v, bound = primals
    z, gap = _denoise(v, bound, isotropic, tol, most)
    if not v.size:
        return (z, gap), (tangents[0], jnp.zeros_like(gap))
    g = differences(z)
    grid = _regions(jax.lax.stop_gradient((length(g, isotropic) == 0) & (bound > 0)))
    right = tangents[0] - adjoint(tangents[1] * direction(g, isotropic))
    return (z, gap), (_newton(z, grid, right, bound, isotropic, 1000), jnp.zeros_like(gap))


# Compiled here: called as it stands, a loop over closures would be compiled anew at each call.
denoise = jax.jit(_denoise, static_argnums=(2, 3, 4))
