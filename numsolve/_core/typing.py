"""The names that signatures use. Most say what an ``Any`` is, to a reader more than to a checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Array",
    "ArrayLike",
    "Callback",
    "Dtype",
    "Kernels",
    "LineStyle",
    "Matrix",
    "Namespace",
    "Operator",
    "RandomState",
    "Vectors",
]

#: An array of the caller's library. Checkers are told NumPy's, which is what nearly every caller has.
Array: TypeAlias = NDArray[Any]
#: A dense array, a sparse matrix or array, or a `LinearOperator`, of SciPy or CuPy.
Matrix: TypeAlias = Any
#: Something with ``shape``, ``matvec`` and perhaps ``rmatvec``.
Operator: TypeAlias = Any
#: An array library, as `numsolve._core.arrays.array_namespace` gives it.
Namespace: TypeAlias = Any
#: A module of kernels, as `numsolve._core.arrays.kernels_for` gives it.
Kernels: TypeAlias = Any
#: The dtype of some library.
Dtype: TypeAlias = Any
#: What a user may watch a run with: ``callback(xk)`` or ``callback(intermediate_result)``.
Callback: TypeAlias = Callable[..., object]
#: One vector, or a tuple, list or tree of vectors: whatever the method iterates on.
Vectors: TypeAlias = Any
#: Whatever `numpy.random.default_rng` takes.
RandomState: TypeAlias = int | np.random.Generator | np.random.SeedSequence | np.random.BitGenerator | None


class LineStyle(TypedDict, total=False):
    """The keywords of `matplotlib.axes.Axes.plot` that pictures of results pass on."""

    color: str
    label: str
    linestyle: str
    linewidth: float
    marker: str
    markersize: float
    alpha: float
    zorder: float
