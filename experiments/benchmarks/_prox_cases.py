"""The table of what ``prox`` times: for each penalty an example of any size, and the same prox elsewhere.

Points are draws of N(0, 1); strengths are chosen so that each branch of a prox meets many of them (a million numbers of size 0.8 on
average, so that half of their L1 norm, or of their length, is a middling strength). All hand their strengths on as arguments of the
compiled program, so that none may fold them into it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxreg

from . import _prox_numpy as literature
from . import _prox_scico as scico

try:
    with warnings.catch_warnings(action="ignore"):  # that it is no longer maintained
        from jaxopt import projection, prox
except ImportError:  # reported as missing
    prox = projection = None

Prox = Callable[..., Any]


def vector(n: int) -> tuple[int, ...]:
    return (n,)


def rows_of_ten(n: int) -> tuple[int, ...]:
    return (n // 10, 10)


def rows_of_three(n: int) -> tuple[int, ...]:
    return (n // 3, 3)


def square(n: int) -> tuple[int, ...]:
    return (math.isqrt(n), math.isqrt(n))


def image(n: int) -> tuple[int, ...]:
    return square(min(n, 256**2))


def line(n: int) -> tuple[int, ...]:
    return (min(n, 10_000),)


class Case(NamedTuple):
    """A prox to time.

    Attributes:
      name: the class, and what is special about the example.
      strengths: numbers and arrays, for each size of the parameters.
      penalty: made of the size and the strengths.
      numpy: of the point and the strengths, from the literature.
      jaxopt: the same in jaxopt, and ``scico`` by SCICO's formula; None where they have none.
      shape: of the parameters, from the number asked for.
    """

    name: str
    strengths: Callable[[int], tuple[Any, ...]]
    penalty: Callable[..., jaxreg.Penalty]
    numpy: Prox | None
    jaxopt: Prox | None = None
    scico: Prox | None = None
    shape: Callable[[int], tuple[int, ...]] = vector


def of(*strengths: float) -> Callable[[int], tuple[Any, ...]]:
    return lambda n: strengths


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape)


def tens(n: int) -> np.ndarray:
    return np.repeat(np.arange(n // 10), 10)


def chain(n: int) -> np.ndarray:
    return np.stack([np.arange(n - 1), np.arange(1, n)], 1)


def bands(x: np.ndarray, lam: float) -> np.ndarray:
    """``(I + 2λL)⁻¹x`` for a chain: tridiagonal, by SciPy's banded Cholesky factorisation."""
    from scipy.linalg import solveh_banded

    degree = np.r_[1, np.full(x.size - 2, 2), 1].astype(x.dtype)
    return solveh_banded(np.stack([np.full_like(x, -2 * lam), 1 + 2 * lam * degree]), x)


