"""A hand-written gradient against autodiff and against central differences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._dtypes import is_penalised_leaf, x64_scope
from .._tree import paths
from . import _tolerances as tolerances

PyTree = Any


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """The outcome of :func:`gradient`; true where both comparisons are within tolerance.

    Attributes:
      autodiff_error: largest difference ``|a − b|`` from ``jax.grad``, over entries and points: relative to the entry,
        ``max(|a|, |b|)``, or to the gradient's largest entry where it is at most 1024 eps of that, which is rounding.
      difference_error: largest difference from central differences, relative to max(1, largest gradient entry).
      worst: path and index of the worst entry, followed by "(nudged)" where the given point itself was in order.
      tolerances: what the two errors may be at most.
      ok: both are finite and within tolerance.
    """

    autodiff_error: float
    difference_error: float
    worst: str
    tolerances: tuple[float, float]
    ok: bool

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        first, second = self.tolerances
        return (
            f"gradient {'ok' if self.ok else 'WRONG'}: against autodiff {self.autodiff_error:.1e} (at most {first:.1e}), "
            f"against central differences {self.difference_error:.1e} (at most {second:.1e}); worst at {self.worst}"
        )


class Flat:
    """The floating-point leaves of a pytree as one float64 vector, and back."""

    def __init__(self, params: PyTree):
        leaves, self.treedef = jax.tree.flatten(params)
        self.rest = [None if is_penalised_leaf(leaf) else leaf for leaf in leaves]
        self.shapes = [np.shape(leaf) if is_penalised_leaf(leaf) else None for leaf in leaves]
        chosen = [np.asarray(leaf, np.float64) for leaf in leaves if is_penalised_leaf(leaf)]
        self.vector = np.concatenate([leaf.ravel() for leaf in chosen]) if chosen else np.zeros(0)
        self.size = self.vector.size
        self.names: list[str] = []
        self.leaf_of: list[int] = []  # which leaf a number comes from
        for i, (path, shape) in enumerate(zip(paths(params), self.shapes, strict=True)):
            if shape is not None:
                self.names += [f"{path or 'w'}[{', '.join(map(str, index))}]" if shape else path or "w" for index in np.ndindex(*shape)]
                self.leaf_of += [i] * math.prod(shape)

    def tree(self, vector: Any) -> PyTree:
        """The pytree that a vector stands for."""
        leaves, start = [], 0
        for leaf, shape in zip(self.rest, self.shapes, strict=True):
            if shape is None:
                leaves.append(leaf)
                continue
            size = math.prod(shape)
            leaves.append(vector[start : start + size].reshape(shape))
            start += size
        return jax.tree.unflatten(self.treedef, leaves)

    def flat(self, tree: PyTree) -> Any:
        """The vector of a pytree of the same structure, whatever stands in place of the other leaves."""
        found = jax.tree.leaves(tree, is_leaf=lambda x: x is None)
        if len(found) != len(self.shapes):
            raise ValueError(f"expected a pytree like params, with {len(self.shapes)} leaves, got {len(found)}")
        parts = []
        for value, shape in zip(found, self.shapes, strict=True):
            if shape is None:
                continue
            if np.shape(value) != shape:
                raise ValueError(f"expected a leaf of shape {shape}, got {np.shape(value)}")
            parts.append(jnp.reshape(jnp.asarray(value), -1))
        return jnp.concatenate(parts) if parts else jnp.zeros(0)


def central_differences(
    f: Callable[[np.ndarray], np.ndarray], points: np.ndarray, scale: np.ndarray, along: Iterable[int] | None = None
) -> np.ndarray:
    """``(f(x + h·e_j) − f(x − h·e_j))/2h`` for a batch of points (m, n), with ``h = eps^(1/3)·scale`` of (m, n).

    A column for each coordinate j in ``along``: all of them, if not given.
    """
    columns = []
    for j in range(points.shape[1]) if along is None else along:
        above, below = points.copy(), points.copy()
        above[:, j] += tolerances.DIFFERENCE_STEP * scale[:, j]
        below[:, j] -= tolerances.DIFFERENCE_STEP * scale[:, j]
        with np.errstate(invalid="ignore"):
            # Divide by the step that was taken after rounding, not by the one that was meant.
            columns.append((f(above) - f(below)) / (above[:, j] - below[:, j]))
    return np.stack(columns, axis=1)


def _promote(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) if is_penalised_leaf(x) else x, tree)


def gradient(f: Callable[..., Any], analytic: Any, at: PyTree, *args: Any, tol: float | None = None) -> GradientCheck:
    """Hold a hand-written gradient against ``jax.grad`` and against central differences.

    Everything is computed in a local float64 scope, with floating-point inputs promoted. Central differences use the step
    ``h = eps^(1/3)·max(1, |x|)``: ``(f(x + h·e_j) − f(x − h·e_j))/2h``. A function is compared at a second point too, each
    number moved away from 0 by one or two thousandths of ``max(1, |x|)``, where it and f are finite: a zero at the given
    point (7w for 2w, at 0) hides no mistake.

    Args:
      f: ``(params, *args) -> scalar``, over any pytree.
      analytic: ``(params, *args) -> pytree like params``, or that pytree itself.
      at: the params to compare at; choose a point where f is smooth.
      *args: handed to both.
      tol: the tolerance of both comparisons: against autodiff relative to each entry, so that a small one beside large
        ones counts, and against differences to max(1, largest entry). The default is 1e-9 and 4e-7.

    Returns:
      a :class:`GradientCheck`, true where both agree. A NaN or an infinity anywhere is a disagreement.

    Raises:
      ValueError: the gradient has another structure or shapes than ``at``.

    >>> import jax.numpy as jnp
    >>> from jaxreg import verify
    >>> bool(verify.gradient(lambda w: jnp.sum(w**2), lambda w: 2 * w, jnp.array([1.0, 2.0])))
    True
    >>> print(verify.gradient(lambda w: jnp.sum(w**2), lambda w: w * jnp.array([2.0, 1.0]), jnp.array([1.0, 2.0])))
    gradient WRONG: against autodiff 5.0e-01 ... worst at w[1]
    """
    bounds = (tolerances.USER_AUTODIFF, tolerances.USER_DIFFERENCE) if tol is None else (tol, tol)
    with x64_scope():
        flat = Flat(at)
        args = _promote(args)

        @jax.jit
        def value(vector: Any) -> Any:
            return f(flat.tree(vector), *args)

        def claim(vector: np.ndarray) -> np.ndarray:
            found = analytic(flat.tree(jnp.asarray(vector)), *args) if callable(analytic) else analytic
            return np.asarray(flat.flat(found), np.float64)

        slope = jax.jit(jax.grad(value))
        points, given = [flat.vector, _nudged(flat.vector)], [claim(flat.vector)]
        if not flat.size:
            return GradientCheck(0.0, 0.0, "nothing", bounds, True)
        automatic = [np.asarray(slope(jnp.asarray(x))) for x in points]
        if callable(analytic):
            second = claim(points[1])
            if np.isfinite(value(jnp.asarray(points[1]))) and np.isfinite(second).all():
                given.append(second)
        # Rounding is measured against both points: at a minimum, a gradient is nothing but rounding.
        largest = float(np.max(np.abs(automatic), initial=0, where=np.isfinite(automatic)))
        errors = np.stack([_errors(value, *at, largest) for at in zip(points, given, automatic, strict=False)])
    ratios = np.max(errors / np.asarray(bounds)[:, None], axis=1)
    where = 0 if ratios[0].max() > 1 else int(ratios.max(axis=1).argmax())
    worst = flat.names[int(ratios[where].argmax())] + (" (nudged)" if where else "")
    first, second = (float(e) for e in errors.max(axis=(0, 2)))
    return GradientCheck(first, second, worst, bounds, first <= bounds[0] and second <= bounds[1])


def _nudged(x: np.ndarray) -> np.ndarray:
    """Each number a little farther from 0, where penalties bend, and each by another share, so that differences move too."""
    share = 1 + np.arange(x.size) * 0.6180339887 % 1
    return x + np.where(x < 0, -1, 1) * tolerances.NUDGE * np.maximum(1, np.abs(x)) * share


def _errors(value: Callable[[Any], Any], x: np.ndarray, given: np.ndarray, automatic: np.ndarray, largest: float) -> np.ndarray:
    """Of a claimed gradient at x, (2, n): from autodiff and from central differences; infinite for NaN."""
    differences = central_differences(
        lambda points: np.asarray([value(point) for point in points], np.float64), x[None], np.maximum(1, np.abs(x))[None]
    )[0]
    scale = max([1.0, *np.abs(automatic[np.isfinite(automatic)])])
    with np.errstate(invalid="ignore"):
        gap, entry = np.abs(automatic - given), np.maximum(np.abs(automatic), np.abs(given))
        relative = gap / np.where(gap <= tolerances.FORMULA * largest, largest or 1.0, np.where(entry > 0, entry, 1.0))
        errors = np.stack([relative, np.abs(differences - given) / scale])
    return np.where(np.isnan(errors), np.inf, errors)
