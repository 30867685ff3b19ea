"""Which rows a model of cross-validation is trained on, and which it is tested on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from ..losses import Loss


@dataclasses.dataclass(frozen=True, repr=False)
class Folds:
    """Splits of n rows into those trained on and those held out; for ``jaxreg.cross_validate(folds=…)``.

    Made by :meth:`draw`, :meth:`by_group`, :meth:`in_time`, :meth:`of_ids` or :meth:`of_pairs`.

    Attributes:
      train, test: (S, n) bool, one split a row.
      repeat: (S,) from 0, the repeat of K-fold that a split belongs to.
    """

    train: np.ndarray
    test: np.ndarray
    repeat: np.ndarray

    @classmethod
    def draw(cls, n: int, folds: int, key: jax.Array, *, classes: Any = None, repeats: int = 1) -> Folds:
        """K-fold, drawn from a key: sizes differ by one at most.

        Args:
          n: rows.
          folds: K, between 2 and n.
          key: a jax random key; the same key gives the same folds.
          classes: (n,) labels; each fold gets its share of every class.
          repeats: how often all rows are dealt out anew.

        Raises:
          ValueError: fewer than two folds or more than rows, fewer than one repeat.

        >>> import jax, jaxreg
        >>> jaxreg.Folds.draw(10, 5, jax.random.key(0), repeats=3)
        <folds: 10 rows, 5 folds × 3 repeats>
        """
        return cls.of_ids(np.stack([_draw(n, folds, k, classes) for k in _keys(key, repeats)]))

    @classmethod
    def by_group(cls, groups: Any, folds: int, key: jax.Array, *, repeats: int = 1) -> Folds:
        """K-fold of whole groups (patients, sites): no group is in training and held out at once.

        Groups, largest first and in an order drawn from the key where they are level, go to the fold with the fewest rows so far.

        Args:
          groups: (n,) labels.
          folds: K, between 2 and the number of groups.
          key: a jax random key.
          repeats: how often the groups are dealt out anew; it takes groups of equal size for that to change anything.

        Raises:
          ValueError: fewer than two folds or more than groups, fewer than one repeat, groups that are no vector.

        >>> import jax, jaxreg
        >>> folds = jaxreg.Folds.by_group(["a", "a", "b", "c", "c", "b"], 3, jax.random.key(0))
        >>> [len({(g, i) for g, i in zip("aabccb", folds.ids)})]
        [3]
        """
        labels = np.asarray(groups)
        if labels.ndim != 1:
            raise ValueError(f"groups must be a vector with one label for each row, got shape {labels.shape}")
        names, of_row, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        _check_count(folds, names.size, "groups")
        ids = []
        for k in _keys(key, repeats):
            order = _generator(k).permutation(names.size)
            fold_of, rows = np.empty(names.size, int), np.zeros(folds, int)
            for group in order[np.argsort(-sizes[order], kind="stable")]:
                fold_of[group] = rows.argmin()
                rows[fold_of[group]] += sizes[group]
            ids.append(fold_of[of_row])
        return cls.of_ids(np.stack(ids))

    @classmethod
    def in_time(cls, n: int, folds: int, *, gap: int = 0, window: int | None = None) -> Folds:
        """Forward chaining for rows in the order of time: the last K blocks of n // (K + 1) rows, each predicted from rows before it.

        Args:
          n: rows, the oldest first.
          folds: K, at least 2.
          gap: rows left out between training and block, where neighbours tell on each other.
          window: train on this many rows before the gap at most; on all by default.

        Raises:
          ValueError: too few rows for that many blocks and the gap, a negative gap, an empty window.

        References:
          Hyndman and Athanasopoulos, Forecasting: principles and practice, 2021, §5.10.

        >>> import jaxreg
        >>> folds = jaxreg.Folds.in_time(6, 2)
        >>> folds.train.astype(int).tolist()
        [[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]
        """
        if folds < 2:
            raise ValueError(f"folds must be at least 2, got {folds}")
        if gap < 0 or (window is not None and window < 1):
            raise ValueError(f"gap must be >= 0 and window >= 1 (or None), got gap={gap} and window={window}")
        size = n // (folds + 1)
        starts = n - size * np.arange(folds, 0, -1)
        if size < 1 or starts[0] - gap < 2:
            raise ValueError(
                f"folds = {folds} with gap = {gap} leaves the first of {n} rows' blocks fewer than 2 rows to train on; use fewer"
            )
        row, first = np.arange(n), starts[:, None]
        train = row < first - gap
        if window is not None:
            train &= row >= first - gap - window
        return cls(train, (row >= first) & (row < first + size), np.zeros(folds, int))

    @classmethod
    def of_ids(cls, ids: Any) -> Folds:
        """Given ids: (n,) or (repeats, n), 0 … K−1, the fold in which each row is held out.

        Raises:
          ValueError: ids of another shape or dtype, fewer than two folds, ids left out.
        """
        ids = np.asarray(ids)
        if ids.ndim not in (1, 2) or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"folds: ids must be integers of shape (n,) or (repeats, n), got {ids.dtype} of shape {ids.shape}")
        tests, repeat = [], []
        for r, row in enumerate(np.atleast_2d(ids)):
            present = np.unique(row)
            if present.size < 2 or present[0] != 0 or present[-1] != present.size - 1:
                raise ValueError(f"folds: ids must be 0 … K−1 with K >= 2 and none missing, got {present[:6].tolist()}")
            tests.append(row == present[:, None])
            repeat += [r] * present.size
        test = np.concatenate(tests)
        return cls(~test, test, np.asarray(repeat))

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[Any, Any]], n: int) -> Folds:
        """Given pairs (rows to train on, rows to test on), as scikit-learn's splitters yield them; indices or masks.

        Where the pairs hold out every row once before one is held out again (``RepeatedKFold``), each such round is a repeat.

        Raises:
          ValueError: fewer than two pairs, rows out of range, a row in both parts of a pair.
        """
        parts = [tuple(_mask(part, n) for part in pair) for pair in pairs]
        if len(parts) < 2 or any(len(pair) != 2 for pair in parts):
            raise ValueError("folds: pass at least two pairs (rows to train on, rows to test on)")
        train, test = np.array(parts).transpose(1, 0, 2)
        if (train & test).any():
            split, row = np.argwhere(train & test)[0]
            raise ValueError(f"folds: pair {split} trains on row {row} and tests on it; a row may be in one part only")
        return cls(train, test, _rounds(test))

    @property
    def ids(self) -> np.ndarray | None:
        """(n,), or (repeats, n) of several repeats: the fold in which each row is held out; None where that does not say it all.

        It does where every repeat holds each row out once and trains on all others.
        """
        if (self.train == self.test).any():
            return None
        ids = []
        for r in range(self.repeats):
            test = self.test[self.repeat == r]
            if (test.sum(axis=0) != 1).any():
                return None
            ids.append(test.argmax(axis=0))
        return ids[0] if self.repeats == 1 else np.stack(ids)

    def first(self, count: int) -> Folds | None:
        """Of the first ``count`` splits those that make whole repeats, or else all of them; None where they are fewer than two."""
        ends = np.flatnonzero(np.diff(self.repeat, append=self.repeats)) + 1  # of repeats
        kept = max(ends[ends <= count], default=count)
        return Folds(self.train[:kept], self.test[:kept], self.repeat[:kept]) if kept > 1 else None

    @property
    def repeats(self) -> int:
        """How many repeats there are."""
        return int(self.repeat[-1]) + 1

    def __repr__(self) -> str:
        return f"<folds: {self.test.shape[1]} rows, {self.counted()}>"

    def counted(self) -> str:
        """``5 folds × 3 repeats``."""
        over = f" × {self.repeats} repeats" if self.repeats > 1 else ""
        return f"{len(self.test) // self.repeats} folds{over}"


def as_folds(folds: Any, n: int, key: jax.Array | None, classes: Any, repeats: int) -> Folds:
    """What a person passes as folds."""
    if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
        if key is None:
            raise ValueError("key is missing: folds are drawn from an explicit key, such as key=jax.random.key(0), or pass fold ids")
        return Folds.draw(n, int(folds), key, classes=classes, repeats=repeats)
    if repeats != 1:
        raise ValueError(f"repeats = {repeats} deals a number of folds out anew; these folds are given, with their own repeats")
    if not isinstance(folds, Folds | np.ndarray | jax.Array | Iterable):
        raise TypeError(f"folds must be a count, {n} integer ids, pairs or jaxreg.Folds, got {folds!r}")
    given = folds if isinstance(folds, Folds | np.ndarray | jax.Array) else list(folds)  # a splitter's pairs come one by one
    if isinstance(given, Folds):
        found = given
    elif isinstance(given, list) and given and isinstance(given[0], tuple):
        found = Folds.of_pairs(given, n)
    else:
        found = Folds.of_ids(given)
    if found.test.shape[1] != n:
        raise ValueError(
            f"folds must be a count, {n} integer ids, pairs or jaxreg.Folds of {n} rows, got ids of {found.test.shape[1]} rows"
        )
    return found


def _draw(n: int, folds: int, key: jax.Array, classes: Any = None) -> np.ndarray:
    """(n,) fold ids 0 … folds−1 of sizes that differ by one at most, drawn from a key; balanced within each class."""
    _check_count(folds, n, "rows")
    order = _generator(key).permutation(n)
    if classes is not None:
        # Dealing out the rows sorted by class leaves each fold with its share of every class.
        order = order[np.argsort(np.asarray(classes)[order], kind="stable")]
    ids = np.empty(n, int)
    ids[order] = np.arange(n) % folds
    return ids


def check_rows(folds: Folds, weights: np.ndarray, labels: Any, loss: Loss) -> None:
    """Every split has rows of positive weight to test and to train on, of every class or with an event (``labels``, None for numbers)."""
    present = weights > 0
    for k, (train, test) in enumerate(zip(folds.train & present, folds.test & present, strict=True)):
        if not test.any():
            raise ValueError(
                f"folds: fold {k} holds out no row of positive weight, so that it has no error; leave rows of weight zero out of X, y, "
                "sample_weight and folds (they change no fit)"
            )
        if train.sum() < 2:
            raise ValueError(f"folds: fold {k} leaves fewer than two rows of positive weight to train on")
        lost = sorted(set(labels[present]) - set(labels[train])) if labels is not None else []
        if loss.coupled and 1 in lost:
            raise ValueError(f"folds: without fold {k} no event is left to train on; use fewer folds")
        if lost and not loss.coupled:
            raise ValueError(f"folds: without fold {k} no row of class {int(lost[0])} is left to train on; use fewer folds")


def _check_count(folds: int, most: int, what: str) -> None:
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    if folds > most:
        raise ValueError(f"folds = {folds} is more than the {most} {what}; use folds <= {most}")


def _keys(key: jax.Array, repeats: int) -> list[jax.Array]:
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    return [key, *(jax.random.fold_in(key, r) for r in range(1, repeats))]


def _generator(key: jax.Array) -> np.random.Generator:
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def _mask(rows: Any, n: int) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.dtype == bool and rows.shape == (n,):
        return rows
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or (rows.size and (rows.min() < 0 or rows.max() >= n)):
        raise ValueError(f"folds: each part of a pair must be row numbers 0 … {n - 1} or {n} booleans")
    return np.isin(np.arange(n), rows)


def _rounds(test: np.ndarray) -> np.ndarray:
    """Of each fold the round in which it holds rows out, if every round holds out each row once; else 0."""
    times = np.cumsum(test, axis=0)
    level = times.max(axis=1)
    ends = np.flatnonzero((times == level[:, None]).all(axis=1))  # folds after which all rows were held out equally often
    partitions = len(ends) == level[-1] and len(ends) and ends[-1] == len(test) - 1 and (level[ends] == np.arange(1, len(ends) + 1)).all()
    return np.searchsorted(ends, np.arange(len(test))) if partitions else np.zeros(len(test), int)
