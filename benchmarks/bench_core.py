"""The ground: what a monitored step costs, and what an import does."""

import numpy as np

from numsolve._core.monitor import Monitor
from numsolve._core.result import Result

STEPS = 10_000


class MonitoredSteps:
    """Microseconds that `Monitor` adds to one iteration; 2 is the most it may."""

    params = ["reference", "copy"]
    param_names = ("keep",)
    unit = "us"

    def track_step(self, keep):
        import time

        x, best = np.zeros(100), float("inf")
        for _ in range(7):
            start = time.perf_counter()
            with Monitor(atol=1e-300, maxiter=STEPS, keep=keep) as it:
                it.record(1.0, x)
                for k in it:
                    it.record(1.0 / (k + 1), x)
            best = min(best, time.perf_counter() - start)
        return best / STEPS * 1e6


class Results:
    def setup(self):
        self.result = Result(x=np.zeros(1_000_000))

    def time_repr(self):
        repr(self.result)


def timeraw_import():
    return "import numsolve"


def timeraw_import_numpy():
    """The yardstick for the one above."""
    return "import numpy"
