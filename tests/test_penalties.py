"""Sums, places and special strengths × properties, against searches in the plane: the penalty and its value in NumPy, on two parameters.

Plain penalties are in the catalogue (test_catalogue.py); here is what one line of it does not show.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg import (
    L0,
    L1,
    L2,
    MCP,
    SCAD,
    SLOPE,
    Box,
    CappedL1,
    ElasticNet,
    ExclusiveLasso,
    GroupLasso,
    Huber,
    L2Norm,
    LInf,
    LogSum,
    NonNegative,
    Nuclear,
    Orthogonality,
    SecondOrderCone,
    UnknownOperation,
    solve,
)
from tests import oracles

pytestmark = pytest.mark.thin(6)

R = np.array([1.0, -0.5])
WEIGHTS = np.array([0.3, 1.2])


def absolute(w):
    return np.abs(w).sum(-1)


def square(w):
    return (w**2).sum(-1)


def euclid(w):
    return np.sqrt((w**2).sum(-1))


def inside(w, lower, upper):
    return np.where(((w >= lower) & (w <= upper)).all(-1), 0.0, np.inf)


def minimax_concave(w, lam=0.7):
    """Zhang's, for γ = 2.5."""
    return np.where(np.abs(w) <= 2.5 * lam, lam * np.abs(w) - w**2 / 5, 1.25 * lam**2).sum(-1)


def clipped(w, lam=0.6):
    """SCAD as Fan and Li's derivative integrates, for a = 3."""
    m = np.abs(w)
    return np.select([m <= lam, m <= 3 * lam], [lam * m, (6 * lam * m - m**2 - lam**2) / 4], 2 * lam**2).sum(-1)


