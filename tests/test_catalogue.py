"""The catalogue's lines, each against its own definition; that it is complete, and that docs and command line follow from it."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from PIL import Image

import jaxreg
from jaxreg import Penalty, UnknownOperation
from jaxreg._catalogue import entries, name_of
from jaxreg._cli import _penalties as command
from jaxreg._dtypes import x64_scope
from jaxreg._penalties import Dual, Rotated, Sum
from jaxreg._penalties._distance import Distance
from jaxreg.verify._all import entry

DOCS = Path(__file__).parents[1] / "docs"

with x64_scope():
    TABLE = entries()


# Of each family of code one line is verified at every change; these, and what is another example of a class, with the slow ones.
SLOW = {
    "overlapping-group-lasso", "total-variation", "trend-filter", "etp", "group-l-half", "capped-l2", "log-barrier", "sum-largest",
    "cube-norm", "nuclear-ball", "binary", "min-max-norm", "hyperslab", "box-section", "rotated-second-order-cone",
    "exponential-cone",
}  # fmt: skip


def marked(value, name):
    return pytest.param(value, id=name, marks=pytest.mark.slow if name in SLOW else ())


def cases(quick):
    seen = set()
    for i, e in enumerate(TABLE):
        # Matrices, distances and SLOPE have files of their own.
        rare = name_of(e.kind) in SLOW | {"slope", "spectral-norm", "squared-spectral-norm", "nuclear"} or isinstance(e.penalty, Distance)
        rare = rare or e.kind in seen
        seen.add(e.kind)
        yield pytest.param(e, id=f"{i}-{name_of(e.kind)}", marks=pytest.mark.slow if rare or not quick else ())


def first_of_each():
    seen = {}
    for e in TABLE:
        seen.setdefault(e.kind, e)
    return [marked(e, name_of(kind)) for kind, e in seen.items()]


THIN = {"grad vs autodiff", "grad vs central differences", "support"}
KINKS = {"grad at kinks is a subgradient", "stationary at prox", "subdifferential vs one-sided slopes"}


def missing(e):
    """What the mathematics does not give in closed form; anything else that verify calls "not given" is a gap."""
    p, name = e.penalty, name_of(e.kind)
    with x64_scope():
        concave = np.isinf(float(p.weak_convexity()))
    expected = set()
    if not p.separable:
        expected |= {"curvature vs differences"}  # a Hessian that is no diagonal
    if concave:
        expected |= {"weakly convex"}
    solid = {
        "box",
        "non-negative",
        "half-space",
        "hyperslab",
        "l1-ball",
        "l2-ball",
        "l-inf-ball",
        "max-norm",
        "min-max-norm",
        "nuclear-ball",
    }
    if e.sample is not None and name not in solid and not name.endswith(("second-order-cone", "exponential-cone")):
        expected |= THIN  # sets without an interior
    if name == "zero":  # which asks no number what it is
        expected |= {"NaN is not hidden"}
    if name == "binary":  # and without two points that differ in one number by little
        expected |= {"curvature vs differences", "separable"}
    if p.reference() is not None or name in ("l0", "l-half", "l-two-thirds", "group-l-half", "total-variation"):
        expected |= {"lambda_max"}  # shrinks towards another point; zero is stationary at every λ; no closed form in two dimensions
    if name == "total-variation":
        expected |= {"conjugate vs numerical supremum"}
    if isinstance(p, Dual):  # a subgradient of the conjugate is a maximiser, which the penalty does not give
        expected |= THIN | KINKS | {"lambda_max", "curvature vs differences"}
    if isinstance(p, Rotated) and not p.smooth:  # of numbers that are not the parameters
        expected |= THIN
    if isinstance(p, Sum) and not p.separable:  # infimal convolutions; two subdifferentials of which neither is an interval
        expected |= KINKS | {"lambda_max", "conjugate vs numerical supremum"}
    return expected


@pytest.mark.thin(12)
@pytest.mark.parametrize("example", list(cases(quick=True)))
def test_core(example):
    """What most of the mathematics hangs on, each against something independent; some penalties are held against everything."""
    only = {"value", "value vs definition", "prox vs global oracle", "stationary at prox", "prox derivatives", "lambda_max"}
    if example.penalty.convex:
        only.add("conjugate vs numerical supremum")
    if example.sample is not None:
        only.add("projection is idempotent")
    whole = example.penalty.separable and name_of(example.kind) in ("l1", "elastic-net", "mcp", "box")
    report = entry(example, None if whole else only)
    assert report.ok, "\n".join(map(str, report.failures))
    assert {row.property for row in report.rows if row.status == "not given"} <= missing(example)


@pytest.mark.parametrize("example", list(cases(quick=False)))
def test_verified(example):
    report = entry(example)
    assert report.ok, "\n".join(map(str, report.failures))
    lacking = {row.property for row in report.rows if row.status == "not given"}
    assert lacking <= missing(example), lacking - missing(example)


@pytest.mark.thin(12)
@pytest.mark.parametrize("example", first_of_each())
def test_nan_in_nan_out(example):
    """Comparisons with NaN are false: they would make 0 or inf of it."""
    like = jnp.ones(4) if example.params is None else jax.tree.map(jnp.ones_like, example.params)
    leaves, treedef = jax.tree.flatten(like)
    poisoned = jax.tree.unflatten(treedef, [leaves[0].ravel().at[-1].set(jnp.nan).reshape(leaves[0].shape), *leaves[1:]])
    for call in (example.penalty.conjugate, example.penalty.lambda_max):
        try:
            found = call(poisoned)
        except UnknownOperation:
            continue
        assert np.isnan(float(found))


POINTS = np.array([[1.3, -2.1, 0.7, 3.1], [1.3, 1.3, -1.3, 0.4], [0.7, 0, -0.7, 0], [1, 0, 0, 1], [0, 2, 0, 0], [0, 0, 0, 0]])


def finite_ones():
    """Those whose prox is a formula of each number, and those that had lost their derivatives there."""
    for case in first_of_each():
        example = case.values[0]
        quick = example.penalty.separable or case.id in ("slope", "l-inf", "exclusive-lasso")
        if example.penalty.finite:
            yield case if quick else pytest.param(example, id=case.id, marks=pytest.mark.slow)


@pytest.mark.thin(5)
@pytest.mark.parametrize("example", list(finite_ones()))
def test_derivatives_at_strength_zero(example, x64):
    """``prox(v) = v − strength·g + …``: the identity in v, and g a subgradient, ``p′(v; e) >= ⟨g, e⟩`` in every direction e.

    Where p is smooth that holds for e and −e, and g is its gradient. One-sided differences from the definition err by 1e-7·curvature.
    """
    flat, unravel = ravel_pytree(jax.tree.map(jnp.asarray, np.ones(4) if example.params is None else example.params))
    n, h = flat.size, 1e-7

    def prox(x):
        return ravel_pytree(example.penalty.scaled(x[n]).prox(unravel(x[:n])))[0]

    points = POINTS[:, :n]
    both = jax.jit(jax.vmap(lambda x: (jax.jacfwd(prox)(x), jax.jacrev(prox)(x))))(jnp.pad(points, ((0, 0), (0, 1))))
    e = np.concatenate([np.eye(n), -np.eye(n), np.random.default_rng(0).standard_normal((100, n))])
    slopes = (example.definition(points[:, None] + h * e) - example.definition(points)[:, None]) / h
    for derivatives in both:
        np.testing.assert_allclose(derivatives[..., :n], np.broadcast_to(np.eye(n), (len(points), n, n)), atol=1e-12)
        assert np.all(slopes >= -derivatives[..., n] @ e.T - 1e-5)


def breaks_convexity(e, x, y):
    middle = (e.definition(x) + e.definition(y)) / 2
    return e.definition((x + y) / 2) > middle + 1e-9


def breaks_smoothness(e, n):
    """Two slopes at one point of a grid, along one of its directions. It has the corners of what is capped at 0.8."""
    grid = np.stack(np.meshgrid(*[[-0.8, 0.0, 0.8]] * n), -1).reshape(-1, 1, n)
    h = 1e-6 * np.swapaxes(grid, 0, 1)
    return np.abs(e.definition(grid + h) + e.definition(grid - h) - 2 * e.definition(grid)) > 1e-8


def breaks_separability(e, x, y):
    """Two points that exchange their first number: of a separable function the sum stays."""
    first = np.arange(x.shape[-1]) == 0
    before, after = (e.definition(a) + e.definition(b) for a, b in [(x, y), (np.where(first, y, x), np.where(first, x, y))])
    return np.abs(after - before) > 1e-9


@pytest.mark.parametrize("example", first_of_each())
def test_what_a_fact_denies_is_so(example):
    """``verify`` holds what is claimed; that nothing true is left unclaimed is seen from the definition. A set's is 0 inside."""
    p, n = example.penalty, sum(np.size(w) for w in jax.tree.leaves(np.ones(4) if example.params is None else example.params))
    x, y = np.random.default_rng(0).standard_normal((2, 4000, n)) * 1.5
    y = y * (x > 0)  # zeros among the numbers
    if example.sample is not None:
        x, y = example.sample(x), example.sample(y)
    with np.errstate(invalid="ignore"):
        if not p.convex:
            assert breaks_convexity(example, x, y).any()
        if not p.separable:
            assert breaks_separability(example, x, y).any()
        if p.finite and not p.smooth:
            assert breaks_smoothness(example, n).any()


