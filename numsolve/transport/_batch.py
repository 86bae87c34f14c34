"""Many problems of one shape: each is solved by itself, the small and regular ones in one compiled call."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.monitor import Monitor
from numsolve._core.result import ConvergenceWarning, Status
from numsolve._core.unheard import unheard

from ._ascent import FIRST_STAGE, STAGE_FACTOR
from ._bounds import PIECE
from ._foreign import refuse_traced
from ._problem import MASS_TOLERANCE, VALUES
from ._reduced import UNIT
from .result import TransportResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numsolve._core.limits import Limits
    from numsolve._core.typing import Array, ArrayLike, Namespace

    from ._problem import Potentials, Weights

#: Largest smaller side of a problem that the compiled loop takes, and most entries of its cost.
SMALL, ENTRIES = 300, 300_000
#: Entries of the cost times rows up to which no problem can take long, so that no thread has to watch.
QUICK = 10_000


def is_batch(M: ArrayLike, a: Weights, b: Weights, reg: float | Array = 1.0) -> bool:
    """Whether one of the arguments has an axis too many for a single problem."""
    return _ndim(M) == 3 or _ndim(a) == 2 or _ndim(b) == 2 or _ndim(reg) == 1


def solve_batch(
    solve: Callable[..., TransportResult],
    M: ArrayLike,
    a: Weights,
    b: Weights,
    reg: float | Array,
    limits: Limits,
    *,
    compiled: bool,
    tol: float,
    potentials_init: Sequence[ArrayLike] | None,
    return_plan: bool,
) -> TransportResult:
    """Solve each problem by ``solve(M, a, b, reg, limits, **settings)``, or by the compiled loop if that can.

    The monitor counts the problems that are left. Where one of them runs out of time, or Ctrl-C is pressed,
    all ends; what is done is kept.
    """
    a, b = (None if isinstance(x, list | tuple) and len(x) == 0 else x for x in (a, b))
    refuse_traced(M=M, a=a, b=b)
    xp = arrays.array_namespace(M=M, a=a, b=b)
    cost: Array = checks.array("M", M, xp=xp, ndim=(2, 3), allow_inf=True)
    p: Array | None
    q: Array | None
    p, q = (
        None if x is None else checks.array(name, x, xp=xp, ndim=(1, 2)) for name, x in (("a", a), ("b", b))
    )
    stacks = ((cost, 3), (p, 2), (q, 2), (None if isinstance(reg, float) else reg, 1))
    count = next(x.shape[0] for x, ndim in stacks if x is not None and x.ndim == ndim)
    if not isinstance(reg, float) and reg.shape != (count,):
        raise ValueError(f"reg must be a number or {count} of them, one for each problem, got {reg.size}")
    regs = np.broadcast_to(np.asarray(reg, dtype=np.float64), (count,))
    n, m = cost.shape[-2:]
    for name, x, shape in (("M", cost, (n, m)), ("a", p, (n,)), ("b", q, (m,))):
        if x is not None and x.shape not in {shape, (count, *shape)}:
            raise ValueError(f"{name} must have shape {shape} or {(count, *shape)}, got {tuple(x.shape)}")
    costs = _stack(cost, 2, count)
    data = (costs, None if p is None else _stack(p, 1, count), None if q is None else _stack(q, 1, count))
    starts = _starts(potentials_init, xp, count)
    settings = {"tol": tol, "return_plan": return_plan}

    def one(i: int) -> TransportResult:
        own = (None if x is None else x[i, ...] for x in data)
        start = None if starts is None else (starts[0][i, ...], starts[1][i, ...])
        with unheard(ConvergenceWarning):
            limited = limits.part(limits.maxiter)
            return solve(*own, float(regs[i]), limited, potentials_init=start, **settings)

    results: list[TransportResult | None] = [None] * count
    small = 0 < min(n, m) <= SMALL and n * m <= ENTRIES
    with ExitStack() as stack:
        fast = None
        if compiled and arrays.is_numpy(xp) and cost.dtype == np.float64 and count and small:
            fast = stack.enter_context(_Compiled(data, regs, tol, limits, starts))
        it = stack.enter_context(
            Monitor(
                _of_the_whole(limits),
                atol=0.0,
                maxiter=count,
                label="Problems",
                # What a small problem takes in the compiled loop, from some measurements.
                step_seconds=None if fast is None else 5e-5 + 3e-8 * n * m,
                keep="reference",
                present=lambda done: _stacked(xp, [r.x for r in results[:done] if r is not None], cost),
            )
        )
        it.record(count, 0)
        while it.running:
            first = it.nit
            last = first + it.chunk()[0]
            interrupted = fast is not None and fast.solve(first, last)
            for i in range(first, last):
                if fast is not None and fast.done[i]:
                    results[i] = fast.result(i)
                elif not interrupted and it.status is None:
                    part = results[i] = one(i)
                    if int(part.status) in {Status.TIME_LIMIT, Status.INTERRUPTED}:
                        it.stop(Status(int(part.status)))
            if interrupted:
                raise KeyboardInterrupt
            if it.status is None:
                it.extend([count - last], x=last, steps=last - first)
    return _collect(it, xp, results, costs, reg, return_plan)


def _of_the_whole(limits: Limits) -> Limits:
    """The limits of a batch, whose iterations are problems: `maxiter` is for each of these."""
    whole = replace(limits, maxiter=None)
    object.__setattr__(whole, "deadline", limits.deadline)
    return whole


class _Compiled:
    """The problems with positive weights and finite costs, in the layout of the compiled loop."""

    def __init__(
        self,
        data: tuple[Array, Array | None, Array | None],
        reg: Array,
        tol: float,
        limits: Limits,
        starts: Potentials | None,
    ) -> None:
        M, a, b = data
        count, n, m = M.shape
        self.kernels = arrays.kernels_for(np, __package__, "batch")
        self.threads = arrays.kernels_for(np, __package__).threads()
        self.pool: ThreadPoolExecutor | None = None
        a, b = (np.full((count, k), 1.0 / k) if x is None else x for x, k in ((a, n), (b, m)))
        self.reg, self.tol, self.limits = reg, tol, limits
        low, high = M.min(axis=(1, 2)), M.max(axis=(1, 2))
        self.mass, other = a.sum(axis=1), b.sum(axis=1)
        with np.errstate(invalid="ignore"):
            regular = np.isfinite(high) & (a > 0).all(axis=1) & (b > 0).all(axis=1)
            regular &= np.abs(self.mass - other) <= MASS_TOLERANCE * self.mass
            regular &= UNIT * (high - low) <= reg
        if starts is not None:
            regular &= np.isfinite(starts[0]).all(axis=1) & np.isfinite(starts[1]).all(axis=1)
        #: Which problems the compiled loop may try, and which it has solved.
        self.regular, self.done = regular, np.zeros(count, dtype=bool)
        with np.errstate(invalid="ignore"):
            self.offset = np.where(np.abs(low) > high - low, low, 0.0)
            ratio = FIRST_STAGE * (high - low) / reg
            stages = np.floor(np.log(np.maximum(ratio, 1.0)) / -math.log(STAGE_FACTOR) + 1e-12)
            self.first = reg * (1 / STAGE_FACTOR) ** np.where(regular, stages, 0.0)
            self.a, self.b = a / self.mass[:, None], b / other[:, None]
        self.swapped = m < n
        self.M, self.shape = M, (n, m)
        self.f, self.g = np.zeros((count, n)), np.zeros((count, m))
        self.warm = starts is not None
        if starts is not None:
            self.f = np.where(regular[:, None], starts[0] - self._shift(slice(None))[:, None], 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.pool is not None:
            self.pool.shutdown()

    def _shift(self, i: Array | slice) -> Array:
        """What the potentials of the sources have over those of the reduced problem."""
        out: Array = self.offset[i] + self.reg[i] * np.log(self.mass[i])
        return out

    def solve(self, first: int, last: int) -> bool:
        """Solve the regular problems of a range, shared among the threads; say whether Ctrl-C ended it."""
        self.index = first + np.flatnonzero(self.regular[first:last])
        i = self.index
        M = np.ascontiguousarray(self.M[i] - self.offset[i, None, None])
        f, g, a, b = self.f[i], self.g[i], self.a[i], self.b[i]
        if self.swapped:
            M, f, g, a, b = np.ascontiguousarray(M.transpose(0, 2, 1)), g, f, b, a
        P = np.zeros(M.shape)
        counts = np.zeros(i.size, dtype=self.kernels.COUNTS)
        trace = np.empty((i.size, 0, 2))
        batch = [M, a, b, self.reg[i], self.first[i], f, g, P, counts, trace]
        halt = np.zeros(1, dtype=np.int64)
        maxiter = self.limits.steps(1000)

        def run(part: slice) -> None:
            M, a, b, reg, start, f, g, P, counts, trace = (x[part] for x in batch)
            rows = np.empty((self.kernels.ROWS, M.shape[1]))
            columns = np.empty((self.kernels.COLUMNS, M.shape[2]))
            problem, found = (M, a, b, reg, start), (f, g, P, counts)
            settings = self.warm, self.tol, maxiter
            self.kernels.newton_batch(*problem, *settings, *found, halt, rows, columns, trace)

        interrupted = self._shared(run, halt, M)
        with np.errstate(all="ignore"):  # those that were given up, or not reached, hold anything
            error, linear, low, high = measured(M, a, b, f, P)
            self.done[i] = counts["converged"].astype(bool) & (error <= self.tol)
            if self.swapped:
                P, f, g = P.transpose(0, 2, 1), g, f
            self._keep(i, P, f, g, counts, error, linear, np.stack((low, high), axis=1))
            # Those whose values are beyond the range of numbers are told so one by one.
            self.done[i] &= np.isfinite([self.kept[name] for name in VALUES]).all(axis=0)
        return interrupted

    def _shared(self, run: Callable[[slice], None], halt: Array, M: Array) -> bool:
        """Let threads run over the problems, until the time is over or Ctrl-C is pressed (then True)."""
        count, n, m = M.shape
        if self.threads == 1 and n * n * m <= QUICK:
            run(slice(0, count))
            return False
        if self.pool is None:
            self.pool = ThreadPoolExecutor(self.threads)
        cuts = np.linspace(0, count, min(self.threads, max(count, 1)) + 1).astype(int)
        jobs = [self.pool.submit(run, slice(*cut)) for cut in pairwise(cuts.tolist())]
        left = None if self.limits.deadline == math.inf else self.limits.seconds_left
        try:
            wait(jobs, timeout=left)
        except KeyboardInterrupt:
            interrupted = True
        else:
            interrupted = False
        halt[0] = 1  # of no consequence where all is done
        for job in jobs:
            job.result()
        return interrupted

    def _keep(
        self,
        i: Array,
        P: Array,
        f: Array,
        g: Array,
        counts: Array,
        error: Array,
        linear: Array,
        bounds: Array,
    ) -> None:
        """Put the answers into the caller's mass and cost; `Problem.values` has the formulas."""
        mass, offset, reg = self.mass[i], self.offset[i], self.reg[i]
        r, c = P.sum(axis=2), P.sum(axis=1)
        total = r.sum(axis=1)
        entropy = ((r * f).sum(axis=1) + (c * g).sum(axis=1) - linear) / reg
        kl = entropy - (r * np.log(self.a[i])).sum(axis=1) - (c * np.log(self.b[i])).sum(axis=1)
        linear = mass * (linear + offset * total)
        self.kept = {
            "x": (f + self._shift(i)[:, None], g),
            "plan": P * mass[:, None, None],
            "residual": error,
            "value_linear": linear,
            "value": linear + reg * mass * (entropy + (np.log(mass) - 1.0) * total),
            "kl": mass * (kl - np.log(mass) * total),
            "bounds": mass[:, None] * (bounds + offset[:, None]),
            **{name: counts[name] for name in self.kernels.COUNTS.names},
        }

    def result(self, i: int) -> TransportResult:
        """Return the result of a problem of the range that was solved last."""
        k = int(np.searchsorted(self.index, i))
        kept = {name: x[k] for name, x in self.kept.items() if name not in {"x", "bounds", "converged"}}
        stages, reg = kept.pop("stages"), float(self.reg[i])
        return TransportResult(
            x=tuple(x[k] for x in self.kept["x"]),
            bounds=tuple(self.kept["bounds"][k].tolist()),
            nit=int(kept["nnewton"]) + int(stages) - 1,
            reg=reg,
            reg_path=tuple(reg / STAGE_FACTOR**j for j in reversed(range(stages))),
            **{name: x if getattr(x, "ndim", 0) else x.item() for name, x in kept.items()},
        )


