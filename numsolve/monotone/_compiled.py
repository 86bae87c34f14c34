"""A linear program in the units of the iteration, and its runs by the compiled kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays

from ._scaling import scaling, spectral_norm
from ._tuples import Columns, Rows

if TYPE_CHECKING:
    from numsolve._core.monitor import Monitor

    from ._lp import LinearProgram

#: Iterations between two looks at the residuals.
EVERY = 32
#: The step is this over the norm of the scaled matrix, which is estimated from below.
SAFETY = 0.998
#: A dense matrix with a smaller share of nonzeros is stored by its nonzeros.
DENSE = 0.3
#: What a look records.
COLUMNS = ("primal_residual", "dual_residual", "gap", "weight")


class Compiled:
    """A scaled program. It is made once for a matrix; several runs may follow."""

    def __init__(self, lp: LinearProgram, **settings: int) -> None:
        from . import _cpu_lp

        self.kernels: Any = _cpu_lp
        self.lp = lp
        A: Any = lp.A.astype(np.float64)  # a copy
        self.rows, self.columns = scaling(A, **settings)
        m, n = A.shape
        if arrays.is_sparse(A):
            A.data *= np.repeat(self.rows, np.diff(A.indptr)) * self.columns[A.indices]
        else:
            A = A * self.rows[:, None] * self.columns
            if np.count_nonzero(A) < DENSE * A.size:
                from scipy.sparse import csr_array

                A = csr_array(A)
        self.A, self.At = by_rows(A), by_rows(A.T)
        self.scaled = lp.scaled(self.rows, self.columns)
        start = np.random.default_rng(0).standard_normal(n)
        self.norm = spectral_norm(lp.xp, self.times_x, self.times_y, start)
        size = A.nnz if arrays.is_sparse(A) else A.size
        self.step_seconds = 3e-9 * size + 1e-8 * (m + n)  # a guess for the first chunk

    def times_x(self, x: Any) -> Any:
        """A x."""
        out = np.empty(self.rows.size)
        self.kernels.product(self.A, x, out)
        return out

    def times_y(self, y: Any) -> Any:
        """A'y."""
        out = np.empty(self.columns.size)
        self.kernels.product(self.At, y, out)
        return out

    def start(self, x: Any, y: Any) -> tuple[Any, Any]:
        """The caller's start in the units of the iteration, within its bounds; None is zero."""
        s = self.scaled
        x = np.zeros(s.lx.size) if x is None else x / self.columns
        y = np.zeros(s.lc.size) if y is None else y / self.rows
        y[((y > 0) & ~np.isfinite(s.lc)) | ((y < 0) & ~np.isfinite(s.uc))] = 0.0
        return np.clip(x, s.lx, s.ux), y

    def unscaled(self, point: tuple[Any, Any]) -> tuple[Any, Any]:
        """A point of the iteration in the caller's units."""
        x, y = point
        return np.clip(x * self.columns, self.lp.lx, self.lp.ux), y * self.rows


class Run:
    """The state of one run; `program` may differ from the solver's in its costs and bounds."""

    def __init__(
        self,
        solver: Compiled,
        point: tuple[Any, Any],
        program: LinearProgram | None = None,
        shares: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        k, lp = solver.kernels, solver.lp
        s = solver.scaled if program is None else program
        x, y = point
        ax, aty = solver.times_x(x), solver.times_y(y)
        self.solver = solver
        iterates = {name: x.copy() for name in ("x", "x0", "xh", "xb")}
        data = {"c": s.c, "low": s.lx, "high": s.ux, "scale": solver.columns}
        self.col = Columns(**data, **iterates, aty0=aty, slack=np.empty(x.size))
        iterates = {name: y.copy() for name in ("y", "y0", "yh")}
        iterates |= {name: ax.copy() for name in ("ax", "ax0", "axh")}
        self.row = Rows(low=s.lc, high=s.uc, scale=solver.rows, **iterates)
        self.counts = np.zeros(4, dtype=np.int64)
        self.numbers = np.zeros(14)
        self.numbers[[k.STEP, k.BASE]] = SAFETY / solver.norm if solver.norm > 0 else 1.0
        self.numbers[k.CAP] = np.inf
        self.numbers[k.NORM_B], self.numbers[k.NORM_C] = lp.norm_b(), lp.norm_c()
        self.numbers[k.SIZE_B], self.numbers[k.SIZE_C] = s.norm_b(), s.norm_c()
        sizes = self.numbers[[k.SIZE_B, k.SIZE_C]]
        self.numbers[k.WEIGHT] = sizes[1] / sizes[0] if sizes.all() else 1.0
        self.numbers[k.PRIMAL :] = shares

    @property
    def point(self) -> tuple[Any, Any]:
        """The PDHG point."""
        return self.col.xh, self.row.yh

    @property
    def nrestart(self) -> int:
        """Restarts so far."""
        return int(self.counts[self.solver.kernels.RESTARTS])

    @property
    def weight(self) -> float:
        """The primal weight."""
        return float(self.numbers[self.solver.kernels.WEIGHT])

    def ray(self, *, dual: bool) -> Any:
        """The way since the anchor in the caller's units, its largest entry one."""
        solver = self.solver
        v = (
            (self.row.yh - self.row.y0) * solver.rows
            if dual
            else (self.col.xh - self.col.x0) * solver.columns
        )
        return v / np.max(np.abs(v))

    def measure(self) -> Any:
        """The residuals of the point: the largest, primal, dual, gap; and the weight."""
        k, out = self.solver.kernels, np.empty((1, 5))
        k.measure(self.solver.At, self.col, self.row, self.numbers, out[0])
        out[0, 4] = self.numbers[k.WEIGHT]
        return out

    def advance(self, steps: int, every: int, stop_at: float) -> tuple[Any, int, int]:
        """Iterate; returns a table with a row for each look, the iterations done, and why it stopped."""
        table = np.empty((-(-steps // every) + 1, 5))
        looks, done, code = self.solver.kernels.advance(
            *(self.solver.A, self.solver.At, self.col, self.row, self.numbers, self.counts),
            *(steps, every, stop_at, table),
        )
        return table[:looks], done, code

    def drive(self, it: Monitor, every: int = EVERY) -> int:
        """Iterate under a monitor with the history columns `COLUMNS`; returns the kernel's last code."""
        table = self.measure()
        code: int = self.solver.kernels.RUNNING
        it.record(table[0, 0], self.point, **dict(zip(COLUMNS, table[0, 1:].tolist(), strict=True)))
        while it.running:
            steps, stop_at = it.chunk()
            steps = max(steps - steps % every, min(steps, every))
            table, done, code = self.advance(steps, every, stop_at)
            columns = dict(zip(COLUMNS, table[:, 1:].T, strict=True))
            it.extend(table[:, 0], code, self.point, steps=done, **columns)
        return code


def by_rows(A: Any) -> Any:
    """The form that the kernels take."""
    if not arrays.is_sparse(A):
        return np.ascontiguousarray(A)
    A = A.tocsr()
    A.sort_indices()
    wide = max(A.nnz, *A.shape) >= 2**32
    kind = np.int64 if wide else np.uint32  # unsigned: the kernels need not think of negative indices
    return A.indptr.astype(kind), A.indices.astype(kind), A.data
