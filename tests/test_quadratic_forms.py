"""Tikhonov, GraphLaplacian and Orthogonality against dense linear algebra, a grid, and difference quotients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import L2, GraphLaplacian, Orthogonality, Tikhonov

pytestmark = pytest.mark.thin(3)


def quotient(f, x, u, h=1e-6):
    """Central difference: h² times a third derivative and ε/h, about 1e-9."""
    return (f(x + h * u) - f(x - h * u)) / (2 * h)


def check_prox_derivatives(make, v, data):
    """With respect to the point, λ and the data, both modes."""
    rng = np.random.default_rng(2)
    x = (jnp.asarray(v), jnp.asarray(0.7), jnp.asarray(data))
    u = tuple(jnp.asarray(rng.normal(size=np.shape(a))) for a in x)
    c = jnp.asarray(rng.normal(size=np.shape(v)))

    def prox(v, lam, data):
        return make(lam, data).prox(v, 0.6)

    _, along = jax.jvp(prox, x, u)
    expected = quotient(lambda t: prox(*[a + t * b for a, b in zip(x, u, strict=True)]), 0.0, 1.0)
    np.testing.assert_allclose(along, expected, atol=1e-7)
    back = jax.grad(lambda *a: jnp.sum(c * prox(*a)), argnums=(0, 1, 2))(*x)
    np.testing.assert_allclose(sum(jnp.sum(a * b) for a, b in zip(back, u, strict=True)), jnp.sum(c * along), rtol=1e-10)


@pytest.mark.thin(3)
@pytest.mark.parametrize("shape", [(3, 20), (20, 20), (40, 20)])
@pytest.mark.parametrize("strength", [1e-8, 1.0, 1e10])
def test_tikhonov_against_dense_solve(x64, shape, strength):
    """numpy's solve errs by ε times the condition: compare in the equation, relative to its terms, which is 1e-13."""
    rng = np.random.default_rng(0)
    A, v = rng.normal(size=shape), rng.normal(size=20)
    z = np.asarray(Tikhonov(strength, matrix=A).prox(jnp.asarray(v), 0.5))
    pull = strength * A.T @ (A @ z)
    scale = np.abs(v).max() + strength * np.linalg.norm(A, 2) ** 2 * np.abs(z).max()
    np.testing.assert_allclose(z + pull, v, atol=1e-13 * scale)
    if strength == 1.0:
        np.testing.assert_allclose(z, np.linalg.solve(np.eye(20) + A.T @ A, v), atol=1e-12)
        check_prox_derivatives(lambda lam, A: Tikhonov(lam, matrix=A), v, A)


def test_tikhonov_of_a_huge_strength_is_a_projection(x64):
    """On A's null space, here the constants, to rounding; the rest is below 1/λ."""
    A, v = np.diff(np.eye(30), axis=0), np.random.default_rng(0).normal(size=30)
    np.testing.assert_allclose(Tikhonov(1e18, matrix=A).prox(jnp.asarray(v)), np.full(30, v.mean()), atol=1e-14)


def test_tikhonov_conjugate_and_gradient(x64):
    """``sup ⟨u, w⟩ − lam·‖Aw‖²`` is attained where ``u = 2·lam·AᵀAw``, and is then half of ⟨u, w⟩; off the rows' span it is +inf."""
    rng = np.random.default_rng(1)
    A = rng.normal(size=(3, 5)) @ rng.normal(size=(5, 6))
    penalty, w = Tikhonov(0.4, matrix=A), rng.normal(size=6)
    u = 0.8 * A.T @ A @ w
    np.testing.assert_allclose(penalty.grad(jnp.asarray(w)), u, rtol=1e-12)
    np.testing.assert_allclose(penalty.conjugate(jnp.asarray(u)), u @ w / 2, rtol=1e-10)
    off = np.linalg.svd(A)[2][-1]
    assert np.isposinf(penalty.conjugate(jnp.asarray(u + 1e-6 * off)))
    assert np.isposinf(Tikhonov(0.0, matrix=A).conjugate(jnp.asarray(u)))


