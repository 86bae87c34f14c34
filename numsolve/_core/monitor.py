"""One loop discipline for every iterative solver: when to stop, what to remember, whom to tell.

A method written in Python::

    limits = Limits(maxiter, time_limit, callback, progress)    # in the public function, first
    with Monitor(limits, rtol=rtol, reference=norm_b, maxiter=1000) as it:
        it.record(residual, x)              # iteration 0: the start may be the answer
        for _ in it:
            ...                             # one iteration
            it.record(residual, x)
    return it.result(LinearResult, omega=omega)

and one whose loop is compiled::

        while it.running:
            n, stop_at = it.chunk()         # at most n steps, or until a residual <= stop_at
            steps, code = kernel(state, n, stop_at, residuals)
            it.extend(residuals[:steps], code, x)
"""

from __future__ import annotations

import inspect
import math
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np

from . import checks, clock
from .clock import now
from .codes import RUNNING
from .history import History
from .keyboard import in_main_thread, is_interrupt, keyboard, thread
from .limits import Limits
from .result import Result, Status, deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType


R = TypeVar("R", bound=Result)

__all__ = ["RUNNING", "Monitor"]

PACKAGE_NAME = __name__.partition(".")[0]
#: Seconds of compiled work between two looks at the clock, the keyboard and the progress bar.
CHUNK_SECONDS = 0.05
#: The first chunk, sized by a guess of what a step takes, is shorter; without a guess it is one step.
FIRST_SECONDS = 0.01
#: A chunk has at most so many times the steps of the one before, whose seconds may mislead.
GROWTH = 8


