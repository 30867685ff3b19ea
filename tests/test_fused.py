"""Total variation along a line: a taut string in plain NumPy, certificates at size, derivatives, ties and extremes."""

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg import L1, L2, Box, FusedLasso, NonNegative, Zero, solve
from jaxreg._penalties import Sum
from jaxreg._penalties._levels import _in_parallel, _in_sequence, level

pytestmark = pytest.mark.thin(3)


def taut_string(v, lam):
    """The shortest string through the tube of radius lam around the running sums: its slopes are the answer.

    From the definition: from each fixed point go to the farthest knot that every window in between can see.
    """
    sums = np.append(0, np.cumsum(v))
    low, high = sums - lam, sums + lam
    low[[0, -1]] = high[[0, -1]] = sums[[0, -1]]
    at, height, slopes = 0, 0.0, np.empty(v.size)
    while at < v.size:
        steepest, flattest, top, bottom = np.inf, -np.inf, at, at
        for j in range(at + 1, v.size + 1):
            up, down = (high[j] - height) / (j - at), (low[j] - height) / (j - at)
            if down > steepest:  # the window has risen out of sight: bend at the lowest ceiling
                end, slope, height = top, steepest, high[top]
                break
            if up < flattest:
                end, slope, height = bottom, flattest, low[bottom]
                break
            if up <= steepest:
                steepest, top = up, j
            if down >= flattest:
                flattest, bottom = down, j
        else:
            end, slope = v.size, (sums[-1] - height) / (v.size - at)
        slopes[at:end], at = slope, end
    return slopes


