"""L½ and L⅔: the prox at all magnitudes, its derivatives at λ = 0, and what is no number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import LHalf, LTwoThirds, UnknownOperation

pytestmark = pytest.mark.thin(5)

POWERS = {LHalf: 1 / 2, LTwoThirds: 2 / 3}
kinds = pytest.mark.parametrize("kind", POWERS)


def bisected(m, s, p):
    """(stationary point, whether it beats 0) of ½(z − m)² + s·z^p: the larger zero of the convex z − m + s·p·z^(p−1), in long double."""
    m, s = m.astype(np.longdouble), s.astype(np.longdouble)
    low, high = (s * p * (1 - p)) ** (1 / np.longdouble(2 - p)), m.copy()
    low = np.minimum(low, high)
    for _ in range(100):
        z = (low + high) / 2
        below = z - m + s * p * z ** (p - np.longdouble(1)) < 0
        low, high = np.where(below, z, low), np.where(below, high, z)
    z = (low + high) / 2
    return z.astype(float), (z / 2 - m + s * z ** (p - np.longdouble(1)) < 0)


@pytest.mark.thin(2)
@kinds
def test_prox_at_all_scales(x64, kind):
    """Some ten roundings on the way to c/y, which is at most 1/2; the threshold decides alike (no draw is within rounding of it)."""
    rng = np.random.default_rng(0)
    m = 10.0 ** rng.uniform(-12, 12, 20000)
    p = POWERS[kind]
    s = m ** (2 - p) * 10.0 ** rng.uniform(-9, 0.5, m.size)
    z = np.asarray(jax.vmap(lambda m, s: kind(s).prox(m))(m, s))
    expected, keep = bisected(m, s, p)
    assert keep.any()
    assert not keep.all()
    np.testing.assert_array_equal(z > 0, keep)
    np.testing.assert_allclose(z[keep], expected[keep], rtol=16 * np.finfo(float).eps)


@kinds
def test_threshold(x64, kind):
    """At the threshold keeping and dropping cost the same: the prox drops; a relative 1e-12 above it keeps."""
    threshold = {LHalf: 1.5 * 0.7 ** (2 / 3), LTwoThirds: 2 * (2 * 0.7 / 3) ** 0.75}[kind]
    z = kind(0.7).prox(jnp.array([1 - 1e-12, 1 + 1e-12, -1 - 1e-12]) * threshold)
    assert z[0] == 0
    least = threshold * {LHalf: 2 / 3, LTwoThirds: 1 / 2}[kind]
    np.testing.assert_allclose(z[1:], [least, -least], rtol=1e-10)


@kinds
def test_huge_and_tiny_in_float32(kind):
    """The prox is homogeneous: weights times c, λ times c^(2 − p)."""
    w = np.array([0.3, 1.7, -4.0], np.float32)
    base = np.asarray(kind(1.0).prox(w))
    for c in (1e20, 1e-20):
        scaled = kind(c ** (2 - POWERS[kind])).prox(jnp.asarray(c * w, jnp.float32))
        np.testing.assert_allclose(np.asarray(scaled, float) / c, base, rtol=1e-6)
    assert np.asarray(kind(1e-30).prox(jnp.float32(1e30))) == np.float32(1e30)
    assert np.asarray(kind(1e38).prox(jnp.float32(1e-30), 1e38)) == 0


@pytest.mark.thin(3)
@kinds
def test_derivatives(x64, kind):
    """Against central differences (step 1e-6: truncation and rounding near 1e-10), and at λ = 0 the one-sided −p·w^(p−1)."""
    w, p = jnp.array([2.5, -4.0, 0.2, 30.0]), POWERS[kind]

    @jax.jit
    def prox(w, lam):
        return kind(lam).prox(w, 0.8)

    by_w = jax.jacrev(prox)(w, 1.3)
    by_lam = jax.jacfwd(prox, 1)(w, 1.3)
    h = 1e-6
    np.testing.assert_allclose(np.diag(by_w), (prox(w + h, 1.3) - prox(w - h, 1.3)) / (2 * h), atol=1e-8)
    np.testing.assert_allclose(by_lam, (prox(w, 1.3 + h) - prox(w, 1.3 - h)) / (2 * h), atol=1e-8)
    np.testing.assert_allclose(jax.jacrev(prox, 1)(w, 1.3), by_lam, rtol=1e-13)
    np.testing.assert_allclose(jax.jacfwd(prox, 1)(w, 0.0), -0.8 * p * jnp.sign(w) * jnp.abs(w) ** (p - 1), rtol=1e-13)
    second = jax.hessian(lambda w: jnp.sum(prox(w, 1.3) ** 2))(w)
    first = jax.grad(lambda w: jnp.sum(prox(w, 1.3) ** 2))
    np.testing.assert_allclose(np.diag(second), (first(w + h) - first(w - h)) / (2 * h), atol=1e-7)


@kinds
def test_at_zero(kind):
    """The value's slope is infinite there; the gradient that is given, and autodiff's, is 0."""
    w = jnp.array([0.0, 4.0])
    for gradient in (kind(1.0).grad(w), jax.grad(kind(1.0))(w)):
        assert gradient[0] == 0
        np.testing.assert_allclose(gradient[1], POWERS[kind] * 4 ** (POWERS[kind] - 1), rtol=1e-6)
    assert float(kind(1.0).subdiff_distance(jnp.zeros(2), jnp.full(2, 1e6))) == 0
    with pytest.raises(UnknownOperation, match="zero is stationary for every λ"):
        kind(1.0).lambda_max(jnp.ones(2))


@kinds
def test_half_precision_is_computed_in_float32(kind):
    w = jnp.linspace(-5, 5, 40).astype(jnp.bfloat16)
    z = kind(0.5).prox(w)
    assert z.dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        np.asarray(z, np.float32), np.asarray(kind(0.5).prox(w.astype(jnp.float32)).astype(jnp.bfloat16), np.float32)
    )


@kinds
def test_odd_input(kind):
    assert np.isnan(kind(1.0).prox(jnp.array([jnp.nan]))[0])
    assert np.isnan(kind(1.0)(jnp.array([jnp.nan])))
    assert np.isposinf(kind(1.0).prox(jnp.array([jnp.inf]))[0])
    assert kind(1.0).prox(jnp.zeros(0)).shape == (0,)
    with pytest.raises(ValueError, match=f"{kind.__name__}: lam must be finite and >= 0"):
        kind(-1.0)
