"""Sparse design matrices: products without a dense copy, and the centred, scaled columns of a dense or a sparse X.

Scatters and one gather a number are what XLA does slowly on a CPU. A line (column or row) of X is therefore cut into pieces of ``_WIDTH``
numbers, padded with zeros: a product gathers, multiplies and adds whole pieces, and one scatter a piece adds them up.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO
from jaxtyping import Array, Float, Int

_WIDTH = 8  # of a piece; of 4 to 32 the fastest at 30 and at 75 numbers a line
_TOGETHER = 8  # vectors multiplied at once: a cache line of float64
_BLOCK = 128  # columns of a Gram matrix made at once
_CACHED = 1 << 18  # numbers of a block of rows
CENTRED = 1024  # rows of a block of which a centred copy is made: it stays in the cache


class Lines(NamedTuple):
    """The columns, or the rows, of X in pieces."""

    values: Float[Array, "m w"]
    index: Int[Array, "m w"]  # within the line; what pads has value 0
    owner: Int[Array, "m"]  # the line of each piece, ascending

    def products(self, D: Float[Array, "N k"], lines: int) -> Float[Array, "lines k"]:
        """Each line's product with each column of D."""
        k = D.shape[1]
        if k <= _TOGETHER:
            return self._sums(D, lines)
        blocks = jnp.pad(D, ((0, 0), (0, -k % _TOGETHER))).reshape(D.shape[0], -1, _TOGETHER)
        found = jax.lax.map(lambda block: self._sums(block, lines), jnp.moveaxis(blocks, 1, 0))
        return jnp.moveaxis(found, 0, 1).reshape(lines, -1)[:, :k]

    def _sums(self, D: Array, lines: int) -> Array:
        total = jnp.zeros((), self.values.dtype)
        for j in range(self.values.shape[1]):  # unrolled: XLA does not fuse a gather with a sum over one of its axes well
            total = total + self.values[:, j, None] * D[self.index[:, j]]
        return jax.ops.segment_sum(total, self.owner, lines, indices_are_sorted=True)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["columns", "rows"], meta_fields=["shape"])
class Sparse:
    """A sparse matrix that multiplies dense ones from either side."""

    def __init__(self, columns: Lines, rows: Lines, shape: tuple[int, int]) -> None:
        self.columns, self.rows, self.shape = columns, rows, shape

    @property
    def dtype(self) -> Any:
        return self.columns.values.dtype

    @property
    def T(self) -> Sparse:  # noqa: N802, as of an array
        return Sparse(self.rows, self.columns, (self.shape[1], self.shape[0]))

    def __matmul__(self, other: Array) -> Array:
        flat = other.reshape(other.shape[0], -1)
        return self.rows.products(flat, self.shape[0]).reshape(self.shape[0], *other.shape[1:])

    def __rmatmul__(self, other: Array) -> Array:
        return (self.T @ other.T).T

    def __abs__(self) -> Sparse:
        columns, rows = (lines._replace(values=jnp.abs(lines.values)) for lines in (self.columns, self.rows))
        return Sparse(columns, rows, self.shape)


Matrix = Array | Sparse


def is_sparse(X: Any) -> bool:
    """Whether a person's X is a sparse matrix that we take: of scipy.sparse, which is loaded if there is one, or BCOO."""
    return isinstance(X, BCOO) or ("scipy.sparse" in sys.modules and sys.modules["scipy.sparse"].issparse(X))


def refusal(why: str) -> ValueError:
    """The error of what takes no sparse X."""
    return ValueError(f"X is sparse: {why}. Pass X.toarray() (BCOO: X.todense()) if it fits memory")


