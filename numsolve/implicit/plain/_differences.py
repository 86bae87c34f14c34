"""Derivatives of a plain function by differences: complex steps, forward, central; dense or coloured.

A complex step is exact to rounding: F(x + ihv) = F(x) + ih F'(x) v + O(h^2) with h = 1e-30 (W. Squire,
G. Trapp, SIAM Review 40, 1998). It wants F in complex arithmetic: `abs`, `max`, comparisons and casts to real
break it, which one comparison with a central difference finds. A sparse Jacobian needs one difference for
each colour of its columns (A. Curtis, M. Powell, J. Reid, J. Inst. Math. Appl. 13, 1974).

By hand: SciPy's public ones (`scipy.optimize.approx_fprime`, `scipy.differentiate.jacobian`) have no complex
step, no derivative along one direction, and no sparse pattern.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.result import PrecisionWarning, caller_level
from numsolve._core.unheard import unheard
from numsolve.implicit._colour import colour

if TYPE_CHECKING:
    from collections.abc import Callable

_TINY_STEP = 1e-30
#: The share of a difference that rounding errors may be.
LOST = 1e-2


def directional(
    F: Callable[[Any], Any], x: Any, v: Any, method: str, xp: Any, *, shorter: float = 1.0
) -> Any:
    """F'(x) v, for vectors of floats; F itself if it is "linear". Differences may have shorter steps."""
    if method == "linear":
        return F(v)
    if method == "complex-step":
        return _complex_step(F, x, v, xp)
    if not v.shape[0] or float(xp.max(xp.abs(v))) == 0.0:
        return xp.zeros_like(F(x))
    eps = float(xp.finfo(x.dtype).eps)
    step = (eps**0.5 if method == "forward" else eps ** (1 / 3)) / shorter
    usual, parts = _of_one_scale(x, v, xp)
    out = xp.zeros_like(x[:1])
    for part, size in parts:
        if size > 1e-3 * usual:
            out = out + _difference(F, x, part, step * size, method, xp)
        else:
            out = out + _of_small(F, x, part, step * usual, step * size, method, xp)
    return out


def _complex_step(F: Callable[[Any], Any], x: Any, v: Any, xp: Any) -> Any:
    if type(x) is type(v) is np.ndarray and x.dtype == v.dtype == np.float64:  # without the general words
        step = F(x + (1j * _TINY_STEP) * v)
        return step.imag / _TINY_STEP if step.dtype.kind == "c" else np.zeros(step.shape)
    step = F(xp.astype(x, xp.complex128) + xp.astype(v, xp.complex128) * (1j * _TINY_STEP))
    if not xp.isdtype(step.dtype, "complex floating"):
        return xp.zeros(step.shape, dtype=x.dtype)
    return xp.astype(xp.imag(step) / _TINY_STEP, x.dtype)


def _of_one_scale(x: Any, v: Any, xp: Any) -> tuple[float, list[tuple[Any, float]]]:
    """The largest size of an entry of x, and the direction in parts, each with the size of its entries.

    In a part neither the entries of x nor those of the direction differ by more than three decades. Zeros
    have no size of their own: they count as one, or as the largest entry if that is smaller.
    """
    size = xp.abs(x)
    largest = float(xp.max(size))
    size = xp.where(size > 0, size, xp.full_like(size, min(1.0, largest) if largest > 0 else 1.0))
    moved, parts = v != 0, []
    decades = xp.ceil(xp.log10(size / xp.max(size)) / 3)
    lengths = xp.ceil(xp.log10(xp.where(moved, xp.abs(v), xp.ones_like(v)) / xp.max(xp.abs(v))) / 3)
    while bool(xp.any(moved)):
        k = int(xp.argmax(xp.where(moved, size, xp.zeros_like(size))))
        here = moved & (decades == decades[k]) & (lengths == lengths[k])
        parts.append((xp.where(here, v, xp.zeros_like(v)), float(size[k])))
        moved = moved & ~here
    return float(xp.max(size)), parts


def _difference(F: Callable[[Any], Any], x: Any, v: Any, step: float, method: str, xp: Any) -> Any:
    """One difference along v, with a step of this length for its largest entry."""
    h = step / float(xp.max(xp.abs(v)))
    if method == "forward":
        return (F(x + h * v) - F(x)) / h
    return (F(x + h * v) - F(x - h * v)) / (2 * h)


