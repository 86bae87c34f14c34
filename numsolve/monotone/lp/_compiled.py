"""A linear program in the units of the iteration, and its runs by the compiled kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from numsolve._core import arrays
from numsolve._core.codes import CONVERGED, RUNNING
from numsolve._core.limits import Limits
from numsolve._core.result import Status
from numsolve.monotone._compiled import by_rows, in_rows
from numsolve.monotone._norms import spectral_norm
from numsolve.monotone._tuples import record

from ._scaling import scaling
from ._tuples import LP_RUN, Columns, Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.monitor import Monitor
    from numsolve._core.typing import Array, Kernels, Vectors

    from ._program import LinearProgram

#: Iterations between two looks at the residuals.
EVERY = 32
#: The step is this over the norm of the scaled matrix, which is estimated from below.
SAFETY = 0.998
#: A dense matrix with a smaller share of nonzeros is stored by its nonzeros.
DENSE = 0.3
#: The usual limit of iterations.
MAXITER = 1_000_000
#: Iterations, a multiple of EVERY, after which contradictions of the bounds, and more digits, are looked for.
LATE = 1024
#: What a look records.
COLUMNS = ("primal_residual", "dual_residual", "gap", "weight")


class Compiled:
    """A scaled program. It is made once for a matrix; several runs may follow.

    `known` are the factors of rows and columns and the norm, where these were computed before.

    What overflows shows in the residuals.

    When the time is over before it is ready, the scaling and the norm are rougher than usual; no step is made
    then.
    """

    @np.errstate(over="ignore", invalid="ignore")
    def __init__(
        self,
        lp: LinearProgram,
        limits: Limits | None = None,
        known: tuple[Array, Array, float] | None = None,
        **settings: int,
    ) -> None:
        from . import _cpu

        self.kernels: Kernels = _cpu
        self.lp = lp
        limits = Limits() if limits is None else limits
        A: Any = lp.A.astype(np.float64)  # a copy
        self.rows, self.columns = scaling(A, limits=limits, **settings) if known is None else known[:2]
        m, n = A.shape
        if arrays.is_sparse(A):
            A.data *= np.repeat(self.rows, np.diff(A.indptr)) * self.columns[A.indices]
        else:
            A = A * self.rows[:, None] * self.columns
            if np.count_nonzero(A) < DENSE * A.size:
                from scipy.sparse import csr_array

                A = csr_array(A)
        self._matrices = in_rows(A), in_rows(A.T)
        self.A, self.At = (by_rows(M) for M in self._matrices)
        self.scaled = lp.scaled(self.rows, self.columns)
        start = np.random.default_rng(0).standard_normal(n)
        self.norm = (
            spectral_norm(lp.xp, self.times_x, self.times_y, start, limits) if known is None else known[2]
        )
        size = A.nnz if arrays.is_sparse(A) else A.size
        self.step_seconds = 3e-9 * size + 1e-8 * (m + n)  # a guess for the first chunk

    @np.errstate(over="ignore", invalid="ignore")
    def times_x(self, x: Array) -> Array:
        """A x."""
        out: Array = self._matrices[0] @ x
        return out

    @np.errstate(over="ignore", invalid="ignore")
    def times_y(self, y: Array) -> Array:
        """A'y."""
        out: Array = self._matrices[1] @ y
        return out

    @np.errstate(over="ignore", invalid="ignore")
    def start(self, x: Array | None, y: Array | None) -> tuple[Array, Array]:
        """The caller's start in the units of the iteration, within its bounds; None is zero."""
        s = self.scaled
        x = np.zeros(s.lx.size) if x is None else x / self.columns
        y = np.zeros(s.lc.size) if y is None else y / self.rows
        y[((y > 0) & ~np.isfinite(s.lc)) | ((y < 0) & ~np.isfinite(s.uc))] = 0.0
        return np.clip(x, s.lx, s.ux), y

    @np.errstate(over="ignore", invalid="ignore")
    def unscaled(self, point: tuple[Array, Array]) -> tuple[Array, Array]:
        """A point of the iteration in the caller's units."""
        (x, y), s, lp = point, self.scaled, self.lp
        inside = np.clip(x * self.columns, lp.lx, lp.ux)
        # What lies on a bound stays there, whatever the scaling rounds.
        return np.where(x == s.lx, lp.lx, np.where(x == s.ux, lp.ux, inside)), y * self.rows


