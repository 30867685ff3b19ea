"""What a person passes, checked once and said plainly, and made into arrays of one dtype."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO
from jaxtyping import Array

from .._dtypes import is_concrete, on_device, x64_scope
from .._penalties import Penalty, UnknownOperation
from ..losses import Loss, SquaredError
from ._blocks import blocks
from ._certificate import facts
from ._columns import as_sparse, entries, is_sparse, refusal
from ._engine import Design, Setup, buckets
from ._known import ask


class Problem(NamedTuple):
    """A checked problem, ready for the engine."""

    setup: Setup
    design: Design
    weights: np.ndarray
    penalty: Penalty
    free: Any  # bool (p,): features that carry no penalty
    as_numpy: bool  # answers go back as NumPy arrays
    shifted: bool  # whether there is an offset


def scope(X: Any) -> contextlib.AbstractContextManager[Any]:
    """float64 where X is no jax array (NumPy's float32 stays float32), the ambient precision where it is."""
    return contextlib.nullcontext() if isinstance(X, jax.Array | BCOO) else x64_scope()


def check_problem(
    X: Any,
    y: Any,
    penalty: Any,
    *,
    loss: Any,
    intercept: Any,
    standardize: Any,
    sample_weight: Any,
    offset: Any,
    penalty_factor: Any,
    lower: Any,
    upper: Any,
) -> Problem:
    """Validate everything and build the problem; called inside the precision scope."""
    for name, flag in (("intercept", intercept), ("standardize", standardize)):
        if not isinstance(flag, bool | np.bool_):
            raise TypeError(f"{name} must be True or False, got {flag!r}")
    loss = SquaredError() if loss is None else loss
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be one of jaxreg.losses, such as losses.Logistic(), got {loss!r}")
    if not isinstance(penalty, Penalty):
        raise TypeError(f"penalty must be a jaxreg penalty such as jaxreg.L1(), got {penalty!r}")
    as_numpy = not isinstance(X, jax.Array | BCOO)
    X = X if is_sparse(X) else _numbers(X, "X")
    y = _numbers(y, "y")
    y = y.astype(int) if y.dtype == bool else y
    if X.ndim != 2:
        raise ValueError(f"X must have shape (n, p), got {X.shape}")
    n, p = X.shape
    if n < 2 or p < 1:
        raise ValueError(f"X must have at least two rows and one column, got {X.shape}")
    if y.ndim not in (1, 2) or y.shape[0] != n:
        raise ValueError(f"y must have {n} rows like X, got shape {y.shape}")
    if y.ndim == 2 and loss.classification:
        raise ValueError(f"{type(loss).__name__}: y must be a vector of classes, got shape {y.shape}")
    dtype = X.dtype if np.issubdtype(X.dtype, np.floating) else jnp.result_type(float)
    if dtype not in (jnp.float32, jnp.float64):
        dtype = jnp.float32
    found = _entries(X) if is_sparse(X) else None
    if found is None:
        _finite(X, "X")
    _finite(y, "y")
    outputs = loss.outputs(y) if (loss.vector or (y.ndim == 2 and not loss.record)) else None
    setup = Setup(loss, bool(intercept) and loss.intercept, bool(standardize), outputs, p)
    shape = setup.shape(p)
    weights = np.ones(n) if sample_weight is None else _vector(sample_weight, "sample_weight", (n,))
    if (weights < 0).any():
        raise ValueError(f"sample_weight must be >= 0, but {(weights < 0).sum()} entries are negative")
    if (weights > 0).sum() < 2:
        raise ValueError("sample_weight: fewer than two rows have a positive weight")
    _check_size(loss, float(weights.max()), dtype)
    seen = np.asarray(y)[weights > 0]
    loss.check_targets(seen)
    flat = bool(np.all(np.ptp(seen, axis=0) == 0)) and (bool(intercept) or not loss.intercept or not seen.any())
    if not loss.classification and flat and (offset is None or np.ptp(np.asarray(offset)) == 0):
        among = f"all {n} rows" if len(seen) == n else f"all {len(seen)} rows of positive weight"
        raise ValueError(f"y is constant ({seen.ravel()[0]:g} in {among}): there is nothing to explain")
    if setup.intercept and seen.ndim == 2 and loss.log_link:
        empty = np.flatnonzero(~seen.any(axis=0))
        if empty.size:
            raise ValueError(f"y: target {empty[0]} is 0 in all rows, so that its intercept would go to −∞; leave such targets out")
    eta_shape = (n,) if outputs is None else (n, outputs)
    shift = np.zeros(eta_shape) if offset is None else _vector(offset, "offset", eta_shape)
    low, up = _bounds(lower, upper, p, outputs)
    if penalty_factor is not None:
        factor = _vector(penalty_factor, "penalty_factor", (p,))
        if (factor < 0).any():
            raise ValueError(f"penalty_factor must be >= 0, but {(factor < 0).sum()} entries are negative")
        if not penalty.separable:
            raise ValueError(f"penalty_factor scales a penalty feature by feature, which {penalty!r} is not; use its weights")
        penalty = penalty.scaled(jnp.asarray(factor if outputs is None else factor[:, None], dtype))
    try:
        free = np.asarray(facts(penalty, shape, dtype)[0])
    except ValueError as error:
        hint = "" if outputs is None else ". A penalty of vectors takes axis=0 where each target or class is one"
        raise ValueError(f"penalty does not fit coefficients of shape {shape}: {error}{hint}") from None
    free = free if outputs is None else free.all(axis=1)
    if low is not None and up is not None:
        free = free & (np.isneginf(low) & np.isposinf(up)).reshape(p)
    rest = jax.tree.map(lambda x: np.asarray(x, dtype), (shift, low, up))
    y = y.astype(dtype) if isinstance(y, jax.Array) else np.asarray(y, dtype)
    y, free_features, (shift, low, up) = on_device((y, free, rest))
    design = Design(_matrix(X, found, dtype, weights, loss), y, shift, free_features, low, up)
    _check_operations(setup, design, penalty)
    table = blocks(penalty, shape)
    setup = setup._replace(block=None if table is None else table.shape[1])
    setup = setup._replace(bucket=buckets(setup, p, penalty.separable)[0])
    return Problem(setup, design, weights, penalty, free, as_numpy, offset is not None)


def _operations(penalty: Penalty, w: Array) -> Any:
    """What solver and certificate ask of every penalty."""
    return penalty.subdiff_distance(w, w), penalty.support(w), w if penalty.smooth else penalty.prox(w)


def _check_operations(setup: Setup, design: Design, penalty: Penalty) -> None:
    """Refuse by the argument's name what solver and certificate would only stumble over."""
    try:
        ask(_operations, setup, design, penalty)
    except UnknownOperation as error:
        if design.lower is not None:
            _check_operations(setup, design._replace(lower=None, upper=None), penalty)
            raise UnknownOperation(
                f"lower and upper: the joint prox or subdifferential of bounds and {penalty!r} is not known; leave them out or take a "
                "separable convex penalty. Of coefficients >= 0 and a group norm, MCP or SCAD it is known: add NonNegative() to the penalty"
            ) from error
        raise UnknownOperation(
            f"penalty: a path needs the prox and the subdifferential of {penalty!r}, and they are not both known; smooth a term with "
            ".envelope(mu), or use jaxreg.solve where the prox is known"
        ) from error


def _check_size(loss: Loss, largest: float, dtype: Any) -> None:
    """Squares of sums of weights, which certificates are made of, must neither vanish nor overflow."""
    info = jnp.finfo(dtype)
    low, high = float(info.tiny) ** 0.25, float(info.max) ** 0.25
    if loss.reduction == "sum" and not isinstance(loss, SquaredError) and not low <= largest <= high:
        raise ValueError(
            f"sample_weight: the largest is {largest:.2g}, and in {np.dtype(dtype).name} it must be within {low:.0e} and {high:.0e}; "
            "multiply all weights and λ by one number, which changes nothing, or take the loss's reduction 'mean'"
        )


def _matrix(X: Any, found: Any, dtype: Any, weights: Any, loss: Loss) -> Any:
    """X as the engine takes it; ``found`` are the entries of a sparse one."""
    if found is not None:
        return as_sparse(found, X.shape, dtype)
    return jnp.asarray(X, dtype) if loss.intercept else _centred(jnp.asarray(X, dtype), jnp.asarray(weights, dtype))


def _centred(X: Array, v: Array) -> Array:
    """What a loss that no constant changes sees of X, to more digits; a constant column is 0, not what rounding leaves of it."""
    rest = X - v @ X / jnp.sum(v)
    noise = 64 * jnp.finfo(X.dtype).eps * jnp.max(jnp.abs(X), axis=0)
    return jnp.where(jnp.max(jnp.abs(rest), axis=0) <= noise, 0, rest)


def _numbers(x: Any, name: str) -> Any:
    """An array of numbers; text, objects and tracers are refused."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; drop or impute what is masked, then pass an array")
    if not is_concrete(x):
        raise TypeError(f"{name} is traced: paths look at their data and choose programs by it. Call path outside jit, or use jaxreg.solve")
    if isinstance(x, jax.Array):
        array: Any = x
    else:
        array = np.asarray(x)
    if array.dtype == object or array.dtype.kind in "USOMm":
        raise TypeError(f"{name} must hold numbers, got dtype {array.dtype}; encode text and dates first")
    if np.issubdtype(array.dtype, np.complexfloating):
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array


def refuse_sparse(X: Any, why: str) -> None:
    """An error for what takes no sparse X."""
    if is_sparse(X):
        raise refusal(why)


def _entries(X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Those of a sparse X, which are checked as the numbers of a dense one."""
    if isinstance(X, BCOO) and X.n_batch + X.n_dense:
        raise ValueError(f"X must be a BCOO matrix with n_batch = n_dense = 0, got {X.n_batch} and {X.n_dense}; X.update_layout makes one")
    _numbers(X.data if isinstance(X, BCOO) else np.zeros(0, X.dtype), "X")
    rows, columns, values = entries(X)
    bad = ~np.isfinite(values)
    if bad.any():
        _bad_columns(np.bincount(columns[bad], minlength=X.shape[1]), "X")
    return rows, columns, values


def _finite(x: Any, name: str) -> None:
    bad = ~np.isfinite(np.asarray(x))
    if not bad.any():
        return
    if bad.ndim == 1:
        raise ValueError(f"{name} has {bad.sum()} NaN or infinite values (first in row {int(np.argmax(bad))}); remove or impute them")
    _bad_columns(bad.sum(axis=0), name)


def _bad_columns(counts: np.ndarray, name: str) -> None:
    columns = [f"column {j}: {counts[j]}" for j in np.flatnonzero(counts)]
    shown = ", ".join(columns[:5]) + (f", … ({len(columns)} columns)" if len(columns) > 5 else "")
    raise ValueError(f"{name} has NaN or infinite values ({shown}); remove or impute them")


def _vector(x: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(_numbers(x, name), dtype=float)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    _finite(array, name)
    return array


def _bounds(lower: Any, upper: Any, p: int, outputs: int | None) -> tuple[Any, Any]:
    if lower is None and upper is None:
        return None, None
    found = []
    for value, name, default in ((lower, "lower", -np.inf), (upper, "upper", np.inf)):
        bound = np.asarray(default if value is None else _numbers(value, name), dtype=float)
        if bound.shape not in ((), (p,)):
            raise ValueError(f"{name} must be a number or have shape ({p},), got {bound.shape}")
        if np.isnan(bound).any() or (name == "lower" and (bound > 0).any()) or (name == "upper" and (bound < 0).any()):
            raise ValueError(f"bounds must satisfy lower <= 0 <= upper, got {name}={value!r}")
        full = np.broadcast_to(bound, (p,))
        found.append(full if outputs is None else full[:, None])
    return found[0], found[1]


def check_lams(lams: Any) -> int | np.ndarray:
    """A count, or the values in decreasing order."""
    if isinstance(lams, int | np.integer) and not isinstance(lams, bool):
        if lams < 1:
            raise ValueError(f"lams: the number of λ must be at least 1, got {lams}")
        return int(lams)
    if isinstance(lams, bool):
        raise TypeError("lams must be a count or a list of values, got a bool")
    values = np.atleast_1d(np.asarray(_numbers(lams, "lams"), dtype=float))
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"lams must be a count or a list of values, got shape {values.shape}")
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        raise ValueError(f"lams must be finite and >= 0, got {values[bad][0]:g}")
    return np.sort(values)[::-1]
