"""What moving, scaling, turning and adding may do to a penalty: centres, ties and ends that rounding must not lose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg import (
    L1,
    L2,
    SLOPE,
    Box,
    CappedL1,
    FusedLasso,
    GroupLasso,
    L1Ball,
    L2Norm,
    LInf,
    LInfBall,
    NonNegative,
    Simplex,
    TrendFilter,
    UnknownOperation,
)

pytestmark = pytest.mark.thin(3)

TURN = np.linalg.qr(np.cos(np.arange(16.0).reshape(4, 4) ** 2))[0]
CENTER = np.array([0.1, 0.7, 1.3, -0.3])
V = np.array([1.0, 3.0, -2.0, 0.5])

MOVED = {
    "fused around": lambda: FusedLasso(1.0).around(CENTER),
    "trend around": lambda: TrendFilter(2.0).around(CENTER),
    "linf around": lambda: LInf(0.7).around(CENTER),
    "box around": lambda: Box(-0.5, 0.3).around(CENTER),
    "box rescaled": lambda: Box(-0.5, 0.3).rescale(np.array([1.7, -0.3, 0.9, 2.0])),
    "ball rescaled": lambda: LInfBall(0.3).rescale(np.array([1.7, -0.3, 0.9, 2.0])),
    "l1 turned": lambda: L1(0.5).rotate(TURN),
    "groups turned": lambda: GroupLasso(0.5, groups=[0, 0, 1, 1]).rotate(TURN),
    "slope turned": lambda: SLOPE.oscar(4, lam=0.3).rotate(TURN),
    "fused turned": lambda: FusedLasso(0.7).rotate(TURN),
    "ball turned": lambda: L1Ball(1.0).rotate(TURN),
    "box turned": lambda: Box(-0.5, 0.3).rotate(TURN),
}


@pytest.mark.thin(3)
@pytest.mark.parametrize("name", MOVED)
def test_a_prox_is_stationary_and_inside(x64, name):
    """``v − prox(v)`` is a subgradient at the prox, to some roundings of v, though ties and ends were moved."""
    p = MOVED[name]()

    @jax.jit
    def judged(v):
        z = p.prox(v)
        return p.subdiff_distance(z, z - v), p(z)

    for v in np.random.default_rng(0).normal(size=(20, 4)) * 3:
        distance, value = judged(v)
        assert float(distance) < 1e-12
        assert p.finite or float(value) == 0


@pytest.mark.parametrize("center", [np.array([1.0, 0.0, -1.0]), 0.7])
def test_terms_about_one_center_are_joined_wherever_they_stand(x64, center):
    """Copies of the centre are equal at construction; under jit nobody could tell."""
    p = L1(0.1).around(center) + jaxreg.L2(0.3) + jaxreg.L2Norm(0.2).around(np.copy(center) if np.ndim(center) else float(str(center)))
    w = jnp.array([2.0, -0.3, 0.1])
    inner = L1(0.1) + jaxreg.L2Norm(0.2)
    # Completing the square about the centre.
    expected = center + inner.prox((w - center - 0.6 * center) / 1.6, 1 / 1.6)
    np.testing.assert_allclose(jax.jit(lambda p, w: p.prox(w))(p, w), expected, atol=1e-15)
    with pytest.raises(UnknownOperation):
        (L1(0.1).around(0.7) + jaxreg.L2Norm(0.2).around(0.8)).prox(w)


@pytest.mark.thin(3)
@pytest.mark.parametrize("name", ["fused around", "l1 turned", "box turned"])
def test_solvers_stop(x64, name):
    found = jaxreg.solve(lambda w: jnp.sum((w - V) ** 2) / 2, MOVED[name](), jnp.zeros(4))
    assert found.converged
    np.testing.assert_allclose(found.params, MOVED[name]().prox(jnp.asarray(V)), atol=1e-7)  # the solver's tolerance


@pytest.mark.parametrize("name", ["box around", "box rescaled", "ball rescaled"])
def test_projections_are_inside_in_float32(name):
    p = MOVED[name]()
    left = jax.jit(lambda v: p(p.prox(v)))
    for v in np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32):
        assert float(left(v)) == 0
    assert np.isinf(float(Box(-0.5, 0.3)(jnp.float32(0.3001))))


def test_numbers_that_rounding_left_of_zero_are_not_counted(x64):
    z = L1(1.0).rotate(TURN).prox(jnp.asarray(V))
    inner = TURN @ z
    assert float(jaxreg.L0(1.0).rotate(TURN)(z)) == np.sum(np.abs(inner) > 1e-12) < 4
    # The derivative is that of the map all the same.
    smooth = jaxreg.Huber(0.7, delta=0.4).rotate(TURN)
    np.testing.assert_allclose(jax.jacfwd(smooth.grad)(jnp.zeros(4)), 0.7 * np.eye(4), atol=1e-14)


def test_differences_about_a_slope_have_no_joint_prox(x64):
    for term in (FusedLasso(1.0), jaxreg.TotalVariation(1.0, isotropic=False)):
        with pytest.raises(UnknownOperation):
            (term.around(np.array([[0.0, 5.0], [0.0, 0.0]])) + L1(0.7)).prox(jnp.ones((2, 2)))
    one = (FusedLasso(1.0).around(2.0) + L1(0.7)).prox(jnp.asarray(V))  # about a level it is the plain one
    np.testing.assert_allclose(one, (FusedLasso(1.0) + L1(0.7)).prox(jnp.asarray(V)), rtol=1e-6)


def test_what_stands_in_the_way_of_a_joint_prox_is_named():
    w = {"a": jnp.ones(2), "b": jnp.ones(2)}
    for penalty, why in (
        (L1(1.0) + GroupLasso(1.0, groups={"a": 0, "b": 1}).around(1.0), "their centres differ"),
        (FusedLasso(1.0) + L1({"a": 1.0, "b": 2.0}), "the second must be single numbers"),
        (L2Norm(1.0) + L2({"a": 1.0, "b": 2.0}), "the quadratic's strength must be one number"),
    ):
        with pytest.raises(UnknownOperation, match=why):
            penalty.prox(w)


def test_intervals_with_nothing_in_common_are_not_a_number_where_traced():
    found = jax.jit(lambda upper: (Box(0.0, upper) + Box(2.0, 3.0)).prox(jnp.array([1.0, 5.0])))
    assert np.isnan(found(1.0)).all()
    assert found(2.5).tolist() == [2.0, 2.5]
    both = Box(0.0, 1.0).on("a") + Box(2.0, 3.0).on("b")
    assert jax.tree.map(float, both.prox({"a": 7.0, "b": 7.0})) == {"a": 1.0, "b": 3.0}
    # Beside what is no number, too.
    beside = (Box(0.0, 1.0) + Box(0.5, 3.0)).prox({"w": jnp.array([2.0, -3.0]), "act": jnp.tanh, "count": jnp.arange(3)})
    assert beside["w"].tolist() == [1.0, 0.5]
    assert beside["act"] is jnp.tanh


def test_a_sum_at_an_infinite_step():
    w = jnp.array([3.0, -1.0])
    assert (L1(1.0) + L2(1.0)).prox(w, np.inf).tolist() == [0, 0]
    assert (Box(-1.0, 1.0) + L2(1.0).around(0.5)).prox(w, np.inf).tolist() == [0.5, 0.5]
    assert (L2(0.0) + Box(-1.0, 1.0)).prox(w, np.inf).tolist() == [1, -1]


@pytest.mark.parametrize("penalty", [L2Norm(), jaxreg.CubeNorm(), FusedLasso(axis=None)], ids=lambda p: type(p).__name__)
def test_leaves_that_are_no_numbers_have_no_gradient(penalty):
    w = jnp.array([1.0, -2.0])
    found = penalty.grad({"w": w, "key": jax.random.key(0), "act": jnp.tanh})
    assert (found["key"], found["act"]) == (None, None)
    np.testing.assert_array_equal(found["w"], penalty.grad(w))


def test_a_dual_has_exact_zeros(x64):
    """Σ max(−w, ½w) by Moreau: what is left of v − t·clip(v/t) is rounding."""
    assert Box(-1.0, 0.5).dual().prox(jnp.array([-0.679, -0.323]), 0.7).tolist() == [0, 0]


@pytest.mark.slow
def test_numbers_whose_squares_or_sums_would_overflow():
    """The cube's prox far off is √(w/(3·step·lam)); a barrier, or a price below the smallest number, moves such numbers nowhere."""
    np.testing.assert_allclose(jaxreg.CubeNorm(1.0).prox(jnp.array([1e38], jnp.float32)), np.sqrt(1e38 / 3), rtol=1e-6)
    assert jax.grad(lambda w: jaxreg.CubeNorm(1.0).prox(w).sum())(jnp.zeros(2)).tolist() == [1, 1]
    v = jnp.array([2e38, np.inf, -np.inf], jnp.float32)
    np.testing.assert_array_equal(jaxreg.LogBarrier(1.0).prox(v), np.maximum(v, 0))
    v = jnp.array([1e38, -3e38, 3e38], jnp.float32)
    np.testing.assert_array_equal(TrendFilter(1.0).prox(v), v)