def _of_small(F: Callable[[Any], Any], x: Any, v: Any, usual: float, own: float, method: str, xp: Any) -> Any:
    """The difference for entries much smaller than others: by the usual step where F is smooth on it.

    A step of their own size loses digits where F adds them to larger numbers; the usual one is wrong where
    F bends on their own size. Half the step tells.
    """
    with np.errstate(all="ignore"):
        coarse, half = (_difference(F, x, v, step, method, xp) for step in (usual, usual / 2))
        smooth = xp.abs(coarse - half) <= 1e-5 * xp.abs(half)
    if bool(xp.all(smooth)):
        return half
    return xp.where(smooth, half, _difference(F, x, v, own, method, xp))


def usable(F: Callable[[Any], Any], x: Any, xp: Any, name: str) -> str:
    """Choose "complex-step" if a central difference along one direction agrees, else that, with a warning.

    Each entry of F is compared by itself, as a small one may be hidden beside a large one.
    """
    if x.shape[0] == 0:
        return "complex-step"
    v = xp.asarray(np.random.default_rng(0).uniform(0.5, 1.0, x.shape[0]), dtype=x.dtype)
    reference = directional(F, x, v, "central", xp)
    if not bool(xp.all(xp.isfinite(reference))):
        return "central"  # there is no derivative to compare with, and the differences show it
    try:
        with unheard(np.exceptions.ComplexWarning):  # of what is found below
            claimed = directional(F, x, v, "complex-step", xp)
    except (TypeError, ValueError, NotImplementedError) as problem:
        return _without_complex_steps(f"in {name} failed ({problem})")
    error = xp.abs(claimed - reference)
    # Where F is at its rounding level the difference itself is noise of about eps**(2/3).
    eps = float(xp.finfo(x.dtype).eps)
    noise = max(1e-4, 1e3 * eps ** (2 / 3))
    wrong = ~(error <= noise * xp.abs(reference))
    if bool(xp.any(wrong)):  # by more than the difference itself is off, as one of another step tells?
        error_of_it = xp.abs(directional(F, x, v, "central", xp, shorter=3.0) - reference)
        wrong = wrong & (error > 100 * error_of_it)
    if bool(xp.any(wrong)):  # the steps of small entries of x, or all, may be lost in the rounding of F
        step = eps ** (1 / 3) * (float(xp.max(xp.abs(x))) or 1.0)
        with np.errstate(all="ignore"):
            plain = _difference(F, x, v, step, "central", xp)
            lost = 10 * eps * xp.abs(F(x)) / step
            wrong = wrong & ~(xp.abs(claimed - plain) <= noise * xp.abs(plain) + lost)
    if not bool(xp.any(wrong)):
        return "complex-step"
    worst = int(xp.argmax(xp.where(wrong, error / (xp.abs(reference) + error), xp.zeros_like(error))))
    return _without_complex_steps(
        f"in {name} does not agree with a central difference for entry {worst} of F: F is not analytic "
        "(abs, max, a cast to real)"
    )


def are_lost(F: Callable[[Any], Any], x: Any, value: Any, method: str, xp: Any) -> bool:
    """Whether F, of this value, is so far from zero that its rounding errors hide what a step changes."""
    if not x.shape[0] or not value.shape[0]:
        return False
    eps = float(xp.finfo(x.dtype).eps)
    step = (eps**0.5 if method == "forward" else eps ** (1 / 3)) * (float(xp.max(xp.abs(x))) or 1.0)
    with np.errstate(all="ignore"):
        change = step * float(xp.max(xp.abs(_difference(F, x, xp.ones_like(x), step, method, xp))))
    return bool(eps * float(xp.max(xp.abs(value))) > LOST * change)


def _without_complex_steps(reason: str) -> str:
    warnings.warn(
        f"the complex step {reason}; central differences are used, with about 10 digits",
        PrecisionWarning,
        stacklevel=caller_level(),
    )
    return "central"


def jacobian(push: Callable[[Any], Any], x: Any, value: Any, xp: Any) -> Any:
    """The dense matrix of a linear map of vectors like x to vectors like value: a column for each entry."""
    n = x.shape[0]
    if n == 0:
        return xp.zeros((value.shape[0], 0), dtype=x.dtype)
    unit = xp.eye(n, dtype=x.dtype)
    return xp.stack([push(unit[:, k]) for k in range(n)], axis=1)


def sparse_jacobian(push: Callable[[Any], Any], x: Any, sparsity: Any) -> Any:
    """The matrix of a linear map that has a pattern, by one product for each colour of its columns."""
    import scipy.sparse as sp

    pattern = sp.csc_array(sparsity)
    colours = colour(pattern)
    rows, columns = pattern.tocoo().coords
    entries = np.empty(rows.size, dtype=x.dtype)
    for c in range(colours.max(initial=-1) + 1):
        product = push((colours == c).astype(x.dtype))
        of_colour = colours[columns] == c
        entries[of_colour] = product[rows[of_colour]]
    return sp.csc_array((entries, (rows, columns)), shape=pattern.shape)
