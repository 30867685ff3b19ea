"""jaxreg.compat.jaxopt against jaxopt itself and against the minimisation that each name stands for."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import optimize

import jaxreg
from jaxreg.compat import jaxopt

with warnings.catch_warnings():  # importing it says that it is no longer maintained
    warnings.simplefilter("ignore", DeprecationWarning)
    from jaxopt import prox as peer

POINTS = np.array([-3.0, -1.0, -0.2, 0.0, 0.2, 0.7, 1.0, 2.5])


def l1(y, lam):
    return lam * np.abs(y)


def half_square(y, lam):
    return lam * y**2 / 2


# name: (prox, penalty of one number as the definition has it, whether y >= 0)
DEFINITIONS = {
    "none": (lambda x, lam, s: jaxopt.prox_none(x, lam, s), lambda y, lam: 0 * y, False),
    "lasso": (jaxopt.prox_lasso, l1, False),
    "non_negative_lasso": (jaxopt.prox_non_negative_lasso, l1, True),
    "elastic_net": (
        lambda x, lam, s: jaxopt.prox_elastic_net(x, (lam, 0.4), s),
        lambda y, lam: l1(y, lam) + half_square(y, 0.4 * lam),
        False,
    ),
    "ridge": (jaxopt.prox_ridge, half_square, False),
    "non_negative_ridge": (jaxopt.prox_non_negative_ridge, half_square, True),
}


def minimiser(x, penalty, nonnegative):
    """The best of a bounded search on either side of zero, and zero itself: the functions are convex there."""
    sides = [(0.0, 5.0)] if nonnegative else [(-5.0, 0.0), (0.0, 5.0)]

    def objective(y):
        return 0.5 * (y - x) ** 2 + penalty(y)

    found = [optimize.minimize_scalar(objective, bounds=side, method="bounded", options={"xatol": 1e-10}).x for side in sides]
    return min([0.0, *found], key=objective)


@pytest.mark.parametrize("scaling", [0.5, 2.0])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_minimises_its_definition(x64, name, scaling):
    prox, penalty, nonnegative = DEFINITIONS[name]
    best = [minimiser(x, lambda y: scaling * penalty(y, 0.6), nonnegative) for x in POINTS]
    # A search over values knows the minimiser to the root of rounding in the objective (1e-16 · 10).
    np.testing.assert_allclose(prox(jnp.asarray(POINTS), 0.6, scaling), best, atol=1e-7)


HYPERPARAMS = {"elastic_net": [None, (0.6, 0.4)]}


@pytest.mark.parametrize("scaling", [0.5, 2.0])
@pytest.mark.parametrize("name", [*DEFINITIONS, "group_lasso"])
def test_equals_jaxopt(x64, name, scaling):
    x = {"a": jnp.asarray(POINTS), "b": jnp.array([0.4, -2.0])}
    ours, theirs = (getattr(module, f"prox_{name}") for module in (jaxopt, peer))
    for hyperparams in HYPERPARAMS.get(name, [1.0, 0.6]):
        found, expected = ours(x, hyperparams, scaling), theirs(x, hyperparams, scaling)
        for key in x:
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-14, atol=1e-15)  # some roundings


@pytest.mark.parametrize(("l2reg", "scaling"), [(0.5, 1.0), (3.0, 2.0)])
def test_group_lasso_is_one_group_of_weight_one(x64, l2reg, scaling):
    x = {"a": jnp.array([3.0, 0.0]), "b": jnp.array(4.0)}  # of norm 5
    factor = max(0.0, 1 - l2reg * scaling / 5)
    found = jaxopt.prox_group_lasso(x, l2reg, scaling)
    np.testing.assert_allclose(found["a"], factor * x["a"], rtol=1e-15)
    np.testing.assert_allclose(found["b"], factor * x["b"], rtol=1e-15)


def test_group_lasso_at_zero_has_a_derivative(x64):
    assert np.isnan(jax.jacobian(lambda x: peer.prox_group_lasso(x, 1.0))(jnp.zeros(3))).any()  # as the module says of jaxopt
    assert np.array_equal(jax.jacobian(lambda x: jaxopt.prox_group_lasso(x, 1.0))(jnp.zeros(3)), np.zeros((3, 3)))


def test_none_means_one(x64):
    x = jnp.asarray(POINTS)
    np.testing.assert_array_equal(jaxopt.prox_lasso(x, None), jaxopt.prox_lasso(x, 1.0))
    np.testing.assert_array_equal(jaxopt.prox_ridge(x, None), x / 2)
    np.testing.assert_array_equal(jaxopt.prox_elastic_net(x), jaxopt.prox_lasso(x, 1.0) / 2)


def test_strengths_as_pytrees(x64):
    x = {"a": jnp.array([3.0, -3.0]), "b": jnp.array([1.0])}
    lam, gamma = {"a": 0.5, "b": jnp.array([2.0])}, {"a": jnp.array([1.0, 3.0]), "b": 5.0}
    found = jaxopt.prox_elastic_net(x, (lam, gamma), 2.0)
    np.testing.assert_allclose(found["a"], [2 / 2, -2 / 4])  # threshold 1, then 1 + 2·0.5·γ
    np.testing.assert_allclose(found["b"], [0.0])
    mixed = jaxopt.prox_elastic_net(x, (0.5, gamma), 2.0)
    np.testing.assert_allclose(mixed["a"], found["a"])
    np.testing.assert_allclose(jaxopt.prox_lasso(x, lam)["a"], [2.5, -2.5])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_keeps_the_dtype_and_transforms(x64, dtype):
    x = jnp.asarray(POINTS, dtype)
    for prox, _, _ in DEFINITIONS.values():
        assert prox(x, 0.6, 2.0).dtype == dtype
    batched = jax.jit(jax.vmap(lambda lam: jaxopt.prox_lasso(x, lam, 1.0)))(jnp.array([0.1, 1.0], dtype))
    np.testing.assert_allclose(batched[1], jaxopt.prox_lasso(x, 1.0), rtol=1e-6)


def test_projection(x64):
    prox = jaxopt.make_prox_from_projection(optax.projections.projection_simplex)
    found = prox(jnp.array([0.3, 2.0]), 1.0, scaling=17.0)
    np.testing.assert_allclose(found, [0.0, 1.0])


def test_negative_strength_is_an_error():
    with pytest.raises(ValueError, match="lam must be finite and >= 0"):
        jaxopt.prox_lasso(jnp.ones(2), -1.0)
    with pytest.raises(ValueError, match="scaling must be >= 0"):
        jaxopt.prox_lasso(jnp.ones(2), 1.0, -1.0)
    # The number that was passed is named, not what it is in jaxreg's units.
    with pytest.raises(ValueError, match="prox_ridge: l2reg must be finite and >= 0, got -2"):
        jaxopt.prox_ridge(jnp.ones(2), -2.0)
    with pytest.raises(ValueError, match=r"prox_elastic_net: hyperparams must be finite and >= 0, got -3"):
        jaxopt.prox_elastic_net(jnp.ones(2), (1.0, -3.0))


class TestAsProxFn:
    def test_signature_and_units(self, x64):
        prox, x = jaxreg.L2(0.25).as_prox_fn(), jnp.array([3.0, -1.0])
        np.testing.assert_allclose(prox(x), x / 1.5)  # 1 + 2·0.25
        np.testing.assert_allclose(prox(x, 4.0, 0.5), x / 2)  # hyperparams multiply the penalty, as λ does on a path
        np.testing.assert_allclose(prox(x, hyperparams=None, scaling=2.0), x / 2)

    def test_mcp_keeps_its_own_strength_until_given_another(self, x64):
        prox, x = jaxreg.MCP(0.5).as_prox_fn(), jnp.array([1.2, 9.0])
        np.testing.assert_allclose(prox(x), [0.7 * 1.5, 9.0])  # (1.2 − 0.5)/(1 − 1/3)
        np.testing.assert_allclose(prox(x, 1.0), [0.2 * 1.5, 9.0])

    def test_a_constraint_ignores_both(self, x64):
        np.testing.assert_array_equal(jaxreg.NonNegative().as_prox_fn()(jnp.array([-1.0, 2.0]), 7.0, 3.0), [0.0, 2.0])

    def test_in_a_proximal_gradient_loop(self, x64):
        """The loop that jaxopt's users write, against the closed form of an orthonormal lasso."""
        X = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(20, 4)))[0])
        y, prox, w = X @ jnp.array([3.0, -2.0, 0.2, 0.0]), jaxreg.L1(1.0).as_prox_fn(), jnp.zeros(4)
        for _ in range(3):
            w = prox(w - X.T @ (X @ w - y), 0.5, 1.0)
        np.testing.assert_allclose(w, [2.5, -1.5, 0.0, 0.0], atol=1e-14)


