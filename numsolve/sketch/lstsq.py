"""Least squares by a sketch: a randomised Cholesky-QR, and LSQR with the sketch as preconditioner.

For A with n rows, many more than its d columns, and a sketch S with s rows::

    S A = U diag(sigma) V',    N = V diag(1 / sigma)          small, and A N is nearly orthonormal      (1)
    "cholqr"   Y = A N,  Y'Y = C'C,  x <- x + N (C'C)^-1 N'A'(b - A x)                                  (2)
    "lsqr"     LSQR on min ||(b - A x) - A N y||,  x <- x + N y, from the sketched solution             (3)

Singular values at the level of rounding errors are dropped in (1), which gives the solution of least norm;
more of them, if that is asked for, from those of C N^+, which are A's. The first step of (2) takes Y'b as it
is, not N'(A'b): so it is right to rounding errors at every condition number. A
matrix with fewer rows than columns is sketched from the right. Every answer is certified by the backward
error of Karlson and Waldén, with the sketch in place of A::

    mu = ||(||x||^2 sigma^2 + ||r||^2)^(-1/2) V'A'r|| / ||A||_F,    r = b - A x                         (4)

V. Rokhlin, M. Tygert, "A fast randomized algorithm for overdetermined linear least-squares regression", PNAS
105, 2008; X. Meng, M. Saunders, M. Mahoney, "LSRN", SIAM J. Sci. Comput. 36, 2014; Y. Fan, Y. Guo, T. Lin, "A
novel randomized XR-based preconditioned CholeskyQR algorithm", 2021; R. Karlson, B. Waldén, "Estimation of
optimal backward perturbation bounds for the linear least squares problem", BIT 37, 1997; E. N. Epperly, M.
Meier, Y. Nakatsukasa, "Fast randomized least-squares solvers can be just as accurate and stable as classical
direct solvers", 2024, for the restart of (3).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._factor import BELOW, Factor, Task, lsqr
from ._lstsq_generic import lstsq_generic
from .operators import foreign
from .result import LstsqResult

if TYPE_CHECKING:
    from numsolve._core.typing import ArrayLike, Callback, Matrix, RandomState

METHODS = ("auto", "cholqr", "lsqr")
#: A refinement that gains less than this factor is the last.
GAIN = 0.5
#: Sketches drawn before the answer is given up: a sketch fails with a tiny probability.
DRAWS = 3
#: LSQR starts anew from x after so many steps, so that what its recursion loses does not add up.
PASS = 60

FOREIGN = {
    "lapack_driver": "method",
    "cond": "rcond",
    "damp": "append sqrt(damp) times the identity to A for a damped problem",
    "btol": "tol",
    "atol": "tol",
    "iter_lim": "maxiter",
    "overwrite_a": "A and b are never written into",
    "overwrite_b": "A and b are never written into",
}


@answers(**FOREIGN)
def lstsq(
    A: Matrix,
    b: ArrayLike,
    *,
    method: Literal["auto", "cholqr", "lsqr"] = "auto",
    oversample: float = 3.0,
    nnz: int = 4,
    tol: float | None = None,
    rcond: float | None = None,
    rng: RandomState = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LstsqResult:
    """Solve ``min ||A x - b||`` by a sketch, with a certificate.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, d)
        Dense or sparse, of any rank; fastest with many more rows than columns. A tall matrix of CuPy, or any
        other array library, is solved in plain array code by Cholesky-QR.
    b : array of shape (n,) or (n, k)
        One right-hand side or several.
    method : {"auto", "cholqr", "lsqr"}
        Randomised Cholesky-QR, whose work is in products of matrices, or LSQR preconditioned by the sketch,
        which needs products with A alone. ``"auto"`` takes the first for dense A, the second for sparse.
    oversample : float
        Rows of the sketch, over the shorter side of A; at least 1.5.
    nnz : int
        Nonzeros in each column of the sparse sign sketch.
    tol : float, optional
        The relative backward error wanted; 1e-12 by default, 1e-5 for float32. Where a hundredth of
        ``1 / cond`` is less, that is wanted, down to 4 eps: a larger change of A may leave nothing of `x`.
    rcond : float, optional
        Singular values below `rcond` times the largest count as zero, and `x` solves the problem of what is
        left of A; by default ``2 sqrt(min(n, d)) eps``, and at least 8 eps, by those of the sketch. A larger
        one takes Cholesky-QR, which knows those of A.
    rng : None, int or Generator
        Where the sketch comes from.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.sketch.minimize`: refinements of Cholesky-QR, steps of LSQR.

    Returns
    -------
    LstsqResult
        With `x`, the certificate `residual`, `rank`, `cond`, `residual_norm` and `error_estimate`.

    Raises
    ------
    ValueError
        If a shape is wrong, an entry is not finite, or a setting is out of range.
    TypeError
        If A is complex, or an operator without entries.

    Warns
    -----
    ConvergenceWarning
        If the certificate does not meet `tol`.

    Notes
    -----
    Where A has less than `oversample` as many rows as columns, the sketch is A itself.

    References
    ----------
    V. Rokhlin, M. Tygert, "A fast randomized algorithm for overdetermined linear least-squares regression",
    PNAS 105, 2008.
    Y. Fan, Y. Guo, T. Lin, "A novel randomized XR-based preconditioned CholeskyQR algorithm", 2021.
    R. Karlson, B. Waldén, "Estimation of optimal backward perturbation bounds for the linear least squares
    problem", BIT 37, 1997.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import sketch
    >>> rng = np.random.default_rng(0)
    >>> A, x = rng.normal(size=(5000, 30)), np.arange(30.0)
    >>> result = sketch.lstsq(A, A @ x, rng=0)
    >>> result.success, result.rank, bool(np.allclose(result.x, x))
    (True, 30, True)
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    checks.choice("method", method, METHODS)
    oversample = checks.real("oversample", oversample, low=1.5)
    nnz = checks.integer("nnz", nnz, low=1)
    xp = foreign(A)
    if xp is not None:
        checks.choice("method", method, ("auto", "cholqr"))
        tol = None if tol is None else checks.real("tol", tol, low=0.0)
        rcond = None if rcond is None else checks.real("rcond", rcond, low=0.0, high=1.0, open_high=True)
        return lstsq_generic(xp, A, b, oversample, nnz, tol, rcond, checks.generator(rng), limits)
    task = Task.make(A, b)
    wanted = (1e-5 if task.eps > 1e-10 else 1e-12) if tol is None else checks.real("tol", tol, low=0.0)
    usual = max(8.0, 2.0 * math.sqrt(min(task.shape))) * task.eps
    cut = usual if rcond is None else checks.real("rcond", rcond, low=0.0, high=1.0, open_high=True)
    generator = checks.generator(rng)
    if cut > usual:
        method = "cholqr"  # the only one that knows the singular values of A
    elif method == "auto":
        method = "lsqr" if arrays.is_sparse(task.A) else "cholqr"
    return _solve(task, method, oversample, nnz, wanted, (min(usual, cut), cut), generator, limits)


def _solve(
    task: Task,
    method: str,
    oversample: float,
    nnz: int,
    tol: float,
    cuts: tuple[float, float],
    rng: np.random.Generator,
    limits: Limits,
) -> LstsqResult:
    rounding, rcond = cuts
    with Monitor(
        limits, atol=tol, maxiter=20 if method == "cholqr" else 1000, label=f"least squares, {method}",
        keep="reference", present=task.present,
    ) as it:  # fmt: skip
        factor = Factor.draw(task, oversample, nnz, rounding, rng)
        x = task.zeros()
        now = factor.backward_error(x)
        it.record(now, x, converged=now <= min(it.threshold, factor.safe))
        draws = 1
        while it.running:
            if method == "cholqr":
                _refine(task, factor, it, rcond if rcond > rounding else 0.0)
            else:
                _iterate(task, factor, it)
            if it.running:
                if draws == DRAWS:
                    it.stop(*_why(factor.backward_error(it.x), task, factor))
                    break
                draws, oversample = draws + 1, 2 * oversample
                factor = Factor.draw(task, oversample, nnz, rounding, rng)
    x, kept = it.x, task.kept(it.x)
    over = not np.isfinite(kept).all()
    lossy = not over and not np.array_equal(kept, x)
    x = kept if lossy else x
    residual = factor.backward_error(x)
    met = residual <= min(it.threshold, factor.safe)
    if over:
        it.stop(Status.NONFINITE, "The solution is larger than the largest float.")
    elif lossy and not met and it.status in {Status.CONVERGED, Status.ROUNDING}:
        it.stop(Status.STAGNATED, BELOW)
    elif it.status is Status.CONVERGED and not met:
        it.stop(*_why(residual, task, factor))
    return it.result(
        LstsqResult,
        residual=residual,
        rank=factor.rank,
        cond=factor.cond,
        residual_norm=task.present_norms(factor.norms),
        error_estimate=math.inf if over else factor.error_estimate(x),
        sketch_size=factor.size,
        method=method,
    )


def _why(residual: float, task: Task, factor: Factor) -> tuple[Status, str]:
    """How a run ends whose certificate falls no further: at the rounding errors of r and A'r, or above."""
    if not math.isfinite(residual):
        return Status.NONFINITE, ""
    if residual <= min(16 * task.eps * math.sqrt(factor.rank + 1), max(factor.safe, 0.1 / factor.used)):
        return Status.ROUNDING, f"The backward error is {residual:.2g}."
    return Status.STAGNATED, f"The backward error stays at {residual:.2g}."


def _refine(task: Task, factor: Factor, it: Monitor, rcond: float) -> None:
    """(2): the first step is the solution, further ones remove its rounding errors."""
    if not factor.orthogonalise(lambda: it.time_is_up):
        if it.time_is_up:
            it.stop(Status.TIME_LIMIT)
        return
    if rcond > 0.0 and factor.rank:
        factor.truncate(rcond)
    x, before = it.x, math.inf
    for _ in it:
        x = factor.first_step() if before == math.inf else x + factor.correction(x)  # (2)
        now = factor.backward_error(x)
        first = before == math.inf  # the second step is a refinement that is always worth its price
        wanted = min(task.eps if first else factor.safe, it.threshold)
        it.record(now, x, converged=now <= wanted)
        if it.running and not now < GAIN * before:
            return
        before = now


def _iterate(task: Task, factor: Factor, it: Monitor) -> None:
    """(3), started anew from the true residual until the certificate holds or gains no more."""
    x = factor.sketched_solution()
    if not factor.backward_error(x) < factor.backward_error(it.x):
        x = it.x
    before, wanted = math.inf, min(it.threshold, factor.safe)
    while it.running:
        steps = lsqr(task, factor, x)
        start, now = x, math.inf
        for k in it:
            y, gradient = next(steps)
            x = start + factor.combine(y)  # (3)
            now = factor.bound(x, gradient)
            last = now <= wanted or k % PASS == 0 or not gradient > 0.0
            if last:
                now = factor.backward_error(x)
            it.record(now, x, converged=last and now <= wanted)
            if last:
                break
        if not now < GAIN * before:
            return
        before = now
