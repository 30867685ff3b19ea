"""Everything built in, in one report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from .. import losses
from .._catalogue import Entry, entries, name_of
from .._dtypes import x64_scope
from ._loss import loss
from ._penalty import penalty
from ._report import Report
from ._transforms import transforms

Progress = Callable[[int, int], None]
LOSSES = (
    losses.SquaredError(),
    losses.Logistic(),
    losses.Multinomial(),
    losses.Poisson(),
    losses.Gamma(),
    losses.Tweedie(power=1.4),
    losses.Huber(delta=0.7),
    losses.Quantile(level=0.3, width=0.4),
    losses.SquaredHinge(),
    losses.Cox(),
)


def entry(example: Entry, only: Collection[str] | None = None) -> Report:
    """Verify one line of the catalogue; ``only`` as for :func:`penalty`."""
    return penalty(example.penalty, example.params, example.definition, example.sample, only)


def catalogue(names: Sequence[str] = (), progress: Progress | None = None) -> Report:
    """Verify the built-in penalties, each against a second writing of its value too.

    Args:
      names: as ``jaxreg penalties`` lists them, ``"elastic-net"``; empty for all.
      progress: called with (done, of how many) after each.

    Raises:
      ValueError: a name that no penalty has.

    >>> from jaxreg import verify
    >>> verify.catalogue(["zero"]).ok
    True
    """
    with x64_scope():
        table = entries()
    unknown = set(names) - {name_of(e.kind) for e in table}
    if unknown:
        raise ValueError(f"names: no penalty is called {', '.join(sorted(unknown))}; `jaxreg penalties` lists them")
    chosen = [e for e in table if not names or name_of(e.kind) in names]
    report = Report()
    for i, example in enumerate(chosen):
        report += entry(example)
        if progress is not None:
            progress(i + 1, len(chosen))
    return report


def all(progress: Progress | None = None) -> Report:
    """Verify every built-in penalty (plain, placed and summed), loss and optax transform.

    Args:
      progress: called with (done, of how many) after each penalty.

    Returns:
      the :class:`Report`; ``print(report.summary())`` shows one line for each subject.

    >>> from jaxreg import verify
    >>> report = verify.all()  # doctest: +SKIP
    >>> report.ok  # doctest: +SKIP
    True
    """
    report = catalogue(progress=progress)
    for data_term in LOSSES:
        report += loss(data_term)
    return report + transforms()
