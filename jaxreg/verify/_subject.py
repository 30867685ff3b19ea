"""A penalty seen as functions of vectors, batched and compiled once, and the points it is tested at."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import Penalty, Separable, UnknownOperation
from ._gradient import Flat

# Batches are padded to one of two sizes, so that a function is compiled once or, for the searches, twice.
_BATCH, _LARGE = 1024, 2**16

Definition = Callable[[np.ndarray], np.ndarray]

STEPS = np.array([1e-2, 0.5, 3.0])
# Of non-convex penalties the prox has another formula from some step on.
LONG_STEPS = np.array([30.0, 1e3])


def title(p: Penalty) -> str:
    text = " ".join(repr(p).split())
    return text if len(text) <= 80 else text[:79] + "…"


def parts(p: Any) -> tuple[Penalty, ...]:
    """The penalties that a sum, a place, a map, an envelope or a dual is made of."""
    return getattr(p, "summands", None) or ((p.penalty,) if isinstance(getattr(p, "penalty", None), Penalty) else ())


def has_derived_gradient(p: Any) -> bool:
    """Whether autodiff stands behind ``p.grad``, so that comparing the two would be a tautology."""
    if parts(p):
        return any(has_derived_gradient(part) for part in parts(p))
    if isinstance(p, Separable) and type(p).grad is Separable.grad:
        # Bound class methods are made anew at every access; what is stored on the classes is what can be compared.
        owner = next(c for c in type(p).__mro__ if "leaf_grad" in vars(c))
        return owner is Separable
    return type(p).grad is Penalty.grad


def batched(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of unbatched arrays as a compiled function of NumPy batches, evaluated in padded chunks."""
    compiled = jax.jit(jax.vmap(function))

    def run(*batches: Any) -> Any:
        arrays = [np.asarray(b) for b in batches]
        count = arrays[0].shape[0]
        size, chunks = _BATCH if count <= 8 * _BATCH else _LARGE, []
        for start in range(0, max(count, 1), size):
            part = [a[start : start + size] for a in arrays]
            fill = [np.concatenate([a, np.repeat(a[-1:], size - len(a), axis=0)]) if len(a) < size else a for a in part]
            chunks.append(jax.tree.map(np.asarray, compiled(*fill)))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *chunks)

    return run


