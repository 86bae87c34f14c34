r"""Symmetric successive over-relaxation (SSOR): a forward and a backward sweep in each step.

    (D/w + L) d = r,    (D/w + U) e = -((1 - 1/w) D + U) d,    x <- x + d + e,    r' = -((1 - 1/w) D + L) e

(J. W. Sheldon 1955; with one reading of each half of the matrix a step, after V. Conrad, Y. Wallach,
"Alternating methods for sets of linear equations", Numer. Math. 32, 1979). The compiled step is
`_cpu_sweeps.ssor_step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .sor import sor

if TYPE_CHECKING:
    from .result import LinearResult


def ssor(A: Any, b: Any, x0: Any = None, **settings: Any) -> LinearResult:
    """Solve a linear system by symmetric successive over-relaxation.

    A step costs about 1.2 steps of `sor`. It depends less on omega, and is seldom faster at the best one:
    its use is as a preconditioner, in `ssor_cg`.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Without zeros on the diagonal; the iteration converges where A is symmetric positive definite.
    b : array of shape (n,), (n, 1) or (n, k)
        Right-hand sides.
    x0 : array of the shape of b, optional
        Where to start; zeros by default.
    **settings
        Those of `numsolve.linear.sor`, but for `sweep`: `omega` (a number), `rtol`, `atol`, `maxiter`,
        `stop`, `plan`, `check_finite`, `callback`, `progress`, `time_limit`.

    Returns
    -------
    LinearResult

    See Also
    --------
    numsolve.linear.ssor_cg : The same sweeps as a preconditioner, with far fewer steps.
    numsolve.linear.SSOR : The preconditioner as an operator.

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
