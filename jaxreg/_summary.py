"""``summary``: which parameters a penalty touches, with which strength, and which it leaves alone."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from ._dtypes import is_concrete, is_number
from ._penalties import Penalty
from ._penalties._sum import Sum
from ._tree import broadcast_prefix, paths

PyTree = Any


class SummaryRow(NamedTuple):
    """One leaf: its path and shape, the penalties on it and their λ; no penalty means that it is exempt."""

    path: str
    shape: tuple[int, ...]
    penalties: tuple[str, ...]
    lams: tuple[str, ...]

    @property
    def exempt(self) -> bool:
        """Whether no penalty touches the leaf."""
        return not self.penalties


@dataclasses.dataclass(frozen=True)
class Summary:
    """The rows of :func:`summary`; ``str`` of it is an aligned table."""

    rows: tuple[SummaryRow, ...]

    def __str__(self) -> str:
        table = [("path", "shape", "penalty", "λ")]
        for row in self.rows:
            where = row.path or "(the parameters)"
            shape = str(row.shape)
            table.append((where, shape, " + ".join(row.penalties) or "exempt", ", ".join(row.lams) or "–"))
        widths = [max(len(line[k]) for line in table) for k in range(4)]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in table)


def summary(penalty: Penalty, params: PyTree) -> Summary:
    """A table with a row for each leaf of ``params``: path, shape, the penalties on it and their λ, or that it is exempt.

    Args:
      penalty: any penalty; the terms of a sum are listed one by one.
      params: the parameters, of which only structure and shapes matter.

    Returns:
      A :class:`Summary`: ``print`` it, or read its ``rows``.

    Raises:
      ValueError: the penalty does not fit ``params``, as when a selection matches no leaf.

    >>> import jax.numpy as jnp, jaxreg
    >>> params = {"dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}, "scale": 1.0}
    >>> print(jaxreg.summary(jaxreg.L2(1e-4).on("**/kernel") + jaxreg.L1(0.1).on("scale"), params))
    path          shape   penalty  λ
    dense/bias    (2,)    exempt   –
    dense/kernel  (3, 2)  L2       0.0001
    scale         ()      L1       0.1
    """
    leaves = jax.tree.leaves(params)
    found: list[list[tuple[str, str]]] = [[] for _ in leaves]
    for term in penalty.summands if isinstance(penalty, Sum) else (penalty,):
        if not term.terms():
            continue
        placed = jax.tree.leaves(term.covers(params))
        bare: Any = term
        while hasattr(bare, "penalty"):
            bare = bare.penalty
        lam = getattr(bare, "lam", "")
        strengths = [lam] * len(leaves) if isinstance(lam, str) else broadcast_prefix(lam, params, "lam")
        name = type(bare).__name__ + (" around a reference" if term.reference() is not None else "")
        for entry, on_it, strength in zip(found, placed, strengths, strict=True):
            if on_it and strength is not None:
                entry.append((name, _shown(strength)))
    rows = zip(paths(params), leaves, found, strict=True)
    return Summary(
        tuple(
            SummaryRow(path, tuple(np.shape(leaf)) if is_number(leaf) else (), tuple(n for n, _ in e), tuple(s for _, s in e if s))
            for path, leaf, e in rows
        )
    )


def _shown(strength: Any) -> str:
    if isinstance(strength, str):
        return strength
    if not is_concrete(strength):
        return "traced"
    values = np.asarray(strength)
    if values.ndim == 0:
        return f"{float(values):g}"
    return f"{values.min():g} … {values.max():g} {values.shape}"
