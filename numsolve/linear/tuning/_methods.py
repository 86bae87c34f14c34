"""What ``TunedSolver("auto")`` solves with: each arm as a method, and the factors that are kept.

Whatever the arm, the answer is that of the loop which all solvers of this column share, and is judged by its
true residual; complete factors and the block method only give it a start.
"""

from __future__ import annotations

import math
from dataclasses import replace
from time import get_clock_info, perf_counter, thread_time
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.codes import BREAKDOWN, CONVERGED, NONFINITE, RUNNING
from numsolve._core.krylov import conjugate_gradients
from numsolve._core.limits import Limits
from numsolve._core.result import Status
from numsolve.linear._factors import Factors
from numsolve.linear._judge import is_sure, norm
from numsolve.linear._nonsymmetric import Operated
from numsolve.linear.bicgstab import OperatedSteps, Steps
from numsolve.linear.ict import ICT, Preconditioned
from numsolve.linear.ilu import ILU
from numsolve.linear.result import LinearResult
from numsolve.linear.ssor_cg import Eisenstat

from ._arms import banded_first, fill_of
from ._banded import BANDED, Banded
from ._block import block_cg
from ._complete import complete
from ._life import Life
from ._outcome import succeeded

if TYPE_CHECKING:
    from numsolve._core.typing import Array
    from numsolve.linear._system import System

    from ._look import Look

#: Factors of so many kinds are kept at a time.
KEPT = 4
#: What is known of factors of other kinds and sizes is remembered for so many.
REMEMBERED = 64
#: The arms with factors.
KEEPING = frozenset({"ict_cg", "block_cg", "bicgstab", "direct"})
#: How a solve ends with late factors that are of no use.
POOR = (Status.MAXITER, Status.BREAKDOWN, Status.STAGNATED, Status.NONFINITE)
#: The block method aims below the tolerance, so that its recursion's error does not cost another step.
BELOW = 0.5
#: Seconds of this thread, in which other processes do not count; where its steps are long, those on the wall.
seconds_now = thread_time if get_clock_info("thread_time").resolution < 1e-5 else perf_counter


