"""``jaxreg path``: a whole λ path of a table, cross-validated, certified, printed, written and drawn."""

from __future__ import annotations

import contextlib
import csv
import json
import platform
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import _cache, _data
from ._data import Design
from ._errors import UserError, find_penalty, listed, need, unknown
from ._output import console, note, out_folder, progress
from ._penalties import build, kinds

LOSSES = {
    "squared": "squared error",
    "huber": "Huber, delta 1",
    "poisson": "Poisson",
    "gamma": "gamma",
    "logistic": "logistic",
    "squared-hinge": "squared hinge",
    "multinomial": "multinomial",
}
RULES = ("1se", "min")
# Coordinates of the gradient check; each costs two evaluations of the objective.
MOST_CHECKED = 200
# Columns whose scales differ by more than this are hardly meant to share one λ unscaled.
MOST_SPREAD = 100


def run(
    source: str,
    target: str | None,
    loss: str | None,
    penalty: str,
    lams: str,
    folds: int,
    rule: str,
    standardize: bool,
    seed: int,
    out: Path | None,
) -> None:
    """The command; see _app.py for the options."""
    if loss is not None and loss not in LOSSES:
        raise unknown("--loss", loss, LOSSES)
    if rule not in RULES:
        raise unknown("--rule", rule, RULES)
    built = build(*parse_penalty(penalty))
    grid = parse_lams(lams)
    if folds < 2:
        raise UserError(f"--folds: at least 2 are needed, got {folds}")
    design = _data.design(_data.load(source, target), loss)
    if folds > len(design.y):
        raise UserError(f"--folds: {folds} folds are more than the {len(design.y)} rows of {design.name}; use at most {len(design.y)}")
    folder = out_folder(out, Path("jaxreg-out") / design.name)
    need("matplotlib", "matplotlib", "drawing the pictures")
    # The pictures come last and importing what draws them takes half a second: meanwhile jax compiles without Python's lock.
    threading.Thread(target=_warm_up, daemon=True).start()
    with _cache.compilation(note):
        _run(design, built, grid, folds, rule, standardize, seed, folder)


def parse_penalty(text: str) -> tuple[str, dict[str, float]]:
    """``NAME``, ``NAME:NUMBER`` (``elastic-net:0.5``) or ``NAME:key=number,…`` as a name of the catalogue and its numbers."""
    given, _, rest = text.partition(":")
    name = find_penalty("--penalty", given, kinds(), "; with numbers as in elastic-net:0.5 or mcp:gamma=2.5")
    options: dict[str, float] = {}
    for part in filter(None, map(str.strip, rest.split(","))):
        key, found, value = (piece.strip() for piece in part.rpartition("="))
        key = key if found else ""
        if key in options:
            raise UserError(f"--penalty: {key or 'a number without a name'} is given twice in {text!r}")
        try:
            options[key] = float(value)
        except ValueError:
            raise UserError(f"--penalty: {value!r} in {text!r} is no number; such as elastic-net:0.5 or mcp:gamma=2.5") from None
    return name, options


def parse_lams(text: str) -> int | list[float]:
    """A count, values in any order, or HIGH:LOW:N for N values evenly spaced in log λ."""
    if text.count(":") == 2:
        try:
            first, last, number = text.split(":")
            high, low, count = float(first), float(last), int(number)
        except ValueError:
            high, low, count = 0.0, 0.0, 0
        if not (np.isfinite(high) and np.isfinite(low) and high > 0 and low > 0 and count >= 2):
            raise UserError(f"--lams: HIGH:LOW:N needs two finite λ > 0 and a count of at least 2, got {text!r}; such as 1:0.001:100")
        return np.geomspace(high, low, count).tolist()
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        if len(parts) == 1 and parts[0].lstrip("+-").isdigit():
            count = int(parts[0])
            if count < 2:
                raise UserError(
                    f"--lams: a count must be at least 2, got {count}; write a single λ as {count}.0" if count >= 0 else _bad(text)
                )
            return count
        values = [float(part) for part in parts]
    except ValueError:
        raise UserError(f"--lams: neither a count nor numbers: {text!r}; such as 100 or 1,0.1,0.01") from None
    if not values or not all(np.isfinite(value) and value >= 0 for value in values):
        raise UserError(_bad(text))
    return values


