"""The objective and its training step: under every transformation of jax, in every container of parameters."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxreg
from jaxreg import L1, L2, NonNegative, Zero, make_step, objective, transforms

RNG = np.random.default_rng(0)
KERNEL, BIAS = RNG.normal(size=(3, 2)), RNG.normal(size=2)
X, Y = RNG.normal(size=(8, 3)), RNG.normal(size=(8, 2))


def squares(params, X, y):
    return jnp.sum((X @ params["kernel"] + params["bias"] - y) ** 2)


def parameters(dtype=float):
    return {"kernel": jnp.asarray(KERNEL, dtype), "bias": jnp.asarray(BIAS, dtype)}


def test_value_is_the_sum_as_written(x64):
    f = objective(squares, L2(0.3).on("kernel") + L1(0.2).on("bias"))
    loss = np.sum((X @ KERNEL + BIAS - Y) ** 2)
    penalty = 0.3 * np.sum(KERNEL**2) + 0.2 * np.sum(np.abs(BIAS))
    for value in (f(parameters(), X, Y), jax.jit(f)(parameters(), X, Y)):
        assert float(value) == pytest.approx(loss + penalty, rel=1e-14)
    parts = f.parts(parameters(), X, Y)
    assert [float(p) for p in parts] == [pytest.approx(loss, rel=1e-14), pytest.approx(penalty, rel=1e-14)]
    assert repr(f) == "<objective: squares(w) + 0.3·Σw² on kernel + 0.2·Σ|w| on bias>"


def test_gradient(x64):
    f = objective(squares, L2(0.3).on("kernel"))
    expected = 2 * X.T @ (X @ KERNEL + BIAS - Y) + 2 * 0.3 * KERNEL
    for grad in (f.grad(parameters(), X, Y), jax.jit(jax.grad(f))(parameters(), X, Y)):
        np.testing.assert_allclose(grad["kernel"], expected, rtol=1e-13)


def test_gradient_with_respect_to_lambda(x64):
    """d(loss + λΣw²)/dλ = Σw², per feature w², per layer the layer's own Σw²; the gradient is a penalty of the same structure."""
    w = jnp.asarray([1.0, -2.0, 3.0])
    assert float(jax.grad(lambda lam: objective(lambda p: jnp.sum(p), L2(lam))(w))(0.5)) == 14
    slope = jax.grad(lambda p: objective(jnp.sum, p)(w))(L2(jnp.ones(3)))
    assert isinstance(slope, L2)
    assert slope.lam.tolist() == [1, 4, 9]
    slope = jax.grad(lambda p: p(parameters()))(L2({"kernel": 1.0, "bias": 2.0}) + L1(0.1))
    assert jax.tree.structure(slope) == jax.tree.structure(L2({"kernel": 1.0, "bias": 2.0}) + L1(0.1))
    leaves = jax.tree.leaves(slope)  # bias before kernel, as jax orders dictionaries
    np.testing.assert_allclose(leaves, [np.sum(BIAS**2), np.sum(KERNEL**2), np.abs(KERNEL).sum() + np.abs(BIAS).sum()], rtol=1e-14)
    # A step against that gradient may leave λ negative: nothing validates it on the way.
    moved = jax.tree.map(lambda p, g: p - g, L2(jnp.ones(3)), jax.grad(lambda p: p(w))(L2(jnp.ones(3))))
    assert moved.lam.tolist() == [0, -3, -8]


def test_vmap_over_lambda(x64):
    lams = jnp.asarray([0.0, 0.5, 2.0])
    w = jnp.asarray([1.0, -2.0])
    expected = 3 + np.array([0, 0.5, 2]) * 5
    loss = lambda w: jnp.sum(w**2) - 2  # noqa: E731
    np.testing.assert_allclose(jax.vmap(lambda lam: objective(loss, L2(lam))(w))(lams), expected)
    np.testing.assert_allclose(jax.vmap(lambda f: f(w))(objective(loss, L2(lams))), expected)  # an objective is a pytree
    np.testing.assert_allclose(jax.vmap(lambda p: objective(loss, p)(w), in_axes=(L2(0),))(L2(lams)), expected)
    per_feature = jax.vmap(lambda p: p(w))(L2(jnp.asarray([[1.0, 0.0], [0.0, 1.0]])))
    assert per_feature.tolist() == [1, 4]


def test_lambda_never_recompiles():
    traces = []

    @jax.jit
    def value(penalty, w):
        traces.append(1)
        return objective(lambda w: jnp.zeros(()), penalty)(w)

    for lam in (0.0, 0.1, 0.5, 1e6):
        assert float(value(L2(lam).on("w"), {"w": jnp.ones(2)})) == pytest.approx(2 * lam)
    for lam in (0.1, 0.2):
        value(L2(lam).on(("w", "*")), {"w": jnp.ones(2)})
        value(jaxreg.GroupLasso(lam, groups=np.array([0, 1])), jnp.ones(2))  # equal ids, another array each time
    assert len(traces) == 3


