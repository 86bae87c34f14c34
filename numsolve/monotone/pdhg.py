r"""Linear programs by restarted, reflected Halpern iterations of the primal-dual hybrid gradient method.

With step eta < 1/|A|, weight w, ``tau = eta / w`` and ``sigma = eta w``, one PDHG step z^ = T(z) is

    x^ = clip(x - tau (c - A'y), lx, ux),      xb = 2 x^ - x,
    y^ = y - sigma (A xb + clip(y / sigma - A xb, -uc, -lc)),

and the iteration pulls its reflection 2 z^ - z towards the anchor z_0:

    z <- z_0 / (k + 2)  +  (2 z^ - z) (k + 1) / (k + 2),       k = 0, 1, ...

(H. Lu, J. Yang, "Restarted Halpern PDHG for linear programming", arXiv 2407.16144, 2024). Its fixed-point
residual r(z), the norm of z^ - z in the metric of the method, is O(1/k); restarting the anchor at z^ when r
has fallen enough makes the convergence linear. Around it, from PDLP (D. Applegate et al., NeurIPS 2021): the
shares of the restart rule, the balance of the weight at restarts, Ruiz's and Pock and Chambolle's scaling;
before these, rows and columns are scaled by geometric means. A restart may also lengthen the step beyond
1/|A|, as far as the steps since the last one allow; if it proves too long, the next restart comes at once and
shortens it. That is a heuristic, which ends after a hundred such failures: then the proofs apply again.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import PrecisionWarning, Status, caller_level, deliver

from ._batched import solve_batch
from ._compiled import COLUMNS, EVERY, Compiled, Run
from ._lp import LinearProgram, prepare
from .result import LPResult

if TYPE_CHECKING:
    from collections.abc import Callable

#: float32 data do not support tighter tolerances.
FLOAT32_TOL = 1e-4
MAXITER = 1_000_000


def solve_lp(
    c: Any,
    A: Any = None,
    lc: Any = None,
    uc: Any = None,
    lx: Any = None,
    ux: Any = None,
    *,
    tol: float = 1e-6,
    x0: Any = None,
    polish: float | None = None,
    maxiter: int | None = None,
    callback: Callable[..., Any] | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LPResult:
    """Minimise ``c'x`` subject to ``lc <= A x <= uc`` and ``lx <= x <= ux``.

    A first-order method: each iteration is a product with A and one with its transpose. It is for programs
    too large to factorise, for many programs with one matrix, and for moderate accuracy; on programs of a few
    thousand rows a simplex or interior-point method, as in `scipy.optimize.linprog`, is much faster.

    Parameters
    ----------
    c : array of shape (n,), or (B, n) for a batch
        The cost.
    A : array or sparse matrix of shape (m, n), optional
        The rows; none by default.
    lc, uc : float or array of shape (m,) or (B, m), optional
        Bounds of the rows, equal for an equation, infinite or None for none.
    lx, ux : float or array of shape (n,) or (B, n), optional
        Bounds of the variables. None is no bound: for ``x >= 0`` give ``lx=0``.
    tol : float
        Largest relative primal residual, dual residual and gap, as `LPResult` defines them.
    x0 : array, pair (x, y) or LPResult, optional
        Where to start; zeros by default.
    polish : float, optional
        Reduce the primal and the dual residual to this much afterwards, each by a short run of its own that
        leaves the objective aside. The gap may grow, by a factor of a few or of a hundred, and with it
        `residual`; `success` speaks of the run before. Not for batches.
    maxiter : int, optional
        Largest number of iterations, 1 000 000 by default.
    callback : callable, optional
        Called after each iteration with x, or with an ``intermediate_result``; returning True stops the run.
        It slows the run down.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    LPResult
        With `x`, `fun`, `y`, `reduced_costs`, `primal_residual`, `dual_residual`, `gap`, `nrestart` and, for
        an infeasible or unbounded program, a `certificate`. For a batch, each with the batch in front;
        every program stops by itself.

    Raises
    ------
    ValueError
        If an argument has the wrong shape, or is NaN; the message says which and what is wanted.
    TypeError
        If an array is complex, or the arrays come from different libraries.

    Warns
    -----
    ConvergenceWarning
        If the program was not solved: it is infeasible, unbounded, or took too long.
    PrecisionWarning
        If `tol` is below 1e-4 and the data are float32; then it is 1e-4.

    See Also
    --------
    numsolve.monotone.linprog : The same with the arguments and fields of `scipy.optimize.linprog`.
    numsolve.monotone.solve_game : Matrix games.

    Notes
    -----
    A batch, and arrays of other libraries than NumPy, are computed with plain array operations; the products
    of a batch are matrix-matrix products. A single program in NumPy runs in compiled kernels.

    References
    ----------
    H. Lu, J. Yang, "Restarted Halpern PDHG for linear programming", arXiv 2407.16144, 2024.
    D. Applegate et al., "Practical large-scale linear programming using primal-dual hybrid gradient",
    NeurIPS 2021; "Infeasibility detection with primal-dual hybrid gradient for large-scale linear
    programming", SIAM J. Optim. 34, 2024.

    Examples
    --------
    Two products, of which each takes a share of two machines' hours:

    >>> from numsolve import monotone
    >>> result = monotone.solve_lp([-3, -5], [[1, 2], [3, 2]], uc=[14, 18], lx=0)
    >>> result.x.round(4), round(result.fun, 4)
    (array([2., 6.]), -36.0)
    >>> (-result.y).round(4)  # what an hour of each machine is worth
    array([2.25, 0.25])
    """
    lp = prepare(c, A, lc, uc, lx, ux)
    start = _start(lp, x0)
    settings: dict[str, Any] = {
        "atol": _tolerance(lp, tol),
        "maxiter": MAXITER if maxiter is None else maxiter,
        "time_limit": time_limit,
        "callback": callback,
        "progress": progress,
        "label": "linear program",
    }
    polish = None if polish is None else checks.real("polish", polish, low=0.0, open_low=True)
    it = Monitor(
        present=lambda point: solver.unscaled(point)[0],
        columns=COLUMNS,
        step_seconds=1e-8 * (sum(lp.A.shape) + _entries(lp.A)),
        **settings,
    )
    if 0 in lp.A.shape or (lp.batch is None and bool(lp.contradictory)):
        return at_once(lp)
    if lp.batch is not None or not arrays.is_numpy(lp.xp):
        return solve_batch(lp, start, settings)
    solver = Compiled(lp)
    run = Run(solver, solver.start(*start))
    with it:
        run.drive(it, every=1 if callback else EVERY)
    point, certificate, steps = it.x, None, it.nit
    if it.status is Status.INFEASIBLE:
        certificate = run.ray(dual=True)
    elif it.status is Status.UNBOUNDED:
        certificate, steps = _unbounded(run, it)
    elif polish is not None and it.status is Status.CONVERGED:
        point, extra = polished(solver, point, polish, maxiter, time_limit)
        steps += extra
    x, y = solver.unscaled(point)
    fields = {"nit": steps, "nrestart": run.nrestart, "certificate": certificate, **lp.quality(x, y)}
    if steps > it.nit and certificate is None:
        it.detail = f"Polished; the gap was below {it.threshold:.1e} and is {fields['gap']:.1e}."
    kind = lp.c.dtype
    single = {"x": x.astype(kind), "y": y.astype(kind)}
    return it.result(LPResult, **{**fields, **single, "reduced_costs": fields["reduced_costs"].astype(kind)})


def polished(
    solver: Compiled, point: tuple[Any, Any], tol: float, maxiter: int | None, time_limit: float | None
) -> tuple[tuple[Any, Any], int]:
    """Project, nearly, on the feasible and the dual feasible points: PDHG without costs, then without bounds.

    Each half starts from its part of the point and zero for the other, and counts only if it arrives. This is
    the feasibility polishing of PDLP (D. Applegate et al., "PDLP: a practical first-order method for
    large-scale linear programming", arXiv 2501.07018, 2025).
    """
    (x, y), steps = point, 0
    for program, start, shares in (
        (solver.scaled.without_cost(), (x, np.zeros_like(y)), (1.0, 0.0, 0.0)),
        (solver.scaled.without_bounds(), (np.zeros_like(x), y), (0.0, 1.0, 0.0)),
    ):
        it = _quiet(tol, maxiter, time_limit)
        run = Run(solver, start, program, shares)
        with it:
            run.drive(it)
        steps += it.nit
        if it.status is Status.CONVERGED:
            x, y = (it.x[0], y) if shares[0] else (x, it.x[1])
    return (x, y), steps


def _unbounded(run: Run, it: Monitor) -> tuple[Any, int]:
    """Settle whether a program with a direction of descent has a feasible point; returns the certificate."""
    solver, ray = run.solver, run.ray(dual=False)
    quiet = _quiet(it.threshold, it.maxiter, None)
    feasible = Run(solver, solver.start(None, None), solver.scaled.without_cost(), (1.0, 0.0, 0.0))
    with quiet:
        feasible.drive(quiet)
    if quiet.status is Status.INFEASIBLE:
        it.stop(Status.INFEASIBLE)
        ray = feasible.ray(dual=True)
    elif quiet.status is not Status.CONVERGED:
        it.detail = "Whether there is a feasible point was not settled."
    return ray, it.nit + quiet.nit


def _quiet(tol: float, maxiter: int | None, time_limit: float | None) -> Monitor:
    """A monitor for a run within a run."""
    limit = MAXITER if maxiter is None else maxiter
    return Monitor(atol=tol, maxiter=limit, time_limit=time_limit, columns=COLUMNS)


def at_once(lp: LinearProgram) -> LPResult:
    """Solve programs that need no iteration: no rows, no columns, or contradictory bounds of a single one."""
    xp, m = lp.xp, lp.A.shape[0]
    shape = lp.c.shape if lp.batch is None else (lp.batch, lp.c.shape[-1])
    nearest = xp.minimum(xp.maximum(xp.zeros(shape, dtype=lp.c.dtype), lp.lx), lp.ux)
    nearest = xp.where(xp.isfinite(nearest), nearest, 0.0)
    x = xp.where(lp.c > 0, lp.lx, xp.where(lp.c < 0, lp.ux, nearest))
    endless = ~xp.isfinite(x)
    x = xp.where(endless, nearest, x)
    infeasible = lp.contradictory | xp.any(lp.lc > 0, axis=-1) | xp.any(lp.uc < 0, axis=-1)
    infeasible, unbounded = np.broadcast_arrays(
        arrays.to_host(infeasible), arrays.to_host(xp.any(endless, axis=-1))
    )
    status: Any = np.where(infeasible, Status.INFEASIBLE, np.where(unbounded, Status.UNBOUNDED, 0))
    rays: Any = xp.where(endless, -xp.sign(lp.c), 0.0)
    if lp.batch is None:
        status = Status(int(status))
        rays = rays if status is Status.UNBOUNDED else None
    else:
        rays = [rays[i, :] if status[i] == Status.UNBOUNDED else None for i in range(lp.batch)]
    y = xp.zeros((*shape[:-1], m), dtype=lp.c.dtype)
    result = LPResult(x=x, y=y, status=status, certificate=rays, **lp.quality(x, y))
    deliver(result)
    return result


def _tolerance(lp: LinearProgram, tol: float) -> float:
    """Check a tolerance against the floating-point type of the data."""
    tol = float(checks.real("tol", tol, low=0.0))
    if str(lp.c.dtype).endswith("float32") and tol < FLOAT32_TOL:
        warnings.warn(
            f"tol = {tol:g} is beyond float32 data; {FLOAT32_TOL:g} is used: give float64 arrays for more",
            PrecisionWarning,
            stacklevel=caller_level(),
        )
        return FLOAT32_TOL
    return tol


def _start(lp: LinearProgram, x0: Any) -> tuple[Any, Any]:
    """The caller's x and y, each None if not given."""
    if x0 is None:
        return None, None
    if isinstance(x0, LPResult):
        x0 = (x0.x, x0.y)
    x, y = x0 if isinstance(x0, tuple) and len(x0) == 2 else (x0, None)
    m, n = lp.A.shape
    front = () if lp.batch is None else (lp.batch,)
    x = checks.array("x0", x, xp=lp.xp, dtype=lp.c.dtype, shape=(*front, n))
    if y is not None:
        y = checks.array("x0[1]", y, xp=lp.xp, dtype=lp.c.dtype, shape=(*front, m))
    return x, y


def _entries(A: Any) -> int:
    return int(A.nnz if arrays.is_sparse(A) else A.shape[0] * A.shape[1])
