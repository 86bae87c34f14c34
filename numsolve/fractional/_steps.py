r"""Steps in time with splines in space.

The theta scheme is written for the increment ``d = c(t + dt) - c(t)``,

    (M + theta dt kappa A) d = dt (g_theta - kappa A c),                      (1)
    g_theta = theta g(t + dt) + (1 - theta) g(t).                             (2)

The matrix is the same in every step: it is factorised, or its preconditioner made, once. If theta is 1/2, it
is also that of the implicit Euler rule for half a step. Four such half-steps in place of the first two steps
damp what a rough start leaves of oscillations, and keep the second order (R. Rannacher, Numer. Math. 43,
1984).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.linalg import solve_banded

from numsolve._core import arrays
from numsolve._core.limits import Limits
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._data import check_positive, is_values, sample, unseen_of
from ._estimate import QUARTERED, difference, from_levels
from ._factors import Factors
from ._gmres import PATIENCE, Iterate, fgmres
from ._modes import WITNESSES
from ._settings import TimeIsOverError, keep_time
from ._stability import instability
from ._system import make_system
from .jacobi import from_unit
from .operator import RieszSplineOperator

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from ._data import Values
    from ._settings import Preconditioner

    Array = NDArray[np.float64]

#: Iterations of GMRES in one step.
MAXITER = 100
#: Steps that the start of half-steps replaces.
DAMPED = 2
#: Steps up to which an estimate looks at the source between them.
MOST_LOOKS = 2000


@dataclass(frozen=True)
class March:
    """What is followed in time, and by which steps."""

    A: RieszSplineOperator
    u0: Values
    kappa: Values
    source: Callable[[float, Array], ArrayLike] | None
    start: float
    end: float
    steps: int
    theta: float
    damped: bool
    wanted: Array
    method: str
    preconditioner: Preconditioner
    rtol: float

    def run(self, limits: Limits | None = None) -> tuple[Monitor, Array, list[float], list[Array], int]:
        """The monitor, the last state, the times wanted that were reached, their states, GMRES iterations."""
        A, theta, steps = self.A, self.theta, self.steps
        M, xi = A.mass(), A.greville
        dt = (self.end - self.start) / steps
        diffusivity: Array = sample("kappa", self.kappa, xi)
        check_positive("kappa", diffusivity, xi)
        limits = Limits() if limits is None else limits

        def source(t: float) -> Any:
            given = self.source
            return 0.0 if given is None else sample("source", lambda x: given(t, x), xi)

        times: list[float] = []
        states: list[Array] = []
        c, t = interpolate(M, sample("u0", self.u0, xi)), self.start
        g, ninner = source(t), 0
        with Monitor(
            limits,
            maxiter=steps,
            label="time steps",
            keep="reference",
            columns=("t",),
            divergence=math.inf,  # residuals of different steps are not comparable
        ) as it:
            keep(times, states, self.wanted, t, c, t, c)
            it.record(0.0, c, converged=steps == 0, t=t)
            solver = make_solver(
                A, M, theta * dt * diffusivity, self.method, self.preconditioner, self.rtol, limits
            )
            if solver is None:
                it.stop(Status.TIME_LIMIT, "The matrix of a step was not set up in time.")
            for step in it:
                assert solver is not None
                ahead, before = self.start + step * dt, c
                status, residual = Status.CONVERGED, 0.0
                halves = 2 if self.damped and step <= DAMPED else 1
                for half in range(1, halves + 1):
                    now = ahead if half == halves else ahead - dt / 2
                    g_now = source(now)
                    g_theta = g_now if halves == 2 else theta * g_now + (1 - theta) * g  # (2)
                    b = dt / halves * (g_theta - diffusivity * A.structure.matvec(c))
                    d, residual, status = solver.solve(b)  # (1)
                    ninner, g = solver.ninner, g_now
                    if not status.success and np.isfinite(residual):
                        break
                    c = c + d
                if not status.success and np.isfinite(residual):
                    it.stop(status, f"The step to t = {ahead:.6g} failed.")
                    break
                t = ahead
                keep(times, states, self.wanted, t - dt, before, t, c)
                it.record(residual, c, converged=step == steps, t=t)
        return it, c, times, states, ninner

    def error_estimate(self, states: list[Array]) -> float:
        """The largest error relative to the largest value, from half and a quarter of the spans and steps.

        If they are too few, from spans or steps in four parts; inf if those runs fail.
        """
        A = self.A
        if not states or not np.all(np.isfinite(states)):
            return float("nan")
        x = from_unit(2 * WITNESSES - 1, A.interval)
        fine = np.array([A.spline(c)(x) for c in states])
        odd = 0 if self.source is None else 1  # at other phases of a source that oscillates with the steps
        parts = [part for part in (2, 4) if A.n // part >= 2 * A.p]
        few = not parts or self.steps < 4
        if few:
            n = A.n // 2 if parts else 4 * A.n
            unstable = instability(n, A.p, A.alpha, A.weights, A.definition)
            runs = [] if unstable else [(n, 4 * self.steps + odd)]
        else:
            runs = [(A.n // part, max(-(-self.steps // part) - odd, 1)) for part in parts]
        levels = [self._on(n, steps, len(states), x) for n, steps in runs]
        if not levels or any(level.shape != fine.shape for level in levels):
            return math.inf
        return max(
            QUARTERED * difference(levels[0], fine) if few else from_levels(fine, *levels),
            missed_of(
                self.u0, self.source, self.A.greville, self.A.interval, (self.start, self.end), self.steps
            ),
        )

    def _on(self, n: int, steps: int, count: int, x: Array) -> Array:
        """Values of the first states on another mesh, with other steps."""
        A = RieszSplineOperator(
            n, self.A.p, self.A.alpha,
            interval=self.A.interval, definition=self.A.definition, weights=self.A.weights,
        )  # fmt: skip
        run = replace(
            self,
            A=A,
            u0=self._moved(self.u0, A.greville, 3),
            kappa=self._moved(self.kappa, A.greville, 1),
            steps=steps,
            wanted=self.wanted[:count],
        )
        return np.array([A.spline(c)(x) for c in run.run()[3]])

    def _moved(self, value: Any, points: Array, degree: int) -> Any:
        """Values at the points of another mesh, functions as they are."""
        return make_interp_spline(self.A.greville, value, k=degree)(points) if is_values(value) else value


def missed_of(
    u0: Any,
    source: Any,
    points: Array,
    interval: tuple[float, float],
    span: tuple[float, float],
    steps: int,
) -> float:
    """The share of a start or of a source that points and steps do not see."""
    share = unseen_of(u0, points, interval)
    if source is None:
        return share
    for t in (span[0], sum(span) / 2, span[1]):
        share = max(share, unseen_of(lambda x, t=t: source(t, x), points, interval))
    if steps > MOST_LOOKS:
        return share

    def mean(times: Array) -> Array:
        return np.array(
            [np.mean(np.asarray(source(t, points.copy()), dtype=np.float64)) for t in times.tolist()]
        )

    return max(share, unseen_of(mean, np.linspace(*span, steps + 1), span))


def interpolate(M: Any, values: Array) -> Array:
    """Solve with the banded matrix of values."""
    rows, columns = M.tocoo().coords
    below = rows - columns
    above, depth = -int(below.min()), int(below.max())
    bands = np.zeros((above + depth + 1, values.size))
    bands[above + below, columns] = M.data
    return np.asarray(solve_banded((depth, above), bands, values, overwrite_ab=True, check_finite=False))


def make_solver(
    A: RieszSplineOperator,
    M: Any,
    factor: Array,
    method: str,
    preconditioner: Preconditioner,
    rtol: float,
    limits: Limits,
) -> _Dense | _Krylov | None:
    """What solves the system of a step; None if the time is over before it is there."""
    try:
        A.assemble(limits)
        if method == "dense":
            return _Dense(A, M, factor, limits)
        return _Krylov(A, factor, preconditioner, rtol, limits)
    except TimeIsOverError:
        return None


class _Dense:
    """The matrix of a step, factorised."""

    ninner = 0

    def __init__(self, A: RieszSplineOperator, M: Any, factor: Array, limits: Limits) -> None:
        keep_time(limits)
        matrix = M.toarray() + factor[:, None] * A.todense()
        self.factors = Factors(matrix, reversible=A.reversible and np.ptp(factor) == 0)

    def solve(self, b: Array) -> tuple[Array, float, Status]:
        """The increment, its residual, and whether it is one."""
        d = self.factors.solve(b)
        return d, arrays.norm(np, b - self.factors.product(d)), Status.CONVERGED


class _Krylov:
    """The matrix of a step, preconditioned."""

    def __init__(
        self,
        A: RieszSplineOperator,
        factor: Array,
        preconditioner: Preconditioner,
        rtol: float,
        limits: Limits,
    ) -> None:
        self.system = make_system(A, 1 / factor, preconditioner, limits=limits)
        self.limits = limits.part(MAXITER)
        self.scale = self.system.scale / factor
        self.rtol = rtol
        self.ninner = 0

    def solve(self, b: Array) -> tuple[Array, float, Status]:
        """The increment, its residual, and whether it is one."""
        b = self.scale * b
        settings: dict[str, Any] = {"keep": "reference", "present": Iterate.form, "patience": PATIENCE}
        reference = arrays.norm(np, b)
        with Monitor(self.limits, rtol=self.rtol, reference=reference, maxiter=MAXITER, **settings) as it:
            system = self.system
            fgmres(np, system.matvec, b, system.precondition, it, x0=np.zeros_like(b), norm=system.norm)
        self.ninner += it.nit
        assert it.status is not None
        return it.x.form(), it.residual, it.status


def keep(
    times: list[float], states: list[Array], wanted: Array, t0: float, c0: Array, t1: float, c1: Array
) -> None:
    """Take note of the wanted times up to t1, by linear interpolation."""
    while len(times) < wanted.size and wanted[len(times)] <= t1 + 1e-12 * (abs(t1) + abs(t0)):
        t = float(wanted[len(times)])
        s = min((t - t0) / (t1 - t0), 1.0) if t1 > t0 else 1.0
        times.append(t)
        states.append(c1.copy() if s == 1.0 else (1 - s) * c0 + s * c1)
