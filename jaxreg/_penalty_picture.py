"""What a penalty looks like: value, gradient and prox along one parameter, level sets over two."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ._dtypes import x64_scope
from ._penalties import Penalty, UnknownOperation
from .verify._subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STEPS = (0.5, 1.0, 2.0)
_REACH = 3.0


def penalty(p: Penalty, params: Any = None, plane: tuple[int, int] = (0, 1)) -> Figure:
    """Four panels: value, gradient and prox along one number, the others at 0, and level sets over two numbers.

    Args:
      p: a penalty.
      params: a pytree of 4 numbers at most (more where the penalty is separable); the default is two numbers.
      plane: which of the flattened numbers are drawn: the first one along the lines, both as the plane.

    Returns:
      The figure. A member that the penalty does not define leaves its panel empty, and says so.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from .plot import COLORS, STYLE

    with mpl.rc_context({**STYLE, "font.size": 11, "axes.titlesize": 12, "axes.labelsize": 11, "legend.fontsize": 9}), x64_scope():
        figure = Figure(figsize=(13, 3.2), layout="constrained")
        value, gradient, prox, levels = figure.subplots(1, 4)
        s = Subject(p, np.ones(2) if params is None else params)
        t = np.linspace(-_REACH, _REACH, 601)
        line = _along(s, plane[0], t)
        values = s.value(line)
        value.plot(t, _broken(t, values), color=COLORS[0])
        finite = np.isfinite(_broken(t, values))
        lone = np.isfinite(values) & ~np.append(False, finite[:-1]) & ~(finite & np.append(np.isfinite(values[1:]), False))
        value.plot(t[lone], values[lone], "o", color=COLORS[0], markersize=5)
        _show_zero(value, values)
        if not np.isfinite(values).all():
            _shade_outside(value, t, np.isfinite(values))
        value.set(title="value", xlabel="w₁", xlim=(-_REACH, _REACH))
        _panel(gradient, "gradient", lambda: _gradient(gradient, s, line, t, plane[0], values, COLORS[1]))
        _panel(prox, "prox", lambda: _prox(prox, s, line, t, plane[0], COLORS))
        prox.set(ylim=(-1.05 * _REACH, 1.05 * _REACH))
        _levels(levels, s, plane, COLORS)
    return figure


def _along(s: Subject, index: int, t: np.ndarray) -> np.ndarray:
    points = np.zeros((len(t), s.n))
    points[:, index] = t
    return points


def _panel(axes: Axes, title: str, draw: Callable[[], None]) -> None:
    axes.set(title=title, xlabel="w₁" if title != "prox" else "v₁", xlim=(-_REACH, _REACH))
    try:
        draw()
    except UnknownOperation:
        axes.text(0.5, 0.5, "not known in closed form", ha="center", va="center", transform=axes.transAxes, color="#555555")
        axes.set(xticks=[], yticks=[])


def _shade_outside(axes: Axes, t: np.ndarray, inside: np.ndarray) -> None:
    axes.fill_between(t, 0, 1, where=(~inside).tolist(), transform=axes.get_xaxis_transform(), color="#E9E9E9", linewidth=0)
    axes.text(0.98, 0.04, "grey: +∞", ha="right", transform=axes.transAxes, fontsize=9, color="#444444")


def _broken(t: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A curve with gaps where it jumps and where it is infinite."""
    y = np.where(np.isfinite(y), y, np.nan)
    height = np.ptp(y[np.isfinite(y)]) if np.isfinite(y).any() else 0.0
    jump = np.abs(np.diff(y, append=y[-1:])) > max(12 * (t[1] - t[0]), 0.08 * height)
    return np.where(jump, np.nan, y)


def _show_zero(axes: Axes, y: np.ndarray) -> None:
    """A curve that is zero but for rounding is drawn as a line at zero."""
    if np.max(np.abs(y), initial=0, where=np.isfinite(y)) < 1e-9:
        axes.set_ylim(-1, 1)


def _gradient(axes: Axes, s: Subject, line: np.ndarray, t: np.ndarray, index: int, values: np.ndarray, color: str) -> None:
    slope = np.where(np.isfinite(values), s.grad(line)[:, index], np.nan)
    axes.plot(t, _broken(t, slope), color=color)
    _show_zero(axes, slope)
    if not np.isfinite(values).all():
        _shade_outside(axes, t, np.isfinite(values))


def _prox(axes: Axes, s: Subject, line: np.ndarray, t: np.ndarray, index: int, colors: Any) -> None:
    axes.plot(t, t, color="#999999", linewidth=1, linestyle=":")
    steps = _STEPS if s.p.finite else _STEPS[1:2]
    for k, step in enumerate(steps):
        z = s.prox(line, np.full(len(t), step))[:, index]
        axes.plot(t, _broken(t, z), color=colors[(0, 2, 3)[k]], label=f"step {step:g}" if s.p.finite else "projection")
    axes.legend(loc="upper left")


def _levels(axes: Axes, s: Subject, plane: tuple[int, int], colors: Any) -> None:
    t = np.linspace(-2, 2, 161)
    first, second = np.meshgrid(t, t)
    points = np.zeros((first.size, s.n))
    points[:, plane[0]], points[:, plane[1]] = first.ravel(), second.ravel()
    values = s.value(points).reshape(first.shape)
    axes.set(title="level sets" if s.p.finite else "the set", xlabel="w₁", ylabel="w₂", aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
    axes.axhline(0, color="#BBBBBB", linewidth=0.8)
    axes.axvline(0, color="#BBBBBB", linewidth=0.8)
    if not s.p.finite:
        if np.isfinite(values).mean() > 0.02:
            axes.contourf(t, t, np.isfinite(values).astype(float), levels=[0.5, 1.5], colors=[colors[5]], alpha=0.6)
            return
        with contextlib.suppress(UnknownOperation):  # a thin set shows as where points are projected to
            z = s.prox(points, np.ones(len(points)))[:, list(plane)]
            axes.plot(*z[np.all(np.abs(z) <= 2, axis=1)].T, ".", color=colors[0], markersize=3)
        return
    # The ball through (1, 0), drawn thick, and three more.
    unit = np.zeros((1, s.n))
    unit[0, plane[0]] = 1
    own = float(s.value(unit)[0])
    if not own > 0:
        own = float(np.median(values)) or 1.0
    axes.contour(t, t, values, levels=[own * c for c in (0.25, 0.5, 1.5)], colors=[colors[5]], linewidths=1)
    axes.contour(t, t, values, levels=[own], colors=[colors[0]], linewidths=2.4)
