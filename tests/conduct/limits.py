"""Whether time limits are kept: ``python tests/conduct/limits.py [names that begin so]``.

Each solver that takes a `time_limit` gets one of 0.2 and one of 1 second on a problem of minutes
(``lasting.py``), with one thread. The clock of the package counts processor seconds here, so that other work
on the machine does not matter. What a solve took may be a fifth more than the limit, or a tenth of a second;
what was compiled before does not count.

Prints a row for each solver: seconds for each limit, and how the run ended; ends with 1 where it took more.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # and not where pytest looks for docstrings
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    os.environ["NUMSOLVE_QUIET"] = "1"
    time.perf_counter = time.process_time
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

import numpy as np  # noqa: E402
from lasting import LASTING  # noqa: E402

LIMITS = (0.2, 1.0)
TRIES = 3  #: a fault is there each time; what a busy machine adds is not


def spent(run: Any, limit: float) -> tuple[float, Any]:
    """Processor seconds of a run, the least of some, and how the last one ended."""
    least = float("inf")
    for _ in range(TRIES):
        began = time.process_time()
        result = run(time_limit=limit)
        least = min(least, time.process_time() - began)
        if least <= allowed(limit):
            break
    return least, result


def allowed(limit: float) -> float:
    return limit + max(0.2 * limit, 0.1)


def how(result: Any) -> str:
    parts = [r for r in result if r is not None] if isinstance(result, list) else [result]
    if parts and not hasattr(parts[0], "status"):
        return type(result).__name__
    ends = sorted({int(s) for r in parts for s in np.ravel(r.status)})
    return ", ".join(map(str, ends)) + (" and None" if isinstance(result, list) else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="how the names begin; all by default")
    names = tuple(parser.parse_args().names)
    warnings.simplefilter("ignore")
    late = []
    for name, solve in LASTING.items():
        if not solve.limited or (names and not name.startswith(names)):
            continue
        solve.run(time_limit=0.05)  # compiled
        took, ends = zip(*(spent(solve.run, limit) for limit in LIMITS), strict=True)
        bad = any(t > allowed(limit) for t, limit in zip(took, LIMITS, strict=True))
        row = " ".join(f"{t:7.2f}" for t in took)
        print(f"{name:45} {row}   {how(ends[-1])}{'  late' if bad else ''}", flush=True)
        late += [name] * bad
    return bool(late)


if __name__ == "__main__":
    sys.exit(main())
