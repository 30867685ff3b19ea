"""Global minimisation from a function's values alone: what proxes and conjugates are held against.

Nothing here knows a formula: a grid over everything, then smaller and smaller grids around the best point. Values that
are NaN count as infinite, so that a constraint's outside (and a mistake) is never chosen. Plain NumPy: the searches of all
penalties differ only in the values they are handed, and compiling each of them would take longer than running it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Each zoom narrows a cell by 8 or more; from cells of 1e-2 (or of 1e4, for suprema) to a billionth of the point.
_LINE_ZOOMS, _LINE_POINTS = 16, 17
# Each zoom halves the cell and looks two cells around: the best grid point of a tilted valley may lie in the next cell.
_BOX_ZOOMS, _BOX_OFFSETS = 36, 5
# Some twenty cells to walk and, at two bits a halving, as many steps again to a billionth of the first cell.
_PATTERN_STEPS = 80
# Numbers held at once: 32 MB of float64.
_NUMBERS = 2**22

Objective = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _clean(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), np.inf, values)


def line_minimum(objective: Objective, grid: np.ndarray, width: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The global minimisers over numbers t, and the minima, of a batch of functions.

    Args:
      objective: ``(rows, t) -> values``: function number rows[i] at all of t[i]; values of t's shape.
      grid: where to look first, (batch, points), not necessarily sorted.
      width: how many numbers the objective builds for each value, so that memory stays bounded.
    """
    rows = max(1, _NUMBERS // (grid.shape[1] * width))
    parts = [_zoom_line(objective, np.arange(i, min(i + rows, len(grid))), grid[i : i + rows]) for i in range(0, len(grid), rows)]
    points, values = zip(*parts, strict=True)
    return np.concatenate(points), np.concatenate(values)


def _zoom_line(objective: Objective, rows: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = np.linspace(0, 1, _LINE_POINTS // 2 + 1)[1:]
    every = np.arange(len(rows))
    values = _clean(objective(rows, grid))
    for _ in range(_LINE_ZOOMS):
        k = values.argmin(axis=1)
        t, lowest = grid[every, k], values[every, k]
        low, high = _neighbours(grid, t)
        # Both halves of the cell around the best point so far, whose value is carried on, so that nothing is ever lost.
        grid = np.concatenate([t[:, None], t[:, None] + (low - t)[:, None] * half, t[:, None] + (high - t)[:, None] * half], axis=1)
        values = _clean(objective(rows, grid))
        values[:, 0] = lowest
    k = values.argmin(axis=1)
    return grid[every, k], values[every, k]


def _neighbours(grid: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The grid's next smaller and next larger number, or t itself at an end.

    A grid that was put together from several may hold a number twice, or again one rounding away: such a neighbour would
    make an empty cell of one that holds the minimum.
    """
    close = 1e-9 * np.abs(t) + 1e-12
    low = np.max(np.where(grid < (t - close)[:, None], grid, -np.inf), axis=1)
    high = np.min(np.where(grid > (t + close)[:, None], grid, np.inf), axis=1)
    return np.where(np.isfinite(low), low, t), np.where(np.isfinite(high), high, t)


def box_minimum(
    objective: Objective, axes: np.ndarray, radius: np.ndarray, starts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The minimisers over boxes of few dimensions, and the minima, of a batch of functions.

    Args:
      objective: ``(rows, z) -> values``: function number rows[i] at all of z[i], (rows, points, dimension).
      axes: the first grid takes every combination of them, (batch, dimension, points).
      radius: of the boxes around 0, (batch,).
      starts: for functions with several wells, points (batch, starts, dimension) from each of which a pattern search starts too.
    """
    batch, dimension, count = axes.shape
    rows = max(1, _NUMBERS // (count**dimension * dimension))
    parts = []
    for i in range(0, batch, rows):
        parts.append(_zoom_box(objective, np.arange(i, min(i + rows, batch)), axes[i : i + rows], radius[i : i + rows]))
    points, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    if starts is None:
        return points, values
    found, lowest = pattern_search(objective, starts, 0.1 * radius)
    better = lowest < values
    return np.where(better[:, None], found, points), np.where(better, lowest, values)


def _zoom_box(objective: Objective, rows: np.ndarray, axes: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    dimension, every = axes.shape[1], np.arange(len(rows))
    grid = np.stack([np.stack(np.meshgrid(*own, indexing="ij"), -1).reshape(-1, dimension) for own in axes])
    values = _clean(objective(rows, grid))
    k = values.argmin(axis=1)
    z, lowest = grid[every, k], values[every, k]
    offsets = _offsets(dimension, _BOX_OFFSETS)
    edge = radius[:, None, None]
    width = edge / axes.shape[2]
    for _ in range(_BOX_ZOOMS):
        around = np.clip(z[:, None] + width * offsets, -edge, edge)
        values = _clean(objective(rows, around))
        k = values.argmin(axis=1)
        better = values[every, k] < lowest
        z, lowest = np.where(better[:, None], around[every, k], z), np.where(better, values[every, k], lowest)
        width = width / 2
    return z, lowest


def _offsets(dimension: int, points: int) -> np.ndarray:
    """A small cube of grid points about 0, one cell apart."""
    half = points // 2
    return np.stack(np.meshgrid(*[np.arange(-half, half + 1.0)] * dimension, indexing="ij"), -1).reshape(-1, dimension)


def pattern_search(objective: Objective, starts: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest points, and their values, that a compass search finds from several starts for each of a batch of functions.

    A step to the best of the 3^dimension neighbours, the cell halved where none is better: unlike the zooms it may walk far, and each
    well that holds a start is searched.

    Args:
      objective: as for ``box_minimum``.
      starts: (batch, starts, dimension).
      width: the first cells, (batch,).
    """
    batch, count, dimension = starts.shape
    rows, every = np.repeat(np.arange(batch), count), np.arange(batch * count)
    z = starts.reshape(-1, dimension)
    lowest = _clean(objective(rows, z[:, None]))[:, 0]
    cell, offsets = np.repeat(width, count), _offsets(dimension, 3)
    for _ in range(_PATTERN_STEPS):
        around = z[:, None] + cell[:, None, None] * offsets
        values = _clean(objective(rows, around))
        k = values.argmin(axis=1)
        better = values[every, k] < lowest
        z, lowest = np.where(better[:, None], around[every, k], z), np.where(better, values[every, k], lowest)
        cell = np.where(better, cell, cell / 4)
    best = lowest.reshape(batch, count).argmin(axis=1) + count * np.arange(batch)
    return z[best], lowest[best]


def grid_around(centers: np.ndarray, radius: np.ndarray, landmarks: np.ndarray, points: int = 1001) -> np.ndarray:
    """Grids, one row for each center: even over ±radius, even at the center's own scale, and 0, the center and the landmarks.

    A center of 1e-3 would fall into one cell of the first grid; the wells of a non-convex penalty near it need the second.
    """
    unit = np.linspace(-1, 1, points)
    own = np.abs(centers)[:, None] * 2 * unit
    return np.concatenate([radius[:, None] * unit, own, np.zeros_like(centers)[:, None], centers[:, None], landmarks], axis=1)


def wide_grid(radius: float, points: int = 1000) -> np.ndarray:
    """A grid over ±radius, geometric on both sides of 0: what a supremum over the whole line is looked for on."""
    side = np.geomspace(1e-6, radius, points)
    return np.concatenate([-side, [0.0], side])
