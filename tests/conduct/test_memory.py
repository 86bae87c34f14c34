"""Memory does not grow over many solves: of some here, of all by ``python tests/conduct/memory.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "memory.py"


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process")
def test_solves_leave_nothing_behind():
    names = ["linear.cg", "linear.solve_poisson", "special.log_iv", "cut.linear"]
    done = subprocess.run(
        [sys.executable, SCRIPT, "-n", "1000", *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) > 5
