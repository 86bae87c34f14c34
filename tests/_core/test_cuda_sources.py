"""CUDA kernels compile to PTX. This proves their syntax and types, without a GPU; never their results.

A ``_gpu*.py`` module keeps each kernel as a module-level constant that needs no device to be built:
a source in a string (or a dict of strings) whose name ends in ``_SOURCE`` or ``_SOURCES``, or an
``ElementwiseKernel``.
"""

from __future__ import annotations

import importlib
import re
import sysconfig
from pathlib import Path

import numpy as np
import pytest

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")

ROOT = Path(__file__).parents[2] / "numsolve"
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in sorted(ROOT.rglob("_gpu*.py"))
]
HEADERS = "".join(
    f"#include <cupy/{name}>\n" for name in ("complex.cuh", "carray.cuh", "atomics.cuh", "math_constants.h")
)


def ptx(source: str, arch: int) -> str:
    """Compile with NVRTC, as CuPy would on a device of that architecture."""
    include = Path(cupy.__path__[0]) / "_core/include"
    folders = [include, *(include / "cupy/_cccl" / name for name in ("cub", "thrust", "libcudacxx"))]
    folders += Path(sysconfig.get_path("purelib")).glob("nvidia/*/include")
    program = cupy.cuda.compiler._NVRTCProgram(source, "kernel.cu")
    options = ("--std=c++17", f"-arch=compute_{arch}", *(f"-I{folder}" for folder in folders))
    code = program.compile(options, None)[0]
    return code.decode() if isinstance(code, bytes) else code


def elementwise_source(kernel, dtype) -> str:
    """The source that CuPy would generate for contiguous vectors, every free type being ``dtype``."""
    from cupy._core import _kernel
    from cupy._core._carray import Indexer

    params = [p for p in kernel.params if p.name != "_ind"]  # CuPy appends its index as a parameter
    free = {p.ctype: dtype for p in params if re.fullmatch("[A-Z]", p.ctype)}
    arguments = [
        _kernel._ArgInfo(1, cupy.ndarray, np.dtype(free.get(p.ctype) or p.dtype).type, 1, True, True)
        for p in params
    ]
    arguments.append(_kernel._ArgInfo(2, Indexer, np.void, 1, True, True))
    types = _kernel._TypeMap(tuple((letter, np.dtype(kind).type) for letter, kind in free.items()))
    return HEADERS + _kernel._get_elementwise_kernel_code(
        tuple(arguments), types, kernel.params, kernel.operation, kernel.name, kernel.preamble
    )


def sources(module) -> dict[str, str]:
    """Every CUDA source that a module holds, by name."""
    found = {}
    for name, value in vars(module).items():
        if name.endswith(("_SOURCE", "_SOURCES")) or name in {"SOURCE", "SOURCES"}:
            parts = value.items() if isinstance(value, dict) else [("", value)]
            found.update((f"{name}[{key}]" if key else name, text) for key, text in parts)
        elif isinstance(value, cupy.ElementwiseKernel):
            for dtype in (np.float32, np.float64):
                found[f"{name}<{dtype.__name__}>"] = elementwise_source(value, dtype)
        elif isinstance(value, cupy.RawKernel):
            found[name] = value.code
    return found


@pytest.fixture(scope="module", autouse=True)
def nvrtc():
    try:
        ptx('extern "C" __global__ void nothing() {}', 80)
    except Exception as error:
        if "DynamicLibNotFound" in type(error).__name__ or "nvrtc" in str(error).lower():
            pytest.skip(f"NVRTC is not installed ({type(error).__name__})")
        raise


@pytest.mark.parametrize("arch", [80, 90])
def test_kernels_compile(arch):
    for module in MODULES:
        found = sources(importlib.import_module(module))
        assert found, f"{module} holds no CUDA source: make each kernel a module-level constant"
        for name, source in found.items():
            assert ".visible .entry" in ptx(source, arch), f"{module}.{name}"


def test_broken_source_is_found():
    good = 'extern "C" __global__ void k(double* x) { x[threadIdx.x] = exp(x[threadIdx.x]); }'
    assert ".visible .entry k" in ptx(good, 90)
    with pytest.raises(cupy.cuda.compiler.CompileException, match="expp"):
        ptx(good.replace("exp(", "expp("), 90)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_broken_elementwise_kernel_is_found(dtype):
    good = cupy.ElementwiseKernel("T x, T s", "T y", "y = s * tanh(x)", "scaled_tanh")
    assert ".visible .entry scaled_tanh" in ptx(elementwise_source(good, dtype), 90)
    bad = cupy.ElementwiseKernel("T x", "T y", "y = tahn(x)", "bad")
    with pytest.raises(cupy.cuda.compiler.CompileException, match="tahn"):
        ptx(elementwise_source(bad, dtype), 90)
