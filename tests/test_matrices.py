"""Penalties and sets of matrices against NumPy's decompositions, and their derivatives where singular values repeat or vanish."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg import L2, Nuclear, PSDCone, RankBall, SpectralNorm, SquaredSpectralNorm, Stiefel, UnknownOperation
from jaxreg._penalties._spectral import spectral_map, symmetric_map
from jaxreg._tree import Static

pytestmark = pytest.mark.thin(6)

NORMS = {"nuclear": Nuclear(0.7), "spectral": SpectralNorm(0.7), "squared": SquaredSpectralNorm(0.7)}
SPECTRA = {
    "tall": (6, 4, [3.0, 2.0, 1.0, 0.3]),
    "wide": (4, 6, [3.0, 2.0, 1.0, 0.3]),
    "square": (5, 5, [3.0, 2.5, 2.0, 1.0, 0.3]),
    "deficient": (6, 4, [3.0, 1.0, 0.0, 0.0]),
    "repeated": (4, 6, [2.0, 2.0, 2.0, 0.5]),
    "one": (1, 1, [2.0]),
    "zero": (3, 3, [0.0, 0.0, 0.0]),
}


def basis(n, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def matrix(shape_and_spectrum, seed=0):
    m, n, s = shape_and_spectrum
    return basis(m, seed)[:, : len(s)] * s @ basis(n, seed + 1)[:, : len(s)].T


def reference_prox(name, W, t):
    """By NumPy: soft thresholds, and levels found by bisection of the equation that defines them."""
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    if name == "nuclear":
        return U * np.maximum(s - t, 0) @ Vt
    low, high = 0.0, max(s[0], 1e-300)
    for _ in range(200):
        level = (low + high) / 2
        excess = np.maximum(s - level, 0).sum() - (t if name == "spectral" else 2 * t * level)
        low, high = (level, high) if excess > 0 else (low, level)
    return U * np.minimum(s, level) @ Vt


@functools.partial(jax.jit, static_argnums=0)
def members(penalty, W, step):
    """Value, prox, and how far prox and gradient are from what the subdifferential asks of them."""
    p = penalty.value
    z = p.prox(W, step)
    return p(W), z, p.subdiff_distance(z, (z - W) / step), p.subdiff_distance(W, -p.grad(W))


@pytest.mark.thin(6)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("name", NORMS)
def test_against_numpy(x64, name, spectrum):
    """Some hundred roundings of numbers up to 3."""
    W = matrix(SPECTRA[spectrum])
    s = np.linalg.svd(W, compute_uv=False)
    expected = {"nuclear": s.sum(), "spectral": s.max(), "squared": s.max() ** 2}[name]
    for step in (1e-9, 0.4, 3.0):
        value, z, at_prox, at_grad = members(Static(NORMS[name]), jnp.asarray(W), step)
        assert float(value) == pytest.approx(0.7 * expected, rel=1e-13, abs=1e-13)
        np.testing.assert_allclose(z, reference_prox(name, W, 0.7 * step), atol=1e-13)
        assert float(at_prox) * step < 1e-13
        assert float(at_grad) < 1e-13


@functools.partial(jax.jit, static_argnums=0)
def derivatives(penalty, W, step, moved, pulled):
    """By forward mode, by central differences, and both sides of what makes reverse mode the transpose."""
    run = penalty.value.prox
    forward = jax.jvp(run, (W, step), (moved, 0.5))[1]
    differences = (run(W + 1e-6 * moved, step + 0.5e-6) - run(W - 1e-6 * moved, step - 0.5e-6)) / 2e-6
    back, back_step = jax.vjp(run, W, step)[1](pulled)
    return forward, differences, jnp.sum(back * moved) + 0.5 * back_step, jnp.sum(pulled * forward)


@pytest.mark.thin(6)
@pytest.mark.parametrize("spectrum", ["tall", "wide", "deficient", "repeated"])
@pytest.mark.parametrize("penalty", [*NORMS.values(), "rank"], ids=[*NORMS, "rank"])
def test_derivatives_of_prox(x64, penalty, spectrum):
    """Differences are good to 1e-16/1e-6 and (1e-6)²; the steps put no singular value on a corner."""
    if penalty == "rank":  # where a rank splits level values its projection has no derivative
        penalty = RankBall(3 if spectrum == "repeated" else 2)
    W = jnp.asarray(matrix(SPECTRA[spectrum]))
    rng = np.random.default_rng(5)
    moved, pulled = jnp.asarray(rng.normal(size=W.shape)), jnp.asarray(rng.normal(size=W.shape))
    for step in (0.61, 2.1):
        forward, differences, left, right = derivatives(Static(penalty), W, jnp.asarray(step), moved, pulled)
        np.testing.assert_allclose(forward, differences, atol=1e-8)
        assert float(left) == pytest.approx(float(right), rel=1e-10, abs=1e-12)


@pytest.mark.slow
def test_derivative_with_respect_to_lam(x64):
    W = jnp.asarray(matrix(SPECTRA["repeated"]))
    for p in NORMS.values():
        run = jax.jit(lambda lam, p=p: p.at(lam).prox(W, 0.5))
        slope = jax.jvp(run, (0.8,), (1.0,))[1]
        np.testing.assert_allclose(slope, (run(0.8 + 1e-6) - run(0.8 - 1e-6)) / 2e-6, atol=1e-8)


def cubed(s):
    return s**3


@pytest.mark.parametrize("gap", [1e-3, 1e-7, 1e-10, 1e-14, 0.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_derivative_in_clusters(x64, dtype, gap):
    """``U σ³ Vᵀ`` is the polynomial WWᵀW, whose derivative needs no decomposition: 300 ε for numbers up to 27 with a few products."""
    W = matrix((5, 4, [2.0 + gap, 2.0, gap, 0.0])).astype(dtype)
    moved = np.random.default_rng(1).normal(size=W.shape).astype(dtype)
    found = jax.jvp(jax.jit(functools.partial(spectral_map, cubed)), (jnp.asarray(W),), (jnp.asarray(moved),))[1]
    W, moved = W.astype(np.float64), moved.astype(np.float64)
    expected = moved @ W.T @ W + W @ moved.T @ W + W @ W.T @ moved
    assert found.dtype == dtype
    # A divided difference of smooth f is good to ε^(2/3) at worst: where rounding ε/gap and the curvature gap² meet.
    np.testing.assert_allclose(found, expected, atol=30 * np.finfo(dtype).eps ** (2 / 3))


@pytest.mark.parametrize("values", [[2.0, 2.0, -1.0], [1.0, 1.0 + 1e-9, 1.0], [0.0, 0.0, 0.0]])
def test_derivative_of_a_symmetric_map(x64, values):
    Q = basis(3, 4)
    A, moved = Q * values @ Q.T, np.random.default_rng(2).normal(size=(3, 3))
    moved = moved + moved.T
    found = jax.jvp(jax.jit(functools.partial(symmetric_map, cubed)), (jnp.asarray(A),), (jnp.asarray(moved),))[1]
    np.testing.assert_allclose(found, moved @ A @ A + A @ moved @ A + A @ A @ moved, atol=1e-9)


def test_soft_threshold_at_a_corner_within_a_cluster(x64):
    """One of two nearly level values is kept, one dropped: the divided difference is between 0 and 1, not rounding over gap."""
    W = jnp.diag(jnp.asarray([1.0 + 1e-12, 1.0 - 1e-12]))
    moved = jnp.asarray([[0.0, 1.0], [1.0, 0.0]])
    found = jax.jvp(jax.jit(Nuclear(1.0).prox), (W,), (moved,))[1]
    assert float(found[0, 1]) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NORMS)
def test_hessian_of_the_value(x64, name):
    """Finite at 0 and at level values; right where the penalty is smooth, against differences of the gradient."""
    p = NORMS[name]
    hessian = jax.jit(jax.hessian(p))
    for W in (jnp.zeros((2, 2)), jnp.eye(2)):
        assert np.all(np.isfinite(hessian(W)))
    W, moved = jnp.asarray(matrix((2, 2, [2.0, 0.7]))), jnp.ones((2, 2))
    found = jnp.tensordot(hessian(W), moved)
    np.testing.assert_allclose(found, (p.grad(W + 1e-6 * moved) - p.grad(W - 1e-6 * moved)) / 2e-6, atol=1e-8)


def test_axes_of_a_convolution(x64):
    """(height, width, in, out) as one matrix, and as height·width matrices (in, out), against NumPy's slices."""
    kernel = np.random.default_rng(3).normal(size=(2, 3, 4, 5))
    expected = np.stack([[reference_prox("nuclear", kernel[i, j], 0.4) for j in range(3)] for i in range(2)])
    np.testing.assert_allclose(Nuclear(1.0).prox(jnp.asarray(kernel), 0.4), expected, atol=1e-13)
    expected = reference_prox("nuclear", kernel.reshape(24, 5), 0.4).reshape(kernel.shape)
    assert float(Nuclear(1.0, axes=((0, 1, 2), 3))(kernel)) == pytest.approx(np.linalg.norm(kernel.reshape(24, 5), "nuc"), rel=1e-13)
    for axes in (((0, 1, 2), 3), (3, (2, 0, 1)), ([0, 1, -2], [-1])):
        np.testing.assert_allclose(Nuclear(1.0, axes=axes).prox(jnp.asarray(kernel), 0.4), expected, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_magnitudes_of_single_precision(dtype, size):
    """Soft thresholding is homogeneous: a size scales out, at the dtype's own ε."""
    W = matrix(SPECTRA["tall"]).astype(np.float32)
    z = Nuclear(size).prox(jnp.asarray(size * W, dtype))
    assert z.dtype == dtype
    assert np.linalg.matrix_rank(np.asarray(z, np.float64) / size, tol=1e-5 if dtype == np.float32 else 0.1) == 2
    np.testing.assert_allclose(np.asarray(z, np.float64) / size, reference_prox("nuclear", W, 1.0), atol=30 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("p", [*NORMS.values(), PSDCone(), RankBall(1), Stiefel()])
def test_nan_is_not_hidden(p):
    W = jnp.eye(3).at[1, 2].set(jnp.nan)
    assert not np.any(np.isfinite(p(W)))
    assert np.all(np.isnan(p.prox(W)))


@pytest.mark.thin(3)
@pytest.mark.parametrize("p", [*NORMS.values(), PSDCone(), RankBall(1), Stiefel()])
def test_empty_matrices(p):
    for shape in ((0, 0), (0, 2, 2)):
        W = jnp.zeros(shape)
        assert float(p(W)) == 0
        assert p.prox(W).shape == shape
        assert float(p.subdiff_distance(W, W)) == 0


@pytest.mark.slow
def test_at_zero_and_at_zero_strength(x64):
    zero = jnp.zeros((3, 2))
    for p in NORMS.values():
        assert np.all(np.asarray(p.grad(zero)) == 0)
        assert np.all(np.asarray(jax.grad(p)(zero)) == 0)
        assert np.all(np.asarray(p.prox(zero)) == 0)
        assert np.all(p.scaled(0.0).support(zero))
        assert np.all(p.scaled(0.0).free(zero))
        W = jnp.asarray(matrix(SPECTRA["deficient"]))
        slope = jax.jvp(jax.jit(p.scaled(0.0).prox), (W,), (jnp.ones_like(W),))[1]
        np.testing.assert_allclose(slope, np.ones(W.shape), atol=1e-13)  # the identity's
    assert np.all(np.asarray(NORMS["nuclear"].scaled(1e30).prox(jnp.asarray(matrix(SPECTRA["tall"])))) == 0)


def test_rank_report(x64):
    params = {"bias": jnp.ones(3), "kernel": jnp.asarray(np.stack([matrix((4, 3, s)) for s in ([3.0, 2.0, 1.0], [3.0, 0.5, 0.0])]))}
    (found,) = Nuclear(2.0).rank_report({"kernel": params["kernel"]}, step=0.5)
    assert (found.path, found.shape, float(found.threshold)) == ("kernel", (4, 3), 1.0)
    np.testing.assert_array_equal(Nuclear(2.0).rank_report({"kernel": params["kernel"]})[0].rank, [3, 2])
    assert int(found.rank[1]) == 1
    assert float(found.share[1]) == pytest.approx(3 / 3.5)
    kept = np.linalg.matrix_rank(Nuclear(2.0).prox(params["kernel"], 0.5))
    np.testing.assert_array_equal(kept, found.rank - [1, 0] if found.rank[0] == 3 else found.rank)


@pytest.mark.slow
def test_power_iteration_nears_the_exact_value_from_below(x64):
    """The value errs by (σ₂/σ₁)^(4k), the gradient by (σ₂/σ₁)^(2k), up to how the start leans; here σ₂/σ₁ = ½."""
    W = jnp.asarray(matrix((6, 4, [2.0, 1.0, 0.5, 0.1])))
    exact = SquaredSpectralNorm(0.7)
    errors = []
    value, grad = float(exact(W)), exact.grad(W)
    for k in (2, 4, 8):
        near = SquaredSpectralNorm(0.7, iterations=k)
        found, automatic = jax.jit(jax.value_and_grad(near))(W)
        assert float(found) <= value * (1 + 1e-14)
        np.testing.assert_allclose(near.grad(W), automatic, atol=1e-13)  # with v left out of the derivative
        errors.append([value - float(found), float(jnp.max(jnp.abs(grad - automatic)))])
    shrunk = np.array(errors[1:]) / np.array(errors[:-1])
    assert np.all(shrunk[0] < 4 * np.array([2.0**-8, 2.0**-4]))
    assert np.all(shrunk[1] < 4 * np.array([2.0**-16, 2.0**-8]))
    np.testing.assert_allclose(SquaredSpectralNorm(0.7, iterations=60).grad(W), grad, atol=1e-13)


def test_power_iteration_at_zero_and_in_float32():
    p = SquaredSpectralNorm(1.0, iterations=3)
    assert float(p(jnp.zeros((3, 2)))) == 0
    assert np.all(np.asarray(p.grad(jnp.zeros((3, 2)))) == 0)
    assert float(p(jnp.diag(jnp.array([1e15, 1.0])))) == pytest.approx(1e30, rel=1e-6)
    assert np.all(np.isnan(p.grad(jnp.full((2, 2), jnp.nan))))


def test_projection_on_the_psd_cone(x64):
    """Higham's formula, (B + H)/2 with B the symmetric part and H its polar factor, here √(B²)."""
    W = np.random.default_rng(7).normal(size=(3, 5, 5))
    B = (W + W.mT) / 2
    values, Q = np.linalg.eigh(B @ B)
    expected = (B + (Q * np.sqrt(values)[:, None]) @ Q.mT) / 2
    outside, z, at_prox, _ = members(Static(PSDCone()), jnp.asarray(W), 1.0)
    np.testing.assert_allclose(z, expected, atol=1e-13)
    assert float(PSDCone()(z)) == 0
    assert float(outside) == np.inf
    # The normal cone holds what a projection removes (Moreau), and its support function is 0 on the polar cone.
    assert float(at_prox) < 1e-13
    assert float(PSDCone().conjugate(jnp.asarray(W) - z)) == 0
    assert float(PSDCone().conjugate(z)) == np.inf


@pytest.mark.slow
def test_projection_on_low_rank_breaks_ties_alike(x64):
    """Eckart and Young: the squared distance is what the dropped singular values hold, also where they are level with those kept."""
    for spectrum, left in (("tall", 1 + 0.09), ("repeated", 4 + 0.25), ("zero", 0)):
        W = jnp.asarray(matrix(SPECTRA[spectrum]))
        value, z, at_prox, _ = members(Static(RankBall(2)), W, 1.0)
        assert np.linalg.matrix_rank(z, tol=1e-10) <= 2
        assert float(jnp.sum((z - W) ** 2)) == pytest.approx(left, abs=1e-13)
        np.testing.assert_array_equal(z, members(Static(RankBall(2)), W, 1.0)[1])
        assert float(at_prox) < 1e-13
        assert float(value) == (np.inf if left else 0)
    assert np.all(RankBall(4).free(jnp.asarray(matrix(SPECTRA["tall"]))))


def test_descent_that_a_rank_leaves_open(x64):
    """At diag(2, 0, 0) with rank 2 one more direction is open: of diag(0, 3, 1) the larger."""
    w, g = jnp.diag(jnp.asarray([2.0, 0, 0])), jnp.diag(jnp.asarray([0.0, 3, 1]))
    assert float(RankBall(2).subdiff_distance(w, g)) == pytest.approx(3)
    assert float(RankBall(1).subdiff_distance(w, g)) == 0
    assert float(RankBall(1).subdiff_distance(w, g.at[0, 2].set(4.0))) == pytest.approx(4)


def test_polar_factor_against_newton(x64):
    """Newton's iteration for the polar factor, X ← (X + X⁻ᵀ)/2, which no decomposition enters."""
    W = np.random.default_rng(8).normal(size=(5, 5))
    X = W
    for _ in range(60):
        X = (X + np.linalg.inv(X).T) / 2
    np.testing.assert_allclose(Stiefel().prox(jnp.asarray(W)), X, atol=1e-12)
    z = Stiefel().prox(jnp.asarray(matrix(SPECTRA["deficient"])))
    assert float(Stiefel()(z)) == 0


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda: Nuclear(-1.0), ValueError, "lam must be finite and >= 0"),
        (lambda: Nuclear(1.0, axes=0), TypeError, "axes must be a pair"),
        (lambda: Nuclear(1.0, axes=(0, "x")), TypeError, "axes must be a pair"),
        (lambda: Nuclear(1.0)({"bias": jnp.ones(3)}), ValueError, r"do not exist in a params leaf of shape \(3,\); .*\.on"),
        (lambda: Nuclear(1.0, axes=(0, -2))(jnp.ones((2, 2))), ValueError, "name an axis twice"),
        (lambda: Nuclear(jnp.ones(2))(jnp.ones((2, 2))), UnknownOperation, "must be one number"),
        (lambda: SquaredSpectralNorm(1.0, iterations=0), ValueError, "iterations must be None or an integer >= 1"),
        (lambda: RankBall(0), ValueError, "rank must be >= 1"),
        (lambda: RankBall(1.5), TypeError, "rank must be an integer"),
        (lambda: PSDCone().prox(jnp.ones((2, 3))), ValueError, "not square"),
        (lambda: Stiefel().prox(jnp.ones((2, 3))), ValueError, "swap axes"),
        (lambda: Nuclear(1.0).prox(jnp.ones((2, 2)), -1.0), ValueError, "step must be >= 0"),
        (lambda: (Nuclear(1.0) + jaxreg.L1(1.0)).prox(jnp.ones((2, 2))), UnknownOperation, "Nuclear"),
    ],
)
def test_errors_say_what_to_do(act, error, words):
    with pytest.raises(error, match=words):
        act()


def test_with_a_quadratic_the_prox_is_joint(x64):
    W = jnp.asarray(matrix(SPECTRA["tall"]))
    z = (Nuclear(0.7) + L2(0.3)).prox(W, 0.5)
    np.testing.assert_allclose(z, Nuclear(0.7).prox(W / 1.3, 0.5 / 1.3), atol=1e-13)
    assert float(Nuclear(0.7).subdiff_distance(z, 0.6 * z + (z - W) / 0.5)) < 1e-12


def test_traced_strength_compiles_once():
    traces = []

    @jax.jit
    def run(W, lam, step):
        traces.append(0)
        return Nuclear(lam).prox(W, step)

    W = jnp.asarray(matrix(SPECTRA["tall"]), jnp.float32)
    for lam, step in ((0.1, 1.0), (3.0, 0.5)):
        np.testing.assert_allclose(run(W, lam, step), reference_prox("nuclear", np.asarray(W), lam * step), atol=1e-5)
    assert len(traces) == 1
    batch = jax.vmap(lambda lam: Nuclear(lam).prox(W))(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(batch[1], reference_prox("nuclear", np.asarray(W), 1.0), atol=1e-5)