def test_every_penalty_is_in_the_catalogue():
    exported = {x for x in vars(jaxreg).values() if isinstance(x, type) and issubclass(x, Penalty)}
    bases = {Penalty, jaxreg.Separable}
    assert exported - bases == {e.kind for e in TABLE if e.kind.about is not None}


def test_names_are_unique():
    kinds = {e.kind for e in TABLE}
    assert len({name_of(kind) for kind in kinds}) == len(kinds)


@pytest.mark.thin(12)
@pytest.mark.parametrize("example", first_of_each())
def test_value_is_float32_at_least_and_leaves_keep_their_dtype(example):
    """In bfloat16, 8 bits: a value is that of the rounded parameters to some roundings of the prox's own dtype."""
    with x64_scope():
        point = np.array([0.9, -1.3, 0.4, 1.7])
        params = jax.tree.map(
            lambda w: jnp.asarray(np.resize(point, np.shape(w)), jnp.bfloat16), point if example.params is None else example.params
        )
        z = example.penalty.prox(params, 0.5)
        wide = jax.tree.map(lambda w: w.astype(jnp.float64), params)
        exact = example.penalty.prox(wide, 0.5)
        assert jnp.finfo(jnp.asarray(example.penalty(params)).dtype).bits >= 32
        for ours, expected in zip(jax.tree.leaves(z), jax.tree.leaves(exact), strict=True):
            assert ours.dtype == jnp.bfloat16
            np.testing.assert_allclose(np.asarray(ours, float), expected, atol=8 * float(jnp.finfo(jnp.bfloat16).eps))


