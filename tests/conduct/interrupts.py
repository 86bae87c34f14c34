"""Ctrl-C from outside, at random moments: ``python tests/conduct/interrupts.py [-n 20] [names begin so]``.

A process for each column makes long solves (``lasting.py``), one after the other, and gets a real SIGINT in
each. Every second one it gets some time after the solve's first step, which a callback tells; the others some
time after the solve has begun, without a callback.

The solve must end by itself within `PATIENCE` seconds: with a result whose status is INTERRUPTED and whose
best iterate is finite, or, before there was a first iterate, with KeyboardInterrupt. A sequence that ends
between two solves says so in a warning. Python's own handler
must be back afterwards, nothing may be printed from inside a destructor, and the process must end with 0.

Prints a row for each solver: signals, results, KeyboardInterrupts, the longest wait; ends with 1 on a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from queue import Empty, Queue
from typing import Any

ROOT = Path(__file__).parents[2]

INTERRUPTED = 11  #: the number of the status
#: Seconds until a process that does not answer counts as hung, and in which a solve must have ended.
HANGS, PATIENCE = 120.0, 10.0
#: Seconds of the solve until the signal, at most.
LATEST = 0.4
#: A run whose first step is later than so many times what it was before, and something, was only slow.
SLOW, SOMETHING = 5.0, 1.0


# -- the process that solves -------------------------------------------------------------------------


def tell(**said: Any) -> None:
    os.write(1, (json.dumps(said) + "\n").encode())  # whole, also where a signal comes between


def solve_for_ever() -> None:
    """Read lines, a name and whether a callback is wanted; tell of the first step and of the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # but in the solves
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]
    from lasting import LASTING

    warnings.simplefilter("ignore")
    known: dict[str, float] = {}
    tell(event="ready")
    for line in sys.stdin:
        name, watched = json.loads(line)
        solve = LASTING[name]
        if name not in known:
            known[name] = first_step(solve)
        tell(event="prepared")
        sys.stdin.readline()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ended = once(solve, watched and solve.watched)
        ended["back"] = signal.signal(signal.SIGINT, signal.SIG_IGN) is signal.default_int_handler
        ended["first_step"], ended["keeps"] = known[name], solve.keeps
        ended["finite"] = ended.get("finite", True) or solve.partial
        tell(event="ended", **ended)


def first_step(solve: Any) -> float:
    """Compile, and return the seconds until the first step of a run that a callback watches."""
    if solve.limited:
        solve.run(time_limit=0.05)
    if not solve.watched:
        return float("inf")
    began, steps = time.perf_counter(), []

    def callback(_: Any) -> bool:
        steps.append(time.perf_counter() - began)
        return True

    solve.run(callback=callback, time_limit=HANGS / 4)
    return steps[0] if steps else float("inf")


def once(solve: Any, watched: bool) -> dict[str, Any]:
    """One solve that is ended from outside."""
    import numpy as np

    told = []

    def callback(_: Any) -> None:
        if not told:
            told.append(True)
            tell(event="stepped")

    began = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            tell(event="begun")
            result = solve.run(callback=callback) if watched else solve.run()
    except KeyboardInterrupt:
        return {"how": "KeyboardInterrupt", "seconds": time.perf_counter() - began}
    except BaseException as error:
        return {"how": f"{type(error).__name__}: {error}", "seconds": 0.0}
    parts = [r for r in result if r is not None] if isinstance(result, list) else [result]
    status = {int(s) for r in parts for s in np.ravel(r.status)}
    told_of = any("interrupted from the keyboard" in str(w.message) for w in warned)
    if isinstance(result, list) and (len(parts) < len(result) or told_of):
        status.add(INTERRUPTED)  # what was not begun is None, or a warning says that it is missing
    x = [r.x for r in parts if np.all(np.asarray(r.nit) > 0)]
    return {
        "how": "result",
        "status": sorted(status),
        "finite": all(map(finite, x)),
        "seconds": time.perf_counter() - began,
    }


def finite(x: Any) -> bool:
    import numpy as np

    if isinstance(x, dict | list | tuple):
        return all(map(finite, x.values() if isinstance(x, dict) else x))
    return bool(np.isfinite(np.asarray(x)).all())


# -- the one that presses the keys -------------------------------------------------------------------


