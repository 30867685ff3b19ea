"""Penalties that are sums over blocks of features: found as such, restricted to some, and fitted on a working set of blocks."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg._path._blocks import blocks, on_blocks

IDS = np.array([2, 0, 2, 1, 0, 2, 4])  # no feature has 3
PENALTIES = {
    "norms": jaxreg.GroupLasso(0.7, groups=IDS),
    "weighted": jaxreg.GroupLasso(0.7, groups=IDS, weights=[1.0, 0.0, 2.0, 5.0, 0.3]),
    "sparse": jaxreg.SparseGroupLasso(0.7, groups=IDS, l1_ratio=0.3),
    "folded": jaxreg.GroupMCP(0.7, groups=IDS),
    "beside features": jaxreg.GroupLasso(0.7, groups=IDS) + jaxreg.L1(np.arange(7.0)) + jaxreg.L2(0.2),
    "features": jaxreg.L1(np.arange(7.0)),
    "rows": jaxreg.GroupLasso(0.7, groups=IDS[:, None]) + jaxreg.L2(0.2),
    "rows by axis": jaxreg.L2Norm(0.7, axis=1),
}


def shape_of(name):
    return (7, 3) if name.startswith("rows") else (7,)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_is_the_sum_of_what_it_is_on_its_blocks(x64, name):
    penalty, shape, rng = PENALTIES[name], shape_of(name), np.random.default_rng(0)
    table = blocks(penalty, shape)
    assert sorted(table[table < 7]) == list(range(7))
    w = rng.normal(size=shape)
    w[0] = 0

    def part(rows):
        return jnp.asarray(w).at[rows.ravel()].get(mode="fill", fill_value=0)

    each = [on_blocks(penalty, jnp.asarray(rows[None]), shape)(part(rows)) for rows in table]
    np.testing.assert_allclose(sum(each), penalty(jnp.asarray(w)), rtol=1e-14)
    some = table[: len(table) // 2 + 1]
    found = on_blocks(penalty, jnp.asarray(some), shape).prox(part(some), 0.4)
    expected = jnp.asarray(penalty.prox(jnp.asarray(w), 0.4)).at[some.ravel()].get(mode="fill", fill_value=0)
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize(
    "penalty",
    [
        jaxreg.SLOPE(np.arange(7.0, 0, -1)),
        jaxreg.FusedLasso(),
        jaxreg.GroupLasso(1.0, groups=IDS) + jaxreg.GroupLasso(1.0, groups=np.sort(IDS)),
        jaxreg.GroupLasso(1.0, groups=np.arange(7) // 6 * np.arange(7)) + jaxreg.L2(1.0).around(jnp.ones(7)),
        jaxreg.GroupLasso(1.0, groups=IDS) + jaxreg.Nuclear(),
    ],
    ids=["sorted", "neighbours", "two partitions", "one large group", "singular values"],
)
def test_what_is_no_sum_over_blocks(penalty):
    assert blocks(penalty, (7,)) is None


def test_groups_that_divide_rows_are_no_blocks():
    assert blocks(jaxreg.GroupLasso(1.0, groups=np.arange(3)), (7, 3)) is None


def group_lasso_gap(X, y, ids, lam, coef, intercept):
    """Of ``Σ(y − η)² + lam·Σ√|g|·‖w_g‖``, relative to that of the mean, from Fenchel's inequality."""
    sizes = np.bincount(ids)

    def norms(x):
        return np.sqrt(np.bincount(ids, x**2))

    r = y - X @ coef - intercept
    nu = -2 * (r - r.mean())
    nu *= min(1, np.min(lam * np.sqrt(sizes) / norms(X.T @ nu)))
    primal = np.sum(r**2) + lam * np.sum(np.sqrt(sizes) * norms(coef))
    return (primal + np.sum(nu * y + nu**2 / 4)) / np.sum((y - y.mean()) ** 2)


