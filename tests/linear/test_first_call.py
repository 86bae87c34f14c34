"""What the first call on a machine compiles: the number of compilations, which no other load changes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from numba.core import event
from numsolve.linear._warm import CALLS

compiled = []

class Listener(event.Listener):
    def on_start(self, e):
        compiled.append(e.data["dispatcher"].py_func.__module__)
    def on_end(self, e):
        pass

event.register("numba:compile", Listener())
CALLS[sys.argv[1]]()
own = sum(name.startswith("numsolve") for name in compiled)
print(own, len(compiled) - own)
"""


CYCLE = """
from numsolve import linear
flags = np.zeros((40, 40), dtype=int)
flags[0], flags[1::3, ::3] = 2, 1
M = linear.poisson_multigrid(flags)
linear.solve_poisson(M, np.ones((40, 40)))
compiled.clear()
M @ np.ones(M.shape[0])
print(len(compiled))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kernels"),
    [("ssor_cg", 11), ("cg", 4), ("sor", 8), ("sweep", 8), ("TsallisINF", 1), ("ChebCB", 3), ("SmoothCB", 6)],
)
def test_a_first_call_compiles_its_own_kernels_and_nothing_of_numba(name, kernels, tmp_path):
    """Slice assignments, allocations, sorts and `max` would each bring some of Numba's own functions."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT, name], env=environment, capture_output=True, text=True, check=True
    )
    own, others = map(int, out.stdout.split())
    assert others == 0
    assert own <= kernels


@pytest.mark.slow
def test_a_cycle_by_itself_compiles_nothing_after_a_solve(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    script = "import numpy as np" + SCRIPT[: SCRIPT.index("CALLS[")] + CYCLE
    out = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert int(out.stdout) == 0
