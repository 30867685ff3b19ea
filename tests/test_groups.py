"""Sparse, elastic and folded group penalties: what ``verify``'s four numbers cannot show. GroupLasso has its own file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from jaxreg import (
    L1,
    L2,
    MCP,
    SCAD,
    GroupElasticNet,
    GroupLasso,
    GroupMCP,
    GroupSCAD,
    NonNegative,
    SparseGroupLasso,
    UnknownOperation,
    solve,
)

pytestmark = pytest.mark.thin(6)

KINDS = {
    "sparse": lambda **k: SparseGroupLasso(0.7, l1_ratio=0.3, **k),
    "net": lambda **k: GroupElasticNet(0.7, l1_ratio=0.6, **k),
    "mcp": lambda **k: GroupMCP(0.7, gamma=2.5, **k),
    "scad": lambda **k: GroupSCAD(0.7, a=2.8, **k),
}
each = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def draw(n=3000, groups=400, seed=0):
    """Numbers, some of them 0, in scattered groups, some of them empty, and a weight for each."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, groups, n)
    ids[0] = groups - 1
    return rng.normal(size=n) * (rng.random(n) < 0.8), ids, rng.uniform(0.3, 2, groups)


def norms(w, ids, groups):
    return np.sqrt(np.bincount(ids, np.asarray(w) ** 2, minlength=groups))


def test_sparse_prox_at_size(x64):
    """Against Simon et al. 2013, eq. 12, group by group; a norm of some ten numbers rounds by some ten ε."""
    w, ids, weights = draw()
    found = SparseGroupLasso(0.7, ids, 0.3, weights).prox(jnp.asarray(w), 0.9)
    expected = np.sign(w) * np.maximum(np.abs(w) - 0.9 * 0.7 * 0.3, 0)
    for g in np.unique(ids):
        mine = ids == g
        size = np.linalg.norm(expected[mine])
        expected[mine] *= max(0, 1 - 0.9 * 0.7 * 0.7 * weights[g] / size) if size else 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(found == 0, expected == 0)


@pytest.mark.thin(2)
@each
def test_prox_and_subdifferential_agree_at_size(make, x64):
    """``(v − z)/step`` is in the subdifferential at z: two separate formulas. Squares of 3000 residuals of ε each add up."""
    w, ids, weights = draw()
    p = make(groups=ids, weights=weights)
    for step in (0.05, 0.8):
        z = p.prox(jnp.asarray(w), step)
        assert float(p.subdiff_distance(z, (z - w) / step)) < 1e-12 / step


@pytest.mark.parametrize("l1_ratio", [0.0, 0.3, 1.0])
def test_sparse_lambda_max_is_the_root(l1_ratio, x64):
    """Against a bracketing root finder on the defining equation in each group, which is good to 1e-14 of the root."""
    w, ids, weights = draw(600, 40)
    w = w * 10.0 ** np.random.default_rng(1).uniform(-6, 6, 40)[ids]
    roots = []
    for g in np.unique(ids):
        mine = np.abs(w[ids == g])
        if mine.any():
            slope = (1 - l1_ratio) * weights[g]
            gap = lambda lam, mine=mine, slope=slope: np.linalg.norm(np.maximum(mine - lam * l1_ratio, 0)) - lam * slope  # noqa: E731
            bound = min(mine.max() / l1_ratio if l1_ratio else np.inf, np.linalg.norm(mine) / slope if slope else np.inf)
            roots.append(bound if gap(bound) >= 0 else brentq(gap, 0, bound, xtol=1e-300, rtol=1e-14))
    found = SparseGroupLasso(2.0, ids, l1_ratio, weights).lambda_max(jnp.asarray(w))
    np.testing.assert_allclose(found, max(roots) / 2, rtol=1e-13)


@pytest.mark.slow
def test_sparse_lambda_max_has_derivatives(x64):
    """Against central differences: truncation and rounding are each about 1e-10."""
    w, ids, weights = draw(60, 5)
    largest = lambda w, r: SparseGroupLasso(1.0, ids, weights=weights)._with(l1_ratio=r).lambda_max(w)  # noqa: E731
    u = np.random.default_rng(2).normal(size=60)
    slope_w, slope_r = jax.grad(largest, argnums=(0, 1))(jnp.asarray(w), 0.4)
    differences = [(largest(w + h * u, 0.4) - largest(w - h * u, 0.4)) / (2 * h) for h in (1e-6,)]
    assert float(slope_w @ u) == pytest.approx(float(differences[0]), rel=1e-7)
    assert float(slope_r) == pytest.approx(float(largest(w, 0.4 + 1e-6) - largest(w, 0.4 - 1e-6)) / 2e-6, rel=1e-7)


