"""Pictures of paths, cross-validation, training and sweeps, as matplotlib figures.

matplotlib comes with the extra ``app``; it is imported when a picture is drawn. Every function returns a
``matplotlib.figure.Figure`` that no window knows of: ``figure.savefig("path.png")`` works without a display.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._penalty_picture import penalty as penalty

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart; black last, it is the text's.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A6A00", "#000000")

# Letters large enough that a picture shrunk to half its size can be read.
STYLE: dict[Any, Any] = {
    "font.size": 14,
    "axes.titlesize": 15,
    "axes.titleweight": "bold",
    "axes.labelsize": 14,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "lines.linewidth": 2.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "savefig.dpi": 160,
    "figure.facecolor": "white",
}
MARK_STYLES = ("--", ":")
WIDTH, HEIGHT = 9.0, 5.6
# Above this many lines names and separate colours stop helping.
MOST_NAMED = 15


def path(path: Any, feature_names: Sequence[str] | None = None, marks: Mapping[str, float] | None = None) -> Figure:
    """Coefficients against λ, strong penalty on the left, each line named where there are few.

    Args:
      path: a ``Path``; with several targets or classes each coefficient's norm over them is drawn.
      feature_names: names of the p columns.
      marks: λ to mark by vertical lines, by name; ``{"λ_min": cv.lam_min, "λ_1se": cv.lam_1se}``.

    Returns:
      The figure.
    """
    with _style():
        figure, axes = _figure()
        coef = np.asarray(path.coef)
        many = coef.ndim == 3
        drawn = np.linalg.norm(coef, axis=2) if many else coef
        lams = np.asarray(path.lams)
        p = drawn.shape[1]
        names = [f"x{j}" for j in range(p)] if feature_names is None else list(feature_names)
        axes.axhline(0, color="#555555", linewidth=1)
        order = np.argsort(-np.abs(drawn[-1]), kind="stable")
        few = p <= MOST_NAMED
        shown = lams > 0
        for rank, j in enumerate(order):
            color = COLORS[rank % 7] if few or rank < 7 else "#BBBBBB"
            dash = ("-", (0, (5, 1.5)), (0, (1.5, 1)))[min(rank // 7, 2)] if few else "-"
            width = 2.2 if few or rank < 7 else 0.9
            axes.plot(lams[shown], drawn[shown, j], color=color, linestyle=dash, linewidth=width, zorder=3 if few or rank < 7 else 2)
        _lambda_axis(axes, lams[shown])
        _name_ends(axes, float(lams[shown][-1]), drawn[shown][-1], names, order[: MOST_NAMED if few else 7])
        _mark(axes, marks)
        axes.set_ylabel("norm of the coefficients over classes" if many else "coefficient (per unit of the feature)")
        axes.set_title("Coefficient path", loc="left", pad=52)
        axes.annotate(
            f"minimising {path.formula}", (0, 1), xycoords="axes fraction", xytext=(0, 30), textcoords="offset points", fontsize=12
        )
        return figure


def cross_validation(cv: Any) -> Figure:
    """Cross-validated error against λ with standard errors, both rules' λ marked, nonzeros along the top.

    Of a λ for each target the curve is the mean over targets, and the largest and smallest of the λ that the rule chose are marked.

    Args:
      cv: a ``CrossValidation``.

    Returns:
      The figure.
    """
    with _style():
        figure, axes = _figure()
        shown = np.asarray(cv.lams) > 0
        lams, mean, se = np.asarray(cv.lams)[shown], np.asarray(cv.mean)[shown], np.asarray(cv.se)[shown]
        axes.errorbar(lams, mean, yerr=se, color="#9A9A9A", ecolor="#C8C8C8", elinewidth=1.2, capsize=2, linewidth=0, zorder=2)
        axes.plot(lams, mean, color=COLORS[0], marker="o", markersize=3.5, linewidth=1.5, zorder=3)
        _lambda_axis(axes, lams)
        if cv.lam_per_target:
            _mark(axes, {"largest λ of a target": cv.lam.max(), "smallest": cv.lam.min()}, above=26.0)
        else:
            _mark(axes, {"λ_min": cv.lam_min, "λ_1se": cv.lam_1se}, above=26.0)
        limit = None if cv.lam_per_target or not shown[cv.index_min] else mean[cv.index_min] + se[cv.index_min]
        if limit is not None:
            axes.axhline(limit, color="#555555", linewidth=1, zorder=1)
            axes.annotate(
                "best + 1 SE", (0.005, limit), xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points",
                fontsize=11, color="#555555",
            )  # fmt: skip
        axes.set_ylabel(f"{cv.error_name} ± SE ({len(cv.fold_errors)} folds)")
        _nonzeros_above(axes, lams, np.asarray(cv.path.nonzeros)[shown])
        axes.set_title("Cross-validation", loc="left", pad=62)
        return figure


def training(history: Mapping[str, Any], lam: float) -> Figure:
    """Loss and accuracy over epochs, on training and test rows, with the penalty and without it.

    Args:
      history: arrays (epochs, 2) by the names train_loss, test_loss, train_accuracy and test_accuracy (in 0 … 1);
        column 0 was trained with ``lam``, column 1 with 0.
      lam: λ of column 0.

    Returns:
      The figure.
    """
    with _style():
        figure, (left, right) = _figure(columns=2)
        epochs = np.arange(1, len(history["train_loss"]) + 1)
        for column, (label, color) in enumerate(((f"λ = {lam:g}", COLORS[0]), ("λ = 0", COLORS[1]))):
            for rows, dash in (("train", (0, (4, 1.5))), ("test", "-")):
                style: dict[str, Any] = {"color": color, "linestyle": dash, "label": f"{label}, {rows}"}
                left.plot(epochs, history[f"{rows}_loss"][:, column], **style)
                right.plot(epochs, 100 * history[f"{rows}_accuracy"][:, column], **style)
        left.set_yscale("log")
        _plain_ticks(left.yaxis)
        left.set(xlabel="epoch", ylabel="cross-entropy (nats per row)")
        left.set_title("Loss without the penalty", loc="left")
        final = 100 * np.concatenate([history[f"{rows}_accuracy"][len(epochs) // 3 :] for rows in ("train", "test")])
        # The first epochs would squeeze the part that matters into a line.
        right.set_ylim(min(final.min() - 1.5, 98), 100.3)
        right.set(xlabel="epoch", ylabel="rows classified right (%)")
        right.set_title("Accuracy", loc="left")
        right.legend(loc="lower right")
        return figure


def sweep(lams: Any, results: Mapping[str, Any]) -> Figure:
    """Accuracy and kernel norms against λ: means over seeds, bands from the smallest to the largest.

    Args:
      lams: the λ, (L,).
      results: arrays by the names train_accuracy and test_accuracy, (L, seeds) in 0 … 1, and kernel_norms,
        (L, seeds, layers).

    Returns:
      The figure.
    """
    with _style():
        figure, (left, right) = _figure(columns=2)
        lams, seeds = np.asarray(lams), np.shape(results["test_accuracy"])[1]
        for rows, color in (("train", COLORS[1]), ("test", COLORS[0])):
            _band(left, lams, 100 * np.asarray(results[f"{rows}_accuracy"]), color, f"{rows} rows")
        best = int(np.argmax(np.mean(results["test_accuracy"], axis=1)))
        for axes in (left, right):
            _lambda_axis(axes, lams)
            axes.axvline(lams[best], color="#333333", linestyle=":", linewidth=1.6)
        left.annotate(
            f"best on test rows: λ = {lams[best]:.2g}", (lams[best], 0.04), xycoords=("data", "axes fraction"), xytext=(6, 0),
            textcoords="offset points", fontsize=12,
        )  # fmt: skip
        # A penalty that kills the network would squeeze every other λ into a line; it leaves the picture downwards.
        low, high = (100 * f(np.mean(results["test_accuracy"], axis=1)) for f in (np.min, np.max))
        left.set_ylim(max(low - 1, high - 12), 100.5)
        left.set_ylabel("rows classified right (%)")
        left.set_title(f"Accuracy (mean and range of {seeds} seeds)", loc="left")
        left.legend(loc="center right")
        norms = np.asarray(results["kernel_norms"])
        for layer in range(norms.shape[2]):
            _band(right, lams, norms[:, :, layer], COLORS[(layer + 2) % 7], f"layer {layer + 1}")
        right.set_ylim(bottom=0)
        right.set_ylabel("Euclidean norm of the kernel")
        right.set_title("Kernel norms", loc="left")
        right.legend(loc="upper left")
        return figure


# --- what the pictures share ---------------------------------------------------------------------------------------


def _style() -> Any:
    from matplotlib import rc_context

    return rc_context(STYLE)


def _figure(columns: int = 1) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH + 3.0 * (columns - 1), HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)


def _lambda_axis(axes: Axes, lams: Any) -> None:
    """Log axis with the strong penalty left, so that a path is read as it is computed: from nothing to everything."""
    axes.set_xscale("log")
    axes.set_xlabel("λ (log scale; strong penalty on the left)")
    low, high = float(np.min(lams)), float(np.max(lams))
    margin = (high / low) ** 0.02 if high > low else 2.0
    axes.set_xlim(high * margin, low / margin)


def _plain_ticks(axis: Any) -> None:
    """0.02 rather than 2 × 10⁻² on a log axis of losses, and only at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _mark(axes: Axes, marks: Mapping[str, float] | None, above: float = 4) -> None:
    """Vertical lines at named λ, the names above the axes; one line with both names where they fall together."""
    together: dict[float, list[str]] = {}
    for name, lam in (marks or {}).items():
        if lam > 0:
            together.setdefault(float(lam), []).append(name)
    lines = sorted(together.items(), reverse=True)
    for i, (lam, names) in enumerate(lines):
        axes.axvline(lam, color="#333333", linestyle=MARK_STYLES[i % 2], linewidth=1.6, zorder=4)
        # Names would overlap where their λ are close: there each leans away from the other, elsewhere away from the edge.
        side = ("right" if i == 0 else "left") if len(lines) > 1 else "center"
        at = [_fraction(axes, other) for other, _ in lines]
        if len(lines) == 1 or at[-1] - at[0] > 0.35:
            side = "left" if at[i] < 0.2 else "right" if at[i] > 0.8 else side
        text = f"{' = '.join(names)} = {lam:.3g}"
        axes.annotate(
            text, (lam, 1.0), xycoords=("data", "axes fraction"), xytext=({"right": 3, "left": -3}.get(side, 0), above),
            textcoords="offset points", ha=side, fontsize=12,
        )  # fmt: skip


