"""SLOPE's prices, against the definitions of the sorted L1 norm and of OSCAR; its prox is in the catalogue."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import SLOPE, UnknownOperation

LAMS = np.array([2.0, 1.5, 1.5, 0.2])
W = np.array([0.3, -2.0, 0.0, 1.1])


def test_a_sequence_alone_is_the_prices(x64):
    assert SLOPE(LAMS)(W) == pytest.approx(np.sort(np.abs(W))[::-1] @ LAMS)
    assert SLOPE(list(LAMS)).lam == 1
    np.testing.assert_array_equal(SLOPE(LAMS).prox(jnp.asarray(W), 0.4), SLOPE(1.0, LAMS).prox(jnp.asarray(W), 0.4))
    np.testing.assert_array_equal(SLOPE(LAMS).at(0.5).prox(jnp.asarray(W)), SLOPE(0.5, LAMS).prox(jnp.asarray(W)))
    slope = jax.jit(jax.grad(lambda lams: SLOPE(lams)(W)))(jnp.asarray(LAMS))
    np.testing.assert_array_equal(slope, [2.0, 1.1, 0.3, 0.0])


def test_oscar_counts_pairs(x64):
    c, size = 0.7, np.abs(W)
    pairs = sum(max(size[j], size[k]) for k in range(4) for j in range(k))
    assert SLOPE.oscar(4, c=c, lam=0.9)(W) == pytest.approx(0.9 * (size.sum() + c * pairs))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0, 2.0],), "weights must be never rising"),
        (([1.0, -2.0],), "weights must be finite and >= 0"),
        ((1.0,), "weights is missing"),
        ((np.ones((2, 2)),), "weights is missing"),
    ],
)
def test_errors(arguments, words):
    with pytest.raises(ValueError, match=f"SLOPE: {words}"):
        SLOPE(*arguments)
    with pytest.raises(ValueError, match="one entry for each of the 3 parameters"):
        SLOPE(LAMS)(jnp.ones(3))
    with pytest.raises(UnknownOperation, match="lam must be one number"):
        SLOPE(LAMS, weights=LAMS)(W)