def test_a_factor_for_each_leaf_is_not_alike():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    with pytest.raises(UnknownOperation):
        (FusedLasso(1.0, axis=None) + L1(1.0).rescale({"a": 1.0, "b": 3.0})).prox(params)


def test_two_centers_add_up():
    a, b = np.array([1.0, 0, 0, 0]), np.array([0, 1.0, 0, 0])
    moved = L1(1.0).around(a).around(b)
    np.testing.assert_array_equal(moved.reference(), a + b)
    np.testing.assert_array_equal(L1(1.0).around(a).on("**").around(b).reference(), a + b)
    assert jax.tree.map(float, L1(1.0).around({"x": 1.0}).around(2.0).reference()) == {"x": 3.0}
    with pytest.raises(UnknownOperation):
        (moved + GroupLasso(1.0, groups=[0, 0, 1, 1]).around(b).on(True)).prox(jnp.asarray(V))
    with pytest.raises(ValueError, match="reference"):
        L1(1.0).around({"x": 1.0}).around({"y": 1.0})


@pytest.mark.parametrize("p", [Box(1.0, 2.0).envelope(1.0), Simplex().envelope(0.5)])
def test_an_envelope_that_is_steep_at_zero_has_no_lambda_max(p):
    assert float(p.lambda_max(jnp.array([0.5, 0.7, 0.0]))) == np.inf


