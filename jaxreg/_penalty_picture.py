"""What a penalty looks like: value, gradient and prox along one parameter, level sets over two."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ._dtypes import x64_scope
from ._penalties import Penalty, UnknownOperation
from .verify._subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STEPS = (0.5, 1.0, 2.0)
_REACH = 3.0
_BESIDE = 0.6
# Fields that a reader of a picture does not miss at their defaults.
_UNSAID = ("axis", "axes", "scale", "tol", "max_iter", "iterations", "weights")


def penalty(p: Penalty, params: Any = None, plane: tuple[int, int] = (0, 1)) -> Figure:
    """Value, gradient and prox along one number, the others at 0, and level sets over two; of a set, itself and the projection.

    Args:
      p: a penalty.
      params: a pytree of 4 numbers at most (more where the penalty is separable); the default is two numbers.
      plane: which of the flattened numbers are drawn: the first one along the lines, both as the plane.

    Returns:
      The figure: four panels, two for a set. A member that the penalty does not define leaves its panel empty, and says so.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from .plot import COLORS, STYLE

    with mpl.rc_context({**STYLE, "font.size": 11, "axes.titlesize": 12, "axes.labelsize": 11, "legend.fontsize": 9}), x64_scope():
        is_set = not p.finite and not hasattr(p, "lam")
        figure = Figure(figsize=(7 if is_set else 13, 3.5), layout="constrained")
        figure.suptitle(call(p), x=0.01, ha="left", fontsize=12)
        s = Subject(p, np.ones(2) if params is None else params)
        t = np.linspace(-_REACH, _REACH, 601)
        line = _along(s, plane[0], t)
        first, second = (f"w{'₁₂₃₄'[i]}" for i in plane)
        if is_set:
            projection, region = figure.subplots(1, 2)
            line[:, plane[1]] = _BESIDE  # along an axis many sets project nothing
            label = f"{first} at {second} = {_BESIDE:g}".replace("w", "v")
            _panel(projection, "projection", label, lambda: _prox(projection, s, line, t, plane[0], COLORS))
            projection.set(ylim=(-1.05 * _REACH, 1.05 * _REACH))
            _region(region, s, plane, COLORS)
            region.set(xlabel=first, ylabel=second)
            return figure
        value, gradient, prox, levels = figure.subplots(1, 4)
        first_label = first
        values = s.value(line)
        if not np.isfinite(values).any() or np.ptp(values) == 0:
            line[:, plane[1]] = _BESIDE
            values, first_label = s.value(line), f"{first} at {second} = {_BESIDE:g}"
        value.plot(t, _broken(t, values), color=COLORS[0])
        finite = np.isfinite(_broken(t, values))
        lone = np.isfinite(values) & ~np.append(False, finite[:-1]) & ~(finite & np.append(np.isfinite(values[1:]), False))
        value.plot(t[lone], values[lone], "o", color=COLORS[0], markersize=5)
        _show_zero(value, values)
        value.set(title="value", xlabel=first_label, xlim=(-_REACH, _REACH))
        _panel(gradient, "gradient", first_label, lambda: _gradient(gradient, s, line, t, plane[0], COLORS[1]))
        _panel(prox, "prox", first_label.replace("w", "v"), lambda: _prox(prox, s, line, t, plane[0], COLORS))
        prox.set(ylim=(-1.05 * _REACH, 1.05 * _REACH))
        _levels(levels, s, plane, COLORS)
        levels.set(xlabel=first, ylabel=second)
    return figure


def call(p: Penalty) -> str:
    """The penalty as one would make it."""
    shown = []
    for field in dataclasses.fields(p):  # pyright: ignore[reportArgumentType]
        value = getattr(p, field.name)
        value = value.tolist() if isinstance(value, np.ndarray | jax.Array) else value
        if field.name not in _UNSAID or value != field.default:
            shown.append(f"{field.name}=" + re.sub(r"array\((.*)\)", r"\1", repr(value)))
    return f"{type(p).__name__}({', '.join(shown)})"


def _along(s: Subject, index: int, t: np.ndarray) -> np.ndarray:
    points = np.zeros((len(t), s.n))
    points[:, index] = t
    return points


def _panel(axes: Axes, title: str, label: str, draw: Callable[[], None]) -> None:
    axes.set(title=title, xlabel=label, xlim=(-_REACH, _REACH))
    try:
        draw()
    except UnknownOperation:
        axes.text(0.5, 0.5, "not known in closed form", ha="center", va="center", transform=axes.transAxes, color="#555555")
        axes.set(xticks=[], yticks=[])


