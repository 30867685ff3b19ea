"""A data term's value, gradient, curvature and conjugate, held against autodiff, difference quotients and a search."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._dtypes import x64_scope
from .._penalties import UnknownOperation
from ..losses import Loss
from . import _tolerances as tolerances
from ._duality import compare_suprema
from ._report import Finding, Report, judge, worst
from ._search import box_minimum, line_minimum, wide_grid
from ._subject import batched

_CLASSES, _ROWS = 3, 8


def loss(l: Loss) -> Report:  # noqa: E741
    """Hold a loss's value, gradient, curvature and conjugate against each other, for all of its reductions.

    Gradient and curvature go through ``l.grad`` and ``l.curvature``, with and without sample weights (zeros among them), and
    are compared with autodiff and with central differences; the value with ``Σ cᵢ·ℓᵢ`` written out; the conjugate with a
    global search of ``sup_η ⟨u, η⟩ − ℓ(η)``; convexity with midpoints; the mean with the slope, which vanishes where the
    target is what is expected. All in float64. Where rows meet in the loss (Cox) the curvature is the whole Hessian, rows of weight 0 must
    be as if absent, and the bound on the conjugate must lie above ``⟨u, η⟩ − ℓ(η)`` everywhere and touch it where it says so.

    Args:
      l: a loss; its reduction does not matter.

    Returns:
      a :class:`Report` with a row for each property, the worst over reductions and weights.

    Raises:
      TypeError: ``l`` is no loss.
      ValueError: the loss accepts none of the targets that are tried (reals, counts, positive numbers, times with events).

    >>> from jaxreg import losses, verify
    >>> verify.loss(losses.Logistic()).ok
    True
    """
    if not isinstance(l, Loss):
        raise TypeError(f"expected a jaxreg loss, got {l!r}")
    with x64_scope():
        bench = _Bench(l)
        checks: dict[str, Callable[[], Finding]] = {
            **({"weight 0 and the mean": bench.weighted} if l.coupled else {"value is the weighted sum": bench.value}),
            "grad vs autodiff": lambda: bench.against_autodiff(bench.slopes, bench.automatic_slopes),
            "grad vs central differences": bench.slopes_against_differences,
            "curvature vs autodiff": lambda: bench.against_autodiff(bench.curvatures, bench.automatic_curvatures),
            "curvature vs central differences": bench.curvatures_against_differences,
            **(
                {"bound on the conjugate": bench.conjugate_bound}
                if l.coupled
                else {"conjugate vs numerical supremum": bench.conjugate, "Fenchel–Young": bench.fenchel_young}
            ),
            "convex": bench.convex,
            "finite far out": bench.stable,
            "jit and vmap": bench.transformed,
            "value in float32": bench.single,
        }
        name = type(l).__name__
        rows = [judge(name, key, check, required=True) for key, check in checks.items()]
        rows.append(judge(name, "mean", bench.mean))
    return Report(tuple(rows))


class _Bench:
    """One loss with predictors, targets and weights: a case for each reduction, with and without weights."""

    def __init__(self, l: Loss):  # noqa: E741
        self.loss = l
        rng = np.random.default_rng(20240229)
        self.y = _targets(l, rng)
        shape = (_ROWS, _CLASSES) if l.vector else (_ROWS,)
        self.eta = rng.standard_normal((6, *shape)) * np.array([0.1, 1, 1, 1, 3, 3]).reshape(-1, *[1] * len(shape))
        weights = jnp.array([0.0, 2.0, 1.0, 0.5, 0.0, 3.0, 1.0, 0.25])
        self.cases = [(dataclasses.replace(l, reduction=r), v) for r in l.reductions for v in (None, weights)]

        def every(member: Callable[..., Any]) -> Callable[[Any], Any]:
            """All cases of a function (loss, η, weights), stacked: compiled together, once."""
            return jax.jit(jax.vmap(lambda eta: jnp.stack([member(case, eta, v) for case, v in self.cases])))

        self.values = every(lambda case, eta, v: case(eta, self.y, v))
        self.slopes = every(lambda case, eta, v: case.grad(eta, self.y, v))
        self.curvatures = every(lambda case, eta, v: case.curvature(eta, self.y, v))
        self.automatic_slopes = every(lambda case, eta, v: jax.grad(case)(eta, self.y, v))
        self.automatic_curvatures = every(lambda case, eta, v: self.blocks(jax.hessian(case)(eta, self.y, v)))

    def blocks(self, hessian: Any) -> Any:
        """The diagonal of a Hessian, or the block of each observation; all of it where observations meet."""
        if self.loss.coupled:
            return hessian
        if not self.loss.vector:
            return jnp.diagonal(hessian)
        return jnp.moveaxis(jnp.diagonal(hessian, axis1=0, axis2=2), -1, 0)

    def case(self, k: int) -> str:
        case, v = self.cases[k]
        return f"{case.reduction}{'' if v is None else ', weighted'}"

    def _found(self, errors: np.ndarray, tolerance: float) -> Finding:
        """Errors of shape (points, cases, …)."""
        return worst(errors, tolerance, lambda i, k, *at: f"{self.case(k)}: η{list(at)} = {self.eta[i][at[: self.eta[i].ndim]]}")

    def value(self) -> Finding:
        pointwise = np.asarray(jax.jit(jax.vmap(lambda eta: self.loss.pointwise(eta, self.y)))(self.eta))
        expected = []
        for case, v in self.cases:
            weights = np.ones(_ROWS) if v is None else np.asarray(v)
            divisor = {"sum": 1.0, "mean": weights.sum(), "half_mean": 2 * weights.sum()}[case.reduction]
            expected.append(np.sum(weights * pointwise, axis=1) / divisor)
        right = np.stack(expected, axis=1)
        errors = np.abs(np.asarray(self.values(self.eta)) - right) / np.maximum(1, np.abs(right))
        return worst(errors, tolerances.FORMULA, lambda i, k: self.case(k))

    def weighted(self) -> Finding:
        """Rows of weight 0 are as if absent, and the mean is the sum over Σv."""
        whole, right = dataclasses.replace(self.loss, reduction="sum"), []
        for case, v in self.cases:
            weights = np.ones(_ROWS) if v is None else np.asarray(v)
            kept = weights > 0
            sums = jax.vmap(lambda eta, kept=kept, w=weights[kept]: whole(eta, self.y[kept], w))(self.eta[:, kept])
            right.append(np.asarray(sums) / (weights.sum() if case.reduction == "mean" else 1))
        errors = np.abs(np.asarray(self.values(self.eta)) - np.stack(right, axis=1))
        return worst(errors, tolerances.SAME, lambda i, k: self.case(k))

    def against_autodiff(self, given: Callable[..., Any], automatic: Callable[..., Any]) -> Finding:
        right = np.asarray(automatic(self.eta))
        return self._found(np.abs(np.asarray(given(self.eta)) - right) / max(1, np.abs(right).max()), tolerances.FORMULA)

    def _differences(self, of: Callable[..., Any]) -> np.ndarray:
        """∂of/∂η, the predictors' axes last."""
        columns = []
        for index in np.ndindex(*self.eta.shape[1:]):
            above, below = self.eta.copy(), self.eta.copy()
            step = tolerances.DIFFERENCE_STEP * np.maximum(1, np.abs(self.eta[:, *index]))
            above[:, *index] += step
            below[:, *index] -= step
            change = np.asarray(of(above)) - np.asarray(of(below))
            columns.append(change / (above - below)[:, *index].reshape(-1, *[1] * (change.ndim - 1)))
        stacked = np.stack(columns, axis=-1)
        return stacked.reshape(*stacked.shape[:-1], *self.eta.shape[1:])

    def slopes_against_differences(self) -> Finding:
        right = self._differences(self.values)
        return self._found(np.abs(np.asarray(self.slopes(self.eta)) - right) / max(1, np.abs(right).max()), tolerances.DIFFERENCE)

    def curvatures_against_differences(self) -> Finding:
        """Differences of the autodiff gradient, so that a wrong analytic gradient is no excuse for a wrong curvature."""
        full = self._differences(self.automatic_slopes)
        right = np.stack([np.stack([np.asarray(self.blocks(h)) for h in point]) for point in full])
        return self._found(np.abs(np.asarray(self.curvatures(self.eta)) - right) / max(1, np.abs(right).max()), tolerances.DIFFERENCE)

    def _duals(self) -> np.ndarray:
        """Slopes and mixtures of slopes (inside the conjugate's domain), 0, and points that may lie outside."""
        slopes = np.asarray(jax.jit(jax.vmap(jax.grad(lambda eta: jnp.sum(self.loss.pointwise(eta, self.y)))))(self.eta))
        mixed = [(slopes[1] + slopes[2]) / 2, 0.3 * slopes[3] + 0.7 * slopes[4]]
        far = np.random.default_rng(7).standard_normal(slopes[0].shape)
        return np.stack([*slopes, *mixed, np.sign(far) * 3, far])

    def conjugate(self) -> Finding:
        duals, y = self._duals(), np.asarray(self.y)
        run = batched(lambda eta, target: self.loss.pointwise(eta[None], target[None])[0])
        slopes, targets = np.concatenate([duals] * 2).reshape(-1, *duals.shape[2:]), np.tile(y, 2 * len(duals))

        def objective(rows: np.ndarray, eta: np.ndarray) -> np.ndarray:
            u, count = slopes[rows, None], eta.shape[1]
            product = np.sum(u * eta, axis=-1) if self.loss.vector else u * eta
            return run(eta.reshape(-1, *eta.shape[2:]), np.repeat(targets[rows], count)).reshape(product.shape) - product

        half = len(slopes) // 2
        if self.loss.vector:
            radius = np.repeat([40.0, 400.0], half)
            axes = radius[:, None, None] * np.linspace(-1, 1, 17) * np.ones((2 * half, _CLASSES, 1))
            lowest = box_minimum(objective, axes, radius)[1]
        else:
            lowest = line_minimum(objective, np.repeat(np.stack([wide_grid(1e3), wide_grid(1e6)]), half, axis=0))[1]
        near, far = -lowest.reshape(2, len(duals), _ROWS)
        found = np.asarray(jax.jit(jax.vmap(lambda u: self.loss.pointwise_conjugate(u, self.y)))(duals))
        errors = compare_suprema(found, near, far)
        return worst(
            errors, tolerances.CONJUGATE, lambda i, j: f"dual {duals[i][j]}, y = {y[j]}: {found[i, j]:.6g}, search {far[i, j]:.6g}"
        )

    def fenchel_young(self) -> Finding:
        """``l(η) + l*(u) >= ⟨u, η⟩`` for all u, with equality at ``u = ∇l(η)``, in every reduction."""
        duals = self.automatic_slopes(self.eta)
        own = jax.vmap(lambda u: jnp.stack([case.conjugate(u[k], self.y, v) for k, (case, v) in enumerate(self.cases)]))
        dual, conjugate, values = np.asarray(duals), np.asarray(jax.jit(own)(duals)), np.asarray(self.values(self.eta))
        axes = tuple(range(2, dual.ndim))
        equal = np.abs(values + conjugate - np.sum(dual * self.eta[:, None], axis=axes))
        # The dual of another point: an inequality.
        other = np.roll(np.arange(len(dual)), 1)
        above = (np.sum(dual[other] * self.eta[:, None], axis=axes) - conjugate[other] - values).clip(0)
        errors = np.maximum(equal, above) / np.maximum(1, np.abs(values))
        return worst(errors, tolerances.CONJUGATE, lambda i, k: self.case(k))

    def conjugate_bound(self) -> Finding:
        """``conjugate_bound >= ⟨share·dual, η⟩ − l(η)`` for all η, equal at the η whose gradient the dual is; ``least`` is below all l."""
        points = np.concatenate([self.eta, 20 * self.eta])
        values = np.asarray(self.values(points))

        def one(eta: Any, change: Any, share: Any) -> Any:
            found = []
            for case, v in self.cases:
                dual = case.grad(eta, self.y, v) - case.product(change[:, None], eta, self.y, v)[:, 0]
                bound = case.conjugate_bound(share, dual, eta, change, self.y, v)
                found.append((jnp.append(share * dual, bound), case.least(eta, self.y, v)))
            return jax.tree.map(lambda *x: jnp.stack(x), *found)

        of, errors = jax.jit(jax.vmap(one, in_axes=(0, 0, None))), []
        for share, size in ((1.0, 0.0), (1.0, 0.1), (0.6, 0.1), (0.0, 0.0)):
            both, least = (np.asarray(x) for x in of(self.eta, size * np.tanh(np.roll(self.eta, 1, axis=0)), share))
            dual, bound = both[..., :-1], both[..., -1]
            below = np.einsum("ikn,jn->ikj", dual, points) - values.T
            over = np.where(np.isfinite(bound), (below.max(axis=2) - bound).clip(0), np.inf) + (least[:1] - values).max(axis=0).clip(0)
            own = np.einsum("ikn,in->ik", dual, self.eta) - values[: len(self.eta)]
            errors.append(np.maximum(over, np.abs(bound - own) if (share, size) == (1.0, 0.0) else 0) / np.maximum(1, np.abs(own)))
        return worst(np.max(errors, axis=0), tolerances.CONJUGATE, lambda i, k: self.case(k))

    def convex(self) -> Finding:
        a, b = self.eta, 5 * np.roll(self.eta, 1, axis=0)
        ends = (np.asarray(self.values(a)) + np.asarray(self.values(b))) / 2
        excess = (np.asarray(self.values((a + b) / 2)) - ends) / np.maximum(1, np.abs(ends))
        return worst(np.where(np.isnan(excess), np.inf, excess.clip(0)), tolerances.SAME, lambda i, k: self.case(k))

    def stable(self) -> Finding:
        far = np.sign(self.eta) * min(1e3, self.loss.reach)
        for name, members in (("value", self.values), ("grad", self.slopes), ("curvature", self.curvatures)):
            found = np.asarray(members(far))
            if not np.isfinite(found).all():
                return worst(
                    np.where(np.isfinite(found), 0, np.inf), tolerances.SAME, lambda i, k, *_, name=name: f"{name}, {self.case(k)}"
                )
        return Finding(0.0, tolerances.SAME)

    def mean(self) -> Finding:
        """``∂ℓ(mean(η), η)/∂η = 0`` or, with classes, ``Σ_k mean(η)_k·∂ℓ(k, η)/∂η = 0`` and the mean sums to 1."""
        if type(self.loss).mean is Loss.mean:
            raise UnknownOperation(f"{type(self.loss).__name__} defines no mean")
        eta = jnp.asarray(self.eta.reshape(-1, *self.eta.shape[2:]))
        means = self.loss.mean(eta)
        if np.shape(means) != eta.shape:
            raise ValueError(f"mean(η) has shape {np.shape(means)} for η of shape {eta.shape}")
        if self.loss.vector:
            slopes = [self.loss.pointwise_grad(eta, jnp.full(len(eta), k)) for k in range(_CLASSES)]
            left = sum(np.asarray(means)[:, k, None] * np.asarray(slope) for k, slope in enumerate(slopes))
            left = np.concatenate([left, np.sum(means, axis=1, keepdims=True) - 1], axis=1)
        else:
            left = np.asarray(self.loss.pointwise_grad(eta, means))
        errors = np.abs(left) / max(1, float(np.abs(means).max()))
        return worst(errors, tolerances.FORMULA, lambda i, *_: f"η = {np.asarray(eta)[i]}, mean {np.asarray(means)[i]}")

    def transformed(self) -> Finding:
        """Compiled and batched against eager calls of value, gradient and curvature."""
        eta, errors, names = jnp.asarray(self.eta[1]), [], []
        for k in (0, len(self.cases) - 1):
            case, v = self.cases[k]
            members = (("value", case, self.values), ("grad", case.grad, self.slopes), ("curvature", case.curvature, self.curvatures))
            for name, eager, members_of_all in members:
                one = np.asarray(eager(eta, self.y, v))
                errors.append(np.max(np.abs(np.asarray(members_of_all(self.eta))[1, k] - one)) / max(1, np.abs(one).max()))
                names.append(f"{name}, {self.case(k)}")
        return worst(np.array(errors), tolerances.SAME, lambda i: names[i])

    def single(self) -> Finding:
        eta = self.eta.astype(np.float32)
        right = np.asarray(self.values(eta.astype(np.float64)))
        y = self.y.astype(jnp.float32) if jnp.issubdtype(self.y.dtype, jnp.floating) else self.y
        weights = [None if v is None else v.astype(jnp.float32) for _, v in self.cases]
        pairs = [(case, v) for (case, _), v in zip(self.cases, weights, strict=True)]
        found = np.asarray(jax.jit(jax.vmap(lambda e: jnp.stack([case(e, y, v) for case, v in pairs])))(eta), np.float64)
        errors = np.abs(found - right) / np.maximum(1, np.abs(right))
        return worst(errors, tolerances.SINGLE, lambda i, k: self.case(k))


def _targets(l: Loss, rng: np.random.Generator) -> jax.Array:  # noqa: E741
    """Targets that the loss accepts, representable in float32 so that both precisions see the same ones."""
    if l.classification:
        labels = np.arange(_ROWS) % (_CLASSES if l.vector else 2)
        return jnp.asarray(labels if l.vector else labels.astype(float))
    reals = rng.standard_normal(_ROWS).astype(np.float32).astype(float)
    times = np.stack([np.array([2.0, 1, 3, 3, 2, 2, 4, 3]), np.array([1.0, 1, 0, 1, 1, 1, 0, 1])], axis=1)
    for y in (reals, np.arange(_ROWS) % 4.0, np.abs(reals) + 0.5, times):
        try:
            l.check_targets(y)
        except ValueError:
            continue
        return jnp.asarray(y)
    raise ValueError(f"{type(l).__name__} accepts neither real, count nor positive targets, nor times with events")