# name: (penalty, its definition). All of them act on an array of two parameters.
PENALTIES = {
    "L1, per feature": (L1(WEIGHTS), lambda w: absolute(WEIGHTS * w)),
    "L1, one feature free": (L1(np.array([0.0, 1.0])), lambda w: np.abs(w[..., 1])),
    "L1, lam 0": (L1(0.0), lambda w: 0 * absolute(w)),
    "L2, per feature": (L2(WEIGHTS), lambda w: (WEIGHTS * w**2).sum(-1)),
    "L2, around": (L2(0.4).around(R), lambda w: 0.4 * square(w - R)),
    "ElasticNet, pure L1": (ElasticNet(0.9, 1.0), lambda w: 0.9 * absolute(w)),
    "ElasticNet, pure L2": (ElasticNet(0.9, 0.0), lambda w: 0.45 * square(w)),
    "ElasticNet, per feature": (
        ElasticNet(WEIGHTS, np.array([0.5, 0.8])),
        lambda w: (WEIGHTS * (np.array([0.5, 0.8]) * np.abs(w) + 0.5 * np.array([0.5, 0.2]) * w**2)).sum(-1),
    ),
    "Box, per feature": (Box(np.array([-1.0, 0.0]), np.array([0.5, np.inf])), lambda w: inside(w, [-1.0, 0.0], [0.5, np.inf])),
    "Box, around": (Box(-0.5, 1.0).around(R), lambda w: inside(w - R, -0.5, 1.0)),
    "GroupLasso, weights": (GroupLasso(0.8, groups=[1, 0], weights=[0.5, 2.0]), lambda w: 0.8 * np.abs(w) @ np.array([2.0, 0.5])),
    "GroupLasso, around": (GroupLasso(0.8, groups=[0, 0]).around(R), lambda w: 0.8 * np.sqrt(2) * euclid(w - R)),
    "MCP": (MCP(0.7, gamma=2.5), minimax_concave),
    "SCAD": (SCAD(0.6, a=3.0), clipped),
    "SLOPE, level": (SLOPE(0.8, weights=[1.0, 1.0]), lambda w: 0.8 * absolute(w)),
    "L2Norm + L1": (L2Norm(0.5) + L1(0.3), lambda w: 0.5 * euclid(w) + 0.3 * absolute(w)),
    "MCP + L2": (MCP(0.7, gamma=2.5) + L2(0.1), lambda w: minimax_concave(w) + 0.1 * square(w)),
    "MCP, scaled": (2 * MCP(0.7, gamma=2.5), lambda w: 2 * minimax_concave(w)),
    "scaled": (2 * (L1(0.1) + L2(0.2)), lambda w: 0.2 * absolute(w) + 0.4 * square(w)),
    "L1 + L1": (L1(0.3) + L1(WEIGHTS), lambda w: absolute((0.3 + WEIGHTS) * w)),
    "L2 + L2, two centres": (L2(0.3) + L2(0.4).around(R), lambda w: 0.3 * square(w) + 0.4 * square(w - R)),
    "L1 + L2 + Box": (L1(0.5) + L2(0.3) + Box(-0.5, 1.0), lambda w: 0.5 * absolute(w) + 0.3 * square(w) + inside(w, -0.5, 1)),
    "Box + L1, zero outside": (Box(0.5, 2.0) + L1(0.5), lambda w: 0.5 * absolute(w) + inside(w, 0.5, 2)),
    "ElasticNet + NonNegative": (
        ElasticNet(1.0, 0.5) + NonNegative(),
        lambda w: 0.5 * absolute(w) + 0.25 * square(w) + inside(w, 0, np.inf),
    ),
    "L2.around + L1": (L2(0.6).around(R) + L1(0.5), lambda w: 0.6 * square(w - R) + 0.5 * absolute(w)),
    "L2 per feature + L1": (L2(WEIGHTS) + L1(0.5), lambda w: (WEIGHTS * w**2).sum(-1) + 0.5 * absolute(w)),
    "NonNegative + Box": (NonNegative() + Box(-1.0, 0.7), lambda w: inside(w, 0, 0.7)),
    "GroupLasso + L1": (GroupLasso(0.5, groups=[0, 0]) + L1(0.3), lambda w: 0.5 * np.sqrt(2) * euclid(w) + 0.3 * absolute(w)),
    "GroupLasso + L1 per feature": (
        GroupLasso(0.5, groups=[0, 0], weights=[1.0]) + L1(WEIGHTS),
        lambda w: 0.5 * euclid(w) + absolute(WEIGHTS * w),
    ),
    "GroupLasso + L2": (GroupLasso(0.5, groups=[0, 0]) + L2(0.3), lambda w: 0.5 * np.sqrt(2) * euclid(w) + 0.3 * square(w)),
    "GroupLasso + NonNegative": (
        GroupLasso(0.5, groups=[0, 0]) + NonNegative(),
        lambda w: 0.5 * np.sqrt(2) * euclid(w) + inside(w, 0, np.inf),
    ),
    "GroupLasso + ElasticNet": (
        GroupLasso(0.5, groups=[0, 0], weights=[1.0]) + ElasticNet(0.8, 0.5),
        lambda w: 0.5 * euclid(w) + 0.4 * absolute(w) + 0.2 * square(w),
    ),
    "GroupLasso + L1 + NonNegative": (
        GroupLasso(0.5, groups=[0, 0], weights=[1.0]) + L1(0.3) + NonNegative(),
        lambda w: 0.5 * euclid(w) + 0.3 * absolute(w) + inside(w, 0, np.inf),
    ),
}
# On a path λ takes the place of their strength: the members of the path.
MEMBERS = {
    "MCP": minimax_concave,
    "SCAD": clipped,
    "MCP + L2": lambda w, lam: minimax_concave(w, lam) + 0.1 * lam * square(w),
    "MCP, scaled": lambda w, lam: 2 * minimax_concave(w, lam),
}
# Points with zeros, ends of the boxes and centres among them: kinks are where the formulas go wrong.
POINTS = np.array(
    [(0, 0), (1.5, -2), (0, 0.75), (-0.5, 0), (1, -0.5), (1, 1), (0.25, 0.125), (-3, 2.5), (0, -0.5), (0.5, 0.5)], dtype=float
)
GRADS = np.array([(0, 0), (0.9, -0.4), (-3, 0.5), (0.2, 0.1), (-0.7, -0.7), (0, 2)], dtype=float)
# Strengths and sums whose kernels another line has too.
OTHERS = {
    "L1, lam 0",
    "ElasticNet, pure L1",
    "ElasticNet, pure L2",
    "SLOPE, level",
    "MCP, scaled",
    "scaled",
    "L1 + L1",
    "L2 + L2, two centres",
    "L1 + L2 + Box",
    "Box, around",
    "GroupLasso, around",
    "GroupLasso + L1 per feature",
    "GroupLasso + L2",
    "MCP + L2",
    "L2 per feature + L1",
    "NonNegative + Box",
}
assert set(PENALTIES) >= OTHERS
table = pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in OTHERS else name for name in PENALTIES])


