"""Shared by all tests: run-time shape checks on every annotated function, and a float64 scope on request."""

import jaxtyping

# Before anything imports jaxreg: shapes and dtypes of annotated arguments are checked at every call.
jaxtyping.install_import_hook("jaxreg", "beartype.beartype")

import jax  # noqa: E402
import pytest  # noqa: E402

from jaxreg._dtypes import x64_scope  # noqa: E402


@pytest.fixture
def x64():
    """Run the test in float64."""
    with x64_scope():
        yield


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Drop what a module compiled: thousands of programs in one process exhaust its memory mappings, and LLVM aborts."""
    yield
    jax.clear_caches()