def test_an_envelope_about_a_reference_has_no_lambda_max():
    with pytest.raises(UnknownOperation, match="reference"):
        L1().around(1.0).envelope(0.5).lambda_max(jnp.ones(2))


def test_a_corner_that_points_upwards_may_be_outweighed():
    """The slopes at 1 of min(|w|, 1) are 1 and 0; those of 2|w − 1| are −2 and 2, of an end of an interval 0 and ∞."""
    one = jnp.ones(1)
    assert float((CappedL1(1.0, cap=1.0) + L1(2.0).around(1.0)).subdiff_distance(one, jnp.zeros(1))) == 0
    assert float((CappedL1(1.0, cap=1.0) + Box(-1.0, 1.0)).subdiff_distance(one, -2 * one)) == 0
    assert np.isinf(float(CappedL1(1.0, cap=1.0).subdiff_distance(one, -0.5 * one)))


def test_no_factor_is_a_factor_of_one():
    p, w = L1(1.0).rescale({"a": 2.0, "b": None}), {"a": jnp.array([1.0, 0.0]), "b": jnp.array([1.0, 0.0])}
    lower, upper = p.subdifferential(w)
    assert lower["b"].tolist() == [1, -1]
    assert upper["b"].tolist() == [1, 1]
    assert lower["a"].tolist() == [2, -2]
    centers = L1().around(1.0).rescale({"a": 2.0, "b": 4.0}).reference()
    assert jax.tree.map(float, centers) == {"a": 0.5, "b": 0.25}


@pytest.mark.slow
@pytest.mark.parametrize("size", [1.0, 1e3])
def test_a_dual_is_finite_at_its_own_prox(x64, size):
    p = FusedLasso(0.6).dual()
    for v in np.random.default_rng(0).normal(size=(10, 4)) * size:
        assert float(p(p.prox(jnp.asarray(v)))) == 0
    assert np.isinf(float(p(jnp.array([0.1, 0.0, 0.0, 0.0]))))  # no sum of differences


def test_a_moved_cone_is_none():
    assert NonNegative().cone
    assert not NonNegative().around(0.5).cone


