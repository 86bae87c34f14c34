"""The programs of a batch by the compiled kernel, one after the other, from where that is the faster way.

Array code does an iteration of all programs for little more than one of a few; the kernel does one of each
program without the overhead. So at each look the time that array code takes is compared with the kernel's,
and once the kernel wins, it has the programs that are left. Their states are the same in both.
"""

from __future__ import annotations

import math
from dataclasses import fields
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from numsolve._core.codes import CONVERGED, RUNNING
from numsolve._core.result import Status
from numsolve.monotone._tuples import record

from ._compiled import EVERY, Compiled, Run, in_rounds
from ._tuples import LP_RUN, Columns, Rows

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.monitor import Monitor
    from numsolve._core.typing import Array

    from ._generic import State
    from ._program import LinearProgram

#: Of the seconds before the first look this share counts: the others may be a first call's.
FAIR = 0.5
#: Seconds that an iteration of array code takes at least: some fifty calls.
CALLS = 5e-5
#: Rounds of EVERY iterations of one program of which the fastest is the kernel's pace.
ROUNDS = 3


class Programs(Protocol):
    """A batch: its program, scaling and state, the indices of what is at work, and what came of each."""

    lp: LinearProgram
    limits: Limits
    rows: Array
    columns: Array
    norm: float
    step: float
    state: State
    running: Array
    status: Array
    nit: Array
    nrestart: Array
    rays: list[Any]

    def single(self, i: int) -> LinearProgram:
        """One program of the batch."""

    def descends(self, it: Monitor, i: int, ray: Array) -> tuple[Status, Array]:
        """Settle whether a program with a direction of descent has a feasible point."""


class Pace:
    """Compares the pace of a batch, from look to look, with the kernel's."""

    def __init__(self, batch: Programs, *, enabled: bool) -> None:
        self._batch, self._enabled = batch, enabled and batch.state.xh.dtype == np.float64
        self._last, self._before = perf_counter(), math.inf
        self._kernel = math.nan  # seconds of one program, from look to look

    @cached_property
    def solver(self) -> Compiled:
        """The program of the batch as the kernel takes it."""
        batch = self._batch
        known = (batch.rows, batch.columns, batch.norm)
        return Compiled(batch.single(0), batch.limits, known)

    @property
    def is_hopeless(self) -> bool:
        """Whether the kernel does an iteration of all programs before array code has made its calls."""
        return self._enabled and self._batch.running.size * self.solver.step_seconds < CALLS

    def is_slow(self, step: int) -> bool:
        """Whether the kernel would do the programs that are left faster; asked after each look."""
        if not self._enabled:
            return False
        seconds = perf_counter() - self._last
        if math.isnan(self._kernel):
            self._kernel, self._before = self._trial(step), FAIR * seconds
        # Two windows: one may be slow because of what else the machine does.
        slow = min(seconds, self._before) > self._kernel * self._batch.running.size
        self._before, self._last = seconds, perf_counter()
        return slow

    def _trial(self, step: int) -> float:
        run = Stragglers(self._batch, step, self.solver, only=1).runs[0]
        run.advance(0, EVERY, -1.0)  # compiles, or loads what is compiled
        seconds = math.inf
        for _ in range(ROUNDS):
            began = perf_counter()
            run.advance(EVERY, EVERY, -1.0)
            seconds = min(seconds, perf_counter() - began)
        return seconds


class Stragglers:
    """Programs of a batch, which go on by the kernel; without `only`, in the arrays of the batch's state."""

    def __init__(self, batch: Programs, step: int, solver: Compiled, only: int | None = None) -> None:
        self.batch, self.index = batch, batch.running[:only]
        for name in ("xh", "yh"):
            setattr(batch.state, name, np.array(getattr(batch.state, name)))
        self.runs = [self._resumed(solver, k, step, copies=only is not None) for k in range(self.index.size)]

    def _resumed(self, solver: Compiled, k: int, step: int, *, copies: bool) -> Run:
        batch, s = self.batch, self.batch.state
        xh, yh = (v[k].copy() if copies else v[k] for v in (s.xh, s.yh))
        names = ("c", "x", "x0", "aty0")
        col = Columns(
            **{name: np.array(getattr(s, name)[k]) for name in names},
            low=np.array(s.lx[k]),
            high=np.array(s.ux[k]),
            scale=batch.columns,
            xh=xh,
            xb=np.empty_like(xh),
            slack=np.empty_like(xh),
        )
        row = Rows(
            **{name: np.array(getattr(s, name)[k]) for name in ("y", "y0", "ax", "ax0", "axh")},
            low=np.array(s.lc[k]),
            high=np.array(s.uc[k]),
            scale=batch.rows,
            yh=yh,
            ray=np.empty_like(yh),
        )
        known = {f.name for f in fields(s)} & set(LP_RUN.names or ())
        numbers = {name: float(getattr(s, name)[k, 0]) for name in known}
        shares = {"primal": 1.0, "dual": 1.0, "gap": 1.0}
        return Run.resumed(solver, col, row, record(LP_RUN, base=batch.step, total=step, **numbers, **shares))

    def drive(self, it: Monitor) -> None:
        """Iterate all programs under the monitor of the batch, in chunks."""
        batch = self.batch
        left = dict(zip(self.index.tolist(), self.runs, strict=True))
        while it.running:
            steps, stop_at = it.chunk()
            steps = in_rounds(steps, it.nit, EVERY)
            looks = -(-steps // EVERY)
            table, count, most = np.zeros((looks, 4)), np.zeros(looks), 0
            for i, run in list(left.items()):
                rows, done, code = run.advance(steps, EVERY, stop_at)
                table[: len(rows)] = np.fmax(table[: len(rows)], rows[:, :4])
                count[: len(rows)] += 1
                most = max(most, done)
                batch.nrestart[i] = run.nrestart
                status = code if math.isfinite(rows[-1, 0]) else Status.NONFINITE
                if status != RUNNING:
                    self._retire(it, i, run, status, it.nit + done)
                    del left[i]
            looks = -(-most // EVERY)
            columns: dict[str, Any] = dict(
                zip(("primal_residual", "dual_residual", "gap"), table[:looks, 1:].T, strict=True)
            )
            it.extend(
                table[:looks, 0],
                RUNNING if left else CONVERGED,
                batch,
                steps=most,
                **columns,
                running=count[:looks],
            )

    def _retire(self, it: Monitor, i: int, run: Run, status: int, nit: int) -> None:
        """Note what became of a program."""
        batch, kind = self.batch, Status(status)
        if kind in {Status.INFEASIBLE, Status.UNBOUNDED}:
            ray: Array = run.ray(dual=kind is Status.INFEASIBLE)
            batch.rays[i] = ray
            if kind is Status.UNBOUNDED:
                kind, batch.rays[i] = batch.descends(it, i, ray)
        batch.nit[i], batch.status[i] = nit, kind