class Monitor:
    """Watch an iteration: stopping test, limits, history, callback, progress and Ctrl-C.

    Parameters
    ----------
    limits : Limits, optional
        The user's `maxiter`, `time_limit`, `callback` and `progress`; none by default.
    rtol, atol : float
        Converged when the residual is at most ``max(rtol * reference, atol)``.
    reference : float
        The norm that `rtol` is relative to; the method chooses it (of b, of the first residual, ...).
    thresholds : mapping of str to float, optional
        Several residuals, each with its own threshold, in place of `rtol` and `atol`. `record` is then
        given a mapping with these names; they become columns of the history.
    maxiter : int
        The most iterations to do if `limits` names no number.
    label : str
        Its caption.
    keep : {"copy", "reference"}
        How the best iterate is kept. By reference is for methods that do not write into an old x.
    present : callable, optional
        Turns the method's x into the one that the user knows, for the callback and the result.
    every : int
        Look at every so many residuals only; the others may stay on the device.
    rounding : float
        The level that rounding errors let the residual reach; at or below it the run ends in ROUNDING.
    patience : int, optional
        Records without one per cent of progress after which the run has STAGNATED.
    divergence : float
        Growth over the first residual at which the run has DIVERGED.
    columns : sequence of str
        Further columns of the history.
    step_seconds : float, optional
        The method's guess of the seconds that one compiled step takes; sets the first chunk.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        rtol: float = 0.0,
        atol: float = 0.0,
        reference: Any = 1.0,
        thresholds: Mapping[str, float] | None = None,
        maxiter: int,
        label: str = "",
        keep: Literal["copy", "reference"] = "copy",
        present: Callable[[Any], Any] | None = None,
        every: int = 1,
        rounding: float = 0.0,
        patience: int | None = None,
        divergence: float = 1e30,
        columns: Sequence[str] = (),
        step_seconds: float | None = None,
    ) -> None:
        rtol = checks.real("rtol", rtol, low=0.0)
        atol = checks.real("atol", atol, low=0.0)
        limits = Limits() if limits is None else limits
        self.limits = limits
        self.maxiter = limits.steps(checks.integer("maxiter", maxiter, low=0))
        # A threshold from an infinite norm would accept everything, so it counts as zero.
        self._names = {name: _finite(float(top)) for name, top in (thresholds or {}).items()}
        self.threshold = max(self._names.values(), default=max(_finite(rtol * float(reference)), atol))
        self.rounding = rounding
        self.status: Status | None = None
        self.detail = ""
        self.nit = 0
        self.residual = math.inf
        self.history = History((*self._names, *columns))
        self._best: Any = None
        self._kept = False
        self._step = 0
        self._copies = keep == "copy"
        self._present = present or _same
        self._every = every
        self._patience = patience
        self._divergence = divergence
        self._first = math.inf
        self._mark, self._mark_at = math.inf, 0
        self._callback = limits.callback
        self._wants_result = limits.callback is not None and _wants_result(limits.callback)
        self._step_seconds = step_seconds
        self._last_chunk = 0
        self._start = self._last = now()
        self._deadline = limits.deadline
        self._show = limits.progress
        self._label = label
        self._bar: Any = None

    # -- the frame ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._show:
            self._bar = _progress_bar(self._label, self.maxiter)
        keyboard.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        outermost, pressed = keyboard.close()
        if self._bar is not None:
            self._advance_bar(force=True)
            self._bar.close()
        interrupted = is_interrupt(error) if error is not None else pressed
        if interrupted and outermost and self._kept:
            self.history.trim()
            self.stop(Status.INTERRUPTED)
            return True
        if error is not None and not type(error).__module__.startswith(PACKAGE_NAME):
            keyboard.finish()  # nobody makes a result of this run any more; a method may catch our own errors
        if interrupted:  # inside another monitor Ctrl-C passes, so that it ends the outermost solve
            if isinstance(error, KeyboardInterrupt):
                return False
            raise KeyboardInterrupt from error
        if kind is None and self.status is None:
            raise RuntimeError("a monitored loop was left without a reason: call stop(status) before break")
        return False

    def __iter__(self) -> Iterator[int]:
        while self.running:
            self._step += 1
            yield self._step

    @property
    def running(self) -> bool:
        """Whether there is something left to do."""
        if self.status is None and self._step >= self.maxiter:
            self.stop(Status.MAXITER)
        if keyboard.was_pressed and self.status is None and in_main_thread():
            raise KeyboardInterrupt
        return self.status is None

    @property
    def time_is_up(self) -> bool:
        """Whether the time limit is over: a method may ask inside a long step, and stop by itself."""
        return now() >= self._deadline

    def stop(self, status: Status, detail: str = "") -> None:
        """End the run; `detail` is what the message says beside the status."""
        self.status = status
        self.detail = detail

    # -- one iteration -----------------------------------------------------------------------------

    def record(
        self, residual: Any, x: Any = None, *, converged: bool | None = None, **columns: float
    ) -> None:
        """Take note of an iteration and decide whether the run goes on.

        Parameters
        ----------
        residual : float, 0-d array or mapping
            What the tolerance speaks of; a mapping if the monitor has `thresholds`.
        x : object
            The iterate that has this residual.
        converged : bool, optional
            The method's own verdict, in place of the comparison with the tolerance.
        **columns
            Values of further columns of the history.
        """
        step = self.nit = self._step
        if self._every > 1 and step % self._every and step != self.maxiter and not converged:
            return
        thread.held = True
        try:
            if self._names:
                columns.update({name: float(residual[name]) for name in self._names})
                residual = self._worst(columns)
            residual = float(residual)
            # `now()`, without a call; another thread may turn the clock back.
            self._last = max(self._last, perf_counter() - clock.preparing)
            self.history.append(step, residual, self._last - self._start, **columns)
            self._judge(residual, x, converged)
        finally:
            thread.held = False
        if self._callback is not None and step > 0:
            self._call_back(residual, x, columns)
        if self._bar is not None:
            self._advance_bar()

    def _worst(self, values: Mapping[str, float]) -> float:
        """One number for all residuals: at most the threshold if and only if each is at most its own."""
        worst = -math.inf
        for name, top in self._names.items():
            value = values[name]
            if top > 0.0:
                # Divide first: then the rounding cannot move a residual across its threshold.
                part = self.threshold * (value / top)
            elif value <= 0.0:
                part = 0.0
            else:
                part = max(value + self.threshold, math.nextafter(self.threshold, math.inf))
            if part > worst or math.isnan(part):
                worst = part
        return worst

    def _judge(self, residual: float, x: Any, converged: bool | None, lowest: float | None = None) -> None:
        """Keep the best iterate and set the status if this is the end."""
        if converged is None:
            converged = residual <= self.threshold
        if residual < self.residual or converged or not self._kept:
            self._best = _copy(x) if self._copies else x
            self.residual = residual
            self._kept = True
        if self.status is not None:
            return
        if converged:
            self.stop(Status.CONVERGED)
        elif self.threshold < residual <= self.rounding:
            self.stop(Status.ROUNDING, f"The residual is {residual:.3g}, the tolerance {self.threshold:.3g}.")
        elif not math.isfinite(residual):
            self.stop(Status.NONFINITE)
        elif self._last >= self._deadline:
            self.stop(Status.TIME_LIMIT)
        else:
            self._judge_progress(residual, residual if lowest is None else lowest)

    def _judge_progress(self, residual: float, lowest: float) -> None:
        if self._first == math.inf:
            self._first = residual
        if residual > self._divergence * self._first:
            self.stop(Status.DIVERGED)
        elif self._patience is not None:
            if lowest < 0.99 * self._mark:
                self._mark, self._mark_at = lowest, len(self.history)
            elif len(self.history) - self._mark_at >= self._patience:
                self.stop(Status.STAGNATED)

    def _call_back(self, residual: float, x: Any, columns: Mapping[str, float]) -> None:
        assert self._callback is not None
        argument = _copy(self._present(x))  # what a callback writes into x does not reach the solver
        if self._wants_result:
            argument = SimpleNamespace(
                x=argument, nit=self.nit, residual=residual, seconds=self.seconds, **columns
            )
        try:
            wanted = self._callback(argument)
        except StopIteration:
            wanted = True
        if (wanted is True or (isinstance(wanted, np.bool_) and bool(wanted))) and self.status is None:
            self.stop(Status.STOPPED)

    # -- many iterations in one compiled call ------------------------------------------------------

    def chunk(self, *, watched: bool = True) -> tuple[int, float]:
        """How many steps a compiled loop may do now, and the residual at which it stops by itself.

        Parameters
        ----------
        watched : bool
            Whether the callback is owed each of these steps; False if the kernel records now and then.

        Returns
        -------
        n : int
            One if there is a callback, else about `CHUNK_SECONDS` of work.
        stop_at : float
            The threshold, or the rounding level where that is higher.
        """
        first = self._last_chunk == 0
        seconds = min(FIRST_SECONDS if first else CHUNK_SECONDS, max(self._deadline - now(), 0.0))
        if (watched and self._callback is not None) or self._step_seconds is None:
            n = 1
        else:
            n = int(min(seconds / max(self._step_seconds, 1e-9), 2**31))
            n = n if first else min(n, GROWTH * self._last_chunk)
        return max(1, min(n, self.maxiter - self._step)), max(self.threshold, self.rounding)

    def extend(
        self, residuals: Any, code: int = RUNNING, x: Any = None, *, steps: int | None = None, **columns: Any
    ) -> None:
        """Take note of the steps of one chunk.

        Parameters
        ----------
        residuals : array of shape (k,), or mapping of str to such arrays
            The residuals that the kernel recorded, evenly spaced over its steps; a mapping if the monitor
            has `thresholds`.
        code : int
            `RUNNING`, or the `Status` with which the kernel stopped.
        x : object
            The iterate that has the last residual.
        steps : int, optional
            Steps done, if the kernel does not record each one.
        **columns : array of shape (k,)
            Values of further columns of the history.
        """
        thread.held = True
        try:
            if self._names:
                columns.update({name: np.asarray(residuals[name], dtype=float) for name in self._names})
                each = zip(*(columns[name].tolist() for name in self._names), strict=True)
                residuals = [self._worst(dict(zip(self._names, row, strict=True))) for row in each]
            rows = len(residuals)
            steps = rows if steps is None else int(steps)
            if steps == 0 and code == RUNNING:
                raise RuntimeError("a compiled loop did no step and gave no reason")
            before, self._last = self._last, max(self._last, now())
            if rows:
                done = np.arange(1, rows + 1)
                # Rounded up; the last row is the last step.
                at = self._step + (done if steps == rows else -(-done * steps // rows))
                seconds = before - self._start + done / rows * (self._last - before)
                self.history.extend(at, residuals, seconds, **columns)
            if steps:
                self._step += steps
                self.nit = self._step
                self._step_seconds = (self._last - before) / steps
                self._last_chunk = steps
            residual = float(residuals[-1]) if rows else self.residual
            converged = None if code == RUNNING else code == Status.CONVERGED
            if converged and self.threshold < residual <= self.rounding:
                converged = None  # the kernel only knows `stop_at`
            if code not in {RUNNING, Status.CONVERGED}:
                self.stop(Status(code))
            if rows or code == Status.CONVERGED:
                lowest = float(np.min(residuals)) if rows and self._patience is not None else None
                self._judge(residual, x, converged, lowest)
            elif self.status is None and self._last >= self._deadline:
                self.stop(Status.TIME_LIMIT)
        finally:
            thread.held = False
        if self._callback is not None and rows:
            self._call_back(residual, x, {name: float(values[-1]) for name, values in columns.items()})
        if self._bar is not None:
            self._advance_bar()

    # -- the end -----------------------------------------------------------------------------------

    @property
    def x(self) -> Any:
        """The answer, or the best iterate so far."""
        return self._best

    @property
    def seconds(self) -> float:
        """Seconds from the start to the last record, those of compilation apart."""
        return self._last - self._start

    def finish(self) -> None:
        """Give Python its Ctrl-C back; one that came since the end of the run is its status now.

        `result` calls it; a method that makes one result of several monitors calls it for the last one.
        """
        if keyboard.finish() and self._kept:
            self.stop(Status.INTERRUPTED)

    def result(self, kind: type[R], **fields: Any) -> R:
        """Fill a `Result` (its own fields come as keywords), warn if the solve failed, and return it."""
        x = self._present(self._best)
        self.finish()
        common = {
            "x": x,
            "status": self.status,
            "nit": self.nit,
            "residual": self.residual,
            "history": self.history,
            "detail": self.detail,
        }
        result = kind(**{**common, **fields})
        deliver(result)
        return result

    def _advance_bar(self, force: bool = False) -> None:
        time = now()
        if force or time - self._bar.shown_at > 0.1:
            self._bar.shown_at = time
            self._bar.n = self.nit
            self._bar.set_postfix_str(f"residual {self.residual:.2e}, wanted {self.threshold:.1e}")


def _progress_bar(label: str, maxiter: int) -> Any:
    from tqdm.auto import tqdm

    bar = tqdm(total=maxiter if maxiter < 10**8 else None, desc=label or None, unit="it", leave=True)
    bar.shown_at = 0.0
    return bar


def _wants_result(callback: Callable[..., Any]) -> bool:
    try:
        return list(inspect.signature(callback).parameters) == ["intermediate_result"]
    except (TypeError, ValueError):  # builtins without a signature
        return False


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _same(x: Any) -> Any:
    return x


def _copy(x: Any) -> Any:
    if isinstance(x, tuple):
        parts = [_copy(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    if isinstance(x, list):
        return [_copy(part) for part in x]
    if isinstance(x, dict):
        return {key: _copy(part) for key, part in x.items()}
    if hasattr(x, "copy"):
        return x.copy()
    if hasattr(x, "__array_namespace__"):
        return x.__array_namespace__().asarray(x, copy=True)
    return x