class Run:
    """The state of one run; `program` may differ from the solver's in its costs and bounds."""

    def __init__(
        self,
        solver: Compiled,
        point: tuple[Array, Array],
        program: LinearProgram | None = None,
        shares: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        lp = solver.lp
        s = solver.scaled if program is None else program
        x, y = point
        ax, aty = solver.times_x(x), solver.times_y(y)
        self.solver = solver
        iterates = {name: x.copy() for name in ("x", "x0", "xh", "xb")}
        data = {"c": s.c, "low": s.lx, "high": s.ux, "scale": solver.columns}
        self.col = Columns(**data, **iterates, aty0=aty, slack=np.empty(x.size))
        iterates = {name: y.copy() for name in ("y", "y0", "yh")}
        iterates |= {name: ax.copy() for name in ("ax", "ax0", "axh")}
        self.row = Rows(low=s.lc, high=s.uc, scale=solver.rows, **iterates, ray=np.empty(y.size))
        step = SAFETY / solver.norm if solver.norm > 0 else 1.0
        size_b, size_c = s.size_b(), s.size_c()
        primal, dual, gap = shares
        self.numbers = record(
            LP_RUN,
            step=step,
            base=step,
            cap=np.inf,
            weight=size_c / size_b if size_b > 0 and size_c > 0 else 1.0,
            unit_b=lp.small_bound(),
            unit_c=lp.small_cost(),
            size_c=size_c,
            primal=primal,
            dual=dual,
            gap=gap,
        )

    @classmethod
    def resumed(cls, solver: Compiled, col: Columns, row: Rows, numbers: Any) -> Run:
        """A run that goes on from the state of another; it works in these arrays."""
        run = cls.__new__(cls)
        run.solver, run.col, run.row, run.numbers = solver, col, row, numbers
        return run

    @property
    def point(self) -> tuple[Array, Array]:
        """The PDHG point."""
        return self.col.xh, self.row.yh

    @property
    def nrestart(self) -> int:
        """Restarts so far."""
        return int(self.numbers.restarts)

    @property
    def weight(self) -> float:
        """The primal weight."""
        return float(self.numbers.weight)

    def ray(self, *, dual: bool) -> Array:
        """The way since the anchor in the caller's units, its largest entry one."""
        solver = self.solver
        v = (
            (self.row.yh - self.row.y0) * solver.rows
            if dual
            else (self.col.xh - self.col.x0) * solver.columns
        )
        out: Array = v / np.max(np.abs(v))
        return out

    def advance(self, steps: int, every: int, stop_at: float) -> tuple[Array, int, int]:
        """Iterate; returns a table with a row for each look, the iterations done, and why it stopped."""
        table = np.empty((-(-steps // every) + 1, 5))
        looks, done, code = self.solver.kernels.advance(
            *(self.solver.A, self.solver.At, self.col, self.row, self.numbers),
            *(steps, every, stop_at, table),
        )
        return table[:looks], done, code

    def drive(self, it: Monitor, late: Callable[[], Status | None] | None = None) -> None:
        """Iterate under a monitor with the history columns `COLUMNS`.

        After `LATE` iterations without an end, `late` is asked once whether there is a status already.
        """
        drive(it, self, EVERY, COLUMNS, late)


class Driven(Protocol):
    """What `drive` can drive."""

    @property
    def point(self) -> Vectors:
        """Where it is."""

    def advance(self, steps: int, every: int, stop_at: float) -> tuple[Array, int, int]:
        """Iterate, as `Run.advance`."""


def in_rounds(steps: int, nit: int, every: int) -> int:
    """Whole rounds of `every` steps, or what is left of one: so a look is at the end of each."""
    return min(steps, -nit % every or steps - steps % every or steps)


def drive(
    it: Monitor,
    run: Driven,
    every: int,
    columns: tuple[str, ...],
    late: Callable[[], Status | None] | None = None,
) -> None:
    """Iterate under a monitor, with a look at the residuals at each `every`-th step.

    With a callback there is a look at each step, but still only each `every`-th, and the last, may end the
    run: so a run ends where it would end unwatched.
    """
    table, _, _ = run.advance(0, every, -1.0)
    it.record(table[0, 0], run.point, **dict(zip(columns, table[0, 1:].tolist(), strict=True)))
    if it.limits.callback is not None:
        for step in it:
            table, _, code = run.advance(1, every, it.threshold)
            if code not in {RUNNING, CONVERGED}:
                it.stop(Status(code))
            judged = None if step % every == 0 or step == it.maxiter else False
            values = dict(zip(columns, table[0, 1:].tolist(), strict=True))
            it.record(table[0, 0], run.point, converged=judged, **values)
            if late is not None and step == LATE and it.status is None and (status := late()) is not None:
                it.stop(status)
    while it.running:
        steps, stop_at = it.chunk()
        steps = in_rounds(steps, it.nit, every)
        if late is not None and it.nit < LATE:
            steps = min(steps, LATE - it.nit)
        table, done, code = run.advance(steps, every, stop_at)
        rows = dict(zip(columns, table[:, 1:].T, strict=True))
        it.extend(table[:, 0], code, run.point, steps=done, **rows)
        if late is not None and it.nit == LATE and it.status is None and (status := late()) is not None:
            it.stop(status)