def _bad(text: str) -> str:
    return f"--lams: every λ must be finite and >= 0, got {text!r}; such as 100 or 1,0.1,0.01"


def _warm_up() -> None:
    with contextlib.suppress(Exception):
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401


def _run(
    design: Design,
    penalty: Any,
    grid: int | list[float],
    folds: int,
    rule: Any,
    standardize: bool,
    seed: int,
    folder: Path,
) -> None:
    import jax

    import jaxreg

    from .. import plot, report

    losses = jaxreg.losses
    loss = {
        "squared": lambda: losses.SquaredError("half_mean"),
        "huber": lambda: losses.Huber("mean"),
        "poisson": lambda: losses.Poisson("mean"),
        "gamma": lambda: losses.Gamma("mean"),
        "logistic": lambda: losses.Logistic("mean"),
        "squared-hinge": lambda: losses.SquaredHinge("mean"),
        "multinomial": lambda: losses.Multinomial("mean"),
    }[design.loss]()
    say = console()
    _header(say, design, standardize)
    started = time.perf_counter()
    with progress(f"λ path and {folds} folds") as tell, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", jaxreg.GridEdgeWarning)  # said below, with the option that mends it
        cv = jaxreg.cross_validate(
            design.X, design.y, penalty, loss=loss, lams=grid, folds=folds, key=jax.random.key(seed), rule=rule,
            standardize=standardize, progress=tell,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    for text in dict.fromkeys(" ".join(str(w.message).split()) for w in caught):
        note(text)
    fit = cv.path
    say.print(report.headline("minimised", fit.formula))
    say.print(
        report.headline("", f"with w the coefficients and η = Xw + intercept{'' if not standardize else ', sd the columns’ deviations'}")
    )
    say.print(report.headline("error", f"{cv.error_name}, {folds} folds (seed {seed}); computed in {seconds:.1f} s"))
    say.print(report.path_table(cv))
    if len(cv.lams) > 18:
        say.print(f"{len(cv.lams)} λ were fitted; the table shows a selection, path.json all of them.")
    if cv.edge:
        high, low = float(cv.lam_min), float(cv.lam_min) / 1000
        say.print(f"λ_min is at the edge of the grid: the error may still fall beyond it; try --lams {high:.3g}:{low:.3g}:100.")
    say.print()
    _coefficients(say, cv, design)
    _certificate(say, cv)
    check = gradient_check(design, cv, standardize)
    verdict = "agree" if check.ok else "DISAGREE"
    say.print(
        report.headline(
            "gradient",
            f"analytic and autodiff {verdict}: largest relative difference {check.autodiff_error:.1e}",
        )
    )
    say.print(report.headline("", f"(from central differences: {check.difference_error:.1e})"))
    _write_coefficients(folder / "coefficients.csv", cv, design)
    _write_json(folder / "path.json", cv, design, check, folds, seed, standardize)
    marks = {"λ_min": float(cv.lam_min), "λ_1se": float(cv.lam_1se)}
    plot.path(fit, design.feature_names, marks).savefig(folder / "path.png")
    plot.cross_validation(cv).savefig(folder / "cv.png")
    say.print(f"wrote     coefficients.csv, path.json, path.png and cv.png into {folder}", soft_wrap=True)


def _header(say: Any, design: Design, standardize: bool) -> None:
    from ..report import headline

    n, p = design.X.shape
    say.print(headline("data", f"{design.name}: {n} rows × {p} features, target {design.target!r}"))
    if design.said:
        say.print(headline("", design.said))
    say.print(headline("loss", f"{LOSSES[design.loss]}: {design.reason}"))
    if design.classes and (design.encoded or design.classes != [str(k) for k in range(len(design.classes))]):
        mapping = ", ".join(f"{label} → {code}" for code, label in enumerate(design.classes))
        say.print(headline("classes", mapping))
    deviation = design.X.std(axis=0)
    spread = np.max(deviation) / np.min(deviation, where=deviation > 0, initial=np.inf)
    if not standardize and spread > MOST_SPREAD:
        say.print(headline("columns", f"standard deviations differ by a factor of {spread:,.0f}; --standardize would penalise them alike"))
    if standardize:
        say.print(headline("columns", "scaled to standard deviation 1 inside; coefficients are in the data's units"))


def _coefficients(say: Any, cv: Any, design: Design) -> None:
    from .. import report

    coef, names = cv.path.coef[cv.index], design.feature_names
    lam, chosen = report.number(cv.lam), "λ_1se" if cv.rule == "1se" else "λ_min"
    say.print(f"Coefficients at the chosen {chosen} = {lam}, largest first:")
    if coef.ndim == 2:
        say.print(report.class_table(cv, names, design.classes or [str(k) for k in range(coef.shape[1])]))
        zero = [name for name, row in zip(names, coef, strict=True) if not np.any(row)]
        if zero:
            say.print(f"{len(zero)} of {len(names)} features are exactly zero for every class: {_plain(zero)}.")
        say.print("All of them are in coefficients.csv.")
    else:
        say.print(report.coefficient_table(cv, names))
        order = report.nonzero_order(coef)
        if len(order) > report.MOST_COEFFICIENTS:
            say.print(f"… and {len(order) - report.MOST_COEFFICIENTS} smaller ones, in coefficients.csv.")
        zero = [name for name, value in zip(names, coef, strict=True) if value == 0]
        say.print(f"{len(zero)} of {len(names)} coefficients are exactly zero{': ' + _plain(zero) if zero else ''}.")
    say.print()


def _plain(names: Sequence[str]) -> str:
    return listed(names, 6).replace("'", "")


def _certificate(say: Any, cv: Any) -> None:
    from ..report import headline

    fit = cv.path
    kkt = f"KKT residual {np.nanmax(fit.kkt):.1e}"
    if np.any(np.isfinite(fit.gap)):
        text = f"largest relative duality gap {np.nanmax(fit.gap):.1e}; {kkt}"
        undefined = int(np.isnan(fit.gap).sum())
        text += f" (no gap at {undefined} λ: {fit.gap_reason})" if undefined else ""
    else:
        text = f"{kkt}; no duality gap: {fit.gap_reason}"
    missed = int(np.sum(~np.asarray(fit.converged)))
    done = "all converged" if not missed else f"{missed} did NOT converge (marked in the table)"
    say.print(headline("proof", text))
    say.print(headline("", f"of {len(fit.lams)} λ {done} (tolerance {fit.tol:.0e})"))
    fold_misses = int(np.sum(~np.asarray(cv.fold_converged)))
    if fold_misses:
        say.print(headline("", f"of {np.size(cv.fold_converged)} fits of the folds {fold_misses} did NOT converge"))


def gradient_check(design: Design, cv: Any, standardize: bool) -> Any:
    """The objective's analytic gradient against autodiff and differences, near the chosen solution.

    In coordinates ``u = w·sd`` of centred columns: a difference step that suits a column of thousandths would be far too
    long for one of thousands. Coefficients at zero, where |w| has no derivative, are moved off it, and where the penalty still
    has a kink (equal neighbours of a fused lasso) all are moved, each by another amount.
    """
    import jax.numpy as jnp

    from .. import verify

    loss, penalty = cv.path.loss, cv.path.penalty.at(float(cv.lam))
    mean, deviation = design.X.mean(axis=0), design.X.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    X, y = (design.X - mean) / deviation, design.y
    coef, intercept = np.asarray(cv.path.coef[cv.index]), np.asarray(cv.path.intercept[cv.index])
    unit = deviation if coef.ndim == 1 else deviation[:, None]
    u = coef * unit
    away = 1e-2 * max(1.0, float(np.max(np.abs(u))))
    u = np.where(np.abs(u) < away, away, u)
    inner = np.ones_like(unit) if standardize else unit
    if not np.all(penalty.support(jnp.asarray(u / inner))):
        u = u + away * np.modf((np.sqrt(5) - 1) / 2 * np.arange(1, u.size + 1))[0].reshape(u.shape)
    columns = np.argsort(-np.abs(u).reshape(len(u), -1).max(axis=1), kind="stable")[: max(1, MOST_CHECKED // u[0].size)]

    def everything(params: Any) -> Any:
        return jnp.asarray(u).at[columns].set(params["coef"])

    def value(params: Any) -> Any:
        w = everything(params)
        return loss(X @ w + params["intercept"], y) + penalty(w / inner)

    def analytic(params: Any) -> Any:
        w = everything(params)
        slope = loss.grad(X @ w + params["intercept"], y)
        return {"coef": (X.T @ slope + penalty.grad(w / inner) / inner)[columns], "intercept": jnp.sum(slope, axis=0)}

    return verify.gradient(value, analytic, {"coef": u[columns], "intercept": intercept + mean @ coef})


def _write_coefficients(path: Path, cv: Any, design: Design) -> None:
    """A row for each feature (and class), the intercept first; columns at λ_min and λ_1se."""
    fit, classes = cv.path, design.classes
    at = (cv.index_min, cv.index_1se)
    with path.open("w", newline="", encoding="utf-8") as file:
        write = csv.writer(file).writerow
        if fit.coef.ndim == 2:
            write(["feature", "coefficient_lambda_min", "coefficient_lambda_1se"])
            write(["(intercept)", *[repr(float(fit.intercept[i])) for i in at]])
            for j, name in enumerate(design.feature_names):
                write([name, *[repr(float(fit.coef[i, j])) for i in at]])
            return
        write(["class", "feature", "coefficient_lambda_min", "coefficient_lambda_1se"])
        for k, label in enumerate(classes or range(fit.coef.shape[2])):
            write([label, "(intercept)", *[repr(float(fit.intercept[i, k])) for i in at]])
            for j, name in enumerate(design.feature_names):
                write([label, name, *[repr(float(fit.coef[i, j, k])) for i in at]])


def _write_json(path: Path, cv: Any, design: Design, check: Any, folds: int, seed: int, standardize: bool) -> None:
    from importlib.metadata import version

    fit = cv.path
    chosen = {
        name: {"index": int(i), "lam": float(cv.lams[i]), "nonzeros": int(fit.nonzeros[i])}
        for name, i in (("lam_min", cv.index_min), ("lam_1se", cv.index_1se), ("chosen", cv.index))
    }
    content = {
        "formula": fit.formula,
        "data": {
            "name": design.name,
            "rows": design.X.shape[0],
            "features": design.feature_names,
            "target": design.target,
            "classes": design.classes,
        },
        "settings": {"loss": repr(fit.loss), "penalty": repr(fit.penalty), "standardize": standardize, "folds": folds, "seed": seed},
        "rule": cv.rule,
        **chosen,
        "error_name": cv.error_name,
        "lams": fit.lams,
        "mean": cv.mean,
        "se": cv.se,
        "fold_errors": cv.fold_errors,
        "fold_ids": cv.fold_ids,
        "nonzeros": fit.nonzeros,
        "deviance_ratio": fit.deviance_ratio,
        "gap": fit.gap,
        "gap_reason": fit.gap_reason,
        "kkt": fit.kkt,
        "tol": fit.tol,
        "converged": fit.converged,
        "intercept": fit.intercept,
        "coef": fit.coef,
        "gradient_check": {"autodiff_error": check.autodiff_error, "difference_error": check.difference_error, "ok": check.ok},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("jaxreg", "jax", "jaxlib", "numpy")}},
    }
    path.write_text(json.dumps(_strict(content), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _strict(value: Any) -> Any:
    """What JSON can hold: lists for arrays, null for NaN and infinity, which strict parsers refuse."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, str | None):
        return value
    array = np.asarray(value)
    if array.ndim:
        return [_strict(item) for item in array.tolist()]
    item = array.item()
    return None if isinstance(item, float) and not np.isfinite(item) else item
