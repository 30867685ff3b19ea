"""``summary`` names every leaf, the penalties on it and their strengths."""

import jax.numpy as jnp
import pytest

import jaxreg

PARAMS = {"a": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}, "b": jnp.ones(4), "count": 3}


def rows(penalty):
    return {row.path: (row.penalties, row.lams, row.exempt) for row in jaxreg.summary(penalty, PARAMS).rows}


def test_placed_summed_and_per_layer():
    penalty = jaxreg.L2(0.5).on("**/kernel") + jaxreg.L1({"a": 0.1, "b": 0.2, "count": None})
    assert rows(penalty) == {
        "a/bias": (("L1",), ("0.1",), False),
        "a/kernel": (("L2", "L1"), ("0.5", "0.1"), False),
        "b": (("L1",), ("0.2",), False),
        "count": ((), (), True),
    }


def test_arrays_groups_constraints_and_references():
    assert rows(jaxreg.L1(jnp.arange(4.0)).on("b"))["b"] == (("L1",), ("0 … 3 (4,)",), False)
    assert rows(jaxreg.GroupLasso(2.0, groups={"a": 0, "b": 1, "count": 0}))["a/bias"] == (("GroupLasso",), ("2",), False)
    assert rows(jaxreg.NonNegative().on("b"))["b"] == (("NonNegative",), (), False)
    assert rows(jaxreg.L2(1.0).around(0.0))["b"][0] == ("L2 around a reference",)
    assert all(exempt for _, _, exempt in rows(jaxreg.Zero()).values())


def test_shapes_and_table():
    text = str(jaxreg.summary(jaxreg.L2(1e-3).on("**/kernel"), PARAMS))
    assert text.splitlines()[0].split() == ["path", "shape", "penalty", "λ"]
    assert "a/kernel  (3, 2)  L2       0.001" in text
    with pytest.raises(ValueError, match="selects no floating-point leaf"):
        jaxreg.summary(jaxreg.L2().on("typo"), PARAMS)
