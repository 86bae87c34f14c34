r"""Linear programs by restarted, reflected Halpern iterations of the primal-dual hybrid gradient method.

With step eta < 1/|A|, weight w, ``tau = eta / w`` and ``sigma = eta w``, one PDHG step z^ = T(z) is

    x^ = clip(x - tau (c - A'y), lx, ux),      xb = 2 x^ - x,         (1)
    y^ = y - sigma (A xb + clip(y / sigma - A xb, -uc, -lc)),         (2)

and the iteration pulls its reflection 2 z^ - z towards the anchor z_0:

    z <- z_0 / (k + 2)  +  (2 z^ - z) (k + 1) / (k + 2),       k = 0, 1, ...   (3)

(H. Lu, J. Yang, "Restarted Halpern PDHG for linear programming", arXiv 2407.16144, 2024). Its fixed-point
residual r(z), the norm of z^ - z in the metric of the method, is O(1/k); restarting the anchor at z^ when r
has fallen enough makes the convergence linear. Around it, from PDLP (D. Applegate et al., NeurIPS 2021): the
shares of the restart rule, the balance of the weight at restarts, Ruiz's and Pock and Chambolle's scaling;
before these, rows and columns are scaled by geometric means. A restart may also lengthen the step beyond
1/|A|, as far as the steps since the last one allow; if it proves too long, the next restart comes at once and
shortens it. That is a heuristic, which ends after a hundred such failures: then the proofs apply again.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import PrecisionWarning, Status, caller_level, deliver
from numsolve.monotone.result import LPResult

from ._batched import in_units, settled, solve_batch
from ._compiled import COLUMNS, MAXITER, Compiled, Run
from ._program import LinearProgram, Units, prepare
from .presolve import Presolve

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix

    from ._batched import Start

#: float32 data do not support tighter tolerances.
FLOAT32_TOL = 1e-4
#: What the scaling may round off a residual.
SLACK = 1.01


@answers(
    A_ub="linprog takes SciPy's arguments; here the rows are lc <= A x <= uc: give A and uc",
    b_ub="linprog takes SciPy's arguments; here it is called uc",
    A_eq="linprog takes SciPy's arguments; here the rows are lc <= A x <= uc: give A, and lc and uc alike",
    b_eq="linprog takes SciPy's arguments; here it is lc and uc alike",
    bounds="linprog takes SciPy's arguments; here they are called lx and ux",
    method="there is one method here: leave it out",
    options="give solve_lp tol=..., maxiter=... and the like",
    rtol="tol",
    atol="tol",
    max_iter="maxiter",
)
def solve_lp(
    c: ArrayLike,
    A: Matrix | None = None,
    lc: ArrayLike | None = None,
    uc: ArrayLike | None = None,
    lx: ArrayLike | None = None,
    ux: ArrayLike | None = None,
    *,
    tol: float = 1e-6,
    x0: ArrayLike | tuple[ArrayLike, ArrayLike] | LPResult | None = None,
    presolve: bool = False,
    polish: float | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
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
    presolve : bool
        Make the program smaller first, and its solution, multipliers and certificates included, one of yours
        afterwards: see `numsolve.monotone.lp.presolve` for what is done. A contradiction of the bounds that
        rows imply is found at once. The answer is measured in your program; where it misses `tol` there, or
        its certificate proves nothing there, the iteration goes on in yours. For single programs in NumPy.
    polish : float, optional
        Reduce the primal and the dual residual to this much afterwards, each by a short run of its own that
        leaves the objective aside. The gap may grow, by a factor of a few or of a hundred, and with it
        `residual`; `success` speaks of the run before, unless the time limit or Ctrl-C cuts the polishing
        short. Not for batches.
    maxiter, callback, progress, time_limit : optional
        Most iterations (1 000 000 by default); called after each iteration with x, or with an
        ``intermediate_result``, and true ends the run (it slows the run down); a progress bar; seconds.

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
    limits = Limits(maxiter, time_limit, callback, progress)
    program = prepare(c, A, lc, uc, lx, ux)
    x, y = _start(program, x0)
    tol = _tolerance(program, tol)
    polish = None if polish is None else checks.real("polish", polish, low=0.0, open_low=True)
    single = program.batch is None and arrays.is_numpy(program.xp)
    if checks.flag("presolve", presolve) and not single:
        raise ValueError("presolve must be False for a batch, and for arrays of other libraries than NumPy")
    units = program.units()
    lp = program.divided(units)
    with np.errstate(over="ignore", invalid="ignore"):  # a start beyond the range of floats is seen as such
        start = (
            None if x is None else x / units.bounds,
            None if y is None else y / units.costs * units.matrix,
        )
    if 0 in lp.A.shape or (lp.batch is None and bool(lp.contradictory)):
        return at_once(lp, units)
    if not single:
        return solve_batch(lp, start, tol, limits, units)
    return _solve_single(lp, start, tol, polish, limits, units, presolve)


def _solve_single(
    lp: LinearProgram,
    start: Start,
    tol: float,
    polish: float | None,
    limits: Limits,
    units: Units,
    presolve: bool = False,
) -> LPResult:
    """Solve one program by the compiled kernels; its presolved form first, if that is wanted."""
    small = Presolve(lp, limits) if presolve else None
    program, part = (lp, start) if small is None else (small.program, small.part(*start))
    if small is not None and (small.ray is not None or 0 in program.A.shape):
        return _without_iterations(lp, small, program, start, tol, polish, limits, units)
    point: Any = None
    certificate: Any = None
    extra = 0
    with Monitor(
        limits,
        atol=tol,
        maxiter=MAXITER,
        label="linear program",
        present=lambda point: whole_x(solver.unscaled(point)[0]) * units.bounds,
        columns=COLUMNS,
        step_seconds=3e-9 * _entries(program.A) + 1e-8 * sum(program.A.shape),
    ) as it:
        whole_x = small.point if small is not None else _same
        solver = Compiled(program, limits)
        run = Run(solver, solver.start(*part))
        run.drive(it)
        if it.status is Status.INFEASIBLE:
            certificate = run.ray(dual=True)
        elif it.status is Status.UNBOUNDED:
            certificate, extra = _unbounded(run, it)
        elif polish is not None and it.status is Status.CONVERGED:
            point, extra = polished(solver, it, polish)
    # Without polishing, or if Ctrl-C ended it, what was reached before.
    x, y = solver.unscaled(it.x if point is None else point)
    if small is not None:
        x, y = small.point(x), small.multipliers(y)
        if certificate is not None:
            certificate = small.ray_of(certificate, dual=it.status is not Status.UNBOUNDED)
    quality = lp.quality(x, y)
    if small is not None and _is_in_doubt(
        lp, it.status, certificate, quality["residual"], extra, SLACK * tol
    ):
        rest = _rest(limits, it.maxiter - it.nit)
        again = (x, y) if it.status is Status.CONVERGED else start
        result = _solve_single(lp, again, tol, polish, rest, units)
        return replace(result, nit=result.nit + it.nit + extra, nrestart=result.nrestart + run.nrestart)
    fields = in_units(units, x, y, quality)
    kind = lp.c.dtype
    with np.errstate(over="ignore"):
        fields |= {name: fields[name].astype(kind) for name in ("x", "y", "reduced_costs")}
    if not math.isfinite(quality["residual"]) or settled(lp.xp, it.status, fields) is not it.status:
        it.stop(Status.NONFINITE)
    elif it.status is Status.CONVERGED and not extra and quality["residual"] > SLACK * tol:
        it.stop(Status.ROUNDING, f"In your units the residual is {quality['residual']:.1e}.")
    if it.status is Status.CONVERGED and extra:
        it.detail = f"Polished; the gap was below {it.threshold:.1e} and is {quality['gap']:.1e}."
    return it.result(LPResult, nit=it.nit + extra, nrestart=run.nrestart, certificate=certificate, **fields)


def _same(x: Array) -> Array:
    return x


def _is_in_doubt(
    lp: LinearProgram, status: Status | None, certificate: Any, residual: float, extra: int, tol: float
) -> bool:
    """Whether what holds for the presolved program was not found to hold for the caller's."""
    if status is Status.CONVERGED:
        return residual > tol and not extra
    if status is Status.INFEASIBLE:
        return not lp.is_infeasible_by(certificate)
    return status is Status.UNBOUNDED and not lp.is_unbounded_by(certificate)


