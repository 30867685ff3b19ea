"""The dual problem of the latent group lasso: one multiplier for each group, found by an interior-point method.

With A (groups, n) the 0/1 table of members and s = Aᵀμ, the multipliers μ >= 0 minimise

    F(μ) = ½·Σ_j w_j²/(t + s_j) + ½·Σ_g weight_g²·μ_g.

For t > 0 the point u = w/(t + s) is the projection of w/t onto the set of all ‖u_g‖ <= weight_g, and for t = 0 the maximiser of
⟨u, w⟩ over it; μ_g·u is group g's part of w (of w's prox, for t > 0). Villa et al. 2014, §3.2, have this dual for t > 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._arithmetic import product

# The gap falls by a constant factor a step: some 20 steps to machine precision, and bounds for what never gets there.
_STEPS, _HALVINGS, _POLISH = 60, 8, 4
# Aim far down while steps are long; after a short one, first back to the middle. Products of one group each may differ this much.
_CENTRINGS, _CENTRAL = (0.05, 0.5), 0.03


def over(x: Array, y: Array) -> Array:
    """x/y with 0/0 = 0: numbers that are 0 need no group."""
    empty = (x == 0) & (y == 0)
    return jnp.where(empty, 0, x / jnp.where(empty, 1, y))


class _Point(NamedTuple):
    """What is known of F at some multipliers."""

    slack: Array  # F's gradient: ½(weight² − ‖u_g‖²)
    hessian: Array
    value: Array


def _at(mu: Array, w: Array, t: Any, weights: Array, table: Array) -> _Point:
    s = product(mu, table)
    u = over(w, t + s)
    norms = jnp.sqrt(product(table, u**2))
    curved = over(u**2, t + s)
    value = (product(w, u) + jnp.sum(weights**2 * mu)) / 2
    return _Point((weights - norms) * (weights + norms) / 2, product(table * curved, table.T), value)


def _scaled_solve(matrix: Array, right: Array) -> Array:
    """A positive definite system, each unknown in its own unit: multipliers differ by many orders."""
    root = jnp.sqrt(jnp.diag(matrix))
    return jnp.linalg.solve(matrix / root[:, None] / root, right / root) / root


def _relative_step(mu: Array, hessian: Array, right: Array) -> Array:
    """d with ``hessian·(mu·d) = right`` on the groups with mu > 0, and 0 on the others.

    Two groups that could stand in for each other leave d undetermined between them; a ridge of rounding's size decides, and
    what it decides changes no s_j of a number that is not zero.
    """
    matrix = mu[:, None] * hessian * mu
    size = jnp.diag(matrix)
    ridge = jnp.where(size > 0, 16 * jnp.finfo(mu.dtype).eps * size, 1)
    return jnp.where(size > 0, _scaled_solve(matrix + jnp.diag(ridge), mu * right), 0)


class _State(NamedTuple):
    mu: Array
    point: _Point
    centring: Array  # the share of the mean of mu·slack that a step aims at
    failed: Array
    count: Array


def _newton(mu: Array, point: _Point, target: Any) -> Array:
    """The relative change of mu that makes mu·slack the target, to first order."""
    gaps = mu * point.slack
    return _scaled_solve(mu[:, None] * point.hessian * mu + jnp.diag(gaps), target - gaps)


def _solve(w: Array, t: Any, weights: Array, table: Array) -> Array:
    """Path following for μ >= 0, slack(μ) >= 0, μ·slack = 0; then Newton's method on the groups that stay."""
    eps = jnp.finfo(w.dtype).eps

    def step(state: _State) -> _State:
        mu, point, centring, _, count = state
        mean = jnp.mean(mu * point.slack)
        d = _newton(mu, point, centring * mean)

        def tried(alpha: Array) -> tuple[Array, _Point, Array]:
            moved = mu * (1 + alpha * d)
            there = _at(moved, w, t, weights, table)
            gaps = moved * there.slack
            central = (jnp.min(there.slack) > 0) & (jnp.min(gaps) >= _CENTRAL * jnp.mean(gaps))
            return moved, there, ~(central & (jnp.mean(gaps) <= (1 - alpha * (1 - centring) / 20) * mean))

        def halve(carry: tuple[Array, Any, Array]) -> tuple[Array, Any, Array]:
            return carry[0] / 2, tried(carry[0] / 2), carry[2] + 1

        longest = jnp.minimum(1, 0.95 / jnp.maximum(jnp.max(-d), 0.95))
        start = longest, tried(longest), jnp.zeros((), int)
        alpha, (moved, there, failed), _ = jax.lax.while_loop(lambda c: c[1][2] & (c[2] < _HALVINGS), halve, start)
        new = _State(moved, there, jnp.where(alpha > 0.4, *_CENTRINGS).astype(w.dtype), failed, count + 1)
        return jax.tree.map(lambda a, b: jnp.where(failed, b, a), new, state._replace(failed=failed))

    def unfinished(state: _State) -> Array:
        gap = jnp.sum(state.mu * state.point.slack)
        return (gap > 64 * eps * state.point.value) & ~state.failed & (state.count < _STEPS)

    # Here every ‖u_g‖ <= weight_g/2, and μ_g·slack_g is the same for all groups within a factor of 4/3: inside, and central.
    lengths = jnp.sqrt(product(table, w**2))
    mu = 2 * jnp.maximum(jnp.max(lengths * weights), jnp.finfo(w.dtype).tiny) / weights**2
    centring = jnp.asarray(_CENTRINGS[0], w.dtype)
    start = _State(mu, _at(mu, w, t, weights, table), centring, jnp.zeros((), bool), jnp.zeros((), int))
    mu, point, *_ = jax.lax.while_loop(unfinished, step, start)

    # A step that aims at 0 leaves the multiplier of a group that stays as it is, and takes all of one that leaves.
    polished = jnp.where(_newton(mu, point, 0) > -0.5, mu, 0)

    def polish(_: Any, mu: Array) -> Array:
        there = _at(mu, w, t, weights, table)
        return mu * jnp.maximum(1 + _relative_step(mu, there.hessian, -there.slack), 0)

    polished = jax.lax.fori_loop(0, _POLISH, polish, polished)
    after = _at(polished, w, t, weights, table)
    good = jnp.all(jnp.isfinite(polished)) & jnp.isfinite(after.value) & (jnp.min(after.slack / weights**2) > -64 * eps)
    return jnp.where(jnp.all(jnp.isfinite(w)), jnp.where(good, polished, mu), jnp.nan)


