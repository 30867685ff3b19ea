"""Weight decay in optax against the papers' formulas, written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .. import transforms as couplings
from .._dtypes import x64_scope
from .._penalties import L2
from .._update import gradient_step
from . import _tolerances as tolerances
from ._report import Finding, Report, judge, worst

_RATE, _LAM, _STEPS = 0.05, 0.02, 1000
_B1, _B2, _EPS = 0.9, 0.999, 1e-8
_START = np.array([1.0, -2.0, 0.5, 3.0])
_TARGET = np.array([0.3, 0.7, -1.1, 2.0])


def transforms() -> Report:
    """Hold ``coupled``, ``decoupled`` and ``fully_decoupled`` against Loshchilov and Hutter's formulas in NumPy.

    With SGD all three shrink weights by ``1 − 2αλ`` for ``L2(λ)`` and agree, over a thousand steps, with
    :func:`jaxreg.gradient_step`; with Adam they differ, and each is followed through algorithm 2 (line 6 for the coupled
    form, line 12 for the decoupled ones) written out in NumPy from the paper. All in float64.

    Returns:
      a :class:`Report`; the worst entry of a whole trajectory stands in each row.

    References:
      Loshchilov and Hutter, Decoupled weight decay regularization, 2019 (arXiv 1711.05101), algorithms 1 and 2.

    >>> from jaxreg import verify
    >>> verify.transforms().ok
    True
    """
    with x64_scope():
        rows = []
        for name, penalised in _couplings().items():
            checks = {
                "SGD shrinks by 1 − 2αλ": lambda make=penalised["sgd"]: _shrinks(make),
                "SGD vs gradient_step": lambda make=penalised["sgd"]: _follows(make, _textbook()),
                "Adam vs the paper": lambda make=penalised["adam"], name=name: _follows(make, _adam(name)),
            }
            rows += [judge(f"transforms.{name}", key, check, required=True) for key, check in checks.items()]
    return Report(tuple(rows))


def _eta(count: Any) -> Any:
    """The schedule multiplier, which sets the fully decoupled form apart from the decoupled one."""
    return 1.0 - 0.5 * count / _STEPS


def _couplings() -> dict[str, dict[str, Callable[[], optax.GradientTransformation]]]:
    p = L2(_LAM)

    def adam(rate: Any) -> optax.GradientTransformation:
        return optax.adam(rate, b1=_B1, b2=_B2, eps=_EPS)

    return {
        "coupled": {
            "sgd": lambda: optax.chain(couplings.coupled(p), optax.sgd(_RATE)),
            "adam": lambda: optax.chain(couplings.coupled(p), adam(_RATE)),
        },
        "decoupled": {
            "sgd": lambda: optax.chain(optax.sgd(_RATE), couplings.decoupled(p, _RATE)),
            "adam": lambda: optax.chain(adam(lambda t: _RATE * _eta(t)), couplings.decoupled(p, lambda t: _RATE * _eta(t))),
        },
        "fully_decoupled": {
            "sgd": lambda: optax.chain(optax.sgd(_RATE), couplings.fully_decoupled(p, _RATE)),
            "adam": lambda: optax.chain(adam(lambda t: _RATE * _eta(t)), couplings.fully_decoupled(p, _eta)),
        },
    }


def _gradient(w: Any) -> Any:
    """Of ``¼Σ(w − target)⁴ + Σ(w − target)²``: not linear, so that no two couplings agree by chance."""
    return (w - _TARGET) ** 3 + 2 * (w - _TARGET)


def _run(make: Callable[[], optax.GradientTransformation], gradient: Callable[[Any], Any]) -> np.ndarray:
    tx = make()
    start = jnp.asarray(_START)

    def step(carry: Any, _: Any) -> tuple[Any, Any]:
        w, state = carry
        updates, state = tx.update(gradient(w), state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    return np.asarray(jax.jit(lambda: jax.lax.scan(step, (start, tx.init(start)), None, length=_STEPS)[1])())


def _compare(found: np.ndarray, right: np.ndarray) -> Finding:
    errors = np.abs(found - right) / np.maximum(1, np.abs(right))
    return worst(errors, tolerances.TRAJECTORY, lambda t, j: f"step {t + 1}, w[{j}]: {found[t, j]:.6g}, formula {right[t, j]:.6g}")


def _shrinks(make: Callable[[], optax.GradientTransformation]) -> Finding:
    right = _START * (1 - 2 * _RATE * _LAM) ** np.arange(1, _STEPS + 1)[:, None]
    return _compare(_run(make, jnp.zeros_like) / right, np.ones_like(right))


def _follows(make: Callable[[], optax.GradientTransformation], right: np.ndarray) -> Finding:
    return _compare(_run(make, _gradient), right)


def _textbook() -> np.ndarray:
    w, out = _START, []
    for _ in range(_STEPS):
        w = np.asarray(gradient_step(w, _gradient(w), _RATE, _LAM))
        out.append(w)
    return np.stack(out)


def _adam(coupling: str) -> np.ndarray:
    """Algorithm 2, line by line; the decay of ``L2(λ)`` is its gradient 2λw, the paper's λw with twice the λ."""
    w, m, v, out = _START, np.zeros(4), np.zeros(4), []
    for t in range(1, _STEPS + 1):
        eta = _eta(t - 1) if coupling != "coupled" else 1.0
        decay = 2 * _LAM * w
        g = _gradient(w) + (decay if coupling == "coupled" else 0)  # line 6
        m, v = _B1 * m + (1 - _B1) * g, _B2 * v + (1 - _B2) * g**2  # lines 7 and 8
        direction = (m / (1 - _B1**t)) / (np.sqrt(v / (1 - _B2**t)) + _EPS)  # lines 9 and 10
        apart = {"coupled": 0.0, "decoupled": _RATE, "fully_decoupled": 1.0}[coupling]
        w = w - eta * (_RATE * direction + apart * decay)  # line 12; optax and PyTorch put α before the decay too
        out.append(w)
    return np.stack(out)
