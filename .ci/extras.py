"""Install extras of numsolve, each by itself in an environment of its own, and use what each promises.

python .ci/extras.py [--resolve] [EXTRA ...]

All extras by default. ``--resolve`` installs nothing and only checks that wheels of all packages exist, for
what is too large to fetch each time. Uses uv where it is installed (some ten times faster), else pip.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

IMPLICIT = """
import jax, optax
from numsolve import implicit
root = implicit.custom_root(lambda x, theta: x**2 - theta)(lambda x0, theta: theta**0.5)
assert abs(jax.grad(root, argnums=1)(1.0, 4.0) - 0.25) < 1e-6
"""
PLOT = """
import numpy as np
from numsolve import monotone
assert monotone.halpern(lambda x: x, np.ones(2), L=1.0, tol=0.1).plot().lines
"""
DASK = """
import dask.array, mpi4py
from distributed import Client
if __name__ == "__main__":
    with Client(processes=False, n_workers=1, dashboard_address=None) as client:
        assert list(client.get_executor().map(abs, [-1, 2])) == [1, 2]
"""
VERTEX = """
from numsolve import monotone
assert "vertex" in monotone.solve_lp([1.0, 1.0], [[1.0, 1.0]], 1.0, lx=0.0, polish="basic").message
"""
ESTIMATOR = """
import numpy as np
from numsolve import special
assert special.VMFMixture(2, rng=0).fit(np.eye(3)[[0, 0, 1, 1]]).result_.success
"""
#: what each extra is for, in a few lines that a user could write
PROMISES = {
    "plot": PLOT,
    "jax": IMPLICIT + "import jaxopt\n",
    "gpu": "import cupy\n",
    "gpu-cuda12": "import cupy\n",
    "cuda-check": """
from cupy.cuda import compiler
source = 'extern "C" __global__ void f(double *x) { x[0] = 1.0; }'
assert compiler.compile_using_nvrtc(source, ("--gpu-architecture=compute_80",))
""",
    "highs": VERTEX,
    "distributed": DASK,
    "sklearn": ESTIMATOR,
    "quickstart": PLOT + "import sklearn.datasets, PIL.Image, ot, mpmath, pyscf\n",
    "examples": PLOT + "import pyamg, ortools.linear_solver, sklearn.datasets\n",
    "test": "import pytest, pytest_timeout, xdist, hypothesis, array_api_strict, sybil, mpmath, ot, pyscf\n",
    "peers": "import ott, ot\n",
    "docs": PLOT + "import sphinx_gallery, numpydoc, pydata_sphinx_theme, sphinx_copybutton, myst_parser\n",
    "all": PLOT + IMPLICIT + VERTEX + DASK,
}
#: what holds with any extra and with none
ALWAYS = "import numsolve\nfor name in numsolve.__all__: getattr(numsolve, name)\n"


def install(python: Path, extra: str, *, resolve: bool) -> None:
    """Install ``.[extra]`` for an interpreter; with ``resolve``, find out that it could be done."""
    flags = ["--only-binary=:all:", "--no-binary=numsolve", "--dry-run"] if resolve else []
    if importlib.util.find_spec("uv"):
        command = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    else:
        command = ["pip", "--python", str(python), "install", "--quiet", "--no-compile"]
    subprocess.run([sys.executable, "-m", *command, *flags, f"{REPOSITORY}[{extra}]"], check=True)


def check(extra: str, *, resolve: bool) -> None:
    """Install one extra in a fresh environment and run what it promises."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=False)
        python = Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        install(python, extra, resolve=resolve)
        if not resolve:
            script = Path(folder) / "promise.py"
            script.write_text(ALWAYS + PROMISES[extra])
            subprocess.run([python, script.name], check=True, cwd=folder)
            subprocess.run([python, "-m", "numsolve"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    did = "could be installed" if resolve else "does what it promises"
    print(f"{extra}: {did} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = list(project["optional-dependencies"])
    if missing := set(extras) ^ set(PROMISES):
        raise SystemExit(f"not in pyproject.toml, or without a promise here: {sorted(missing)}")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("extra", nargs="*", help="names of extras; all by default")
    parser.add_argument("--resolve", action="store_true", help="install nothing")
    arguments = parser.parse_args()
    if unknown := set(arguments.extra) - set(extras):
        parser.error(f"no such extra: {sorted(unknown)}")
    for extra in arguments.extra or extras:
        check(extra, resolve=arguments.resolve)
