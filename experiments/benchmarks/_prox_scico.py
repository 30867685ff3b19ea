"""Proximal operators in jax.numpy as SCICO documents them, written from its formulas: SCICO itself is not installed.

What SCICO has in this form is listed in ``_prox_cases``. Its total variation is an approximation, no prox, and so no peer.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array


def l1(v: Array, lam: Any) -> Array:
    return jnp.sign(v) * jnp.maximum(jnp.abs(v) - lam, 0)


def squared_l2(v: Array, lam: Any) -> Array:
    return v / (1 + 2 * lam)


def l0(v: Array, lam: Any) -> Array:
    """SCICO thresholds at λ, which is not the prox; at ``√(2λ)`` it is, and this is what is timed."""
    return jnp.where(jnp.abs(v) >= jnp.sqrt(2 * lam), v, 0)


def huber(v: Array, lam: Any, delta: Any) -> Array:
    return v * (1 - lam * delta / jnp.maximum(jnp.abs(v), delta * (1 + lam)))


def l2(v: Array, lam: Any) -> Array:
    return v * jnp.maximum(1 - lam / jnp.sqrt(jnp.sum(v**2)), 0)


def l21(v: Array, lam: Any) -> Array:
    """Of rows."""
    size = jnp.sqrt(jnp.sum(v**2, axis=1, keepdims=True))
    return jnp.maximum(size - lam, 0) * jnp.where(size > 0, v / jnp.where(size > 0, size, 1), 0)


def l1_minus_l2(v: Array, lam: Any) -> Array:
    """Where the largest entry exceeds λ, as it does here."""
    z = l1(v, lam)
    size = jnp.sqrt(jnp.sum(z**2))
    return z * (size + lam) / size


def nuclear(v: Array, lam: Any) -> Array:
    left, s, right = jnp.linalg.svd(v, full_matrices=False)
    return left @ jnp.diag(jnp.maximum(s - lam, 0)) @ right


def non_negative(v: Array) -> Array:
    return jnp.maximum(v, 0)


def l2_ball(v: Array, radius: Any) -> Array:
    """Of a point outside, as it is here: SCICO's formula."""
    return radius * v / jnp.sqrt(jnp.sum(v**2))