def _broken(t: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A curve with gaps where it jumps and where it is infinite."""
    y = np.where(np.isfinite(y), y, np.nan)
    height = np.ptp(y[np.isfinite(y)]) if np.isfinite(y).any() else 0.0
    rise = np.abs(np.diff(y, append=y[-1:]))
    # A curve that is steep on both sides, as a logarithm or a root is, jumps nowhere.
    beside = np.fmin(np.append(np.nan, rise[:-1]), np.append(rise[1:], np.nan))
    return np.where((rise > max(12 * (t[1] - t[0]), 0.03 * height)) & (rise > 3 * beside), np.nan, y)


def _show_zero(axes: Axes, y: np.ndarray) -> None:
    """A curve that is zero but for rounding is drawn as a line at zero."""
    if np.max(np.abs(y), initial=0, where=np.isfinite(y)) < 1e-9:
        axes.set_ylim(-1, 1)


def _gradient(axes: Axes, s: Subject, line: np.ndarray, t: np.ndarray, index: int, color: str) -> None:
    slope = np.where(np.isfinite(s.value(line)), s.grad(line)[:, index], np.nan)
    axes.plot(t, _broken(t, slope), color=color)
    _show_zero(axes, slope)


def _prox(axes: Axes, s: Subject, line: np.ndarray, t: np.ndarray, index: int, colors: Any) -> None:
    axes.plot(t, t, color="#999999", linewidth=1, linestyle=":")
    steps = _STEPS if s.p.finite or hasattr(s.p, "lam") else _STEPS[1:2]
    for k, step in enumerate(steps):
        z = s.prox(line, np.full(len(t), step))[:, index]
        axes.plot(t, _broken(t, z), color=colors[(0, 2, 3)[k]], label=f"step {step:g}")
    if len(steps) > 1:
        axes.legend(loc="upper left")


def _plane(axes: Axes, s: Subject, plane: tuple[int, int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along a side, and the points of the square, (count², n)."""
    t = np.linspace(-2, 2, count)
    first, second = np.meshgrid(t, t)
    points = np.zeros((first.size, s.n))
    points[:, plane[0]], points[:, plane[1]] = first.ravel(), second.ravel()
    axes.set(aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
    axes.axhline(0, color="#BBBBBB", linewidth=0.8)
    axes.axvline(0, color="#BBBBBB", linewidth=0.8)
    return t, points


def _region(axes: Axes, s: Subject, plane: tuple[int, int], colors: Any) -> None:
    """The set, filled or as the points that are projected to, and arrows to them."""
    t, points = _plane(axes, s, plane, 161)
    axes.set(title="the set")
    inside = np.isfinite(s.value(points))
    if inside.mean() > 0.02:
        axes.contourf(t, t, inside.reshape(len(t), -1).astype(float), levels=[0.5, 1.5], colors=[colors[5]], alpha=0.6)
    z = s.prox(points, np.ones(len(points)))
    # What leaves the plane is no point of the set's border in it, if the set has any there.
    within = np.abs(np.delete(z, plane, axis=1)).max(axis=1, initial=0) < 0.02
    within |= not within.any()
    z = z[:, list(plane)]
    moved = within & (np.hypot(*(z - points[:, list(plane)]).T) > 0.02)
    axes.plot(*z[moved].T, ".", color=colors[0], markersize=3.5, zorder=5)
    # The starts lie on no common line, so that no arrow hides another.
    start = 4 * np.modf(np.arange(1, 33)[:, None] * [0.7549, 0.5698])[0] - 2
    points = np.zeros((len(start), s.n))
    points[:, list(plane)] = start
    way = s.prox(points, np.ones(len(points)))[:, list(plane)] - start
    far = np.hypot(*way.T) > 0.15
    axes.plot(*start[far].T, ".", color="#777777", markersize=3)
    axes.quiver(*start[far].T, *way[far].T, angles="xy", scale_units="xy", scale=1, width=0.006, color="#777777", zorder=4)


def _levels(axes: Axes, s: Subject, plane: tuple[int, int], colors: Any) -> None:
    """The ball through (1, 0), drawn thick, and three more."""
    t, points = _plane(axes, s, plane, 161)
    axes.set(title="level sets")
    values = s.value(points).reshape(len(t), -1)
    if np.ptp(values) == 0:
        axes.text(0.5, 0.6, f"{values[0, 0]:g} everywhere", ha="center", transform=axes.transAxes, color="#555555")
        return
    unit = np.zeros((1, s.n))
    unit[0, plane[0]] = 1
    own = float(s.value(unit)[0])
    if not 0 < own < np.inf:
        own = float(np.median(values[np.isfinite(values)])) or 1.0
    axes.contour(t, t, values, levels=sorted(own * c for c in (0.25, 0.5, 1.5)), colors=[colors[5]], linewidths=1)
    axes.contour(t, t, values, levels=[own], colors=[colors[0]], linewidths=2.4)
