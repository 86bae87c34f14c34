"""A tour of numsolve: ``python tour``.

Every area solves a problem on real data. What was solved, how accurately, and how fast beside the usual
tool stands on one page that needs no network.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import page
from guide import Lines, Tour
from stop import AREAS


def main(arguments: list[str] | None = None) -> int:
    """Visit the stops, write the page, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python tour", description=__doc__)
    parser.add_argument(
        "--columns",
        nargs="+",
        choices=AREAS,
        default=list(AREAS),
        help="areas to visit",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("tour.html"),
        help="the page (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=2,
        help="processes that solve side by side (default: 2)",
    )
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {options.jobs}")
    if not options.out.resolve().parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.resolve().parent}")
    began = time.perf_counter()
    lines = Lines(options.columns)
    tour = Tour(options.columns, lines.show, options.jobs)
    try:
        tour.run()
    finally:
        lines.close()
    seconds = time.perf_counter() - began
    visits = [tour.visits[area] for area in options.columns]
    page.write(options.out, visits, seconds, "Interrupted." if tour.interrupted else "")
    failed = [v.area for v in visits if v.trouble]
    print(
        f"{len(visits) - len(failed)} of {len(visits)} stops in {seconds:.0f} s: {options.out.resolve()}"
    )
    if failed:
        print(f"not as it should be: {', '.join(failed)}", file=sys.stderr)
    return 130 if tour.interrupted else min(len(failed), 1)


if __name__ == "__main__":
    sys.exit(main())