def over(function, *columns):
    """A function at every point, as NumPy. Not jitted: the operations' own compilations are shared by all penalties."""
    return jax.tree.map(np.asarray, jax.vmap(function)(*[jnp.asarray(c) for c in columns]))


def inside_domain(definition):
    return POINTS[np.isfinite(definition(POINTS))]


def smooth_along(definition, points):
    """Which coordinates of which points have a derivative, (points, 2)."""
    return np.array([[oracles.is_smooth_along(definition, w, i) for i in range(2)] for w in points])


@table
def test_value(x64, name):
    penalty, definition = PENALTIES[name]
    np.testing.assert_allclose(over(penalty, POINTS), definition(POINTS), rtol=1e-14, atol=1e-15)


@pytest.mark.thin(3)
@table
def test_prox_against_search(x64, name):
    """1e-6: values to 1e-16 place a minimiser to 1e-8; the search stops a little above."""
    penalty, definition = PENALTIES[name]
    for step in (0.2, 2.5):
        ours = over(lambda v, step=step: penalty.prox(v, step), POINTS)
        expected = [oracles.prox(definition, v, step) for v in POINTS]
        np.testing.assert_allclose(ours, expected, atol=1e-6, err_msg=f"step {step}")


@table
def test_prox_of_step_zero_moves_only_into_the_domain(x64, name):
    penalty, definition = PENALTIES[name]
    moved = over(lambda v: penalty.prox(v, 0.0), POINTS)
    assert np.all(np.isfinite(definition(moved)))
    np.testing.assert_allclose(moved[np.isfinite(definition(POINTS))], inside_domain(definition), rtol=1e-15, atol=1e-16)


@pytest.mark.thin(3)
@table
def test_grad(x64, name):
    """The derivative wherever there is one; at a kink f(z) >= f(w) + ⟨grad, z − w⟩ for all z (if convex, else for z near w);
    autodiff agrees off the kinks and is finite on them."""
    penalty, definition = PENALTIES[name]
    points = inside_domain(definition)
    grads, automatic = over(penalty.grad, points), over(jax.grad(penalty), points)
    assert np.all(np.isfinite(automatic))
    z = np.random.default_rng(0).normal(size=(2000, 2)) * 2
    for w, grad in zip(points, grads, strict=True):
        if penalty.convex:
            assert np.all(definition(z) >= definition(w[None]) + (z - w) @ grad - 1e-12)
        else:  # to first order: the largest curvature here is 0.9/0.4²
            near = w + 1e-4 * z
            assert np.all(definition(near) >= definition(w[None]) + (near - w) @ grad - 6 * np.sum((near - w) ** 2, axis=1))
    smooth = smooth_along(definition, points)
    expected = np.array([oracles.slopes(definition, w, np.eye(2)) for w in points])
    np.testing.assert_allclose(grads[smooth], expected[smooth], atol=1e-5)
    np.testing.assert_allclose(grads[smooth], automatic[smooth], rtol=1e-14, atol=1e-15)


@pytest.mark.thin(6)
@table
def test_subdiff_distance(x64, name):
    """Against the steepest descent over 20,000 directions and one-sided differences of the definition: 1e-5."""
    penalty, definition = PENALTIES[name]
    points, grads = np.repeat(POINTS, len(GRADS), axis=0), np.tile(GRADS, (len(POINTS), 1))
    expected = [
        oracles.subdiff_distance(definition, w, g) if np.isfinite(definition(w[None])[0]) else np.inf  # nowhere stationary outside
        for w, g in zip(points, grads, strict=True)
    ]
    np.testing.assert_allclose(over(penalty.subdiff_distance, points, grads), expected, atol=1e-5)


@table
def test_subdiff_distance_vanishes_at_the_prox(x64, name):
    """(v − z)/step is a subgradient at z = prox(v): the optimality condition that defines a prox."""
    penalty, _ = PENALTIES[name]

    def distance(v):
        z = penalty.prox(v, 0.4)
        return penalty.subdiff_distance(z, (z - v) / 0.4)

    assert np.all(over(distance, POINTS) < 1e-14)


# Sums about different centres.
NO_CONJUGATE = {"L2 + L2, two centres", "L2.around + L1"}


