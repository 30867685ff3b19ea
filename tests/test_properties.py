"""Properties that hold at every shape and magnitude, searched by hypothesis."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxreg import L1, GroupLasso, losses

budget = settings(max_examples=30, deadline=None, derandomize=True)
# Numbers whose squares neither overflow float32 nor vanish in it.
numbers = st.one_of(st.just(0.0), st.floats(2.0**-40, 2.0**40, width=32), st.floats(-(2.0**40), -(2.0**-40), width=32))
SHAPES = st.sampled_from([(), (0,), (1,), (5,), (2, 3), (0, 2)])
STRENGTHS = st.floats(0, 2.0**20, width=32)
EPS = float(np.finfo(np.float32).eps)


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
