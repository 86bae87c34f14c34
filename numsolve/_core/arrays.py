"""Which array library, dtype and device the caller's arrays have, without importing the library.

NumPy, CuPy, JAX and array-api-strict arrays are told apart by array-api-compat; lists and numbers
count as NumPy. Sparse matrices and linear operators of SciPy and CuPy are matrices too.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def array_namespace(**arrays: Any) -> Any:
    """Return the array library of the arguments (their names are for the error message).

    Lists, numbers and None say nothing; if nobody says anything, it is NumPy.

    Raises
    ------
    TypeError
        If two libraries are mixed: nothing is copied between devices behind the caller's back.
    """
    found: dict[str, tuple[str, Any]] = {}
    for name, value in arrays.items():
        xp = _namespace_of(value)
        if xp is not None:
            found.setdefault(namespace_name(xp), (name, xp))
    if len(found) > 1:
        (one, (name_1, _)), (two, (name_2, _)) = list(found.items())[:2]
        raise TypeError(
            f"{name_1} is a {one} array and {name_2} is a {two} array; convert one: all must share a library"
        )
    return next(iter(found.values()))[1] if found else _numpy()


def namespace_name(xp: Any) -> str:
    """The name of an array library: "numpy", "cupy", "jax" or "array_api_strict"."""
    name: str = xp.__name__
    if name.startswith("array_api_compat."):
        return name.split(".")[1]
    return name.partition(".")[0]


def is_numpy(xp: Any) -> bool:
    """Whether arrays of this library live in the memory that compiled CPU kernels see."""
    return namespace_name(xp) == "numpy"


def device(x: Any) -> Any:
    """The device of an array, as the array API gives it."""
    return array_api_compat.device(x)


def of_lists(name: str, value: Any) -> Any:
    """What has a dtype as it is, and lists of numbers as NumPy's array.

    Raises
    ------
    ValueError
        If the lists are ragged.
    """
    if hasattr(value, "dtype"):
        return value
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is not a rectangular array of numbers, got {in_short(value)}") from error


def in_short(value: Any) -> str:
    """The beginning of what a value is shown as, in one line."""
    text = " ".join(repr(value).split())
    return text if len(text) < 60 else text[:57] + "..."


def working_dtype(xp: Any, **arrays: Any) -> Any:
    """Return float32 if all the arrays that are given are, float64 otherwise.

    JAX has no float64 unless its user switches it on; until then it is float32 there.

    Raises
    ------
    TypeError
        If one of them is complex or is not a number.
    ValueError
        If one is given by ragged lists.
    """
    dtypes = []
    for name, value in arrays.items():
        if value is None:
            continue
        dtype = of_lists(name, value).dtype
        kind = getattr(dtype, "kind", None) or _kind(_namespace_of(value) or xp, dtype)
        if kind == "c":
            raise TypeError(f"{name} is complex ({dtype}); real numbers are wanted")
        if kind not in "fiub":
            raise TypeError(f"{name} has dtype {dtype}; real numbers are wanted")
        dtypes.append(dtype)
    # An item of float32 has 4 bytes: the name, which takes NumPy microseconds, is asked for such types only.
    if dtypes and all(
        getattr(dtype, "itemsize", 4) == 4 and str(dtype).endswith("float32") for dtype in dtypes
    ):
        return xp.float32
    return xp.result_type(float) if namespace_name(xp) == "jax" else xp.float64


def ndim(value: Any) -> int:
    """Axes of what a user gave: one for ragged lists, which whoever reads them will refuse by name."""
    try:
        return int(np.ndim(value))
    except ValueError:
        return 1


def norm(xp: Any, x: Any) -> float:
    """The 2-norm of all entries, which neither overflows nor underflows where the entries do not.

    Squares leave the range of a float at 1e154 and 1e-162; beyond some margin the entries are scaled first.
    """
    if math.prod(x.shape) == 0:
        return 0.0
    with np.errstate(over="ignore", under="ignore"):
        value = float(xp.linalg.vector_norm(x))
        info = xp.finfo(x.dtype)
        if math.sqrt(float(info.smallest_normal)) * 1e8 < value < math.sqrt(float(info.max)):
            return value
        largest = float(xp.max(xp.abs(x)))
        if largest == 0.0 or not math.isfinite(largest):
            return largest
        # Powers of two round nothing; two of them, as the inverse of the least number is infinite.
        half = math.ldexp(1.0, -(math.frexp(largest)[1] // 2))
        scaled = float(xp.linalg.vector_norm((x * half) * half))
        return scaled / half / half


def usual(x: Any) -> Any:
    """A NumPy array or number as others know it: in this machine's byte order, at most double precision.

    Anything else as it is.
    """
    if not isinstance(x, np.ndarray | np.generic) or x.dtype.kind not in "iufc":
        return x
    longest = {"f": np.dtype(np.float64), "c": np.dtype(np.complex128)}.get(x.dtype.kind, x.dtype)
    if x.dtype.itemsize > longest.itemsize:
        return np.asarray(x, dtype=longest)
    return x if x.dtype.isnative else np.asarray(x, dtype=x.dtype.newbyteorder("="))


def to_host(x: Any) -> np.ndarray:
    """Copy an array of any library to NumPy: for pictures, histories and messages."""
    if isinstance(x, np.ndarray):
        return x
    if hasattr(x, "get"):  # CuPy converts only when it is asked to
        return np.asarray(x.get())
    try:
        return np.asarray(x)
    except (TypeError, RuntimeError):
        refuse_recording("an argument", x)
        return np.from_dlpack(x)


def refuse_recording(name: str, x: Any) -> None:
    """Refuse a tensor of torch that records what is done with it, where that leads through NumPy."""
    if getattr(x, "requires_grad", False) is True:
        raise TypeError(
            f"{name} is a {type(x).__name__} that records derivatives, which cannot be followed here; "
            "give its .detach(), and see numsolve.implicit for derivatives"
        )


def is_sparse(A: Any) -> bool:
    """Whether A is a sparse matrix or array of SciPy or CuPy."""
    for library in ("scipy.sparse", "cupyx.scipy.sparse"):
        sparse = sys.modules.get(library)
        if sparse is not None and sparse.issparse(A):
            return True
    return False


def is_operator(A: Any) -> bool:
    """Whether A is a linear operator: it has a shape and a matvec, and no entries to look at."""
    return callable(getattr(A, "matvec", None)) and hasattr(A, "shape")


def linear_operator(
    xp: Any,
    shape: tuple[int, int],
    matvec: Callable[[Any], Any],
    rmatvec: Callable[[Any], Any] | None = None,
    *,
    matmat: Callable[[Any], Any] | None = None,
    dtype: Any = None,
) -> Any:
    """Make the operator that the library's own iterative solvers take.

    Parameters
    ----------
    xp : namespace
        NumPy gives `scipy.sparse.linalg.LinearOperator`, CuPy `cupyx.scipy.sparse.linalg.LinearOperator`.
    shape : tuple of int
        Rows and columns.
    matvec, rmatvec, matmat : callable
        The products with A, with its conjugate transpose, and with several vectors.
    dtype : dtype, optional
        float64 by default.

    Returns
    -------
    LinearOperator
    """
    name = namespace_name(xp)
    if name not in {"numpy", "cupy"}:
        raise TypeError(f"{name} has no linear operators; numpy and cupy have")
    module = "scipy.sparse.linalg" if name == "numpy" else "cupyx.scipy.sparse.linalg"
    kind = importlib.import_module(module).LinearOperator
    return kind(
        shape, matvec=matvec, rmatvec=rmatvec, matmat=matmat, dtype=xp.float64 if dtype is None else dtype
    )


def kernels_for(xp: Any, package: str, method: str = "") -> ModuleType:
    """Import the kernels of a column that work on the arrays of a library.

    Parameters
    ----------
    xp : namespace
        NumPy takes the column's ``_cpu.py``, CuPy its ``_gpu.py``, any other library ``_generic.py``,
        which also serves where the column has no kernels for the library.
    package : str
        The column, as ``__package__``.
    method : str
        For a column with kernels in several files: ``_cpu_<method>.py``.

    Returns
    -------
    module
    """
    suffix = f"_{method}" if method else ""
    own = {"numpy": "_cpu", "cupy": "_gpu"}.get(namespace_name(xp), "_generic")
    names = [f"{package}.{kind}{suffix}" for kind in dict.fromkeys((own, "_generic"))]
    for name in names:
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise TypeError(
        f"{package} has no kernels for {namespace_name(xp)} arrays (looked for {', '.join(names)})"
    )


def _numpy() -> Any:
    return array_api_compat.array_namespace(np.empty(0))


def _namespace_of(value: Any) -> Any:
    if value is None or isinstance(value, np.ndarray | np.generic):
        return None if value is None or isinstance(value, np.generic) else _numpy()
    if is_sparse(value):
        module = type(value).__module__.partition(".")[0]
        return _numpy() if module == "scipy" else array_api_compat.array_namespace(value.data)
    if array_api_compat.is_array_api_obj(value):
        return array_api_compat.array_namespace(value)
    for base in type(value).__mro__ if is_operator(value) else ():
        if base.__module__.startswith("scipy.sparse.linalg"):
            return _numpy()
        if base.__module__.startswith("cupyx.scipy.sparse.linalg"):
            return importlib.import_module("array_api_compat.cupy")
    return None


def _kind(xp: Any, dtype: Any) -> str:
    """The letter of a dtype, for libraries whose dtypes have none."""
    for letter, kinds in {
        "f": "real floating",
        "c": "complex floating",
        "i": "integral",
        "b": "bool",
    }.items():
        if xp.isdtype(dtype, kinds):
            return letter
    return "?"
