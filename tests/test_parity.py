"""Weight decay against the papers: four spellings of SGD are one algorithm, three couplings of Adam are three.

The oracles are NumPy loops written from Loshchilov and Hutter, Decoupled weight decay regularization, 2019, algorithms 1 and 2,
with their λ' = 2·lam where a penalty ``L2(lam)`` stands for the decay ``2·lam·w``.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxreg import L1, L2, gradient_step, transforms
from jaxreg._dtypes import x64_scope

RNG = np.random.default_rng(0)
X, TARGETS = RNG.normal(size=(40, 5)), RNG.normal(size=(40, 2))
START = {"dense": {"kernel": RNG.normal(size=(5, 2)), "bias": np.array([0.5, -1.0])}, "scale": np.array(2.0)}
LAM, LR = 0.05, 0.05


def loss(params):
    """A quadratic form in all leaves of a nested tree."""
    predicted = jnp.asarray(X, params["scale"].dtype) @ params["dense"]["kernel"] + params["dense"]["bias"]
    fit = jnp.mean((predicted - jnp.asarray(TARGETS, predicted.dtype)) ** 2)
    return fit + (params["scale"] - 1) ** 2 / 2


def start(dtype):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), START)


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def per_step(history):
    """(steps, p) of a pytree whose leaves are stacked over the steps."""
    return np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(history)], axis=1)


def run(tx, steps, dtype=jnp.float64, slope=None):
    """The weights after each step, (steps, p). ``slope(params, t)`` replaces the loss's gradient."""
    slope = slope or (lambda params, t: jax.grad(loss)(params))

    def body(carry, t):
        params, state = carry
        updates, state = tx.update(slope(params, t), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    params = start(dtype)
    _, history = jax.jit(lambda p: jax.lax.scan(body, (p, tx.init(p)), jnp.arange(steps)))(params)
    return per_step(history)


def adam_oracle(steps, decay, coupling, lr=lambda t: LR, eta=lambda t: 1.0, beta1=0.9, beta2=0.999, eps=1e-8):
    """Algorithm 2 in NumPy. ``decay`` is the paper's λ; lr(t) and eta(t) count steps from 0."""
    with x64_scope():
        params = start(jnp.float64)
        _, unravel = jax.flatten_util.ravel_pytree(params)
        slope = jax.jit(lambda w: jax.flatten_util.ravel_pytree(jax.grad(loss)(unravel(w)))[0])
        w = flat(params)
        m, v, history = np.zeros_like(w), np.zeros_like(w), []
        for t in range(steps):
            g = np.asarray(slope(jnp.asarray(w)))
            if coupling == "coupled":
                g = g + decay * w  # line 6
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            stepped = w - eta(t) * lr(t) * (m / (1 - beta1 ** (t + 1))) / (np.sqrt(v / (1 - beta2 ** (t + 1))) + eps)
            apart = {"coupled": 0.0, "decoupled": eta(t) * lr(t) * decay, "fully": eta(t) * decay}[coupling]
            w = stepped - apart * w  # line 12
            history.append(w)
    return np.stack(history)


# --- SGD: one algorithm in four spellings ----------------------------------------------------------------------------


def sgd_runs(dtype, steps):
    def textbook(params, _):
        new = gradient_step(params, jax.grad(loss)(params), LR, LAM)
        return new, new

    def shrinking(params, _):
        new = jax.tree.map(lambda w, g: w * (1 - 2 * LR * LAM) - LR * g, params, jax.grad(loss)(params))
        return new, new

    def scanned(body):
        _, history = jax.jit(lambda p: jax.lax.scan(body, p, None, length=steps))(start(dtype))
        return per_step(history)

    return {
        "gradient_step": scanned(textbook),
        "coupled": run(optax.chain(transforms.coupled(L2(LAM)), optax.sgd(LR)), steps, dtype),
        "decoupled": run(optax.chain(optax.sgd(LR), transforms.decoupled(L2(LAM), LR)), steps, dtype),
        "add_decayed_weights": run(optax.chain(optax.add_decayed_weights(2 * LAM), optax.sgd(LR)), steps, dtype),
        "shrinking": scanned(shrinking),
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_sgd_spellings_agree_over_a_thousand_steps(x64, dtype):
    """One step rounds to within 16·p·eps of the weights (a gradient of n·p products, lr·L <= 1, a few operations); the step
    contracts by ρ = 1 − lr·(μ + 2λ), so what accumulates is at most that over 1 − ρ, however many steps."""
    runs = sgd_runs(dtype, 1000)
    p = runs["shrinking"].shape[1]
    _, unravel = jax.flatten_util.ravel_pytree(start(jnp.float64))
    eigenvalues = np.linalg.eigvalsh(np.asarray(jax.hessian(lambda w: loss(unravel(w)))(jnp.zeros(p))))
    assert LR * (eigenvalues[-1] + 2 * LAM) < 1
    scale = max(np.abs(history).max() for history in runs.values())
    tolerance = 16 * p * float(jnp.finfo(dtype).eps) * scale / (LR * (eigenvalues[0] + 2 * LAM))
    for name, history in runs.items():
        assert history.dtype == dtype
        np.testing.assert_allclose(history, runs["shrinking"], rtol=0, atol=tolerance, err_msg=name)
    # Half the decay, the ½ convention, is outside that tolerance, and so is none.
    for wrong in (LAM / 2, 0.0):
        other = run(optax.chain(optax.add_decayed_weights(2 * wrong), optax.sgd(LR)), 1000, dtype)
        assert np.abs(other[-1] - runs["shrinking"][-1]).max() > 2 * tolerance


@pytest.mark.slow
def test_sgd_reaches_the_ridge_solution(x64):
    """1,000 steps of ``gradient_step`` end where the gradient of loss + λ·Σw² vanishes."""
    last = sgd_runs(jnp.float64, 1000)["gradient_step"][-1]
    _, unravel = jax.flatten_util.ravel_pytree(start(jnp.float64))
    objective = lambda w: loss(unravel(w)) + LAM * jnp.sum(w**2)  # noqa: E731
    smallest = np.linalg.eigvalsh(np.asarray(jax.hessian(objective)(jnp.asarray(last))))[0]
    first = np.linalg.norm(jax.grad(objective)(jnp.asarray(flat(START))))
    contraction = (1 - LR * smallest) ** 1000  # of the gradient of a quadratic form
    assert contraction < 1e-10
    assert np.linalg.norm(jax.grad(objective)(jnp.asarray(last))) < contraction * first + 1e-14


# --- Adam: three algorithms ------------------------------------------------------------------------------------------

STEPS = 300
# Adam divides by √v, which amplifies the rounding of a gradient by |g|/√v̂ <= 1/√(1 − β₂) ≈ 32 a step, over 300 steps of 0.05:
# 300·0.05·32·eps ≈ 1e-13, and the two compilers' orders of summation differ by a few eps more.
ADAM_TOLERANCE = 1e-12


def schedule(t):
    """A cosine multiplier η_t, from 1 to 0.1."""
    return 0.55 + 0.45 * jnp.cos(jnp.pi * t / STEPS)


def numpy_schedule(t):
    return 0.55 + 0.45 * np.cos(np.pi * t / STEPS)


ADAM = {
    "coupled": (lambda: optax.chain(transforms.coupled(L2(LAM)), optax.adam(LR)), {}),
    "decoupled": (lambda: optax.chain(optax.adam(LR), transforms.decoupled(L2(LAM), LR)), {}),
    "fully": (lambda: optax.chain(optax.adam(LR), transforms.fully_decoupled(L2(LAM), 1.0)), {}),
    "coupled, scheduled": (
        lambda: optax.chain(transforms.coupled(L2(LAM)), optax.adam(lambda t: LR * schedule(t))),
        {"eta": numpy_schedule},
    ),
    "decoupled, scheduled": (
        lambda: optax.chain(optax.adam(lambda t: LR * schedule(t)), transforms.decoupled(L2(LAM), lambda t: LR * schedule(t))),
        {"eta": numpy_schedule},
    ),
    "fully, scheduled": (
        lambda: optax.chain(optax.adam(lambda t: LR * schedule(t)), transforms.fully_decoupled(L2(LAM), schedule)),
        {"eta": numpy_schedule},
    ),
}


@functools.cache
def adam_runs():
    with x64_scope():
        return {name: run(make(), STEPS) for name, (make, _) in ADAM.items()}


@pytest.mark.parametrize("name", ADAM)
def test_adam_matches_the_paper_step_by_step(name):
    expected = adam_oracle(STEPS, 2 * LAM, name.partition(",")[0], **ADAM[name][1])
    np.testing.assert_allclose(adam_runs()[name], expected, rtol=0, atol=ADAM_TOLERANCE)


@pytest.mark.parametrize(("first", "second"), [("coupled", "decoupled"), ("coupled", "fully"), ("decoupled", "fully")])
@pytest.mark.parametrize("suffix", ["", ", scheduled"])
def test_adam_couplings_are_different_algorithms(first, second, suffix):
    assert np.abs(adam_runs()[first + suffix] - adam_runs()[second + suffix]).max() > 1e-2


def test_decoupled_with_a_schedule_is_optax_adamw(x64):
    def rate(t):
        return LR * schedule(t)

    ours = run(optax.chain(optax.adam(rate), transforms.decoupled(L2(LAM), rate)), STEPS)
    np.testing.assert_allclose(ours, run(optax.adamw(rate, weight_decay=2 * LAM), STEPS), rtol=0, atol=ADAM_TOLERANCE)
    frozen = run(optax.chain(optax.adam(rate), transforms.decoupled(L2(LAM), LR)), STEPS)
    assert np.abs(ours - frozen).max() > 1e-3  # a schedule that the decay ignores is seen


def test_fully_decoupled_does_not_follow_the_learning_rate(x64):
    """With no gradient, w_t = w₀·Π(1 − η_t·λ') under any learning rate, and under `decoupled` w₀·Π(1 − lr·η_t·λ')."""

    def no_slope(params, t):
        return jax.tree.map(jnp.zeros_like, params)

    etas = numpy_schedule(np.arange(50))
    for lr in (0.01, 0.1):
        fully = run(optax.chain(optax.adam(lr), transforms.fully_decoupled(L2(LAM), schedule)), 50, slope=no_slope)
        apart = run(optax.chain(optax.adam(lr), transforms.decoupled(L2(LAM), lambda t, lr=lr: lr * schedule(t))), 50, slope=no_slope)
        # 50 products, three roundings each.
        np.testing.assert_allclose(fully[-1], flat(START) * np.prod(1 - 2 * LAM * etas), rtol=150 * 2.3e-16)
        np.testing.assert_allclose(apart[-1], flat(START) * np.prod(1 - 2 * LAM * lr * etas), rtol=150 * 2.3e-16)


def test_coupled_adam_spares_weights_with_large_gradients(x64):
    """Section 3 of the paper: L2 in the gradient is divided by √v, so weights with large gradients are decayed less;
    decoupled decay shrinks all weights at one rate. Alternating gradients ±s: Adam's own path does not depend on s."""
    params, sizes = jnp.ones(2), jnp.asarray([100.0, 1.0])

    def last(tx):
        def body(carry, t):
            w, state = carry
            updates, state = tx.update(sizes * (1 - 2 * (t % 2)), state, w)
            return (optax.apply_updates(w, updates), state), None

        return jax.lax.scan(body, (params, tx.init(params)), jnp.arange(400))[0][0]

    large, small = last(optax.chain(transforms.coupled(L2(LAM)), optax.adam(1e-2)))
    assert float(small) < float(large) - 0.1
    large, small = last(optax.chain(optax.adam(1e-2), transforms.decoupled(L2(LAM), 1e-2)))
    # Adam's ε = 1e-8 beside √v = 1 and 100: 400 steps of 1e-2·1e-8 are all the difference there is.
    assert abs(float(small) - float(large)) < 400 * 1e-2 * 1e-8
    assert float(large) < 0.8


# --- λ is data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coupling", ["coupled", "decoupled", "fully_decoupled"])
def test_lambda_is_replaced_and_mapped_without_compiling_anew(x64, coupling):
    traces = []

    def build(penalty):
        extra = () if coupling == "coupled" else (0.1,)
        decay = getattr(transforms, coupling)(penalty, *extra)
        return optax.chain(decay, optax.sgd(0.1)) if coupling == "coupled" else optax.chain(optax.sgd(0.1), decay)

    place = 0 if coupling == "coupled" else 1
    tx = build(L2(0.0))
    w, g = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 0.5])

    @jax.jit
    def step(w, state):
        traces.append(1)
        updates, state = tx.update(g, state, w)
        return optax.apply_updates(w, updates), state

    lams = [0.0, 0.1, 0.2, 0.4]
    for lam in lams:
        state = list(tx.init(w))
        state[place] = state[place]._replace(penalty=L2(jnp.asarray(lam)))
        _, state = step(w, tuple(state))
        assert float(state[place].penalty.lam) == lam  # it stays for the next step
        new, _ = step(w, state)
        np.testing.assert_allclose(new, w - 0.1 * g - 0.1 * 2 * lam * w, rtol=1e-15)
    # optax's own state has a single type; ours too, whichever way the number was given.
    assert len(traces) == 1

    traces.clear()

    @jax.jit
    def mapped(lams):
        def one(lam):
            traces.append(1)
            inner = build(L2(lam))
            updates, _ = inner.update(g, inner.init(w), w)
            return optax.apply_updates(w, updates)

        return jax.vmap(one)(lams)

    for scale in (1.0, 3.0):
        grid = scale * jnp.asarray(lams)
        np.testing.assert_allclose(mapped(grid), w - 0.1 * g - 0.1 * 2 * grid[:, None] * w, rtol=1e-15)
    assert len(traces) == 1


def test_any_finite_penalty_couples(x64):
    """L1 adds λ·sign(w), per leaf where a prefix says so, and leaves what `.on` leaves out."""
    params = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray([3.0])}
    grads = jax.tree.map(jnp.ones_like, params)
    penalty = L1(0.5).on("a") + L2({"a": 0.0, "b": 0.25})
    tx = optax.chain(transforms.coupled(penalty), optax.sgd(1.0))
    updates, _ = tx.update(grads, tx.init(params), params)
    np.testing.assert_allclose(updates["a"], [-1.5, -0.5], rtol=1e-15)
    np.testing.assert_allclose(updates["b"], [-2.5], rtol=1e-15)