def entries(X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, columns, values) of a scipy.sparse matrix or BCOO, sorted by column and row, without duplicates."""
    n, p = X.shape
    if isinstance(X, BCOO):
        (rows, columns), values = np.asarray(X.indices).T, np.asarray(X.data)
        real = (rows < n) & (columns < p)  # BCOO pads with places outside
        rows, columns, values = rows[real], columns[real], values[real]
    else:
        found = X.tocoo()
        rows, columns, values = found.row, found.col, found.data
    key = columns.astype(np.int64) * n + rows
    if (key[1:] <= key[:-1]).any():
        order = np.argsort(key, kind="stable")
        key, first = np.unique(key[order], return_index=True)
        values = np.add.reduceat(values[order], first, dtype=np.result_type(values.dtype, np.int64)) if len(key) else values
    return key % n, key // n, values


def as_sparse(found: tuple[np.ndarray, np.ndarray, np.ndarray], shape: tuple[int, int], dtype: Any) -> Sparse:
    """The matrix of ``entries``."""
    rows, columns, values = found
    by_row = np.argsort(rows, kind="stable")
    return Sparse(
        _lines(columns, rows, values, shape[1], dtype), _lines(rows[by_row], columns[by_row], values[by_row], shape[0], dtype), shape
    )


def _lines(line: np.ndarray, index: np.ndarray, values: np.ndarray, count: int, dtype: Any) -> Lines:
    sizes = np.bincount(line, minlength=count)
    pieces = -(-sizes // _WIDTH)
    within = np.arange(len(line)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    piece = np.repeat(np.cumsum(pieces) - pieces, sizes) + within // _WIDTH
    m = max(int(pieces.sum()), 1)  # X may be all zeros
    padded, places = np.zeros((m, _WIDTH), dtype), np.zeros((m, _WIDTH), np.int32)
    padded[piece, within % _WIDTH], places[piece, within % _WIDTH] = values, index
    owner = np.zeros(m, np.int32)
    owner[: pieces.sum()] = np.repeat(np.arange(count), pieces)
    return Lines(jnp.asarray(padded), jnp.asarray(places), jnp.asarray(owner))


def predictors(X: Matrix, coef: Float[Array, "l p ..."]) -> Float[Array, "l n ..."]:
    """Xw for several w."""
    if isinstance(X, Sparse):
        return jnp.moveaxis(X @ jnp.moveaxis(coef, 1, 0), 0, 1)
    return jnp.einsum("np,lp...->ln...", X, coef)


def pulls(X: Matrix, slopes: Float[Array, "l n ..."], center: Float[Array, "p"] | None = None) -> Float[Array, "l p ..."]:
    """Xᵀs for several s, of columns of a dense X beyond a ``center``."""
    if isinstance(X, Sparse):
        return predictors(X.T, slopes)
    if center is None:
        return jnp.einsum("ln...,np->lp...", slopes, X)
    return over_rows(X, (jnp.moveaxis(slopes, 1, 0),), lambda x, s: jnp.einsum("nl...,np->lp...", s, x - center), size=CENTRED)


def over_rows(
    X: Float[Array, "n p"],
    each: tuple[Array, ...],
    one: Callable[..., Any],
    span: tuple[Any, Any] | None = None,
    size: int | None = None,
) -> Any:
    """The sum of ``one(block of X, the same rows of each)`` over blocks of rows: what is made of a block stays in the cache.

    Args:
      each: arrays with as many rows as X. The rows of a block that do not count are zero in them, but not in X.
      span: (first row, the one after the last); the default is all.
      size: rows of a block; the default is what the cache holds.
    """
    n, p = X.shape
    size = min(n, max(16, _CACHED // max(p, 1)) if size is None else size)
    if size == n and span is None:
        return one(X, *each)
    first, last = (np.asarray(0), np.asarray(n)) if span is None else span

    def block(at: Array) -> Any:
        here = jnp.minimum(at, n - size)  # the last block reaches back over rows that the one before it has
        rows = here + jnp.arange(size)
        counted = (rows >= at) & (rows < last)
        cut = [jax.lax.dynamic_slice_in_dim(x, here, size) for x in (X, *each)]
        return one(cut[0], *(jnp.where(counted.reshape(-1, *(1,) * (x.ndim - 1)), x, 0) for x in cut[1:]))

    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(block, first))
    add = lambda carry: (carry[0] + size, jax.tree.map(jnp.add, carry[1], block(carry[0])))  # noqa: E731
    return jax.lax.while_loop(lambda carry: carry[0] < last, add, (jnp.asarray(first), nothing))[1]


def means(X: Matrix, v: Float[Array, "n"]) -> Float[Array, "p"]:
    """Weighted means of the columns."""
    found = v @ X / jnp.sum(v)
    # Long sums lose digits, by which a constant column is told from others: what is left of them is small.
    return found + _about(X, v, found, 1) / jnp.sum(v) if isinstance(X, Sparse) else found


def squares(X: Matrix, v: Float[Array, "n"], center: Any) -> Float[Array, "p"]:
    """``Σᵢ vᵢ(xᵢⱼ − centerⱼ)²``."""
    if isinstance(X, Sparse):
        return _about(X, v, jnp.broadcast_to(center, X.shape[1:]), 2)
    return over_rows(X, (v,), lambda x, v: v @ (x - center) ** 2)


def _about(X: Sparse, v: Float[Array, "n"], center: Float[Array, "p"], power: int) -> Float[Array, "p"]:
    """``Σᵢ vᵢ(xᵢⱼ − centerⱼ)^power``, of what is stored and of the zeros that are not."""
    values, index, owner = X.columns
    own = jnp.where(values != 0, v[index], 0)

    def total(each: Array) -> Array:
        return jax.ops.segment_sum(jnp.sum(each, axis=1), owner, center.size, indices_are_sorted=True)

    # That no row is missing is counted: a difference of sums would leave a rounding, too much for a constant column.
    full = total((own > 0).astype(int)) == jnp.sum(v > 0)
    missing = jnp.where(full, 0, jnp.maximum(jnp.sum(v) - total(own), 0))
    return total(own * (values - center[owner][:, None]) ** power) + missing * (-center) ** power


def dense_columns(X: Matrix, chosen: np.ndarray) -> Array:
    """The columns where ``chosen`` is true, (n, q)."""
    if not isinstance(X, Sparse):
        return X[:, chosen]
    values, index, owner = (np.asarray(x) for x in X.columns)
    pieces = chosen[owner]
    found = np.zeros((X.shape[0], int(chosen.sum())), values.dtype)
    np.add.at(found, (index[pieces], (np.cumsum(chosen) - 1)[owner[pieces], None]), values[pieces])
    return jnp.asarray(found)


class SparseRows(NamedTuple):
    """Columns of a sparse X, centred and scaled, seen as rows: ``root·(factorⱼ·xⱼ + shiftⱼ)``, of which nothing dense is made."""

    columns: Lines
    rows: Lines | None  # of the same numbers; of a working set it is not worth making
    factor: Float[Array, "size"]  # 0 where there is no column
    shift: Float[Array, "size"]
    root: Float[Array, "n"]

    @property
    def dtype(self) -> Any:
        return self.root.dtype

    def products(self, R: Float[Array, "k n"]) -> Float[Array, "k size"]:
        return self._products(R.T).T

    def _products(self, R: Float[Array, "n k"]) -> Float[Array, "size k"]:
        R = self.root[:, None] * R
        return self.factor[:, None] * self.columns.products(R, self.factor.size) + self.shift[:, None] * jnp.sum(R, axis=0)

    def combined(self, U: Float[Array, "k size"]) -> Float[Array, "k n"]:
        W = (U * self.factor).T
        if self.rows is not None:
            found = self.rows.products(W, self.root.size)
        else:
            values, index, owner = self.columns
            found, own = jnp.zeros((self.root.size, W.shape[1]), W.dtype), W[owner]
            for j in range(values.shape[1]):
                found = found.at[index[:, j]].add(values[:, j, None] * own)
        return (self.root[:, None] * (found + U @ self.shift)).T

    def dense(self, at: Int[Array, "k"]) -> Float[Array, "n k"]:
        """Rows ``at`` as columns, zero where there is no such row."""
        values, index, owner = self.columns
        size, k = self.factor.size, at.size
        slot = jnp.full(size, k).at[at].set(jnp.arange(k), mode="drop")[owner]
        found = jnp.zeros((self.root.size, k), values.dtype).at[index, slot[:, None]].add(values, mode="drop")
        factor, shift = (x.at[at].get(mode="fill", fill_value=0) for x in (self.factor, self.shift))
        return self.root[:, None] * (factor * found + shift)

    def gram(self, c: Float[Array, "n"]) -> Float[Array, "size size"]:
        size = self.factor.size
        width = min(_BLOCK, size)

        def block(first: Array) -> Array:
            return self._products(c[:, None] * self.dense(first + jnp.arange(width))).T

        return jax.lax.map(block, jnp.arange(0, size, width)).reshape(-1, size)[:size]

    def squares(self, c: Float[Array, "k n"]) -> Float[Array, "k size"]:
        """``Σ cᵢzᵢⱼ²`` of the rows z; to within rounding of the uncentred ones."""
        c = (c * self.root**2).T
        size, f, s = self.factor.size, self.factor[:, None], self.shift[:, None]
        second = self.columns._replace(values=self.columns.values**2).products(c, size)
        total = jnp.sum(c, axis=0)
        return jnp.maximum(f**2 * second + 2 * f * s * self.columns.products(c, size) + s**2 * total, 0).T

    def take(self, places: np.ndarray) -> SparseRows:
        """Some of the rows, none where a place is −1."""
        size = self.factor.size
        ends = np.searchsorted(np.asarray(self.columns.owner), np.arange(size + 1))
        first = np.where(places >= 0, ends[places], 0)
        counts = np.where(places >= 0, ends[places + 1] - first, 0)
        total = int(counts.sum())
        room = max(4 * len(places), 1 << max(total - 1, 0).bit_length())  # its size decides a program: few sizes
        pieces = np.full(room, -1)
        pieces[:total] = np.arange(total) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        owner = np.full(room, len(places) - 1, np.int32)
        owner[:total] = np.repeat(np.arange(len(places)), counts)
        return _taken(self, jnp.asarray(places), jnp.asarray(pieces), jnp.asarray(owner))


@jax.jit
def _taken(rows: SparseRows, places: Array, pieces: Array, owner: Array) -> SparseRows:
    values, index, _ = rows.columns
    factor, shift = (jnp.where(places >= 0, x[places], 0) for x in (rows.factor, rows.shift))
    values = jnp.where((pieces >= 0)[:, None], values[pieces], 0)
    return SparseRows(Lines(values, index[pieces], owner), None, factor, shift, rows.root)


Rows = Array | SparseRows  # (size, n): columns as rows


def take(rows: Rows, places: np.ndarray) -> Rows:
    """The rows at ``places``, zero where that is −1."""
    return rows.take(places) if isinstance(rows, SparseRows) else _gathered(rows, jnp.asarray(places))


@jax.jit
def _gathered(rows: Array, places: Array) -> Array:
    return jnp.where((places >= 0)[:, None], rows[places], 0)


def in_float32(rows: Rows) -> Rows:
    """Where that is another type and saves time: of a sparse X the indices are most of it."""
    return rows if isinstance(rows, SparseRows) else rows.astype(jnp.float32)


def combined(rows: Rows, U: Float[Array, "k size"]) -> Float[Array, "k n"]:
    """Sums of the rows with weights U."""
    return rows.combined(U) if isinstance(rows, SparseRows) else U @ rows


def products(rows: Rows, R: Float[Array, "k n"]) -> Float[Array, "k size"]:
    """Inner products of the rows with each of R."""
    return rows.products(R) if isinstance(rows, SparseRows) else R @ rows.T


def gram(rows: Rows, c: Float[Array, "n"]) -> Float[Array, "size size"]:
    """``Σᵢ cᵢzᵢzᵢᵀ``."""
    return rows.gram(c) if isinstance(rows, SparseRows) else (rows * c) @ rows.T


def products_of(rows: Rows, at: Int[Array, "k"]) -> Float[Array, "k size"]:
    """Inner products of the rows ``at`` with all; zero where there is no such row."""
    if isinstance(rows, SparseRows):
        return rows.products(rows.dense(at).T)
    return rows.at[at].get(mode="fill", fill_value=0) @ rows.T
