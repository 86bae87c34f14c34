"""Linear programs with one matrix, side by side, by the array code of `_generic`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from numsolve._core import arrays
from numsolve._core.codes import RUNNING
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import ConvergenceWarning, Status
from numsolve._core.unheard import unheard
from numsolve.monotone._norms import spectral_norm
from numsolve.monotone.result import LPResult

from . import _generic as g
from ._compiled import EVERY, LATE, MAXITER, SAFETY
from ._program import Units, times, times_transposed
from ._refine import refined
from ._scaling import scaling, scaling_dense
from ._stragglers import Pace, Stragglers

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Namespace

    from ._program import LinearProgram

#: x and y to start from; None is zero.
Start: TypeAlias = "tuple[Array | None, Array | None]"
#: What the scaling may round off a residual.
SLACK = 1.01
#: What the history records: the largest of all programs, and how many are still at work.
COLUMNS = ("primal_residual", "dual_residual", "gap", "running")


def solve_batch(
    lp: LinearProgram, start: Start, tol: float, limits: Limits, units: Units | None = None
) -> LPResult:
    """Solve all programs of a batch, or a single one of any array library; each stops by itself.

    Ctrl-C and the time limit end the whole: finished programs keep their status, the others say why they
    stopped.
    """
    units = Units() if units is None else units
    with Monitor(
        limits,
        atol=tol,
        maxiter=MAXITER,
        label="linear program",
        columns=COLUMNS,
        keep="reference",
        present=lambda batch: batch.solution()[0] * units.bounds,
        step_seconds=3e-9 * lp.A.shape[0] * lp.A.shape[1] * (lp.batch or 1),
    ) as it:
        batch = Batch(lp, start, limits)
        batch.give_up_stuck(tol)
        batch.look(it, 0)
        pace = Pace(batch, enabled=arrays.is_numpy(lp.xp) and limits.callback is None)
        for step in () if pace.is_hopeless else it:
            batch.advance(step)
            last = step == it.maxiter or it.time_is_up
            if step % EVERY == 0 or last:
                batch.look(it, step)
                if it.status is None and pace.is_slow(step):
                    break
            elif limits.callback is not None:
                batch.look(it, step, decides=False)
        if it.status is None:
            Stragglers(batch, it.nit, pace.solver).drive(it)
    return batch.result(it, units)


class Batch:
    """The programs still at work, and what came of the others."""

    @np.errstate(over="ignore", invalid="ignore")  # what overflows shows in the residuals
    def __init__(self, lp: LinearProgram, start: Start, limits: Limits | None = None) -> None:
        self.lp, self.xp = lp, lp.xp
        self.limits = limits = Limits() if limits is None else limits
        self.rows, self.columns, self.A = _scaled(lp, limits)
        xp, dtype, n = lp.xp, lp.c.dtype, lp.c.shape[-1]
        v = xp.asarray(np.random.default_rng(0).standard_normal(n), dtype=dtype)
        length = spectral_norm(xp, self.times_x, self.times_y, v, limits)
        self.norm = length
        self.step = SAFETY / length if length > 0 else 1.0
        size = lp.batch or 1
        self.state = self._start(size, *start)
        self.running = np.arange(size)
        self.finished: list[tuple[Array, Array, Array]] = []
        self.status, self.nit = np.full(size, RUNNING), np.zeros(size, dtype=int)
        self.nrestart = np.zeros(size, dtype=int)
        self.rays: list[Any] = [None] * size
        contradictory = np.broadcast_to(np.atleast_1d(arrays.to_host(lp.contradictory)), size)
        self.status[contradictory] = Status.INFEASIBLE
        self._retire(0)

    def give_up_stuck(self, tol: float) -> None:
        """Put the programs aside that a row contradicts which no variable can change."""
        signs = self.lp.stuck(tol)
        signs = self.xp.broadcast_to(signs, (self.status.size, self.lp.A.shape[0]))
        found = arrays.to_host(self.xp.any(signs != 0, axis=1))
        for i in np.flatnonzero(found & (self.status == RUNNING)).tolist():
            self.status[i], self.rays[i] = Status.INFEASIBLE, signs[i, :]
        self._retire(0)

    def times_x(self, x: Array) -> Array:
        """A x of each program."""
        out: Array = times(self.A, x)
        return out

    def times_y(self, y: Array) -> Array:
        """A'y of each program."""
        out: Array = times_transposed(self.A, y)
        return out

    def sizes_y(self, y: Array) -> Array:
        """|A|'y of each program."""
        out: Array = times_transposed(abs(self.A), y)
        return out

    @np.errstate(over="ignore", invalid="ignore")
    def _start(self, size: int, x: Array | None, y: Array | None) -> g.State:
        xp, s = self.xp, _open(self.lp).scaled(self.rows, self.columns)

        def spread(v: Array, length: int) -> Any:
            return xp.broadcast_to(v if v.ndim == 2 else v[None, :], (size, length))

        def number(v: Any) -> Any:
            v = xp.asarray(v, dtype=self.lp.c.dtype)
            return xp.broadcast_to(xp.reshape(v, (-1, 1)), (size, 1))

        m, n = self.lp.A.shape
        c, lx, ux = (spread(v, n) for v in (s.c, s.lx, s.ux))
        lc, uc = (spread(v, m) for v in (s.lc, s.uc))
        x = xp.zeros_like(c) if x is None else spread(x / self.columns, n)
        y = xp.zeros_like(lc) if y is None else spread(y / self.rows, m)
        x = g.clip(xp, x, lx, ux)
        y = xp.where(((y > 0) & ~xp.isfinite(lc)) | ((y < 0) & ~xp.isfinite(uc)), 0.0, y)
        ax, size_b, size_c = self.times_x(x), number(s.size_b()), number(s.size_c())
        known, zero = (size_b > 0) & (size_c > 0), xp.zeros_like(size_c)
        return g.State(
            c=c,
            lc=lc,
            uc=uc,
            lx=lx,
            ux=ux,
            unit_b=number(self.lp.small_bound()),
            unit_c=number(self.lp.small_cost()),
            size_c=size_c,
            x=x,
            y=y,
            ax=ax,
            x0=x,
            y0=y,
            ax0=ax,
            aty0=self.times_y(y),
            xh=x,
            yh=y,
            axh=ax,
            weight=xp.where(known, size_c, 1.0) / xp.where(known, size_b, 1.0),
            step=zero + self.step,
            cap=zero + float("inf"),
            steep=zero,
            first=zero,
            last=zero,
            age=zero,
            restarts=zero,
            rejected=zero,
            balanced=zero,
            alone=zero,
        )

    @np.errstate(over="ignore", invalid="ignore")  # what overflows shows in the residuals
    def advance(self, step: int) -> None:
        """One iteration of every running program."""
        g.advance(self.xp, self.state, self.times_y, self.times_x, self.step, step)

    def look(self, it: Monitor, step: int, *, decides: bool = True) -> None:
        """Measure the running programs and record the worst; if it decides, retire those that are done."""
        if self.running.size == 0:
            it.record(0.0, self, converged=True)
            return
        xp, s, running = self.xp, self.state, self.running
        with np.errstate(over="ignore", invalid="ignore"):
            *measures, slack = g.measure(xp, s, self.times_y, self.rows, self.columns)
        primal, dual, gap = (arrays.to_host(v)[:, 0] for v in measures)
        worst = np.maximum(np.maximum(primal, dual), gap)
        if decides:
            self._decide(it, step, worst, slack)
        it.record(
            worst.max(),
            self,
            converged=self.running.size == 0,
            primal_residual=primal.max(),
            dual_residual=dual.max(),
            gap=gap.max(),
            running=running.size,
        )

    def _decide(self, it: Monitor, step: int, worst: Array, slack: Array) -> None:
        """Give a status to the programs that are done, and put them aside."""
        xp, s, running = self.xp, self.state, self.running
        with np.errstate(over="ignore", invalid="ignore"):
            rays = {
                Status.UNBOUNDED: arrays.to_host(g.primal_rays(xp, s))[:, 0],
                Status.INFEASIBLE: arrays.to_host(g.dual_rays(xp, s, slack, self.times_y, self.sizes_y))[
                    :, 0
                ],
            }
        status = self.status.copy()  # the verdicts hold when all are made
        for kind, found in rays.items():
            status[running[found]] = kind
        status[running[worst <= it.threshold]] = Status.CONVERGED
        status[running[~np.isfinite(worst)]] = Status.NONFINITE
        self._keep_rays(it, status)
        self.status = status
        self._retire(step)

    def _keep_rays(self, it: Monitor, status: Array) -> None:
        """Note the certificates."""
        s = self.state
        for k, i in enumerate(self.running.tolist()):
            if status[i] == Status.INFEASIBLE:
                self.rays[i] = _normed(self.xp, (s.yh[k, :] - s.y0[k, :]) * self.rows)
            elif status[i] == Status.UNBOUNDED:
                ray = _normed(self.xp, (s.xh[k, :] - s.x0[k, :]) * self.columns)
                status[i], self.rays[i] = self.descends(it, i, ray)

    def single(self, i: int) -> LinearProgram:
        """One program of the batch."""
        lp, names = self.lp, ("c", "lc", "uc", "lx", "ux")
        return replace(lp, **{k: v[i, :] if (v := getattr(lp, k)).ndim == 2 else v for k in names})

    def descends(self, it: Monitor, i: int, ray: Array) -> tuple[Status, Array]:
        """Settle whether a program with a direction of descent has a feasible point: status, certificate."""
        program, part = self.single(i), self.limits.part(it.maxiter)
        if bool(self.xp.any(program.c != 0)):
            with unheard(ConvergenceWarning):
                feasible = solve_batch(program.without_cost(), (None, None), it.threshold, part)
            if feasible.status is Status.INFEASIBLE:
                return Status.INFEASIBLE, feasible.certificate
            if feasible.status is Status.TIME_LIMIT:
                return Status.TIME_LIMIT, ray
        return Status.UNBOUNDED, ray

    def _retire(self, step: int) -> None:
        """Put the finished programs aside."""
        done = self.status[self.running] != RUNNING
        self.nit[self.running] = step
        self.nrestart[self.running] = arrays.to_host(self.state.restarts)[:, 0]
        if done.any():
            xp, out = self.xp, self.state.take(self.xp, self.xp.asarray(np.flatnonzero(done)))
            finished = [*self.finished, (self.running[done], out.xh, out.yh)]
            state, running = self.state.take(xp, xp.asarray(np.flatnonzero(~done))), self.running[~done]
            # In one go, so that Ctrl-C finds each program in one place.
            self.finished, self.state, self.running = finished, state, running

    @np.errstate(over="ignore", invalid="ignore")
    def solution(self) -> tuple[Array, Array]:
        """The x and y of all programs in the caller's units, without the batch axis if there is none."""
        xp, lp = self.xp, self.lp
        parts = [*self.finished, (self.running, self.state.xh, self.state.yh)]
        order = xp.asarray(np.argsort(np.concatenate([index for index, _, _ in parts])))
        x = xp.take(xp.concat([x for _, x, _ in parts]), order, axis=0)
        low, high = x == lp.lx / self.columns, x == lp.ux / self.columns  # there it stays
        x = xp.where(low, lp.lx, xp.where(high, lp.ux, x * self.columns))
        y = xp.take(xp.concat([y for _, _, y in parts]), order, axis=0) * self.rows
        if lp.batch is None:
            x, y = x[0, :], y[0, :]
        x = g.clip(xp, x, lp.lx, lp.ux)
        return xp.where(xp.isfinite(x), x, 0.0), y

    def _refine(self, x: Array, y: Array, quality: dict[str, Any], tol: float) -> None:
        """Solve, in these arrays, programs that got stuck because their residuals are lost in rounding."""
        if self.lp.batch is None or not arrays.is_numpy(self.xp):
            return
        late = (self.status == Status.MAXITER) & (self.nit >= LATE)
        short = (self.status == Status.CONVERGED) & (quality["residual"] > SLACK * tol)
        for i in np.flatnonzero((self.status == Status.STAGNATED) | late | short).tolist():
            if quality["residual"][i] <= tol:
                self.status[i] = Status.CONVERGED
            elif (better := refined(self.single(i), x[i], y[i], tol)) is not None:
                x[i], y[i] = better[:2]
                for name, value in better[2].items():
                    quality[name][i] = value
                self.status[i] = Status.CONVERGED

    def result(self, it: Monitor, units: Units) -> LPResult:
        """Everything in the caller's units."""
        x, y = self.solution()
        assert it.status is not None
        left = self.status == RUNNING
        self.nit[left], self.status[left] = it.nit, it.status
        fields: dict[str, Any] = {"status": self.status, "nit": self.nit, "nrestart": self.nrestart}
        fields["certificate"] = self.rays
        if self.lp.batch is None:
            status = Status(int(self.status[0]))
            fields = {"status": status, "nit": int(self.nit[0]), "nrestart": int(self.nrestart[0])}
            fields["certificate"] = self.rays[0]
        quality = self.lp.quality(x, y)
        self._refine(x, y, quality, it.threshold)
        answer = in_units(units, x, y, quality)
        fields["status"] = settled(self.xp, fields["status"], answer, SLACK * it.threshold)
        return it.result(LPResult, **fields, **answer)


