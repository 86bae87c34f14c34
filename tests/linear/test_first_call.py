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
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from numsolve import linear

def versions():
    modules = [vars(m) for name, m in sys.modules.items() if name.startswith("numsolve.linear")]
    return sum(len(f.overloads) for m in modules for f in m.values() if isinstance(f, Dispatcher))

flags = np.zeros((40, 40), dtype=int)
flags[0], flags[1::3, ::3] = 2, 1
M = linear.poisson_multigrid(flags)
linear.solve_poisson(M, np.ones((40, 40)))
before = versions()
M @ np.ones(M.shape[0])
print(before, versions())
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


def test_a_cycle_by_itself_needs_no_kernel_that_a_solve_has_not_compiled():
    out = subprocess.run([sys.executable, "-c", CYCLE], capture_output=True, text=True, check=True)
    before, after = map(int, out.stdout.split())
    assert after == before > 0
