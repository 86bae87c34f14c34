"""Ctrl-C from outside ends every long solve; more often by ``python tests/conduct/interrupts.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from solvers import COLUMNS

SCRIPT = Path(__file__).parent / "interrupts.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be sent SIGINT alone")
@pytest.mark.parametrize("area", COLUMNS)
def test_ctrl_c_from_outside_ends_every_long_solve(area):
    done = subprocess.run(
        [sys.executable, SCRIPT, "-n", "2", f"{area}."], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "special" in area or len(done.stdout.splitlines()) > 2
