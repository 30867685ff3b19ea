"""``jaxreg penalties``: the catalogue as a table, one penalty's page, and docs/penalties.md."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._dtypes import x64_scope
from .._penalties import Zero
from .._penalties._joint import KNOWN
from ._errors import UserError, find_penalty, unknown
from ._output import console, out_folder, progress

_ABOUT = """\
# Penalties

Every penalty that jaxreg has, by what it acts on. `lam` is the strength λ that a path or sweep multiplies; every formula below is
exactly what is added to the loss. `jaxreg verify` holds each line: the value against a second writing of it, the gradient against
autodiff and differences, the prox against a global search and its derivatives against differences, the conjugate against a search,
convexity, smoothness and separability against values. This page and its pictures are made by `jaxreg penalties --docs docs` from the
classes; a test fails where the page or a picture is out of date.

Convex, smooth and separable are ● where they hold; smooth is a gradient with a finite slope about every point of the domain. The
cost is that of one prox of n parameters. Pictures show the penalty that stands above them: value, gradient and prox along one
parameter with the others at 0, and its level sets over two (the thick one through w = (1, 0)); of a set, the projection along one
parameter, and the set with where some points go.

## Calculus

| operation | what it is | its prox | where it is known |
|---|---|---|---|
| `c * p` | c·p(w) | a longer step | everywhere |
| `p.at(λ)` | of a path: λ·p(w), but `MCP`, `SCAD` and their group forms with λ for `lam` | a longer step; theirs | everywhere |
| `p + q` | p(w) + q(w) | the table below | value and gradient everywhere; the rest as below, else an error |
| `p.on(where)` | p of some leaves | the others stay | everywhere |
| `p.around(w₀)` | p(w − w₀) | w₀ + prox(v − w₀) | everywhere |
| `p.rescale(d)` | p(d·w) | prox(d·v, step·d²)/d | d an array where p is separable, else one number |
| `p.rotate(Q)` | p(Qw) | Qᵀ·prox(Qv) | Q orthogonal, a matrix or a pair of functions |
| `p.envelope(mu)` | min_z p(z) + ‖w − z‖²/(2·mu), smooth | v + s/(s + mu)·(prox(v, s + mu) − v) | convex, or weakly: modulus < 1/mu |
| `C.distance(lam)` | lam·min ‖w − z‖₂ over z in the set C | towards the projection by step·lam, at most onto it | C convex |
| `p.dual()` | the conjugate, sup_z ⟨w, z⟩ − p(z) | v − s·prox(v/s, 1/s) (Moreau) | p convex, its conjugate known; no `lambda_max` |
| `p.as_prox_fn()` | jaxopt's signature, `prox(x, λ, scaling)`, of `scaling·p.at(λ)` | | everywhere |

The step of a prox is one number, an array or a pytree prefix (a diagonal metric) where the penalty is separable, else one number.

Sums whose joint prox is known, where the terms share parameters (terms on different leaves combine freely). For others
the prox raises, naming both terms and what to do instead:

| sum | rule |
|---|---|
| any penalty p + `L2(λ₂)` | completing the square: v and step divided by 1 + 2·step·λ₂; a single λ₂ unless p is separable |
| `L1` + `L1`, `ElasticNet` + … | thresholds and curvatures add |
| `L1` + `GroupLasso`, `L2Norm`, … | soft threshold, then the norm's shrinkage (Yu 2013, cor. 4) |
| any convex separable penalty + `Box`, `NonNegative`, `LInfBall` | the prox, then clipping |
| `L0`, `LHalf`, `MCP`, `SCAD`, … + `NonNegative` | the prox, then negative numbers to 0 |
| `GroupLasso`, `L2Norm`, … + `NonNegative` | the projection, then the norm's shrinkage (Yu 2013, thm. 1) |
| `FusedLasso` + any convex separable penalty of single strengths | the levels first (Friedman et al. 2007, lemma A.1) |

What else is known of sums on shared leaves:

| of the sum | of which sums |
|---|---|
| value, gradient | all |
| `subdiff_distance` (the KKT residual), `lambda_max` | {subdifferential} |
| `conjugate`, the value of `dual()`, the duality gap of a path | {conjugate} |
""".format(**KNOWN)


_OTHERS = """\
Listed is what has another strength, sign or form than here, or no counterpart. What differs in name alone (`NormL21` and `L21`, `IndPSD`,
`MCPenalty`, …) is not: the tables above name the libraries. Data-fit losses are `jaxreg.losses`. `f` is any penalty, `C` a convex set; a
test evaluates each line of the third column and holds it against the other library's formula.
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


# Fields that no number on a command line can fill.
_NEEDS = {"groups", "edges", "weights", "matrix"}
_WHOLE = {"k", "order"}


def why_not_on_paths(kind: Any) -> str:
    """Why the command line has no path of it: empty where it has one."""
    names = {f.name for f in dataclasses.fields(kind)}
    if "lam" not in names and (kind is Zero or not kind.finite):
        return "it has no strength to vary"
    if not kind.finite:
        return "coefficients of 0, where a path starts, are outside its domain"
    if "axes" in names:
        return "it acts on matrices, and the coefficients of a path are a vector"
    return f"it needs {' and '.join(sorted(names & _NEEDS))}" if names & _NEEDS else ""


def _numbers(kind: Any) -> list[str]:
    """What a penalty takes besides λ."""
    fields = [f for f in dataclasses.fields(kind) if f.name not in ("lam", "scale")]
    return [f.name for f in fields if f.name in _WHOLE or (not f.metadata.get("static") and isinstance(f.default, int | float))]


