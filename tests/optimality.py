"""How far an answer is from the best one, in NumPy alone: a duality gap that serves for any library's answer.

The problem is ``Σcᵢℓ(yᵢ, ηᵢ) + Σ aⱼ|wⱼ| + ½qⱼwⱼ²`` of ``η = Xw + b + offset`` within ``low <= w <= up``; columns with a = q = 0 and no
bounds are free. For every ν with ``Aᵀν = 0``, A the free columns and the ones, no point has a smaller value than
``⟨ν, offset⟩ − Σcℓ*(νᵢ/cᵢ) − Σ gⱼ*(−xⱼᵀν)`` (Fenchel). Several columns of w (classes) have one loss together.
"""

from typing import NamedTuple

import numpy as np


def xlogx(x):
    return np.where(x > 0, x * np.log(np.where(x > 0, x, 1)), np.where(x < 0, np.inf, 0))


def onehot(y, eta):
    return np.eye(eta.shape[1])[y.astype(int)]


def softmax(eta):
    e = np.exp(eta - eta.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def logsumexp(eta):
    top = eta.max(axis=1)
    return top + np.log(np.exp(eta - top[:, None]).sum(axis=1))


def sigmoid(eta):
    return 0.5 * (1 + np.tanh(eta / 2))


# ℓ, its gradient, its curvature (diagonal, or blocks for classes) and its conjugate, each of η as (n, columns).
LOSSES = {
    "gaussian": (
        lambda eta, y: ((y - eta[:, 0]) ** 2) / 2,
        lambda eta, y: eta - y[:, None],
        lambda eta, y: np.ones((len(y), 1, 1)),
        lambda u, y: u[:, 0] * y + u[:, 0] ** 2 / 2,
    ),
    "binomial": (
        lambda eta, y: np.logaddexp(0, eta[:, 0]) - y * eta[:, 0],
        lambda eta, y: sigmoid(eta) - y[:, None],
        lambda eta, y: (sigmoid(eta) * sigmoid(-eta))[:, :, None],
        lambda u, y: xlogx(y + u[:, 0]) + xlogx(1 - y - u[:, 0]),
    ),
    "poisson": (
        lambda eta, y: np.exp(eta[:, 0]) - y * eta[:, 0],
        lambda eta, y: np.exp(eta) - y[:, None],
        lambda eta, y: np.exp(eta)[:, :, None],
        lambda u, y: xlogx(y + u[:, 0]) - y - u[:, 0],
    ),
    "multinomial": (
        lambda eta, y: logsumexp(eta) - np.take_along_axis(eta, y.astype(int)[:, None], 1)[:, 0],
        lambda eta, y: softmax(eta) - onehot(y, eta),
        lambda eta, y: (p := softmax(eta))[:, :, None] * (np.eye(eta.shape[1]) - p[:, None, :]),
        lambda u, y: np.sum(xlogx(u + onehot(y, u)), axis=1),
    ),
}


class Problem(NamedTuple):
    loss: str
    X: np.ndarray
    y: np.ndarray
    c: np.ndarray  # (n,) weights of the rows, reduction included
    a: np.ndarray  # (p,)
    q: np.ndarray  # (p,)
    offset: np.ndarray  # (n, columns)
    low: np.ndarray  # (p,)
    up: np.ndarray  # (p,)
    intercept: bool = True

    @property
    def free(self):
        return (self.a == 0) & (self.q == 0) & np.isinf(self.low) & np.isinf(self.up)

    def eta(self, w, b):
        return self.X @ w.reshape(self.X.shape[1], -1) + np.ravel(b) + self.offset

    def value(self, w, b):
        """+inf outside the bounds."""
        w = w.reshape(self.X.shape[1], -1)
        if np.any(w < self.low[:, None]) or np.any(w > self.up[:, None]):
            return np.inf
        penalty = np.sum(self.a[:, None] * np.abs(w) + self.q[:, None] * w**2 / 2)
        return self.c @ LOSSES[self.loss][0](self.eta(w, b), self.y) + penalty

    def bound(self, w, b):
        """What no point is below, from the gradient at (w, b) moved to ``Aᵀν = 0`` by re-solving the free coordinates."""
        _, grad, bend, conjugate = LOSSES[self.loss]
        eta, c = self.eta(w, b), self.c[:, None]
        A = np.concatenate([np.ones((len(self.y), int(self.intercept))), self.X[:, self.free]], axis=1)
        for _ in range(30 if A.shape[1] else 0):
            blocks = self.c[:, None, None] * bend(eta, self.y)
            hessian = np.einsum("iq,ist,ir->qsrt", A, blocks, A).reshape(A.shape[1] * eta.shape[1], -1)
            move = np.linalg.pinv(hessian, rcond=1e-12, hermitian=True) @ (A.T @ (c * grad(eta, self.y))).ravel()
            eta = eta - A @ move.reshape(A.shape[1], -1)
            if np.abs(move).max() < 1e-15:
                break
        nu = c * grad(eta, self.y)
        pull = -self.X.T @ nu
        pull[self.free] = 0
        return max(self._dual(t * nu, t * pull, conjugate) for t in (1.0, self._shrink(pull)))

    def _shrink(self, pull):
        """The largest factor with ``|t·pull| <= a`` where no square and no bound makes up for more."""
        bare = (self.q == 0)[:, None]
        over = np.where(np.isposinf(self.up)[:, None], pull, 0)
        under = np.where(np.isneginf(self.low)[:, None], -pull, 0)
        excess = np.where(bare, np.maximum(over, under), 0)
        a = np.broadcast_to(self.a[:, None], pull.shape)
        return (1 - 1e-15) * min(1.0, np.min(np.where(excess > a, a / np.where(excess > 0, excess, 1), 1)))

    def _dual(self, nu, pull, conjugate):
        c, seen = self.c[:, None], self.c > 0
        best = np.sign(pull) * np.maximum(np.abs(pull) - self.a[:, None], 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            w = np.where(best == 0, 0, best / self.q[:, None])
            w = np.clip(w, self.low[:, None], self.up[:, None])
            g = np.where(w == 0, 0, pull * w - self.a[:, None] * np.abs(w) - self.q[:, None] * w**2 / 2)
        g = np.where(np.isinf(w), np.inf, g)
        data = np.sum(self.c[seen] * conjugate((nu / np.where(c > 0, c, 1))[seen], self.y[seen]))
        return np.sum(nu * self.offset) - data - np.sum(g)

    def gap(self, w, b):
        return self.value(w, b) - self.bound(w, b)

    def modulus(self, w, b, support):
        """The least curvature at (w, b) of the objective in the intercept and the coefficients of ``support`` (p, columns)."""
        p, columns = support.shape
        bend = self.c[:, None, None] * LOSSES[self.loss][2](self.eta(w, b), self.y)
        A = np.concatenate([self.X, np.ones((len(self.y), int(self.intercept)))], axis=1)
        hessian = np.einsum("iq,ist,ir->qsrt", A, bend, A)
        hessian[np.arange(p), :, np.arange(p), :] += self.q[:, None, None] * np.eye(columns)
        if columns > 1 and self.intercept:  # a shift of all classes' intercepts changes nothing: they are compared centred
            hessian[p, :, p, :] += 1
        kept = np.concatenate([support, np.ones((int(self.intercept), columns), bool)]).ravel()
        size = kept.size
        least = np.linalg.eigvalsh(hessian.reshape(size, size)[np.ix_(kept, kept)])
        return least[0] if least.size else np.inf
