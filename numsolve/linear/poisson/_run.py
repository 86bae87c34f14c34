"""The loop of `solve_poisson` for one right-hand side: chunks of compiled steps, and true residuals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import arrays
from numsolve._core.monitor import RUNNING, Monitor
from numsolve._core.result import Status
from numsolve.linear._judge import UNIT, is_sure

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from ._sides import Components
    from .grid import GridPoisson
    from .multigrid import PoissonMultigrid

#: A residual of so many roundings of the terms of A x and b is a rounding error,
ROUNDINGS = 100
#: and is not more than this part of b: an x without a digit is no solution.
PART = 1e-2
#: The recursion of a residual is believed down to so many roundings of the one that it started from.
BELIEVED = 4
EPS = float(np.finfo(float).eps)
#: Residuals of a size between this and its inverse are iterated on as they are.
SAFE = 1e15


class Run:
    """Conjugate gradients for one right-hand side, in the order of the kernels.

    Inside, b is divided by ``2 ** power``, so that it and the first residual are at most about 1, and A by
    the problem's scale. The vectors of the iteration are multiplied by `lift`, a power of two: it is 1
    unless the residual is far from that size.
    """

    it: Monitor
    status: Status
    vectors: Array
    floor: float
    nit = 0

    def __init__(self, M: PoissonMultigrid, components: Components, b: Array, x0: Array | None) -> None:
        self.M, self.problem, self.hierarchy = M, M.problem, M.hierarchy
        self.components = components
        self.norm_b = arrays.norm(np, b)
        x0 = None if x0 is None or self.norm_b == 0.0 else components.centred(x0)
        self.power = min(max(_power(self.problem, self.norm_b, x0), -1020), 1020)
        self.unit = math.ldexp(1.0, self.power)
        self.b = times(b, 1.0, -self.power)
        self.x0 = None if x0 is None else inward(self.problem, x0, self.power)

    def residual(self, x: Array) -> tuple[Array, float]:
        """The scaled residual at x, and the norm of the residual."""
        r = _residual(self.problem, self.b, x)
        return r, arrays.norm(np, r) * self.unit

    def drive(
        self,
        limits: Limits,
        present: Callable[[Array], Array],
        *,
        maxiter: int,
        rtol: float,
        atol: float,
        n_smooth: int,
    ) -> None:
        """Iterate until the true residual meets the tolerance, or something else ends it."""
        if self.x0 is None:
            x, r, first = np.zeros_like(self.b), self.b, self.norm_b
        else:
            x = self.x0
            r, first = self.residual(x)
        m, e = math.frexp(self.problem.scale)
        factor, power = 1.0 / m, self.power - e  # the monitor must not know the run, which has it: no circle
        self.it = it = Monitor(
            limits,
            rtol=rtol,
            atol=atol,
            reference=self.norm_b,
            maxiter=maxiter,
            label="multigrid CG",
            present=lambda x: present(times(x, factor, power)),
            step_seconds=1e-5 + 2e-8 * self.b.size,
        )
        self.sure, last = (x, first), math.inf
        with it:
            it.record(first, x)
            if it.running:
                self._begin(x, r, first)
            while it.running:
                n, stop_at = it.chunk()
                norms, code = self._steps(min(n, 64), max(stop_at / self.unit, self.floor), n_smooth)
                x, norms = self.vectors[0], norms * self.unit
                x = x if self.lift == 1.0 else x / self.lift
                if code == Status.CONVERGED:
                    x = self.components.centred(x)
                    r, true = self.residual(x)
                    norms[-1] = true
                    if _second((x, true)) < _second(self.sure):
                        self.sure = x.copy(), true
                    if not true <= it.threshold:
                        code = RUNNING
                        if true < 0.5 * last:
                            self._begin(x.copy(), r, true)
                        else:
                            self._stuck(x, true)
                        last = true
                if code in {Status.BREAKDOWN, Status.NONFINITE} and self.M.precision == "float32":
                    # Rounding errors of the cycle outweigh the smallest eigenvalues, or its numbers left the
                    # range: once more, in double.
                    self.M = self.M.in_double_precision()
                    self.hierarchy = self.M.hierarchy
                    x = x if np.isfinite(x).all() else it.x
                    r, true = self.residual(x)
                    self._begin(x.copy(), r, true)
                    if not norms.size:
                        continue
                    code, norms[-1] = RUNNING, true
                elif code == Status.BREAKDOWN:
                    # Rounding errors of a restart, perhaps: what counts is the best x before it.
                    x = self.components.centred(x)
                    x, true = min((x, self.residual(x)[1]), self.sure, key=_second)
                    norms[-1:] = true
                    if self._is_rounding(x, true):
                        code = Status.ROUNDING
                    elif true < 0.5 * last:
                        self._begin(x.copy(), self.components.centred(self.residual(x)[0]), true)
                        code, last = RUNNING, true
                        if not norms.size:
                            continue
                it.extend(norms, code, x)
        self.vectors = np.empty((4, 0))
        assert it.status is not None
        self.status, self.nit = it.status, it.nit
        if it.status is Status.CONVERGED:
            self.x = it.x
        else:
            self.x = min((it.x, self.residual(it.x)[1]), self.sure, key=_second)[0]

    def leave(self, status: Status) -> None:
        """Let the start be the answer: the solve has ended before this right-hand side."""
        self.x, self.status = np.zeros_like(self.b) if self.x0 is None else self.x0, status

    def finish(self) -> None:
        """Without a result of its own: take note of a Ctrl-C that came after the loop."""
        if hasattr(self, "it"):
            self.it.finish()
            assert self.it.status is not None
            self.status = self.it.status

    def outward(self, x: Array) -> Array:
        """A scaled vector in the caller's units."""
        m, e = math.frexp(self.problem.scale)
        return times(x, 1.0 / m, self.power - e)

    def answer(self) -> Array:
        """The solution in the caller's units."""
        return self.outward(self.components.centred(self.x))

    def settle(self, b: Array, x: Array, rtol: float, atol: float, *, eps: float) -> float:
        """Judge the x that is handed back; its residual."""
        lost = not x.any() and bool(self.components.centred(self.x).any())
        wanted = tolerance(arrays.norm(np, b), rtol, atol)
        status, true, detail = settle(self.problem, b, x, self.status, tolerance=wanted, lost=lost, eps=eps)
        if status is not self.status:
            self.status = status
            if hasattr(self, "it"):
                self.it.stop(status, detail)
        return true

    def _begin(self, x: Array, r: Array, size: float) -> None:
        small, self.lift = size / self.unit, 1.0
        if not 1 / SAFE < small < SAFE and 0.0 < small < math.inf:
            self.lift = math.ldexp(1.0, -min(max(math.frexp(small)[1], -1020), 1020))
        self.vectors = np.zeros((4, x.size))
        self.vectors[0], self.vectors[1] = x * self.lift, r * self.lift
        self.state = np.zeros(1)
        self.floor = BELIEVED * EPS * small

    def _steps(self, n: int, stop_at: float, n_smooth: int) -> tuple[Array, int]:
        from ._cpu_cg import cg

        problem, norms = self.problem, np.empty(n)
        with self.M.lock, np.errstate(over="ignore"):
            # Someone else may have used the cycle since the last steps.
            self.hierarchy.f[: self.b.size] = self.vectors[1]
            done, code = cg(
                self.hierarchy, n_smooth, problem.row, *problem.arguments(),
                self.vectors, self.state, stop_at * self.lift, norms,
            )  # fmt: skip
        return norms[:done] / self.lift, code

    def _stuck(self, x: Array, true: float) -> None:
        """Why the true residual falls no further: rounding errors, if it is as small as they are."""
        tiny = self._is_rounding(x, true)
        self.it.stop(Status.ROUNDING if tiny else Status.STAGNATED, f"The residual is {true:.3g}.")

    def _is_rounding(self, x: Array, true: float) -> bool:
        size = _largest(self.problem) * arrays.norm(np, self.components.centred(x)) * self.unit
        return true <= ROUNDINGS * EPS * (size + self.norm_b) < math.inf


