"""What a penalty denies: a fact that is false must fail somewhere, or solvers go the long way round for nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._penalties import UnknownOperation
from . import _tolerances as tolerances
from ._derivatives import smooth_has_no_kinks
from ._duality import convex_obeys_midpoints
from ._report import Finding
from ._subject import Subject, parts


def _convex(s: Subject) -> bool:
    found = convex_obeys_midpoints(s)
    return found.error <= found.tolerance


def _smooth(s: Subject) -> bool:
    found = smooth_has_no_kinks(s)
    return found.error <= found.tolerance


def _separable(s: Subject) -> bool:
    """Two points that exchange a number: of a sum over numbers the values' sum stays, 0 and +inf included."""
    x = np.concatenate([s.inside, s.kinks])
    y = x[s.rng.permutation(len(x))]
    own = np.eye(s.n, dtype=bool)[:, None]
    before = s.value(x) + s.value(y)
    after = s.values(np.where(own, y, x)) + s.values(np.where(own, x, y))
    with np.errstate(invalid="ignore"):
        apart = np.abs(after - before) / np.maximum(1, np.abs(before))
    return bool(np.all((apart <= tolerances.FORMULA) | ~np.isfinite(before)))


def _finite(s: Subject) -> bool:
    points = np.concatenate([s.scattered, s.masked, s.far])
    return bool(np.isfinite(s.value(points)).all())


_HOLDS: dict[str, Callable[[Subject], bool]] = {"convex": _convex, "smooth": _smooth, "separable": _separable, "finite": _finite}


def denials(s: Subject) -> dict[str, Callable[[Subject], Finding]]:
    """A row for each fact that the class itself denies.

    What is made of other penalties denies what it cannot be sure of; a set's edge is no question of smoothness; and of one number
    everything is a sum.
    """
    kind = type(s.p)
    denied = [fact for fact in _HOLDS if inspect.getattr_static(kind, fact) is False] if not parts(s.p) else []
    skipped = {fact for fact, reason in (("smooth", not s.p.finite), ("separable", s.n == 1)) if reason}
    return {f"not {fact}": lambda s, fact=fact: _denied(s, fact) for fact in denied if fact not in skipped}


def _denied(s: Subject, fact: str) -> Finding:
    """That the fact fails at some point or, where strengths are special (0, all equal), at some point of the penalty of other strengths."""
    if not _HOLDS[fact](s):
        return Finding(0.0, 0.0)
    if any(field.metadata.get("static") for field in getattr(s.p, "__dataclass_fields__").values()):
        raise UnknownOperation(f"{s.title} is {fact} at all points tested: that may be its structure's doing, and not the class's")
    if not _HOLDS[fact](Subject(jax.tree.map(_generic, s.p), s.tree(np.ones(s.n)), sample=s.sample)):
        return Finding(0.0, 0.0)
    return Finding(np.inf, 0.0, f"{fact} is denied, and holds at all points")


def _generic(strength: Any) -> Any:
    """Between 0.2 and 2.4 where it was anything >= 0, below 1 where it was at most 1, and of falling entries where it was an array."""
    x = jnp.asarray(strength)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return strength
    falling = jnp.linspace(1.1, 0.9, x.size).reshape(x.shape) if x.ndim else 1
    return 0.6 * (jnp.minimum(x, 3) + 0.5) * falling
