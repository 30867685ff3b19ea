"""``python -m experiments``: run them all, or those named, and write ``report.html``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import EXPERIMENTS
from ._report import html
from ._run import Result, load, run

COLORS = {"PASS": "green", "FAIL": "bold red", "not run": "yellow"}
app = typer.Typer(add_completion=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(help="Experiments to run; all of them when none is named.")] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show the experiments and their claims, run nothing.")] = False,
    out: Annotated[Path, typer.Option(dir_okay=False, writable=True, help="The report.")] = Path("report.html"),
    pictures: Annotated[Path | None, typer.Option(file_okay=False, help="A folder to write the pictures into as well, as PNG.")] = None,
) -> None:
    """Show every claim about regularisation: run the experiments and write a report.

    For example: python -m experiments, or python -m experiments ridge logistic --out two.html

    Exit status 1 if a check fails that is not known to.
    """
    say = Console(highlight=False, markup=False, emoji=False)
    if show_list:
        table = Table.grid(padding=(0, 2))
        for name in EXPERIMENTS:
            table.add_row(name, load(name).CLAIM)
        say.print(table)
        return
    unknown = [name for name in names or () if name not in EXPERIMENTS]
    if unknown:
        raise typer.BadParameter(f"no experiment is called {unknown[0]!r}; there are: {', '.join(EXPERIMENTS)}", param_hint="NAMES")
    for folder in filter(None, (out.parent, pictures)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise typer.BadParameter(f"cannot make the folder {folder}: {error.strerror}") from None
    names = list(dict.fromkeys(names or EXPERIMENTS))
    results = []
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(names))
        for name in names:
            bar.update(task, description=name)
            results.append(run(name))
            bar.advance(task)
    for result in results:
        _print(say, result)
        if pictures and result.picture:
            (pictures / f"{result.name}.png").write_bytes(result.picture)
    out.write_text(html(results), encoding="utf-8")
    say.print(f"Wrote {out}", soft_wrap=True)
    if any(result.surprises for result in results):
        raise typer.Exit(1)


def _print(say: Console, result: Result) -> None:
    """A line for the experiment, and one for each check that did not pass."""
    passed = sum(check.status == "PASS" for check in result.checks)
    text = f"{result.status:<8} {result.name:<16} {passed} of {len(result.checks)} checks passed, {result.seconds:.1f} s"
    say.print(text, style=COLORS[result.status])
    for check in result.checks:
        if check.status != "PASS":
            known = " as known and discussed" if check.what in result.unconfirmed else ""
            required = f" (required {check.required})" if check.required else ""
            say.print(f"         {check.status}{known}: {check.what}: {check.measured}{required}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(app(prog_name="python -m experiments"))
