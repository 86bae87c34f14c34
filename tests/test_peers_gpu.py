"""The table of kernels that `make gpu` measures: complete, and with the arguments that CUDA expects."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks/peers"
#: where each of CuPy's makers of kernels has the name
NAMED = {"RawKernel": 1, "ElementwiseKernel": 3, "ReductionKernel": 6}
C_TYPES = {"float": "f4", "double": "f8", "unsigned int": "u4", "int": "i4"}


@pytest.fixture(scope="module")
def table():
    sys.path.insert(0, str(PEERS))
    try:
        module = importlib.import_module("_gpu_kernels")
        yield module.kernels(quick=True)
    finally:
        sys.path.remove(str(PEERS))
        sys.modules.pop("_gpu_kernels", None)
        sys.modules.pop("_harness", None)


def named_in(source: str) -> set[str]:
    """Patterns for the names of all kernels that a module makes."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in NAMED:
            name = node.args[NAMED[node.func.attr]]
            parts = name.values if isinstance(name, ast.JoinedStr) else [name]
            texts = [re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in parts]
            found.add("".join(texts))
    return found


def test_the_table_covers_every_kernel_of_the_package(table):
    for path in (ROOT / "numsolve").rglob("_gpu*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        measured = {kernel.name for kernel in table if kernel.module == module}
        made = named_in(path.read_text())
        assert made, f"{path} makes no kernel that this test can see"
        for pattern in made:
            assert any(re.fullmatch(pattern, name) for name in measured), f"{module}: {pattern}"
        for name in measured:
            assert any(re.fullmatch(pattern, name) for pattern in made), f"{module} has no {name}"


def test_the_check_of_the_table_sees_a_kernel_of_any_kind():
    source = (
        'import cupy\na = cupy.RawKernel(S, "one")\nb = {n: cupy.ElementwiseKernel("", "", "", f"t_{n}")}'
    )
    assert named_in(source) == {"one", r"t_\w+"}


def test_every_kernel_says_what_it_moves_or_computes(table):
    for kernel in table:
        assert (kernel.bytes > 0) != (kernel.flops > 0), kernel.name
        arrays = [v for v in kernel.arguments(np) if isinstance(v, np.ndarray) and v.ndim]
        if kernel.bytes:  # no more than each array read and written once
            assert 0.3 < kernel.bytes / sum(a.nbytes for a in arrays) < 2.1, kernel.name


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy", reason="CuPy is not installed")


def test_every_kernel_is_found_in_its_module(table, cupy):
    makers = (cupy.RawKernel, cupy.ElementwiseKernel)
    for module in {kernel.module for kernel in table}:
        loaded = importlib.import_module(module)
        measured = [kernel.load(cupy) for kernel in table if kernel.module == module]
        made = [value for value in vars(loaded).values() if isinstance(value, makers)]
        for values in vars(loaded).values():
            if isinstance(values, dict):
                made += [value for value in values.values() if isinstance(value, makers)]
        for kernel in made:
            assert any(kernel is one for one in measured), f"{module}: {kernel.name}"


def parameters(source: str, name: str) -> list[tuple[bool, str]]:
    """Of each parameter of a kernel, whether it is an array, and the type of its numbers."""
    [inside] = re.findall(rf"__global__ void {name}\(([^)]*)\)", source)
    words = [" ".join(word.replace("const ", "").split()) for word in inside.split(",")]
    real = re.search(r"#define REAL (\w+)", source)
    texts = [word.replace("REAL", real[1]) if real else word for word in words]
    return [("*" in text, C_TYPES[re.split(r"[*]| \w+$", text)[0].strip()]) for text in texts]


def test_raw_kernels_get_what_their_source_declares(table, cupy):
    raw = [kernel for kernel in table if kernel.grid]
    assert {kernel.dtype for kernel in raw} == {"float32", "float64"}
    for kernel in raw:
        declared = parameters(kernel.load(cupy).code, kernel.name)
        arguments = kernel.arguments(np)
        assert len(arguments) == len(declared), kernel.name
        for (is_array, kind), given in zip(declared, arguments, strict=True):
            if np.ndim(given):
                assert is_array, kernel.name
                assert given.dtype == kind, kernel.name
            elif is_array:
                assert given == 0, kernel.name  # a null pointer
                assert given.dtype.itemsize == 8, kernel.name
            else:
                assert given.dtype == kind, kernel.name


def test_elementwise_kernels_get_one_array_for_each_parameter(table, cupy):
    for kernel in table:
        if kernel.grid is None:
            wanted = [p for p in kernel.load(cupy).params if p.name != "_ind"]
            arguments = kernel.arguments(np)
            assert len(arguments) == len(wanted), kernel.name
            shape = np.broadcast_shapes(*map(np.shape, arguments))
            assert shape == arguments[-1].shape, kernel.name
            assert {np.asarray(v).dtype for v in arguments} == {np.dtype(kernel.dtype)}, kernel.name


def test_levels_of_relax_stay_inside_their_arrays(table):
    for kernel in table:
        if kernel.name == "relax":
            ptr, columns, values, diag, _, first, last, d = kernel.arguments(np)
            assert ptr[first] == 0
            assert ptr[last] == columns.size == values.size
            assert columns.max() < first  # all of another level, so that rows are independent
            assert last == diag.size == d.size
            assert kernel.grid[0] * kernel.grid[1] >= last - first


def has_device() -> bool:
    try:
        library = importlib.import_module("cupy")
    except ImportError:
        return False
    return bool(library.cuda.is_available())


@pytest.mark.skipif(has_device(), reason="there is a device")
def test_without_a_device_nothing_is_written(tmp_path):
    written = tmp_path / "gpu.json"
    command = [sys.executable, str(PEERS / "gpu.py"), "--json", str(written)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("No figures of a GPU: ")
    assert len(done.stderr.splitlines()) == 1
    assert not written.exists()