def in_units(units: Units, x: Array, y: Array, quality: dict[str, Any]) -> dict[str, Any]:
    """A point and its `quality`, given in some units, in those of the caller."""
    u, out = units, dict(quality)
    with np.errstate(over="ignore", invalid="ignore"):  # `settled` looks at what came of it
        out["x"] = x * u.bounds
        out["y"] = _powers(y, (u.costs,), u.matrix)
        out["fun"] = _powers(quality["fun"], (u.bounds, u.costs))
        out["reduced_costs"] = quality["reduced_costs"] * u.costs
    return out


def settled(xp: Namespace, status: Any, fields: dict[str, Any], tol: float = math.inf) -> Any:
    """NONFINITE if the answer in the caller's units is beyond floats, ROUNDING if it is above tol."""
    good = np.isfinite(arrays.to_host(fields["fun"]))
    for name in ("x", "y", "reduced_costs"):
        good = good & arrays.to_host(xp.all(xp.isfinite(fields[name]), axis=-1))
    close = arrays.to_host(fields["residual"]) <= tol
    if isinstance(status, Status):
        if status is not Status.CONVERGED:
            return status
        return Status.NONFINITE if not good else Status.CONVERGED if close else Status.ROUNDING
    verdict = np.where(good, np.where(close, Status.CONVERGED, Status.ROUNDING), Status.NONFINITE)
    return np.where(status == Status.CONVERGED, verdict, status)


