"""Functions of singular values and of eigenvalues: ``U f(σ) Vᵀ`` and ``Q f(λ) Qᵀ``, with derivatives where values repeat.

Autodiff through a singular value decomposition divides by ``σ_i² − σ_j²``: NaN where two are level, noise where they almost are, although
``U f(σ) Vᵀ`` has a derivative there. In the basis of U and V it multiplies the tangent M, for i ≠ j, by divided differences:

    (f_i − f_j)/(σ_i − σ_j) on its symmetric part, (f_i + f_j)/(σ_i + σ_j) on its skew part, f_i/σ_i on what U and V do not span,

and maps its diagonal by the Jacobian of f. (Daleckii and Krein; Higham, Functions of matrices, 2008, thm. 3.11. For
singular values: Candès, Sing-Long and Trzasko, Unbiased risk estimates for singular value thresholding, 2013, §IV.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Scalar

from ._arithmetic import product
from ._vector import rounding


def _unit(W: Float[Array, "m n"]) -> Scalar:
    """The largest entry, in units of which nothing in a decomposition overflows."""
    unit = jnp.max(jnp.abs(W), initial=0)
    # XLA divides by multiplying with a reciprocal, and flushes one below tiny to 0.
    return jnp.where((unit > 0) & jnp.isfinite(unit), jnp.minimum(unit, 1 / jnp.finfo(W.dtype).tiny), 1)


def decompose(W: Float[Array, "m n"]) -> tuple[Float[Array, "m k"], Float[Array, " k"], Float[Array, "k n"]]:
    """U, σ (falling) and Vᵀ with ``W = U σ Vᵀ``."""
    unit = _unit(W)
    if not W.size:
        return jnp.zeros((W.shape[0], 0), W.dtype), jnp.zeros(0, W.dtype), jnp.zeros((0, W.shape[1]), W.dtype)
    U, s, Vt = jnp.linalg.svd(W / unit, full_matrices=False)
    return _or_nan(W, U), _or_nan(W, unit * s), Vt


def singular_values(W: Float[Array, "m n"]) -> Float[Array, " k"]:
    unit = _unit(W)
    return _or_nan(W, unit * jnp.linalg.svd(W / unit, compute_uv=False)) if W.size else jnp.zeros(0, W.dtype)


def symmetric(A: Float[Array, "n n"]) -> Float[Array, "n n"]:
    return A / 2 + A.T / 2


def eigenvalues(A: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """λ (rising) and Q of the symmetric part of A."""
    unit = _unit(A)
    values, Q = jnp.linalg.eigh(symmetric(A / unit)) if A.size else (jnp.zeros(0, A.dtype), A)
    return _or_nan(A, unit * values), Q


def _or_nan(W: Array, answer: Array) -> Array:
    """What a decomposition makes of a matrix that is not finite says nothing."""
    return jnp.where(jnp.all(jnp.isfinite(W)), answer, jnp.nan)


def negligible(s: Float[Array, " k"]) -> Bool[Array, " k"]:
    """Where a singular value (or eigenvalue) is zero but for rounding, which leaves a few ε of the largest."""
    size = jax.lax.stop_gradient(jnp.abs(s))
    return size <= rounding(s) * jnp.max(size, initial=0)


def level_with_largest(s: Float[Array, " k"]) -> Bool[Array, " k"]:
    """Where a singular value is the largest but for rounding; nowhere if all are 0."""
    s = jax.lax.stop_gradient(s)
    return (s >= (1 - rounding(s)) * jnp.max(s, initial=0)) & (s > 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def spectral_map(function: Callable[..., Any], W: Float[Array, "m n"], *parameters: Any) -> Float[Array, "m n"]:
    """``U f(σ) Vᵀ`` with ``f(σ) = function(σ, *parameters)``, a vector of which entry i is odd in σ_i, and permuted as σ is."""
    U, s, Vt = decompose(W)
    return product(U * function(s, *parameters), Vt)


@spectral_map.defjvp
def _spectral_derivative(function: Any, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (W, *parameters), (moved, *changes) = primals, tangents
    U, s, Vt = decompose(W)
    f, jacobian, change = _expand(function, s, parameters, changes)
    core = product(U.T, product(moved, Vt.T))
    sums = s[:, None] + s
    at_zero = symmetric(jacobian + jnp.diagonal(jacobian)[:, None])
    skew = jnp.where(sums > 0, (f[:, None] + f) / jnp.where(sums > 0, sums, 1), at_zero)
    inner = _differences(s, f, jacobian) * symmetric(core) + skew * (core - core.T) / 2
    inner = inner + jnp.diag(product(jacobian, jnp.diagonal(core)) + change)
    out = product(U, product(inner, Vt))
    ratio = jnp.where(s > 0, f / jnp.where(s > 0, s, 1), jnp.diagonal(jacobian))
    if W.shape[0] > s.size:
        side = product(moved, Vt.T)
        out += product((side - product(U, core)) * ratio, Vt)
    if W.shape[1] > s.size:
        side = product(U.T, moved)
        out += product(U * ratio, side - product(core, Vt))
    return product(U * f, Vt), out


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def symmetric_map(function: Callable[..., Any], A: Float[Array, "n n"], *parameters: Any) -> Float[Array, "n n"]:
    """``Q f(λ) Qᵀ`` of the symmetric part of A, with ``f(λ) = function(λ, *parameters)``, a vector that is permuted as λ is."""
    values, Q = eigenvalues(A)
    return product(Q * function(values, *parameters), Q.T)


@symmetric_map.defjvp
def _symmetric_derivative(function: Any, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (A, *parameters), (moved, *changes) = primals, tangents
    values, Q = eigenvalues(A)
    f, jacobian, change = _expand(function, values, parameters, changes)
    core = product(Q.T, product(symmetric(moved), Q))
    inner = _differences(values, f, jacobian) * core + jnp.diag(product(jacobian, jnp.diagonal(core)) + change)
    return product(Q * f, Q.T), product(Q, product(inner, Q.T))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def spectral_value(function: Callable[..., Any], W: Float[Array, "m n"], *parameters: Any) -> Scalar:
    """``function(σ, *parameters)``, a number that does not depend on the order of σ; its gradient is a spectral map."""
    return function(singular_values(W), *parameters)


@spectral_value.defjvp
def _value_derivative(function: Any, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (W, *parameters), (moved, *changes) = primals, tangents
    s = singular_values(W)
    change = jax.jvp(lambda *p: function(s, *p), tuple(parameters), tuple(changes))[1] if parameters else 0
    slope = spectral_map(jax.grad(function), W, *parameters)
    return function(s, *parameters), jnp.sum(slope * moved) + change


def _expand(function: Any, s: Array, parameters: Any, changes: Any) -> tuple[Array, Array, Array]:
    """f(s), its Jacobian, and how much f moves as the parameters do."""
    f, jacobian = function(s, *parameters), jax.jacfwd(function)(s, *parameters)
    if not parameters:
        return f, jacobian, jnp.zeros_like(f)
    return f, jacobian, jax.jvp(lambda *p: function(s, *p), tuple(parameters), tuple(changes))[1]


def _differences(s: Array, f: Array, jacobian: Array) -> Array:
    """``(f_i − f_j)/(s_i − s_j)``, zero on the diagonal.

    Rounding errs the quotient by some ε/(s_i − s_j). It lies between the derivatives at its two ends, or nearly so, and where rounding
    alone could have moved it out, it is moved back: exact for level values, and right in clusters, also across a corner of f.
    """
    slope = jnp.diagonal(jacobian)[:, None] - jacobian
    low, high = jnp.minimum(slope, slope.T), jnp.maximum(slope, slope.T)
    gap = s[:, None] - s
    quotient = jnp.where(gap != 0, (f[:, None] - f) / jnp.where(gap != 0, gap, 1), (low + high) / 2)
    scale = jnp.maximum(jnp.max(jnp.abs(s), initial=0), jnp.max(jnp.abs(f), initial=0))
    bounded = jnp.clip(quotient, low, high)
    return jnp.where(jnp.abs(quotient - bounded) * jnp.abs(gap) <= rounding(s) * scale, bounded, quotient)