def test_the_differences_it_names(x64):
    x, peer_of = jnp.array([3.0, -0.5]), peer.prox_lasso
    assert peer_of(x, 1.0, -1.0)[0] == 4
    with pytest.raises(ValueError, match=r"^scaling must be >= 0, got -1"):
        jaxopt.prox_lasso(x, 1.0, -1.0)
    with pytest.raises(ValueError, match=r"^scaling must be >= 0, got -0.2"):
        jaxopt.prox_ridge(x, 1.0, -0.2)
    assert peer_of(x, jnp.inf)[0] == 0
    with pytest.raises(ValueError, match="lam must be finite"):
        jaxopt.prox_lasso(x, jnp.inf)
    assert peer_of(x[0], jnp.ones(2)).shape == (2,)
    with pytest.raises(ValueError, match="does not fit a params leaf"):
        jaxopt.prox_lasso(x[0], jnp.ones(2))
    assert jnp.iscomplexobj(peer_of(x + 1j))
    with pytest.raises(TypeError, match="complex"):
        jaxopt.prox_lasso(x + 1j)
    assert np.signbit(peer_of(x)[1])
    assert not np.signbit(jaxopt.prox_lasso(x)[1])
    for prox, trees in ((jaxopt.prox_ridge, peer.prox_ridge), (jaxopt.prox_non_negative_ridge, peer.prox_non_negative_ridge)):
        np.testing.assert_allclose(prox({"a": x}, {"a": 2.0})["a"][0], 1.0)
        with pytest.raises(TypeError):
            trees({"a": x}, {"a": 2.0})
    assert jaxopt.prox_group_lasso({}) == {}
    with pytest.raises(TypeError, match="must be two strengths"):
        jaxopt.prox_elastic_net(x, (None, 3.0))
