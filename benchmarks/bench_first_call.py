"""The first call of each column's solver, in processor seconds: nothing compiled, and all in the cache."""

import os
import subprocess
import sys
import tempfile

from numsolve import _warm

#: One call a column stands for the others; all of them take minutes of compilation.
FLAGSHIPS = {
    "atomic": "AtomDFT",
    "fractional": "solve_riesz_bvp",
    "linear": "ssor_cg",
    "monotone": "solve_lp",
    "sketch": "lstsq",
    "special": "log_iv",
    "transport": "solve",
}


def _seconds(area, cache):
    name = FLAGSHIPS[area]
    assert name in _warm.calls_of(area)
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "NUMSOLVE_QUIET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "numsolve._warm", area, name]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


class FirstCall:
    """In a new process each time; the import of numsolve, Numba and SciPy is not in the seconds."""

    params = (sorted(FLAGSHIPS),)
    param_names = ("area",)
    timeout = 600
    unit = "processor seconds"

    def setup_cache(self):
        """Both figures of each column, from one cold and one warm process."""
        out = {}
        for area in FLAGSHIPS:
            with tempfile.TemporaryDirectory() as cache:
                out[area] = (_seconds(area, cache), _seconds(area, cache))
        return out

    setup_cache.timeout = 600

    def track_with_nothing_compiled(self, figures, area):
        return figures[area][0]

    def track_from_the_cache(self, figures, area):
        return figures[area][1]
