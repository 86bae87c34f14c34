"""Record the times that pictures of the gallery need: ``python docs/benchmarks/gallery/record.py``.

Pages of the gallery draw steps, not seconds, wherever they can: seconds differ from build to build. Where a
page is about seconds, they are measured here, once, and kept as JSON beside this file.
"""

from __future__ import annotations

import json
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
import scipy

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[2] / "examples"


def tune_ilu() -> None:
    """Every drop tolerance on every system of ``plot_tune_ilu``: processor time, the least of three."""
    source = (
        (EXAMPLES / "linear" / "plot_tune_ilu.py").read_text().partition("solver = ")[0]
    )
    page = {"__file__": str(EXAMPLES / "linear" / "plot_tune_ilu.py")}
    exec(
        compile(source, "plot_tune_ilu", "exec"), page
    )  # up to the first use of the tuner
    table = []
    for A, B in page["systems"]:
        row = []
        for arm in page["arms"]:
            seconds = []
            for _ in range(3):
                start = time.process_time()
                page["solve"](A, B, None, arm)
                seconds.append(time.process_time() - start)
            row.append(round(1e3 * min(seconds), 3))
        table.append(row)
    write("tune_ilu", {"arms": page["arms"], "milliseconds": table})


def processor() -> str:
    """The processor's name, as Linux knows it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write(name: str, record: dict) -> None:
    """One file, with what it was measured on."""
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "versions": {"numpy": np.__version__, "scipy": scipy.__version__},
    }
    text = json.dumps(about | record, default=float).replace("], [", "],\n[")
    (HERE / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    mpl.use("Agg")
    tune_ilu()
