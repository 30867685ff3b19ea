"""What the library's closed forms are held against: definitions in NumPy, and searches that know nothing of any formula.

Every function takes ``f``, a NumPy function of points (…, d) that returns (…) values, +inf outside its domain.
"""

import numpy as np


def zoom(f, dims, radius, refinements=30, points=41, shrink=0.5):
    """The minimiser of f in the cube of that radius: a grid over all of it, then finer grids about the best point so far.

    A convex f is followed to about 1e-8, where its values no longer tell points apart. The halving is slow enough for the
    minimiser never to leave the window of ±10 cells about the best point.
    """
    best, half = np.zeros(dims), float(radius)
    for _ in range(refinements):
        offsets = np.linspace(-half, half, points if dims == 2 else 2001)
        grid = np.stack(np.meshgrid(*[offsets] * dims, indexing="ij"), axis=-1).reshape(-1, dims) + best
        # Zero and the best point are candidates: kinks are met exactly.
        grid = np.concatenate([grid, best[None], np.zeros((1, dims)), np.where(np.eye(dims, dtype=bool), best, 0.0)])
        values = f(grid)
        best = grid[np.argmin(values)]
        half *= shrink
    return best


def prox(f, v, step, radius=8.0):
    """argmin_z ½‖z − v‖² + step·f(z), by search."""
    v = np.asarray(v, float)
    return zoom(lambda z: ((z - v) ** 2).sum(-1) / 2 + step * f(z), v.size, radius)


def conjugate(f, u, radius=32.0):
    """sup_w ⟨u, w⟩ − f(w), by search; +inf where a cube twice as large holds a larger value still."""
    u = np.asarray(u, float)
    best = [zoom(lambda z: f(z) - z @ u, u.size, r) for r in (radius, 2 * radius)]
    small, large = (u @ w - f(w[None])[0] for w in best)
    return np.inf if large > small + 1e-6 else small


def directions(dims, count=20_000):
    """Unit vectors, the coordinate axes and (in the plane) the diagonals exactly among them: leaving an axis by a rounding may
    leave the domain, and a derivative may bend where two numbers are level."""
    axes = np.concatenate([np.eye(dims), -np.eye(dims)])
    if dims == 1:
        return axes
    angle = 2 * np.pi * (np.arange(count) + 0.5) / count
    diagonals = np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)]) / np.sqrt(2)
    return np.concatenate([axes, diagonals, np.stack([np.cos(angle), np.sin(angle)], axis=-1)])


def slopes(f, w, along, t=1e-7):
    """One-sided directional derivatives f'(w; d)."""
    w = np.asarray(w, float)
    return (f(w + t * along) - f(w[None])[0]) / t


def subdiff_distance(f, w, grad):
    """Distance from −grad to the subdifferential of a convex f at w: by duality, the steepest descent of f + ⟨grad, ·⟩ at w."""
    along = directions(len(w))
    return max(0.0, float(-np.min(slopes(f, w, along) + along @ np.asarray(grad, float))))


def lambda_max(f, grad, upper=1e3):
    """The smallest λ at which no direction out of zero descends on ⟨grad, ·⟩ + λ·f, by bisection; +inf beyond ``upper``."""
    along = directions(len(grad))
    slope, linear = slopes(f, np.zeros(len(grad)), along), along @ np.asarray(grad, float)

    def solved(lam):
        return np.all(lam * slope + linear >= -1e-9)

    if not solved(upper):
        return np.inf
    low, high = 0.0, upper
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if solved(middle) else (middle, high)
    return high


def is_smooth_along(f, w, i):
    """Whether the two one-sided derivatives along coordinate i are each other's negatives."""
    e = np.eye(len(w))[[i]]
    if not np.isfinite(f(np.asarray(w, float)[None])[0]):
        return False
    ahead, behind = slopes(f, w, e)[0], slopes(f, w, -e)[0]
    return bool(np.isfinite(ahead) and np.isfinite(behind) and abs(ahead + behind) < 1e-4)
