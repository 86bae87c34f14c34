"""The whole Netlib collection beside PDLP (OR-tools): every feasible program, and every infeasible one.

NUMSOLVE_NETLIB names a folder with the collection as MATLAB files, ``feasible/NAME.mat`` and
``infeasible/NAME.mat``, each with A, b, G, h_l, h_u, x_l, x_u and c of

    min c x   subject to   A x = b,  h_l <= G x <= h_u,  x_l <= x <= x_u,

where 1e20 and more is infinity; without it there are no rows. Each side solves each program once, on one
thread, for at most `LIMIT` seconds (``--quick``: ten programs, two seconds), set-up included, and is measured
by the same function as in `monotone`. A program that a side does not solve counts with the whole limit; the
means are over the programs that at least one side solves.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse as sp
from monotone import TOL, Program, by_pdlp, netlib, residual

from _harness import Case, Peer, main
from numsolve import monotone

LIMIT = 15.0
GOOD = 1.01 * TOL


def programs(kind: str) -> dict[str, Program]:
    """The programs of the folder, the smallest first."""
    folder = os.environ.get("NUMSOLVE_NETLIB")
    found = {} if folder is None else {p.stem: read(p) for p in sorted((Path(folder) / kind).glob("*.mat"))}
    return dict(sorted(found.items(), key=lambda item: item[1][1].nnz))


def read(path: Path) -> Program:
    """One program."""
    data = scipy.io.loadmat(path)
    b, low, high, lx, ux, c = (
        data[name].ravel().astype(float) for name in ("b", "h_l", "h_u", "x_l", "x_u", "c")
    )
    A = sp.csr_array(sp.vstack([data["A"], data["G"]]))
    A.eliminate_zeros()
    sides = np.append(b, low), np.append(b, high), lx, ux
    return c, A, *(np.where(abs(side) >= 1e20, np.copysign(np.inf, side), side) for side in sides)


class Timed:
    """A solver that remembers the seconds of each program; the limit where it does not solve it."""

    def __init__(self, solve: Callable[[Program], tuple[Any, ...]], limit: float) -> None:
        self.solve, self.limit = solve, limit
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, lp: Program) -> tuple[Any, ...]:
        """Solve a program."""
        start = time.perf_counter()
        point = self.solve(lp)
        seconds = time.perf_counter() - start
        # A residual that overflows is no solution either.
        with np.errstate(all="ignore"):
            solved = residual(lp, point) <= GOOD
        self.seconds[name] = min(seconds, self.limit) if solved else self.limit
        return point

    def mean(self, names: list[str]) -> float:
        """The geometric mean over some programs."""
        return math.exp(sum(math.log(self.seconds[name]) for name in names) / max(len(names), 1))

    def failures(self) -> int:
        """How many were not solved within the limit."""
        return sum(seconds >= self.limit for seconds in self.seconds.values())


def by_numsolve(lp: Program, limit: float) -> tuple[Any, ...]:
    """x, y and the iterations."""
    r = monotone.solve_lp(*lp, tol=TOL, time_limit=limit)
    return r.x, r.y, r.nit


def unproved(lps: list[Program], limit: float) -> int:
    """How many programs are not proved infeasible."""
    results = (monotone.solve_lp(*lp, tol=TOL, time_limit=limit, presolve=True) for lp in lps)
    return sum(r.status.name != "INFEASIBLE" for r in results)


def by_highs(lps: list[Program]) -> int:
    """How many are not infeasible by HiGHS."""
    from scipy.optimize import linprog

    return sum(
        linprog(c, *_rows(A, lc, uc), bounds=np.stack([lx, ux], axis=1)).status != 2
        for c, A, lc, uc, lx, ux in lps
    )


def _rows(A: Any, lc: Any, uc: Any) -> tuple[Any, Any]:
    high, low = np.isfinite(uc), np.isfinite(lc)
    return sp.vstack([A[high], -A[low]]), np.concatenate([uc[high], -lc[low]])


def cases(quick: bool) -> Iterator[Case]:
    """A case for each feasible program, then what they come to."""
    limit = 2.0 if quick else LIMIT
    by_numsolve(netlib("afiro"), limit)  # this compiles
    with contextlib.suppress(ImportError):
        by_pdlp(netlib("afiro"))
    ours, pdlp = Timed(partial(by_numsolve, limit=limit), limit), Timed(partial(by_pdlp, limit=limit), limit)
    feasible = programs("feasible")
    names = list(feasible)[:10] if quick else list(feasible)
    once: dict[str, Any] = {"repeats": 0, "first_call": False, "note": f"at most {limit:g} s"}
    for name in names:
        lp = feasible[name]
        yield Case(
            f"{name}, {lp[1].shape[0]} x {lp[1].shape[1]}",
            ours=partial(ours, name, lp),
            peers=[Peer("ortools", partial(pdlp, name, lp), name="OR-tools PDLP", note="no presolve")],
            metric="time to 1e-6",
            error=partial(residual, lp),
            tol=GOOD,
            **once,
        )
    if not names:
        return
    either = [name for name in names if min(ours.seconds[name], pdlp.seconds[name]) < limit]
    value: dict[str, Any] = {"value": float, **once}
    for text, metric, unit, sides in (
        (
            f"{len(either)} programs that either solves",
            "geometric mean of time",
            "s",
            (partial(ours.mean, either), partial(pdlp.mean, either)),
        ),
        (f"{len(names)} feasible programs", "not solved", "", (ours.failures, pdlp.failures)),
    ):
        yield Case(
            text,
            sides[0],
            [Peer("ortools", sides[1], name="OR-tools PDLP")],
            metric=metric,
            unit=unit,
            **value,
        )
    infeasible = list(programs("infeasible").values())[: 3 if quick else None]
    yield Case(
        f"{len(infeasible)} infeasible programs",
        partial(unproved, infeasible, limit),
        [Peer("scipy", partial(by_highs, infeasible), name="SciPy HiGHS")],
        metric="not proved infeasible",
        unit="",
        **value,
    )


if __name__ == "__main__":
    main(cases)
