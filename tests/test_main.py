import os
import subprocess
import sys

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