def test_tikhonov_of_the_identity_is_l2(x64):
    params = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([[3.0]]), "step": 4}
    for a, b in zip(jax.tree.leaves(Tikhonov(0.3, matrix=np.eye(3)).prox(params)), jax.tree.leaves(L2(0.3).prox(params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    A = np.diff(np.eye(4), axis=0)
    assert float(Tikhonov(0.5, matrix=A, axis=0)(kernel)) == pytest.approx(0.5 * np.sum(np.diff(kernel, axis=0) ** 2), rel=1e-14)


def graph(nodes, edges, seed=0):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, nodes, (edges, 2))
    weights = rng.random(edges) * (rng.random(edges) < 0.8)
    incidence = np.eye(nodes)[pairs[:, 0]] - np.eye(nodes)[pairs[:, 1]]
    return pairs, weights, incidence.T @ (weights[:, None] * incidence)


@pytest.mark.slow
def test_graph_laplacian_against_dense(x64):
    """Several components, self loops, edges of weight 0; conjugate gradients stop at 4 ε of the right-hand side."""
    pairs, weights, L = graph(60, 50)
    penalty, w = GraphLaplacian(0.7, edges=pairs, weights=weights), np.random.default_rng(1).normal(size=60)
    np.testing.assert_allclose(penalty(jnp.asarray(w)), 0.7 * w @ L @ w, rtol=1e-13)
    np.testing.assert_allclose(penalty.grad(jnp.asarray(w)), 1.4 * L @ w, atol=1e-13)
    np.testing.assert_allclose(penalty.prox(jnp.asarray(w), 0.6), np.linalg.solve(np.eye(60) + 0.84 * L, w), atol=1e-13)
    u = L @ w
    np.testing.assert_allclose(penalty.conjugate(jnp.asarray(u)), u @ w / 2.8, rtol=1e-9)
    assert np.isposinf(penalty.conjugate(jnp.asarray(u + 1e-9)))
    np.testing.assert_array_equal(penalty.free(jnp.asarray(w)), np.diag(L) == 0)
    check_prox_derivatives(lambda lam, weights: GraphLaplacian(lam, edges=pairs, weights=weights), w, weights + 0.1)


def test_graph_laplacian_of_a_huge_strength_takes_means(x64):
    edges = np.array([[0, 1], [1, 2], [3, 4]])
    z = GraphLaplacian(1e15, edges=edges).prox(jnp.array([1.0, 2.0, 6.0, -1.0, 0.0, 7.0]))
    np.testing.assert_allclose(z, [3, 3, 3, -0.5, -0.5, 7], atol=1e-14)


@pytest.mark.slow
def test_a_long_chain(x64):
    """1e4 nodes: the equation holds to rounding of its terms."""
    n = 10_000
    v = jnp.asarray(np.random.default_rng(0).normal(size=n))
    penalty = GraphLaplacian(50.0, edges=np.stack([np.arange(n - 1), np.arange(1, n)], axis=1))
    z = penalty.prox(v)
    np.testing.assert_allclose(z + penalty.grad(z), v, atol=1e-11)


@pytest.mark.slow
def test_orthogonality_prox_is_the_global_minimiser(x64):
    """Singular value by singular value, against a grid with an accuracy of 1e-5 in z, and so 1e-9 in the objective."""
    rng = np.random.default_rng(0)
    for shape in ((6, 4), (4, 6), (5, 5)):
        W = rng.normal(size=shape)
        for strength in (0.05, 0.25, 3.0):
            U, s, Vt = np.linalg.svd(W, full_matrices=False)
            grid = np.linspace(0, 4, 400_001)
            best = [grid[np.argmin(0.5 * (grid - x) ** 2 + strength * (grid**2 - 1) ** 2)] for x in s]
            np.testing.assert_allclose(Orthogonality(strength).prox(jnp.asarray(W)), (U * best) @ Vt, atol=1e-4)
        excess = W.T @ W - np.eye(shape[1])
        assert float(Orthogonality(0.3)(jnp.asarray(W))) == pytest.approx(0.3 * np.sum(excess**2), rel=1e-13)
        np.testing.assert_allclose(Orthogonality(0.3).grad(jnp.asarray(W)), 1.2 * W @ excess, atol=1e-12)


@pytest.mark.slow
def test_orthogonality_prox_where_values_are_level_or_zero(x64):
    """A multiple of an orthogonal matrix (all singular values level) has a derivative; at 0 the prox is some orthogonal multiple."""
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    W, u = jnp.asarray(1.7 * Q), jnp.asarray(np.random.default_rng(1).normal(size=(4, 4)))

    def prox(x):
        return Orthogonality(0.4).prox(x)

    np.testing.assert_allclose(jax.jvp(prox, (W,), (u,))[1], quotient(prox, W, u), atol=1e-7)
    moved = jax.jvp(lambda lam: Orthogonality(lam).prox(W), (0.4,), (1.0,))[1]
    np.testing.assert_allclose(moved, quotient(lambda lam: Orthogonality(lam).prox(W), 0.4, 1.0), atol=1e-8)
    at_zero = np.asarray(prox(jnp.zeros((4, 4))))
    np.testing.assert_allclose(at_zero.T @ at_zero, (1 - 1 / 1.6) * np.eye(4), atol=1e-14)
    assert np.all(np.asarray(Orthogonality(0.2).prox(jnp.zeros((4, 3)))) == 0)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_float32_of_any_magnitude(size):
    v = (np.random.default_rng(0).normal(size=4) * size).astype(np.float32)
    A = np.diff(np.eye(4), axis=0)
    for penalty in (Tikhonov(0.5, matrix=A), GraphLaplacian(0.5, edges=[[0, 1], [1, 2], [2, 3]])):
        z = penalty.prox(jnp.asarray(v))
        assert z.dtype == jnp.float32
        np.testing.assert_allclose(z, np.linalg.solve(np.eye(4) + A.T @ A, v.astype(float)), rtol=1e-4, atol=1e-6 * size)
    for strength in (1e-30, 1e-3, 1.0, 1e30):
        assert np.all(np.isfinite(Orthogonality(strength).prox(jnp.asarray(v.reshape(2, 2)))))


def test_nan_and_empty():
    bad = jnp.array([1.0, jnp.nan])
    for penalty in (Tikhonov(1.0, matrix=np.eye(2)), GraphLaplacian(1.0, edges=[[0, 1]])):
        assert np.isnan(penalty.prox(bad)).any()
        assert np.isnan(penalty(bad))
    assert float(Tikhonov(1.0, matrix=np.zeros((2, 0)))(jnp.zeros(0))) == 0
    assert GraphLaplacian(1.0, edges=np.zeros((0, 2), int)).prox(jnp.ones(1)).tolist() == [1]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: Tikhonov(1.0), "matrix is missing"),
        (lambda: Tikhonov(1.0, matrix=np.ones(3)), r"matrix must have shape \(m, n\)"),
        (lambda: Tikhonov(1.0, matrix=np.full((2, 2), np.inf)), "matrix must be finite"),
        (lambda: Tikhonov(1.0, matrix=np.eye(3))(jnp.ones(2)), "one column for each of the 2 parameters"),
        (lambda: GraphLaplacian(1.0), "edges is missing"),
        (lambda: GraphLaplacian(1.0, edges=[[0.0, 1.0]]), "integers >= 0"),
        (lambda: GraphLaplacian(1.0, edges=[[0, 1]], weights=[1.0, 2.0]), "one for each edge"),
        (lambda: GraphLaplacian(1.0, edges=[[0, 1]], weights=[-1.0]), "weights must be finite and >= 0"),
        (lambda: GraphLaplacian(1.0, edges=[[0, 5]])(jnp.ones(2)), "name node 5"),
        (lambda: Orthogonality(1.0)(jnp.ones(3)), "do not exist in a params leaf"),
    ],
)
def test_errors(act, message):
    with pytest.raises(ValueError, match=message):
        act()
