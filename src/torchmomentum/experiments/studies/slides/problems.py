"""Convex problems with all that a method may be told of them: value, gradient, noise, minimum.

Points are ``(..., n)`` arrays of float64: as many at once as one likes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Noise = Callable[[int, np.random.Generator, tuple[int, ...]], Array]


class Laplacian(NamedTuple):
    r"""The slides' quadratic :math:`f(w) = \frac12 w^T L w - w^T b`, without storing :math:`L`.

    The slides print the Laplacian of a cycle with :math:`b = e_1`, which is unbounded below along
    the ones, :math:`e_1` having a mean. The released curves are those of a path (the tridiagonal
    matrix 2, -1). Both are here, the cycle with :math:`e_1` less its mean.

    Attributes:
        size: :math:`n`.
        cycle: Whether the ends are neighbours.
    """

    size: int = 1000
    cycle: bool = False

    @property
    def smoothness(self) -> float:
        """The gradient's Lipschitz constant: no eigenvalue is above it."""
        return 4.0

    @property
    def drive(self) -> Array:
        """:math:`b`."""
        b = np.zeros(self.size)
        b[0] = 1.0
        return b - 1.0 / self.size if self.cycle else b

    @property
    def start(self) -> Array:
        """Where the released code begins: zero."""
        return np.zeros(self.size)

    def product(self, w: Array, out: Array | None = None) -> Array:
        """:math:`L w`."""
        found = np.multiply(w, 2.0, out=out)
        found[..., 1:] -= w[..., :-1]
        found[..., :-1] -= w[..., 1:]
        if self.cycle:
            found[..., 0] -= w[..., -1]
            found[..., -1] -= w[..., 0]
        return found

    def gradient(self, w: Array, out: Array | None = None) -> Array:
        """:math:`L w - b`."""
        found = self.product(w, out)
        if self.cycle:
            found -= self.drive
        else:
            found[..., 0] -= 1.0
        return found

    @property
    def minimum(self) -> Array:
        """The minimizer, of the cycle that without a mean."""
        n = self.size
        if not self.cycle:
            return (n - np.arange(n)) / (n + 1.0)
        k = np.arange(n)
        # the periodic solution of -w'' = b in differences, shifted to a mean of zero
        w: Array = k * (k - n) / (2.0 * n)
        centred: Array = w - w.mean()
        return centred

    def value(self, w: Array) -> Array:
        """:math:`f(w)`."""
        # w . b without b: its one number and, of the cycle, the mean
        driven = w[..., 0] - w.mean(-1) if self.cycle else w[..., 0]
        found: Array = 0.5 * np.sum(w * self.product(w), -1) - driven
        return found

    def gap(self, w: Array) -> Array:
        """:math:`f(w) - f^*`, as half the energy of the error: nothing cancels."""
        error = w - self.minimum
        first = error[..., :1] if not self.cycle else error[..., :1] - error[..., -1:]
        steps = np.diff(error, axis=-1)
        found: Array = np.sum(steps * steps, -1) + np.sum(first * first, -1)
        if not self.cycle:
            found = found + error[..., -1] ** 2
        return 0.5 * found


def exact(k: int, generator: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """No noise."""
    return 0.0


def decaying(k: int, generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Case I of the slides: a standard deviation of 0.1 / (floor(k / 100) + 1)."""
    return 0.1 / (k // 100 + 1) * generator.standard_normal(shape)


def constant(k: int, generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Case II of the slides: a standard deviation of 0.001."""
    return 0.001 * generator.standard_normal(shape)


class Logistic:
    r"""Case III: softmax regression on images, with mini-batches.

    .. math:: f(w) = -\frac1N \sum_i \log p_{y_i}(x_i) + \frac\lambda2 \|w\|^2

    Args:
        inputs: ``(N, features)``, a column of ones is added.
        labels: ``(N,)``, integers from 0.
        penalty: :math:`\lambda`, positive: it makes the minimum one point.
    """

    def __init__(self, inputs: Array, labels: NDArray[np.int64], penalty: float = 1e-4) -> None:
        self.x = np.hstack([inputs, np.ones((len(inputs), 1))])
        self.y, self.penalty = labels, penalty
        self.classes = int(labels.max()) + 1
        self.size = self.x.shape[1] * self.classes
        top = np.linalg.eigvalsh(self.x.T @ self.x / len(self.x))[-1]
        self.smoothness = 0.5 * float(top) + penalty

    @property
    def start(self) -> Array:
        """Zero: all classes alike."""
        return np.zeros(self.size)

    def _log_probabilities(self, w: Array, rows: Any) -> Array:
        scores = self.x[rows] @ w.reshape(-1, self.classes)
        scores -= scores.max(1, keepdims=True)
        found: Array = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        return found

    def value(self, w: Array, rows: Any = slice(None)) -> float:
        """:math:`f(w)`, of some samples or all."""
        log_p, y = self._log_probabilities(w, rows), self.y[rows]
        return float(-log_p[np.arange(len(y)), y].mean() + 0.5 * self.penalty * (w @ w))

    def gradient(self, w: Array, rows: Any = slice(None)) -> Array:
        """Its gradient."""
        p, y = np.exp(self._log_probabilities(w, rows)), self.y[rows]
        p[np.arange(len(y)), y] -= 1.0
        found: Array = (self.x[rows].T @ p / len(y)).ravel() + self.penalty * w
        return found

    def accuracy(self, w: Array, inputs: Array, labels: NDArray[np.int64]) -> float:
        """How many of other samples are classified rightly, in [0, 1]."""
        scores = np.hstack([inputs, np.ones((len(inputs), 1))]) @ w.reshape(-1, self.classes)
        return float((scores.argmax(1) == labels).mean())
