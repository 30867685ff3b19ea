"""The catalogue: one line for each penalty, from which the tests, ``jaxreg verify``, docs/penalties.md and the command line's names follow.

An entry is an example of the penalty, with no strength at 1 where it could hide, and its definition: NumPy, of float64
vectors (…, n) in the order in which the parameters flatten, written from the literature and never from the code under test. Sets are in
_sets.py.
"""

from __future__ import annotations

import numpy as np

from .._penalties import (
    ETP,
    L0,
    L1,
    L2,
    MCP,
    SCAD,
    SLOPE,
    AsymmetricL1,
    Box,
    CappedL1,
    CappedL2,
    CubeNorm,
    ElasticNet,
    ExclusiveLasso,
    FusedLasso,
    Geman,
    GraphLaplacian,
    GroupElasticNet,
    GroupLasso,
    GroupLHalf,
    GroupMCP,
    GroupSCAD,
    Huber,
    Hyperplane,
    KSupport,
    L1MinusL2,
    L2Ball,
    L2Norm,
    LHalf,
    LInf,
    LogBarrier,
    LogSum,
    LTwoThirds,
    NonNegative,
    Nuclear,
    Orthogonality,
    OverlappingGroupLasso,
    SparseGroupLasso,
    SpectralNorm,
    SquaredSpectralNorm,
    SumLargest,
    Tikhonov,
    TotalVariation,
    TrendFilter,
    Zero,
)
from ._entry import Entry, matrices
from ._sets import sets

# A rotation of four numbers: a Hadamard matrix.
_TURN = np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2


# One of two, of which no product is exact.
_ANGLE = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])


def _huber(w: np.ndarray) -> np.ndarray:
    return 0.7 * np.where(np.abs(w) <= 0.4, w**2 / 2, 0.4 * np.abs(w) - 0.08).sum(-1)


def _envelope_of_mcp(w: np.ndarray) -> np.ndarray:
    """Of 0.6|w| − w²/3.6 up to |w| = 1.08, for mu = 0.9: the minimum over z, worked out on the three pieces."""
    m = np.abs(w)
    z = np.clip((m - 0.54) / 0.5, 0, None)
    middle = 0.6 * z - z**2 / 3.6 + (m - z) ** 2 / 1.8
    return np.select([m <= 0.54, m <= 1.08], [m**2 / 1.8, middle], 0.324).sum(-1)


def _of_numbers() -> list[Entry]:
    return [
        Entry(L2(0.7), lambda w: 0.7 * (w**2).sum(-1)),
        Entry(L1(0.3), lambda w: 0.3 * np.abs(w).sum(-1)),
        Entry(L1(np.array([0.3, 0.0, 1.2, 0.7])), lambda w: np.abs(w) @ [0.3, 0.0, 1.2, 0.7], small=L1(np.array([0.3, 1.2]))),
        Entry(AsymmetricL1(0.7, 0.3), lambda w: np.maximum(0.7 * w, -0.3 * w).sum(-1)),
        Entry(ElasticNet(0.7, l1_ratio=0.4), lambda w: (0.28 * np.abs(w) + 0.21 * w**2).sum(-1)),
        Entry(Huber(0.7, delta=0.4), _huber),
        Entry(Zero(), lambda w: 0 * w.sum(-1)),
        Entry(LogBarrier(0.7), lambda w: np.where((w > 0).all(-1), -0.7 * np.log(np.where(w > 0, w, 1)).sum(-1), np.inf)),
    ]