def test_has_aux(x64):
    f = objective(lambda w, x: (jnp.sum(w * x), {"sum": jnp.sum(w)}), L2(1.0), has_aux=True)
    w, x = jnp.asarray([1.0, 2.0]), jnp.asarray([3.0, 4.0])
    value, aux = f(w, x)
    assert (float(value), float(aux["sum"])) == (16, 3)
    (value, aux), grad = jax.value_and_grad(f, has_aux=True)(w, x)
    assert grad.tolist() == [5, 8] == f.grad(w, x).tolist()
    assert [float(p) for p in f.parts(w, x)] == [11, 5]


@pytest.mark.parametrize(("loss", "penalty"), [(1.0, L2()), (jnp.sum, 0.1), (jnp.sum, L2), (None, L2())])
def test_refuses_what_is_no_loss_or_penalty(loss, penalty):
    with pytest.raises(TypeError):  # the message is the shape checker's, where one is installed
        objective(loss, penalty)


# --- one model in every container ------------------------------------------------------------------------------------


class Named(NamedTuple):
    kernel: Any
    bias: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Registered:
    kernel: Any
    bias: Any


def linen_params():
    layer = nn.Dense(2)
    params = layer.init(jax.random.key(0), jnp.asarray(X))
    return {"params": {**params["params"], "kernel": jnp.asarray(KERNEL), "bias": jnp.asarray(BIAS)}}


def nnx_state():
    layer = nnx.Linear(3, 2, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    layer.kernel[...], layer.bias[...] = jnp.asarray(KERNEL), jnp.asarray(BIAS)
    return nnx.split(layer)[1]


def equinox_model():
    model = eqx.nn.MLP(3, 2, width_size=1, depth=0, key=jax.random.key(0))  # callable, with functions and integers as leaves
    return eqx.tree_at(lambda m: (m.layers[0].weight, m.layers[0].bias), model, (jnp.asarray(KERNEL.T), jnp.asarray(BIAS)))


CONTAINERS = {
    "dict": (parameters, "kernel"),
    "nested": (lambda: [{"layer": parameters()}], "**/kernel"),
    "tuple": (lambda: (jnp.asarray(KERNEL), jnp.asarray(BIAS)), "0"),
    "NamedTuple": (lambda: Named(jnp.asarray(KERNEL), jnp.asarray(BIAS)), "kernel"),
    "dataclass": (lambda: Registered(jnp.asarray(KERNEL), jnp.asarray(BIAS)), "kernel"),
    "flax linen": (linen_params, "**/kernel"),
    "flax nnx": (nnx_state, "**/kernel"),
    "flax nnx, pure dict": (lambda: nnx.to_pure_dict(nnx_state()), "**/kernel"),
    "equinox": (equinox_model, "**/weight"),
    "equinox, partitioned": (lambda: eqx.partition(equinox_model(), eqx.is_inexact_array)[0], "**/weight"),
    "with integers, None and functions": (lambda: {**parameters(), "n": jnp.arange(3), "none": None, "f": jnp.tanh, "k": 3}, "kernel"),
}


@pytest.mark.thin(2)
@pytest.mark.parametrize("name", CONTAINERS)
def test_the_same_numbers_in_every_container(x64, name):
    make, kernel = CONTAINERS[name]
    params = make()
    everything, kernel_only = np.sum(KERNEL**2) + np.sum(BIAS**2), np.sum(KERNEL**2)
    assert float(L2(1.0)(params)) == pytest.approx(everything, rel=1e-14)
    assert float(L2(1.0).on(kernel)(params)) == pytest.approx(kernel_only, rel=1e-14)
    if name != "tuple":  # which has no names to go by
        assert float(L2(1.0).on(jaxreg.kernels)(params)) == pytest.approx(kernel_only, rel=1e-14)
    floats = [leaf for leaf in jax.tree.leaves(L2(0.5).prox(params)) if eqx.is_inexact_array(leaf)]
    assert float(sum(jnp.sum(leaf**2) for leaf in floats)) == pytest.approx(everything / 4, rel=1e-14)  # w/(1 + 2·½)
    grads = [leaf for leaf in jax.tree.leaves(L2(0.5).grad(params)) if eqx.is_inexact_array(leaf)]
    assert float(sum(jnp.sum(leaf**2) for leaf in grads)) == pytest.approx(everything, rel=1e-14)  # 2·½·w
    # Structure is untouched: what is no parameter comes back as it was.
    assert jax.tree.structure(L1(0.1).prox(params)) == jax.tree.structure(params)


def test_gradients_in_a_filtered_equinox_model(x64):
    model = equinox_model()
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    f = objective(lambda p: jnp.sum(jax.vmap(eqx.combine(p, rest))(jnp.asarray(X)) ** 2), L2(0.1).on("**/weight"))
    automatic, by_hand = jax.grad(f)(params), f.grad(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), automatic, by_hand)


