"""One linear program, by the compiled kernels, and what of it holds in the caller's units."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import arrays
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status, deliver
from numsolve.monotone.result import LPResult

from ._batched import SLACK, in_units, settled
from ._compiled import COLUMNS, LATE, MAXITER, Compiled, Run
from ._refine import may_be_lost, refined
from .basic import basic
from .presolve import Presolve

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, Matrix

    from ._batched import Start
    from ._program import LinearProgram, Units
    from ._refine import Refined

#: What is said of a refined point.
REFINED = "Refined on its active constraints; the residuals are those before x and y were rounded."


def solve_single(
    lp: LinearProgram,
    start: Start,
    tol: float,
    polish: float | Literal["basic"] | None,
    limits: Limits,
    units: Units,
    presolve: bool = False,
) -> LPResult:
    """Solve one program by the compiled kernels; its presolved form first, if that is wanted."""
    small = Presolve(lp, limits, tol) if presolve else None
    program, part = (lp, start) if small is None else (small.program, small.part(*start))
    if small is not None and (small.ray is not None or 0 in program.A.shape):
        return _without_iterations(lp, small, program, start, tol, polish, limits, units)

    def callers(point: tuple[Array, Array]) -> tuple[Array, Array]:
        x, y = solver.unscaled(point)
        return (x, y) if small is None else (small.point(x), small.multipliers(y))

    point: Any = None
    vertex: tuple[Array, Array, int] | None = None
    certificate: Any = None
    extra = 0
    found: list[Array] = []
    better: list[Refined] = []

    def late() -> Status | None:
        """Once, in a long run: a contradiction, or a solution whose residuals are lost in rounding."""
        if small is None and _contradicts(lp, limits, tol, found):
            return Status.INFEASIBLE
        x, y = callers(run.point)
        point = refined(lp, x, y, tol) if may_be_lost(lp, x, tol) else None
        better.extend([] if point is None else [point])
        return None if point is None else Status.CONVERGED

    with Monitor(
        limits,
        atol=tol,
        maxiter=MAXITER,
        label="linear program",
        present=lambda point: whole(solver.unscaled(point)[0]) * units.bounds,
        columns=COLUMNS,
        step_seconds=3e-9 * _entries(program.A) + 1e-8 * sum(program.A.shape),
    ) as it:
        whole = small.point if small is not None else _same
        solver = Compiled(program, limits)
        run = Run(solver, solver.start(*part))
        run.drive(it, late)
        if it.status is Status.INFEASIBLE:
            certificate = found[0] if found else run.ray(dual=True)
        elif it.status is Status.UNBOUNDED:
            certificate, extra = _unbounded(run, it)
        elif polish == "basic" and it.status is Status.CONVERGED:
            vertex = _if_good(lp, tol, callers(it.x), basic(lp, *callers(it.x), limits))
        elif not isinstance(polish, str | None) and it.status is Status.CONVERGED:
            point, extra = polished(solver, it, polish)
    # Without polishing, or if Ctrl-C ended it, what was reached before.
    x, y = callers(it.x if point is None else point) if vertex is None else vertex[:2]
    if small is not None and certificate is not None:
        certificate = small.ray_of(certificate, dual=it.status is not Status.UNBOUNDED)
    quality = lp.quality(x, y)
    if vertex is None and point is None and _is_short(it.status, quality["residual"], tol):
        if it.status is not Status.CONVERGED and quality["residual"] <= tol:
            it.stop(Status.CONVERGED)
        elif it.status is Status.MAXITER and it.nit < LATE:
            pass  # the caller wants a few steps
        else:
            for start_at in ((x, y), callers(run.point)):  # the best point, and the last
                better += [] if better or (near := refined(lp, *start_at, tol)) is None else [near]
            if better:
                x, y, quality = better[0]
                it.stop(Status.CONVERGED, REFINED)
    if small is not None and _is_in_doubt(
        lp, it.status, certificate, quality["residual"], extra, SLACK * tol
    ):
        rest = rest_of(limits, it.maxiter - it.nit)
        again = (x, y) if it.status is Status.CONVERGED else start
        result = solve_single(lp, again, tol, polish, rest, units)
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
    if it.status is Status.CONVERGED and polish == "basic":
        it.detail = (
            "HiGHS found no vertex." if vertex is None else f"A vertex, {vertex[2]} simplex steps away."
        )
    return it.result(LPResult, nit=it.nit + extra, nrestart=run.nrestart, certificate=certificate, **fields)


def _contradicts(lp: LinearProgram, limits: Limits, tol: float, found: list[Array]) -> bool:
    """Whether bounds that rows imply contradict each other; `found` is given the proof."""
    ray = Presolve(lp, limits, tol, search_only=True).ray
    found += [] if ray is None else [ray]
    return ray is not None


def _if_good(
    lp: LinearProgram, tol: float, point: tuple[Array, Array], vertex: tuple[Array, Array, int] | None
) -> tuple[Array, Array, int] | None:
    """The vertex, unless it is worse than both the tolerance and the point that it was found from."""
    if vertex is None:
        return None
    worst, before = (float(lp.quality(*at[:2])["residual"]) for at in (vertex, point))
    return vertex if worst <= max(SLACK * tol, before) else None


def _same(x: Array) -> Array:
    return x


def _is_short(status: Status | None, residual: float, tol: float) -> bool:
    """Whether a run ended without what was asked for, or with a residual above it in the caller's units."""
    return status in {Status.STAGNATED, Status.MAXITER} or (
        status is Status.CONVERGED and not residual <= SLACK * tol
    )


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
    polish: float | Literal["basic"] | None,
    limits: Limits,
    units: Units,
) -> LPResult:
    """The result where the presolve proved infeasibility, or left no rows or no columns."""
    x, y, _, _ = closed_form(program)
    x, y = small.point(x), small.multipliers(y)
    if polish == "basic" and small.ray is None:
        vertex = _if_good(lp, tol, (x, y), basic(lp, x, y, limits))
        x, y = (x, y) if vertex is None else vertex[:2]
    quality = lp.quality(x, y)
    if small.ray is None and not quality["residual"] <= tol:
        return solve_single(lp, start, tol, polish, limits, units)
    status = Status.CONVERGED if small.ray is None else Status.INFEASIBLE
    fields = in_units(units, x, y, quality)
    fields |= {name: fields[name].astype(lp.c.dtype) for name in ("x", "y", "reduced_costs")}
    result = LPResult(status=settled(lp.xp, status, fields), certificate=small.ray, **fields)
    deliver(result)
    return result


def rest_of(limits: Limits, maxiter: int) -> Limits:
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


def at_once(lp: LinearProgram, units: Units, ray: Any = None) -> LPResult:
    """Solve programs that need no iteration: no rows, no columns, or contradictory bounds of a single one.

    `ray` is a proof that a single program is infeasible, where there is one already.
    """
    x, y, status, rays = closed_form(lp)
    if ray is not None:
        status, rays = Status.INFEASIBLE, ray
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


def _entries(A: Matrix) -> int:
    return int(A.nnz if arrays.is_sparse(A) else A.shape[0] * A.shape[1])