def _fraction(axes: Axes, lam: float) -> float:
    """How far along the axis a λ stands, from 0 at the left to 1."""
    left, right = np.log(axes.get_xlim())
    return float((np.log(lam) - left) / (right - left))


def _name_ends(axes: Axes, last: float, ends: Any, names: Sequence[str], order: Any) -> None:
    """Names at the right ends of the lines, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.048
    wanted = sorted(((float(ends[j]), rank, str(names[j])) for rank, j in enumerate(order)), key=lambda item: item[0])
    # The nearest places that keep their order and distance: isotonic regression of value − i·gap by pooling neighbours.
    pools: list[tuple[float, int]] = []
    for i, (value, _, _) in enumerate(wanted):
        mean, size = value - i * gap, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    places = [mean + i * gap for i, mean in enumerate(np.repeat([m for m, _ in pools], [c for _, c in pools]))]
    for place, (value, rank, name) in zip(places, wanted, strict=True):
        short = name if len(name) <= 23 else name[:22] + "…"
        axes.annotate(
            short, (last, value), xytext=(1.03, place),
            textcoords=("axes fraction", "data"), va="center", fontsize=12, color=COLORS[rank % 7], annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": COLORS[rank % 7], "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)},
        )  # fmt: skip


def _nonzeros_above(axes: Axes, lams: Any, nonzeros: Any, most: int = 9) -> None:
    """A second axis along the top: how many coefficients are not zero at about ``most`` of the λ."""
    from matplotlib.ticker import FixedLocator, NullLocator

    top = axes.twiny()
    top.set_xscale("log")
    top.set_xlim(axes.get_xlim())
    chosen = np.unique(np.round(np.linspace(0, len(lams) - 1, min(most, len(lams)))).astype(int))
    top.xaxis.set_major_locator(FixedLocator([float(lams[i]) for i in chosen]))
    top.xaxis.set_minor_locator(NullLocator())
    top.set_xticklabels([str(int(nonzeros[i])) for i in chosen])
    top.tick_params(length=3, labelsize=11)
    top.set_xlabel("nonzero coefficients", fontsize=12, labelpad=30)
    top.grid(False)
    top.spines["top"].set_visible(True)


def _band(axes: Axes, x: Any, values: Any, color: str, label: str) -> None:
    axes.plot(x, values.mean(axis=1), color=color, label=label, marker="o", markersize=3.5)
    axes.fill_between(x, values.min(axis=1), values.max(axis=1), color=color, alpha=0.22, linewidth=0)
