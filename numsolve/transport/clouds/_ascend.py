"""The run of a dual between clouds from its first stage to the answer, under its monitor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from numsolve._core.monitor import Monitor
from numsolve._core.result import Status
from numsolve.transport._ascent import PATIENCE, STAGE_TOL, Watch
from numsolve.transport._deadline import TimeUp

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

    from ._semidual import CloudDual
    from ._state import CloudState

    Potentials = tuple[Array, Array]


def ascend(
    dual: CloudDual,
    start: Potentials | None,
    limits: Limits,
    present: Callable[[Potentials], Potentials],
    *,
    sinkhorn: bool,
) -> tuple[Monitor, CloudState]:
    """Run Newton's method, or sweeps in its place; returns the monitor and the best point that was found.

    `present` turns potentials into the caller's.
    """
    best = dual.unmeasured()
    with Monitor(
        limits,
        atol=dual.tol,
        maxiter=10_000 if sinkhorn else 1000,
        label="Sinkhorn" if sinkhorn else "Newton",
        keep="reference",
        present=lambda s: present(dual.extended(s)),
        divergence=math.inf,  # a start can be exact for one eps and off for the next
        columns=("reg", "points"),
    ) as it:
        try:
            s = best = dual.first(start)
            watch = Watch()
            _record(it, dual, s)
            for _ in it:
                if not dual.last and (s.error <= STAGE_TOL or watch.stuck >= PATIENCE):
                    s = best = dual.next_stage(s)
                    watch = Watch()
                else:
                    s = dual.sweep(s) if sinkhorn else dual.newton_step(s, dual.direction(s))
                    best = s if s.error < best.error else best
                    watch.see(s, dual.noise(s))
                _record(it, dual, s)
                if it.status is None and dual.last:
                    _give_up(it, watch, dual, s, sinkhorn)
        except TimeUp:  # within a pass over the pairs
            it.stop(Status.TIME_LIMIT)
            if best.error == math.inf:
                _record(it, dual, best)
    return it, best


def _record(it: Monitor, dual: CloudDual, s: CloudState) -> None:
    """Record a point; only at the last stage it may be the answer."""
    done = dual.last and s.error <= 0.99 * dual.tol  # the rest is for the columns, and for what a sum lost
    it.record(s.error, s, converged=done, reg=dual.reg, points=sum(dual.pairs.shape))


def _give_up(it: Monitor, watch: Watch, dual: CloudDual, s: CloudState, sinkhorn: bool) -> None:
    """Stop where no further step can help."""
    if watch.stuck >= 6 and s.error <= 4 * dual.rounding:
        it.stop(Status.ROUNDING, f"The residual is {s.error:.3g}.")
    elif watch.idle >= (50 if sinkhorn else 1) * PATIENCE:
        it.stop(Status.STAGNATED)
