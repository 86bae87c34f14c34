"""One solve of ``TunedSolver("auto")``: look at the matrix, choose an arm, solve, mend what went wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import checks, clock
from numsolve._core.limits import Limits
from numsolve._core.result import Status
from numsolve.linear._system import System, canonical
from numsolve.linear.cg import cg

from ._arms import Known, checked
from ._look import Looker
from ._methods import Methods, at_once
from ._neighbours import PATIENCE, Neighbours
from .context import context_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numsolve._core.typing import ArrayLike, Matrix, RandomState
    from numsolve.linear.result import LinearResult

    from ._look import Look
    from .warm_start import WarmStart

#: Statuses that another method cannot help.
FINAL = frozenset({Status.CONVERGED, Status.ROUNDING, Status.STOPPED, Status.INTERRUPTED})
#: A solve that failed is taken for so many times dearer than it was.
FAILED = 10.0
#: The limits where there are none.
UNLIMITED = Limits()
#: How a system is solved that the last solution solves.
SOLVED = "the start"


class Automatic:
    """Solves one system after the other by what is the cheapest for them."""

    def __init__(self, arms: Iterable[Any] | None, rng: RandomState) -> None:
        self.tuner = Neighbours(checked(arms), rng=rng)
        self._looker, self._methods = Looker(), Methods()
        self._last = -1  # the number of the last matrix

    def __call__(
        self,
        A: Matrix,
        b: ArrayLike,
        x0: ArrayLike | None,
        warm_start: WarmStart,
        context: float | None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        check_finite: bool = True,
        **run: Any,
    ) -> tuple[LinearResult, float | None, float]:
        """The answer, its cost (None where it says nothing of the arm), and the context."""
        limits = Limits(**run) if run else UNLIMITED
        rtol, atol = checks.real("rtol", rtol, low=0.0), checks.real("atol", atol, low=0.0)
        check_finite = checks.flag("check_finite", check_finite)
        if not run and x0 is None and context is None and (done := self._at_once(A, b, rtol, atol)):
            return done
        before = clock.preparing
        system = System.make(A, b, x0, check_finite=False)
        n = system.b.shape[0]
        loop: dict[str, Any] = {"rtol": rtol, "atol": atol, "stop": "b"}
        if system.b.size == 0:
            return cg(system.A, system.b), None, 0.0
        look = self._looker.at(system.A, check_finite=check_finite)
        context = look.context if context is None else checks.real("context", context)
        tuner = self.tuner
        narrow = tuner.takes(look)
        self._looker.compares = not narrow
        if narrow and system.b.ndim == 1 and not limits.expired:
            result = self._methods.banded.answer(look, system.b, rtol, atol, tuner.reason)
            if result is not None:
                return result, None, context
        if check_finite:
            checks.finite("b", system.b)
            if x0 is not None and system.x0 is not None:
                checks.finite("x0", system.x0)
        if x0 is None and warm_start.depth:
            system.x0 = warm_start.start(system.A, system.b)
            if system.x0 is not None and system.x0.dtype != system.b.dtype:
                system.x0 = system.x0.astype(system.b.dtype)
        if not narrow:
            # The last system again: that is all the same to any arm.
            again, self._last = look.number == self._last, look.number
            if again and system.x0 is not None and (solved := at_once(system, system.x0.copy(), **loop)):
                tuner.index = None
                self._looker.uncount()
                return replace(solved, method=SOLVED, reason="it meets the tolerance"), None, context
            going = self._methods.going(tuner.arms, look)
            tuner.suggest(Known(look, system.b.size // n, rtol, context, going))
            self._looker.compares = not tuner.takes(look)
        arm = tuner.arms[tuner.index]  # type: ignore[index]
        result, cost, paid = self._solve(arm, look, system, limits, maxiter=10 * n, **loop)
        if clock.preparing != before:
            return result, None, context
        tuner.account(paid)
        return result, cost, context

    def _at_once(
        self, A: Matrix, b: ArrayLike, rtol: float, atol: float
    ) -> tuple[LinearResult, None, float] | None:
        """The answer where A is tridiagonal, as the last one was: all is done in one pass."""
        # Of vectors, only those that the kernel takes without another compilation.
        if type(b) is not np.ndarray or b.ndim != 1 or b.dtype.char != "d" or not b.flags.carray:
            return None
        if not self.tuner.expects_tridiagonal(b.shape[0]):
            return None
        A = canonical(A)
        if A.shape[0] != b.shape[0] or A.dtype.char != "d":
            return None
        done = self._methods.banded.tridiagonal(A, b, rtol, atol)
        if done is None:
            return None
        self.tuner.take_only()
        return done[0], None, context_of(done[1])

    def _solve(
        self, arm: Any, look: Look, system: System, limits: Limits, **loop: Any
    ) -> tuple[LinearResult, float | None, float]:
        cost: float | None
        tuner, reason, seconds = self.tuner, self.tuner.reason, math.inf
        assert tuner.index is not None
        if tuner.budget < math.inf and limits.callback is None and not limits.progress:
            # Seconds on the wall are cheap where others use the processor, too.
            seconds = 1.5 * tuner.budget + 5e-4
        result, cost, paid = self._methods.solve(arm, look, system, limits, seconds, **loop)
        if result.success is True:
            return self._told(result, reason), cost, paid
        for index in (tuner.best(), tuner.other(tuner.index)):
            if limits.expired or _is_final(result, limits):
                break
            if index in {-1, tuner.index}:
                continue
            # What was reached is a start for the other method.
            on = replace(system, x0=result.x if np.isfinite(result.x).all() else system.x0)
            again, _, more = self._methods.solve(tuner.arms[index], look, on, limits, **loop)
            cut = np.isin(result.status, [Status.TIME_LIMIT.value]).all()
            reason = f"{tuner.arms[tuner.index]} {'took too long' if cut else 'failed'}"
            again = replace(again, nit=again.nit + result.nit)
            usual = tuner.budget / PATIENCE
            if cut and paid < usual:  # by the clock on the wall: other processes used the processor
                cost = None
            elif cut:  # where the leader takes longer than usual, too, the system was harder than usual
                cost = 1.5 * max(paid * min(1.0, usual / max(more, 1e-9)), usual)
            else:
                cost = FAILED * max(cost or 0.0, paid) + more
            paid += more
            result = again if _better(again, result) else result
        if not np.all(result.success):
            cost = None if cost is None else FAILED * cost
        return self._told(result, reason), cost, paid

    def _told(self, result: LinearResult, reason: str) -> LinearResult:
        """The result, which nobody else has yet, with how and why it was found."""
        vars(result).update(method=self._methods.how, reason=reason)
        return result


def _is_final(result: LinearResult, limits: Limits) -> bool:
    final = FINAL if limits.maxiter is None else FINAL | {Status.MAXITER}
    return bool(np.isin(result.status, [status.value for status in final]).all())


def _better(one: LinearResult, other: LinearResult) -> bool:
    return bool(np.all(one.success)) or bool(np.max(one.residual) <= np.max(other.residual))