def measured(M: Array, a: Array, b: Array, f: Array, P: Array) -> Array:
    """The errors of the marginals, the costs of the plans, and the bounds of `_bounds`, as four rows."""
    at_once = max(1, PIECE // (M.shape[1] * M.shape[2]))  # so that what lies between stays in a cache
    parts = (slice(k, k + at_once) for k in range(0, max(len(M), 1), at_once))
    return np.concatenate([_measured_part(*(x[k] for x in (M, a, b, f, P))) for k in parts], axis=1)


def _measured_part(M: Array, a: Array, b: Array, f: Array, P: Array) -> Array:
    r, c = P.sum(axis=2), P.sum(axis=1)
    error = np.abs(r - a).sum(axis=1) + np.abs(c - b).sum(axis=1)
    costs = P * M
    g = (M - f[:, :, None]).min(axis=1)
    low = ((M - g[:, None, :]).min(axis=2) * a).sum(axis=1) + (g * b).sum(axis=1)
    x = a / np.maximum(a, r)
    c = (x[:, None, :] @ P)[:, 0]
    y = b / np.maximum(b, c)
    u, v = a - x * (P @ y[:, :, None])[:, :, 0], b - y * c
    total = u.sum(axis=1)
    spread = (u * (M @ v[:, :, None])[:, :, 0]).sum(axis=1) / np.where(total > 0, total, 1.0)
    high = (x * (costs @ y[:, :, None])[:, :, 0]).sum(axis=1) + np.where(total > 0, spread, 0.0)
    return np.stack((error, costs.sum(axis=(1, 2)), low, high))


def _collect(
    it: Monitor,
    xp: Namespace,
    done: list[TransportResult | None],
    M: Array,
    reg: float | Array,
    return_plan: bool,
) -> TransportResult:
    """Make one result of many; problems that were not reached have the status of the run, and no answer."""
    count, (n, m) = len(done), M.shape[1:]
    nothing = TransportResult(
        x=(xp.zeros((n,), dtype=M.dtype), xp.zeros((m,), dtype=M.dtype)),
        status=Status.STOPPED if it.status is None else it.status,
        residual=math.inf,
        plan=xp.zeros((n, m), dtype=M.dtype),
    )
    results = [nothing if r is None else r for r in done]

    def column(name: str) -> Array:
        return np.array([getattr(r, name) for r in results])

    names = ("nit", "residual", "value", "value_linear", "kl", "nsinkhorn", "nnewton", "ncg")
    bounds = np.array([r.bounds for r in results]).reshape(count, 2)
    return it.result(
        TransportResult,
        x=_stacked(xp, [r.x for r in results], M),
        plan=None if not return_plan else xp.stack([r.plan for r in results]) if results else M,
        status=np.array([int(r.status) for r in results], dtype=np.int64),
        detail="",
        reg=reg,
        reg_m=next((r.reg_m for r in done if r is not None), (math.inf, math.inf)),
        bounds=(bounds[:, 0], bounds[:, 1]),
        weights=_weights_of(xp, results),
        reg_path=max((r.reg_path for r in results), key=len, default=()) if isinstance(reg, float) else (),
        **{name: column(name) for name in names},
    )


def _weights_of(xp: Namespace, results: list[TransportResult]) -> Potentials | None:
    """The weights of unbalanced problems; nan for those that were not reached."""
    known = next((r.weights for r in results if r.weights is not None), None)
    if known is None:
        return None
    missing = tuple(xp.full_like(w, math.nan) for w in known)
    pairs = [missing if r.weights is None else r.weights for r in results]
    return xp.stack([a for a, _ in pairs]), xp.stack([b for _, b in pairs])


def _ndim(x: Any) -> int:
    """Number of axes of anything that may become an array; lists are judged by their first entries."""
    ndim = getattr(x, "ndim", None)
    if ndim is not None:
        return int(ndim)
    return 1 + _ndim(x[0]) if isinstance(x, list | tuple) and len(x) > 0 else int(isinstance(x, list | tuple))


def _stack(x: Array, ndim: int, count: int) -> Array:
    """Give an array that all problems share the axis of the batch."""
    if x.ndim > ndim:
        return x
    xp = arrays.array_namespace(x=x)
    out: Array = xp.broadcast_to(x[None, ...], (count, *x.shape))
    return out


def _starts(potentials: Sequence[ArrayLike] | None, xp: Namespace, count: int) -> Potentials | None:
    if potentials is None:
        return None
    if not (isinstance(potentials, tuple | list) and len(potentials) == 2):
        raise ValueError("potentials_init must be a pair (f, g), as the potentials of a result")
    f, g = (
        checks.array(f"potentials_init[{k}]", x, xp=xp, ndim=2, check_finite=False)
        for k, x in enumerate(potentials)
    )
    for k, x in enumerate((f, g)):
        if x.shape[0] != count:
            raise ValueError(
                f"potentials_init[{k}] must have {count} rows, one for each problem, got {x.shape[0]}"
            )
    return f, g


def _stacked(xp: Namespace, pairs: list[Potentials], M: Array) -> Potentials:
    """Give the potentials of many problems, none perhaps, an axis for the problems."""
    if pairs:
        return xp.stack([f for f, _ in pairs]), xp.stack([g for _, g in pairs])
    n, m = M.shape[-2:]
    return xp.zeros((0, n), dtype=M.dtype), xp.zeros((0, m), dtype=M.dtype)
