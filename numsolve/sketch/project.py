"""Sketch-and-project: linear systems by projections onto random combinations of their equations.

With a sketch S of s columns, drawn anew for each step::

    z <- z - A' S (S'A A'S)^+ S'(A z - b)                                                              (1)

S one column of the identity is the randomised Kaczmarz method, whose rows are drawn by the squares of their
norms; its mean squared error falls by 1 - sigma_min^2 / ||A||_F^2 a step at least.

R. M. Gower, P. Richtárik, "Randomized iterative methods for linear systems", SIAM J. Matrix Anal. Appl. 36,
2015; T. Strohmer, R. Vershynin, "A randomized Kaczmarz algorithm with exponential convergence", J. Fourier
Anal. Appl. 15, 2009.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._factor import BELOW, kept, power_of_two
from .operators import make_sketch
from .result import LinearResult

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix, RandomState

KINDS = ("kaczmarz", "gaussian", "block", "sparse-sign")
#: The largest system for which A A' is kept, so that the residual follows each step.
KEPT = 2000
#: Random vectors that are drawn together.
DRAWN = 1024


@answers()
def sketch_project(
    A: Matrix,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    kind: Literal["kaczmarz", "gaussian", "block", "sparse-sign"] = "kaczmarz",
    block: int | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LinearResult:
    """Solve a consistent system by projections onto random combinations of its equations.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, d)
        Of any shape and rank; a sparse matrix is made dense.
    b : array of shape (n,)
        In the range of A.
    x0 : array of shape (d,), optional
        The start; zeros by default, which leads to the solution of least norm.
    kind : {"kaczmarz", "gaussian", "block", "sparse-sign"}
        One equation, a Gaussian combination of all, `block` equations, or `block` sparse combinations a step.
    block : int, optional
        Equations or combinations of a step; a tenth of n by default, and at least 10.
    rtol, atol : float
        Converged when ``||A x - b|| <= max(rtol * ||b||, atol)``.
    rng : None, int or Generator
        Where the random numbers come from.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.sketch.minimize`; an iteration is a sweep of n steps, for blocks n /
        `block` of them.

    Returns
    -------
    LinearResult
        With `x`, `nit` (sweeps), `residual` and `rhs_norm`.

    Raises
    ------
    ValueError
        If a shape is wrong, an entry is not finite, or a setting is out of range.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached: the system may be inconsistent, or too ill conditioned.

    References
    ----------
    R. M. Gower, P. Richtárik, "Randomized iterative methods for linear systems", SIAM J. Matrix Anal. Appl.
    36, 2015.
    T. Strohmer, R. Vershynin, "A randomized Kaczmarz algorithm with exponential convergence", J. Fourier
    Anal. Appl. 15, 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import sketch
    >>> A = np.random.default_rng(0).normal(size=(50, 20))
    >>> result = sketch.sketch_project(A, A @ np.ones(20), rng=0)
    >>> print(result.success, np.abs(result.x - 1).max() < 1e-4)
    True True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    checks.choice("kind", kind, KINDS)
    A = A.toarray() if arrays.is_sparse(A) else A
    A = checks.array("A", A, ndim=2, dtype=np.float64, empty=False)
    right: Array = checks.array("b", b, shape=(A.shape[0],), dtype=np.float64)
    first: Array = np.zeros(A.shape[1])
    if x0 is not None:
        first = checks.array("x0", x0, shape=(A.shape[1],), dtype=np.float64)
    size = None if block is None else checks.integer("block", block, low=1, high=A.shape[0])
    # Powers of two that keep squares of entries, and of the solution's, within the range of floats.
    down, left = power_of_two(arrays.norm(np, A)), power_of_two(arrays.norm(np, right))
    back = math.frexp(down)[1] - math.frexp(left)[1]
    with np.errstate(over="ignore"):
        start = np.ldexp(first, -back)
    projector = Projector(
        np.ascontiguousarray(A * down), right * left, kind, size, checks.generator(rng), start
    )

    def present(z: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(np.ldexp(z, back))

    with Monitor(
        limits,
        rtol=rtol,
        atol=atol,
        reference=arrays.norm(np, right),
        maxiter=10_000,
        label=f"projections, {kind}",
        present=present,
    ) as it:
        it.record(projector.residual() / left, projector.z)
        for _ in it:
            if not projector.inverse.any():
                it.stop(Status.STAGNATED, "A is zero.")
                break
            projector.sweep()
            it.record(projector.residual() / left, projector.z)
    residual, z = it.residual, kept(it.x, back)
    if not np.isfinite(z).all():
        it.stop(Status.NONFINITE, "The solution is larger than the largest float.")
    elif not np.array_equal(z, it.x):
        residual = projector.residual(z) / left
        if it.status is Status.CONVERGED and not residual <= it.threshold:
            it.stop(Status.STAGNATED, BELOW)
    return it.result(LinearResult, residual=residual, rhs_norm=arrays.norm(np, right))


class Projector:
    """The state of (1)."""

    def __init__(
        self,
        A: Array,
        b: Array,
        kind: str,
        size: int | None,
        rng: np.random.Generator,
        z: Array | None = None,
        *,
        uniform: bool = False,
    ) -> None:
        n, d = A.shape
        self.A, self.b, self.kind, self.rng = A, b, kind, rng
        self.z = np.zeros(d) if z is None else z.copy()
        self.size = min(n, max(10, n // 10)) if size is None else min(size, n)
        self.steps = 0
        squares = np.sum(A * A, axis=1)
        self.inverse = np.divide(1.0, squares, out=np.zeros(n), where=squares > 0)
        total = float(squares.sum())
        self.weights = np.full(n, 1.0 / n) if uniform or total == 0.0 else squares / total
        self.cumulative = np.cumsum(self.weights)
        few = n <= KEPT and kind in {"kaczmarz", "gaussian"}
        self.square: Any = A @ A.T if few or kind == "gaussian" else None

    def residual(self, z: Array | None = None) -> float:
        """||A z - b||, computed anew."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite has a status
            return arrays.norm(np, self.A @ (self.z if z is None else z) - self.b)

    def sweep(self) -> None:
        """One iteration of `sketch_project`."""
        n = self.A.shape[0]
        self.advance(n if self.kind in {"kaczmarz", "gaussian"} else math.ceil(n / self.size))

    def advance(self, count: int) -> None:
        """Do `count` steps of (1)."""
        from . import _cpu

        self.steps += count
        if self.kind in {"block", "sparse-sign"}:
            for _ in range(count):
                self._project()
            return
        if self.kind == "gaussian":
            y, r = np.zeros(self.b.size), self.A @ self.z - self.b
            for first in range(0, count, DRAWN):
                sketches = self.rng.standard_normal((min(DRAWN, count - first), y.size))
                _cpu.gaussian_vector(y, r, sketches, sketches @ self.square)
            self.z -= self.A.T @ y
            return
        places = np.searchsorted(self.cumulative, self.rng.random(count) * self.cumulative[-1], side="right")
        rows = np.minimum(places, self.A.shape[0] - 1)
        if self.square is None:
            _cpu.kaczmarz_rows(self.A, self.b, self.z, rows, self.inverse)
            return
        y, r = np.zeros(self.b.size), self.A @ self.z - self.b
        _cpu.kaczmarz(y, r, rows, self.inverse, self.square)
        self.z -= self.A.T @ y

    def _project(self) -> None:
        """(1) for a block."""
        n = self.A.shape[0]
        r = self.A @ self.z - self.b
        if self.kind == "block":
            rows = self.rng.choice(n, size=self.size, replace=False)
            B, right = self.A[rows], r[rows]
        else:
            S: Any = make_sketch("sparse-sign", self.size, n, nnz=min(8, self.size), rng=self.rng)
            B, right = S @ self.A, S @ r
        self.z -= np.linalg.lstsq(B, right, rcond=None)[0]
