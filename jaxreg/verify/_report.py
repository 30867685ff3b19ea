"""What a verification found: rows, and tables of them that a person can read."""

from __future__ import annotations

import builtins
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from .._penalties import UnknownOperation

Status = Literal["pass", "FAIL", "derived", "not given"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One property of one subject.

    Attributes:
      subject: what was tested.
      property: which law was held against it.
      status: ``"pass"``, ``"FAIL"``, ``"derived"`` (autodiff gave the member, so comparing it with autodiff says
        nothing) or ``"not given"`` (the subject defines no such member).
      error: the worst error; NaN where nothing was measured, inf where something was not finite.
      tolerance: what the error may be at most.
      where: the point and coordinate of the worst error, or what was raised.

    >>> from jaxreg.verify import Row
    >>> Row("L2", "gradient", "pass", 1e-16, 1e-13, "w[0]").ratio
    0.001
    """

    subject: str
    property: str
    status: Status
    error: float = math.nan
    tolerance: float = math.nan
    where: str = ""

    @builtins.property  # the name is a field's here
    def ratio(self) -> float:
        """The error in units of its tolerance; NaN where nothing was measured."""
        if self.tolerance == 0:
            return 0.0 if self.error == 0 else math.inf
        return self.error / self.tolerance


@dataclasses.dataclass(frozen=True)
class Report:
    """The rows of a verification: printable, addable, and true where nothing failed.

    >>> from jaxreg.verify import Report, Row
    >>> report = Report((Row("L2", "gradient", "FAIL", 0.5, 1e-13, "w[0] = 1"),)) + Report()
    >>> bool(report), len(report.failures)
    (False, 1)
    >>> print(report)
    subject  property  status  error    tolerance  where
    L2       gradient  FAIL    5.0e-01  1.0e-13    w[0] = 1
    """

    rows: tuple[Row, ...] = ()

    @property
    def ok(self) -> bool:
        """True when no row failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.status == "FAIL")

    def __bool__(self) -> bool:
        return self.ok

    def __add__(self, other: Report) -> Report:
        return Report(self.rows + other.rows) if isinstance(other, Report) else NotImplemented

    def __str__(self) -> str:
        cells = [(r.subject, r.property, r.status, _number(r.error), _number(r.tolerance), r.where) for r in self.rows]
        return _table([("subject", "property", "status", "error", "tolerance", "where"), *cells])

    def summary(self) -> str:
        """One line for each subject: checks made, the worst error in units of its tolerance, where, and the verdict.

        >>> from jaxreg.verify import Report, Row
        >>> print(Report((Row("L2", "gradient", "pass", 1e-16, 1e-13, "w[0]"), Row("L2", "prox", "not given"))).summary())
        subject  checks  not given  worst/tolerance  where           status
        L2       1       1          1.0e-03          gradient: w[0]  pass
        """
        lines: list[tuple[str, ...]] = [("subject", "checks", "not given", "worst/tolerance", "where", "status")]
        for subject in dict.fromkeys(row.subject for row in self.rows):
            mine = [row for row in self.rows if row.subject == subject]
            measured = [row for row in mine if not math.isnan(row.ratio)]
            failed = [row for row in mine if row.status == "FAIL"]
            worst = max(measured, key=lambda row: row.ratio, default=None)
            shown = failed[0] if failed and (worst is None or worst.status != "FAIL") else worst
            where = "" if shown is None else _short(f"{shown.property}: {shown.where}", 72)
            ratio = "" if shown is None else _number(shown.ratio)
            made = sum(row.status != "not given" for row in mine)
            lines.append((subject, str(made), str(len(mine) - made), ratio, where, "FAIL" if failed else "pass"))
        return _table(lines)


def _number(x: float) -> str:
    return "" if math.isnan(x) else f"{x:.1e}"


def _table(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


@dataclasses.dataclass(frozen=True)
class Finding:
    """The worst of a check's errors, already divided by their scales, before it is judged."""

    error: float
    tolerance: float
    where: str = ""
    derived: bool = False


def worst(errors: np.ndarray, tolerance: float, describe: Callable[..., str], mask: Any = None) -> Finding:
    """The largest error (NaN counts as infinite) among those that ``mask`` lets in; ``describe`` gets its index."""
    errors = np.asarray(errors, np.float64)
    errors = np.where(np.isnan(errors), np.inf, errors)
    if mask is not None:
        errors = np.where(mask, errors, -1.0)
    if errors.size == 0 or errors.max() < 0:
        # A check that compared nothing has shown nothing.
        raise UnknownOperation("no point to compare at")
    index = np.unravel_index(int(errors.argmax()), errors.shape)
    return Finding(float(errors[index]), tolerance, describe(*(int(i) for i in index)))


def judge(subject: str, name: str, check: Callable[[], Finding], required: bool = False) -> Row:
    """Run a check. What it does not define is "not given", unless required; what raises otherwise has failed."""
    try:
        found = check()
    except UnknownOperation as missing:
        return Row(subject, name, "FAIL" if required else "not given", where=_line(missing))
    except Exception as error:
        return Row(subject, name, "FAIL", where=f"raised {type(error).__name__}: {_line(error)}")
    if not found.error <= found.tolerance:
        return Row(subject, name, "FAIL", found.error, found.tolerance, found.where)
    return Row(subject, name, "derived" if found.derived else "pass", found.error, found.tolerance, found.where)


def _line(error: Exception) -> str:
    return _short(" ".join(str(error).split()), 100)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
