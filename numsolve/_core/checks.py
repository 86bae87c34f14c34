"""Argument checks. Every error text says which argument, what came, and what is wanted."""

from __future__ import annotations

import math
import numbers
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import arrays

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray


# -- numbers and choices ---------------------------------------------------------------------------


def real(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
    infinite: bool = False,
) -> float:
    """Return a real number within its range; +inf passes if `infinite`."""
    if type(value) is float and low < value < high:  # the usual case, in a tenth of a microsecond
        return value
    is_complex = getattr(getattr(value, "dtype", None), "kind", "") == "c"
    if isinstance(value, bool | np.bool_ | str | bytes) or is_complex or getattr(value, "ndim", 0) > 0:
        raise TypeError(f"{name} must be a real number, got {_kind_of(value)}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name} must be a real number, got {_kind_of(value)}") from error
    too_low = number <= low if open_low else number < low
    too_high = number >= high if open_high else number > high
    allowed = math.isfinite(number) or (infinite and number == math.inf)
    if not allowed or too_low or too_high:
        wanted = _range(low, high, open_low=open_low, open_high=open_high)
        raise ValueError(f"{name} must be {'a' if infinite else 'a finite'} number{wanted}, got {number}")
    return number


def integer(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """Return an integer within its range."""
    if isinstance(value, bool | np.bool_) or getattr(value, "ndim", 0) > 0:
        raise TypeError(f"{name} must be an integer, got {_kind_of(value)}")
    try:
        number = operator.index(value)
    except TypeError:
        as_float = float(value) if _is_real(value) else math.nan
        if not as_float.is_integer():
            kind = ValueError if _is_real(value) else TypeError
            raise kind(f"{name} must be an integer, got {_kind_of(value)}") from None
        number = int(as_float)
    if (low is not None and number < low) or (high is not None and number > high):
        wanted = _range(-math.inf if low is None else low, math.inf if high is None else high)
        raise ValueError(f"{name} must be an integer{wanted}, got {arrays.in_short(number)}")
    if not -(2**63) <= number < 2**63:  # neither NumPy nor compiled code takes more
        raise ValueError(f"{name} must be an integer of at most 64 bits, got {arrays.in_short(number)}")
    return number


def flag(name: str, value: Any) -> bool:
    """Return a switch: True or False, Python's or NumPy's, or the integers 0 and 1."""
    if value is True or value is False:
        return value
    scalar = value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
    if not isinstance(scalar, bool | int) or scalar not in {0, 1}:
        raise TypeError(f"{name} must be True or False, got {_kind_of(value)}")
    return bool(scalar)


def choice(
    name: str, value: Any, choices: Collection[str], *, foreign: Mapping[str, str] | None = None
) -> str:
    """Return one of the listed words; `foreign` maps words of other packages to what is said of them."""
    if not isinstance(value, str) or value not in choices:
        hint = (foreign or {}).get(value, "") if isinstance(value, str) else ""
        wanted = f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}"
        raise ValueError(f"{wanted}; {hint}" if hint else wanted)
    return str(value)


def function(name: str, value: Any, *, optional: bool = False) -> Any:
    """Return a callable, or None where it is optional."""
    if not (callable(value) or (optional and value is None)):
        raise TypeError(f"{name} must be callable, got {_kind_of(value)}")
    return value


def generator(rng: Any) -> np.random.Generator:
    """Make the random generator of an `rng` argument (SPEC 7): None, an int, a seed sequence, a generator."""
    if isinstance(rng, np.random.RandomState) or rng is np.random:
        raise TypeError("rng must be a numpy.random.Generator or a seed, not the legacy RandomState")
    if getattr(rng, "ndim", None) == 0 and hasattr(rng, "item"):
        rng = rng.item()
    if isinstance(rng, np.matrix):  # it would crash the interpreter
        raise TypeError("rng must be None, a non-negative int or a Generator, got a matrix")
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"rng must be None, a non-negative int or a Generator, got {rng!r}") from error


# -- arrays ----------------------------------------------------------------------------------------


