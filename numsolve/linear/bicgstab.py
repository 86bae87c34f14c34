r"""BiCGSTAB, for systems that need not be symmetric: short recurrences, two products a step.

H. A. van der Vorst, SIAM J. Sci. Stat. Comput. 13, 1992, with the preconditioner M on the right, so that
the residuals are those of the system itself. A step from r, with the shadow r0 of the first residual, is

    rho = r0'r,   beta = (rho / rho_old) (alpha / omega),                                              (1)
    p <- r + beta (p - omega v),                                                                       (2)
    y = M p,   v = A y,                                                                                (3)
    alpha = rho / r0'v,                                                                                (4)
    r <- r - alpha v,                                                                                  (5)
    z = M r,   t = A z,                                                                                (6)
    omega = t'r / t't,                                                                                 (7)
    x <- x + alpha y + omega z,                                                                        (8)
    r <- r - omega t.                                                                                  (9)

Where r is orthogonal to its shadow, or omega is zero, the iteration begins anew with r as the shadow. The
residuals may rise in between; the best iterate is kept.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core.codes import BREAKDOWN, CONVERGED, NONFINITE, RUNNING
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._factors import Factors
from ._nonsymmetric import Compiled, Operated, prepared
from ._system import FOREIGN

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix

    from .result import LinearResult


@answers(**FOREIGN)
def bicgstab(
    A: Matrix,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    M: Matrix | None = None,
    rtol: float = 1e-5,
    atol: float = 0.0,
    stop: Literal["b", "r0"] = "b",
    check_finite: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LinearResult:
    """Solve a system by BiCGSTAB.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n, n)
        Real; not changed.
    b : array of shape (n,), (n, 1) or (n, k)
        Right-hand sides.
    x0 : array of the shape of b, optional
        Where to start; zeros by default.
    M : array, sparse matrix or LinearOperator of shape (n, n), optional
        Preconditioner: an approximation of the inverse of A. With a matrix A and an `ILU` or an `ICT`, or
        without a preconditioner, the loop is compiled.
    rtol, atol : float
        Converged when ``||b - A x|| <= max(rtol * reference, atol)``.
    stop : {"b", "r0"}
        The reference: the norm of b, as in SciPy, or that of the first residual.
    check_finite : bool
        Refuse NaN and infinities.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.linear.sor`; 10 n steps of two products by default.

    Returns
    -------
    LinearResult
        With `x`, `nit`, `residual` (the true one), `rhs_norm` and the times; ``x, info = bicgstab(...)``.

    Raises
    ------
    ValueError
        If a shape is wrong, an entry is not finite, or a setting is out of range.
    TypeError
        If an array is complex or not numeric.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, or the recurrences broke down (status ``BREAKDOWN``, info -1), as
        they do for skew-symmetric matrices; `x` is the best iterate.

    See Also
    --------
    numsolve.linear.gmres : Residuals that never rise, for more memory.
    numsolve.linear.ILU : The usual preconditioner.

    References
    ----------
    H. A. van der Vorst, "Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG for the solution of
    nonsymmetric linear systems", SIAM J. Sci. Stat. Comput. 13, 1992.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from numsolve import linear
    >>> wind = sp.diags_array([-1.0, 1.0], offsets=[-50, 0], shape=(2500, 2500))
    >>> A, b = linear.problems.laplacian(50) + 5.0 * wind, np.ones(2500)
    >>> M = linear.ILU(A)
    >>> linear.bicgstab(A, b, M=M, rtol=1e-8).nit < linear.bicgstab(A, b, rtol=1e-8).nit
    True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    system, precondition = prepared(A, b, x0, M, stop, check_finite=check_finite)
    method: Steps | OperatedSteps
    if isinstance(precondition, Factors):
        method = Steps(system, precondition)
    else:
        method = OperatedSteps(system, precondition)
    loop: dict[str, Any] = {"stop": stop, "label": "BiCGSTAB", "rtol": rtol, "atol": atol}
    return system.solve(method, limits, maxiter=10 * system.b.shape[0], **loop)


class Steps(Compiled):
    """The compiled iteration."""

    def start(self, x: Array, r: Array) -> None:
        """Begin at x with the residual r."""
        self.vectors = np.empty((10, r.size), r.dtype)
        self.vectors[0], self.vectors[1], self.vectors[9] = x, r, x
        self.state = np.array([0.0, 0.0, 0.0, math.sqrt(float(np.sum(np.square(r, dtype=float))))])
        self.scale = self.scale_for(r)

    def steps(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Do compiled steps."""
        done, code = self.k.bicgstab(
            *self.matrix, *self.factors, self.scale, self.vectors, self.state, stop_at, norms
        )
        return done, code

    def x(self) -> Array:
        """The iterate."""
        x: Array = self.vectors[0]
        return x

    def best(self) -> Array:
        """Of the iterates so far, the one with the smallest residual."""
        x: Array = self.vectors[9]
        return x


class OperatedSteps(Operated):
    """The same with operators of which only products are known; the numbers are those of `bicgstab`."""

    r0: Array
    p: Array
    v: Array

    def start(self, x: Array, r: Array) -> None:
        """Begin at x with the residual r."""
        self.iterate, self.r, self.rho = x, r, 0.0
        self.alpha = self.omega = 1.0
        self.kept = x, math.sqrt(self.dot(r, r))
        self.scale = self.scale_for(r)

    def steps(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Do steps."""
        with np.errstate(all="ignore"):  # seen in the residual
            for step in range(norms.size):
                norm, code = self._step(stop_at)
                norms[step] = norm
                if code != RUNNING:
                    return step + (code == CONVERGED), code
                if norm < self.kept[1]:
                    self.kept = self.iterate, norm
        return norms.size, RUNNING

    def _step(self, stop_at: float) -> tuple[float, int]:
        r, dot = self.r, self.dot
        rr, tiny = dot(r, r), 32 * float(np.finfo(r.dtype).eps)
        rho = dot(self.r0, r) if self.rho else 0.0
        if not abs(rho) > tiny * math.sqrt(rr * dot(self.r0, self.r0) if self.rho else 0.0):
            self.r0 = self.p = r
            rho = rr
        else:
            beta = rho / self.rho * (self.alpha / self.omega)  # (1)
            self.p = r + r.dtype.type(beta) * (self.p - r.dtype.type(self.omega) * self.v)  # (2)
        y = self.precondition(self.p)
        self.v = self.product(y)  # (3)
        slope = dot(self.r0, self.v)
        if not (abs(slope) > 0 and math.isfinite(slope)):
            return math.nan, BREAKDOWN if slope == 0 else NONFINITE
        self.alpha = alpha = rho / slope  # (4)
        s = r - r.dtype.type(alpha) * self.v  # (5)
        size = math.sqrt(dot(s, s))
        if size <= stop_at:
            self.iterate, self.r = self.iterate + r.dtype.type(alpha) * y, s
            return size, CONVERGED
        z = self.precondition(s)
        t = self.product(z)  # (6)
        tt = dot(t, t)
        self.omega = omega = dot(t, s) / tt if tt > 0 else 0.0  # (7)
        self.iterate = self.iterate + r.dtype.type(alpha) * y + r.dtype.type(omega) * z  # (8)
        self.r = s - r.dtype.type(omega) * t  # (9)
        self.rho = rho if omega else 0.0
        size = math.sqrt(dot(self.r, self.r))
        code = CONVERGED if size <= stop_at else RUNNING if math.isfinite(size) else NONFINITE
        return size, code

    def x(self) -> Array:
        """The iterate."""
        return self.iterate

    def best(self) -> Array:
        """Of the iterates so far, the one with the smallest residual."""
        return self.kept[0]