SINGLE = [
    Case("L1", of(0.5), lambda n, lam: jaxreg.L1(lam), literature.soft, prox and prox.prox_lasso, scico.l1),
    Case(  # its factor is 1/(1 + λ), whatever its documentation says
        "L2",
        of(0.35),
        lambda n, lam: jaxreg.L2(lam),
        literature.ridge,
        prox and (lambda x, lam: prox.prox_ridge(x, 2 * lam)),
        scico.squared_l2,
    ),
    Case(
        "ElasticNet",
        of(0.7, 0.4),
        lambda n, lam, ratio: jaxreg.ElasticNet(lam, ratio),
        literature.elastic_net,
        prox and (lambda x, lam, ratio: prox.prox_elastic_net(x, (lam * ratio, (1 - ratio) / ratio))),
    ),
    Case("AsymmetricL1", of(0.7, 0.3), lambda n, a, b: jaxreg.AsymmetricL1(a, b), literature.asymmetric_l1),
    Case("Huber", of(0.7, 0.4), lambda n, lam, delta: jaxreg.Huber(lam, delta), literature.huber, scico=scico.huber),
    Case("L0", of(0.3), lambda n, lam: jaxreg.L0(lam), literature.l0, scico=scico.l0),
    Case("LHalf", of(0.6), lambda n, lam: jaxreg.LHalf(lam), literature.l_half),
    Case("LTwoThirds", of(0.6), lambda n, lam: jaxreg.LTwoThirds(lam), literature.l_two_thirds),
    Case("CappedL1", of(0.5, 0.8), lambda n, lam, cap: jaxreg.CappedL1(lam, cap), literature.capped_l1),
    Case("LogSum", of(0.5, 0.6), lambda n, lam, eps: jaxreg.LogSum(lam, eps), literature.log_sum),
    Case("Geman", of(0.5, 0.6), lambda n, lam, eps: jaxreg.Geman(lam, eps), literature.geman),
    Case("ETP", of(0.5, 1.5), lambda n, lam, gamma: jaxreg.ETP(lam, gamma), literature.etp),
    Case("MCP", of(0.6, 1.8), lambda n, lam, gamma: jaxreg.MCP(lam, gamma), literature.firm),
    Case("SCAD", of(0.5, 2.8), lambda n, lam, a: jaxreg.SCAD(lam, a), literature.scad),
    Case(
        "CappedL2",
        of(0.5, 0.8),
        lambda n, lam, cap: jaxreg.CappedL2(lam, cap),
        lambda x, lam, cap: np.where(np.abs(x) <= cap * np.sqrt(1 + 2 * lam), x / (1 + 2 * lam), x),
    ),
    Case("LogBarrier", of(0.5), lambda n, lam: jaxreg.LogBarrier(lam), lambda x, lam: (x + np.sqrt(x**2 + 4 * lam)) / 2),
    Case(
        "CubeNorm",
        lambda n: (n**-0.5,),
        lambda n, lam: jaxreg.CubeNorm(lam),
        lambda x, lam: x * (2 / (1 + np.sqrt(1 + 12 * lam * np.sqrt(np.sum(x**2))))),
    ),
]

