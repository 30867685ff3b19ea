"""Selecting the leaves of a parameter pytree: by glob over the path, by predicate, by mask or prefix."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Hashable
from typing import Any, TypeGuard

import jax
import numpy as np

from ._dtypes import is_number, is_penalised_leaf

PyTree = Any
Where = str | tuple[str, ...] | Callable[[str, Any], bool] | PyTree

# Names that frameworks give to parameters that shift or rescale activations. Shrinking those towards
# zero does not make a network simpler, so every framework's recipe leaves them out of weight decay.
_EXEMPT_NAME = re.compile(r"(bias|b|scale|offset|beta|gamma|b_[a-z]+|[a-z]+_bias)(_?\d+)?", re.IGNORECASE)
_EXEMPT_MODULE = re.compile(r"(layer|batch|group|instance|rms)?_?norm(_?\d+)?|ln(_?\d+|_f)?|bn(_?\d+)?", re.IGNORECASE)


def is_globs(where: Any) -> TypeGuard[tuple[str, ...]]:
    """True for a tuple of patterns."""
    return isinstance(where, tuple) and bool(where) and all(isinstance(w, str) for w in where)


class Static:
    """A hashable wrapper for structure (masks, group ids): compared by content, hashed once."""

    __slots__ = ("_hash", "_key", "value")

    def __init__(self, value: Any):
        self.value = value
        if callable(value) or isinstance(value, str) or is_globs(value):
            self._key: Hashable = value
        else:
            leaves, treedef = jax.tree.flatten(value)
            arrays = [np.asarray(leaf) for leaf in leaves]
            self._key = (treedef, tuple((a.shape, a.dtype.str, a.tobytes()) for a in arrays))
        self._hash = hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self._key == other._key

    def __repr__(self) -> str:
        return repr(self.value)


def paths(params: PyTree) -> list[str]:
    """The ``/``-joined path of every leaf, in flattening order.

    >>> paths({"dense": {"kernel": 1.0, "bias": 2.0}})
    ['dense/bias', 'dense/kernel']
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    return [str(jax.tree_util.keystr(path, simple=True, separator="/")) for path, _ in flat]


@functools.cache
def _glob(pattern: str) -> re.Pattern[str]:
    """Compile a glob in which ``**`` stands for zero or more segments and ``*`` stays inside one."""
    wildcards = {"*": "[^/]*", "?": "[^/]"}
    regex = ""
    segments = pattern.split("/")
    for i, segment in enumerate(segments):
        last = i == len(segments) - 1
        if segment == "**":
            regex += ".*" if last else "(?:[^/]+/)*"
        else:
            tokens: list[str] = re.findall(r"\*|\?|\[[^\]]+\]|.", segment)
            regex += "".join([wildcards.get(t) or (t if len(t) > 1 else re.escape(t)) for t in tokens])
            regex += "" if last else "/"
    return re.compile(regex)


def _matches(pattern: str, path: str) -> bool:
    # flax.nnx stores a parameter as a variable whose only leaf is its `value`: "dense/kernel/value".
    return any(_glob(pattern).fullmatch(p) for p in {path, path.removesuffix("/value")})


def kernels(path: str, leaf: Any) -> bool:
    """Selects weights proper: everything but biases and the scales and shifts of normalisation layers.

    A predicate for ``penalty.on``. It goes by name, as framework recipes do: the last segment of the path
    (``bias``, ``b``, ``scale``, ``offset``, ``beta``, ``gamma``) or a module named after a
    normalisation (``norm``, ``LayerNorm_0``, ``ln_1``, ``bn``) exempts a leaf.

    >>> kernels("encoder/dense/kernel", None), kernels("encoder/dense/bias", None)
    (True, False)
    >>> kernels("encoder/LayerNorm_0/scale", None), kernels("norm/weight", None)
    (False, False)
    """
    del leaf
    segments = path.removesuffix("/value").split("/")
    return not (_EXEMPT_NAME.fullmatch(segments[-1]) or any(_EXEMPT_MODULE.fullmatch(s) for s in segments))


