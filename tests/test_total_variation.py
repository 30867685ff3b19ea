"""Total variation of images against a plain dual solver, closed forms, the one-dimensional case and difference quotients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import L1, TotalVariation, UnknownOperation
from jaxreg._penalties._components import components, means

pytestmark = pytest.mark.thin(3)

BOTH = pytest.mark.parametrize("isotropic", [True, False])


def image(shape=(7, 8), seed=0):
    return np.random.default_rng(seed).normal(size=shape) + 2 * (np.arange(shape[0])[:, None] > 3)


def matrices(shape):
    """The two forward differences as dense matrices: pixel below and pixel at the right minus the pixel, zero rows at the far edges."""
    index, found = np.arange(shape[0] * shape[1]).reshape(shape), []
    for axis in (0, 1):
        D = np.zeros((index.size, index.size))
        here, there = (np.take(index, range(k, shape[axis] - 1 + k), axis).ravel() for k in (0, 1))
        D[here, here], D[here, there] = -1, 1
        found.append(D)
    return found


def length(down, right, isotropic):
    return np.sqrt(down**2 + right**2) if isotropic else np.abs(down) + np.abs(right)


@functools.cache
def reference(seed, t, isotropic):
    """FISTA on the dual, without restarts, and a bound on its error: ½‖z − exact‖² <= gap."""
    v = image(seed=seed)
    D = np.stack(matrices(v.shape))
    x, v = np.zeros((2, v.size)), v.ravel()
    ahead, k = x, 1.0
    for _ in range(4000):
        new = ahead + D @ (v - np.einsum("kij,ki->j", D, ahead)) / 8
        size = np.hypot(*new) if isotropic else np.abs(new)
        new = new / np.maximum(1, size / t)
        k, old = (1 + np.sqrt(1 + 4 * k**2)) / 2, k
        ahead, x = new + (old - 1) / k * (new - x), new
    z = v - np.einsum("kij,ki->j", D, x)
    return z, np.sqrt(2 * max(t * np.sum(length(*(D @ z), isotropic)) - np.sum(x * (D @ z)), 0))


def objective(z, v, t, isotropic):
    D1, D2 = matrices(v.shape)
    z = np.asarray(z).ravel()
    return 0.5 * np.sum((z - v.ravel()) ** 2) + t * np.sum(length(D1 @ z, D2 @ z, isotropic))


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("t", [0.05, 0.4, 1.5])
def test_against_a_plain_dual_solver(x64, isotropic, t):
    """Within the reference's own certified error, and never above its objective (but for rounding)."""
    v = image()
    z = TotalVariation(t, isotropic).prox(jnp.asarray(v))
    expected, error = reference(0, t, isotropic)
    assert error < 1e-3
    assert np.linalg.norm(z.ravel() - expected) <= error + 1e-10
    assert objective(z, v, t, isotropic) <= objective(expected, v, t, isotropic) * (1 + 1e-14)


@pytest.mark.slow
@BOTH
def test_it_is_stationary_to_rounding(x64, isotropic):
    """The subdifferential's distance is another problem of the same kind, of the point alone."""
    v, penalty = jnp.asarray(image((12, 9))), TotalVariation(0.6, isotropic)
    z = penalty.prox(v)
    assert float(penalty.subdiff_distance(z, z - v)) < 1e-7
    assert float(penalty.subdiff_distance(z, z - 1.01 * v)) > 1e-3
    assert float(penalty.gap(v)) <= 1e-12


@pytest.mark.slow
@BOTH
def test_huge_zero_and_level(x64, isotropic):
    v = jnp.asarray(image())
    np.testing.assert_allclose(TotalVariation(1e12, isotropic).prox(v), np.full(v.shape, np.mean(v)), rtol=1e-14)
    assert len(np.unique(TotalVariation(1e12, isotropic).prox(v))) == 1
    np.testing.assert_array_equal(TotalVariation(0.0, isotropic).prox(v), v)
    np.testing.assert_array_equal(TotalVariation(1.0, isotropic).prox(v, 0.0), v)
    np.testing.assert_array_equal(TotalVariation(1.0, isotropic).prox(jnp.full((3, 4), 0.3)), np.full((3, 4), 0.3))
    assert float(TotalVariation(1.0, isotropic)(jnp.full((3, 4), 0.3))) == 0


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("shape", [(9, 1), (1, 9)])
def test_a_line_is_one_dimensional(x64, isotropic, shape):
    """Against the dual of the line, a least-squares problem with bounds, by scipy's active sets."""
    from scipy.optimize import lsq_linear

    v, t = np.random.default_rng(1).normal(size=9), 0.5
    D = np.diff(np.eye(9), axis=0)
    dual = lsq_linear(D.T, v, (-t, t), method="bvls", tol=1e-15).x
    z = TotalVariation(t, isotropic).prox(jnp.asarray(v.reshape(shape)))
    np.testing.assert_allclose(z.ravel(), v - D.T @ dual, atol=1e-12)


