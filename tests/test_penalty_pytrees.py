"""Penalties as data: validation, copying, hashing, odd leaves, and sums that have no known prox."""

import copy
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import L1, L2, Box, ElasticNet, GroupLasso, NonNegative, Penalty, Separable, UnknownOperation, Zero
from jaxreg._dtypes import x64_scope
from tests import oracles

SAMPLES = [
    L1(0.5),
    L2(np.array([1.0, 2.0])),
    ElasticNet(0.5, 0.3),
    Box(-1.0, 2.0),
    NonNegative(),
    Zero(),
    GroupLasso(0.5, groups=[0, 1]),
    GroupLasso(0.5, groups=[0, 1], weights=[1.0, 2.0]),
    L1(0.5).on("**"),
    L1(0.5).on(True),
    L2(0.5).around(np.array([1.0, 2.0])),
    L1(0.5) + L2(0.1) + NonNegative(),
]


@pytest.mark.parametrize("penalty", SAMPLES, ids=repr)
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, copy.copy, lambda p: pickle.loads(pickle.dumps(p)), lambda p: jax.tree.map(lambda x: x, p)]
)
def test_copies(penalty, duplicate):
    """A copy has an equal treedef (so that nothing recompiles), equal strengths and the same value."""
    twin = duplicate(penalty)
    assert jax.tree.structure(twin) == jax.tree.structure(penalty)
    assert hash(jax.tree.structure(twin)) == hash(jax.tree.structure(penalty))
    w = np.array([0.5, 1.5])
    assert float(twin(w)) == float(penalty(w))
    assert repr(twin) == repr(penalty)


def test_identity_is_equality():
    """Comparing arrays has no single truth value: penalties compare and hash by identity."""
    a, b = L2(np.ones(2)), L2(np.ones(2))
    assert a == a
    assert a != b
    assert len({a, b}) == 2


def test_structure_is_compared_by_content():
    def structure(p):
        return jax.tree.structure(p)

    assert structure(GroupLasso(1.0, groups=[0, 1])) == structure(GroupLasso(2.0, groups=np.array([0, 1])))
    assert structure(GroupLasso(1.0, groups=[0, 1])) != structure(GroupLasso(1.0, groups=[0, 0]))
    assert structure(L1(1.0).on({"a": True, "b": False})) == structure(L1(2.0).on({"a": True, "b": False}))
    assert structure(L1(1.0).on({"a": True, "b": False})) != structure(L1(1.0).on({"a": True, "b": True}))
    assert structure(L1(1.0).on(("a", "b"))) != structure(L1(1.0).on("a\nb"))


def test_penalties_are_frozen():
    with pytest.raises(AttributeError):
        L1(1.0).lam = 2.0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("kind", [L1, L2, ElasticNet, lambda lam: GroupLasso(lam, groups=[0])])
@pytest.mark.parametrize("bad", [-1.0, -1, np.nan, np.inf, np.array([1.0, -0.5]), {"a": -1.0}, jnp.array(-1.0), (1.0, np.nan)])
def test_strengths_out_of_range(kind, bad):
    with pytest.raises(ValueError, match="lam must be finite and >= 0, got"):
        kind(bad)


def test_messages_name_the_culprit():
    with pytest.raises(ValueError, match=r"L1: lam must be finite and >= 0, got -0.5 \(1 of 2 entries\)"):
        L1(np.array([1.0, -0.5]))
    with pytest.raises(TypeError, match=r"L2: lam must be .*, got the string 'big'"):
        L2("big")
    with pytest.raises(ValueError, match=r"ElasticNet: l1_ratio must be in \[0, 1\], got 1.5"):
        ElasticNet(1.0, 1.5)
    with pytest.raises(ValueError, match="Box: lower must not exceed upper"):
        Box(1.0, 0.0)
    with pytest.raises(ValueError, match="Box: lower must be a number"):
        Box(np.nan, 0.0)
    with pytest.raises(ValueError, match=r"Wrap a list of numbers in jnp\.array"):
        L1([1.0, 2.0])(jnp.ones(2))
    with pytest.raises(ValueError, match="GroupLasso: groups is missing"):
        GroupLasso(1.0)
    for groups in ([0.5, 1.0], [-1, 0], [True, False]):
        with pytest.raises(ValueError, match="groups must hold integers >= 0"):
            GroupLasso(1.0, groups=groups)
    with pytest.raises(ValueError, match=r"weights must have shape \(2,\)"):
        GroupLasso(1.0, groups=[0, 1], weights=[1.0])
    with pytest.raises(ValueError, match="weights must be finite"):
        GroupLasso(1.0, groups=[0, 1], weights=[1.0, -1.0])