@table
def test_conjugate_against_search(x64, name):
    penalty, definition = PENALTIES[name]
    duals = np.array([(0.0, 0.0), (0.25, -0.2), (-0.1, 0.29), (0.6, 0.6), (-2.0, 0.1), (1.5, 3.0)])
    if name in NO_CONJUGATE or not penalty.convex:
        with pytest.raises(UnknownOperation, match="conjugate of"):
            penalty.conjugate(duals[0])
    else:
        expected = [oracles.conjugate(definition, u) for u in duals]
        np.testing.assert_allclose(over(penalty.conjugate, duals), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.thin(6)
@table
def test_lambda_max(x64, name):
    """The bisection of the oracle knows one-sided differences to 1e-7: 1e-5."""
    penalty, definition = PENALTIES[name]
    if "around" in name or "centres" in name:
        with pytest.raises(UnknownOperation, match="towards the reference"):
            penalty.lambda_max(GRADS[1])
        return
    # A coordinate without any penalty is solved before and left out.
    grads = np.where(np.asarray(penalty.free(np.zeros(2))), 0.0, GRADS)
    ours = over(penalty.lambda_max, grads)
    if np.isinf(definition(np.zeros((1, 2)))[0]):  # zero is not even allowed
        assert np.all(ours == np.inf)
        return
    if name in MEMBERS:  # the slope at zero is λ, and 2λ when scaled
        np.testing.assert_allclose(ours, np.abs(grads).max(axis=1) / (2 if "scaled" in name else 1), rtol=1e-15)
    else:
        np.testing.assert_allclose(ours, [oracles.lambda_max(definition, g) for g in grads], rtol=1e-5, atol=1e-7)
    proper = (ours > 1e-12) & (ours < np.inf)
    lams, at = np.append(ours[proper], 0.999 * ours[proper]), np.concatenate([grads[proper], grads[proper]])
    distance = over(lambda lam, g: penalty.at(lam).subdiff_distance(jnp.zeros(2), g), lams, at).reshape(2, -1)
    assert np.all(distance[0] <= 1e-14)  # at it, and not below it, zero is stationary
    assert np.all(distance[1] > 1e-5)


@table
def test_support(x64, name):
    """Where support says smooth, the definition has a derivative; off the kinks, support says smooth."""
    penalty, definition = PENALTIES[name]
    points = inside_domain(definition)
    support, smooth = over(penalty.support, points), smooth_along(definition, points)
    assert np.all(smooth[support])
    everywhere = smooth.all(axis=1) & (points != 0).all(axis=1)
    assert np.all(support[everywhere])


@table
def test_facts(x64, name):
    penalty, definition = PENALTIES[name]
    a, b = np.random.default_rng(1).normal(size=(2, 500, 2)) * 2
    b[:100] = 0
    assert penalty.convex == np.all(definition((a + b) / 2) <= (definition(a) + definition(b)) / 2 + 1e-12)
    assert penalty.finite == bool(np.all(np.isfinite(definition(a))))
    if penalty.finite:  # a sum over coordinates: f(x, y) + f(0, 0) = f(x, 0) + f(0, y)
        total = definition(a) + definition(np.zeros((1, 2)))
        adds_up = np.allclose(total, definition(a * [1, 0]) + definition(a * [0, 1]))
        assert adds_up or not penalty.separable
        assert penalty.separable or name.startswith(("GroupLasso", "L2Norm", "LInf", "ExclusiveLasso", "SLOPE"))
    kinks = not smooth_along(definition, POINTS).all()
    assert kinks or penalty.smooth or not np.any(jax.tree.leaves(penalty)) or "pure" in name
    assert not (penalty.smooth and kinks)


@table
def test_at_scales_the_value(x64, name):
    """The member of a path at λ is λ times the penalty (MCP, SCAD: the one of strength λ), and indicators stay what they are, also at 0."""
    penalty, definition = PENALTIES[name]
    values = definition(POINTS)
    lams = np.repeat([0.0, 0.5, 3.0], len(POINTS))
    expected = np.where(np.isinf(np.tile(values, 3)), np.inf, lams * np.nan_to_num(np.tile(values, 3), posinf=0))
    rows = np.tile(POINTS, (3, 1))
    members = np.concatenate([MEMBERS[name](POINTS, lam) for lam in (0.0, 0.5, 3.0)]) if name in MEMBERS else expected
    for scaled, values in ((lambda lam: penalty.at(lam), members), (lambda lam: lam * penalty, expected)):
        ours = over(lambda lam, w, scaled=scaled: scaled(lam)(w), lams, rows)
        np.testing.assert_allclose(ours, values, rtol=1e-14, atol=1e-15)


@pytest.mark.thin(6)
@table
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_dtypes(x64, name, dtype):
    """Leaves keep their dtype, values have at least float32, and both are right to a few eps of the leaf's dtype."""
    penalty, definition = PENALTIES[name]
    eps = float(jnp.finfo(dtype).eps)
    points = jnp.asarray(POINTS, dtype)  # exact in every dtype
    value, z, grad = jax.vmap(lambda w: (penalty(w), penalty.prox(w, 0.5), penalty.grad(w)))(points)
    assert jnp.finfo(value.dtype).bits >= 32
    assert z.dtype == grad.dtype == dtype
    # A strength and each operation round once; in half precision numbers below 1e-4 lose digits.
    if "two" not in name and name != "NonNegative + Box":
        np.testing.assert_allclose(value, definition(POINTS), rtol=8 * eps, atol=eps)
    np.testing.assert_allclose(np.asarray(z, float), over(lambda w: penalty.prox(w, 0.5), POINTS), atol=16 * eps * 3)


@pytest.mark.thin(6)
@table
def test_compiled_and_mapped(x64, name):
    """Eager, under jit, and with a batch axis on every strength: the same numbers."""
    penalty, _ = PENALTIES[name]
    w = jnp.asarray([1.5, -2.0])

    def everything(p):
        return p(w), p.prox(w)

    eager = everything(penalty)
    same = {"rtol": 4e-16, "atol": 4e-16}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **same), jax.jit(everything)(penalty), eager)
    batch = jax.tree.map(lambda x: jnp.stack([jnp.asarray(x, float)] * 2), penalty)
    if jax.tree.leaves(batch):
        mapped = jax.vmap(everything)(batch)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, jnp.stack([b, b]), **same), mapped, eager)


