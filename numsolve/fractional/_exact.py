"""Diffusion in time by modes: those that are known for all times, or by exponential steps."""

from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.interpolate import make_interp_spline

from numsolve._core import checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import Status

from ._data import check_positive, sample, unseen_of
from ._decay import SAMPLES, Decay, follow
from ._estimate import from_levels
from ._exponential import Steps
from ._settings import TimeIsOverError, keep_time
from ._steps import missed_of
from .jacobi import from_unit, image_rule
from .result import FractionalDiffusionResult
from .spectral import TOLERABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from numsolve._core.limits import Limits

    from ._exponential import Flow, Force
    from ._modes import Modes

    Array = NDArray[np.float64]

#: Entries of the table that a pickled start is where the function does not pickle.
TABLE = 2000


class Exact:
    """The solution in modes: at the start, at the times wanted, and at the end."""

    def __init__(
        self,
        modes: Modes,
        u0: Any,
        kappa: Any,
        span: tuple[float, float],
        wanted: Array,
        most: int,
        limits: Limits,
        drift: Callable[[Array], Array] | None = None,
    ) -> None:
        start, end = span
        self.modes, self.wanted = modes, wanted
        self.points = from_unit(image_rule(most, modes.alpha, modes.weights)[0], modes.interval)
        rate = checks.real("kappa", kappa)
        check_positive("kappa", np.full(1, rate), self.points)
        self.first = u0 if modes.solution(np.zeros(1)).same_modes(u0) else Start(u0, modes.interval)
        self.times = np.r_[start, wanted[wanted > start], end]
        self.estimate, self.coefficients = math.inf, np.zeros((1, 1))
        try:
            size = float(np.max(np.abs(self.first(modes.witnesses())))) if wanted[0] == start else 0.0
            elapsed, make = rate * (self.times - start), None
            if drift is not None:
                elapsed = self.times - start
                make = lambda N: Decay(modes, N, rate, drift)  # noqa: E731
            missed = self._missed
            self.coefficients, self.estimate = follow(
                modes, self.first, elapsed, most, limits, size, missed=missed, make=make
            )
        except TimeIsOverError:
            self.times = self.times[:1]

    def _missed(self, N: int) -> float:
        """The share of the start that the samples for N modes do not see."""
        if not isinstance(self.first, Start):
            return 0.0
        y = image_rule(SAMPLES * N, self.modes.alpha, self.modes.weights)[0]
        points = np.sort(from_unit(y, self.modes.interval))
        return unseen_of(self.first.u0, points, self.modes.interval)

    @property
    def praise(self) -> str:
        """What is to be said for them."""
        count = self.coefficients.shape[1]
        return f"nothing depends on time: {count} Jacobi modes have an estimated error of {self.estimate:.1g}"

    def result(self, limits: Limits, reason: str) -> FractionalDiffusionResult:
        """The times that are reached within the limits."""
        rows, last = self.coefficients, self.times.size - 1
        with Monitor(limits, maxiter=max(last, 1), label="times", keep="reference", columns=("t",)) as it:
            it.record(0.0, rows[0], converged=False, t=self.times[0])
            if last == 0:
                it.stop(Status.TIME_LIMIT, "The modes were not set up in time.")
            for step in it:
                good = self.estimate <= TOLERABLE
                it.record(0.0, rows[step], converged=step == last and good, t=self.times[step])
                if step == last and not good and it.status is None:
                    it.stop(
                        Status.STAGNATED,
                        f"{rows.shape[1]} modes have an estimated error of {self.estimate:.1g}.",
                    )
        reached = self.times[: it.nit + 1]
        at = [int(np.searchsorted(reached, t)) for t in self.wanted if t <= reached[-1]]
        return it.result(
            FractionalDiffusionResult,
            x=rows[it.nit],
            points=self.points,
            sol=tuple(self.modes.solution(rows[k]) if k else self.first for k in at),
            method="spectral",
            reason=reason,
            error_estimate=self.estimate,
            t=self.wanted[: len(at)],
            coefficients=rows[at],
            interval=self.modes.interval,
        )