@pytest.mark.parametrize("bad", [1j, np.array([1j]), jnp.array(1j)])
def test_complex_strengths_are_refused(bad):
    with pytest.raises((TypeError, ValueError)):
        L1(bad)


def test_tracers_skip_validation():
    negative = jax.jit(lambda lam: L2(lam)(jnp.ones(2)))
    assert float(negative(-1.0)) == -2
    assert jax.tree.map(lambda x: -x, L2(1.0)).lam == -1


def test_multiplication():
    factor = np.array([1.0, 2.0])
    for product in (factor * L1(0.5), L1(0.5) * factor, jnp.asarray(factor) * L1(0.5), L1(0.5) * jnp.asarray(factor)):
        assert isinstance(product, L1)
        assert np.asarray(product.lam).tolist() == [0.5, 1.0]
    for product in (np.float64(2.0) * L1(0.5), 2 * L1(0.5), jnp.array(2.0) * L1(0.5)):
        assert isinstance(product, L1)
        assert float(product.lam) == 1
    for bad in (-1.0, np.array([1.0, -1.0]), np.nan, np.inf):
        with pytest.raises(ValueError, match="factor must be finite and >= 0"):
            bad * L1(0.5)
    for bad in ("2", L1(), None):
        with pytest.raises(TypeError):
            bad * L1(0.5)  # pyright: ignore[reportOperatorIssue]
    assert float((2 * Box(0.0, 1.0))(0.5)) == 0
    assert 2 * Box(0.0, 1.0) is not None
    assert jax.tree.leaves(3 * (L1(1.0).on("w") + L2(2.0).around(1.0))) == [3.0, 6.0, 1.0]  # the reference is no strength


def test_python_numbers_take_the_dtype_of_the_leaf():
    """0.1 built outside a float64 scope is 0.1 inside one, not float32's 0.10000000149."""
    l1, net, plain = L1(0.1), ElasticNet(0.1, 0.3), 0.1
    with x64_scope():
        w = jnp.ones(1)
        assert float(l1(w)) == plain
        assert float(l1.prox(w)[0]) == 1 - plain
        assert float(net.grad(w)[0]) == pytest.approx(0.1, rel=1e-15)
        assert float((2 * l1)(w)) == 0.2
        assert float(GroupLasso(0.1, groups=[0])(w)) == plain
    assert l1.prox(jnp.ones(1, jnp.float32)).dtype == jnp.float32
    assert l1.prox(jnp.ones(1, jnp.bfloat16)).dtype == jnp.bfloat16
    assert L1(np.float64(0.1)).prox(jnp.ones(1, jnp.float16)).dtype == jnp.float16


ODD = {
    "integers": jnp.arange(3),
    "bools": jnp.array([True]),
    "python int": 3,
    "none": None,
    "function": jnp.tanh,
    "string": "relu",
    "key": jax.random.key(0),
    "empty": jnp.zeros((0, 4)),
    "w": jnp.array([3.0, -0.5]),
    "scalar": jnp.array(2.0),
    "python float": -1.5,
}


@pytest.mark.parametrize(
    "penalty", [L1(1.0), ElasticNet(1.0, 1.0), L1(0.5) + L1(0.5), L1(1.0) + L2(0.0), L1(1.0).around(0.0), L1(1.0).on("**")], ids=repr
)
def test_odd_leaves(penalty):
    """Only floating-point leaves are penalised; the others come back as they were, from sums as well."""
    assert float(penalty(ODD)) == 3.5 + 2 + 1.5
    z = penalty.prox(ODD)
    assert z["w"].tolist() == [2, 0]
    assert (float(z["scalar"]), float(z["python float"])) == (1, -0.5)
    assert z["empty"].shape == (0, 4)
    for name in ("integers", "bools", "python int", "none", "function", "string", "key"):
        assert z[name] is ODD[name] or np.array_equal(z[name], ODD[name])
    grad = penalty.grad(ODD)
    assert grad["w"].tolist() == [1, -1]
    assert not np.any(grad["integers"])


def test_complex_parameters_are_refused():
    with pytest.raises(TypeError, match="complex leaf"):
        L2(1.0)(jnp.array([1j]))


def test_nothing_to_penalise():
    for params in ({}, (), None):
        for penalty in (L1(), L2(), L1() + L2(), Box(0.0, 1.0), GroupLasso(1.0, groups=0)):
            assert float(penalty(params)) == 0
            assert jax.tree.structure(penalty.prox(params)) == jax.tree.structure(params)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    ("penalty", "expected"),
    [(L2(1e-3), 90.0 * 10), (L1(1.0), 300.0 * 10), (GroupLasso(1.0, groups=np.zeros(10, int), weights=[1.0]), 300 * np.sqrt(10))],
)
def test_half_precision_does_not_overflow(dtype, penalty, expected):
    """300² is beyond float16; the value is computed in float32, and the prox sees the true norm."""
    w = jnp.full(10, 300.0, dtype)
    assert float(penalty(w)) == pytest.approx(expected, rel=4 * float(jnp.finfo(dtype).eps))
    strong = (1000 * penalty).prox(w)
    assert np.all(np.asarray(strong, float) < 300)