def problem(n, p, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.arange(p) // 4)
    ids[ids == 0] = 1  # one group of eight
    ids = np.unique(ids, return_inverse=True)[1]
    X = rng.normal(size=(n, p)) + rng.normal(size=(n, 1))
    w = np.where(np.isin(ids, [3, 40, 77]), rng.normal(size=p), 0)
    return X, X @ w + 0.5 * rng.normal(size=n), ids


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_more_features_than_are_fitted_together(dtype):
    """1,200 features in groups that do not lie together: solved on some of the groups, certified by hand on all."""
    X, y, ids = problem(40, 1200)
    found = jaxreg.path(X.astype(dtype), y.astype(dtype), jaxreg.GroupLasso(1.0, groups=ids), lams=8)
    assert found.converged.all()
    assert found.coef.dtype == dtype
    gaps = [
        group_lasso_gap(X, y, ids, *(np.asarray(x, float) for x in row))
        for row in zip(found.lams, found.coef, found.intercept, strict=True)
    ]
    # X itself is rounded to float32, by which the problem moves.
    assert np.max(np.abs(gaps)) < (1e-11 if dtype == np.float64 else 1e-4)
    of_groups = np.stack([np.bincount(ids, row != 0) for row in np.asarray(found.coef)])
    assert set(of_groups.ravel()) <= {0, 4, 8}


def test_rows_of_many_targets_are_blocks():
    """Two ways to say multi-task: 400 features of 3 targets are more numbers than are fitted together."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 400))
    Y = X[:, :3] @ rng.normal(size=(3, 3)) + rng.normal(size=(50, 3))
    by_axis = jaxreg.path(X, Y, jaxreg.L2Norm(axis=1), lams=5)
    by_groups = jaxreg.path(X, Y, jaxreg.GroupLasso(1.0, groups=np.arange(400)[:, None], weights=np.ones(400)), lams=5)
    assert by_axis.converged.all()
    assert by_groups.converged.all()
    np.testing.assert_allclose(by_axis.coef, by_groups.coef, atol=1e-8 * np.abs(by_groups.coef).max())
    assert 0 < np.any(by_axis.coef[-1] != 0, axis=1).sum() < 200


@pytest.mark.parametrize("penalty", [jaxreg.L1(), jaxreg.L1(np.linspace(0.5, 2, 2000).reshape(10, 200))], ids=["one strength", "strengths"])
def test_many_targets_of_a_robust_loss_are_so_many_paths(penalty):
    """10 features of 200 targets are too many numbers for one working set, but the targets know nothing of each other."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(50, 10))
    Y = X @ rng.normal(size=(10, 200)) + rng.standard_t(2, size=(50, 200))
    lams, loss = [8.0, 2.0], jaxreg.losses.Huber()
    together = jaxreg.path(X, Y, penalty, loss=loss, lams=lams)
    assert together.converged.all()
    for t in (0, 117):
        own = jaxreg.L1(np.broadcast_to(penalty.lam, (10, 200))[:, t])
        alone = jaxreg.path(X, Y[:, t], own, loss=loss, lams=lams)
        np.testing.assert_allclose(together.coef[..., t], alone.coef, atol=1e-9)
        np.testing.assert_allclose(together.intercept[:, t], alone.intercept, atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_a_group_in_large_units_is_fitted_in_float32(scale):
    """Squares of its curvature, some 1e10, overflow there."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 40)).astype(np.float32)
    y = (rng.random(300) < 1 / (1 + np.exp(-X[:, :12] @ rng.normal(size=12) * 0.4))) * 1.0
    X[:, :4] *= scale
    penalty = jaxreg.GroupLasso(1.0, groups=np.arange(40) // 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jaxreg.ConvergenceWarning)  # flagged: float32 misses tol where units differ that much
        found = jaxreg.path(X, y, penalty, loss=jaxreg.losses.Logistic(), lams=[40.0, 10.0, 1.0])
    assert found.gap.max() < (1e-5 if scale == 1 else 0.05)  # a group that stays where it is leaves 0.8
    assert (found.coef[-1, :4] != 0).all()


def test_order_of_features_changes_nothing():
    """A group without a norm, squares and a likelihood, in groups that lie together and in any order."""
    X, y, ids = problem(60, 40, seed=2)
    y = (y > np.median(y)) * 1.0
    order = np.argsort(ids, kind="stable")
    weights = np.ones(ids.max() + 1)
    weights[3] = 0

    def fit(X, ids):
        penalty = jaxreg.GroupLasso(1.0, groups=ids, weights=weights) + jaxreg.L2(0.05)
        return jaxreg.path(X, y, penalty, loss=jaxreg.losses.Logistic(), lams=[3.0, 1.0, 0.3], standardize=True)

    mixed, sorted_ = fit(X, ids), fit(X[:, order], ids[order])
    assert mixed.converged.all()
    np.testing.assert_allclose(mixed.coef[:, order], sorted_.coef, atol=1e-7 * np.abs(sorted_.coef).max())


@pytest.mark.parametrize("penalty", [jaxreg.MCP(), jaxreg.SCAD(), jaxreg.GroupMCP(groups=np.arange(300) // 3)], ids=str)
def test_paths_of_folded_penalties_to_the_end(penalty):
    """More features than rows, down to where the support is nearly of their rank: every point is stationary."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(80, 300))
    y = X[:, :8] @ rng.normal(size=8) + rng.normal(size=80)
    found = jaxreg.path(X, y, penalty, loss=jaxreg.losses.SquaredError("half_mean"), lams=20)
    assert found.converged.all()
    assert found.kkt.max() < 1e-10
    assert found.nonzeros[-1] > 40
