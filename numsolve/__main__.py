"""``python -m numsolve``: the versions, threads and devices that a bug report needs.

``python -m numsolve warm [AREA ...]`` compiles the kernels ahead of their first call.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import __version__

OPTIONAL = (
    *("matplotlib", "jax", "jaxopt", "optax", "cupy-cuda13x", "cupy-cuda12x"),
    *("dask", "mpi4py", "threadpoolctl"),
)


def _versions(*packages: str) -> str:
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found) or "none"


def _processor() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {usable} cores usable"


def _threads() -> str:
    numba = importlib.import_module("numba")
    importlib.import_module("scipy.linalg")  # loads the BLAS that is asked below

    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        blas = "BLAS unknown (install threadpoolctl)"
    else:
        pools = {
            f"{p['internal_api']} {p['num_threads']}" for p in threadpool_info() if p["user_api"] == "blas"
        }
        blas = "BLAS " + (", ".join(sorted(pools)) or "unknown")
    return f"Numba {numba.config.NUMBA_NUM_THREADS}, {blas}"


def _jax() -> str:
    try:
        jax = importlib.import_module("jax")
        return ", ".join(str(device) for device in jax.devices())
    except ImportError:
        return "not installed"
    except Exception as error:  # a broken device plug-in must not hide the rest of the report
        return f"not usable: {error}"


def _gpu() -> str:
    try:
        runtime = importlib.import_module("cupy").cuda.runtime
        count = runtime.getDeviceCount()
        names = [runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]
        return f"{', '.join(names)} (CUDA {runtime.runtimeGetVersion()})" if names else "none"
    except ImportError as error:
        return "CuPy is not installed" if error.name == "cupy" else f"CuPy does not load: {error}"
    except Exception as error:  # CuPy without a driver, or with one too old
        return f"CuPy is installed, but finds no usable device ({error})"


def main() -> None:
    """Do what the arguments say: by default, print the report."""
    if len(sys.argv) < 2:
        return report()
    if sys.argv[1] == "warm":
        from ._warm import main as warm

        sys.exit(warm(sys.argv[2:]))
    asked_for_help = sys.argv[1] in {"-h", "--help"}
    print(__doc__, file=sys.stdout if asked_for_help else sys.stderr)
    sys.exit(0 if asked_for_help else 2)


def report() -> None:
    """Print the report."""
    warnings.simplefilter("ignore")
    report = {
        "numsolve": f"{__version__} in {Path(__file__).parent}",
        "python": f"{platform.python_version()} {platform.python_implementation()} in {sys.prefix}",
        "platform": platform.platform(),
        "processor": _processor(),
        "packages": _versions("numpy", "scipy", "numba", "llvmlite", "array-api-compat"),
        "optional": _versions(*OPTIONAL),
        "threads": _threads(),
        "jax": _jax(),
        "gpu": _gpu(),
    }
    for name, text in report.items():
        print(f"{name:<10} {text}")


if __name__ == "__main__":
    main()
