"""The files around the code say the same as pyproject.toml: recipe, workflow, hooks, notes of releases."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from numsolve import __version__

REPOSITORY = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
#: conda calls these packages by other names
CONDA_NAMES = {"lazy-loader": "lazy_loader", "matplotlib": "matplotlib-base", "dask": "dask-core"}


def bounds(requirements: list[str]) -> dict[str, str]:
    """Lower bounds by package, from requirements of pip (``a[b]>=1``) or conda (``a >=1``)."""
    found = {}
    for requirement in requirements:
        if parts := re.match(r"([\w.-]+)(?:\[[\w,-]+\])?\s*>=\s*([\w.]+)", requirement):
            found[parts[1]] = parts[2]
    return found


def conda(packages: dict[str, str]) -> dict[str, str]:
    return {CONDA_NAMES.get(name, name): bound for name, bound in packages.items()}


def version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def load(path: str):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((REPOSITORY / path).read_text())


def test_the_conda_recipe_is_in_step():
    recipe = load("conda/recipe/recipe.yaml")
    needs = recipe["requirements"]
    python = {"python": PROJECT["requires-python"].removeprefix(">=")}
    assert recipe["build"]["noarch"] == "python"
    assert recipe["context"]["version"] == __version__
    assert recipe["about"]["summary"] == PROJECT["description"]
    assert recipe["about"]["license"] == PROJECT["license"]
    assert bounds(needs["run"]) == python | conda(bounds(PROJECT["dependencies"]))
    assert bounds(needs["host"]) == python | bounds(PYPROJECT["build-system"]["requires"])
    optional = bounds([*EXTRAS["plot"], *EXTRAS["jax"], *EXTRAS["distributed"]])
    assert bounds(needs["run_constraints"]) == conda(optional)


def test_the_workflow_tests_each_python_and_each_extra():
    jobs = load(".github/workflows/ci.yml")["jobs"]
    pythons = {
        classifier.rpartition(" ")[2]
        for classifier in PROJECT["classifiers"]
        if re.search(r":: 3\.\d+$", classifier)
    }
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert set(matrix["python"]) == pythons
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert {case["versions"] for case in matrix["include"]} == {"oldest"}
    assert {case["python"] for case in matrix["include"]} == {min(pythons, key=version)}
    assert set(jobs["extras"]["strategy"]["matrix"]["extra"]) == set(EXTRAS)


def test_each_extra_has_a_promise():
    assert set(runpy.run_path(str(REPOSITORY / ".ci/extras.py"))["PROMISES"]) == set(EXTRAS)


def test_the_oldest_versions_are_the_lower_bounds():
    script = subprocess.run(
        [sys.executable, REPOSITORY / ".ci/oldest.py"], capture_output=True, text=True, check=True
    )
    wanted = bounds(PROJECT["dependencies"])
    for requirements in EXTRAS.values():
        wanted |= bounds(requirements)
    pins = dict(line.partition(";")[0].strip().split("==") for line in script.stdout.splitlines())
    assert pins == wanted


def test_hooks_are_as_new_as_the_tools_of_make_lint():
    hooks = {
        hook["repo"].rpartition("/")[2]: hook["rev"] for hook in load(".pre-commit-config.yaml")["repos"]
    }
    tools = bounds(PYPROJECT["dependency-groups"]["dev"])
    assert version(hooks["ruff-pre-commit"]) >= version(tools["ruff"])
    assert version(hooks["mirrors-mypy"]) >= version(tools["mypy"])


def test_the_changelog_has_a_section_for_this_version():
    sections = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert sections[1] == __version__.partition(".dev")[0]
    assert [version(section) for section in sections[1:]] == sorted(map(version, sections[1:]), reverse=True)


def test_the_citation_has_the_version():
    assert load("CITATION.cff")["version"] == __version__
