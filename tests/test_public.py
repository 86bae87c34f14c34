"""What is public, and how its signatures read: found by walking the stubs."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from numsolve._core.foreign import COMMON, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[1]
COLUMNS = sorted(path.parent.name for path in (REPOSITORY / "numsolve").glob("*/__init__.pyi"))


def stubbed(package: str) -> list[str]:
    """The names that the stub of a package lists."""
    tree = ast.parse((REPOSITORY / package.replace(".", "/") / "__init__.pyi").read_text())
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return names


def modules() -> Iterator[ModuleType]:
    """Every public module: the package, its columns, and the modules that their stubs list."""
    for package in ["numsolve", *(f"numsolve.{column}" for column in COLUMNS)]:
        module = importlib.import_module(package)
        yield module
        if package != "numsolve":
            members = (getattr(module, name) for name in stubbed(package))
            yield from (member for member in members if isinstance(member, ModuleType))


def functions(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The public functions of a module and the public methods of its classes, those of ours alone."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for klass in inspect.getmro(value):
                if klass.__module__.startswith("numsolve"):
                    for key, member in vars(klass).items():
                        method = member.fget if isinstance(member, property) else inspect.unwrap(member)
                        public = not key.startswith("_") or key in {"__init__", "__call__"}
                        if public and inspect.isfunction(method) and method.__module__.startswith("numsolve"):
                            yield f"{name}.{key}", method


def vague(function: Any) -> list[str]:
    """What a checker cannot see through: ``**settings: Any`` and the like, and parameters without a type."""
    found = []
    for parameter in inspect.signature(function).parameters.values():
        annotation = parameter.annotation
        if parameter.kind is parameter.VAR_KEYWORD and not re.match(r"(typing\.)?Unpack\[", str(annotation)):
            found.append(f"**{parameter.name}: {annotation}")
        elif annotation is parameter.empty and parameter.name not in {"self", "cls"}:
            found.append(f"{parameter.name} has no type")
    return found


MODULES = {module.__name__: module for module in modules()}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_what_is_public_and_no_more(name):
    module = MODULES[name]
    listed = [name for name in dir(module) if not (name.startswith("__") and name.endswith("__"))]
    assert sorted(listed) == sorted(name for name in module.__all__ if name != "__version__")
    assert len(set(module.__all__)) == len(module.__all__)
    assert not [name for name in module.__all__ if name.startswith("_") and name != "__version__"]


@pytest.mark.parametrize("name", MODULES)
def test_no_public_signature_swallows_keywords(name):
    found = {key: faults for key, function in functions(MODULES[name]) if (faults := vague(function))}
    assert found == {}


#: Their settings may be those of a solver of the user's own, whatever it calls them.
HAND_ON = {"TunedSolver.__init__", "solve_sequence"}


def unanswered(value: Any) -> list[str]:
    """The words of other packages that a function, or a method of a class, does not answer with ours."""
    called = [value]
    if inspect.isclass(value):
        called = [function for _, function in inspect.getmembers(value, inspect.isfunction)]
    found = []
    for function in called:
        names = inspect.signature(function).parameters
        public = not function.__name__.startswith("_") or function.__name__ in {"__init__", "__call__"}
        asked = public and function.__qualname__ not in HAND_ON
        for theirs, ours in COMMON.items() if asked else ():
            if ours in names and theirs not in names and answer(function, theirs) is None:
                found.append(f"{function.__qualname__}: {theirs}")
    return found


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith(".problems")])
def test_the_words_of_other_packages_are_answered_with_ours(name):
    values = [getattr(MODULES[name], key) for key in MODULES[name].__all__]
    values = [value for value in values if inspect.isfunction(value) or inspect.isclass(value)]
    assert [fault for value in values for fault in unanswered(value)] == []


@pytest.mark.parametrize("column", COLUMNS)
def test_the_typed_script_of_a_column_uses_every_public_name(column):
    """``make lint`` checks these scripts with mypy and pyright, as strictly as these can."""
    tree = ast.parse((REPOSITORY / f"tests/typing/use_{column}.py").read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == column
    }
    assert set(stubbed(f"numsolve.{column}")) - used == set()


@pytest.mark.parametrize(
    ("signature", "fault"),
    [
        ("x, **settings: Any", "**settings: Any"),
        ("x: int, **settings: object", "**settings: object"),
        ("x: int, **settings: Unpack[Style]", None),
        ("self, x: int, *, y: float = 1.0", None),
        ("x", "x has no type"),
    ],
)
def test_a_vague_signature_is_found(signature, fault):
    space: dict[str, Any] = {}
    exec(f"from __future__ import annotations\ndef f({signature}): pass", space)
    assert fault in vague(space["f"]) if fault else vague(space["f"]) == []


def test_a_module_out_of_order_does_not_widen_what_is_public():
    """Submodules that happen to be loaded do not show up in ``dir``."""
    script = (
        "import importlib, numsolve.transport as t; before = dir(t);"
        "importlib.import_module('numsolve.transport.result'); assert dir(t) == before"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
