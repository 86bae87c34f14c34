"""The documentation builds from its own extra, and its source keeps a few rules (and the checks can fail)."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: distributions whose modules have another name; what Sphinx itself is made of comes with it
DISTRIBUTION = {"sklearn": "scikit-learn", "PIL": "pillow", "docutils": "sphinx", "ot": "pot"}


def distributions(extra: str) -> set[str]:
    """What ``pip install numsolve[extra]`` names, the extras that it includes too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found, waiting = set(), [*project["dependencies"], f"numsolve[{extra}]"]
    while waiting:
        requirement = waiting.pop()
        if inner := re.match(r"numsolve\[(.*)\]", requirement):
            for name in inner[1].split(","):
                waiting += project["optional-dependencies"][name.strip()]
        else:
            found.add(re.match(r"[\w.-]+", requirement)[0].lower())
    return found


def imported(source: str) -> set[str]:
    """Packages that a script imports, in functions and under conditions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in (
            "require",
            "import_module",
        ):
            names |= {
                arg.value
                for arg in node.args[:1]
                if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            }
    return {name.partition(".")[0] for name in names}


def configured(source: str) -> set[str]:
    """Packages that the settings of Sphinx name as extensions or as the theme."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("extensions", "html_theme"):
            value = ast.literal_eval(node.value)
            names |= {value} if isinstance(value, str) else set(value)
    return {name.partition(".")[0] for name in names}


def foreign(names: set[str]) -> set[str]:
    """The distributions behind the names, without the standard library and what is ours."""
    ours = {"numsolve", *(path.stem for path in (ROOT / "docs" / "_ext").glob("*.py"))}
    return {
        DISTRIBUTION.get(name, name).replace("_", "-") for name in names - ours - set(sys.stdlib_module_names)
    }


SCRIPTS = [*sorted((ROOT / "examples").rglob("*.py")), *sorted((ROOT / "docs").glob("*.py"))]
SCRIPTS += sorted((ROOT / "docs" / "_ext").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_the_documentation_imports_is_in_its_extra(script):
    source = script.read_text()
    assert foreign(imported(source) | configured(source)) <= distributions("docs")


def test_the_settings_name_their_packages():
    found = foreign(configured((ROOT / "docs" / "conf.py").read_text()))
    assert {"sphinx", "sphinx-gallery", "pydata-sphinx-theme", "myst-parser"} <= found


def test_the_check_of_the_extra_sees_every_kind_of_import():
    script = "import os\ndef f():\n    from sklearn.svm import SVC\nif f:\n    import a.b\n"
    script += "jaxopt = require('jaxopt', 'x')"
    assert foreign(imported(script)) == {"scikit-learn", "a", "jaxopt"}
    assert not foreign(imported(script)) <= distributions("docs")
