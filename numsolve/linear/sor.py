r"""Successive over-relaxation (SOR), in residual form.

With A = D + L + U and M = D/w + L, a step is x <- x + d with

    M d = r,                                                                                           (1)

and leaves the residual

    r' = r - A d = -((1 - 1/w) D + U) d,                                                               (2)

since A = M + (1 - 1/w) D + U (D. M. Young 1954; the tuning of w over a sequence of systems is that of M.
Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, "Learning to relax", ICLR 2024). The next correction solves M d'
= r', and row i of both formulas needs d beyond i and d' before i: one pass over the matrix is a step and
gives the norm of the residual, too, for nothing. The compiled step is `_cpu_sweeps._sor_step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np

from numsolve._core import checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._judge import norm
from ._system import FOREIGN, STOPS, System, relaxation
from .sweeps import DIRECTIONS, plan_for

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix

    from .result import LinearResult
    from .sweeps import SweepPlan

#: Where the adaptive choice starts.
FIRST_OMEGA = 1.5
#: Growth of the residual at which an iteration is given up.
DIVERGENCE = 1e30
#: Most steps by default.
MAXITER = 10_000
NO_PRECONDITIONER = "relaxation takes no preconditioner, numsolve.linear.cg does"


class Settings(TypedDict, total=False):
    """The settings that `sor`, `ssor` and `gauss_seidel` share."""

    rtol: float
    atol: float
    maxiter: int | None
    stop: Literal["b", "r0"]
    plan: SweepPlan | None
    check_finite: bool
    callback: Callback | None
    progress: bool
    time_limit: float | None


class SSORSettings(Settings, total=False):
    """The settings of `ssor`."""

    omega: float


class GaussSeidelSettings(Settings, total=False):
    """The settings of `gauss_seidel`."""

    sweep: Literal["forward", "backward", "symmetric"]


@answers(**FOREIGN, M=NO_PRECONDITIONER, w="omega")
def sor(
    A: Matrix,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    omega: float | Literal["adaptive"] = 1.0,
    rtol: float = 1e-5,
    atol: float = 0.0,
    stop: Literal["b", "r0"] = "r0",
    sweep: Literal["forward", "backward", "symmetric"] = "forward",
    plan: SweepPlan | None = None,
    check_finite: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LinearResult:
    """Solve a linear system by successive over-relaxation.

    It converges for every symmetric positive definite matrix and every omega between 0 and 2, for diagonally
    dominant ones and omega at most 1, and often beyond that. The number of steps depends much on omega.

    Parameters
    ----------
    A : array or sparse matrix of shape (n, n)
        Without zeros on the diagonal; not changed.
    b : array of shape (n,), (n, 1) or (n, k)
        Right-hand sides; each is solved for by itself.
    x0 : array of the shape of b, optional
        Where to start; zeros by default.
    omega : float or "adaptive"
        The relaxation parameter, in (0, 2). "adaptive" starts with 1.5 and raises it during the solve by
        Young's relation between the rate of convergence and the best omega; for consistently ordered
        matrices, such as five-point differences.
    rtol, atol : float
        Converged when ``||b - A x|| <= max(rtol * reference, atol)``.
    stop : {"r0", "b"}
        The reference: the norm of the first residual, or that of b.
    sweep : {"forward", "backward", "symmetric"}
        The order of the rows; "symmetric" does both in each step, as `ssor`.
    plan : SweepPlan, optional
        A plan for the sparsity pattern of A; it takes the values of A.
    check_finite : bool
        Refuse NaN and infinities.
    maxiter, callback, progress, time_limit : int, callable, bool, float; optional
        Most steps (10 000 by default); called after each step with x, or with an ``intermediate_result`` if
        its parameter has that name, and True stops the run; a progress bar; seconds. Ctrl-C and these limits
        end the solve of all right-hand sides, those not begun keeping their start.

    Returns
    -------
    LinearResult
        With `x`, `nit`, `residual` (the true one), `rhs_norm`, `omega` and the times; ``x, info = sor(...)``.

    Raises
    ------
    ValueError
        If a shape is wrong, the diagonal has a zero, an entry is not finite, or a setting is out of range.
    TypeError
        If an array is complex or not numeric.

    Warns
    -----
    ConvergenceWarning
        If the tolerance was not reached; `x` is the best iterate.

    See Also
    --------
    numsolve.linear.ssor_cg : For symmetric positive definite matrices, nearly always the faster one.
    numsolve.linear.optimal_omega : The best omega, from an eigenvalue.
    numsolve.linear.TunedSolver : The best omega, learned from a sequence of systems.

    References
    ----------
    L. A. Hageman, D. M. Young, "Applied Iterative Methods", Academic Press, 1981, chapter 9.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> A, b = linear.problems.laplacian(10), np.ones(100)
    >>> [linear.sor(A, b, omega=w, rtol=1e-8).nit for w in (1.0, 1.5, "adaptive")]
    [223, 62, 44]
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    check_finite = checks.flag("check_finite", check_finite)
    adaptive = isinstance(omega, str) and omega == "adaptive"
    if isinstance(omega, str) and not adaptive:
        raise ValueError(f"omega must be 'adaptive' or a number in (0, 2), got {omega!r}")
    w = FIRST_OMEGA if adaptive else relaxation(omega)
    checks.choice("sweep", sweep, tuple(DIRECTIONS))
    checks.choice("stop", stop, STOPS)
    if adaptive and sweep == "symmetric":
        raise ValueError("omega='adaptive' is for forward and backward sweeps, got sweep='symmetric'")
    system = System.make(A, b, x0, check_finite=check_finite)
    method = Relaxation(plan_for(system.A, plan, check_finite=check_finite), w, sweep, adaptive=adaptive)
    return system.solve(
        method,
        limits,
        omega=lambda: method.omega,
        label="SSOR" if sweep == "symmetric" else "SOR",
        stop=stop,
        rtol=rtol,
        atol=atol,
        maxiter=MAXITER,
        divergence=DIVERGENCE,
    )


