"""A network on few handwritten digits: overfitting without λ, less with it, and 32 λ × 5 seeds in one program."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxreg

from . import _style
from ._check import agree, at_least, at_most, below_on_average, holds

TITLE = "A neural network"
CLAIM = "With λΣw² on its kernels a network that would fit noise generalises better; 160 networks train in one program."
FORMULA = r"\frac{1}{n} \sum_{i=1}^n -\log p_{y_i}(x_i; \theta) + \lambda \sum_{\text{kernels}} \sum w^2"
DISCUSSION = (
    "From next to no penalty (λ = 1e-6) to far too much. 300 digits train a network of 64–48–24–10 units; 15 % of their labels are "
    "replaced by random ones, which only memory can fit. 300 others choose λ, the remaining 1,197 test it. Gradient descent with "
    "momentum on all rows, in float32; the penalty sits on the kernels and leaves the biases alone. λ and seed are the axes of one "
    "vmapped program. The first layer starts largest and shrinks most, until all have one norm: a ReLU layer may grow as the next one "
    "shrinks without changing the loss, and Σw² is smallest when they are equal."
)

SIZES = 64, 48, 24, 10
LAMS = np.geomspace(1e-6, 1e-1, 32)
SEEDS, STEPS, RATE, MOMENTUM = 5, 400, 0.1, 0.9
ONE = 8, 0  # the run that NumPy repeats: index of λ, seed
EPS = np.finfo(np.float32).eps


class Data(NamedTuple):
    train: Any
    choose: Any
    test: Any
    starts: Any


class Fit(NamedTuple):
    kernels: Any
    biases: Any
    penalty: Any
    losses: Any
    accuracy: Any
    in_float64: Any


def data() -> Data:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    X, y = (X[order] / 16).astype(np.float32), y[order].astype(np.int32)
    noisy = np.where(rng.uniform(size=300) < 0.15, rng.integers(10, size=300), y[:300]).astype(np.int32)
    shapes = list(itertools.pairwise(SIZES))
    starts = [rng.normal(size=(SEEDS, *shape)).astype(np.float32) * np.float32(np.sqrt(2 / shape[0])) for shape in shapes]
    return Data((X[:300], noisy), (X[300:600], y[300:600]), (X[600:], y[600:]), starts)


def logits(params: Any, X: Any) -> Any:
    for layer in params[:-1]:
        X = jax.nn.relu(X @ layer["kernel"] + layer["bias"])
    return X @ params[-1]["kernel"] + params[-1]["bias"]


def fit(data: Data) -> Fit:
    lams, seeds = jnp.asarray(LAMS, jnp.float32), jnp.arange(SEEDS)
    found = jaxreg.sweep(_training(data, jnp.float32), (jnp.repeat(lams, SEEDS), jnp.tile(seeds, len(LAMS))))
    single = jax.jit(_training(data, jnp.float64))((LAMS[ONE[0]], ONE[1]))
    kept = (np.asarray(x).reshape(len(LAMS), SEEDS, *x.shape[1:]) for x in found)
    return Fit(*kept, np.concatenate(single[:2]))


def _training(data: Data, dtype: Any) -> Any:
    """A pure function of (λ, seed): kernels, biases, penalty, losses and test accuracy after training."""
    train, choose, test = ((jnp.asarray(X, dtype), jnp.asarray(y)) for X, y in (data.train, data.choose, data.test))
    cross_entropy = jaxreg.losses.Multinomial("mean")

    def loss(params: Any, X: Any, y: Any) -> Any:
        return cross_entropy(logits(params, X), y)

    def penalty(lam: Any) -> Any:
        return jaxreg.L2(lam).on("**/kernel")

    step = jaxreg.make_step(jaxreg.objective(loss, penalty(1.0)), optax.sgd(RATE, momentum=MOMENTUM))

    def whole(pair: Any) -> Any:
        lam, seed = pair
        params = [{"kernel": jnp.asarray(kernels, dtype)[seed], "bias": jnp.zeros(kernels.shape[2], dtype)} for kernels in data.starts]
        # λ sits in the state, so that one compiled step serves every λ.
        state = step.init(params)._replace(penalty=penalty(lam))
        state, _ = jax.lax.scan(lambda state, _: step(state, *train), state, length=STEPS)
        losses = jnp.stack([loss(state.params, *part) for part in (train, choose, test)])
        right = jnp.mean(jnp.argmax(logits(state.params, test[0]), axis=1) == test[1])
        flat = (jnp.concatenate([layer[name].ravel() for layer in state.params]) for name in ("kernel", "bias"))
        return *flat, state.penalty(state.params), losses, right

    return whole


def layers(flat: Any, biases: bool = False) -> list[Any]:
    """The parts of flat weights that belong to each layer: kernels as matrices, or biases."""
    shapes = [(b,) if biases else (a, b) for a, b in itertools.pairwise(SIZES)]
    parts = np.split(flat, np.cumsum([np.prod(shape) for shape in shapes])[:-1], axis=-1)
    return [part.reshape(*flat.shape[:-1], *shape) for part, shape in zip(parts, shapes, strict=True)]


def forward(kernels: Any, biases: Any, X: Any) -> list[Any]:
    """Every layer's output, in NumPy; the last are the log-probabilities."""
    outputs = [X.astype(float)]
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        value = outputs[-1] @ kernel + bias
        outputs.append(np.maximum(value, 0) if i < len(kernels) - 1 else value)
    outputs[-1] = outputs[-1] - np.log(np.sum(np.exp(outputs[-1]), axis=1, keepdims=True))
    return outputs