def array(
    name: str,
    value: Any,
    *,
    xp: Any = np,
    dtype: Any = None,
    ndim: int | Sequence[int] | None = None,
    shape: Sequence[int | None] | None = None,
    check_finite: bool = True,
    allow_inf: bool = False,
    low: float = -math.inf,
    empty: bool = True,
) -> Any:
    """Return `value` as a real array of the library, not copied if it already is one.

    Parameters
    ----------
    name : str
        The argument's name.
    value : array_like
        What came.
    xp : namespace
        The array library wanted, from `arrays.array_namespace`.
    dtype : dtype, optional
        float64 by default, float32 if `value` is.
    ndim : int or sequence of int, optional
        The numbers of axes allowed.
    shape : sequence of int or None, optional
        The shape wanted, None standing for any length.
    check_finite : bool
        Refuse NaN and infinities.
    allow_inf : bool
        Let +inf pass.
    low : float
        The least value allowed.
    empty : bool
        Whether an array without entries is allowed.

    Returns
    -------
    array
    """
    refuse_masked(name, value)
    if dtype is None:
        dtype = arrays.working_dtype(xp, **{name: _as_array(name, value)})
    else:
        arrays.working_dtype(xp, **{name: _as_array(name, value)})
    try:
        x = xp.asarray(value, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:  # sparse, an operator, another library's array
        arrays.refuse_recording(name, value)
        raise TypeError(f"{name} must be a dense array, got {_kind_of(value)}") from error
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if allowed is not None and x.ndim not in allowed:
        wanted = " or ".join(f"{k}-D" for k in allowed)
        raise ValueError(f"{name} must be {wanted}, got an array of shape {tuple(x.shape)}")
    if shape is not None:
        same = x.ndim == len(shape) and all(
            want is None or got == want for got, want in zip(x.shape, shape, strict=True)
        )
        if not same:
            sizes = ["any" if k is None else str(k) for k in shape]
            wanted = f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"
            raise ValueError(f"{name} must have shape {wanted}, got {tuple(x.shape)}")
    if not empty and math.prod(x.shape) == 0:
        raise ValueError(f"{name} is empty (shape {tuple(x.shape)})")
    if check_finite:
        finite(name, x, xp=xp, allow_inf=allow_inf)
    if low > -math.inf and math.prod(x.shape):
        least = float(xp.min(x))
        if least < low:
            where = f" everywhere, got {least:g} (first at {_position(_first(xp, x < low))})"
            raise ValueError(f"{name} must be at least {low:g}" + (where if x.ndim else f", got {least:g}"))
    return x


def finite(name: str, x: Any, *, xp: Any = np, allow_inf: bool = False) -> None:
    """Refuse NaN, and infinities but for +inf if `allow_inf`."""
    # One pass settles the usual case: a sum is finite unless an entry is not, or it overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(float(x.sum() if isinstance(x, np.ndarray) else xp.sum(x))):  # np.sum takes longer
            return
    good = xp.isfinite(x)
    if allow_inf:
        good = good | (x == xp.inf)
    if not bool(xp.all(good)):
        where = _first(xp, ~good)
        got = float(x[where]) if where else float(x)
        wanted = "numbers or +inf" if allow_inf else "finite numbers"
        place = f" at {_position(where)}" if where else ""
        raise ValueError(f"{name} must hold {wanted}, got {got}{place}")


def refuse_masked(name: str, value: Any) -> None:
    """Refuse a masked array: its mask would be ignored, and what is under it used."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill or drop what is masked: {name}.filled(...)")


def masses(name: str, value: Any, *, length: int | None = None, xp: Any = np, dtype: Any = None) -> Any:
    """Return a vector of weights: nonnegative, finite, and with a positive sum."""
    x = array(name, value, xp=xp, dtype=dtype, ndim=1, shape=None if length is None else (length,), low=0.0)
    if x.shape[0] == 0 or float(xp.max(x)) <= 0.0:
        raise ValueError(
            f"{name} must have a positive sum, got {'an empty vector' if not x.shape[0] else 'all zeros'}"
        )
    return x


def csr(name: str, A: Any, *, square: bool = False, check_finite: bool = True) -> Any:
    """Return a matrix as a canonical SciPy CSR array of floats; the caller's is never modified.

    Dense arrays and every sparse format are taken; duplicates are summed and indices sorted on a copy.
    """
    import scipy.sparse as sp

    refuse_masked(name, A)
    if arrays.is_operator(A) and not sp.issparse(A):
        raise TypeError(f"{name} is a linear operator; its entries are needed: give a matrix")
    xp = arrays.array_namespace(**{name: A})
    if not arrays.is_numpy(xp):
        raise TypeError(f"{name} is a {arrays.namespace_name(xp)} array; a NumPy or SciPy matrix is wanted")
    dtype = arrays.working_dtype(np, **{name: A if sp.issparse(A) else _as_array(name, A)})
    dense = None if sp.issparse(A) else array(name, A, dtype=dtype, ndim=2, check_finite=False)
    if dense is None:
        sound(name, A)
    out = sp.csr_array(A if dense is None else dense, dtype=dtype)
    if out.ndim != 2 or (square and out.shape[0] != out.shape[1]):
        wanted = "a square matrix" if square else "a matrix"
        raise ValueError(f"{name} must be {wanted}, got shape {tuple(out.shape)}")
    if not out.has_canonical_format:
        out = out.copy()  # it may share its indices with A even where the data were converted
        out.sum_duplicates()
    if check_finite and not np.isfinite(out.data).all():
        k = int(np.argmin(np.isfinite(out.data)))
        row = int(np.searchsorted(out.indptr, k, side="right")) - 1
        raise ValueError(
            f"{name} must hold finite numbers, got {out.data[k]} in row {row}, column {out.indices[k]}"
        )
    return out


def sound(name: str, A: Any) -> None:
    """Refuse compressed rows or columns whose arrays contradict each other: compiled code does not look."""
    if A.format not in {"csr", "csc", "bsr"} or A.ndim != 2:
        return
    start, index, (major, minor) = A.indptr, A.indices, A.shape[:: -1 if A.format == "csc" else 1]
    if A.format == "bsr":
        major, minor = major // A.blocksize[0], minor // A.blocksize[1]
    if start.shape != (major + 1,) or start[0] != 0 or np.count_nonzero(start[1:] < start[:-1]):
        raise ValueError(f"{name} must have an indptr of {major + 1} numbers that rise from 0")
    if start[-1] > min(len(index), len(A.data)):
        raise ValueError(
            f"{name} must have as many indices and entries as its indptr says, {start[-1]}; "
            f"got {len(index)} and {len(A.data)}"
        )
    used = index[: start[-1]]
    if used.size and not np.maximum.reduce(used.view(f"u{used.itemsize}")) < minor:  # a negative one is large
        wrong = int(used[np.argmax((used < 0) | (used >= minor))])
        raise ValueError(f"{name} must have indices from 0 to {minor - 1}, got {wrong}")


def output(name: str, values: Any, *, shape: Sequence[int], points: Any = None) -> NDArray[Any]:
    """Check what a user's function returned: shape, type, and finiteness with the first bad point."""
    out = array(f"the result of {name}", values, shape=tuple(shape), check_finite=False)
    bad = ~np.isfinite(out)
    if bad.any():
        where = _first(np, bad)
        point = (
            "" if points is None else f" at the point {np.asarray(points)[where[: np.ndim(points)]].tolist()}"
        )
        got = out[where] if where else out
        raise ValueError(
            f"{name} returned {got} (entry {_position(where)}){point}; finite numbers are wanted"
        )
    return np.asarray(out)


def _is_real(value: Any) -> bool:
    """Whether a value is a real number or a 0-d array of one, of any library."""
    if isinstance(value, numbers.Real):
        return not isinstance(value, bool)
    return getattr(value, "ndim", None) == 0 and getattr(getattr(value, "dtype", None), "kind", "f") in "iuf"


def _as_array(name: str, value: Any) -> Any:
    """Something with a dtype."""
    if value is None:
        raise TypeError(f"{name} must be an array, got None")
    return arrays.of_lists(name, value)


def _first(xp: Any, mask: Any) -> tuple[int, ...]:
    """The index of the first True."""
    flat = int(xp.argmax(xp.reshape(xp.astype(mask, xp.int8) if hasattr(xp, "astype") else mask, (-1,))))
    return tuple(int(k) for k in np.unravel_index(flat, tuple(mask.shape))) if mask.ndim else ()


def _position(where: tuple[int, ...]) -> str:
    return f"index {where[0] if len(where) == 1 else where}"


def _range(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> str:
    parts = []
    if low > -math.inf:
        parts.append(f"{'above' if open_low else 'at least'} {low:g}")
    if high < math.inf:
        parts.append(f"{'below' if open_high else 'at most'} {high:g}")
    return " " + " and ".join(parts) if parts else ""


def _kind_of(value: Any) -> str:
    """A value and its type, in short."""
    return f"{arrays.in_short(value)} of type {type(value).__name__}"
