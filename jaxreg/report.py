"""Tables for a terminal, made with rich: λ paths, coefficients, training, verification.

rich comes with the extra ``app``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

CHOSEN = "bold green"
PALE = "dim"
MOST_COEFFICIENTS = 20


def number(x: Any, digits: int = 4) -> str:
    """A number in about ``digits`` significant digits, without an exponent where it reads well without."""
    if not np.isfinite(x):
        return "–" if np.isnan(x) else ("∞" if x > 0 else "−∞")
    if x == 0:
        return "0"
    if 1e-3 <= abs(x) < 10**7:
        return f"{x:,.{_decimals(x, digits)}f}".replace(",", " ").replace("-", "−")
    return f"{x:.{max(digits - 2, 0)}e}".replace("-", "−").replace("e−0", "e−").replace("e+0", "e")


def plus_minus(x: Any, error: Any) -> str:
    """A mean and its standard error to the same decimal place."""
    if not (np.isfinite(x) and np.isfinite(error) and x and error and 1e-3 <= abs(x) < 10**7 and error >= 1e-6 * abs(x)):
        return f"{number(x)} ± {number(error, 3)}"
    decimals = max(_decimals(x, 4), _decimals(error, 2))
    return f"{x:,.{decimals}f} ± {error:,.{decimals}f}".replace(",", " ").replace("-", "−")


def _decimals(x: Any, digits: int) -> int:
    return max(0, digits - 1 - int(np.floor(np.log10(abs(x)))))


def selection(count: int, keep: Sequence[int], most: int = 18) -> list[int]:
    """About ``most`` of the row numbers 0 … count − 1, evenly spaced: the first, the last and all of ``keep`` among them."""
    if count <= most:
        return list(range(count))
    spread = np.round(np.linspace(0, count - 1, max(most - len(keep), 2))).astype(int)
    return sorted({int(i) for i in spread} | {int(i) for i in keep})


def path_table(cv: Any) -> Table:
    """λ, nonzeros, cross-validated error ± standard error, deviance ratio and gap, with both λ marked.

    Args:
      cv: a ``CrossValidation``.
    """
    path = cv.path
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    certified = bool(np.any(np.isfinite(path.gap)))
    for title in ("λ", "nonzeros", "error ± SE", "explained", "gap" if certified else "KKT"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    worst = path.gap if certified else path.kkt
    for i in selection(len(cv.lams), [cv.index_min, cv.index_1se]):
        marks = [name for name, index in (("λ_min", cv.index_min), ("λ_1se", cv.index_1se)) if i == index]
        if i == cv.index:
            marks.append("chosen")
        if not path.converged[i]:
            marks.append("not converged")
        table.add_row(
            number(cv.lams[i]),
            str(int(path.nonzeros[i])),
            plus_minus(cv.mean[i], cv.se[i]),
            f"{max(100 * path.deviance_ratio[i], 0.0):.1f} %",
            f"{worst[i]:.0e}",
            " ".join(marks),
            style=CHOSEN if i == cv.index else "bold" if marks else None,
        )
    return table


def coefficient_table(cv: Any, names: Sequence[str], most: int = MOST_COEFFICIENTS) -> Table:
    """The coefficients that are not zero at the chosen λ, largest first, beside those at the other λ of the rules."""
    chosen, other = cv.index, cv.index_min if cv.index != cv.index_min else cv.index_1se
    coef = cv.path.coef
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("feature", overflow="fold")
    table.add_column(f"at {_rule_name(cv, chosen)}", justify="right", style=CHOSEN)
    if other != chosen:
        table.add_column(f"at {_rule_name(cv, other)}", justify="right", style=PALE)
    shown = nonzero_order(coef[chosen])

    def row(name: str, values: Any, style: str | None = None) -> None:
        table.add_row(name, *[number(values[i], 5) for i in ([chosen] if other == chosen else [chosen, other])], style=style)

    row("(intercept)", cv.path.intercept, PALE)
    for j in shown[:most]:
        row(names[j], coef[:, j])
    return table


def class_table(cv: Any, names: Sequence[str], classes: Sequence[str], most: int = 3) -> Table:
    """For a multinomial fit, a row for each class: how many coefficients are not zero, and the largest."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    table.add_column("nonzeros", justify="right")
    table.add_column("intercept", justify="right")
    table.add_column("largest coefficients")
    for k, label in enumerate(classes):
        coef = cv.path.coef[cv.index][:, k]
        order = nonzero_order(coef)
        largest = ", ".join(f"{names[j]} {number(coef[j], 3)}" for j in order[:most])
        table.add_row(label, str(len(order)), number(cv.path.intercept[cv.index][k], 3), largest)
    return table