def settle(
    problem: GridPoisson,
    b: Array,
    x: Array,
    status: Status,
    *,
    tolerance: float,
    lost: bool,
    eps: float,
) -> tuple[Status, float, str]:
    """The status and residual of the x that is handed back, and what is to be said if the status is new.

    Parameters
    ----------
    problem : GridPoisson
        The matrix A.
    b, x : array
        In the caller's units and the order of the kernels.
    status : Status
        How the iteration ended.
    tolerance : float
        The residual allowed.
    lost : bool
        Whether a solution that is not 0 became 0 on its way to the caller.
    eps : float
        The rounding error of the numbers of x.
    """
    norm_b = arrays.norm(np, b)
    power = _power(problem, norm_b, x)
    inside = inward(problem, x, power)
    true = outside(arrays.norm(np, _residual(problem, times(b, 1.0, -power), inside)), power)
    if (lost and not true <= tolerance) or not np.isfinite(x).all():
        return Status.NONFINITE, true, "The solution is beyond the range of its numbers."
    if not status.success:
        return status, true, ""
    size = outside(_largest(problem) * arrays.norm(np, inside), power)
    if is_sure(true, UNIT * (size + norm_b), tolerance):
        return Status.CONVERGED, true, ""
    level = tolerance + size * (eps + ROUNDINGS * EPS) + ROUNDINGS * EPS * norm_b
    tiny = true <= min(level, PART * norm_b) < math.inf
    new = Status.ROUNDING if tiny else Status.STAGNATED
    return new, true, f"The residual of x is {true:.3g}, the tolerance {tolerance:.3g}."