class Methods:
    """The arms, and the factors that they keep."""

    def __init__(self) -> None:
        self._lives: dict[Any, Life] = {}
        self.banded = Banded()
        self._price = math.nan
        self._seconds = math.inf
        #: how the last system was solved
        self.how = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return Methods, ()  # complete factors cannot be pickled

    def solve(
        self,
        arm: tuple[Any, ...],
        look: Look,
        system: System,
        limits: Limits,
        seconds: float = math.inf,
        **loop: Any,
    ) -> tuple[LinearResult, float, float]:
        """The answer, the seconds that such a system costs on average, and those of this one.

        New factors are paid by all systems that they serve. Beside them, it may take so many seconds.
        """
        self._price, self._seconds = math.nan, seconds
        began = seconds_now()
        # A matrix of another type than the right-hand side was converted after the look.
        look = look if look.A is system.A else look._replace(A=system.A)
        result: LinearResult = getattr(self, f"_{arm[0]}")(look, system, limits, *arm[1:], **loop)
        paid = seconds_now() - began
        return result, paid if math.isnan(self._price) else self._price, paid

    def going(self, arms: tuple[tuple[Any, ...], ...], look: Look) -> dict[int, float]:
        """The arms whose factors are at hand, and the seconds that the next solve with them takes."""
        n, out = look.A.shape[0], {}
        for i, arm in enumerate(arms):
            life = self._lives.get((arm[:-1], n)) if arm[0] in KEEPING else None
            if life is not None and life.factors is not None:
                seconds = life.next(look, arm[-1])
                if seconds < math.inf:
                    out[i] = seconds
        return out

    def _life(self, key: Any) -> Life:
        """The life of some factors; those used last stay."""
        life = self._lives[key] = self._lives.pop(key, Life())
        others = list(self._lives.values())
        for old in others[:-KEPT]:
            old.factors = None
        while len(self._lives) > REMEMBERED:
            del self._lives[next(iter(self._lives))]
        return life

    def _within(self, limits: Limits) -> Limits:
        """These limits, or those of a trial."""
        if self._seconds == math.inf:
            return limits
        return Limits(limits.maxiter, min(self._seconds, limits.seconds_left))

    def _cg(self, look: Look, system: System, limits: Limits, **loop: Any) -> LinearResult:
        self.how = "CG, scaled by the diagonal"
        A, rows = look.A, np.arange(look.A.shape[0], dtype=np.uint32)
        none, ends = np.empty(0, np.uint32), np.zeros(rows.size + 1, np.uint32)
        with np.errstate(divide="ignore", over="ignore"):  # seen in the residual
            factors = Factors(rows, ends, ends, none, np.empty(0, A.dtype), 1 / A.diagonal())
        method = Preconditioned(A, factors, indefinite=not look.positive)
        return system.solve(method, self._within(limits), quiet=True, label="CG", **loop)

    def _ssor_cg(self, look: Look, system: System, limits: Limits, omega: float, **loop: Any) -> LinearResult:
        self.how = f"SSOR-CG, omega = {omega:g}"
        method = Eisenstat(look.A, omega, check_finite=False)
        within = self._within(limits)
        return system.solve(method, within, omega=omega, quiet=True, label="SSOR-CG", **loop)

    def _ict_cg(
        self, look: Look, system: System, limits: Limits, droptol: float, refresh: int, **loop: Any
    ) -> LinearResult:
        def solve(factors: Any, system: System, limits: Limits, **loop: Any) -> LinearResult:
            method = Preconditioned(look.A, factors, indefinite=not look.positive)
            return system.solve(method, limits, quiet=True, label="ICT-CG", **loop)

        self.how = f"ICT-CG, droptol = {droptol:g}"
        return self._renewing(("ict_cg", droptol, refresh), look, system, limits, solve, **loop)

    def _renewing(
        self, arm: Any, look: Look, system: System, limits: Limits, solve: Any, **loop: Any
    ) -> LinearResult:
        """Solve with kept factors while they pay, else with new ones."""
        key, refresh = arm[:-1], arm[-1]
        life = self._life((key, look.A.shape[0]))
        how, steps = self.how, 0
        if life.serves(look, refresh):
            age = look.number - life.number
            self.how = how + (f", factors of {age} matrices before" if age else ", fresh factors")
            late = {**loop, "maxiter": min(life.most(), loop["maxiter"])} if age else loop
            began = seconds_now()
            result: LinearResult = solve(life.factors, system, self._within(limits), **late)
            steps, solved = result.nit, succeeded(result)
            life.note(look.number, seconds_now() - began, _most(steps), solved=solved)
            self._price = life.price
            if solved or not age or limits.maxiter is not None:
                return result
            if not np.isin(result.status, [status.value for status in POOR]).any():
                return result
            if np.isfinite(result.x).all():
                system = replace(system, x0=result.x)
        self.how = how + ", fresh factors"
        began = seconds_now()
        factors = factors_of(key, look)
        life.renew(factors, look.number, seconds_now() - began)
        began = seconds_now()
        result = solve(factors, system, self._within(limits), **loop)
        life.note(look.number, seconds_now() - began, _most(result.nit), solved=succeeded(result))
        self._price = life.price
        return replace(result, nit=result.nit + steps) if np.any(steps) else result

    def _block_cg(
        self, look: Look, system: System, limits: Limits, droptol: float, refresh: int, **loop: Any
    ) -> LinearResult:
        # Who counts or watches the steps wants those of each right-hand side.
        watched = limits.callback is not None or limits.progress or limits.maxiter is not None
        if watched or system.b.ndim == 1:
            return self._ict_cg(look, system, limits, droptol, refresh, **loop)
        self.how = f"block CG, droptol = {droptol:g}"
        wanted = BELOW * np.maximum(loop["rtol"] * _norms(system.b), loop["atol"])

        def solve(factors: Any, system: System, limits: Limits, **loop: Any) -> LinearResult:
            start = np.zeros_like(system.b) if system.x0 is None else system.x0
            with np.errstate(all="ignore"):  # seen in the residual
                x, steps = block_cg(look.A, system.b, start, factors, wanted, limits, loop["maxiter"])
            system = begun(system, x)
            method = Preconditioned(look.A, factors, indefinite=not look.positive)
            result = system.solve(method, limits, quiet=True, label="ICT-CG", **loop)
            return replace(result, nit=result.nit + steps)

        return self._renewing(("block_cg", droptol, refresh), look, system, limits, solve, **loop)

    def _bicgstab(
        self, look: Look, system: System, limits: Limits, droptol: float, refresh: int, **loop: Any
    ) -> LinearResult:
        self.how = f"BiCGSTAB, ILU with droptol = {droptol:g}"

        def solve(factors: Any, system: System, limits: Limits, **loop: Any) -> LinearResult:
            method = Steps(system, factors.of(look.A.dtype))
            return system.solve(method, limits, quiet=True, label="BiCGSTAB", **loop)

        return self._renewing(("bicgstab", droptol, refresh), look, system, limits, solve, **loop)

    def _direct(self, look: Look, system: System, limits: Limits, refresh: int, **loop: Any) -> LinearResult:
        b = system.b
        if banded_first(look, b.size // max(b.shape[0], 1)):
            self.how = BANDED
            x = self.banded.solve(look, b)
            answer = None if x is None or limits.expired else at_once(system, x, **loop)
            return answer or self._refined(look, system, limits, x, None, **loop)
        self.how = "SuperLU"

        def solve(factors: Any, system: System, limits: Limits, **loop: Any) -> LinearResult:
            x = None
            if factors is not None and self.how.endswith("fresh factors") and not limits.expired:
                x = factors(b)
                answer = at_once(system, x, **loop)
                if answer is not None:
                    return answer
            return self._refined(look, system, limits, x, factors, **loop)

        return self._renewing(("direct", refresh), look, system, limits, solve, **loop)

    def _refined(
        self, look: Look, system: System, limits: Limits, x: Any, solve: Any, **loop: Any
    ) -> LinearResult:
        """Go on from x, with factors as the preconditioner."""
        system = system if x is None else begun(system, x)
        if solve is None:
            factors = ILU(look.A, 1e-3, check_finite=False).factors.of(look.A.dtype)
            return system.solve(Steps(system, factors), limits, quiet=True, label="BiCGSTAB", **loop)
        kind = OperatedCG if look.positive else OperatedSteps
        return system.solve(kind(system, solve), limits, quiet=True, label="direct", **loop)


def factors_of(key: tuple[Any, ...], look: Look) -> Any:
    """New factors of some kind."""
    if key[0] == "direct":
        return complete(look.A, positive=look.positive, dominant=look.weakest >= 0)
    name, droptol = key
    kind: Any = ILU if name == "bicgstab" else ICT
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


def begun(system: System, x: Array) -> System:
    """The system with x for its start, in the columns in which that is better than the start it has."""
    b, start = system.b, np.zeros_like(system.b) if system.x0 is None else system.x0
    columns = [v.reshape(b.shape[0], -1).T for v in (x, start, b)]
    better = [
        system.residual(own, rhs)[1] < system.residual(old, rhs)[1]
        for own, old, rhs in zip(*map(np.ascontiguousarray, columns), strict=True)
    ]
    return replace(system, x0=np.where(np.array(better)[:, None], *columns[:2]).T.reshape(b.shape))


def at_once(system: System, x: Array, *, rtol: float, atol: float, **_: Any) -> LinearResult | None:
    """The result with x, if it meets the tolerance for each right-hand side."""
    b, found = system.b, []
    with np.errstate(all="ignore"):  # seen in the residual
        columns = (np.ascontiguousarray(v.reshape(b.shape[0], -1).T) for v in (x, b))
        for own, rhs in zip(*columns, strict=True):
            norm_b, (size, noise) = norm(rhs), system.residual(own, rhs)[1:]
            if not is_sure(size, noise, max(rtol * norm_b, atol)):
                return None
            found.append((size, norm_b))
    if len(found) == 1:
        return LinearResult(x=x, residual=found[0][0], rhs_norm=found[0][1])
    sizes, norms = np.array(found).T
    zeros = np.zeros(sizes.size, dtype=int)
    return LinearResult(x=x, status=zeros, nit=zeros.copy(), residual=sizes, rhs_norm=norms)  # type: ignore[arg-type]


def _most(steps: Any) -> int:
    """Of all right-hand sides."""
    return steps if type(steps) is int else int(np.max(steps, initial=0))


def _norms(B: Array) -> Array:
    """Of each column."""
    columns = B.reshape(B.shape[0], -1)
    return np.array([norm(np.ascontiguousarray(column)) for column in columns.T])
