"""Memory does not grow over many solves: of some here, of all by ``python tests/conduct/memory.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "memory.py"


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process")
@pytest.mark.parametrize(
    ("n", "names"),
    [
        pytest.param(1000, ["linear.cg", "linear.solve_poisson", "special.log_iv", "cut.linear"], id="some"),
    ],
)
def test_solves_leave_nothing_behind(n, names):
    done = subprocess.run(
        [sys.executable, SCRIPT, "-n", str(n), *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) > 5