def test_a_kernel_by_rows(x64):
    kernel = np.random.default_rng(0).normal(size=(5, 3))
    rows, lengths = np.arange(5)[:, None], np.linalg.norm(kernel, axis=1)
    expected = 0.7 * (0.3 * np.abs(kernel).sum() + 0.7 * np.sqrt(3) * lengths.sum())
    assert float(SparseGroupLasso(0.7, rows, 0.3)(jnp.asarray(kernel))) == pytest.approx(expected, rel=1e-14)
    knee = 0.4 * np.sqrt(3)
    m = np.minimum(lengths, 2.5 * knee)
    assert float(GroupMCP(0.4, rows, 2.5)(jnp.asarray(kernel))) == pytest.approx(np.sum(knee * m - m**2 / 5), rel=1e-14)
    kept = GroupMCP(0.4, rows, 2.5).prox(jnp.asarray(kernel), 0.5)
    firm = np.where(lengths <= 2.5 * knee, np.maximum(lengths - 0.5 * knee, 0) / 0.8, lengths)
    np.testing.assert_allclose(kept, kernel * (firm / lengths)[:, None], atol=1e-15)


@each
def test_ids_span_leaves(make, x64):
    w, ids, _ = draw(30, 6)
    params = {"a": jnp.asarray(w[:10]).reshape(5, 2), "b": jnp.asarray(w[10:]), "c": jnp.asarray(3.0)}
    together, apart = make(groups=ids), make(groups={"a": ids[:10].reshape(5, 2), "b": ids[10:], "c": None})
    assert float(apart(params)) == pytest.approx(float(together(jnp.asarray(w))), rel=1e-15)
    z = apart.prox(params, 0.4)
    np.testing.assert_allclose(np.append(z["a"], z["b"]), together.prox(jnp.asarray(w), 0.4), atol=1e-15)
    assert float(z["c"]) == 3
    assert apart.covers(params) == {"a": True, "b": True, "c": False}
    assert apart.free(params)["c"].tolist()
    assert sum(float(term(params)) for term in apart.terms()) == pytest.approx(float(apart(params)), rel=1e-14)
    if apart.convex:
        assert float(apart.conjugate(params)) == np.inf  # c is not 0


@pytest.mark.thin(2)
@pytest.mark.parametrize(
    ("group", "single"),
    [
        (SparseGroupLasso(0.7, np.arange(50)), L1(0.7)),
        (GroupElasticNet(0.7, np.arange(50), 0.4), L1(0.28) + L2(0.21)),
        (GroupMCP(0.7, np.arange(50)), MCP(0.7)),
        (GroupSCAD(0.7, np.arange(50), scale=0.6), SCAD(0.7, scale=0.6)),
    ],
    ids=["sparse", "net", "mcp", "scad"],
)
def test_groups_of_one(group, single, x64):
    w = jnp.asarray(np.random.default_rng(0).normal(size=50) * 2)
    assert float(group(w)) == pytest.approx(float(single(w)), rel=1e-14)
    for step in (0.1, 1.0, 5.0):
        np.testing.assert_allclose(group.prox(w, step), single.prox(w, step), atol=1e-14)
    np.testing.assert_allclose(group.grad(w), single.grad(w), atol=1e-14)
    assert float(group.lambda_max(w)) == pytest.approx(float(single.lambda_max(w)), rel=1e-14)


@pytest.mark.slow
@each
def test_empty_groups_and_no_parameters(make):
    """Ids that nothing has cost nothing; no parameters cost 0."""
    w = jnp.array([3.0, 4.0])
    some = make(groups=[2, 2], weights=[5.0, 2.0, 1.0])
    assert float(some(w)) == pytest.approx(float(make(groups=[0, 0], weights=[1.0])(w)))
    assert np.all(np.isfinite(some.prox(w)))
    assert np.isfinite(float(some.lambda_max(w)))
    none = make(groups=np.zeros(0, int), weights=np.zeros(0))
    assert float(none(jnp.zeros(0))) == 0
    assert none.prox(jnp.zeros(0)).shape == (0,)


