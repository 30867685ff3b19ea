"""``jaxreg train``: a multilayer perceptron under cross-entropy + λ·Σw², with λ = 0 beside it, or a sweep over λ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import _cache
from ._data import builtin_arrays
from ._errors import UserError, need, unknown
from ._output import console, note, out_folder, progress

CLASSIFICATION = ("digits", "breast_cancer", "wine", "iris")
BATCH = 64
LEARNING_RATE = 1e-2
SWEEP_SEEDS = 3
# Rows of λ in one compiled call of a sweep: enough to fill the machine, few enough for the bar to move.
SWEEP_CHUNK = 8


def run(data: str, lam: float, epochs: int, hidden: str, sweep: int, seed: int, out: Path | None) -> None:
    """The command; see _app.py for the options."""
    if data not in CLASSIFICATION:
        raise unknown("DATA", data, CLASSIFICATION)
    if not (np.isfinite(lam) and lam >= 0):
        raise UserError(f"--lam: must be a finite number >= 0, got {lam}")
    if epochs < 1:
        raise UserError(f"--epochs: must be at least 1, got {epochs}")
    if sweep < 0 or sweep == 1:
        raise UserError(f"--sweep: must be 0 (one λ) or at least 2 values of λ, got {sweep}")
    sizes = _sizes(hidden)
    folder = out_folder(out, Path("jaxreg-out") / f"train-{data}")
    need("matplotlib", "matplotlib", "drawing the picture")
    arrays = builtin_arrays(data)
    with _cache.compilation(note):
        network = Network(arrays["X"], arrays["y"].astype(int), sizes, epochs, seed)
        if sweep:
            _sweep(network, data, sweep, folder)
        else:
            _compare(network, data, lam, folder)


def _sizes(hidden: str) -> list[int]:
    try:
        sizes = [int(part) for part in hidden.split(",") if part.strip()]
    except ValueError:
        sizes = [0]
    if not all(size > 0 for size in sizes):
        raise UserError(f"--hidden: must be layer sizes such as 64 or 128,64, got {hidden!r}")
    return sizes


class Network:
    """The split data, the model and its training step."""

    def __init__(self, X: Any, y: Any, hidden: list[int], epochs: int, seed: int):
        import jax
        import jax.numpy as jnp
        import optax

        import jaxreg

        rng = np.random.default_rng(seed)
        order = rng.permutation(len(X))
        cut = round(0.75 * len(X))
        train, test = order[:cut], order[cut:]
        # Scaled by what the training rows show; constant columns (corner pixels) stay zero.
        center, scale = X[train].mean(axis=0), X[train].std(axis=0)
        X = ((X - center) / np.where(scale > 0, scale, 1)).astype(np.float32)
        self.train = jnp.asarray(X[train]), jnp.asarray(y[train], jnp.int32)
        self.test = jnp.asarray(X[test]), jnp.asarray(y[test], jnp.int32)
        self.layers = [X.shape[1], *hidden, int(y.max()) + 1]
        self.epochs, self.seed = epochs, seed
        self.batch = min(BATCH, cut)
        self.cross_entropy = jaxreg.losses.Multinomial("mean")

        def loss(params: Any, X: Any, y: Any) -> Any:
            return self.cross_entropy(self.logits(params, X), y)

        steps = epochs * (cut // self.batch)
        rate = optax.cosine_decay_schedule(LEARNING_RATE, steps)
        tx = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))
        self.step = jaxreg.make_step(jaxreg.objective(loss, self.penalty(1.0)), tx)
        self.keys = jax.random.split(jax.random.key(seed), 2)

    @staticmethod
    def penalty(lam: Any) -> Any:
        """λ·Σw² on the kernels; biases are free."""
        import jaxreg

        return jaxreg.L2(lam).on("**/kernel")

    def init(self, key: Any) -> Any:
        """He's initialisation: ``{"dense0": {"kernel", "bias"}, …}``."""
        import jax
        import jax.numpy as jnp

        pairs = list(zip(self.layers[:-1], self.layers[1:], strict=True))
        return {
            f"dense{i}": {"kernel": jax.random.normal(k, shape) * np.float32(np.sqrt(2 / shape[0])), "bias": jnp.zeros(shape[1])}
            for i, (shape, k) in enumerate(zip(pairs, jax.random.split(key, len(pairs)), strict=True))
        }

    def logits(self, params: Any, X: Any) -> Any:
        import jax

        for i in range(len(params)):
            layer = params[f"dense{i}"]
            X = X @ layer["kernel"] + layer["bias"]
            if i < len(params) - 1:
                X = jax.nn.relu(X)
        return X

    def start(self, lam: Any, key: Any) -> Any:
        """The state before training; λ sits in it, so one compiled program serves every λ."""
        import jax.numpy as jnp

        return self.step.init(self.init(key))._replace(penalty=self.penalty(jnp.asarray(lam)))

    def epoch(self, state: Any, key: Any) -> Any:
        """One pass over the training rows in random batches."""
        import jax

        X, y = self.train
        count = len(y) // self.batch
        order = jax.random.permutation(key, len(y))[: count * self.batch].reshape(count, self.batch)
        return jax.lax.scan(lambda s, rows: (self.step(s, X[rows], y[rows])[0], None), state, order)[0]

    def measure(self, state: Any) -> dict[str, Any]:
        """Loss and penalty apart, accuracies, kernel norms."""
        import jax.numpy as jnp

        found = {"penalty": state.penalty(state.params)}
        for rows, (X, y) in (("train", self.train), ("test", self.test)):
            logits = self.logits(state.params, X)
            found[f"{rows}_loss"] = self.cross_entropy(logits, y)
            found[f"{rows}_accuracy"] = jnp.mean(jnp.argmax(logits, axis=1) == y)
        found["kernel_norms"] = jnp.stack([jnp.linalg.norm(layer["kernel"]) for layer in state.params.values()])
        return found

    def whole_training(self, lam: Any, key: Any) -> dict[str, Any]:
        """From initial weights to the last epoch's figures, as a pure function of λ and a key."""
        import jax

        first, second = jax.random.split(key)
        state = self.start(lam, first)
        state, _ = jax.lax.scan(lambda s, k: (self.epoch(s, k), None), state, jax.random.split(second, self.epochs))
        return self.measure(state)