def test_numbers_that_are_no_parameters_have_no_part_in_a_sum(x64):
    dual = {"w": jnp.asarray([1.0, -2.0]), "count": jnp.asarray([3])}
    for p in (L1(1.0) + L2(1.0), L2(1.0) + NonNegative(), L1(1.0) + Box(-1.0, 1.0), FusedLasso(3.0) + L1(1.0)):
        assert float(p.conjugate(dual)) == float(p.conjugate({"w": dual["w"]}))
    apart = L1(3.0).on("w") + L2(1.0).on("v")
    assert float(apart.conjugate({**dual, "v": jnp.asarray([1.0])})) == 0.25
    for p in (L1(1.0) + L2Norm(1.0), FusedLasso(1.0) + L1(1.0)):
        assert float(p.lambda_max({"w": 1e-3 * dual["w"], "count": dual["count"]})) == float(p.lambda_max({"w": 1e-3 * dual["w"]}))


@pytest.mark.parametrize("size", [1e-300, 1e-60, 1.0, 1e60])
def test_lambda_max_by_bisection_at_any_size(x64, size):
    g = jnp.asarray([1.0, -2.0, 0.5])
    for p, at_one in ((L1(1.0) + L2Norm(1.0), 1.0), (FusedLasso(1.0) + L1(1.0), 2 / 3)):
        # What L1 leaves of g at λ = 1 is (0, 1, 0), of norm 1; the middle's 2 is held by λ of its own and of two differences.
        np.testing.assert_allclose(float(p.lambda_max(size * g)) / size, at_one, rtol=1e-13)


@pytest.mark.slow
def test_lambda_max_beside_smooth_terms_is_that_of_the_other(x64):
    g = jnp.asarray([1.0, -0.4, 0.2, -0.8])
    for p in (FusedLasso(1.0), SLOPE(1.0, weights=jnp.arange(4.0, 0, -1)), L2Norm(1.0), LInf(1.0)):
        assert float((p + L2(1.0)).lambda_max(g)) == float(p.lambda_max(g))
        np.testing.assert_array_equal(jax.grad((p + L2(1.0)).lambda_max)(g), jax.grad(p.lambda_max)(g))
        elsewhere = p.on("a") + L2(1.0)
        assert float(elsewhere.lambda_max({"a": g, "b": g})) == np.inf  # ridge of b is never zero
        assert float(elsewhere.lambda_max({"a": g, "b": 0 * g})) == float(p.lambda_max(g))


def test_lambda_max_by_bisection_has_no_derivative_and_says_so(x64):
    with pytest.raises(UnknownOperation, match="bisection"):
        jax.grad((FusedLasso(1.0) + L1(1.0)).lambda_max)(jnp.asarray([1.0, -2.0]))


@pytest.mark.slow
def test_rounding_is_no_slope_of_levels(x64):
    g = np.random.default_rng(1).normal(size=9)
    g = jnp.asarray(g - g.mean())
    for rest in (NonNegative(), Box(-1.0, 1.0), L1(0.0)):
        np.testing.assert_allclose((FusedLasso(1.0) + rest).lambda_max(g), FusedLasso(1.0).lambda_max(g), rtol=1e-12)


@pytest.mark.slow
def test_a_sum_placed_on_leaves_is_a_sum_of_what_is_placed(x64):
    w, g = jnp.asarray([1.0, 1.0, 0.0, 0.0, -1.0]), jnp.asarray([0.3, -0.2, 0.1, 0.05, 1.0])
    nested = (FusedLasso(1.0) + L1(0.5)).on("a") + L1(0.3).on("a")
    flat = FusedLasso(1.0) + L1(0.8)
    np.testing.assert_allclose(nested.subdiff_distance({"a": w}, {"a": g}), flat.subdiff_distance(w, g), rtol=1e-13)
    np.testing.assert_allclose(nested.lambda_max({"a": g}), flat.lambda_max(g), rtol=1e-12)
    apart = (FusedLasso(1.0) + L1(0.5)).on("a") + NonNegative().on("b")
    found = apart.subdiff_distance({"a": w, "b": abs(w)}, {"a": g, "b": g})
    parts = (FusedLasso(1.0) + L1(0.5)).subdiff_distance(w, g), NonNegative().subdiff_distance(abs(w), g)
    np.testing.assert_allclose(found, np.hypot(*parts), rtol=1e-13)


