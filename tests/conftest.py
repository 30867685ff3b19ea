"""Shared by all tests: run-time shape checks on every annotated function, and a float64 scope on request."""

from collections import Counter
from pathlib import Path

import jaxtyping

# Before anything imports jaxreg: shapes and dtypes of annotated arguments are checked at every call.
jaxtyping.install_import_hook("jaxreg", "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402

from jaxreg._cli._cache import trusted  # noqa: E402
from jaxreg._dtypes import x64_scope  # noqa: E402

MAPPINGS = Path("/proc/self/maps")


def pytest_configure(config):
    """What one process compiles serves the other, later files and the next run; ``--cache-clear`` throws it away."""
    if trusted(jax.__version_info__) and hasattr(config, "cache"):
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("programs")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of the examples of a test, or the tests of a file, every k-th runs at every change (``thin(k)``), the rest with the slow tests."""
    seen = Counter()
    for item in items:
        node, thin = next(item.iter_markers_with_node("thin"), (None, None))
        if thin is None or item.get_closest_marker("slow") is not None:
            continue
        group = item.nodeid.split("[")[0] if node is item else node.nodeid
        if seen[group] % thin.args[0]:
            item.add_marker("slow")
        seen[group] += 1


@pytest.fixture
def x64():
    """Run the test in float64."""
    with x64_scope():
        yield


def mappings():
    """How many memory mappings this process has, of the 65,530 that Linux allows; None where that is not known."""
    return MAPPINGS.read_bytes().count(b"\n") if MAPPINGS.exists() else None


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Drop what is compiled where it is much: thousands of programs in one process exhaust its memory mappings, and LLVM aborts."""
    yield
    count = mappings()
    if count is None or count > 15_000:  # a module adds thousands
        jax.clear_caches()


@pytest.fixture(autouse=True)
def forget_at_once():
    """The same within a module whose every test compiles programs of its own."""
    yield
    if (mappings() or 0) > 30_000:
        jax.clear_caches()