def _header(network: Network, data: str, lam: str) -> None:
    from ..report import headline

    say = console()
    (n, p), m = network.train[0].shape, len(network.test[1])
    say.print(headline("data", f"{data}: {n} training rows, {m} test rows, {p} features, {network.layers[-1]} classes"))
    say.print(headline("network", " → ".join(map(str, network.layers)) + ", relu; Adam, cosine schedule"))
    say.print(headline("objective", f"cross-entropy (mean) + {lam}·Σw² over kernels; biases free"))


def _compare(network: Network, data: str, lam: float, folder: Path) -> None:
    import jax
    import jax.numpy as jnp

    from .. import plot, report

    _header(network, data, f"{lam:g}")
    say = console()
    first, second = network.keys
    # λ and 0 side by side in one program: the same initial weights, the same batches.
    start = jax.vmap(lambda value: network.start(value, first))(jnp.array([lam, 0.0], jnp.float32))

    @jax.jit
    def advance(state: Any, key: Any) -> Any:
        state = jax.vmap(network.epoch, (0, None))(state, key)
        return state, jax.vmap(network.measure)(state)

    rows, state = [], start
    with progress(f"training {network.epochs} epochs, λ = {lam:g} and 0") as tell:
        for i, key in enumerate(jax.random.split(second, network.epochs)):
            state, found = advance(state, key)
            rows.append(jax.device_get(found))
            tell(i + 1, network.epochs)
    history = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    if not np.all(np.isfinite(history["train_loss"])):
        raise UserError(f"--lam: with λ = {lam:g} the training diverged (the loss is no longer finite); choose a smaller λ")
    say.print(report.training_table(history, lam))
    test, loss = 100 * history["test_accuracy"][-1], history["test_loss"][-1]
    say.print("On the test rows after the last epoch:")
    for which, value in enumerate((lam, 0.0)):
        norms = _numbers(history["kernel_norms"][-1][which])
        say.print(f"  λ = {value:<8g} {test[which]:.1f} % right, cross-entropy {loss[which]:.3f}; kernel norms {norms}")
    plot.training(history, lam).savefig(folder / "train.png")
    say.print(f"Wrote train.png into {folder}", soft_wrap=True)


def _sweep(network: Network, data: str, count: int, folder: Path) -> None:
    import jax

    import jaxreg

    from .. import plot, report

    lams = np.logspace(-6, -1, count).astype(np.float32)
    _header(network, data, "λ")
    say = console()
    keys = jax.random.split(network.keys[0], SWEEP_SEEDS)
    with progress(f"{count} λ × {SWEEP_SEEDS} seeds, {network.epochs} epochs each") as tell:
        found = jaxreg.sweep(network.whole_training, lams, keys=keys, chunk=SWEEP_CHUNK * SWEEP_SEEDS, progress=tell)
    results = {name: np.asarray(value) for name, value in found.items()}
    say.print(report.sweep_table(lams, results))
    plot.sweep(lams, results).savefig(folder / "sweep.png")
    say.print(f"Wrote sweep.png into {folder}", soft_wrap=True)


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
