r"""Conjugate gradients with the SSOR preconditioner, in Eisenstat's form.

With the preconditioner P = (Dw + L) Dw^-1 (Dw + U) / (2 - w), Dw = D/w, a textbook step reads the
matrix twice: for the product and for the two triangular solves. S. C. Eisenstat (SIAM J. Sci. Stat. Comput.
2, 1981) works with z = (Dw + L)^-1 r instead, where one step is

    p <- Dw z + beta p,                                                                                (1)
    (Dw + U) t = p,                                                                                    (2)
    g = p - K t,    K = (2/w - 1) D,                                                                   (3)
    (Dw + L) s = g,                                                                                    (4)
    a = rho / p'(t + s),                                                                               (5)
    x <- x + a t,                                                                                      (6)
    z <- z - a (t + s),                                                                                (7)
    r <- r - a (Dw t + L t + g),                                                                       (8)

and reads it once. The last bracket is A t, so that the true residual is there for the stopping test. The
compiled steps are those of `_cpu_cg`, on D^-1/2 A D^-1/2: then D and K are numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp

from numsolve._core import arrays, checks
from numsolve._core.codes import BREAKDOWN
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits

from ._pattern import pattern_of
from ._system import FOREIGN, STOPS, System, kernels, relaxation
from .cg import check_symmetric, textbook
from .sweeps import SSOR, SweepPlan

if TYPE_CHECKING:
    from numsolve._core.typing import Array, ArrayLike, Callback, Matrix

    from .result import LinearResult


@answers(**FOREIGN, M="ssor_cg has its own preconditioner; numsolve.linear.cg takes another", w="omega")
def ssor_cg(
    A: Matrix,
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    omega: float = 1.0,
    method: Literal["auto", "eisenstat", "standard"] = "auto",
    order: Literal["forward", "backward"] = "forward",
    rtol: float = 1e-5,
    atol: float = 0.0,
    stop: Literal["b", "r0"] = "b",
    plan: SweepPlan | None = None,
    check: Literal["symmetric"] | None = None,
    check_finite: bool = True,
    maxiter: int | None = None,
    callback: Callback | None = None,
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
        "eisenstat" and "standard" have the same iterates; "standard" is the textbook's form, with two passes
        over the matrix in a step where "eisenstat" has one. "auto" is "eisenstat".
    order : {"forward", "backward"}
        Which factor of the preconditioner comes first, ``D/w + L`` or ``D/w + U``.
    rtol, atol : float
        Converged when ``||b - A x|| <= max(rtol * reference, atol)``.
    stop : {"b", "r0"}
        The reference: the norm of b, as in SciPy, or that of the first residual.
    plan : SweepPlan, optional
        A plan for the sparsity pattern of A, in its natural or level order; it spares the comparison of
        patterns.
    check : {"symmetric"}, optional
        Look whether A is symmetric, which costs some products with it.
    check_finite : bool
        Refuse NaN and infinities.
    maxiter, callback, progress, time_limit
        The run settings, as in `numsolve.linear.sor`; 10 n steps by default.

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
    limits = Limits(maxiter, time_limit, callback, progress)
    check_finite = checks.flag("check_finite", check_finite)
    checks.choice("stop", stop, STOPS)
    checks.choice("method", method, ("auto", "eisenstat", "standard"))
    checks.choice("order", order, ("forward", "backward"))
    if check is not None:
        checks.choice("check", check, ("symmetric",))
    omega = relaxation(omega)
    loop: dict[str, Any] = {"stop": stop, "label": "SSOR-CG", "rtol": rtol, "atol": atol}
    if check is not None:
        check_symmetric(A)
    if not (sp.issparse(A) or arrays.is_numpy(arrays.array_namespace(A=A, b=b, x0=x0))):
        M = SSOR(A, omega, order=order)
        return textbook(A, b, x0, M, limits, omega=omega, check_finite=check_finite, **loop)
    system = System.make(A, b, x0, check_finite=check_finite)
    if method == "standard":
        M = SSOR(system.A, omega, plan=plan, order=order)
        return textbook(system.A, system.b, system.x0, M, limits, omega=omega, check_finite=False, **loop)
    halves = {"plan": plan, "mirrored": order == "backward", "check_finite": check_finite}
    return compiled(system, limits, omega, halves, **loop)


def compiled(
    system: System, limits: Limits, omega: float, halves: dict[str, Any], **loop: Any
) -> LinearResult:
    """Solve a system whose arguments have been checked."""
    eisenstat = Eisenstat(system.A, omega, **halves)
    return system.solve(eisenstat, limits, omega=omega, maxiter=10 * system.b.shape[0], **loop)


class Eisenstat:
    """The compiled iteration in Eisenstat's form, on D^-1/2 A D^-1/2: then D and K are numbers."""

    def __init__(
        self,
        A: Matrix,
        omega: float,
        plan: SweepPlan | None = None,
        *,
        mirrored: bool = False,
        check_finite: bool = True,
    ) -> None:
        self.k: Any = kernels()
        self.omega = omega
        if plan is not None and not isinstance(plan, SweepPlan):
            raise TypeError(f"plan must be a SweepPlan, got {type(plan).__name__}")
        h = pattern_of(A, "level") if plan is None else plan.pattern_for(A)
        h = h.mirrored if mirrored else h
        n, values = h.rows.size, np.empty(h.columns.size, A.dtype)
        self.root, inverse = np.empty(n, A.dtype), np.empty(n, A.dtype)
        total, zero, negative = self.k.roots(A.data, h.source[h.middle], self.root, inverse)
        for ptr in (h.lp, h.up):
            total += self.k.scale(A.data, ptr, h.columns, h.source, inverse, values)
        h.check(A.data, total, zero=zero, finite=check_finite)
        self.indefinite = negative
        self.rows, self.lower, self.matrix = (
            h.rows,
            (h.lp, h.columns, values),
            (h.lp, h.up, h.columns, values),
        )

    def start(self, x: Array, r: Array) -> None:
        """Begin at x with the residual r."""
        self.vectors = np.empty((7, r.size), r.dtype)
        y, q, z, p = self.vectors[:4]
        np.multiply(x[self.rows], self.root, out=y)
        np.divide(r[self.rows], self.root, out=q)
        p.fill(0.0)
        rho = self.k.eisenstat_start(*self.lower, self.omega, q, z)
        self.state = np.array([rho, 0.0, rho])

    def steps(self, norms: Array, stop_at: float) -> tuple[int, int]:
        """Do compiled steps."""
        if self.indefinite:
            return 0, BREAKDOWN
        done, code = self.k.eisenstat(
            *self.matrix, self.root, self.omega, self.vectors, self.state, stop_at, norms
        )
        return done, code

    def x(self) -> Array:
        """The iterate in the caller's order."""
        y: Array = self.vectors[0]
        x = np.empty_like(y)
        with np.errstate(over="ignore"):  # seen in the residual
            x[self.rows] = y / self.root
        return x
