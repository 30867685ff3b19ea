"""The commands, their options and their help. The work stands in _path.py, _train.py and _verify.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="jaxreg",
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Regularisation with certificates: exactly [bold]loss + λ·penalty[/bold], whole λ paths, and a proof that each answer is right.",
    epilog=(
        "[bold]Examples[/bold]\n\n"
        "jaxreg path diabetes             a cross-validated lasso path of real data\n\n"
        "jaxreg path houses.csv --target price --penalty elastic-net:0.5\n\n"
        "jaxreg train digits --sweep 32   32 λ × 3 seeds of a network at once\n\n"
        "jaxreg verify                    every formula against autodiff"
    ),
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random: folds, splits, initial weights.")]


def _version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"jaxreg {version('jaxreg')}")
        raise typer.Exit
    return wanted


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")] = False,
) -> None:
    pass


@app.command(
    epilog=(
        "[bold]Examples[/bold]\n\n"
        "jaxreg path diabetes\n\n"
        "jaxreg path breast_cancer --standardize --penalty elastic-net:0.5\n\n"
        "jaxreg path houses.csv --target price --lams 30 --folds 5\n\n"
        "jaxreg path iris --penalty l2 --lams 1,0.1,0.01 --rule min --out iris-ridge"
    )
)
def path(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="diabetes, breast_cancer, digits, wine, iris, or a CSV, Parquet or NPZ file.")
    ],
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column to predict. Default: the column 'target' or 'y', else the last.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(metavar="LOSS", help="squared, huber, poisson, gamma, logistic, squared-hinge, multinomial; else by the target."),
    ] = None,
    penalty: Annotated[str, typer.Option(metavar="PENALTY", help="l1, l2, elastic-net:RATIO, or another of `jaxreg penalties`.")] = "l1",
    lams: Annotated[str, typer.Option(metavar="N|LIST", help="How many λ, or the λ themselves: 1,0.1,0.01, or HIGH:LOW:N.")] = "100",
    folds: Annotated[int, typer.Option(help="Folds of the cross-validation.")] = 10,
    rule: Annotated[
        str, typer.Option(metavar="1se|min", help="The chosen λ: the largest within one standard error of the best, or the best.")
    ] = "1se",
    standardize: Annotated[
        bool, typer.Option("--standardize", help="Scale the columns inside; coefficients stay in the data's units.")
    ] = False,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Output folder. Default: jaxreg-out/<data>.")] = None,
    debug: Debug = False,
) -> None:
    """Fit a whole λ path, choose λ by cross-validation, and certify every answer.

    Prints the exact objective, a table over λ, the coefficients at the chosen λ
    and the largest duality gap; writes coefficients.csv, path.json, path.png
    and cv.png.
    """
    from ._path import run

    run(data, target, loss, penalty, lams, folds, rule, standardize, seed, out)


@app.command(
    epilog=(
        "[bold]Examples[/bold]\n\n"
        "jaxreg train digits\n\n"
        "jaxreg train digits --lam 1e-2 --epochs 40 --hidden 128,64\n\n"
        "jaxreg train digits --sweep 32      32 λ × 3 seeds in one program"
    )
)
def train(
    data: Annotated[str, typer.Argument(metavar="DATA", help="digits, or another of the classification sets: breast_cancer, wine, iris.")],
    lam: Annotated[float, typer.Option(help="Strength of the penalty λ·Σw² on the kernels.")] = 1e-3,
    epochs: Annotated[int, typer.Option(help="Passes over the training rows.")] = 40,
    hidden: Annotated[str, typer.Option(metavar="SIZES", help="Hidden layers: 64, or 128,64.")] = "64",
    sweep: Annotated[int, typer.Option(metavar="N", help="Train N values of λ × 3 seeds at once instead; 0 for one λ.")] = 0,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Output folder. Default: jaxreg-out/train-<data>.")] = None,
    debug: Debug = False,
) -> None:
    """Train a small neural network: cross-entropy + λ·Σw² on the kernels only, with λ = 0 beside it.

    Prints loss and penalty apart, with train and test accuracy; draws train.png,
    or sweep.png with --sweep.
    """
    from ._train import run

    run(data, lam, epochs, hidden, sweep, seed, out)


@app.command(epilog="[bold]Examples[/bold]\n\njaxreg penalties\n\njaxreg penalties slope\n\njaxreg penalties --docs docs")
def penalties(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One penalty, whole. Default: the table of all.")] = None,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write penalties.md and a picture of each into DIR instead.")] = None,
    debug: Debug = False,
) -> int:
    """The catalogue: every penalty with its equation, its facts and the cost of its prox."""
    from ._penalties import run

    return run(name, docs)


@app.command(epilog="[bold]Examples[/bold]\n\njaxreg verify\n\njaxreg verify mcp slope\n\njaxreg verify --full > verification.txt")
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="As `jaxreg penalties` names them. Default: all.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Show every property, not one row for each subject.")] = False,
    debug: Debug = False,
) -> int:
    """Hold every penalty, loss and transform against autodiff, central differences and independent oracles.

    Exit status 1 if any fails.
    """
    from ._verify import run

    return run(names or [], full)
