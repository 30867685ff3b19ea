"""The catalogue at every shape, and at magnitudes whose squares neither overflow float32 nor vanish in it, searched by hypothesis."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxreg._catalogue import entries, name_of
from jaxreg._penalties._distance import Distance
from tests.test_catalogue import SLOW

budget = settings(max_examples=12, deadline=None, derandomize=True)
EPS = float(np.finfo(np.float32).eps)
LARGE = 2.0**30
numbers = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -1.0]), st.floats(2.0**-30, LARGE, width=32), st.floats(-LARGE, -(2.0**-30), width=32))
SHAPES = [(), (0,), (1,), (4,), (7,), (2, 2), (2, 3)]
QUICK = [(0,), (4,), (2, 2)]

TABLE = {f"{i}-{name_of(e.kind)}": e.penalty for i, e in enumerate(entries()) if e.params is None or np.shape(e.params) == (2, 2)}
MATRIX = {f"{i}-{name_of(e.kind)}" for i, e in enumerate(entries()) if e.params is not None}


@functools.cache
def takes(name, shape):
    """Whether an example is for such parameters; if not, it says so and computes nothing else."""
    try:
        jax.eval_shape(lambda w: (TABLE[name](w), TABLE[name].prox(w)), jax.ShapeDtypeStruct(shape, jnp.float32))
    except (TypeError, ValueError):
        return False
    return True


@functools.cache
def compiled(name):
    p = TABLE[name]
    return jax.jit(jax.vmap(lambda v: (p.prox(v, 0.5), p(v), p(p.prox(v, 0.5)), p.grad(v))))


@pytest.mark.parametrize("name", TABLE)
def test_own_size_is_taken(name):
    assert takes(name, (2, 2) if name in MATRIX else (4,))


def is_slow(name):
    return name.split("-", 1)[1] in SLOW or isinstance(TABLE[name], Distance)


@pytest.mark.thin(8)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if is_slow(name) else name for name in TABLE])
def test_prox(name):
    shapes = [shape for shape in QUICK if takes(name, shape)]
    assert shapes
    for shape in shapes:
        holds_at(name, shape)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_prox_at_every_shape(name):
    for shape in SHAPES:
        if takes(name, shape):
            holds_at(name, shape)


def holds_at(name, shape):
    """Of v's shape, finite, no worse an objective than v's, monotone and, if convex, nonexpansive; the value and its gradient finite."""
    p = TABLE[name]

    @budget
    @given(hnp.arrays(np.float32, (2, *shape), elements=numbers))
    @example(np.zeros((2, *shape), np.float32))
    @example(np.full((2, *shape), -0.0, np.float32))
    @example(np.stack([np.ones(shape, np.float32), -np.ones(shape, np.float32)]))  # ties
    def holds(v):
        z, value, moved, gradient = (np.asarray(x) for x in compiled(name)(jnp.asarray(v)))
        assert z.shape == v.shape
        assert z.dtype == np.float32
        assert np.all(np.isfinite(z))
        assert np.all(np.isfinite(gradient))
        assert not np.any(np.isnan(value))
        rows = v.reshape(2, -1).astype(float), z.reshape(2, -1).astype(float)
        size = max(1.0, float(np.abs(v).max(initial=0)))
        root = np.sqrt(max(rows[0].shape[1], 1))
        if p.finite:
            apart = ((rows[1] - rows[0]) ** 2).sum(1)
            # Rounding in a value is relative to it, in the squares to those of v.
            slack = 256 * EPS * (np.abs(value) + np.abs(moved) + size * size)
            assert np.all(apart / 2 + 0.5 * moved.astype(float) <= 0.5 * value.astype(float) + slack)
        (a, b), (pa, pb) = rows
        assert (pa - pb) @ (a - b) >= -256 * EPS * size**2 * root
        if p.convex:
            assert np.linalg.norm(pa - pb) <= np.linalg.norm(a - b) + 64 * EPS * size * root

    holds()