def test_half_precision_sums_exactly():
    """4,096 ones: bfloat16 would stop counting at 256."""
    w = jnp.ones(4096, jnp.bfloat16)
    for penalty in (L1(1.0), L2(1.0), L1(0.5) + L2(0.5)):
        assert float(penalty(w)) == 4096
    assert float(GroupLasso(1.0, groups=np.zeros(4096, int), weights=[1.0])(w)) == 64


# --- sums ------------------------------------------------------------------------------------------------------------

G = GroupLasso(1.0, groups=[0, 0])


@pytest.mark.parametrize(
    ("penalty", "names"),
    [
        (G + GroupLasso(1.0, groups=[0, 1]), ("groups=array\\(\\[0, 0\\]\\)", "groups=array\\(\\[0, 1\\]\\)")),
        (G + Box(0.0, 1.0), ("GroupLasso", "Box")),
        (G + L2(np.array([1.0, 2.0])), ("GroupLasso", "L2")),
        (L1() + L1().around(1.0), ("L1", "around")),
        (G.around(1.0) + L1(), ("around", "L1")),
        (G + NonNegative().around(1.0), ("GroupLasso", "NonNegative")),
    ],
    ids=repr,
)
def test_an_unknown_joint_prox_names_both_terms(penalty, names):
    with pytest.raises(UnknownOperation) as caught:
        penalty.prox(jnp.ones(2))
    with pytest.raises(UnknownOperation):
        (Zero() + penalty + Zero()).prox(jnp.ones(2))
    assert all(re.search(name, str(caught.value)) for name in names)
    assert "not known where they share leaves" in str(caught.value)
    assert np.isfinite(float(penalty(jnp.ones(2))))  # its value is no problem


def test_on_disjoint_leaves_everything_adds(x64):
    params = {"a": jnp.asarray([3.0, 4.0]), "b": jnp.asarray([-3.0, 0.25])}
    penalty = G.on("a") + (L1(0.5) + L2(0.5)).on("b") + Box(-1.0, 1.0).on("b")
    z = penalty.prox(params)
    np.testing.assert_allclose(z["a"], np.array([3, 4]) * (1 - np.sqrt(2) / 5), rtol=1e-15)
    expected = oracles.prox(
        lambda w: (0.5 * np.abs(w) + 0.5 * w**2).sum(-1) + np.where((np.abs(w) <= 1).all(-1), 0, np.inf), params["b"], 1.0
    )
    np.testing.assert_allclose(z["b"], expected, atol=1e-6)
    dual = {"a": jnp.asarray([0.5, 0.5]), "b": jnp.asarray([0.4, 0.3])}
    assert float((G.on("a") + L1(0.5).on("b")).conjugate(dual)) == 0
    assert float((G.on("a") + L1(0.35).on("b")).conjugate(dual)) == np.inf
    assert float((G.on("a") + L1(0.5).on("a")).on("a").lambda_max(dual)) > 0


def test_partly_shared_leaves(x64):
    """L2 everywhere, L1 on one leaf: the joint prox there, plain shrinkage elsewhere."""
    params = {"a": jnp.asarray([3.0]), "b": jnp.asarray([3.0])}
    z = (L2(0.5) + L1(1.0).on("a")).prox(params)
    assert (float(z["a"][0]), float(z["b"][0])) == (1.0, 1.5)
    with pytest.raises(UnknownOperation, match="GroupLasso"):  # the norm spans leaves that the quadratic does not
        (GroupLasso(1.0, groups=0) + L2(0.5).on("a")).prox(params)


def test_sums_with_leaves_that_are_not_there(x64):
    """None and integers beside the parameters: each leaf keeps its own λ in the joint prox."""
    params = {"a": None, "b": jnp.arange(2), "c": jnp.asarray([6.0]), "d": jnp.asarray([6.0])}
    z = (L2({"a": None, "b": 0.0, "c": 0.5, "d": 1.0}) + L1(1.0)).prox(params)
    assert (float(z["c"][0]), float(z["d"][0])) == (2.5, pytest.approx(5 / 3, rel=1e-15))