@pytest.mark.slow
@BOTH
def test_derivatives_at_size(x64, isotropic):
    """Central differences err by h² times a third derivative and ε/h of rounding, about 1e-8 with h = 1e-6; edges keep their places."""
    v = jnp.asarray(image((6, 5), seed=3))
    rng = np.random.default_rng(4)
    u, c, h = jnp.asarray(rng.normal(size=v.shape)), jnp.asarray(rng.normal(size=v.shape)), 1e-6

    def prox(x, lam):
        return TotalVariation(lam, isotropic).prox(x, 0.8)

    assert len(np.unique(prox(v, 0.5))) < v.size  # some regions, or nothing would be tested
    _, along = jax.jvp(prox, (v, 0.5), (u, 1.0))
    expected = (prox(v + h * u, 0.5 + h) - prox(v - h * u, 0.5 - h)) / (2 * h)
    np.testing.assert_allclose(along, expected, atol=1e-6)
    by_v, by_lam = jax.grad(lambda x, lam: jnp.sum(c * prox(x, lam)), argnums=(0, 1))(v, 0.5)
    np.testing.assert_allclose(jnp.sum(by_v * u) + by_lam, jnp.sum(c * along), rtol=1e-9)


@pytest.mark.slow
@BOTH
def test_batches_axes_and_leaves(x64, isotropic):
    v = np.stack([image(seed=5), image(seed=6)], axis=1)
    penalty = TotalVariation(0.3, isotropic, axes=(0, 2))
    z = penalty.prox({"a": jnp.asarray(v), "n": 3})
    one = [TotalVariation(0.3, isotropic).prox(jnp.asarray(v[:, k])) for k in (0, 1)]
    np.testing.assert_allclose(z["a"], np.stack(one, axis=1), atol=1e-12)
    assert z["n"] == 3
    lams = jnp.array([0.1, 0.3])
    over = jax.jit(jax.vmap(lambda lam: TotalVariation(lam, isotropic).prox(jnp.asarray(v[:, 0]))))(lams)
    np.testing.assert_allclose(over[1], one[0], atol=1e-12)


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_float32_of_any_magnitude(isotropic, size):
    """The prox is homogeneous; float32 images of 56 pixels agree with float64 to some hundred ε where the gap is some ε: √ε of that."""
    v = image().astype(np.float32)
    z = np.asarray(TotalVariation(jnp.float32(0.4 * size), isotropic).prox(jnp.asarray(v * np.float32(size)))) / np.float32(size)
    expected, error = reference(0, 0.4, isotropic)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z.ravel(), expected, atol=1e-3 + error)
    half = TotalVariation(0.4, isotropic).prox(jnp.asarray(v, jnp.bfloat16))
    assert half.dtype == jnp.bfloat16


@pytest.mark.slow
@BOTH
def test_nan_and_empty(isotropic):
    penalty = TotalVariation(0.5, isotropic)
    assert np.isnan(penalty.prox(jnp.array([[1.0, jnp.nan], [0.0, 2.0]]))).any()
    assert np.isnan(penalty.grad(jnp.array([[1.0, jnp.nan], [0.0, 2.0]]))).any()
    for empty in (jnp.zeros((0, 3)), jnp.zeros((3, 0)), jnp.zeros((0, 0))):
        assert penalty.prox(empty).shape == penalty.grad(empty).shape == empty.shape
        assert float(penalty(empty)) == float(penalty.subdiff_distance(empty, empty)) == 0
    assert penalty.prox(jnp.ones((1, 1))).tolist() == [[1]]
    assert np.all(np.isfinite(jax.hessian(penalty)(jnp.zeros((2, 2)))))


def test_what_has_no_closed_form_and_what_is_wrong():
    w = jnp.ones((2, 2))
    for act in (TotalVariation(1.0).conjugate, TotalVariation(1.0).lambda_max):
        with pytest.raises(UnknownOperation):
            act(w)
    with pytest.raises(ValueError, match="tol must be >= 0"):
        TotalVariation(1.0, tol=-1.0)
    with pytest.raises(ValueError, match=r"do not exist in a params leaf of shape \(3,\)"):
        TotalVariation(1.0)(jnp.ones(3))
    with pytest.raises(ValueError, match="lam must be finite and >= 0"):
        TotalVariation(-1.0)


def test_anisotropic_shrinks_after_levelling(x64):
    """What role "levels" says: soft thresholding of the levelled image is the prox of the sum. No probe improves, but for rounding."""
    v = image((4, 4))
    z = np.asarray(L1(0.3).prox(TotalVariation(0.4, isotropic=False).prox(jnp.asarray(v))))

    def total(x):
        return objective(x, v, 0.4, False) + 0.3 * np.abs(x).sum()

    assert total(z) <= min(total(z + d) for d in probes(v, z)) + 1e-12
    assert (TotalVariation(isotropic=False).role, TotalVariation().role) == ("levels", "")


def probes(v, z):
    """Directions in which a point that is no minimiser would probably improve: towards v, and random ones that keep regions."""
    rng = np.random.default_rng(0)
    values = np.unique(z)
    for _ in range(400):
        yield 1e-4 * rng.normal(size=len(values))[np.searchsorted(values, z)]
        yield 1e-4 * rng.normal(size=z.shape)
    yield 1e-4 * (v - z)


def test_components_against_scipy():
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rng = np.random.default_rng(0)
    for edges in (rng.integers(0, 400, (2, 250)), np.stack([np.arange(399), np.arange(1, 400)]), np.zeros((2, 1), int)):
        graph = coo_array((np.ones(edges.shape[1]), tuple(edges)), (400, 400))
        expected = connected_components(graph, directed=False)[1]
        label = np.asarray(components(jnp.asarray(edges[0]), jnp.asarray(edges[1]), 400))
        assert np.array_equal(label[:, None] == label, expected[:, None] == expected)
        assert np.array_equal(label[label], label)
        np.testing.assert_allclose(means(jnp.ones(400), jnp.asarray(label)), 1)