def build(name: str, options: dict[str, float]) -> Any:
    """The penalty of strength 1 that a name and numbers stand for, for a path.

    Args:
      name: of the catalogue.
      options: its other numbers; one without a name, under "", is the first.

    Raises:
      UserError: a penalty that needs more than numbers, or a number that it does not take.
    """
    kind = kinds()[name].kind
    if reason := why_not_on_paths(kind):
        raise UserError(f"--penalty: {name} cannot be asked for here: {reason}; use jaxreg.{kind.__name__} from Python")
    numbers = _numbers(kind)
    if options and not numbers:
        raise UserError(f"--penalty: {name} has no number besides λ; write {name} alone")
    named: dict[str, float] = {}
    for given, value in options.items():
        key = given.replace("-", "_") or numbers[0]
        if key not in numbers:
            raise unknown(f"--penalty: {name}", given, numbers)
        if key in named:
            raise UserError(f"--penalty: {key} of {name} is given twice")
        named[key] = int(value) if key in _WHOLE and value.is_integer() else value
    try:
        return kind(**named)
    except (TypeError, ValueError) as error:
        raise UserError(f"--penalty: {error}") from None


def run(name: str | None, docs: Path | None) -> int:
    """The command; see _app.py for the options."""
    found, say = kinds(), console()
    if docs is not None:
        write(out_folder(docs, docs))
        return 0
    if name is not None:
        say.print(_page(found[find_penalty("NAME", name, found)]), soft_wrap=True)
        return 0
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("name", "is", "equation"):
        table.add_column(title, overflow="fold", no_wrap=title != "equation")
    for key, entry in found.items():
        p = entry.penalty
        facts = "".join(letter if fact else "·" for letter, fact in zip("cs1", (p.convex, p.smooth, p.separable), strict=True))
        table.add_row(key, facts, entry.kind.about.equation)
    say.print(f"{len(found)} penalties: c convex, s smooth, 1 separable (of one number at a time).")
    say.print(table)
    say.print("`jaxreg penalties NAME` shows one, `jaxreg verify NAME` holds it against its definition.")
    return 0


def _mark(fact: bool) -> str:
    return "●" if fact else ""


def _page(entry: Any) -> str:
    about = entry.kind.about
    # What reads well in an editor: roles and doubled backquotes of the docstring say nothing in a terminal.
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", inspect.getdoc(entry.kind) or "").replace("``", "`")
    facts = ", ".join(name if getattr(entry.penalty, name) else f"not {name}" for name in ("convex", "smooth", "separable"))
    lines = [f"{entry.kind.__name__}: {about.equation}", f"is        {facts}", f"domain    {about.domain}", f"prox      {about.cost}"]
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
    return "\n".join([*text, _others()])


def _others() -> str:
    """What other libraries have under another name, and what jaxreg has not."""
    from .._catalogue import FOREIGN

    rows = ["## In other libraries under another name\n", _OTHERS, "| library | there | in jaxreg | mind |\n|---|---|---|---|"]
    for line in FOREIGN:
        here = f"`{line.here}`" if line.here else "not in jaxreg"
        rows.append(f"| {line.library} | `{line.name}` | {here} | {line.note} |")
    return "\n".join(rows) + "\n"


def write(folder: Path, names: Sequence[str] = ()) -> None:
    """penalties.md, and the pictures (all, or those named) in ``penalties/`` beside it."""
    from .. import plot

    (folder / "penalties").mkdir(exist_ok=True)
    (folder / "penalties.md").write_text(markdown(), encoding="utf-8")
    drawn = {key: entry for key, entry in kinds().items() if key in names or not names}
    with progress("drawing") as tell:
        for i, (key, entry) in enumerate(drawn.items()):
            figure = plot.penalty(*pictured(entry), entry.plane)
            figure.savefig(folder / "penalties" / f"{key}.png", dpi=70, metadata={"Description": json.dumps(fingerprint(entry))})
            tell(i + 1, len(drawn))


def pictured(entry: Any) -> tuple[Any, Any]:
    """The penalty and the parameters that the picture shows: of two numbers where two are taken."""
    if entry.small is not None:
        return entry.small, None
    return entry.penalty, entry.params if entry.params is not None or _fits_two(entry.penalty) else np.ones(4)


def fingerprint(entry: Any) -> dict[str, Any]:
    """What a picture depends on, kept inside it: the drawing's source, the penalty, and its value and prox at some points."""
    from .. import _penalty_picture as picture
    from ..verify._subject import Subject

    p, params = pictured(entry)
    with x64_scope():
        s = Subject(p, np.ones(2) if params is None else params)
        points = np.zeros((3, s.n))
        points[:, list(entry.plane)] = [[1.3, 0.4], [-0.7, 0.2], [0.05, -1.9]]
        numbers = [*s.value(points), *s.prox(points, np.ones(3)).ravel()]
    source = hashlib.sha256(inspect.getsource(picture).encode()).hexdigest()[:16]
    return {
        "penalty": picture.call(p),
        "plane": list(entry.plane),
        "numbers": [float(f"{x:.4g}") if np.isfinite(x) else str(x) for x in numbers],
        "drawing": source,
    }


def _fits_two(p: Any) -> bool:
    """Whether an example for four numbers takes two as well."""
    import jax
    import jax.numpy as jnp

    try:
        jax.eval_shape(lambda w: (p(w), p.grad(w)), jnp.ones(2))
    except (TypeError, ValueError, IndexError):
        return False
    return True