@jax.custom_jvp
def multipliers(
    w: Float[Array, " n"], t: Any, weights: Float[Array, " groups"], table: Float[Array, "groups n"]
) -> Float[Array, " groups"]:
    """The minimising μ; exactly 0 for groups that take no part."""
    # In units where the largest number and the largest weight are 1.
    unit, heaviest = jnp.max(jnp.abs(w), initial=0), jnp.max(weights)
    unit = jnp.where((unit > 0) & jnp.isfinite(unit), unit, 1)
    return _solve(w / unit, t / unit * heaviest, weights / heaviest, table) * (unit / heaviest)


@multipliers.defjvp
def _derivative(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Differentiate slack_g = 0 on the groups with μ_g > 0, the others staying 0; one-sided where one is about to change."""
    w, t, weights, table = primals
    dw, dt, dweights, _ = tangents
    mu = multipliers(*primals)
    unit, heaviest = jax.lax.stop_gradient((jnp.max(jnp.abs(w), initial=0), jnp.max(weights)))
    unit = jnp.where(unit > 0, unit, 1)
    # The same units as above, so that no square overflows.
    w, dw, t, dt = w / unit, dw / unit, t / unit * heaviest, dt / unit * heaviest
    weights, dweights, scaled = weights / heaviest, dweights / heaviest, mu * (heaviest / unit)
    s = product(scaled, table)
    u = over(w, t + s)
    du = jnp.where(w == 0, 0, (dw - u * dt) / jnp.where(w == 0, 1, t + s))
    right = product(table, u * du) - weights * dweights
    hessian = _at(scaled, w, t, weights, table).hessian
    return mu, mu * _relative_step(scaled, hessian, right)


@jax.custom_jvp
def latent_norm(w: Float[Array, " n"], weights: Float[Array, " groups"], table: Float[Array, "groups n"]) -> Float[Array, ""]:
    """inf Σ weight_g·‖v_g‖ over all w = Σ v_g, each v_g zero outside its group."""
    mu = jax.lax.stop_gradient(multipliers(w, jnp.zeros((), w.dtype), weights, table))
    # F at its minimum: an error in mu enters squared. Two factors each, so that squares do not overflow.
    return (product(w, over(w, product(mu, table))) + jnp.sum(weights * (weights * mu))) / 2


@latent_norm.defjvp
def _envelope(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """⟨u, dw⟩ + Σ ‖v_g‖·dweight_g: μ does not move to first order."""
    w, weights, table = primals
    mu = multipliers(w, jnp.zeros((), w.dtype), weights, table)
    return latent_norm(*primals), product(over(w, product(mu, table)), tangents[0]) + product(weights * mu, tangents[1])


def shortened(w: Float[Array, " n"], t: Any, weights: Float[Array, " groups"], table: Float[Array, "groups n"]) -> Float[Array, " n"]:
    """The prox of t times the latent norm; w itself for t = 0."""
    s = product(multipliers(w, t, weights, table), table)
    empty = t + s == 0  # t is 0, and so is w
    return w * jnp.where(empty, 1, s / jnp.where(empty, 1, t + s))
