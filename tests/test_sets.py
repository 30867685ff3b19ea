"""Sets of vectors at sizes that verify's searches do not reach, and at the ends of float32."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear, minimize_scalar, nnls

import jaxreg
from jaxreg import (
    L2,
    AffineSet,
    Binary,
    Box,
    BoxSection,
    ExponentialCone,
    HalfSpace,
    Hyperplane,
    Hyperslab,
    L1Ball,
    L2Ball,
    LInfBall,
    MaxNorm,
    MinMaxNorm,
    RotatedSecondOrderCone,
    SecondOrderCone,
    Simplex,
    SparseBall,
    Sphere,
    UnitNorm,
    UnknownOperation,
    solve,
)

pytestmark = pytest.mark.thin(4)

N = 50
DRAW = np.random.default_rng(0)
NORMAL = DRAW.normal(size=N)
MATRIX = DRAW.normal(size=(7, N)) * np.geomspace(0.1, 10, 7)[:, None]
OFFSET = DRAW.normal(size=7)


# Compiled: one small program for each structure and shape instead of dozens.
prox = jax.jit(lambda p, v: p.prox(v))
value = jax.jit(lambda p, v: p(v))
distance = jax.jit(lambda p, v, g: p.subdiff_distance(v, g))
conjugate = jax.jit(lambda p, u: p.conjugate(u))
lambda_max = jax.jit(lambda p, g: p.lambda_max(g))


@jax.jit
def forward(p, dp, v, dv):
    """The prox's derivative along changes of the penalty's numbers and of the point."""
    return jax.jvp(lambda q, x: q.prox(x), (p, v), (dp, dv))[1]


@jax.jit
def backward(p, v, pull):
    return jax.vjp(lambda q, x: q.prox(x), p, v)[1](pull)


def numbers(p):
    """The same penalty with arrays for its numbers, so that they may have tangents."""
    return jax.tree.map(jnp.asarray, p)


def root(decreasing, low, high):
    """Bisection to the last bit."""
    for _ in range(2000):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if decreasing(middle) > 0 else (low, middle)
    return (low + high) / 2


def nearest(squares, high):
    """A search, which ends where rounding hides the slope: at about 1e-8 of the point."""
    found: Any = minimize_scalar(squares, bounds=(0, high), method="bounded", options={"xatol": 1e-13})
    return found.x


def simplex(v, radius):
    """KKT: z = max(v − τ, 0), and the sum fixes τ."""
    return np.maximum(v - root(lambda tau: np.maximum(v - tau, 0).sum() - radius, v.min() - radius, v.max()), 0)


def l1_ball(v, radius):
    """KKT: z = sign(v)·max(|v| − μ, 0) with μ >= 0, and μ = 0 where the constraint has slack."""
    mu = root(lambda mu: np.maximum(np.abs(v) - mu, 0).sum() - radius, 0.0, np.abs(v).max())
    return np.sign(v) * np.maximum(np.abs(v) - mu, 0) if np.abs(v).sum() > radius else v


def l2_ball(v, radius):
    """KKT: z = v/(1 + μ)."""
    mu = root(lambda mu: np.sqrt(((v / (1 + mu)) ** 2).sum()) - radius, 0.0, 1e6)
    return v / (1 + mu) if np.sqrt((v**2).sum()) > radius else v


def half_space(v, normal, offset):
    """KKT: z = v − μ·normal with μ >= 0."""
    mu = root(lambda mu: normal @ (v - mu * normal) - offset, 0.0, 1e6)
    return v - mu * normal if normal @ v > offset else v


def affine(v, matrix, offset):
    """KKT: z + matrixᵀy = v and matrix·z = offset, as one linear system."""
    m, n = matrix.shape
    kkt = np.block([[np.eye(n), matrix.T], [matrix, np.zeros((m, m))]])
    return np.linalg.solve(kkt, np.concatenate([v, offset]))[:n]


def cone(v):
    """The nearest of the points (t, t·x/‖x‖), t >= 0, of the side, by a search in t; itself inside."""
    size = np.linalg.norm(v[1:])
    t = nearest(lambda t: (t - v[0]) ** 2 + (t - size) ** 2, 1e3)
    return v if size <= v[0] else np.concatenate([[t], t * v[1:] / size])


def sparse(v, k):
    z = v.copy()
    z[sorted(range(len(v)), key=lambda i: (-abs(v[i]), i))[k:]] = 0
    return z


def slab(v):
    """KKT: of two half-spaces that exclude no point both, the one that does."""
    return half_space(half_space(v, NORMAL, -0.4), -NORMAL, 1.3)


def section(v):
    """KKT: z = clip(v − μ·normal), and the equation."""
    inside = lambda mu: np.clip(v - mu * NORMAL, -0.9, 1.2)  # noqa: E731
    return inside(root(lambda mu: NORMAL @ inside(mu) + 0.4, -1e8, 1e8))


TURN = np.eye(N)
TURN[:2, :2] = np.array([[1, 1], [1, -1]]) / np.sqrt(2)

# Each with an independent projection and the accuracy of that: bisection is right to rounding, a search in t to 1e-8.
SETS = {
    "simplex": (Simplex(1.3), lambda v: simplex(v, 1.3), 1e-13),
    "l1": (L1Ball(2.5), lambda v: l1_ball(v, 2.5), 1e-13),
    "l2": (L2Ball(1.3), lambda v: l2_ball(v, 1.3), 1e-13),
    "linf": (LInfBall(0.7), lambda v: lsq_linear(np.eye(N), v, (-0.7, 0.7), tol=1e-15).x, 1e-7),
    "sphere": (Sphere(1.3), lambda v: 1.3 * v / np.sqrt((v**2).sum()), 1e-13),
    "hyperplane": (Hyperplane(NORMAL, -0.4), lambda v: affine(v, NORMAL[None], [-0.4]), 1e-13),
    "half-space": (HalfSpace(NORMAL, -0.4), lambda v: half_space(v, NORMAL, -0.4), 1e-13),
    "affine": (AffineSet(MATRIX, OFFSET), lambda v: affine(v, MATRIX, OFFSET), 1e-12),
    "sparse": (SparseBall(5), lambda v: sparse(v, 5), 0),
    "cone": (SecondOrderCone(), cone, 1e-7),
    "hyperslab": (Hyperslab(NORMAL, -1.3, -0.4), slab, 1e-13),
    "section": (BoxSection(NORMAL, -0.4, -0.9, 1.2), section, 1e-13),
    "rotated-cone": (RotatedSecondOrderCone(), lambda v: TURN @ cone(TURN @ v), 1e-7),
}
# Whose projection is made of another's.
RELATED = {"hyperslab", "rotated-cone"}
ALL = pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in RELATED else name for name in SETS])
CONVEX = [name for name in SETS if SETS[name][0].convex and name not in RELATED]


def points(count=12, seed=1):
    """Normal draws of sizes from a hundredth, inside the balls, to a hundred; every third with its first number raised, for the cone."""
    draw = np.random.default_rng(seed)
    v = draw.normal(size=(count, N)) * np.geomspace(1e-2, 1e2, count)[:, None]
    v[::3, 0] += 12 * np.geomspace(1e-2, 1e2, count)[::3]
    return v


@pytest.mark.thin(3)
@ALL
def test_projection_against_kkt(x64, name):
    penalty, reference, accuracy = SETS[name]
    for v in points():
        z = prox(penalty, v)
        np.testing.assert_allclose(z, reference(v), rtol=0, atol=accuracy * np.abs(v).max())
        assert float(value(penalty, z)) == 0
        np.testing.assert_allclose(prox(penalty, z), z, rtol=0, atol=1e-14 * np.abs(z).max())
    np.testing.assert_array_equal(penalty.at(7.0).prox(v, 0.3), penalty.prox(v))  # neither λ nor the step has a say


@pytest.mark.thin(3)
@ALL
def test_stationary_exactly_at_projections(x64, name):
    """v − z is normal to the set at z = P(v); outside, nothing is."""
    penalty = SETS[name][0]
    for v in points():
        z = prox(penalty, v)
        assert float(distance(penalty, z, z - v)) <= 1e-13 * np.abs(v).max()
    assert np.isposinf(distance(penalty, 1e6 * NORMAL, np.zeros(N)))


@pytest.mark.thin(3)
@pytest.mark.parametrize("name", CONVEX)
def test_support_function_at_normals(x64, name):
    """For u normal to a convex set at z the supremum of ⟨u, ·⟩ is attained there: conjugate(u) = ⟨u, z⟩.

    u is a difference and rounds in units of v; where it is far smaller it is no longer on a line or cone of normals, and the supremum is
    +inf.
    """
    penalty, count = SETS[name][0], 0
    for v in points():
        z = prox(penalty, v)
        u = v - z
        if np.linalg.norm(u) > 1e-2 * np.linalg.norm(v):
            np.testing.assert_allclose(conjugate(penalty, u), u @ z, rtol=0, atol=1e-12 * np.abs(v).max() ** 2)
            count += 1
    assert count >= 3


def test_normal_cone_of_the_simplex(x64):
    """{t·1 − Σ c_i e_i : c >= 0 where w_i = 0}: the distance by nonnegative least squares on its generators."""
    for v, g in zip(points(), points(seed=2), strict=True):
        w = np.asarray(prox(Simplex(1.3), v))
        generators = np.concatenate([np.ones((1, N)), -np.ones((1, N)), -np.eye(N)[w == 0]])
        found = distance(Simplex(1.3), w, g)
        np.testing.assert_allclose(found, nnls(generators.T, -g)[1], rtol=1e-12)


def test_normal_cone_of_the_l1_ball(x64):
    """On the boundary the multiples t >= 0 of the subdifferential of ‖·‖₁: the nearest by a search in t, flat at its minimum (1e-8)."""
    for v, g in zip(points()[6:], points(seed=2), strict=False):
        w = np.asarray(prox(L1Ball(2.5), v))

        def apart(t, w=w, g=g):
            return np.where(w == 0, np.maximum(np.abs(g) - t, 0), g + t * np.sign(w))

        t = nearest(lambda t: (apart(t) ** 2).sum(), 1e3)
        found = distance(L1Ball(2.5), w, g)
        np.testing.assert_allclose(found, np.sqrt((apart(t) ** 2).sum()), rtol=1e-8)


@pytest.mark.thin(4)
@ALL
def test_derivatives(x64, name):
    """With respect to the point and the set's own numbers, against central differences: 1e-6² of truncation, 1e-16/1e-6 of rounding,
    and three digits for curvature and size. The draws are far from ties."""
    penalty = numbers(SETS[name][0])
    tangents = jax.tree.map(lambda x: jnp.asarray(0.1 * np.cos(np.arange(x.size)).reshape(x.shape)), penalty)
    h = 1e-6
    ahead, behind = (jax.tree.map(lambda x, d, sign=sign: x + sign * h * d, penalty, tangents) for sign in (1, -1))
    for v, along in zip(points(6), points(6, seed=2) / np.geomspace(1e-2, 1, 6)[:, None], strict=True):
        slope = forward(penalty, tangents, v, along)
        differences = (prox(ahead, v + h * along) - prox(behind, v - h * along)) / (2 * h)
        np.testing.assert_allclose(slope, differences, rtol=0, atol=1e-7 * np.abs(along).max())
        by_p, by_v = backward(penalty, v, NORMAL)
        pulled = by_v @ along + sum(jnp.sum(a * b) for a, b in zip(jax.tree.leaves(by_p), jax.tree.leaves(tangents), strict=True))
        np.testing.assert_allclose(pulled, NORMAL @ slope, rtol=1e-10, atol=1e-10 * np.abs(along).max())


@pytest.mark.thin(8)
@pytest.mark.parametrize("size", [1e30, 1e-30])
@ALL
def test_the_ends_of_float32(name, size):
    """A point and a set 1e30 times larger, or smaller, give the projection so much larger, though no square of it is a number."""
    plain = numbers(SETS[name][0])
    # normals and matrices are directions, which have no size
    penalty = jax.tree_util.tree_map_with_path(lambda p, x: x if p[-1].name in ("normal", "matrix") else x * size, plain)
    v, along, still = points()[7].astype(np.float32), NORMAL.astype(np.float32), jax.tree.map(jnp.zeros_like, plain)
    far = v * np.float32(size)
    z, expected = prox(penalty, far), prox(plain, v)
    np.testing.assert_allclose(z / np.float32(size), expected, rtol=0, atol=64 * 1.2e-7 * np.abs(v).max())
    assert float(value(penalty, z)) == 0
    np.testing.assert_allclose(
        forward(penalty, still, far, along), forward(plain, still, v, along), rtol=0, atol=256 * 1.2e-7 * np.abs(NORMAL).max()
    )


@pytest.mark.parametrize("name", ["simplex", "l1", "l2", "sphere", "hyperplane", "half-space", "affine"])
def test_far_points_come_home(name):
    """Seen from 1e20 a set of size 1 is a point, and yet the projection is in it: a formula that subtracts would round in units of 1e13."""
    z = prox(SETS[name][0], points()[7].astype(np.float32) * np.float32(1e20))
    assert float(value(SETS[name][0], z)) == 0
    assert np.all(np.isfinite(z))


@ALL
def test_nan_is_never_inside(name):
    penalty = SETS[name][0]
    v = points()[7].astype(np.float32)
    v[3] = np.nan
    z = prox(penalty, v)
    assert np.isnan(z).any()
    assert not np.isfinite([value(penalty, v), value(penalty, z)]).any()


@pytest.mark.thin(3)
@ALL
def test_transformations(name):
    """Batched over the set's numbers, and in half precision, whose result is float32's, rounded."""
    penalty, v = numbers(SETS[name][0]), jnp.asarray(points()[7], jnp.float32)
    if jax.tree.leaves(penalty):
        pair = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), penalty)
        both = jax.vmap(prox, in_axes=(0, None))(pair, v)
        np.testing.assert_allclose(both[1], prox(jax.tree.map(lambda x: x[1], pair), v), atol=1e-6 * np.abs(v).max())
    half = prox(penalty, v.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half, prox(penalty, v.astype(jnp.bfloat16).astype(jnp.float32)).astype(jnp.bfloat16))


def test_several_leaves_are_one_vector(x64):
    v = points()[7]
    for name in ("simplex", "half-space"):
        penalty = SETS[name][0]
        z = prox(penalty, {"a": v[:20].reshape(4, 5), "b": 3, "c": v[20:]})
        assert z["b"] == 3
        np.testing.assert_allclose(np.concatenate([z["a"].ravel(), z["c"]]), prox(penalty, v), rtol=1e-14, atol=1e-14)


@pytest.mark.thin(2)
@pytest.mark.parametrize(
    ("penalty", "reference"),
    [
        (MaxNorm(0.7, (0, 1, 2)), lambda s: l2_ball(s, 0.7)),
        pytest.param(
            MinMaxNorm(2.0, 3.0, (0, 1, 2)),
            lambda s: s * np.clip(np.linalg.norm(s), 2.0, 3.0) / np.linalg.norm(s),
            marks=pytest.mark.slow,
        ),
        (UnitNorm((0, 1, 2)), lambda s: s / np.linalg.norm(s)),
        (Simplex(0.7, -2), lambda s: simplex(s, 0.7)),
        (SparseBall(2, 2), lambda s: sparse(s, 2)),
    ],
)
def test_slices(x64, penalty, reference):
    """A kernel (height, width, inputs, outputs), slice by slice."""
    axes = penalty.axis if isinstance(penalty.axis, tuple) else (penalty.axis,)
    kernel = np.random.default_rng(4).normal(size=(3, 3, 5, 6))
    kernel[:, :, :, 0] *= 1e-3  # inside the ball
    last = np.moveaxis(kernel, axes, range(-len(axes), 0))
    slices = last.reshape(-1, np.prod(last.shape[4 - len(axes) :]))
    expected = np.moveaxis(np.stack([reference(s) for s in slices]).reshape(last.shape), range(-len(axes), 0), axes)
    z = prox(penalty, kernel)
    np.testing.assert_allclose(z, expected, atol=1e-13)
    assert float(value(penalty, z)) == 0
    assert np.isposinf(value(penalty, kernel))


def test_ties_and_exact_values():
    for penalty, point, expected in (
        (Simplex(), [7.0] * 4, [0.25] * 4),
        (Simplex(), [1e30] * 4, [0.25] * 4),
        (Simplex(0.0), [1.0, 1.0], [0, 0]),
        (L1Ball(1.0), [2.0, -2.0, 0.0], [0.5, -0.5, 0]),
        (L1Ball(0.0), [1.0, 1.0], [0, 0]),
        (L2Ball(0.0), [1.0, 1.0], [0, 0]),
        (SparseBall(2), [1.0, -1.0, 1.0], [1, -1, 0]),
        # Points of the set are left as they are, to the last bit.
        *[(ball, [0.25, -0.375], [0.25, -0.375]) for ball in (L1Ball(1.0), L2Ball(1.0), HalfSpace([1.0, 1.0]), SparseBall(5))],
    ):
        assert prox(penalty, jnp.array(point)).tolist() == expected, penalty
    assert SparseBall(5).free(jnp.ones(2)).tolist() == [True, True]
    assert HalfSpace([0.0, 1.0]).free(jnp.ones(2)).tolist() == [True, False]


def test_the_center_of_a_sphere():
    """All points are nearest: the one with equal entries, with derivative 0 with respect to the point and 1/√n to the radius."""
    sphere, zero = numbers(Sphere(2.0)), jnp.zeros(4)
    assert prox(sphere, zero).tolist() == [1, 1, 1, 1]
    assert forward(sphere, jax.tree.map(jnp.ones_like, sphere), zero, jnp.arange(4.0)).tolist() == [0.5] * 4
    assert prox(UnitNorm(), jnp.zeros((4, 2))).tolist() == [[0.5, 0.5]] * 4


@jax.jit
def everything(p, v):
    z = p.prox(v)
    return z, [p(z), p.subdiff_distance(z, v), p.lambda_max(v), jnp.sum(p.support(z))]


@pytest.mark.thin(2)
@pytest.mark.parametrize("n", [0, 1])
def test_empty_and_single(n):
    v = jnp.full(n, -3.0)
    for penalty, expected in (
        (Simplex(2.0), 2.0), (L1Ball(2.0), -2.0), (L2Ball(2.0), -2.0), (LInfBall(2.0), -2.0), (Sphere(2.0), -2.0), (SparseBall(1), -3.0),
        (SecondOrderCone(), 0.0), (MaxNorm(2.0), -2.0), (UnitNorm(), -1.0),
    ):  # fmt: skip
        z, members = everything(penalty, v)
        assert z.tolist() == [expected] * n
        assert not np.isnan(jnp.stack(members)).any()
    # No numbers have no sum but 0.
    assert np.isposinf(value(Simplex(), jnp.zeros(0)))
    assert float(value(L1Ball(), jnp.zeros(0))) == 0


def test_lambda_max_is_all_or_nothing():
    """Zero solves for every λ if it lies in the set and −gradient is normal to the set there, else for none."""
    up, none = jnp.array([1.0, 1.0]), jnp.zeros(2)
    for penalty, gradient, expected in (
        (Simplex(), up, np.inf), (Simplex(0.0), up, 0), (L1Ball(), up, np.inf), (L1Ball(0.0), up, 0), (L2Ball(), none, 0),
        (L2Ball(0.0), up, 0), (Sphere(), none, np.inf), (Hyperplane([3.0, 3.0]), up, 0), (Hyperplane([1.0, 2.0]), up, np.inf),
        (Hyperplane([1.0, 1.0], 1.0), up, np.inf), (HalfSpace([1.0, 1.0]), -up, 0), (HalfSpace([1.0, 1.0]), up, np.inf),
        (HalfSpace([1.0, 1.0], 1.0), -up, np.inf), (AffineSet(np.eye(2)), up, 0), (SparseBall(1), up, np.inf),
        (SecondOrderCone(), jnp.array([2.0, -1.0]), 0), (SecondOrderCone(), jnp.array([1.0, -2.0]), np.inf),
        (MaxNorm(), up[:, None], np.inf),
    ):  # fmt: skip
        assert float(lambda_max(penalty, gradient)) == expected, penalty


def test_moreau_for_cones(x64):
    """v is the sum of its projections on a cone and on its polar, orthogonal to each other (Moreau 1962)."""
    for v in points():
        z, polar = prox(SecondOrderCone(), v), -prox(SecondOrderCone(), -v)
        np.testing.assert_allclose(z + polar, v, rtol=0, atol=1e-14 * np.abs(v).max())
        assert abs(z @ polar) <= 1e-13 * (v @ v)
        assert float(conjugate(SecondOrderCone(), polar)) == 0
        assert np.isposinf(conjugate(SecondOrderCone(), polar + 1e-6 * np.abs(v).max() * np.eye(N)[0]))


def test_sums_complete_the_square(x64):
    """½‖z − v‖² + step·0.3·‖z‖² over the simplex: the projection of v/(1 + 0.6·step)."""
    v = points()[7]
    for step in (0.5, 3.0):
        z = jax.jit((L2(0.3) + Simplex(1.3)).prox)(v, step)
        np.testing.assert_allclose(z, simplex(v / (1 + 0.6 * step), 1.3), atol=1e-13 * np.abs(v).max())
    both = (Simplex().on("a") + L2Ball(0.1).on("b")).prox({"a": jnp.ones(2), "b": jnp.ones(2)})
    assert both["a"].tolist() == [0.5, 0.5]
    np.testing.assert_allclose(both["b"], 0.1 / np.sqrt(2), rtol=1e-14)
    with pytest.raises(UnknownOperation, match="Simplex"):
        (Simplex() + L1Ball()).prox(jnp.ones(3))


def test_least_squares_on_the_simplex(x64):
    """Portfolio weights by ``solve``, against nonnegative least squares with the sum as an equation of weight 1e6: right to 1e-9 or so."""
    draw = np.random.default_rng(3)
    X, y = draw.normal(size=(40, 8)), draw.normal(size=40)
    found = solve(lambda w: jnp.sum((X @ w - y) ** 2), Simplex(), jnp.zeros(8), tol=1e-12)
    expected = nnls(np.vstack([X, 1e6 * np.ones(8)]), np.append(y, 1e6))[0]
    np.testing.assert_allclose(found.params, expected, atol=1e-8)
    assert found.converged


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Simplex(-1.0), ValueError, "radius must be finite and >= 0, got -1"),
        (lambda: L2Ball(np.inf), ValueError, "radius must be finite"),
        (lambda: L1Ball(axis="rows"), TypeError, "axis must be None"),
        (lambda: MaxNorm().prox(jnp.ones(())), ValueError, "axis 0 does not exist"),
        (lambda: MaxNorm(axis=(0, -2)).prox(jnp.ones((2, 2))), ValueError, "names an axis twice"),
        (lambda: Box({"a": 2.0, "b": 0.0}, 1.0), ValueError, "lower must not exceed upper"),
        (lambda: Box(0.0, {"a": {"x": 1.0, "y": -1.0}}), ValueError, "lower must not exceed upper"),
        (lambda: Box({"a": 0.0}, {"b": 1.0}), ValueError, "Box: upper: it must have the structure"),
        (lambda: (Box(0.0, 1.0) + Box(2.0, 3.0)).prox(jnp.ones(2)), ValueError, "no number in common"),
        (lambda: ExponentialCone()(jnp.ones(6)), ValueError, "must have 3 numbers, got 6"),
        (lambda: ExponentialCone().support(jnp.zeros(0)), ValueError, "must have 3 numbers, got 0"),
        (lambda: Box(-1.0, 1.0).dual().distance(), UnknownOperation, "no convex set"),  # it is Σ|w|
        (lambda: SparseBall(0), ValueError, "k must be >= 1"),
        (lambda: SparseBall(2.0), TypeError, "k must be an integer"),
        (Hyperplane, ValueError, "normal is missing"),
        (lambda: Hyperplane([0.0, 0.0]), ValueError, "normal must not be zero"),
        (lambda: HalfSpace([np.nan, 0.0]), ValueError, "normal must be finite"),
        (lambda: HalfSpace(1.0), ValueError, "shape"),
        (lambda: HalfSpace([1.0, 1.0], [0.0, 1.0]).prox(jnp.ones(2)), UnknownOperation, "offset must be one number"),
        (lambda: HalfSpace([1.0, 1.0]).prox(jnp.ones(3)), ValueError, "one entry for each of the 3"),
        (lambda: AffineSet([1.0, 2.0]), ValueError, "matrix must have shape"),
        (lambda: AffineSet(np.eye(2), [1.0, 2.0, 3.0]), ValueError, "offset must have shape"),
        (lambda: AffineSet([[1.0, 1.0], [2.0, 2.0]], [1.0, 2.0]), ValueError, "rank 1; drop the rows"),
        (lambda: AffineSet([[1.0, 1.0], [2.0, 2.0]], [1.0, 3.0]), ValueError, "rank 1; no parameters meet all"),
        (lambda: AffineSet([[0.0, 0.0]], [1.0]), ValueError, "no parameters meet all"),
        (lambda: AffineSet(np.ones((1, 2))).prox(jnp.ones(3)), ValueError, "column for each of the 3"),
        (lambda: Simplex().prox(jnp.ones(2), jnp.ones(2)), UnknownOperation, "one step"),
        (lambda: Simplex(jnp.ones(2)).prox(jnp.ones(2)), UnknownOperation, "radius must be one number"),
        (lambda: Sphere().conjugate(jnp.ones(2)), UnknownOperation, "conjugate of Sphere"),
        (lambda: Hyperslab([1.0, 1.0], 1.0, 0.0), ValueError, "Hyperslab: lower must not exceed upper"),
        (lambda: Hyperslab([1.0, 1.0], -np.inf, 0.0), ValueError, "Hyperslab: lower must be finite"),
        (lambda: BoxSection([1.0, 1.0], 0.0, 1.0, 0.0), ValueError, "BoxSection: lower must not exceed upper"),
        (lambda: BoxSection([1.0, 1.0], 0.0, 0.0, np.inf), ValueError, "BoxSection: upper must be finite"),
        (lambda: BoxSection([1.0, 1.0], 3.0), ValueError, "offset is 3, but .* lies between -2 and 2"),
        (lambda: BoxSection([1.0, 1.0], 0.0, [0.0, 0.0, 0.0]), ValueError, "lower must be one number, or one for each of the 2"),
        (lambda: MinMaxNorm(2.0, 1.0), ValueError, "MinMaxNorm: lower must not exceed upper"),
        (lambda: MinMaxNorm(-1.0, 1.0), ValueError, "MinMaxNorm: lower must be finite and >= 0"),
        (lambda: Binary(1.0, 0.0), ValueError, "Binary: lower must not exceed upper"),
        (lambda: RotatedSecondOrderCone().prox(jnp.ones(1)), ValueError, "2 numbers at least"),
        (lambda: ExponentialCone().prox(jnp.ones(4)), ValueError, "must have 3 numbers, got 4"),
    ],
)
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_formulas():
    assert MaxNorm(2.0).formula("λ") == "[‖w_slice‖₂ ≤ 2]"
    assert HalfSpace([1.0, 2.0], 0.5).formula() == "[⟨normal, w⟩ ≤ 0.5]"
    assert Simplex().around(0.0).formula() == "[(w − w₀) ≥ 0, Σ(w − w₀) = 1]"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_ball_keeps_the_first_of_equals(dtype, x64):
    """Against a stable sort; alone and in batches, with ties, zeros, infinities and NaN (which counts as largest, as in top_k)."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 200)).astype(dtype)
    rows[1:3] = np.round(rows[1:3])
    rows[3] = 0
    rows[4] = -1
    rows[5, ::7], rows[5, 3] = -np.inf, np.nan
    for k in (1, 3, 50, 199, 200, 300):
        order = np.argsort(-np.nan_to_num(np.abs(rows.astype(float)), nan=np.inf, posinf=1e308), axis=1, kind="stable")
        kept = np.zeros(rows.shape, bool)
        np.put_along_axis(kept, order[:, :k], True, axis=1)
        np.testing.assert_array_equal(SparseBall(k, axis=1).prox(rows), np.where(kept, rows, 0))
        for row, chosen in zip(rows, kept, strict=True):
            z, pull = jax.vjp(SparseBall(k).prox, jnp.asarray(row))
            np.testing.assert_array_equal(z, np.where(chosen, row, 0))
            np.testing.assert_array_equal(pull(jnp.ones_like(z))[0], chosen)