@pytest.mark.parametrize("penalty", [L0(), CappedL1(), LogSum(), MCP(), SCAD(), SCAD(a=2.5), Huber()], ids=repr)
def test_large_weights_are_left_alone(penalty):
    """Where the square of a weight overflows float32 the folded penalties still take nothing off, Huber one constant."""
    w = jnp.array([1e20, -3e38], jnp.float32)
    for step in (0.1, 1.0, 10.0):
        np.testing.assert_array_equal(penalty.prox(w, step), w)
    assert np.all(np.isfinite(penalty.grad(w)))


@pytest.mark.parametrize(
    ("penalty", "text"), [(2 * MCP(0.5), "2·ΣMCP(w; λ, 3)"), (SCAD(0.5), "ΣSCAD(w; λ, 3.7)"), (L0(), "λ·Σ[w ≠ 0]")], ids=repr
)
def test_formula_says_where_lam_enters(penalty, text):
    assert penalty.formula("λ") == text


@pytest.mark.parametrize(
    ("penalty", "lower"),
    [(MCP, {"gamma": 0.0}), (SCAD, {"a": 2.0}), (CappedL1, {"cap": 0.0}), (LogSum, {"eps": 0.0}), (Huber, {"delta": 0.0})],
)
def test_shape_out_of_its_domain_is_an_error(penalty, lower):
    name, value = next(iter(lower.items()))
    with pytest.raises(ValueError, match=f"{penalty.__name__}: {name} must be > {value:g}, got {value}"):
        penalty(1.0, **lower)


def test_solve_reaches_the_oracle_solution(x64):
    """Orthonormal columns: MCP and SCAD leave large weights as least squares has them, L1 takes λ off each (Fan and Li 2001)."""
    X = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(30, 3)))[0])
    y = X @ jnp.array([4.0, -3.0, 0.2])
    for penalty, expected in ((MCP(0.5), [4.0, -3.0, 0.0]), (SCAD(0.5), [4.0, -3.0, 0.0]), (L1(0.5), [3.5, -2.5, 0.0])):
        found = solve(lambda w: 0.5 * jnp.sum((y - X @ w) ** 2), penalty, jnp.zeros(3), tol=1e-12)
        assert found.converged
        np.testing.assert_allclose(found.params, expected, atol=1e-11)


def test_knee_strengths_by_layer(x64):
    """A factor on a scale that is a pytree reaches every layer."""
    scale = {"a": 2.0, "b": jnp.array([3.0, 0.5])}
    w = {"a": jnp.array([0.4]), "b": jnp.array([0.4, 9.0])}
    one = MCP(0.7, gamma=2.5, scale=scale)
    small, flat = 0.7 * 0.4 - 0.16 / 5, 1.25 * 0.49
    np.testing.assert_allclose(one(w), 2 * small + 3 * small + 0.5 * flat)
    np.testing.assert_allclose((4 * one)(w), 4 * one(w))


