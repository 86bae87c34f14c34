"""Derivatives of a plain function by differences: complex steps, forward, central; dense or coloured.

A complex step is exact to rounding: F(x + ihv) = F(x) + ih F'(x) v + O(h^2) with h = 1e-30 (W. Squire,
G. Trapp, SIAM Review 40, 1998). It wants F in complex arithmetic: `abs`, `max`, comparisons and casts to real
break it, which one comparison with a central difference finds. A sparse Jacobian needs one difference for
each colour of its columns (A. Curtis, M. Powell, J. Reid, J. Inst. Math. Appl. 13, 1974).

By hand: SciPy's public ones (`scipy.optimize.approx_fprime`, `scipy.differentiate.jacobian`) have no complex
step, no derivative along one direction, and no sparse pattern.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core.result import PrecisionWarning, caller_level

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = ("complex-step", "forward", "central")
_TINY_STEP = 1e-30


def directional(F: Callable[[Any], Any], x: Any, v: Any, method: str, xp: Any) -> Any:
    """F'(x) v, for vectors of floats; F itself if it is "linear"."""
    if method == "linear":
        return F(v)
    if method == "complex-step":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)  # found by `usable`
            step = F(xp.astype(x, xp.complex128) + xp.astype(v, xp.complex128) * (1j * _TINY_STEP))
        if not xp.isdtype(step.dtype, "complex floating"):
            return xp.zeros(step.shape, dtype=x.dtype)
        return xp.astype(xp.imag(step) / _TINY_STEP, x.dtype)
    largest = float(xp.max(xp.abs(v))) if v.shape[0] else 0.0
    if largest == 0.0:
        return xp.zeros_like(F(x))
    eps = float(xp.finfo(x.dtype).eps)
    size = float(xp.max(xp.abs(x)))
    h = (eps**0.5 if method == "forward" else eps ** (1 / 3)) * (size if size > 0 else 1.0) / largest
    if method == "forward":
        return (F(x + h * v) - F(x)) / h
    return (F(x + h * v) - F(x - h * v)) / (2 * h)


def usable(F: Callable[[Any], Any], x: Any, xp: Any, name: str) -> str:
    """Choose "complex-step" if a central difference along one direction agrees, else that, with a warning."""
    if x.shape[0] == 0:
        return "complex-step"
    v = xp.asarray(np.random.default_rng(0).uniform(0.5, 1.0, x.shape[0]), dtype=x.dtype)
    reference = directional(F, x, v, "central", xp)
    try:
        step = directional(F, x, v, "complex-step", xp)
        error = float(xp.max(xp.abs(step - reference)))
        reason = "does not agree with a central difference: F is not analytic (abs, max, a cast to real)"
    except (TypeError, ValueError, NotImplementedError) as problem:
        error, reason = float("inf"), f"failed ({problem})"
    # Where F is at its rounding level the difference itself is noise of about eps**(2/3).
    largest = float(xp.max(xp.abs(reference)))
    if not math.isfinite(largest):
        return "central"  # there is no derivative to compare with, and the differences show it
    noise = 1e3 * float(xp.finfo(x.dtype).eps) ** (2 / 3)
    if error <= max(1e-4, noise) * largest:
        return "complex-step"
    warnings.warn(
        f"the complex step in {name} {reason}; central differences are used, with about 10 digits",
        PrecisionWarning,
        stacklevel=caller_level(),
    )
    return "central"


def jacobian(F: Callable[[Any], Any], x: Any, method: str, xp: Any) -> Any:
    """The dense Jacobian, a column for each entry of x."""
    n = x.shape[0]
    if n == 0:
        return xp.zeros((F(x).shape[0], 0), dtype=x.dtype)
    unit = xp.eye(n, dtype=x.dtype)
    return xp.stack([directional(F, x, unit[:, k], method, xp) for k in range(n)], axis=1)


def sparse_jacobian(F: Callable[[Any], Any], x: Any, method: str, sparsity: Any) -> Any:
    """The Jacobian of a known pattern, by one difference for each colour of its columns (NumPy only)."""
    import scipy.sparse as sp

    pattern = sp.csc_array(sparsity)
    colours = colour(pattern)
    rows, columns = pattern.tocoo().coords
    entries = np.empty(rows.size, dtype=x.dtype)
    for c in range(colours.max(initial=-1) + 1):
        product = directional(F, x, (colours == c).astype(x.dtype), method, np)
        of_colour = colours[columns] == c
        entries[of_colour] = product[rows[of_colour]]
    return sp.csc_array((entries, (rows, columns)), shape=pattern.shape)


def colour(pattern: Any) -> Any:
    """Colours of the columns of a CSC pattern, such that two columns of one colour share no row."""
    from ._cpu import colour_columns

    rows = pattern.tocsr()
    return colour_columns(pattern.indptr, pattern.indices, rows.indptr, rows.indices)