@pytest.mark.thin(6)
@pytest.mark.parametrize("example", first_of_each())
def test_compiled_once_for_all_strengths(example):
    """λ and the other numbers are traced: another value, another support, the same program."""
    params = np.ones(4) if example.params is None else example.params
    traces = 0

    @jax.jit
    def both(p, w):
        nonlocal traces
        traces += 1
        return p(w), p.prox(w)

    with x64_scope():
        for factor in (1.0, 2.5):
            both(
                jax.tree.map(lambda x, c=factor: c * jnp.asarray(x), example.penalty),
                jax.tree.map(lambda w, c=factor: c * jnp.asarray(w), params),
            )
    assert traces == 1


@pytest.mark.parametrize("example", [marked(e, name_of(e.kind)) for e in TABLE])
def test_products_are_in_full_precision(example):
    """Accelerators round the factors of a product to 10 bits unless told not to; a program says what it tells them."""
    params = jax.tree.map(lambda w: jnp.asarray(w, jnp.float32), np.ones(4) if example.params is None else example.params)
    program = jax.jit(lambda p, w: (p(w), p.prox(w))).lower(example.penalty, params).as_text()
    assert all("HIGHEST" in line for line in program.splitlines() if "dot_general" in line)


def test_docs_are_current():
    page = command.markdown()
    assert all(f"(#{key})" in page and f"penalties/{key}.png" in page for key in command.kinds())
    assert len(command.kinds()) >= 65
    assert (DOCS / "penalties.md").read_text(encoding="utf-8") == command.markdown(), "run: jaxreg penalties --docs docs"
    assert {p.stem for p in (DOCS / "penalties").glob("*.png")} == set(command.kinds())


@pytest.mark.thin(5)
@pytest.mark.parametrize("key", [marked(key, key) for key in command.kinds()])
def test_picture_is_current(key):
    """A picture carries what it was made from; of the numbers it has four digits."""
    kept = json.loads(Image.open(DOCS / "penalties" / f"{key}.png").text["Description"])
    now = command.fingerprint(command.kinds()[key])
    numbers, expected = ([float(x) for x in f.pop("numbers")] for f in (kept, now))
    assert kept == now, "run: jaxreg penalties --docs docs"
    np.testing.assert_allclose(numbers, expected, rtol=1e-3, atol=1e-6)


def test_facts_are_written_down():
    for e in command.kinds().values():
        assert all(e.kind.about[:3]), e.kind
        assert e.kind.about.source, e.kind
        assert "References" in e.kind.__doc__, e.kind


@pytest.mark.parametrize("key", [k for k, e in command.kinds().items() if not command.why_not_on_paths(e.kind)])
def test_command_line_builds_it(key):
    penalty = command.build(key, {"k": 2.0} if key == "k-support" else {})
    assert np.isfinite(penalty.at(2.0)(np.ones(10)))


def test_an_unknown_sum_names_both_terms_and_the_alternatives():
    with pytest.raises(UnknownOperation, match=r"L1\(lam=1\.0\) \+ LInf.*envelope"):
        (jaxreg.L1() + jaxreg.LInf()).prox(jnp.ones(3))
