"""The house rules, checked on the source without running it (and that the checks can fail)."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1] / "numsolve"

COLUMNS = {
    *("linear", "transport", "sketch", "monotone", "implicit"),
    *("bilevel", "neural_ode", "fractional", "atomic", "special"),
}
TOP_LEVEL_FILES = {"__init__.py", "__init__.pyi", "__main__.py", "_version.py", "_warm.py", "py.typed"}
MAY_STAND_ON = {"bilevel": {"implicit"}}
#: packages that a module imports inside the functions that need them
HEAVY = {
    "numba",
    "jax",
    "jaxlib",
    "jaxopt",
    "optax",
    "cupy",
    "cupyx",
    "matplotlib",
    "dask",
    "distributed",
    "mpi4py",
    "sklearn",
}
#: what the files with kernels may import from outside their column
KERNEL_IMPORTS = {
    "_cpu": {"numpy", "numba", "llvmlite", "math", "operator", "typing"},
    "_gpu": {"numpy", "cupy", "cupyx", "math"},
}
#: and the parts of the ground that were made for them
KERNEL_GROUND = ("_core.codes", "_core.compiled")
#: What compiles slowly in a kernel (a loop does not), and is only there for a reason that its line gives.
SLOW_TO_COMPILE = {"np.sort", "np.argsort", "np.linalg", "np.unique", "np.searchsorted"}
ON_PURPOSE = "# compiled on purpose"
JIT = {"njit", "jit", "vectorize", "guvectorize", "stencil"}


def imports(path: Path, root: Path, *, top_level: bool = False, types: bool = False) -> Iterator[str]:
    """Full names of the modules that a file imports.

    ``top_level`` leaves out what functions import; ``types`` takes in what only type checkers import.
    """
    package = [root.name, *path.relative_to(root).parts[:-1]]

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if top_level and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not types and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            yield child
            yield from walk(child)

    for node in walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def jit_faults(path: Path) -> Iterator[str]:
    """Compiled functions that are not cached, or that carry a signature and so compile at import."""

    def is_jit(node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("jax"):
            return False  # JAX compiles when it is called, and has no such cache
        return getattr(node, "id", getattr(node, "attr", None)) in JIT

    tree = ast.parse(path.read_text())
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_jit(node.func):
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            cache = options.get("cache")
            if not (isinstance(cache, ast.Constant) and cache.value is True):
                yield f"line {node.lineno}: {ast.unparse(node.func)} without cache=True"
            if node.args or "signature" in options or "signature_or_function" in options:
                yield f"line {node.lineno}: {ast.unparse(node.func)} with an explicit signature"
        elif isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if is_jit(decorator) and id(decorator) not in called:
                    yield f"line {decorator.lineno}: {ast.unparse(decorator)} without cache=True"


def circles(root: Path) -> list[frozenset[str]]:
    """Sets of modules that import each other in a circle, for type checkers and in functions too."""
    files = {
        ".".join(p.relative_to(root.parent).with_suffix("").parts): p for p in sorted(root.rglob("*.py"))
    }
    files = {name: path for name, path in files.items() if not name.endswith("__init__")}
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        wanted = (module.split(".") for module in imports(path, root, types=True))
        found = {".".join(parts[:k]) for parts in wanted for k in range(1, len(parts) + 1)}
        graph[name] = (found & set(files)) - {name}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            new = graph[todo.pop()] - seen
            seen |= new
            todo += new
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {frozenset(o for o in reach[n] if n in reach[o]) for n in graph if n in reach[n]}
    return sorted(groups, key=sorted)


def upward_imports(path: Path, root: Path, column: str, room: str) -> Iterator[str]:
    """What a file may not see of the rooms of its column, for type checkers and in functions too."""
    rooms = {child.name for child in (root / column).iterdir() if (child / "__init__.py").is_file()} - {room}
    for module in imports(path, root, types=True) if column and rooms else ():
        parts = module.split(".")
        if parts[:2] != [root.name, column] or len(parts) < 3 or parts[2] not in rooms:
            continue
        if room:
            yield f"the room {room} imports the room {parts[2]}"
        elif len(parts) > 3 and parts[3].startswith("_"):
            yield f"the ground floor imports {module}"


def unbounded_loops(path: Path) -> Iterator[str]:
    """While loops that do not count: no name of their test is changed by an integer in their body."""

    def counted(loop: ast.While) -> bool:
        tested = {n.id for n in ast.walk(loop.test) if isinstance(n, ast.Name)}
        for node in ast.walk(ast.Module(loop.body, [])):
            if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
                whole = isinstance(node.value, ast.Constant) and isinstance(node.value.value, int)
                if whole and isinstance(node.target, ast.Name) and node.target.id in tested:
                    return True
        return False

    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.While) and not counted(node):
            yield f"line {node.lineno}: while {ast.unparse(node.test)}: does not count its steps"


def slow_to_compile(path: Path) -> Iterator[str]:
    """Constructs that cost a first call up to seconds each, where a loop costs a tenth of one."""
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        what = ""
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Subscript) for t in node.targets):
            target = next(t for t in node.targets if isinstance(t, ast.Subscript))
            sliced = any(isinstance(part, ast.Slice) for part in ast.walk(target.slice))
            if sliced and not isinstance(node.value, ast.Constant | ast.Name | ast.UnaryOp | ast.Attribute):
                what = "assigns an expression to a slice"
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            what = f"calls {name}" if name in SLOW_TO_COMPILE else ""
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"np.max", "np.min"}
            and any(not isinstance(argument, ast.Name) for argument in node.args)
        ):
            what = "reduces an expression"
        if what and ON_PURPOSE not in " ".join(lines[max(node.lineno - 2, 0) : node.lineno]):
            yield f"line {node.lineno}: {what}: {ast.unparse(node)}"


def faults(root: Path) -> list[str]:
    """Every breach of the house rules in a package."""
    found = []
    for child in sorted(root.iterdir()):
        known = child.name in (TOP_LEVEL_FILES if child.is_file() else COLUMNS | {"_core", "__pycache__"})
        if not known:
            found.append(f"{child.name}: not a part of the house")
        if child.name in COLUMNS:
            found += [
                f"{child.name}: has no {name}"
                for name in ("__init__.py", "__init__.pyi")
                if not (child / name).is_file()
            ]
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if relative.as_posix() == "_core/compiled.py":
            continue  # where Numba is told how the house compiles
        column = relative.parts[0] if len(relative.parts) > 1 else ""
        room = relative.parts[1] if len(relative.parts) > 2 else ""
        kind = next((k for k in KERNEL_IMPORTS if path.stem == k or path.stem.startswith(f"{k}_")), None)
        own = ".".join((root.name, *relative.parts[:-1]))
        found += [f"{relative}: {fault}" for fault in upward_imports(path, root, column, room)]
        for module in imports(path, root):
            parts = module.split(".")
            if parts[0] == root.name and len(parts) > 1 and parts[1] in COLUMNS - {column}:
                if column == "_core":
                    found.append(f"{relative}: the ground imports the column {parts[1]}")
                elif column and parts[1] not in MAY_STAND_ON.get(column, ()):
                    found.append(f"{relative}: the column {column} imports {parts[1]}")
            if kind is None or module.startswith("__future__"):
                continue
            if parts[0] == root.name:
                neighbours = (
                    f"{own}.{kind}",
                    f"{root.name}.{column}.{kind}",
                    f"{own}._tuples",  # the records that a method and its kernels share
                    f"{own}._rules",  # the numbers that compiled and generic kernels share
                    *([f"{own}._generic"] if kind == "_gpu" else []),
                    *(f"{root.name}.{part}" for part in KERNEL_GROUND),
                )
                if not module.startswith(neighbours):
                    found.append(f"{relative}: a kernel file imports {module}")
            elif parts[0] not in KERNEL_IMPORTS[kind]:
                found.append(f"{relative}: a kernel file imports {module}")
        if kind is None:
            heavy = {module.split(".")[0] for module in imports(path, root, top_level=True)} & HEAVY
            found += [f"{relative}: imports {name} when it is loaded" for name in sorted(heavy)]
        found += [f"{relative}: {fault}" for fault in jit_faults(path)]
        if kind is not None:
            found += [f"{relative}: {fault}" for fault in unbounded_loops(path)]
        if kind == "_cpu":
            found += [f"{relative}: {fault}" for fault in slow_to_compile(path)]
            if {"numba.njit", "numba.jit"} & set(imports(path, root)):
                found.append(f"{relative}: compiles by numba.njit, not by kernel or inner of the ground")
    return found


def stub_names(stub: Path) -> tuple[set[str], set[str]]:
    """The names that a stub imports and those that its ``__all__`` lists."""
    tree = ast.parse(stub.read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return imported, set(*listed)


def loaded_by(code: str) -> set[str]:
    """Modules that a statement loads in a fresh interpreter."""
    script = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(output.split())


STUBS = sorted(ROOT.rglob("__init__.pyi"))


def test_house_rules():
    assert faults(ROOT) == []


def test_warnings_are_hidden_in_their_own_thread_alone():
    """By `_core/unheard.py`: `warnings.catch_warnings` of two threads leaves filters behind."""
    assert [str(path) for path in ROOT.rglob("*.py") if "catch_warnings(" in path.read_text()] == []


def test_no_circles_of_imports():
    assert circles(ROOT) == []


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
def test_public_names_resolve(stub):
    imported, listed = stub_names(stub)
    assert imported == listed
    package = importlib.import_module(".".join(stub.parent.relative_to(ROOT.parent).parts))
    assert set(package.__all__) == listed
    for name in listed:
        assert getattr(package, name) is not None


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
def test_public_functions_are_documented(stub):
    package = importlib.import_module(".".join(stub.parent.relative_to(ROOT.parent).parts))
    undocumented = [
        name for name in package.__all__ if callable(obj := getattr(package, name)) and not obj.__doc__
    ]
    assert undocumented == []


def test_a_function_is_not_hidden_by_its_module():
    """``transport.solve`` is the function even after the module ``transport/solve.py`` was imported."""
    pairs = [
        (".".join(path.parent.relative_to(ROOT.parent).parts), path.stem)
        for stub in STUBS
        for path in sorted(stub.parent.glob("[!_]*.py"))
        if f"from .{path.stem} import {path.stem} " in stub.read_text()
    ]
    script = "import sys, importlib, types\n" + "\n".join(
        f"importlib.import_module('{package}.{name}')\n"
        f"assert isinstance(sys.modules['{package}'].{name}, types.FunctionType), '{package}.{name}'"
        for package, name in pairs
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_column_is_exported():
    _, listed = stub_names(ROOT / "__init__.pyi")
    assert listed & COLUMNS == {path.name for path in ROOT.iterdir() if path.name in COLUMNS}


def test_every_column_is_shown_and_measured():
    repository = ROOT.parent
    for column in sorted(path.name for path in ROOT.iterdir() if path.name in COLUMNS):
        assert (repository / f"docs/guide/{column}.md").is_file()
        assert (repository / f"benchmarks/bench_{column}.py").is_file()
        assert list((repository / "benchmarks/peers").glob(f"{column}*.py"))
        assert len(list((repository / f"examples/{column}").glob("plot_*.py"))) >= 2
        assert list((repository / f"tests/{column}").glob("test_*.py"))


def test_import_is_light():
    loaded = loaded_by("import numsolve")
    assert not {name.partition(".")[0] for name in loaded} & (HEAVY | {"numpy", "scipy", "tqdm"})
    assert len(loaded) < 60


def test_public_functions_are_reached_without_heavy_packages():
    code = "import numsolve; parts = [getattr(numsolve, name) for name in numsolve.__all__]"
    code += "; [getattr(part, name) for part in parts for name in getattr(part, '__all__', ())]"
    # An estimator is made of scikit-learn's classes; what other names load is tested in tests/compatibility.
    assert not {name.partition(".")[0] for name in loaded_by(code)} & (HEAVY - {"sklearn"})


BAD_FILES = {
    "transport/a.py": ("from ..linear import cg", "the column transport imports linear"),
    "transport/b.py": ("def f():\n    import numsolve.sketch.lstsq", "the column transport imports sketch"),
    "transport/c.py": ("from numsolve import monotone", "the column transport imports monotone"),
    "implicit/a.py": ("from .. import bilevel", "the column implicit imports bilevel"),
    "_core/a.py": ("from ..transport.solve import solve", "the ground imports the column transport"),
    "transport/_cpu.py": ("import scipy.sparse", "a kernel file imports scipy.sparse"),
    "transport/_cpu_dense.py": ("from .._core import checks", "a kernel file imports numsolve._core.checks"),
    "transport/_cpu_x.py": (
        "from .solve import solve",
        "a kernel file imports numsolve.transport.solve.solve",
    ),
    "transport/_gpu.py": ("import numba", "a kernel file imports numba"),
    "transport/d.py": ("import numba", "imports numba when it is loaded"),
    "transport/e.py": ("class A:\n    from jax import numpy", "imports jax when it is loaded"),
    "linear/tuning/a.py": ("from ..poisson import dcdm", "the room tuning imports the room poisson"),
    "linear/cg.py": (
        "from .poisson._cpu import f",
        "the ground floor imports numsolve.linear.poisson._cpu.f",
    ),
    "linear/sor.py": (
        "if TYPE_CHECKING:\n    from numsolve.linear.poisson import _run",
        "the ground floor imports numsolve.linear.poisson._run",
    ),
    "linear/poisson/grid.py": (
        "if TYPE_CHECKING:\n    from numsolve.linear.tuning.bandit import Bandit",
        "the room poisson imports the room tuning",
    ),
    "linear/poisson/_gpu.py": ("import scipy", "a kernel file imports scipy"),
    "linear/poisson/_cpu.py": ("from ..cg import cg", "a kernel file imports numsolve.linear.cg.cg"),
    "linear/_cpu_e.py": ("def f(x):\n    while True:\n        x += 1", "while True: does not count"),
    "linear/_cpu_f.py": (
        "def f(x):\n    while x > 1.0:\n        x *= 0.5",
        "while x > 1.0: does not count its steps",
    ),
    "linear/_cpu_g.py": ("def f(x, y):\n    x[:] = x + y", "assigns an expression to a slice"),
    "linear/_cpu_h.py": ("def f(x, y):\n    x[1:] = y[1:]", "assigns an expression to a slice"),
    "linear/_cpu_i.py": ("def f(x):\n    return np.argsort(x)", "calls np.argsort"),
    "linear/_cpu_j.py": ("def f(x, y):\n    return np.max(x - y)", "reduces an expression"),
    "linear/_cpu_k.py": ("from numba import njit", "compiles by numba.njit"),
    "linear/_cpu.py": ("@njit\ndef f(x): pass", "njit without cache=True"),
    "linear/_cpu_b.py": ("@numba.njit(fastmath=True)\ndef f(x): pass", "numba.njit without cache=True"),
    "linear/_cpu_c.py": ("@njit('f8(f8)', cache=True)\ndef f(x): pass", "njit with an explicit signature"),
    "linear/_cpu_d.py": ("f = njit(cache=False)(g)", "njit without cache=True"),
    "quantum/a.py": ("", "not a part of the house"),
    "helpers.py": ("", "not a part of the house"),
}

GOOD_FILES = {
    "linear/poisson/_cpu.py": (
        "from numsolve._core.codes import CONVERGED\nfrom numsolve._core.compiled import inner\n"
        "from .._cpu import f\ndef g(x, n):\n    k = 0\n    x[:] = 0.0\n    x[1:] = -1.0\n"
        "    while k < n and x[k] > 0.0:\n        k += 1\n"
        "    # compiled on purpose: LAPACK\n    np.linalg.solve(x, x)"
    ),
    "linear/poisson/solve.py": "from ..cg import cg\nfrom . import _cpu",
    "linear/ssor.py": "from .poisson import solve_poisson",
    "bilevel/a.py": "from ..implicit import root_vjp",
    "implicit/root.py": "def f(g):\n    import jax\n    return jax.jit(g)",
    "transport/solve.py": "from .._core import checks\ndef f():\n    import numba\n    from . import _cpu",
    "transport/types.py": "if TYPE_CHECKING:\n    import jax\n    from ..linear import cg",
    "transport/_cpu.py": (
        "from __future__ import annotations\nimport math\nimport numpy as np\nfrom numba import types\n"
        "from ._cpu_exp import exp\n@kernel(fastmath=True)\ndef f(x): pass"
    ),
    "transport/_gpu.py": "import cupy\nfrom . import _generic\nfrom ._gpu_exp import SOURCE",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for folder in path.relative_to(root).parents:
            if folder.parts and folder.parts[0] in COLUMNS:
                (root / folder / "__init__.py").touch()
        if path.relative_to(root).parts[0] in COLUMNS:
            (root / path.relative_to(root).parts[0] / "__init__.pyi").touch()
    for name in ("tuning", "poisson"):  # rooms that the files above speak of
        if (root / "linear").is_dir():
            (root / "linear" / name).mkdir(exist_ok=True)
            (root / "linear" / name / "__init__.py").touch()
    return root


@pytest.mark.parametrize("name", BAD_FILES)
def test_breach_is_found(name, tmp_path):
    text, message = BAD_FILES[name]
    found = faults(write(tmp_path / "numsolve", {name: text}))
    assert len(found) == 1
    assert message in found[0]


def test_good_house_has_no_faults(tmp_path):
    assert faults(write(tmp_path / "numsolve", GOOD_FILES)) == []


def test_missing_stub_is_found(tmp_path):
    root = write(tmp_path / "numsolve", {"linear/cg.py": ""})
    (root / "linear/__init__.pyi").unlink()
    assert faults(root) == ["linear: has no __init__.pyi"]


CIRCLES = {
    "two files": ({"linear/a.py": "from .b import f", "linear/b.py": "from .a import g"}, {"a", "b"}),
    "for types only": (
        {"linear/a.py": "from .b import f", "linear/b.py": "if TYPE_CHECKING:\n    from .a import G"},
        {"a", "b"},
    ),
    "in a function": (
        {"linear/a.py": "from . import b", "linear/b.py": "def f():\n    from numsolve.linear.a import g"},
        {"a", "b"},
    ),
    "of three": (
        {
            "linear/a.py": "from .b import f",
            "linear/b.py": "from .c import f",
            "linear/c.py": "from .a import f",
            "linear/d.py": "from .a import f",
        },
        {"a", "b", "c"},
    ),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_a_circle_is_found(name, tmp_path):
    files, expected = CIRCLES[name]
    (found,) = circles(write(tmp_path / "numsolve", files))
    assert {module.split(".")[-1] for module in found} == expected


def test_no_circle_is_found_where_there_is_none(tmp_path):
    files = {
        "linear/a.py": "from . import b, c",
        "linear/b.py": "from .c import f",
        "linear/c.py": "import a",
    }
    assert circles(write(tmp_path / "numsolve", files)) == []
