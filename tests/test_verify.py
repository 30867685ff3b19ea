"""verify finds what is planted: each test subclasses something right, breaks one thing, and names the row that must fail."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg
from jaxreg import losses, verify
from jaxreg.verify import _search

pytestmark = pytest.mark.thin(3)


def row(report, name):
    (found,) = [r for r in report.rows if r.property == name]
    return found


def failed(report):
    return {r.property for r in report.failures}


def broken(right, **members):
    """A subclass with some members replaced."""
    return type(f"{right.__name__}: {', '.join(members)}", (right,), members)


# --- a wrong penalty -----------------------------------------------------------------------------------------------


class L0(jaxreg.Separable):
    """The number of nonzeros: not convex, so only a global oracle can judge its prox."""

    lam: float = 1.0

    @staticmethod
    def leaf_value(w, lam):
        return jnp.where(jnp.isnan(w), w, lam * (w != 0))

    @staticmethod
    def leaf_grad(w, lam):
        return 0 * w

    @staticmethod
    def leaf_support(w, lam):
        return w != 0

    @staticmethod
    def leaf_prox(w, step, lam):
        # Keeping and dropping cost the same at the threshold; without one zero is kept too, as the identity's derivative wants it.
        return jnp.where(jnp.abs(w) < jnp.sqrt(2 * lam * step), 0, w)


class L0ThresholdedAtLam(L0):
    @staticmethod
    def leaf_prox(w, step, lam):
        return jnp.where(jnp.abs(w) > lam, w, 0)


class ConvexL0(L0):
    convex = True


class HalfGradientL2(jaxreg.L2):
    @staticmethod
    def leaf_grad(w, lam):
        return lam * w


class StepBlindL1(jaxreg.L1):
    @staticmethod
    def leaf_prox(w, step, lam):
        return jnp.sign(w) * jnp.maximum(jnp.abs(w) - lam, 0)


class HalfConjugateL2(jaxreg.L2):
    @staticmethod
    def leaf_conjugate(u, lam):
        return u**2 / (2 * lam)


class BoundlessConjugateL1(jaxreg.L1):
    @staticmethod
    def leaf_conjugate(u, lam):
        return jnp.zeros_like(u)


class NarrowSubdifferentialL1(jaxreg.L1):
    @staticmethod
    def leaf_subdifferential(w, lam):
        return jnp.where(w > 0, lam, -lam / 2), jnp.where(w < 0, -lam, lam / 2)


class WideSubdifferentialL1(jaxreg.L1):
    @staticmethod
    def leaf_subdifferential(w, lam):
        return jnp.where(w > 0, lam, -2 * lam), jnp.where(w < 0, -lam, 2 * lam)


class NaNGradientL1(jaxreg.L1):
    @staticmethod
    def leaf_grad(w, lam):
        return lam * w / jnp.abs(w)


class SmoothL1(jaxreg.L1):
    smooth = True


class NaiveGroup(jaxreg.Penalty):
    """‖w‖₂ with a bare square root, whose derivative at 0 is NaN."""

    lam: float = 1.0
    convex = True

    def __call__(self, params):
        return self.lam * jnp.sqrt(jnp.sum(params**2))

    def support(self, params):
        return jnp.broadcast_to(jnp.any(params != 0), params.shape)


class SeparableGroup(NaiveGroup):
    separable = True


class QuadraticLam(jaxreg.L2):
    """λ does not enter linearly, so c·p is another penalty than scaled(c) says."""

    @staticmethod
    def leaf_value(w, lam):
        return lam**2 * w**2


class WrongLambdaMax(jaxreg.L1):
    def lambda_max(self, grad_at_zero):
        return super().lambda_max(grad_at_zero) / 2


class NoValue(jaxreg.Penalty):
    lam: float = 1.0


def soft(w, threshold):
    return jnp.sign(w) * jnp.maximum(jnp.abs(w) - threshold, 0)


def half_precision(w, step, lam):
    return soft(w.astype(jnp.float16), step * lam).astype(w.dtype) if w.dtype == jnp.float32 else soft(w, step * lam)


PLANTED = [
    (HalfGradientL2(0.7), {"grad vs autodiff", "grad vs central differences"}),
    (L0ThresholdedAtLam(0.8), {"prox vs global oracle"}),
    (ConvexL0(0.8), {"convex"}),
    (StepBlindL1(0.3), {"prox vs global oracle", "stationary at prox", "step scaling"}),
    (HalfConjugateL2(0.7), {"conjugate vs numerical supremum"}),
    (BoundlessConjugateL1(0.3), {"conjugate vs numerical supremum"}),
    (NarrowSubdifferentialL1(0.3), {"subdifferential vs one-sided slopes"}),
    (WideSubdifferentialL1(0.3), {"subdifferential vs one-sided slopes"}),
    (NaNGradientL1(0.3), {"grad at kinks is finite"}),
    (SmoothL1(0.3), {"smooth"}),
    (NaiveGroup(0.5), {"grad at kinks is finite"}),
    (SeparableGroup(0.5), {"separable"}),
    (QuadraticLam(0.7), {"scaling"}),
    (WrongLambdaMax(0.3), {"lambda_max"}),
    (NoValue(), {"value"}),
    (broken(jaxreg.L2, curvature=lambda p, w: p.lam * jnp.ones_like(w))(0.7), {"curvature vs differences", "joint prox"}),
    (broken(jaxreg.ElasticNet, terms=lambda p: jaxreg.ElasticNet.terms(p)[:1])(0.7, 0.4), {"terms add up", "joint prox"}),
    (broken(jaxreg.L1, terms=lambda p: ())(0.3), {"terms add up"}),
    (broken(jaxreg.L1, role="quadratic")(0.3), {"role", "joint prox"}),
    (broken(jaxreg.L1, role="interval")(0.3), {"role"}),
    (broken(jaxreg.L2, role="ridge")(0.3), {"role"}),
    (broken(jaxreg.ElasticNet, role="soft")(0.7, 0.4), {"role"}),
    (broken(jaxreg.Box, role="soft")(-0.5, 0.8), {"role", "joint prox"}),
    (broken(jaxreg.Box, cone=True)(-0.5, 0.8), {"cone"}),
    (broken(jaxreg.L2, covers=lambda p, w: False)(0.7), {"covers"}),
    (broken(jaxreg.L1, leaf_free=staticmethod(lambda w, lam: w == w))(0.3), {"free"}),
    (broken(jaxreg.L1, leaf_free=staticmethod(lambda w, lam: w != w))([0.3, 0.0, 1.2, 0.7]), {"free"}),
    (broken(jaxreg.L1, leaf_support=staticmethod(lambda w, lam: w == w))(0.3), {"support"}),
    (broken(jaxreg.L1, leaf_support=staticmethod(lambda w, lam: w != w))(0.3), {"support"}),
    (broken(jaxreg.L2, leaf_support=staticmethod(lambda w, lam: w != w))(0.7), {"support"}),
    (broken(jaxreg.L1, leaf_prox=staticmethod(lambda w, step, lam: jax.lax.stop_gradient(soft(w, step * lam))))(0.3), {"prox derivatives"}),
    (broken(jaxreg.L1, leaf_prox=staticmethod(lambda w, step, lam: soft(w, jax.lax.stop_gradient(step * lam))))(0.3), {"prox derivatives"}),
    (broken(jaxreg.L1, leaf_prox=staticmethod(half_precision))(0.3), {"prox in float32"}),
    (broken(jaxreg.L1, leaf_prox=staticmethod(lambda w, step, lam: soft(w, jnp.minimum(step * lam, 1))))(0.3), {"prox as λ → ∞"}),
    (broken(jaxreg.L1, leaf_prox=staticmethod(lambda w, step, lam: soft(w, jnp.maximum(step * lam, 1e-9))))(0.3), {"prox as λ → 0"}),
    (broken(L0, leaf_prox=staticmethod(lambda w, step, lam: -w))(0.8), {"prox is monotone"}),
    (broken(jaxreg.MCP, weak_convexity=lambda p: 0.1)(0.6, gamma=1.8), {"weakly convex"}),
    (broken(jaxreg.AsymmetricL1, role="folded")(0.7, 0.3), {"role"}),
    (broken(jaxreg.LInf, role="levels")(0.7), {"role"}),
]


class HardAtTheKneeMCP(jaxreg.MCP):
    """Right up to a step of gamma; beyond it the threshold is √(step·gamma)·lam."""

    @staticmethod
    def shrink(m, step, lam, gamma, scale):
        return jnp.where(step < gamma, jaxreg.MCP.shrink(m, step, lam, gamma, scale), jnp.where(m > gamma * lam, m, 0))


def leaf(right, **members):
    return broken(right, **{f"leaf_{name}": staticmethod(function) for name, function in members.items()})


# What is wrong only far off, at long steps, by a little, in a fact that is denied or at λ = 0.
SUBTLE = [
    (broken(jaxreg.L1, convex=False)(0.3), {"not convex"}),
    (broken(jaxreg.L2, smooth=False)(0.7), {"not smooth"}),
    (broken(jaxreg.L1, separable=False)(0.3), {"not separable"}),
    (broken(jaxreg.L2, finite=False)(0.7), {"not finite"}),
    (broken(jaxreg.SCAD, weak_convexity=lambda p: 5 * jaxreg.SCAD.weak_convexity(p))(0.5, a=2.8), {"weak convexity is sharp"}),
    (broken(jaxreg.MCP, weak_convexity=lambda p: 5 * jaxreg.MCP.weak_convexity(p))(0.6, gamma=1.8), {"weak convexity is sharp"}),
    (
        leaf(jaxreg.L1, conjugate=lambda u, lam: jnp.where(jnp.abs(u) <= 1.0001 * lam, 0.0, jnp.inf))(0.3),
        {"conjugate vs numerical supremum"},
    ),
    (
        leaf(jaxreg.L1, conjugate=lambda u, lam: jnp.where(jnp.abs(u) <= 0.9999 * lam, 0.0, jnp.inf))(0.3),
        {"conjugate vs numerical supremum"},
    ),
    (broken(jaxreg.L1, lambda_max=lambda p, g: 1.0009 * jaxreg.L1.lambda_max(p, g))(0.3), {"lambda_max"}),
    (leaf(jaxreg.L1, prox=lambda w, step, lam: jnp.where(jnp.abs(w) > 200, w, soft(w, step * lam)))(0.3), {"prox vs global oracle"}),
    (leaf(jaxreg.L1, prox=lambda w, step, lam: soft(w, step * lam + (jnp.abs(w) > 100)))(0.3), {"prox vs global oracle"}),
    (leaf(jaxreg.L1, prox=lambda w, step, lam: soft(w, jnp.minimum(step, 4) * lam))(0.3), {"prox vs global oracle"}),
    (HardAtTheKneeMCP(0.6, gamma=10.0), {"prox vs global oracle"}),
    (leaf(jaxreg.L1, grad=lambda w, lam: lam * jnp.sign(w) * jnp.where(jnp.abs(w) > 500, 2, 1))(0.3), {"grad vs autodiff"}),
    (leaf(jaxreg.L1, support=lambda w, lam: w > 0)(0.3), {"support"}),
    (leaf(jaxreg.L1, prox=lambda w, step, lam: jnp.where(jnp.abs(w) > step * lam, soft(w, step * lam), 0))(0.3), {"NaN is not hidden"}),
    (leaf(jaxreg.L1, grad=lambda w, lam: jnp.where(w > 0, lam, jnp.where(w < 0, -lam, 0)))(0.3), {"NaN is not hidden"}),
    (leaf(jaxreg.L1, prox=lambda w, step, lam: jnp.where(lam > 0, soft(w, step * lam), w))(0.3), {"prox derivatives"}),
]


def outside_the_ball(w):
    return np.maximum(np.sqrt((w**2).sum(-1)) - 1.3, 0)


def in_the_ball(t):
    size = np.sqrt((t**2).sum(-1, keepdims=True))
    return 1.3 * t * np.sinc(size / np.pi)


PLANTED_SETS = [
    ({"project": staticmethod(lambda w, radius: w / jnp.maximum(1, jnp.sum(jnp.abs(w)) / radius))}, {"prox vs global oracle"}),
    ({"project": staticmethod(lambda w, radius: w / jnp.maximum(1, jnp.linalg.norm(w) / radius / 1.1))}, {"prox vs global oracle"}),
    ({"project": staticmethod(lambda w, radius: 0.9 * w / jnp.maximum(1, jnp.linalg.norm(w) / radius))}, {"projection is idempotent"}),
    ({"vector_residual": staticmethod(lambda w, g, radius: g)}, {"normal cone vs projection"}),
    ({"violation": staticmethod(lambda w, radius: (jnp.linalg.norm(w) - 2 * radius, radius))}, {"value vs definition"}),
    ({"vector_conjugate": staticmethod(lambda u, radius: jnp.linalg.norm(u))}, {"conjugate vs numerical supremum"}),
]


@pytest.mark.parametrize(("members", "expected"), PLANTED_SETS, ids=lambda x: next(iter(x)))
def test_planted_error_in_a_set_is_caught(members, expected):
    report = verify.penalty(broken(jaxreg.L2Ball, **members)(1.3), None, outside_the_ball, in_the_ball, only=expected)
    assert failed(report) == expected, str(report)


def test_a_value_that_differs_from_its_definition_is_caught():
    """Its gradient, prox and conjugate are all of one mind: a second writing shows the ½, in the value and in what the searches find."""
    report = verify.penalty(jaxreg.L2(0.7), definition=lambda w: 0.35 * (w**2).sum(-1))
    assert failed(report) == {"value vs definition", "prox vs global oracle", "joint prox", "conjugate vs numerical supremum"}


@pytest.mark.thin(3)
@pytest.mark.parametrize(("penalty", "expected"), PLANTED, ids=lambda x: type(x).__name__)
def test_planted_error_is_caught(penalty, expected):
    report = verify.penalty(penalty, only=expected)
    assert failed(report) == expected, str(report)


@pytest.mark.thin(3)
@pytest.mark.parametrize(("penalty", "expected"), SUBTLE, ids=lambda x: type(x).__name__)
def test_subtle_error_is_caught(penalty, expected):
    report = verify.penalty(penalty, only=expected)
    assert failed(report) == expected, str(report)


SPECIAL = [
    (jaxreg.L1(0.0), {"not smooth"}),
    (jaxreg.MCP(0.0), {"not convex", "not smooth", "weak convexity is sharp"}),
    (jaxreg.ElasticNet(0.7, l1_ratio=0.0), {"not smooth"}),
    (jaxreg.CappedL1(0.5, cap=1e9), {"not convex"}),
    (jaxreg.SLOPE(0.6, weights=[1.0, 1.0, 1.0, 1.0]), {"not separable"}),
    (jaxreg.GroupLasso(0.6, groups=[0, 1, 2, 3]), {"not separable"}),
    (jaxreg.KSupport(0.7, k=4), {"not smooth", "not separable"}),
    (jaxreg.SparseBall(4), {"not convex", "not separable", "not finite"}),
    (jaxreg.Box(-jnp.inf, jnp.inf), {"not finite"}),
]


@pytest.mark.thin(3)
@pytest.mark.parametrize(("penalty", "only"), SPECIAL, ids=lambda x: type(x).__name__)
def test_what_some_strengths_grant_a_class_may_deny(penalty, only):
    report = verify.penalty(penalty, only=only)
    assert report.ok, str(report)


def test_what_is_made_of_others_may_deny():
    for penalty in (jaxreg.L2(0.4).dual(), jaxreg.L2(0.4).rotate(np.eye(4)), jaxreg.L2(0.4).on("**")):
        with pytest.raises(ValueError, match="only: no such property"):
            verify.penalty(penalty, only=["not separable", "not finite"])


def test_right_l0_passes_the_oracle_that_catches_the_wrong_one():
    report = verify.penalty(L0(0.8))
    assert report.ok, str(report)
    assert row(report, "prox vs global oracle").status == "pass"
    assert row(report, "subdifferential vs one-sided slopes").status == "not given"


# --- a user's own penalty ------------------------------------------------------------------------------------------


class LogCosh(jaxreg.Separable):
    lam: float = 1.0
    convex, smooth = True, True

    @staticmethod
    def leaf_value(w, lam):
        return lam * (jnp.logaddexp(w, -w) - jnp.log(2.0))


def test_own_penalty_shows_what_is_derived_and_what_is_not_given():
    report = verify.penalty(LogCosh(0.4))
    assert report.ok, str(report)
    assert row(report, "grad vs autodiff").status == "derived"
    assert row(report, "grad vs central differences").status == "pass"
    for name in ("prox vs global oracle", "conjugate vs numerical supremum", "prox is nonexpansive"):
        assert row(report, name).status == "not given"


@pytest.mark.slow
def test_a_sum_or_placement_of_a_derived_gradient_is_derived():
    for penalty in (LogCosh(0.4) + jaxreg.L2(0.1), LogCosh(0.4).around(1.0)):
        assert row(verify.penalty(penalty), "grad vs autodiff").status == "derived"


# --- what is built in ----------------------------------------------------------------------------------------------


@pytest.mark.slow  # what it runs is run piece by piece in test_catalogue.py
def test_all_is_ok():
    report = verify.all()
    assert report.ok, "\n".join(map(str, report.failures))
    subjects = {r.subject for r in report.rows}
    assert {"SquaredError", "Logistic", "Multinomial", "transforms.coupled"} <= subjects
    assert "FAIL" not in report.summary()


@pytest.mark.slow
def test_float32_template_and_numpy_leaves_are_promoted():
    params = {"a": np.ones((2, 3), np.float32), "b": 1.0, "n": 3}
    assert verify.penalty(jaxreg.L1(0.3), params).ok
    assert jnp.zeros(1).dtype == jnp.float32  # the global flag was left alone


def test_unusable_templates_are_refused():
    with pytest.raises(ValueError, match="at most 4"):
        verify.penalty(jaxreg.GroupLasso(1.0, groups=[0, 0, 1, 1, 1]), jnp.ones(5))
    with pytest.raises(ValueError, match="no floating-point leaf"):
        verify.penalty(jaxreg.L2(), {"n": 3})
    with pytest.raises(ValueError, match=r"only: no such property of L2.*: proximal; it has value, "):
        verify.penalty(jaxreg.L2(), only=["proximal"])


# --- losses --------------------------------------------------------------------------------------------------------


class HalfCurvature(losses.Logistic):
    def pointwise_curvature(self, eta, y):
        return super().pointwise_curvature(eta, y) / 2


class UnstableLogistic(losses.Logistic):
    def pointwise(self, eta, y):
        return jnp.log(1 + jnp.exp(eta)) - y * eta


class HalfGradient(losses.SquaredError):
    def pointwise_grad(self, eta, y):
        return eta - y


class WrongConjugate(losses.SquaredError):
    def pointwise_conjugate(self, dual, y):
        return dual * y + dual**2 / 2


class UnweightedMean(losses.Logistic):
    def case_weights(self, eta, sample_weight=None):
        return super().case_weights(eta, None)


class DiagonalCurvature(losses.Multinomial):
    def pointwise_curvature(self, eta, y):
        p = jax.nn.softmax(eta, axis=1)
        return p[:, :, None] * jnp.eye(eta.shape[1])


class Concave(losses.SquaredError):
    def pointwise(self, eta, y):
        return -((y - eta) ** 2)


@pytest.mark.thin(6)
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (HalfCurvature(), {"curvature vs autodiff", "curvature vs central differences"}),
        (UnstableLogistic(), {"finite far out"}),
        (HalfGradient(), {"grad vs autodiff", "grad vs central differences"}),
        (WrongConjugate(), {"conjugate vs numerical supremum", "Fenchel–Young"}),
        (UnweightedMean(), {"value is the weighted sum"}),
        (DiagonalCurvature(), {"curvature vs autodiff", "curvature vs central differences"}),
        (Concave(), {"convex"}),
        (broken(losses.Logistic, mean=lambda loss, eta: eta)(), {"mean"}),
        (broken(losses.Multinomial, mean=lambda loss, eta: 2 * jax.nn.softmax(eta))(), {"mean"}),
        (broken(losses.Multinomial, mean=lambda loss, eta: jnp.full_like(eta, 1 / 3))(), {"mean"}),
    ],
    ids=lambda x: type(x).__name__,
)
def test_planted_loss_error_is_caught(loss, expected):
    assert expected <= failed(verify.loss(loss))


# --- transforms ----------------------------------------------------------------------------------------------------


def test_a_forgotten_learning_rate_is_caught(monkeypatch):
    right = jaxreg.transforms.decoupled
    monkeypatch.setattr(jaxreg.transforms, "decoupled", lambda penalty, rate: right(penalty, 1.0))
    assert {r.subject for r in verify.transforms().failures} == {"transforms.decoupled"}


# --- verify.gradient -----------------------------------------------------------------------------------------------


def _quartic(params, x):
    return jnp.sum(params["w"] ** 4) + jnp.sum(params["b"] * x)


def _quartic_grad(params, x):
    return {"w": 4 * params["w"] ** 3, "b": x}


POINT = {"w": np.array([[1.0, -2.0], [0.5, 3.0]], np.float32), "b": jnp.ones(2)}


def test_gradient_accepts_a_right_one_given_as_function_or_tree():
    x = jnp.array([2.0, 3.0])
    assert verify.gradient(_quartic, _quartic_grad, POINT, x)
    assert verify.gradient(_quartic, _quartic_grad(POINT, x), POINT, x)


def test_gradient_names_the_wrong_entry():
    def wrong(params, x):
        right = _quartic_grad(params, x)
        return {**right, "w": right["w"].at[1, 0].mul(0.5)}

    check = verify.gradient(_quartic, wrong, POINT, jnp.array([2.0, 3.0]))
    assert not check.ok
    assert check.worst == "w[1, 0]"
    assert "WRONG" in str(check)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_gradient_never_accepts_nan_or_infinity(bad):
    assert not verify.gradient(lambda w: jnp.sum(w), jnp.array([1.0, bad]), jnp.ones(2))
    assert not verify.gradient(lambda w: jnp.sum(w) * bad, lambda w: jnp.full_like(w, bad), jnp.ones(2))


def test_gradient_sees_a_small_entry_beside_a_large_one():
    scale = jnp.array([1e6, 1e-4])
    wrong = verify.gradient(lambda w: jnp.sum(w * scale), jnp.array([1e6, 2e-4]), jnp.ones(2))
    assert not wrong.ok
    assert wrong.worst == "w[1]"
    assert wrong.autodiff_error == pytest.approx(0.5)
    # Rounding of the large entry is no error of the small one.
    assert verify.gradient(lambda w: jnp.sum(w * scale), jnp.array([1e6, 1e-4 + 1e-8]), jnp.ones(2))


def test_gradient_looks_at_a_second_point():
    wrong = verify.gradient(lambda w: jnp.sum(w**2), lambda w: 7 * w, jnp.zeros(2))
    assert not wrong.ok
    assert wrong.worst.endswith("(nudged)")
    # A pytree holds at one point only, and a point that is not finite is none.
    assert verify.gradient(lambda w: jnp.sum(w**2), jnp.zeros(2), jnp.zeros(2))
    edge = verify.gradient(lambda w: jnp.sum(jnp.where(w > 1.0005, jnp.nan, w**2)), lambda w: 2 * w, jnp.ones(2))
    assert edge.ok, str(edge)


def test_gradient_at_a_minimum_is_rounding_and_passes():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 4)), rng.standard_normal(50)
    best = np.linalg.lstsq(X, y, rcond=None)[0]
    assert verify.gradient(lambda w: jnp.sum((X @ w - y) ** 2), lambda w: 2 * X.T @ X @ w - 2 * X.T @ y, jnp.asarray(best))


def test_gradient_tolerance_is_the_callers():
    assert verify.gradient(lambda w: jnp.sum(w**2), lambda w: 2.01 * w, jnp.ones(2), tol=0.1)
    with pytest.raises(ValueError, match="shape"):
        verify.gradient(lambda w: jnp.sum(w**2), jnp.ones(3), jnp.ones(2))


# --- the report and the oracles ------------------------------------------------------------------------------------


def test_report_adds_and_prints_a_line_for_each_row():
    first, second = (verify.Report((verify.Row(s, "gradient", "pass", 1e-16, 1e-13, "w"),)) for s in "ab")
    both = first + second
    assert [r.subject for r in both.rows] == ["a", "b"]
    assert len(str(both).splitlines()) == 3
    assert len(both.summary().splitlines()) == 3


def test_line_oracle_finds_the_lower_of_two_wells():
    # Wells at 0.001 and 5, the second lower; and the reverse.
    for depth, expected in ((0.5, 0.001), (1.5, 5.0)):
        t, _ = _search.line_minimum(
            lambda rows, t: np.minimum(np.abs(t - 0.001) - 1, np.abs(t - 5) - depth),  # noqa: B023
            _search.grid_around(np.array([0.002]), np.array([10.0]), np.array([[1.0]])),
        )
        assert abs(t[0] - expected) < 1e-8


def test_box_oracle_ignores_nan_and_finds_a_corner_of_the_domain():
    def value(rows, z):
        return np.where(z[..., 0] < 0.3, np.nan, np.sum(z**2, axis=-1))

    z, lowest = _search.box_minimum(value, np.linspace(-2, 2, 9) * np.ones((1, 2, 1)), np.array([2.0]))
    assert np.allclose(z, [[0.3, 0.0]], atol=1e-7)
    assert np.allclose(lowest, 0.09)


@pytest.mark.parametrize("radius", [1.004, 0.996])
def test_a_dual_ball_of_another_size_is_caught(radius):
    @staticmethod
    def conjugate(u, lam):
        return jnp.where(jnp.linalg.norm(u) <= radius * lam, 0.0, jnp.inf)

    report = verify.penalty(broken(jaxreg.L2Norm, vector_conjugate=conjugate)(0.7), jnp.zeros(3), only="conjugate vs numerical supremum")
    assert failed(report) == {"conjugate vs numerical supremum"}


def test_a_conjugate_whose_maximiser_is_far_passes():
    """Of lam·w·log w it is at ``exp(u/lam − 1)``: thousands for u = 4 and lam = 0.4."""

    class Entropy(jaxreg.Separable):
        lam: float = 1.0
        convex, finite = True, False

        @staticmethod
        def leaf_value(w, lam):
            return jnp.where(w < 0, jnp.inf, lam * w * jnp.log(jnp.where(w > 0, w, 1)))

        @staticmethod
        def leaf_conjugate(u, lam):
            return lam * jnp.exp(u / lam - 1)

    for lam in (0.4, 2.0):
        assert not failed(verify.penalty(Entropy(lam), only="conjugate vs numerical supremum"))


def test_a_penalty_that_is_not_for_vectors_of_four_asks_for_parameters():
    for p in (jaxreg.Nuclear(0.5), jaxreg.GroupLasso(0.5, [0, 0, 1])):
        with pytest.raises(ValueError, match=r"^params: .* does not take the default, a vector of 4"):
            verify.penalty(p)
