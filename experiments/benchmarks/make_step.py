"""What ``jaxreg.make_step`` costs over the same training step written by hand in jax and optax.

Run as ``python -m experiments.benchmarks.make_step``. Two cases: a linear model of ten features, where a step is nearly all
dispatch, and an MLP, where it is nearly all arithmetic. Fair means: the same loss, optimizer, data and jit; both carry
parameters, optimizer state and λ as an argument (so neither may fold λ into the program), and both return the same
metrics; a block of steps ends in ``block_until_ready``; blocks of the two alternate in one process, with the order swapped
each time, so that drift of the machine meets both alike. The ratio is the median of the pairwise ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxreg import L2, make_step, objective

LAM = 1e-3
Step = Callable[..., tuple[Any, Any]]


class Case(NamedTuple):
    """A model and its data, and how many steps make one timed block."""

    name: str
    sizes: tuple[int, ...]
    batch: int
    block: int
    repeats: int


CASES = (
    Case("linear, 10 features", (10, 1), 32, 200, 60),
    Case("MLP, 128-256-256-10", (128, 256, 256, 10), 256, 10, 40),
)


def parameters(sizes: tuple[int, ...]) -> list[dict[str, jax.Array]]:
    keys = jax.random.split(jax.random.key(0), len(sizes) - 1)
    pairs = zip(sizes[:-1], sizes[1:], keys, strict=True)
    return [{"kernel": jax.random.normal(key, (m, n)) / m**0.5, "bias": jnp.zeros(n)} for m, n, key in pairs]


def loss(params: list[dict[str, jax.Array]], x: jax.Array, y: jax.Array) -> jax.Array:
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
    return jnp.mean((x @ params[-1]["kernel"] + params[-1]["bias"] - y) ** 2)


def ours(case: Case) -> tuple[Step, Any]:
    step = make_step(objective(loss, L2(LAM).on("**/kernel")), optax.adam(1e-3))
    return step, step.init(parameters(case.sizes))


class HandState(NamedTuple):
    params: Any
    opt_state: Any
    lam: jax.Array


class HandMetrics(NamedTuple):
    loss: jax.Array
    penalty: jax.Array
    grad_norm: jax.Array


def by_hand(case: Case) -> tuple[Step, Any]:
    tx = optax.adam(1e-3)

    @jax.jit
    def step(state: HandState, x: jax.Array, y: jax.Array) -> tuple[HandState, HandMetrics]:
        def total(params: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            value = loss(params, x, y)
            penalty = sum((state.lam * jnp.sum(layer["kernel"] ** 2) for layer in params), jnp.zeros(()))
            return value + penalty, (value, penalty)

        (_, (value, penalty)), grads = jax.value_and_grad(total, has_aux=True)(state.params)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return HandState(params, opt_state, state.lam), HandMetrics(value, penalty, optax.tree.norm(grads))

    params = parameters(case.sizes)
    return step, HandState(params, tx.init(params), jnp.asarray(LAM))


def seconds(step: Step, state: Any, batch: tuple[jax.Array, jax.Array], steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        state, metrics = step(state, *batch)
    jax.block_until_ready((state, metrics))
    return (time.perf_counter() - start) / steps


class Timing(NamedTuple):
    """Seconds a step for each block, and seconds of the first call (tracing and compiling)."""

    blocks: dict[str, list[float]]
    compile: dict[str, float]


def measure(case: Case) -> Timing:
    key_x, key_y = jax.random.split(jax.random.key(1))
    batch = jax.random.normal(key_x, (case.batch, case.sizes[0])), jax.random.normal(key_y, (case.batch, case.sizes[-1]))
    warm_up = jax.jit(lambda x: x + 1)
    warm_up(jnp.zeros(1)).block_until_ready()  # the first compilation of a process pays for more than its own
    steps = {"by hand": by_hand(case), "make_step": ours(case)}
    compile_time = {name: seconds(step, state, batch, 1) for name, (step, state) in steps.items()}
    for step, state in steps.values():
        seconds(step, state, batch, case.block)
    blocks: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(case.repeats):
        for name in sorted(steps, reverse=bool(repeat % 2)):
            blocks[name].append(seconds(*steps[name], batch, case.block))
    return Timing(blocks, compile_time)


def check(case: Case) -> float:
    """The largest difference of the two after 20 steps: it is the same training."""
    batch = jnp.ones((case.batch, case.sizes[0])), jnp.ones((case.batch, case.sizes[-1]))
    finals = []
    for step, state in (by_hand(case), ours(case)):
        for _ in range(20):
            state, _ = step(state, *batch)
        finals.append(state.params)
    return max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(*map(jax.tree.leaves, finals), strict=True))


def main() -> None:
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}; microseconds a step")
    print(f"{'case':<22}{'':<11}{'median':>9}{'min':>9}{'max':>9}{'ratio':>8}{'ratio min/max':>16}{'first call s':>14}")
    for case in CASES:
        difference = check(case)
        timing = measure(case)
        ratios = [b / a for a, b in zip(timing.blocks["by hand"], timing.blocks["make_step"], strict=True)]
        for name, times in timing.blocks.items():
            micro = [1e6 * t for t in times]
            shown = f"{statistics.median(ratios):>8.3f}{min(ratios):>9.2f}/{max(ratios):<6.2f}" if name == "make_step" else " " * 24
            print(
                f"{case.name if name == 'by hand' else '':<22}{name:<11}{statistics.median(micro):>9.1f}{min(micro):>9.1f}"
                f"{max(micro):>9.1f}{shown}{timing.compile[name]:>14.2f}"
            )
        print(f"  largest difference of the weights after 20 steps: {difference:.1e}")


if __name__ == "__main__":
    main()
