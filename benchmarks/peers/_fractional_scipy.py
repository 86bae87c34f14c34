"""What people write by hand in SciPy for Riesz equations on (0, 1): centred differences of order two.

The matrix is a symmetric Toeplitz matrix. It is solved by Levinson's recursion, by LU, or by conjugate
gradients with a tau matrix, which sine transforms invert, as preconditioner; `eigh` diagonalises it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.fft import dst, irfft, next_fast_len, rfft
from scipy.linalg import eigh, lu_factor, lu_solve, solve_toeplitz, toeplitz
from scipy.special import gamma, gammaln, rgamma


def points(n: int) -> Any:
    """The inner points of a mesh of n spans."""
    return np.arange(1, n) / n


def column(n: int, alpha: float) -> Any:
    """The first column of the matrix, with the weights written as gamma functions."""
    k = np.arange(1.0, n - 1)
    first = float(gamma(alpha + 1) * rgamma(alpha / 2 + 1) ** 2)
    # |g_k| by gamma functions; for 1 < alpha < 2 all of them are negative beyond the first.
    size = gammaln(alpha + 1) + gammaln(k - alpha / 2) - gammaln(k + alpha / 2 + 1)
    rest = -np.exp(size) * abs(math.sin(math.pi * alpha / 2)) / math.pi
    return np.concatenate([[first], rest]) * float(n) ** alpha


def levinson(n: int, alpha: float, f: Any) -> Any:
    """Values of the solution for the right-hand side f."""
    return solve_toeplitz(column(n, alpha), f(points(n)))


class TauCG:
    """``I + c A`` by conjugate gradients, preconditioned by a tau matrix."""

    def __init__(self, n: int, alpha: float, c: float) -> None:
        t = c * column(n, alpha)
        t[0] += 1
        self.size = n - 1
        self.length = next_fast_len(2 * self.size)
        circulant = np.zeros(self.length)
        circulant[: self.size], circulant[self.length - self.size + 1 :] = t, t[:0:-1]
        self.eigenvalues = rfft(circulant).real
        theta = np.pi * np.arange(1, n) / n
        self.inverse = 1 / (1 + c * (2 * n * np.sin(theta / 2)) ** alpha) / (2 * n)

    def product(self, x: Any) -> Any:
        """The product with x."""
        return irfft(self.eigenvalues * rfft(x, self.length), self.length)[: self.size]

    def solve(self, b: Any, rtol: float = 1e-10) -> Any:
        """The solution, up to a relative residual of rtol."""
        x, r = np.zeros_like(b), b.copy()
        z = dst(self.inverse * dst(r, type=1), type=1)
        d, rz, stop = z, r @ z, rtol * np.linalg.norm(b)
        while np.linalg.norm(r) > stop:
            q = self.product(d)
            a = rz / (d @ q)
            x, r = x + a * d, r - a * q
            z = dst(self.inverse * dst(r, type=1), type=1)
            rz, old = r @ z, rz
            d = z + rz / old * d
        return x


def trapezoidal(n: int, alpha: float, u: Any, dt: float, steps: int, *, dense: bool, damped: bool) -> Any:
    """States of ``du/dt = -A u`` after each step; `damped` begins with two implicit half-steps for a step."""
    if dense:
        A = toeplitz(column(n, alpha))
        factors = lu_factor(np.eye(n - 1) + dt / 2 * A)

        def half(v: Any) -> Any:
            return lu_solve(factors, v, check_finite=False)
    else:
        half = TauCG(n, alpha, dt / 2).solve
    states = []
    for step in range(steps):
        middle = half(u)
        u = half(middle) if damped and step < 2 else 2 * middle - u
        states.append(u)
    return np.array(states)


def one_step(n: int, alpha: float, u: Any, dt: float, rtol: float) -> Any:
    """The state after one step of the trapezoidal rule, solved to a relative residual of rtol."""
    return 2 * TauCG(n, alpha, dt / 2).solve(u, rtol) - u


def square(n: int, alpha: float) -> Any:
    """The equation with f = 1 on the square, diagonalised."""
    w, V = eigh(toeplitz(column(n, alpha)))
    once = V.T @ np.ones(n - 1)
    return V @ (np.outer(once, once) / (w[:, None] + w)) @ V.T


def eigenvalues(n: int, alpha: float, k: int) -> Any:
    """The k smallest eigenvalues."""
    return eigh(toeplitz(column(n, alpha)), eigvals_only=True, subset_by_index=(0, k - 1))