def test_one_number_as_strength_and_reference(x64):
    """λ = 1.0 and r = 1.0 may be one Python object: told apart by their places, not by identity."""
    one = 1.0
    z = (GroupLasso(1.0, groups=[0, 0], weights=[1.0]) + L2(one).around(one)).prox(np.array([3.0, 4.0]))
    expected = oracles.prox(lambda w: np.sqrt((w**2).sum(-1)) + ((w - 1) ** 2).sum(-1), [3.0, 4.0], 1.0)
    np.testing.assert_allclose(z, expected, atol=1e-6)


def test_lambda_max_of_a_sum_leaves_out_what_is_not_penalised(x64):
    """As a single penalty's does: an intercept solved to 1e-9 is no reason for an infinite λ."""
    grad = {"w": jnp.asarray([3.0, 4.0]), "b": jnp.asarray([1e-9])}
    group = GroupLasso(1.0, groups=0, weights=[1.0]).on("w")
    assert float(group.lambda_max(grad)) == pytest.approx(5)
    assert float((group + L1(0.0).on("w")).lambda_max(grad)) == pytest.approx(5)
    assert float((group + L1(0.0).on("w")).lambda_max(jax.tree.map(jnp.zeros_like, grad))) == 0


def test_zero_outside_the_box_has_no_lambda_max():
    for grad in (0.0, 1.0, -1.0):
        assert float(Box(0.5, 2.0).lambda_max(jnp.array([grad]))) == np.inf


def test_sums_flatten_and_zero_adds_nothing():
    assert repr(L1(1.0) + Zero()) == repr(L1(1.0))
    assert repr((L1(1.0) + L2(2.0)) + (L1(3.0) + L2(4.0))) == "L1(lam=1.0) + L2(lam=2.0) + L1(lam=3.0) + L2(lam=4.0)"
    with pytest.raises(TypeError):
        L1() + 1.0  # pyright: ignore[reportOperatorIssue]


def test_a_users_penalty_joins_with_a_value_alone():
    class Quartic(Separable):
        lam: float = 1.0
        convex, smooth = True, True

        @staticmethod
        def leaf_value(w, lam):
            return lam * w**4

    penalty = Quartic(2.0).on("w") + L2(1.0)
    params = {"w": jnp.array([2.0]), "b": jnp.array([3.0])}
    assert float(penalty(params)) == 2 * 16 + 4 + 9
    assert float(penalty.grad(params)["w"][0]) == 2 * 4 * 8 + 4
    assert float(penalty.curvature(params)["w"][0]) == 2 * 12 * 4 + 2
    with pytest.raises(UnknownOperation, match="Quartic"):
        penalty.prox(params)
    assert isinstance(penalty, Penalty)


@pytest.mark.parametrize("params", [jnp.array([1, 2]), 3, {"a": jnp.array([True])}])
def test_parameters_that_are_all_integers_are_an_error_not_a_zero(params):
    for penalty in (L2(1.0), GroupLasso(1.0, groups=0)):
        for act in (penalty, penalty.grad, penalty.prox):
            with pytest.raises(TypeError, match="no floating-point leaf to penalise"):
                act(params)


def test_a_negative_step_is_an_error():
    for penalty in (L1(1.0), GroupLasso(1.0, groups=[0, 0])):
        with pytest.raises(ValueError, match="step must be >= 0, got -1"):
            penalty.prox(jnp.ones(2), -1.0)


def test_conjugates_of_sums_with_flat_coordinates():
    flat_first = jnp.array([0.0, 1.0, 1.0])
    dual = jnp.array([0.5, 2.0, 2.0])
    # By hand: 0 where |u| <= 1, else (|u| − 1)²/4; within [−1, 1] the maximiser 0.5 is inside.
    assert float((L1(1.0) + L2(flat_first)).conjugate(dual)) == 0.5
    assert float((L1(1.0) + L2(flat_first) + Box(-1.0, 1.0)).conjugate(dual)) == 0.5
    assert float((L2(1.0) + L2(2.0)).conjugate(jnp.array([6.0]))) == 3.0  # u²/(4·3)


def test_one_centre_is_one_centre_under_jit_too():
    r = jnp.ones(2)
    both = L1(1.0).around(r) + L1(2.0).around(r)
    assert jax.jit(lambda p: p.prox(jnp.array([5.0, 0.0])))(both).tolist() == [2.0, 1.0]


def test_thousands_of_groups_are_shown_by_the_first_and_the_last():
    penalty = GroupLasso(groups=np.repeat(np.arange(1000), 5))
    assert repr(penalty).startswith("GroupLasso(lam=1.0, groups=array([  0,   0, ..., 999, 999]")
    with pytest.raises(UnknownOperation) as error:
        (penalty + penalty).prox(np.zeros(5000))
    assert len(str(error.value)) < 1000
    assert repr(GroupLasso(groups=[0, 0, 1])) == "GroupLasso(lam=1.0, groups=array([0, 0, 1]), weights=None)"
