# mypy: disable-error-code=no-any-return
# (array libraries, kernels and SciPy have no types: what they return is an Array by our word)
r"""Newton's method on the semi-duals of quadratic and of sparsity-constrained transport.

With the best columns t_j(f) for the prices f, the concave function

    F(f) = a.f - sum_j max { (f - M_j).t - (reg/2) ||t||^2 - (prox/2) ||t - T_j||^2 : t >= 0, sum t = b_j }

has the gradient a - r, r = sum_j t_j(f), which is piecewise linear: its derivative -S is that of the piece at
f, the Laplacian of a graph. Steps (S + shift) x = a - r, as long as F rises well along x, end at the maximum
once they are on its piece (D. Lorenz, P. Manns, C. Meyer, "Quadratically regularized optimal transport",
Appl. Math. Optim. 83, 2021). Where a step had to be cut, or leaves rows far off, the other half of an
alternating ascent helps: f that makes the rows exact for the present g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_solve

from numsolve.transport._ascent import Ascent, State

from ._pairs import factorised, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numsolve._core.typing import Array, Kernels
    from numsolve.transport._deadline import Deadline

    from ._pairs import ByColumns

#: First shift, and the largest number of unknowns for which S is factorised.
FIRST_SHIFT, DENSE_BELOW = 1e-2, 5000
#: A step ends where the slope of F has fallen to this share.
SLOPE = 0.3
#: Nanoseconds of conjugate gradients between two looks at the clock.
CHUNK = 2e7


@dataclass
class SparseState(State):
    """A point, and its plan by columns; `square` is the sum of its squared entries.

    Of the entries of a column the first `whole` are not tied; without a limit that is all of them.
    """

    whole: Array
    ptr: Array
    rows: Array
    t: Array
    square: float


class SparseDual(Ascent[SparseState]):
    """F without a limit on the nonzeros, prox = 0."""

    def __init__(
        self,
        kernels: Kernels,
        M: Array,
        Mt: Array,
        a: Array,
        b: Array,
        reg: float,
        counts: dict[str, int],
        deadline: Deadline,
    ) -> None:
        self.kernels, self.M, self.Mt, self.a, self.b, self.reg = kernels, M, Mt, a, b, reg
        self.counts, self.deadline, self.xp = counts, deadline, np
        number = np.finfo(np.float64)
        self.unit, self.tiny = float(number.eps), float(number.tiny)
        self.m, self.n = Mt.shape
        self.direct = False  # whether factorising has turned out to be cheaper

    def at(self, f: Array, g: Array) -> SparseState:
        """Evaluate everything at f; g is a guess."""
        self.deadline.check()
        g, ptr, rows, t, r, square = self.kernels.balanced_columns(self.Mt, f, self.b, self.reg, g)
        fun = self.dot(self.a, f) + self.dot(self.b, g) - 0.5 * self.reg * square
        return SparseState(f, g, r, self.a, fun, self.l1(r - self.a), np.diff(ptr), ptr, rows, t, square)

    def sweep(self, s: SparseState) -> SparseState:
        """The rows exact, then the columns."""
        self.counts["nsinkhorn"] += 1
        return self.at(self.kernels.balance(self.M, s.g, self.a, self.reg, s.f), s.g)

    def direction(self, s: SparseState, shift: float) -> Array:
        """Solve (S + shift / reg) x = a - r as far as the error deserves, the cheaper way."""
        rhs = self.reg * (self.a - s.r)
        rhs -= rhs.mean()
        if not (self.direct and self.n <= DENSE_BELOW):
            stop = min(0.1, s.error**0.5) * float(np.abs(rhs).sum())
            # Nanoseconds of one step and of one factorisation: their ratio bounds the steps.
            limit = max(20, int(self.n**3 / 75 / self.step_cost(s)))
            x, done = self.conjugate_gradients(s, shift, rhs, stop, 1000 if self.n > DENSE_BELOW else limit)
            if done or self.n > DENSE_BELOW:
                return x
            self.direct = True
        return _solved(self.laplacian(s), shift / self.reg, self.a - s.r)

    def step_cost(self, s: SparseState) -> float:
        """Nanoseconds of one step of conjugate gradients."""
        return 2.0 * s.t.size + 8 * self.n

    def conjugate_gradients(
        self, s: SparseState, shift: float, rhs: Array, stop: float, limit: int
    ) -> tuple[Array, bool]:
        """Solve (reg S + shift) x = rhs; say whether the residual is at most `stop` in the 1-norm."""
        work, rz, done = np.empty((5, self.n)), -1.0, False
        chunk = 1 + int(CHUNK / self.step_cost(s))
        for first in range(0, limit, chunk):
            some = min(chunk, limit - first)
            rz, _, done = self.kernels.laplacian_cg(s.ptr, s.rows, shift, rhs, work, rz, stop, some)
            if done:
                break
            self.deadline.check()
        return work[0], done

    def laplacian(self, s: SparseState) -> Array:
        """The lower triangle of S."""
        return self._laplacian(s, 0.0, self.n)

    def _laplacian(self, s: SparseState, prox: float, k: int) -> Array:
        S = np.zeros((self.n, self.n))
        for piece in pieces(s.ptr, self.deadline):
            self.kernels.add_laplacian(S, self.reg, prox, k, s.whole, s.ptr, s.rows, *piece)
        return S


class Proximal(SparseDual):
    """F near an old plan T, with at most k nonzeros a column."""

    def __init__(self, plain: SparseDual, k: int, prox: float, old: ByColumns) -> None:
        super().__init__(
            plain.kernels, plain.M, plain.Mt, plain.a, plain.b, plain.reg, plain.counts, plain.deadline
        )
        self.k, self.prox, self.old = k, prox, old

    def at(self, f: Array, g: Array) -> SparseState:
        """Evaluate everything at f."""
        self.deadline.check()
        settings = (self.b, self.reg, self.prox, self.k, *self.old)
        g, whole, ptr, rows, t, r, total = self.kernels.best_columns(self.Mt, f, *settings)
        fun, error = self.dot(self.a, f) - float(total), self.l1(r - self.a)
        return SparseState(f, g, r, self.a, fun, error, whole, ptr, rows, t, self.dot(t, t))

    def sweep(self, s: SparseState) -> SparseState:
        """The rows have no closed form here."""
        return s

    def direction(self, s: SparseState, shift: float) -> Array:
        """Solve (S + shift / (reg + prox)) x = a - r."""
        return _solved(self.laplacian(s), shift / (self.reg + self.prox), self.a - s.r)

    def laplacian(self, s: SparseState) -> Array:
        """The lower triangle of S."""
        return self._laplacian(s, self.prox, self.k)


def newton(dual: SparseDual, s: SparseState) -> Iterator[SparseState]:
    """Points that approach the maximum of F, without end: whoever asks for the next one bounds them."""
    shift = FIRST_SHIFT
    while True:
        yield s
        x = dual.direction(s, min(shift, s.error))
        s, length = _along(dual, s, x)
        dual.counts["nnewton"] += 1
        shift = max(shift / 4, 1e-12) if length >= 0.9 else shift * (4 if length < 0.3 else 1)
        if length != 1.0 or dual.far_off(s):
            s = dual.sweep(s)


def _along(dual: SparseDual, s: SparseState, x: Array) -> tuple[SparseState, float]:
    """Go along x to where the slope of F has fallen to a third, by bisection with secants."""
    slope, noise = dual.dot(s.goal - s.r, x), 2 * dual.noise(s)  # there are squares in F too
    low, high, length = (0.0, slope), None, 1.0
    new = s
    for _ in range(25):
        new = dual.at(s.f + length * x, s.g)
        here = dual.dot(s.goal - new.r, x)
        if abs(here) <= SLOPE * slope and new.fun >= s.fun - noise:
            break
        if here > SLOPE * slope:
            low = length, here
        else:
            high = length, here
        if high is None:
            length *= 2
        else:
            part = low[1] / (low[1] - high[1])
            length = low[0] + (high[0] - low[0]) * min(max(part, 0.1), 0.9)
    return new, length


def _solved(S: Array, shift: float, rhs: Array) -> Array:
    diagonal = np.arange(rhs.size)
    S[diagonal, diagonal] += shift
    return cho_solve(factorised(S), rhs, check_finite=False)