def _without_iterations(
    lp: LinearProgram,
    small: Presolve,
    program: LinearProgram,
    start: Start,
    tol: float,
    polish: float | None,
    limits: Limits,
    units: Units,
) -> LPResult:
    """The result where the presolve proved infeasibility, or left no rows or no columns."""
    x, y, _, _ = closed_form(program)
    x, y = small.point(x), small.multipliers(y)
    quality = lp.quality(x, y)
    if small.ray is None and not quality["residual"] <= tol:
        return _solve_single(lp, start, tol, polish, limits, units)
    status = Status.CONVERGED if small.ray is None else Status.INFEASIBLE
    fields = in_units(units, x, y, quality)
    fields |= {name: fields[name].astype(lp.c.dtype) for name in ("x", "y", "reduced_costs")}
    result = LPResult(status=settled(lp.xp, status, fields), certificate=small.ray, **fields)
    deliver(result)
    return result


def _rest(limits: Limits, maxiter: int) -> Limits:
    """The same limits with fewer iterations: the same deadline, and watched."""
    rest = replace(limits, maxiter=max(maxiter, 0))
    object.__setattr__(rest, "deadline", limits.deadline)
    return rest


def polished(solver: Compiled, it: Monitor, tol: float) -> tuple[tuple[Array, Array], int]:
    """Project, nearly, on the feasible and the dual feasible points: PDHG without costs, then without bounds.

    Each half starts from its part of the point and zero for the other, and counts only if it arrives. This is
    the feasibility polishing of PDLP (D. Applegate et al., "PDLP: a practical first-order method for
    large-scale linear programming", arXiv 2501.07018, 2025).
    """
    (x, y), steps = it.x, 0
    for program, start, shares in (
        (solver.scaled.without_cost(), (x, np.zeros_like(y)), (1.0, 0.0, 0.0)),
        (solver.scaled.without_bounds(), (np.zeros_like(x), y), (0.0, 1.0, 0.0)),
    ):
        part = _part(solver, it, tol)
        with part:
            Run(solver, start, program, shares).drive(part)
        steps += part.nit
        if part.status is Status.CONVERGED:
            x, y = (part.x[0], y) if shares[0] else (x, part.x[1])
        elif part.status is Status.TIME_LIMIT:
            it.stop(
                Status.TIME_LIMIT, f"The run had converged to {it.threshold:.1e}; polishing was cut short."
            )
            break
    return (x, y), steps


