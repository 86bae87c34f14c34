"""The parts of sketched least squares: the problem, the factor that the sketch gives, and LSQR.

The equations are those of `lstsq`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg as sl

from numsolve._core import arrays, checks

from .operators import make_sketch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numsolve._core.typing import Array, ArrayLike, Matrix

#: Rows of A that are worked on together: A N is never stored.
ROWS = 4096
#: Where eps cond^2 is at most this, A'A alone gives the factor of (2), for half the work: its relative
#: errors, of that size, are what a refinement leaves of an error.
HARMLESS = 1e-3
#: The largest backward error, over 1 / cond, that says something of x; and the rounding errors of the best.
SAFE, ROUNDING = 1e-2, 4.0
#: Entries beyond these are scaled first, so that no product of two leaves the range of floats.
LEAST, LARGEST = 1e-100, 1e100
#: The largest float: the size of entries whose norm is beyond it.
LAST = float(np.finfo(np.float64).max)
#: What a result says whose x has lost too much.
BELOW = "Entries of the solution are below the least float."


@dataclass(frozen=True)
class Task:
    """min ||A x - b|| with b (n, k): A, if huge or tiny, and each column of b are scaled by powers of two."""

    A: Matrix
    b: Array
    vector: bool
    A_scale: float
    b_scale: Array
    norm: float  # ||A||_F
    eps: float

    @classmethod
    def make(cls, A: Matrix, b: ArrayLike) -> Task:
        """Check the user's arguments."""
        checks.refuse_masked("A", A)
        checks.refuse_masked("b", b)
        dtype = arrays.working_dtype(np, A=A, b=b)
        if arrays.is_sparse(A):
            matrix = checks.csr("A", A).astype(dtype, copy=False)
            size = arrays.norm(np, matrix.data)
        else:
            if arrays.is_operator(A) and not isinstance(A, np.ndarray):
                raise TypeError("A is a linear operator; its entries are needed: give a matrix")
            matrix = checks.array("A", A, dtype=dtype, ndim=2)
            size = arrays.norm(np, matrix)
        if 0 in matrix.shape:
            raise ValueError(f"A is empty (shape {tuple(matrix.shape)})")
        right = checks.array("b", b, dtype=dtype, ndim=(1, 2))
        if right.shape[0] != matrix.shape[0]:
            raise ValueError(f"b must have {matrix.shape[0]} rows as A, got shape {tuple(right.shape)}")
        low, high = (LEAST, LARGEST) if dtype == np.float64 else (1e-12, 1e12)
        exponent = np.finfo(dtype).maxexp
        A_scale = 1.0 if low < size < high or size == 0.0 else power_of_two(size, exponent)
        if A_scale != 1.0:
            matrix = _times(matrix, A_scale)
            size = arrays.norm(np, matrix.data if arrays.is_sparse(matrix) else matrix)
        columns = right.reshape(right.shape[0], -1)
        b_scale = np.array([power_of_two(float(top), exponent) for top in np.max(np.abs(columns), axis=0)])
        return cls(
            matrix,
            columns * b_scale.astype(dtype),
            right.ndim == 1,
            A_scale,
            b_scale,
            size,
            float(np.finfo(dtype).eps),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of A."""
        n, d = self.A.shape
        return n, d

    def zeros(self) -> Array:
        """The start."""
        return np.zeros((self.A.shape[1], self.b.shape[1]), self.b.dtype)

    def present(self, x: Array) -> Array:
        """The user's x."""
        with np.errstate(over="ignore", under="ignore"):
            x = np.ldexp(x, self._exponents)
        return x[:, 0] if self.vector else x

    def kept(self, x: Array) -> Array:
        """What the range of floats keeps of the user's x, in our units: inf where it overflows."""
        return kept(x, self._exponents)

    @property
    def _exponents(self) -> Array:
        """Of the powers of two that make the user's x of ours."""
        return np.asarray(np.frexp(self.A_scale)[1] - np.frexp(self.b_scale)[1])

    def present_norms(self, norms: Array) -> Any:
        """The user's ||b - A x||."""
        with np.errstate(over="ignore"):
            values = norms / self.b_scale
        return float(values[0]) if self.vector else values


@dataclass
class Factor:
    """(1), for A or, if it has fewer rows than columns, for its transpose (`wide`)."""

    task: Task
    wide: bool
    size: int
    sigma: Array
    V: Array
    N: Array
    left: Array  # the solution of the sketched problem is N @ left
    rank: int
    cond: float
    norm: float
    R: Any = None  # of S A = Q R, where A is tall and has full rank: R^-1 then takes the place of N
    last: Any = (None, None)
    truncated: bool = False
    cholesky: Any = None
    right: Any = None  # (A N)'b
    norms: Array = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def draw(cls, task: Task, oversample: float, nnz: int, rcond: float, rng: np.random.Generator) -> Factor:
        """Sketch the matrix and factorise the sketch."""
        A = task.A
        n, d = A.shape
        wide = n < d
        long, short = (d, n) if wide else (n, d)
        s = max(math.ceil(oversample * short), short + 10)
        if s >= long:
            s, B, c = long, A.toarray() if arrays.is_sparse(A) else A, task.b
            B = B.T if wide else B
        else:
            S = make_sketch("sparse-sign", s, long, nnz=min(nnz, s), rng=rng)
            B = S @ (A.T if wide else A)
            c = task.b if wide else S @ task.b
        R = None
        if wide:
            Q = np.zeros((0, 0))
            U, sigma, Vt = sl.svd(B, full_matrices=False, check_finite=False)
        else:
            Q, R = sl.qr(B, mode="economic", check_finite=False)
            U, sigma, Vt = sl.svd(R, check_finite=False)
        rank = int(np.sum(sigma > rcond * sigma[0])) if sigma[0] > 0 else 0
        N = (Vt[:rank] / sigma[:rank, None]).T  # (1)
        left = np.zeros((0, c.shape[1])) if wide else (U.T @ (Q.T @ c))[:rank]
        cond = float(sigma[0] / sigma[-1]) if sigma[-1] > 0 else math.inf
        R = R if rank == short else None
        return cls(task, wide, s, sigma, Vt.T, N, left, rank, cond, task.norm, R)

    def truncate(self, rcond: float) -> None:
        """Drop singular values of A that are no rounding errors: with those of C N^+, which are A's own.

        The sketch knows them up to a factor only, and its singular vectors have the error of the gap.
        """
        upper = np.triu(self.cholesky[0])
        back = self.R if self.R is not None else self.sigma[: self.rank, None] * self.V[:, : self.rank].T
        U, sigma, Vt = sl.svd(upper @ back, full_matrices=False, check_finite=False)
        rank = int(np.sum(sigma > rcond * sigma[0]))
        inner = sl.solve_triangular(upper, self.right, trans="T", check_finite=False)
        self.sigma, self.V, self.R, self.cholesky, self.rank = sigma[:rank], Vt[:rank].T, None, None, rank
        self.N, self.truncated, self.last = self.V / self.sigma, True, (None, None)
        self.right = self.N.T @ self.task.b if self.wide else U[:, :rank].T @ inner

    # -- the certificate ---------------------------------------------------------------------------

    def gradient(self, x: Array) -> Array:
        """A'(b - A x); keeps the norms of the residuals."""
        r = self.task.b - self.task.A @ x
        self.norms = np.linalg.norm(r, axis=0)
        if self.wide and self.truncated:  # what was dropped of A is no part of the problem
            r = self.V @ (self.V.T @ r)
        return np.asarray(self.task.A.T @ r)

    def backward_error(self, x: Array) -> float:
        """(4), the largest over the right-hand sides."""
        g = self.last[1] if self.last[0] is x else self.gradient(x)
        self.last = (x, g)
        if self.norm == 0.0:
            return 0.0 if not np.any(g) else math.inf
        xs = np.linalg.norm(x, axis=0)
        if not (np.isfinite(g).all() and np.isfinite(xs).all()):
            return math.inf
        if self.wide:  # the singular values are those of A, its right singular vectors are not at hand
            weights = np.maximum(self.norms, xs * self.sigma[-1])
            top = np.linalg.norm(g, axis=0)
        else:
            weights = np.hypot(xs * self.sigma[:, None], self.norms)  # (4)
            part = self.V.T @ g
            top = np.linalg.norm(np.divide(part, weights, out=np.zeros_like(part), where=weights > 0), axis=0)
            weights = np.ones_like(xs)
        rho = np.divide(top, weights, out=np.zeros_like(top), where=weights > 0)
        # A change of size ||r|| / ||x|| makes the equations hold exactly.
        with np.errstate(divide="ignore", invalid="ignore"):
            direct = np.where(xs > 0, self.norms / xs, np.where(self.norms > 0, np.inf, 0.0))
        return float(np.max(np.minimum(rho, direct), initial=0.0)) / self.norm

    def bound(self, x: Array, gradient: float) -> float:
        """An upper bound of (4) from ||N'A'r|| alone, with the residuals' norms last computed."""
        xs = float(np.min(np.linalg.norm(x, axis=0), initial=math.inf))
        rs = float(np.min(self.norms, initial=math.inf))
        top = float(self.sigma[0])
        ways = [1.0 / xs if xs > 0 else math.inf, top / rs if rs > 0 else math.inf]
        return gradient * min(ways) / self.norm if min(ways) < math.inf else 0.0

    def error_estimate(self, x: Array) -> float:
        """||x - x*|| / ||x*||: the next step of (2), and what rounding errors make of x."""
        size = np.linalg.norm(x, axis=0)
        if self.rank == 0 or not size.any():
            return 0.0 if not self.gradient(x).any() else math.inf
        step = np.linalg.norm(self.correction(x), axis=0)
        used, change = self.used, max(self.task.eps, self.backward_error(x))
        if change * used >= 1.0:  # the changed matrix may be singular
            return math.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.where(size > 0, step / size, np.where(step > 0, math.inf, 0.0))
            angle = np.where(size > 0, self.norms / (self.sigma[0] * size), 0.0)
        return float(np.max(each + change * used * (1.0 + used * angle) / (1.0 - change * used)))

    @property
    def safe(self) -> float:
        """The backward error beyond which the changed matrix could be far closer to a singular one."""
        return max(ROUNDING * self.task.eps, SAFE / self.used)

    @property
    def used(self) -> float:
        """The condition number of what is left of the matrix."""
        return float(self.sigma[0] / self.sigma[self.rank - 1]) if self.rank else 1.0

    # -- (2) ---------------------------------------------------------------------------------------

    def orthogonalise(self, give_up: Callable[[], bool]) -> bool:
        """Y'Y for Y = A N, block by block, and its Cholesky factor; False if there is none, or no time."""
        A = self.task.A.T if self.wide else self.task.A
        A = A.tocsr() if arrays.is_sparse(A) else A
        if self.rank == 0:
            self.cholesky = None
            return True
        syrk, trsm = sl.get_blas_funcs(("syrk", "trsm"), (self.N,))
        R = None if self.R is None else np.asfortranarray(self.R)
        late = self.rank == A.shape[1] and self.task.eps * self.used**2 <= HARMLESS
        size = A.shape[1] if late else self.rank
        gram = np.zeros((size, size), self.N.dtype, order="F")
        right = np.zeros((size, self.task.b.shape[1]), self.N.dtype)
        for first in range(0, A.shape[0], ROWS):
            block = A[first : first + ROWS]
            block = block.toarray() if (late or R is not None) and arrays.is_sparse(A) else block
            Yt = block.T
            if not late:
                Yt = (block @ self.N).T if R is None else trsm(1.0, R, Yt, trans_a=1)  # (2)
            gram = syrk(1.0, Yt, beta=1.0, c=gram, overwrite_c=True)
            if not self.wide:
                right += Yt @ self.task.b[first : first + ROWS]
            if give_up():
                return False
        if late:
            gram = self.down(self.down(np.triu(gram) + np.triu(gram, 1).T).T)
            right = self.down(right)
        self.right = self.down(self.task.b) if self.wide else right
        try:
            self.cholesky = sl.cho_factor(gram, lower=False, check_finite=True)
        except (np.linalg.LinAlgError, ValueError):
            return False
        return True

    def first_step(self) -> Array:
        """The step of (2) from zero, with (A N)'b: N'(A'b) would lose as many digits as A and N have."""
        return self.task.zeros() if self.rank == 0 else self.step(self._inverse(self.right))

    def correction(self, x: Array) -> Array:
        """The step of (2) from x."""
        g = self.last[1] if self.last[0] is x else self.gradient(x)
        if self.rank == 0:
            return np.zeros_like(x)
        return self.step(self._inverse(self.down(self.task.b - self.task.A @ x if self.wide else g)))

    def down(self, v: Array) -> Array:
        """N'v."""
        solved = None if self.R is None else sl.solve_triangular(self.R, v, trans="T", check_finite=False)
        return np.asarray(self.N.T @ v if solved is None else solved)

    def step(self, y: Array) -> Array:
        """N y; for a wide A, (A'N) y, which has the least norm."""
        if not self.wide:
            solved = None if self.R is None else sl.solve_triangular(self.R, y, check_finite=False)
            return np.asarray(self.N @ y if solved is None else solved)
        A = self.task.A.T.tocsr() if arrays.is_sparse(self.task.A) else self.task.A.T
        parts = [A[first : first + ROWS] @ self.N for first in range(0, A.shape[0], ROWS)]
        return np.concatenate([Y @ y for Y in parts])

    def _inverse(self, v: Array) -> Array:
        return v if self.cholesky is None else np.asarray(sl.cho_solve(self.cholesky, v, check_finite=False))

    def combine(self, y: Array) -> Array:
        """N y for LSQR, which never forms A N."""
        return np.asarray(self.task.A.T @ (self.N @ y) if self.wide else self.N @ y)

    def sketched_solution(self) -> Array:
        """The solution of the sketched problem, where LSQR starts."""
        return self.task.zeros() if self.wide else np.asarray(self.N @ self.left)


def lsqr(task: Task, factor: Factor, x: Array) -> Iterator[tuple[Array, float]]:
    """LSQR (Paige, Saunders, 1982) on A N y = b - A x, all right-hand sides at once.

    Yields y and the largest ||N'A'r|| after each step.
    """
    A, N = task.A, factor.N

    def product(y: Array) -> Array:
        return np.asarray(N.T @ (A @ (A.T @ (N @ y)))) if factor.wide else np.asarray(A @ (N @ y))

    def adjoint(u: Array) -> Array:
        return product(u) if factor.wide else np.asarray(N.T @ (A.T @ u))

    r = task.b - A @ x
    u, beta = _unit(N.T @ r if factor.wide else r)
    v, alpha = _unit(adjoint(u))
    w, y = v, np.zeros_like(v)
    phi, rho = beta, alpha
    while True:
        u, beta = _unit(product(v) - alpha * u)
        v_new = adjoint(u) - beta * v
        v, alpha_new = _unit(v_new)
        size = np.hypot(rho, beta)
        c, s = _ratio(rho, size), _ratio(beta, size)
        theta, rho_next = s * alpha_new, -c * alpha_new
        step = _ratio(c * phi, size)
        y = y + step * w
        w = v - _ratio(theta, size) * w
        phi, rho, alpha = s * phi, rho_next, alpha_new
        yield y, float(np.max(np.abs(phi * alpha * c), initial=0.0))


def _unit(v: Array) -> tuple[Array, Array]:
    size = np.linalg.norm(v, axis=0)
    return v * _ratio(np.ones_like(size), size), size


def _ratio(a: Array, b: Array) -> Array:
    return np.asarray(np.divide(a, b, out=np.zeros_like(a), where=b != 0))


def power_of_two(size: float, exponent: int = 1024) -> float:
    """A power of two that brings a size near one; below 2^`exponent`, as the floats that it multiplies."""
    if size == 0.0:
        return 1.0
    most = exponent - 24
    return math.ldexp(1.0, -min(max(math.frexp(min(size, LAST))[1], -most), most))


def kept(x: Array, exponents: Any) -> Array:
    """What the range of floats keeps of x 2^exponents, times 2^-exponents: inf where it overflows."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(np.ldexp(x, exponents), -exponents))


def _times(X: Any, factor: float) -> Any:
    return X if factor == 1.0 else X * X.dtype.type(factor)