def _powers(v: Any, times: tuple[float, ...], over: float = 1.0) -> Any:
    """Multiplication and division by powers of two, which together may be beyond the range of floats."""
    power = sum(math.frexp(unit)[1] - 1 for unit in times) - math.frexp(over)[1] + 1
    return v * math.ldexp(1.0, power // 2) * math.ldexp(1.0, power - power // 2) if power else v


def _scaled(lp: LinearProgram, limits: Limits) -> tuple[Array, Array, Any]:
    """Row and column factors, and the scaled matrix."""
    xp, A = lp.xp, lp.A
    rows, columns = scaling(A, limits=limits) if arrays.is_numpy(xp) else scaling_dense(xp, A, limits)
    rows, columns = (xp.asarray(v, dtype=lp.c.dtype) for v in (rows, columns))
    if not arrays.is_sparse(A):
        return rows, columns, A * rows[:, None] * columns[None, :]
    from scipy.sparse import diags_array

    return rows, columns, (diags_array(rows) @ A @ diags_array(columns)).tocsr()


def _open(lp: LinearProgram) -> LinearProgram:
    """The batch without the bounds of its contradictory programs, whose arithmetic would give nan."""
    xp, inf = lp.xp, float("inf")
    if not bool(xp.any(lp.contradictory)):
        return lp
    shut = xp.reshape(lp.contradictory, (-1, 1))
    low = {name: xp.where(shut, -inf, getattr(lp, name)) for name in ("lc", "lx")}
    high = {name: xp.where(shut, inf, getattr(lp, name)) for name in ("uc", "ux")}
    return replace(lp, **low, **high)


def _normed(xp: Namespace, v: Array) -> Array:
    out: Array = v / xp.max(xp.abs(v))
    return out