class Subject:
    """A penalty as functions of batches of float64 vectors: (m, n) in, (m,) or (m, n) out."""

    def __init__(self, p: Penalty, params: Any, definition: Definition | None = None, sample: Definition | None = None):
        self.p = p
        self.definition, self.sample = definition, sample
        self.title = title(p)
        self.flat = Flat(params)
        self.n = self.flat.size
        self.separable_oracle = bool(p.separable) and sample is None
        if self.n == 0:
            raise ValueError("params has no floating-point leaf to test the penalty on")
        if not p.separable and self.n > 4:
            raise ValueError(
                f"{self.title} is not separable: its oracle is a grid over all numbers at once, so pass params of at most 4 (got {self.n})"
            )
        self.rng = np.random.default_rng(20240229)

    # --- the penalty's members ---------------------------------------------------------------------------------

    def tree(self, x: Any) -> Any:
        return self.flat.tree(x)

    def value_of(self, x: Any) -> Any:
        """Traceable: the penalty of one vector."""
        return self.p(self.tree(x))

    def prox_of(self, x: Any, step: Any) -> Any:
        return self.flat.flat(self.p.prox(self.tree(x), step))

    def grad_of(self, x: Any) -> Any:
        return self.flat.flat(self.p.grad(self.tree(x)))

    def distance_of(self, x: Any, g: Any) -> Any:
        return self.p.subdiff_distance(self.tree(x), self.tree(g))

    @functools.cached_property
    def value(self) -> Callable[..., np.ndarray]:
        return batched(self.value_of)

    def values(self, x: np.ndarray) -> np.ndarray:
        """What the searches minimise, of vectors in an array of any shape (…, n): the definition, where one was given."""
        if self.definition is not None and self.sample is None:
            with np.errstate(all="ignore"):  # of 1e100, squares overflow
                return self.definition(x)
        return self.value(x.reshape(-1, self.n)).reshape(x.shape[:-1])

    @functools.cached_property
    def grad(self) -> Callable[..., np.ndarray]:
        return batched(self.grad_of)

    @functools.cached_property
    def autodiff(self) -> Callable[..., np.ndarray]:
        return batched(jax.grad(self.value_of))

    @functools.cached_property
    def curvature(self) -> Callable[..., np.ndarray]:
        return batched(lambda x: self.flat.flat(self.p.curvature(self.tree(x))))

    @functools.cached_property
    def prox(self) -> Callable[..., np.ndarray]:
        return batched(self.prox_of)

    @functools.cached_property
    def distance(self) -> Callable[..., np.ndarray]:
        return batched(self.distance_of)

    @functools.cached_property
    def scaled(self) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
        """``(c·p)(x)`` and ``p.at(c)(x)``."""
        return batched(lambda x, c: (self.p.scaled(c)(self.tree(x)), self.p.at(c)(self.tree(x))))

    @functools.cached_property
    def support(self) -> Callable[..., np.ndarray]:
        return batched(lambda x: self.flat.flat(self.p.support(self.tree(x))))

    @functools.cached_property
    def conjugate(self) -> Callable[..., np.ndarray]:
        return batched(lambda u: self.p.conjugate(self.tree(u)))

    @functools.cached_property
    def free(self) -> np.ndarray:
        return np.asarray(self.flat.flat(self.p.free(self.tree(jnp.zeros(self.n)))))

    # --- points ------------------------------------------------------------------------------------------------

    def normal(self, count: int, scale: float = 1.0) -> np.ndarray:
        """Normal draws, kept off 0 by a hundredth of the scale: a difference quotient must not straddle a kink there."""
        x = self.rng.standard_normal((count, self.n))
        return scale * np.where(np.abs(x) < 1e-2, 1e-2, x)

    @functools.cached_property
    def scattered(self) -> np.ndarray:
        """Points of three sizes, and the template itself."""
        scales = [self.normal(6, scale) for scale in (1e-3, 1.0, 30.0)]
        return np.concatenate([*scales, np.abs(self.normal(4)), self.flat.vector[None]])

    @functools.cached_property
    def far(self) -> np.ndarray:
        """Points of two sizes beyond all that a formula's branches are usually written for."""
        return np.concatenate([self.normal(3, scale) for scale in (1e3, 1e6)])

    @functools.cached_property
    def masked(self) -> np.ndarray:
        """Zero, and points with some numbers zero: each subset of up to four, else each leaf, each number and some draws."""
        if self.n <= 4:
            masks = np.array(list(itertools.product([False, True], repeat=self.n)))[:-1]
        else:
            leaf_of = np.asarray(self.flat.leaf_of)
            leaves = np.array([leaf_of != i for i in np.unique(leaf_of)])
            some = [np.zeros((1, self.n), bool), leaves, np.roll(leaves, 1), ~np.eye(self.n, dtype=bool)[:8]]
            masks = np.concatenate([*some, self.rng.random((8, self.n)) < 0.5])
        return np.concatenate([masks * self.normal(len(masks)), masks * self.normal(len(masks), 30.0)])

    @functools.cached_property
    def kinks(self) -> np.ndarray:
        """Where the penalty may bend: points with zeros, the reference, and where its own prox comes to rest."""
        found = [self.masked]
        center = self.p.reference()
        if center is not None:
            found.append(self.centered(self.masked[: 2**4]))
        try:
            rest = self.prox(np.repeat(self.scattered, 2, axis=0), np.tile([0.5, 3.0], len(self.scattered)))
            found.append(rest[np.isfinite(rest).all(axis=1)])
        except UnknownOperation:
            pass
        points = np.concatenate(found)
        return points[np.isfinite(self.value(points))]

    def centered(self, points: np.ndarray) -> np.ndarray:
        """Points moved to the penalty's reference."""
        from .._tree import broadcast_prefix

        leaves, treedef = jax.tree.flatten(self.tree(np.zeros(self.n)))
        centers = broadcast_prefix(self.p.reference(), self.tree(np.zeros(self.n)), "reference")
        filled = [np.broadcast_to(0.0 if c is None else c, np.shape(w)) for w, c in zip(leaves, centers, strict=True)]
        return points + np.asarray(self.flat.flat(jax.tree.unflatten(treedef, filled)))

    @functools.cached_property
    def inside(self) -> np.ndarray:
        """Scattered and masked points where the penalty is finite; those of a constraint's interior may be none, so its projections too."""
        points = np.concatenate([self.scattered, self.masked])
        if not self.p.finite:
            points = np.concatenate([points, self.kinks])
        return points[np.isfinite(self.value(points))]

    @functools.cached_property
    def sweep(self) -> np.ndarray:
        """What a prox is asked: a fine sweep of magnitudes, in which no threshold is overlooked, and points with zeros."""
        sizes = np.concatenate([np.linspace(0.1, 6.0, 60), np.geomspace(1e-3, 60.0, 12)])
        pattern = np.resize([1.0, -0.83, 0.61, -0.37], self.n)
        return np.concatenate([sizes[:, None] * pattern, self.scattered, self.masked[:8]])

    @functools.cached_property
    def far_sweep(self) -> np.ndarray:
        """A coarser sweep of magnitudes to where the longest step's thresholds lie, and one far beyond."""
        pattern = np.resize([1.0, -0.83, 0.61, -0.37], self.n)
        sizes = np.append(np.geomspace(0.5, 2e3, 24), 1e6)
        # What is worked out from another prox, at a far point, ends a rounding of that point outside its domain.
        return (sizes if self.p.finite or not parts(self.p) else sizes[sizes < 100])[:, None] * pattern

    def at(self, x: np.ndarray, j: int | None = None) -> str:
        """A point, and one of its coordinates, in words."""
        shown = ", ".join(f"{v:.4g}" for v in x[:6]) + (", …" if self.n > 6 else "")
        return f"({shown})" if j is None else f"{self.flat.names[j]} of ({shown})"
