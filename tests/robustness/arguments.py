"""What the sweep is made of: choices, arguments in another dress, and spoiled ones."""

from __future__ import annotations

import decimal
import fractions
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable


class Draw:
    """What a maker of calls asks for; the first choice is the simplest."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self._draw = draw

    def pick(self, *options: Any) -> Any:
        return options[self._draw(st.integers(0, len(options) - 1))]

    def size(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))

    def seldom(self, n: int = 4) -> bool:
        """True in one of n cases."""
        return bool(self._draw(st.integers(0, n - 1)) == n - 1)

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self._draw(st.integers(0, 2**32 - 1)))

    def options(self, **choices: tuple[Any, ...]) -> dict[str, Any]:
        """Some of the settings, each with one of its values."""
        return {name: self.pick(*values) for name, values in choices.items() if self.seldom(2)}

    def limits(self) -> dict[str, Any]:
        """Settings of the run."""
        return self.options(maxiter=(None, 0, 1, 3, 50), time_limit=(None, 20.0))

    def sparse(self, A: np.ndarray) -> Any:
        """A matrix, dense or in a sparse format."""
        form = self.pick("dense", "csr", "csc", "coo", "bsr", "dia", "lil", "dok", "csr_matrix")
        if form == "dense" or A.ndim != 2:
            return A
        if form == "csr_matrix":
            return sp.csr_matrix(A)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sp.SparseEfficiencyWarning)  # many diagonals
            return sp.coo_array(A).asformat(form)


# -- the same numbers in another dress ---------------------------------------------------------------


def dress(d: Draw, x: Any) -> tuple[Any, str]:
    """The same numbers (or their roundings) in another form, and its name."""
    if isinstance(x, bool | str) or x is None or callable(x):
        return x, ""
    if isinstance(x, int | float):
        forms: dict[str, Callable[[Any], Any]] = {
            "numpy scalar": np.float64 if isinstance(x, float) else np.int64,
            "0-d": np.asarray,
            "float32": np.float32,
            "Fraction": fractions.Fraction,
            "Decimal": decimal.Decimal,
            "longdouble": np.longdouble,
        }
    elif sp.issparse(x):
        forms = {
            "duplicates": _with_duplicates,
            "explicit zeros": lambda A: _with_entries(A, 0.0),
            "int64 indices": _with_long_indices,
            "float32": lambda A: A.astype(np.float32),
            "unsorted": _unsorted,
        }
    elif isinstance(x, np.ndarray) and x.dtype.kind in "fiu":
        forms = {
            "list": np.ndarray.tolist,
            "Fortran": np.asfortranarray,
            "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
            "negative strides": lambda a: a[..., ::-1].copy()[..., ::-1] if a.ndim else a,
            "read-only": _read_only,
            "integers": lambda a: np.round(a).astype(np.int64) if np.abs(a).max(initial=0) < 2**62 else a,
            "float32": lambda a: a.astype(np.float32),
            "float16": lambda a: a.astype(np.float16),
            "longdouble": lambda a: a.astype(np.longdouble),
            "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
            "object": lambda a: a.astype(object),
            "nothing masked": np.ma.asarray,
            "np.matrix": lambda a: np.asmatrix(a) if a.ndim == 2 else a,
        }
    else:
        return x, ""
    name = d.pick(*forms)
    return forms[name](x), name


# -- wrong or strange ones ---------------------------------------------------------------------------


def spoil(d: Draw, x: Any) -> tuple[Any, str]:
    """Something else in the place of an argument, and what was done."""
    if callable(x) or x is None:
        return d.pick((x, ""), (3.0, "a number"), ("no", "a string"))
    if isinstance(x, str):
        return d.pick(("no such word", "a word"), (3, "a number"), (None, "None"), (["a"], "a list"))
    junk = [None, "x", b"x", 1j, {}, (), [], [[1.0], [1.0, 2.0]], object(), np.datetime64("2026-01-01")]
    if isinstance(x, bool):
        value = d.pick("yes", 2, np.nan, np.array([True, False]), *junk)
        return value, repr(value)
    if isinstance(x, int | float):
        numbers = [np.nan, np.inf, -np.inf, 0, -1, 0.5, -0.0, 1e-300, 5e-324, 1e300, 2**63, 10**400, True]
        value = d.pick(*numbers, np.array([1.0, 2.0]), np.ma.masked, np.float32(np.inf), *junk)
        return value, repr(value)
    if d.seldom(6):
        value = d.pick(
            *junk, np.ones((2, 2, 2, 2)), np.array(["a"]), np.zeros(2, [("re", "f8"), ("im", "f8")])
        )
        return value, repr(value)
    if sp.issparse(x):
        bad = d.pick(np.nan, np.inf, 1e300, 1e-300)
        return d.pick(
            (_with_entries(x, bad), f"an entry {bad}"),
            (x * 1e200, "times 1e200"),
            (x * 1e-200, "times 1e-200"),
            (x * 0.0, "all zeros"),
            (x.astype(complex) * (1 + 1j), "complex"),
            (type(x)((0, 0)) if x.format not in {"dia", "bsr"} else x, "empty"),
            (sp.vstack([x, x]), "twice the rows"),
        )
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu":
        value = d.pick(*junk)
        return value, repr(value)
    entry = d.pick(np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-300, 1e160, 5e-324)
    salted = x.astype(float)
    if x.size:
        salted.flat[d.size(0, x.size - 1)] = entry
    factor = d.pick(0.0, 1e300, 1e-300, 1e155, 1e-155, -1.0, 1e20, 1e-20)
    scaled = x * factor
    masked = np.ma.masked_array(x, mask=np.arange(x.size).reshape(x.shape) == 0)
    return d.pick(
        (salted, f"an entry {entry}"),
        (scaled, f"times {factor}"),
        (x[..., :0] if x.ndim else x, "empty"),
        (x[..., :1] if x.ndim else x, "size 1"),
        (np.concatenate([x, x]) if x.ndim else x, "twice the length"),
        (x[None], "one more axis"),
        (x.reshape(-1), "flat"),
        (x[0] if x.ndim and len(x) else x, "its first part"),
        (np.zeros_like(x), "zeros"),
        (np.ones_like(x), "ones"),
        (x > np.mean(x) if x.size else x, "bool"),
        (x * (1 + 1j), "complex"),
        (masked, "masked"),
        (x.astype(str), "strings"),
        (np.where(x > 0, x, None), "object with None"),
    )


# -- of sparse matrices, and read-only -----------------------------------------------------------------


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _with_duplicates(A: Any) -> Any:
    C = sp.coo_array(A)
    rows, columns = (np.concatenate([k, k]) for k in (C.row, C.col))
    return sp.coo_array((np.concatenate([0.25 * C.data, 0.75 * C.data]), (rows, columns)), C.shape)


def _with_entries(A: Any, value: float) -> Any:
    C = sp.coo_array(A)
    if not min(C.shape):
        return A
    where = [np.concatenate([k, [0]]) for k in (C.row, C.col)]
    return sp.csr_array(sp.coo_array((np.concatenate([C.data, [value]]), tuple(where)), C.shape))


def _with_long_indices(A: Any) -> Any:
    C = sp.csr_array(A)
    C.indices, C.indptr = C.indices.astype(np.int64), C.indptr.astype(np.int64)
    return C


def _unsorted(A: Any) -> Any:
    C = sp.csr_array(A).copy()
    for k in range(C.shape[0]):
        row = slice(C.indptr[k], C.indptr[k + 1])
        C.indices[row], C.data[row] = C.indices[row][::-1].copy(), C.data[row][::-1].copy()
    C.has_sorted_indices = False
    return C
