import os
import subprocess
import sys
from pathlib import Path

import pytest

from numsolve import _warm

ROOT = Path(_warm.__file__).parent

NAMES = ["numsolve", "python", "platform", "processor", "packages", "optional", "threads", "jax", "gpu"]


def report(*, without=(), tmp_path, **environment):
    """The report of a fresh process in which the packages of ``without`` cannot be imported."""
    for package in without:
        (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError('not there', name={package!r})")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "numsolve"],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert run.stderr == ""
    return {line[:10].strip(): line[11:] for line in run.stdout.splitlines()}


def test_report_has_its_ten_lines(tmp_path):
    lines = report(tmp_path=tmp_path)
    assert list(lines) == NAMES
    assert all(lines.values())
    for package in ("numpy", "scipy", "numba"):
        assert package in lines["packages"]


def test_report_counts_threads(tmp_path):
    lines = report(tmp_path=tmp_path, NUMBA_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    assert lines["threads"].startswith("Numba 1, BLAS ")


def test_report_needs_no_optional_package(tmp_path):
    lines = report(without=["jax", "cupy", "threadpoolctl", "matplotlib"], tmp_path=tmp_path)
    assert lines["jax"] == "not installed"
    assert lines["gpu"] == "CuPy is not installed"
    assert lines["threads"].endswith("(install threadpoolctl)")


def test_report_says_that_cupy_has_no_driver(tmp_path):
    (tmp_path / "cupy.py").write_text(
        "class _Runtime:\n"
        "    def getDeviceCount(self):\n"
        "        raise RuntimeError('cudaErrorInsufficientDriver')\n"
        "class cuda:\n"
        "    runtime = _Runtime()\n"
    )
    lines = report(tmp_path=tmp_path)
    assert "no usable device (cudaErrorInsufficientDriver)" in lines["gpu"]


def warm(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "numsolve", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_every_column_with_kernels_can_be_warmed():
    columns = {path.parent.name for path in ROOT.glob("*/_cpu*.py")}
    assert set(_warm.areas()) >= columns


@pytest.mark.parametrize("area", _warm.areas())
def test_every_public_solver_is_warmed(area):
    """Each solver of the column's contract of conduct is called: the names in CALLS begin with it."""
    calls = _warm.calls_of(area)
    assert calls
    assert all(callable(call) for call in calls.values())


def test_an_unknown_area_is_answered_with_the_known_ones():
    run = warm("warm", "quantum")
    assert run.returncode == 2
    assert "no area is called quantum; there are" in run.stderr
    assert "at least 1" in warm("warm", "--jobs", "0").stderr


def test_unknown_commands_and_help():
    assert (warm("heat").returncode, warm("--help").returncode) == (2, 0)
    assert "numsolve warm" in warm("--help").stdout


@pytest.mark.slow
def test_after_warming_nothing_is_left_to_compile(tmp_path):
    """In a cache of its own: the second time every kernel is found."""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    run = warm("warm", "linear", **cache)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("linear: compiled in")
    code = (
        "from numba.core import event; from numsolve import _warm\n"
        "with event.install_recorder('numba:compile') as recorder:\n"
        "    [call() for call in _warm.calls_of('linear').values()]\n"
        "print(len(recorder.buffer))"
    )
    again = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **cache},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.strip() == "0"
