"""Total variation of images: ``lam`` times the sum of the lengths of all pixels' gradients."""

from __future__ import annotations

import warnings
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Scalar

from .._dtypes import is_concrete
from .._warnings import ConvergenceWarning
from ._about import About
from ._arithmetic import check_numbers, coefficient
from ._base import PyTree, Strength, UnknownOperation, static
from ._denoise import adjoint, denoise, differences, direction, inside, length
from ._matrix import Matrixwise


def value(w: Float[Array, "m n"], lam, isotropic: bool) -> Scalar:
    return lam * jnp.sum(length(differences(w), isotropic))


def grad(w: Float[Array, "m n"], lam, isotropic: bool) -> Float[Array, "m n"]:
    return lam * adjoint(direction(differences(w), isotropic))


def level(w: Float[Array, "m n"], isotropic: bool) -> Array:
    """The gradients (or, anisotropic, the single differences) that are 0."""
    return length(differences(w), isotropic) == 0


def residual(w: Float[Array, "m n"], g: Float[Array, "m n"], lam, isotropic: bool, tol: float, most: int) -> Float[Array, "m n"]:
    """``g + Dᵀy`` is due where w changes; where it is level any ``|y| <= lam`` is, and the best is what denoising finds."""
    fixed = g + grad(w, lam, isotropic)
    return denoise(fixed, jnp.where(level(w, isotropic), lam, 0), isotropic, tol, most)[0]


class TotalVariation(Matrixwise):
    """Total variation of images: ``lam·Σ√((∂₁w)² + (∂₂w)²)``, or anisotropic ``lam·Σ(|∂₁w| + |∂₂w|)``.

    ``∂`` are forward differences over two axes, 0 at the far edge. Images become level in regions with sharp edges. Gradient
    ``lam·Dᵀ(Dw/|Dw|)`` (0 where a pixel's gradient is 0). Convex; conjugate and ``lambda_max`` have no closed form in two dimensions.

    The prox is iterative: accelerated projected gradients on the dual, until the duality gap is ``tol`` of the prox objective P, and
    then Newton's steps among images that are level in the regions found. ``½‖z − exact‖² <= gap·P``, and :meth:`gap` returns the
    relative gap. Small images reach rounding. Noisy ones of 256 × 256 in float64 reach 1e-12 within some hundred iterations where
    lam is below the noise; where it is of the noise's size or many times it, they may end at ``max_iter`` with 1e-4 to 1e-7: ask
    :meth:`gap`. An iteration passes over the image about ten times. Derivatives are those of the regions found, and as good as
    these. ``subdiff_distance`` solves a problem of the same kind.

    Args:
      lam: strength, >= 0, one number, in units of loss per unit of change.
      isotropic: lengths of gradients (no preferred direction) or sums of absolute differences.
      axes: the image's rows and columns; other axes count images.
      tol: relative duality gap at which the prox stops, at least 16 ε of the dtype.
      max_iter: iterations after which it stops all the same.

    Raises:
      ValueError: ``lam`` is negative or not finite, ``tol`` is negative, ``max_iter`` is not positive; a leaf lacks the axes.

    References:
      Rudin, Osher and Fatemi, Nonlinear total variation based noise removal algorithms, 1992; Chambolle, An algorithm for total
      variation minimization and applications, 2004, §2; Beck and Teboulle, Fast gradient-based algorithms for constrained total
      variation image denoising, 2009, eq. 2.1, 2.2 and §4.

    >>> import jax.numpy as jnp, jaxreg
    >>> jaxreg.TotalVariation(0.5, isotropic=False).prox(jnp.array([[0.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.333, 0.333], [0.333, 3.0]]
    """

    lam: Strength = 1.0
    isotropic: bool = static(default=True)
    axes: Any = static(default=(-2, -1))
    tol: float = static(default=1e-12)
    max_iter: int = static(default=2000)
    convex = True
    # With T monotone and number by number, |T(a) − T(b)| and |a − b| share subgradients; lengths of two differences do not.
    role = property(lambda self: "" if self.isotropic else "levels")  # pyright: ignore[reportAssignmentType]
    about = About(
        equation="lam·Σ√((∂₁w)² + (∂₂w)²), or lam·Σ(|∂₁w| + |∂₂w|)",
        domain="lam ≥ 0; images",
        cost="iterative: some hundred passes over the image",
        also="SCICO, PyProximal",
        source="Rudin, Osher and Fatemi 1992; Beck and Teboulle 2009, §4",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers("TotalVariation: tol", self.tol, lambda x: x >= 0, ">= 0")
        check_numbers("TotalVariation: max_iter", self.max_iter, lambda x: x >= 1, ">= 1")

    def _how(self) -> tuple[bool, float, int]:
        return bool(self.isotropic), float(self.tol), int(self.max_iter)

    def vector_value(self, w: Float[Array, "m n"], lam) -> Scalar:  # pyright: ignore[reportIncompatibleVariableOverride]
        return value(w, lam, self.isotropic)

    def vector_prox(self, w: Float[Array, "m n"], step, lam) -> Float[Array, "m n"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        z, gap = denoise(w, jnp.broadcast_to(step * lam, (1, *w.shape)), *self._how())
        if is_concrete(gap) and gap > max(self.tol, 64 * float(jnp.finfo(w.dtype).eps)):
            warnings.warn(
                f"TotalVariation: prox stopped at max_iter={self.max_iter} with a relative duality gap of {float(gap):.1e}, "
                f"above tol={self.tol:g}; raise max_iter, or tol if that will do",
                ConvergenceWarning,
                stacklevel=2,
            )
        return z

    def vector_residual(self, w: Array, g: Array, lam) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return residual(w, g, lam, *self._how())

    def vector_support(self, w: Float[Array, "m n"], lam) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where no gradient that a pixel is part of is 0."""
        down, across = inside(level(w, self.isotropic))
        return ~(down | across | jnp.roll(down, 1, axis=0) | jnp.roll(across, 1, axis=1)) | (lam == 0)

    def grad(self, params: PyTree) -> PyTree:
        return self._write(lambda w, lam: grad(w, lam, self.isotropic), params)

    def lambda_max(self, grad_at_zero: PyTree) -> Scalar:
        raise UnknownOperation("lambda_max of TotalVariation is the least largest flow that meets the gradient: it has no closed form")

    def gap(self, params: PyTree, step: Any = 1.0) -> Scalar:
        """The relative duality gap of ``prox(params, step)``, the largest over images: at most ``tol`` if it converged.

        >>> import jax.numpy as jnp, jaxreg
        >>> bool(jaxreg.TotalVariation(0.5, tol=1e-5).gap(jnp.eye(4)) <= 1e-5)
        True
        """
        blocks, _ = self._gather(params)
        found = self._apply(lambda w, lam: denoise(w, jnp.broadcast_to(step * lam, (1, *w.shape)), *self._how())[1], blocks)
        return jnp.max(jnp.stack([jnp.max(f, initial=0) for f in found]))

    def formula(self, prefix: str = "", w: str = "w") -> str:
        term = f"Σ√((∂₁{w})² + (∂₂{w})²)" if self.isotropic else f"Σ(|∂₁{w}| + |∂₂{w}|)"
        return f"{coefficient(prefix, self.lam)}{term}"
