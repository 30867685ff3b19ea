"""Linear equations that penalties lead to, with derivatives in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def conjugate_gradients(
    matvec: Callable[[Array], Array], right: Float[Array, "*shape"], diagonal: Float[Array, "*shape"], most: int
) -> Float[Array, "*shape"]:
    """The solution of a symmetric positive definite system to some ε, with Jacobi's preconditioner.

    jax's own ``cg`` does not transpose: it hands its start, which hangs on the right-hand side, to the solver as a constant.
    """
    tolerance = 4 * float(jnp.finfo(right.dtype).eps)

    def solve(product: Any, b: Array) -> Array:
        unit = jnp.max(jnp.abs(b), initial=0)  # or its squares overflow, and those of small numbers vanish
        unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)
        return unit * jax.scipy.sparse.linalg.cg(product, b / unit, tol=tolerance, maxiter=most, M=lambda x: x / diagonal)[0]

    return jax.lax.custom_linear_solve(matvec, right, solve, symmetric=True)
