"""Geman and ETP: the prox at all magnitudes, its derivatives, and what is no number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import ETP, CappedL2, Geman


def geman(z, lam, eps):
    """(value, slope) of Geman and Yang's function."""
    return lam * z / (z + eps), lam * eps / (z + eps) ** 2


def exponential(z, lam, gamma):
    scale = lam / -np.expm1(-gamma)
    return -scale * np.expm1(-gamma * z), scale * gamma * np.exp(-gamma * z)


KINDS = {Geman: geman, ETP: exponential}
kinds = pytest.mark.parametrize("kind", KINDS)


def bisected(function, curvature_peak, m, step):
    """The larger zero of z − m + step·f′(z), which is convex in z: from where it is least, in long double; and whether it beats 0."""
    m, step = (np.asarray(x, np.longdouble) for x in (m, step))
    low, high = np.minimum(curvature_peak, m), m.copy()
    for _ in range(120):
        z = (low + high) / 2
        below = z - m + step * function(z)[1] < 0
        low, high = np.where(below, z, low), np.where(below, high, z)
    z = (low + high) / 2
    real = np.abs(z - m + step * function(z)[1]) < 1e-15 * np.maximum(m, 1e-300)
    return z.astype(float), real & (z / 2 - m + step * function(z)[0] / z < 0)


@kinds
def test_prox_at_all_scales(x64, kind):
    """Against bisection; some ten roundings of m and of the shape, which bounds z's own error where z is small beside them."""
    rng = np.random.default_rng(0)
    count = 5000
    m, shape = 10 ** rng.uniform(-3, 3, count), 10 ** rng.uniform(-1.5, 1.5, count)
    step = m * 10 ** rng.uniform(-4, 1, count) * (shape if kind is Geman else 1 / shape)
    lam = 0.7
    # where step·f″ = −1: below, the stationary points are maxima
    slope = step * lam * 2 * shape if kind is Geman else step * shape**2 * lam / -np.expm1(-shape)
    peak = np.maximum(np.cbrt(slope) - shape if kind is Geman else np.log(slope) / shape, 0)
    expected, keep = bisected(lambda z: KINDS[kind](z, lam, shape.astype(np.longdouble)), peak, m, step)
    z = np.asarray(jax.jit(jax.vmap(lambda m, s, a: kind(lam, a).prox(m, s)))(m, step, shape))
    assert 0.1 < keep.mean() < 0.9
    np.testing.assert_array_equal(z > 0, keep)
    size = m + (shape if kind is Geman else 1 / shape)
    assert np.all(np.abs(z - expected)[keep] <= 64 * np.finfo(float).eps * size[keep] / np.sqrt(np.minimum(1, (expected / size)[keep])))


@pytest.mark.slow
@kinds
def test_derivatives(x64, kind):
    """Against central differences (step 1e-6), and at λ = 0 the slope itself; second derivatives too."""
    w = jnp.array([2.5, -4.0, 0.9, 30.0])

    @jax.jit
    def prox(w, lam, shape):
        return kind(lam, shape).prox(w, 0.8)

    numbers, h = (0.9, 1.4), 1e-6
    ahead = [(w + h, *numbers), (w, 0.9 + h, 1.4), (w, 0.9, 1.4 + h)]
    behind = [(w - h, *numbers), (w, 0.9 - h, 1.4), (w, 0.9, 1.4 - h)]
    for i, (up, down) in enumerate(zip(ahead, behind, strict=True)):
        both = [jac(prox, i)(w, *numbers) for jac in (jax.jacfwd, jax.jacrev)]
        both = [np.diag(b) if i == 0 else b for b in both]
        np.testing.assert_allclose(both[0], (prox(*up) - prox(*down)) / (2 * h), atol=1e-8)
        np.testing.assert_allclose(both[1], both[0], rtol=1e-12)
    slope = KINDS[kind](np.abs(w), 1.0, 1.4)[1]
    np.testing.assert_allclose(jax.jacrev(prox, 1)(w, 0.0, 1.4), -0.8 * np.sign(w) * slope, rtol=1e-12)
    first = jax.grad(lambda w: jnp.sum(prox(w, *numbers) ** 2))
    second = np.diag(jax.hessian(lambda w: jnp.sum(prox(w, *numbers) ** 2))(w))
    np.testing.assert_allclose(second, (first(w + h) - first(w - h)) / (2 * h), atol=1e-7)


@pytest.mark.slow
@kinds
def test_odd_input(kind):
    z = kind(1.0, 0.5).prox(jnp.array([jnp.nan, jnp.inf, -jnp.inf, 0.0, 1e30]))
    assert np.isnan(z[0])
    np.testing.assert_array_equal(z[1:], jnp.array([jnp.inf, -jnp.inf, 0.0, 1e30]))
    assert kind(1.0).prox(jnp.zeros(0)).shape == (0,)
    assert kind(1e38).prox(jnp.float32(3.0), 1e38) == 0
    half = jnp.linspace(-5, 5, 40).astype(jnp.bfloat16)
    np.testing.assert_array_equal(kind(1.0).prox(half), kind(1.0).prox(half.astype(jnp.float32)).astype(jnp.bfloat16))


@pytest.mark.parametrize(("kind", "name"), [(Geman, "eps"), (ETP, "gamma"), (CappedL2, "cap")])
def test_errors(kind, name):
    for wrong, words in (({"lam": -1.0}, "lam must be finite and >= 0"), ({name: 0.0}, f"{name} must be > 0")):
        with pytest.raises(ValueError, match=f"{kind.__name__}: {words}"):
            kind(**wrong)
