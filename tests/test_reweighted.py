"""Reweighted L1 is majorise-minimise for the log-sum penalty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import LogSum, reweighted_l1, solve

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 12))
Y = X @ np.where(np.arange(12) < 3, [3.0, -2.0, 1.0, *[0.0] * 9], 0) + 0.3 * RNG.normal(size=40)


def loss(w):
    return jnp.sum((jnp.asarray(Y) - jnp.asarray(X) @ w) ** 2) / 2


def fit(penalty, w):
    return solve(loss, penalty, w, tol=1e-11).params


@pytest.mark.slow
@pytest.mark.parametrize(("lam", "eps"), [(4.0, 0.1), (2.0, 1.0)])
def test_descends_to_a_stationary_point(x64, lam, eps):
    """Every round lowers loss + LogSum up to the solver's tolerance; rounds contract, so forty of them stop moving."""
    objective, path, w = LogSum(lam, eps), [], jnp.zeros(12)
    for _ in range(40):
        w = reweighted_l1(fit, w, lam, eps, rounds=1).params
        path.append(float(loss(w) + objective(w)))
    assert np.all(np.diff(path) <= 1e-9 * path[0])
    assert path[0] - path[5] > 1e-3 * path[0]
    assert float(objective.subdiff_distance(w, jax.grad(loss)(w))) <= 1e-7 * np.linalg.norm(jax.grad(loss)(jnp.zeros(12)))
    assert 0 < np.count_nonzero(w) < 12


def test_weights_are_those_of_the_paper(x64):
    """Round one at zero: lam/eps everywhere; then lam/(|w| + eps) of the round before."""
    first = reweighted_l1(fit, jnp.zeros(12), 2.0, 0.5, rounds=1)
    both = reweighted_l1(fit, jnp.zeros(12), 2.0, 0.5, rounds=2)
    assert both.weights.shape == (2, 12)
    np.testing.assert_allclose(both.weights[0], 4.0)
    np.testing.assert_allclose(both.weights[1], 2.0 / (np.abs(first.params) + 0.5), rtol=1e-14)


@pytest.mark.slow
def test_trees_places_and_jit(x64):
    """A bias that the fit leaves out stays unpenalised; the procedure compiles, and is the same compiled."""
    init = {"b": jnp.zeros(()), "w": jnp.zeros(12)}

    def fit_weights(penalty, p):
        return solve(lambda p: loss(p["w"] + p["b"]), penalty.on("w"), p, tol=1e-11).params

    def run(lam):
        return reweighted_l1(fit_weights, init, lam, 0.5, rounds=2)

    eager = run(2.0)
    assert jax.tree.map(jnp.shape, eager.weights) == {"b": (2,), "w": (2, 12)}
    assert abs(float(jax.grad(lambda p: loss(p["w"] + p["b"]))(eager.params)["b"])) < 1e-6
    np.testing.assert_allclose(jax.jit(run)(2.0).params["w"], eager.params["w"], atol=1e-8)


def test_errors():
    with pytest.raises(ValueError, match="rounds must be >= 1, got 0"):
        reweighted_l1(fit, jnp.zeros(12), rounds=0)
    with pytest.raises(ValueError, match="eps must be > 0"):
        reweighted_l1(fit, jnp.zeros(12), eps=0.0)
    with pytest.raises(ValueError, match="lam must be finite"):
        reweighted_l1(lambda penalty, w: w * jnp.nan, jnp.zeros(2))