def _of_vectors() -> list[Entry]:
    kernel = np.ones((2, 2))  # flattens to (a, b, c, d) for [[a, b], [c, d]]
    return [
        Entry(
            SLOPE(0.6, weights=[1.4, 0.9, 0.9, 0.2]),
            lambda w: 0.6 * (np.sort(np.abs(w)) @ [0.2, 0.9, 0.9, 1.4]),
            small=SLOPE(0.6, weights=[1.4, 0.5]),
        ),
        Entry(L2Norm(0.7), lambda w: 0.7 * np.sqrt((w**2).sum(-1))),
        Entry(L2Norm(0.4, axis=0), lambda w: 0.4 * np.hypot(w[..., :2], w[..., 2:]).sum(-1), kernel),
        Entry(LInf(0.7), lambda w: 0.7 * np.abs(w).max(-1)),
        Entry(LInf(0.7, axis=1), lambda w: 0.7 * np.maximum(np.abs(w[..., ::2]), np.abs(w[..., 1::2])).sum(-1), kernel),
        Entry(SumLargest(0.7, k=2), lambda w: 0.7 * np.sort(w)[..., -2:].sum(-1), small=SumLargest(0.7, k=1)),
        Entry(SumLargest(0.7, axis=0), lambda w: 0.7 * np.maximum(w[..., :2], w[..., 2:]).sum(-1), kernel),
        Entry(CubeNorm(0.7), lambda w: 0.7 * (w**2).sum(-1) ** 1.5),
        Entry(ExclusiveLasso(0.7), lambda w: 0.35 * np.abs(w).sum(-1) ** 2),
        Entry(ExclusiveLasso(0.7, axis=0), lambda w: 0.35 * ((np.abs(w[..., :2]) + np.abs(w[..., 2:])) ** 2).sum(-1), kernel),
        Entry(
            SLOPE.oscar(2, lam=0.4).on("**/kernel").around(0.3),  # c = 1, so the larger of the two costs 2
            lambda w: 0.4 * (np.abs(w[..., 1:] - 0.3).sum(-1) + np.abs(w[..., 1:] - 0.3).max(-1)),
            {"bias": np.ones(1), "kernel": np.ones(2)},
        ),
        Entry(  # k = 2: the largest alone where it is larger than the others together, else all in one
            KSupport(0.7, k=2),
            lambda w: 0.35 * (lambda t, a: np.where(2 * t > a, t**2 + (a - t) ** 2, a**2 / 2))(np.abs(w).max(-1), np.abs(w).sum(-1)),
            small=KSupport(0.7, k=1),
        ),
        Entry(
            GroupLasso(0.6, groups=[0, 0, 1, 1]),
            lambda w: 0.6 * np.sqrt(2) * (np.hypot(w[..., 0], w[..., 1]) + np.hypot(w[..., 2], w[..., 3])),
            small=GroupLasso(0.6, groups=0),
        ),
        Entry(  # groups across leaves: the bias with one number of the kernel
            GroupLasso(0.6, groups={"bias": 0, "kernel": np.array([0, 1, 1])}).around(0.4),
            lambda w: (
                0.6 * np.sqrt(2) * (np.hypot(*np.moveaxis(w[..., :2] - 0.4, -1, 0)) + np.hypot(*np.moveaxis(w[..., 2:] - 0.4, -1, 0)))
            ),
            {"bias": np.ones(1), "kernel": np.ones(3)},
        ),
        Entry(
            SparseGroupLasso(0.5, groups=[0, 0, 0, 1], l1_ratio=0.6),
            lambda w: 0.3 * np.abs(w).sum(-1) + 0.2 * (np.sqrt(3) * np.linalg.norm(w[..., :3], axis=-1) + np.abs(w[..., 3])),
            small=SparseGroupLasso(0.5, groups=0, l1_ratio=0.6),
        ),
        Entry(
            GroupElasticNet(0.7, groups=[0, 0, 0, 1], l1_ratio=0.4),
            lambda w: 0.28 * (np.sqrt(3) * np.linalg.norm(w[..., :3], axis=-1) + np.abs(w[..., 3])) + 0.21 * (w**2).sum(-1),
            small=GroupElasticNet(0.7, groups=0, l1_ratio=0.4),
        ),
        Entry(  # the second group takes part of its number where its price 0.9 is below the first one's slope
            OverlappingGroupLasso(0.7, groups=((0, 1), (1,)), weights=[1.3, 0.9]),
            lambda w: (
                0.7
                * np.where(
                    1.3 * np.abs(w[..., 1]) > 0.9 * np.hypot(w[..., 0], w[..., 1]),
                    0.9 * np.abs(w[..., 1]) + np.sqrt(1.3**2 - 0.9**2) * np.abs(w[..., 0]),
                    1.3 * np.hypot(w[..., 0], w[..., 1]),
                )
            ),
            np.ones(2),
        ),
    ]