def loop(data: Data, lam: float, seed: int) -> tuple[Any, Any]:
    """(kernels, biases) after backpropagation by hand, in float64."""
    X, y = data.train
    weights = [start[seed].astype(float) for start in data.starts] + [np.zeros(size) for size in SIZES[1:]]
    velocity = [np.zeros_like(w) for w in weights]
    for _ in range(STEPS):
        outputs = forward(weights[:3], weights[3:], X)
        back = (np.exp(outputs[-1]) - np.eye(10)[y]) / len(y)
        gradients: list[Any] = [None] * 6
        for i in (2, 1, 0):
            gradients[i], gradients[3 + i] = outputs[i].T @ back + 2 * lam * weights[i], back.sum(axis=0)
            back = back @ weights[i].T * (outputs[i] > 0)
        velocity = [MOMENTUM * v + g for v, g in zip(velocity, gradients, strict=True)]
        weights = [w - RATE * v for w, v in zip(weights, velocity, strict=True)]
    return tuple(np.concatenate([w.ravel() for w in part]) for part in (weights[:3], weights[3:]))


def check(data: Data, fit: Fit) -> Any:
    kernels, biases = loop(data, LAMS[ONE[0]], ONE[1])
    # Such a training amplifies rounding, some 1e4 times over its 400 steps: float64 keeps 12 digits, float32 3.
    by_hand = "backpropagation by hand, penalty on the kernels alone"
    yield agree(f"one run in float64 ≡ {by_hand}", fit.in_float64, np.concatenate([kernels, biases]), 1e-10)
    yield agree("the same run of the float32 sweep: kernels", fit.kernels[ONE], kernels, 1e-2)
    yield agree("the same run of the float32 sweep: biases", fit.biases[ONE], biases, 1e-2)
    # A float32 sum of 4,464 squares.
    yield agree("penalty ≡ λ·Σ kernel², all 160", fit.penalty, LAMS[:, None] * np.sum(fit.kernels.astype(float) ** 2, axis=2), 100 * EPS)
    losses, accuracy = _by_numpy(data, fit)
    yield agree("training, choosing and test loss ≡ NumPy, all 160", fit.losses, losses, 1000 * EPS)
    # One of the 1,197 may sit on the boundary between two classes, where rounding decides.
    yield agree("test accuracy ≡ NumPy, all 160", fit.accuracy, accuracy, 1.5 / 1197)
    best = chosen(fit)
    yield below_on_average(f"test loss: λ = {LAMS[best]:.1g} below λ = 1e-6", fit.losses[best, :, 2], fit.losses[0, :, 2])
    yield below_on_average("test accuracy: λ = 1e-6 below the chosen λ", fit.accuracy[0], fit.accuracy[best])
    gap = fit.losses[..., 2] - fit.losses[..., 0]
    yield below_on_average("test minus training loss: chosen λ below λ = 1e-6", gap[best], gap[0])
    norms = layer_norms(fit)
    total = np.sqrt(np.sum(norms**2, axis=1))
    yield holds("norm of all kernels over λ", f"{total[0]:.1f} to {total[-1]:.1g}", "falls with each λ", np.diff(total) < 0)
    # relu(cz) = c·relu(z): one layer may grow as the next shrinks without changing the loss, and Σw² is smallest at equal norms.
    yield at_most("largest over smallest norm of a layer at the chosen λ", norms[best].max() / norms[best].min(), 1.05)
    yield at_least("largest over smallest norm of a layer at λ = 1e-6", norms[0].max() / norms[0].min(), 1.2)