VECTORS = [
    Case(
        "L2Norm",
        lambda n: (n**0.5 / 2,),
        lambda n, lam: jaxreg.L2Norm(lam),
        literature.block_soft,
        prox and prox.prox_group_lasso,
        scico.l2,
    ),
    Case(
        "L2Norm, rows of 10",
        of(3.0),
        lambda n, lam: jaxreg.L2Norm(lam, axis=1),
        literature.block_soft,
        prox and jax.vmap(prox.prox_group_lasso, (0, None)),
        scico.l21,
        rows_of_ten,
    ),
    Case("LInf", lambda n: (0.3 * n,), lambda n, lam: jaxreg.LInf(lam), literature.l_inf),
    Case("ExclusiveLasso", lambda n: (1 / n,), lambda n, lam: jaxreg.ExclusiveLasso(lam), literature.exclusive_lasso),
    Case(
        "SLOPE",
        lambda n: (0.4, literature.falling_prices(n)),
        lambda n, lam, weights: jaxreg.SLOPE(lam, weights),
        literature.slope,
    ),
    Case("KSupport", of(0.7), lambda n, lam: jaxreg.KSupport(lam, k=n // 10), lambda x, lam: literature.k_support(x, lam, x.size // 10)),
    Case(
        "SumLargest", of(0.7), lambda n, lam: jaxreg.SumLargest(lam, k=n // 10), lambda x, lam: literature.sum_largest(x, lam, x.size // 10)
    ),
    Case("L1MinusL2", of(0.7), lambda n, lam: jaxreg.L1MinusL2(lam), literature.l1_minus_l2, scico=scico.l1_minus_l2),
    Case(
        "GroupLasso, tens",
        of(3.0),
        lambda n, lam: jaxreg.GroupLasso(lam, tens(n), np.ones(n // 10)),
        literature.in_tens(literature.block_soft),
        prox and (lambda x, lam: jax.vmap(prox.prox_group_lasso, (0, None))(x.reshape(-1, 10), lam).ravel()),
        lambda x, lam: scico.l21(x.reshape(-1, 10), lam).ravel(),
    ),
    Case(
        "GroupElasticNet, tens",
        of(5.0, 0.6),
        lambda n, lam, ratio: jaxreg.GroupElasticNet(lam, tens(n), ratio, np.ones(n // 10)),
        literature.in_tens(lambda x, lam, ratio: literature.block_soft(x, lam * ratio) / (1 + lam * (1 - ratio))),
    ),
    Case(
        "SparseGroupLasso, tens",
        of(2.0, 0.2),
        lambda n, lam, ratio: jaxreg.SparseGroupLasso(lam, tens(n), ratio, np.ones(n // 10)),
        literature.in_tens(literature.sparse_group_lasso),
    ),
    Case(
        "GroupMCP, tens",
        of(2.0, 1.8),
        lambda n, lam, gamma: jaxreg.GroupMCP(lam, tens(n), gamma, np.ones(n // 10)),
        literature.in_tens(literature.of_norms(literature.firm)),
    ),
    Case(
        "GroupSCAD, tens",
        of(1.2, 2.8),
        lambda n, lam, a: jaxreg.GroupSCAD(lam, tens(n), a, np.ones(n // 10)),
        literature.in_tens(literature.of_norms(literature.scad)),
    ),
    Case(
        "GroupLHalf, tens",
        of(3.0),
        lambda n, lam: jaxreg.GroupLHalf(lam, tens(n), np.ones(n // 10)),
        literature.in_tens(literature.of_norms(literature.l_half)),
    ),
]

STRUCTURED = [
    Case("FusedLasso", of(2.0), lambda n, lam: jaxreg.FusedLasso(lam), None),
    Case("TrendFilter", of(2.0), lambda n, lam: jaxreg.TrendFilter(lam), None, shape=line),
    Case("TotalVariation", of(0.5), lambda n, lam: jaxreg.TotalVariation(lam), None, shape=image),
    Case("TotalVariation, anisotropic", of(0.5), lambda n, lam: jaxreg.TotalVariation(lam, isotropic=False), None, shape=image),
    Case("GraphLaplacian, chain", of(2.0), lambda n, lam: jaxreg.GraphLaplacian(lam, chain(n)), bands),
    Case("Tikhonov, 10 rows", lambda n: (1 / n, draw(10, n)), lambda n, lam, a: jaxreg.Tikhonov(lam, a), literature.tikhonov),
    Case(
        "Nuclear",
        lambda n: (math.isqrt(n) ** 0.5,),
        lambda n, lam: jaxreg.Nuclear(lam),
        literature.of_singular_values(lambda s, lam: np.maximum(s - lam, 0)),
        scico=scico.nuclear,
        shape=square,
    ),
    Case(
        "SpectralNorm",
        lambda n: (math.isqrt(n),),
        lambda n, lam: jaxreg.SpectralNorm(lam),
        literature.of_singular_values(literature.l_inf),
        shape=square,
    ),
    Case(
        "SquaredSpectralNorm",
        lambda n: (math.isqrt(n) / 20,),
        lambda n, lam: jaxreg.SquaredSpectralNorm(lam),
        literature.of_singular_values(literature.squared_largest),
        shape=square,
    ),
    Case(
        "Orthogonality",
        of(0.1),
        lambda n, lam: jaxreg.Orthogonality(lam),
        literature.of_singular_values(literature.orthogonality),
        shape=square,
    ),
]


def _projection(name: str, *, pair: bool = False) -> Prox | None:
    found = getattr(projection, name, None)
    return (lambda x, *strengths: found(x, strengths)) if found and pair else found


SETS = [
    Case(
        "NonNegative",
        of(),
        lambda n: jaxreg.NonNegative(),
        lambda x: np.maximum(x, 0),
        _projection("projection_non_negative"),
        scico.non_negative,
    ),
    Case(
        "Box", of(-0.5, 0.8), lambda n, a, b: jaxreg.Box(a, b), lambda x, a, b: np.clip(x, a, b), _projection("projection_box", pair=True)
    ),
    Case("Binary", of(-1.0, 0.8), lambda n, a, b: jaxreg.Binary(a, b), lambda x, a, b: np.where(x - a <= b - x, a, b)),
    Case("LInfBall", of(0.7), lambda n, r: jaxreg.LInfBall(r), lambda x, r: np.clip(x, -r, r), _projection("projection_linf_ball")),
    Case("Simplex", lambda n: (0.1 * n,), lambda n, r: jaxreg.Simplex(r), literature.simplex, _projection("projection_simplex")),
    Case("L1Ball", lambda n: (0.3 * n,), lambda n, r: jaxreg.L1Ball(r), literature.l1_ball, _projection("projection_l1_ball")),
    Case(
        "L2Ball",
        lambda n: (n**0.5 / 2,),
        lambda n, r: jaxreg.L2Ball(r),
        literature.l2_ball,
        _projection("projection_l2_ball"),
        scico.l2_ball,
    ),
    Case(
        "MaxNorm",
        lambda n: (math.isqrt(n) ** 0.5,),
        lambda n, r: jaxreg.MaxNorm(r),
        lambda x, r: x * np.minimum(1, r / np.sqrt(np.sum(x**2, axis=0))),
        shape=square,
    ),
    Case(
        "MinMaxNorm, rows of 10",
        of(2.5, 3.5),
        lambda n, a, b: jaxreg.MinMaxNorm(a, b, axis=1),
        lambda x, a, b: x * (np.clip(literature.length(x), a, b) / literature.length(x)),
        shape=rows_of_ten,
    ),
    Case(
        "Sphere",
        lambda n: (n**0.5 / 2,),
        lambda n, r: jaxreg.Sphere(r),
        lambda x, r: x * (r / literature.length(x)),
        _projection("projection_l2_sphere"),
    ),
    Case("UnitNorm, rows of 10", of(), lambda n: jaxreg.UnitNorm(axis=1), lambda x: x / literature.length(x), shape=rows_of_ten),
    Case(
        "Hyperplane",
        lambda n: (draw(n), 0.1 * n),
        lambda n, a, b: jaxreg.Hyperplane(a, b),
        literature.hyperplane,
        _projection("projection_hyperplane", pair=True),
    ),
    Case(
        "HalfSpace",
        lambda n: (draw(n), -0.1 * n),
        lambda n, a, b: jaxreg.HalfSpace(a, b),
        literature.half_space,
        _projection("projection_halfspace", pair=True),
    ),
    Case(
        "Hyperslab",
        lambda n: (draw(n), 0.1 * n, 0.2 * n),
        lambda n, a, lower, upper: jaxreg.Hyperslab(a, lower, upper),
        literature.hyperslab,
    ),
    Case(
        "BoxSection",
        lambda n: (draw(n), 0.1 * n, -0.7, 0.8),
        lambda n, a, b, lower, upper: jaxreg.BoxSection(a, b, lower, upper),
        literature.box_section,
        projection and (lambda x, a, b, lower, upper: projection.projection_box_section(x, (lower, upper, a, b), check_feasible=False)),
    ),
    Case(
        "AffineSet, 10 equations",
        lambda n: (draw(10, n), 0.1 * n * np.ones(10)),
        lambda n, a, b: jaxreg.AffineSet(a, b),
        literature.affine_set,
        _projection("projection_affine_set", pair=True),
    ),
    Case("SparseBall", of(), lambda n: jaxreg.SparseBall(n // 10), lambda x: literature.sparse_ball(x, x.size // 10)),
    Case("SecondOrderCone", of(), lambda n: jaxreg.SecondOrderCone(), literature.second_order_cone),
    Case("RotatedSecondOrderCone", of(), lambda n: jaxreg.RotatedSecondOrderCone(), literature.rotated_second_order_cone),
    Case("ExponentialCone, rows of 3", of(), lambda n: jaxreg.ExponentialCone(axis=1), literature.exponential_cone, shape=rows_of_three),
    Case("PSDCone", of(), lambda n: jaxreg.PSDCone(), literature.psd_cone, shape=square),
    Case("Stiefel", of(), lambda n: jaxreg.Stiefel(), literature.of_singular_values(np.ones_like), shape=square),
    Case(
        "NuclearBall",
        lambda n: (0.3 * math.isqrt(n) ** 1.5,),
        lambda n, r: jaxreg.NuclearBall(r),
        literature.of_singular_values(literature.l1_ball),
        shape=square,
    ),
    Case(
        "RankBall",
        of(),
        lambda n: jaxreg.RankBall(math.isqrt(n) // 10),
        literature.of_singular_values(lambda s: np.where(np.arange(s.size) < s.size // 10, s, 0)),
        shape=square,
    ),
]

CASES = SINGLE + VECTORS + STRUCTURED + SETS

UNTIMED = {
    "Zero": "it returns its argument",
    "OverlappingGroupLasso": "one dense equation of all groups a step, O(G³ + G·n): it is for hundreds of groups",
}


def class_name(case: Case) -> str:
    return case.name.split(",")[0]
