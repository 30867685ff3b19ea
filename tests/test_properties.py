"""Properties that hold at every shape and magnitude, searched by hypothesis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxreg import L1, L2, Box, ElasticNet, GroupLasso, NonNegative, losses

budget = settings(max_examples=30, deadline=None, derandomize=True)
# Numbers whose squares neither overflow float32 nor vanish in it.
numbers = st.one_of(st.just(0.0), st.floats(2.0**-40, 2.0**40, width=32), st.floats(-(2.0**40), -(2.0**-40), width=32))
SHAPES = st.sampled_from([(), (0,), (1,), (5,), (2, 3), (0, 2)])
STRENGTHS = st.floats(0, 2.0**20, width=32)
EPS = float(np.finfo(np.float32).eps)


@st.composite
def pairs(draw):
    shape = draw(SHAPES)
    return tuple(draw(hnp.arrays(np.float32, shape, elements=numbers)) for _ in range(2))


PENALTIES = {
    "L1": L1,
    "L2": L2,
    "ElasticNet": lambda lam: ElasticNet(lam, 0.3),
    "NonNegative": lambda lam: NonNegative(),
    "Box": lambda lam: Box(-1.0, 2.0),
    "GroupLasso": lambda lam: GroupLasso(lam, groups=0),
    "L1 + L2": lambda lam: L1(lam) + L2(0.5),
    "GroupLasso + L1": lambda lam: GroupLasso(lam, groups=0) + L1(0.5),
    "L1 + Box": lambda lam: L1(lam) + Box(-1.0, 2.0),
    "L2 around": lambda lam: L2(lam).around(1.0),
}


@pytest.mark.parametrize("name", PENALTIES)
@budget
@given(pairs(), STRENGTHS)
def test_prox(name, points, lam):
    """Firmly nonexpansive, of the same shape, without NaN, and its value is finite and no larger than before."""
    penalty = PENALTIES[name](lam)
    v, u = (jnp.asarray(x) for x in points)
    pv, pu = penalty.prox(v, 0.5), penalty.prox(u, 0.5)
    assert pv.shape == v.shape
    assert np.all(np.isfinite(pv))
    before, after = (np.linalg.norm(np.ravel(np.asarray(a, float) - np.asarray(b, float))) for a, b in ((v, u), (pv, pu)))
    scale = max(np.abs(v).max(initial=1), np.abs(u).max(initial=1))
    assert after <= before + 16 * EPS * scale * np.sqrt(max(v.size, 1))
    value, moved = float(penalty(v)), float(penalty(pv))
    assert value >= 0
    assert moved >= 0
    assert moved <= value * (1 + 64 * EPS) + 1e-30
    assert np.all(np.isfinite(penalty.grad(v)))
    assert np.all(np.isfinite(jax.grad(penalty)(v))) or np.isinf(value)


@budget
@given(hnp.arrays(np.float32, SHAPES, elements=numbers), STRENGTHS, st.floats(2.0**-10, 2.0**10, width=32))
def test_soft_thresholding(v, lam, step):
    """Exactly zero at and below step·lam, and moved by exactly that much above it, to one rounding."""
    z = np.asarray(L1(lam).prox(jnp.asarray(v), step))
    threshold = np.float32(step) * np.float32(lam)
    small = np.abs(v) <= threshold
    assert np.all(z[small] == 0)
    np.testing.assert_allclose(z[~small], (np.abs(v) - threshold)[~small] * np.sign(v)[~small], rtol=2 * EPS)
    assert np.all(z[~small] * v[~small] > 0)


@budget
@given(hnp.arrays(np.float32, st.sampled_from([(1,), (4,), (2, 3)]), elements=numbers), STRENGTHS)
def test_group_shrinkage(v, lam):
    """All of a group is zero or none of it that was not; the norm falls by lam·√size."""
    z = np.asarray(GroupLasso(lam, groups=0).prox(jnp.asarray(v)), float)
    norm, threshold = np.linalg.norm(np.ravel(v.astype(float))), lam * np.sqrt(v.size)
    slack = 32 * EPS * (norm + threshold)
    assert abs(np.linalg.norm(np.ravel(z)) - max(norm - threshold, 0)) <= slack
    if norm < threshold * (1 - 1e-5):
        assert not z.any()


@budget
@given(hnp.arrays(np.float32, (6,), elements=st.floats(-(2.0**100), 2.0**100, width=32)), st.integers(0, 63))
def test_logistic_never_overflows(eta, bits):
    y = jnp.asarray([float(bits >> i & 1) for i in range(6)])
    loss = losses.Logistic()
    assert 0 <= float(loss(jnp.asarray(eta), y)) < np.inf
    assert np.all(np.abs(loss.grad(jnp.asarray(eta), y)) <= 1)
    assert np.all(np.isfinite(loss.curvature(jnp.asarray(eta), y)))
