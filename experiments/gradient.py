"""The gradient of λΣw² and the update made from it: derived by hand, by autodiff and by differences, and stepped in three ways."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxreg

from . import _style
from ._check import agree, at_most, holds

TITLE = "The gradient and the update"
CLAIM = "The penalty's gradient is 2λw, and one update with it can be written in three ways that agree to the last digits."
FORMULA = (
    r"w \leftarrow w - \alpha \left( \frac{\partial L}{\partial w} + 2 \lambda w \right)"
    r" = (1 - 2\alpha\lambda)\, w - \alpha \frac{\partial L}{\partial w}"
)
DISCUSSION = (
    "A logistic loss and λΣw². Central differences are good only to about ε^(2/3) = 4e-11: a large h leaves out the third derivative, a "
    "small h loses digits. The update is the textbook's (jaxreg.gradient_step), an optax chain that adds the penalty's gradient "
    "(transforms.coupled), and shrinking before the step (transforms.decoupled). Each is compared with a NumPy loop at every step. The "
    "steps contract, so that rounding does not pile up."
)

LAM, RATE, STEPS = 0.05, 0.5, 1000
WIDTHS = np.geomspace(1e-1, 1e-11, 61)
# Where truncation rules, h from 1e-1 to 1e-4: the error falls with the square of h.
TRUNCATED = WIDTHS > 1e-4
EPS = np.finfo(float).eps


class Data(NamedTuple):
    X: Any
    y: Any
    w: Any


class Fit(NamedTuple):
    formula: Any
    autodiff: Any
    whole: Any
    differences: Any
    textbook: Any
    chain: Any
    shrink: Any


def data() -> Data:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6))
    return Data(X, np.sign(X @ rng.normal(size=6) + rng.normal(size=80)), rng.normal(size=6))


def fit(data: Data) -> Fit:
    X, y, w = jnp.asarray(data.X), jnp.asarray(data.y), jnp.asarray(data.w)
    penalty = jaxreg.L2(LAM)

    def loss(w: Any) -> Any:
        return jnp.mean(jnp.logaddexp(0, -y * (X @ w)))

    objective = jaxreg.objective(loss, penalty)
    towards = jnp.eye(6)
    differences = jax.vmap(lambda h: jax.vmap(lambda e: (objective(w + h * e) - objective(w - h * e)) / (2 * h))(towards))
    coupled = optax.chain(jaxreg.transforms.coupled(penalty), optax.sgd(RATE))
    decoupled = optax.chain(optax.sgd(RATE), jaxreg.transforms.decoupled(penalty, RATE))
    return Fit(
        penalty.grad(w),
        jax.grad(penalty)(w),
        jax.grad(objective)(w),
        differences(jnp.asarray(WIDTHS)),
        _textbook(loss, w),
        _steps(loss, coupled, w),
        _steps(loss, decoupled, w),
    )


def _textbook(loss: Any, w: Any) -> Any:
    def step(w: Any, _: Any) -> Any:
        w = jaxreg.gradient_step(w, jax.grad(loss)(w), lr=RATE, lam=LAM)
        return w, w

    return jax.lax.scan(step, w, length=STEPS)[1]


def _steps(loss: Any, tx: Any, w: Any) -> Any:
    def step(carry: Any, _: Any) -> Any:
        w, state = carry
        updates, state = tx.update(jax.grad(loss)(w), state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    return jax.lax.scan(step, (w, tx.init(w)), length=STEPS)[1]


def by_hand(data: Data, w: Any) -> Any:
    """∂L/∂w of the logistic loss: −mean of y·x·σ(−y·xᵀw)."""
    return -np.mean((data.y / (1 + np.exp(data.y * (data.X @ w))))[:, None] * data.X, axis=0)


def loop(data: Data) -> Any:
    w, visited = data.w, []
    for _ in range(STEPS):
        w = w - RATE * (by_hand(data, w) + 2 * LAM * w)
        visited.append(w)
    return np.stack(visited)


def check(data: Data, fit: Fit) -> Any:
    yield agree("L2.grad ≡ 2λw by hand", fit.formula, 2 * LAM * data.w, EPS)
    yield agree("jax.grad of the penalty ≡ 2λw by hand", fit.autodiff, 2 * LAM * data.w, EPS)
    # A mean over 80 rows of sums over 6 columns: some tens of roundings.
    yield agree("jax.grad of loss + penalty ≡ both by hand", fit.whole, by_hand(data, data.w) + 2 * LAM * data.w, 100 * EPS)
    errors = difference_errors(data, fit)
    yield at_most("central differences at the best h: relative error", errors.min(), 10 * EPS ** (2 / 3), ".1e")
    slope = np.polyfit(np.log(WIDTHS[TRUNCATED]), np.log(errors[TRUNCATED]), 1)[0]
    yield holds("order of central differences", f"h to the power {slope:.3f}", "2 ± 0.05", abs(slope - 2) < 0.05)
    # A step rounds by about 10 ε and contracts what was before by 1 − 2αλ, so the total stays below 10 ε/(2αλ).
    bound = 10 * EPS / (2 * RATE * LAM)
    for name, route in _routes(fit).items():
        yield agree(f"{name} ≡ NumPy loop, {STEPS} steps", route, loop(data), bound)


def difference_errors(data: Data, fit: Fit) -> Any:
    exact = by_hand(data, data.w) + 2 * LAM * data.w
    return np.max(np.abs(np.asarray(fit.differences) - exact), axis=1) / np.max(np.abs(exact))


def _routes(fit: Fit) -> dict[str, Any]:
    return {"gradient_step": fit.textbook, "coupled, then sgd": fit.chain, "shrink, then step": fit.shrink}


def figure(data: Data, fit: Fit) -> Any:
    made, (left, right) = _style.figure()
    errors = difference_errors(data, fit)
    left.loglog(WIDTHS, errors, ".-", color=_style.BLUE, label="measured")
    constant = errors[0] / WIDTHS[0] ** 2
    left.loglog(WIDTHS[:32], constant * WIDTHS[:32] ** 2, "--", color=_style.ORANGE, label="left out: ∝ h²")
    left.loglog(WIDTHS[25:], 3 * EPS / WIDTHS[25:], ":", color=_style.GREEN, linewidth=2.2, label="digits lost: ∝ ε/h")
    left.set_xlabel("width h of the central difference (log scale)")
    left.set_ylabel("relative error of the gradient (log scale)")
    left.legend(loc="upper center")
    _style.title(left, "Differences: about ten digits at best")
    steps = np.arange(1, STEPS + 1)
    for (name, route), color, line in zip(_routes(fit).items(), (_style.SKY, _style.RED, _style.BLACK), ("-", "--", ":"), strict=True):
        width = {"-": 5.0, "--": 2.6, ":": 1.6}[line]
        right.plot(steps, np.asarray(route), line, color=color, linewidth=width, label=[name] + [None] * 5)
    some = np.unique(np.geomspace(1, STEPS, 20).astype(int))
    right.plot(some, loop(data)[some - 1], "o", color=_style.ORANGE, markersize=5, label=["NumPy loop"] + [None] * 5)
    right.set_xscale("log")
    right.set_xlabel("step (log scale)")
    right.set_ylabel("the six weights")
    right.legend(fontsize=12, loc=(0.52, 0.5))
    _style.title(right, "Three updates and a loop: one path")
    return made
