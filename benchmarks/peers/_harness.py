"""Side by side with the peers: the same work, the same process, in turns.

A script in this folder is a list of cases and one call of `main`::

    from _harness import Case, Peer, main


    def cases(quick):
        import ot

        from numsolve import transport

        n = 100 if quick else 500
        M, a, b = transport.problems.random_assignment(n, rng=0)

        def error(plan):  # one independent measure, applied to both sides
            return abs(plan.sum(1) - a).sum() + abs(plan.sum(0) - b).sum()

        yield Case(
            f"random assignment, n = {n}",
            ours=lambda: transport.solve(M, reg=1 / 1200).plan,
            peers=[Peer("pot", lambda: ot.sinkhorn(a, b, M, 1 / 1200), name="POT sinkhorn")],
            metric="time to 1e-9 marginal error",
            error=error,
            tol=1e-9,
            note="set-up included",
        )


    if __name__ == "__main__":
        main(cases)

``python benchmarks/peers/<area>.py [--quick] [--json FILE] [--threads N]`` then prints a table and, with
``--json``, writes it. What a script can rely on:

- Threads (one, unless told otherwise) are fixed for BLAS, OpenMP, Numba and XLA before NumPy is loaded:
  `main` starts the script again in the right environment, on as many cores as it has threads. So peers may
  be imported at the top of the script or in ``cases``.
- ``cases(quick)`` yields `Case` objects one by one, so only one case's data need be in memory.
- Each side runs once before it is timed. That first call is reported as a row of its own with the metric
  "first call": it holds the compilation, as far as Numba's cache does not spare it. For a cold start
  make a case of `in_fresh_process`.
- Then ours and each peer take turns, until ``repeats`` rounds are done or ``budget`` seconds are spent, but
  at least one round. Medians are reported. The garbage collector rests meanwhile. With ``repeats=0`` the
  first call itself is the measure, for work that takes minutes; compile what is compiled before.
- ``error(result)`` measures each side's last result, outside the clock. A side that misses ``tol`` is marked
  in the note: then a ratio in our favour is a lower bound, and a row in which we miss it makes the script
  exit with status 1.
- A peer that raises becomes a row without a value, and its note says what it raised. Warnings are hidden.
- Counts, bytes or seconds measured elsewhere: ``value=`` turns a result into the number to compare, in place
  of the time.
- ``ratio`` = peer / numsolve: how many times better numsolve is; everything measured is better when smaller.
- Cases that differ in the size of the problem only have a ``size`` and one name of their ``series``: the
  documentation then draws time against size. (It reads them from names such as "Poisson, 40 x 40", too.)
- With ``--json FILE --resume`` finished cases are kept beside FILE until all are; a second run measures the
  others only. Cases are told apart by their place and name.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

Measure = Callable[[Any], float]


@dataclass
class Peer:
    """Another package's way to do the work of a case."""

    package: str  # the name it is installed under; its version goes into the table
    run: Callable[[], Any]
    name: str = ""  # what the table calls it, if not by its package: "POT sinkhorn_log"
    error: Measure | None = None  # in place of the case's, where its result has another form
    value: Measure | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """Name and version: "POT 0.9.7 sinkhorn"."""
        first, _, rest = (self.name or self.package).partition(" ")
        return f"{first} {version(self.package)} {rest}".rstrip()


@dataclass
class Case:
    """One problem, solved by numsolve and by its peers."""

    name: str
    ours: Callable[[], Any]
    peers: Sequence[Peer]
    metric: str = "time"
    unit: str = "s"
    error: Measure | None = None
    tol: float = math.inf
    value: Measure | None = None
    repeats: int = 7
    budget: float = 60.0
    first_call: bool = True
    note: str = ""
    size: float | None = None
    series: str = ""


@dataclass
class _Side:
    run: Callable[[], Any]
    error: Measure | None
    value: Measure | None
    may_fail: bool = True
    result: Any = None
    failure: str = ""

    def __post_init__(self) -> None:
        self.values: list[float] = []
        self.first = self._once()

    def _once(self) -> float:
        if self.failure:
            return math.nan
        gc.collect()
        gc.disable()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                start = time.perf_counter()
                self.result = self.run()
                return time.perf_counter() - start
        except Exception as error:  # a peer that fails is a result
            if not self.may_fail:
                raise
            self.failure = f"{type(error).__name__}: {error}".splitlines()[0]
            return math.nan
        finally:
            gc.enable()

    def turn(self) -> None:
        self.count(self._once())

    def count(self, seconds: float) -> None:
        self.values.append(self.value(self.result) if self.value and not self.failure else seconds)

    def summary(self) -> tuple[float, float]:
        error = self.error(self.result) if self.error and not self.failure else math.nan
        return (math.nan if self.failure else median(self.values)), float(error)