def tolerance(norm_b: float, rtol: float, atol: float) -> float:
    """The residual allowed; a threshold from an infinite norm would accept everything."""
    relative = rtol * norm_b
    return max(relative if math.isfinite(relative) else 0.0, atol)


def _residual(problem: GridPoisson, b: Array, x: Array) -> Array:
    """The scaled residual b - A x."""
    from ._cpu_cg import product

    r = np.zeros_like(x)
    product(problem.row, x, r, *problem.arguments())
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(b, r, out=r)
    return r


def _largest(problem: GridPoisson) -> float:
    """A bound of the scaled matrix's norm."""
    return 2.0 * float(np.max(problem.diag, initial=0))


def _power(problem: GridPoisson, norm_b: float, x: Array | None) -> int:
    """The power of two of the larger of ||b|| and the scale of A times ||x||."""
    norm_x = 0.0 if x is None else arrays.norm(np, x)
    powers = [math.frexp(norm_b)[1]] if 0.0 < norm_b < math.inf else []
    if 0.0 < norm_x < math.inf:
        powers.append(math.frexp(norm_x)[1] + math.frexp(problem.scale)[1])
    return max(powers, default=0)


def times(x: Array, factor: float, power: int) -> Array:
    """Multiply x by ``factor * 2 ** power``, which may be beyond the range of floats."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        out: Array = x * math.ldexp(factor, power) if abs(power) < 1000 else np.ldexp(x * factor, power)
    return out


def inward(problem: GridPoisson, x: Array, power: int) -> Array:
    """A vector of the caller's units in the scaled ones."""
    m, e = math.frexp(problem.scale)
    return times(x, m, e - power)


def outside(value: float, power: int) -> float:
    """A scaled norm in the caller's units."""
    return float(times(np.asarray(value), 1.0, power))


def _second(pair: tuple[Array, float]) -> float:
    """The residual, for comparisons in which nan is the worst."""
    return math.inf if math.isnan(pair[1]) else pair[1]
