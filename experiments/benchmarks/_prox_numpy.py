"""Proximal operators in NumPy, each as the literature writes it: what somebody without a library would run, and a check of the answers.

``x`` is the point, in float32 or float64; strengths are already times the step. Running sums are kept in float64 in either case: a
million float32 numbers added one after another lose three digits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Vec = np.ndarray

# Of single numbers.


def soft(x: Vec, lam: float) -> Vec:
    return np.sign(x) * np.maximum(np.abs(x) - lam, 0)


def ridge(x: Vec, lam: float) -> Vec:
    return x / (1 + 2 * lam)


def elastic_net(x: Vec, lam: float, ratio: float) -> Vec:
    return soft(x, lam * ratio) / (1 + lam * (1 - ratio))


def asymmetric_l1(x: Vec, positive: float, negative: float) -> Vec:
    return np.maximum(x - positive, 0) + np.minimum(x + negative, 0)


def huber(x: Vec, lam: float, delta: float) -> Vec:
    return x - lam * np.clip(x / (1 + lam), -delta, delta)


def l0(x: Vec, lam: float) -> Vec:
    return np.where(x**2 > 2 * lam, x, 0)


def l_half(x: Vec, lam: float) -> Vec:
    """Xu et al. 2012, eq. 11, who minimise ``(z − x)² + 2λ√|z|``."""
    kept = np.where(np.abs(x) > 54 ** (1 / 3) / 4 * (2 * lam) ** (2 / 3), x, 0)
    size = np.where(kept != 0, np.abs(x), 1e3)
    angle = np.arccos(lam / 4 * (size / 3) ** -1.5)
    return 2 / 3 * kept * (1 + np.cos(2 * np.pi / 3 - 2 * angle / 3))


def l_two_thirds(x: Vec, lam: float) -> Vec:
    """Cao, Sun and Xu 2013, theorem 1, who minimise ``(z − x)² + 2λ|z|^⅔``."""
    mu = 2 * lam
    kept = np.abs(x) > 2 / 3 * (3 * mu**3) ** 0.25
    size = np.where(kept, np.abs(x), 1e3)
    a = 2 / 3**0.5 * mu**0.25 * np.sqrt(np.cosh(np.arccosh(27 / 16 * size**2 * mu**-1.5) / 3))
    return np.where(kept, np.sign(x) * ((a + np.sqrt(2 * size / a - a**2)) / 2) ** 3, 0)


def capped_l1(x: Vec, lam: float, cap: float) -> Vec:
    """Gong et al. 2013, table 1: the better of two candidates."""
    m = np.abs(x)
    above, below = np.maximum(m, cap), np.minimum(cap, np.maximum(m - lam, 0))
    above_costs, below_costs = (above - m) ** 2 / 2 + lam * cap, (below - m) ** 2 / 2 + lam * below
    return np.sign(x) * np.where(above_costs < below_costs, above, below)


def log_sum(x: Vec, lam: float, eps: float) -> Vec:
    """Gong et al. 2013, table 1: the larger root of a quadratic, where it beats zero."""
    m = np.abs(x)
    root = np.maximum((m - eps + np.sqrt(np.maximum((m + eps) ** 2 - 4 * lam, 0))) / 2, 0)
    return np.sign(x) * np.where((root - m) ** 2 / 2 + lam * np.log(1 + root / eps) < m**2 / 2, root, 0)


def _or_zero(m: Vec, found: Vec, price: Vec) -> Vec:
    """The stationary point found, where it beats zero."""
    return np.where((found > 0) & ((found - m) ** 2 / 2 + price < m**2 / 2), found, 0)


def geman(x: Vec, lam: float, eps: float) -> Vec:
    """The largest root of ``(z − m)(z + eps)² + lam·eps``, by Viète's cosine, where it beats zero."""
    m = np.abs(x)
    share = np.minimum(lam * eps / (m + eps) ** 3, 4 / 27)
    root = (m + eps) * (1 + 2 * np.cos(np.arccos(1 - 13.5 * share) / 3)) / 3 - eps
    return np.sign(x) * _or_zero(m, np.maximum(root, 0), lam * np.maximum(root, 0) / (np.maximum(root, 0) + eps))