@each
def test_memory_is_linear(make):
    """A million parameters in 1e5 groups: no array of the compiled program is longer than the parameters."""
    n = 10**6
    ids = np.arange(n) % 10**5
    penalty = make(groups=ids)

    def longest(jaxpr):
        inner = [p for eqn in jaxpr.eqns for p in jax.tree.leaves(list(eqn.params.values())) if hasattr(p, "jaxpr") or hasattr(p, "eqns")]
        own = [v.aval.size for eqn in jaxpr.eqns for v in eqn.outvars]
        return max([*own, *[longest(getattr(p, "jaxpr", p)) for p in inner]])

    w = jax.ShapeDtypeStruct((n,), jnp.float32)
    for member in (penalty, penalty.grad, penalty.prox, penalty.lambda_max, penalty.support):
        assert longest(jax.make_jaxpr(member)(w).jaxpr) == n


@pytest.mark.slow
@each
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_derivatives_are_finite(make, size):
    """At a zero group, at a kink inside a group and where squares would overflow or vanish."""
    w = jnp.array([0.0, 0.0, 3 * size, 4 * size, 0.0], jnp.float32)
    penalty = make(groups=[0, 0, 1, 1, 1], weights=[1.0, 1.0])
    assert np.all(np.isfinite(penalty.grad(w)))
    if np.isfinite(float(penalty(w))):  # the elastic net's squares are beyond float32 at 1e30
        assert np.all(np.isfinite(jax.grad(penalty)(w)))
    assert np.all(np.isfinite(jax.jacobian(penalty.prox)(w)))
    assert np.all(np.isfinite(jax.grad(lambda p: jnp.sum(p.prox(w) / size))(penalty).lam))


@pytest.mark.parametrize("kind", ["sparse", "mcp", "scad"])
def test_magnitudes_in_float32(kind):
    """At c·w and c·λ the prox is c times that at w and λ; some ten roundings in float32."""
    w, ids, weights = draw(40, 6)
    p = KINDS[kind](groups=ids, weights=weights)
    plain = p.prox(jnp.asarray(w, jnp.float32))
    for size in (1e30, 1e-30):
        found = p._with(lam=0.7 * size).prox(jnp.asarray(w * size, jnp.float32)) / np.float32(size)
        np.testing.assert_allclose(found, plain, atol=3e-6)
        assert not np.any(p._with(lam=1e30).prox(jnp.asarray(w, jnp.float32)))


@pytest.mark.thin(2)
@each
def test_no_strength_is_the_identity(make, x64):
    """With its derivative, also at zero."""
    w = jnp.array([0.0, 0.0, 3.0, 0.0])
    for p, step in ((make(groups=[0, 0, 1, 1])._with(lam=0.0), 1.0), (make(groups=[0, 0, 1, 1]), 0.0)):
        np.testing.assert_array_equal(p.prox(w, step), w)
        np.testing.assert_array_equal(jax.jacobian(p.prox)(w, step), np.eye(4))


@pytest.mark.slow
@each
def test_prox_derivatives_at_size(make, x64):
    """Forward against central differences in w, λ and the step, backward against forward. Rounding is 1e-16/1e-6 a number."""
    w, ids, weights = draw(200, 30)
    u = np.random.default_rng(3).normal(size=200)
    p = make(groups=ids, weights=weights)

    def moved(h):
        return p._with(lam=0.7 + 0.3 * h).prox(w + h * u, 0.5 + 0.2 * h)

    forward = jax.jvp(moved, (0.0,), (1.0,))[1]
    np.testing.assert_allclose(forward, (moved(1e-6) - moved(-1e-6)) / 2e-6, atol=1e-7)
    assert float(jax.grad(lambda h: moved(h) @ u)(0.0)) == pytest.approx(float(forward @ u), rel=1e-12)


@each
def test_nan_is_not_hidden(make):
    """One NaN spoils its whole group, value and residual."""
    w = jnp.array([jnp.nan, 0.1, 3.0])
    p = make(groups=[0, 0, 1], weights=[2.0, 1.0])
    assert np.isnan(p(w))
    assert np.isnan(p.prox(w)[:2]).all()
    assert np.isfinite(p.prox(w)[2])
    assert not np.isfinite(p.subdiff_distance(w, jnp.zeros(3)))


