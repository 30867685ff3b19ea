"""Shared by all tests: run-time shape checks on every annotated function, and a float64 scope on request."""

import jaxtyping

# Before anything imports jaxreg: shapes and dtypes of annotated arguments are checked at every call.
jaxtyping.install_import_hook("jaxreg", "beartype.beartype")

import pytest  # noqa: E402

from jaxreg._dtypes import x64_scope  # noqa: E402


@pytest.fixture
def x64():
    """Run the test in float64."""
    with x64_scope():
        yield