def stepped(
    flow_of: Callable[[int], Flow],
    first: Start,
    force: Force | None,
    span: tuple[float, float],
    wanted: Array,
    dt: float,
    limits: Limits,
    reason: str,
) -> FractionalDiffusionResult:
    """Follow a flow, and for comparison those with half and a quarter of the modes, in steps as much longer.

    `flow_of` makes the flow with so many times fewer modes.
    """
    start, end = span
    flow = flow_of(1)
    times = np.r_[start, wanted[wanted > start], end]
    steps = Steps(times, dt)
    total = sum(steps.counts(force))
    estimate = math.inf
    rows: list[Array] = []
    size = float(np.max(np.abs(first(flow.points)))) if wanted[0] == start else 0.0
    with (
        np.errstate(over="ignore", invalid="ignore"),
        Monitor(
            limits, maxiter=total, label="time steps", keep="reference", columns=("t",), divergence=math.inf
        ) as it,
    ):
        path = steps.follow(flow, first, force)
        t, _, a = next(path)
        rows.append(flow.coefficients(a))
        it.record(0.0, rows[0], converged=False, t=t)
        for step in it:
            t, reached, a = next(path)
            c = flow.coefficients(a)
            if not np.all(np.isfinite(c)):
                it.stop(Status.NONFINITE, f"The solution is not finite before t = {t:.6g}.")
                break
            if reached > len(rows):
                rows.append(c)
            good = step == total
            if good:
                estimate = _compared(flow, np.stack(rows[1:]), flow_of, first, force, steps, size, limits)
                good = estimate <= TOLERABLE
            it.record(0.0, c, converged=good, t=t)
            if step == total and not good and it.status is None:
                it.stop(Status.STAGNATED, f"The error is estimated at {estimate:.1g}: n or dt is too coarse.")
    at = [int(np.searchsorted(times[: len(rows)], t)) for t in wanted if t <= times[len(rows) - 1]]
    return it.result(
        FractionalDiffusionResult,
        points=flow.points,
        sol=tuple(flow.solution(rows[k]) if k else first for k in at),
        method="spectral",
        reason=reason,
        error_estimate=estimate if math.isfinite(estimate) or len(rows) == times.size else math.nan,
        t=wanted[: len(at)],
        coefficients=np.stack(rows)[at],
        interval=first.interval,
    )


def _compared(
    flow: Flow,
    rows: Array,
    flow_of: Callable[[int], Flow],
    first: Start,
    force: Force | None,
    steps: Steps,
    size: float,
    limits: Limits,
) -> float:
    """The estimated error at the times after the start, and the share of the data that was not seen."""
    levels = [np.append(flow.at_witnesses(rows), size)]
    for part in (2, 4):
        coarse = flow_of(part)
        states: list[Array] = []
        for _, reached, a in Steps(steps.times, steps.dt * part).follow(coarse, first, force):
            try:
                keep_time(limits)
            except TimeIsOverError:
                return math.inf
            if reached > len(states) + 1:
                states.append(coarse.coefficients(a))
        levels.append(np.append(coarse.at_witnesses(np.stack(states)), size))
    source = None if force is None else lambda t, x: force(t, x, np.zeros_like(x))
    span, count = (float(steps.times[0]), float(steps.times[-1])), sum(steps.counts(force))
    missed = missed_of(first.u0, source, np.sort(flow.points), first.interval, span, count)
    return max(from_levels(*levels), missed)


class Start:
    """The state at the start, as it was given, and zero outside the interval."""

    def __init__(self, u0: Any, interval: tuple[float, float]) -> None:
        self.u0, self.interval = u0, interval

    def __call__(self, x: Any) -> Array:
        """Evaluate at points of any shape."""
        x = np.asarray(x, dtype=np.float64)
        a, b = self.interval
        inside = (x > a) & (x < b)
        values = np.where(np.isnan(x), np.nan, 0.0)
        if inside.any():
            values[inside] = sample("u0", self.u0, x[inside])
        return values

    def __reduce__(self) -> Any:
        try:
            pickle.dumps(self.u0)
        except (pickle.PicklingError, AttributeError, TypeError):  # such as a lambda: a table in its place
            y = np.cos(np.linspace(np.pi, 0.0, TABLE + 2)[1:-1])
            x = from_unit(y, self.interval)
            return Start, (make_interp_spline(x, self(x), k=1), self.interval)
        return Start, (self.u0, self.interval)
