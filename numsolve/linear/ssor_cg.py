r"""Conjugate gradients with the SSOR preconditioner, in Eisenstat's form.

With the preconditioner P = (Dw + L) Dw^-1 (Dw + U) / (2 - w), Dw = D/w, a textbook step reads the
matrix twice: for the product and for the two triangular solves. S. C. Eisenstat (SIAM J. Sci. Stat. Comput.
2, 1981) works with z = (Dw + L)^-1 r instead, where one step is

    p <- Dw z + beta p,   (Dw + U) t = p,   g = p - K t,   (Dw + L) s = g,   K = (2/w - 1) D,
    a = rho / p'(t + s),  x <- x + a t,   z <- z - a (t + s),   r <- r - a (Dw t + L t + g),

and reads it once. The last bracket is A t, so that the true residual is there for the stopping test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.result import Status

from ._pattern import pattern_of
from ._system import STOPS, System, relaxation
from .cg import check_symmetric, textbook
from .sweeps import SSOR, SweepPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from .result import LinearResult


def ssor_cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    omega: float = 1.0,
    method: str = "auto",
    order: str = "forward",
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    stop: str = "b",
    plan: SweepPlan | None = None,
    check: str | None = None,
    check_finite: bool = True,
    callback: Callable[..., Any] | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LinearResult:
    """Solve a symmetric positive definite system by conjugate gradients with the SSOR preconditioner.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Symmetric positive definite; not changed.
    b : array of shape (n,), (n, 1) or (n, k)
        Right-hand sides.
    x0 : array of the shape of b, optional
        Where to start; zeros by default.
    omega : float
        The parameter of the preconditioner, in (0, 2): 1.2 for well-conditioned matrices, 1.9 for large
        grids; `TunedSolver` finds it.
    method : {"auto", "eisenstat", "standard"}
        "eisenstat" and "standard" have the same iterates; "standard" is the textbook's form, at twice the
        time. "auto" is "eisenstat".
    order : {"forward", "backward"}
        Which factor of the preconditioner comes first, ``D/w + L`` or ``D/w + U``.
    rtol, atol : float
        Converged when ``||b - A x|| <= max(rtol * reference, atol)``.
    maxiter : int, optional
        Most steps to do; 10 n by default.
    stop : {"b", "r0"}
        The reference: the norm of b, as in SciPy, or that of the first residual.
    plan : SweepPlan, optional
        A plan for the sparsity pattern of A, in its natural or level order; it spares the comparison of
        patterns.
    check : {"symmetric"}, optional
        Look whether A is symmetric, which costs some products with it.
    check_finite : bool
        Refuse NaN and infinities.
    callback : callable, optional
        Called after each step with x, or with an ``intermediate_result``; returning True stops the run.
    progress : bool
        Show a progress bar.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    LinearResult
        With `x`, `nit`, `residual` (the true one), `rhs_norm`, `omega` and the times; ``x, info =
        ssor_cg(...)``.

    Raises
    ------
    ValueError
        If a shape is wrong, the diagonal has a zero, an entry is not finite, a setting is out of range, or
        the check fails.
    TypeError
        If an array is complex or not numeric.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached, or A is not positive definite (status ``BREAKDOWN``, info -1); `x`
        is the best iterate.

    See Also
    --------
    numsolve.linear.TunedSolver : Learns omega over a sequence of systems.
    numsolve.linear.SSOR : The preconditioner for other solvers.

    References
    ----------
    O. Axelsson, "Iterative Solution Methods", Cambridge University Press, 1994, chapter 7.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> A, b = linear.problems.laplacian(100), np.ones(10_000)
    >>> [linear.ssor_cg(A, b, omega=w, rtol=1e-8).nit for w in (1.0, 1.9)]
    [93, 40]
    """
    checks.choice("stop", stop, STOPS)
    checks.choice("method", method, ("auto", "eisenstat", "standard"))
    checks.choice("order", order, ("forward", "backward"))
    if check is not None:
        checks.choice("check", check, ("symmetric",))
    omega = relaxation(omega)
    settings: dict[str, Any] = {
        "stop": stop,
        "label": "SSOR-CG",
        "rtol": rtol,
        "atol": atol,
        "maxiter": maxiter,
        "callback": callback,
        "progress": progress,
        "time_limit": time_limit,
    }
    if check is not None:
        check_symmetric(A)
    if not arrays.is_numpy(arrays.array_namespace(A=A, b=b, x0=x0)):
        M = SSOR(A, omega, order=order)
        return textbook(A, b, x0, M, omega=omega, check_finite=check_finite, **settings)
    system = System.make(A, b, x0, check_finite=check_finite)
    if method == "standard":
        M = SSOR(system.A, omega, plan=plan, order=order)
        return textbook(system.A, system.b, system.x0, M, omega=omega, check_finite=False, **settings)
    settings["maxiter"] = 10 * system.b.shape[0] if maxiter is None else maxiter
    eisenstat = Eisenstat(system.A, omega, plan, mirrored=order == "backward", check_finite=check_finite)
    return system.solve(eisenstat.k, eisenstat, omega=omega, **settings)


class Eisenstat:
    """The compiled iteration in Eisenstat's form, on D^-1/2 A D^-1/2: then D and K are numbers."""

    def __init__(
        self,
        A: Any,
        omega: float,
        plan: SweepPlan | None = None,
        *,
        mirrored: bool = False,
        check_finite: bool = True,
    ) -> None:
        from . import _cpu, _cpu_cg

        self.k: Any = _cpu
        self.cg: Any = _cpu_cg
        self.omega = omega
        if plan is not None and not isinstance(plan, SweepPlan):
            raise TypeError(f"plan must be a SweepPlan, got {type(plan).__name__}")
        h = pattern_of(A, "level") if plan is None else plan._pattern_for(A)
        h = h.mirrored if mirrored else h
        lv, uv = np.empty(h.lc.size, A.dtype), np.empty(h.uc.size, A.dtype)
        self.root = np.empty(h.rows.size, A.dtype)
        total, zero, negative = self.cg.scaled_gather(
            A.data, h.lp, h.lc, h.lf, h.up, h.uc, h.uf, h.df, lv, uv, self.root
        )
        h.check(A.data, total, zero, finite=check_finite)
        self.indefinite = negative >= 0
        self.rows, self.lower, self.upper = h.rows, (h.lp, h.lc, lv), (h.up, h.uc, uv)

    def start(self, x: Any, r: Any) -> None:
        """Begin at x with the residual r."""
        self.y, self.r, self.z, self.p = (np.empty_like(r) for _ in range(4))
        rho = self.cg.eisenstat_start(
            self.rows, *self.lower, self.root, self.omega, r, x, self.y, self.r, self.z, self.p
        )
        self.state = np.array([rho, 0.0, rho])

    def steps(self, norms: Any, stop_at: float) -> tuple[int, int]:
        """Do compiled steps."""
        if self.indefinite:
            return 0, Status.BREAKDOWN
        vectors = (self.y, self.r, self.z, self.p)
        done, code = self.cg.eisenstat(
            *self.lower, *self.upper, self.root, self.omega, *vectors, self.state, stop_at, norms
        )
        return done, code

    def x(self) -> Any:
        """The iterate in the caller's order."""
        x = np.empty_like(self.y)
        x[self.rows] = self.y / self.root
        return x