def etp(x: Vec, lam: float, gamma: float) -> Vec:
    """``m + W₀(−γ·s·exp(−γm))/γ`` with the slope s at zero: Lambert's function from SciPy; where it is real and beats zero."""
    from scipy.special import lambertw

    m, whole = np.abs(x), -np.expm1(-gamma)
    inside = -(gamma**2) * lam / whole * np.exp(-gamma * m)
    root = np.maximum(m + lambertw(np.maximum(inside, -1 / np.e)).real.astype(x.dtype) / gamma, 0)
    root = np.where(inside > -1 / np.e, root, 0)
    return np.sign(x) * _or_zero(m, root, lam * -np.expm1(-gamma * root) / whole)


def firm(x: Vec, lam: float, gamma: float) -> Vec:
    """MCP for gamma > 1: Zhang 2010, the univariate solution."""
    return np.where(np.abs(x) <= gamma * lam, soft(x, lam) / (1 - 1 / gamma), x)


def scad(x: Vec, lam: float, a: float) -> Vec:
    """For a > 2: Fan and Li 2001, eq. 2.8."""
    m = np.abs(x)
    between = ((a - 1) * x - np.sign(x) * a * lam) / (a - 2)
    return np.where(m <= 2 * lam, soft(x, lam), np.where(m <= a * lam, between, x))


# Of vectors: the last axis.


def length(x: Vec) -> Vec:
    return np.sqrt(np.sum(x**2, axis=-1, keepdims=True))


def block_soft(x: Vec, lam: float) -> Vec:
    return np.maximum(1 - lam / length(x), 0) * x


def _falling(x: Vec) -> tuple[Vec, Vec]:
    """Magnitudes from the largest down, and their running sums."""
    size = np.sort(np.abs(x))[::-1]
    return size, np.cumsum(size, dtype=np.float64)


def simplex(x: Vec, radius: float) -> Vec:
    """Duchi et al. 2008, fig. 1."""
    u = np.sort(x)[::-1]
    sums = np.cumsum(u, dtype=np.float64) - radius
    last = np.nonzero(u * np.arange(1, x.size + 1) > sums)[0][-1]
    return np.maximum(x - x.dtype.type(sums[last] / (last + 1)), 0)


def l1_ball(x: Vec, radius: float) -> Vec:
    return x if np.sum(np.abs(x)) <= radius else np.sign(x) * simplex(np.abs(x), radius)


def l_inf(x: Vec, lam: float) -> Vec:
    """Moreau: Parikh and Boyd 2014, §6.5.2."""
    return x - l1_ball(x, lam)


def exclusive_lasso(x: Vec, lam: float) -> Vec:
    """Thresholds ``λ·S_k/(1 + λ·k)`` of which the largest is right: Kong et al. 2014."""
    _, sums = _falling(x)
    return soft(x, x.dtype.type(np.max(lam * sums / (1 + lam * np.arange(1, x.size + 1)))))


def k_support(x: Vec, lam: float, k: int) -> Vec:
    """Shares ``θ = clip(|x|·u − λ, 0, 1)`` that sum to k (McDonald et al. 2014): a piecewise linear equation in u, by its knots."""
    m = np.abs(x).astype(np.float64)
    knots = np.concatenate([lam / m, (1 + lam) / m])
    order = np.argsort(knots)
    knots, slopes = knots[order], np.cumsum(np.concatenate([m, -m])[order])
    shares = np.concatenate([[0], np.cumsum(slopes[:-1] * np.diff(knots))])
    theta = np.clip(m * np.interp(k, shares, knots) - lam, 0, 1).astype(x.dtype)
    return theta * x / (theta + lam)


def sum_largest(x: Vec, lam: float, k: int) -> Vec:
    """Moreau: less the projection onto ``0 <= u <= lam, Σu = k·lam``, whose shift is a piecewise linear equation by its knots."""
    wide = x.astype(np.float64)
    knots = np.concatenate([wide, wide - lam])
    order = np.argsort(-knots)
    knots, counts = knots[order], np.cumsum(np.repeat([1.0, -1.0], x.size)[order])
    shares = np.concatenate([[0], np.cumsum(counts[:-1] * -np.diff(knots))])
    return (wide - np.clip(wide - np.interp(k * lam, shares, knots), 0, lam)).astype(x.dtype)