def select(where: Where, params: PyTree) -> PyTree:
    """A pytree of Python bools like ``params``: true on the leaves that ``where`` names.

    Args:
      where: a glob over the path (``"**/kernel"``; ``**`` is zero or more segments), a tuple of globs (any of
        them), a predicate ``(path, leaf) -> bool``, or a pytree of bools that is ``params``' structure or a
        prefix of it.
      params: any pytree.

    Raises:
      ValueError: no penalisable leaf is selected, or a mask does not fit ``params``.

    >>> select("**/kernel", {"kernel": 1.0, "bias": 2.0})
    {'bias': False, 'kernel': True}
    """
    leaves, treedef = jax.tree.flatten(params)
    if isinstance(where, str):
        chosen = [_matches(where, path) for path in paths(params)]
    elif is_globs(where):
        for pattern in where:
            select(pattern, params)  # each pattern must find something: a typo is not silently dropped
        chosen = [any(_matches(w, path) for w in where) for path in paths(params)]
    elif callable(where):
        chosen = [bool(where(path, leaf)) for path, leaf in zip(paths(params), leaves, strict=True)]
    else:
        chosen = broadcast_prefix(where, params, "where")
        if not all(isinstance(c, bool | np.bool_) or str(getattr(c, "dtype", "")) == "bool" for c in chosen):
            raise TypeError("where: a mask must hold bools, one for each leaf or subtree of params")
        chosen = [bool(c) for c in chosen]
    if leaves and not any(c and is_penalised_leaf(leaf) for c, leaf in zip(chosen, leaves, strict=True)):
        raise ValueError(f"where={where!r} selects no floating-point leaf; the leaves are {_shown(params)}")
    return jax.tree.unflatten(treedef, chosen)


def _shown(params: PyTree, most: int = 12) -> str:
    names = [repr(path) for path in paths(params)]
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


class _Pair:
    """A prefix value beside the subtree it covers; a plain class, so that jax sees one leaf."""

    def __init__(self, value: Any, subtree: PyTree):
        self.both = (value, subtree)

    def __iter__(self):
        return iter(self.both)


def broadcast_prefix(prefix: PyTree, params: PyTree, name: str, *, own_leaf: bool = False) -> list[Any]:
    """The value of a prefix pytree at every leaf of ``params``, in flattening order.

    ``None`` in the prefix means "none here" and is handed on. With ``own_leaf``, an array of the prefix must
    meet exactly one floating-point leaf and fit its shape: it never broadcasts across several.
    """
    out: list[Any] = []

    def spread(value: Any, subtree: PyTree) -> None:
        leaves = jax.tree.leaves(subtree)
        out.extend([value] * len(leaves))
        if own_leaf and np.ndim(value) > 0:
            _check_own_leaf(value, [leaf for leaf in leaves if is_penalised_leaf(leaf)], name, subtree)

    if prefix is None or is_number(prefix):
        spread(prefix, params)
        return out
    try:
        pairs = jax.tree.map(_Pair, prefix, params, is_leaf=lambda x: x is None)
    except (ValueError, TypeError, KeyError):
        raise ValueError(
            f"{name} does not fit params: it must be a number, or a pytree that is a prefix of params "
            f"(leaves {_shown(params)}). Wrap a list of numbers in jnp.array."
        ) from None
    for value, subtree in jax.tree.leaves(pairs):
        spread(value, subtree)
    return out


def combine(first: PyTree, second: PyTree, function: Callable[[Any, Any], Any], name: str) -> PyTree:
    """``function`` of two prefix pytrees of one structure, or of which one is a number; where either has None the first stays."""
    if first is None or second is None:
        return first
    if is_number(first) and is_number(second):
        return function(first, second)
    if is_number(first):
        return jax.tree.map(lambda b: combine(first, b, function, name), second, is_leaf=lambda b: b is None)
    if is_number(second):
        return jax.tree.map(lambda a: combine(a, second, function, name), first)
    try:
        return jax.tree.map(lambda a, b: combine(a, b, function, name), first, second, is_leaf=lambda a: a is None)
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"{name}: it must have the structure of what it is combined with, or be one number; got {second!r}") from None


def fits(own: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array of the one shape broadcasts to the other without making it larger."""
    return len(own) <= len(shape) and all(a in (1, b) for a, b in zip(reversed(own), reversed(shape), strict=False))


def _check_own_leaf(value: Any, leaves: list[Any], name: str, subtree: PyTree) -> None:
    if len(leaves) > 1:
        raise ValueError(
            f"{name} is an array of shape {np.shape(value)}, which belongs to one leaf, but {len(leaves)} leaves "
            f"would share it; pass a pytree with an entry for each of {_shown(subtree)}"
        )
    for leaf in leaves:
        if not fits(np.shape(value), np.shape(leaf)):
            raise ValueError(f"{name} has shape {np.shape(value)}, which does not fit a params leaf of shape {np.shape(leaf)}")


def keep(mask: PyTree, params: PyTree) -> PyTree:
    """``params`` with the unselected leaves replaced by None, which jax treats as no leaf at all."""
    return jax.tree.map(lambda chosen, leaf: leaf if chosen else None, mask, params)


def fill(kept: PyTree, params: PyTree, value: Callable[[Any], Any]) -> PyTree:
    """Undo ``keep``: the kept leaves where there are any, ``value(leaf)`` of ``params`` elsewhere."""
    return jax.tree.map(
        lambda new, old: None if old is None else (value(old) if new is None else new),
        kept, params, is_leaf=lambda x: x is None,
    )  # fmt: skip
