"""Real executors of other packages, each in a process of its own (``on_executor.py``)."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: What each needs; MPI's launcher comes with the wheel of an MPI library, or from the system.
NEEDS = {"processes": "concurrent", "dask": "distributed", "ray": "ray", "mpi": "mpi4py"}


def launcher() -> str | None:
    """The mpiexec beside this Python, which the wheel of MPICH brings, or that of the system."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def run(name: str) -> dict:
    command = [sys.executable]
    if name == "mpi":
        command = [launcher(), "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, str(HERE / "on_executor.py"), name],
        env={**os.environ, "PYTHONPATH": paths, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"},
        capture_output=True, text=True, timeout=240, start_new_session=True, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout + done.stderr
    return {**json.loads(lines[0][6:]), "shown": done.stderr}


@pytest.mark.parametrize("name", NEEDS)
def test_an_executor_keeps_all_promises(name):
    """The same answers; failures, time limit, Ctrl-C and a killed worker lose nothing that is done."""
    if sys.platform == "win32":
        pytest.skip("signals of POSIX")
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    if name == "mpi" and launcher() is None:
        pytest.skip("there is no mpiexec")
    found = run(name)
    assert found["equal"]
    assert found["draws"] == 3  # of three tasks that are alike
    assert found["solved"]
    assert found["failed"] == [[0, -1, -2, None, -4, -5], ["3"]]
    assert found["limited"][:2] == [0.0, 0.1]
    assert found["limited"][2:] == [None] * 4
    assert "2/6" in found["shown"]  # the progress bar
    if "one killed" in found:
        assert found["one killed"] == [0, -1, -2, -3, -4, -5, -6, -7]
    assert found["interrupted"] == ["done", "done", None, None, None, None, None]
