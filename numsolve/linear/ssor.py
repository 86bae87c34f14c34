r"""Symmetric successive over-relaxation (SSOR): a forward and a backward sweep in each step.

    (D/w + L) d = r,                                                                                   (1)
    (D/w + U) e = -((1 - 1/w) D + U) d,    x <- x + d + e,                                             (2)
    r' = -((1 - 1/w) D + L) e                                                                          (3)

(J. W. Sheldon 1955; with one reading of each half of the matrix a step, after V. Conrad, Y. Wallach,
"Alternating methods for sets of linear equations", Numer. Math. 32, 1979). The compiled step is
`_cpu_sweeps._ssor_step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from numsolve._core.foreign import answers

from ._system import FOREIGN
from .sor import NO_PRECONDITIONER, SSORSettings, sor

if TYPE_CHECKING:
    from numsolve._core.typing import ArrayLike, Matrix

    from .result import LinearResult


@answers(**FOREIGN, M=NO_PRECONDITIONER, w="omega")
def ssor(
    A: Matrix, b: ArrayLike, x0: ArrayLike | None = None, **settings: Unpack[SSORSettings]
) -> LinearResult:
    """Solve a linear system by symmetric successive over-relaxation.

    A step costs little more than one of `sor`. It depends less on omega, and is seldom faster at the best
    one: its use is as a preconditioner, in `ssor_cg`.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Without zeros on the diagonal; the iteration converges where A is symmetric positive definite.
    b : array of shape (n,), (n, 1) or (n, k)
        Right-hand sides.
    x0 : array of the shape of b, optional
        Where to start; zeros by default.
    **settings
        Those of `numsolve.linear.sor`, except `sweep`; `omega` is a number.

    Returns
    -------
    LinearResult

    See Also
    --------
    numsolve.linear.ssor_cg : The same sweeps as a preconditioner, with far fewer steps.
    numsolve.linear.SSOR : The preconditioner as an operator.

    References
    ----------
    V. Conrad, Y. Wallach, "Alternating methods for sets of linear equations", Numer. Math. 32, 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> A, b = linear.problems.laplacian(10), np.ones(100)
    >>> linear.ssor(A, b, omega=1.6, rtol=1e-8).nit
    48
    """
    if "sweep" in settings:
        raise TypeError("ssor sweeps forward and backward; numsolve.linear.sor takes another sweep")
    return sor(A, b, x0, sweep="symmetric", **settings)
