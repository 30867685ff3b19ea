"""DATA: one of scikit-learn's data sets, or a CSV, Parquet or NPZ file, as a table of named columns."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from . import _cache
from ._errors import UserError, listed, need, one_line, unknown

DATASETS = ("diabetes", "breast_cancer", "digits", "wine", "iris")
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".npz")
# Targets of this many distinct values or fewer may be class labels.
OF_CLASSES = ("logistic", "squared-hinge", "multinomial")  # losses whose targets are labels
MOST_CLASSES = 20


@dataclasses.dataclass
class Table:
    """Named columns (numeric, or object for text), the target among them."""

    name: str
    columns: dict[str, np.ndarray]
    target: str
    said: str = ""  # how the target was chosen, when nobody named it
    class_names: list[str] | None = None


@dataclasses.dataclass
class Design:
    """What a fit needs."""

    name: str
    X: np.ndarray
    feature_names: list[str]
    y: np.ndarray
    target: str
    loss: str  # one of the command line's losses
    reason: str
    classes: list[str] | None
    encoded: bool  # the labels were not 0, 1, … already
    said: str = ""


def load(source: str, target: str | None = None) -> Table:
    """Read DATA; ``target`` names the column to predict."""
    table = _builtin(source) if source in DATASETS else _file(Path(source).expanduser(), source, target)
    if target is not None:
        if target not in table.columns:
            raise UserError(f"--target: {table.name} has no column {target!r}; its columns: {listed(table.columns, 30)}")
        if target != table.target:
            table = dataclasses.replace(table, target=target, class_names=None)
        table.said = ""
    return table


def design(table: Table, loss: str | None) -> Design:
    """Check the columns, choose the loss where it is not given, and code class labels 0, 1, …"""
    y = table.columns[table.target]
    features = {name: column for name, column in table.columns.items() if name != table.target}
    if not features:
        raise UserError(f"DATA: {table.name} has no feature columns besides the target {table.target!r}")
    text = [name for name, column in features.items() if column.dtype.kind not in "biuf"]
    if text:
        raise UserError(f"DATA: text or other columns that are not numbers: {listed(text)}; code them as numbers or remove them")
    X = np.column_stack([column.astype(np.float64) for column in features.values()])
    if len(X) < 3:
        raise UserError(f"DATA: {table.name} has {len(X)} row{'s' * (len(X) != 1)}; at least 3 are needed")
    _check_finite(table, list(features), X)
    y = _check_target(table.target, y)
    name, reason = choose_loss(table.target, y, loss)
    classes, encoded = None, False
    if name in OF_CLASSES:
        labels, codes = np.unique(y, return_inverse=True)
        # "0", "1", … need no mapping; anything else gets one, which is printed.
        encoded = y.dtype.kind == "U" or not np.array_equal(labels, np.arange(len(labels)))
        classes = table.class_names or [_label(value) for value in labels]
        counts = np.bincount(codes)
        if np.any(counts < 2):
            rare = [classes[i] for i in np.flatnonzero(counts < 2)]
            raise UserError(f"--target: in {table.target!r} the class {listed(rare)} has a single row; each class needs at least 2")
        y = codes.astype(np.int64 if name == "multinomial" else np.float64)
    else:
        y = y.astype(np.float64)
    return Design(table.name, X, list(features), y, table.target, name, reason, classes, encoded, table.said)


def choose_loss(target: str, y: np.ndarray, asked: str | None) -> tuple[str, str]:
    """The loss that fits the target, and why; an error if the one asked for does not."""
    values = np.unique(y)
    text = y.dtype.kind == "U"
    whole = not text and bool(np.all(values == np.floor(values)))
    if len(values) == 1:
        if asked in OF_CLASSES or text:
            raise UserError(f"--target: {target!r} holds the single class {_label(values[0])!r}; at least two are needed")
        raise UserError(f"--target: {target!r} is constant (always {_label(values[0])}); there is nothing to fit")
    # Whole numbers are labels when they are few and each comes often; otherwise they are counts.
    labels = text or len(values) == 2 or (whole and len(values) <= min(MOST_CLASSES, len(y) // 3))
    found = f"{len(values)} distinct {'text labels' if text else 'whole numbers' if whole else 'values'}"
    if asked is None:
        if not labels:
            return "squared", f"the target is a number ({found})"
        return "logistic" if len(values) == 2 else "multinomial", f"the target has {found}"
    if asked not in OF_CLASSES and text:
        raise UserError(f"--loss {asked}: the target {target!r} holds text ({listed(map(_label, values), 3)}); use logistic or multinomial")
    if asked in ("logistic", "squared-hinge") and len(values) != 2:
        other = "multinomial" if labels else "squared"
        raise UserError(f"--loss {asked}: the target {target!r} has {found}, and needs exactly 2; use --loss {other}")
    if asked == "multinomial" and not (text or whole):
        raise UserError(f"--loss multinomial: the target {target!r} has {found} that are not whole; use --loss squared")
    return asked, "as asked with --loss"


def _label(value: Any) -> str:
    if isinstance(value, float | np.floating) and value == np.floor(value) and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _check_finite(table: Table, names: list[str], X: np.ndarray) -> None:
    faults = []
    for j in np.flatnonzero(~np.isfinite(X).all(axis=0)):
        nans, infinite = int(np.isnan(X[:, j]).sum()), int(np.isinf(X[:, j]).sum())
        parts = ([f"{nans} NaN or missing"] if nans else []) + ([f"{infinite} infinite"] if infinite else [])
        faults.append(f"column {names[j]!r} holds {' and '.join(parts)}")
    if faults:
        more = f" (and {len(faults) - 5} more columns)" if len(faults) > 5 else ""
        raise UserError(f"DATA: in {table.name}, {', '.join(faults[:5])}{more}; fill them in or remove those rows")


def _check_target(name: str, y: np.ndarray) -> np.ndarray:
    """The target as floats or as text, without holes."""
    if y.dtype.kind == "b":
        return y.astype(np.float64)
    if y.dtype.kind in "iuf":
        y = y.astype(np.float64)
        nans, infinite = int(np.isnan(y).sum()), int(np.isinf(y).sum())
        if nans or infinite:
            parts = ([f"{nans} NaN or missing"] if nans else []) + ([f"{infinite} infinite"] if infinite else [])
            raise UserError(f"--target: column {name!r} holds {' and '.join(parts)}; fill them in or remove those rows")
        return y
    if y.dtype.kind not in "OUS":
        raise UserError(f"--target: column {name!r} holds {y.dtype}, neither numbers nor text labels")
    missing = sum(value is None or value != value for value in y.tolist())
    if missing:
        raise UserError(f"--target: column {name!r} holds {missing} NaN or missing; fill them in or remove those rows")
    return np.array([str(value) for value in y.tolist()])


# --- where the columns come from -----------------------------------------------------------------------------------


def _builtin(name: str) -> Table:
    arrays = builtin_arrays(name)
    columns = {str(f): arrays["X"][:, j] for j, f in enumerate(arrays["feature_names"])}
    columns["target"] = arrays["y"]
    classes = [str(c) for c in arrays["target_names"]] or None
    return Table(name, columns, "target", "", classes)


def builtin_arrays(name: str) -> dict[str, np.ndarray]:
    """``X``, ``y``, ``feature_names`` and ``target_names`` of a scikit-learn data set.

    Kept in the cache folder under scikit-learn's version: importing ``sklearn.datasets`` takes longer than the fit.
    """
    try:
        version = importlib.metadata.version("scikit-learn")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"DATA: the data set {name!r} comes with scikit-learn, which is not installed; run: python -m pip install 'jaxreg[app]'"
        ) from None
    key = f"{name}-scikit-learn-{version}"
    arrays = _cache.load_arrays(key)
    if arrays is None or not {"X", "y", "feature_names", "target_names"} <= arrays.keys():
        datasets = need("sklearn.datasets", "scikit-learn", f"the data set {name!r}")
        bunch = getattr(datasets, f"load_{name}")()
        arrays = {
            "X": np.asarray(bunch.data, np.float64),
            "y": np.asarray(bunch.target, np.float64),
            "feature_names": np.array([str(f) for f in bunch.feature_names]),
            "target_names": np.array([str(t) for t in bunch.get("target_names", [])], dtype=str),
        }
        _cache.save_arrays(key, arrays)
    return arrays


def _file(path: Path, source: str, target: str | None) -> Table:
    suffix = path.suffix.lower()
    looks_like_a_file = suffix in SUFFIXES or "/" in source or "\\" in source
    if not path.exists():
        if looks_like_a_file:
            raise UserError(f"DATA: there is no file {source!r}")
        raise unknown("DATA", source, DATASETS, ", or a .csv, .parquet or .npz file")
    if path.is_dir():
        raise UserError(f"DATA: {source!r} is a folder; give a .csv, .parquet or .npz file, or one of {', '.join(DATASETS)}")
    if suffix not in SUFFIXES:
        raise UserError(f"DATA: {source!r} ends in {suffix or 'nothing'!r}; give a .csv, .parquet or .npz file")
    try:
        return _npz(path, target) if suffix == ".npz" else _frame(path, suffix)
    except UserError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        # pandas, pyarrow and NumPy say "cannot read this" through these, each in its own words.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise UserError(f"DATA: cannot read {source!r}: {reason[:200]}") from error


def _npz(path: Path, target: str | None) -> Table:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        key = target if target is not None and target in file.files else "y"
        if "X" not in file.files or key not in file.files:
            raise UserError(f"DATA: {path.name} must hold the arrays X (rows, features) and y (rows,); it holds {listed(file.files)}")
        X, y = file["X"], file[key]
        names = [str(f) for f in file["feature_names"]] if "feature_names" in file.files else None
    if X.ndim != 2:
        raise UserError(f"DATA: X in {path.name} has shape {X.shape}; it must be (rows, features)")
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != X.shape[:1]:
        raise UserError(f"DATA: in {path.name} X has shape {X.shape} and {key} has shape {y.shape}; {key} must have {len(X)} numbers")
    names = names or [f"x{j}" for j in range(X.shape[1])]
    if len(names) != X.shape[1] or len({*names, key}) != len(names) + 1:
        raise UserError(f"DATA: feature_names in {path.name} must be {X.shape[1]} different names, none of them {key!r}")
    return Table(path.stem, {**{name: X[:, j] for j, name in enumerate(names)}, key: y}, key)


def _frame(path: Path, suffix: str) -> Table:
    pandas = need("pandas", "pandas", f"reading {path.name}")
    if suffix in (".parquet", ".pq"):
        need("pyarrow", "pyarrow", f"reading {path.name}")
        frame = pandas.read_parquet(path)
    else:
        frame = pandas.read_csv(path, sep="\t" if suffix == ".tsv" else ",")
        # pandas renames the second of two equal names ("y.1") before anyone can see that they were equal.
        header = pandas.read_csv(path, sep="\t" if suffix == ".tsv" else ",", header=None, nrows=1, dtype=str).iloc[0]
        given = [str(name).strip() for name in header if isinstance(name, str)]
        if len(given) == len(frame.columns) and len(set(given)) < len(given):
            frame.columns = given
        header = str(frame.columns[0])
        separator = next((s for s in (";", "\t") if s in header), None)
        if len(frame.columns) == 1 and separator:
            frame = pandas.read_csv(path, sep=separator)
    names = [str(name).strip() for name in frame.columns]
    frame.columns = names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"DATA: {path.name} has several columns named {listed(twice)}; give each its own name")
    said = ""
    first = frame.columns[0] if len(frame.columns) else ""
    if first.startswith("Unnamed") and np.array_equal(frame[first], np.arange(len(frame))):
        # What DataFrame.to_csv writes when nobody says index=False.
        frame, said = frame.drop(columns=first), "the unnamed first column (row numbers) was left out; "
    if not len(frame.columns):
        raise UserError(f"DATA: {path.name} has no columns")
    named = [name for name in frame.columns if name.lower() in ("target", "y")]
    target = named[0] if len(named) == 1 else frame.columns[-1]
    said += f"the target is the {'column of that name' if len(named) == 1 else 'last column'}; --target names another"
    columns = {name: _column(pandas, frame[name]) for name in frame.columns}
    return Table(path.stem, columns, target, said)


def _column(pandas: Any, series: Any) -> np.ndarray:
    types = pandas.api.types
    if types.is_bool_dtype(series.dtype) or types.is_numeric_dtype(series.dtype):
        if types.is_complex_dtype(series.dtype):
            return series.to_numpy()
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return series.to_numpy(dtype=object)
