"""The k-support norm against its definition, and its prox against Fenchel's equality, at size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import L2, ExclusiveLasso, KSupport

pytestmark = pytest.mark.thin(3)

CASES = {
    "noise": lambda rng: rng.normal(size=500),
    "sparse": lambda rng: np.where(np.arange(500) < 7, rng.normal(size=500), 0),
    "level": lambda rng: np.full(500, -0.25),
    "wide": lambda rng: 10.0 ** rng.uniform(-8, 8, 500),
    "clear": lambda rng: np.concatenate([rng.uniform(10, 11, 20), rng.uniform(0, 1e-3, 480)]),
}
cases = pytest.mark.parametrize("case", CASES)
ranks = pytest.mark.parametrize("k", [1, 20, 800])


def squared_norm(w, k):
    """Argyriou et al. 2012, proposition 2.1: the r with |w|_(k−r−1) > Σ_{i>=k−r} |w|_(i)/(r + 1) >= |w|_(k−r)."""
    a = np.concatenate([[np.inf], np.sort(np.abs(w))[::-1], np.zeros(max(0, k - w.size))])
    for r in range(k):
        tail = a[k - r :].sum()
        if a[k - r - 1] > tail / (r + 1) >= a[k - r]:
            return (a[1 : k - r] ** 2).sum() + tail**2 / (r + 1)
    raise AssertionError("no r fits")


def squared_dual(u, k):
    return (np.sort(np.abs(u))[::-1][:k] ** 2).sum()


def draw(case):
    return CASES[case](np.random.default_rng(3))


@cases
@ranks
def test_value(x64, case, k):
    """Sums of 500 positive numbers: relative errors of some 500 ε at worst."""
    w = draw(case)
    assert float(KSupport(0.8, k)(jnp.asarray(w))) == pytest.approx(0.4 * squared_norm(w, k), rel=1e-13)


@pytest.mark.thin(4)
@cases
@ranks
def test_prox_attains_fenchels_equality(x64, case, k):
    """x is the prox of v exactly if u = (v − x)/s has ½‖x‖² + ½‖u‖*² = ⟨x, u⟩; the gap is at least ½‖x − x*‖²/s.

    Errors are in units of the objective; v − x of a small step carries the rounding of v over s into ⟨x, u⟩.
    """
    v = draw(case)
    prox = jax.jit(lambda step: KSupport(0.8, k).prox(jnp.asarray(v), step))
    for step in (1e-8, 0.3, 50.0):
        x, s = np.asarray(prox(step)), 0.8 * step
        u = (v - x) / s
        norm = np.abs(x).sum() ** 2 / min(k, 500) if case == "level" else squared_norm(x, k)  # of equal entries, rounded unequally
        gap = norm / 2 + squared_dual(u, k) / 2 - x @ u
        assert abs(gap) <= 1e-13 * (norm + np.abs(x) @ np.abs(u)) + 1e-15 * np.abs(x) @ np.abs(v) / s


@pytest.mark.slow
@pytest.mark.parametrize("case", ["noise", "sparse"])
def test_the_two_ends(x64, case):
    """k = 1 is the exclusive lasso, k = n half the squared length."""
    w = jnp.asarray(draw(case))
    for ours, other in ((KSupport(0.8, 1), ExclusiveLasso(0.8)), (KSupport(0.8, 500), L2(0.4))):
        for step in (0.01, 2.0):
            np.testing.assert_allclose(ours.prox(w, step), other.prox(w, step), rtol=1e-12, atol=1e-13 * float(jnp.max(jnp.abs(w))))
        assert float(ours.conjugate(w)) == pytest.approx(float(other.conjugate(w)), rel=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("k", [20, 300])
def test_derivatives_at_size(x64, k):
    """Against central differences with a step of 1e-6; the prox is piecewise rational, so 1e-8 is truncation and rounding."""
    rng = np.random.default_rng(5)
    v, u, pull = (jnp.asarray(rng.normal(size=200)) for _ in range(3))

    @jax.jit
    def prox(v, lam):
        return KSupport(lam, k).prox(v, 0.6)

    forward, h = jax.jvp(prox, (v, 0.9), (u, 0.3))[1], 1e-6
    np.testing.assert_allclose(forward, (prox(v + h * u, 0.9 + 0.3 * h) - prox(v - h * u, 0.9 - 0.3 * h)) / (2 * h), atol=1e-8)
    by_v, by_lam = jax.vjp(prox, v, 0.9)[1](pull)
    assert float(by_v @ u + 0.3 * by_lam) == pytest.approx(float(forward @ pull), rel=1e-11)
    penalty = KSupport(0.9, k)
    np.testing.assert_allclose(jax.grad(penalty)(v), penalty.grad(v), rtol=1e-12, atol=1e-14)


@pytest.mark.slow
def test_derivatives_without_strength(x64):
    """At λ = 0 the prox is the identity, zeros included, and its derivative by λ is −step·grad."""
    for v in (jnp.array([3.0, 0.0, -1.0, 1.0]), jnp.array([3.0, 0.0, 0.0, 1.0]), jnp.array([3.0, 0.0, 0.0, 0.0])):
        np.testing.assert_array_equal(jax.jacrev(lambda v: KSupport(0.0, 2).prox(v))(v), np.eye(4))
        slope = jax.jacfwd(lambda lam, v=v: KSupport(lam, 2).prox(v, 0.5))(0.0)
        np.testing.assert_allclose(slope, -0.5 * KSupport(1.0, 2).grad(v), rtol=1e-15)


def test_kinks_beside_k_weights(x64):
    """With fewer than k weights the norm is round; beside k of them a new weight pays like the smallest."""
    penalty = KSupport(1.0, 2)
    assert penalty.support(jnp.array([2.0, 0.0, 0.0])).tolist() == [True, True, True]
    w = jnp.array([2.0, 1.0, 0.0])
    assert penalty.support(w).tolist() == [True, True, False]
    gradient = penalty.grad(w)
    assert float(penalty.subdiff_distance(w, -gradient + jnp.array([0.0, 0.0, 1.0]))) == 0
    assert float(penalty.subdiff_distance(w, -gradient + jnp.array([0.0, 0.0, 1.5]))) == pytest.approx(0.5, rel=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2])
def test_huge_tiny_and_odd_input(k):
    """The prox of c·v is c times that of v; float32 rounds a few times."""
    v = np.array([4.0, -5.0, 0.5, 0.1], np.float32)
    base = np.asarray(KSupport(0.7, k).prox(v))
    for c in (1e30, 1e-30):
        np.testing.assert_allclose(
            np.asarray(KSupport(0.7, k).prox(jnp.asarray(c * v, jnp.float32)), float) / c, base, rtol=1e-6, atol=1e-6
        )
    assert np.all(np.isfinite(KSupport(1e30, k).prox(v)))
    assert np.isnan(KSupport(1.0, k).prox(jnp.array([1.0, jnp.nan, 0.1]))).any()
    assert np.isnan(KSupport(1.0, k)(jnp.array([1.0, jnp.nan, 0.1])))
    assert KSupport(1.0, k).prox(jnp.zeros(0)).shape == (0,)
    assert float(KSupport(1.0, k)(jnp.zeros(0))) == 0
    assert KSupport(1.0, k).prox(jnp.array([3.0])).tolist() == [1.5]
    assert KSupport(1.0, k).prox(jnp.zeros(3)).tolist() == [0, 0, 0]


def test_errors():
    with pytest.raises(TypeError, match="KSupport: k must be an integer, the number of weights to allow, got None"):
        KSupport(1.0)
    with pytest.raises(ValueError, match="KSupport: k must be >= 1, got 0"):
        KSupport(1.0, k=0)
