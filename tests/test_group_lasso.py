"""Groups: ids that broadcast and span leaves, weights, and derivatives at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import GroupLasso, UnknownOperation

KERNEL = np.array([[3.0, 4.0], [0.0, 0.0], [5.0, 12.0]])


def test_groups_span_leaves(x64):
    params = {"a": jnp.asarray([3.0, 0.0]), "b": jnp.asarray([4.0])}
    assert float(GroupLasso(1.0, groups=0)(params)) == pytest.approx(np.sqrt(3) * 5, rel=1e-15)
    assert float(GroupLasso(1.0, groups={"a": 0, "b": 1})(params)) == pytest.approx(np.sqrt(2) * 3 + 4, rel=1e-15)
    z = GroupLasso(1.0, groups=0, weights=[1.0]).prox(params)
    np.testing.assert_allclose(np.append(z["a"], z["b"]), np.array([3, 0, 4]) * 0.8, rtol=1e-15)
    # One group of both leaves keeps or loses both.
    z = GroupLasso(1.0, groups=0, weights=[5.0]).prox(params)
    assert not np.any(z["a"])
    assert not np.any(z["b"])


def test_ids_broadcast(x64):
    rows = GroupLasso(1.0, groups=np.arange(3)[:, None])
    assert float(rows(KERNEL)) == pytest.approx(np.sqrt(2) * (5 + 0 + 13), rel=1e-15)
    columns = GroupLasso(1.0, groups=np.arange(2))
    assert float(columns(KERNEL)) == pytest.approx(np.sqrt(3) * np.linalg.norm(KERNEL, axis=0).sum(), rel=1e-15)
    np.testing.assert_allclose(rows.prox(KERNEL, 5 / np.sqrt(2))[0], 0)  # at the threshold
    assert rows.support(KERNEL)[:, 0].tolist() == [True, False, True]
    with pytest.raises(ValueError, match="does not fit a params leaf"):
        GroupLasso(1.0, groups=[0, 1, 2])(KERNEL)


def test_default_weights_count_the_parameters_of_a_group(x64):
    """√(size) after broadcasting; ids that nothing has cost nothing; None leaves a leaf alone."""
    assert float(GroupLasso(1.0, groups=7)(np.ones(4))) == pytest.approx(4)
    params = {"w": jnp.ones(4), "b": jnp.ones(1)}
    penalty = GroupLasso(1.0, groups={"w": 0, "b": None})
    assert float(penalty(params)) == 4
    assert penalty.prox(params)["b"].tolist() == [1]
    assert penalty.covers(params) == {"w": True, "b": False}
    assert float(penalty.subdiff_distance(params, {"w": jnp.full(4, -1.0), "b": jnp.asarray([2.0])})) == pytest.approx(2)


@pytest.mark.slow
@pytest.mark.parametrize("lam", [0.0, 1.0, 1e30])
def test_derivatives_at_a_zero_group_are_finite(lam):
    w = jnp.array([0.0, 0.0, 3.0])
    penalty = GroupLasso(lam, groups=[0, 0, 1], weights=[1.0, 1.0])
    for gradient in (penalty.grad(w), jax.grad(penalty)(w)):
        assert gradient[:2].tolist() == [0, 0]
        np.testing.assert_allclose(gradient[2], lam, rtol=4 * np.finfo(np.float32).eps)
    assert np.all(np.isfinite(jax.hessian(penalty)(w)))
    assert np.all(np.isfinite(jax.jacobian(penalty.prox)(w)))
    slope = jax.grad(lambda p: jnp.sum(p.prox(w) ** 2) + p(w))(penalty)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))


@pytest.mark.slow
def test_hessian_of_a_norm(x64):
    """(I − ŵŵᵀ)/‖w‖ for one group."""
    w = np.array([3.0, 4.0])
    unit = w / 5
    expected = (np.eye(2) - np.outer(unit, unit)) / 5
    np.testing.assert_allclose(jax.hessian(GroupLasso(1.0, groups=0, weights=[1.0]))(jnp.asarray(w)), expected, rtol=1e-12)


def test_huge_and_zero_strengths():
    w = jnp.array([3.0, 4.0])
    assert GroupLasso(1e30, groups=0).prox(w).tolist() == [0, 0]
    assert GroupLasso(0.0, groups=0).prox(w).tolist() == [3, 4]
    assert GroupLasso(0.0, groups=0).support(jnp.zeros(2)).tolist() == [True, True]


def test_huge_and_tiny_weights_keep_their_norm():
    """‖w‖ is representable although Σw² is not: 1e30² overflows float32, 1e-30² vanishes."""
    for size in (1e30, 1e-30):
        w = jnp.array([3 * size, 4 * size], jnp.float32)
        assert float(GroupLasso(1.0, groups=0, weights=[1.0])(w)) == pytest.approx(5 * size, rel=1e-5)


def test_one_step_and_one_strength():
    for act in (lambda: GroupLasso(1.0, groups=0).prox(jnp.ones(2), jnp.ones(2)), lambda: GroupLasso(jnp.ones(2), groups=0)(jnp.ones(2))):
        with pytest.raises(UnknownOperation, match=r"one step|one number"):
            act()


def test_mixed_dtypes_in_one_group():
    params = {"a": jnp.array([3.0], jnp.bfloat16), "b": jnp.array([4.0], jnp.float32)}
    z = GroupLasso(1.0, groups=0, weights=[1.0]).prox(params)
    assert (z["a"].dtype, z["b"].dtype) == (jnp.bfloat16, jnp.float32)
    assert float(z["b"][0]) == pytest.approx(3.2)
