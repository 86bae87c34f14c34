"""What ``TunedSolver("auto")`` solves with: each arm as a method, and the factors that are kept.

Whatever the arm, the answer is that of the loop which all solvers of this column share, and is judged by its
true residual; complete factors and the block method only give it a start.
"""

from __future__ import annotations

import math
from dataclasses import replace
from time import get_clock_info, perf_counter, thread_time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numsolve._core.codes import BREAKDOWN, CONVERGED, NONFINITE, RUNNING
from numsolve._core.krylov import conjugate_gradients
from numsolve._core.result import Status
from numsolve.linear._factors import Factors
from numsolve.linear._nonsymmetric import Operated
from numsolve.linear._system import norm
from numsolve.linear.bicgstab import OperatedSteps, Steps
from numsolve.linear.ict import ICT, Preconditioned
from numsolve.linear.ilu import ILU
from numsolve.linear.result import LinearResult
from numsolve.linear.ssor_cg import Eisenstat

from ._arms import banded_first, fill_of
from ._banded import BANDED, Banded
from ._block import block_cg
from ._complete import complete

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array
    from numsolve.linear._system import System

    from ._look import Look

#: Factors of so many kinds are kept at a time.
KEPT = 4
#: Late factors are renewed in a solve that takes so many times the steps that it took with fresh ones.
LATE = 4
#: The block method aims below the tolerance, so that its recursion's error does not cost another step.
BELOW = 0.5
#: Seconds of this thread, in which other processes do not count; where its steps are long, those on the wall.
seconds_now = thread_time if get_clock_info("thread_time").resolution < 1e-5 else perf_counter


class Kept(NamedTuple):
    """Factors, and the number of their matrix."""

    factors: Any
    number: int
    n: int
    seconds: float
    #: that a solve with fresh factors took, times `LATE`
    steps: int


