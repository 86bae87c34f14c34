"""Banded systems, solved by LAPACK."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve.linear._judge import UNIT, is_sure
from numsolve.linear.result import LinearResult

if TYPE_CHECKING:
    from numsolve._core.typing import Array, Matrix

    from ._look import Look

#: How banded systems are solved.
BANDED = "LAPACK, by its bands"
#: How tridiagonal, symmetric, positive definite ones are, from the second on.
TRIDIAGONAL = "elimination, by its three diagonals"
SAME = "it is tridiagonal and positive definite, as the last one"


class Banded:
    """LAPACK's routines, and the kernels around them."""

    def __init__(self) -> None:
        from scipy.linalg import lapack

        from numsolve.linear._cpu_cg import residual

        from . import _cpu_look

        self._kernels: Any = _cpu_look
        self._residual: Any = residual
        self._ratios, self._out = np.empty(0), np.empty(5)
        self._routines = {
            char: {name: getattr(lapack, letter + name) for name in ("ptsv", "pbsv", "gbsv")}
            for char, letter in (("d", "d"), ("f", "s"))
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return Banded, ()

    def solve(self, look: Look, b: Array) -> Array | None:
        """The solution of A x = b by a factorisation of the bands of A; None if it fails.

        Cholesky's where A is symmetric with a positive diagonal, else Gaussian elimination with pivots.
        """
        x: Array
        A, below, above = look.A, look.below, look.above
        n, dtype = A.shape[0], A.dtype
        lapack = self._routines[dtype.char]
        if look.positive and below <= 1:
            ab = self._bands(look.matrix, 0, np.zeros((2, n), dtype))
            *_, x, info = lapack["ptsv"](ab[0], ab[1, : max(n - 1, 1)], b, 1, 1)
            if info == 0:
                return x
        elif look.positive:
            ab = self._bands(look.matrix, 0, np.zeros((below + 1, n), dtype, order="F"))
            _, x, info = lapack["pbsv"](ab, b, lower=True, overwrite_ab=True)
            if info == 0:
                return x
        ab = self._bands(look.matrix, below + above, np.zeros((2 * below + above + 1, n), dtype, order="F"))
        *_, x, info = lapack["gbsv"](below, above, ab, b, overwrite_ab=True)
        return x if info == 0 else None

    def _bands(self, matrix: tuple[Array, ...], first: int, ab: Array) -> Array:
        self._kernels.bands(*matrix, first, ab)
        return ab

    def answer(self, look: Look, b: Array, rtol: float, atol: float, reason: str) -> LinearResult | None:
        """The result for one right-hand side, if it meets the tolerance: in a few microseconds."""
        x = self.solve(look, b)
        if x is None:
            return None
        rr, bb, ss, _ = self._residual(*look.matrix, x, b, np.empty_like(b))
        if not _meets(rr, bb, ss, rtol, atol):
            return None
        return LinearResult(x=x, residual=math.sqrt(rr), rhs_norm=math.sqrt(bb), method=BANDED, reason=reason)

    def tridiagonal(self, A: Matrix, b: Array, rtol: float, atol: float) -> tuple[LinearResult, float] | None:
        """The result and the dominance of A, in one pass; None where A or b is not made for it."""
        n = b.shape[0]
        if self._ratios.size != n:
            self._ratios = np.empty(n)
        x, out = np.empty(n), self._out
        if not self._kernels.tridiagonal(A.indptr, A.indices, A.data, b, x, self._ratios, out):
            return None
        rr, bb, ss, total, diagonal = out.tolist()
        if not _meets(rr, bb, ss, rtol, atol):
            return None
        size, norm_b = math.sqrt(rr), math.sqrt(bb)
        result = LinearResult(x=x, residual=size, rhs_norm=norm_b, method=TRIDIAGONAL, reason=SAME)
        return result, 2 - total / diagonal


def _meets(rr: float, bb: float, ss: float, rtol: float, atol: float) -> bool:
    """Whether a residual meets the tolerance, its own rounding errors included; all norms as squares.

    Elsewhere squares leave the range of floats: that is for those who scale.
    """
    if not (1e-200 < bb < 1e200 and ss < 1e200):
        return False
    return is_sure(math.sqrt(rr), UNIT * math.sqrt(ss), max(rtol * math.sqrt(bb), atol))
