"""Weight decay is L2 under SGD and is not under Adam: three couplings, step by step and over a grid of λ and learning rate."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxreg

from . import _style
from ._check import Check, against, agree, at_least, below_on_average, holds

TITLE = "Weight decay is not L2 under Adam"
CLAIM = "Under SGD, decay and the penalty's gradient are one update; under Adam they are two, with different best λ."
FORMULA = (
    r"\text{coupled: } \mathrm{Adam}(\nabla L + 2\lambda w) \qquad \text{decoupled: } \mathrm{Adam}(\nabla L) - 2\alpha\lambda w"
    r" \qquad \text{fully: } \mathrm{Adam}(\nabla L) - 2\lambda w"
)
DISCUSSION = (
    "Adam divides the penalty's gradient by the size of past gradients like any other part of it, so decay put into the gradient is not "
    "decay of the weights. The maps are of a network with 16 hidden units on 60 noisy points, 300 steps of Adam; the line joins the best "
    "λ for each learning rate α, and the slope is d log λ / d log α. Fully decoupled decay is decoupled decay with λ/α in the place of "
    "λ: one update in other coordinates, which matter when α is tuned while λ stays, and add 1 to the slope. Loshchilov and Hutter "
    "(2019) found the coupled optimum tilted and the fully decoupled one straight. Here, without noise in the gradients and close to a "
    "minimum (but for the smallest α, where the lines bend), it is not so: the best λ of a minimum of loss + penalty does not depend on "
    "α, and decay beside the step comes to rest where it balances steps of size α. Whether noisy, unfinished training like theirs turns "
    "this round was not tried."
)
UNCONFIRMED = ("best λ tilts more when coupled than when fully decoupled (Loshchilov and Hutter 2019)",)

RATE, LAM, STEPS = 0.01, 0.05, 1000
RATES = np.geomspace(3e-3, 0.1, 10)
COUPLINGS = "coupled", "decoupled", "fully decoupled"
# Each coupling has λ in its own units, hence its own grid.
GRIDS = np.geomspace([1e-4, 1e-3, 1e-5], [1.0, 9.0, 0.3], 17).T
SEEDS, HIDDEN, NOISE, GRID_STEPS = 6, 16, 0.7, 300
CELL = 8, 5  # indices of the λ and learning rate that NumPy recomputes


class Data(NamedTuple):
    X: Any
    y: Any
    X_test: Any
    y_test: Any
    start: Any
    starts: Any


class Fit(NamedTuple):
    sgd: Any
    adam: Any
    maps: Any
    other_units: Any


def data() -> Data:
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(8, 3))
    X, X_test = rng.normal(size=(60, 8)), rng.normal(size=(500, 8))
    y, y_test = (np.tanh(inputs @ teacher / 2).sum(axis=1) for inputs in (X, X_test))
    kernel, out = rng.normal(size=(SEEDS, 8, HIDDEN)) / np.sqrt(8), rng.normal(size=(SEEDS, HIDDEN)) / 4
    starts = {"kernel": kernel, "bias": np.zeros((SEEDS, HIDDEN)), "out": out}
    return Data(X, y + NOISE * rng.normal(size=60), X_test, y_test, rng.normal(size=8), starts)


def chain(coupling: str, optimizer: Any, penalty: Any, rate: Any) -> Any:
    if coupling == "coupled":
        return optax.chain(jaxreg.transforms.coupled(penalty), optimizer)
    if coupling == "decoupled":
        return optax.chain(optimizer, jaxreg.transforms.decoupled(penalty, rate))
    return optax.chain(optimizer, jaxreg.transforms.fully_decoupled(penalty, 1.0))


def train(loss: Any, tx: Any, params: Any, steps: int, keep: bool) -> Any:
    """Every iterate, or the last."""

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params if keep else None

    (last, _), visited = jax.lax.scan(step, (params, tx.init(params)), length=steps)
    return visited if keep else last


def network(params: Any, X: Any) -> Any:
    return jnp.tanh(X @ params["kernel"] + params["bias"]) @ params["out"]


def fit(data: Data) -> Fit:
    X, y = jnp.asarray(data.X), jnp.asarray(data.y)
    penalty = jaxreg.L2(LAM)

    def linear(w: Any) -> Any:
        return jnp.mean((y - X @ w) ** 2)

    def visited(optimizer: Any, couplings: Any) -> Any:
        return jnp.stack([train(linear, chain(name, optimizer, penalty, RATE), jnp.asarray(data.start), STEPS, True) for name in couplings])

    def error(name: str, strengths: Any, start: Any) -> Any:
        lam, rate = strengths
        tx = chain(name, optax.adam(rate), jaxreg.L2(lam), rate)
        params = train(lambda params: jnp.mean((network(params, X) - y) ** 2), tx, start, GRID_STEPS, False)
        return jnp.mean((network(params, data.X_test) - data.y_test) ** 2)

    maps, starts = [], jax.tree.map(jnp.asarray, data.starts)
    for name, grid in zip(COUPLINGS, GRIDS, strict=True):
        pairs = tuple(jnp.asarray(x.ravel()) for x in np.meshgrid(grid, RATES, indexing="ij"))
        found = jaxreg.sweep(lambda strengths, name=name: jax.vmap(lambda start: error(name, strengths, start))(starts), pairs)
        maps.append(found.reshape(len(grid), len(RATES), SEEDS))
    in_other_units = chain("fully decoupled", optax.adam(RATE), jaxreg.L2(RATE * LAM), RATE)
    other_units = train(linear, in_other_units, jnp.asarray(data.start), STEPS, True)
    return Fit(visited(optax.sgd(RATE), COUPLINGS[:2]), visited(optax.adam(RATE), COUPLINGS), jnp.stack(maps), other_units)


def by_hand(gradient: Any, w: Any, optimizer: str, coupling: str, lam: float, rate: float, steps: int) -> Any:
    """Every iterate of SGD, or of Adam as its paper's algorithm 1 has it (Kingma and Ba 2015), on a flat vector of weights."""
    m, v, visited = np.zeros_like(w), np.zeros_like(w), []
    for t in range(1, steps + 1):
        g = gradient(w) + (2 * lam * w if coupling == "coupled" else 0)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = g if optimizer == "sgd" else (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        decay = {"coupled": 0, "decoupled": rate, "fully decoupled": 1.0}[coupling]
        w = w - rate * step - decay * 2 * lam * w
        visited.append(w)
    return np.stack(visited)


def linear_gradient(data: Data) -> Any:
    return lambda w: 2 * data.X.T @ (data.X @ w - data.y) / len(data.y)


def network_error(data: Data, coupling: int) -> float:
    """One cell of the map for the first start: backpropagation in NumPy."""
    sizes = [8 * HIDDEN, 9 * HIDDEN]

    def forward(w: Any, X: Any) -> Any:
        kernel, bias, out = np.split(w, sizes)
        hidden = np.tanh(X @ kernel.reshape(8, HIDDEN) + bias)
        return hidden, hidden @ out

    def gradient(w: Any) -> Any:
        hidden, predicted = forward(w, data.X)
        error = 2 * (predicted - data.y) / len(data.y)
        back = error[:, None] * w[sizes[1] :] * (1 - hidden**2)
        return np.concatenate([(data.X.T @ back).ravel(), back.sum(axis=0), hidden.T @ error])

    start = np.concatenate([data.starts[name][0].ravel() for name in ("kernel", "bias", "out")])
    lam, rate = GRIDS[coupling][CELL[0]], RATES[CELL[1]]
    last = by_hand(gradient, start, "adam", COUPLINGS[coupling], lam, rate, GRID_STEPS)[-1]
    return float(np.mean((forward(last, data.X_test)[1] - data.y_test) ** 2))


def check(data: Data, fit: Fit) -> Any:
    for optimizer, runs in (("sgd", fit.sgd), ("adam", fit.adam)):
        for name, run in zip(COUPLINGS, runs, strict=False):
            # SGD contracts and keeps rounding at some ε; Adam divides small gradients by small numbers and lets it grow.
            tolerance = 1e-13 if optimizer == "sgd" else 1e-9
            theirs = by_hand(linear_gradient(data), data.start, optimizer, name, LAM, RATE, STEPS)
            yield agree(f"{optimizer}, {name} ≡ NumPy loop, {STEPS} steps", run, theirs, tolerance)
    yield agree("sgd: coupled ≡ decoupled", fit.sgd[0], fit.sgd[1], 1e-13)
    yield agree("adam: fully decoupled with αλ ≡ decoupled with λ", fit.other_units, fit.adam[1], 1e-9)
    apart = np.abs(np.asarray(fit.adam[0] - fit.adam[1])).max()
    yield at_least("adam: largest distance between coupled and decoupled", apart, 0.01)
    theirs = train(
        lambda w: jnp.mean((data.y - data.X @ w) ** 2), optax.adamw(RATE, weight_decay=2 * LAM), jnp.asarray(data.start), STEPS, True
    )
    yield agree("adam, decoupled ≡ optax.adamw(weight_decay=2λ)", fit.adam[1], theirs, 1e-9)
    for k, name in enumerate(("Adam", "AdamW")):
        what = f"adam, {COUPLINGS[k]} ≡ PyTorch's {name}(weight_decay=2λ)"
        yield against("torch", what, lambda torch, k=k, name=name, what=what: _versus_torch(torch, name, what, data, fit.adam[k]))
    cells = np.asarray(fit.maps)[:, *CELL, 0]
    yield agree("one cell of each map ≡ NumPy backpropagation", cells, [network_error(data, k) for k in range(3)], 1e-6)
    best = [grid[np.asarray(fit.maps)[k].mean(axis=2).argmin(axis=0)] for k, grid in enumerate(GRIDS)]
    lams = [found[CELL[1]] for found in best[:2]]
    inside = all(grid[0] < lam < grid[-1] for lam, grid in zip(lams, GRIDS, strict=False))
    shown = "{:.2g} coupled, {:.2g} decoupled".format(*lams)
    yield holds(
        f"best λ at learning rate {RATES[CELL[1]]:.2g}",
        shown,
        "a factor of 2 apart or more, no end of a grid",
        inside and lams[1] >= 2 * lams[0],
    )
    slopes = tilts(fit)
    yield below_on_average(UNCONFIRMED[0], slopes[2], slopes[0])


def tilts(fit: Fit) -> Any:
    """(couplings, seeds): d log best λ / d log learning rate."""
    logs = np.log(RATES)
    best = [
        [np.log(grid[maps[:, :, s].argmin(axis=0)]) for s in range(SEEDS)] for grid, maps in zip(GRIDS, np.asarray(fit.maps), strict=True)
    ]
    return np.array([[np.polyfit(logs, one, 1)[0] for one in per] for per in best])


def _versus_torch(torch: Any, name: str, what: str, data: Data, ours: Any) -> Check:
    w = torch.tensor(data.start, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, name)([w], lr=RATE, weight_decay=2 * LAM)
    X, y, visited = torch.tensor(data.X), torch.tensor(data.y), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.mean((y - X @ w) ** 2).backward()
        optimizer.step()
        visited.append(w.detach().numpy().copy())
    return agree(what, ours, np.stack(visited), 1e-9)


def figure(data: Data, fit: Fit) -> Any:
    made, axes = _style.figure(2, 2)
    distance = axes[0, 0]
    for name, runs, color, line in (("SGD", fit.sgd, _style.BLUE, "-"), ("Adam", fit.adam, _style.RED, "--")):
        apart = np.max(np.abs(np.asarray(runs[0] - runs[1])), axis=1)
        distance.plot(np.arange(1, STEPS + 1), np.maximum(apart, 1e-17), line, color=color, label=name)
    distance.set(xscale="log", yscale="log", ylim=(3e-18, 1), xlabel="step (log scale)", ylabel="largest difference of a weight")
    distance.legend(loc="center left")
    _style.title(distance, "Coupled against decoupled")
    maps, slopes = np.asarray(fit.maps).mean(axis=3), tilts(fit)
    for k, (panel, name) in enumerate(zip(axes.ravel()[1:], COUPLINGS, strict=True)):
        mesh = panel.pcolormesh(RATES, GRIDS[k], maps[k], cmap=_style.MAP, shading="nearest", vmin=maps.min(), vmax=1.3, rasterized=True)
        made.colorbar(mesh, ax=panel, label="test error (units of y²)", extend="max")
        panel.plot(RATES, GRIDS[k][maps[k].argmin(axis=0)], "o-", color="white", markeredgecolor="black", linewidth=1.5)
        panel.set(xscale="log", yscale="log", xlabel="learning rate α (log scale)", ylabel="λ (log scale)")
        panel.grid(False)
        error = slopes[k].std(ddof=1) / np.sqrt(SEEDS)
        _style.title(panel, f"{name.capitalize()}: slope {slopes[k].mean():.2f} ± {error:.2f}")
    return made