def l1_minus_l2(x: Vec, lam: float) -> Vec:
    """Lou and Yan 2018, lemma 1, where the largest entry exceeds λ."""
    z = soft(x, lam)
    return z * (1 + lam / length(z))


def falling_prices(n: int, q: float = 0.1) -> Vec:
    """Of Benjamini and Hochberg: Bogdan et al. 2015, eq. 1.8."""
    from scipy.special import ndtri

    return -ndtri(np.arange(1, n + 1) * q / (2 * n))


def falling_first(x: Vec, pool: Callable[[Vec], Vec]) -> Vec:
    """Pool the magnitudes from the largest down, and put them back where they were."""
    order = np.argsort(-np.abs(x))
    out = np.empty_like(x)
    out[order] = pool(np.abs(x)[order])
    return np.sign(x) * out


def slope(x: Vec, lam: float, weights: Vec) -> Vec:
    """Bogdan et al. 2015, algorithm 3, with scikit-learn's compiled pool-adjacent-violators."""
    from sklearn.isotonic import isotonic_regression

    return falling_first(x, lambda falling: np.maximum(isotonic_regression(falling - lam * weights, increasing=False), 0))


# Of groups: ten in a row.


def in_tens(prox: Callable[..., Vec]) -> Callable[..., Vec]:
    return lambda x, *strengths: prox(x.reshape(-1, 10), *strengths).reshape(x.shape)


def of_norms(prox: Callable[..., Vec]) -> Callable[..., Vec]:
    """A prox of single numbers, of the norms instead."""
    return lambda x, *strengths: x * (prox(length(x), *strengths) / length(x))


def sparse_group_lasso(x: Vec, lam: float, ratio: float) -> Vec:
    """Simon et al. 2013, eq. 12; a group of zeros stays one."""
    z = soft(x, lam * ratio)
    size = length(z)
    return z * np.maximum(1 - lam * (1 - ratio) / np.where(size > 0, size, 1), 0)


# Of matrices.


def of_singular_values(prox: Callable[..., Vec]) -> Callable[..., Vec]:
    def spectral(x: Vec, *strengths: float) -> Vec:
        left, s, right = np.linalg.svd(x, full_matrices=False)
        return (left * prox(s, *strengths)) @ right

    return spectral


def squared_largest(s: Vec, lam: float) -> Vec:
    _, sums = _falling(s)
    return np.minimum(s, s.dtype.type(np.max(sums / (np.arange(1, s.size + 1) + 2 * lam))))


def orthogonality(s: Vec, lam: float) -> Vec:
    """The root of ``z − s + 4λ·z(z² − 1)``, by Newton's method from above; for 4λ <= 1 there is one."""
    z = np.maximum(s, 1)
    for _ in range(60):
        z = z - (z - s + 4 * lam * z * (z**2 - 1)) / (1 - 4 * lam + 12 * lam * z**2)
    return z


def psd_cone(x: Vec) -> Vec:
    values, vectors = np.linalg.eigh((x + x.T) / 2)
    return (vectors * np.maximum(values, 0)) @ vectors.T


# Sets.


def l2_ball(x: Vec, radius: float) -> Vec:
    return x * np.minimum(1, radius / length(x))


def hyperplane(x: Vec, normal: Vec, offset: float) -> Vec:
    return x - (normal @ x - offset) / (normal @ normal) * normal


def half_space(x: Vec, normal: Vec, offset: float) -> Vec:
    return x - max(normal @ x - offset, 0) / (normal @ normal) * normal


def affine_set(x: Vec, matrix: Vec, offset: Vec) -> Vec:
    return x - matrix.T @ np.linalg.solve(matrix @ matrix.T, matrix @ x - offset)


def hyperslab(x: Vec, normal: Vec, lower: float, upper: float) -> Vec:
    along = normal @ x
    return x - (along - np.clip(along, lower, upper)) / (normal @ normal) * normal


