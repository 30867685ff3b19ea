"""Selecting leaves: globs, predicates, masks and prefixes, and what a penalty does off the selection."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxreg import L1, L2, GroupLasso, kernels
from jaxreg._tree import paths, select

PARAMS = {"kernel": 1.0, "dense": {"kernel": 2.0, "bias": 3.0}, "deep": {"block": {"kernel": 4.0, "bias": 5.0}}, "list": [6.0, 7.0]}


def chosen(where, params=PARAMS):
    flags = jax.tree.leaves(select(where, params))
    return {path for path, flag in zip(paths(params), flags, strict=True) if flag}


def shown(value):
    """A test name that is the same in every process: sets have no order, functions an address."""
    return value.__name__ if callable(value) else str(sorted(value) if isinstance(value, set) else value)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("**/kernel", {"kernel", "dense/kernel", "deep/block/kernel"}),  # zero segments count: the top-level one too
        ("*/kernel", {"dense/kernel"}),  # one star stays within a segment
        ("kernel", {"kernel"}),
        ("deep/**", {"deep/block/kernel", "deep/block/bias"}),
        ("deep/**/bias", {"deep/block/bias"}),
        ("**/block/*", {"deep/block/kernel", "deep/block/bias"}),
        ("d*/**/bias", {"dense/bias", "deep/block/bias"}),
        ("list/?", {"list/0", "list/1"}),
        ("list/[1-9]", {"list/1"}),
        ("**", set(paths(PARAMS))),
        (("kernel", "list/*"), {"kernel", "list/0", "list/1"}),
        (lambda path, leaf: leaf > 5, {"list/0", "list/1"}),
        (kernels, {"kernel", "dense/kernel", "deep/block/kernel", "list/0", "list/1"}),
        (
            {"kernel": True, "dense": False, "deep": True, "list": [False, True]},
            {"kernel", "deep/block/kernel", "deep/block/bias", "list/1"},
        ),
        (True, set(paths(PARAMS))),
    ],
    ids=shown,
)
def test_what_is_selected(where, expected):
    assert chosen(where) == expected
    # The penalty sees exactly these.
    values = dict(zip(paths(PARAMS), jax.tree.leaves(PARAMS), strict=True))
    assert float(L2(1.0).on(where)(PARAMS)) == sum(values[path] ** 2 for path in expected)


def test_a_dot_is_a_dot():
    assert chosen("a.b", {"a.b": 1.0, "aXb": 2.0}) == {"a.b"}


@pytest.mark.parametrize("where", ["**/kernal", "dense", ("kernel", "nothing/**"), lambda path, leaf: False, False, "*/*/*/*"], ids=shown)
def test_no_match_is_an_error_that_lists_the_leaves(where):
    for act in (lambda: L1().on(where)(PARAMS), lambda: L1().on(where).prox(PARAMS), lambda: L1().on(where).grad(PARAMS)):
        with pytest.raises(ValueError, match="selects no floating-point leaf; the leaves are 'deep/block/bias', 'deep/block/kernel'"):
            act()


def test_selecting_nothing_but_integers_is_an_error():
    with pytest.raises(ValueError, match="selects no floating-point leaf"):
        L1().on("count")({"count": jnp.arange(3), "w": 1.0})


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [({"kernel": True}, ValueError, "does not fit params"), ({**PARAMS, "kernel": 1.0}, TypeError, "bools"), (3, TypeError, "bools")],
    ids=shown,
)
def test_a_mask_must_fit(mask, error, message):
    with pytest.raises(error, match=message):
        L1().on(mask)(PARAMS)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("dense/kernel", True),
        ("dense/kernel/value", True),
        ("weight", True),
        ("embedding/table", True),
        ("normal/kernel", True),
        ("layers/0/bias", False),
        ("dense/b", False),
        ("dense/bias_1", False),
        ("attention/q_bias", False),
        ("BatchNorm_0/scale", False),
        ("LayerNorm/weight", False),
        ("rms_norm/weight", False),
        ("block/ln_1/g", False),
        ("ln_f/weight", False),
        ("bn2/weight", False),
        ("dense/bias/value", False),
    ],
)
def test_kernels_preset(path, expected):
    assert kernels(path, None) is expected


def test_off_the_selection_nothing_happens():
    params = {"w": jnp.array([3.0, -0.5]), "b": jnp.array([4.0])}
    penalty = L1(1.0).on("w")
    assert penalty.prox(params)["b"].tolist() == [4.0]
    assert penalty.grad(params)["b"].tolist() == [0.0]
    assert penalty.support(params)["b"].tolist() == [True]
    assert penalty.free(params)["b"].tolist() == [True]
    assert penalty.free(params)["w"].tolist() == [False, False]
    assert penalty.covers(params) == {"w": True, "b": False}
    # Stationarity off the selection is a zero gradient; the conjugate is +inf where the dual does not vanish.
    inside = {"w": jnp.array([-1.0, 1.0])}
    assert float(penalty.subdiff_distance(params, inside | {"b": jnp.array([0.0])})) == 0
    assert float(penalty.subdiff_distance(params, inside | {"b": jnp.array([-2.0])})) == 2
    assert float(penalty.conjugate({"w": jnp.array([0.5, 1.0]), "b": jnp.array([0.0])})) == 0
    assert float(penalty.conjugate({"w": jnp.array([0.5, 1.0]), "b": jnp.array([0.1])})) == np.inf
    assert float(penalty.lambda_max({"w": jnp.array([0.5, -2.0]), "b": jnp.array([9.0])})) == 2


def test_a_selection_within_a_selection_and_about_a_reference():
    params = {"a": {"w": 1.0, "b": 2.0}, "w": 3.0}
    assert float(L2().on("**/w").on("a/**")(params)) == 1
    reference = {"a": {"w": 0.5, "b": 0.0}, "w": 1.0}
    assert float(L2().around(reference).on("**/w")(params)) == 0.25 + 4
    assert float(L2().on("**/w").around(reference)(params)) == 0.25 + 4
    for penalty in (L1().around(reference).on("**/w"), L1().on("**/w").around(reference)):
        # Towards the reference, by at most 1: 1 → ½, 3 → 2; b stays.
        assert jax.tree.map(float, penalty.prox(params)) == {"a": {"w": 0.5, "b": 2.0}, "w": 2.0}


def test_a_prefix_of_strengths_is_matched_before_the_selection():
    params = {"a": {"w": 1.0, "b": 2.0}, "c": {"w": 3.0, "b": 4.0}}
    assert float(L2({"a": 10.0, "c": 100.0}).on("**/w")(params)) == 10 + 900
    assert float((2.0 * L2({"a": 10.0, "c": 100.0}).on("**/w"))(params)) == 2 * (10 + 900)
    with pytest.raises(ValueError, match="does not fit params"):
        L2({"a": 10.0}).on("a/w")(params)


def test_an_array_belongs_to_one_leaf():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    for act in (L2(jnp.ones(2)), L2(jnp.ones(2)).grad, L1(jnp.ones(1)).prox):
        with pytest.raises(ValueError, match="belongs to one leaf, but 2 leaves would share it"):
            act(params)
    assert float(L2(jnp.array([1.0, 3.0])).on("a")(params)) == 4  # one leaf is left
    assert float(L2({"a": jnp.array([1.0, 3.0]), "b": 0.0})(params)) == 4
    with pytest.raises(ValueError, match=r"lam has shape \(3,\), which does not fit a params leaf of shape \(2,\)"):
        L2(jnp.ones(3)).on("a")(params)
    with pytest.raises(ValueError, match="belongs to one leaf"):
        L1(1.0).prox(params, jnp.ones(2))  # a step as well
    assert L1(1.0).prox(params, {"a": jnp.array([0.25, 2.0]), "b": 0.5})["a"].tolist() == [0.75, 0.0]


def test_none_in_a_prefix_means_none_here():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    assert float(L2({"a": None, "b": 1.0})(params)) == 2
    assert L1({"a": None, "b": 1.0}).prox(params)["a"].tolist() == [1, 1]


class Pair(NamedTuple):
    first: jax.Array
    second: tuple[jax.Array, jax.Array]


def test_paths_in_named_tuples_and_tuples():
    params = Pair(jnp.ones(1), (jnp.ones(2), jnp.ones(3)))
    assert paths(params) == ["first", "second/0", "second/1"]
    assert float(L2().on("second/*")(params)) == 5
    assert float(L2(Pair(1.0, (10.0, 100.0)))(params)) == 1 + 20 + 300  # pyright: ignore[reportArgumentType]


def test_group_lasso_on_a_selection():
    """Groups are matched against the whole tree, as strengths are."""
    params = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([5.0, 12.0])}
    groups = {"a": 0, "b": 1}
    assert float(GroupLasso(1.0, groups=groups, weights=[1.0, 1.0])(params)) == 5 + 13
    assert float(GroupLasso(1.0, groups=groups, weights=[1.0, 1.0]).on("b")(params)) == 13
    assert GroupLasso(1.0, groups=groups, weights=[1.0, 13.0]).on("b").prox(params)["b"].tolist() == [0.0, 0.0]
