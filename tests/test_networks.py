"""Penalties as networks use them: kernels by name, filters and neurons as groups, fine-tuning, and terms that penalise no parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxreg
from jaxreg import L1, L2, L2Norm, LInf, terms

pytestmark = pytest.mark.thin(3)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))


def network():
    """As flax names it: a convolution (height, width, in, out) with a batch norm, and a dense layer (in, out)."""
    return {
        "Conv_0": {"kernel": jnp.asarray(RNG.normal(size=(3, 3, 2, 4))), "bias": jnp.ones(4)},
        "BatchNorm_0": {"scale": jnp.ones(4), "bias": jnp.ones(4)},
        "Dense_0": {"kernel": jnp.asarray(RNG.normal(size=(4, 3))), "bias": jnp.ones(3)},
    }


def test_l2_sp_is_l2_around_the_pretrained_weights(x64):
    """Xuhong, Grandvalet and Davoine, Explicit inductive bias for transfer learning, 2018, eq. 3:
    ½α‖w_S − w⁰_S‖² + ½β‖w_S̄‖², S the layers that were trained before and S̄ the new head."""
    before, params = network(), network()
    alpha, beta = 0.3, 0.05
    penalty = L2(alpha / 2).on("Conv_0/kernel").around(before) + L2(beta / 2).on("Dense_0/kernel")
    pretrained, head = (np.asarray(params[name]["kernel"]) for name in ("Conv_0", "Dense_0"))
    moved = pretrained - np.asarray(before["Conv_0"]["kernel"])
    assert float(penalty(params)) == pytest.approx(alpha / 2 * (moved**2).sum() + beta / 2 * (head**2).sum(), rel=1e-13)
    gradient = penalty.grad(params)
    np.testing.assert_allclose(gradient["Conv_0"]["kernel"], alpha * moved, rtol=1e-13)
    np.testing.assert_allclose(gradient["Dense_0"]["kernel"], beta * head, rtol=1e-13)
    for leaf in (gradient["Conv_0"]["bias"], *gradient["BatchNorm_0"].values(), gradient["Dense_0"]["bias"]):
        assert np.all(np.asarray(leaf) == 0)
    # A huge strength keeps the pretrained weights, and brings the head to zero only by its own.
    held = (L2(1e12).on("Conv_0/kernel").around(before) + L2(beta / 2).on("Dense_0/kernel")).prox(params)
    np.testing.assert_allclose(held["Conv_0"]["kernel"], before["Conv_0"]["kernel"], atol=1e-11)
    np.testing.assert_allclose(held["Dense_0"]["kernel"], head / (1 + beta), rtol=1e-13)


def test_norms_of_filters_and_neurons_against_numpy(x64):
    """A filter is a kernel's slice over (height, width, in); a neuron a dense kernel's column."""
    params = network()
    conv, dense = np.asarray(params["Conv_0"]["kernel"]), np.asarray(params["Dense_0"]["kernel"])
    penalty = L2Norm(0.4, axis=(0, 1, 2)).on("Conv_0/kernel") + LInf(0.7, axis=0).on("Dense_0/kernel")
    expected = 0.4 * sum(np.linalg.norm(conv[..., k]) for k in range(4)) + 0.7 * np.abs(dense).max(axis=0).sum()
    assert float(penalty(params)) == pytest.approx(expected, rel=1e-13)
    lengths = np.array([np.linalg.norm(conv[..., k]) for k in range(4)])
    step = float(np.median(lengths)) / 0.4
    found = np.asarray(penalty.prox(params, step)["Conv_0"]["kernel"])
    np.testing.assert_allclose(found, conv * np.maximum(1 - 0.4 * step / lengths, 0), atol=1e-13)
    assert np.all(found[..., lengths < np.median(lengths)] == 0)


@pytest.mark.parametrize("norm", [L2Norm, LInf])
def test_proximal_steps_empty_whole_filters(norm):
    """SGD and then the prox on a problem where two of four filters have nothing to fit: these end at zero, whole, the others do not."""
    inputs = jnp.asarray(RNG.normal(size=(16, 6, 6, 2)), jnp.float32)
    truth = jnp.asarray(RNG.normal(size=(3, 3, 2, 4)) * np.array([1, 0, 1, 0]), jnp.float32)

    def conv(kernel):
        return jax.lax.conv_general_dilated(inputs, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def loss(params):
        return jnp.mean((conv(params["kernel"]) + params["bias"] - conv(truth)) ** 2)

    penalty, tx = norm(0.05, axis=(0, 1, 2)).on("**/kernel"), optax.sgd(0.3)

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state = carry
            updates, state = tx.update(jax.grad(loss)(params), state)
            return (penalty.prox(optax.apply_updates(params, updates), 0.3), state), None

        return jax.lax.scan(step, (params, tx.init(params)), length=100)[0][0]

    kernel = np.asarray(train({"kernel": 0.1 * jnp.ones((3, 3, 2, 4)), "bias": jnp.zeros(4)})["kernel"])
    assert np.all(kernel[..., [1, 3]] == 0)
    assert np.all(np.abs(kernel[..., [0, 2]]).max(axis=(0, 1, 2)) > 0.5)


def mlp(params, x):
    return jnp.tanh(x @ params["a"]) @ params["b"]


def weights():
    return {"a": jnp.asarray(RNG.normal(size=(3, 4))), "b": jnp.asarray(RNG.normal(size=(4, 2)))}


def per_row(function, x, h=1e-6):
    """The Jacobian of each row by central differences, (rows, outputs, inputs)."""
    columns = [(function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(x.shape[1])]
    return np.stack([np.asarray(c).reshape(len(x), -1) for c in columns], axis=-1)


def test_jacobian_of_a_linear_model_is_its_kernel(x64):
    W = jnp.asarray(RNG.normal(size=(3, 7)))
    for kernel in (W, W.T @ W @ W.T):  # more outputs than inputs, and fewer
        x = jnp.asarray(RNG.normal(size=(5, kernel.shape[0])))
        value, slope = jax.value_and_grad(terms.jacobian(lambda k, x: x @ k, 0.4))(kernel, x)
        assert float(value) == pytest.approx(0.4 * float(jnp.sum(kernel**2)), rel=1e-13)
        np.testing.assert_allclose(slope, 0.8 * kernel, rtol=1e-12)


def test_jacobian_of_a_network_against_differences(x64):
    params, x = weights(), jnp.asarray(X)
    expected = (per_row(lambda z: mlp(params, z), X) ** 2).sum() / len(X)
    assert float(terms.jacobian(mlp, 0.4)(params, x, "labels are not asked")) == pytest.approx(0.4 * expected, rel=1e-8)


@pytest.mark.slow
def test_projected_jacobian_is_unbiased(x64):
    """The mean of many keys within 5 standard errors, and exactly right for one output, where a unit vector is ±1."""
    params, x = weights(), jnp.asarray(X)
    exact = float(terms.jacobian(mlp, 0.4)(params, x))
    one = jax.jit(jax.vmap(lambda key: terms.jacobian(mlp, 0.4, key=key)(params, x)))
    draws = np.asarray(one(jax.random.split(jax.random.key(1), 400)))
    assert draws.std() > 0.01 * exact
    assert abs(draws.mean() - exact) < 5 * draws.std() / 20
    many = np.asarray(
        jax.jit(jax.vmap(lambda key: terms.jacobian(mlp, 0.4, key, projections=25)(params, x)))(jax.random.split(jax.random.key(2), 100))
    )
    assert many.std() < draws.std() / 5 * 1.5  # √25, and what 100 draws leave uncertain

    def single(params, x):
        return mlp(params, x)[:, :1]

    found = terms.jacobian(single, 0.4, key=jax.random.key(3))(params, x)
    assert float(found) == pytest.approx(float(terms.jacobian(single, 0.4)(params, x)), rel=1e-13)


def squared_error(params, x, y):
    return jnp.sum((mlp(params, x) - y) ** 2)


def test_input_gradient_against_differences(x64):
    params, x, y = weights(), jnp.asarray(X), jnp.asarray(RNG.normal(size=(5, 2)))
    slopes = per_row(lambda z: np.sum((np.asarray(mlp(params, z)) - np.asarray(y)) ** 2, axis=1), X)
    found = terms.input_gradient(squared_error, 0.4)(params, x, y)
    assert float(found) == pytest.approx(0.4 * (slopes**2).sum() / 5, rel=1e-7)
    with_aux = terms.input_gradient(lambda *a: (squared_error(*a), "aux"), 0.4, has_aux=True)(params, x, y)
    assert float(with_aux) == float(found)
    # The mean over rows of a loss that is itself a mean is asked row by row, so it is the same.
    mean = terms.input_gradient(lambda p, x, y: squared_error(p, x, y) / len(x), 0.4)(params, x, y)
    assert float(mean) == pytest.approx(float(found), rel=1e-13)


@pytest.mark.thin(2)
@pytest.mark.parametrize("which", ["jacobian", "projected", "input_gradient", "activity"])
def test_gradients_of_terms_against_differences(x64, which):
    """Double backpropagation is differentiable: central differences are good to 1e-10/1e-5 of values near 10."""
    term = {
        "jacobian": terms.jacobian(mlp, 0.4),
        "projected": terms.jacobian(mlp, 0.4, key=jax.random.key(0), projections=2),
        "input_gradient": terms.input_gradient(squared_error, 0.4),
        "activity": terms.activity(mlp, L2(0.4)),
    }[which]
    params, x, y = weights(), jnp.asarray(X), jnp.ones((5, 2))
    moved = jax.tree.map(lambda w: jnp.asarray(RNG.normal(size=w.shape)), params)
    run = jax.jit(lambda t: term(jax.tree.map(lambda w, d: w + t * d, params, moved), x, y))
    slope = jax.grad(run)(0.0)
    assert float(slope) == pytest.approx(float((run(1e-5) - run(-1e-5)) / 2e-5), rel=1e-6)


def test_what_has_no_rows_is_refused():
    none, some = jnp.zeros((0, 2)), jnp.ones((3, 2))
    for term in (terms.activity(lambda w, x: x @ w, L1(1.0)), terms.jacobian(lambda w, x: x @ w)):
        with pytest.raises(ValueError, match="x must hold rows to average over"):
            term(jnp.eye(2), none)
    with pytest.raises(ValueError, match=r"one has shape \(\) beside 3 rows of x"):
        terms.input_gradient(lambda w, x, scale: scale * jnp.sum(x @ w))(jnp.eye(2), some, 2.0)


def test_activity_is_a_mean_over_rows(x64):
    params, x = weights(), jnp.asarray(X)
    found = terms.activity(mlp, L1(0.4))(params, x)
    assert float(found) == pytest.approx(0.4 * np.abs(np.asarray(mlp(params, x))).sum() / 5, rel=1e-13)
    twice = terms.activity(mlp, L1(0.4))(params, jnp.concatenate([x, x]))
    assert float(twice) == pytest.approx(float(found), rel=1e-13)
    layers = terms.activity(lambda p, x: {"hidden": x @ p["a"], "out": mlp(p, x)}, L1(0.4).on("hidden"))
    assert float(layers(params, x)) == pytest.approx(0.4 * np.abs(X @ np.asarray(params["a"])).sum() / 5, rel=1e-13)


def test_terms_join_a_loss_with_and_without_aux(x64):
    params, x, y = weights(), jnp.asarray(X), jnp.ones((5, 2))
    parts = (terms.activity(mlp, L1(0.4)), terms.jacobian(mlp, 0.1))
    expected = float(squared_error(params, x, y) + parts[0](params, x) + parts[1](params, x))
    assert float(terms.add(squared_error, *parts)(params, x, y)) == pytest.approx(expected, rel=1e-13)
    with_aux = terms.add(lambda *a: (squared_error(*a), {"rows": 5}), *parts, has_aux=True)
    f = jaxreg.objective(with_aux, L2(0.5), has_aux=True)
    value, aux = f(params, x, y)
    assert aux == {"rows": 5}
    assert float(value) == pytest.approx(expected + float(L2(0.5)(params)), rel=1e-13)
    assert repr(jaxreg.objective(terms.add(squared_error, *parts), L2(0.5))).startswith("<objective: squared_error_plus_activity_plus_jac")


def test_strengths_of_terms_are_traced(x64):
    params, x = weights(), jnp.asarray(X)
    values = jax.jit(jax.vmap(lambda lam: terms.jacobian(mlp, lam)(params, x)))(jnp.asarray([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(values, values[1] * np.arange(3), rtol=1e-13)


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda: terms.jacobian(mlp, -1.0), ValueError, "jacobian: lam must be finite and >= 0"),
        (lambda: terms.jacobian(mlp, key=jax.random.key(0), projections=0), ValueError, "projections must be >= 1"),
        (lambda: terms.input_gradient(squared_error, np.nan), ValueError, "input_gradient: lam must be finite"),
        (lambda: terms.activity(mlp, "l1"), TypeError, "penalty"),
        (lambda: terms.add(squared_error, L1(1.0)), TypeError, "a penalty goes to objective"),
    ],
)
def test_errors_say_what_to_do(act, error, words):
    with pytest.raises(error, match=words):
        act()


def test_jacobian_of_several_inputs_is_that_of_all_of_them(x64):
    rng = np.random.default_rng(5)
    x = {"a": jnp.asarray(rng.normal(size=(3, 2))), "b": jnp.asarray(rng.normal(size=(3, 4)))}
    kernels = {"a": jnp.asarray(rng.normal(size=(2, 5))), "b": jnp.asarray(rng.normal(size=(4, 5)))}
    both = lambda k, x: x["a"] @ k["a"] + x["b"] @ k["b"]  # noqa: E731
    expected = 0.4 * sum(float(jnp.sum(k**2)) for k in kernels.values())
    np.testing.assert_allclose(terms.jacobian(both, 0.4)(kernels, x), expected, rtol=1e-13)


def test_jacobian_refuses_what_it_cannot_do(x64):
    linear, kernel, x = (lambda k, x: x @ k), jnp.ones((2, 2)), jnp.ones((5, 2))
    with pytest.raises(TypeError, match="projections must be an integer"):
        terms.jacobian(linear, projections=2.5)
    with pytest.raises(ValueError, match="need a key"):
        terms.jacobian(linear, projections=3)
    with pytest.raises(TypeError, match="x must hold floating-point numbers"):
        terms.jacobian(linear)(kernel, jnp.ones((5, 2), int))
    for key in (None, jax.random.key(0)):
        with pytest.raises(ValueError, match="a row of outputs for each of the 5 rows"):
            terms.jacobian(lambda k, x: jnp.sum(linear(k, x)), key=key)(kernel, x)