@pytest.mark.slow
@pytest.mark.parametrize("lam", [1e10, 1e20])  # step·lam is 1e30, and overflows float32
def test_a_strength_without_end_leaves_the_nearest_minimiser(lam):
    """0, and of ``‖WᵀW − I‖`` the orthogonal matrix of the polar decomposition, here a rotation. Derivatives stay finite."""
    W = np.array([[3.0, -1.0], [2.0, 0.5]], np.float32)
    turn = np.array([[3.5, -3.0], [3.0, 3.5]]) / np.hypot(3.5, 3.0)  # W + det(W)·W⁻ᵀ, scaled
    for penalty, limit in [(Huber(lam, 0.4), 0), (ExclusiveLasso(lam), 0), (Orthogonality(lam), turn)]:
        np.testing.assert_allclose(penalty.prox(W, 1e20), np.broadcast_to(limit, (2, 2)), atol=2e-6)
        slopes = jax.grad(lambda p, w, step: jnp.sum(p.prox(w, step)), argnums=(0, 1, 2))(penalty, W, 1e20)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slopes))
    np.testing.assert_array_equal(ExclusiveLasso(lam).prox(jnp.array([2.0, -2.0, 2.0]), 1e20), np.zeros(3))


def test_numbers_near_the_largest():
    """Sums overflow float32 where the answers do not."""
    np.testing.assert_allclose(LInf(10.0).lambda_max(jnp.array([3e38, 2e38])), 5e37, rtol=1e-6)
    np.testing.assert_allclose(L2Norm(10.0).lambda_max(jnp.array([3e38, 3e38])), 3e37 * np.sqrt(2), rtol=1e-6)
    cone = SecondOrderCone()
    np.testing.assert_allclose(cone.prox(jnp.array([2e38, 3e38])), [2.5e38, 2.5e38], rtol=1e-6)
    outside, height = jnp.array([1e38, 3e38, 3e38]), (1 + 3 * np.sqrt(2)) / 2
    np.testing.assert_allclose(cone.prox(outside), 1e38 * height * np.array([1, *[np.sqrt(0.5)] * 2]), rtol=1e-6)
    assert np.isinf(cone(outside))
    assert float(cone(jnp.array([3.2e38, 3e38]))) == 0
    np.testing.assert_allclose(Nuclear(1e38).prox(jnp.diag(jnp.array([3e38, 2e38]))), np.diag([2e38, 1e38]), rtol=1e-5)


@pytest.mark.parametrize("eps", [1e-3, 1.0, 1e4, 1e15])
def test_log_sum_keeps_its_digits(eps):
    """With a convex objective the prox is where z − v + lam/(z + eps) crosses 0, to a few roundings of v."""
    lam = min(eps, eps**2 / 2)
    v = lam / eps * np.array([0.5, 1.0005, 1.5, 3.0, 10.0, 1e3], np.float32)
    low, high = np.zeros(6), v.astype(float)
    for _ in range(200):
        z = (low + high) / 2
        rises = z - v + lam / (z + eps) < 0
        low, high = np.where(rises, z, low), np.where(rises, high, z)
    np.testing.assert_allclose(LogSum(lam, eps).prox(v) / v, z / v, rtol=0, atol=4e-7)
    slope = jax.grad(lambda v: jnp.sum(LogSum(lam, eps).prox(v)))(jnp.asarray(v))
    np.testing.assert_allclose(slope, np.where(v > lam / eps, 1 / (1 - lam / (z + eps) ** 2), 0), rtol=1e-3)


def test_divergence_is_not_hidden():
    """Infinite parameters stay infinite, or become NaN; NaN has a gradient of NaN."""
    diagonal = jnp.diag(jnp.array([1.0, jnp.inf, -2.0]))
    assert jnp.isnan(jaxreg.Nuclear(1.0).prox(diagonal)).any()
    assert jnp.isnan(jaxreg.Stiefel().prox(diagonal)).any()
    np.testing.assert_array_equal(jaxreg.CappedL1(1.0).prox(jnp.array([jnp.inf, -jnp.inf])), [jnp.inf, -jnp.inf])
    for p in (jaxreg.L2Norm(1.0), jaxreg.LInf(1.0)):
        assert jnp.isnan(p.grad(jnp.full(3, jnp.nan))).all()