@answers(**FOREIGN, M=NO_PRECONDITIONER, w="gauss_seidel has omega = 1; numsolve.linear.sor takes another")
def gauss_seidel(
    A: Matrix, b: ArrayLike, x0: ArrayLike | None = None, **settings: Unpack[GaussSeidelSettings]
) -> LinearResult:
    """Solve a linear system by Gauss-Seidel iteration: `sor` with omega = 1.

    Parameters
    ----------
    A, b, x0 : array
        As in `sor`.
    **settings
        Those of `sor`, except omega.

    Returns
    -------
    LinearResult

    See Also
    --------
    numsolve.linear.sor : The same with a choice of omega, which saves most of the steps.

    Examples
    --------
    >>> import numpy as np
    >>> from numsolve import linear
    >>> linear.gauss_seidel(linear.problems.laplacian(10), np.ones(100), rtol=1e-8).nit
    223
    """
    if "omega" in settings:
        raise TypeError("gauss_seidel has omega = 1; numsolve.linear.sor takes another")
    return sor(A, b, x0, omega=1.0, **settings)


class Relaxation:
    """The compiled iteration: the state is x and the correction d that its residual asks for."""

    def __init__(self, plan: SweepPlan, omega: float, sweep: str, *, adaptive: bool = False) -> None:
        from . import _cpu_sweeps

        self.k: Any = _cpu_sweeps
        self.rows, *self.matrix = plan.halves(mirrored=sweep == "backward")
        self.omega, self.symmetric, self.adaptive = omega, sweep == "symmetric", adaptive

    def start(self, x: Array, r: Array) -> None:
        """Begin at x with the residual r."""
        self.position, self.d = x[self.rows], r[self.rows]
        first = norm(self.d)
        self.give_up_at = DIVERGENCE * first
        lp, _, *entries = self.matrix
        self.k.relax_lower(lp, *entries, self.omega, self.d)  # (1)
        self.state = np.array([self.omega, 0.0, first, 0.0])
        self.e = np.empty_like(self.d) if self.symmetric else None

    def steps(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Do compiled steps."""
        vectors, test = (self.position, self.d), (stop_at, self.give_up_at, norms)
        if self.symmetric:
            done, code = self.k.ssor(*self.matrix, self.omega, *vectors, self.e, *test)
        elif self.adaptive:
            done, code = self.k.sor_adaptive(*self.matrix, *vectors, self.state, *test)
            self.omega = float(self.state[0])
        else:
            done, code = self.k.sor(*self.matrix, self.omega, *vectors, *test)
        return done, code

    def x(self) -> Array:
        """The iterate in the caller's order."""
        x = np.empty_like(self.position)
        x[self.rows] = self.position
        return x