def chosen(fit: Fit) -> int:
    """The index of the λ with the smallest mean loss on the rows set aside for choosing."""
    return int(fit.losses[:, :, 1].mean(axis=1).argmin())


def layer_norms(fit: Fit) -> Any:
    """(λ, layers): the norm of each kernel, mean over seeds."""
    return np.stack([np.sqrt(np.sum(kernel.astype(float) ** 2, axis=(2, 3))).mean(axis=1) for kernel in layers(fit.kernels)], axis=1)


def _by_numpy(data: Data, fit: Fit) -> tuple[Any, Any]:
    """The three losses and the test accuracy of every network, from its weights."""

    def of(i: int, s: int) -> Any:
        kernels, biases = layers(fit.kernels[i, s]), layers(fit.biases[i, s], biases=True)
        logs = [(forward(kernels, biases, X)[-1], y) for X, y in (data.train, data.choose, data.test)]
        return [*(-np.mean(log[np.arange(len(y)), y]) for log, y in logs), np.mean(np.argmax(logs[2][0], axis=1) == logs[2][1])]

    found = np.array([[of(i, s) for s in range(SEEDS)] for i in range(len(LAMS))])
    return found[..., :3], found[..., 3]


def figure(data: Data, fit: Fit) -> Any:
    made, ((losses, accuracy), (weights, norms)) = _style.figure(2, 2)
    best = chosen(fit)
    for part, name, color, line in ((0, "training", _style.BLUE, "--"), (2, "test", _style.RED, "-")):
        _band(losses, fit.losses[:, :, part], color, line, name)
    losses.set(ylabel="cross-entropy (nats per digit)", ylim=(0, None))
    losses.legend(loc="upper center")
    _style.title(losses, "Overfitting, and its cure")
    _band(accuracy, 100 * fit.accuracy, _style.RED, "-", "test")
    accuracy.set(ylabel="test accuracy (%)", ylim=(50, 95))
    _style.title(accuracy, "Test accuracy (above 50 %)")
    for axes in (losses, accuracy):
        _style.mark(axes, LAMS[best], "chosen λ", height=0.75, side="left")
    bins = np.linspace(-0.6, 0.6, 81)
    for index, name, color in (
        (0, "λ = 1e-6", _style.RED),
        (best, f"chosen, λ = {LAMS[best]:.1g}", _style.BLUE),
        (27, f"λ = {LAMS[27]:.1g}", _style.GREEN),
    ):
        weights.hist(fit.kernels[index].ravel(), bins, histtype="step", density=True, color=color, linewidth=2, label=name)
    weights.set(yscale="log", xlabel="kernel weight", ylabel="density (log scale)")
    weights.legend(fontsize=11)
    _style.title(weights, "Weights gather at zero")
    for i, (color, line) in enumerate(((_style.BLUE, "-"), (_style.RED, "--"), (_style.GREEN, ":"))):
        norms.plot(LAMS, layer_norms(fit)[:, i], line, color=color, label=f"layer {i + 1}: {SIZES[i]} × {SIZES[i + 1]}")
    norms.set(ylabel="norm of the kernel", ylim=(0, None))
    norms.legend()
    _style.title(norms, "Layers shrink to equal norms")
    for axes in (losses, accuracy, norms):
        _style.lambda_axis(axes)
    return made


def _band(axes: Any, values: Any, color: str, line: str, name: str) -> None:
    """Mean over seeds, with the range of the five."""
    axes.plot(LAMS, values.mean(axis=1), line, color=color, label=f"{name} (mean, range of 5 seeds)")
    axes.fill_between(LAMS, values.min(axis=1), values.max(axis=1), color=color, alpha=0.2, linewidth=0)