def test_infinity_is_in_no_set():
    """Where the inequality overflows its rounding does too."""
    w = jnp.array([1.0, jnp.inf, -2.0])
    for p in (
        jaxreg.Simplex(1.0),
        jaxreg.Hyperplane(jnp.ones(3), 0.0),
        jaxreg.HalfSpace(jnp.ones(3), 0.0),
        jaxreg.AffineSet(jnp.ones((1, 3)), jnp.zeros(1)),
    ):
        assert float(p(w)) == float(p(-w)) == np.inf
    assert float(jaxreg.Simplex(1.0)(jnp.array([1e38, 3e38, -2.0], jnp.float32))) == np.inf


def test_a_section_that_misses_its_box_is_nan_where_traced():
    w = jnp.array([0.3, -0.2])
    found = jax.jit(lambda offset: BoxSection([1.0, 1.0], offset, -1.0, 1.0).prox(w))
    assert np.isnan(found(2.5)).all()
    np.testing.assert_allclose(found(2.0), [1.0, 1.0])


def test_rotated_cone_at_the_end_of_the_numbers():
    """w₁ + w₂ overflows, the answer does not: it is that of the same vector in other units."""
    w = np.array([3e38, 1e38, -3.3e38, 1e38], np.float32)
    found = RotatedSecondOrderCone().prox(jnp.asarray(w))
    small = RotatedSecondOrderCone().prox(jnp.asarray(w / np.float32(2**100)))
    np.testing.assert_allclose(found, np.asarray(small) * np.float32(2**100), rtol=1e-6)
    assert not np.array_equal(found, w)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential_cone_at_all_scales(x64, dtype):
    """KKT of a projection onto a cone: z in it, v − z in its polar and at right angles to z; over twelve orders of magnitude."""
    rng = np.random.default_rng(0)
    v = (rng.normal(size=(5000, 3)) * 10 ** rng.uniform(-6, 6, (5000, 3))).astype(dtype)
    size, eps = np.abs(v).max(axis=1), np.finfo(dtype).eps
    projected = jax.vmap(lambda v: prox(ExponentialCone(), v))(v)
    assert not np.any(jax.vmap(ExponentialCone())(projected))
    z = np.asarray(projected, np.longdouble)
    left = v - z
    assert np.all(np.abs((left * z).sum(axis=1)) <= 8 * eps * size**2)
    rho = np.linspace(-40, 40, 801)
    rays = np.concatenate([np.stack([rho, np.ones_like(rho), np.exp(rho)], 1), [[-1, 0, 0], [0, 0, 1]]])
    assert np.max(left / size[:, None] @ (rays / np.linalg.norm(rays, axis=1, keepdims=True)).T) <= 64 * eps
    slopes = np.asarray(jax.vmap(jax.jacrev(ExponentialCone().prox))(v[:500]), float)
    assert np.all(np.isfinite(slopes))
    spectra = np.linalg.eigvalsh((slopes + slopes.swapaxes(1, 2)) / 2)  # a projection moves no further than its point, and forward
    assert spectra.min() >= -1e-4
    assert spectra.max() <= 1 + 1e-4


