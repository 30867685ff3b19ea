"""The one look of all pictures, on top of ``jaxreg.plot``'s: Okabe and Ito's colours, letters legible at half size."""

from __future__ import annotations

from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from jaxreg.plot import COLORS, STYLE

BLUE, RED, GREEN, PINK, ORANGE, SKY, OLIVE, BLACK = COLORS
GREY = "#8A8A8A"
# One hue from light to dark: printed in grey it keeps its order.
MAP = "cividis"
PANEL = 5.6, 4.6


def figure(rows: int = 1, columns: int = 2, height: float = PANEL[1], **subplots: Any) -> tuple[Figure, Any]:
    """A figure without a window and its axes, an array unless there is one."""
    made = Figure(figsize=(PANEL[0] * columns, height * rows), layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots(rows, columns, **subplots)


def style() -> Any:
    """The context in which a picture is both drawn and saved."""
    return rc_context({**STYLE, "legend.frameon": True, "legend.framealpha": 0.85, "legend.edgecolor": "none"})


def title(axes: Any, text: str) -> None:
    """A title above the left edge."""
    axes.set_title(text, loc="left", fontsize=14)


def lambda_axis(axes: Any, label: str = "λ") -> None:
    """λ on a log scale, growing to the right: weak penalty left, strong penalty right."""
    axes.set_xscale("log")
    axes.set_xlabel(f"{label} (log scale)")


def plain_log(axis: Any) -> None:
    """0.02 rather than 2 × 10⁻² on a short log axis, with ticks at 1, 2 and 5."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def mark(axes: Any, x: float, text: str, color: str = "#333333", height: float = 0.03, side: str = "right") -> None:
    """A dotted vertical line with its name beside it."""
    axes.axvline(x, color=color, linestyle=":", linewidth=1.6)
    away = 5 if side == "right" else -5
    axes.annotate(
        text, (x, height), xycoords=("data", "axes fraction"), xytext=(away, 0), textcoords="offset points",
        ha="left" if side == "right" else "right", fontsize=12, color=color,
    )  # fmt: skip
