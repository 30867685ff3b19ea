"""Trend filtering: a bounded least squares in SciPy, certificates at size, derivatives, polynomials and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear

from jaxreg import FusedLasso, TrendFilter

pytestmark = pytest.mark.thin(3)


def noisy(n, seed=0):
    x = np.linspace(0, 1, n)
    return 4 * np.abs(x - 0.3) + np.sin(7 * x) + 0.3 * np.random.default_rng(seed).normal(size=n)


def dual_solution(v, lam, order):
    """``v − Dᵀu`` with the u within ±lam that brings it nearest to 0, by SciPy's active set on dense matrices."""
    D = np.diff(np.eye(v.size), order + 1, axis=0)
    return v - D.T @ lsq_linear(D.T, v, (-lam, lam), method="bvls", tol=1e-15, max_iter=2000).x


@pytest.mark.thin(8)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("lam", [0.05, 1.0, 20.0])
def test_against_bounded_least_squares(x64, order, lam):
    """The oracle's DDᵀ has a condition of n^(2·order + 2): it is the less exact of the two."""
    v = noisy(60)
    np.testing.assert_allclose(TrendFilter(lam, order=order).prox(jnp.asarray(v)), dual_solution(v, lam, order), atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("order", "n", "lam"), [(1, 10_000, 0.1), (1, 10_000, 1000.0), (2, 3000, 10.0)])
def test_a_long_line_is_stationary(x64, order, n, lam):
    """What the subdifferential leaves of z − v: 0 but for rounding, which sums of sums of n numbers magnify."""
    v, penalty = jnp.asarray(noisy(n)), TrendFilter(lam, order=order)
    z = jax.jit(penalty.prox)(v)
    assert float(penalty.subdiff_distance(z, z - v)) < 1e-9
    assert 2 < int(jnp.sum(jnp.abs(jnp.diff(z, order + 1)) > 1e-12)) < n - order - 1


@pytest.mark.slow
@pytest.mark.parametrize("order", [0, 1, 2])
def test_huge_strength_gives_the_polynomial(x64, order):
    v = noisy(300)
    x = np.linspace(-1, 1, 300)
    line = np.polynomial.legendre.legval(x, np.polynomial.legendre.legfit(x, v, order))
    for lam in (1e10, 1e30):
        np.testing.assert_allclose(TrendFilter(lam, order=order).prox(jnp.asarray(v)), line, atol=1e-11)


@pytest.mark.slow
def test_zero_strength_and_short_lines(x64):
    v = jnp.asarray(noisy(50))
    np.testing.assert_array_equal(TrendFilter(0.0).prox(v), v)
    for n in (0, 1, 2):
        w = jnp.arange(float(n))
        assert TrendFilter(2.0).prox(w).tolist() == w.tolist()
        assert float(TrendFilter(2.0)(w)) == 0
        assert TrendFilter(2.0).free(w).tolist() == [True] * n
        assert float(TrendFilter(2.0).lambda_max(w)) == 0


def test_order_zero_is_the_fused_lasso(x64):
    v = jnp.asarray(noisy(50))
    np.testing.assert_array_equal(TrendFilter(0.7, order=0).prox(v), FusedLasso(0.7).prox(v))


@pytest.mark.slow
def test_derivatives(x64):
    """Against central differences, exact but for rounding while the knots stay: 1e-15/1e-6."""
    v, t = jnp.asarray(noisy(60)), jnp.asarray(noisy(60, seed=1))

    def prox(v, lam):
        return TrendFilter(lam).prox(v)

    forward = jax.jvp(prox, (v, 1.3), (t, 0.7))[1]
    expected = (prox(v + 1e-6 * t, 1.3 + 7e-7) - prox(v - 1e-6 * t, 1.3 - 7e-7)) / 2e-6
    np.testing.assert_allclose(forward, expected, atol=1e-7)
    to_v, to_lam = jax.vjp(prox, v, 1.3)[1](t)
    np.testing.assert_allclose(to_v @ t + 0.7 * to_lam, forward @ t, rtol=1e-10)


@pytest.mark.slow
def test_axes_and_vmap_over_lam(x64):
    w = jnp.asarray(noisy(60).reshape(20, 3))
    columns = TrendFilter(0.5, axis=0).prox(w)
    np.testing.assert_allclose(columns[:, 1], TrendFilter(0.5).prox(w[:, 1]), atol=1e-13)
    lams = jnp.asarray([0.0, 0.1, 5.0])
    together = jax.vmap(lambda lam: TrendFilter(lam).prox(w[:, 0]))(lams)
    np.testing.assert_allclose(together, [TrendFilter(float(lam)).prox(w[:, 0]) for lam in lams], atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_single_precision(size):
    """The pairs that float32 is computed in have digits to spare: what is left is the rounding of v and of the answer."""
    v = noisy(60).astype(np.float32)
    ours = np.asarray(TrendFilter(np.float32(size)).prox(jnp.asarray(v * np.float32(size))))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours / size, dual_solution(v.astype(float), 1.0, 1), atol=8 * np.finfo(np.float32).eps * np.abs(v).max())


@pytest.mark.slow
@pytest.mark.parametrize(("order", "n", "lam"), [(1, 10_000, 0.1), (1, 10_000, 1000.0), (2, 1000, 1000.0)])
def test_single_precision_on_a_long_line(x64, order, n, lam):
    """To the rounding of the answer, the knots being those that float64 finds."""
    v = noisy(n).astype(np.float32)
    single, double = (TrendFilter(lam, order=order).prox(jnp.asarray(v, dtype)) for dtype in (jnp.float32, jnp.float64))
    np.testing.assert_allclose(single, double, atol=16 * np.finfo(np.float32).eps * np.abs(v).max())


@pytest.mark.slow
def test_what_is_not_proved_is_nan(x64):
    assert np.isnan(TrendFilter(1.0).prox(jnp.array([1.0, np.nan, 2.0, 3.0]))).any()


def test_refusals():
    with pytest.raises(ValueError, match="TrendFilter: order must be >= 0, got -1"):
        TrendFilter(order=-1)
    with pytest.raises(TypeError, match="order must be an integer"):
        TrendFilter(order=1.5)
