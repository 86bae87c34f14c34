r"""Linear programs by restarted, reflected Halpern iterations of the primal-dual hybrid gradient method.

With step eta < 1/|A|, weight w, ``tau = eta / w`` and ``sigma = eta w``, one PDHG step z^ = T(z) is

    x^ = clip(x - tau (c - A'y), lx, ux),      xb = 2 x^ - x,         (1)
    y^ = y - sigma (A xb + clip(y / sigma - A xb, -uc, -lc)),         (2)

and the iteration pulls its reflection 2 z^ - z towards the anchor z_0:

    z <- z_0 / (k + 2)  +  (2 z^ - z) (k + 1) / (k + 2),       k = 0, 1, ...   (3)

(H. Lu, J. Yang, "Restarted Halpern PDHG for linear programming", arXiv 2407.16144, 2024). Its fixed-point
residual r(z), the norm of z^ - z in the metric of the method, is O(1/k); restarting the anchor at z^ when r
has fallen enough makes the convergence linear. Around it, from PDLP (D. Applegate et al., NeurIPS 2021): the
shares of the restart rule, the balance of the weight at restarts, Ruiz's and Pock and Chambolle's scaling;
before these, rows and columns are scaled by geometric means. A restart may also lengthen the step beyond
1/|A|, as far as the steps since the last one allow; if it proves too long, the next restart comes at once and
shortens it. That is a heuristic, which ends after a hundred such failures: then the proofs apply again. Where
only one of x and y has moved for 32 iterations, its steps become ten times as long, and the other's as much
shorter: costs far below others, which move nothing else, would take as many iterations as they are smaller.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numsolve._core import arrays, checks
from numsolve._core.foreign import answers
from numsolve._core.limits import Limits
from numsolve._core.result import ConvergenceWarning, PrecisionWarning, Status, caller_level, deliver
from numsolve._core.unheard import unheard
from numsolve.monotone.result import LPResult

from ._batched import solve_batch
from ._compiled import MAXITER
from ._program import LinearProgram, prepare
from ._single import at_once, rest_of, solve_single
from .basic import highs

if TYPE_CHECKING:
    from numsolve._core.typing import ArrayLike, Callback, Matrix

    from ._batched import Start

#: float32 data do not support tighter tolerances.
FLOAT32_TOL = 1e-4


@answers(
    A_ub="linprog takes SciPy's arguments; here the rows are lc <= A x <= uc: give A and uc",
    b_ub="linprog takes SciPy's arguments; here it is called uc",
    A_eq="linprog takes SciPy's arguments; here the rows are lc <= A x <= uc: give A, and lc and uc alike",
    b_eq="linprog takes SciPy's arguments; here it is lc and uc alike",
    bounds="linprog takes SciPy's arguments; here they are called lx and ux",
    method="there is one method here: leave it out",
    options="give solve_lp tol=..., maxiter=... and the like",
    rtol="tol",
    atol="tol",
)
def solve_lp(
    c: ArrayLike,
    A: Matrix | None = None,
    lc: ArrayLike | None = None,
    uc: ArrayLike | None = None,
    lx: ArrayLike | None = None,
    ux: ArrayLike | None = None,
    *,
    tol: float = 1e-6,
    x0: ArrayLike | tuple[ArrayLike, ArrayLike] | LPResult | None = None,
    presolve: bool = False,
    polish: float | Literal["basic"] | None = None,
    maxiter: int | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    time_limit: float | None = None,
) -> LPResult:
    """Minimise ``c'x`` subject to ``lc <= A x <= uc`` and ``lx <= x <= ux``.

    A first-order method: each iteration is a product with A and one with its transpose. It is for programs
    too large to factorise, for many programs with one matrix, and for moderate accuracy; on programs of a few
    thousand rows a simplex or interior-point method, as in `scipy.optimize.linprog`, is much faster.

    Parameters
    ----------
    c : array of shape (n,), or (B, n) for a batch
        The cost.
    A : array or sparse matrix of shape (m, n), optional
        The rows; none by default.
    lc, uc : float or array of shape (m,) or (B, m), optional
        Bounds of the rows, equal for an equation, infinite or None for none; a finite one is a bound, however
        large.
    lx, ux : float or array of shape (n,) or (B, n), optional
        Bounds of the variables. None is no bound: for ``x >= 0`` give ``lx=0``.
    tol : float
        Largest relative primal residual, dual residual and gap, as `LPResult` defines them.
    x0 : array, pair (x, y) or LPResult, optional
        Where to start; zeros by default.
    presolve : bool
        Make the program smaller first, and its solution, multipliers and certificates included, one of yours
        afterwards. A contradiction of the bounds that rows imply is found at once. The answer is measured in
        your program; where it misses `tol` there, or its certificate proves nothing there, the iteration goes
        on in yours. Without presolve, a run that has not ended after 1024 iterations looks for such a
        contradiction. For single programs in NumPy.
    polish : float or "basic", optional
        "basic" hands the solution to the simplex method of HiGHS, which ends at a vertex with exact
        multipliers; it needs the package highspy. A number: reduce the primal and the dual residual to this
        much afterwards, each by a short run of its own that leaves the objective aside. The gap may grow, by
        a factor of a few or of a hundred, and with it `residual`; `success` speaks of the run before, unless
        the time limit or Ctrl-C cuts the polishing short. Not for batches.
    maxiter, callback, progress, time_limit : optional
        Most iterations (1 000 000 by default); called after each iteration with x, or with an
        ``intermediate_result``, and true ends the run (it slows the run down); a progress bar; seconds.

    Returns
    -------
    LPResult
        With `x`, `fun`, `y`, `reduced_costs`, `primal_residual`, `dual_residual`, `gap`, `nrestart` and, for
        an infeasible or unbounded program, a `certificate`. For a batch, each with the batch in front;
        every program stops by itself.

    Raises
    ------
    ValueError
        If an argument has the wrong shape, or is NaN; the message says which and what is wanted.
    TypeError
        If an array is complex, or the arrays come from different libraries.

    Warns
    -----
    ConvergenceWarning
        If the program was not solved: it is infeasible, unbounded, or took too long.
    PrecisionWarning
        If `tol` is below 1e-4 and the data are float32; then it is 1e-4.

    See Also
    --------
    numsolve.monotone.linprog : The same with the arguments and fields of `scipy.optimize.linprog`.
    numsolve.monotone.solve_lps : Many programs with different matrices.
    numsolve.monotone.solve_game : Matrix games.

    Notes
    -----
    A single program in NumPy runs in compiled kernels. A batch, and arrays of other libraries, are computed
    with plain array operations; the products of a batch are matrix-matrix products. In NumPy the pace of a
    batch without a callback is compared with the kernel's at each look, and the kernel is given the programs
    that are left once it is faster. When that is depends on the machine, and with it the last digits.

    References
    ----------
    H. Lu, J. Yang, "Restarted Halpern PDHG for linear programming", arXiv 2407.16144, 2024.
    D. Applegate et al., "Practical large-scale linear programming using primal-dual hybrid gradient",
    NeurIPS 2021; "Infeasibility detection with primal-dual hybrid gradient for large-scale linear
    programming", SIAM J. Optim. 34, 2024.

    Examples
    --------
    Two products, of which each takes a share of two machines' hours:

    >>> from numsolve import monotone
    >>> result = monotone.solve_lp([-3, -5], [[1, 2], [3, 2]], uc=[14, 18], lx=0)
    >>> result.x.round(4), round(result.fun, 4)
    (array([2., 6.]), -36.0)
    >>> (-result.y).round(4)  # what an hour of each machine is worth
    array([2.25, 0.25])
    """
    limits = Limits(maxiter, time_limit, callback, progress)
    program = prepare(c, A, lc, uc, lx, ux)
    x, y = _start(program, x0)
    tol = _tolerance(program, tol)
    if isinstance(polish, str):
        checks.choice("polish", polish, ("basic",))
        highs()
    elif polish is not None:
        polish = checks.real("polish", polish, low=0.0, open_low=True)
    single = program.batch is None and arrays.is_numpy(program.xp)
    if checks.flag("presolve", presolve) and not single:
        raise ValueError("presolve must be False for a batch, and for arrays of other libraries than NumPy")
    if polish == "basic" and not single:
        raise ValueError(
            "polish must not be 'basic' for a batch, and for arrays of other libraries than NumPy"
        )
    relaxed = program.relaxed()
    if relaxed is None:
        return _solved(program, (x, y), tol, polish, limits, presolve)
    with unheard(ConvergenceWarning):
        first = _solved(relaxed, (x, y), tol, polish, limits, presolve)
    if _holds_too(program, first):
        deliver(first)
        return first
    limits = rest_of(limits, limits.steps(MAXITER) - int(np.max(first.nit)))
    result = _solved(program, (x, y), tol, polish, limits, presolve)
    return replace(result, nit=result.nit + first.nit)


def _holds_too(program: LinearProgram, relaxed: LPResult) -> bool:
    """Whether what came of the relaxed program is true of the whole one.

    It is where there is no point, or the solution is within the bounds that were left out. A run that was cut
    short may say so of either.
    """
    status = np.asarray(relaxed.status)
    if np.any(status == Status.UNBOUNDED.value):
        return False
    return not np.any(relaxed.success) or program.holds(relaxed.x)


def _solved(
    program: LinearProgram,
    start: Start,
    tol: float,
    polish: float | Literal["basic"] | None,
    limits: Limits,
    presolve: bool,
) -> LPResult:
    """Solve a checked program, whatever its shape."""
    (x, y), single = start, program.batch is None and arrays.is_numpy(program.xp)
    units = program.units()
    lp = program.divided(units)
    with np.errstate(over="ignore", invalid="ignore"):  # a start beyond the range of floats is seen as such
        start = (
            None if x is None else x / units.bounds,
            None if y is None else y / units.costs * units.matrix,
        )
    if 0 in lp.A.shape or (lp.batch is None and bool(lp.contradictory)):
        return at_once(lp, units)
    if not single:
        return solve_batch(lp, start, tol, limits, units)
    if (stuck := lp.stuck(tol)).any():
        return at_once(lp, units, stuck)
    return solve_single(lp, start, tol, polish, limits, units, presolve)


def _tolerance(lp: LinearProgram, tol: float) -> float:
    """Check a tolerance against the floating-point type of the data."""
    tol = float(checks.real("tol", tol, low=0.0))
    if str(lp.c.dtype).endswith("float32") and tol < FLOAT32_TOL:
        warnings.warn(
            f"tol = {tol:g} is beyond float32 data; {FLOAT32_TOL:g} is used: give float64 arrays for more",
            PrecisionWarning,
            stacklevel=caller_level(),
        )
        return FLOAT32_TOL
    return tol


def _start(lp: LinearProgram, x0: Any) -> Start:
    """The caller's x and y, each None if not given."""
    if x0 is None:
        return None, None
    if isinstance(x0, LPResult):
        x0 = (x0.x, x0.y)
    x, y = x0 if isinstance(x0, tuple) and len(x0) == 2 else (x0, None)
    m, n = lp.A.shape
    front = () if lp.batch is None else (lp.batch,)
    x = checks.array("x0", x, xp=lp.xp, dtype=lp.c.dtype, shape=(*front, n))
    if y is not None:
        y = checks.array("x0[1]", y, xp=lp.xp, dtype=lp.c.dtype, shape=(*front, m))
    return x, y