@pytest.mark.slow
def test_nuclear_ball_of_larger_matrices(x64):
    """Singular values onto the ℓ1 ball, and stationary there: v − z is normal."""
    rng = np.random.default_rng(0)
    ball = jaxreg.NuclearBall(2.5)
    for shape in ((6, 9), (9, 6)):
        w = rng.normal(size=shape)
        u, s, vt = np.linalg.svd(w, full_matrices=False)
        z = prox(ball, w)
        np.testing.assert_allclose(z, u @ np.diag(l1_ball(s, 2.5)) @ vt, atol=1e-13)
        assert float(distance(ball, z, z - w)) <= 1e-12
        np.testing.assert_allclose(conjugate(ball, w - z), np.sum((w - z) * z), rtol=1e-12)
        np.testing.assert_array_equal(prox(ball, 0.01 * w), 0.01 * w)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 7, 50, 80])
def test_sum_of_the_largest(x64, k):
    """KKT: u = (v − z)/0.4 lies in 0 <= u <= 1, Σu = k, and maximises ⟨u, z⟩ there."""
    p = jaxreg.SumLargest(0.4, k=k)
    for v in points():
        z = np.asarray(prox(p, v))
        u, top = (v - z) / 0.4, np.sort(z)[::-1][: min(k, N)]
        np.testing.assert_allclose(u.sum(), min(k, N), rtol=1e-12)
        assert u.min() >= -1e-12
        assert u.max() <= 1 + 1e-12
        np.testing.assert_allclose(u @ z, top.sum(), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(value(p, z), 0.4 * top.sum(), rtol=1e-13)
        assert float(conjugate(p, 0.4 * u)) == 0
        assert np.isposinf(conjugate(p, 0.4 * u + 1e-3))


def test_projections_of_infinite_numbers(x64):
    """The limit as the number grows: it takes all of the sum."""
    np.testing.assert_array_equal(jaxreg.Simplex().prox(jnp.asarray([jnp.inf, 2.0])), [1, 0])
    np.testing.assert_array_equal(jaxreg.Simplex(3.0).prox(jnp.asarray([jnp.inf, 2.0, jnp.inf])), [1.5, 0, 1.5])
    np.testing.assert_array_equal(jaxreg.L1Ball(2.0).prox(jnp.asarray([-jnp.inf, 5.0])), [-2, 0])
    slopes = jax.jacobian(jaxreg.Simplex().prox)(jnp.asarray([1.0, 1.0, 0.1]))  # level at the top
    np.testing.assert_allclose(slopes, [[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 0]], atol=1e-15)


def test_sum_of_the_largest_at_its_ends(x64):
    p = jaxreg.SumLargest(1.0, k=2)
    np.testing.assert_array_equal(p.prox(jnp.arange(3.0), jnp.inf), [-jnp.inf] * 3)  # unbounded below
    assert float(p.lambda_max(jnp.zeros(0))) == 0
    assert np.isposinf(p.lambda_max(-jnp.ones(3)))


@pytest.mark.parametrize(
    "p",
    [
        jaxreg.L2Ball(0.0),
        jaxreg.L1Ball(0.0),
        jaxreg.MaxNorm(0.0),
        jaxreg.MinMaxNorm(0.0, 0.0),
        jaxreg.Simplex(0.0),
        jaxreg.LInfBall(0.0),
        jaxreg.Box(0.0, 0.0),
    ],
    ids=lambda p: type(p).__name__,
)
def test_on_a_single_point_nothing_depends_on_w(x64, p):
    for w in (jnp.zeros(2), jnp.asarray([0.5, 0.5]), jnp.asarray([-2.0, 1.0])):
        np.testing.assert_array_equal(jax.jacobian(p.prox)(w), np.zeros((2, 2)))


@pytest.mark.slow
def test_derivatives_where_a_set_has_no_inside(x64):
    np.testing.assert_array_equal(jax.jacobian(jaxreg.NuclearBall(0.0).prox)(jnp.zeros((1, 2))), np.zeros((1, 2, 1, 2)))
    plane, slab = jaxreg.Hyperplane(jnp.ones(2), 1.0), jaxreg.Hyperslab(jnp.ones(2), 1.0, 1.0)
    for w in (jnp.asarray([0.5, 0.5]), jnp.asarray([3.0, -1.0]), jnp.asarray([-3.0, -1.0])):
        np.testing.assert_allclose(jax.jacobian(slab.prox)(w), jax.jacobian(plane.prox)(w), atol=1e-15)
    pinned = jaxreg.Box(jnp.asarray([0.0, -1.0]), jnp.asarray([0.0, 1.0]))
    np.testing.assert_array_equal(jax.jacobian(pinned.prox)(jnp.zeros(2)), [[0, 0], [0, 1]])


def test_at_a_bound_the_derivative_is_that_of_outside(x64):
    np.testing.assert_array_equal(jax.jacobian(jaxreg.NonNegative().prox)(jnp.asarray([0.0, 1.0, -1.0])), np.diag([0, 1, 0]))
    np.testing.assert_array_equal(jax.jacobian(jaxreg.Box(-1.0, 1.0).prox)(jnp.asarray([1.0, 0.5, -1.0])), np.diag([0, 1, 0]))