class Methods:
    """The arms, and the factors that they keep."""

    def __init__(self) -> None:
        self._kept: dict[Any, Kept] = {}
        self.banded = Banded()
        self._spent = self._share = 0.0
        #: how the last system was solved
        self.how = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return Methods, ()  # complete factors cannot be pickled

    def solve(
        self, arm: tuple[Any, ...], look: Look, system: System, limits: Limits, **loop: Any
    ) -> tuple[LinearResult, float]:
        """The answer, and the seconds that it cost; new factors are paid by all systems that they serve."""
        self._spent = self._share = 0.0
        began = seconds_now()
        # A matrix of another type than the right-hand side was converted after the look.
        look = look if look.A is system.A else look._replace(A=system.A)
        result: LinearResult = getattr(self, f"_{arm[0]}")(look, system, limits, *arm[1:], **loop)
        cost = seconds_now() - began - self._spent + self._share
        return result, cost

    def _factors(self, key: tuple[Any, ...], refresh: int, look: Look) -> Kept:
        """Factors of this matrix, or of one of the last."""
        kept = self._kept.pop(key, None)
        n = look.A.shape[0]
        if kept is None or kept.n != n or not 0 <= look.number - kept.number < refresh:
            began = seconds_now()
            factors = factors_of(key, look)
            self._spent = seconds_now() - began
            kept = Kept(factors, look.number, n, self._spent, 0)
        self._share = kept.seconds / (refresh * look.systems)
        self._kept[key] = kept
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        age = look.number - kept.number
        self.how += f", factors of {age} matrices before" if age else ", fresh factors"
        return kept

    def _cg(self, look: Look, system: System, limits: Limits, **loop: Any) -> LinearResult:
        self.how = "CG, scaled by the diagonal"
        A, rows = look.A, np.arange(look.A.shape[0], dtype=np.uint32)
        none, ends = np.empty(0, np.uint32), np.zeros(rows.size + 1, np.uint32)
        with np.errstate(divide="ignore", over="ignore"):  # seen in the residual
            factors = Factors(rows, ends, ends, none, np.empty(0, A.dtype), 1 / A.diagonal())
        method = Preconditioned(A, factors, indefinite=not look.positive)
        return system.solve(method, limits, quiet=True, label="CG", **loop)

    def _ssor_cg(self, look: Look, system: System, limits: Limits, omega: float, **loop: Any) -> LinearResult:
        self.how = f"SSOR-CG, omega = {omega:g}"
        method = Eisenstat(look.A, omega, check_finite=False)
        return system.solve(method, limits, omega=omega, quiet=True, label="SSOR-CG", **loop)

    def _ict_cg(
        self, look: Look, system: System, limits: Limits, droptol: float, refresh: int, **loop: Any
    ) -> LinearResult:
        def solve(factors: Any, system: System, **loop: Any) -> LinearResult:
            method = Preconditioned(look.A, factors, indefinite=not look.positive)
            return system.solve(method, limits, quiet=True, label="ICT-CG", **loop)

        self.how = f"ICT-CG, droptol = {droptol:g}"
        return self._renewing(("ict_cg", droptol), refresh, look, system, limits, solve, **loop)

    def _renewing(
        self, key: Any, refresh: int, look: Look, system: System, limits: Limits, solve: Any, **loop: Any
    ) -> LinearResult:
        """Solve with kept factors, which are made anew if they have become bad."""
        kept = self._factors(key, refresh, look)
        if kept.number == look.number:
            result: LinearResult = solve(kept.factors, system, **loop)
            steps = LATE * (int(np.max(result.nit, initial=0)) + 5)
            self._kept[key] = kept._replace(steps=max(kept.steps, steps))
            return result
        few = min(kept.steps or 50, loop["maxiter"])
        result = solve(kept.factors, system, **{**loop, "maxiter": few})
        late = np.isin(result.status, [Status.MAXITER, Status.BREAKDOWN, Status.STAGNATED, Status.NONFINITE])
        if limits.maxiter is not None or not late.any():
            return result
        if np.isfinite(result.x).all():
            system = replace(system, x0=result.x)
        self._kept.pop(key)
        self.how = self.how.rpartition(", factors")[0]
        fresh = self._factors(key, 1, look)
        again: LinearResult = solve(fresh.factors, system, **loop)
        return replace(again, nit=again.nit + result.nit)

    def _block_cg(
        self, look: Look, system: System, limits: Limits, droptol: float, refresh: int, **loop: Any
    ) -> LinearResult:
        # Who counts or watches the steps wants those of each right-hand side.
        watched = limits.callback is not None or limits.progress or limits.maxiter is not None
        if watched or system.b.ndim == 1:
            return self._ict_cg(look, system, limits, droptol, refresh, **loop)
        self.how = f"block CG, droptol = {droptol:g}"
        wanted = BELOW * np.maximum(loop["rtol"] * _norms(system.b), loop["atol"])

        def solve(factors: Any, system: System, **loop: Any) -> LinearResult:
            start = np.zeros_like(system.b) if system.x0 is None else system.x0
            with np.errstate(all="ignore"):  # seen in the residual
                x, steps = block_cg(look.A, system.b, start, factors, wanted, limits, loop["maxiter"])
            if np.isfinite(x).all():
                system = replace(system, x0=x)
            method = Preconditioned(look.A, factors, indefinite=not look.positive)
            result = system.solve(method, limits, quiet=True, label="ICT-CG", **loop)
            return replace(result, nit=result.nit + steps)

        return self._renewing(("ict_cg", droptol), refresh, look, system, limits, solve, **loop)

    def _bicgstab(
        self, look: Look, system: System, limits: Limits, droptol: float, refresh: int, **loop: Any
    ) -> LinearResult:
        self.how = f"BiCGSTAB, ILU with droptol = {droptol:g}"

        def solve(factors: Any, system: System, **loop: Any) -> LinearResult:
            method = Steps(system, factors.of(look.A.dtype))
            return system.solve(method, limits, quiet=True, label="BiCGSTAB", **loop)

        return self._renewing(("bicgstab", droptol), refresh, look, system, limits, solve, **loop)

    def _direct(self, look: Look, system: System, limits: Limits, refresh: int, **loop: Any) -> LinearResult:
        b = system.b
        if banded_first(look, b.size // max(b.shape[0], 1)):
            self.how = BANDED
            x = self.banded.solve(look, b)
            answer = None if x is None or limits.expired else at_once(system, x, **loop)
            return answer or self._refined(look, system, limits, x, None, **loop)
        self.how = "SuperLU"
        key = ("direct",)

        def solve(factors: Any, system: System, **loop: Any) -> LinearResult:
            x = None
            if factors is not None and self._kept[key].number == look.number and not limits.expired:
                x = factors(b)
                answer = at_once(system, x, **loop)
                if answer is not None:
                    return answer
            return self._refined(look, system, limits, x, factors, **loop)

        return self._renewing(key, refresh, look, system, limits, solve, **loop)

    def _refined(
        self, look: Look, system: System, limits: Limits, x: Any, solve: Any, **loop: Any
    ) -> LinearResult:
        """Go on from x, with factors as the preconditioner."""
        if x is not None and np.isfinite(x).all():
            system = replace(system, x0=x)
        if solve is None:
            factors = ILU(look.A, 1e-3, check_finite=False).factors.of(look.A.dtype)
            return system.solve(Steps(system, factors), limits, quiet=True, label="BiCGSTAB", **loop)
        kind = OperatedCG if look.positive else OperatedSteps
        return system.solve(kind(system, solve), limits, quiet=True, label="direct", **loop)


def factors_of(key: tuple[Any, ...], look: Look) -> Any:
    """New factors of some kind."""
    if key[0] == "direct":
        return complete(look.A, positive=look.positive)
    name, droptol = key
    kind: Any = ICT if name == "ict_cg" else ILU
    return kind(look.A, droptol, fill_of(name, droptol), check_finite=False).factors


class OperatedCG(Operated):
    """Conjugate gradients with a preconditioner of which only the solution is known."""

    def start(self, x: Array, r: Array) -> None:
        """Begin at x with the residual r."""
        self._steps = conjugate_gradients(np, self.product, x, r, self.precondition)
        self.iterate, self.kept = x, (x, norm(r))

    def steps(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Do steps."""
        for i in range(norms.size):
            step = next(self._steps, None)
            if step is None or not step.curvature > 0:
                bad = step is not None and not math.isfinite(step.curvature)
                return i, NONFINITE if bad else BREAKDOWN
            self.iterate = step.x
            norms[i] = size = norm(step.r)
            if size <= stop_at:
                return i + 1, CONVERGED
            if not math.isfinite(size):
                return i + 1, NONFINITE
            if size < self.kept[1]:
                self.kept = step.x, size
        return norms.size, RUNNING

    def x(self) -> Array:
        """The iterate."""
        return self.iterate

    def best(self) -> Array:
        """Of the iterates so far, the one with the smallest residual."""
        return self.kept[0]


def at_once(system: System, x: Array, *, rtol: float, atol: float, **_: Any) -> LinearResult | None:
    """The result with x, if it meets the tolerance for each right-hand side."""
    b = system.b
    with np.errstate(all="ignore"):  # seen in the residual
        if b.ndim == 1:
            r = np.empty_like(b)
            system.product(x, r)
            np.subtract(b, r, out=r)
            norm_b, size = norm(b), norm(r)
            if not size <= max(rtol * norm_b, atol):
                return None
            return LinearResult(x=x, status=Status.CONVERGED, residual=size, rhs_norm=norm_b)
        norms, sizes = _norms(b), _norms(b - system.A @ x)
        if not (sizes <= np.maximum(rtol * norms, atol)).all():
            return None
    if b.shape[1] == 1:
        return LinearResult(x=x, residual=float(sizes[0]), rhs_norm=float(norms[0]))
    zeros = np.zeros(b.shape[1], dtype=int)
    return LinearResult(x=x, status=zeros, nit=zeros.copy(), residual=sizes, rhs_norm=norms)  # type: ignore[arg-type]


def _norms(B: Array) -> Array:
    """Of each column."""
    columns = B.reshape(B.shape[0], -1)
    return np.array([norm(np.ascontiguousarray(column)) for column in columns.T])
