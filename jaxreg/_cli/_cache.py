"""The user's cache folder: compiled programs and the built-in data sets."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np


def folder(name: str) -> Path | None:
    """``$XDG_CACHE_HOME/jaxreg/<name>`` (or under ``~/.cache``), made when missing; None if it cannot be written."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        path = Path(base) / "jaxreg" / name
        path.mkdir(parents=True, exist_ok=True)
        # Creating a file is the only test that holds on every file system and for every user.
        with tempfile.TemporaryFile(dir=path):
            return path
    except (OSError, RuntimeError):
        return None


def trusted(version: tuple[int, ...]) -> bool:
    """Whether this jax runs cached programs rightly: 0.6.0 gave answers from them that failed their certificates, 0.7.0 did not."""
    return version >= (0, 7)


@contextlib.contextmanager
def compilation(say: Callable[[str], None]) -> Iterator[None]:
    """Keep what jax compiles, so that a second run starts fast; jax's own settings come back afterwards."""
    import jax

    if not trusted(jax.__version_info__):
        say("jax 0.6 reads programs back wrongly from its compilation cache: going on without one; jax 0.7 and later start faster")
        yield
        return
    path = folder("xla")
    if path is None:
        say("the cache folder cannot be written (set XDG_CACHE_HOME to one that can): going on without a compilation cache")
        yield
        return
    settings = {
        "jax_compilation_cache_dir": str(path),
        # jax keeps only what took a second to compile; a command is made of many programs shorter than that.
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
        # A cache that a crash or another version left broken costs a compilation, never an answer.
        "jax_raise_persistent_cache_errors": False,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def load_arrays(name: str) -> dict[str, np.ndarray] | None:
    """The arrays kept under ``name``; None when there are none, or none that can be read."""
    path = folder("data")
    if path is None:
        return None
    try:
        # NumPy leaves a file that it opened itself open when it turns out to be broken.
        with (path / f"{name}.npz").open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except Exception:
        # Missing, cut short, or written by something else: the original is at hand, so any reason is a miss.
        return None


def save_arrays(name: str, arrays: dict[str, np.ndarray]) -> None:
    """Keep arrays under ``name``, whole or not at all: another run may read at the same time."""
    path = folder("data")
    if path is None:
        return
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=path, suffix=".npz")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, path / f"{name}.npz")
