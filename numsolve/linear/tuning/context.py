r"""A number that tells a tuner how hard a system is, from one look at its entries: how weak the diagonal is.

    delta = sum_i (|a_ii| - sum_j |a_ij|) / sum_i |a_ii|,      context = -asinh(1000 delta),

j other than i. For a matrix with a positive diagonal and nothing positive beside it, delta is the Rayleigh
quotient of the constant vector, e'Ae / e'De: a bound of the least eigenvalue of D^-1 A, on which the best
relaxation parameter depends.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import checks
from numsolve.linear._system import canonical, unsigned

if TYPE_CHECKING:
    from numsolve._core.typing import Matrix


def automatic_context(A: Matrix) -> float:
    """A number that says how hard a system is for relaxation: how weak its diagonal is.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        The matrix.

    Returns
    -------
    float
        ``-asinh(1000 delta)`` with ``delta = sum_i (|a_ii| - sum_j |a_ij|) / sum_i |a_ii|``, j other than i:
        -7.6 for a diagonal matrix, near 0 for a large Laplacian, positive where the diagonal is too weak.

    Examples
    --------
    >>> from numsolve import linear
    >>> [round(linear.automatic_context(linear.problems.laplacian(9, shift=c)), 2) for c in (0, 1, 10)]
    [-5.4, -6.36, -7.31]
    """
    A = canonical(A)
    checks.finite("A", A.data)
    return context_of_canonical(A)


def context_of_canonical(A: Matrix) -> float:
    """The number of a canonical matrix."""
    from . import _cpu_look as k

    out = np.empty(2)
    k.diagonal_share(unsigned(A.indptr), unsigned(A.indices), A.data, out)
    total, diagonal = out.tolist()
    return context_of(2 - total / diagonal if diagonal else 0.0)


def context_of(dominance: float) -> float:
    """The number, from delta."""
    return -math.asinh(1000 * dominance)
