"""Visits the stops: two processes compile and solve side by side, then one at a time is timed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from stop import Visit, first_visit, stop_of, warm_times

if TYPE_CHECKING:
    from collections.abc import Callable

CONTEXT = multiprocessing.get_context("spawn")
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def visit(area: str, pipe: Any) -> None:
    """Solve, send the visit, wait for the turn, time, and send it again (in a child process)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its children
    try:
        stop = stop_of(area)
        found, data = first_visit(stop, area)
        pipe.send(found)
        pipe.recv()
        pipe.send(warm_times(stop, found, data))
    except ModuleNotFoundError as error:
        pipe.send(Visit(area, trouble=missing(error.name)))
    except Exception:
        pipe.send(Visit(area, trouble=traceback.format_exc()))


def missing(package: str | None) -> str:
    """What to install."""
    extra = "jax" if package in {"jax", "jaxopt", "optax"} else "quickstart"
    return f"needs {package}: pip install '.[{extra}]'"


@dataclass
class Tour:
    """The stops, who is under way, and what has come back.

    Parameters
    ----------
    areas : list of str
        Columns to visit.
    show : callable
        ``show(area, text)`` is called whenever the state of a stop changes.
    jobs : int
        Processes that solve at the same time.
    """

    areas: list[str]
    show: Callable[[str, str], None]
    jobs: int = 2
    visits: dict[str, Visit] = field(default_factory=dict)
    interrupted: bool = False
    target: Callable[[str, Any], None] = visit
    children: dict[Any, tuple[str, Any]] = field(default_factory=dict)

    def run(self) -> None:
        """Visit all; after Ctrl-C what has come back is kept."""
        before = {name: os.environ.get(name) for name in THREADS}
        os.environ.update(dict.fromkeys(THREADS, "1"), NUMSOLVE_QUIET="1")
        try:
            ready = self._solve()
            for pipe in ready:
                self._time(pipe)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            for _, process in self.children.values():
                process.kill()
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
        for area in self.areas:
            self.visits.setdefault(
                area, Visit(area, trouble="interrupted before its end")
            )

    def _solve(self) -> list[Any]:
        """Solve and draw, `jobs` stops at a time; return the pipes that wait to be timed."""
        waiting, busy, ready = list(self.areas), [], []
        while waiting or busy:
            while waiting and len(busy) < self.jobs:
                busy.append(self._start(waiting.pop(0)))
            for pipe in connection.wait(busy):
                busy.remove(pipe)
                if self._receive(pipe).picture:
                    ready.append(pipe)
        return ready

    def _start(self, area: str) -> Any:
        pipe, end = CONTEXT.Pipe()
        process = CONTEXT.Process(target=self.target, args=(area, end), daemon=True)
        process.start()
        end.close()
        self.children[pipe] = area, process
        self.show(area, "compiling and solving ...")
        return pipe

    def _receive(self, pipe: Any) -> Visit:
        area, process = self.children[pipe]
        try:
            found = pipe.recv()
        except EOFError:
            process.join()
            earlier = self.visits.get(area, Visit(area))
            died = f"its process ended with exit code {process.exitcode}"
            found = Visit(**{**vars(earlier), "trouble": died, "good": False})
        self.visits[area] = found
        self.show(area, told(found))
        return found

    def _time(self, pipe: Any) -> None:
        area, _ = self.children[pipe]
        self.show(area, "measuring ...")
        with contextlib.suppress(OSError):  # if it has ended, `_receive` tells
            pipe.send("your turn")
        earlier = self.visits[area]
        found = self._receive(pipe)
        if not found.picture:  # what was solved stays on the page
            self.visits[area] = Visit(
                **{**vars(earlier), "trouble": found.trouble, "good": False}
            )


def told(visit: Visit) -> str:
    """One line about a stop."""
    from page import brief, comparison, duration

    if not visit.picture or visit.trouble:
        return f"FAILED: {brief(visit)}"
    accurate = f"{visit.measure} {visit.accuracy}"
    if visit.seconds is None:
        return f"{accurate}, first call {duration(visit.first)}"
    faster = comparison(visit)[0]
    return (
        f"{accurate}, {duration(visit.seconds)}; {visit.peer}: {visit.peer_accuracy}, "
        + (f"{duration(visit.peer_seconds)} ({faster})" if faster else "not timed")
    )


class Lines:
    """A live line for each stop in a terminal; elsewhere a line for each news."""

    def __init__(self, areas: list[str]):
        self.bars: dict[str, Any] = {}
        self.began = time.perf_counter()
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bars = {
                area: tqdm(bar_format="{desc}", position=k, dynamic_ncols=True)
                for k, area in enumerate(areas)
            }
            for area in areas:
                self.bars[area].set_description_str(f"{area:<11} waits")

    def show(self, area: str, text: str) -> None:
        """Tell what a stop is doing."""
        line = f"{area:<11} {text}"
        if self.bars:
            self.bars[area].set_description_str(line)
        elif not text.endswith("..."):
            print(
                f"{time.perf_counter() - self.began:5.0f} s  {line}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Leave the lines as they are."""
        for bar in self.bars.values():
            bar.close()
