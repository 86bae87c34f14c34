"""Optional packages: the hint when one is missing, and nothing hidden when one is broken."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from numsolve._core import extras


def test_an_installed_package_is_imported():
    assert extras.require("xml.dom", "reading") is sys.modules["xml.dom"]


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("matplotlib.pyplot", 'pip install "numsolve[plot]"'),
        ("jax", 'pip install "numsolve[jax]"'),
        ("jaxopt", 'pip install "numsolve[jax]"'),
        ("cupyx.scipy.sparse", 'pip install "numsolve[gpu]"'),
        ("dask.array", 'pip install "numsolve[distributed]"'),
        ("sklearn.base", 'pip install "numsolve[sklearn]"'),
        ("no_such_package.part", "pip install no_such_package"),
    ],
)
def test_a_missing_package_gives_the_command_that_installs_it(module, command, monkeypatch):
    package = module.partition(".")[0]
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # Python's own way of saying that it is not there
    with pytest.raises(ModuleNotFoundError) as caught:
        extras.require(module, "drawing a plan")
    text = str(caught.value)
    assert text.startswith(f"drawing a plan needs the package {package}, which is not installed")
    assert text.endswith(command)
    assert caught.value.name == package


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("import no_such_dependency\n", "no_such_dependency"),
        ("import {name}.lost_part\n", "lost_part"),
    ],
)
def test_a_broken_package_is_not_called_missing(tmp_path, monkeypatch, source, missing):
    name = f"broken_{tmp_path.name}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(source.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=missing) as caught:
        extras.require(name, "anything")
    assert "pip install" not in str(caught.value)
    assert extras.installed(name)


def test_a_part_that_an_installed_package_lacks_is_not_called_missing():
    with pytest.raises(ModuleNotFoundError, match="no_such_part") as caught:
        extras.require("numpy.no_such_part", "anything")
    assert "pip install" not in str(caught.value)


def test_other_import_errors_pass(tmp_path, monkeypatch):
    (tmp_path / "needs_a_driver.py").write_text("raise ImportError('libcuda.so not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"libcuda\.so"):
        extras.require("needs_a_driver", "anything")


def test_installed_looks_without_importing(tmp_path, monkeypatch):
    (tmp_path / "never_imported.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert extras.installed("never_imported")
    assert extras.installed("numpy.linalg")
    assert not extras.installed("no_such_package.part")
    assert "never_imported" not in sys.modules


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for package, extra in extras.EXTRAS.items():
        wheels = " ".join(project["optional-dependencies"][extra])
        assert {"cupyx": "cupy", "sklearn": "scikit-learn"}.get(package, package) in wheels


def test_importing_jaxopt_is_silent():
    pytest.importorskip("jax")
    if not extras.installed("jaxopt"):
        pytest.skip("jaxopt is not installed")
    code = (
        "import warnings\n"
        "from numsolve._core.extras import require\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    require('jaxopt', 'from_jaxopt')\n"
        "print([str(w.message) for w in seen if 'JAXopt' in str(w.message)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "JAXopt" not in done.stderr