@pytest.mark.thin(2)
@each
def test_solve_reaches_stationarity(make, x64):
    """Least squares on 40 rows: ``−Xᵀ(Xw − y)`` in the subdifferential, to the solver's 1e-10 of the gradient at 0."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 24)) / np.sqrt(40), rng.normal(size=40) * 2
    ids = np.arange(24) // 4
    p = make(groups=ids)
    p = p.at(0.4 * float(p.lambda_max(-X.T @ y)))

    def loss(w):
        return 0.5 * jnp.sum((X @ w - y) ** 2)

    found = solve(loss, p, jnp.zeros(24), tol=1e-10)
    slope = X.T @ (X @ np.asarray(found.params) - y)
    assert bool(found.converged)
    assert float(p.subdiff_distance(found.params, jnp.asarray(slope))) < 1e-9 * np.linalg.norm(X.T @ y)
    zero = norms(found.params, ids, 6) == 0
    assert 0 < zero.sum() < 6


@pytest.mark.slow
def test_sums(x64):
    """The sparse and the elastic net come apart in sums: the joint prox is stationary for the sum."""
    w, ids, weights = draw(200, 30)
    for p in (SparseGroupLasso(0.7, ids, 0.3, weights), GroupElasticNet(0.7, ids, 0.3, weights)):
        for q in (L2(0.4), L1(0.2)):
            z = (p + q).prox(jnp.asarray(w), 0.6)
            assert float((p + q).subdiff_distance(z, (z - w) / 0.6)) < 1e-12
        assert float(jnp.min((p + NonNegative()).prox(jnp.asarray(w)))) == 0


def test_a_path_moves_lam_and_a_factor_scale(x64):
    w = jnp.asarray(np.random.default_rng(0).normal(size=6))
    for p, other in ((GroupMCP(0.7, [0, 0, 0, 1, 1, 1]), GroupMCP(2.0, [0, 0, 0, 1, 1, 1])), (GroupSCAD(0.7, 0), GroupSCAD(2.0, 0))):
        assert float(p.at(2.0)(w)) == float(other(w))
        assert float((3 * p)(w)) == pytest.approx(3 * float(p(w)), rel=1e-15)
        assert "λ·√|g|" in p.formula("λ")


@each
def test_errors_say_what_to_do(make):
    with pytest.raises(ValueError, match=r"groups is missing; pass integer ids"):
        make(groups=None)
    with pytest.raises(ValueError, match=r"groups must hold integers >= 0"):
        make(groups=[0, -1])
    with pytest.raises(ValueError, match=r"weights must have shape \(2,\), one for each id"):
        make(groups=[0, 1], weights=[1.0])
    with pytest.raises(UnknownOperation, match="one step"):
        make(groups=[0, 1]).prox(jnp.ones(2), jnp.ones(2))
    with pytest.raises(UnknownOperation, match="one number"):
        make(groups=[0, 1])._with(lam=jnp.ones(2))(jnp.ones(2))


def test_errors_of_shapes():
    for kind, name, value in (
        (SparseGroupLasso, "l1_ratio", 1.1),
        (GroupElasticNet, "l1_ratio", -0.1),
        (GroupMCP, "gamma", 0.0),
        (GroupSCAD, "a", 2.0),
    ):
        with pytest.raises(ValueError, match=f"{kind.__name__}: {name} must be"):
            kind(1.0, [0, 1], **{name: value})


def test_ids_of_one_leaf_are_not_those_of_others():
    """As strengths: an array belongs to one leaf."""
    leaves = [jnp.ones(3), 2 * jnp.ones(3), 3 * jnp.ones(3)]
    with pytest.raises(ValueError, match=r"groups is an array of shape \(3,\), which belongs to one leaf, but 3 leaves"):
        GroupLasso(1.0, [0, 1, 2])(leaves)
    each_leaf = GroupLasso(1.0, [np.array(i) for i in range(3)], jnp.ones(3))
    np.testing.assert_allclose(each_leaf(leaves), (1 + 2 + 3) * np.sqrt(3), rtol=1e-6)
    with pytest.raises(ValueError, match="groups does not fit params"):
        GroupLasso(1.0, [[0, 1], [1]])(leaves[:2])


@each
@pytest.mark.parametrize("size", [1, 4])
def test_groups_one_after_the_other_are_groups(x64, make, size):
    """Rows of a matrix to the code; the same numbers in another order are not."""
    rng = np.random.default_rng(4)
    ids = np.arange(6).repeat(size)
    w, g = rng.normal(size=(2, ids.size)) * (rng.random((2, ids.size)) < 0.8)
    w[:size] = 0
    order = rng.permutation(ids.size)
    rows, mixed = make(groups=ids), make(groups=ids[order])
    a, b = jnp.asarray(w), jnp.asarray(w[order])
    for call in ("__call__", "lambda_max", "conjugate"):
        try:
            np.testing.assert_allclose(getattr(rows, call)(a), getattr(mixed, call)(b), rtol=1e-13)
        except UnknownOperation:
            assert not rows.convex
    for call in ("prox", "grad", "support", "free"):
        np.testing.assert_allclose(getattr(rows, call)(a)[order], getattr(mixed, call)(b), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(rows.subdiff_distance(a, jnp.asarray(g)), mixed.subdiff_distance(b, jnp.asarray(g[order])), rtol=1e-12)