def _unbounded(run: Run, it: Monitor) -> tuple[Array, int]:
    """Settle whether a program with a direction of descent has a feasible point; returns the certificate."""
    solver, ray = run.solver, run.ray(dual=False)
    part = _part(solver, it, it.threshold)
    feasible = Run(solver, solver.start(None, None), solver.scaled.without_cost(), (1.0, 0.0, 0.0))
    with part:
        feasible.drive(part)
    if part.status is Status.INFEASIBLE:
        it.stop(Status.INFEASIBLE)
        ray = feasible.ray(dual=True)
    elif part.status is Status.TIME_LIMIT:
        it.stop(Status.TIME_LIMIT, "The objective falls forever, if there is a feasible point.")
    elif part.status is not Status.CONVERGED:
        it.detail = "Whether there is a feasible point was not settled."
    return ray, part.nit


def _part(solver: Compiled, it: Monitor, tol: float) -> Monitor:
    """A monitor for a run within a run: Ctrl-C passes through it and ends the run around it."""
    return Monitor(
        it.limits.part(it.maxiter),
        atol=tol,
        maxiter=it.maxiter,
        columns=COLUMNS,
        step_seconds=solver.step_seconds,
    )


def at_once(lp: LinearProgram, units: Units) -> LPResult:
    """Solve programs that need no iteration: no rows, no columns, or contradictory bounds of a single one."""
    x, y, status, rays = closed_form(lp)
    fields = in_units(units, x, y, lp.quality(x, y))
    result = LPResult(status=settled(lp.xp, status, fields), certificate=rays, **fields)
    deliver(result)
    return result


def closed_form(lp: LinearProgram) -> tuple[Array, Array, Any, Any]:
    """The best x within its bounds, multipliers of zero, the status, and directions of endless descent."""
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
    return x, y, status, rays


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


def _start(lp: LinearProgram, x0: Any) -> Start:
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


def _entries(A: Matrix) -> int:
    return int(A.nnz if arrays.is_sparse(A) else A.shape[0] * A.shape[1])