def draws(kind, n=300):
    noise = np.random.default_rng(0).normal(size=n)
    return {
        "noise": noise,
        "steps": np.repeat(np.random.default_rng(1).normal(size=n // 10) * 3, 10) + 0.3 * noise,
        "walk": np.cumsum(noise),
        "ties": np.round(2 * noise),
        "ramp": np.arange(n) / 7,
        "constant": np.full(n, 1 / 3),
        "one outlier": np.where(np.arange(n) == n // 2, 1e6, 0.0),
    }[kind].copy()


KINDS = ["noise", "steps", "walk", "ties", "ramp", "constant", "one outlier"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lam", [1e-3, 0.5, 3.0, 100.0])
def test_against_a_taut_string(x64, kind, lam):
    """Running sums of n numbers, and slopes between them, round to about n·ε of the largest sum."""
    v = draws(kind)
    ours = FusedLasso(lam).prox(jnp.asarray(v))
    np.testing.assert_allclose(ours, taut_string(v, lam), rtol=0, atol=v.size * 2.2e-16 * np.abs(np.cumsum(v)).max() + 1e-14)


def excess(v, z, lam):
    """How far the running sums of z − v leave the tube, or miss its wall at a jump or 0 at the end, in units of lam."""
    u = np.cumsum(z - v)
    jump = np.diff(z)
    wall = np.where(jump != 0, np.abs(u[:-1] - lam * np.sign(jump)), np.maximum(np.abs(u[:-1]) - lam, 0))
    return max(wall.max(), abs(u[-1])) / lam


@pytest.mark.thin(3)
@pytest.mark.parametrize("lam", [0.1, 10.0, 1000.0])
@pytest.mark.parametrize("kind", ["steps", "walk", "smooth"])
def test_a_long_line_is_solved_exactly(x64, kind, lam):
    """The certificate is the KKT conditions; what it adds up rounds to √n·ε of its sums, here below 1e-9 of lam."""
    n = 100_000
    v = 100 * np.sin(np.arange(n) / 5000) if kind == "smooth" else draws(kind, n)
    z = np.asarray(jax.jit(FusedLasso(lam).prox)(jnp.asarray(v)))
    assert excess(v, z, lam) < 1e-9


@pytest.mark.slow
def test_levels_are_equal_numbers(x64):
    """Ties of integers: neighbours are fused to one number, and with fewer levels for more lam."""
    v = jnp.asarray(draws("ties"))
    counts = [int(jnp.sum(jnp.diff(FusedLasso(lam).prox(v)) != 0)) for lam in (0.5, 1.0, 2.0, 4.0, 100.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert FusedLasso(3.0).prox(jnp.full(7, 0.125)).tolist() == [0.125] * 7


def test_zero_and_infinite_strength(x64):
    v = jnp.asarray(draws("walk"))
    np.testing.assert_array_equal(FusedLasso(0.0).prox(v), v)
    for lam in (1e30, np.finfo(float).max):
        np.testing.assert_allclose(FusedLasso(lam).prox(v, 10.0), np.full(v.size, v.mean()), rtol=1e-13)


def test_short_lines():
    for n in (0, 1):
        w = jnp.ones(n)
        assert FusedLasso(2.0).prox(w).tolist() == [1.0] * n
        assert float(FusedLasso(2.0)(w)) == 0
        assert FusedLasso(2.0).free(w).tolist() == [True] * n
        assert float(FusedLasso(2.0).lambda_max(w)) == 0
        assert float(FusedLasso(2.0).subdiff_distance(w, w)) == n
    assert FusedLasso(0.5).prox(jnp.array([0.0, 3.0])).tolist() == [0.5, 2.5]
    assert FusedLasso(9.0).prox(jnp.array([0.0, 3.0])).tolist() == [1.5, 1.5]


@pytest.mark.slow
def test_axes_and_leaves(x64):
    """Each row, each column, or all of a tree as one line."""
    rng = np.random.default_rng(2)
    w = rng.normal(size=(6, 5))
    rows, columns = FusedLasso(0.4).prox(jnp.asarray(w)), FusedLasso(0.4, axis=0).prox(jnp.asarray(w))
    np.testing.assert_allclose(rows, [taut_string(row, 0.4) for row in w], atol=1e-14)
    np.testing.assert_allclose(columns, np.transpose([taut_string(column, 0.4) for column in w.T]), atol=1e-14)
    tree = {"a": jnp.asarray(w[0]), "b": jnp.asarray(w[1:3])}
    z = FusedLasso(0.4, axis=None).prox(tree)
    np.testing.assert_allclose(np.append(z["a"], z["b"]), taut_string(w[:3].ravel(), 0.4), atol=1e-14)
    with pytest.raises(ValueError, match=r"axis 1 does not exist .* with \.on"):
        FusedLasso(axis=1)(jnp.ones(3))


def test_fences_separate(x64):
    v, fence = draws("walk"), np.isin(np.arange(300), [0, 50, 51, 180])
    parts = [taut_string(part, 0.7) for part in np.split(v, [50, 51, 180])]
    np.testing.assert_allclose(level(jnp.asarray(v), 0.7, jnp.asarray(fence)), np.concatenate(parts), atol=1e-12)


@pytest.mark.slow
def test_both_ways_to_pass_messages_agree(x64):
    """In sequence, as on a CPU, and in parallel, as on a GPU. Sums are ordered otherwise: a few ε of lam and of the largest."""
    excess, starts = jnp.asarray(draws("noise")), jnp.asarray(np.arange(300) % 70 == 0)
    for lam in (0.1, 3.0, 1e3):
        np.testing.assert_allclose(_in_parallel(excess, starts, lam), _in_sequence(excess, starts, lam), atol=1e-13)


@pytest.mark.slow
def test_derivatives(x64):
    """Against central differences, which are exact but for rounding, 1e-16/1e-6, while no block divides."""
    v, t = jnp.asarray(draws("steps", 60)), jnp.asarray(draws("walk", 60))

    def prox(v, lam):
        return FusedLasso(lam).prox(v, 0.5)

    forward = jax.jvp(prox, (v, 1.3), (t, 0.7))[1]
    expected = (prox(v + 1e-6 * t, 1.3 + 7e-7) - prox(v - 1e-6 * t, 1.3 - 7e-7)) / 2e-6
    np.testing.assert_allclose(forward, expected, atol=1e-7)
    to_v, to_lam = jax.vjp(prox, v, 1.3)[1](t)
    np.testing.assert_allclose(to_v @ t + 0.7 * to_lam, forward @ t, rtol=1e-12)
    at_zero = jax.jvp(lambda lam: prox(v, lam), (0.0,), (1.0,))[1]
    np.testing.assert_allclose(at_zero, (prox(v, 1e-6) - v) / 1e-6, atol=1e-8)


@pytest.mark.slow
def test_vmap_over_lam(x64):
    v, lams = jnp.asarray(draws("noise")), jnp.asarray([0.0, 0.1, 1.0, 30.0])
    together = jax.vmap(lambda lam: FusedLasso(lam).prox(v))(lams)
    np.testing.assert_array_equal(together, [FusedLasso(float(lam)).prox(v) for lam in lams])


def test_subdiff_distance_of_a_prox_is_zero(x64):
    """v − prox(v) is a subgradient there, to the rounding of sums of 300; a nudge off it is seen in full where nothing is fused."""
    v = jnp.asarray(draws("steps"))
    z = FusedLasso(0.8).prox(v)
    assert float(FusedLasso(0.8).subdiff_distance(z, z - v)) < 1e-12
    assert float(FusedLasso(0.8).subdiff_distance(z, z - v + 0.1)) == pytest.approx(0.1 * np.sqrt(300))  # constants are free


def test_lambda_max_where_slopes_add_up_to_zero(x64):
    g = jnp.asarray([1.0, 2.0, -4.0, 1.0])
    assert float(FusedLasso(0.5).lambda_max(g)) == 6
    assert float(FusedLasso(1.0).conjugate(g)) == np.inf
    assert float(FusedLasso(3.0).conjugate(g)) == 0
    assert float(FusedLasso(1.0).lambda_max(g + 1e-6)) == np.inf


def test_fused_lasso_of_the_paper(x64):
    """With L1, soft thresholding follows; the sum's own certificate is its subdifferential's distance where no weight is 0."""
    v = jnp.asarray(draws("steps", 40))
    z = (FusedLasso(0.6) + L1(0.2)).prox(v)
    fused = taut_string(np.asarray(v), 0.6)
    np.testing.assert_allclose(z, np.sign(fused) * np.maximum(np.abs(fused) - 0.2, 0), atol=1e-13)


def shortest(w, g, levels, size, lower):
    """The least ``‖g + Dᵀu + s‖`` over the subdifferentials' u and s, by a convex solver; s of ``size·|w|``, or with w >= ``lower``."""
    u, s = cp.Variable(w.size - 1), cp.Variable(w.size)
    jumps = np.sign(np.diff(w))
    known = [u[jumps != 0] == levels * jumps[jumps != 0], cp.abs(u) <= levels, s[w != 0] == size * np.sign(w[w != 0])]
    known.append(s[w == 0] <= size)
    if lower is None:
        known.append(s >= -size)
    problem = cp.Problem(cp.Minimize(cp.norm(g - cp.diff(cp.hstack([0, u, 0])) + s)), known)
    return problem.solve(solver="CLARABEL")


@pytest.mark.thin(6)
@pytest.mark.parametrize("placed", [lambda p: p, lambda p: p.on("w"), lambda p: p + L2(0.5)], ids=["plain", "on", "with L2"])
@pytest.mark.parametrize("lower", [None, 0.0])
def test_subdifferential_of_a_sum_against_a_convex_solver(x64, placed, lower):
    rng = np.random.default_rng(5)
    for _ in range(4):
        w = np.repeat(rng.integers(-1 if lower is None else 0, 2, 3), 3).astype(float)
        g, (a, b) = rng.standard_normal(9), rng.uniform(0.1, 1.5, 2)
        p = placed(FusedLasso(a) + L1(b) + (NonNegative() if lower == 0 else Zero()))
        own = w if isinstance(p, Sum) and any(isinstance(q, L2) for q in p.summands) else 0 * w
        found = p.subdiff_distance({"w": jnp.asarray(w)}, {"w": jnp.asarray(g)})
        np.testing.assert_allclose(found, shortest(w, g + own, a, b, lower), atol=1e-7)  # the solver's own tolerance is 1e-8


@pytest.mark.parametrize("rest", [L1(0.2), L1(0.2) + NonNegative()], ids=repr)
def test_where_the_fused_lasso_is_zero(x64, rest):
    """From lambda_max on, and there its conjugate turns from 0 to +inf: both against where the prox vanishes."""
    p, v = FusedLasso(0.5) + rest, jnp.asarray(np.random.default_rng(6).standard_normal(12))
    largest = float(p.lambda_max(-v))
    assert np.all(p.at(largest * (1 + 1e-12)).prox(v) == 0)
    assert np.any(p.at(largest * (1 - 1e-9)).prox(v) != 0)
    assert float(p.at(largest * (1 + 1e-12)).conjugate(v)) == 0
    assert float(p.at(largest * (1 - 1e-9)).conjugate(v)) == np.inf
    with pytest.raises(jaxreg.UnknownOperation, match="FusedLasso"):
        (p + Box(-1, 1)).conjugate(v)


@pytest.mark.slow
def test_path_of_the_fused_lasso():
    """Levels and zeros; certified, and the objective is that of a convex solver to its tolerance."""
    rng = np.random.default_rng(7)
    X, true = rng.standard_normal((60, 20)), np.repeat([0.0, 1.0, 0.0, -1.0], 5)
    y = X @ true + 0.3 * rng.standard_normal(60)
    fit = jaxreg.path(X, y, FusedLasso() + L1(0.5), lams=[1e5, 20.0, 2.0], intercept=False)
    assert fit.gap_reason is None
    assert np.all(fit.gap < 1e-10)
    assert np.all(fit.coef[0] == 0)
    assert len(np.unique(fit.coef[1])) < 10
    w = cp.Variable(20)
    for lam, value, coef in zip(fit.lams[1:], fit.loss_value[1:], fit.coef[1:], strict=True):
        price = cp.norm1(cp.diff(w)) + 0.5 * cp.norm1(w)
        best = cp.Problem(cp.Minimize(cp.sum_squares(y - X @ w) + lam * price)).solve(solver="CLARABEL")
        ours = value + lam * (np.abs(np.diff(coef)).sum() + 0.5 * np.abs(coef).sum())
        np.testing.assert_allclose(ours, best, rtol=1e-7)


@pytest.mark.slow
def test_solve(x64):
    """A least-squares problem that is a prox in disguise."""
    v = jnp.asarray(draws("steps", 40))
    found = solve(lambda w: jnp.sum((w - v) ** 2) / 2, FusedLasso(0.6), jnp.zeros(40), tol=1e-10)
    np.testing.assert_allclose(found.params, FusedLasso(0.6).prox(v), atol=1e-8)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_single_precision(size):
    """float32 against float64, relative to the largest number: √300·ε and a little."""
    v = draws("walk").astype(np.float32)
    ours = np.asarray(FusedLasso(np.float32(2 * size)).prox(jnp.asarray(v * np.float32(size))))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours / size, taut_string(v.astype(float), 2.0), atol=2e-6 * np.abs(v).max())


def test_an_offset_costs_no_accuracy():
    """A long float32 line far from 0: sums of 1e4 such numbers would round by 1e4·ε·1e3, more than lam."""
    noise = np.random.default_rng(3).integers(-8, 9, size=10_000) / 8  # exact at 1000
    v = (1000 + noise).astype(np.float32)
    ours = np.asarray(FusedLasso(0.5).prox(jnp.asarray(v))).astype(float) - 1000
    np.testing.assert_allclose(ours, taut_string(noise, 0.5), atol=4 * 1.2e-7 * 1000)


def test_half_precision():
    v = jnp.asarray(draws("noise"), jnp.bfloat16)
    z = FusedLasso(0.5).prox(v)
    assert z.dtype == jnp.bfloat16
    np.testing.assert_allclose(z.astype(float), taut_string(np.asarray(v, float), 0.5), rtol=2**-8, atol=1e-5)


def test_nan_is_not_hidden():
    assert np.isnan(FusedLasso(1.0).prox(jnp.array([1.0, np.nan, 2.0, 3.0]))).any()
    assert np.isnan(float(FusedLasso(1.0)(jnp.array([1.0, np.nan]))))
    assert np.isnan(FusedLasso(1.0).grad(jnp.array([1.0, np.nan, 2.0]))).any()


def test_refusals():
    with pytest.raises(ValueError, match="FusedLasso: lam must be finite and >= 0"):
        FusedLasso(-1.0)
    with pytest.raises(TypeError, match="axis must be"):
        FusedLasso(axis="rows")
