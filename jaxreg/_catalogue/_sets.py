"""The catalogue's sets. Their definition is how far outside a vector is (0 inside); ``sample`` maps numbers (…, n) onto the set."""

from __future__ import annotations

import numpy as np

from .._penalties import (
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
    NonNegative,
    NuclearBall,
    PSDCone,
    RankBall,
    RotatedSecondOrderCone,
    SecondOrderCone,
    Simplex,
    SparseBall,
    Sphere,
    Stiefel,
    UnitNorm,
)
from ._entry import Entry, matrices


def _unit(t: np.ndarray) -> np.ndarray:
    """Of length 1, and of equal entries for 0."""
    t = t + 1e-100
    return t / np.sqrt((t**2).sum(-1, keepdims=True))


def _within(t: np.ndarray) -> np.ndarray:
    """A smooth map onto the unit ball: its boundary is reached at ‖t‖ = exp(½π) − 1, and far off it turns back slowly."""
    return _unit(t) * np.sin(np.log1p(np.sqrt((t**2).sum(-1, keepdims=True))))


def _annulus(t: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """As ``_within``, between two lengths: both are reached where ‖t‖ < 4."""
    wave = np.sin(3 * np.log1p(np.sqrt((t**2).sum(-1, keepdims=True))))
    return _unit(t) * ((lower + upper) / 2 + (upper - lower) / 2 * wave)


def _rotation_and_reflection(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Every 2×2 matrix is the sum of a multiple of each, its singular values are | |p| ± |q| |, and their sum 2·max(|p|, |q|)."""
    return np.stack([p[..., 0] + q[..., 0], q[..., 1] - p[..., 1], q[..., 1] + p[..., 1], p[..., 0] - q[..., 0]], -1)


def _product_above(t: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two numbers >= 0 whose product is ``least`` or more: a hyperbola's and what the first number adds to the sum."""
    first, second = t[..., :1], t[..., 1:]
    return (np.sqrt(second**2 + least) + second + np.abs(first), np.sqrt(second**2 + least) - second + np.abs(first))


def _exponential(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``y·exp(x/y)`` for y > 0 and, its limit for x < 0, 0 at y = 0; finite."""
    positive = y > 0
    return np.where(positive, y * np.exp(np.minimum(x / np.where(positive, y, 1), 300)), np.maximum(x, 0) * np.exp(300))


def _section(t: np.ndarray, normal: list[float], offset: float, lower: float, upper: list[float]) -> np.ndarray:
    """One number after the other, each by a wave between the ends that leave the others a way to meet the equation."""
    ends = np.sort([[a * lower, a * most] for a, most in zip(normal, upper, strict=True)])
    shares, missing = [], np.full(t.shape[:-1], offset)
    for i, (low, high) in enumerate(ends):
        low = np.maximum(low, missing - ends[i + 1 :, 1].sum())
        high = np.minimum(high, missing - ends[i + 1 :, 0].sum())
        shares.append((low + high) / 2 + (high - low) / 2 * np.sin(t[..., i]))
        missing = missing - shares[-1]
    return np.stack(shares, -1) / normal


def _turn_or_flip(u: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """The orthogonal 2×2 matrix with first column u and that determinant."""
    return np.stack([u[..., 0], -sign * u[..., 1], u[..., 1], sign * u[..., 0]], -1)


def sets() -> list[Entry]:
    kernel = np.ones((2, 2))  # flattens to (a, b, c, d) for [[a, b], [c, d]]
    return [
        Entry(
            PSDCone(),
            lambda w: (
                np.abs(w[..., 1] - w[..., 2])
                + np.maximum(np.hypot(w[..., 0] - w[..., 3], w[..., 1] + w[..., 2]) / 2 - (w[..., 0] + w[..., 3]) / 2, 0)
            ),
            kernel,
            plane=(0, 3),
            sample=lambda t: (matrices(t) @ np.swapaxes(matrices(t), -1, -2)).reshape(t.shape),
        ),
        Entry(
            Stiefel(),
            lambda w: np.abs(np.swapaxes(matrices(w), -1, -2) @ matrices(w) - np.eye(2)).sum((-2, -1)),
            kernel,
            plane=(0, 3),
            sample=lambda t: _turn_or_flip(_unit(t[..., :2]), np.where(t[..., 2] < 0, -1, 1)),
        ),
        Entry(
            RankBall(1),
            lambda w: np.linalg.svd(matrices(w), compute_uv=False)[..., 1],
            kernel,
            plane=(0, 3),
            sample=lambda t: (t[..., :2, None] * t[..., None, 2:]).reshape(t.shape),
        ),
        Entry(
            NuclearBall(1.3),
            lambda w: np.maximum(np.linalg.svd(matrices(w), compute_uv=False).sum(-1) - 1.3, 0),
            kernel,
            plane=(0, 3),
            sample=lambda t: _rotation_and_reflection(0.65 * _within(t[..., :2]), 0.65 * _within(t[..., 2:])),
        ),
        Entry(NonNegative(), lambda w: np.maximum(-w, 0).sum(-1), sample=np.abs),
        Entry(
            Box(-0.5, 0.8),
            lambda w: np.maximum(np.maximum(-0.5 - w, w - 0.8), 0).sum(-1),
            sample=lambda t: np.abs((t + 1.8) % 2.6 - 1.3) - 0.5,  # folded, like a tape
        ),
        Entry(
            Binary(-0.5, 0.8),
            lambda w: np.minimum(np.abs(w + 0.5), np.abs(w - 0.8)).sum(-1),
            sample=lambda t: np.where(t < 0, -0.5, 0.8),
        ),
        Entry(
            LInfBall(0.7),
            lambda w: np.maximum(np.abs(w) - 0.7, 0).sum(-1),
            sample=lambda t: np.abs((t + 2.1) % 2.8 - 1.4) - 0.7,
        ),
        Entry(
            Simplex(1.3),
            lambda w: np.abs(w.sum(-1) - 1.3) + np.maximum(-w, 0).sum(-1),
            sample=lambda t: 1.3 * (np.abs(t) + 1e-100) / (np.abs(t) + 1e-100).sum(-1, keepdims=True),
        ),
        Entry(
            Simplex(1.3).on("**/kernel").around(0.2),
            lambda w: np.abs(w[..., 1:].sum(-1) - 1.9) + np.maximum(0.2 - w[..., 1:], 0).sum(-1),
            {"bias": np.ones(1), "kernel": np.ones(3)},
            sample=lambda t: np.concatenate(
                [t[..., :1], 0.2 + 1.3 * (np.abs(t[..., 1:]) + 1e-100) / (np.abs(t[..., 1:]) + 1e-100).sum(-1, keepdims=True)], -1
            ),
        ),
        Entry(
            L1Ball(1.3),
            lambda w: np.maximum(np.abs(w).sum(-1) - 1.3, 0),
            sample=lambda t: t / np.maximum(1, np.abs(t).sum(-1, keepdims=True) / 1.3),
        ),
        Entry(
            L2Ball(1.3),
            lambda w: np.maximum(np.sqrt((w**2).sum(-1)) - 1.3, 0),
            sample=lambda t: 1.3 * _within(t),
        ),
        Entry(
            MaxNorm(1.3),  # (a, c) and (b, d)
            lambda w: np.maximum(np.hypot(w[..., :2], w[..., 2:]) - 1.3, 0).sum(-1),
            kernel,
            plane=(0, 2),
            sample=lambda t: 1.3 * np.stack([_within(t[..., ::2]), _within(t[..., 1::2])], -1).reshape(t.shape),
        ),
        Entry(Sphere(1.3), lambda w: np.abs(np.sqrt((w**2).sum(-1)) - 1.3), sample=lambda t: 1.3 * _unit(t**3)),
        Entry(
            UnitNorm(axis=1),  # (a, b) and (c, d)
            lambda w: np.abs(np.hypot(w[..., ::2], w[..., 1::2]) - 1).sum(-1),
            kernel,
            sample=lambda t: np.concatenate([_unit(t[..., :2] ** 3), _unit(t[..., 2:] ** 3)], -1),
        ),
        Entry(
            MinMaxNorm(0.6, 1.3),  # (a, c) and (b, d)
            lambda w: (lambda r: np.maximum(np.maximum(r - 1.3, 0.6 - r), 0).sum(-1))(np.hypot(w[..., :2], w[..., 2:])),
            kernel,
            small=MinMaxNorm(0.6, 1.3),
            sample=lambda t: np.stack([_annulus(t[..., ::2], 0.6, 1.3), _annulus(t[..., 1::2], 0.6, 1.3)], -1).reshape(t.shape),
        ),
        Entry(
            Hyperplane([1.0, -2.0, 0.5, 1.5], 0.7),
            lambda w: np.abs(w @ [1.0, -2.0, 0.5, 1.5] - 0.7),
            sample=lambda t: t - (t @ [1.0, -2.0, 0.5, 1.5] - 0.7)[..., None] * [1.0, 0.0, 0.0, 0.0],
            small=Hyperplane([1.0, -2.0], 0.7),
        ),
        Entry(
            HalfSpace([1.0, -2.0, 0.5, 1.5], 0.7),
            lambda w: np.maximum(w @ [1.0, -2.0, 0.5, 1.5] - 0.7, 0),
            sample=lambda t: t - np.maximum(t @ [1.0, -2.0, 0.5, 1.5] - 0.7, 0)[..., None] * [1.0, 0.0, 0.0, 0.0],
            small=HalfSpace([1.0, -2.0], 0.7),
        ),
        Entry(
            Hyperslab([1.0, -2.0, 0.5, 1.5], -0.4, 0.7),
            lambda w: (lambda p: np.maximum(np.maximum(p - 0.7, -0.4 - p), 0))(w @ [1.0, -2.0, 0.5, 1.5]),
            sample=lambda t: np.concatenate([0.15 + 0.55 * np.sin(t[..., :1]) - t[..., 1:] @ [[-2.0], [0.5], [1.5]], t[..., 1:]], -1),
            small=Hyperslab([1.0, -2.0], -0.4, 0.7),
        ),
        Entry(
            BoxSection([1.0, -2.0, 0.5, 1.5], 0.7, -0.8, [0.9, 1.0, 0.7, 0.6]),
            lambda w: np.abs(w @ [1.0, -2.0, 0.5, 1.5] - 0.7) + np.maximum(np.maximum(-0.8 - w, w - [0.9, 1.0, 0.7, 0.6]), 0).sum(-1),
            sample=lambda t: _section(t, [1.0, -2.0, 0.5, 1.5], 0.7, -0.8, [0.9, 1.0, 0.7, 0.6]),
            small=BoxSection([1.0, -2.0], 0.7, -0.8, 1.5),
        ),
        Entry(
            AffineSet([[1.0, -2.0, 0.5, 0.0], [0.0, 1.0, 1.0, 2.0]], [0.7, -0.4]),
            lambda w: np.abs(w @ [1.0, -2.0, 0.5, 0.0] - 0.7) + np.abs(w @ [0.0, 1.0, 1.0, 2.0] + 0.4),
            sample=lambda t: np.stack([-0.1 - 2.5 * t[..., 2] - 4 * t[..., 3], -0.4 - t[..., 2] - 2 * t[..., 3], t[..., 2], t[..., 3]], -1),
            small=AffineSet([[1.0, 1.0]], [-0.4]),
        ),
        Entry(
            SparseBall(2),
            lambda w: np.sort(np.abs(w))[..., :2].sum(-1),
            sample=lambda t: np.where(np.abs(t).argsort(-1).argsort(-1) < 2, t, 0),  # the smallest two: a projection keeps the largest
            small=SparseBall(1),
        ),
        Entry(
            SecondOrderCone(),
            lambda w: np.maximum(np.sqrt((w[..., 1:] ** 2).sum(-1)) - w[..., 0], 0),
            sample=lambda t: np.concatenate([np.abs(t[..., :1]) + np.sqrt((t[..., 1:] ** 2).sum(-1, keepdims=True)), t[..., 1:]], -1),
        ),
        Entry(
            RotatedSecondOrderCone(),
            lambda w: (
                np.maximum(np.sqrt((w[..., 2:] ** 2).sum(-1)) - np.sqrt(2 * np.maximum(w[..., 0], 0) * np.maximum(w[..., 1], 0)), 0)
                + np.maximum(-w[..., :2], 0).sum(-1)
            ),
            sample=lambda t: np.concatenate([*_product_above(t[..., :2], (t[..., 2:] ** 2).sum(-1, keepdims=True) / 2), t[..., 2:]], -1),
            small=RotatedSecondOrderCone(),
        ),
        Entry(
            ExponentialCone(),
            lambda w: np.minimum(
                np.where(w[..., 1] > 0, np.maximum(_exponential(w[..., 0], w[..., 1]) - w[..., 2], 0), np.inf),
                np.maximum(w[..., 0], 0) + np.abs(w[..., 1]) + np.maximum(-w[..., 2], 0),
            ),
            np.ones(3),
            plane=(1, 2),
            sample=lambda t: np.stack([t[..., 0], np.abs(t[..., 1]), _exponential(t[..., 0], np.abs(t[..., 1])) + np.abs(t[..., 2])], -1),
        ),
    ]
