"""``jaxreg penalties``: the catalogue as a table, one penalty's page, and docs/penalties.md."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._penalties import Zero
from ._errors import UserError, unknown
from ._output import console, out_folder, progress

_ABOUT = """\
# Penalties

Every penalty that jaxreg has, by what it acts on. λ is the strength that a path or sweep multiplies; every formula below is exactly
what is added to the loss. `jaxreg verify` holds each line: the value against a second writing of it, the gradient against autodiff and
differences, the prox against a global search and its derivatives against differences, the conjugate against a search, convexity and
smoothness against values. This page and its pictures are made by `jaxreg penalties --docs docs` from the classes; a test fails where the
page is out of date or a picture is missing.

Convex, smooth and separable are ● where they hold. The cost is that of one prox of n parameters. Pictures show value, gradient and prox
along one parameter with the others at 0, and over two of them level sets (the thick one through w = (1, 0)) or the set itself.
"""


_COLUMNS = ("name", "equation", "domain", "convex", "smooth", "separable", "prox", "also in", "source")


def by_section() -> dict[str, dict[str, Any]]:
    """The first entry of each class, by the command line's name, under its section; what is made by methods is left out."""
    from .._catalogue import name_of, sections

    seen: set[Any] = set()
    found: dict[str, dict[str, Any]] = {}
    for title, group in sections().items():
        for entry in group:
            if entry.kind.about is not None and entry.kind not in seen:
                seen.add(entry.kind)
                found.setdefault(title, {})[name_of(entry.kind)] = entry
    return found


def kinds() -> dict[str, Any]:
    """The first entry of each class, by the command line's name."""
    return {key: entry for group in by_section().values() for key, entry in group.items()}


def is_for_paths(kind: Any) -> bool:
    """Whether numbers alone make one, and λ has a say: no groups, no matrix, no set."""
    try:
        return bool(kind().finite) and kind is not Zero
    except (TypeError, ValueError):
        return False


def build(name: str, options: dict[str, float]) -> Any:
    """The penalty of strength 1 that a name and numbers stand for, for a path.

    Args:
      name: of the catalogue.
      options: its other numbers; one without a name, under "", is the first.

    Raises:
      UserError: a penalty that needs more than numbers, or a number that it does not take.
    """
    kind = kinds()[name].kind
    if not is_for_paths(kind):
        raise UserError(f"--penalty: {name} needs more than numbers, or has no strength; use jaxreg.{kind.__name__} from Python")
    fields = [f for f in dataclasses.fields(kind) if f.name not in ("lam", "scale")]
    numbers = [f.name for f in fields if not f.metadata.get("static") and isinstance(f.default, int | float)]
    if not numbers and options:
        raise UserError(f"--penalty: {name} takes no ratio; elastic-net:0.5 does")
    named = {numbers[0] if key == "" else key.replace("-", "_"): value for key, value in options.items()}
    for key in named:
        if key not in numbers:
            raise unknown(f"--penalty: {name}", key, numbers)
    try:
        return kind(**named)
    except ValueError as error:
        raise UserError(f"--penalty: {error}") from None


def run(name: str | None, docs: Path | None) -> int:
    """The command; see _app.py for the options."""
    found = kinds()
    if docs is not None:
        write(out_folder(docs, docs))
        return 0
    if name is not None:
        key = name.strip().lower().replace("_", "-")
        if key not in found:
            raise unknown("NAME", name, found)
        console().print(_page(found[key]))
        return 0
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("name", "is", "prox", "equation"):
        table.add_column(title, overflow="fold", no_wrap=title in ("name", "is"))
    for key, entry in found.items():
        about, p = entry.kind.about, entry.penalty
        facts = "".join(letter if fact else "·" for letter, fact in zip("cs1", (p.convex, p.smooth, p.separable), strict=True))
        table.add_row(key, facts, about.cost, about.equation)
    console().print(table)
    console().print(
        f"{len(found)} penalties: c convex, s smooth, 1 separable (of one number at a time). "
        "`jaxreg penalties NAME` shows one, `jaxreg verify NAME` holds it against its definition."
    )
    return 0


def _mark(fact: bool) -> str:
    return "●" if fact else ""


def _page(entry: Any) -> str:
    about = entry.kind.about
    text = inspect.getdoc(entry.kind) or ""
    lines = [f"{entry.kind.__name__}: {about.equation}", f"domain    {about.domain}", f"prox      {about.cost}"]
    lines += [f"also in   {about.also or 'none found'}", f"source    {about.source}", "", text]
    return "\n".join(lines)


def families() -> str:
    """The README's rows: what a penalty acts on, and which there are."""
    rows = []
    for title, group in by_section().items():
        names = ", ".join(f"`{entry.kind.__name__}`" for entry in group.values())
        rows.append(f"| {title.lower()} | {names} |")
    return "\n".join(rows)


def markdown() -> str:
    """docs/penalties.md, from the classes."""
    text = [_ABOUT]
    for title, group in by_section().items():
        text.append(f"## {title}\n")
        text.append("| " + " | ".join(_COLUMNS) + " |\n|" + "---|" * len(_COLUMNS))
        for key, entry in group.items():
            about, p = entry.kind.about, entry.penalty
            facts = [_mark(fact) for fact in (p.convex, p.smooth, p.separable)]
            cells = [f"[`{entry.kind.__name__}`](#{key})", about.equation, about.domain, *facts, about.cost, about.also, about.source]
            text.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        text.append("")
        for key, entry in group.items():
            first = (inspect.getdoc(entry.kind) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
            text.append(f'<a id="{key}"></a>\n**{entry.kind.__name__}**. {first}\n\n![{entry.kind.__name__}](penalties/{key}.png)\n')
    return "\n".join(text)


def write(folder: Path, names: Sequence[str] = ()) -> None:
    """penalties.md, and the pictures (all, or those named) in ``penalties/`` beside it."""
    from .. import plot

    (folder / "penalties").mkdir(exist_ok=True)
    (folder / "penalties.md").write_text(markdown(), encoding="utf-8")
    drawn = {key: entry for key, entry in kinds().items() if key in names or not names}
    with progress("drawing") as tell:
        for i, (key, entry) in enumerate(drawn.items()):
            params = entry.params if entry.small is None else None
            if params is None and entry.small is None and not fits_two(entry.penalty):
                params = np.ones(4)
            figure = plot.penalty(entry.small or entry.penalty, params, entry.plane)
            figure.savefig(folder / "penalties" / f"{key}.png", dpi=70)
            tell(i + 1, len(drawn))


def fits_two(p: Any) -> bool:
    """Whether an example for four numbers takes two as well."""
    import jax
    import jax.numpy as jnp

    try:
        jax.eval_shape(lambda w: (p(w), p.grad(w)), jnp.ones(2))
    except (TypeError, ValueError, IndexError):
        return False
    return True