def box_section(x: Vec, normal: Vec, offset: float, lower: float, upper: float) -> Vec:
    """Kiwiel 2008: the multiplier by its breakpoints, in the order of which the equation is piecewise linear."""
    v, a = x.astype(np.float64), normal.astype(np.float64)
    ends = np.stack([(v - lower) / a, (v - upper) / a])
    knots = np.concatenate([ends.min(0), ends.max(0)])
    order = np.argsort(knots)
    knots, slopes = knots[order], np.cumsum(np.concatenate([-(a**2), a**2])[order])
    first = a @ np.where(a > 0, upper, lower)
    values = first + np.concatenate([[0], np.cumsum(slopes[:-1] * np.diff(knots))])
    tau = np.interp(-offset, -values, knots)
    return np.clip(v - tau * a, lower, upper).astype(x.dtype)


def tikhonov(x: Vec, lam: float, matrix: Vec) -> Vec:
    """Woodbury: ``(I + 2λAᵀA)⁻¹``."""
    return x - matrix.T @ np.linalg.solve(np.eye(len(matrix), dtype=x.dtype) / (2 * lam) + matrix @ matrix.T, matrix @ x)


def sparse_ball(x: Vec, k: int) -> Vec:
    out = np.zeros_like(x)
    kept = np.argpartition(-np.abs(x), k)[:k]
    out[kept] = x[kept]
    return out


def second_order_cone(x: Vec) -> Vec:
    """Parikh and Boyd 2014, §6.3.2, outside the cone and its polar."""
    size = np.sqrt(np.sum(x[1:] ** 2))
    if size <= x[0]:
        return x
    if size <= -x[0]:
        return np.zeros_like(x)
    return (x[0] + size) / 2 * np.concatenate([np.ones_like(x[:1]), x[1:] / size])


def rotated_second_order_cone(x: Vec) -> Vec:
    """The other cone, turned by 45° in the first two numbers."""

    def turn(v: Vec) -> Vec:
        return np.concatenate([np.stack([v[0] + v[1], v[0] - v[1]]) / x.dtype.type(2**0.5), v[2:]])

    return turn(second_order_cone(turn(x)))


def exponential_cone(x: Vec) -> Vec:
    """Friberg 2023, of each row: x is ``p·(ρ, 1, e^ρ) + d·(1, 1 − ρ, −e^−ρ)`` with p, d > 0, and ρ is found by halving.

    Inside the cone nothing moves, in its polar all is 0, and where ``x₁, x₂ <= 0`` the face ``w₂ = 0`` is nearest.
    """
    a, b, c = x.astype(np.float64).T
    with np.errstate(all="ignore"):  # of rows whose answer is another's
        inside = np.where(b > 0, b * np.exp(a / b) <= c, (b == 0) & (a <= 0) & (c >= 0))
        polar = np.where(a > 0, a * np.exp(b / a - 1) <= -c, (a == 0) & (b <= 0) & (c <= 0))
        low, high = np.where(a > 0, 1 - b / a, -1e6), np.where(b > 0, a / b, 1e6)

        def parts(rho: Vec) -> tuple[Vec, Vec]:
            return ((rho - 1) * a + b) / (rho**2 - rho + 1), (a - rho * b) / (rho**2 - rho + 1)

        for _ in range(80):
            rho = (low + high) / 2
            p, d = parts(rho)
            below = p * np.exp(rho) - d * np.exp(-rho) < c
            low, high = np.where(below, rho, low), np.where(below, high, rho)
        p, d = parts(high)
        # For a large ρ the difference that p is rounds away; the equation that ρ solves has it too.
        third = np.where(high > 0, c + d * np.exp(-high), p * np.exp(high))
        p = np.where(high > 0, third * np.exp(-high), p)
        on_ray = np.stack([p * high, p, third], 1)
    face = np.stack([a, np.zeros_like(b), np.maximum(c, 0)], 1)
    answer = np.where(((a <= 0) & (b <= 0))[:, None], face, on_ray)
    return np.where(inside[:, None], x, np.where(polar[:, None], 0, answer)).astype(x.dtype)
