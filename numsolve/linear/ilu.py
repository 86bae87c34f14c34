"""Incomplete LU factors, as a preconditioner for matrices that need not be symmetric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numsolve._core import checks

from ._factors import Factored, Factors, places, pointers

if TYPE_CHECKING:
    from numsolve._core.typing import Matrix

#: The `fill` of ILUT where none is given.
USUAL_FILL = 10


class ILU(Factored):
    """Incomplete LU factors of a matrix, as a preconditioner.

    Rows are not exchanged. A pivot that is too small for its row is replaced by the mean absolute entry of
    the row; `n_replaced` counts how often.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        The matrix.
    droptol : float
        Entries of a row that are at most so many times its mean absolute entry are dropped.
    fill : int, optional
        Entries that each half of a row may have beyond those of A: the largest are kept (ILUT). By default
        none if `droptol` is 0, so that the factors have the pattern of A: ILU(0). Otherwise 10.
    check_finite : bool
        Refuse NaN and infinities.

    Attributes
    ----------
    shape : tuple of int
        ``(n, n)``.
    nnz : int
        Entries of the factors.
    n_replaced : int
        Pivots that were replaced.

    Raises
    ------
    ValueError
        If an entry is not finite, or a setting is out of range.

    See Also
    --------
    numsolve.linear.bicgstab, numsolve.linear.gmres : Solvers that apply it in their compiled loops.

    References
    ----------
    Y. Saad, "ILUT: a dual threshold incomplete LU factorization", Numer. Linear Algebra Appl. 1, 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> A = linear.problems.laplacian(50)
    >>> linear.ILU(A)
    ILU(2500 rows, 12300 entries, droptol=0.0, fill=None)
    >>> linear.bicgstab(A, np.ones(2500), M=linear.ILU(A, droptol=1e-3)).success
    True
    """

    def __init__(
        self, A: Matrix, droptol: float = 0.0, fill: int | None = None, *, check_finite: bool = True
    ) -> None:
        self.droptol = checks.real("droptol", droptol, low=0.0)
        self.fill = None if fill is None else checks.integer("fill", fill, low=0)
        super().__init__(A, check_finite=check_finite)

    def _factorise(self, A: Matrix) -> None:
        from . import _cpu_factor as k

        n, row = A.shape[0], np.arange(A.shape[0])
        fill = (USUAL_FILL if self.droptol else -1) if self.fill is None else min(self.fill, n)
        indptr, indices, data = pointers(A)
        own, extra = np.diff(A.indptr), max(fill, 0)
        of = np.repeat(row, own)
        below = np.bincount(of[A.indices < of], minlength=n)
        lcolumns, lower = places(np.minimum(below + extra, row))
        ucolumns, upper = places(np.minimum(own - below + extra, n - 1 - row))
        lp, up = np.zeros(n + 1, np.uint32), np.zeros(n + 1, np.uint32)
        d, work = np.empty(n), np.empty(n)
        mark, found = np.empty(n, np.int64), np.empty((3, n), np.int64)
        self.n_replaced: int = k.ilu(
            indptr, indices, data, self.droptol, fill,
            lp, lcolumns, lower, up, ucolumns, upper, d, work, mark, found,
        )  # fmt: skip
        with np.errstate(over="ignore", divide="ignore"):  # seen in the residual
            inverse = (1.0 / d).astype(A.dtype)
        left, right = int(lp[-1]), int(up[-1])
        self.factors = Factors.arranged(
            (lp, lcolumns[:left], lower[:left]), (up, ucolumns[:right], upper[:right]), np.ones(n), inverse
        )

    def __repr__(self) -> str:
        return f"ILU({self.shape[0]} rows, {self.nnz} entries, droptol={self.droptol}, fill={self.fill})"
