r"""GMRES, for systems that need not be symmetric: residuals that never rise, at the price of a basis.

Y. Saad, M. H. Schultz, SIAM J. Sci. Stat. Comput. 7, 1986, with the preconditioner M on the right, so that
the residuals are those of the system itself. From v_1 = r / ||r|| a cycle builds an orthonormal basis V,

    w = A M v_k,                                                                                       (1)
    h_ik = v_i'w,   w <- w - h_ik v_i   for i = 1 ... k,                                               (2)
    v_k+1 = w / ||w||,                                                                                 (3)

where (2) is done twice if little of w remains. Rotations (c, s) turn the columns of H into a triangle R,

    c = h_kk / sqrt(h_kk^2 + ||w||^2),   s = ||w|| / sqrt(h_kk^2 + ||w||^2),                           (4)
    (g_k, g_k+1) = (c, -s) g_k,                                                                        (5)

and ``|g_k+1|`` is the norm of the residual of the iterate x + M V y with R y = g (6). After `restart` vectors
a new cycle begins there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import checks
from numsolve._core.codes import CONVERGED, NONFINITE, RUNNING, STAGNATED
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._factors import Factors
from ._judge import norm
from ._nonsymmetric import Compiled, Operated, prepared
from ._system import FOREIGN, System

if TYPE_CHECKING:
    from collections.abc import Callable

    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix

    from .result import LinearResult

#: A cycle that leaves more of the residual than this would be repeated for ever.
NO_PROGRESS = 1 - 1e-10


@answers(**{word: ours for word, ours in FOREIGN.items() if word != "restart"}, restrt="restart")
def gmres(
    A: Matrix,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    M: Matrix | None = None,
    restart: int = 30,
    rtol: float = 1e-5,
    atol: float = 0.0,
    stop: Literal["b", "r0"] = "b",
    check_finite: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LinearResult:
    """Solve a system by restarted GMRES.

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
    restart : int
        Vectors that a cycle keeps.
    rtol, atol : float
        Converged when ``||b - A x|| <= max(rtol * reference, atol)``.
    stop : {"b", "r0"}
        The reference: the norm of b, as in SciPy, or that of the first residual.
    check_finite : bool
        Refuse NaN and infinities.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.linear.sor`; they count vectors and not cycles, 10 n by default.

    Returns
    -------
    LinearResult
        With `x`, `nit`, `residual` (the true one), `rhs_norm` and the times; ``x, info = gmres(...)``.

    Raises
    ------
    ValueError
        If a shape is wrong, an entry is not finite, or a setting is out of range.
    TypeError
        If an array is complex or not numeric.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, or a whole cycle left the residual as it was (status
        ``STAGNATED``): then no further one would help, but a larger `restart` may. `x` is the best iterate.

    See Also
    --------
    numsolve.linear.bicgstab : Less memory, and often less time.

    References
    ----------
    Y. Saad, M. H. Schultz, "GMRES: a generalized minimal residual algorithm for solving nonsymmetric linear
    systems", SIAM J. Sci. Stat. Comput. 7, 1986.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from numsolve import linear
    >>> wind = sp.diags_array([-1.0, 1.0], offsets=[-50, 0], shape=(2500, 2500))
    >>> A, b = linear.problems.laplacian(50) + 5.0 * wind, np.ones(2500)
    >>> linear.gmres(A, b, M=linear.ILU(A), rtol=1e-8).success
    True
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    restart = checks.integer("restart", restart, low=1)
    system, precondition = prepared(A, b, x0, M, stop, check_finite=check_finite)
    restart = min(restart, max(system.b.shape[0], 1))
    method: _Cycles
    if isinstance(precondition, Factors):
        method = _CompiledSteps(system, precondition, restart)
    else:
        method = _OperatedSteps(system, precondition, restart)
    loop: dict[str, Any] = {"stop": stop, "label": "GMRES", "rtol": rtol, "atol": atol}
    return system.solve(method, limits, maxiter=10 * system.b.shape[0], **loop)


class _Cycles:
    """Cycles of the method; how a basis grows and what is made of it is left to the two kinds."""

    system: System
    restart: int
    scale_for: Callable[[Array], Any]
    grown: Callable[[Array, float], tuple[int, int]]
    corrected: Callable[[], Array]

    def start(self, x: Array, r: Array) -> None:
        """Begin at x with the residual r."""
        self.scale = self.scale_for(r)
        self.basis = np.zeros((self.restart + 1, r.size), r.dtype)
        self.R, self.g = np.zeros((self.restart, self.restart + 1)), np.zeros(self.restart + 1)
        self.rotations = np.zeros((self.restart, 2))
        self.begin(x, r, norm(r))

    def begin(self, x: Array, r: Array, size: float) -> None:
        """Begin a cycle."""
        self.base, self.r, self.vectors = x, r, 0
        self.g[0] = size
        self.basis[0] = r / r.dtype.type(size)

    def steps(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Do steps, of as many cycles as it takes."""
        done, code = 0, RUNNING
        for _ in range(norms.size):
            code = self.renewed() if self.vectors == self.restart else RUNNING
            if code == RUNNING:
                new, code = self.grown(norms[done:], stop_at)
                done, self.vectors = done + new, self.vectors + new
            if code != RUNNING or done == norms.size:
                break
        return done, code

    def renewed(self) -> int:
        """Begin the next cycle where the basis is full."""
        x, r, before = self.x(), np.empty_like(self.r), norm(self.r)
        self.system.product(x - self.base, r)
        np.subtract(self.r, r, out=r)
        size = norm(r)
        if not size <= NO_PROGRESS * before:
            self.vectors = self.vectors if size <= before else 0
            return STAGNATED if math.isfinite(size) else NONFINITE
        self.begin(x, r, size)
        return RUNNING

    def x(self) -> Array:
        """The iterate (6)."""
        if not self.vectors:
            return self.base
        with np.errstate(over="ignore", invalid="ignore"):  # seen in the residual
            return self.base + self.corrected()


class _CompiledSteps(_Cycles, Compiled):
    """The compiled iteration."""

    def __init__(self, system: System, factors: Factors, restart: int) -> None:
        super().__init__(system, factors)
        self.system, self.restart = system, restart

    def grown(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Let the basis grow."""
        work = np.empty((2, self.r.size), self.r.dtype)
        done, code = self.k.gmres(
            *self.matrix, *self.factors, self.scale, self.basis, self.R, self.rotations, self.g, work,
            stop_at, norms, self.vectors,
        )  # fmt: skip
        return done, code

    def corrected(self) -> Array:
        """The correction that the basis leads to."""
        u, work, z = np.empty((3, self.r.size), self.r.dtype)
        y = np.empty(self.vectors)
        self.k.correction(*self.factors, self.scale, self.basis, self.R, self.g, y, u, work, z)
        return z


class _OperatedSteps(_Cycles, Operated):
    """The same with operators of which only products are known."""

    def __init__(self, system: System, precondition: Callable[[Array], Array], restart: int) -> None:
        super().__init__(system, precondition)
        self.restart = restart

    def grown(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Let the basis grow; the numbers are those of `gmres`."""
        done, tiny = 0, 32 * float(np.finfo(self.r.dtype).eps)
        with np.errstate(all="ignore"):  # seen in the residual
            for k in range(self.vectors, min(self.vectors + norms.size, self.restart)):
                h, V = np.zeros(k + 1), self.basis[: k + 1]
                w = self.product(self.precondition(self.basis[k])).astype(float)  # (1)
                before = norm(w)
                for _ in range(2):
                    part = V @ w
                    h += part
                    w -= part @ V  # (2)
                    if norm(w) > 0.3 * before:
                        break
                length = math.hypot(norm(w), float(np.linalg.norm(h)))
                if not math.isfinite(length):
                    return done, NONFINITE
                below = norm(w) if norm(w) > tiny * length else 0.0
                self.basis[k + 1] = w / below if below else 0.0  # (3)
                for i, (c, s) in enumerate(self.rotations[:k]):
                    h[i], h[i + 1] = c * h[i] + s * h[i + 1], c * h[i + 1] - s * h[i]
                radius = math.hypot(h[k], below)
                if not radius > tiny * length:
                    return done, STAGNATED
                c, s = self.rotations[k] = h[k] / radius, below / radius  # (4)
                h[k] = radius
                self.R[k, : k + 1] = h
                self.g[k], self.g[k + 1] = c * self.g[k], -s * self.g[k]  # (5)
                norms[done] = abs(self.g[k + 1])
                done += 1
                if norms[done - 1] <= stop_at or not below:
                    return done, CONVERGED
        return done, RUNNING

    def corrected(self) -> Array:
        """The correction that the basis leads to."""
        size = self.vectors
        y = np.linalg.solve(np.triu(self.R[:size, :size].T), self.g[:size])
        return self.precondition((y @ self.basis[:size]).astype(self.r.dtype))