def _of_structures() -> list[Entry]:
    kernel = np.ones((2, 2))  # flattens to (a, b, c, d) for [[a, b], [c, d]]
    return [
        Entry(FusedLasso(0.7), lambda w: 0.7 * np.abs(w[..., 1:] - w[..., :-1]).sum(-1)),
        Entry(TrendFilter(0.4), lambda w: 0.4 * np.abs(w[..., :-2] - 2 * w[..., 1:-1] + w[..., 2:]).sum(-1), np.ones(4)),
        Entry(Nuclear(0.7), lambda w: 0.7 * np.linalg.norm(matrices(w), "nuc", axis=(-2, -1)), kernel, plane=(0, 3)),
        Entry(SpectralNorm(0.7), lambda w: 0.7 * np.linalg.norm(matrices(w), 2, axis=(-2, -1)), kernel, plane=(0, 3)),
        Entry(SquaredSpectralNorm(0.7), lambda w: 0.7 * np.linalg.norm(matrices(w), 2, axis=(-2, -1)) ** 2, kernel, plane=(0, 3)),
        Entry(
            TotalVariation(0.7),
            lambda w: (lambda a, b, c, d: 0.7 * (np.hypot(c - a, b - a) + np.abs(d - b) + np.abs(d - c)))(*np.moveaxis(w, -1, 0)),
            kernel,
        ),
        Entry(
            TotalVariation(0.7, isotropic=False),
            lambda w: (lambda a, b, c, d: 0.7 * (np.abs(c - a) + np.abs(b - a) + np.abs(d - b) + np.abs(d - c)))(*np.moveaxis(w, -1, 0)),
            kernel,
        ),
        Entry(  # of rank 2, so that (1, 1, 0, 0) and (0, 0, 1, 1) are free
            Tikhonov(0.7, matrix=[[1.0, -1.0, 0.5, -0.5], [0.0, 0.0, 1.0, -1.0], [1.0, -1.0, 1.5, -1.5]]),
            lambda w: 0.7 * ((lambda p, q: (p + 0.5 * q) ** 2 + q**2 + (p + 1.5 * q) ** 2)(w[..., 0] - w[..., 1], w[..., 2] - w[..., 3])),
            small=Tikhonov(0.7, matrix=[[1.0, -0.5]]),
        ),
        Entry(
            GraphLaplacian(0.7, edges=[[0, 1], [1, 2], [2, 0], [3, 2]], weights=[0.5, 1.5, 0.0, 2.0]),
            lambda w: 0.7 * ((w[..., 0] - w[..., 1]) ** 2 / 2 + 1.5 * (w[..., 1] - w[..., 2]) ** 2 + 2 * (w[..., 2] - w[..., 3]) ** 2),
            small=GraphLaplacian(0.7, edges=[[0, 1]]),
        ),
    ]