def version(package: str) -> str:
    """The installed version, or "?"; numsolve may also run from its sources."""
    if package == "numsolve":
        from numsolve import __version__

        return __version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def measure(case: Case) -> list[dict[str, Any]]:
    """The rows of one case."""
    ours = _Side(case.ours, case.error, case.value, may_fail=False)
    sides = [_Side(peer.run, peer.error or case.error, peer.value or case.value) for peer in case.peers]
    start = time.perf_counter()
    for _ in range(case.repeats):
        for side in (ours, *sides):
            side.turn()
        if time.perf_counter() - start > case.budget:
            break
    if case.repeats == 0:
        for side in (ours, *sides):
            side.count(side.first)

    rows = []
    our_value, our_error = ours.summary()
    for peer, side in zip(case.peers, sides, strict=True):
        value, error = side.summary()
        notes = [case.note, peer.note]
        if side.failure:
            notes.append(f"peer raised {side.failure}")
        elif side.error and not error <= case.tol:  # nan misses too
            notes.append("peer missed the tolerance")
        if ours.error and not our_error <= case.tol:
            notes.append("numsolve missed the tolerance")
        row = {"case": case.name, "peer": peer.label, "metric": case.metric, "unit": case.unit}
        if case.size is not None:
            row |= {"size": case.size, "series": case.series or case.metric}
        note = "; ".join(filter(None, notes))
        rows.append(row | _values(value, our_value) | _errors(error, our_error) | {"note": note})
        if case.first_call and not side.failure:
            first = _values(side.first, ours.first) | _errors(math.nan, math.nan)
            rows.append(row | {"metric": "first call", "unit": "s"} | first | {"note": ""})
    return rows


def _values(peer: float, ours: float) -> dict[str, float | None]:
    # A loss may be negative; then nothing is so many times better.
    ratio = peer / ours if ours > 0 and peer > 0 else math.nan
    values = {"peer_value": peer, "numsolve_value": ours, "ratio": ratio}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _errors(peer: float, ours: float) -> dict[str, float | None]:
    errors = {"peer_error": peer, "numsolve_error": ours}
    return {name: value if math.isfinite(value) else None for name, value in errors.items()}


def in_fresh_process(code: str) -> float:
    """Seconds that ``code`` takes in a new interpreter with an empty Numba cache, its start included."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        start = time.perf_counter()
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True)
        return time.perf_counter() - start


def table(rows: Iterable[dict[str, Any]]) -> str:
    """The rows as text."""

    def number(value: float | None, form: str = ".3g") -> str:
        return "-" if value is None else format(value, form)

    heads = [
        "case",
        "peer",
        "metric",
        "unit",
        "peer's",
        "numsolve",
        "ratio",
        "peer's error",
        "our error",
        "note",
    ]
    lines = [heads]
    for row in rows:
        texts = [row["case"], row["peer"], row["metric"], row["unit"]]
        texts += [number(row[key]) for key in ("peer_value", "numsolve_value", "ratio")]
        texts += [number(row[key], ".1e") for key in ("peer_error", "numsolve_error")]
        lines.append([*texts, row["note"]])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def header(packages: Iterable[str], threads: int, *, quick: bool) -> dict[str, Any]:
    """What a reader has to know about where the numbers come from."""
    from numsolve import __version__

    names = ["numpy", "scipy", "numba", *packages]
    return {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "versions": {"numsolve": __version__} | {name: version(name) for name in dict.fromkeys(names)},
        "processor": _processor(),
        "threads": threads,
        "quick": quick,
    }


def fix_threads(threads: int, cores: int | None = None) -> None:
    """Start the script again if the numerical libraries were loaded with another number of threads.

    It gets as many cores as threads, if no other number is named.
    """
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    wanted = {f"{name}_NUM_THREADS": str(threads) for name in names}
    wanted["XLA_FLAGS"] = (
        f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} "
        f"intra_op_parallelism_threads={threads}"
    )
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        if hasattr(os, "sched_setaffinity"):  # the only limit that XLA and some C++ peers respect
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-(cores or threads) :])
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})


def _read(kept: Path) -> dict[tuple[int, str], list[dict[str, Any]]]:
    """The finished cases of an ended run; its last line may be half of one."""
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for line in kept.read_text().splitlines() if kept.exists() else ():
        try:
            place, name, rows = json.loads(line)
        except ValueError:
            continue
        found[place, name] = rows
    return found


def main(
    cases: Callable[[bool], Iterable[Case]],
    argv: Sequence[str] | None = None,
    more: dict[str, str] | None = None,
) -> None:
    """Parse the command line, measure the cases, print the table, write the JSON file, `more` at its head."""
    parser = argparse.ArgumentParser(description="numsolve and its peers on the same work, side by side")
    parser.add_argument("--quick", action="store_true", help="small sizes and three rounds: within a minute")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the rows to this file")
    parser.add_argument("--resume", action="store_true", help="go on where a run with this FILE was ended")
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="threads of every library (1)")
    options = parser.parse_args(argv)
    if options.resume and not options.json:
        parser.error("--resume needs --json FILE")
    if options.threads < 1:
        parser.error("--threads must be at least 1")
    if argv is None:
        fix_threads(options.threads)

    rows: list[dict[str, Any]] = []
    packages: list[str] = []
    kept = options.json.with_suffix(".cases") if options.resume else None
    known = _read(kept) if kept else {}
    for place, case in enumerate(cases(options.quick)):
        if options.quick:
            case.repeats, case.budget = min(case.repeats, 3), min(case.budget, 5.0)
        finished = known.get((place, case.name))
        print(f"... {case.name}{' (kept)' if finished else ''}", file=sys.stderr, flush=True)
        new = measure(case) if finished is None else finished
        rows += new
        packages += [peer.package for peer in case.peers]
        if kept and finished is None:
            with kept.open("a") as file:
                file.write("\n" + json.dumps([place, case.name, new]))  # what stood half written ends here
    about = header(packages, options.threads, quick=options.quick) | (more or {})
    print(f"{about['processor']}, {options.threads} thread(s), Python {about['python']}, {about['date']}")
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(about | {"rows": rows}, indent=1, allow_nan=False) + "\n")
        if kept:
            kept.unlink(missing_ok=True)
    if any("numsolve missed" in row["note"] for row in rows):
        sys.exit(1)