def test_sums_that_are_not_known_are_named(x64):
    w = jnp.arange(3.0)
    for call in (lambda p: p.subdiff_distance(w, w), lambda p: p.lambda_max(w)):
        with pytest.raises(UnknownOperation, match=r"the subdifferential of SLOPE.* \+ L1.*Otherwise put"):
            call(SLOPE(1.0, weights=jnp.arange(3.0, 0, -1)) + L1(0.1))


@pytest.mark.thin(3)
@pytest.mark.parametrize(
    "p",
    [
        L2Norm(0.8) + L1(0.3),
        jaxreg.GroupLasso(0.7, groups=[0, 0, 1]) + NonNegative(),
        jaxreg.GroupLasso(0.7, groups=[0, 0, 1]) + L2(0.2) + L1(0.1),
        FusedLasso(0.4) + L2(0.3) + NonNegative(),
        LInf(0.9) + L2(0.3),
    ],
    ids=str,
)
def test_conjugate_of_terms_that_share_leaves(x64, p):
    """At least ⟨u, w⟩ − p(w) for every w, and equal at the w whose slope is u: the supremum's definition."""
    rng = np.random.default_rng(2)
    for size in (0.5, 3.0):
        v = jnp.asarray(size * rng.normal(size=3))
        w = p.prox(v)
        u = v - w  # an element of the subdifferential at w
        found = float(p.conjugate(u * (1 - 1e-13)))
        np.testing.assert_allclose(found, float(u @ w - p(w)), rtol=1e-11, atol=1e-12)
        others = abs(rng.normal(size=(200, 3))) * rng.choice([-1.0, 1.0], size=(200, 1))
        assert max(float(u @ z - p(z)) for z in jnp.asarray(others)) <= found + 1e-12
    bent = any(isinstance(t, L2) for t in p.terms())
    assert np.isposinf(float(p.conjugate(jnp.full(3, 9.0)))) != bent


def test_the_conjugate_beside_an_l2_of_strength_zero_is_that_of_the_rest(x64):
    u = jnp.asarray([0.3, -0.2, 0.4])
    for p in (L2Norm(0.8), LInf(1.2)):
        for v in (u, 9 * u):
            assert float((p + L2(0.0)).conjugate(v)) == float(p.conjugate(v))


def test_intervals_with_nothing_in_common(x64):
    p = Box(0.0, 1.0) + Box(2.0, 3.0)
    for call in (p.conjugate, p.prox):
        with pytest.raises(ValueError, match="no number in common"):
            call(jnp.asarray([1.0, -1.0]))
        assert np.isnan(np.asarray(jax.jit(call)(jnp.asarray([1.0, -1.0])))).all()
    assert float((Box(0.0, 1.0) + Box(0.5, 3.0)).conjugate(jnp.asarray([1.0, -1.0]))) == 0.5


def test_lambda_max_by_bisection_compiles_once(x64):
    from jaxreg._penalties._sum_duals import smallest_by_bisection

    p = L1(0.5) + L2Norm(1.0)
    p.lambda_max(jnp.ones(3))
    before = smallest_by_bisection._cache_size()
    (L1(0.7) + L2Norm(2.0)).lambda_max(jnp.arange(3.0))
    assert smallest_by_bisection._cache_size() == before


def test_a_reference_that_does_not_fit_is_named():
    for reference in (jnp.zeros(3), jnp.zeros((1, 2))):
        with pytest.raises(ValueError, match=r"around: reference of shape \(.*\) does not fit a params leaf of shape \(2,\)"):
            L1().around(reference)(jnp.zeros(2))


def test_a_rotation_of_nothing_is_free(x64):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert bool(jnp.all(L1(0.0).rotate(turn).free(jnp.ones(3))))
    assert not bool(jnp.any(L1(0.1).rotate(turn).free(jnp.ones(3))))


def test_what_is_no_number_is_named():
    for penalty in (L1(), L1() + L2(), Box(0, 1), GroupLasso(groups=0), LInf(), SLOPE(weights=[2.0, 1.0]), L1().envelope(1.0), L1().dual()):
        with pytest.raises(TypeError, match="step must be >= 0, got None"):
            penalty.prox(jnp.ones(2), None)
    with pytest.raises(TypeError, match="around: reference must be numbers, got the string 'a'"):
        L1().around("a")