def _not_convex() -> list[Entry]:
    kernel = np.ones((2, 2))  # flattens to (a, b, c, d) for [[a, b], [c, d]]
    return [
        Entry(
            Orthogonality(0.3),
            lambda w: 0.3 * ((np.swapaxes(matrices(w), -1, -2) @ matrices(w) - np.eye(2)) ** 2).sum((-2, -1)),
            kernel,
            plane=(0, 3),
        ),
        Entry(L0(0.3), lambda w: 0.3 * (w != 0).sum(-1)),
        Entry(LHalf(0.6), lambda w: 0.6 * np.sqrt(np.abs(w)).sum(-1)),
        Entry(LTwoThirds(0.6), lambda w: 0.6 * np.cbrt(w**2).sum(-1)),
        Entry(CappedL1(0.5, cap=0.8), lambda w: 0.5 * np.minimum(np.abs(w), 0.8).sum(-1)),
        Entry(LogSum(0.5, eps=0.6), lambda w: 0.5 * np.log(1 + np.abs(w) / 0.6).sum(-1)),
        Entry(Geman(0.5, eps=0.6), lambda w: 0.5 * (np.abs(w) / (np.abs(w) + 0.6)).sum(-1)),
        Entry(ETP(0.5, gamma=1.7), lambda w: 0.5 * (1 - np.exp(-1.7 * np.abs(w))).sum(-1) / (1 - np.exp(-1.7))),
        Entry(CappedL2(0.5, cap=0.8), lambda w: 0.5 * np.minimum(w**2, 0.64).sum(-1)),
        Entry(MCP(0.6, gamma=1.8), lambda w: np.where(np.abs(w) <= 1.08, 0.6 * np.abs(w) - w**2 / 3.6, 0.324).sum(-1)),
        Entry(  # the slope is 0.5, then (1.4 − |w|)/1.8
            SCAD(0.5, a=2.8),
            lambda w: np.where(np.abs(w) <= 0.5, 0.5 * np.abs(w), 0.475 - np.maximum(1.4 - np.abs(w), 0) ** 2 / 3.6).sum(-1),
        ),
        Entry(L1MinusL2(0.7), lambda w: 0.7 * (np.abs(w).sum(-1) - np.sqrt((w**2).sum(-1)))),
        Entry(
            GroupLHalf(0.6, groups=[0, 0, 0, 1], weights=[1.0, 0.5]),
            lambda w: 0.6 * (w[..., :3] ** 2).sum(-1) ** 0.25 + 0.3 * np.sqrt(np.abs(w[..., 3])),
            small=GroupLHalf(0.6, groups=0),
        ),
        Entry(  # group by group: lam·weight_g is 0.6 and 0.3
            GroupMCP(0.6, groups=[0, 0, 0, 1], gamma=1.8, weights=[1.0, 0.5]),
            lambda w: (
                (lambda m: np.where(m <= 1.08, 0.6 * m - m**2 / 3.6, 0.324))(np.linalg.norm(w[..., :3], axis=-1))
                + (lambda m: np.where(m <= 0.54, 0.3 * m - m**2 / 3.6, 0.081))(np.abs(w[..., 3]))
            ),
            small=GroupMCP(0.6, groups=0, gamma=1.8),
        ),
        Entry(
            GroupSCAD(0.5, groups=[0, 0, 0, 1], a=2.8, weights=[1.0, 0.6]),
            lambda w: (
                (lambda m: np.where(m <= 0.5, 0.5 * m, 0.475 - np.maximum(1.4 - m, 0) ** 2 / 3.6))(np.linalg.norm(w[..., :3], axis=-1))
                + (lambda m: np.where(m <= 0.3, 0.3 * m, 0.171 - np.maximum(0.84 - m, 0) ** 2 / 3.6))(np.abs(w[..., 3]))
            ),
            small=GroupSCAD(0.5, groups=0, a=2.8),
        ),
    ]


