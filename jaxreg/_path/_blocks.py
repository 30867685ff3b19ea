"""Penalties that are sums over blocks of features: which those are, and the penalty on some of them. What a working set needs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from .._penalties import L2Norm, Penalty, Sum
from .._penalties._groups import Grouped
from .._tree import Static

_FILLED = 0.25  # share of the places that must hold a feature: one large group among small ones leaves most of them empty


def blocks(penalty: Penalty, shape: tuple[int, ...]) -> np.ndarray | None:
    """(blocks, largest size): the features of each block, p in the places that are left; None where the penalty is no such sum.

    A feature's row of coefficients is never divided.
    """
    if penalty.separable:
        return np.arange(shape[0])[:, None]
    terms = _terms(penalty)
    of_terms = [_of_term(term, shape) for term in terms]
    ids = next((ids for ids in of_terms if ids is not None and len(ids)), np.arange(shape[0]))
    if any(found is None or (len(found) and not np.array_equal(found, ids)) for found in of_terms):
        return None
    names, of_feature, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    places = names.size * sizes.max()
    # A coefficient of no feature stays 0 only where nothing draws it elsewhere.
    if len(ids) < _FILLED * places or (len(ids) < places and any(term.reference() is not None for term in terms)):
        return None
    order = np.argsort(of_feature, kind="stable")
    table = np.full((names.size, sizes.max()), len(ids))
    table[of_feature[order], np.concatenate([np.arange(size) for size in sizes])] = order
    return table


def on_blocks(penalty: Penalty, chosen: Int[Array, "blocks size"], shape: tuple[int, ...]) -> Penalty:
    """The penalty on the features of some rows of ``blocks``, one after the other; where there is none, on a coefficient that stays 0."""
    if isinstance(penalty, Sum):
        return penalty._with(summands=tuple(on_blocks(term, chosen, shape) for term in penalty.summands))
    if isinstance(penalty, Grouped):
        ids = _ids(penalty, shape)
        weights = getattr(penalty, "weights")
        weights = np.sqrt(np.bincount(ids.ravel())) if weights is None else weights
        own = jnp.asarray(ids.reshape(shape[0], -1)[:, 0])[chosen[:, 0]]
        groups = np.arange(len(chosen)).repeat(chosen.shape[1])
        return penalty._with(groups=Static(groups if len(shape) == 1 else groups[:, None]), weights=jnp.asarray(weights)[own])
    if isinstance(penalty, L2Norm):
        return penalty

    def of_chosen(strength: Any) -> Any:
        return strength if jnp.ndim(strength) == 0 else jnp.broadcast_to(strength, shape).at[chosen.ravel()].get(mode="clip")

    return jax.tree.map(of_chosen, penalty)


def _terms(penalty: Penalty) -> tuple[Penalty, ...]:
    return tuple(t for term in penalty.summands for t in _terms(term)) if isinstance(penalty, Sum) else (penalty,)


def _ids(penalty: Grouped, shape: tuple[int, ...]) -> np.ndarray:
    (ids,) = penalty._ids(np.zeros(shape))
    assert ids is not None  # there is one leaf of numbers
    return ids


def _of_term(term: Penalty, shape: tuple[int, ...]) -> np.ndarray | None:
    """The block of each feature; none at all for a sum over features, and None where blocks are no features' rows."""
    if isinstance(term, Grouped):
        ids = _ids(term, shape).reshape(shape[0], -1)
        return ids[:, 0] if (ids == ids[:, :1]).all() else None
    by_rows = isinstance(term, L2Norm) and len(shape) == 2 and term.axis in (1, -1)
    return np.zeros(0, int) if term.separable or by_rows else None