# --- the training step -----------------------------------------------------------------------------------------------


def test_step_and_metrics(x64):
    step = make_step(objective(squares, L2(0.1).on("kernel")), optax.sgd(0.01))
    state, metrics = step(step.init(parameters()), X, Y)
    residual = X @ KERNEL + BIAS - Y
    slope = {"kernel": 2 * X.T @ residual + 0.2 * KERNEL, "bias": 2 * residual.sum(0)}
    assert float(metrics.loss) == pytest.approx(np.sum(residual**2), rel=1e-13)
    assert float(metrics.penalty) == pytest.approx(0.1 * np.sum(KERNEL**2), rel=1e-13)
    assert float(metrics.grad_norm) == pytest.approx(np.sqrt(sum(np.sum(g**2) for g in slope.values())), rel=1e-13)
    assert metrics.aux is None
    np.testing.assert_allclose(state.params["kernel"], KERNEL - 0.01 * slope["kernel"], rtol=1e-13)
    np.testing.assert_allclose(state.params["bias"], BIAS - 0.01 * slope["bias"], rtol=1e-13)


def test_step_hands_aux_on():
    step = make_step(objective(lambda w: (jnp.sum(w), 2 * w), L2(0.0), has_aux=True), optax.sgd(0.1))
    assert step(step.init(jnp.ones(2)))[1].aux.tolist() == [2, 2]


def test_step_is_compiled_once_for_all_lambda():
    traces = []

    def loss(w):
        traces.append(1)
        return jnp.sum(w**2)

    step = make_step(objective(loss, L2(0.1)), optax.adam(0.1))
    state = step.init(jnp.ones(3))
    for lam in (0.0, 0.1, 5.0, np.float32(0.3), np.float64(0.3), 1, jnp.array(0.3), jnp.float32(0.2)):
        _, metrics = step(state._replace(penalty=L2(lam)))
        assert float(metrics.penalty) == pytest.approx(3 * float(lam), rel=1e-6)
    assert len(traces) == 1


@pytest.mark.parametrize(
    "chain",
    [
        lambda: optax.chain(transforms.coupled(L2(0.1)), optax.sgd(0.1)),
        lambda: optax.chain(optax.adam(0.1), transforms.decoupled(L2(0.1), 0.1)),
        lambda: optax.chain(optax.adam(0.1), transforms.fully_decoupled(L2(0.1), 1.0)),
        lambda: optax.chain(optax.masked(transforms.coupled(L2(0.1)), True), optax.sgd(0.1)),
        lambda: optax.MultiSteps(optax.chain(transforms.coupled(L2(0.1)), optax.sgd(0.1)), 2).gradient_transformation(),
    ],
)
def test_a_penalty_in_both_places_is_an_error(chain):
    with pytest.raises(ValueError, match="penalised twice"):
        make_step(objective(jnp.sum, L2(0.5)), chain()).init(jnp.ones(2))
    make_step(objective(jnp.sum, L2(0.5)), chain(), allow_both=True).init(jnp.ones(2))
    make_step(objective(jnp.sum, Zero()), chain()).init(jnp.ones(2))


def test_what_a_gradient_cannot_enforce_is_refused():
    for penalty in (NonNegative(), L2() + NonNegative(), NonNegative().on("w")):
        with pytest.raises(TypeError, match="contains a constraint"):
            make_step(objective(jnp.sum, penalty), optax.sgd(0.1))
    for make in (transforms.coupled, lambda p: transforms.decoupled(p, 0.1), lambda p: transforms.fully_decoupled(p, 0.1)):
        with pytest.raises(TypeError, match="is a constraint"):
            make(NonNegative())
        with pytest.raises(TypeError):
            make(0.1)
    for make in (transforms.decoupled, transforms.fully_decoupled):
        for rate in (L2(), "0.1", jnp.ones(2), None):
            with pytest.raises(TypeError):
                make(L2(), rate)
    with pytest.raises(TypeError):
        make_step(jnp.sum, optax.sgd(0.1))  # pyright: ignore[reportArgumentType]


def test_mistakes_show_at_init_and_without_params():
    with pytest.raises(ValueError, match="selects no floating-point leaf"):
        make_step(objective(jnp.sum, L2().on("**/kernal")), optax.sgd(0.1)).init({"kernel": jnp.ones(2)})
    tx = transforms.coupled(L2())
    with pytest.raises(ValueError, match="the decay depends on the weights"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_gradient_step(x64):
    params, grads = parameters(), jax.tree.map(jnp.ones_like, parameters())
    new = jaxreg.gradient_step(params, grads, lr=0.5, lam=0.25)
    np.testing.assert_allclose(new["kernel"], KERNEL - 0.5 * (1 + 0.5 * KERNEL), rtol=1e-15)