class Child:
    """A process that solves, and what it says."""

    def __init__(self) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={"NUMSOLVE_QUIET": "1", **os.environ},
        )
        self.lines: Queue[dict[str, Any]] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put({"event": "gone"})

    def say(self, what: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def hear(self, *events: str, seconds: float = HANGS) -> dict[str, Any]:
        """The next of some events; `gone` and `silent` come uncalled."""
        until = time.monotonic() + seconds
        while True:
            try:
                said = self.lines.get(timeout=max(until - time.monotonic(), 0.01))
            except Empty:
                return {"event": "silent"}
            if said["event"] in {*events, "gone"}:
                return said

    def press(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Its exit status, and what it printed as errors."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            code = self.process.wait(HANGS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.errors.seek(0)
        return code, self.errors.read()


def attempt(child: Child, name: str, watched: bool, wait: float) -> tuple[str, dict[str, Any]]:
    """One solve and its Ctrl-C: what is wrong with it, if anything, and how it ended."""
    child.say([name, watched])
    said = child.hear("prepared")
    if said["event"] != "prepared":
        return f"{said['event']} before the solve", said
    child.say("go")
    said = child.hear("stepped" if watched else "begun", "ended")
    if said["event"] == "ended":
        return f"it ended before the signal: {said}", said
    if said["event"] in {"gone", "silent"}:
        return f"{said['event']} before the signal", said
    time.sleep(wait)
    pressed = time.monotonic()
    child.press()
    said = child.hear("ended")
    if said["event"] != "ended":
        return f"{said['event']} after the signal", said
    said["waited"] = time.monotonic() - pressed
    return judge(said, watched), said


def judge(said: dict[str, Any], watched: bool) -> str:
    """What is wrong with the end of a solve."""
    if not said["back"]:
        return "Python's handler did not come back"
    if said["waited"] > PATIENCE:
        return f"it went on for {said['waited']:.1f} s"
    if said["how"] == "KeyboardInterrupt":
        early = not watched and said["seconds"] <= SLOW * said["first_step"] + SOMETHING
        return "" if early or not said["keeps"] else f"no result {said['seconds']:.2f} s after the start"
    if said["how"] != "result":
        return said["how"]
    if INTERRUPTED not in said["status"]:
        return f"the status is {said['status']}"
    return "" if said["finite"] else "the best iterate is not finite"


def column(names: list[str], n: int, seed: int) -> list[str]:
    """All faults of the solvers of a column, in one process."""
    import numpy as np

    rng, child, faults = np.random.default_rng(seed), Child(), []
    if child.hear("ready")["event"] != "ready":
        return [f"{names[0]}: the process did not start: {child.end()}"]
    for name in names:
        results, raised, longest = 0, 0, 0.0
        for k in range(n):
            wrong, said = attempt(child, name, k % 2 == 0 and watched(name), float(rng.uniform(0, LATEST)))
            if wrong:
                faults.append(f"{name}, signal {k}: {wrong}")
            if said["event"] in {"gone", "silent"}:
                faults.append(f"{name}: {child.end()}")
                child = Child()
                continue
            results += said.get("how") == "result"
            raised += said.get("how") == "KeyboardInterrupt"
            longest = max(longest, said.get("waited", 0.0))
        print(f"{name:45} {n:4} {results:4} {raised:4} {longest:6.2f} s", flush=True)
    code, printed = child.end()
    if code:
        faults.append(f"{names[0]} and others: the process ended with {code}\n{printed}")
    if "ignored" in printed or "Traceback" in printed:
        faults.append(f"{names[0]} and others: printed\n{printed}")
    return faults


def watched(name: str) -> bool:
    from lasting import LASTING

    return LASTING[name].watched


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=20, help="signals for each solver")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help="how the names begin; all by default")
    settings = parser.parse_args()
    if settings.child:
        solve_for_ever()
        return 0
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]
    from lasting import LASTING

    columns: dict[str, list[str]] = {}
    for name in LASTING:
        if not settings.names or name.startswith(tuple(settings.names)):
            columns.setdefault(name.partition(".")[0], []).append(name)
    print(f"{'solver':43} signals results raised longest wait")
    faults = [f for names in columns.values() for f in column(names, settings.n, settings.seed)]
    print("\n".join(faults))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