def _calculus() -> list[Entry]:
    return [
        Entry(L1(0.7).envelope(0.3), lambda w: np.where(np.abs(w) <= 0.21, w**2 / 0.6, 0.7 * np.abs(w) - 0.0735).sum(-1)),
        Entry(
            0.7 * GroupLasso(0.6, groups=[0, 0, 0, 0], weights=[1.0]).envelope(0.5),
            lambda w: 0.7 * (lambda r: np.where(r <= 0.3, r**2, 0.6 * r - 0.09))(np.sqrt((w**2).sum(-1))),
        ),
        Entry(MCP(0.6, gamma=1.8).envelope(0.9), _envelope_of_mcp),
        Entry(L2Ball(1.3).envelope(0.5), lambda w: np.maximum(np.sqrt((w**2).sum(-1)) - 1.3, 0) ** 2),
        Entry(Box(-0.5, 0.8).distance(0.7), lambda w: 0.7 * np.sqrt((np.maximum(np.maximum(-0.5 - w, w - 0.8), 0) ** 2).sum(-1))),
        Entry(
            Hyperplane([1.0, -2.0, 2.0], 0.7).on("**/kernel").distance(0.6),
            lambda w: 0.2 * np.abs(w[..., 1:] @ [1.0, -2.0, 2.0] - 0.7),
            {"bias": np.ones(1), "kernel": np.ones(3)},
        ),
        Entry(L1(0.7).dual(), lambda u: np.where((np.abs(u) <= 0.7 * (1 + 1e-13)).all(-1), 0.0, np.inf)),
        Entry(0.6 * L2(0.4).dual(), lambda u: 0.6 * (u**2).sum(-1) / 1.6),
        Entry(L1(0.7).rescale(np.array([1.2, -0.5, 0.8, 2.0])), lambda w: 0.7 * np.abs(w) @ [1.2, 0.5, 0.8, 2.0]),
        Entry(LInf(0.6).rescale(-0.7), lambda w: 0.42 * np.abs(w).max(-1)),
        Entry(Box(-0.5, 0.8).rescale(-2.0), lambda w: np.where(((w >= -0.4) & (w <= 0.25)).all(-1), 0.0, np.inf)),
        Entry(Huber(0.7, delta=0.4).rotate(_TURN), lambda w: _huber(w @ _TURN.T)),
        Entry(L1(0.5).rotate(_ANGLE), lambda w: 0.5 * np.abs(w @ _ANGLE.T).sum(-1), np.ones(2)),
        Entry(FusedLasso(0.5) + L1(0.2), lambda w: 0.5 * np.abs(np.diff(w)).sum(-1) + 0.2 * np.abs(w).sum(-1)),
        Entry(LHalf(0.6) + NonNegative(), lambda w: np.where((w < 0).any(-1), np.inf, 0.6 * np.sqrt(np.abs(w)).sum(-1))),
        Entry(
            L1(0.2) + GroupLasso(0.6, groups=[0, 0, 1, 1]) + L2(0.3),
            lambda w: (
                0.2 * np.abs(w).sum(-1)
                + 0.6 * np.sqrt(2) * (np.hypot(w[..., 0], w[..., 1]) + np.hypot(w[..., 2], w[..., 3]))
                + 0.3 * (w**2).sum(-1)
            ),
        ),
        Entry(L2(0.7).on("**/kernel"), lambda w: 0.7 * (w[..., 1:] ** 2).sum(-1), {"bias": np.ones(1), "kernel": np.ones(3)}),
        Entry(L1(0.3).around(1.5), lambda w: 0.3 * np.abs(w - 1.5).sum(-1)),
        Entry(L1(0.3) + L2(0.2), lambda w: (0.3 * np.abs(w) + 0.2 * w**2).sum(-1)),
        Entry(L1(0.4) + NonNegative(), lambda w: np.where((w < 0).any(-1), np.inf, 0.4 * w.sum(-1))),
        Entry(CappedL1(0.5, cap=0.8) + L2(0.1), lambda w: (0.5 * np.minimum(np.abs(w), 0.8) + 0.1 * w**2).sum(-1)),
    ]


def sections() -> dict[str, list[Entry]]:
    """The table, by what a penalty acts on. Made when asked for: importing the library compiles and allocates nothing."""
    return {
        "Of single numbers": _of_numbers(),
        "Of vectors and groups": _of_vectors(),
        "Of neighbours, graphs and matrices": _of_structures(),
        "Not convex": _not_convex(),
        "Sets": sets(),
        "Sums, places and maps": _calculus(),
    }


def entries() -> list[Entry]:
    """All lines of the table."""
    return [entry for section in sections().values() for entry in section]