def nonzero_order(coef: Any) -> list[int]:
    """Indices of the nonzero coefficients, largest size first."""
    return [int(j) for j in np.argsort(-np.abs(coef), kind="stable") if coef[j] != 0]


def _rule_name(cv: Any, index: int) -> str:
    if cv.index_min == cv.index_1se:
        return "λ_min = λ_1se"
    return "λ_min" if index == cv.index_min else "λ_1se"


def training_table(history: dict[str, Any], lam: float, most: int = 10) -> Table:
    """Epochs of training: the loss and the penalty apart and both accuracies, with λ = 0 beside.

    Args:
      history: arrays (epochs, 2), columns for λ and for 0: train_loss, penalty, train_accuracy, test_accuracy.
      lam: the λ of the first column.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("epoch", justify="right")
    for title in ("loss", "penalty", "train", "test"):
        table.add_column(f"{title}\nλ={lam:g}", justify="right", header_style=CHOSEN)
    for title in ("loss", "train", "test"):
        table.add_column(f"{title}\nλ=0", justify="right", style=PALE)
    epochs = len(history["train_loss"])
    for i in selection(epochs, [0, epochs - 1], most):
        percent = [f"{100 * history[key][i, which]:.1f} %" for which in (0, 1) for key in ("train_accuracy", "test_accuracy")]
        losses = history["train_loss"][i]
        table.add_row(
            str(i + 1), number(losses[0], 3), number(history["penalty"][i, 0], 3), *percent[:2], number(losses[1], 3), *percent[2:]
        )
    return table


def sweep_table(lams: Any, results: dict[str, Any], most: int = 16) -> Table:
    """Means over seeds for each λ: accuracies (± the standard deviation for the test rows) and kernel norms."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("λ", "train", "test", "± sd", "test loss", "kernel norms"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    test = results["test_accuracy"].mean(axis=1)
    best = int(np.argmax(test))
    for i in selection(len(lams), [best], most):
        norms = " ".join(f"{norm:.2f}" for norm in results["kernel_norms"][i].mean(axis=0))
        table.add_row(
            number(lams[i], 3),
            f"{100 * results['train_accuracy'][i].mean():.1f} %",
            f"{100 * test[i]:.1f} %",
            f"{100 * results['test_accuracy'][i].std():.1f}",
            number(results["test_loss"][i].mean(), 3),
            norms,
            "best" if i == best else "",
            style=CHOSEN if i == best else None,
        )
    return table


def verification_table(rows: Sequence[Any], full: bool = False) -> Table:
    """A row for each subject of a verification with its worst error in units of its tolerance, or, with ``full``, a row for each property.

    Args:
      rows: of a ``verify.Report``.
      full: show every property.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("subject", overflow="fold")
    if full:
        for title in ("property", "status", "error", "at most"):
            table.add_column(title, no_wrap=title != "property")
        table.add_column("where", overflow="fold", style=PALE)
        for row in rows:
            error, most = ("" if np.isnan(x) else f"{x:.1e}" for x in (row.error, row.tolerance))
            table.add_row(row.subject, row.property, row.status, error, most, row.where, style=_STATUS.get(row.status))
        return table
    for title in ("checks", "not given", "worst error\n/ tolerance"):
        table.add_column(title, justify="right", vertical="top")
    table.add_column("status", no_wrap=True)
    table.add_column("worst in", overflow="fold", style=PALE)
    for subject in dict.fromkeys(row.subject for row in rows):
        mine = [row for row in rows if row.subject == subject]
        absent = sum(row.status == "not given" for row in mine)
        farthest = max((row for row in mine if not np.isnan(row.ratio)), key=lambda row: row.ratio, default=None)
        status = "FAIL" if any(row.status == "FAIL" for row in mine) else "pass"
        worst = "" if farthest is None else f"{farthest.ratio:.1e}"
        where = "" if farthest is None else f"{farthest.property}: {farthest.where}"
        table.add_row(subject, str(len(mine) - absent), str(absent or ""), worst, status, where, style=_STATUS.get(status))
    return table


_STATUS = {"FAIL": "bold red", "derived": "yellow", "not given": PALE}


def headline(label: str, text: str, width: int = 10) -> Table:
    """A short label and what it says, continued under itself where the terminal is narrow."""
    grid = Table.grid()
    grid.add_column(width=width, style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(label, text)
    return grid
