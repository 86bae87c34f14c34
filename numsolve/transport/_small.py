"""A small problem in one compiled call: what has no difficulties needs none of the machinery of `newton`.

The loop of `_cpu_batch`, for a single problem. Whatever is unusual, or does not converge within a few dozen
steps, is left to the usual way, which also has the words for what is wrong: nothing is reported here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays
from numsolve._core.clock import now
from numsolve._core.history import History
from numsolve._core.result import Status

from ._ascent import FIRST_STAGE, STAGE_FACTOR
from ._batch import measured
from ._problem import MASS_TOLERANCE
from ._reduced import UNIT, WIDE
from .result import TransportResult

if TYPE_CHECKING:
    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array

#: Entries of a cost that is small, and steps after which it is left to the usual way: together some
#: milliseconds, during which nobody looks at the clock or the keyboard.
ENTRIES, STEPS = 2500, 60


def solve_small(
    M: Any, a: Any, b: Any, reg: float, limits: Limits, *, tol: float, return_plan: bool
) -> TransportResult | None:
    """Solve a small problem with finite costs and positive weights; None for what is not that."""
    usual = limits.callback is None and not limits.progress and limits.maxiter is limits.time_limit is None
    if not (usual and _plain(M, 2) and 0 < M.size <= ENTRIES):
        return None
    start = now()
    n, m = M.shape
    a = np.full(n, 1.0 / n) if a is None else a
    b = np.full(m, 1.0 / m) if b is None else b
    if not (_plain(a, 1) and _plain(b, 1) and a.size == n and b.size == m):
        return None
    low, high = float(M.min()), float(M.max())
    span, mass, other = high - low, float(a.sum()), float(b.sum())
    if not (0.0 < a.min() and 0.0 < b.min() and 0.0 < mass < math.inf and 0.0 < other < math.inf):
        return None
    # A wide range may be due to terms of rows and columns, which are taken off elsewhere.
    if not (abs(mass - other) <= MASS_TOLERANCE * mass and span <= WIDE * reg and UNIT * span <= reg):
        return None
    if not (math.isfinite(span) and math.isfinite(2 / reg)):
        return None
    offset = low if abs(low) > span else 0.0
    stages = math.floor(math.log(max(FIRST_STAGE * span / reg, 1.0)) / -math.log(STAGE_FACTOR) + 1e-12)
    C, p, q = (M - offset if offset else M), a / mass, b / other
    swapped = m < n
    if swapped:
        C, p, q = C.T, q, p
    C = np.ascontiguousarray(C)
    k = arrays.kernels_for(np, __package__, "batch")
    f, g, P = np.zeros((1, p.size)), np.zeros((1, q.size)), np.zeros((1, *C.shape))
    counts, trace = np.zeros(1, dtype=k.COUNTS), np.empty((1, STEPS, 2))
    first = np.array([reg * STAGE_FACTOR**-stages])
    problem = C[None], p[None], q[None], np.array([reg]), first
    memory = np.empty((k.ROWS, p.size)), np.empty((k.COLUMNS, q.size))
    halt = np.zeros(1, dtype=np.int64)
    k.newton_batch(*problem, False, tol, STEPS, f, g, P, counts, halt, *memory, trace)
    _, nnewton, nsinkhorn, ncg, _ = count = counts[0].tolist()
    if not count[0]:
        return None
    return _answer(
        (C, p, q, f[0], g[0], P[0]), swapped, reg, mass, offset, tol,
        return_plan=return_plan, trace=trace[0], start=start, nit=nnewton + stages,
        nnewton=nnewton, nsinkhorn=nsinkhorn, ncg=ncg,
        reg_path=tuple(reg / STAGE_FACTOR**j for j in range(stages, -1, -1)),
    )  # fmt: skip


def _plain(x: Any, ndim: int) -> bool:
    return type(x) is np.ndarray and x.ndim == ndim and x.dtype == np.float64


def _answer(
    solved: tuple[Array, ...],
    swapped: bool,
    reg: float,
    mass: float,
    offset: float,
    tol: float,
    *,
    return_plan: bool,
    trace: Array,
    start: float,
    nit: int,
    **fields: Any,
) -> TransportResult | None:
    """Put the answer into the caller's terms, as `_problem.Problem.values` does; None if it is not right."""
    M, a, b, f, g, P = solved
    with np.errstate(all="ignore"):
        error, linear, low, high = measured(M[None], a[None], b[None], f[None], P[None])[:, 0].tolist()
        r, c = P.sum(axis=1), P.sum(axis=0)
        total = float(r.sum())
        entropy = (float(r @ f) + float(c @ g) - linear) / reg
        kl = entropy - float(r @ np.log(a)) - float(c @ np.log(b))
        linear, log_mass = mass * (linear + offset * total), math.log(mass)
        value = linear + reg * mass * (entropy + (log_mass - 1.0) * total)
        kl = mass * (kl - log_mass * total)
        if mass != 1.0:
            P *= mass
    if not (error <= tol and math.isfinite(value) and math.isfinite(linear) and math.isfinite(kl)):
        return None
    if swapped:
        f, g, P = g, f, P.T
    history = History(("reg",))
    points, seconds = nit + 1, now() - start
    history.extend(
        np.arange(points), trace[:points, 0], np.linspace(0.0, seconds, points), reg=trace[:points, 1]
    )
    return TransportResult(
        x=(f + (offset + reg * log_mass), g),
        status=Status.CONVERGED,
        residual=error,
        nit=nit,
        history=history,
        plan=P if return_plan else None,  # type: ignore[arg-type]
        reg=reg,
        value=value,
        value_linear=linear,
        kl=kl,
        bounds=(mass * (low + offset), mass * (high + offset)),
        **fields,
    )
